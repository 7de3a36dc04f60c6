/* /metrics and /healthz, asked over HTTP, of a real store and core */
#include "daemon/monitor.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/limits.h"
#include "tests/common/run.h"
#include "tests/daemon/http_peer.h"
#include "tests/daemon/spooled.h"

static struct spooled s;
static struct commit *commit;
static struct core *core;
static struct monitor *monitor;

static void start(const char *address)
{
    struct core_config core_config = {
        .epoch = 1,
        .beat_ms = BEAT_MS,
        .lease_ms = LEASE_COORDINATOR_MS,
        .lease_worker_ms = LEASE_WORKER_MS,
        .probe_ms = PROBE_MS,
    };
    struct monitor_config config = {.address = address};
    struct err err;

    spooled_init(&s);
    commit = commit_start(s.store, &err);
    core = core_create(&core_config);
    config.core = core;
    config.commit = commit;
    monitor = monitor_start(&config, &err);
    ck_assert_msg(monitor != NULL, "%s", err.text);
}

static void stop(void)
{
    monitor_stop(monitor);
    commit_stop(commit);
    core_destroy(core);
    spooled_free(&s);
}

static void loop(int ms)
{
    int64_t end = clock_now_ms() + ms;

    while (clock_now_ms() < end) {
        struct pollfd p = {.fd = monitor_fd(monitor), .events = POLLIN};

        if (poll(&p, 1, 5) > 0 || monitor_wait_ms(monitor) <= 0)
            monitor_run(monitor);
    }
}

static const char *ask(const char *path)
{
    int fd = http_peer_connect(monitor_port(monitor));
    const char *answer;
    char request[128];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
             path);
    loop(5);
    http_peer_say_text(fd, request);
    loop(50);
    answer = http_peer_heard(fd);
    close(fd);
    return answer;
}

static void ignore_send(void *arg, uint64_t peer, enum wire_type type,
                        uint64_t seq, const ProtobufCMessage *msg)
{
    (void)arg;
    (void)peer;
    (void)type;
    (void)seq;
    (void)msg;
}

static void ignore_store(void *arg, struct op *op)
{
    (void)arg;
    op_free(op);
}

static void ignore_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

/* Tell the core that a shard could or could not be written. */
static void staged(enum op_status status)
{
    const struct core_actions act = {
        .send = ignore_send, .store = ignore_store, .log = ignore_log};
    struct op *op = op_create(OP_STAGE, 1);
    struct core_event e = {.kind = CORE_STORED, .op = op};

    op->status = status;
    err_set(&op->err, ERR_AGAIN, "no space");
    core_step(core, &e, clock_now_ms(), &act);
    op_free(op);
}

START_TEST(health)
{
    start("127.0.0.1:0");
    ck_assert_ptr_nonnull(strstr(ask("/healthz"), " 200 "));
    ck_assert_ptr_nonnull(strstr(ask("/healthz"), "\r\n\r\nok\n"));
    ck_assert_ptr_nonnull(strstr(ask("/metrics"), "\nskein_healthy 1\n"));
    staged(OP_FAILED);
    ck_assert_ptr_nonnull(strstr(ask("/healthz"), " 503 "));
    ck_assert_ptr_nonnull(strstr(ask("/healthz"), "\r\n\r\nfull\n"));
    loop(200); /* /metrics is that old at most */
    ck_assert_ptr_nonnull(strstr(ask("/metrics"), "\nskein_healthy 0\n"));
    staged(OP_OK);
    ck_assert_ptr_nonnull(strstr(ask("/healthz"), " 200 "));
    ck_assert_ptr_nonnull(strstr(ask("/"), " 404 "));
    stop();
}
END_TEST

/* The size of the spool is asked for at the start and after each look. */
START_TEST(usage)
{
    struct op_usage seen = {.used = 12345, .avail = 67890};

    start("127.0.0.1:0");
    ck_assert(monitor_wants_usage(monitor, 1000));
    ck_assert(!monitor_wants_usage(monitor, 1001));
    monitor_usage(monitor, &seen);
    ck_assert(!monitor_wants_usage(monitor, 1000 + MONITOR_USAGE_MS));
    ck_assert_ptr_nonnull(
        strstr(ask("/metrics"), "\nskein_spool_bytes 12345\n"));
    ck_assert(!monitor_wants_usage(monitor, 1000 + MONITOR_USAGE_MS - 1));
    ck_assert(monitor_wants_usage(monitor, 1000 + MONITOR_USAGE_MS));
    stop();
}
END_TEST

/* What the processes of /proc say of ourselves. */
START_TEST(process)
{
    const char *text, *at;

    start("127.0.0.1:0");
    text = ask("/metrics");
    at = strstr(text, "\nprocess_resident_memory_bytes ");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_gt(atoll(strchr(at, ' ')), 1 << 20);
    at = strstr(text, "\nprocess_open_fds ");
    ck_assert_int_gt(atoll(strchr(at, ' ')), 3);
    at = strstr(text, "\nprocess_start_time_seconds ");
    ck_assert_int_gt(atoll(strchr(at, ' ')), 1700000000);
    ck_assert_ptr_nonnull(strstr(text, "skein_build_info{version="));
    stop();
}
END_TEST

START_TEST(nowhere)
{
    start("");
    ck_assert_int_eq(monitor_fd(monitor), -1);
    ck_assert_int_eq(monitor_wait_ms(monitor), INT64_MAX);
    ck_assert(!monitor_wants_usage(monitor, 1000000));
    monitor_run(monitor);
    stop();
}
END_TEST

int main(void)
{
    return RUN_TESTS("monitor", health, usage, process, nowhere);
}
