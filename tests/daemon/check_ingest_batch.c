/* What validation makes of lines: their errors' form, weights, warnings. */
#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "daemon/ingest_batch.h"
#include "tests/common/run.h"

#define OPENAI                                                         \
    "{\"custom_id\":\"c\",\"method\":\"POST\","                        \
    "\"url\":\"/v1/loglikelihood_rolling\",\"body\":{\"model\":\"m\"," \
    "\"text\":\"a\"}}\n"

static struct batch *validated(const char *text, bool lenient)
{
    static const uint8_t key[16];
    const struct record_job job = {.model = "m", .lenient = lenient};
    struct batch *b = batch_create(NULL);

    b->first_line = 1;
    buf_adds(&b->text, text);
    batch_validate(b, &job, key);
    return b;
}

/* One letter per line: r record, n native error, o OpenAI's. */
static const char *forms(const char *text)
{
    static char out[64];
    struct batch *b = validated(text, false);

    memset(out, 0, sizeof out);
    for (size_t i = 0; i < b->n; i++) {
        const struct batch_item *item = &b->item[i];
        char error[1024];

        snprintf(error, sizeof error, "%.*s", (int)item->len,
                 b->errors.data + item->start);
        out[i] = 'r';
        if (item->rejected)
            out[i] = strstr(error, "\"custom_id\":null") != NULL ? 'o' : 'n';
    }
    batch_free(b);
    return out;
}

START_TEST(form_of_what_is_unreadable)
{
    ck_assert_str_eq(forms("x\n"), "n");
    ck_assert_str_eq(forms("x\n\n[]\n" OPENAI "x\n"), "ooro");
    ck_assert_str_eq(forms("x\n{\"text\":\"a\"}\nx\n" OPENAI "{\n"), "nrnro");
    /* A line that is an error itself tells the form, too. */
    ck_assert_str_eq(forms("x\n{\"body\":{}}\nx\n"), "ooo");
    ck_assert_str_eq(forms("x\n{\"txt\":1}\nx"), "nnn");
}
END_TEST

START_TEST(warnings)
{
    struct batch *b = validated("\n{\"text\":\"a\",\"x\":1,\"y\":2}\n"
                                "{\"text\":\"a\"}\n{\"text\":\"a\",\"z\":1}\n",
                                true);
    struct warnings all = {0};

    ck_assert_uint_eq(b->warnings.n, 3);
    ck_assert_uint_eq(b->warnings.n_kept, 2);
    ck_assert_uint_eq(b->warnings.kept[0].line, 2);
    ck_assert_ptr_nonnull(strstr(b->warnings.kept[0].text, "\"x\""));
    ck_assert_uint_eq(b->warnings.kept[1].line, 4);
    for (int i = 0; i < 7; i++)
        warnings_add(&all, 1, 1, "w");
    warnings_join(&all, &b->warnings);
    ck_assert_uint_eq(b->warnings.n, 0);
    warnings_add(&all, 5, 2, "w");
    warnings_add(&all, 6, 2, "dropped");
    ck_assert_uint_eq(all.n, 14);
    ck_assert_uint_eq(all.n_kept, WARNINGS_MAX);
    ck_assert_uint_eq(all.kept[8].line, 4);
    ck_assert_uint_eq(all.kept[9].line, 5);
    warnings_clear(&all);
    batch_free(b);
}
END_TEST

/* A shard's bytes bound its answers, also when they tell every token. */
START_TEST(weights)
{
    struct batch *b = validated(
        "{\"text\":\"abcdefghijkl\"}\n"
        "{\"text\":\"abcdefghijkl\",\"token_logprobs\":true}\n"
        "{\"text\":\"abcdefghijkl\",\"top_logprobs\":20}\n"
        "{\"prompt\":\"a\",\"max_tokens\":1000,\"top_logprobs\":20}\n",
        false);

    ck_assert_uint_eq(b->n, 4);
    ck_assert_uint_eq(b->item[0].weight, b->item[0].len);
    ck_assert_uint_gt(b->item[1].weight, b->item[1].len + 12);
    ck_assert_uint_gt(b->item[2].weight, b->item[1].weight + 12 * 20);
    ck_assert_uint_gt(b->item[3].weight, 1000 * 20);
    batch_free(b);
}
END_TEST

int main(void)
{
    if (hash_init(NULL) < 0)
        return 1;
    return RUN_TESTS("ingest_batch", form_of_what_is_unreadable, warnings,
                     weights);
}
