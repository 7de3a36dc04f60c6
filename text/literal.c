#include "text/literal.h"

#include <stdbool.h>
#include <string.h>

#include "text/utf8.h"

struct literal {
    const char *at, *end; /* between the quotes */
    bool is_bytes;
    char quote;
};

/* Escapes that stand for one ASCII character, and for which. */
static const char simple_escapes[] = "n\nt\tr\r\\\\''\"\"";

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* \xNN, \uNNNN or \UNNNNNNNN; `at` is behind the letter. */
static int hex_escape(struct literal *l, char letter, struct buf *out,
                      struct err *err)
{
    int digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
    uint32_t v = 0;
    char utf8[4];
    int n;

    for (int i = 0; i < digits; i++) {
        int d = l->at < l->end ? hex_digit(*l->at) : -1;

        if (d < 0)
            return err_set(err, ERR_INVALID, "\\%c needs %d hex digits", letter,
                           digits);
        v = v << 4 | (uint32_t)d;
        l->at++;
    }
    if (l->is_bytes) {
        buf_addc(out, (char)v);
        return 0;
    }
    n = utf8_encode(v, utf8);
    if (n == 0)
        return err_set(err, ERR_INVALID, "U+%04X is no character", v);
    buf_add(out, utf8, (size_t)n);
    return 0;
}

static int escape(struct literal *l, struct buf *out, struct err *err)
{
    char c;

    l->at++;
    if (l->at == l->end)
        return err_set(err, ERR_INVALID, "the literal ends in a backslash");
    c = *l->at++;
    for (const char *e = simple_escapes; *e != '\0'; e += 2) {
        if (*e == c) {
            buf_addc(out, e[1]);
            return 0;
        }
    }
    if (c == 'x' || (!l->is_bytes && (c == 'u' || c == 'U')))
        return hex_escape(l, c, out, err);
    return err_set(err, ERR_INVALID, "unknown escape \\%c in a %s literal",
                   c >= ' ' && c < 0x7F ? c : '?',
                   l->is_bytes ? "bytes" : "str");
}

/* One character that stands for itself. */
static int plain(struct literal *l, struct buf *out, struct err *err)
{
    unsigned char c = (unsigned char)*l->at;
    uint32_t cp;
    int n;

    if (c == (unsigned char)l->quote)
        return err_set(err, ERR_INVALID, "a quote within the literal");
    if (c < ' ')
        return err_set(err, ERR_INVALID, "control character 0x%02x", c);
    if (l->is_bytes && c >= 0x80)
        return err_set(err, ERR_INVALID,
                       "byte 0x%02x in a bytes literal is not ASCII", c);
    n = utf8_decode(l->at, (size_t)(l->end - l->at), &cp);
    if (n <= 0)
        return err_set(err, ERR_INVALID, "byte 0x%02x is not UTF-8", c);
    buf_add(out, l->at, (size_t)n);
    l->at += n;
    return 0;
}

int literal_parse(const char *s, size_t len, struct buf *out, struct err *err)
{
    struct literal l = {.at = s, .end = s + len};

    if (len > 0 && *s == 'b') {
        l.is_bytes = true;
        l.at++;
    }
    if (l.end - l.at < 2 || (*l.at != '\'' && *l.at != '"')
        || l.end[-1] != *l.at)
        return err_set(err, ERR_INVALID, "expected a quoted literal");
    l.quote = *l.at++;
    l.end--;
    while (l.at < l.end) {
        int ret = *l.at == '\\' ? escape(&l, out, err) : plain(&l, out, err);

        if (ret < 0)
            return -1;
    }
    return 0;
}
