#include "client/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"

#define LETTERS_MAX (OPTIONS_MAX * 2 + 2)
#define HELP_COLUMN 26 /* where explanations of options begin */

/* All rows of a command in one list: its own, then the common ones. */
struct row_list {
    const struct option_row *row[OPTIONS_MAX];
    int n;
};

static void list_add(struct row_list *list, const struct option_row *rows)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        assert(list->n < OPTIONS_MAX);
        list->row[list->n++] = rows;
    }
}

static struct row_list list_of(const struct option_spec *spec)
{
    struct row_list list = {.n = 0};

    list_add(&list, spec->rows);
    list_add(&list, spec->common);
    return list;
}

/* The two forms getopt_long() wants. Its `val` is 256 + index of the row, so
 * that it collides with no letter.
 */
static void getopt_tables(const struct row_list *list,
                          struct option longs[OPTIONS_MAX + 1],
                          char letters[LETTERS_MAX])
{
    char *p = letters;

    *p++ = ':'; /* report a missing argument as ':' */
    for (int i = 0; i < list->n; i++) {
        const struct option_row *row = list->row[i];
        bool argument = row->type != OPTION_FLAG;

        longs[i] = (struct option){
            .name = row->name,
            .has_arg = argument ? required_argument : no_argument,
            .val = 256 + i,
        };
        if (row->letter != 0) {
            *p++ = row->letter;
            if (argument)
                *p++ = ':';
        }
    }
    *p = '\0';
    longs[list->n] = (struct option){0};
}

static int unknown_option(const struct option_spec *spec,
                          const struct row_list *list, const char *word,
                          int letter, struct err *err)
{
    const char *known[OPTIONS_MAX + 1] = {NULL};
    const char *nearest;
    char name[64];

    if (letter != 0)
        return err_set(err, ERR_USAGE, "unknown option -%c", letter);
    while (*word == '-')
        word++;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    for (int i = 0; i < list->n; i++) {
        if (list->row[i]->type == OPTION_FLAG && strchr(word, '=') != NULL
            && strcmp(list->row[i]->name, name) == 0)
            return err_set(err, ERR_USAGE, "option --%s takes no value", name);
        known[i] = list->row[i]->name;
    }
    nearest = conf_nearest(name, known);
    if (nearest == NULL)
        return err_set(err, ERR_USAGE,
                       "unknown option --%s (see skein %s "
                       "--help)",
                       name, spec->command);
    return err_set(err, ERR_USAGE, "unknown option --%s; did you mean --%s?",
                   name, nearest);
}

static int parse_int(const struct option_row *row, const char *text,
                     int64_t *out, struct err *err)
{
    char *end;
    long long v;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (end == text || *end != '\0')
        return err_set(err, ERR_USAGE, "'%.60s' is not a whole number", text);
    if (errno == ERANGE || v < row->min || v > row->max)
        return err_set(err, ERR_USAGE, "'%.60s' is not within %lld..%lld", text,
                       (long long)row->min, (long long)row->max);
    *out = v;
    return 0;
}

static int parse_choice(const struct option_row *row, const char *text,
                        struct err *err)
{
    struct buf all = BUF_INIT;

    for (size_t i = 0; row->choice[i] != NULL; i++) {
        if (strcmp(row->choice[i], text) == 0)
            return 0;
    }
    for (size_t i = 0; row->choice[i] != NULL; i++)
        buf_addf(&all, "%s%s", i > 0 ? ", " : "", row->choice[i]);
    err_set(err, ERR_USAGE, "'%.60s' is not one of %s", text, all.data);
    buf_free(&all);
    return -1;
}

static int assign(const struct option_row *row, const char *text, void *values,
                  struct err *err)
{
    void *field = (char *)values + row->offset;
    int64_t number = 0;

    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case OPTION_CHOICE:
        if (parse_choice(row, text, err) < 0)
            return -1;
        *(const char **)field = text;
        return 0;
    case OPTION_TEXT:
        if (text[0] == '\0')
            return err_set(err, ERR_USAGE, "the value is empty");
        *(const char **)field = text;
        return 0;
    case OPTION_INT:
        if (parse_int(row, text, &number, err) < 0)
            return -1;
        *(struct option_int *)field =
            (struct option_int){.given = true, .value = number};
        return 0;
    }
    return err_set(err, ERR_INTERNAL, "option type %d", (int)row->type);
}

int options_assign(const struct option_row *row, const char *text,
                   const char *origin, void *values, struct err *err)
{
    if (assign(row, text, values, err) == 0)
        return 0;
    if (err != NULL)
        err->code = ERR_CONFIG;
    return err_wrap(err, "%s", origin);
}

bool options_given(const struct option_row *row, const void *values)
{
    const void *field = (const char *)values + row->offset;

    switch (row->type) {
    case OPTION_FLAG:
        return *(const bool *)field;
    case OPTION_TEXT:
    case OPTION_CHOICE:
        return *(const char *const *)field != NULL;
    case OPTION_INT:
        return ((const struct option_int *)field)->given;
    }
    return false;
}

static const struct option_row *row_of(const struct row_list *list, int got)
{
    if (got >= 256)
        return list->row[got - 256];
    for (int i = 0; i < list->n; i++) {
        if (list->row[i]->letter == got)
            return list->row[i];
    }
    return NULL;
}

static int check_args(const struct option_spec *spec, int n, char **arg,
                      struct err *err)
{
    if (n < spec->args_min)
        return err_set(err, ERR_USAGE,
                       "an argument is missing; usage: skein %s "
                       "%s",
                       spec->command, spec->synopsis);
    if (n > spec->args_max)
        return err_set(err, ERR_USAGE, "unexpected argument '%.60s'",
                       arg[spec->args_max]);
    return 0;
}

int options_parse(const struct option_spec *spec, int argc, char **argv,
                  void *values, int *first, struct err *err)
{
    struct row_list list = list_of(spec);
    struct option longs[OPTIONS_MAX + 1];
    char letters[LETTERS_MAX];
    const struct option_row *row;
    int got;

    getopt_tables(&list, longs, letters);
    optind = 0; /* GNU: start over, and forget a half-read "-abc" */
    opterr = 0;
    while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (got == '?')
            return unknown_option(spec, &list, argv[optind - 1],
                                  optopt < 256 ? optopt : 0, err);
        row = row_of(&list, got == ':' ? optopt : got);
        assert(row != NULL);
        if (got == ':')
            return err_set(err, ERR_USAGE, "option --%s needs a value: %s",
                           row->name, row->value);
        if (assign(row, optarg, values, err) < 0)
            return err_wrap(err, "option --%s", row->name);
        /* --help wins over whatever else is wrong or missing. */
        if (strcmp(row->name, "help") == 0) {
            *first = argc;
            return 0;
        }
    }
    *first = optind;
    return check_args(spec, argc - optind, argv + optind, err);
}

/* "  -m, --model MODEL" then, from HELP_COLUMN, what it means. */
static void help_row(const struct option_row *row, struct buf *out)
{
    size_t start = out->len;
    const char *p = row->help;
    size_t width;

    if (row->letter != 0)
        buf_addf(out, "  -%c, --%s", row->letter, row->name);
    else
        buf_addf(out, "      --%s", row->name);
    if (row->type != OPTION_FLAG)
        buf_addf(out, " %s", row->value);
    width = out->len - start;
    if (width > HELP_COLUMN - 2)
        buf_addf(out, "\n%*s", HELP_COLUMN, "");
    else
        buf_addf(out, "%*s", (int)(HELP_COLUMN - width), "");
    for (; *p != '\0'; p++) {
        buf_addc(out, *p);
        if (*p == '\n')
            buf_addf(out, "%*s", HELP_COLUMN, "");
    }
    if (row->required)
        buf_addf(out, "\n%*s[required]", HELP_COLUMN, "");
    else if (row->type != OPTION_FLAG)
        buf_addf(out, "\n%*s[default: %s]", HELP_COLUMN, "",
                 row->fallback ? row->fallback : "none");
    buf_addc(out, '\n');
}

void options_help(const struct option_spec *spec, struct buf *out)
{
    bool settings = false;
    struct row_list list = list_of(spec);

    buf_addf(out, "skein %s - %s\n\nUsage: skein %s %s\n", spec->command,
             spec->purpose, spec->command, spec->synopsis);
    if (spec->about != NULL)
        buf_addf(out, "\n%s\n", spec->about);
    buf_addf(out, "\nExamples:\n%s\n", spec->examples);
    buf_adds(out, "\nOptions:\n");
    for (int i = 0; i < list.n; i++) {
        help_row(list.row[i], out);
        settings = settings || list.row[i]->setting;
    }
    if (!settings)
        return;
    buf_adds(out, "\nAlso settable as SKEIN_<NAME> in the environment, or as a "
                  "key of skein.yaml:\n ");
    for (int i = 0; i < list.n; i++) {
        if (list.row[i]->setting)
            buf_addf(out, " %s", list.row[i]->name);
    }
    buf_addc(out, '\n');
}
