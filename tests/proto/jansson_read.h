/* tests/proto/jansson_read.h - what jansson makes of a JSON text
 *
 * The judge of proto/json_read.c: both must accept the same texts and see the
 * same values in them.
 */
#ifndef TESTS_PROTO_JANSSON_READ_H
#define TESTS_PROTO_JANSSON_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/json_read.h"

/* Does jansson, told to be strict, read text[len] as `tree` has it; or refuse
 * it, when tree is NULL? If not, *why says in what they differ, static.
 */
bool jansson_agrees(const char *text, size_t len, const struct json_tree *tree,
                    const char **why);

#endif /* TESTS_PROTO_JANSSON_READ_H */
