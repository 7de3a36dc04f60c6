/* The two transfer clients, message by message, without sockets or clocks. */
#include <check.h>
#include <string.h>

#include "worker/fetch.h"
#include "worker/upload.h"

/* What was sent last, and how many messages of each kind. */
static struct {
    int fetch, begin, chunk, end;
    uint64_t offset, window, bytes;
    bool refuse; /* the queue is full */
} sent;

static bool take(void *arg, enum wire_type type, const ProtobufCMessage *msg)
{
    const Skein__Fetch *f = (const Skein__Fetch *)msg;
    const Skein__XferChunk *c = (const Skein__XferChunk *)msg;

    (void)arg;
    if (sent.refuse)
        return false;
    if (type == WIRE_FETCH) {
        sent.fetch++;
        sent.offset = f->offset;
        sent.window = f->window;
    } else if (type == WIRE_XFER_CHUNK) {
        ck_assert_uint_eq(c->offset, sent.bytes);
        ck_assert_uint_le(c->data.len, CHUNK_BYTES_MAX);
        sent.chunk++;
        sent.bytes += c->data.len;
    } else {
        *(type == WIRE_XFER_BEGIN ? &sent.begin : &sent.end) += 1;
    }
    return true;
}

static const struct sender to = {take, NULL};
static uint8_t data[2 * XFER_WINDOW_BYTES];

static void setup(void)
{
    memset(&sent, 0, sizeof sent);
}

/* A chunk at `at`; returns whether the input is complete. */
static bool chunk(struct fetch *f, uint64_t at, size_t len, int64_t now)
{
    Skein__XferChunk c = SKEIN__XFER_CHUNK__INIT;

    c.xfer = f->xfer;
    c.offset = at;
    c.data = (ProtobufCBinaryData){len, data};
    return fetch_chunk(f, &c, now);
}

START_TEST(fetch_asks_again_from_where_it_is)
{
    Skein__Token token = SKEIN__TOKEN__INIT;
    struct buf got = BUF_INIT;
    struct fetch f;

    fetch_start(&f, 5, &token, 1000, &got);
    fetch_step(&f, &to, 0);
    fetch_step(&f, &to, FETCH_RETRY_MS - 1);
    ck_assert_int_eq(sent.fetch, 1);
    ck_assert(!chunk(&f, 0, 300, 100));
    fetch_step(&f, &to, FETCH_RETRY_MS + 99);
    ck_assert_int_eq(sent.fetch, 1); /* 2 s after the last chunk, not before */
    fetch_step(&f, &to, FETCH_RETRY_MS + 100);
    ck_assert_int_eq(sent.fetch, 2);
    ck_assert_uint_eq(sent.offset, 300);
    ck_assert(!chunk(&f, 0, 300, 200));   /* a repeat */
    ck_assert(!chunk(&f, 600, 400, 200)); /* behind a gap */
    ck_assert(!chunk(&f, 300, 701, 200)); /* more than promised */
    ck_assert_uint_eq(got.len, 300);
    fetch_end(&f, 300); /* the last byte was sent: something was lost */
    fetch_step(&f, &to, 300);
    ck_assert_int_eq(sent.fetch, 3);
    ck_assert(chunk(&f, 300, 700, 400));
    buf_free(&got);
}
END_TEST

START_TEST(fetch_goes_on_to_the_next_window)
{
    Skein__Token token = SKEIN__TOKEN__INIT;
    struct buf got = BUF_INIT;
    struct fetch f;

    fetch_start(&f, 5, &token, XFER_WINDOW_BYTES + 10, &got);
    fetch_step(&f, &to, 0);
    ck_assert(!chunk(&f, 0, XFER_WINDOW_BYTES, 50));
    fetch_step(&f, &to, 50);
    ck_assert_int_eq(sent.fetch, 2);
    ck_assert_uint_eq(sent.offset, XFER_WINDOW_BYTES);
    fetch_again(&f, 700, 100); /* the coordinator is busy */
    fetch_step(&f, &to, 799);
    ck_assert_int_eq(sent.fetch, 2);
    fetch_step(&f, &to, 800);
    ck_assert_int_eq(sent.fetch, 3);
    buf_free(&got);
}
END_TEST

static struct upload make_upload(uint64_t size)
{
    static const uint8_t hash[HASH_BYTES];
    struct upload u = {.data = (const char *)data, .size = size, .hash = hash};

    upload_start(&u, 9);
    return u;
}

START_TEST(upload_within_the_window)
{
    struct upload u = make_upload(sizeof data);

    upload_step(&u, &to, 0);
    upload_step(&u, &to, UPLOAD_RETRY_MS - 1);
    ck_assert_int_eq(sent.begin, 1);
    upload_step(&u, &to, UPLOAD_RETRY_MS); /* until GO */
    ck_assert_int_eq(sent.begin, 2);
    upload_go(&u, 0, XFER_WINDOW_BYTES);
    for (int i = 0; i < 5; i++)
        upload_step(&u, &to, 3000);
    ck_assert_uint_eq(sent.bytes, XFER_WINDOW_BYTES);
    ck_assert_int_eq(sent.end, 0);
    upload_ack(&u, XFER_WINDOW_BYTES, XFER_WINDOW_BYTES);
    for (int i = 0; i < 5; i++)
        upload_step(&u, &to, 3100);
    ck_assert_uint_eq(sent.bytes, sizeof data);
    ck_assert_int_eq(sent.end, 1);
    upload_step(&u, &to, 3100 + UPLOAD_RETRY_MS); /* until answered */
    ck_assert_int_eq(sent.end, 2);
}
END_TEST

START_TEST(upload_goes_back_when_told)
{
    struct upload u = make_upload(1000);

    upload_step(&u, &to, 0);
    upload_go(&u, 0, XFER_WINDOW_BYTES);
    upload_step(&u, &to, 1);
    ck_assert_uint_eq(sent.bytes, 1000);
    ck_assert_int_eq(sent.end, 1);
    sent.bytes = 400; /* the coordinator has only that much */
    upload_go(&u, 400, XFER_WINDOW_BYTES);
    upload_step(&u, &to, 2);
    ck_assert_uint_eq(sent.bytes, 1000);
    ck_assert_int_eq(sent.end, 2);
    upload_go(&u, 5000, 100); /* nonsense */
    upload_step(&u, &to, 3);
    ck_assert_int_eq(sent.chunk, 2);
}
END_TEST

/* A full queue loses nothing: the chunk is sent at a later step. */
START_TEST(upload_with_a_full_queue)
{
    struct upload u = make_upload(1000);

    upload_step(&u, &to, 0);
    upload_go(&u, 0, XFER_WINDOW_BYTES);
    sent.refuse = true;
    upload_step(&u, &to, 1);
    sent.refuse = false;
    ck_assert_uint_eq(sent.bytes, 0);
    upload_step(&u, &to, u.due_ms);
    ck_assert_uint_eq(sent.bytes, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfer");
    TCase *t = tcase_create("transfer");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, fetch_asks_again_from_where_it_is);
    tcase_add_test(t, fetch_goes_on_to_the_next_window);
    tcase_add_test(t, upload_within_the_window);
    tcase_add_test(t, upload_goes_back_when_told);
    tcase_add_test(t, upload_with_a_full_queue);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
