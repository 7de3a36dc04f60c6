#include "common/manual.h"

#include <string.h>

#include "tests/common/run.h"

START_TEST(markup_in_texts_is_escaped)
{
    struct buf b = BUF_INIT;

    manual_text("a_b *c* <d>\n  {\"x_y\"}  as it is\nafter", &b);
    ck_assert_str_eq(b.data, "a\\_b \\*c\\* \\<d\\>\n\n```\n"
                             "  {\"x_y\"}  as it is\n```\n\nafter\n");
    buf_clear(&b);
    manual_text("  only\\literal", &b);
    ck_assert_str_eq(b.data, "\n```\n  only\\\\literal\n```\n");
    buf_free(&b);
}
END_TEST

START_TEST(rows_become_definitions)
{
    static const struct option_row rows[] = {
        {.name = "model",
         .letter = 'm',
         .type = OPTION_TEXT,
         .value = "MODEL",
         .help = "which one",
         .required = true},
        {.name = "bos",
         .type = OPTION_TEXT,
         .value = "WHEN",
         .help = "Said twice. Or once.",
         .fallback = "some_times"},
        {.name = "all", .type = OPTION_FLAG, .help = "everything"},
        {.name = NULL},
    };
    struct buf b = BUF_INIT;

    manual_rows(rows, &b);
    ck_assert_str_eq(b.data,
                     "*-m*, *--model* _MODEL_\n\tWhich one. Required.\n\n"
                     "*--bos* _WHEN_\n\tSaid twice. Or once. Default: "
                     "some\\_times.\n\n"
                     "*--all*\n\tEverything.\n\n");
    buf_free(&b);
}
END_TEST

START_TEST(a_command_becomes_a_subsection)
{
    static const struct option_spec spec = {.command = "worker ls",
                                            .synopsis = "[OPTIONS]",
                                            .purpose = "list workers",
                                            .about = "All of them.",
                                            .examples = "  skein worker ls"};
    static const char *const alias[] = {"worker list", NULL};
    struct buf b = BUF_INIT;

    manual_command(&spec, alias, 2, &b);
    ck_assert_str_eq(b.data, "## skein worker ls [OPTIONS]\n\n"
                             "List workers. Also: *worker list*.\n\n"
                             "All of them.\n\n"
                             "Examples:\n\n```\n  skein worker ls\n```\n\n");
    buf_free(&b);
}
END_TEST

int main(void)
{
    return RUN_TESTS("manual", markup_in_texts_is_escaped,
                     rows_become_definitions, a_command_becomes_a_subsection);
}
