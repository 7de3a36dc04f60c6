#include "client/runstate.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

#define RUN_FILE "run.json"
#define RUN_FILE_BYTES_MAX (64u << 10)
#define RUN_SCHEMA 1
#define LOCK_TRIES 10

void runstate_free(struct runstate *s)
{
    free(s->input);
    free(s->model);
    free(s->tokenizer);
    free(s->bos);
    *s = (struct runstate){0};
}

/* Open and lock; 0 when the directory that was locked is no longer the one at
 * this name, because another run has just removed it.
 */
static int try_lock(const char *dir, int *out, struct err *err)
{
    struct stat held, named;
    int fd;

    if (file_mkdirs(dir, err) < 0)
        return -1;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_set(err, ERR_IO, "%s: cannot open: %s", dir,
                       strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return err_set(err, ERR_CONFLICT,
                       "%s: another skein run is using it; "
                       "wait for it, or choose another output",
                       dir);
    }
    if (fstat(fd, &held) < 0 || stat(dir, &named) < 0
        || held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
        close(fd);
        return 0;
    }
    *out = fd;
    return 1;
}

int runstate_lock(const char *dir, bool fresh, struct err *err)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        int fd;
        int got = try_lock(dir, &fd, err);

        if (got < 0)
            return -1;
        if (got == 0)
            continue;
        if (!fresh)
            return fd;
        /* Under the lock the tree goes away; then lock the new one. */
        fresh = false;
        got = file_remove_tree(dir, err);
        close(fd);
        if (got < 0)
            return -1;
    }
    return err_set(err, ERR_AGAIN, "%s: it keeps being removed by others", dir);
}

static json_t *hex_text(const uint8_t *data, size_t len)
{
    char hex[2 * HASH_BYTES + 1];

    hash_hex(data, len, hex);
    return json_string(hex);
}

static int read_hex(const json_t *o, const char *key, uint8_t *out, size_t len)
{
    const char *s = json_string_value(json_object_get(o, key));

    if (s == NULL || strlen(s) != 2 * len)
        return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;

        if (sscanf(s + 2 * i, "%2x", &byte) != 1)
            return -1;
        out[i] = (uint8_t)byte;
    }
    return 0;
}

static int read_text(const json_t *o, const char *key, char **out)
{
    const char *s = json_string_value(json_object_get(o, key));

    if (s == NULL)
        return -1;
    *out = xstrdup(s);
    return 0;
}

static int read_number(const json_t *o, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(o, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -1;
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_flag(const json_t *o, const char *key, bool *out)
{
    const json_t *value = json_object_get(o, key);

    *out = json_is_true(value);
    return json_is_boolean(value) ? 0 : -1;
}

static int read_fields(const json_t *o, struct runstate *s)
{
    uint64_t created = 0, schema = 0;
    int bad = 0;

    bad |= read_number(o, "schema", &schema);
    bad |= read_text(o, "input", &s->input);
    bad |= read_number(o, "input_bytes", &s->input_bytes);
    bad |= read_hex(o, "input_blake2b", s->input_hash, HASH_BYTES);
    bad |= read_text(o, "model", &s->model);
    bad |= read_number(o, "model_bytes", &s->model_bytes);
    bad |= read_text(o, "tokenizer", &s->tokenizer);
    bad |= read_hex(o, "tokenizer_blake2b", s->tokenizer_hash, HASH_BYTES);
    bad |= read_text(o, "bos", &s->bos);
    bad |= read_flag(o, "lenient", &s->lenient);
    bad |= read_number(o, "seed", &s->seed);
    bad |= read_number(o, "created", &created);
    bad |= read_hex(o, "request_id", s->request_id, SUBMIT_ID_BYTES);
    s->created_s = (int64_t)created;
    return bad != 0 || schema != RUN_SCHEMA ? -1 : 0;
}

int runstate_read(const char *dir, struct runstate *out, struct err *err)
{
    char *path = file_join(dir, RUN_FILE);
    struct buf text = BUF_INIT;
    json_t *o = NULL;
    int ret = 0;

    *out = (struct runstate){0};
    if (!file_exists(path))
        goto out;
    ret = file_read(path, RUN_FILE_BYTES_MAX, &text, err);
    if (ret < 0)
        goto out;
    o = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    ret = 1;
    if (o == NULL || read_fields(o, out) < 0) {
        runstate_free(out);
        ret = err_set(err, ERR_CORRUPT,
                      "%s: not readable by this version; "
                      "--fresh starts over",
                      path);
    }
out:
    json_decref(o);
    buf_free(&text);
    free(path);
    return ret;
}

int runstate_write(const char *dir, const struct runstate *s, struct err *err)
{
    json_t *o = json_pack(
        "{s:i, s:s, s:I, s:o, s:s, s:I, s:s, s:o, s:s, s:b, s:I, s:I, s:o}",
        "schema", RUN_SCHEMA, "input", s->input, "input_bytes",
        (json_int_t)s->input_bytes, "input_blake2b",
        hex_text(s->input_hash, HASH_BYTES), "model", s->model, "model_bytes",
        (json_int_t)s->model_bytes, "tokenizer", s->tokenizer,
        "tokenizer_blake2b", hex_text(s->tokenizer_hash, HASH_BYTES), "bos",
        s->bos, "lenient", s->lenient, "seed", (json_int_t)s->seed, "created",
        (json_int_t)s->created_s, "request_id",
        hex_text(s->request_id, SUBMIT_ID_BYTES));
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(2)) : NULL;
    char *path;
    int ret;

    json_decref(o);
    if (text == NULL)
        return err_set(err, ERR_INVALID,
                       "a path is not UTF-8: it cannot be "
                       "recorded in %s/" RUN_FILE,
                       dir);
    path = file_join(dir, RUN_FILE);
    ret = file_replace(path, text, strlen(text), err);
    free(path);
    free(text);
    return ret;
}

static void changed(struct buf *list, const char *what)
{
    buf_addf(list, "%s%s", list->len > 0 ? ", " : "", what);
}

int runstate_compare(const struct runstate *before, const struct runstate *now,
                     struct err *err)
{
    struct buf list = BUF_INIT;

    if (before->input_bytes != now->input_bytes
        || memcmp(before->input_hash, now->input_hash, HASH_BYTES) != 0)
        changed(&list, "the content of the input");
    if (strcmp(before->model, now->model) != 0)
        changed(&list, "--model");
    else if (before->model_bytes != now->model_bytes)
        changed(&list, "the model's files");
    if (memcmp(before->tokenizer_hash, now->tokenizer_hash, HASH_BYTES) != 0)
        changed(&list, "the tokenizer");
    if (strcmp(before->bos, now->bos) != 0)
        changed(&list, "--bos");
    if (before->lenient != now->lenient)
        changed(&list, "--lenient");
    if (before->seed != now->seed)
        changed(&list, "--seed");
    if (now->created_given && before->created_s != now->created_s)
        changed(&list, "--created");
    if (list.len == 0)
        return 0;
    err_set(err, ERR_CONFLICT,
            "an unfinished run with this output differs in: "
            "%s. Repeat its command to resume it, or start over with --fresh",
            list.data);
    buf_free(&list);
    return -1;
}
