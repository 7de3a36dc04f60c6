#include "client/lint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/extsort.h"
#include "common/idset.h"
#include "text/template.h"

struct linter {
    const struct lint_rules *rules;
    struct lint *out;
    struct idset *seen;
    uint8_t key[16]; /* of the ids' hashes */
    struct ids ids;
    struct buf chat; /* turns as text */
    size_t room;     /* findings of this pass that may still be kept */
    size_t cap;
};

const char *lint_dir(void)
{
    const char *dir = getenv("TMPDIR");

    return dir != NULL && dir[0] == '/' ? dir : "/var/tmp";
}

const char *lint_kind_name(enum record_kind kind)
{
    static const char *const name[LINT_KINDS] = {
        [RECORD_SCORE] = "score",
        [RECORD_CHOICE] = "choice",
        [RECORD_ROLLING] = "rolling",
        [RECORD_GENERATE] = "generate",
    };

    return name[kind];
}

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
            return false;
    }
    return true;
}

/* ---- findings ----------------------------------------------------------- */

static char *id_text(const struct record *r)
{
    struct buf b = BUF_INIT;

    if (r == NULL || r->id_kind == RECORD_ID_LINE)
        return NULL;
    if (r->id_kind == RECORD_ID_INT)
        buf_addf(&b, "%" PRId64, r->id_int);
    else
        json_add_string(&b, r->id, r->id_len);
    return b.data;
}

/* Each pass finds in the order of lines and keeps its first. */
static void add_finding(struct linter *t, uint64_t line, bool warning,
                        const struct record *r, const struct record_error *why)
{
    struct lint *l = t->out;

    *(warning ? &l->warned : &l->bad) += 1;
    if (t->room == 0)
        return;
    t->room--;
    if (l->n == t->cap) {
        t->cap = t->cap == 0 ? 16 : 2 * t->cap;
        l->finding = xrealloc(l->finding, t->cap * sizeof *l->finding);
    }
    l->finding[l->n++] = (struct lint_finding){
        .line = line,
        .warning = warning,
        .id_key = r != NULL && r->form == RECORD_OPENAI ? "custom_id" : "id",
        .id = id_text(r),
        .why = *why,
    };
}

static int compare_lines(const void *a, const void *b)
{
    const struct lint_finding *x = a, *y = b;

    return x->line < y->line ? -1 : x->line > y->line;
}

/* The first of both passes together. */
static void sort_findings(struct linter *t)
{
    struct lint *l = t->out;

    if (l->n > 0)
        qsort(l->finding, l->n, sizeof *l->finding, compare_lines);
    while (l->n > t->rules->shown_max)
        free(l->finding[--l->n].id);
}

/* ---- a line ------------------------------------------------------------- */

static int add_tokens(struct linter *t, const char *name,
                      const struct record_text *text, struct record_error *why)
{
    struct err err;

    if (text->is_ids)
        ids_append(&t->ids, text->id, text->n);
    else if (tokenizer_encode(t->rules->tokenizer, text->text, text->len,
                              &t->ids, &err)
             < 0)
        return record_error_set(why, "invalid_value", name, "%s", err.text);
    return 0;
}

/* The turns of a chat become one prompt. */
static int add_chat(struct linter *t, const struct record *r,
                    struct record_error *why)
{
    const struct chat_template *form = template_of(t->rules->tokenizer);
    struct chat_message *m;
    struct record_text prompt = {0};
    size_t known;

    if (form == NULL)
        return record_error_set(why, "no_template", "messages",
                                "there is no chat template for this tokenizer");
    m = xcalloc(r->n_message, sizeof *m);
    for (size_t i = 0; i < r->n_message; i++) {
        m[i].role = r->message[i].role;
        m[i].text = r->message[i].content.text;
        m[i].len = r->message[i].content.len;
    }
    buf_clear(&t->chat);
    known = template_render(form, m, r->n_message, &t->chat);
    free(m);
    if (known < r->n_message)
        return record_error_set(why, "invalid_value", "messages",
                                "the chat template \"%s\" has no turn for the "
                                "role \"%s\" of messages[%zu]",
                                form->name, r->message[known].role, known);
    prompt.text = t->chat.data;
    prompt.len = t->chat.len;
    return add_tokens(t, "messages", &prompt, why);
}

static int add_all(struct linter *t, const char *name,
                   const struct record_text *text, size_t n,
                   struct record_error *why)
{
    for (size_t i = 0; i < n; i++) {
        if (add_tokens(t, name, &text[i], why) < 0)
            return -1;
    }
    return 0;
}

static int count_tokens(struct linter *t, const struct record *r,
                        struct record_error *why)
{
    struct lint *l = t->out;

    if (t->rules->tokenizer == NULL)
        return 0;
    ids_clear(&t->ids);
    if (r->kind != RECORD_GENERATE) {
        if (add_all(t, "context", &r->context, 1, why) < 0
            || add_all(t, "target", r->target, r->n_target, why) < 0)
            return -1;
    } else {
        if (add_all(t, "prompt", r->prompt, r->n_prompt, why) < 0
            || (r->n_message > 0 && add_chat(t, r, why) < 0))
            return -1;
        l->tokens_out_max += record_samples(r) * (uint64_t)r->max_tokens;
    }
    l->tokens += t->ids.n;
    if (t->ids.n > l->longest) {
        l->longest = t->ids.n;
        l->longest_line = r->line;
    }
    return 0;
}

static void add_warning(struct linter *t, const struct record *r)
{
    struct record_error why;

    record_error_set(&why, "unknown_key", "", "%s", r->warning);
    add_finding(t, r->line, true, r, &why);
}

static int lint_line(struct linter *t, uint64_t line, const char *text,
                     size_t len, struct err *err)
{
    const struct record_job job = {.lenient = t->rules->lenient};
    struct record partial = {0};
    struct record_error why;
    struct record *r = record_parse(&job, text, len, line, &partial, &why);
    uint8_t hash[16];
    int ret = 0;

    if (r == NULL || count_tokens(t, r, &why) < 0) {
        add_finding(t, line, false, r == NULL ? &partial : r, &why);
    } else {
        if (r->n_warnings > 0)
            add_warning(t, r);
        t->out->records++;
        t->out->kind[r->kind]++;
        record_id_hash(r, t->key, hash);
        ret = idset_add(t->seen, hash, line * LINT_KINDS + r->kind, err);
    }
    record_clear(&partial);
    record_free(r);
    return ret;
}

/* ---- the file ----------------------------------------------------------- */

static int lint_lines(struct linter *t, struct input *in, struct err *err)
{
    struct lines lines;
    const char *text;
    size_t len;
    int ret;

    t->room = t->rules->shown_max;
    lines_open(&lines, in, RECORD_BYTES_MAX);
    while ((ret = lines_next(&lines, &text, &len, err)) == 1) {
        t->out->lines = lines.number;
        if (is_blank(text, len))
            t->out->blank++;
        else if (lint_line(t, lines.number, text, len, err) < 0)
            ret = -1;
        if (ret < 0)
            break;
    }
    lines_close(&lines);
    return ret;
}

/* The set's "lines" carry the kind of record, too: line * LINT_KINDS + kind. */
static int lint_duplicates(struct linter *t, struct err *err)
{
    struct idset_duplicate d;
    int ret = idset_finish(t->seen, NULL, NULL, err);

    t->room = t->rules->shown_max;
    while (ret == 0 && (ret = idset_next(t->seen, &d, err)) == 1) {
        struct record_error why;

        record_error_set(&why, "duplicate_id", "id",
                         "this id was given on line %" PRIu64 " already",
                         d.first_line / LINT_KINDS);
        add_finding(t, d.line / LINT_KINDS, false, NULL, &why);
        t->out->records--;
        t->out->kind[d.line % LINT_KINDS]--;
        ret = 0;
    }
    return ret;
}

int lint_run(struct input *in, const struct lint_rules *rules, struct lint *out,
             struct err *err)
{
    struct linter t = {.rules = rules, .out = out};
    int ret;

    *out = (struct lint){0};
    hash_random(t.key, sizeof t.key);
    t.seen = idset_create(rules->dir, EXTSORT_RUN_ITEMS);
    ret = lint_lines(&t, in, err);
    if (ret == 0)
        ret = lint_duplicates(&t, err);
    sort_findings(&t);
    idset_destroy(t.seen);
    ids_free(&t.ids);
    buf_free(&t.chat);
    return ret;
}

void lint_free(struct lint *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->finding[i].id);
    free(l->finding);
    *l = (struct lint){0};
}
