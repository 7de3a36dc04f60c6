#include <getopt.h>
#include <string.h>

#include "model/export.h"
#include "model/tool.h"

static const char help[] =
    "Usage: skein-model convert IN OUT --format fla|blink [--dtype TYPE]\n"
    "\n"
    "Writes the model IN (any format skein reads) as\n"
    "\n"
    "  --format fla     directory OUT with model.safetensors and config.json,\n"
    "                   as flash-linear-attention and transformers load it\n"
    "  --format blink   safetensors file OUT with BlinkDL's names and shapes\n"
    "\n"
    "Every tensor keeps its dtype and its bits, unless\n"
    "\n"
    "  --dtype TYPE     bf16, fp16 or fp32 for matrices; vectors (norms, "
    "decay,\n"
    "                   mixing, biases) become fp32, whatever TYPE is\n"
    "  --all-bf16       bf16 for everything, vectors too: loses precision "
    "where\n"
    "                   it matters. Only to reproduce such files\n"
    "\n"
    "Tensors RWKV-7 does not use are left out and named on stderr.\n"
    "\n"
    "  skein-model convert rwkv7-0.1b.pth rwkv7-0.1b-fla --format fla\n"
    "  skein-model verify rwkv7-0.1b.pth rwkv7-0.1b-fla\n";

struct options {
    const char *in, *out, *format, *dtype;
    bool all_bf16;
};

static int parse_options(int argc, char **argv, struct options *o,
                         struct err *err)
{
    static const struct option longs[] = {
        {"format", required_argument, NULL, 'f'},
        {"dtype", required_argument, NULL, 'd'},
        {"all-bf16", no_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int c;

    *o = (struct options){0};
    opterr = 0;
    while ((c = getopt_long(argc, argv, "f:d:h", longs, NULL)) != -1) {
        if (c == 'f')
            o->format = optarg;
        else if (c == 'd')
            o->dtype = optarg;
        else if (c == 'a')
            o->all_bf16 = true;
        else if (c == 'h')
            return TOOL_HELP;
        else
            return tool_bad_option("convert", argv, err);
    }
    if (optind + 2 != argc)
        return tool_usage("convert", err, "IN and OUT expected");
    o->in = argv[optind];
    o->out = argv[optind + 1];
    return 0;
}

static int export_options(const struct options *o, struct export_options *e,
                          struct err *err)
{
    *e = (struct export_options){.keep_dtype = o->dtype == NULL,
                                 .vector = DTYPE_F32};
    if (o->format != NULL && strcmp(o->format, "fla") == 0)
        e->format = EXPORT_FLA;
    else if (o->format != NULL && strcmp(o->format, "blink") == 0)
        e->format = EXPORT_BLINK;
    else
        return tool_usage("convert", err, "--format fla or blink expected");
    if (o->all_bf16) {
        if (o->dtype != NULL)
            return tool_usage("convert", err,
                              "--dtype and --all-bf16 exclude each other");
        e->keep_dtype = false;
        e->matrix = e->vector = DTYPE_BF16;
    } else if (o->dtype != NULL) {
        if (strcmp(o->dtype, "bf16") == 0)
            e->matrix = DTYPE_BF16;
        else if (strcmp(o->dtype, "fp16") == 0)
            e->matrix = DTYPE_F16;
        else if (strcmp(o->dtype, "fp32") == 0)
            e->matrix = DTYPE_F32;
        else
            return tool_usage("convert", err,
                              "--dtype bf16, fp16 or fp32 expected");
    }
    return 0;
}

static void warn(const struct weights *w, const struct options *o,
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

int tool_convert(int argc, char **argv, struct err *err)
{
    struct export_options e;
    struct weights *w;
    struct options o;
    int rc = parse_options(argc, argv, &o, err);

    if (rc == TOOL_HELP) {
        fputs(help, stdout);
        return 0;
    }
    if (rc < 0 || export_options(&o, &e, err) < 0)
        return -1;
    w = weights_open(o.in, err);
    if (w == NULL)
        return -1;
    warn(w, &o, &e);
    rc = export_write(w, o.out, &e, err);
    weights_close(w);
    return rc;
}
