#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048 /* longer lines are cut */

static const char *component = "skein";
static enum log_level level_max = LOG_LEVEL_INFO;
static int with_prefix;

void log_init(const char *name, enum log_level max)
{
    component = name;
    level_max = max;
    with_prefix = !isatty(STDERR_FILENO);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    size_t used = 0;
    ssize_t put;
    va_list ap;
    int n;

    if (level > level_max)
        return;
    if (with_prefix)
        used = (size_t)snprintf(line, sizeof line, "<%d>", (int)level);
    used +=
        (size_t)snprintf(line + used, sizeof line - used, "%s: ", component);
    va_start(ap, fmt);
    n = vsnprintf(line + used, sizeof line - used - 1, fmt, ap);
    va_end(ap);
    if (n > 0)
        used += (size_t)n;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7F)
            line[i] = ' ';
    }
    line[used++] = '\n';
    put = write(STDERR_FILENO, line, used);
    (void)put; /* there is nowhere left to complain */
}

const char *const log_level_names[] = {"error", "warn", "info", "debug", NULL};

int log_level_parse(const char *name)
{
    static const enum log_level level[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
                                           LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};

    for (size_t i = 0; log_level_names[i] != NULL; i++) {
        if (strcmp(log_level_names[i], name) == 0)
            return (int)level[i];
    }
    return -1;
}
