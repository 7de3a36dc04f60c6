#include "proto/record_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8_check.h"

int record_error_set(struct record_error *e, const char *code,
                     const char *field, const char *fmt, ...)
{
    va_list ap;

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
