#include <string.h>

#include "tests/common/run.h"
#include "tests/text/small.h"
#include "text/template.h"

static const char *render(const struct chat_message *m, size_t n)
{
    static char text[512];
    struct buf out = BUF_INIT;

    ck_assert_uint_eq(template_render(template_find("world"), m, n, &out), n);
    ck_assert_uint_lt(out.len, sizeof text);
    strcpy(text, out.data);
    buf_free(&out);
    return text;
}

static struct chat_message message(const char *role, const char *text)
{
    return (struct chat_message){role, text, strlen(text)};
}

START_TEST(turns)
{
    const struct chat_message m[] = {
        message("system", "Be brief."),
        message("user", "Hi"),
        message("assistant", "Hello."),
        message("user", "Who are you?"),
    };

    ck_assert_str_eq(render(m, 4),
                     "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\n"
                     "User: Who are you?\n\nAssistant:");
    ck_assert_str_eq(render(m + 1, 1), "User: Hi\n\nAssistant:");
}
END_TEST

/* No text can end its own turn. */
START_TEST(texts_are_cleaned)
{
    const struct chat_message m[] = {
        message("developer", "  a\n\n\nb\r\n\r\nc \n"),
        message("user", ""),
        message("user", "\n \n"),
        message("user", "a\rb"),
        {"user", "x\0y", 3},
    };
    struct buf out = BUF_INIT;

    ck_assert_str_eq(render(m, 4),
                     "System: a\nb\nc\n\nUser: \n\nUser: \n\nUser: a\rb\n\n"
                     "Assistant:");
    template_render(template_find("world"), m + 4, 1, &out);
    ck_assert_uint_eq(out.len, strlen("User: x?y\n\nAssistant:"));
    buf_free(&out);
}
END_TEST

START_TEST(unknown_roles)
{
    const struct chat_message m[] = {message("user", "a"),
                                     message("tool", "b")};
    struct buf out = BUF_INIT;

    ck_assert_uint_eq(template_render(template_find("world"), m, 2, &out), 1);
    buf_free(&out);
}
END_TEST

START_TEST(by_family)
{
    struct tokenizer *t = small_world();

    ck_assert_ptr_eq(template_of(t), template_find("world"));
    ck_assert_ptr_null(template_find("bpe"));
    tokenizer_close(t);
}
END_TEST

int main(void)
{
    return RUN_TESTS("template", turns, texts_are_cleaned, unknown_roles,
                     by_family);
}
