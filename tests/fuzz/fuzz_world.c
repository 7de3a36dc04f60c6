/* World vocabularies and texts. Input beginning with '+' goes behind the small
 * vocabulary, so that lines at its end are reached; other input is a vocabulary
 * of its own. Whatever opens must give the input back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/text/small.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct tokenizer *t, const char *text, size_t len)
{
    struct buf back = BUF_INIT;
    struct ids ids = {0};

    if (tokenizer_encode(t, text, len, &ids, NULL) < 0)
        abort();
    tokenizer_decode(t, ids.id, ids.n, &back);
    if (back.len != len || (len > 0 && memcmp(back.data, text, len) != 0))
        abort();
    ids_free(&ids);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text = BUF_INIT;
    struct err err = {0};
    struct tokenizer *t;

    if (size > 0 && data[0] == '{')
        return 0; /* the other family */
    if (size > 0 && data[0] == '+') {
        small_world_text(&text);
        buf_add(&text, data + 1, size - 1);
    } else {
        buf_add(&text, data, size);
    }
    t = tokenizer_parse("f", text.data, text.len, &err);
    if (t == NULL && err.code == ERR_NONE)
        abort(); /* refused without a reason */
    if (t != NULL)
        round_trip(t, (const char *)data, size);
    tokenizer_close(t);
    buf_free(&text);
    return 0;
}
