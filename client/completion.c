#include "client/completion.h"

#include <string.h>

#include "client/completion_scripts.h"

const char *const completion_shells[] = {"bash", "zsh", "fish", NULL};

/* ---- what the three have in common -------------------------------------- */

/* Names of a command: [0] is the command itself, then its aliases. */
static const char *name_of(const struct command *c, int i)
{
    if (i == 0)
        return c->spec.command;
    return i <= CMD_ALIASES_MAX ? c->alias[i - 1] : NULL;
}

static size_t first_word(const char *name)
{
    return strcspn(name, " ");
}

/* Is this the first command whose name begins with this word? */
static bool word_is_new(const struct command *const *list, size_t at)
{
    const char *name = list[at]->spec.command;
    size_t len = first_word(name);

    for (size_t i = 0; i < at; i++) {
        const char *other = list[i]->spec.command;

        if (first_word(other) == len && strncmp(name, other, len) == 0)
            return false;
    }
    return true;
}

/* The inside of single quotes of any of the shells: ' becomes '\''. */
static void add_quoted(const char *text, const char *escape, struct buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else if (strchr(escape, *text) != NULL)
            buf_addf(out, "\\%c", *text);
        else
            buf_addc(out, *text);
    }
}

/* The first phrase of a help text, which is what fits beside a word. */
static void add_phrase(const char *text, const char *escape, struct buf *out)
{
    struct buf phrase = BUF_INIT;
    size_t len = strcspn(text, ";\n");
    const char *stop = strstr(text, ". ");

    if (stop != NULL && (size_t)(stop - text) < len)
        len = (size_t)(stop - text);
    buf_add(&phrase, text, len);
    add_quoted(phrase.data, escape, out);
    buf_free(&phrase);
}

static void add_words(const char *const *word, struct buf *out)
{
    for (size_t i = 0; word[i] != NULL; i++)
        buf_addf(out, "%s%s", i > 0 ? " " : "", word[i]);
}

/* ---- bash --------------------------------------------------------------- */

static void bash_offer(enum option_offer offer, const char *const *choice,
                       struct buf *out)
{
    static const char *const kind[] = {"@none", "@files", "@jobs", "@models"};

    if (choice != NULL)
        add_words(choice, out);
    else
        buf_adds(out, kind[offer]);
}

static void bash_commands(const struct command *const *list, struct buf *out)
{
    const char *name;

    buf_adds(out, "\n_skein_first() {\n    echo '");
    for (size_t i = 0; list[i] != NULL; i++) {
        name = list[i]->spec.command;
        if (word_is_new(list, i))
            buf_addf(out, "%s%.*s", i > 0 ? " " : "", (int)first_word(name),
                     name);
    }
    buf_adds(out, "'\n}\n\n_skein_second() {\n    case $1 in\n");
    for (size_t i = 0; list[i] != NULL; i++) {
        size_t len = first_word(list[i]->spec.command);

        name = list[i]->spec.command;
        if (name[len] == '\0' || !word_is_new(list, i))
            continue;
        buf_addf(out, "    %.*s) echo '", (int)len, name);
        for (size_t k = i; list[k] != NULL; k++) {
            if (strncmp(list[k]->spec.command, name, len + 1) == 0)
                buf_addf(out, "%s%s", k > i ? " " : "",
                         list[k]->spec.command + len + 1);
        }
        buf_adds(out, "' ;;\n");
    }
    buf_adds(out, "    *) return 1 ;;\n    esac\n}\n");
    buf_adds(out, "\n_skein_command() {\n    case \"$1 $2\" in\n");
    for (size_t i = 0; list[i] != NULL; i++) {
        buf_adds(out, "    ");
        for (int k = 0; (name = name_of(list[i], k)) != NULL; k++)
            buf_addf(out, "%s'%s%s", k > 0 ? " | " : "", name,
                     strchr(name, ' ') != NULL ? "'" : " '*");
        buf_addf(out, ") echo '%s' ;;\n", list[i]->spec.command);
    }
    buf_adds(out, "    esac\n}\n");
}

static void bash_options(const struct command *c, struct buf *out)
{
    const struct option_row *row[OPTIONS_MAX + 1];

    options_rows(&c->spec, row);
    buf_addf(out, "    '%s') echo '", c->spec.command);
    for (int i = 0; row[i] != NULL; i++)
        buf_addf(out, "%s--%s", i > 0 ? " " : "", row[i]->name);
    buf_adds(out, "' ;;\n");
}

static void bash_values(const struct command *c, struct buf *out)
{
    const struct option_row *row[OPTIONS_MAX + 1];

    options_rows(&c->spec, row);
    for (int i = 0; row[i] != NULL; i++) {
        if (row[i]->type == OPTION_FLAG)
            continue;
        buf_addf(out, "    '%s --%s'", c->spec.command, row[i]->name);
        if (row[i]->letter != 0)
            buf_addf(out, " | '%s -%c'", c->spec.command, row[i]->letter);
        buf_adds(out, ") echo '");
        bash_offer(row[i]->offer, row[i]->choice, out);
        buf_adds(out, "' ;;\n");
    }
}

static void bash_argument(const struct command *c, struct buf *out)
{
    buf_addf(out, "    '%s') echo '", c->spec.command);
    bash_offer(c->spec.offer, c->spec.choice, out);
    buf_adds(out, "' ;;\n");
}

static void bash_function(const char *head, const char *fallback,
                          void (*each)(const struct command *, struct buf *),
                          const struct command *const *list, struct buf *out)
{
    buf_addf(out, "\n%s in\n", head);
    for (size_t i = 0; list[i] != NULL; i++)
        each(list[i], out);
    buf_addf(out, "%s    esac\n}\n", fallback);
}

static void bash_script(const struct command *const *list, struct buf *out)
{
    buf_adds(out, "# bash completion of skein; made by: skein completion bash\n"
                  "# shellcheck shell=bash\n");
    bash_commands(list, out);
    bash_function("_skein_options() {\n    case $1", "", bash_options, list,
                  out);
    bash_function("_skein_value() {\n    case \"$1 $2\"",
                  "    *) return 1 ;;\n", bash_values, list, out);
    bash_function("_skein_argument() {\n    case $1", "    *) echo @none ;;\n",
                  bash_argument, list, out);
    buf_adds(out, completion_bash);
}

/* ---- zsh ---------------------------------------------------------------- */

#define ZSH_ESCAPE "[]:\\"

static void zsh_offer(enum option_offer offer, const char *const *choice,
                      struct buf *out)
{
    static const char *const action[] = {" ", "_files", "_skein_jobs",
                                         "_skein_models"};

    if (choice == NULL) {
        buf_adds(out, action[offer]);
        return;
    }
    buf_addc(out, '(');
    add_words(choice, out);
    buf_addc(out, ')');
}

/* '(-m --model)'{-m,--model=}'[name of the model]:MODEL:_skein_models' */
static void zsh_option(const struct option_row *row, struct buf *out)
{
    const char *equals = row->type != OPTION_FLAG ? "=" : "";

    buf_adds(out, " \\\n            ");
    if (row->letter != 0)
        buf_addf(out, "'(-%c --%s)'{-%c,--%s%s}'[", row->letter, row->name,
                 row->letter, row->name, equals);
    else
        buf_addf(out, "'--%s%s[", row->name, equals);
    add_phrase(row->help, ZSH_ESCAPE, out);
    buf_addc(out, ']');
    if (row->type != OPTION_FLAG) {
        buf_addf(out, ":%s:", row->value);
        zsh_offer(row->offer, row->choice, out);
    }
    buf_addc(out, '\'');
}

static void zsh_command(const struct command *c, struct buf *out)
{
    const struct option_row *row[OPTIONS_MAX + 1];
    bool two = strchr(c->spec.command, ' ') != NULL;
    const char *name;

    options_rows(&c->spec, row);
    buf_adds(out, "    (");
    for (int k = 0; (name = name_of(c, k)) != NULL; k++)
        buf_addf(out, "%s'%s%s", k > 0 ? "|" : "", name,
                 strchr(name, ' ') != NULL ? "'" : " '*");
    buf_addf(out, ")\n        shift %d words; (( CURRENT -= %d ))\n",
             two ? 2 : 1, two ? 2 : 1);
    buf_adds(out, "        _arguments -s -S");
    for (int i = 0; row[i] != NULL; i++)
        zsh_option(row[i], out);
    if (c->spec.args_max > 0) {
        buf_adds(out, " \\\n            '*:argument:");
        zsh_offer(c->spec.offer, c->spec.choice, out);
        buf_addc(out, '\'');
    }
    buf_adds(out, "\n        ;;\n");
}

static void zsh_described(const char *word, size_t len, const char *purpose,
                          struct buf *out)
{
    buf_addf(out, "        '%.*s:", (int)len, word);
    add_phrase(purpose, ":\\", out);
    buf_adds(out, "'\n");
}

static void zsh_script(const struct command *const *list, struct buf *out)
{
    buf_adds(out, "#compdef skein\n"
                  "# zsh completion of skein; made by: skein completion zsh\n"
                  "\n_skein_first() {\n    local -a words_first=(\n");
    for (size_t i = 0; list[i] != NULL; i++) {
        const char *name = list[i]->spec.command;

        if (word_is_new(list, i))
            zsh_described(name, first_word(name), list[i]->spec.purpose, out);
    }
    buf_adds(out, "    )\n    _describe -t commands command words_first\n}\n"
                  "\n_skein_second() {\n    local -a words_second\n"
                  "    case $1 in\n");
    for (size_t i = 0; list[i] != NULL; i++) {
        const char *name = list[i]->spec.command;
        size_t len = first_word(name);

        if (name[len] == '\0')
            continue;
        buf_addf(out, "    (%.*s) words_second+=(\n", (int)len, name);
        zsh_described(name + len + 1, strlen(name + len + 1),
                      list[i]->spec.purpose, out);
        buf_adds(out, "        ) ;|\n");
    }
    buf_adds(out, "    esac\n    (( $#words_second )) || return 1\n"
                  "    _describe -t commands command words_second\n}\n"
                  "\n_skein_arguments() {\n    case $1 in\n");
    for (size_t i = 0; list[i] != NULL; i++)
        zsh_command(list[i], out);
    buf_adds(out, "    esac\n}\n");
    buf_adds(out, completion_zsh);
}

/* ---- fish --------------------------------------------------------------- */

/* The condition "the command line is one of this command". */
static void fish_condition(const struct command *c, struct buf *out)
{
    const char *name;

    buf_adds(out, "complete -c skein -n '__skein_is");
    for (int k = 0; (name = name_of(c, k)) != NULL; k++)
        buf_addf(out, " \"%s\"", name);
    buf_addc(out, '\'');
}

static void fish_offer(enum option_offer offer, const char *const *choice,
                       struct buf *out)
{
    static const char *const words[] = {" -x", " -r -F",
                                        " -x -a '(__skein_jobs)'",
                                        " -x -a '(__skein_models)'"};

    if (choice == NULL) {
        buf_adds(out, words[offer]);
        return;
    }
    buf_adds(out, " -x -a '");
    add_words(choice, out);
    buf_addc(out, '\'');
}

static void fish_command(const struct command *c, struct buf *out)
{
    const struct option_row *row[OPTIONS_MAX + 1];

    options_rows(&c->spec, row);
    for (int i = 0; row[i] != NULL; i++) {
        fish_condition(c, out);
        if (row[i]->letter != 0)
            buf_addf(out, " -s %c", row[i]->letter);
        buf_addf(out, " -l %s", row[i]->name);
        if (row[i]->type != OPTION_FLAG)
            fish_offer(row[i]->offer, row[i]->choice, out);
        buf_adds(out, " -d '");
        add_phrase(row[i]->help, "\\", out);
        buf_adds(out, "'\n");
    }
    if (c->spec.args_max > 0) {
        fish_condition(c, out);
        fish_offer(c->spec.offer, c->spec.choice, out);
        buf_addc(out, '\n');
    }
}

static void fish_script(const struct command *const *list, struct buf *out)
{
    buf_adds(out, "# fish completion of skein; made by: skein completion fish\n"
                  "complete -c skein -f\n");
    for (size_t i = 0; list[i] != NULL; i++) {
        const char *name = list[i]->spec.command;
        size_t len = first_word(name);

        if (word_is_new(list, i)) {
            buf_addf(out,
                     "complete -c skein -n '__skein_words 1' -a '%.*s' -d '",
                     (int)len, name);
            add_phrase(list[i]->spec.purpose, "\\", out);
            buf_adds(out, "'\n");
        }
        if (name[len] == '\0')
            continue;
        buf_addf(out,
                 "complete -c skein -n '__skein_words 2 %.*s' -a '%s' -d '",
                 (int)len, name, name + len + 1);
        add_phrase(list[i]->spec.purpose, "\\", out);
        buf_adds(out, "'\n");
    }
    for (size_t i = 0; list[i] != NULL; i++)
        fish_command(list[i], out);
    buf_adds(out, completion_fish);
}

void completion_script(const char *shell, const struct command *const *list,
                       struct buf *out)
{
    if (strcmp(shell, "bash") == 0)
        bash_script(list, out);
    else if (strcmp(shell, "zsh") == 0)
        zsh_script(list, out);
    else
        fish_script(list, out);
}
