#include "daemon/retry.h"

#include "proto/lineset.h"

static int unpack_two(const struct buf *a, const struct buf *b,
                      struct lineset *one, struct lineset *two, struct err *err)
{
    if (lineset_unpack(a->data, a->len, one, err) < 0)
        return -1;
    if (lineset_unpack(b->data, b->len, two, err) == 0)
        return 0;
    lineset_free(one);
    return -1;
}

int retry_input(const struct buf *input, const struct buf *result,
                struct buf *out, struct err *err)
{
    struct lineset_writer w;
    struct lineset in, had;
    int ret;

    if (unpack_two(input, result, &in, &had, err) < 0)
        return -1;
    ret = lineset_match(&in, &had, err);
    if (ret < 0 && err != NULL)
        err->code = ERR_CORRUPT; /* it was checked when it was stored */
    lineset_writer_init(&w);
    for (uint32_t i = 0; ret == 0 && i < in.n; i++) {
        if (had.item[i].error)
            lineset_add_item(&w, &in.item[i]);
    }
    if (ret == 0)
        lineset_pack(&w, out);
    lineset_writer_free(&w);
    lineset_free(&in);
    lineset_free(&had);
    return ret;
}

/* Could what comes out be read again? */
static int check_size(const struct lineset *a, const struct lineset *b,
                      struct err *err)
{
    if (a->bytes.len + b->bytes.len <= LINESET_BYTES_MAX)
        return 0;
    return err_set(err, ERR_INVALID,
                   "old and new answers have more than %u bytes",
                   LINESET_BYTES_MAX);
}

int retry_merge(const struct buf *result, const struct buf *again,
                struct buf *out, uint32_t *n_errors, struct err *err)
{
    struct lineset_writer w;
    struct lineset had, got;
    uint32_t next = 0;
    int ret;

    if (unpack_two(result, again, &had, &got, err) < 0)
        return -1;
    ret = check_size(&had, &got, err);
    lineset_writer_init(&w);
    for (uint32_t i = 0; ret == 0 && i < had.n; i++) {
        if (!had.item[i].error)
            lineset_add_item(&w, &had.item[i]);
        else if (next < got.n && got.item[next].line == had.item[i].line)
            lineset_add_item(&w, &got.item[next++]);
        else
            ret = err_set(err, ERR_INVALID, "no answer to line %llu",
                          (unsigned long long)had.item[i].line);
    }
    if (ret == 0 && next < got.n)
        ret = err_set(err, ERR_INVALID, "an answer to line %llu, not asked for",
                      (unsigned long long)got.item[next].line);
    if (ret == 0) {
        lineset_pack(&w, out);
        *n_errors = got.n_error;
    }
    lineset_writer_free(&w);
    lineset_free(&had);
    lineset_free(&got);
    return ret;
}
