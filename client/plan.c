#include "client/plan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "client/output.h"
#include "common/file.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "text/tokenizer.h"

#define HASH_STEP_BYTES (1u << 20)
#define PEEK_LINES 100 /* looked at for text when there is no tokenizer */

char *plan_stem(const char *output)
{
    static const char suffix[] = ".jsonl";
    size_t len = strlen(output), cut = strlen(suffix);
    const char *slash = strrchr(output, '/');
    size_t name = slash != NULL ? (size_t)(slash + 1 - output) : 0;

    if (len > name + cut && strcmp(output + len - cut, suffix) == 0)
        len -= cut;
    return xstrndup(output, len);
}

static char *with_suffix(const char *stem, const char *suffix)
{
    struct buf b = BUF_INIT;

    buf_addf(&b, "%s%s", stem, suffix);
    return b.data;
}

static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    if (strcmp(a, b) == 0)
        return true;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev
           && sa.st_ino == sb.st_ino;
}

/* The output will be renamed into place: there must be a place, and it must not
 * be a device or a pipe.
 */
static int check_output(const char *path, const char *what, struct err *err)
{
    struct stat st;
    char *dir;
    int ret = 0;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, ERR_USAGE, "option --%s: %s is not a regular file",
                       what, path);
    dir = xstrdup(path);
    if (strrchr(dir, '/') == NULL)
        strcpy(dir, ".");
    else
        strrchr(dir, '/')[strrchr(dir, '/') == dir] = '\0';
    if (access(dir, W_OK) < 0)
        ret = err_set(err, ERR_IO, "option --%s: cannot write to %s: %s", what,
                      dir, strerror(errno));
    free(dir);
    return ret;
}

static int plan_paths(struct plan *p, struct err *err)
{
    const struct run_options *o = p->options;
    char *stem;

    if (o->output == NULL || strcmp(o->output, "-") == 0)
        return err_set(err, ERR_USAGE,
                       "where to? Give --output FILE; the run "
                       "keeps what it needs to resume beside it");
    if (strcmp(p->input_path, "-") == 0)
        return err_set(err, ERR_USAGE,
                       "the input must be a file, so that the "
                       "run can be resumed");
    p->output = output_resolve(o->output, err);
    if (p->output == NULL)
        return -1;
    stem = plan_stem(p->output);
    p->dir = with_suffix(stem, ".skein");
    p->errors_given = o->errors != NULL;
    p->errors = o->errors != NULL ? output_resolve(o->errors, err)
                                  : with_suffix(stem, ".errors.jsonl");
    free(stem);
    if (p->errors == NULL)
        return -1;
    if (same_file(p->input_path, p->output)
        || same_file(p->input_path, p->errors)
        || same_file(p->output, p->errors))
        return err_set(err, ERR_USAGE,
                       "input, output and error file must be "
                       "three different files");
    if (check_output(p->output, "output", err) < 0)
        return -1;
    return check_output(p->errors, "errors", err);
}

/* Bytes of a file, or of the regular files in a directory. */
static int size_of(const char *path, uint64_t *out, struct err *err)
{
    struct dirent *entry;
    struct stat st;
    DIR *dir;

    *out = 0;
    if (stat(path, &st) < 0)
        goto fail;
    if (!S_ISDIR(st.st_mode)) {
        *out = (uint64_t)st.st_size;
        return 0;
    }
    dir = opendir(path);
    if (dir == NULL)
        goto fail;
    while ((entry = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0
            && S_ISREG(st.st_mode))
            *out += (uint64_t)st.st_size;
    }
    closedir(dir);
    return 0;
fail:
    return err_set(err, ERR_CONFIG, "%s: cannot read the model: %s", path,
                   strerror(errno));
}

/* "null" or "null,null" ... */
static bool null_devices(const struct run_options *o)
{
    return o->devices != NULL && strncmp(o->devices, "null", 4) == 0;
}

/* Where ".pth" or the like begins at the end of a name, or NULL. */
static const char *checkpoint_suffix(const char *name)
{
    static const char *const suffix[] = {".safetensors", ".pth", ".pt", ".bin"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof suffix / sizeof *suffix; i++) {
        if (strcmp(dot, suffix[i]) == 0)
            return dot;
    }
    return NULL;
}

/* What lines of an OpenAI batch call the model, and workers elsewhere would: the
 * file or directory without its suffix. malloc'ed
 */
static char *name_of_model(const char *path)
{
    char *name = cmd_basename(path);
    const char *suffix = checkpoint_suffix(name);

    if (suffix != NULL && suffix > name)
        name[suffix - name] = '\0';
    return name;
}

/* Could this be a checkpoint? A look at the first bytes of a file (safetensors:
 * a length, then JSON; torch: a zip) or the names in a directory; the worker
 * reads it properly.
 */
static bool is_checkpoint(const char *path)
{
    char head[9] = {0};
    struct dirent *entry;
    bool found = false;
    DIR *dir = opendir(path);

    if (dir == NULL) {
        FILE *f = fopen(path, "re");

        if (f != NULL && fread(head, 1, sizeof head, f) == sizeof head)
            found = memcmp(head, "PK", 2) == 0 || head[8] == '{';
        if (f != NULL)
            fclose(f);
        return found;
    }
    while (!found && (entry = readdir(dir)) != NULL) {
        found = checkpoint_suffix(entry->d_name) != NULL;
    }
    closedir(dir);
    return found;
}

static bool wants_null(const struct run_options *o)
{
    return null_devices(o)
           || (o->model != NULL && strcmp(o->model, "null") == 0);
}

static int plan_model(struct plan *p, struct err *err)
{
    const struct run_options *o = p->options;
    char resolved[PATH_MAX];
    struct buf arg = BUF_INIT;

    p->null_backend = wants_null(o);
    p->devices = p->null_backend && !null_devices(o) ? "null" : o->devices;
    if (p->null_backend) {
        p->model_name = xstrdup("null");
        p->model_arg = xstrdup("null=null");
        p->state.model = xstrdup("null");
        return 0;
    }
    if (o->model == NULL)
        return err_set(err, ERR_USAGE,
                       "which model? Give --model FILE or "
                       "DIRECTORY");
    if (realpath(o->model, resolved) == NULL)
        return err_set(err, ERR_CONFIG, "option --model: %s: %s", o->model,
                       strerror(errno));
    if (access(resolved, R_OK) < 0)
        return err_set(err, ERR_CONFIG, "option --model: %s: %s", o->model,
                       strerror(errno));
    if (!is_checkpoint(resolved))
        return err_set(err, ERR_CONFIG,
                       "option --model: %s: is no checkpoint "
                       "(safetensors or torch .pth), nor a directory with one",
                       o->model);
    p->state.model = xstrdup(resolved);
    p->model_name = name_of_model(resolved);
    if (strlen(p->model_name) > MODEL_NAME_BYTES_MAX
        || strchr(p->model_name, '=') != NULL
        || strchr(p->model_name, '@') != NULL)
        return err_set(err, ERR_CONFIG,
                       "option --model: the name %.80s has more "
                       "than %d bytes, or '=' or '@' in it",
                       p->model_name, MODEL_NAME_BYTES_MAX);
    buf_addf(&arg, "%s=%s", p->model_name, resolved);
    p->model_arg = arg.data;
    return size_of(resolved, &p->state.model_bytes, err);
}

static int load_tokenizer(struct plan *p, struct err *err)
{
    struct tokenizer *t = tokenizer_open(p->tokenizer, err);

    if (t == NULL) {
        if (err != NULL)
            err->code = ERR_CONFIG;
        return err_wrap(err, "tokenizer");
    }
    memcpy(p->state.tokenizer_hash, tokenizer_hash(t), HASH_BYTES);
    tokenizer_close(t);
    return 0;
}

/* Without a tokenizer only token ids can be worked on. If the first lines hold
 * text, then say so now.
 */
static int check_needs_none(struct plan *p, const struct err *why,
                            struct err *err)
{
    struct lines lines;
    const char *line;
    size_t len;
    int got = 1;

    lines_open(&lines, &p->input, RECORD_BYTES_MAX);
    while (got == 1 && lines.number < PEEK_LINES) {
        const struct record_job any = {.lenient = true};
        struct record_error ignored;
        struct record *r;

        got = lines_next(&lines, &line, &len, err);
        if (got != 1)
            break;
        r = record_parse(&any, line, len, lines.number, NULL, &ignored);
        if (r != NULL && record_has_text(r))
            got = err_set(err, ERR_CONFIG,
                          "%s:%llu: has text, and there is no "
                          "tokenizer (%s). Give --tokenizer FILE",
                          p->input_path, (unsigned long long)lines.number,
                          why->text);
        record_free(r);
    }
    lines_close(&lines);
    return got < 0 ? -1 : 0;
}

static int plan_tokenizer(struct plan *p, struct err *err)
{
    const struct run_options *o = p->options;
    struct err why = {.code = ERR_NONE};

    if (o->tokenizer != NULL) {
        p->tokenizer = xstrdup(o->tokenizer);
    } else if (!p->null_backend) {
        p->tokenizer = tokenizer_find(p->state.model, &why);
        if (p->tokenizer == NULL && check_needs_none(p, &why, err) < 0)
            return -1;
    }
    p->state.tokenizer = xstrdup(p->tokenizer != NULL ? p->tokenizer : "");
    return p->tokenizer != NULL ? load_tokenizer(p, err) : 0;
}

static int hash_input(struct plan *p, struct err *err)
{
    struct hash_ctx *ctx = hash_begin();
    uint8_t *step = xcalloc(1, HASH_STEP_BYTES);
    uint64_t at = 0;
    int64_t n;

    do {
        n = input_read_at(&p->input, at, step, HASH_STEP_BYTES, err);
        if (interrupt_signal() != 0)
            n = err_set(err, ERR_CANCELLED, "interrupted");
        if (n > 0)
            hash_update(ctx, step, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
    } while (n > 0);
    hash_end(ctx, p->state.input_hash);
    free(step);
    p->state.input_bytes = at;
    return n < 0 ? -1 : 0;
}

static int plan_state(struct plan *p, struct err *err)
{
    const struct run_options *o = p->options;
    struct runstate *s = &p->state;

    s->input = xstrdup(p->input_path);
    s->bos = xstrdup(o->bos != NULL ? o->bos : cmd_bos_choices[0]);
    s->lenient = o->lenient;
    s->seed = (uint64_t)o->seed.value;
    s->created_given = o->created.given;
    if (cmd_created(&o->created, &s->created_s, err) < 0)
        return -1;
    return hash_input(p, err);
}

int plan_make(const struct run_options *o, const char *input, struct plan *p,
              struct err *err)
{
    *p = (struct plan){.options = o, .input_path = input, .input = INPUT_INIT};
    if (plan_paths(p, err) < 0 || input_open(input, &p->input, err) < 0
        || plan_model(p, err) < 0 || plan_tokenizer(p, err) < 0
        || plan_state(p, err) < 0) {
        plan_free(p);
        return -1;
    }
    return 0;
}

void plan_free(struct plan *p)
{
    input_close(&p->input);
    free(p->output);
    free(p->errors);
    free(p->dir);
    free(p->model_name);
    free(p->model_arg);
    free(p->tokenizer);
    runstate_free(&p->state);
    *p = (struct plan){.input = INPUT_INIT};
}
