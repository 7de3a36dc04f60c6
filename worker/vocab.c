#include "worker/vocab.h"

#include <string.h>

#include "common/buf.h"

/* A World vocabulary of the 256 bytes alone, in its own file format. */
static struct tokenizer *bytes_tokenizer(struct err *err)
{
    struct buf text = BUF_INIT;
    struct tokenizer *t;

    for (int b = 0; b < 256; b++)
        buf_addf(&text, "%d %s'\\x%02x' 1\n", b + 1, b < 128 ? "" : "b", b);
    t = tokenizer_parse("bytes", text.data, text.len, err);
    buf_free(&text);
    return t;
}

int vocab_open(const char *engine, const char *path, struct tokenizer **out,
               struct err *err)
{
    *out = NULL;
    if (path[0] != '\0')
        *out = tokenizer_open(path, err);
    else if (strcmp(engine, "null") == 0)
        *out = bytes_tokenizer(err);
    else
        return 0;
    return *out == NULL ? -1 : 0;
}
