/* tokenizer.json and texts. Input beginning with '{' is a tokenizer.json, which
 * then encodes itself; other input is text for the small vocabulary.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/text/small.h"
#include "text/nfc.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text of the small vocabulary comes back in its normal form, but for the end
 * token, which has no bytes.
 */
static void round_trip(const struct tokenizer *t, const char *text, size_t len)
{
    struct buf nfc = BUF_INIT, back = BUF_INIT;
    struct ids ids = {0};
    bool valid = utf8_valid(text, len);

    if ((tokenizer_encode(t, text, len, &ids, NULL) == 0) != valid)
        abort();
    tokenizer_decode(t, ids.id, ids.n, &back);
    nfc_append(text, valid ? len : 0, &nfc);
    if (memmem(text, len, "<|", 2) == NULL
        && (back.len != nfc.len
            || (nfc.len > 0 && memcmp(back.data, nfc.data, nfc.len) != 0)))
        abort();
    ids_free(&ids);
    buf_free(&nfc);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *small;
    const char *text = (const char *)data;
    struct err err = {0};
    struct tokenizer *t;
    struct ids ids = {0};

    if (small == NULL)
        small = small_bpe();
    if (size == 0 || data[0] != '{') {
        round_trip(small, text, size);
        return 0;
    }
    t = tokenizer_parse("f", text, size, &err);
    if (t == NULL && err.code == ERR_NONE)
        abort(); /* refused without a reason */
    if (t != NULL)
        tokenizer_encode(t, text, size, &ids, NULL);
    ids_free(&ids);
    tokenizer_close(t);
    return 0;
}
