#include "tests/text/small.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

/* As they stand in the file, with their lengths in bytes. */
static const struct {
    const char *literal;
    int bytes;
} small_literals[] = {
    {"'ab'", 2},           /* 257 */
    {"'abc'", 3},          /* 258 */
    {"'abcde'", 5},        /* 259 */
    {"'\\n\\n'", 2},       /* 260 */
    {"' the'", 4},         /* 261 */
    {"'\\xe9'", 2},        /* 262: U+00E9 */
    {"'\xe4\xb8\xad'", 3}, /* 263 */
    {"b'\\xe4\\xb8'", 2},  /* 264 */
    {"\"it's\"", 4},       /* 265 */
    {"'\\'\"'", 2},        /* 266: both quotes */
    {"'  a  '", 5},        /* 267 */
    {"'\\u2028'", 3},      /* 268 */
    {"'\\U0001f600'", 4},  /* 269 */
};

/* In GPT-2's characters (U+0120 is the space, U+010A the line feed). */
static const struct {
    const char *left, *right;
} small_merges[] = {
    {"a", "b"},               /* 245 ab */
    {"ab", "c"},              /* 246 abc */
    {"b", "c"},               /* 247 bc */
    {"\xc4\xa0", "t"},        /* 248 " t" */
    {"h", "e"},               /* 249 he */
    {"\xc4\xa0t", "he"},      /* 250 " the" */
    {"a", "a"},               /* 251 aa */
    {"aa", "aa"},             /* 252 aaaa */
    {"\xc3\x83", "\xc2\xa9"}, /* 253 the bytes C3 A9: U+00E9 */
    {"1", "2"},               /* 254 12 */
    {"'", "s"},               /* 255 's */
    {"\xc4\xa0", "\xc4\xa0"}, /* 256 two spaces, below the added token */
    {"\xc4\x8a", "\xc4\x8a"}, /* 257 two line feeds */
};

void small_world_text(struct buf *out)
{
    for (int b = 0; b < 256; b++) {
        if (b >= ' ' && b < 0x7F && b != '\'' && b != '\\')
            buf_addf(out, "%d '%c' 1\n", b + 1, b);
        else if (b == '\'' || b == '\\')
            buf_addf(out, "%d '\\%c' 1\n", b + 1, b);
        else if (b < 0x80)
            buf_addf(out, "%d '\\x%02x' 1\n", b + 1, b);
        else
            buf_addf(out, "%d b'\\x%02x' 1\n", b + 1, b);
    }
    for (size_t i = 0; i < sizeof small_literals / sizeof *small_literals; i++)
        buf_addf(out, "%zu %s %d\n", SMALL_WORLD_FIRST + i,
                 small_literals[i].literal, small_literals[i].bytes);
}

/* The character of GPT-2's table that stands for byte b, as JSON text. */
static void add_byte_char(struct buf *out, int b)
{
    int next = 256;

    for (int i = 0; i < b; i++) {
        if (!((i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174))
            next++;
    }
    if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)
        next = b;
    buf_addf(out, "\\u%04x", (unsigned)next);
}

static void add_vocab(struct buf *out)
{
    int id = 2;

    buf_adds(out, "\"<|endoftext|>\": 0, \"<|padding|>\": 1");
    for (int b = 0; b < 256; b++) {
        if (b == 0xC0 || b == 0xC1 || b >= 0xF5)
            continue;
        buf_adds(out, ", \"");
        add_byte_char(out, b);
        buf_addf(out, "\": %d", id++);
    }
    for (size_t i = 0; i < sizeof small_merges / sizeof *small_merges; i++)
        buf_addf(out, ", \"%s%s\": %d", small_merges[i].left,
                 small_merges[i].right, id++);
}

static void add_added(struct buf *out, int id, const char *content,
                      const char *special)
{
    buf_addf(out,
             "%s{\"id\": %d, \"content\": \"%s\", \"special\": %s, "
             "\"normalized\": %s, \"single_word\": false, \"lstrip\": false, "
             "\"rstrip\": false}",
             id > 0 ? ", " : "", id, content, special,
             special[0] == 't' ? "false" : "true");
}

void small_bpe_text(struct buf *out)
{
    buf_adds(out, "{\"version\": \"1.0\", \"truncation\": null, "
                  "\"padding\": null, \"added_tokens\": [");
    add_added(out, 0, "<|endoftext|>", "true");
    add_added(out, 1, "<|padding|>", "true");
    add_added(out, SMALL_BPE_FIRST_ADDED, "  ", "false");
    add_added(out, SMALL_BPE_FIRST_ADDED + 1, "    ", "false");
    buf_adds(out, "],\n\"normalizer\": {\"type\": \"NFC\"}, "
                  "\"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                  "\"add_prefix_space\": false, \"trim_offsets\": true}, "
                  "\"post_processor\": {\"type\": \"ByteLevel\", "
                  "\"add_prefix_space\": false, \"trim_offsets\": true}, "
                  "\"decoder\": {\"type\": \"ByteLevel\"},\n"
                  "\"model\": {\"type\": \"BPE\", \"dropout\": null, "
                  "\"unk_token\": null, \"vocab\": {");
    add_vocab(out);
    buf_adds(out, "},\n\"merges\": [");
    for (size_t i = 0; i < sizeof small_merges / sizeof *small_merges; i++)
        buf_addf(out, "%s\"%s %s\"", i > 0 ? ", " : "", small_merges[i].left,
                 small_merges[i].right);
    buf_adds(out, "]}}\n");
}

static struct tokenizer *parse_or_exit(void (*text)(struct buf *))
{
    struct buf b = BUF_INIT;
    struct tokenizer *t;
    struct err err;

    text(&b);
    t = tokenizer_parse("small", b.data, b.len, &err);
    buf_free(&b);
    if (t == NULL) {
        fprintf(stderr, "%s\n", err.text);
        exit(EXIT_FAILURE);
    }
    return t;
}

struct tokenizer *small_world(void)
{
    return parse_or_exit(small_world_text);
}

struct tokenizer *small_bpe(void)
{
    return parse_or_exit(small_bpe_text);
}

int small_expect(const struct tokenizer *t, const char *text, size_t len,
                 const char *want)
{
    struct buf got = BUF_INIT;
    struct ids ids = {0};
    struct err err;
    int ret = 0;

    buf_add(&got, "", 0);
    if (tokenizer_encode(t, text, len, &ids, &err) < 0)
        buf_adds(&got, err.text);
    for (size_t i = 0; i < ids.n; i++)
        buf_addf(&got, "%s%d", i > 0 ? " " : "", ids.id[i]);
    if (strcmp(got.data, want) != 0) {
        fprintf(stderr, "\"%.*s\": expected %s, got %s\n", (int)len, text, want,
                got.data);
        ret = -1;
    }
    ids_free(&ids);
    buf_free(&got);
    return ret;
}

uint32_t small_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

void small_random_text(uint64_t *state, size_t n, struct buf *out)
{
    static const uint32_t bounds[] = {0x80, 0x300, 0x370, 0x3000, 0x110000};
    char utf8[4];

    while (n > 0) {
        uint32_t end = bounds[small_random(state) % 5];
        uint32_t first = end == 0x370 ? 0x300 : 0;
        int len =
            utf8_encode(first + small_random(state) % (end - first), utf8);

        if (len == 0)
            continue; /* a surrogate */
        buf_add(out, utf8, (size_t)len);
        n--;
    }
}
