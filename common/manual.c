#include "common/manual.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void escape(const char *text, size_t len, const char *special,
                   struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr(special, text[i]) != NULL)
            buf_addc(out, '\\');
        buf_addc(out, text[i]);
    }
}

static void add_escaped(const char *text, size_t len, struct buf *out)
{
    escape(text, len, "\\_*`<>#[]|~", out);
}

void manual_text(const char *text, struct buf *out)
{
    bool literal = false;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        if ((text[0] == ' ') != literal)
            buf_adds(out, literal ? "```\n\n" : "\n```\n");
        literal = text[0] == ' ';
        if (literal)
            escape(text, len, "\\", out);
        else
            add_escaped(text, len, out);
        buf_addc(out, '\n');
        text += len;
        if (*text == '\n')
            text++;
    }
    if (literal)
        buf_adds(out, "```\n");
}

/* Is the first word one, and not "ipc:///path" or "key=value"? */
static bool begins_with_word(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz");

    return len > 0 && (text[len] == '\0' || strchr(" ,:;.-", text[len]) != NULL)
           && strncmp(text + len, ":/", 2) != 0;
}

/* Help texts are phrases; here they are sentences. */
static void add_sentence(const char *text, struct buf *out)
{
    size_t len = strlen(text);
    char *copy = xstrdup(text);

    if (begins_with_word(copy))
        copy[0] = (char)toupper((unsigned char)copy[0]);
    add_escaped(copy, len, out);
    free(copy);
    if (len > 0 && text[len - 1] != '.')
        buf_addc(out, '.');
}

void manual_meaning(const struct option_row *row, struct buf *out)
{
    add_sentence(row->help, out);
    if (row->required) {
        buf_adds(out, " Required.");
    } else if (row->fallback != NULL) {
        buf_adds(out, " Default: ");
        add_escaped(row->fallback, strlen(row->fallback), out);
        buf_addc(out, '.');
    }
}

void manual_rows(const struct option_row *rows, struct buf *out)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (rows->letter != 0)
            buf_addf(out, "*-%c*, ", rows->letter);
        buf_addf(out, "*--%s*", rows->name);
        if (rows->type != OPTION_FLAG) {
            buf_adds(out, " _");
            add_escaped(rows->value, strlen(rows->value), out);
            buf_addc(out, '_');
        }
        buf_adds(out, "\n\t");
        manual_meaning(rows, out);
        buf_adds(out, "\n\n");
    }
}

void manual_command(const struct option_spec *spec, const char *const *alias,
                    size_t n, struct buf *out)
{
    struct buf name = BUF_INIT;

    options_name(spec, &name);
    buf_addf(out, "## %s %s\n\n", name.data, spec->synopsis); /* no markup */
    add_sentence(spec->purpose, out);
    for (size_t i = 0; i < n; i++) {
        if (alias[i] != NULL)
            buf_addf(out, "%s*%s*", i > 0 ? ", " : " Also: ", alias[i]);
    }
    buf_adds(out, n > 0 && alias[0] != NULL ? ".\n\n" : "\n\n");
    if (spec->about != NULL)
        manual_text(spec->about, out);
    buf_addc(out, '\n');
    manual_rows(spec->rows, out);
    if (spec->examples != NULL) {
        buf_adds(out, "Examples:\n");
        manual_text(spec->examples, out);
        buf_addc(out, '\n');
    }
    buf_free(&name);
}
