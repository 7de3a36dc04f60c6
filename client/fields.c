#include "client/fields.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/table.h"
#include "common/clock.h"
#include "common/conf.h"

static const struct field *find(const struct field *known, const char *name,
                                size_t len, struct err *err)
{
    const char *names[FIELDS_MAX + 1] = {NULL};
    struct buf all = BUF_INIT;
    const char *nearest;
    char *word;

    for (size_t i = 0; known[i].name != NULL; i++) {
        if (strlen(known[i].name) == len
            && strncmp(known[i].name, name, len) == 0)
            return &known[i];
        names[i] = known[i].name;
    }
    for (size_t i = 0; names[i] != NULL; i++)
        buf_addf(&all, "%s%s", i > 0 ? ", " : "", names[i]);
    word = xstrndup(name, len);
    nearest = conf_nearest(word, names);
    if (nearest != NULL)
        err_set(err, ERR_USAGE, "there is no field '%.60s'; did you mean '%s'?",
                word, nearest);
    else
        err_set(err, ERR_USAGE, "there is no field '%.60s'; there are %s", word,
                all.data);
    free(word);
    buf_free(&all);
    return NULL;
}

void field_text(const struct field *f, const void *item, struct buf *out)
{
    const void *part = f->part != NULL ? f->part(item) : item;
    const char *at;
    char iso[21];

    if (part == NULL)
        return;
    at = (const char *)part + f->offset;
    switch (f->type) {
    case FIELD_CUSTOM:
        f->text(part, out);
        break;
    case FIELD_STRING:
        buf_adds(out, *(char *const *)at);
        break;
    case FIELD_I32:
        buf_addf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case FIELD_U32:
        buf_addf(out, "%" PRIu32, *(const uint32_t *)at);
        break;
    case FIELD_U64:
        buf_addf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case FIELD_TIME:
        if (*(const int64_t *)at <= 0)
            break;
        clock_iso8601(*(const int64_t *)at, iso);
        buf_adds(out, iso);
        break;
    }
}

/* ---- columns ------------------------------------------------------------ */

int fields_choose(const struct field *known, const char *list,
                  struct fields *out, struct err *err)
{
    out->n = 0;
    for (;;) {
        size_t len = strcspn(list, ",");
        const struct field *f = find(known, list, len, err);

        if (f == NULL)
            return -1;
        if (out->n == FIELDS_MAX)
            return err_set(err, ERR_USAGE, "more than %d fields", FIELDS_MAX);
        out->column[out->n++] = f;
        if (list[len] == '\0')
            return 0;
        list += len + 1;
    }
}

void fields_tabs(const struct fields *f, const void *const *item, size_t n,
                 struct buf *out)
{
    struct buf text = BUF_INIT;

    for (size_t i = 0; i < n * f->n; i++) {
        size_t k = i % f->n;

        buf_clear(&text);
        buf_adds(&text, ""); /* at least the terminator */
        field_text(f->column[k], item[i / f->n], &text);
        table_clean(text.data, out);
        buf_addc(out, k + 1 < f->n ? '\t' : '\n');
    }
    buf_free(&text);
}

static void add_cell(const struct field *f, const void *item, bool color,
                     struct table *t)
{
    struct buf text = BUF_INIT;

    buf_adds(&text, "");
    field_text(f, item, &text);
    table_add(t, text.data);
    buf_free(&text);
    if (color && f->paint != NULL)
        table_paint(t, f->paint(item));
}

void fields_table(const struct fields *f, const void *const *item, size_t n,
                  bool color, size_t columns, struct buf *out)
{
    struct table_column column[FIELDS_MAX + 1] = {{NULL, false}};
    struct table t;

    for (size_t k = 0; k < f->n; k++)
        column[k] =
            (struct table_column){f->column[k]->title, f->column[k]->right};
    table_init(&t, column);
    for (size_t i = 0; i < n * f->n; i++)
        add_cell(f->column[i % f->n], item[i / f->n], color, &t);
    table_write(&t, columns, out);
    table_free(&t);
}

/* ---- filters ------------------------------------------------------------ */

static int check_value(const struct field *field, const char *pattern,
                       struct err *err)
{
    struct buf all = BUF_INIT;
    const char *nearest;

    if (field->values == NULL || strpbrk(pattern, "*?[") != NULL)
        return 0;
    for (size_t i = 0; field->values[i] != NULL; i++) {
        if (strcmp(field->values[i], pattern) == 0)
            return 0;
    }
    nearest = conf_nearest(pattern, field->values);
    for (size_t i = 0; field->values[i] != NULL; i++)
        buf_addf(&all, "%s%s", i > 0 ? ", " : "", field->values[i]);
    if (nearest != NULL)
        err_set(err, ERR_USAGE, "no %s is '%.60s'; did you mean '%s'?",
                field->name, pattern, nearest);
    else
        err_set(err, ERR_USAGE, "no %s is '%.60s'; there are %s", field->name,
                pattern, all.data);
    buf_free(&all);
    return -1;
}

/* One piece between commas: "key=value", "key!=value", or another value. */
static int add_piece(const struct field *known, const char *piece, size_t len,
                     struct fields_filter *f, struct err *err)
{
    const char *equals = memchr(piece, '=', len);
    struct fields_rule *rule = &f->rule[f->n];
    const char *value = piece;

    if (f->n == FIELDS_RULES_MAX)
        return err_set(err, ERR_USAGE, "more than %d values", FIELDS_RULES_MAX);
    if (equals == NULL && f->n == 0)
        return err_set(err, ERR_USAGE,
                       "'%.*s' is not KEY=VALUE, such as state=failed",
                       len < 60 ? (int)len : 60, piece);
    if (equals != NULL) {
        bool other = equals > piece && equals[-1] == '!';

        *rule = (struct fields_rule){.other = other, .begins = true};
        rule->field =
            find(known, piece, (size_t)(equals - piece) - (other ? 1 : 0), err);
        if (rule->field == NULL)
            return -1;
        value = equals + 1;
    } else {
        *rule = (struct fields_rule){.field = rule[-1].field,
                                     .other = rule[-1].other};
    }
    rule->pattern = xstrndup(value, len - (size_t)(value - piece));
    f->n++;
    return check_value(rule->field, rule->pattern, err);
}

int fields_filter_parse(const struct field *known,
                        const struct option_list *list,
                        struct fields_filter *out, struct err *err)
{
    *out = (struct fields_filter){.n = 0};
    for (size_t i = 0; i < list->n; i++) {
        const char *p = list->item[i];

        for (;;) {
            size_t len = strcspn(p, ",");

            if (add_piece(known, p, len, out, err) < 0)
                return err_wrap(err, "option --filter");
            if (p[len] == '\0')
                break;
            p += len + 1;
        }
    }
    return 0;
}

bool fields_filter_match(const struct fields_filter *f, const void *item)
{
    bool holds = true;

    for (size_t i = 0; i < f->n; i++) {
        const struct fields_rule *rule = &f->rule[i];
        struct buf text = BUF_INIT;
        bool same;

        if (rule->begins && !holds)
            return false;
        if (rule->begins)
            holds = rule->other;
        buf_adds(&text, "");
        field_text(rule->field, item, &text);
        same = fnmatch(rule->pattern, text.data, 0) == 0;
        buf_free(&text);
        holds = rule->other ? holds && !same : holds || same;
    }
    return holds;
}

void fields_filter_free(struct fields_filter *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->rule[i].pattern);
    f->n = 0;
}
