/* The transfers, with a real core, real threads and a real spool; only the
 * socket is missing.
 */
#include <check.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/file.h"
#include "daemon/commit.h"
#include "daemon/xfer.h"
#include "proto/limits.h"
#include "proto/lineset.h"
#include "tests/daemon/spooled.h"

#define WORKER 1
#define CLIENT 2
#define SENT_MAX 4096

static struct spooled s;
static struct commit *commit;
static struct ingest_pool *pool;
static struct core *core;
static struct xfers *xfers;
static struct {
    uint64_t peer;
    struct wire_msg m;
} sent[SENT_MAX];
static size_t n_sent;
static int64_t skew_ms;       /* added to the clock */
static atomic_int with_store; /* operations that have not come back */

static void on_send(void *arg, uint64_t peer, enum wire_type type, uint64_t seq,
                    const ProtobufCMessage *msg)
{
    uint8_t header[WIRE_HEADER_BYTES];
    struct buf body = BUF_INIT;
    struct err err;

    (void)arg;
    ck_assert_uint_lt(n_sent, SENT_MAX);
    ck_assert_msg(wire_encode(type, seq, msg, header, &body, &err) == 0, "%s",
                  err.text);
    ck_assert_msg(wire_decode(header, sizeof header, body.data, body.len,
                              &sent[n_sent].m, &err)
                      == 0,
                  "%s", err.text);
    sent[n_sent++].peer = peer;
    buf_free(&body);
}

static void on_submit(void *arg, struct op *op)
{
    (void)arg;
    atomic_fetch_add(&with_store, 1);
    commit_submit(commit, op);
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void step(void *arg, const struct core_event *event)
{
    const struct core_actions act = {
        .send = on_send, .store = on_submit, .log = on_log};

    (void)arg;
    core_step(core, event, clock_now_ms() + skew_ms, &act);
}

static uint64_t nonce(void *arg)
{
    static uint64_t n;

    (void)arg;
    return ++n;
}

static void setup(void)
{
    struct core_config core_config = {
        .epoch = 1,
        .beat_ms = BEAT_MS,
        .lease_ms = LEASE_COORDINATOR_MS,
        .lease_worker_ms = LEASE_WORKER_MS,
        .probe_ms = PROBE_MS,
        .nonce = nonce,
    };
    struct ingest_config ingest = {
        .threads = 2,
        .max_records = 1000000,
        .submit = on_submit,
    };
    struct xfer_config xfer = {
        .send = on_send, .submit = on_submit, .step = step};
    struct err err;

    skew_ms = 0;
    spooled_init(&s);
    commit = commit_start(s.store, &err);
    ingest.scratch = spool_staging(s.spool);
    pool = ingest_pool_start(&ingest, &err);
    core = core_create(&core_config);
    xfer.core = core;
    xfer.pool = pool;
    xfers = xfers_create(&xfer);
}

/* What the router does between messages; until nothing has happened for a
 * while.
 */
static void settle(void)
{
    int quiet = 0;

    while (quiet < 3) {
        struct pollfd p[] = {{.fd = commit_fd(commit), .events = POLLIN},
                             {.fd = ingest_pool_fd(pool), .events = POLLIN}};
        struct op *op;

        quiet = poll(p, 2, 30) == 0 && atomic_load(&with_store) == 0 ? quiet + 1
                                                                     : 0;
        ingest_pool_clear(pool);
        xfers_progress(xfers, 1000);
        for (op = commit_take(commit); op != NULL;) {
            struct op *next = op->next;
            struct core_event e = {.kind = CORE_STORED, .op = op};

            atomic_fetch_sub(&with_store, 1);
            if (op->kind != OP_STAGE && op->kind != OP_RESTAGE
                && op->kind != OP_READ)
                step(NULL, &e);
            if (op->kind == OP_STAGE || op->kind == OP_RESTAGE
                || op->kind == OP_READ || op->kind == OP_ACCEPT
                || op->kind == OP_RESULT)
                xfers_stored(xfers, op, 1000);
            op_free(op);
            op = next;
        }
    }
}

static void forget(void)
{
    for (size_t i = 0; i < n_sent; i++)
        wire_free(&sent[i].m);
    n_sent = 0;
}

static void teardown(void)
{
    xfers_abort(xfers);
    while (!xfers_idle(xfers))
        settle();
    ingest_pool_stop(pool);
    commit_stop(commit);
    xfers_destroy(xfers);
    core_destroy(core);
    forget();
    spooled_free(&s);
}

/* The oldest message of this type to `peer`, or NULL; stays in the list. */
static const struct wire_msg *find(uint64_t peer, enum wire_type type)
{
    for (size_t i = 0; i < n_sent; i++) {
        if (sent[i].peer == peer && sent[i].m.type == type)
            return &sent[i].m;
    }
    return NULL;
}

static size_t count(uint64_t peer, enum wire_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < n_sent; i++)
        n += sent[i].peer == peer && sent[i].m.type == type;
    return n;
}

static uint32_t error_code(uint64_t peer)
{
    const struct wire_msg *m = find(peer, WIRE_ERROR);

    return m == NULL ? ERR_NONE : m->error->code;
}

/* ---- what peers say ------------------------------------------------------ */

static void say(uint64_t peer, enum wire_type type, ProtobufCMessage *msg)
{
    struct wire_msg m = {.type = type, .seq = 4, .any = msg};

    xfers_message(xfers, peer, &m, clock_now_ms() + skew_ms, 5000);
}

static void say_submit(uint64_t peer, uint64_t xfer, uint8_t request)
{
    Skein__XferBegin begin = SKEIN__XFER_BEGIN__INIT;
    Skein__Submit submit = SKEIN__SUBMIT__INIT;
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
    uint8_t id[REQUEST_ID_BYTES];
    char name[] = "job", model[] = "m";

    memset(id, request, sizeof id);
    spec.name = name;
    spec.model = model;
    submit.request_id.data = id;
    submit.request_id.len = sizeof id;
    submit.spec = &spec;
    begin.xfer = xfer;
    begin.what_case = SKEIN__XFER_BEGIN__WHAT_SUBMIT;
    begin.submit = &submit;
    say(peer, WIRE_XFER_BEGIN, &begin.base);
}

static void say_chunk(uint64_t peer, uint64_t xfer, uint64_t offset,
                      const void *data, size_t len)
{
    Skein__XferChunk chunk = SKEIN__XFER_CHUNK__INIT;

    chunk.xfer = xfer;
    chunk.offset = offset;
    chunk.data.data = (uint8_t *)data;
    chunk.data.len = len;
    say(peer, WIRE_XFER_CHUNK, &chunk.base);
}

static void say_end(uint64_t peer, uint64_t xfer, const void *data, size_t len,
                    bool wrong)
{
    Skein__XferEnd end = SKEIN__XFER_END__INIT;
    uint8_t hash[HASH_BYTES];

    hash_bytes(data, len, hash);
    hash[0] ^= wrong;
    end.xfer = xfer;
    end.size = len;
    end.hash.data = hash;
    end.hash.len = sizeof hash;
    say(peer, WIRE_XFER_END, &end.base);
}

static const char lines[] = "{\"text\":\"a\"}\nbad\n{\"text\":\"b\"}\n";
#define LINES_LEN (sizeof lines - 1)

static uint64_t submit_all(uint8_t request)
{
    const struct wire_msg *m;
    uint64_t job;

    say_submit(CLIENT, 70, request);
    say_chunk(CLIENT, 70, 0, lines, LINES_LEN);
    say_end(CLIENT, 70, lines, LINES_LEN, false);
    settle();
    m = find(CLIENT, WIRE_SUBMITTED);
    ck_assert_ptr_nonnull(m);
    job = m->submitted->job;
    forget();
    return job;
}

static void say_hello(void)
{
    Skein__Hello hello = SKEIN__HELLO__INIT;
    Skein__Model model = SKEIN__MODEL__INIT;
    Skein__Model *models[] = {&model};
    Skein__Capacity capacity = SKEIN__CAPACITY__INIT;
    uint8_t incarnation[16] = {1}, fingerprint[HASH_BYTES] = {3};
    char name[] = "w", model_name[] = "m";
    struct wire_msg m = {.type = WIRE_HELLO, .seq = 1, .any = &hello.base};
    struct core_event e = {.kind = CORE_MESSAGE, .peer = WORKER, .msg = &m};

    hello.incarnation.data = incarnation;
    hello.incarnation.len = sizeof incarnation;
    hello.name = name;
    model.name = model_name;
    model.vocab = 5;
    model.fingerprint.data = fingerprint;
    model.fingerprint.len = sizeof fingerprint;
    hello.model = models;
    hello.n_model = 1;
    capacity.records = 100;
    capacity.cost = 100000;
    hello.capacity = &capacity;
    step(NULL, &e);
    settle();
}

static struct token granted(void)
{
    const struct wire_msg *m = find(WORKER, WIRE_GRANT);

    ck_assert_ptr_nonnull(m);
    return token_of(m->grant->token);
}

static void say_upload(uint64_t xfer, const struct token *t, uint64_t size)
{
    Skein__XferBegin begin = SKEIN__XFER_BEGIN__INIT;
    Skein__Upload upload = SKEIN__UPLOAD__INIT;
    Skein__Token token;
    uint8_t fingerprint[HASH_BYTES] = {3};

    token_fill(t, &token);
    upload.token = &token;
    upload.fingerprint.data = fingerprint;
    upload.fingerprint.len = sizeof fingerprint;
    begin.xfer = xfer;
    begin.size = size;
    begin.what_case = SKEIN__XFER_BEGIN__WHAT_UPLOAD;
    begin.upload = &upload;
    say(WORKER, WIRE_XFER_BEGIN, &begin.base);
}

static void say_fetch_blob(uint64_t job, uint32_t shard, Skein__BlobKind kind,
                           uint64_t offset, uint32_t window)
{
    Skein__Fetch fetch = SKEIN__FETCH__INIT;
    Skein__BlobRef ref = SKEIN__BLOB_REF__INIT;

    ref.job = job;
    ref.shard = shard;
    ref.kind = kind;
    fetch.xfer = 80;
    fetch.source_case = SKEIN__FETCH__SOURCE_BLOB;
    fetch.blob = &ref;
    fetch.offset = offset;
    fetch.window = window;
    say(CLIENT, WIRE_FETCH, &fetch.base);
    settle();
}

static void say_fetch_input(const struct token *t)
{
    Skein__Fetch fetch = SKEIN__FETCH__INIT;
    Skein__Token token;

    token_fill(t, &token);
    fetch.xfer = 81;
    fetch.source_case = SKEIN__FETCH__SOURCE_INPUT;
    fetch.input = &token;
    say(WORKER, WIRE_FETCH, &fetch.base);
    settle();
}

/* Answers to the two records of `lines`. */
static void make_result(struct buf *out)
{
    struct lineset_writer w;

    lineset_writer_init(&w);
    lineset_add(&w, 1, "{}", 2, false);
    lineset_add(&w, 3, "{}", 2, true);
    lineset_pack(&w, out);
    lineset_writer_free(&w);
}

/* ---- submitting ---------------------------------------------------------- */

START_TEST(submit_is_answered_when_it_is_durable)
{
    const struct wire_msg *m;

    say_submit(CLIENT, 70, 1);
    m = find(CLIENT, WIRE_XFER_GO);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->go->offset, 0);
    ck_assert_uint_eq(m->go->window, XFER_WINDOW_BYTES);
    say_chunk(CLIENT, 70, 0, lines, 10);
    say_chunk(CLIENT, 70, 10, lines + 10, LINES_LEN - 10);
    ck_assert_uint_eq(count(CLIENT, WIRE_XFER_ACK), 2);
    say_end(CLIENT, 70, lines, LINES_LEN, false);
    say_end(CLIENT, 70, lines, LINES_LEN, false); /* is anybody there? */
    ck_assert_uint_eq(count(CLIENT, WIRE_XFER_ACK), 3);
    ck_assert_ptr_null(find(CLIENT, WIRE_SUBMITTED));
    settle();
    ck_assert_uint_eq(count(CLIENT, WIRE_SUBMITTED), 1);
    m = find(CLIENT, WIRE_SUBMITTED);
    ck_assert_uint_eq(m->submitted->xfer, 70);
    ck_assert_uint_eq(m->submitted->lines, 3);
    ck_assert_uint_eq(m->submitted->records, 2);
    ck_assert_uint_eq(m->submitted->rejected, 1);
    ck_assert(!m->submitted->existing);
    ck_assert(file_exists(spooled_path(&s, "jobs/1.db")));
    ck_assert(xfers_idle(xfers));
}
END_TEST

/* Found after the shard was written: it is written again. */
START_TEST(duplicates_are_rejected_before_the_answer)
{
    static const char text[] = "{\"id\":\"a\",\"text\":\"one\"}\n"
                               "{\"id\":\"b\",\"text\":\"two\"}\n"
                               "{\"id\":\"a\",\"text\":\"three\"}\n";
    const struct wire_msg *m;
    struct lineset set;
    struct err err;

    say_submit(CLIENT, 70, 1);
    say_chunk(CLIENT, 70, 0, text, sizeof text - 1);
    say_end(CLIENT, 70, text, sizeof text - 1, false);
    settle();
    m = find(CLIENT, WIRE_SUBMITTED);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->submitted->records, 2);
    ck_assert_uint_eq(m->submitted->rejected, 1);
    say_fetch_blob(m->submitted->job, 0, SKEIN__BLOB_KIND__BLOB_REJECTED, 0, 0);
    m = find(CLIENT, WIRE_XFER_CHUNK);
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(
        lineset_unpack(m->chunk->data.data, m->chunk->data.len, &set, &err), 0);
    ck_assert_uint_eq(set.n, 1);
    ck_assert_uint_eq(set.item[0].line, 3);
    ck_assert_ptr_nonnull(
        memmem(set.item[0].text, set.item[0].len, "on line 1 already", 17));
    lineset_free(&set);
}
END_TEST

START_TEST(submit_again_returns_the_same_job)
{
    uint64_t job = submit_all(1);
    const struct wire_msg *m;

    say_submit(7, 71, 1);
    m = find(7, WIRE_SUBMITTED);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->submitted->job, job);
    ck_assert(m->submitted->existing);
    ck_assert_uint_eq(m->submitted->xfer, 71);
}
END_TEST

START_TEST(submit_starts_over_on_another_connection)
{
    const struct wire_msg *m;

    say_submit(CLIENT, 70, 1);
    say_chunk(CLIENT, 70, 0, "{\"text\":\"lost\"}\n", 16);
    say_submit(7, 5, 1);
    m = find(7, WIRE_XFER_GO);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->go->offset, 0);
    say_chunk(7, 5, 0, lines, LINES_LEN);
    say_end(7, 5, lines, LINES_LEN, false);
    settle();
    ck_assert_uint_eq(find(7, WIRE_SUBMITTED)->submitted->lines, 3);
    ck_assert_ptr_null(find(CLIENT, WIRE_SUBMITTED));
    say_chunk(CLIENT, 70, 16, lines, LINES_LEN); /* the old one is over */
    ck_assert_uint_eq(error_code(CLIENT), ERR_NOT_FOUND);
}
END_TEST

START_TEST(gap_is_told_once_with_the_offset_to_go_on_from)
{
    const struct wire_msg *m;

    say_submit(CLIENT, 70, 1);
    forget();
    say_chunk(CLIENT, 70, 0, lines, 10);
    for (uint64_t at = 20; at < LINES_LEN; at++)
        say_chunk(CLIENT, 70, at, lines + at, 1);
    ck_assert_uint_eq(count(CLIENT, WIRE_XFER_GO), 1);
    m = find(CLIENT, WIRE_XFER_GO);
    ck_assert_uint_eq(m->go->offset, 10);
    say_end(CLIENT, 70, lines, LINES_LEN, false); /* tells it again */
    ck_assert_uint_eq(count(CLIENT, WIRE_XFER_GO), 2);
    say_chunk(CLIENT, 70, 0, lines, 10); /* known bytes: ignored */
    say_chunk(CLIENT, 70, 10, lines + 10, LINES_LEN - 10);
    say_end(CLIENT, 70, lines, LINES_LEN, false);
    settle();
    ck_assert_uint_eq(find(CLIENT, WIRE_SUBMITTED)->submitted->records, 2);
}
END_TEST

START_TEST(wrong_hash_leaves_nothing)
{
    say_submit(CLIENT, 70, 1);
    say_chunk(CLIENT, 70, 0, lines, LINES_LEN);
    say_end(CLIENT, 70, lines, LINES_LEN, true);
    settle();
    ck_assert_uint_eq(error_code(CLIENT), ERR_PROTOCOL);
    ck_assert(xfers_idle(xfers));
    ck_assert(!file_exists(spooled_path(&s, ".staging/1.db")));
    ck_assert(!file_exists(spooled_path(&s, "jobs/1.db")));
}
END_TEST

START_TEST(silent_transfer_is_dropped)
{
    say_submit(CLIENT, 70, 1);
    say_chunk(CLIENT, 70, 0, lines, LINES_LEN);
    xfers_tick(xfers, clock_now_ms() + XFER_SILENCE_MS - 1000);
    settle();
    ck_assert(!xfers_idle(xfers));
    xfers_tick(xfers, clock_now_ms() + XFER_SILENCE_MS);
    settle();
    ck_assert(xfers_idle(xfers));
    say_chunk(CLIENT, 70, LINES_LEN, "x", 1);
    ck_assert_uint_eq(error_code(CLIENT), ERR_NOT_FOUND);
}
END_TEST

START_TEST(connection_lost_while_submitting)
{
    say_submit(CLIENT, 70, 1);
    say_chunk(CLIENT, 70, 0, lines, LINES_LEN);
    xfers_gone(xfers, CLIENT);
    settle();
    ck_assert(xfers_idle(xfers));
}
END_TEST

START_TEST(too_many_submissions)
{
    for (uint64_t i = 0; i < XFER_SUBMITS_MAX; i++)
        say_submit(CLIENT, 100 + i, (uint8_t)(i + 1));
    ck_assert_ptr_null(find(CLIENT, WIRE_ERROR));
    say_submit(CLIENT, 99, 200);
    ck_assert_uint_eq(error_code(CLIENT), ERR_AGAIN);
    ck_assert_uint_gt(find(CLIENT, WIRE_ERROR)->error->retry_ms, 0);
}
END_TEST

/* ---- shards -------------------------------------------------------------- */

START_TEST(shard_through_a_worker)
{
    uint64_t job = submit_all(1);
    struct buf result = BUF_INIT;
    const struct wire_msg *m;
    struct token t;

    say_hello();
    t = granted();
    say_fetch_input(&t);
    m = find(WORKER, WIRE_XFER_BEGIN);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->begin->size,
                      find(WORKER, WIRE_GRANT)->grant->input_bytes);
    ck_assert_uint_eq(count(WORKER, WIRE_XFER_CHUNK), 1);
    ck_assert_uint_eq(count(WORKER, WIRE_XFER_END), 1);
    say_fetch_blob(job, 0, SKEIN__BLOB_KIND__BLOB_RESULT, 0, 0);
    ck_assert_uint_eq(error_code(CLIENT), ERR_AGAIN);
    forget();

    make_result(&result);
    say_upload(90, &t, result.len);
    ck_assert_uint_eq(find(WORKER, WIRE_XFER_GO)->go->offset, 0);
    say_chunk(WORKER, 90, 0, result.data, 5);
    say_chunk(WORKER, 90, 5, result.data + 5, result.len - 5);
    say_end(WORKER, 90, result.data, result.len, false);
    say_end(WORKER, 90, result.data, result.len, false);
    ck_assert_ptr_null(find(WORKER, WIRE_COMMITTED));
    settle();
    ck_assert_uint_eq(count(WORKER, WIRE_COMMITTED), 1);
    say_end(WORKER, 90, result.data, result.len, false); /* very late */
    ck_assert_uint_eq(error_code(WORKER), ERR_NOT_FOUND);
    say_upload(91, &t, result.len); /* so it begins again */
    ck_assert_uint_eq(count(WORKER, WIRE_COMMITTED), 2);
    ck_assert(xfers_idle(xfers));
    forget();

    say_fetch_blob(job, 0, SKEIN__BLOB_KIND__BLOB_RESULT, 4, 6);
    m = find(CLIENT, WIRE_XFER_CHUNK);
    ck_assert_uint_eq(find(CLIENT, WIRE_XFER_BEGIN)->begin->size, result.len);
    ck_assert_uint_eq(m->chunk->offset, 4);
    ck_assert_uint_eq(m->chunk->data.len, 6);
    ck_assert_mem_eq(m->chunk->data.data, result.data + 4, 6);
    ck_assert_ptr_null(find(CLIENT, WIRE_XFER_END));
    buf_free(&result);
}
END_TEST

START_TEST(stale_upload_is_told_at_begin)
{
    struct token t;

    submit_all(1);
    say_hello();
    t = granted();
    t.nonce++;
    say_upload(90, &t, 100);
    ck_assert_uint_eq(count(WORKER, WIRE_STALE), 1);
    say_fetch_input(&t);
    ck_assert_uint_eq(error_code(WORKER), ERR_CONFLICT);
}
END_TEST

START_TEST(upload_without_a_session)
{
    struct token t = {1, 1, 0, 1, 5};

    say_upload(90, &t, 100);
    ck_assert_uint_eq(count(WORKER, WIRE_HELLO_AGAIN), 1);
}
END_TEST

START_TEST(upload_larger_than_announced)
{
    struct token t;

    submit_all(1);
    say_hello();
    t = granted();
    say_upload(90, &t, 4);
    say_chunk(WORKER, 90, 0, "12345", 5);
    ck_assert_uint_eq(error_code(WORKER), ERR_PROTOCOL);
    ck_assert(xfers_idle(xfers));
}
END_TEST

START_TEST(fetch_of_what_is_not_there)
{
    uint64_t job = submit_all(1);

    say_fetch_blob(job + 1, 0, SKEIN__BLOB_KIND__BLOB_RESULT, 0, 0);
    ck_assert_uint_eq(error_code(CLIENT), ERR_NOT_FOUND);
    forget();
    say_fetch_blob(job, 1, SKEIN__BLOB_KIND__BLOB_REJECTED, 0, 0);
    ck_assert_uint_eq(error_code(CLIENT), ERR_NOT_FOUND);
    forget();
    say_fetch_blob(job, 0, SKEIN__BLOB_KIND__BLOB_INPUT, 0, 0);
    ck_assert_uint_eq(error_code(CLIENT), ERR_DENIED);
    forget();
    say_fetch_blob(job, 0, SKEIN__BLOB_KIND__BLOB_REJECTED, 0, 0);
    ck_assert_uint_eq(count(CLIENT, WIRE_XFER_END), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("xfer");
    TCase *t = tcase_create("xfer");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, submit_is_answered_when_it_is_durable);
    tcase_add_test(t, duplicates_are_rejected_before_the_answer);
    tcase_add_test(t, submit_again_returns_the_same_job);
    tcase_add_test(t, submit_starts_over_on_another_connection);
    tcase_add_test(t, gap_is_told_once_with_the_offset_to_go_on_from);
    tcase_add_test(t, wrong_hash_leaves_nothing);
    tcase_add_test(t, silent_transfer_is_dropped);
    tcase_add_test(t, connection_lost_while_submitting);
    tcase_add_test(t, too_many_submissions);
    tcase_add_test(t, shard_through_a_worker);
    tcase_add_test(t, stale_upload_is_told_at_begin);
    tcase_add_test(t, upload_without_a_session);
    tcase_add_test(t, upload_larger_than_announced);
    tcase_add_test(t, fetch_of_what_is_not_there);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
