#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/tool.h"
#include "proto/record.h"
#include "text/utf8.h"

/* Exactly one of the keys a and b (b may be NULL) in an object of one key. */
static const json_t *only_key(const json_t *line, const char *a, const char *b,
                              bool *is_b, struct err *err)
{
    const json_t *value = json_object_get(line, a);

    *is_b = value == NULL && b != NULL;
    if (*is_b)
        value = json_object_get(line, b);
    if (value == NULL || json_object_size(line) != 1) {
        err_set(err, ERR_INVALID, "expected {\"%s\": ...}%s%s%s", a,
                b != NULL ? " or {\"" : "", b != NULL ? b : "",
                b != NULL ? "\": ...}" : "");
        return NULL;
    }
    return value;
}

static int encode_line(const struct tokenizer *t, const json_t *line,
                       struct buf *out, struct err *err)
{
    struct buf bytes = BUF_INIT;
    struct ids ids = {0};
    bool base64;
    const json_t *value = only_key(line, "text", "base64", &base64, err);
    int rc = -1;

    if (value == NULL)
        return -1;
    if (!json_is_string(value))
        return err_set(err, ERR_INVALID, "the value is not a string");
    if (!base64)
        buf_add(&bytes, json_string_value(value), json_string_length(value));
    else if (tool_base64_decode(json_string_value(value),
                                json_string_length(value), &bytes)
             < 0) {
        err_set(err, ERR_INVALID, "not base64");
        goto out;
    }
    rc = tokenizer_encode(t, bytes.data, bytes.len, &ids, err);
    if (rc < 0)
        goto out;
    buf_adds(out, "{\"ids\":[");
    for (size_t i = 0; i < ids.n; i++)
        buf_addf(out, "%s%d", i > 0 ? "," : "", ids.id[i]);
    buf_adds(out, "]}\n");
out:
    ids_free(&ids);
    buf_free(&bytes);
    return rc;
}

static int take_ids(const struct tokenizer *t, const json_t *array,
                    struct ids *out, struct err *err)
{
    if (!json_is_array(array))
        return err_set(err, ERR_INVALID, "ids is not an array");
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *id = json_array_get(array, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0
            || json_integer_value(id) >= tokenizer_size(t))
            return err_set(err, ERR_INVALID, "ids[%zu] is not a token id 0..%d",
                           i, tokenizer_size(t) - 1);
        ids_add(out, (int32_t)json_integer_value(id));
    }
    return 0;
}

static int decode_line(const struct tokenizer *t, const json_t *line,
                       struct buf *out, struct err *err)
{
    struct buf bytes = BUF_INIT;
    struct ids ids = {0};
    bool unused;
    const json_t *value = only_key(line, "ids", NULL, &unused, err);
    int rc = value == NULL ? -1 : take_ids(t, value, &ids, err);

    if (rc == 0) {
        buf_reserve(&bytes, 0);
        tokenizer_decode(t, ids.id, ids.n, &bytes);
        if (utf8_valid(bytes.data, bytes.len)) {
            buf_adds(out, "{\"text\":");
            json_add_string(out, bytes.data, bytes.len);
        } else {
            buf_adds(out, "{\"base64\":\"");
            tool_base64_add(out, bytes.data, bytes.len);
            buf_addc(out, '"');
        }
        buf_adds(out, "}\n");
    }
    ids_free(&ids);
    buf_free(&bytes);
    return rc;
}

typedef int line_fn(const struct tokenizer *t, const json_t *line,
                    struct buf *out, struct err *err);

static int run_line(const struct tokenizer *t, const struct buf *text,
                    line_fn *fn, struct buf *out, struct err *err)
{
    json_error_t why;
    json_t *line = json_loadb(text->data, text->len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    int rc;

    if (line == NULL)
        return err_set(err, ERR_INVALID, "%s", why.text);
    rc = json_is_object(line) ? fn(t, line, out, err)
                              : err_set(err, ERR_INVALID, "not an object");
    json_decref(line);
    return rc;
}

/* An error text may quote its line and be cut anywhere. */
static void error_line(const struct err *bad, struct buf *out)
{
    struct buf text = BUF_INIT;

    utf8_repair(bad->text, strlen(bad->text), &text);
    buf_clear(out);
    buf_adds(out, "{\"error\":");
    json_add_string(out, text.data, text.len);
    buf_adds(out, "}\n");
    buf_free(&text);
}

static bool is_blank(const struct buf *text)
{
    return strspn(text->data, " \t\r") == text->len;
}

/* All of stdin. Exit status: ERR_LINES when some lines were bad. */
static int run_lines(const struct tokenizer *t, const char *command,
                     line_fn *fn, struct err *err)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    unsigned long long number = 0;
    int got, rc = 0;

    while ((got = tool_read_line(stdin, &text, err)) > 0) {
        struct err bad;

        number++;
        if (is_blank(&text))
            continue;
        if (run_line(t, &text, fn, &out, &bad) < 0) {
            fprintf(stderr, "skein-model %s: line %llu: %s\n", command, number,
                    bad.text);
            error_line(&bad, &out);
            rc = ERR_LINES;
        }
        if (tool_print(&out, err) < 0) {
            got = -1;
            break;
        }
    }
    buf_free(&text);
    buf_free(&out);
    return got < 0 ? -1 : rc;
}

static int run(const struct tool_tokenize_options *o, char *const *arg,
               int n_arg, const char *command, line_fn *fn, struct err *err)
{
    struct tokenizer *t;
    int rc;

    if (n_arg != (o->tokenizer == NULL ? 1 : 0))
        return err_set(err, ERR_USAGE,
                       "either --tokenizer FILE or one MODEL expected");
    t = tool_open_tokenizer(o->tokenizer, arg[0], err);
    if (t == NULL)
        return -1;
    rc = run_lines(t, command, fn, err);
    tokenizer_close(t);
    return rc;
}

int tool_tokenize(const void *options, char *const *arg, int n_arg,
                  struct err *err)
{
    return run(options, arg, n_arg, "tokenize", encode_line, err);
}

int tool_detokenize(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    return run(options, arg, n_arg, "detokenize", decode_line, err);
}
