/* UTF-8 functions and the incremental decoder, against plain definitions.
 *
 * Input: a byte that says how many bytes a token has at most, then up to two
 * stop strings ended by ';', then the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "text/decoder.h"
#include "text/utf8.h"

#define STOPS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const char *stop[STOPS];
    size_t stop_len[STOPS];
    const char *text;
    size_t len;
    size_t token_max;
};

static void check_utf8(const char *s, size_t len)
{
    struct buf fixed = BUF_INIT;

    utf8_repair(s, len, &fixed);
    if (!utf8_valid(fixed.data, fixed.len))
        abort();
    if (utf8_valid(s, len)
        && (fixed.len != len || (len > 0 && memcmp(fixed.data, s, len) != 0)))
        abort();
    if (utf8_words(s, len) == 0)
        abort();
    buf_free(&fixed);
}

/* First occurrence of a stop string in the first `len` bytes. */
static size_t search(const struct input *in, size_t len)
{
    size_t cut = SIZE_MAX;

    for (size_t i = 0; i < STOPS; i++) {
        const char *at =
            in->stop_len[i] > 0
                ? memmem(in->text, len, in->stop[i], in->stop_len[i])
                : NULL;

        if (at != NULL && (size_t)(at - in->text) < cut)
            cut = (size_t)(at - in->text);
    }
    return cut;
}

static void check_decoder(const struct input *in)
{
    struct decoder *d = decoder_create(in->stop, in->stop_len, STOPS);
    struct buf want = BUF_INIT;
    size_t at = 0, cut = SIZE_MAX, len, shown = 0;
    const char *text;

    while (at < in->len && cut == SIZE_MAX) {
        size_t n = 1 + (unsigned char)in->text[at] % in->token_max;

        if (n > in->len - at)
            n = in->len - at;
        cut = search(in, at + n);
        if (decoder_feed(d, in->text + at, n) != (cut != SIZE_MAX))
            abort();
        at += n;
        decoder_text(d, &len);
        if (len < shown)
            abort();
        shown = len;
    }
    decoder_finish(d);
    text = decoder_text(d, &len);
    utf8_repair(in->text, cut < at ? cut : at, &want);
    if (len != want.len || (len > 0 && memcmp(text, want.data, len) != 0))
        abort();
    decoder_destroy(d);
    buf_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {0};
    const char *s = (const char *)data, *end = s + size;

    if (size == 0)
        return 0;
    in.token_max = 1 + (unsigned char)*s++ % 8;
    for (size_t i = 0; i < STOPS; i++) {
        const char *semicolon = memchr(s, ';', (size_t)(end - s));

        if (semicolon == NULL)
            break;
        in.stop[i] = s;
        in.stop_len[i] = (size_t)(semicolon - s);
        s = semicolon + 1;
    }
    in.text = s;
    in.len = (size_t)(end - s);
    check_utf8(in.text, in.len);
    check_decoder(&in);
    return 0;
}
