/* Packed or not, whole or cut off: a source reads to an end or says why not,
 * and says the same again after a rewind.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "common/hash.h"
#include "common/source.h"

#define OUT_BYTES_MAX (4u << 20) /* then it is believed to be a bomb */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Hash of what comes out, `step` bytes at a time; how it ended goes to *end. */
static uint64_t drain(struct source *s, size_t step, int64_t *end)
{
    static uint8_t out[OUT_BYTES_MAX];
    struct err err = {.code = ERR_NONE};
    size_t have = 0;
    int64_t n = 1;

    while (n > 0 && have + step <= sizeof out) {
        n = source_read(s, out + have, step, &err);
        if (n < 0 && err.code == ERR_NONE)
            abort();
        have += n > 0 ? (size_t)n : 0;
    }
    *end = n < 0 ? -1 : n == 0;
    return n < 0 ? 0 : hash_xxh3(out, have);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("source", MFD_CLOEXEC);
    struct source *s;
    struct err err;
    int64_t end[2];
    uint64_t hash[2];

    if (fd < 0 || file_write_all(fd, data, size) < 0
        || lseek(fd, 0, SEEK_SET) < 0)
        abort();
    s = source_open(fd, "f", &err);
    if (s != NULL) {
        hash[0] = drain(s, 4096, &end[0]);
        if (source_rewind(s, 0, &err) < 0)
            abort();
        hash[1] = drain(s, 1024, &end[1]);
        if (end[0] != end[1] || hash[0] != hash[1])
            abort();
    }
    source_close(s);
    close(fd);
    return 0;
}
