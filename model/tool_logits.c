#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/tool.h"
#include "proto/record.h"

static const char help[] =
    "Usage: skein-model logits MODEL --tokens 1,2,3 [--all] [--backend NAME]\n"
    "\n"
    "Runs the tokens through the model from an empty state and prints one "
    "JSON\n"
    "object {\"logits\":[...]}: those after the last token, before softmax.\n"
    "Nothing is added to the tokens; put 0 first for a start token.\n"
    "\n"
    "  --tokens IDS     comma-separated token ids\n"
    "  --all            an array for each position, {\"logits\":[[...],...]}\n"
    "  --backend NAME   cpu (default), or cpu:isa=portable|avx2|avx512: the\n"
    "                   same bits, by other instructions\n"
    "                   cuda, or cuda:device=1: a GPU, where there is one\n"
    "  --compute TYPE   of cuda's products: fp16 (default), bf16, fp32 (the\n"
    "                   bits of cpu)\n"
    "\n"
    "  skein-model logits rwkv7-0.1b.pth --tokens 0,510,1002 --all\n";

struct options {
    const char *model, *tokens, *backend, *compute;
    bool all;
};

static int parse_options(int argc, char **argv, struct options *o,
                         struct err *err)
{
    static const struct option longs[] = {
        {"tokens", required_argument, NULL, 't'},
        {"all", no_argument, NULL, 'a'},
        {"backend", required_argument, NULL, 'b'},
        {"compute", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int c;

    *o = (struct options){.backend = "cpu"};
    opterr = 0;
    while ((c = getopt_long(argc, argv, "t:ab:c:h", longs, NULL)) != -1) {
        if (c == 't')
            o->tokens = optarg;
        else if (c == 'a')
            o->all = true;
        else if (c == 'b')
            o->backend = optarg;
        else if (c == 'c')
            o->compute = optarg;
        else if (c == 'h')
            return TOOL_HELP;
        else
            return tool_bad_option("logits", argv, err);
    }
    if (optind + 1 != argc)
        return tool_usage("logits", err, "one MODEL expected");
    if (o->tokens == NULL)
        return tool_usage("logits", err, "--tokens is missing");
    o->model = argv[optind];
    return 0;
}

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

int tool_logits(int argc, char **argv, struct err *err)
{
    struct tool_forward *f = NULL;
    struct weights *w = NULL;
    struct buf backend = BUF_INIT;
    struct ids ids = {0};
    struct options o;
    int rc = parse_options(argc, argv, &o, err);

    if (rc == TOOL_HELP) {
        fputs(help, stdout);
        return 0;
    }
    if (rc < 0)
        return -1;
    rc = -1;
    w = weights_open(o.model, err);
    if (w == NULL || tool_parse_ids(o.tokens, w->V, &ids, err) < 0)
        goto out;
    buf_adds(&backend, o.backend);
    if (o.compute != NULL)
        buf_addf(&backend, "%ccompute=%s",
                 strchr(o.backend, ':') == NULL ? ':' : ',', o.compute);
    f = tool_forward_begin(w, backend.data, err);
    if (f == NULL)
        goto out;
    rc = print_logits(f, &ids, w->V, o.all, err);
out:
    tool_forward_end(f);
    weights_close(w);
    buf_free(&backend);
    ids_free(&ids);
    return rc;
}
