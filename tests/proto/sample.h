/* tests/proto/sample.h - a message of any type with every field set
 *
 * Built from the descriptor, so a field added to skein.proto is covered from
 * then on. Free with sample_free().
 */
#ifndef TESTS_PROTO_SAMPLE_H
#define TESTS_PROTO_SAMPLE_H

#include "proto/wire.h"

/* `variant` chooses among the alternatives of a oneof: 0, 1, ... */
ProtobufCMessage *sample_make(const ProtobufCMessageDescriptor *type,
                              unsigned variant);
void sample_free(ProtobufCMessage *msg);

const ProtobufCFieldDescriptor *
sample_field(const ProtobufCMessageDescriptor *type, const char *name);

/* Set a field of `msg` so that its measure is `n`: bytes of a string or of
 * bytes, elements of a list, the value of a number, presence of a submessage.
 */
void sample_set(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                uint64_t n);

/* All types, ended by a NULL descriptor. */
struct sample_type {
    enum wire_type type;
    const ProtobufCMessageDescriptor *descriptor;
};
extern const struct sample_type sample_types[];

#endif /* TESTS_PROTO_SAMPLE_H */
