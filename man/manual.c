/* man/manual.c - build tool: a man page's source with its option tables
 *
 * Copies standard input to standard output, and replaces each line
 *
 *     @commands     by all commands of skein with their options
 *     @common       by the options every command of skein has
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "common/manual.h"

static int expand(const char *what, struct buf *out)
{
    if (strcmp(what, "@common") == 0) {
        manual_rows(common_rows, out);
        return 0;
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
