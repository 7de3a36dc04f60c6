#include "client/table.h"

#include <string.h>

#include "tests/common/run.h"

START_TEST(columns_are_aligned)
{
    static const struct table_column column[] = {
        {"ID", true}, {"NAME", false}, {"X", false}, {NULL, false}};
    struct buf b = BUF_INIT;
    struct table t;

    table_init(&t, column);
    table_add(&t, "7");
    table_add(&t, "caf\xc3\xa9");
    table_add(&t, "");
    table_add(&t, "1234");
    table_add(&t, "a");
    table_add(&t, "\033[2Jevil\n");
    table_write(&t, 0, &b);
    ck_assert_str_eq(b.data, "  ID  NAME  X\n"
                             "   7  caf\xc3\xa9  -\n"
                             "1234  a     ?[2Jevil?\n");
    buf_free(&b);
    table_free(&t);
}
END_TEST

/* A Chinese character takes two columns, a combining accent none. */
START_TEST(columns_are_those_of_a_terminal)
{
    static const struct table_column column[] = {
        {"N", false}, {"X", true}, {NULL, false}};
    struct buf b = BUF_INIT;
    struct table t;

    table_init(&t, column);
    table_add(&t, "\xe6\x97\xa5\xe6\x9c\xac");
    table_add(&t, "1");
    table_add(&t, "e\xcc\x81");
    table_add(&t, "22");
    table_write(&t, 0, &b);
    ck_assert_str_eq(b.data, "N      X\n"
                             "\xe6\x97\xa5\xe6\x9c\xac   1\n"
                             "e\xcc\x81     22\n");
    buf_free(&b);
    table_free(&t);
}
END_TEST

START_TEST(nothing_steers_the_terminal)
{
    struct buf b = BUF_INIT;

    table_clean("a\033[2J\x7f\xc2\x9b\xff\xc3 \xc3\xa9", &b);
    ck_assert_str_eq(b.data, "a?[2J???? \xc3\xa9");
    buf_free(&b);
}
END_TEST

START_TEST(colours_take_no_room)
{
    static const struct table_column column[] = {
        {"A", false}, {"B", true}, {NULL, false}};
    struct buf b = BUF_INIT;
    struct table t;

    table_init(&t, column);
    table_add(&t, "xy");
    table_paint(&t, "31");
    table_add(&t, "1");
    table_paint(&t, "2");
    table_add(&t, "x");
    table_add(&t, "22");
    table_write(&t, 0, &b);
    ck_assert_str_eq(b.data, "A    B\n"
                             "\033[31mxy\033[0m   \033[2m1\033[0m\n"
                             "x   22\n");
    buf_free(&b);
    table_free(&t);
}
END_TEST

START_TEST(lines_are_clipped)
{
    static const struct {
        const char *line;
        size_t columns;
        const char *clipped;
    } row[] = {
        {"abc", 5, "abc"},
        {"abc", 2, "ab"},
        {"abc", 0, ""},
        {"\xe6\x97\xa5\xe6\x9c\xac", 3, "\xe6\x97\xa5"},
        {"\033[31mabc\033[0m", 3, "\033[31mabc\033[0m"},
        {"\033[31mabc\033[0md", 2, "\033[31mab\033[0m"},
        {"a\033[31mb\033[0mcd", 3, "a\033[31mb\033[0mc"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf b = BUF_INIT;

        buf_adds(&b, "");
        table_clip(row[i].line, strlen(row[i].line), row[i].columns, &b);
        ck_assert_msg(strcmp(b.data, row[i].clipped) == 0, "row %zu: '%s'", i,
                      b.data);
        buf_free(&b);
    }
}
END_TEST

/* The longest text gives way first, down to a minimum; numbers never do. */
START_TEST(wide_tables_are_cut)
{
    static const struct table_column column[] = {
        {"ID", true}, {"A", false}, {"NAME", false}, {NULL, false}};
    static const struct {
        size_t columns;
        const char *row;
    } row[] = {
        {0, "12345678901  abcdefghij  a-rather-long-name"},
        {43, "12345678901  abcdefghij  a-rather-long-name"},
        {42, "12345678901  abcdefghij  a-rather-long-n.."},
        {35, "12345678901  abcdefghij  a-rather.."},
        {32, "12345678901  abcdef..  a-rathe.."},
        {20, "12345678901  abcdef..  a-rath.."},
    };
    struct table t;

    table_init(&t, column);
    table_add(&t, "12345678901");
    table_add(&t, "abcdefghij");
    table_add(&t, "a-rather-long-name");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf b = BUF_INIT;
        char *second;

        table_write(&t, row[i].columns, &b);
        second = strchr(b.data, '\n') + 1;
        *strchr(second, '\n') = '\0';
        ck_assert_str_eq(second, row[i].row);
        buf_free(&b);
    }
    table_free(&t);
}
END_TEST

int main(void)
{
    return RUN_TESTS("table", columns_are_aligned,
                     columns_are_those_of_a_terminal,
                     nothing_steers_the_terminal, colours_take_no_room,
                     lines_are_clipped, wide_tables_are_cut);
}
