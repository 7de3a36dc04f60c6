/* Bytes as an input, a result and a second result of some of its lines: what
 * retry.h makes of them has exactly the lines of the first result, or says why
 * not.
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/retry.h"
#include "proto/lineset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte is a line: its distance from the one before, error or not, and
 * some text. `mask` cleared bits make two sets with the same lines.
 */
static struct buf pack(const uint8_t *data, size_t size, uint8_t mask)
{
    struct buf out = BUF_INIT;
    struct lineset_writer w;
    uint64_t line = 0;

    lineset_writer_init(&w);
    for (size_t i = 0; i < size; i++) {
        uint8_t b = data[i] & mask;

        line += 1 + (b >> 4);
        lineset_add_item(&w, &(struct lineset_item){.line = line,
                                                    .text = (const char *)data,
                                                    .len = (uint32_t)(i % 7),
                                                    .error = b & 1});
    }
    lineset_pack(&w, &out);
    lineset_writer_free(&w);
    return out;
}

/* Does `whole` answer the lines of `result`, with so many errors? */
static void check_merged(const struct buf *result, const struct buf *whole,
                         uint32_t n_errors)
{
    struct lineset a, b;

    if (lineset_unpack(result->data, result->len, &a, NULL) < 0
        || lineset_unpack(whole->data, whole->len, &b, NULL) < 0
        || lineset_match(&a, &b, NULL) < 0 || b.n_error != n_errors)
        abort();
    lineset_free(&a);
    lineset_free(&b);
}

/* The lines that are to be tried again answer themselves. */
static void check_round(const struct buf *input, const struct buf *result)
{
    struct buf again = BUF_INIT, whole = BUF_INIT;
    uint32_t n_errors = 0;

    if (retry_input(input, result, &again, NULL) < 0)
        abort();
    if (retry_merge(result, &again, &whole, &n_errors, NULL) < 0
        || n_errors != 0)
        abort();
    check_merged(result, &whole, 0);
    buf_free(&again);
    buf_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut = size == 0 ? 0 : data[0] % size;
    struct buf input = pack(data, cut, 0xf0), result = pack(data, cut, 0xff);
    struct buf again = pack(data + cut, size - cut, 0xff), out = BUF_INIT;
    uint32_t n_errors = 0;

    check_round(&input, &result);
    if (retry_merge(&result, &again, &out, &n_errors, NULL) == 0)
        check_merged(&result, &out, n_errors);
    buf_clear(&out);
    /* As they are: no lineset at all. */
    buf_free(&input);
    buf_add(&input, data, size);
    retry_input(&input, &result, &out, NULL);
    retry_merge(&result, &input, &out, &n_errors, NULL);
    buf_free(&input);
    buf_free(&result);
    buf_free(&again);
    buf_free(&out);
    return 0;
}
