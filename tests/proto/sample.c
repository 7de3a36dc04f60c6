#include "tests/proto/sample.h"

#include <stdlib.h>
#include <string.h>

const struct sample_type sample_types[] = {
    {WIRE_ERROR, &skein__error__descriptor},
    {WIRE_HELLO, &skein__hello__descriptor},
    {WIRE_WELCOME, &skein__welcome__descriptor},
    {WIRE_BEAT, &skein__beat__descriptor},
    {WIRE_BEAT_ACK, &skein__beat_ack__descriptor},
    {WIRE_HELLO_AGAIN, &skein__hello_again__descriptor},
    {WIRE_PROBE, &skein__probe__descriptor},
    {WIRE_GRANT, &skein__grant__descriptor},
    {WIRE_RELEASE, &skein__release__descriptor},
    {WIRE_COMMITTED, &skein__committed__descriptor},
    {WIRE_STALE, &skein__stale__descriptor},
    {WIRE_REVOKE, &skein__revoke__descriptor},
    {WIRE_XFER_BEGIN, &skein__xfer_begin__descriptor},
    {WIRE_XFER_GO, &skein__xfer_go__descriptor},
    {WIRE_XFER_CHUNK, &skein__xfer_chunk__descriptor},
    {WIRE_XFER_ACK, &skein__xfer_ack__descriptor},
    {WIRE_XFER_END, &skein__xfer_end__descriptor},
    {WIRE_FETCH, &skein__fetch__descriptor},
    {WIRE_SUBMITTED, &skein__submitted__descriptor},
    {WIRE_JOBS_QUERY, &skein__jobs_query__descriptor},
    {WIRE_JOBS, &skein__jobs__descriptor},
    {WIRE_CANCEL, &skein__cancel__descriptor},
    {WIRE_WORKERS_QUERY, &skein__workers_query__descriptor},
    {WIRE_WORKERS, &skein__workers__descriptor},
    {WIRE_SERVER_QUERY, &skein__server_query__descriptor},
    {WIRE_SERVER, &skein__server_info__descriptor},
    {WIRE_ORDER, &skein__order__descriptor},
    {0, NULL},
};

static void *member(ProtobufCMessage *msg, unsigned offset)
{
    return (char *)msg + offset;
}

static void set_bytes(ProtobufCBinaryData *b, size_t n)
{
    free(b->data);
    b->data = n > 0 ? calloc(1, n) : NULL;
    b->len = n;
    if (n > 0)
        memset(b->data, (int)(n & 127) | 1, n);
}

static void set_string(char **s, const void *absent, size_t n)
{
    if (*s != absent)
        free(*s);
    *s = calloc(1, n + 1);
    memset(*s, 'a', n);
}

static void set_list(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                     size_t n)
{
    size_t *count = member(msg, f->quantifier_offset);

    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        ProtobufCMessage ***list = member(msg, f->offset);

        for (size_t i = 0; i < *count; i++)
            sample_free((*list)[i]);
        free(*list);
        *list = n > 0 ? calloc(n, sizeof **list) : NULL;
        for (size_t i = 0; i < n; i++)
            (*list)[i] = sample_make(f->descriptor, 0);
    } else {
        uint64_t **list = member(msg, f->offset);

        free(*list);
        *list = n > 0 ? calloc(n, sizeof **list) : NULL;
        for (size_t i = 0; i < n; i++)
            (*list)[i] = i + 1;
    }
    *count = n;
}

static void set_message(ProtobufCMessage **sub,
                        const ProtobufCFieldDescriptor *f, uint64_t n)
{
    sample_free(*sub);
    *sub = n > 0 ? sample_make(f->descriptor, 0) : NULL;
}

void sample_set(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                uint64_t n)
{
    void *at = member(msg, f->offset);

    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        set_list(msg, f, (size_t)n);
        return;
    }
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        set_string(at, f->default_value, (size_t)n);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        set_bytes(at, (size_t)n);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        set_message(at, f, n);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)at = (double)n + 0.5;
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = n != 0;
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        *(uint32_t *)at = (uint32_t)n;
        break;
    default:
        *(uint64_t *)at = n;
        break;
    }
}

/* A measure every field of this name allows, different for neighbours. */
static uint64_t usual(const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return 2;
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
        if (strcmp(f->name, "incarnation") == 0
            || strcmp(f->name, "request_id") == 0)
            return 16;
        return 32;
    }
    if (f->type == PROTOBUF_C_TYPE_ENUM || f->type == PROTOBUF_C_TYPE_MESSAGE)
        return 1;
    return 2 + f->id;
}

ProtobufCMessage *sample_make(const ProtobufCMessageDescriptor *type,
                              unsigned variant)
{
    ProtobufCMessage *msg = calloc(1, type->sizeof_message);
    unsigned alternative = 0;

    protobuf_c_message_init(type, msg);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];

        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            if (alternative++ != variant)
                continue;
            *(uint32_t *)member(msg, f->quantifier_offset) = f->id;
        }
        sample_set(msg, f, usual(f));
    }
    return msg;
}

void sample_free(ProtobufCMessage *msg)
{
    if (msg != NULL)
        protobuf_c_message_free_unpacked(msg, NULL);
}

const ProtobufCFieldDescriptor *
sample_field(const ProtobufCMessageDescriptor *type, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(type, name);
}
