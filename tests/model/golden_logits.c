/* golden_logits: run `skein-model logits` and compare with stored logits.
 *
 * Usage: golden_logits SKEIN-MODEL MODEL GOLDEN TOLERANCE
 * GOLDEN-expected.json names the prompts and their tokens,
 * GOLDEN-expected.safetensors holds PROMPT.logits [T, V] in F64. Prints the
 * largest difference of each prompt; exit status 1 when one exceeds TOLERANCE.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/tensor.h"

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "golden_logits: %s: %s\n", what, why);
    exit(2);
}

/* What `BIN logits MODEL --tokens ... OPTION` prints. */
static json_t *run_tool(const char *bin, const char *model,
                        const json_t *tokens, const char *option)
{
    struct buf command = BUF_INIT;
    json_t *out, *logits;
    json_error_t why;
    FILE *pipe;

    buf_addf(&command, "'%s' logits '%s' %s --tokens ", bin, model, option);
    for (size_t i = 0; i < json_array_size(tokens); i++)
        buf_addf(&command, "%s%lld", i > 0 ? "," : "",
                 (long long)json_integer_value(json_array_get(tokens, i)));
    pipe = popen(command.data, "r");
    if (pipe == NULL)
        die(command.data, "cannot run");
    out = json_loadf(pipe, 0, &why);
    if (pclose(pipe) != 0)
        die(command.data, "failed");
    if (out == NULL)
        die(command.data, why.text);
    logits = json_incref(json_object_get(out, "logits"));
    json_decref(out);
    buf_free(&command);
    return logits;
}

/* The largest |got - want| of one row; infinite when a number is missing. */
static double compare_row(const json_t *got, const double *want, int64_t vocab)
{
    double max = 0;

    if ((int64_t)json_array_size(got) != vocab)
        return INFINITY;
    for (int64_t i = 0; i < vocab; i++) {
        const json_t *x = json_array_get(got, (size_t)i);
        double d =
            json_is_number(x) ? fabs(json_number_value(x) - want[i]) : INFINITY;

        if (!(d <= max))
            max = d;
    }
    return max;
}

static double compare_prompt(const char *bin, const char *model,
                             const json_t *tokens, const struct tensor *want)
{
    int64_t rows = want->shape[0], vocab = want->shape[1];
    double *value = xcalloc((size_t)(rows * vocab), sizeof *value);
    json_t *all = run_tool(bin, model, tokens, "--all");
    json_t *last = run_tool(bin, model, tokens, "");
    double max = 0;

    tensor_read_f64(want, 0, rows * vocab, value);
    if ((int64_t)json_array_size(all) != rows
        || !json_equal(last, json_array_get(all, (size_t)rows - 1)))
        die(model, "--all has other rows than expected, or its last row "
                   "differs from that without --all");
    for (int64_t t = 0; t < rows; t++) {
        double d = compare_row(json_array_get(all, (size_t)t),
                               value + t * vocab, vocab);

        if (d > max)
            max = d;
    }
    json_decref(all);
    json_decref(last);
    free(value);
    return max;
}

int main(int argc, char **argv)
{
    struct buf path = BUF_INIT;
    struct tensor_file *want;
    json_t *root, *tokens;
    json_error_t why;
    const char *prompt;
    struct err err;
    json_t *entry;
    int failed = 0;

    if (argc != 5)
        die("usage", "golden_logits SKEIN-MODEL MODEL GOLDEN TOLERANCE");
    buf_addf(&path, "%s-expected.json", argv[3]);
    root = json_load_file(path.data, 0, &why);
    if (root == NULL)
        die(path.data, why.text);
    buf_clear(&path);
    buf_addf(&path, "%s-expected.safetensors", argv[3]);
    want = tensor_file_open(path.data, &err);
    if (want == NULL)
        die("expected", err.text);
    if (json_object_size(json_object_get(root, "prompts")) == 0)
        die(argv[3], "no prompts");
    json_object_foreach(json_object_get(root, "prompts"), prompt, entry)
    {
        const struct tensor *t;
        double max;

        tokens = json_object_get(entry, "tokens");
        buf_clear(&path);
        buf_addf(&path, "%s.logits", prompt);
        t = tensor_file_find(want, path.data);
        if (t == NULL)
            die(argv[3], path.data);
        max = compare_prompt(argv[1], argv[2], tokens, t);
        printf("%s %s: %zu tokens, max |delta| %.2g\n", argv[2], prompt,
               json_array_size(tokens), max);
        failed |= !(max <= strtod(argv[4], NULL));
    }
    if (failed)
        printf("FAILED: more than %s\n", argv[4]);
    tensor_file_close(want);
    json_decref(root);
    buf_free(&path);
    return failed;
}
