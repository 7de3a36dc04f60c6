/* Lines into shards: cut anywhere, the same job. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ingest.h"
#include "daemon/restage.h"
#include "proto/limits.h"
#include "proto/lineset.h"
#include "proto/record.h"

static struct ingest_pool *pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct op *staged; /* not given back yet; newest first */
static bool disk_full;
static const char *scratch = "/tmp";
static size_t id_run;

static void on_submit(void *arg, struct op *op)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    op->next = staged;
    staged = op;
    pthread_mutex_unlock(&lock);
}

static void start_pool(int threads, uint64_t max_records)
{
    struct ingest_config config = {
        .threads = threads,
        .max_records = max_records,
        .scratch = scratch,
        .id_run = id_run,
        .submit = on_submit,
    };
    struct err err;

    ck_assert_int_eq(hash_init(&err), 0);
    pool = ingest_pool_start(&config, &err);
    ck_assert_ptr_nonnull(pool);
    disk_full = false;
}

static void setup(void)
{
    start_pool(3, 1000000);
}

static void teardown(void)
{
    ingest_pool_stop(pool);
}

/* What became of one submission: the shards in order, all lines as text. */
struct outcome {
    enum ingest_progress progress;
    struct err err;
    struct job_image *image;
    struct buf text; /* "S<shard>\n", then "<line>[!]:<text>\n" */
    uint32_t n_ops;
    uint64_t lines_sum;  /* n_lines of all shards */
    uint32_t n_again;    /* shards staged again */
    struct op *op[4096]; /* by shard */
};

static void add_lines(struct outcome *o, const struct buf *packed)
{
    struct lineset set;
    struct err err;

    ck_assert_msg(lineset_unpack(packed->data, packed->len, &set, &err) == 0,
                  "%s", err.text);
    for (uint32_t i = 0; i < set.n; i++) {
        buf_addf(&o->text, "%llu%s:", (unsigned long long)set.item[i].line,
                 set.item[i].error ? "!" : "");
        buf_add(&o->text, set.item[i].text, set.item[i].len);
        buf_addc(&o->text, '\n');
    }
    lineset_free(&set);
}

/* As the store does it. */
static void stage_again(struct outcome *o, struct op *op)
{
    struct op *was = o->op[op->stage.shard];
    struct err err;

    ck_assert_ptr_nonnull(was);
    ck_assert_msg(
        restage(&op->stage, &was->stage.input, &was->stage.rejected, &err) == 0,
        "%s", err.text);
    ck_assert_uint_eq(op->stage.first_line, was->stage.first_line);
    ck_assert_uint_eq(op->stage.n_lines, was->stage.n_lines);
    ck_assert_uint_lt(op->stage.cost, was->stage.cost);
    o->op[op->stage.shard] = NULL;
    o->n_ops--;
    o->n_again++;
    op_free(was);
}

static void take_staged(struct ingest *in, struct outcome *o)
{
    struct op *op, *head = NULL;

    pthread_mutex_lock(&lock);
    op = staged;
    staged = NULL;
    pthread_mutex_unlock(&lock);
    for (struct op *newest = op; newest != NULL;) { /* oldest first */
        struct op *older = newest->next;

        newest->next = newest == op ? NULL : head;
        head = newest;
        newest = older;
    }
    for (op = head; op != NULL;) {
        struct op *next = op->next;

        ck_assert_ptr_eq(op->stage.ingest, in);
        if (op->kind == OP_RESTAGE && !disk_full)
            stage_again(o, op);
        op->status = disk_full ? OP_FAILED : OP_OK;
        if (disk_full)
            err_set(&op->err, ERR_AGAIN, "no space");
        ingest_staged(in, op);
        ck_assert_uint_lt(op->stage.shard, 4096);
        ck_assert_ptr_null(o->op[op->stage.shard]);
        o->op[op->stage.shard] = op;
        o->n_ops++;
        op = next;
    }
}

static void wait_progress(struct ingest *in, struct outcome *o)
{
    struct pollfd p = {.fd = ingest_pool_fd(pool), .events = POLLIN};

    poll(&p, 1, 5);
    ingest_pool_clear(pool);
    take_staged(in, o);
}

static void finish(struct ingest *in, struct outcome *o)
{
    while ((o->progress = ingest_poll(in, &o->err)) == INGEST_BUSY)
        wait_progress(in, o);
    if (o->progress == INGEST_READY) {
        struct op *accept = ingest_accept(in, 4321);

        o->image = accept->accept.image;
        accept->accept.image = NULL;
        op_free(accept);
    } else {
        ingest_abort(in);
    }
    while (!ingest_idle(in))
        wait_progress(in, o);
    ingest_free(in);
    for (uint32_t i = 0; i < o->n_ops; i++) {
        struct op *op = o->op[i];

        ck_assert_ptr_nonnull(op);
        buf_addf(&o->text, "S%u\n", i);
        add_lines(o, &op->stage.input);
        add_lines(o, &op->stage.rejected);
        ck_assert_uint_eq(op->stage.first_line, o->lines_sum + 1);
        o->lines_sum += op->stage.n_lines;
    }
}

/* A packed JobSpec: name "n", model "m". */
#define SPEC "\x0a\x01n\x12\x01m"

/* Submit `text` in pieces of `piece` bytes, respecting the window. */
static struct outcome *submit(const char *text, size_t len, size_t piece)
{
    struct outcome *o = xcalloc(1, sizeof *o);
    uint8_t id[REQUEST_ID_BYTES] = {1}, hash[HASH_BYTES];
    struct ingest *in = ingest_begin(pool, 7, id, SPEC, sizeof SPEC - 1);
    struct err err;

    for (size_t at = 0; at < len;) {
        size_t n = len - at < piece ? len - at : piece;

        while (ingest_window(in) < (n < CHUNK_BYTES_MAX ? n : 1)
               && ingest_poll(in, &err) != INGEST_FAILED)
            wait_progress(in, o);
        ingest_feed(in, text + at, n);
        at += n;
        ck_assert_uint_eq(ingest_received(in), at);
    }
    hash_bytes(text, len, hash);
    ck_assert_int_eq(ingest_end(in, hash, &err), 0);
    finish(in, o);
    return o;
}

static void outcome_free(struct outcome *o)
{
    for (uint32_t i = 0; i < o->n_ops; i++)
        op_free(o->op[i]);
    job_image_free(o->image);
    buf_free(&o->text);
    free(o);
}

static bool has(const struct outcome *o, const char *what)
{
    return o->text.len > 0 && strstr(o->text.data, what) != NULL;
}

static const char mixed[] =
    "\xEF\xBB\xBF{\"id\":\"a\",\"text\":\"one\"}\r\n"
    "\n"
    "  \t \r\n"
    "{\"id\":\"b\",\"context\":\"x\",\"target\":\"y\"}\n"
    "not json\n"
    "{\"id\":\"a\",\"text\":\"again\"}\n"
    "{\"text\":\"no id\"}\r\n"
    "{\"id\":7,\"text\":\"line 7's number\"}\n"
    "{\"id\":\"c\",\"text\":\"\xC3\xA4\"}";

static void check_mixed(const struct outcome *o)
{
    ck_assert_int_eq(o->progress, INGEST_READY);
    ck_assert_uint_eq(o->image->lines, 9);
    ck_assert_uint_eq(o->image->records, 4);
    ck_assert_uint_eq(o->image->rejected, 3);
    ck_assert_uint_eq(o->image->n_shards, 1);
    ck_assert_uint_eq(o->image->shard[0].n_records, 4);
    ck_assert_int_eq(o->image->submitted_unix_ms, 4321);
    ck_assert_uint_eq(o->lines_sum, 9);
    ck_assert(has(o, "1:{\"id\":\"a\",\"text\":\"one\"}\n"));
    ck_assert(has(o, "4:{\"id\":\"b\",\"context\":\"x\",\"target\":\"y\"}\n"));
    ck_assert(has(o, "7:{\"text\":\"no id\"}\n"));
    ck_assert(has(o, "9:{\"id\":\"c\",\"text\":\"\xC3\xA4\"}\n"));
    ck_assert(has(o, "5!:{"));
    ck_assert(has(o, "\"invalid_json\""));
    ck_assert(has(o, "6!:{"));
    ck_assert(has(o, "\"duplicate_id\""));
    ck_assert(has(o, "on line 1 already"));
    ck_assert(has(o, "8!:{")); /* line 7 has the default id 7 */
}

START_TEST(mixed_lines)
{
    struct outcome *o = submit(mixed, sizeof mixed - 1, 1 << 20);

    check_mixed(o);
    outcome_free(o);
}
END_TEST

START_TEST(cut_at_every_byte)
{
    for (size_t cut = 1; cut < sizeof mixed; cut++) {
        uint8_t id[REQUEST_ID_BYTES] = {1}, hash[HASH_BYTES];
        struct ingest *in = ingest_begin(pool, 7, id, SPEC, sizeof SPEC - 1);
        struct outcome *o = xcalloc(1, sizeof *o);
        struct err err;

        ingest_feed(in, mixed, cut);
        ingest_feed(in, mixed + cut, sizeof mixed - 1 - cut);
        hash_bytes(mixed, sizeof mixed - 1, hash);
        ck_assert_int_eq(ingest_end(in, hash, &err), 0);
        finish(in, o);
        check_mixed(o);
        outcome_free(o);
    }
}
END_TEST

START_TEST(byte_by_byte)
{
    struct outcome *o = submit(mixed, sizeof mixed - 1, 1);

    check_mixed(o);
    outcome_free(o);
}
END_TEST

START_TEST(nothing_at_all)
{
    static const char *const inputs[] = {"", "\n", "\n\n \r\n", "\xEF\xBB\xBF"};
    static const uint64_t lines[] = {0, 1, 3, 1};

    for (size_t i = 0; i < 4; i++) {
        struct outcome *o = submit(inputs[i], strlen(inputs[i]), 100);

        ck_assert_int_eq(o->progress, INGEST_READY);
        ck_assert_uint_eq(o->image->lines, lines[i]);
        ck_assert_uint_eq(o->image->n_shards, 0);
        outcome_free(o);
    }
}
END_TEST

START_TEST(only_bad_lines)
{
    struct outcome *o = submit("nope\n{}\n", 8, 100);
    struct lineset set;
    struct err err;

    ck_assert_int_eq(o->progress, INGEST_READY);
    ck_assert_uint_eq(o->image->n_shards, 1);
    ck_assert_uint_eq(o->image->rejected, 2);
    ck_assert_int_eq(o->image->shard[0].state, SHARD_DONE);
    ck_assert_uint_eq(o->image->shards_done, 1);
    ck_assert_int_eq(lineset_unpack(o->op[0]->stage.result.data,
                                    o->op[0]->stage.result.len, &set, &err),
                     0);
    ck_assert_uint_eq(set.n, 0);
    lineset_free(&set);
    outcome_free(o);
}
END_TEST

static void add_record(struct buf *b, size_t i, size_t text)
{
    buf_addf(b, "{\"id\":%zu,\"text\":\"", 1000000 + i);
    memset(buf_reserve(b, text), 'x', text);
    b->len += text;
    buf_adds(b, "\"}\n");
}

/* Many batches, several threads: the order is the input's, and the cuts depend
 * on nothing but the lines.
 */
START_TEST(many_lines_in_order)
{
    enum {
        N = 30000
    };
    struct buf in = BUF_INIT;
    struct outcome *a, *b;
    const char *p;

    for (size_t i = 0; i < N; i++)
        add_record(&in, i, 1 + i % 97);
    a = submit(in.data, in.len, CHUNK_BYTES_MAX);
    b = submit(in.data, in.len, 7777);
    ck_assert_uint_eq(a->image->records, N);
    ck_assert_uint_eq(a->image->n_shards, (N + 1023) / 1024);
    ck_assert_uint_eq(a->image->shard[0].n_records, SHARD_RECORDS_MAX);
    ck_assert_uint_eq(a->text.len, b->text.len);
    ck_assert_mem_eq(a->text.data, b->text.data, a->text.len);
    p = a->text.data;
    for (size_t line = 1; line <= N;) {
        char *end;

        if (*p != 'S') {
            ck_assert_uint_eq(strtoull(p, &end, 10), line);
            ck_assert_uint_eq(strtoull(end + strlen(":{\"id\":"), NULL, 10),
                              1000000 + line - 1);
            line++;
        }
        p = strchr(p, '\n') + 1;
    }
    outcome_free(a);
    outcome_free(b);
    buf_free(&in);
}
END_TEST

START_TEST(shards_are_cut_by_bytes)
{
    struct buf in = BUF_INIT;
    struct outcome *o;
    size_t line;

    add_record(&in, 0, 400000);
    line = in.len;
    for (size_t i = 1; i < 10; i++)
        add_record(&in, i, 400000);
    o = submit(in.data, in.len, CHUNK_BYTES_MAX);
    ck_assert_uint_eq(SHARD_BYTES_MAX / line, 2);
    ck_assert_uint_eq(o->image->n_shards, 5);
    outcome_free(o);
    buf_free(&in);
}
END_TEST

START_TEST(generation_makes_smaller_shards)
{
    struct buf in = BUF_INIT;
    struct outcome *o;

    for (int i = 0; i < 600; i++)
        buf_addf(&in, "{\"text\":\"t\"}\n");
    for (int i = 0; i < 900; i++)
        buf_addf(&in, "{\"prompt\":\"p\",\"max_tokens\":10}\n");
    o = submit(in.data, in.len, 5000);
    ck_assert_uint_eq(o->image->n_shards, 3);
    ck_assert_uint_eq(o->image->shard[0].n_records, 600);
    ck_assert_uint_eq(o->image->shard[1].n_records, 512);
    ck_assert_uint_eq(o->image->shard[2].n_records, 388);
    ck_assert_uint_ge(o->image->shard[1].cost, 512 * 10);
    outcome_free(o);
    buf_free(&in);
}
END_TEST

START_TEST(line_too_long)
{
    struct buf in = BUF_INIT;
    struct outcome *o;

    add_record(&in, 1, 10);
    add_record(&in, 2, RECORD_BYTES_MAX + 5000);
    add_record(&in, 3, 10);
    add_record(&in, 4, RECORD_BYTES_MAX - 1000); /* this one fits */
    o = submit(in.data, in.len, CHUNK_BYTES_MAX);
    ck_assert_int_eq(o->progress, INGEST_READY);
    ck_assert_uint_eq(o->image->lines, 4);
    ck_assert_uint_eq(o->image->records, 3);
    ck_assert_uint_eq(o->image->rejected, 1);
    ck_assert(has(o, "2!:{"));
    ck_assert(has(o, "\"too_large\""));
    outcome_free(o);
    buf_free(&in);
}
END_TEST

START_TEST(many_bad_lines_are_cut_into_shards)
{
    struct buf in = BUF_INIT;
    struct outcome *o;

    for (int i = 0; i < 3000; i++)
        buf_adds(&in, "?\n");
    o = submit(in.data, in.len, 5000);
    ck_assert_uint_eq(o->image->rejected, 3000);
    ck_assert_uint_eq(o->image->n_shards, 3);
    ck_assert_uint_eq(o->image->shards_done, 3);
    outcome_free(o);
    buf_free(&in);
}
END_TEST

START_TEST(wrong_hash_is_refused)
{
    uint8_t id[REQUEST_ID_BYTES] = {1}, hash[HASH_BYTES] = {0};
    struct ingest *in = ingest_begin(pool, 7, id, SPEC, sizeof SPEC - 1);
    struct outcome o = {0};
    struct err err;

    ingest_feed(in, "{}\n", 3);
    ck_assert_int_eq(ingest_end(in, hash, &err), -1);
    ck_assert_int_eq(err.code, ERR_PROTOCOL);
    ingest_abort(in);
    while (!ingest_idle(in))
        wait_progress(in, &o);
    ingest_free(in);
}
END_TEST

START_TEST(too_many_records)
{
    struct outcome *o;

    teardown();
    start_pool(2, 2);
    o = submit("{\"text\":\"1\"}\n{\"text\":\"2\"}\n", 26, 100);
    ck_assert_int_eq(o->progress, INGEST_READY);
    outcome_free(o);
    o = submit("{\"text\":\"1\"}\n{\"text\":\"2\"}\n{\"text\":\"3\"}\n", 39,
               100);
    ck_assert_int_eq(o->progress, INGEST_FAILED);
    ck_assert_int_eq(o->err.code, ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(o->err.text, "line 3"));
    outcome_free(o);
}
END_TEST

/* Ids spilled 7 at a time: every one of many runs, and duplicates across them,
 * beside each other, of absent ids, and of one whole shard.
 */
START_TEST(duplicates_across_runs)
{
    enum {
        N = 5000
    };
    struct buf in = BUF_INIT;
    struct outcome *o;

    teardown();
    id_run = 7;
    start_pool(3, 1000000);
    for (int i = 1; i <= N; i++) {
        if (i > 2048 && i <= 3072) /* shard 2: all of them */
            buf_addf(&in, "{\"id\":%d,\"text\":\"again\"}\n", i % 2 + 1);
        else if (i % 1000 == 7) /* the default id of line 3 */
            buf_addf(&in, "{\"id\":3,\"text\":\"three\"}\n");
        else
            buf_addf(&in, "{\"text\":\"%d\"}\n", i);
    }
    o = submit(in.data, in.len, 5000);
    ck_assert_int_eq(o->progress, INGEST_READY);
    ck_assert_uint_eq(o->image->lines, N);
    ck_assert_uint_eq(o->image->n_shards, 5);
    ck_assert_uint_eq(o->image->rejected, 1024 + 4);
    ck_assert_uint_eq(o->image->records, N - 1024 - 4);
    ck_assert_uint_eq(o->image->shard[2].n_records, 0);
    ck_assert_int_eq(o->image->shard[2].state, SHARD_DONE);
    ck_assert_uint_eq(o->image->shard[0].n_records, 1024 - 2);
    ck_assert_uint_eq(o->image->shards_done, 1);
    ck_assert_uint_eq(o->n_again, 4);
    ck_assert(has(o, "S2\n2049!:{"));
    ck_assert(has(o, "on line 1 already"));
    ck_assert(has(o, "\n7!:{"));
    ck_assert(has(o, "\n1007!:{"));
    ck_assert(has(o, "on line 3 already"));
    ck_assert(!has(o, "on line 7 already"));
    ck_assert(has(o, "\n4007!:{"));
    ck_assert(has(o, "\n4008:{"));
    outcome_free(o);
    buf_free(&in);
    id_run = 0;
}
END_TEST

/* One line again and again, in more shards than may be under way. */
START_TEST(all_but_one_are_duplicates)
{
    struct buf in = BUF_INIT;
    struct outcome *o;

    teardown();
    id_run = 1000;
    start_pool(2, 1000000);
    for (int i = 0; i < 40000; i++)
        buf_adds(&in, "{\"id\":\"x\",\"text\":\"t\"}\n");
    o = submit(in.data, in.len, CHUNK_BYTES_MAX);
    ck_assert_int_eq(o->progress, INGEST_READY);
    ck_assert_uint_eq(o->image->records, 1);
    ck_assert_uint_eq(o->image->rejected, 39999);
    ck_assert_uint_eq(o->image->cost, o->image->shard[0].cost);
    ck_assert_uint_eq(o->n_again, o->image->n_shards);
    ck_assert_uint_eq(o->image->shards_done, o->image->n_shards - 1);
    outcome_free(o);
    buf_free(&in);
    id_run = 0;
}
END_TEST

/* Given up while its duplicates are being written. */
START_TEST(given_up_among_duplicates)
{
    uint8_t id[REQUEST_ID_BYTES] = {1}, hash[HASH_BYTES];
    struct ingest *in = ingest_begin(pool, 7, id, SPEC, sizeof SPEC - 1);
    struct outcome *o = xcalloc(1, sizeof *o);
    struct buf text = BUF_INIT;
    struct err err;

    for (int i = 0; i < 40000; i++)
        buf_adds(&text, "{\"id\":\"x\",\"text\":\"t\"}\n");
    ingest_feed(in, text.data, text.len);
    hash_bytes(text.data, text.len, hash);
    ck_assert_int_eq(ingest_end(in, hash, &err), 0);
    while (o->n_again < 3)
        wait_progress(in, o);
    ingest_abort(in);
    while (!ingest_idle(in))
        wait_progress(in, o);
    ck_assert_uint_lt(o->n_again, 40);
    ingest_free(in);
    outcome_free(o);
    buf_free(&text);
}
END_TEST

START_TEST(no_place_for_the_ids)
{
    struct outcome *o;

    teardown();
    scratch = "/proc/nowhere";
    id_run = 2;
    start_pool(2, 1000000);
    o = submit("{\"text\":\"1\"}\n{\"text\":\"2\"}\n{\"text\":\"3\"}\n", 39,
               100);
    ck_assert_int_eq(o->progress, INGEST_FAILED);
    ck_assert_ptr_nonnull(strstr(o->err.text, "/proc/nowhere"));
    outcome_free(o);
    scratch = "/tmp";
    id_run = 0;
}
END_TEST

START_TEST(full_disk_fails_the_submission)
{
    struct outcome *o;

    disk_full = true;
    o = submit("{\"text\":\"1\"}\n", 13, 100);
    ck_assert_int_eq(o->progress, INGEST_FAILED);
    ck_assert_int_eq(o->err.code, ERR_AGAIN);
    outcome_free(o);
}
END_TEST

/* While nothing is staged the window closes, and so memory stays bounded. */
START_TEST(window_closes_and_opens)
{
    uint8_t id[REQUEST_ID_BYTES] = {1}, hash[HASH_BYTES];
    struct ingest *in = ingest_begin(pool, 7, id, SPEC, sizeof SPEC - 1);
    struct outcome *o = xcalloc(1, sizeof *o);
    struct buf line = BUF_INIT, all = BUF_INIT;
    struct err err;
    uint64_t fed = 0;

    ck_assert_uint_eq(ingest_window(in), XFER_WINDOW_BYTES);
    for (int idle = 0; idle < 50;) {
        if (ingest_window(in) == 0) {
            struct pollfd p = {.fd = ingest_pool_fd(pool), .events = POLLIN};

            poll(&p, 1, 2); /* nothing is given back: it stays closed */
            ingest_pool_clear(pool);
            idle++;
            continue;
        }
        buf_clear(&line);
        add_record(&line, (size_t)fed, 5000);
        buf_add(&all, line.data, line.len);
        ingest_feed(in, line.data, line.len);
        fed += line.len;
        ck_assert_uint_lt(fed, 3 * XFER_WINDOW_BYTES);
    }
    while (ingest_window(in) == 0)
        wait_progress(in, o);
    hash_bytes(all.data, all.len, hash);
    ck_assert_int_eq(ingest_end(in, hash, &err), 0);
    finish(in, o);
    ck_assert_int_eq(o->progress, INGEST_READY);
    outcome_free(o);
    buf_free(&line);
    buf_free(&all);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ingest");
    TCase *t = tcase_create("ingest");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, mixed_lines);
    tcase_add_test(t, cut_at_every_byte);
    tcase_add_test(t, byte_by_byte);
    tcase_add_test(t, nothing_at_all);
    tcase_add_test(t, only_bad_lines);
    tcase_add_test(t, many_lines_in_order);
    tcase_add_test(t, shards_are_cut_by_bytes);
    tcase_add_test(t, generation_makes_smaller_shards);
    tcase_add_test(t, line_too_long);
    tcase_add_test(t, many_bad_lines_are_cut_into_shards);
    tcase_add_test(t, wrong_hash_is_refused);
    tcase_add_test(t, too_many_records);
    tcase_add_test(t, duplicates_across_runs);
    tcase_add_test(t, all_but_one_are_duplicates);
    tcase_add_test(t, given_up_among_duplicates);
    tcase_add_test(t, no_place_for_the_ids);
    tcase_add_test(t, full_disk_fails_the_submission);
    tcase_add_test(t, window_closes_and_opens);
    suite_add_tcase(s, t);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
