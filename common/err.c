#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Texts quote what files and peers sent: control characters in it must not
 * break the one line, and a cut must not leave half a character.
 */
static void make_presentable(char *text)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++) {
        if ((unsigned char)text[len] < ' ' || text[len] == 0x7F)
            text[len] = '?';
    }
    if (len < ERR_TEXT_MAX - 1)
        return;
    while (len > 0 && ((unsigned char)text[len - 1] & 0xC0) == 0x80)
        len--;
    if (len > 0 && (unsigned char)text[len - 1] >= 0xC0)
        len--;
    text[len] = '\0';
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return -1;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    make_presentable(err->text);
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char cause[ERR_TEXT_MAX];
    va_list ap;
    size_t used;

    if (err == NULL)
        return -1;
    memcpy(cause, err->text, sizeof cause);
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", cause);
    make_presentable(err->text);
    return -1;
}

const char *err_name(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return "none";
    case ERR_LINES:
        return "some_lines_failed";
    case ERR_USAGE:
        return "usage";
    case ERR_JOB_FAILED:
        return "job_failed";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_INVALID:
        return "invalid";
    case ERR_UNREACHABLE:
        return "unreachable";
    case ERR_INTERNAL:
        return "internal";
    case ERR_OS:
        return "os";
    case ERR_IO:
        return "io";
    case ERR_AGAIN:
        return "try_again";
    case ERR_PROTOCOL:
        return "protocol";
    case ERR_DENIED:
        return "denied";
    case ERR_CONFIG:
        return "config";
    case ERR_NOMEM:
        return "no_memory";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_LIMIT:
        return "limit";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_CUDA:
        return "cuda";
    case ERR_NCCL:
        return "nccl";
    }
    return "unknown";
}
