/* proto/validate.h - every field of every message against its bounds
 *
 * Private to proto/. protobuf-c checks the encoding and nothing else: it accepts
 * any bytes as a string, unknown enum values and absent submessages. The bounds
 * are a table in validate.c, one row per bounded field.
 */
#ifndef PROTO_VALIDATE_H
#define PROTO_VALIDATE_H

#include <stddef.h>

#include "common/err.h"
#include "proto/skein.pb-c.h"

#define UNKNOWN_FIELDS_MAX 16 /* of a newer peer, per message */

/* Length of the string at `s` as it came in, so that a NUL inside is seen; NULL
 * when the message was not decoded: strlen() then.
 */
typedef size_t validate_strlen(const char *s);

/* 0, or -1 with `code` and a text naming message and field. */
int validate(const ProtobufCMessage *msg, validate_strlen *len,
             enum err_code code, struct err *err);

/* Rows of the bounds table that name no field of their message: a test holds
 * this at 0.
 */
size_t validate_stray_rules(void);
/* Whether the field has a row; a test wants one for all strings, bytes and
 * lists.
 */
int validate_has_rule(const ProtobufCMessageDescriptor *type,
                      const char *field);

#endif /* PROTO_VALIDATE_H */
