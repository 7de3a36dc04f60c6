/* The lines around OpenAI answers and errors. */
#include <string.h>

#include "common/hash.h"
#include "proto/record.h"

void openai_add_id(const struct record *r, const char *prefix, struct buf *out)
{
    char hex[2 * RECORD_TAG_BYTES + 1];

    hash_hex(r->tag, sizeof r->tag, hex);
    buf_addf(out, "\"%s%s\"", prefix, hex);
}

static void begin(const struct record *r, int status, struct buf *out)
{
    buf_adds(out, "{\"id\":");
    openai_add_id(r, "batch_req_", out);
    buf_adds(out, ",\"custom_id\":");
    if (r->id_kind == RECORD_ID_STRING)
        json_add_string(out, r->id, r->id_len);
    else
        buf_adds(out, "null"); /* it could not be read */
    buf_addf(out, ",\"response\":{\"status_code\":%d,\"request_id\":", status);
    openai_add_id(r, "req_", out);
    buf_adds(out, ",\"body\":");
}

void openai_begin(const struct record *r, struct buf *out)
{
    begin(r, 200, out);
}

void openai_end(const struct record *r, struct buf *out)
{
    buf_addf(out, "},\"error\":null,\"line\":%llu}",
             (unsigned long long)r->line);
}

/* Errors with another status than 400, or another name at OpenAI's. */
static const struct {
    const char *code;
    int status;
    const char *openai;
} errors[] = {
    {"duplicate_id", 400, "duplicate_custom_id"},
    {"model_not_found", 404, "model_not_found"},
    {"no_tokenizer", 500, "no_tokenizer"},
    {"non_finite", 500, "nan_logits"},
    {"worker_crash", 500, "worker_lost"},
};

void openai_write_error(const struct record *r, const struct record_error *e,
                        struct buf *out)
{
    const char *code = e->code;
    int status = 400;

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strcmp(errors[i].code, e->code) == 0) {
            status = errors[i].status;
            code = errors[i].openai;
        }
    }
    begin(r, status, out);
    buf_adds(out, "{\"error\":{\"message\":");
    json_add_string(out, e->message, strlen(e->message));
    buf_addf(out, ",\"type\":\"%s\",\"param\":",
             status == 500 ? "server_error" : "invalid_request_error");
    if (e->field[0] != '\0')
        json_add_string(out, e->field, strlen(e->field));
    else
        buf_adds(out, "null");
    buf_addf(out, ",\"code\":\"%s\"}}", code);
    openai_end(r, out);
}
