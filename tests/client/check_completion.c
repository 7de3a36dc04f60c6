#include "client/completion.h"

#include <stdio.h>
#include <string.h>

#include "client/commands.h"
#include "tests/common/run.h"

static char *script(const char *shell)
{
    struct buf b = BUF_INIT;

    completion_script(shell, commands, &b);
    return b.data;
}

/* Every option of every command is in every script, in the shell's own way.
 * tests/client/completion.sh has the shells use them.
 */
START_TEST(scripts_name_every_option)
{
    char *bash = script("bash"), *zsh = script("zsh"), *fish = script("fish");

    for (size_t c = 0; commands[c] != NULL; c++) {
        const struct option_row *row[OPTIONS_MAX + 1];

        options_rows(&commands[c]->spec, row);
        for (int i = 0; row[i] != NULL; i++) {
            char word[64];

            snprintf(word, sizeof word, "--%s", row[i]->name);
            ck_assert_msg(strstr(bash, word) != NULL, "bash: %s", word);
            ck_assert_msg(strstr(zsh, word) != NULL, "zsh: %s", word);
            snprintf(word, sizeof word, " -l %s ", row[i]->name);
            ck_assert_msg(strstr(fish, word) != NULL, "fish: %s", word);
        }
    }
    free(bash);
    free(zsh);
    free(fish);
}
END_TEST

/* What steers a shell is quoted, wherever it stands in a help text. */
START_TEST(texts_are_quoted)
{
    static const struct option_row rows[] = {
        {.name = "odd",
         .letter = 'o',
         .type = OPTION_TEXT,
         .value = "X",
         .help = "it's [a]: b\\c; not this"},
        {.name = NULL},
    };
    static const struct command odd = {
        .spec = {.command = "odd", .purpose = "do what's odd", .rows = rows}};
    static const struct command *const list[] = {&odd, NULL};
    struct buf zsh = BUF_INIT, fish = BUF_INIT;

    completion_script("zsh", list, &zsh);
    completion_script("fish", list, &fish);
    ck_assert_ptr_nonnull(
        strstr(zsh.data, "[it'\\''s \\[a\\]\\: b\\\\c]:X: '"));
    ck_assert_ptr_nonnull(strstr(zsh.data, "'odd:do what'\\''s odd'"));
    ck_assert_ptr_nonnull(
        strstr(fish.data, "-l odd -x -d 'it'\\''s [a]: b\\\\c'"));
    buf_free(&zsh);
    buf_free(&fish);
}
END_TEST

int main(void)
{
    return RUN_TESTS("completion", scripts_name_every_option, texts_are_quoted);
}
