/* The whole worker as processes, with the null backend, against a coordinator
 * that plays by the protocol, or does not.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator.h"

static struct coordinator *c;

static void setup(void)
{
    c = coordinator_open();
}

static void teardown(void)
{
    coordinator_close(c);
}

#define START(...) \
    coordinator_start(c, (const char *const[]){__VA_ARGS__, NULL})
#define NULL_MODEL "--model", "m=null", "--devices"
#define ADD(first, ...)                                           \
    coordinator_add(c, first, (const char *const[]){__VA_ARGS__}, \
                    sizeof(const char *[]){__VA_ARGS__} / sizeof(char *))

static void serve_all(void)
{
    ck_assert_msg(coordinator_serve(c, 20000, all_committed),
                  "not all shards were committed within 20 s");
}

static void output(struct buf *out)
{
    serve_all();
    coordinator_output(c, out);
}

/* Line `i` of a text, for comparing. */
static const char *nth(const struct buf *text, int i)
{
    static char line[4096];
    const char *at = text->data;

    while (i-- > 0)
        at = strchr(at, '\n') + 1;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static bool has(const struct buf *text, int i, const char *part)
{
    return strstr(nth(text, i), part) != NULL;
}

/* n lines of every kind and many lengths; no two alike. */
static void add_mixed(int shards, int n)
{
    static char text[64][2048];
    const char *line[64];

    for (int s = 0; s < shards; s++) {
        for (int i = 0; i < n; i++) {
            int k = s * n + i, long_n = 1 + k * 37 % 1200;

            if (k % 4 == 0)
                snprintf(text[i], sizeof text[i],
                         "{\"context\":\"%0*d\",\"target\":\"t%d\"}", long_n, k,
                         k);
            else if (k % 4 == 1)
                snprintf(text[i], sizeof text[i],
                         "{\"context\":\"c%d\",\"choices\":[\"a\",\"bb%d\","
                         "\"%0*d\",\"c\"],\"gold\":1}",
                         k, k, 1 + k % 90, k);
            else if (k % 4 == 2)
                snprintf(text[i], sizeof text[i], "{\"text\":\"%0*d\"}", long_n,
                         k);
            else
                snprintf(text[i], sizeof text[i],
                         "{\"prompt\":\"p%d\",\"max_tokens\":%d,"
                         "\"temperature\":%d,\"stop\":\"Q\"}",
                         k, 1 + k % 70, k % 2);
            line[i] = text[i];
        }
        coordinator_add(c, 1 + (uint64_t)(s * n), line, (size_t)n);
    }
}

/* Output of the mixed lines, computed with these arguments. */
static void mixed(struct buf *out, int shards, int n, const char *const *args)
{
    coordinator_close(c);
    c = coordinator_open();
    add_mixed(shards, n);
    coordinator_start(c, args);
    output(out);
}

/* Write a configuration into the test's directory. */
static const char *write_config(const char *text)
{
    static char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/worker.yaml", c->dir);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    return path;
}

START_TEST(every_kind)
{
    struct buf out = BUF_INIT;

    START(NULL_MODEL, "null", "--backend-options", "vocab=257");
    ADD(7, "{\"context\":\"The cat\",\"target\":\" sat\"}",
        "{\"id\":\"x\",\"context\":\"Q\",\"choices\":[\"a\",\"b\"],"
        "\"gold\":0}",
        "{\"text\":\"two words\"}", "{\"text_ids\":[1,2,3]}",
        "{\"prompt\":\"P\",\"max_tokens\":5}");
    output(&out);
    ck_assert(has(&out, 0, "{\"id\":7,\"logprob\":-"));
    ck_assert(has(&out, 0, "\"greedy\":"));
    ck_assert(has(&out, 0, "\"tokens\":4}"));
    ck_assert(has(&out, 1, "{\"id\":\"x\",\"logprobs\":[-"));
    ck_assert(has(&out, 1, "\"correct\":"));
    ck_assert(has(&out, 2, "\"tokens\":9,\"bytes\":9,\"words\":2}"));
    ck_assert(has(&out, 3, "\"tokens\":2,\"bytes\":0,\"words\":0"));
    ck_assert(has(&out, 3, "\"first_unscored\":true"));
    ck_assert(has(&out, 4, "\"finish_reason\":\""));
    buf_free(&out);
}
END_TEST

START_TEST(fed_tokens_are_counted)
{
    START(NULL_MODEL, "null");
    ADD(1, "{\"context\":\"The cat\",\"target\":\" sat\"}");
    ADD(2, "{\"context\":\"abc\",\"choices\":[\"xy\",\"z\",\"uvw\"]}");
    serve_all();
    /* start token, 7 bytes, 4 targets of which the last is not fed */
    ck_assert_uint_eq(c->plan[0].tokens_in, 11);
    /* start token and 2 bytes once; then "c" and all but the last of each */
    ck_assert_uint_eq(c->plan[1].tokens_in, 3 + 2 + 1 + 3);
}
END_TEST

/* A bad line is answered in its place and harms nobody. */
START_TEST(bad_lines)
{
    struct buf out = BUF_INIT;

    START(NULL_MODEL, "null", "--backend-options", "vocab=300");
    ADD(1, "{\"context\":\"a\",\"target\":\"b\"}",
        "{\"context\":", "{\"context_ids\":[5,300],\"target_ids\":[1]}",
        "{\"context\":\"a\",\"choices_ids\":[[1],[2,999]]}",
        "{\"context_ids\":[],\"target\":\"b\"}",
        "{\"context\":\"\",\"target\":\"b\"}");
    c->plan[0].bos = SKEIN__BOS__BOS_NEVER;
    output(&out);
    ck_assert(has(&out, 0, "\"logprob\""));
    ck_assert(has(&out, 1,
                  "!{\"id\":2,\"line\":2,\"error\":{\"code\":"
                  "\"invalid_json\""));
    ck_assert(has(&out, 2, "\"code\":\"token_out_of_range\""));
    ck_assert(has(&out, 2, "300"));
    ck_assert(has(&out, 2, "\"field\":\"context_ids[1]\""));
    ck_assert(has(&out, 3, "\"field\":\"choices_ids[1][1]\""));
    ck_assert(has(&out, 4, "nothing_to_condition_on"));
    ck_assert(has(&out, 5, "nothing_to_condition_on"));
    buf_free(&out);
}
END_TEST

/* The promise of the project, at the level of a worker. */
START_TEST(same_bytes_however_packed)
{
    static const char *const variant[][10] = {
        {NULL_MODEL, "null", "--backend-options", "vocab=300", NULL},
        {NULL_MODEL, "null,null", "--backend-options", "vocab=300", NULL},
        {NULL_MODEL, "null,null,null", "--backend-options", "vocab=300",
         "--slots", "2", NULL},
        {NULL_MODEL, "null", "--backend-options", "vocab=300",
         "--tokens-per-step", "7", NULL},
        {NULL_MODEL, "null", "--backend-options", "vocab=300",
         "--tokens-per-step", "1", NULL},
    };
    struct buf first = BUF_INIT;

    mixed(&first, 6, 40, variant[0]);
    for (size_t i = 1; i < sizeof variant / sizeof *variant; i++) {
        struct buf other = BUF_INIT;

        mixed(&other, 6, 40, variant[i]);
        ck_assert_msg(strcmp(first.data, other.data) == 0,
                      "variant %zu differs from variant 0", i);
        buf_free(&other);
    }
    buf_free(&first);
}
END_TEST

/* 'Z' is token 91. Its record crashes the rank; nobody else is harmed. */
START_TEST(poison_record)
{
    struct buf out = BUF_INIT;

    START(NULL_MODEL, _i == 0 ? "null" : "null,null", "--backend-options",
          _i == 2 ? "exit_token=91,latency_us=500" : "crash_token=91");
    for (int s = 0; s < 3; s++)
        ADD((uint64_t)(1 + 4 * s), "{\"context\":\"a\",\"target\":\"b\"}",
            "{\"context\":\"xZx\",\"target\":\"b\"}",
            "{\"text\":\"some text\"}", "{\"prompt\":\"a\",\"max_tokens\":20}");
    output(&out);
    for (int line = 0; line < 12; line++)
        ck_assert_msg(has(&out, line, "worker_crash") == (line % 4 == 1),
                      "line %d: %s", line + 1, nth(&out, line));
    buf_free(&out);
}
END_TEST

START_TEST(hung_rank)
{
    struct buf out = BUF_INIT;
    const char *config = write_config("stall_s: 1\nbackend_options: "
                                      "hang_token=91\n");

    START("--config", config, NULL_MODEL, "null,null");
    ADD(1, "{\"context\":\"a\",\"target\":\"b\"}",
        "{\"context\":\"xZx\",\"target\":\"b\"}",
        "{\"context\":\"c\",\"target\":\"b\"}");
    output(&out);
    ck_assert(has(&out, 0, "\"logprob\":"));
    ck_assert(has(&out, 1, "worker_crash"));
    ck_assert(has(&out, 2, "\"logprob\":"));
    ck_assert_int_eq(c->hellos, 1); /* the session went on meanwhile */
    ck_assert_int_gt(c->beats, 5);
    buf_free(&out);
}
END_TEST

/* The other rank goes on and is soon waiting for the hung one in a gather: still
 * the right record is found.
 */
START_TEST(hung_rank_among_busy_ones)
{
    struct buf out = BUF_INIT;
    const char *config = write_config("stall_s: 1\nbackend_options: "
                                      "hang_token=91,latency_us=20000\n");

    START("--config", config, NULL_MODEL, "null,null,null", "--slots", "4");
    add_mixed(1, 60);
    ADD(61, "{\"context\":\"xZx\",\"target\":\"b\"}");
    output(&out);
    for (int line = 0; line < 61; line++)
        ck_assert_msg(has(&out, line, "worker_crash") == (line == 60),
                      "line %d: %s", line + 1, nth(&out, line));
    buf_free(&out);
}
END_TEST

START_TEST(not_finite)
{
    struct buf out = BUF_INIT;

    START(NULL_MODEL, "null", "--backend-options", "poison_token=91");
    ADD(1, "{\"context\":\"a\",\"target\":\"b\"}",
        "{\"context\":\"Z\",\"target\":\"b\"}",
        "{\"context\":\"a\",\"choices\":[\"b\",\"Zc\"]}", "{\"prompt\":\"Z\"}",
        "{\"text\":\"Zz\"}");
    output(&out);
    ck_assert(has(&out, 0, "\"logprob\":"));
    for (int i = 1; i < 5; i++)
        ck_assert_msg(has(&out, i, "\"non_finite\""), "%s", nth(&out, i));
    buf_free(&out);
}
END_TEST

/* The pid of some rank of the worker, or 0. */
static pid_t a_rank(void)
{
    char path[64];
    int pid = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)c->worker,
             (int)c->worker);
    f = fopen(path, "r");
    if (f != NULL) {
        if (fscanf(f, "%d", &pid) != 1)
            pid = 0;
        fclose(f);
    }
    return pid;
}

/* kill -9 of a rank at any moment costs time and nothing else. */
START_TEST(killed_rank)
{
    static const char *const args[] = {NULL_MODEL,
                                       "null,null",
                                       "--backend-options",
                                       "vocab=300,latency_us=2000",
                                       "--tokens-per-step",
                                       "256",
                                       NULL};
    struct buf calm = BUF_INIT, stormy = BUF_INIT;

    mixed(&calm, 6, 40, args);
    coordinator_close(c);
    c = coordinator_open();
    add_mixed(6, 40);
    coordinator_start(c, args);
    for (int i = 0; i < 6 && !all_committed(c); i++) {
        pid_t rank;

        coordinator_serve(c, 20 + 15 * i, all_committed);
        rank = a_rank();
        if (rank > 0)
            kill(rank, SIGKILL);
    }
    output(&stormy);
    ck_assert_str_eq(calm.data, stormy.data);
    buf_free(&calm);
    buf_free(&stormy);
}
END_TEST

/* Not even where the same record is alone on the device each time. */
START_TEST(killed_rank_of_one_record)
{
    struct buf out = BUF_INIT;

    START(NULL_MODEL, "null", "--tokens-per-step", "1", "--backend-options",
          "latency_us=20000");
    ADD(1, "{\"text\":\"A step for each of these fifty and some tokens.\"}");
    for (int i = 0; i < 4; i++) {
        pid_t rank;

        coordinator_serve(c, 500, all_committed);
        rank = a_rank();
        if (rank > 0)
            kill(rank, SIGKILL);
    }
    output(&out);
    ck_assert_msg(has(&out, 0, "\"logprob\":"), "%s", nth(&out, 0));
    buf_free(&out);
}
END_TEST

static bool lose_some(struct coordinator *co, const struct wire_msg *m)
{
    if (m->type == WIRE_FETCH && m->fetch->offset == 0 && co->hook_count++ == 0)
        return true;
    return (m->type == WIRE_XFER_BEGIN || m->type == WIRE_XFER_CHUNK
            || m->type == WIRE_XFER_END)
           && co->hook_count++ < 4;
}

/* Lost: a FETCH, then the first messages of the upload. */
START_TEST(lost_messages)
{
    struct buf out = BUF_INIT;

    c->hook = lose_some;
    START(NULL_MODEL, "null");
    add_mixed(1, 40);
    output(&out);
    ck_assert_int_ge(c->fetches, 1);
    buf_free(&out);
}
END_TEST

/* Answers every FETCH with its first chunk only, at the wrong offset once. */
static bool stutter(struct coordinator *co, const struct wire_msg *m)
{
    const struct plan *p = &co->plan[0];
    Skein__XferChunk chunk = SKEIN__XFER_CHUNK__INIT;
    uint64_t at;

    if (m->type != WIRE_FETCH)
        return false;
    at = m->fetch->offset + (co->hook_count++ == 1 ? 1 : 0);
    if (at >= p->blob.len)
        return true;
    chunk.xfer = m->fetch->xfer;
    chunk.offset = at;
    chunk.data = (ProtobufCBinaryData){(p->blob.len - at + 1) / 2,
                                       (uint8_t *)p->blob.data + at};
    coordinator_send(co, WIRE_XFER_CHUNK, &chunk.base);
    return p->blob.len - at > 100;
}

START_TEST(fetch_continues_where_it_is)
{
    c->hook = stutter;
    START(NULL_MODEL, "null");
    add_mixed(1, 40);
    serve_all();
    ck_assert_int_ge(c->hook_count, 3);
}
END_TEST

static bool spoil(struct coordinator *co, const struct wire_msg *m)
{
    if (m->type == WIRE_FETCH && co->hook_count++ == 0)
        co->plan[0].blob.data[30] ^= 1;
    else if (m->type == WIRE_RELEASE)
        co->plan[0].blob.data[30] ^= 1; /* repaired for the next attempt */
    return false;
}

START_TEST(corrupt_input_is_released)
{
    c->hook = spoil;
    START(NULL_MODEL, "null");
    add_mixed(1, 40);
    serve_all();
    ck_assert_int_eq(c->releases[SKEIN__RELEASE_REASON__RELEASE_INPUT], 1);
    ck_assert_uint_eq(c->plan[0].token.attempt, 2);
}
END_TEST

static bool call_stale(struct coordinator *co, const struct wire_msg *m)
{
    Skein__Stale msg = SKEIN__STALE__INIT;

    if (m->type != WIRE_XFER_BEGIN || co->hook_count++ > 0)
        return false;
    msg.token = m->begin->upload->token;
    coordinator_send(co, WIRE_STALE, &msg.base);
    co->plan[0].leased = false;
    return true;
}

/* STALE: the worker forgets the result and computes the shard again when it is
 * granted again.
 */
START_TEST(stale_result)
{
    c->hook = call_stale;
    START(NULL_MODEL, "null");
    add_mixed(1, 10);
    serve_all();
    ck_assert_int_ge(c->hook_count, 2);
    ck_assert_uint_eq(c->plan[0].token.attempt, 2);
}
END_TEST

static bool say_again(struct coordinator *co, const struct wire_msg *m)
{
    if (m->type != WIRE_XFER_BEGIN || co->hook_count++ > 0)
        return false;
    co->known = false;
    coordinator_again(co);
    return true;
}

/* The coordinator forgot the connection: HELLO names the finished shard, and
 * its upload begins anew.
 */
START_TEST(hello_again)
{
    c->hook = say_again;
    START(NULL_MODEL, "null");
    add_mixed(1, 10);
    serve_all();
    ck_assert_int_eq(c->hellos, 2);
    ck_assert_uint_eq(c->plan[0].token.attempt, 1);
}
END_TEST

static bool hold_uploads(struct coordinator *co, const struct wire_msg *m)
{
    return m->type == WIRE_XFER_BEGIN && co->epoch == 1;
}

static bool finished_one(const struct coordinator *co)
{
    return co->last_held == 1 && co->beats >= 3;
}

/* A new coordinator process at the same address, with a higher epoch. */
START_TEST(coordinator_restarts)
{
    const char *endpoint = c->endpoint;

    c->hook = hold_uploads;
    START(NULL_MODEL, "null");
    add_mixed(1, 10);
    ck_assert(coordinator_serve(c, 10000, finished_one));
    sock_close(c->sock);
    c->sock = sock_router(&endpoint, 1, NULL);
    ck_assert_ptr_nonnull(c->sock);
    c->epoch = 2;
    c->known = false;
    serve_all();
    ck_assert_int_ge(c->hellos, 2);
    ck_assert_uint_eq(c->plan[0].token.epoch, 1); /* the old lease was kept */
}
END_TEST

static bool is_known(const struct coordinator *co)
{
    return co->known;
}

/* An older coordinator answers: not listened to. */
START_TEST(lower_epoch)
{
    START(NULL_MODEL, "null");
    c->epoch = 5;
    ck_assert(coordinator_serve(c, 10000, is_known));
    c->epoch = 4;
    c->known = false;
    add_mixed(1, 10);
    ck_assert(!coordinator_serve(c, 3500, all_committed));
    c->epoch = 6;
    c->known = false;
    serve_all();
}
END_TEST

static bool has_lease(const struct coordinator *co)
{
    return co->last_held == 1 && co->beats >= 1;
}

static bool mute(struct coordinator *co, const struct wire_msg *m)
{
    co->hook_count = m->type == WIRE_HELLO ? 1 : 0;
    if (m->type == WIRE_HELLO)
        co->last_held = m->hello->n_held;
    return m->type != WIRE_FETCH;
}

static bool said_hello(const struct coordinator *co)
{
    return co->hook_count > 0;
}

/* No acknowledged beat for the time of a lease: the worker stops the shard and
 * says HELLO without it.
 */
START_TEST(lease_runs_out)
{
    START(NULL_MODEL, "null", "--backend-options", "latency_us=400000",
          "--tokens-per-step", "64");
    add_mixed(1, 40);
    ck_assert(coordinator_serve(c, 10000, has_lease));
    c->hook = mute;
    ck_assert(coordinator_serve(c, 4000, said_hello));
    ck_assert_uint_eq(c->last_held, 0);
}
END_TEST

static void send_revoke(void)
{
    Skein__Revoke msg = SKEIN__REVOKE__INIT;

    msg.token = &c->plan[0].token;
    msg.reason = (char *)"cancelled";
    coordinator_send(c, WIRE_REVOKE, &msg.base);
}

static bool holds_nothing(const struct coordinator *co)
{
    return co->last_held == 0;
}

/* A revoked shard frees its slots: the next one is computed at once. */
START_TEST(revoked)
{
    START(NULL_MODEL, "null", "--backend-options", "latency_us=50000",
          "--tokens-per-step", "64");
    add_mixed(1, 40); /* 10 s */
    ck_assert(coordinator_serve(c, 10000, has_lease));
    c->plan[0].committed = true;
    c->plan[0].leased = false;
    send_revoke();
    ck_assert(coordinator_serve(c, 3000, holds_nothing));
    ADD(100, "{\"context\":\"a\",\"target\":\"b\"}");
    ck_assert(coordinator_serve(c, 2000, all_committed));
}
END_TEST

/* SIGTERM: what is begun is finished, the rest is given back. */
START_TEST(drain)
{
    START(NULL_MODEL, "null", "--backend-options", "latency_us=50000");
    add_mixed(3, 40);
    ck_assert(coordinator_serve(c, 10000, has_lease) || c->last_held > 0);
    kill(c->worker, SIGTERM);
    ck_assert_int_eq(coordinator_wait(c, 20000), 0);
    ck_assert(c->draining);
    ck_assert(c->plan[0].committed
              || c->releases[SKEIN__RELEASE_REASON__RELEASE_DRAIN] > 0);
}
END_TEST

START_TEST(second_sigterm_ends_at_once)
{
    START(NULL_MODEL, "null", "--backend-options", "latency_us=400000",
          "--tokens-per-step", "16");
    add_mixed(1, 40);
    ck_assert(coordinator_serve(c, 10000, has_lease));
    kill(c->worker, SIGTERM);
    coordinator_serve(c, 300, NULL);
    kill(c->worker, SIGTERM);
    ck_assert_int_eq(coordinator_wait(c, 1500), 0);
}
END_TEST

/* Does it run? A zombie that init has not collected does not. */
static bool runs(pid_t pid)
{
    char path[64], state = 'Z';
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (f == NULL)
        return false;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(f);
    return state != 'Z';
}

/* Nobody is left when the supervisor is killed. */
START_TEST(ranks_die_with_the_supervisor)
{
    pid_t rank;

    START(NULL_MODEL, "null");
    ck_assert(coordinator_serve(c, 10000, is_known));
    rank = a_rank();
    ck_assert_int_gt(rank, 0);
    kill(c->worker, SIGKILL);
    ck_assert_int_eq(coordinator_wait(c, 5000), 128 + SIGKILL);
    for (int i = 0; i < 100 && runs(rank); i++)
        usleep(10000);
    ck_assert(!runs(rank));
}
END_TEST

/* A document larger than every ring and window on its way. */
START_TEST(long_document)
{
    size_t n = 3u << 20;
    char *line = malloc(n + 32);
    const char *at = line;
    struct buf out = BUF_INIT;
    uint32_t x = 1;

    memcpy(line, "{\"text\":\"", 9);
    for (size_t i = 0; i < n; i++)
        line[9 + i] = (char)('0' + (x = x * 1664525u + 1013904223u) % 59);
    memcpy(line + 9 + n, "\"}", 3);
    for (char *p = line + 9; p < line + 9 + n; p++)
        if (*p == '\\')
            *p = 'x';
    coordinator_add(c, 1, &at, 1);
    START(NULL_MODEL, "null,null");
    output(&out);
    ck_assert(has(&out, 0, "\"tokens\":3145728,\"bytes\":3145728,"));
    ck_assert_uint_eq(c->plan[0].tokens_in, n);
    buf_free(&out);
    free(line);
}
END_TEST

START_TEST(prefetches)
{
    START(NULL_MODEL, "null", "--backend-options", "latency_us=1000");
    add_mixed(30, 40);
    serve_all();
    ck_assert_uint_ge(c->leased_max, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *t = tcase_create("worker");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_kind);
    tcase_add_test(t, fed_tokens_are_counted);
    tcase_add_test(t, bad_lines);
    tcase_add_test(t, same_bytes_however_packed);
    tcase_add_test(t, hung_rank);
    tcase_add_test(t, hung_rank_among_busy_ones);
    tcase_add_test(t, not_finite);
    tcase_add_test(t, killed_rank);
    tcase_add_test(t, killed_rank_of_one_record);
    tcase_add_test(t, lost_messages);
    tcase_add_test(t, fetch_continues_where_it_is);
    tcase_add_test(t, corrupt_input_is_released);
    tcase_add_test(t, stale_result);
    tcase_add_test(t, hello_again);
    tcase_add_test(t, coordinator_restarts);
    tcase_add_test(t, lower_epoch);
    tcase_add_test(t, lease_runs_out);
    tcase_add_test(t, revoked);
    tcase_add_test(t, drain);
    tcase_add_test(t, second_sigterm_ends_at_once);
    tcase_add_test(t, ranks_die_with_the_supervisor);
    tcase_add_test(t, long_document);
    tcase_add_test(t, prefetches);
    tcase_add_loop_test(t, poison_record, 0, 3);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
