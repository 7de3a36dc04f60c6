#include <string.h>

#include "model/export.h"
#include "model/tool.h"

static int export_options(const struct tool_convert_options *o,
                          struct export_options *e, struct err *err)
{
    *e = (struct export_options){.keep_dtype = o->dtype == NULL,
                                 .vector = DTYPE_F32};
    if (strcmp(o->format, "fla") == 0)
        e->format = EXPORT_FLA;
    else
        e->format = EXPORT_BLINK;
    if (o->all_bf16) {
        if (o->dtype != NULL)
            return err_set(err, ERR_USAGE,
                           "--dtype and --all-bf16 exclude each other");
        e->keep_dtype = false;
        e->matrix = e->vector = DTYPE_BF16;
    } else if (o->dtype != NULL) {
        if (strcmp(o->dtype, "bf16") == 0)
            e->matrix = DTYPE_BF16;
        else if (strcmp(o->dtype, "fp16") == 0)
            e->matrix = DTYPE_F16;
        else
            e->matrix = DTYPE_F32;
    }
    return 0;
}

static void warn(const struct weights *w, const struct tool_convert_options *o,
                 const struct export_options *e)
{
    if (o->all_bf16)
        fputs("skein-model convert: WARNING: --all-bf16 rounds norm weights, "
              "decay and mixing\nvectors to 8 bits of precision. That is what "
              "converted RWKV-7 checkpoints in\nflash-linear-attention "
              "suffered from; use --dtype bf16, which keeps them in fp32.\n",
              stderr);
    if (e->format == EXPORT_FLA && w->N != 64)
        fprintf(stderr,
                "skein-model convert: warning: flash-linear-attention uses "
                "GroupNorm eps %d * 1e-5,\nRWKV-7 uses 64e-5: with heads of "
                "%d it will not reproduce this model\n",
                w->N, w->N);
    if (e->format == EXPORT_FLA
        && (weight_present(&w->head_bias)
            || weight_present(&w->layer[0].output_bias)))
        fputs("skein-model convert: warning: the biases lm_head.bias and "
              "attn.o_proj.bias are not\nknown to flash-linear-attention\n",
              stderr);
    for (size_t i = 0; i < w->n_unused; i++)
        fprintf(stderr, "skein-model convert: left out, not used: %s\n",
                w->unused[i]);
}

int tool_convert(const void *options, char *const *arg, int n_arg,
                 struct err *err)
{
    const struct tool_convert_options *o = options;
    struct export_options e;
    struct weights *w;
    int rc;

    (void)n_arg;
    if (export_options(o, &e, err) < 0)
        return -1;
    w = weights_open(arg[0], err);
    if (w == NULL)
        return -1;
    warn(w, o, &e);
    rc = export_write(w, arg[1], &e, err);
    weights_close(w);
    return rc;
}
