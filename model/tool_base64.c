#include <string.h>

#include "model/tool.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void tool_base64_add(struct buf *out, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (; len > 0; p += 3) {
        size_t n = len < 3 ? len : 3;
        uint32_t x = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0)
                     | (n > 2 ? p[2] : 0);

        buf_addc(out, digits[x >> 18]);
        buf_addc(out, digits[x >> 12 & 63]);
        buf_addc(out, n > 1 ? digits[x >> 6 & 63] : '=');
        buf_addc(out, n > 2 ? digits[x & 63] : '=');
        len -= n;
    }
}

static int digit_value(char c)
{
    const char *p = c == '\0' ? NULL : strchr(digits, c);

    return p == NULL ? -1 : (int)(p - digits);
}

int tool_base64_decode(const char *text, size_t len, struct buf *out)
{
    if (len % 4 != 0)
        return -1;
    for (size_t i = 0; i < len; i += 4) {
        size_t n = 4;
        uint32_t x = 0;
        char bytes[3];

        if (i + 4 == len)
            n -= (size_t)(text[i + 3] == '=')
                 + (size_t)(text[i + 3] == '=' && text[i + 2] == '=');
        for (size_t k = 0; k < 4; k++) {
            int v = k < n ? digit_value(text[i + k]) : 0;

            if (v < 0)
                return -1;
            x = x << 6 | (uint32_t)v;
        }
        /* The bits that no byte uses are 0 in the one proper spelling. */
        if ((n == 2 && (x & 0xFFFF) != 0) || (n == 3 && (x & 0xFF) != 0))
            return -1;
        bytes[0] = (char)(x >> 16);
        bytes[1] = (char)(x >> 8);
        bytes[2] = (char)x;
        buf_add(out, bytes, n - 1);
    }
    return 0;
}
