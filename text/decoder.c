#include "text/decoder.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/buf.h"
#include "text/utf8.h"

/* Knuth-Morris-Pratt: after each byte, `matched` is the length of the longest
 * beginning of the stop string with which the bytes fed so far end. It is also
 * how much has to be held back.
 */
struct stop {
    char *bytes;
    size_t len;
    size_t *border; /* [len] longest proper border of each beginning */
    size_t matched;
};

struct decoder {
    struct stop stop[DECODER_STOPS_MAX];
    size_t n_stop;
    struct buf held; /* fed, not yet in the text */
    struct buf text;
    bool stopped, finished;
};

/* The state after `c` when `n` bytes had matched, n < len: a whole match ends
 * the search.
 */
static size_t step(const struct stop *s, size_t n, char c)
{
    while (n > 0 && s->bytes[n] != c)
        n = s->border[n];
    return s->bytes[n] == c ? n + 1 : 0;
}

static void stop_init(struct stop *s, const char *bytes, size_t len)
{
    s->bytes = xstrndup(bytes, len);
    s->len = len;
    s->border = xcalloc(len, sizeof *s->border);
    for (size_t i = 1; i + 1 < len; i++)
        s->border[i + 1] = step(s, s->border[i], bytes[i]);
}

struct decoder *decoder_create(const char *const *stop, const size_t *stop_len,
                               size_t n_stop)
{
    struct decoder *d = xcalloc(1, sizeof *d);

    assert(n_stop <= DECODER_STOPS_MAX);
    for (size_t i = 0; i < n_stop; i++) {
        if (stop_len[i] > 0)
            stop_init(&d->stop[d->n_stop++], stop[i], stop_len[i]);
    }
    buf_reserve(&d->text, 0)[0] = '\0';
    return d;
}

/* Move `n` held bytes into the text; an unfinished character at their end
 * stays, unless nothing more will come.
 */
static void release(struct decoder *d, size_t n)
{
    size_t at = 0;

    while (at < n && !d->finished) {
        uint32_t cp;
        int step_len = utf8_decode(d->held.data + at, n - at, &cp);

        if (step_len < 0)
            break;
        at += step_len > 0 ? (size_t)step_len : 1;
    }
    if (d->finished)
        at = n;
    utf8_repair(d->held.data, at, &d->text);
    buf_consume(&d->held, at);
}

bool decoder_feed(struct decoder *d, const char *bytes, size_t len)
{
    size_t before = d->held.len, cut = SIZE_MAX, hold = 0;

    assert(!d->finished);
    if (d->stopped || len == 0)
        return d->stopped;
    buf_add(&d->held, bytes, len);
    for (size_t k = 0; k < d->n_stop; k++) {
        struct stop *s = &d->stop[k];

        for (size_t i = 0; i < len && s->matched < s->len; i++) {
            s->matched = step(s, s->matched, bytes[i]);
            if (s->matched == s->len && before + i + 1 - s->len < cut)
                cut = before + i + 1 - s->len;
        }
        if (s->matched > hold)
            hold = s->matched;
    }
    if (cut < SIZE_MAX) {
        d->stopped = true;
        d->held.len = cut;
        hold = 0;
    }
    release(d, d->held.len - hold);
    return d->stopped;
}

void decoder_finish(struct decoder *d)
{
    d->finished = true;
    release(d, d->held.len);
}

const char *decoder_text(const struct decoder *d, size_t *len)
{
    *len = d->text.len;
    return d->text.data;
}

void decoder_destroy(struct decoder *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n_stop; i++) {
        free(d->stop[i].bytes);
        free(d->stop[i].border);
    }
    buf_free(&d->held);
    buf_free(&d->text);
    free(d);
}
