/* man/manual.c - build tool: a man page's source with its option tables
 *
 * Copies standard input to standard output, and replaces each line
 *
 *     @commands     by all commands of skein with their options
 *     @common       by the options every command of skein has
 *     @settings     by the options that skein.yaml may set
 *     @skeind, @skein-worker    by the options of that program
 *     @skein-model  by its commands with their options
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/settings.h"
#include "common/manual.h"
#include "model/tool_table.h"

/* daemon/usage.h and worker/usage.h, which each have a struct usage. */
extern const struct option_spec usage_skeind, usage_worker;

static const struct option_spec *const programs[] = {&usage_skeind,
                                                     &usage_worker};

static const struct option_spec *const tools[] = {
    &tool_inspect_spec, &tool_tokenize_spec, &tool_detokenize_spec,
    &tool_logits_spec,  &tool_convert_spec,  &tool_verify_spec,
};

static const struct option_row *find_row(const struct command *c,
                                         const char *name)
{
    const struct option_row *row[OPTIONS_MAX + 1];
    size_t i = 0;

    options_rows(&c->spec, row);
    while (row[i] != NULL && strcmp(row[i]->name, name) != 0)
        i++;
    return row[i];
}

/* One paragraph for each thing that an option of this name means, with the
 * commands it means that to.
 */
static void add_meanings(const char *name, struct buf *out)
{
    for (size_t c = 0; commands[c] != NULL; c++) {
        const struct option_row *row = find_row(commands[c], name), *other;
        bool said = false;

        for (size_t k = 0; row != NULL && k < c; k++) {
            other = find_row(commands[k], name);
            said =
                said || (other != NULL && strcmp(other->help, row->help) == 0);
        }
        if (row == NULL || said)
            continue;
        buf_adds(out, "\tOf");
        for (size_t k = c; commands[k] != NULL; k++) {
            other = find_row(commands[k], name);
            if (other != NULL && strcmp(other->help, row->help) == 0)
                buf_addf(out, "%s *%s*", k > c ? "," : "",
                         commands[k]->spec.command);
        }
        buf_adds(out, ": ");
        manual_meaning(row, out);
        buf_adds(out, "\n\n");
    }
}

static bool is_common(const char *name)
{
    for (const struct option_row *r = common_rows; r->name != NULL; r++) {
        if (strcmp(r->name, name) == 0)
            return true;
    }
    return false;
}

/* The keys of skein.yaml: one option may mean something to each command. */
static void add_settings(struct buf *out)
{
    struct settings s;

    settings_init(&s);
    for (size_t i = 0; i < s.n; i++) {
        const char *name = s.item[i].row->name;

        buf_addf(out, "*%s*\n", name);
        if (!is_common(name)) {
            add_meanings(name, out);
            continue;
        }
        buf_addc(out, '\t');
        manual_meaning(s.item[i].row, out);
        buf_adds(out, "\n\n");
    }
    settings_free(&s);
}

static int expand(const char *what, struct buf *out)
{
    if (strcmp(what, "@common") == 0) {
        manual_rows(common_rows, out);
        return 0;
    }
    if (strcmp(what, "@settings") == 0) {
        add_settings(out);
        return 0;
    }
    if (strcmp(what, "@skein-model") == 0) {
        for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
            manual_command(tools[i], NULL, 0, out);
        return 0;
    }
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (strcmp(what + 1, programs[i]->program) == 0) {
            manual_rows(programs[i]->rows, out);
            return 0;
        }
    }
    if (strcmp(what, "@commands") != 0)
        return -1;
    for (size_t i = 0; commands[i] != NULL; i++)
        manual_command(&commands[i]->spec, commands[i]->alias, CMD_ALIASES_MAX,
                       out);
    return 0;
}

int main(void)
{
    struct buf out = BUF_INIT;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int status = 0;

    while ((len = getline(&line, &cap, stdin)) > 0) {
        if (line[0] != '@') {
            buf_add(&out, line, (size_t)len);
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        if (expand(line, &out) < 0) {
            fprintf(stderr, "manual: there is no table '%s'\n", line);
            status = 1;
        }
    }
    free(line);
    if (out.len > 0 && fwrite(out.data, 1, out.len, stdout) != out.len)
        status = 1;
    buf_free(&out);
    return fflush(stdout) == 0 ? status : 1;
}
