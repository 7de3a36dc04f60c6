#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/tool.h"
#include "proto/record.h"

static int add_row(struct buf *out, const float *logits, int32_t vocab,
                   size_t position, struct err *err)
{
    buf_addc(out, '[');
    for (int32_t i = 0; i < vocab; i++) {
        if (!isfinite(logits[i]))
            return err_set(err, ERR_INVALID,
                           "logit %d after position %zu is not finite", i,
                           position);
        if (i > 0)
            buf_addc(out, ',');
        json_add_float(out, logits[i]);
    }
    buf_addc(out, ']');
    return 0;
}

static int print_logits(struct tool_forward *f, const struct ids *ids,
                        int32_t vocab, bool all, struct err *err)
{
    float *logits =
        xcalloc((size_t)TOOL_FORWARD_ROWS * (size_t)vocab, sizeof *logits);
    struct buf out = BUF_INIT;
    int rc = 0;

    buf_adds(&out, all ? "{\"logits\":[" : "{\"logits\":");
    for (size_t at = 0; at < ids->n && rc == 0; at += TOOL_FORWARD_ROWS) {
        size_t left = ids->n - at;
        int32_t n =
            left < TOOL_FORWARD_ROWS ? (int32_t)left : TOOL_FORWARD_ROWS;
        bool last = (size_t)n == left;

        rc = tool_forward_rows(f, ids->id + at, n, !all, logits, err);
        for (int32_t i = 0; i < n && all && rc == 0; i++) {
            if (at > 0 || i > 0)
                buf_addc(&out, ',');
            rc = add_row(&out, logits + (size_t)i * (size_t)vocab, vocab,
                         at + (size_t)i, err);
        }
        if (last && !all && rc == 0)
            rc = add_row(&out, logits, vocab, ids->n - 1, err);
        if (last && rc == 0)
            buf_adds(&out, all ? "]}\n" : "}\n");
        if (rc == 0)
            rc = tool_print(&out, err);
    }
    buf_free(&out);
    free(logits);
    return rc;
}

int tool_logits(const void *options, char *const *arg, int n_arg,
                struct err *err)
{
    const struct tool_logits_options *o = options;
    const char *name = o->backend != NULL ? o->backend : "cpu";
    struct tool_forward *f = NULL;
    struct weights *w = NULL;
    struct buf backend = BUF_INIT;
    struct ids ids = {0};
    int rc = -1;

    (void)n_arg;
    w = weights_open(arg[0], err);
    if (w == NULL || tool_parse_ids(o->tokens, w->V, &ids, err) < 0)
        goto out;
    buf_adds(&backend, name);
    if (o->compute != NULL)
        buf_addf(&backend, "%ccompute=%s",
                 strchr(name, ':') == NULL ? ':' : ',', o->compute);
    f = tool_forward_begin(w, backend.data, err);
    if (f == NULL)
        goto out;
    rc = print_logits(f, &ids, w->V, o->all, err);
out:
    tool_forward_end(f);
    weights_close(w);
    buf_free(&backend);
    ids_free(&ids);
    return rc;
}
