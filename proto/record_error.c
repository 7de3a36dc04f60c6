#include "proto/record_error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8_check.h"

const char *const record_error_codes[] = {
    "invalid_json",    "not_utf8",      "wrong_type",
    "missing_field",   "unknown_key",   "unsupported_parameter",
    "model_not_found", "duplicate_key", "invalid_value",
    "too_large",       "duplicate_id",  "token_out_of_range",
    "no_tokenizer",    "no_template",   "nothing_to_condition_on",
    "non_finite",      "worker_crash",  NULL,
};

static bool is_listed(const char *code)
{
    size_t i = 0;

    while (record_error_codes[i] != NULL
           && strcmp(record_error_codes[i], code) != 0)
        i++;
    return record_error_codes[i] != NULL;
}

int record_error_set(struct record_error *e, const char *code,
                     const char *field, const char *fmt, ...)
{
    va_list ap;

    assert(is_listed(code));
    e->code = code;
    snprintf(e->field, sizeof e->field, "%s", field);
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    /* Both may quote the line, and are cut where they are full. */
    utf8_mend(e->field, strlen(e->field));
    utf8_mend(e->message, strlen(e->message));
    return -1;
}
