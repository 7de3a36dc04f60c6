/* Whole vocabularies against ids that other implementations gave.
 *
 * Usage: check_tokenizer_golden   Exits 77 when none of the files is there.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "tests/text/small.h"
#include "text/nfc.h"

#define DATA "../shared/rwkv7/data/"

static const struct golden {
    const char *name, *vocabulary, *lines;
} goldens[] = {
    {"World", DATA "external/rwkv_vocab_v20230424.txt",
     DATA "world-tokenizer-golden.jsonl"},
    {"NeoX", DATA "external/20B_tokenizer.json", DATA "neox20b-golden.jsonl"},
    {"demo", "examples/model/rwkv_vocab_demo.txt",
     "tests/golden/demo-tokenizer.jsonl"},
};

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

static void base64_decode(const char *s, struct buf *out)
{
    unsigned bits = 0;
    int n = 0;

    for (; base64_digit(*s) >= 0; s++) {
        bits = bits << 6 | (unsigned)base64_digit(*s);
        n += 6;
        if (n >= 8) {
            n -= 8;
            buf_addc(out, (char)(bits >> n & 0xFF));
        }
    }
}

/* The text of a line, from "text" or "base64". */
static int line_text(const json_t *line, struct buf *out)
{
    const json_t *text = json_object_get(line, "text");
    const json_t *base64 = json_object_get(line, "base64");

    buf_clear(out);
    if (json_is_string(text))
        buf_add(out, json_string_value(text), json_string_length(text));
    else if (json_is_string(base64))
        base64_decode(json_string_value(base64), out);
    else
        return -1;
    return 0;
}

/* Whether the ids of the line are what the tokenizer gives, and back. */
static int check_line(const struct tokenizer *t, const json_t *line)
{
    const json_t *want = json_object_get(line, "ids");
    struct buf text = BUF_INIT, back = BUF_INIT;
    struct ids ids = {0};
    int ret = -1;

    if (line_text(line, &text) < 0 || !json_is_array(want)
        || tokenizer_encode(t, text.data, text.len, &ids, NULL) < 0
        || ids.n != json_array_size(want))
        goto out;
    for (size_t i = 0; i < ids.n; i++) {
        if (ids.id[i] != json_integer_value(json_array_get(want, i)))
            goto out;
    }
    tokenizer_decode(t, ids.id, ids.n, &back);
    if (strcmp(tokenizer_family(t), "world") == 0
        && (back.len != text.len
            || (text.len > 0 && memcmp(back.data, text.data, text.len) != 0)))
        goto out;
    ret = 0;
out:
    buf_free(&text);
    buf_free(&back);
    ids_free(&ids);
    return ret;
}

static int check_lines(const struct golden *g, const struct tokenizer *t)
{
    FILE *f = fopen(g->lines, "r");
    size_t cap = 0;
    char *line = NULL;
    int n = 0, bad = 0;

    if (f == NULL) {
        perror(g->lines);
        return -1;
    }
    for (; getline(&line, &cap, f) > 0; n++) {
        json_t *j = json_loads(line, JSON_ALLOW_NUL, NULL);

        if (check_line(t, j) < 0) {
            fprintf(stderr, "%s:%d: other ids: %s", g->lines, n + 1, line);
            bad++;
        }
        json_decref(j);
    }
    free(line);
    fclose(f);
    printf("%s: %d of %d lines right\n", g->name, n - bad, n);
    return n > 0 && bad == 0 ? 0 : -1;
}

/* Random texts come back: any bytes for World, valid UTF-8 in its normal form
 * for the others.
 */
static int check_random(const struct golden *g, const struct tokenizer *t)
{
    bool world = strcmp(tokenizer_family(t), "world") == 0;
    uint64_t seed = 20261124;
    int bad = 0;

    for (int round = 0; round < 2000; round++) {
        struct buf text = BUF_INIT, want = BUF_INIT, back = BUF_INIT;
        size_t n = 1 + small_random(&seed) % 200;
        struct ids ids = {0};

        if (world) {
            for (size_t i = 0; i < n; i++)
                buf_addc(&text, (char)small_random(&seed));
            buf_add(&want, text.data, text.len);
        } else {
            small_random_text(&seed, n, &text);
            nfc_append(text.data, text.len, &want);
        }
        if (tokenizer_encode(t, text.data, text.len, &ids, NULL) < 0)
            bad++;
        tokenizer_decode(t, ids.id, ids.n, &back);
        bad +=
            back.len != want.len || memcmp(back.data, want.data, want.len) != 0;
        ids_free(&ids);
        buf_free(&text);
        buf_free(&want);
        buf_free(&back);
    }
    printf("%s: %d of 2000 random texts did not come back\n", g->name, bad);
    return bad == 0 ? 0 : -1;
}

/* 0 right, -1 wrong, 1 not there. */
static int check_tokenizer_golden(const struct golden *g)
{
    struct tokenizer *t;
    struct err err;
    int64_t start = clock_now_ms();
    int ret;

    if (!file_exists(g->vocabulary) || !file_exists(g->lines)) {
        printf("SKIP %s: %s or %s is not there\n", g->name, g->vocabulary,
               g->lines);
        return 1;
    }
    t = tokenizer_open(g->vocabulary, &err);
    if (t == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    printf("%s: opened in %lld ms\n", g->name,
           (long long)(clock_now_ms() - start));
    ret = check_lines(g, t);
    if (check_random(g, t) < 0)
        ret = -1;
    tokenizer_close(t);
    return ret;
}

int main(void)
{
    size_t n = sizeof goldens / sizeof *goldens, skipped = 0, wrong = 0;

    for (size_t i = 0; i < n; i++) {
        int ret = check_tokenizer_golden(&goldens[i]);

        skipped += ret > 0;
        wrong += ret < 0;
    }
    if (wrong > 0)
        return EXIT_FAILURE;
    return skipped == n ? 77 : EXIT_SUCCESS;
}
