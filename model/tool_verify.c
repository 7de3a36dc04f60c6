#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/tool.h"
#include "model/weights_names.h"
#include "proto/record.h"

#define VERIFY_TOKENS 1024
#define BLOCK_ELEMENTS 65536 /* compared at a time, or one row */

struct result {
    size_t compared, equal, within; /* within: not equal, but explained */
    size_t different, only_one;
    double logit_delta, logit_mean;
    int64_t logit_rows;
};

/* How far rounding to a dtype moves a value: relative, and absolute where the
 * format has no smaller steps.
 */
static void rounding(enum dtype d, double *relative, double *absolute)
{
    *relative = 0;
    *absolute = 0;
    if (d == DTYPE_BF16) {
        *relative = 0x1p-8;
        *absolute = 0x1p-134;
    } else if (d == DTYPE_F16) {
        *relative = 0x1p-11;
        *absolute = 0x1p-25;
    } else if (d == DTYPE_F32) {
        *relative = 0x1p-24;
        *absolute = 0x1p-150;
    }
}

struct difference {
    bool equal, within;
    double max; /* NaN when a value is NaN in one of them only */
};

static void compare_block(const double *a, const double *b, size_t n,
                          double relative, double absolute,
                          struct difference *d)
{
    for (size_t i = 0; i < n; i++) {
        double delta = fabs(a[i] - b[i]);
        double size = fmax(fabs(a[i]), fabs(b[i]));

        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i])))
            continue;
        d->equal = false;
        if (!(delta <= relative * size + absolute))
            d->within = false;
        if (isnan(delta) || delta > d->max)
            d->max = delta;
    }
}

static struct difference compare(const struct weight *a, const struct weight *b)
{
    struct difference d = {.equal = true, .within = true};
    int64_t step = a->cols > BLOCK_ELEMENTS ? 1 : BLOCK_ELEMENTS / a->cols;
    size_t most = (size_t)(step * a->cols);
    double *x = xcalloc(most, sizeof *x), *y = xcalloc(most, sizeof *y);
    double relative = 0, absolute = 0;

    if (a->tensor->dtype != b->tensor->dtype) {
        double ra, rb, aa, ab;

        rounding(a->tensor->dtype, &ra, &aa);
        rounding(b->tensor->dtype, &rb, &ab);
        relative = ra + rb;
        absolute = aa + ab;
    }
    for (int64_t r = 0; r < a->rows; r += step) {
        int64_t n = a->rows - r < step ? a->rows - r : step;

        weight_read_rows_f64(a, r, n, x);
        weight_read_rows_f64(b, r, n, y);
        compare_block(x, y, (size_t)(n * a->cols), relative, absolute, &d);
    }
    free(x);
    free(y);
    return d;
}

/* The same tensor of another model, or NULL. */
static const struct weight *counterpart(const struct weights *w,
                                        const struct weights_iter *it)
{
    const char *base = (const char *)w;
    const struct weight *found;

    if (it->layer >= w->L)
        return NULL;
    if (it->layer >= 0)
        base = (const char *)&w->layer[it->layer];
    found = (const struct weight *)(const void *)(base + it->row->offset);
    return weight_present(found) ? found : NULL;
}

/* One line of the table, or one element of "tensors". */
static void report(const struct tool_verify_options *o, struct result *r,
                   const char *name, const char *verdict, double max,
                   struct buf *out)
{
    bool has_max = strcmp(verdict, "equal") != 0 && isfinite(max) && max >= 0;

    if (!o->json) {
        buf_addf(out, "%-12s  %s", verdict, name);
        if (has_max)
            buf_addf(out, "  max |delta| %.3g", max);
        buf_addc(out, '\n');
        return;
    }
    buf_addf(out, "%s{\"name\":\"%s\",\"verdict\":\"%s\"",
             r->compared + r->only_one > 1 ? "," : "", name, verdict);
    if (has_max) {
        buf_adds(out, ",\"max_delta\":");
        json_add_double(out, max);
    }
    buf_addc(out, '}');
}

static void compare_tensor(const struct tool_verify_options *o,
                           struct result *r, const struct weights_iter *it,
                           const struct weight *b, struct buf *out)
{
    const struct weight *a = it->weight;
    char name[WEIGHTS_NAME_MAX];
    struct difference d;

    weights_name_blink(it->row, it->layer, name);
    r->compared++;
    if (a->rows != b->rows || a->cols != b->cols) {
        r->different++;
        report(o, r, name, "other shape", -1, out);
        return;
    }
    d = compare(a, b);
    if (d.equal)
        r->equal++;
    else if (d.within)
        r->within++;
    else
        r->different++;
    report(o, r, name,
           d.equal    ? "equal"
           : d.within ? "rounded"
                      : "different",
           d.max, out);
}

static void compare_tensors(const struct tool_verify_options *o,
                            const struct weights *a, const struct weights *b,
                            struct result *r, struct buf *out)
{
    char name[WEIGHTS_NAME_MAX];
    struct weights_iter it = {0};

    while (weights_next(a, &it)) {
        const struct weight *other = counterpart(b, &it);

        if (other != NULL) {
            compare_tensor(o, r, &it, other, out);
            continue;
        }
        r->only_one++;
        weights_name_blink(it.row, it.layer, name);
        report(o, r, name, "only in A", -1, out);
    }
    for (it = (struct weights_iter){0}; weights_next(b, &it);) {
        if (counterpart(a, &it) != NULL)
            continue;
        r->only_one++;
        weights_name_blink(it.row, it.layer, name);
        report(o, r, name, "only in B", -1, out);
    }
}

/* Tokens all over the vocabulary, the start token first. */
static void make_tokens(int32_t vocab, int32_t token[VERIFY_TOKENS])
{
    uint64_t x = 0;

    token[0] = 0;
    for (int i = 1; i < VERIFY_TOKENS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        token[i] = (int32_t)((x >> 33) % (uint64_t)vocab);
    }
}

static int compare_logits(const struct weights *a, const struct weights *b,
                          struct result *r, struct err *err)
{
    size_t n = (size_t)TOOL_FORWARD_ROWS * (size_t)a->V;
    float *x = xcalloc(n, sizeof *x), *y = xcalloc(n, sizeof *y);
    struct tool_forward *fa = tool_forward_begin(a, "cpu", err);
    struct tool_forward *fb =
        fa == NULL ? NULL : tool_forward_begin(b, "cpu", err);
    int32_t token[VERIFY_TOKENS];
    double sum = 0;
    int rc = fb == NULL ? -1 : 0;

    make_tokens(a->V, token);
    for (int at = 0; at < VERIFY_TOKENS && rc == 0; at += TOOL_FORWARD_ROWS) {
        if (tool_forward_rows(fa, token + at, TOOL_FORWARD_ROWS, false, x, err)
                < 0
            || tool_forward_rows(fb, token + at, TOOL_FORWARD_ROWS, false, y,
                                 err)
                   < 0)
            rc = -1;
        for (size_t i = 0; i < n && rc == 0; i++) {
            double d = fabs((double)x[i] - (double)y[i]);

            if (x[i] == y[i])
                d = 0;
            sum += d;
            if (!(d <= r->logit_delta))
                r->logit_delta = d;
        }
    }
    r->logit_rows = VERIFY_TOKENS;
    r->logit_mean = sum / ((double)VERIFY_TOKENS * a->V);
    tool_forward_end(fa);
    tool_forward_end(fb);
    free(x);
    free(y);
    return rc;
}

static bool verdict(const struct result *r)
{
    if (r->different + r->only_one > 0 || !isfinite(r->logit_delta))
        return false;
    return r->within > 0 || r->logit_delta == 0;
}

static void summary(const struct tool_verify_options *o, const struct result *r,
                    struct buf *out)
{
    if (o->json) {
        buf_addf(out,
                 "],\"tensors_equal\":%zu,\"tensors_rounded\":%zu,"
                 "\"tensors_different\":%zu,\"tensors_only_in_one\":%zu",
                 r->equal, r->within, r->different, r->only_one);
        if (r->logit_rows > 0 && isfinite(r->logit_delta)) {
            buf_adds(out, ",\"logits_max_delta\":");
            json_add_double(out, r->logit_delta);
            buf_adds(out, ",\"logits_mean_delta\":");
            json_add_double(out, r->logit_mean);
        }
        buf_addf(out, ",\"equal\":%s}\n", verdict(r) ? "true" : "false");
        return;
    }
    buf_addf(out,
             "\n%zu equal, %zu rounded, %zu different, %zu in one model only\n",
             r->equal, r->within, r->different, r->only_one);
    if (r->logit_rows > 0)
        buf_addf(out,
                 "logits of %lld tokens: max |delta| %.3g, mean |delta| %.3g\n",
                 (long long)r->logit_rows, r->logit_delta, r->logit_mean);
    else
        buf_adds(out, "logits not compared: the vocabularies differ\n");
    buf_addf(out, "%s\n",
             verdict(r) ? "equal within dtype tolerance" : "NOT equal");
}

int tool_verify(const void *options, char *const *arg, int n_arg,
                struct err *err)
{
    const struct tool_verify_options *o = options;
    struct weights *a = NULL, *b = NULL;
    struct buf out = BUF_INIT;
    struct result r = {0};
    int rc = -1;

    (void)n_arg;
    a = weights_open(arg[0], err);
    if (a == NULL)
        goto out;
    b = weights_open(arg[1], err);
    if (b == NULL)
        goto out;
    if (o->json)
        buf_adds(&out, "{\"tensors\":[");
    compare_tensors(o, a, b, &r, &out);
    if (a->V == b->V && compare_logits(a, b, &r, err) < 0)
        goto out;
    summary(o, &r, &out);
    rc = tool_print(&out, err);
    if (rc == 0)
        rc = verdict(&r) ? 0 : 1;
out:
    buf_free(&out);
    weights_close(a);
    weights_close(b);
    return rc;
}
