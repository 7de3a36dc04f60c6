#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "model/backend.h"
#include "model/fingerprint.h"
#include "model/tool.h"
#include "model/weights_names.h"
#include "proto/record.h"
#include "text/utf8.h"

/* Everything there is to say. */
struct report {
    const struct tensor_file *file;
    const struct weights *weights; /* NULL: not runnable */
    struct err why;                /* then */
    struct tokenizer *tokenizer;   /* NULL: none */
    char *tokenizer_path;
    struct err tokenizer_why;
    bool *used; /* [file->n] */
    int64_t used_elements, unused_elements;
    bool hashed;
    char weights_hex[2 * HASH_BYTES + 1];
    char fingerprint_hex[2 * HASH_BYTES + 1];
};

static void count_elements(struct report *r)
{
    size_t k = 0;

    r->used = xcalloc(r->file->n + 1, sizeof *r->used);
    for (size_t i = 0; i < r->file->n; i++) {
        const struct tensor *t = &r->file->tensor[i];

        /* unused[] is in the order of tensor[] */
        r->used[i] =
            r->weights != NULL
            && !(k < r->weights->n_unused && r->weights->unused[k] == t->name);
        if (r->used[i])
            r->used_elements += tensor_count(t);
        else
            r->unused_elements += tensor_count(t);
        k += !r->used[i] && r->weights != NULL;
    }
}

static int take_hashes(struct report *r, struct err *err)
{
    const struct backend_limits limits = {.slots = 3, .tokens_per_step = 64};
    uint8_t weights[HASH_BYTES], fingerprint[HASH_BYTES];
    struct backend *b;
    int rc;

    if (fingerprint_weights(r->file->path, r->weights, weights, err) < 0)
        return -1;
    b = backend_create(&backend_cpu, r->weights, &limits, NULL, err);
    if (b == NULL)
        return -1;
    rc = fingerprint_compute(
        b, "fp32", weights,
        r->tokenizer == NULL ? NULL : tokenizer_hash(r->tokenizer), fingerprint,
        err);
    backend_destroy(b);
    hash_hex(weights, sizeof weights, r->weights_hex);
    hash_hex(fingerprint, sizeof fingerprint, r->fingerprint_hex);
    r->hashed = true;
    return rc;
}

/* "BF16 x 93, F32 x 12" */
static void dtypes_text(const struct tensor_file *f, struct buf *out)
{
    for (int d = DTYPE_F64; d <= DTYPE_BOOL; d++) {
        size_t n = 0;

        for (size_t i = 0; i < f->n; i++)
            n += f->tensor[i].dtype == (enum dtype)d;
        if (n > 0)
            buf_addf(out, "%s%s x %zu", out->len > 0 ? ", " : "",
                     dtype_name((enum dtype)d), n);
    }
}

static void text_weights(const struct report *r, struct buf *out)
{
    const struct weights *w = r->weights;

    buf_addf(out,
             "architecture  RWKV-7 (x070), names of %s%s%s\n"
             "dimensions    L %d layers, C %d channels, H %d heads of N %d, "
             "F %d, V %d\n"
             "ranks         w %d, a %d, v %d, g %d\n"
             "parameters    %" PRId64 " used, %" PRId64 " unused in %zu "
             "tensors\n",
             w->fla ? "FLA" : "BlinkDL",
             weight_present(&w->ln0_w) ? "" : ", no ln0",
             weight_present(&w->head_bias) ? ", head bias" : "", w->L, w->C,
             w->H, w->N, w->F, w->V, w->rank_w, w->rank_a, w->rank_v, w->rank_g,
             r->used_elements, r->unused_elements, w->n_unused);
    for (size_t i = 0; i < w->n_unused; i++)
        buf_addf(out, "unused        %s\n", w->unused[i]);
    if (r->tokenizer == NULL)
        buf_addf(out, "tokenizer     none: %s\n", r->tokenizer_why.text);
    else
        buf_addf(out, "tokenizer     %s, %s, %d ids\n", r->tokenizer_path,
                 tokenizer_family(r->tokenizer), tokenizer_size(r->tokenizer));
    if (r->hashed)
        buf_addf(out,
                 "weights       %s\n"
                 "fingerprint   %s (cpu, fp32)\n",
                 r->weights_hex, r->fingerprint_hex);
}

static void text_tensors(const struct report *r, struct buf *out)
{
    int width = 0;

    for (size_t i = 0; i < r->file->n; i++) {
        int len = (int)strlen(r->file->tensor[i].name);

        if (len > width)
            width = len;
    }
    buf_addc(out, '\n');
    for (size_t i = 0; i < r->file->n; i++) {
        const struct tensor *t = &r->file->tensor[i];
        char shape[TENSOR_SHAPE_TEXT_MAX];

        buf_addf(out, "%-*s  %-4s  %s%s\n", width, t->name,
                 dtype_name(t->dtype),
                 tensor_shape_text(t, shape, sizeof shape),
                 r->weights == NULL || r->used[i] ? "" : "  unused");
    }
}

static void print_text(const struct report *r, bool tensors, struct buf *out)
{
    struct buf dtypes = BUF_INIT;

    buf_reserve(&dtypes, 0)[0] = '\0';
    dtypes_text(r->file, &dtypes);
    buf_addf(out,
             "file          %s\n"
             "format        %s\n"
             "tensors       %zu: %s\n",
             r->file->path, r->file->format, r->file->n, dtypes.data);
    buf_free(&dtypes);
    if (r->weights != NULL)
        text_weights(r, out);
    else
        buf_addf(out, "architecture  %s\n", r->why.text);
    if (tensors)
        text_tensors(r, out);
}

static void json_text(struct buf *out, const char *key, const char *value)
{
    struct buf clean = BUF_INIT;

    buf_addf(out, ",\"%s\":", key);
    utf8_repair(value, strlen(value), &clean);
    json_add_string(out, clean.data, clean.len);
    buf_free(&clean);
}

static void json_weights(const struct report *r, struct buf *out)
{
    const struct weights *w = r->weights;

    json_text(out, "architecture", "rwkv7");
    json_text(out, "names", w->fla ? "fla" : "blink");
    buf_addf(out,
             ",\"L\":%d,\"C\":%d,\"H\":%d,\"N\":%d,\"F\":%d,\"V\":%d"
             ",\"rank_w\":%d,\"rank_a\":%d,\"rank_v\":%d,\"rank_g\":%d"
             ",\"ln0\":%s,\"output_bias\":%s,\"head_bias\":%s"
             ",\"parameters\":%" PRId64 ",\"parameters_unused\":%" PRId64
             ",\"unused\":[",
             w->L, w->C, w->H, w->N, w->F, w->V, w->rank_w, w->rank_a,
             w->rank_v, w->rank_g, weight_present(&w->ln0_w) ? "true" : "false",
             weight_present(&w->layer[0].output_bias) ? "true" : "false",
             weight_present(&w->head_bias) ? "true" : "false", r->used_elements,
             r->unused_elements);
    for (size_t i = 0; i < w->n_unused; i++) {
        if (i > 0)
            buf_addc(out, ',');
        json_add_string(out, w->unused[i], strlen(w->unused[i]));
    }
    buf_addc(out, ']');
    if (r->tokenizer != NULL) {
        char hex[2 * HASH_BYTES + 1];

        hash_hex(tokenizer_hash(r->tokenizer), HASH_BYTES, hex);
        json_text(out, "tokenizer", r->tokenizer_path);
        json_text(out, "tokenizer_family", tokenizer_family(r->tokenizer));
        json_text(out, "tokenizer_hash", hex);
    }
    if (r->hashed) {
        json_text(out, "weights_hash", r->weights_hex);
        json_text(out, "fingerprint", r->fingerprint_hex);
    }
}

static void json_tensors(const struct report *r, struct buf *out)
{
    buf_adds(out, ",\"tensors\":[");
    for (size_t i = 0; i < r->file->n; i++) {
        const struct tensor *t = &r->file->tensor[i];
        char shape[TENSOR_SHAPE_TEXT_MAX], hex[2 * HASH_BYTES + 1];
        uint8_t hash[HASH_BYTES];

        tensor_hash(t, hash);
        hash_hex(hash, sizeof hash, hex);
        buf_adds(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_add_string(out, t->name, strlen(t->name));
        buf_addf(out,
                 ",\"dtype\":\"%s\",\"shape\":%s,\"used\":%s,"
                 "\"blake2b\":\"%s\"}",
                 dtype_name(t->dtype),
                 tensor_shape_text(t, shape, sizeof shape),
                 r->used[i] ? "true" : "false", hex);
    }
    buf_addc(out, ']');
}

static void print_json(const struct report *r, bool tensors, struct buf *out)
{
    buf_addf(out, "{\"runnable\":%s", r->weights != NULL ? "true" : "false");
    json_text(out, "file", r->file->path);
    json_text(out, "format", r->file->format);
    if (r->weights != NULL)
        json_weights(r, out);
    else
        json_text(out, "why", r->why.text);
    if (tensors)
        json_tensors(r, out);
    buf_adds(out, "}\n");
}

static void find_tokenizer(struct report *r, const char *model)
{
    r->tokenizer_path = tokenizer_find(model, &r->tokenizer_why);
    if (r->tokenizer_path != NULL)
        r->tokenizer = tokenizer_open(r->tokenizer_path, &r->tokenizer_why);
}

int tool_inspect(const void *options, char *const *arg, int n_arg,
                 struct err *err)
{
    const struct tool_inspect_options *o = options;
    struct report r = {0};
    struct buf out = BUF_INIT;
    struct weights *w = NULL;
    struct tensor_file *f = NULL;
    int rc = 0;

    (void)n_arg;
    w = weights_open(arg[0], &r.why);
    if (w == NULL) {
        f = tensor_file_open(arg[0], err);
        if (f == NULL)
            return -1;
    }
    r.weights = w;
    r.file = w != NULL ? w->file : f;
    count_elements(&r);
    find_tokenizer(&r, arg[0]);
    if (w != NULL && !o->no_hash)
        rc = take_hashes(&r, err);
    if (rc == 0) {
        (o->json ? print_json : print_text)(&r, o->tensors, &out);
        rc = tool_print(&out, err);
    }
    buf_free(&out);
    free(r.used);
    free(r.tokenizer_path);
    tokenizer_close(r.tokenizer);
    weights_close(w);
    tensor_file_close(f);
    return rc;
}
