/* tokenizer.json of the GPT-NeoX family. What we do not implement is refused by
 * its JSON path, so that a foreign tokenizer never gives silently other ids.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe.h"
#include "text/nfc.h"
#include "text/utf8.h"

#define BYTE_CHARS_END 324 /* 256 + the 68 bytes that are not printable */

struct reader {
    const char *name; /* of the file */
    json_t *root, *vocab;
    struct bpe *bpe;
    int16_t byte_of[BYTE_CHARS_END]; /* byte of a vocabulary character, or -1 */
    struct taken {
        bool added, vocab;
    } * taken; /* [TOKENIZER_IDS_MAX] ids seen so far */
    struct err *err;
};

/* Values other than these change the ids or the text. A missing one is null. */
static const struct rule {
    const char *object; /* NULL: at the top */
    const char *key;
    const char *values[2]; /* as JSON */
} rules[] = {
    {NULL, "truncation", {"null"}},
    {NULL, "padding", {"null"}},
    {"normalizer", "type", {"\"NFC\""}},
    {"pre_tokenizer", "type", {"\"ByteLevel\""}},
    {"pre_tokenizer", "add_prefix_space", {"false"}},
    {"pre_tokenizer", "use_regex", {"true", "null"}},
    {"post_processor", "type", {"\"ByteLevel\"", "null"}},
    {"decoder", "type", {"\"ByteLevel\""}},
    {"model", "type", {"\"BPE\""}},
    {"model", "dropout", {"null"}},
    {"model", "unk_token", {"null"}},
    {"model", "continuing_subword_prefix", {"null", "\"\""}},
    {"model", "end_of_word_suffix", {"null", "\"\""}},
    {"model", "byte_fallback", {"false", "null"}},
    {"model", "ignore_merges", {"false", "null"}},
};

static int check_rule(struct reader *r, const struct rule *rule)
{
    const json_t *object =
        rule->object != NULL ? json_object_get(r->root, rule->object) : r->root;
    const json_t *value = json_object_get(object, rule->key);
    char *text = value != NULL
                     ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT)
                     : xstrdup("null");
    int ret = 0;

    if (text == NULL)
        return err_set(r->err, ERR_NOMEM, "%s: out of memory", r->name);
    if (strcmp(text, rule->values[0]) != 0
        && (rule->values[1] == NULL || strcmp(text, rule->values[1]) != 0))
        ret = err_set(
            r->err, ERR_INVALID, "%s: %s%s%s: expected %s, found %.80s",
            r->name, rule->object != NULL ? rule->object : "",
            rule->object != NULL ? "." : "", rule->key, rule->values[0], text);
    free(text);
    return ret;
}

/* GPT-2's table: printable Latin-1 characters are their own bytes, the other
 * bytes are the characters from U+0100 on, in order.
 */
static void fill_byte_of(struct reader *r)
{
    int next = 256;

    for (int c = 0; c < BYTE_CHARS_END; c++)
        r->byte_of[c] = -1;
    for (int b = 0; b < 256; b++) {
        bool own = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

        r->byte_of[own ? b : next++] = (int16_t)b;
    }
}

/* Read obj[key], which must be a bool; `missing` when it is not there. */
static int get_flag(struct reader *r, const json_t *obj, size_t i,
                    const char *key, int missing)
{
    const json_t *v = json_object_get(obj, key);

    if (v == NULL && missing >= 0)
        return missing;
    if (!json_is_boolean(v))
        return err_set(r->err, ERR_INVALID,
                       "%s: added_tokens[%zu].%s: expected true or false",
                       r->name, i, key);
    return json_is_true(v);
}

/* An id of the file, or -1. */
static int32_t get_id(const json_t *v)
{
    json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;

    return id >= 0 && id < TOKENIZER_IDS_MAX ? (int32_t)id : -1;
}

static bool is_nfc(const char *s, size_t len)
{
    struct buf nfc = BUF_INIT;
    bool same;

    nfc_append(s, len, &nfc);
    same = nfc.len == len && memcmp(nfc.data, s, len) == 0;
    buf_free(&nfc);
    return same;
}

static int check_added_flags(struct reader *r, const json_t *token, size_t i)
{
    static const char *const unsupported[] = {"single_word", "lstrip",
                                              "rstrip"};

    for (size_t k = 0; k < sizeof unsupported / sizeof *unsupported; k++) {
        int on = get_flag(r, token, i, unsupported[k], 0);

        if (on < 0)
            return -1;
        if (on)
            return err_set(r->err, ERR_INVALID,
                           "%s: added_tokens[%zu].%s: expected false", r->name,
                           i, unsupported[k]);
    }
    return 0;
}

/* Take added_tokens[i] over; *normalized says in which text it is searched. */
static int read_added_token(struct reader *r, size_t i, const json_t *token,
                            bool *normalized, int32_t *id)
{
    const json_t *content = json_object_get(token, "content");
    size_t len = json_string_length(content);
    const char *s = json_string_value(content);
    int flag = get_flag(r, token, i, "normalized", -1);

    *id = get_id(json_object_get(token, "id"));
    if (flag < 0 || check_added_flags(r, token, i) < 0)
        return -1;
    if (*id < 0)
        return err_set(r->err, ERR_INVALID,
                       "%s: added_tokens[%zu].id: expected 0..%d", r->name, i,
                       TOKENIZER_IDS_MAX - 1);
    if (len == 0 || len > BPE_TOKEN_BYTES_MAX)
        return err_set(r->err, ERR_INVALID,
                       "%s: added_tokens[%zu].content: expected 1..%d bytes",
                       r->name, i, BPE_TOKEN_BYTES_MAX);
    if (r->taken[*id].added)
        return err_set(r->err, ERR_INVALID,
                       "%s: added_tokens[%zu].id: %d a second time", r->name, i,
                       *id);
    if (flag && !is_nfc(s, len))
        return err_set(r->err, ERR_INVALID,
                       "%s: added_tokens[%zu].content: normalized, but not NFC",
                       r->name, i);
    r->taken[*id].added = true;
    *normalized = flag;
    /* The end token has an id but no text. */
    tokenizer_set_bytes(&r->bpe->base, *id, s, *id == TOKENIZER_END ? 0 : len);
    return 0;
}

static struct trie *added_trie(struct reader *r, struct trie_key *keys,
                               size_t n)
{
    int32_t twin[2];
    struct trie *t = trie_build(keys, n, twin);

    if (t == NULL)
        err_set(r->err, ERR_INVALID,
                "%s: added_tokens: ids %d and %d have the same content",
                r->name, twin[0], twin[1]);
    return t;
}

/* The keys point into the JSON document, which outlives the building. */
static int read_added(struct reader *r)
{
    const json_t *list = json_object_get(r->root, "added_tokens"), *token;
    size_t n = json_array_size(list), i, n_keys[2] = {0};
    struct trie_key *keys[2];
    int ret = 0;

    if (list != NULL && !json_is_array(list))
        return err_set(r->err, ERR_INVALID,
                       "%s: added_tokens: expected an array", r->name);
    keys[0] = xcalloc(n, sizeof **keys);
    keys[1] = xcalloc(n, sizeof **keys);
    json_array_foreach(list, i, token)
    {
        const json_t *content = json_object_get(token, "content");
        bool normalized = false;
        int32_t id;

        ret = read_added_token(r, i, token, &normalized, &id);
        if (ret < 0)
            break;
        keys[normalized][n_keys[normalized]++] = (struct trie_key){
            json_string_value(content),
            (uint32_t)json_string_length(content),
            id,
        };
    }
    if (ret == 0) {
        r->bpe->special = added_trie(r, keys[0], n_keys[0]);
        r->bpe->added = added_trie(r, keys[1], n_keys[1]);
        ret = r->bpe->special != NULL && r->bpe->added != NULL ? 0 : -1;
    }
    free(keys[0]);
    free(keys[1]);
    return ret;
}

/* The bytes a vocabulary entry stands for; false: not written in the table. */
static bool decode_entry(const struct reader *r, const char *s, struct buf *out)
{
    size_t len = strlen(s);

    buf_clear(out);
    while (len > 0) {
        uint32_t cp = BYTE_CHARS_END;
        int n = utf8_decode(s, len, &cp);

        if (n <= 0 || cp >= BYTE_CHARS_END || r->byte_of[cp] < 0)
            return false;
        buf_addc(out, (char)r->byte_of[cp]);
        s += n;
        len -= (size_t)n;
    }
    return true;
}

static int read_entry(struct reader *r, const char *key, const json_t *value,
                      struct buf *bytes)
{
    int32_t id = get_id(value);

    if (id < 0)
        return err_set(r->err, ERR_INVALID,
                       "%s: model.vocab[\"%.60s\"]: expected 0..%d", r->name,
                       key, TOKENIZER_IDS_MAX - 1);
    if (r->taken[id].vocab)
        return err_set(r->err, ERR_INVALID,
                       "%s: model.vocab[\"%.60s\"]: id %d a second time",
                       r->name, key, id);
    r->taken[id].vocab = true;
    /* An added token's own entry says nothing new. */
    if (r->taken[id].added)
        return 0;
    if (!decode_entry(r, key, bytes) || bytes->len == 0
        || bytes->len > BPE_TOKEN_BYTES_MAX)
        return err_set(r->err, ERR_INVALID,
                       "%s: model.vocab[\"%.60s\"]: not 1..%d byte characters",
                       r->name, key, BPE_TOKEN_BYTES_MAX);
    if (bytes->len == 1)
        r->bpe->byte_id[(unsigned char)bytes->data[0]] = id;
    tokenizer_set_bytes(&r->bpe->base, id, bytes->data, bytes->len);
    return 0;
}

/* Bytes that occur in UTF-8 need a token of their own. */
static int check_bytes(struct reader *r)
{
    for (int b = 0; b < 256; b++) {
        bool never = b == 0xC0 || b == 0xC1 || b >= 0xF5;

        if (r->bpe->byte_id[b] < 0 && !never)
            return err_set(r->err, ERR_INVALID,
                           "%s: model.vocab: no token is the byte 0x%02x",
                           r->name, b);
    }
    return 0;
}

static int read_vocab(struct reader *r)
{
    struct buf bytes = BUF_INIT;
    const char *key;
    json_t *value;
    int ret = 0;

    r->vocab = json_object_get(json_object_get(r->root, "model"), "vocab");
    if (!json_is_object(r->vocab))
        return err_set(r->err, ERR_INVALID,
                       "%s: model.vocab: expected an object", r->name);
    json_object_foreach(r->vocab, key, value)
    {
        ret = read_entry(r, key, value, &bytes);
        if (ret < 0)
            break;
    }
    buf_free(&bytes);
    return ret < 0 ? -1 : check_bytes(r);
}

/* Both sides of a merge: "left right" or ["left","right"]. False: neither. */
static bool merge_sides(const json_t *merge, struct buf *left,
                        struct buf *right)
{
    const char *s = json_string_value(merge);
    const char *space = s != NULL ? strchr(s, ' ') : NULL;

    buf_clear(left);
    buf_clear(right);
    if (space != NULL && strchr(space + 1, ' ') == NULL) {
        buf_add(left, s, (size_t)(space - s));
        buf_adds(right, space + 1);
    } else if (json_array_size(merge) == 2
               && json_is_string(json_array_get(merge, 0))
               && json_is_string(json_array_get(merge, 1))) {
        buf_adds(left, json_string_value(json_array_get(merge, 0)));
        buf_adds(right, json_string_value(json_array_get(merge, 1)));
    }
    return left->len > 0 && right->len > 0;
}

static int read_merge(struct reader *r, size_t i, const json_t *merge,
                      struct buf side[2])
{
    int32_t id[3];

    if (!merge_sides(merge, &side[0], &side[1]))
        return err_set(r->err, ERR_INVALID,
                       "%s: model.merges[%zu]: expected two tokens", r->name,
                       i);
    id[0] = get_id(json_object_get(r->vocab, side[0].data));
    id[1] = get_id(json_object_get(r->vocab, side[1].data));
    buf_add(&side[0], side[1].data, side[1].len);
    id[2] = get_id(json_object_get(r->vocab, side[0].data));
    if (id[0] < 0 || id[1] < 0 || id[2] < 0)
        return err_set(r->err, ERR_INVALID,
                       "%s: model.merges[%zu]: a token is not in model.vocab",
                       r->name, i);
    if (merges_add(r->bpe->merges, id[0], id[1], id[2]) < 0)
        return err_set(r->err, ERR_INVALID,
                       "%s: model.merges[%zu]: the pair a second time", r->name,
                       i);
    return 0;
}

static int read_merges(struct reader *r)
{
    const json_t *list, *merge;
    struct buf side[2] = {BUF_INIT, BUF_INIT};
    size_t i;
    int ret = 0;

    list = json_object_get(json_object_get(r->root, "model"), "merges");
    if (!json_is_array(list))
        return err_set(r->err, ERR_INVALID,
                       "%s: model.merges: expected an array", r->name);
    r->bpe->merges = merges_create(json_array_size(list));
    json_array_foreach(list, i, merge)
    {
        ret = read_merge(r, i, merge, side);
        if (ret < 0)
            break;
    }
    buf_free(&side[0]);
    buf_free(&side[1]);
    return ret;
}

static int read_all(struct reader *r)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (check_rule(r, &rules[i]) < 0)
            return -1;
    }
    fill_byte_of(r);
    if (read_added(r) < 0 || read_vocab(r) < 0 || read_merges(r) < 0)
        return -1;
    bpe_find_whole(r->bpe);
    return 0;
}

struct tokenizer *bpe_parse(const char *name, const char *data, size_t len,
                            struct err *err)
{
    struct reader r = {.name = name, .err = err};
    json_error_t cause;
    int ret;

    r.root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &cause);
    if (r.root == NULL) {
        err_set(err, ERR_INVALID, "%s:%d:%d: %s", name, cause.line,
                cause.column, cause.text);
        return NULL;
    }
    r.taken = xcalloc(TOKENIZER_IDS_MAX, sizeof *r.taken);
    r.bpe = xcalloc(1, sizeof *r.bpe);
    r.bpe->base.family = &bpe_family;
    memset(r.bpe->byte_id, -1, sizeof r.bpe->byte_id);
    ret = read_all(&r);
    json_decref(r.root);
    free(r.taken);
    if (ret < 0) {
        tokenizer_close(&r.bpe->base);
        return NULL;
    }
    return &r.bpe->base;
}
