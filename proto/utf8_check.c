#include "proto/utf8_check.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

/* Most text is ASCII: eight bytes at a time. */
static size_t skip_ascii(const char *s, size_t at, size_t len)
{
    for (; len - at >= 8; at += 8) {
        uint64_t word;

        memcpy(&word, s + at, 8);
        if ((word & 0x8080808080808080u) != 0)
            break;
    }
    while (at < len && (unsigned char)s[at] < 0x80)
        at++;
    return at;
}

size_t utf8_check(const char *s, size_t len)
{
    size_t at = 0;

    while ((at = skip_ascii(s, at, len)) < len) {
        size_t left = len - at < 4 ? len - at : 4;
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s + at,
                                              (utf8proc_ssize_t)left, &code);

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    return at;
}

void utf8_mend(char *s, size_t len)
{
    size_t at = 0;

    while ((at += utf8_check(s + at, len - at)) < len)
        s[at] = '?';
}
