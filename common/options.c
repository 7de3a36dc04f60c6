#include "common/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"

#define LETTERS_MAX (OPTIONS_MAX * 2 + 2)
#define HELP_COLUMN 26 /* where explanations of options begin */

void options_name(const struct option_spec *spec, struct buf *out)
{
    buf_adds(out, spec->program != NULL ? spec->program : "skein");
    if (spec->command != NULL)
        buf_addf(out, " %s", spec->command);
}

int options_rows(const struct option_spec *spec,
                 const struct option_row *row[OPTIONS_MAX + 1])
{
    const struct option_row *const tables[] = {spec->rows, spec->common};
    int n = 0;

    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const struct option_row *r = tables[t];

        for (; r != NULL && r->name != NULL; r++) {
            assert(n < OPTIONS_MAX);
            row[n++] = r;
        }
    }
    row[n] = NULL;
    return n;
}

/* The two forms getopt_long() wants. Its `val` is 256 + index of the row, so
 * that it collides with no letter.
 */
static void getopt_tables(const struct option_row *const *row, int n,
                          struct option longs[OPTIONS_MAX + 1],
                          char letters[LETTERS_MAX])
{
    char *p = letters;

    *p++ = ':'; /* report a missing argument as ':' */
    for (int i = 0; i < n; i++) {
        bool argument = row[i]->type != OPTION_FLAG;

        longs[i] = (struct option){
            .name = row[i]->name,
            .has_arg = argument ? required_argument : no_argument,
            .val = 256 + i,
        };
        if (row[i]->letter != 0) {
            *p++ = row[i]->letter;
            if (argument)
                *p++ = ':';
        }
    }
    *p = '\0';
    longs[n] = (struct option){0};
}

/* Append the hint; the code stays. Returns -1. */
static int did_you_mean(const char *dashes, const char *name, struct err *err)
{
    char before[ERR_TEXT_MAX];

    if (err == NULL)
        return -1;
    snprintf(before, sizeof before, "%s", err->text);
    return err_set(err, err->code, "%s; did you mean %s%s?", before, dashes,
                   name);
}

/* "-jsn" was meant as "--json", perhaps. */
static int unknown_option(const struct option_row *const *row, const char *word,
                          int letter, struct err *err)
{
    const char *known[OPTIONS_MAX + 1] = {NULL};
    const char *nearest;
    char name[64];
    int n = 0;

    while (*word == '-')
        word++;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    for (; row[n] != NULL; n++) {
        if (letter == 0 && row[n]->type == OPTION_FLAG
            && strchr(word, '=') != NULL && strcmp(row[n]->name, name) == 0)
            return err_set(err, ERR_USAGE, "option --%s takes no value", name);
        known[n] = row[n]->name;
    }
    nearest = conf_nearest(name, known);
    if (letter != 0)
        err_set(err, ERR_USAGE, "unknown option -%c", letter);
    else
        err_set(err, ERR_USAGE, "unknown option --%s", name);
    return nearest == NULL ? -1 : did_you_mean("--", nearest, err);
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

static int check_choice(const char *const *choice, const char *text,
                        struct err *err)
{
    struct buf all = BUF_INIT;
    const char *nearest;

    for (size_t i = 0; choice[i] != NULL; i++) {
        if (strcmp(choice[i], text) == 0)
            return 0;
    }
    for (size_t i = 0; choice[i] != NULL; i++)
        buf_addf(&all, "%s%s", i > 0 ? ", " : "", choice[i]);
    err_set(err, ERR_USAGE, "'%.60s' is not one of %s", text, all.data);
    buf_free(&all);
    nearest = conf_nearest(text, choice);
    return nearest == NULL ? -1 : did_you_mean("", nearest, err);
}

/* "D-HH:MM:SS", "HH:MM:SS" or "MM:SS" */
static int clock_duration(const char *text, double *seconds)
{
    bool days = false;
    int factor = 0, parts = 0;
    char *end;

    for (;; text = end + 1) {
        if (*text < '0' || *text > '9')
            return -1;
        *seconds = *seconds * factor + (double)strtoul(text, &end, 10);
        parts++;
        factor = 60;
        if (*end == '\0')
            break;
        if (*end == '-' && parts == 1) {
            days = true;
            factor = 24;
        } else if (*end != ':') {
            return -1;
        }
    }
    return days ? (parts == 4 ? 0 : -1) : (parts <= 3 ? 0 : -1);
}

/* "1h30m" */
static int unit_duration(const char *text, double *seconds)
{
    static const struct {
        const char *name;
        double seconds;
    } unit[] = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;

    while (*text != '\0') {
        size_t len, i;
        double x;

        if (*text < '0' || *text > '9')
            return -1;
        x = strtod(text, &end);
        len = strspn(end, "dhms");
        for (i = 0; i < sizeof unit / sizeof *unit; i++) {
            if (len == strlen(unit[i].name)
                && strncmp(end, unit[i].name, len) == 0)
                break;
        }
        if (i == sizeof unit / sizeof *unit)
            return -1;
        *seconds += x * unit[i].seconds;
        text = end + len;
    }
    return 0;
}

int options_duration(const char *text, int64_t *ms)
{
    double seconds = 0;
    char *end;
    int ret = 0;

    if (strspn(text, "0123456789.:-dhms") != strlen(text) || text[0] == '-')
        return -1;
    if (strchr(text, ':') != NULL) {
        ret = clock_duration(text, &seconds);
    } else if (strpbrk(text, "dhms") != NULL) {
        ret = unit_duration(text, &seconds);
    } else {
        seconds = strtod(text, &end);
        ret = end != text && *end == '\0' ? 0 : -1;
    }
    if (ret < 0 || seconds < 0 || seconds > (double)INT64_MAX / 2000)
        return -1;
    *ms = (int64_t)(seconds * 1000 + 0.5);
    return 0;
}

static int parse_time(const struct option_row *row, const char *text,
                      int64_t *out, struct err *err)
{
    if (options_duration(text, out) < 0)
        return err_set(err, ERR_USAGE,
                       "'%.60s' is not a duration such as 90, 1h30m or "
                       "01:30:00",
                       text);
    if (*out < row->min || *out > row->max)
        return err_set(err, ERR_USAGE, "'%.60s' is not within %g..%g s", text,
                       (double)row->min / 1000, (double)row->max / 1000);
    return 0;
}

static int add_item(struct option_list *list, const char *text, struct err *err)
{
    if (list->n == OPTION_LIST_MAX)
        return err_set(err, ERR_USAGE, "given more than %d times",
                       OPTION_LIST_MAX);
    list->item[list->n++] = text;
    return 0;
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
        if (check_choice(row->choice, text, err) < 0)
            return -1;
        *(const char **)field = text;
        return 0;
    case OPTION_TEXT:
    case OPTION_LIST:
        if (text[0] == '\0')
            return err_set(err, ERR_USAGE, "the value is empty");
        if (row->type == OPTION_LIST)
            return add_item(field, text, err);
        *(const char **)field = text;
        return 0;
    case OPTION_INT:
    case OPTION_TIME:
        if ((row->type == OPTION_INT ? parse_int : parse_time)(row, text,
                                                               &number, err)
            < 0)
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
    case OPTION_TIME:
        return ((const struct option_int *)field)->given;
    case OPTION_LIST:
        return ((const struct option_list *)field)->n > 0;
    }
    return false;
}

int options_complete(const struct option_spec *spec, const void *values,
                     struct err *err)
{
    const struct option_row *row[OPTIONS_MAX + 1];

    options_rows(spec, row);
    for (int i = 0; row[i] != NULL; i++) {
        if (row[i]->required && !options_given(row[i], values))
            return err_set(err, ERR_USAGE, "option --%s %s is required: %s",
                           row[i]->name, row[i]->value, row[i]->help);
    }
    return 0;
}

static const struct option_row *row_of(const struct option_row *const *row,
                                       int got)
{
    if (got >= 256)
        return row[got - 256];
    while (*row != NULL && (*row)->letter != got)
        row++;
    return *row;
}

static int check_args(const struct option_spec *spec, int n, char **arg,
                      struct err *err)
{
    struct buf name = BUF_INIT;

    if (n < spec->args_min) {
        options_name(spec, &name);
        err_set(err, ERR_USAGE, "an argument is missing; usage: %s %s",
                name.data, spec->synopsis);
        buf_free(&name);
        return -1;
    }
    if (n > spec->args_max)
        return err_set(err, ERR_USAGE, "unexpected argument '%.60s'",
                       arg[spec->args_max]);
    for (int i = 0; i < n && spec->choice != NULL; i++) {
        if (check_choice(spec->choice, arg[i], err) < 0)
            return -1;
    }
    return 0;
}

int options_parse(const struct option_spec *spec, int argc, char **argv,
                  void *values, int *first, struct err *err)
{
    const struct option_row *rows[OPTIONS_MAX + 1], *row;
    struct option longs[OPTIONS_MAX + 1];
    char letters[LETTERS_MAX];
    int got;

    getopt_tables(rows, options_rows(spec, rows), longs, letters);
    optind = 0; /* GNU: start over, and forget a half-read "-abc" */
    opterr = 0;
    while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (got == '?')
            return unknown_option(rows, argv[optind - 1],
                                  optopt < 256 ? optopt : 0, err);
        row = row_of(rows, got == ':' ? optopt : got);
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

/* ---- help --------------------------------------------------------------- */

/* Where the last word that fits into `room` ends; a longer word sticks out. */
static size_t fitting(const char *text, size_t len, size_t room)
{
    size_t end = 0;

    for (size_t i = 0; i <= len; i++) {
        if (i < len && text[i] != ' ')
            continue;
        if (i > room && end > 0)
            break;
        end = i;
        if (i > room)
            break;
    }
    return end;
}

static void wrap_line(const char *text, size_t len, size_t indent,
                      size_t columns, struct buf *out)
{
    if (len == 0 || text[0] == ' ') {
        buf_add(out, text, len);
        return;
    }
    for (;;) {
        size_t end = fitting(text, len, columns - indent);

        buf_add(out, text, end);
        while (end < len && text[end] == ' ')
            end++;
        text += end;
        len -= end;
        if (len == 0)
            return;
        buf_addf(out, "\n%*s", (int)indent, "");
    }
}

void options_wrap(const char *text, size_t indent, size_t columns,
                  struct buf *out)
{
    for (;;) {
        size_t len = strcspn(text, "\n");

        wrap_line(text, len, indent, columns, out);
        if (text[len] == '\0')
            return;
        buf_addf(out, "\n%*s", text[len + 1] != '\n' ? (int)indent : 0, "");
        text += len + 1;
    }
}

/* "  -m, --model MODEL" then, from HELP_COLUMN, what it means. */
static void help_row(const struct option_row *row, struct buf *out)
{
    struct buf fallback = BUF_INIT;
    size_t start = out->len;
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
    options_wrap(row->help, HELP_COLUMN, OPTIONS_COLUMNS, out);
    if (row->required) {
        buf_addf(out, "\n%*s[required]", HELP_COLUMN, "");
    } else if (row->type != OPTION_FLAG) {
        buf_addf(&fallback, "[default: %s]",
                 row->fallback ? row->fallback : "none");
        buf_addf(out, "\n%*s", HELP_COLUMN, "");
        options_wrap(fallback.data, HELP_COLUMN, OPTIONS_COLUMNS, out);
        buf_free(&fallback);
    }
    buf_addc(out, '\n');
}

static void help_settings(const struct option_row *const *row, struct buf *out)
{
    struct buf names = BUF_INIT;

    for (; *row != NULL; row++) {
        if ((*row)->setting)
            buf_addf(&names, " %s", (*row)->name);
    }
    if (names.len > 0)
        buf_addf(out,
                 "\nAlso settable as SKEIN_<NAME> in the environment, or as a "
                 "key of skein.yaml:\n %s\n",
                 names.data);
    buf_free(&names);
}

void options_help(const struct option_spec *spec, struct buf *out)
{
    const struct option_row *row[OPTIONS_MAX + 1];
    struct buf name = BUF_INIT;

    options_rows(spec, row);
    options_name(spec, &name);
    buf_addf(out, "%s - %s\n\nUsage: %s %s\n", name.data, spec->purpose,
             name.data, spec->synopsis);
    buf_free(&name);
    if (spec->about != NULL) {
        buf_addc(out, '\n');
        options_wrap(spec->about, 0, OPTIONS_COLUMNS, out);
        buf_addc(out, '\n');
    }
    buf_addf(out, "\nExamples:\n%s\n\nOptions:\n", spec->examples);
    for (int i = 0; row[i] != NULL; i++)
        help_row(row[i], out);
    help_settings(row, out);
}

void options_print_help(const struct option_spec *spec)
{
    struct buf text = BUF_INIT;

    options_help(spec, &text);
    fputs(text.data, stdout);
    buf_free(&text);
}

void options_report(const struct option_spec *spec, const struct err *err)
{
    struct buf name = BUF_INIT;

    options_name(spec, &name);
    fprintf(stderr, "%s: %s\n", name.data, err->text);
    if (err->code == ERR_USAGE)
        fprintf(stderr, "  %s --help    explains it\n", name.data);
    buf_free(&name);
}
