#include "text/nfc.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/utf8.h"

#define INERT_END 0x300u /* below it nothing composes with what precedes it */
#define DECOMPOSED_MAX 8 /* code points of one canonical decomposition: <= 4 */
#define CLASSES 256

struct points {
    utf8proc_int32_t *cp;
    size_t n, cap;
};

static int class_of(utf8proc_int32_t cp)
{
    return (int)utf8proc_get_property(cp)->combining_class;
}

static utf8proc_int32_t *points_reserve(struct points *p, size_t extra)
{
    if (extra > p->cap - p->n) {
        p->cap = p->cap + p->cap / 2 + extra + 64;
        p->cp = xrealloc(p->cp, p->cap * sizeof *p->cp);
    }
    return p->cp + p->n;
}

static void decompose(const char *s, size_t len, struct points *p)
{
    while (len > 0) {
        uint32_t cp = 0;
        size_t step = (size_t)utf8_decode(s, len, &cp);
        utf8proc_ssize_t n = utf8proc_decompose_char(
            (utf8proc_int32_t)cp, points_reserve(p, DECOMPOSED_MAX),
            DECOMPOSED_MAX, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, NULL);

        assert(n > 0 && n <= DECOMPOSED_MAX);
        p->n += (size_t)n;
        s += step;
        len -= step;
    }
}

/* Sort a run of marks by class, equal ones staying in order: counting sort. */
static void sort_marks(utf8proc_int32_t *cp, size_t n, struct points *spare)
{
    size_t start[CLASSES + 1] = {0};
    utf8proc_int32_t *sorted;

    spare->n = 0;
    sorted = points_reserve(spare, n);
    for (size_t i = 0; i < n; i++)
        start[class_of(cp[i]) + 1]++;
    for (int c = 0; c < CLASSES; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        sorted[start[class_of(cp[i])]++] = cp[i];
    memcpy(cp, sorted, n * sizeof *cp);
}

/* Put marks after each starter in the order of their classes. */
static void reorder(struct points *p)
{
    struct points spare = {0};

    for (size_t i = 0; i < p->n;) {
        size_t end = i;
        bool sorted = true;

        while (end < p->n && class_of(p->cp[end]) > 0) {
            if (end > i && class_of(p->cp[end - 1]) > class_of(p->cp[end]))
                sorted = false;
            end++;
        }
        if (!sorted)
            sort_marks(p->cp + i, end - i, &spare);
        i = end > i ? end : i + 1;
    }
    free(spare.cp);
}

/* Whether all code points are below INERT_END: then s is NFC already. */
static bool is_inert(const char *s, size_t len)
{
    const unsigned char *u = (const unsigned char *)s;

    for (size_t i = 0; i < len; i++) {
        if (u[i] >= 0xCC) /* lead byte of U+0300 */
            return false;
    }
    return true;
}

void nfc_append(const char *s, size_t len, struct buf *out)
{
    struct points p = {0};
    utf8proc_ssize_t n;

    if (is_inert(s, len)) {
        buf_add(out, s, len);
        return;
    }
    decompose(s, len, &p);
    reorder(&p);
    n = utf8proc_normalize_utf32(p.cp, (utf8proc_ssize_t)p.n,
                                 UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    assert(n >= 0);
    buf_reserve(out, (size_t)n * 4);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        char utf8[4];

        buf_add(out, utf8, (size_t)utf8_encode((uint32_t)p.cp[i], utf8));
    }
    free(p.cp);
}
