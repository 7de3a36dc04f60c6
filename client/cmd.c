#include "client/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/progress.h"
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
     .help = "colours: auto (on a terminal, unless NO_COLOR is set), "
             "always or never",
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

const struct option_row cmd_filter_rows[] = {CMD_FILTER_ROW('f'),
                                             {.name = NULL}};

struct rpc *cmd_connect(const struct common_options *o, struct err *err)
{
    return rpc_open(o->server != NULL ? o->server : SETTINGS_SERVER, err);
}

int cmd_jobs_open(const struct job_options *o, char *const *arg, int n_arg,
                  bool finished, struct cmd_jobs *out, struct err *err)
{
    *out = (struct cmd_jobs){.rpc = NULL};
    if (select_parse(arg, n_arg, &o->filter, &out->select, err) < 0)
        return -1;
    out->rpc = cmd_connect(&o->common, err);
    if (out->rpc == NULL)
        return -1;
    return select_fetch(out->rpc, &out->select, finished, &out->found, err);
}

void cmd_jobs_close(struct cmd_jobs *jobs)
{
    select_jobs_free(&jobs->found);
    rpc_close(jobs->rpc);
    select_free(&jobs->select);
}

int cmd_input(const char *option, char *const *arg, int n_arg, const char **out,
              struct err *err)
{
    if (n_arg > 0 && option != NULL)
        return err_set(err, ERR_USAGE,
                       "the input is given twice: %.60s and --input %.60s",
                       arg[0], option);
    if (n_arg == 0 && option == NULL)
        return err_set(err, ERR_USAGE, "the input is missing: give FILE");
    *out = n_arg > 0 ? arg[0] : option;
    return 0;
}

bool cmd_color(const struct common_options *o)
{
    return progress_color(o->color, isatty(STDOUT_FILENO));
}

size_t cmd_columns(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return 0;
    return size.ws_col;
}

int cmd_list_columns(const struct list_options *o,
                     const struct common_options *common,
                     const struct field *known, const char *usual,
                     const char *key, struct fields *out, struct err *err)
{
    if (o->parsable + common->json + (o->format != NULL) > 1)
        return err_set(err, ERR_USAGE,
                       "--format, --parsable and --json exclude each other");
    if (o->parsable)
        usual = key;
    else if (o->format != NULL)
        usual = o->format;
    if (fields_choose(known, usual, out, err) < 0)
        return err_wrap(err, "option --format");
    return 0;
}

void cmd_list_print(const struct list_options *o,
                    const struct common_options *common,
                    const struct fields *columns, const void *const *item,
                    size_t n, const char *nothing)
{
    struct buf text = BUF_INIT;

    if (n == 0) {
        if (!common->quiet && !o->parsable)
            fprintf(stderr, "%s\n", nothing);
        return;
    }
    if (o->no_header || o->parsable)
        fields_tabs(columns, item, n, &text);
    else
        fields_table(columns, item, n, cmd_color(common), cmd_columns(), &text);
    fputs(text.data, stdout);
    buf_free(&text);
}

void cmd_say_interrupted(const char *command, const uint64_t *id, size_t n)
{
    struct buf words = BUF_INIT;

    select_words(id, n, &words);
    fprintf(stderr, "interrupted; %s on. Come back with: skein %s%s%s\n",
            n == 1 ? "the job goes" : "the jobs go", command, n > 0 ? " " : "",
            n > 0 ? words.data : "");
    buf_free(&words);
}

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
