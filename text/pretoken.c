#include "text/pretoken.h"

#include <string.h>
#include <utf8proc.h>

#include "text/utf8.h"

enum kind {
    SPACE,
    LETTER,
    NUMBER,
    OTHER,
};

static enum kind kind_of(uint32_t cp)
{
    if (cp < 0x80) {
        if ((cp | 0x20) - 'a' < 26)
            return LETTER;
        if (cp - '0' < 10)
            return NUMBER;
        return utf8_is_space(cp) ? SPACE : OTHER;
    }
    if (utf8_is_space(cp))
        return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return NUMBER;
    default:
        return OTHER;
    }
}

/* Kind of the character at s[len], len > 0, and its length. */
static enum kind kind_at(const char *s, size_t len, size_t *step)
{
    uint32_t cp = 0;

    *step = (size_t)utf8_decode(s, len, &cp);
    return kind_of(cp);
}

/* Length of 's, 't, 're, 've, 'm, 'll or 'd at s, or 0. */
static size_t contraction(const char *s, size_t len)
{
    static const char *const known[] = {"'s", "'t",  "'re", "'ve",
                                        "'m", "'ll", "'d"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i]);

        if (n <= len && memcmp(s, known[i], n) == 0)
            return n;
    }
    return 0;
}

/* \s+(?!\S)|\s+ at s, which begins with a space: all of the run, without its
 * last character when more text follows and something is left.
 */
static size_t space_run(const char *s, size_t len)
{
    size_t at = 0, last = 0, step;

    while (at < len && kind_at(s + at, len - at, &step) == SPACE) {
        last = at;
        at += step;
    }
    return at < len && last > 0 ? last : at;
}

size_t pretoken_next(const char *s, size_t len)
{
    size_t n = *s == '\'' ? contraction(s, len) : 0;
    size_t at = *s == ' ' && len > 1 ? 1 : 0;
    size_t step;
    enum kind kind;

    if (n > 0)
        return n;
    kind = kind_at(s + at, len - at, &step);
    if (kind == SPACE)
        return space_run(s, len);
    do {
        at += step;
    } while (at < len && kind_at(s + at, len - at, &step) == kind);
    return at;
}
