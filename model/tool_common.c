#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/backend.h"
#include "model/tool.h"

int tool_print(struct buf *out, struct err *err)
{
    size_t n = fwrite(out->data, 1, out->len, stdout);

    if (n != out->len)
        return err_set(err, ERR_IO, "cannot write to stdout: %s",
                       strerror(errno));
    buf_clear(out);
    return 0;
}

int tool_read_line(FILE *in, struct buf *line, struct err *err)
{
    int c;

    buf_clear(line);
    while ((c = getc_unlocked(in)) != EOF && c != '\n') {
        if (line->len == TOOL_LINE_BYTES_MAX)
            return err_set(err, ERR_LIMIT,
                           "a line of more than %u bytes on stdin",
                           TOOL_LINE_BYTES_MAX);
        buf_addc(line, (char)c);
    }
    if (ferror(in))
        return err_set(err, ERR_IO, "cannot read stdin: %s", strerror(errno));
    buf_reserve(line, 0)[0] = '\0';
    return c == '\n' || line->len > 0;
}

struct tokenizer *tool_open_tokenizer(const char *file, const char *model,
                                      struct err *err)
{
    struct tokenizer *t;
    char *path;

    if (file != NULL)
        return tokenizer_open(file, err);
    path = tokenizer_find(model, err);
    if (path == NULL)
        return NULL;
    t = tokenizer_open(path, err);
    free(path);
    return t;
}

int tool_parse_ids(const char *text, int32_t vocab, struct ids *out,
                   struct err *err)
{
    const char *p = text;

    for (;;) {
        char *end;
        long long id;

        errno = 0;
        id = strtoll(p, &end, 10);
        if (end == p || (*end != ',' && *end != '\0'))
            return err_set(err, ERR_USAGE,
                           "\"%.32s\" is not a list of token ids like 1,2,3",
                           p);
        if (errno != 0 || id < 0 || id >= vocab)
            return err_set(err, ERR_INVALID, "token id %lld is outside 0..%d",
                           id, vocab - 1);
        ids_add(out, (int32_t)id);
        if (*end == '\0')
            return 0;
        p = end + 1;
    }
}

struct tool_forward {
    struct backend *backend;
};

struct tool_forward *tool_forward_begin(const struct weights *w,
                                        const char *backend, struct err *err)
{
    struct backend_limits limits = {
        .slots = 1, .tokens_per_step = TOOL_FORWARD_ROWS, .score_rows = 1};
    const size_t name = strcspn(backend, ":");
    const char *options = backend[name] == ':' ? backend + name + 1 : NULL;
    const struct backend_ops *ops;
    struct tool_forward *f;

    if (name == 3 && strncmp(backend, "cpu", name) == 0) {
        ops = &backend_cpu;
    } else if (name == 4 && strncmp(backend, "cuda", name) == 0) {
        ops = &backend_cuda;
    } else {
        err_set(err, ERR_USAGE,
                "there is no backend \"%.32s\", only cpu and"
                " cuda",
                backend);
        return NULL;
    }
    f = xcalloc(1, sizeof *f);
    f->backend = backend_create(ops, w, &limits, options, err);
    if (f->backend == NULL) {
        free(f);
        return NULL;
    }
    return f;
}

int tool_forward_rows(struct tool_forward *f, const int32_t *token, int32_t n,
                      bool last_only, float *logits, struct err *err)
{
    struct piece piece = {.slot = 0, .n = n, .token = token};
    int32_t row[TOOL_FORWARD_ROWS];
    struct step step = {.piece = &piece,
                        .n_piece = 1,
                        .logit_row = row,
                        .n_logit = last_only ? 1 : n,
                        .logits = logits};
    int64_t ticket;

    for (int32_t i = 0; i < n; i++)
        row[i] = last_only ? n - 1 : i;
    ticket = backend_submit(f->backend, &step, err);
    return ticket < 0 ? -1 : backend_wait(f->backend, ticket, err);
}

void tool_forward_end(struct tool_forward *f)
{
    if (f == NULL)
        return;
    backend_destroy(f->backend);
    free(f);
}
