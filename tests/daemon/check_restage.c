/* Duplicates move from a shard's records to its rejected lines. */
#include "daemon/restage.h"

#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "daemon/ingest_batch.h"
#include "tests/common/run.h"

static const char record_text[] =
    "{\"id\":\"same\",\"context\":\"four words of text\",\"target\":\" x\"}";

/* Records on the even lines of 2..2n, errors on the odd ones between. */
static void make(uint32_t n, struct buf *input, struct buf *rejected)
{
    struct lineset_writer in, out;

    lineset_writer_init(&in);
    lineset_writer_init(&out);
    for (uint32_t i = 1; i <= n; i++) {
        lineset_add(&in, 2 * i, record_text, sizeof record_text - 1, false);
        lineset_add(&out, 2 * i + 1, "{\"error\":1}", 11, true);
    }
    lineset_pack(&in, input);
    lineset_pack(&out, rejected);
    lineset_writer_free(&in);
    lineset_writer_free(&out);
}

static uint64_t cost_of_one(void)
{
    struct idset_duplicate d = {1, 1};
    struct buf out = BUF_INIT;
    uint64_t cost =
        duplicate_error(record_text, sizeof record_text - 1, &d, &out);

    ck_assert_ptr_nonnull(strstr(out.data, "\"duplicate_id\""));
    ck_assert_ptr_nonnull(strstr(out.data, "\"same\""));
    buf_free(&out);
    ck_assert_uint_gt(cost, 3);
    return cost;
}

static void lines_are(const struct buf *packed, const char *want)
{
    struct lineset set;
    struct buf lines = BUF_INIT;
    struct err err;

    ck_assert_int_eq(lineset_unpack(packed->data, packed->len, &set, &err), 0);
    buf_adds(&lines, "");
    for (uint32_t i = 0; i < set.n; i++)
        buf_addf(&lines, "%s%llu%s", i == 0 ? "" : " ",
                 (unsigned long long)set.item[i].line,
                 set.item[i].error ? "!" : "");
    ck_assert_str_eq(lines.data == NULL ? "" : lines.data, want);
    buf_free(&lines);
    lineset_free(&set);
}

struct again {
    struct buf input, rejected;
    struct op_stage stage;
    struct err err;
    int ret;
};

static void stage_again(struct again *a, uint32_t n,
                        struct idset_duplicate *duplicate,
                        uint32_t n_duplicates)
{
    struct err err;

    ck_assert_int_eq(hash_init(&err), 0);
    *a = (struct again){0};
    make(n, &a->input, &a->rejected);
    a->stage.shard = 3;
    a->stage.cost = n * cost_of_one();
    a->stage.duplicate = duplicate;
    a->stage.n_duplicates = n_duplicates;
    a->ret = restage(&a->stage, &a->input, &a->rejected, &a->err);
}

static void again_free(struct again *a)
{
    buf_free(&a->input);
    buf_free(&a->rejected);
    buf_free(&a->stage.input);
    buf_free(&a->stage.rejected);
    buf_free(&a->stage.result);
}

START_TEST(some)
{
    struct idset_duplicate d[] = {{2, 1}, {8, 2}};
    struct again a;

    stage_again(&a, 4, d, 2);
    ck_assert_int_eq(a.ret, 0);
    ck_assert_uint_eq(a.stage.n_records, 2);
    ck_assert_uint_eq(a.stage.n_rejected, 6);
    ck_assert_uint_eq(a.stage.cost, 2 * cost_of_one());
    lines_are(&a.stage.input, "4 6");
    lines_are(&a.stage.rejected, "2! 3! 5! 7! 8! 9!");
    ck_assert_uint_eq(a.stage.result.len, 0);
    again_free(&a);
}
END_TEST

START_TEST(all)
{
    struct idset_duplicate d[] = {{2, 1}, {4, 1}};
    struct again a;

    stage_again(&a, 2, d, 2);
    ck_assert_int_eq(a.ret, 0);
    ck_assert_uint_eq(a.stage.n_records, 0);
    ck_assert_uint_eq(a.stage.cost, 0);
    lines_are(&a.stage.input, "");
    lines_are(&a.stage.rejected, "2! 3! 4! 5!");
    lines_are(&a.stage.result, "");
    again_free(&a);
}
END_TEST

START_TEST(not_of_this_shard)
{
    struct idset_duplicate d[] = {{2, 1}, {3, 1}, {4, 1}};
    struct again a;

    stage_again(&a, 4, d, 3);
    ck_assert_int_eq(a.ret, -1);
    ck_assert_int_eq(a.err.code, ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(a.err.text, "line 3"));
    ck_assert_uint_eq(a.stage.input.len, 0);
    again_free(&a);
}
END_TEST

START_TEST(not_a_shard)
{
    struct idset_duplicate d = {2, 1};
    struct op_stage stage = {.duplicate = &d, .n_duplicates = 1};
    struct buf rubbish = BUF_INIT;
    struct err err;

    buf_adds(&rubbish, "rubbish");
    ck_assert_int_eq(restage(&stage, &rubbish, &rubbish, &err), -1);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    buf_free(&rubbish);
}
END_TEST

int main(void)
{
    return RUN_TESTS("restage", some, all, not_of_this_shard, not_a_shard);
}
