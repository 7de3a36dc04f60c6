/* HTTP by whoever comes along: nobody may hold up the loop. */
#include "daemon/http.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/common/run.h"
#include "tests/daemon/http_peer.h"

static struct http *http;
static int64_t longest_us; /* that one http_run() took */

static void get(void *arg, const char *path, struct http_answer *out)
{
    (void)arg;
    if (strcmp(path, "/hello") == 0) {
        out->status = 200;
        buf_adds(&out->body, "hello\n");
    } else if (strcmp(path, "/large") == 0) {
        out->status = 200;
        memset(buf_reserve(&out->body, 8u << 20), 'x', 8u << 20);
        out->body.len = 8u << 20;
    }
}

static void start(void)
{
    struct http_config config = {.address = "127.0.0.1:0", .get = get};
    struct err err;

    http = http_start(&config, &err);
    ck_assert_msg(http != NULL, "%s", err.text);
    longest_us = 0;
}

/* What the router does, for up to `ms` or until there is nothing to do. */
static void loop(int ms)
{
    int64_t end = clock_now_ms() + ms;

    while (clock_now_ms() < end) {
        struct pollfd p = {.fd = http_fd(http), .events = POLLIN};
        int64_t from, took;

        poll(&p, 1, 5);
        from = clock_now_us();
        http_run(http);
        took = clock_now_us() - from;
        if (took > longest_us)
            longest_us = took;
    }
}

static int connect_to(void)
{
    int fd = http_peer_connect(http_port(http));

    loop(2); /* or the backlog would fill */
    return fd;
}

static const char *ask(const char *request)
{
    int fd = connect_to();
    const char *answer;

    http_peer_say_text(fd, request);
    loop(60);
    answer = http_peer_heard(fd);
    close(fd);
    return answer;
}

START_TEST(get_and_head)
{
    const char *answer;

    start();
    answer = ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(answer, "text/plain"));
    ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\nhello\n"));
    answer = ask("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 200"));
    ck_assert_ptr_null(strstr(answer, "hello"));
    answer = ask("GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 404"));
    answer = ask("GET /hello?x=1 HTTP/1.0\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(answer, " 200"));
    http_stop(http);
}
END_TEST

START_TEST(one_connection_many_requests)
{
    int fd;

    start();
    fd = connect_to();
    for (int i = 0; i < 5; i++) {
        http_peer_say_text(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        loop(30);
        ck_assert_ptr_nonnull(strstr(http_peer_heard(fd), "hello\n"));
    }
    close(fd);
    http_stop(http);
}
END_TEST

START_TEST(other_methods)
{
    static const char *const request[] = {
        "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n",
        "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n",
    };

    start();
    for (size_t i = 0; i < sizeof request / sizeof request[0]; i++) {
        const char *answer = ask(request[i]);

        ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 405"));
        ck_assert_ptr_nonnull(strstr(answer, "Allow: GET, HEAD"));
    }
    http_stop(http);
}
END_TEST

/* An upload without end is refused when its headers are there. */
START_TEST(endless_upload)
{
    char block[4096];
    int fd;

    start();
    memset(block, 'x', sizeof block);
    fd = connect_to();
    http_peer_say_text(
        fd,
        "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n");
    loop(40);
    for (int i = 0; i < 100; i++) {
        if (send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        loop(6);
    }
    ck_assert_ptr_nonnull(
        strstr(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello\n"));
    close(fd);
    http_stop(http);
}
END_TEST

START_TEST(rubbish_requests)
{
    static const char *const rubbish[] = {
        "\r\n\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/9.9\r\n\r\n",
        "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /hello HTTP/1.1\r\nContent-Length: -1\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nContent-Length: 5\r\nHost: x\r\n\r\nabcde",
        "GET /%ff%00%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET //../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* TLS */
        "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f",     /* ZMTP */
    };
    struct buf large = BUF_INIT;
    int fd;

    start();
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        ask(rubbish[i]);
    /* Headers beyond the memory of a connection. */
    buf_adds(&large, "GET /hello HTTP/1.1\r\n");
    for (int i = 0; i < 3000; i++)
        buf_addf(&large, "X-Header-%d: some value of it\r\n", i);
    fd = connect_to();
    for (size_t at = 0; at < large.len; at += 1000) {
        size_t n = large.len - at < 1000 ? large.len - at : 1000;

        if (send(fd, large.data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        loop(6);
    }
    close(fd);
    buf_free(&large);
    ck_assert_ptr_nonnull(
        strstr(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello\n"));
    http_stop(http);
}
END_TEST

/* Peers that send a byte now and then, or do not read what they asked for. */
START_TEST(slow_peers_hold_nobody_up)
{
    static const char request[] = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    int slow[HTTP_CONNECTIONS_MAX - 2];
    size_t n = sizeof slow / sizeof slow[0];

    start();
    for (size_t i = 0; i < n; i++)
        slow[i] = connect_to();
    for (size_t at = 0; at < sizeof request - 1; at++) {
        for (size_t i = 0; i < n; i++) {
            if (i % 2 == 0)
                http_peer_say(slow[i], request + at, 1);
        }
        loop(6);
    }
    ck_assert_ptr_nonnull(
        strstr(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello\n"));
    /* Generous: 15 answers of 8 MiB are copied to sockets that are full. */
    ck_assert_int_lt(longest_us, 2000000);
    for (size_t i = 0; i < n; i++)
        close(slow[i]);
    http_stop(http);
}
END_TEST

/* More peers than there may be: the others wait; when some go, they come. */
START_TEST(too_many_peers)
{
    int many[HTTP_CONNECTIONS_MAX + 8], last;

    start();
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        many[i] = connect_to();
    loop(50);
    last = connect_to();
    http_peer_say_text(last, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    loop(50);
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        close(many[i]);
    loop(100);
    close(last);
    ck_assert_ptr_nonnull(
        strstr(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello\n"));
    http_stop(http);
}
END_TEST

/* Bytes and the end of the connection at once, more often than there may be
 * connections: none may stay.
 */
START_TEST(end_with_the_last_byte)
{
    start();
    for (int i = 0; i < 2 * HTTP_CONNECTIONS_MAX; i++) {
        int fd = connect_to();

        http_peer_say_text(fd, "GET /hel");
        close(fd);
    }
    ck_assert_ptr_nonnull(
        strstr(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello\n"));
    http_stop(http);
}
END_TEST

/* Who has said all may close that half and still be answered. */
START_TEST(half_closed)
{
    int fd;

    start();
    fd = connect_to();
    http_peer_say_text(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(fd, SHUT_WR);
    loop(60);
    ck_assert_ptr_nonnull(strstr(http_peer_heard(fd), "hello\n"));
    close(fd);
    http_stop(http);
}
END_TEST

START_TEST(addresses)
{
    static const char *const bad[] = {
        "",           "127.0.0.1",       ":7448",          "127.0.0.1:",
        "0.0.0.0:80", "10.1.2.3:7448",   "*:7448",         "127.0.0.1:65536",
        "[::]:7448",  "127.0.0.1:7448x", "[::1]",          "localhost:-1",
        "::1:7448",   "127.0.0.1: 80",   "example.com:80",
    };
    static const char *const good[] = {"127.0.0.1:0", "127.1.2.3:7448",
                                       "[::1]:7448", "localhost:7448"};
    struct http_config config = {.address = "127.0.0.1:0", .get = get};
    char taken[32];
    struct err err;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(http_check(bad[i], &err) < 0, "%s", bad[i]);
        ck_assert_int_eq(err.code, ERR_CONFIG);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(http_check(good[i], &err) == 0, "%s", err.text);
    start();
    snprintf(taken, sizeof taken, "127.0.0.1:%u", http_port(http));
    config.address = taken;
    ck_assert_ptr_null(http_start(&config, &err));
    ck_assert_int_eq(err.code, ERR_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    http_stop(http);
    http_stop(NULL);
}
END_TEST

int main(void)
{
    return RUN_TESTS("http", get_and_head, one_connection_many_requests,
                     other_methods, endless_upload, rubbish_requests,
                     slow_peers_hold_nobody_up, too_many_peers,
                     end_with_the_last_byte, half_closed, addresses);
}
