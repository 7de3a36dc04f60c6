/* tests/fuzz/fuzz_lineset.c - blobs from anybody
 *
 * First byte even: the rest is the content, compressed here; odd: the rest is
 * the blob. Accepted content is canonical: written again, it is the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "proto/lineset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int fine)
{
    if (!fine)
        abort();
}

static void again(const struct lineset *s)
{
    struct lineset_writer w;
    struct buf packed = BUF_INIT;
    struct lineset copy;

    lineset_writer_init(&w);
    for (uint32_t i = 0; i < s->n; i++)
        lineset_add_item(&w, &s->item[i]);
    lineset_pack(&w, &packed);
    must(lineset_unpack(packed.data, packed.len, &copy, NULL) == 0);
    must(copy.bytes.len == s->bytes.len
         && memcmp(copy.bytes.data, s->bytes.data, s->bytes.len) == 0);
    must(copy.n == s->n && copy.n_error == s->n_error);
    must(lineset_match(s, &copy, NULL) == 0);
    lineset_free(&copy);
    buf_free(&packed);
    lineset_writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf packed = BUF_INIT;
    struct lineset s = {0};
    struct err err;

    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        zst_pack(data + 1, size - 1, &packed);
    else
        buf_add(&packed, data + 1, size - 1);
    if (lineset_unpack(packed.data, packed.len, &s, &err) == 0)
        again(&s);
    else
        must(err.code == ERR_CORRUPT || err.code == ERR_LIMIT);
    lineset_free(&s);
    buf_free(&packed);
    return 0;
}
