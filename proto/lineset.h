/* proto/lineset.h - numbered lines in one blob: shard inputs and shard results
 *
 * One format for three things: the records of a shard, the lines rejected when
 * the job was submitted, and a shard's answers. So "every record answered
 * exactly once" is a comparison of two line tables.
 *
 *   u32 magic 'SKLS'   u32 n   u64 first_line
 *   n x { u32 line - first_line, u32 length | kind << 28 | error flag << 31 }
 *   the lines' bytes, one after another, without newlines
 *
 * Little-endian. Lines ascend strictly. Stored and sent zstd-compressed.
 * Pure: no I/O, never trusts a length; fuzzed by tests/fuzz/fuzz_lineset.c.
 */
#ifndef PROTO_LINESET_H
#define PROTO_LINESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* Decompressed; a shard of 1,024 long generations fits many times. */
#define LINESET_BYTES_MAX (256u << 20)
/* x 32 bytes in memory; a writer that may have more starts another set. */
#define LINESET_ITEMS_MAX (1u << 20)

#define LINESET_KIND_MAX 7u

struct lineset_item {
    uint64_t line; /* 1-based line number in the job's input */
    const char *text;
    uint32_t len;
    bool error;   /* an error object rather than a record or a result */
    uint8_t kind; /* 0..LINESET_KIND_MAX, as its writer said; 0: unknown */
};

/* Writing: items in ascending order of line. */
struct lineset_writer {
    struct buf table;
    struct buf text;
    uint64_t first_line;
    uint64_t last_line;
    uint32_t n;
};

void lineset_writer_init(struct lineset_writer *w);
void lineset_writer_free(struct lineset_writer *w);
/* Line numbers start at 1, ascend, and differ by less than 2^32 in one set; len
 * < LINESET_BYTES_MAX; at most LINESET_ITEMS_MAX. All asserted. Kind 0.
 */
void lineset_add(struct lineset_writer *w, uint64_t line, const char *text,
                 size_t len, bool error);
/* A record of a kind that whoever reads the set may count by. */
void lineset_add_record(struct lineset_writer *w, uint64_t line,
                        const char *text, size_t len, unsigned kind);
/* A line of another set, as it is there. */
void lineset_add_item(struct lineset_writer *w,
                      const struct lineset_item *item);
/* Append the packed (zstd) form to `out` and empty the writer. */
void lineset_pack(struct lineset_writer *w, struct buf *out);

/* Reading. The set owns its bytes. */
struct lineset {
    struct buf bytes;
    struct lineset_item *item; /* [n] pointing into bytes */
    uint32_t n;
    uint32_t n_error;
};

/* Decompress and check everything: ERR_CORRUPT, ERR_LIMIT. */
int lineset_unpack(const void *data, size_t len, struct lineset *out,
                   struct err *err);
void lineset_free(struct lineset *s);

/* ERR_INVALID unless `result` answers exactly the lines of `input`. */
int lineset_match(const struct lineset *input, const struct lineset *result,
                  struct err *err);

#endif /* PROTO_LINESET_H */
