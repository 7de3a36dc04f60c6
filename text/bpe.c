/* GPT-NeoX encoding: special added tokens are cut out of the text, the rest is
 * brought to NFC, the other added tokens are cut out of that, and what is left
 * is cut into pieces, whose bytes are merged.
 */
#include "text/bpe.h"

#include <stdlib.h>

#include "text/nfc.h"
#include "text/pretoken.h"
#include "text/utf8.h"

/* Memory of one call to bpe_encode(). */
struct encoding {
    const struct bpe *bpe;
    struct merge_work work;
    struct ids bytes; /* the piece at hand, one id per byte */
    struct buf nfc;
    struct ids *out;
};

static void encode_piece(struct encoding *e, const char *s, size_t len)
{
    int32_t id = trie_find(e->bpe->whole, s, len);

    if (id >= 0) {
        ids_add(e->out, id);
        return;
    }
    ids_clear(&e->bytes);
    for (size_t i = 0; i < len; i++)
        ids_add(&e->bytes, e->bpe->byte_id[(unsigned char)s[i]]);
    merge_piece(e->bpe->merges, e->bytes.id, len, &e->work, e->out);
}

static void encode_pieces(struct encoding *e, const char *s, size_t len)
{
    while (len > 0) {
        size_t n = pretoken_next(s, len);

        encode_piece(e, s, n);
        s += n;
        len -= n;
    }
}

/* Find the tokens of `added` in s[len], the leftmost and then the longest
 * first, and give what lies between to `rest`.
 */
static void split(struct encoding *e, const struct trie *added, const char *s,
                  size_t len,
                  void (*rest)(struct encoding *, const char *, size_t))
{
    size_t from = 0, at = 0;

    while (at < len) {
        int32_t id = 0;
        size_t n = trie_longest(added, s + at, len - at, &id);

        if (n == 0) {
            at++;
            continue;
        }
        if (at > from)
            rest(e, s + from, at - from);
        ids_add(e->out, id);
        at += n;
        from = at;
    }
    if (len > from)
        rest(e, s + from, len - from);
}

static void encode_text(struct encoding *e, const char *s, size_t len)
{
    buf_clear(&e->nfc);
    nfc_append(s, len, &e->nfc);
    split(e, e->bpe->added, e->nfc.data, e->nfc.len, encode_pieces);
}

static size_t invalid_at(const char *s, size_t len)
{
    size_t at = 0;
    uint32_t cp;

    while (at < len) {
        int n = utf8_decode(s + at, len - at, &cp);

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    return at;
}

static int bpe_encode(const struct tokenizer *t, const char *text, size_t len,
                      struct ids *out, struct err *err)
{
    struct encoding e = {.bpe = (const struct bpe *)t, .out = out};
    size_t valid = invalid_at(text, len);

    if (valid < len)
        return err_set(err, ERR_INVALID, "the text is not UTF-8 at byte %zu",
                       valid);
    split(&e, e.bpe->special, text, len, encode_text);
    merge_work_free(&e.work);
    ids_free(&e.bytes);
    buf_free(&e.nfc);
    return 0;
}

void bpe_find_whole(struct bpe *b)
{
    struct trie_key *keys = xcalloc((size_t)b->base.size, sizeof *keys);
    struct trie *none = trie_build(NULL, 0, NULL);
    struct ids got = {0};
    struct encoding e = {.bpe = b, .out = &got};
    size_t n = 0;

    b->whole = none;
    for (int32_t id = 0; id < b->base.size; id++) {
        struct token_span span = b->base.span[id];
        const char *bytes = b->base.pool.data + span.start;

        if (span.len == 0)
            continue;
        ids_clear(&got);
        encode_piece(&e, bytes, span.len);
        if (got.n == 1 && got.id[0] == id)
            keys[n++] = (struct trie_key){bytes, span.len, id};
    }
    b->whole = trie_build(keys, n, NULL);
    trie_destroy(none);
    free(keys);
    ids_free(&got);
    ids_free(&e.bytes);
    merge_work_free(&e.work);
}

static void bpe_destroy(struct tokenizer *t)
{
    struct bpe *b = (struct bpe *)t;

    merges_destroy(b->merges);
    trie_destroy(b->whole);
    trie_destroy(b->special);
    trie_destroy(b->added);
}

const struct family bpe_family = {
    .name = "bpe",
    .encode = bpe_encode,
    .destroy = bpe_destroy,
};
