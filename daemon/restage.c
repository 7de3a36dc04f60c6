#include "daemon/restage.h"

#include <inttypes.h>

#include "daemon/ingest_batch.h"

void restage_pack(struct lineset_writer *input, struct lineset_writer *rejected,
                  struct op_stage *s)
{
    s->n_records = input->n;
    s->n_rejected = rejected->n;
    if (s->n_records == 0) {
        struct lineset_writer none;

        lineset_writer_init(&none);
        lineset_pack(&none, &s->result);
        lineset_writer_free(&none);
    }
    lineset_pack(input, &s->input);
    lineset_pack(rejected, &s->rejected);
}

/* Walk both sets and the duplicates in the order of their lines. Returns how
 * many of the duplicates were found.
 */
static uint32_t split(struct op_stage *s, const struct lineset *input,
                      const struct lineset *rejected, struct lineset_writer *in,
                      struct lineset_writer *out)
{
    struct buf error = BUF_INIT;
    uint32_t r = 0, d = 0;

    for (uint32_t i = 0; i < input->n; i++) {
        const struct lineset_item *item = &input->item[i];

        if (d == s->n_duplicates || s->duplicate[d].line != item->line) {
            lineset_add_item(in, item);
            continue;
        }
        while (r < rejected->n && rejected->item[r].line < item->line)
            lineset_add_item(out, &rejected->item[r++]);
        buf_clear(&error);
        s->cost -=
            duplicate_error(item->text, item->len, &s->duplicate[d++], &error);
        lineset_add(out, item->line, error.data, error.len, true);
    }
    while (r < rejected->n)
        lineset_add_item(out, &rejected->item[r++]);
    buf_free(&error);
    return d;
}

int restage(struct op_stage *s, const struct buf *input,
            const struct buf *rejected, struct err *err)
{
    struct lineset was_in = {0}, was_out = {0};
    struct lineset_writer in, out;
    uint32_t found;
    int ret = -1;

    lineset_writer_init(&in);
    lineset_writer_init(&out);
    if (lineset_unpack(input->data, input->len, &was_in, err) < 0
        || lineset_unpack(rejected->data, rejected->len, &was_out, err) < 0)
        goto done;
    found = split(s, &was_in, &was_out, &in, &out);
    if (found < s->n_duplicates) {
        err_set(err, ERR_CORRUPT, "shard %" PRIu32 " has no line %" PRIu64,
                s->shard, s->duplicate[found].line);
        goto done;
    }
    restage_pack(&in, &out, s);
    ret = 0;

done:
    lineset_free(&was_in);
    lineset_free(&was_out);
    lineset_writer_free(&in);
    lineset_writer_free(&out);
    return ret;
}
