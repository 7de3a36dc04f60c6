#include "tests/daemon/spooled.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "proto/lineset.h"

void spooled_init(struct spooled *s)
{
    struct err err;

    *s = (struct spooled){0};
    ck_assert_int_eq(hash_init(&err), 0);
    snprintf(s->dir, sizeof s->dir, "/tmp/skein-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    spooled_open(s);
}

static void on_found(void *arg, struct job_image *image)
{
    struct spooled *s = arg;

    ck_assert_uint_lt(s->n_found, 64);
    s->found[s->n_found++] = image;
}

void spooled_open(struct spooled *s)
{
    struct err err;

    s->spool = spool_open(s->dir, &err);
    ck_assert_msg(s->spool != NULL, "%s", err.text);
    s->store = store_open(s->spool, &s->epoch, &err);
    ck_assert_msg(s->store != NULL, "%s", err.text);
    ck_assert_msg(store_recover(s->store, on_found, s, &err) == 0, "%s",
                  err.text);
}

void spooled_close(struct spooled *s)
{
    for (size_t i = 0; i < s->n_found; i++)
        job_image_free(s->found[i]);
    s->n_found = 0;
    store_close(s->store);
    spool_close(s->spool);
    s->store = NULL;
    s->spool = NULL;
}

void spooled_free(struct spooled *s)
{
    spooled_close(s);
    file_remove_tree(s->dir, NULL);
}

const char *spooled_path(const struct spooled *s, const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    return path;
}

struct job_image *spooled_image(uint64_t id, uint32_t n_shards)
{
    struct job_image *i = xcalloc(1, sizeof *i);

    i->id = id;
    memset(i->request_id, (int)id, sizeof i->request_id);
    buf_adds(&i->spec, "spec");
    i->n_shards = n_shards;
    i->lines = i->records = 2 * (uint64_t)n_shards;
    i->submitted_unix_ms = 1234;
    i->shard = xcalloc(n_shards + 1, sizeof *i->shard);
    for (uint32_t k = 0; k < n_shards; k++)
        i->shard[k].n_records = 2;
    return i;
}

void spooled_result(uint64_t first_line, uint32_t n, uint32_t n_errors,
                    struct buf *out)
{
    struct lineset_writer w;
    char text[64];

    lineset_writer_init(&w);
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(text, sizeof text, "answer %llu",
                           (unsigned long long)first_line + i);

        lineset_add(&w, first_line + i, text, (size_t)len, i < n_errors);
    }
    lineset_pack(&w, out);
    lineset_writer_free(&w);
}

struct op *spooled_stage(uint64_t id, uint32_t k)
{
    struct op *op = op_create(OP_STAGE, id);

    op->stage.shard = k;
    op->stage.first_line = 2 * k + 1;
    op->stage.n_lines = 2;
    op->stage.n_records = 2;
    op->stage.cost = 7;
    spooled_result(2 * k + 1, 2, 0, &op->stage.input);
    spooled_result(1, 0, 0, &op->stage.rejected);
    return op;
}

void spooled_job(struct spooled *s, uint64_t id, uint32_t n_shards)
{
    struct job_image *image = spooled_image(id, n_shards);
    struct err err;
    struct store_job *j = store_stage(s->store, id, &err);

    ck_assert_msg(j != NULL, "%s", err.text);
    for (uint32_t k = 0; k < n_shards; k++) {
        struct op *op = spooled_stage(id, k);

        ck_assert_msg(store_stage_add(j, &op, 1, &err) == 0, "%s", err.text);
        op_free(op);
    }
    ck_assert_msg(store_stage_accept(j, image, &err) == 0, "%s", err.text);
    job_image_free(image);
}

struct op *spooled_grant(const struct token *t)
{
    struct op *op = op_create(OP_GRANT, t->job);
    struct op_lease *l = op_add_lease(op);

    l->token = *t;
    snprintf(l->name, sizeof l->name, "worker");
    op->grant.start = true;
    memset(op->grant.fingerprint, 9, HASH_BYTES);
    op->grant.started_unix_ms = 77;
    return op;
}

struct op *spooled_upload(const struct token *t, uint64_t first_line,
                          uint32_t n_errors)
{
    struct op *op = op_create(OP_RESULT, t->job);

    op->result.token = *t;
    op->result.tokens_in = 5;
    op->result.n_errors = n_errors;
    spooled_result(first_line, 2, n_errors, &op->result.blob);
    hash_bytes(op->result.blob.data, op->result.blob.len, op->result.hash);
    return op;
}

void spooled_flip(const char *path, const void *pattern, size_t len)
{
    struct buf bytes = BUF_INIT;
    struct err err;
    FILE *f;
    char *at;

    ck_assert_int_eq(file_read(path, 1u << 26, &bytes, &err), 0);
    at = memmem(bytes.data, bytes.len, pattern, len);
    ck_assert_msg(at != NULL, "%s does not hold what was to be flipped", path);
    f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, at - bytes.data + (long)len / 2, SEEK_SET);
    fputc(at[len / 2] ^ 4, f);
    fclose(f);
    buf_free(&bytes);
}
