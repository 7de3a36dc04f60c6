/* What people type: selectors, filters, durations; and what tables make of
 * texts of other people.
 *
 * Input: lines. A line is taken as a word that names jobs, as a filter, as a
 * duration, as the text of a cell and as a paragraph to wrap.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/job_fields.h"
#include "client/select.h"
#include "client/table.h"
#include "common/options.h"
#include "text/utf8.h"

#define LINE_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool any_match(const struct select *s, uint64_t id)
{
    Skein__JobInfo job = SKEIN__JOB_INFO__INIT;
    bool hit = false;

    job.job = id;
    for (size_t i = 0; i < s->n; i++)
        hit = hit || select_term_match(&s->term[i], &job);
    return hit;
}

/* Ids that were selected one by one, written as words, mean the same ids. */
static void check_select(char *word)
{
    static const struct option_list none = {.n = 0};
    uint64_t id[SELECT_TERMS_MAX];
    struct select s, again;
    struct buf words = BUF_INIT;
    struct err err;
    size_t n = 0;

    if (select_parse(&word, 1, &none, &s, &err) == 0) {
        for (size_t i = 0; i < s.n; i++) {
            uint64_t x = s.term[i].first;

            if (s.term[i].kind == SELECT_ID && (n == 0 || x > id[n - 1]))
                id[n++] = x;
        }
        select_words(id, n, &words);
        if (n > 0 && select_parse(&words.data, 1, &none, &again, &err) < 0)
            abort();
        for (size_t i = 0; i < n; i++) {
            if (!any_match(&s, id[i]) || !any_match(&again, id[i]))
                abort();
        }
        if (n > 0)
            select_free(&again);
    } else if (err.code != ERR_USAGE) {
        abort();
    }
    select_free(&s);
    buf_free(&words);
}

static void check_filter(const char *text)
{
    const struct option_list list = {.item = {text}, .n = 1};
    Skein__JobInfo job = SKEIN__JOB_INFO__INIT;
    struct fields_filter f;
    struct fields columns;
    struct err err;

    if (fields_filter_parse(job_fields, &list, &f, &err) == 0)
        fields_filter_match(&f, &job);
    else if (err.code != ERR_USAGE)
        abort();
    fields_filter_free(&f);
    if (fields_choose(job_fields, text, &columns, &err) == 0 && columns.n == 0)
        abort();
}

static void check_duration(const char *text)
{
    int64_t ms = -1;

    if (options_duration(text, &ms) == 0 && ms < 0)
        abort();
}

static void check_cell(const char *text, size_t columns)
{
    struct buf clean = BUF_INIT, clipped = BUF_INIT;
    size_t width = 0, at = 0;

    buf_adds(&clean, "");
    buf_adds(&clipped, "");
    table_clean(text, &clean);
    if (!utf8_valid(clean.data, clean.len))
        abort();
    table_clip(clean.data, clean.len, columns, &clipped);
    if (clipped.len > clean.len
        || memcmp(clean.data, clipped.data, clipped.len) != 0)
        abort();
    while (at < clipped.len) {
        uint32_t cp;
        int n = utf8_decode(clipped.data + at, clipped.len - at, &cp);

        if (n <= 0 || cp < 0x20)
            abort();
        width += (size_t)utf8_columns(cp);
        at += (size_t)n;
    }
    if (width > columns)
        abort();
    buf_free(&clean);
    buf_free(&clipped);
}

/* Wrapping changes blanks only. */
static void check_wrap(const char *text, size_t columns)
{
    struct buf out = BUF_INIT;
    const char *a = text, *b;

    buf_adds(&out, "");
    options_wrap(text, 2, columns + 3, &out);
    b = out.data;
    for (;;) {
        while (*a == ' ' || *a == '\n')
            a++;
        while (*b == ' ' || *b == '\n')
            b++;
        if (*a != *b)
            abort();
        if (*a == '\0')
            break;
        a++;
        b++;
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *newline = memchr(data, '\n', size);
        size_t len = newline != NULL ? (size_t)(newline - data) : size;
        char *line = strndup((const char *)data,
                             len < LINE_BYTES_MAX ? len : LINE_BYTES_MAX);

        if (line == NULL)
            abort();
        check_select(line);
        check_filter(line);
        check_duration(line);
        check_cell(line, len % 40);
        check_wrap(line, len % 40);
        free(line);
        data += len + (newline != NULL);
        size -= len + (newline != NULL);
    }
    return 0;
}
