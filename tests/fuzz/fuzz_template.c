/* tests/fuzz/fuzz_template.c - messages of a chat from anybody
 *
 * The input is messages: a byte that picks the role, then text up to a 0xFF.
 * However a text looks, it is one turn.
 */
#include <stdlib.h>
#include <string.h>

#include "text/template.h"
#include "text/utf8.h"

#define MESSAGES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int fine)
{
    if (!fine)
        abort();
}

static size_t count(const char *text, size_t len, const char *what)
{
    const size_t n = strlen(what);
    size_t found = 0;

    for (size_t i = 0; i + n <= len; i++)
        found += memcmp(text + i, what, n) == 0;
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const roles[] = {"system", "developer", "user",
                                        "assistant"};
    const struct chat_template *t = template_find("world");
    struct chat_message m[MESSAGES_MAX];
    struct buf out = BUF_INIT;
    size_t n = 0;
    int valid = 1;

    for (size_t at = 0; at < size && n < MESSAGES_MAX; n++) {
        const uint8_t *text = data + at + 1;
        const uint8_t *end = memchr(text, 0xFF, size - at - 1);

        m[n].role = roles[data[at] % 4];
        m[n].text = (const char *)text;
        m[n].len = end != NULL ? (size_t)(end - text) : size - at - 1;
        valid = valid && utf8_valid(m[n].text, m[n].len);
        at += m[n].len + 2;
    }
    must(template_render(t, m, n, &out) == n);
    must(count(out.data, out.len, "\n\n") == n);
    must(count(out.data, out.len, t->stop) <= n);
    must(!valid || utf8_valid(out.data, out.len));
    must(memcmp(out.data + out.len - 10, "Assistant:", 10) == 0);
    buf_free(&out);
    return 0;
}
