#include "text/utf8.h"

#include <utf8proc.h>

/* What RFC 3629 allows after a lead byte: how many bytes follow, and the range
 * of the first of them (narrower than 80..BF where overlong forms, surrogates
 * or values above U+10FFFF would begin).
 */
struct lead {
    uint8_t more; /* 0: not a lead byte of a multi-byte sequence */
    uint8_t low, high;
};

static struct lead lead_of(unsigned char c)
{
    if (c >= 0xC2 && c <= 0xDF)
        return (struct lead){1, 0x80, 0xBF};
    if (c == 0xE0)
        return (struct lead){2, 0xA0, 0xBF};
    if (c == 0xED)
        return (struct lead){2, 0x80, 0x9F};
    if (c >= 0xE1 && c <= 0xEF)
        return (struct lead){2, 0x80, 0xBF};
    if (c == 0xF0)
        return (struct lead){3, 0x90, 0xBF};
    if (c >= 0xF1 && c <= 0xF3)
        return (struct lead){3, 0x80, 0xBF};
    if (c == 0xF4)
        return (struct lead){3, 0x80, 0x8F};
    return (struct lead){0, 0, 0};
}

/* Like utf8_decode(); *used gets the bytes that belong together: the whole
 * character, or the longest part of it that is there.
 */
static int scan(const unsigned char *s, size_t len, uint32_t *cp, size_t *used)
{
    struct lead lead;
    uint32_t v;

    *used = len > 0 ? 1 : 0;
    if (len == 0)
        return -1;
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    lead = lead_of(s[0]);
    if (lead.more == 0)
        return 0;
    v = s[0] & (0x3Fu >> lead.more);
    for (size_t i = 1; i <= lead.more; i++) {
        uint8_t low = i == 1 ? lead.low : 0x80;
        uint8_t high = i == 1 ? lead.high : 0xBF;

        if (i == len)
            return -1;
        if (s[i] < low || s[i] > high)
            return 0;
        v = v << 6 | (s[i] & 0x3Fu);
        *used = i + 1;
    }
    *cp = v;
    return lead.more + 1;
}

int utf8_decode(const char *s, size_t len, uint32_t *cp)
{
    size_t used;

    return scan((const unsigned char *)s, len, cp, &used);
}

bool utf8_valid(const char *s, size_t len)
{
    while (len > 0) {
        uint32_t cp;
        int n = utf8_decode(s, len, &cp);

        if (n <= 0)
            return false;
        s += n;
        len -= (size_t)n;
    }
    return true;
}

void utf8_repair(const char *s, size_t len, struct buf *out)
{
    while (len > 0) {
        uint32_t cp;
        size_t used;

        if (scan((const unsigned char *)s, len, &cp, &used) > 0)
            buf_add(out, s, used);
        else
            buf_adds(out, UTF8_REPLACEMENT);
        s += used;
        len -= used;
    }
}

int utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            return 0;
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    if (cp > 0x10FFFF)
        return 0;
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= 0x09 && cp <= 0x0D);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680
           || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029
           || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

/* str.isspace() of Python also takes the four separators U+001C..U+001F. */
static bool is_python_space(uint32_t cp)
{
    return utf8_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
}

size_t utf8_words(const char *s, size_t len)
{
    bool in_space = false;
    size_t words = 1;

    while (len > 0) {
        uint32_t cp;
        int n = utf8_decode(s, len, &cp);
        bool space = n > 0 && is_python_space(cp);
        size_t step = n > 0 ? (size_t)n : 1;

        if (space && !in_space)
            words++;
        in_space = space;
        s += step;
        len -= step;
    }
    return words;
}

int utf8_columns(uint32_t cp)
{
    return utf8proc_charwidth((utf8proc_int32_t)cp);
}
