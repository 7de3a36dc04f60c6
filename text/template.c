#include "text/template.h"

#include <stdbool.h>
#include <string.h>

static const struct chat_template world = {
    .name = "world",
    .stop = "\n\nUser:",
    .lead = 1,
};

/* The model says nothing about "developer": it is OpenAI's newer word. */
static const struct {
    const char *role, *name;
} roles[] = {
    {"system", "System"},
    {"developer", "System"},
    {"user", "User"},
    {"assistant", "Assistant"},
};

const struct chat_template *template_find(const char *name)
{
    return strcmp(name, world.name) == 0 ? &world : NULL;
}

const struct chat_template *template_of(const struct tokenizer *t)
{
    return template_find(tokenizer_family(t));
}

static const char *name_of(const char *role)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(roles[i].role, role) == 0)
            return roles[i].name;
    }
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A text without what would end its turn. */
static void add_text(const char *s, size_t len, struct buf *out)
{
    while (len > 0 && is_space(s[len - 1]))
        len--;
    while (len > 0 && is_space(*s)) {
        s++;
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\r' && s[i + 1] == '\n')
            continue;
        if (s[i] == '\n' && out->data[out->len - 1] == '\n')
            continue;
        buf_addc(out, s[i]);
    }
}

size_t template_render(const struct chat_template *t,
                       const struct chat_message *message, size_t n,
                       struct buf *out)
{
    (void)t; /* there is one */
    for (size_t i = 0; i < n; i++) {
        const char *name = name_of(message[i].role);

        if (name == NULL)
            return i;
        buf_addf(out, "%s: ", name);
        add_text(message[i].text, message[i].len, out);
        buf_adds(out, "\n\n");
    }
    buf_adds(out, "Assistant:");
    return n;
}
