#include "client/commands.h"

#include <stdio.h>
#include <string.h>

#include "tests/common/run.h"

/* The real tables: unique names and letters, help that fits the terminal. */
START_TEST(every_command_has_a_sound_table)
{
    for (size_t c = 0; commands[c] != NULL; c++) {
        const struct option_spec *s = &commands[c]->spec;
        const struct option_row *row[OPTIONS_MAX + 1];
        struct buf help = BUF_INIT;
        int n = options_rows(s, row);

        ck_assert_ptr_nonnull(strstr(s->examples, s->command));
        for (int i = 0; i < n; i++) {
            ck_assert_uint_lt(row[i]->offset, commands[c]->options_size);
            ck_assert(row[i]->type == OPTION_FLAG || row[i]->value != NULL);
            ck_assert(row[i]->type != OPTION_CHOICE || row[i]->choice != NULL);
            ck_assert(row[i]->type != OPTION_INT || row[i]->min < row[i]->max);
            for (int k = 0; k < i; k++) {
                ck_assert_str_ne(row[i]->name, row[k]->name);
                ck_assert(row[i]->letter == 0
                          || row[i]->letter != row[k]->letter);
            }
        }
        options_help(s, &help);
        for (char *line = strtok(help.data, "\n"); line != NULL;
             line = strtok(NULL, "\n"))
            ck_assert_msg(strlen(line) <= OPTIONS_COLUMNS, "%s: %s", s->command,
                          line);
        buf_free(&help);
    }
}
END_TEST

/* Names lead to commands, and no two commands share one. */
START_TEST(names_and_aliases_are_found)
{
    for (size_t c = 0; commands[c] != NULL; c++) {
        for (int a = -1; a < CMD_ALIASES_MAX; a++) {
            const char *name =
                a < 0 ? commands[c]->spec.command : commands[c]->alias[a];
            char *argv[4] = {NULL}, copy[64];
            int argc = 0, words = 0;

            if (name == NULL)
                continue;
            snprintf(copy, sizeof copy, "%s", name);
            for (char *w = strtok(copy, " "); w != NULL; w = strtok(NULL, " "))
                argv[argc++] = w;
            argv[argc] = copy; /* an argument */
            ck_assert_ptr_eq(commands_find(argc + 1, argv, &words, NULL),
                             commands[c]);
            ck_assert_int_eq(words, argc);
        }
    }
}
END_TEST

START_TEST(mistakes_get_a_hint)
{
    static const struct {
        const char *word[2], *says;
    } row[] = {
        {{"sumbit"}, "did you mean 'submit'?"},
        {{"worker"}, "did you mean 'worker ls'"},
        {{"worker", "lst"}, "did you mean 'worker ls'"},
        {{"server", "stats"}, "did you mean 'server status'?"},
        {{"frobnicate", "--json"}, "skein --help lists them"},
        {{"--json", "ls"}, "options of a command come after it"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *argv[3] = {(char *)(uintptr_t)row[i].word[0],
                         (char *)(uintptr_t)row[i].word[1], NULL};
        struct err err;
        int words;

        ck_assert_ptr_null(
            commands_find(argv[1] != NULL ? 2 : 1, argv, &words, &err));
        ck_assert_int_eq(err.code, ERR_USAGE);
        ck_assert_msg(strstr(err.text, row[i].says) != NULL, "%s", err.text);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("commands", every_command_has_a_sound_table,
                     names_and_aliases_are_found, mistakes_get_a_hint);
}
