/* The World family: lines `ID SPACE LITERAL SPACE BYTELENGTH`, ids 1, 2, 3, ...
 * in order; greedy longest match over bytes. The literal may hold spaces, so a
 * line is cut at its first and its last one. LF or CRLF.
 */
#include <stdlib.h>
#include <string.h>

#include "text/family.h"
#include "text/literal.h"
#include "text/trie.h"

/* Bounds the time of a match that fails late; the longest known has 128. */
#define WORLD_TOKEN_BYTES_MAX 256

struct world {
    struct tokenizer base;
    struct trie *trie;
};

static void world_destroy(struct tokenizer *t)
{
    trie_destroy(((struct world *)t)->trie);
}

static int world_encode(const struct tokenizer *t, const char *text, size_t len,
                        struct ids *out, struct err *err)
{
    const struct trie *trie = ((const struct world *)t)->trie;

    (void)err; /* every byte is a token: nothing can fail */
    while (len > 0) {
        int32_t id = 0;
        size_t n = trie_longest(trie, text, len, &id);

        ids_add(out, id);
        text += n;
        len -= n;
    }
    return 0;
}

static const struct family world_family = {
    .name = "world",
    .encode = world_encode,
    .destroy = world_destroy,
};

/* Digits without sign or leading zero, at most `max`; -1 when not that. */
static int64_t parse_number(const char *s, size_t len, int64_t max)
{
    int64_t v = 0;

    if (len == 0 || (s[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
        if (v > max)
            return -1;
    }
    return v;
}

/* One line without its end; its token must have the id `expected`. */
static int parse_line(struct world *w, const char *s, size_t len,
                      int32_t expected, struct buf *token, struct err *err)
{
    const char *first = memchr(s, ' ', len), *last = memrchr(s, ' ', len);
    int64_t id, bytes;

    if (first == last)
        return err_set(err, ERR_INVALID, "expected `ID LITERAL BYTELENGTH`");
    id = parse_number(s, (size_t)(first - s), TOKENIZER_IDS_MAX);
    if (id != expected)
        return err_set(err, ERR_INVALID, "expected the id %d", expected);
    bytes = parse_number(last + 1, (size_t)(s + len - last - 1),
                         WORLD_TOKEN_BYTES_MAX);
    if (bytes <= 0)
        return err_set(err, ERR_INVALID, "expected a byte length 1..%d",
                       WORLD_TOKEN_BYTES_MAX);
    buf_clear(token);
    if (literal_parse(first + 1, (size_t)(last - first - 1), token, err) < 0)
        return -1;
    if (token->len != (size_t)bytes)
        return err_set(err, ERR_INVALID,
                       "the literal has %zu bytes, the line says %lld",
                       token->len, (long long)bytes);
    tokenizer_set_bytes(&w->base, expected, token->data, token->len);
    return 0;
}

static int parse_lines(struct world *w, const char *name, const char *data,
                       size_t len, struct err *err)
{
    struct buf token = BUF_INIT;
    const char *end = data + len;
    int32_t line = 0;
    int ret = 0;

    while (data < end && ret == 0) {
        const char *lf = memchr(data, '\n', (size_t)(end - data));
        const char *stop = lf != NULL ? lf : end;
        size_t n = (size_t)(stop - data);

        if (n > 0 && data[n - 1] == '\r')
            n--;
        line++;
        /* The id of a line is its number. */
        if (line == TOKENIZER_IDS_MAX)
            ret = err_set(err, ERR_LIMIT, "more than %d tokens",
                          TOKENIZER_IDS_MAX - 1);
        else
            ret = parse_line(w, data, n, line, &token, err);
        data = lf != NULL ? lf + 1 : end;
    }
    buf_free(&token);
    return ret == 0 ? 0 : err_wrap(err, "%s:%d", name, line);
}

/* Any bytes must have tokens: each byte is one of its own. */
static int check_bytes(const struct world *w, const char *name, struct err *err)
{
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;

        if (trie_find(w->trie, &byte, 1) < 0)
            return err_set(err, ERR_INVALID,
                           "%s: no token is the single byte 0x%02x", name, i);
    }
    return 0;
}

static int build_trie(struct world *w, const char *name, struct err *err)
{
    size_t n = w->base.size > 0 ? (size_t)w->base.size - 1 : 0;
    struct trie_key *keys = xcalloc(n, sizeof *keys);
    int32_t twin[2];

    for (size_t i = 0; i < n; i++) {
        struct token_span span = w->base.span[i + 1];

        keys[i] = (struct trie_key){w->base.pool.data + span.start, span.len,
                                    (int32_t)i + 1};
    }
    w->trie = trie_build(keys, n, twin);
    free(keys);
    if (w->trie == NULL)
        return err_set(err, ERR_INVALID, "%s:%d: the same token as on line %d",
                       name, twin[1], twin[0]);
    return check_bytes(w, name, err);
}

struct tokenizer *world_parse(const char *name, const char *data, size_t len,
                              struct err *err)
{
    struct world *w = xcalloc(1, sizeof *w);

    w->base.family = &world_family;
    if (parse_lines(w, name, data, len, err) < 0
        || build_trie(w, name, err) < 0) {
        tokenizer_close(&w->base);
        return NULL;
    }
    return &w->base;
}
