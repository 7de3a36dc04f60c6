#include "client/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/settings.h"
#include "common/clock.h"
#include "proto/limits.h"
#include "proto/skein.pb-c.h"
#include "text/utf8.h"

static const char *const color_choices[] = {"auto", "always", "never", NULL};

const char *const cmd_bos_choices[] = {"always", "if-empty", "never", NULL};

const struct option_row common_rows[] = {
    {.name = "server",
     .letter = 's',
     .type = OPTION_TEXT,
     .offset = offsetof(struct common_options, server),
     .value = "ENDPOINT",
     .help = "the coordinator: ipc:///path or tcp://127.0.0.1:PORT",
     .fallback = SETTINGS_SERVER,
     .setting = true},
    {.name = "config",
     .letter = 'c',
     .type = OPTION_TEXT,
     .offset = offsetof(struct common_options, config),
     .value = "FILE",
     .help = "settings, instead of /etc/skein/skein.yaml and "
             "~/.config/skein/skein.yaml (also: SKEIN_CONFIG)",
     .fallback = "those two files",
     .offer = OFFER_FILES},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct common_options, json),
     .help = "answer in JSON on standard output, errors too"},
    {.name = "color",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct common_options, color),
     .value = "WHEN",
     .choice = color_choices,
     .help = "auto, always or never",
     .fallback = "auto",
     .setting = true},
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_FLAG,
     .offset = offsetof(struct common_options, quiet),
     .help = "no progress and no hints on standard error"},
    {.name = "help",
     .letter = 'h',
     .type = OPTION_FLAG,
     .offset = offsetof(struct common_options, help),
     .help = "this text"},
    {.name = NULL},
};

int cmd_bos(const char *word)
{
    if (word != NULL && strcmp(word, "if-empty") == 0)
        return SKEIN__BOS__BOS_IF_EMPTY;
    if (word != NULL && strcmp(word, "never") == 0)
        return SKEIN__BOS__BOS_NEVER;
    return SKEIN__BOS__BOS_ALWAYS;
}

int cmd_created(const struct option_int *given, int64_t *out, struct err *err)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    char *end;
    long long v;

    if (given->given) {
        *out = given->value;
        return 0;
    }
    if (epoch == NULL || epoch[0] == '\0') {
        *out = clock_unix_ms() / 1000;
        return 0;
    }
    errno = 0;
    v = strtoll(epoch, &end, 10);
    if (*end != '\0' || errno != 0 || v < 0)
        return err_set(err, ERR_CONFIG,
                       "SOURCE_DATE_EPOCH: '%.60s' is not a "
                       "number of seconds",
                       epoch);
    *out = v;
    return 0;
}

char *cmd_basename(const char *path)
{
    size_t end = strlen(path), start;

    while (end > 1 && path[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return xstrndup(path + start, end - start);
}

char *cmd_job_name(const char *path)
{
    char *base = cmd_basename(path);
    struct buf name = BUF_INIT;
    size_t len;

    utf8_repair(base, strlen(base), &name);
    free(base);
    len = name.len < JOB_NAME_BYTES_MAX ? name.len : JOB_NAME_BYTES_MAX;
    while (len > 0 && len < name.len
           && ((unsigned char)name.data[len] & 0xc0) == 0x80)
        len--;
    name.data[len] = '\0';
    return name.data;
}
