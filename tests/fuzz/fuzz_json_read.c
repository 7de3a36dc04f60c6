/* tests/fuzz/fuzz_json_read.c - any bytes: what jansson refuses is refused, what
 * it accepts is read as it reads it
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/json_read.h"
#include "tests/proto/jansson_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct record_error e = {0};
    struct json_tree *t = json_read(text, size, &e);
    const char *why;

    if (!jansson_agrees(text, size, t, &why)) {
        fprintf(stderr, "differs: %s\n", why);
        abort();
    }
    if (t == NULL && (e.code == NULL || e.message[0] == '\0'))
        abort();
    json_tree_free(t);
    return 0;
}
