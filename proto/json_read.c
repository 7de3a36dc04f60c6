#include "proto/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "proto/utf8_check.h"

#define DEPTH_MAX 2048 /* of values: some 200 bytes of stack each */
/* In the tree itself: a native record has fewer. With a line of 200 bytes the
 * tree stays below 1032 bytes, where malloc() is cheapest.
 */
#define FIRST_VALUES 8
#define MORE_VALUES_MAX 4096
#define NAMES_COMPARED \
    8 /* each with each; those of larger objects are sorted */

/* Values never move, so they are had in blocks. */
struct block {
    struct block *next;
    struct json_value value[];
};

/* One allocation for most records: the tree, its first values, and the decoded
 * strings, which are never longer than the text: a closing NUL takes the place
 * of a quote.
 */
struct json_tree {
    struct block *more;
    char *strings;
    struct json_value value[FIRST_VALUES];
};

struct reader {
    const char *text;
    size_t len;
    size_t at;
    struct json_tree *tree;
    struct json_value *unused; /* [n_unused] */
    size_t n_unused;
    size_t n_block; /* values of the last block */
    char *string;   /* where the next string goes */
    size_t depth;
    size_t n_values;
    struct record_error *e;
};

const char *json_is_name(enum json_is is)
{
    static const char *const name[] = {
        [JSON_IS_OBJECT] = "an object", [JSON_IS_ARRAY] = "an array",
        [JSON_IS_STRING] = "a string",  [JSON_IS_INTEGER] = "an integer",
        [JSON_IS_REAL] = "a number",    [JSON_IS_TRUE] = "true",
        [JSON_IS_FALSE] = "false",      [JSON_IS_NULL] = "null",
    };

    return name[is];
}

static int fail(const struct reader *r, size_t at, const char *what)
{
    return record_error_set(r->e, "invalid_json", "", "byte %zu: %s%s", at + 1,
                            what, at == r->len ? ", but the line ends" : "");
}

static struct json_value *add_value(struct reader *r, enum json_is is)
{
    struct json_value *v;

    if (r->n_unused == 0) {
        size_t n =
            2 * r->n_block > MORE_VALUES_MAX ? MORE_VALUES_MAX : 2 * r->n_block;
        struct block *b = xcalloc(1, sizeof *b + n * sizeof *b->value);

        b->next = r->tree->more;
        r->tree->more = b;
        r->unused = b->value;
        r->n_unused = r->n_block = n;
    }
    v = r->unused++;
    r->n_unused--;
    v->is = is;
    return v;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->len
           && (r->text[r->at] == ' ' || r->text[r->at] == '\t'
               || r->text[r->at] == '\n' || r->text[r->at] == '\r'))
        r->at++;
}

/* The byte at r->at; '\0', which no text has, at the end. */
static char peek(const struct reader *r)
{
    return r->at < r->len ? r->text[r->at] : '\0';
}

/* ---- strings ------------------------------------------------------------- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Is one of eight bytes a quote, a backslash or below 0x20? Subtracting n from
 * each byte borrows into bit 7 of those below n; a borrow may also mark the
 * byte above a marked one, so this says "no" only when it is so.
 */
static bool is_plain(uint64_t eight)
{
    uint64_t quote = eight ^ EACH('"'), slash = eight ^ EACH('\\');
    uint64_t marked = ((eight - EACH(0x20)) & ~eight)
                      | ((quote - EACH(1)) & ~quote)
                      | ((slash - EACH(1)) & ~slash);

    return (marked & EACH(0x80)) == 0;
}

/* How many bytes from s stand for themselves. */
static size_t plain_bytes(const char *s, size_t len)
{
    size_t n = 0;

    for (; len - n >= 8; n += 8) {
        uint64_t eight;

        memcpy(&eight, s + n, 8);
        if (!is_plain(eight))
            break;
    }
    while (n < len && s[n] != '"' && s[n] != '\\'
           && (unsigned char)s[n] >= 0x20)
        n++;
    return n;
}

static int hex4(const struct reader *r, size_t at)
{
    int code = 0;

    if (r->len - at < 4)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        char c = r->text[i];

        if (c >= '0' && c <= '9')
            code = 16 * code + (c - '0');
        else if (c >= 'a' && c <= 'f')
            code = 16 * code + (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            code = 16 * code + (c - 'A' + 10);
        else
            return -1;
    }
    return code;
}

/* UTF-8 of a scalar value: at most three bytes for \uXXXX, four for a pair. */
static void put_code(struct reader *r, int code)
{
    if (code < 0x80) {
        *r->string++ = (char)code;
        return;
    }
    if (code < 0x800) {
        *r->string++ = (char)(0xC0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *r->string++ = (char)(0xE0 | code >> 12);
        } else {
            *r->string++ = (char)(0xF0 | code >> 18);
            *r->string++ = (char)(0x80 | (code >> 12 & 0x3F));
        }
        *r->string++ = (char)(0x80 | (code >> 6 & 0x3F));
    }
    *r->string++ = (char)(0x80 | (code & 0x3F));
}

/* \uXXXX; r->at is behind the u. */
static int read_unicode(struct reader *r)
{
    int code = hex4(r, r->at), low;

    if (code < 0)
        return fail(r, r->at, "four hexadecimal digits are expected");
    r->at += 4;
    if (code >= 0xDC00 && code <= 0xDFFF)
        return fail(r, r->at - 6, "the second half of a surrogate pair alone");
    if (code >= 0xD800 && code <= 0xDBFF) {
        bool pair = r->len - r->at >= 6 && r->text[r->at] == '\\'
                    && r->text[r->at + 1] == 'u';

        low = pair ? hex4(r, r->at + 2) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail(r, r->at - 6,
                        "the first half of a surrogate pair alone");
        r->at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    put_code(r, code);
    return 0;
}

/* r->at is behind the backslash. */
static int read_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = peek(r);
    const char *known = c == '\0' ? NULL : strchr(from, c);

    if (c == 'u') {
        r->at++;
        return read_unicode(r);
    }
    if (known == NULL)
        return fail(r, r->at, "no escape is written like that");
    *r->string++ = to[known - from];
    r->at++;
    return 0;
}

/* The string whose opening quote is at r->at, decoded, with a NUL behind. */
static int read_string(struct reader *r, const char **out, size_t *len)
{
    size_t open = r->at++;

    *out = r->string;
    for (;;) {
        size_t n = plain_bytes(r->text + r->at, r->len - r->at);

        memcpy(r->string, r->text + r->at, n);
        r->string += n;
        r->at += n;
        switch (peek(r)) {
        case '"':
            r->at++;
            *len = (size_t)(r->string - *out);
            *r->string++ = '\0';
            return 0;
        case '\\':
            r->at++;
            if (read_escape(r) < 0)
                return -1;
            break;
        default:
            if (r->at == r->len)
                return fail(r, open, "this string is not closed");
            return fail(r, r->at, "control characters are written \\uXXXX");
        }
    }
}

/* ---- numbers and words --------------------------------------------------- */

static size_t skip_digits(struct reader *r)
{
    size_t from = r->at;

    while (peek(r) >= '0' && peek(r) <= '9')
        r->at++;
    return r->at - from;
}

/* Walk over a number; *real says whether it has a fraction or exponent. */
static int skip_number(struct reader *r, bool *real)
{
    *real = false;
    if (peek(r) == '-')
        r->at++;
    if (peek(r) == '0')
        r->at++;
    else if (skip_digits(r) == 0)
        return fail(r, r->at, "a digit is expected");
    if (peek(r) == '.') {
        *real = true;
        r->at++;
        if (skip_digits(r) == 0)
            return fail(r, r->at, "a digit is expected");
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        *real = true;
        r->at++;
        if (peek(r) == '+' || peek(r) == '-')
            r->at++;
        if (skip_digits(r) == 0)
            return fail(r, r->at, "a digit is expected");
    }
    return 0;
}

static int fail_range(const struct reader *r, size_t from)
{
    return record_error_set(r->e, "invalid_value", "",
                            "byte %zu: a number is too large (integers have 64 "
                            "bits)",
                            from + 1);
}

/* The digits are followed by something else than a digit, or by the end, where
 * the copy has a NUL.
 */
static int read_number(struct reader *r, struct json_value **out)
{
    size_t from = r->at, len;
    struct json_value *v;
    char *copy = r->string; /* as long as the number is: there is room */
    bool real;

    if (skip_number(r, &real) < 0)
        return -1;
    len = r->at - from;
    memcpy(copy, r->text + from, len);
    copy[len] = '\0';
    v = add_value(r, real ? JSON_IS_REAL : JSON_IS_INTEGER);
    errno = 0;
    if (real) {
        v->number = strtod(copy, NULL);
        if (isinf(v->number))
            return fail_range(r, from);
    } else {
        v->integer = strtoll(copy, NULL, 10);
        if (errno == ERANGE)
            return fail_range(r, from);
        v->number = (double)v->integer;
    }
    *out = v;
    return 0;
}

static int read_word(struct reader *r, struct json_value **out)
{
    static const struct {
        const char *word;
        enum json_is is;
    } words[] = {
        {"true", JSON_IS_TRUE},
        {"false", JSON_IS_FALSE},
        {"null", JSON_IS_NULL},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t len = strlen(words[i].word);

        if (r->len - r->at < len
            || memcmp(r->text + r->at, words[i].word, len) != 0)
            continue;
        r->at += len;
        *out = add_value(r, words[i].is);
        return 0;
    }
    return fail(r, r->at, "a value is expected");
}

/* ---- arrays and objects -------------------------------------------------- */

static int read_value(struct reader *r, struct json_value **out);

/* After an element or member: 1 when another follows, 0 when `close` did. */
static int read_comma(struct reader *r, char close)
{
    skip_space(r);
    if (peek(r) == close) {
        r->at++;
        return 0;
    }
    if (peek(r) != ',')
        return fail(r, r->at,
                    close == ']' ? "a comma or ] is expected"
                                 : "a comma or } is expected");
    r->at++;
    return 1;
}

static int read_array(struct reader *r, struct json_value *array)
{
    const struct json_value **link = &array->first;
    struct json_value *v;
    int more = 1;

    r->at++;
    skip_space(r);
    if (peek(r) == ']') {
        r->at++;
        return 0;
    }
    while (more > 0) {
        if (read_value(r, &v) < 0)
            return -1;
        *link = v;
        link = &v->next;
        array->n++;
        more = read_comma(r, ']');
    }
    return more;
}

static int fail_twice(const struct reader *r, const char *name)
{
    return record_error_set(r->e, "duplicate_key", name,
                            "\"%s\" is given more than once", name);
}

static bool is_taken(const struct json_value *object, const char *name)
{
    const struct json_value *v = object->first;

    for (; v != NULL && strcmp(v->name, name) != 0; v = v->next)
        ;
    return v != NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const struct reader *r, const struct json_value *object)
{
    const char **name = xcalloc(object->n, sizeof *name);
    size_t n = 0, i = 1;
    int ret = 0;

    for (const struct json_value *v = object->first; v != NULL; v = v->next)
        name[n++] = v->name;
    qsort(name, n, sizeof *name, compare_names);
    while (i < n && strcmp(name[i - 1], name[i]) != 0)
        i++;
    if (i < n)
        ret = fail_twice(r, name[i]);
    free(name);
    return ret;
}

/* "name": of the next member. */
static int read_name(struct reader *r, const struct json_value *object,
                     const char **name)
{
    size_t at, len;

    skip_space(r);
    at = r->at;
    if (peek(r) != '"')
        return fail(r, at, "a key in quotes is expected");
    if (read_string(r, name, &len) < 0)
        return -1;
    if (strlen(*name) < len)
        return fail(r, at, "a key has no NUL");
    if (object->n < NAMES_COMPARED && is_taken(object, *name))
        return fail_twice(r, *name);
    skip_space(r);
    if (peek(r) != ':')
        return fail(r, r->at, "a colon is expected");
    r->at++;
    return 0;
}

static int read_object(struct reader *r, struct json_value *object)
{
    const struct json_value **link = &object->first;
    bool outermost = r->depth == 1;
    int more = 1;

    r->at++;
    skip_space(r);
    if (peek(r) == '}') {
        r->at++;
        return 0;
    }
    while (more > 0) {
        struct json_value *v;
        const char *name;
        size_t from;

        if (read_name(r, object, &name) < 0)
            return -1;
        from = r->at;
        if (read_value(r, &v) < 0)
            return -1;
        v->name = name;
        *link = v;
        link = &v->next;
        object->n++;
        more = read_comma(r, '}');
        if (outermost)
            v->span = (struct json_span){r->text + from, r->at - 1 - from};
    }
    if (more == 0 && object->n > NAMES_COMPARED)
        return check_names(r, object);
    return more;
}

/* Which value it is shows in its first byte. */
static int read_any(struct reader *r, struct json_value **out)
{
    char c = peek(r);

    switch (c) {
    case '"':
        *out = add_value(r, JSON_IS_STRING);
        return read_string(r, &(*out)->text, &(*out)->len);
    case '{':
        *out = add_value(r, JSON_IS_OBJECT);
        return read_object(r, *out);
    case '[':
        *out = add_value(r, JSON_IS_ARRAY);
        return read_array(r, *out);
    default:
        return c == '-' || (c >= '0' && c <= '9') ? read_number(r, out)
                                                  : read_word(r, out);
    }
}

static int read_value(struct reader *r, struct json_value **out)
{
    int ret;

    skip_space(r);
    if (r->depth == DEPTH_MAX)
        return fail(r, r->at, "arrays and objects are nested too deeply");
    if (r->n_values++ == JSON_VALUES_MAX)
        return record_error_set(r->e, "too_large", "",
                                "byte %zu: more than %u values in one line",
                                r->at + 1, JSON_VALUES_MAX);
    r->depth++;
    ret = read_any(r, out);
    r->depth--;
    return ret;
}

/* ---- the whole ----------------------------------------------------------- */

static int check_bytes(const char *text, size_t len, struct record_error *e)
{
    size_t bad = utf8_check(text, len);
    const char *nul = len > 0 ? memchr(text, '\0', len) : NULL;

    if (bad < len)
        return record_error_set(e, "not_utf8", "",
                                "byte %zu (0x%02x) is not UTF-8", bad + 1,
                                (unsigned char)text[bad]);
    if (nul != NULL)
        return record_error_set(e, "invalid_json", "", "byte %zu is NUL",
                                (size_t)(nul - text) + 1);
    return 0;
}

static int read_text(struct reader *r)
{
    struct json_value *root;

    if (read_value(r, &root) < 0)
        return -1;
    skip_space(r);
    if (r->at < r->len)
        return fail(r, r->at, "the line should end here");
    return 0;
}

struct json_tree *json_read(const char *text, size_t len,
                            struct record_error *e)
{
    struct reader r = {.text = text, .len = len, .e = e};
    int ret;

    if (check_bytes(text, len, e) < 0)
        return NULL;
    r.tree = xcalloc(1, sizeof *r.tree + len + 1);
    r.tree->strings = (char *)(r.tree + 1);
    r.string = r.tree->strings;
    r.unused = r.tree->value;
    r.n_unused = r.n_block = FIRST_VALUES;
    ret = read_text(&r);
    if (ret == 0)
        return r.tree;
    json_tree_free(r.tree);
    return NULL;
}

const struct json_value *json_root(const struct json_tree *t)
{
    return &t->value[0];
}

void json_tree_free(struct json_tree *t)
{
    if (t == NULL)
        return;
    while (t->more != NULL) {
        struct block *b = t->more;

        t->more = b->next;
        free(b);
    }
    free(t);
}
