/* proto/record.h - one input line: parsed, checked, and its answer written
 *
 * The one record parser of client, coordinator and worker; fuzzed by
 * tests/fuzz/fuzz_record.c. Pure. Format: docs/records.md.
 *
 *   {"id","context","target"}                 score    context_ids, target_ids
 *   {"id","context","choices":[..],"gold":k}  choice   choices_ids
 *   {"id","text"}                             rolling  text_ids
 *   {"id","prompt","max_tokens",..}           generate prompt_ids
 *
 * Optional everywhere: "id" (string of 1..512 bytes or integer; default: the
 * line number), "metadata" (object, carried through unchanged).
 * generate: max_tokens (256), temperature (0), top_p (1), top_k (0), seed,
 * stop (string or 1..16 strings). Unknown and duplicate keys are refused.
 */
#ifndef PROTO_RECORD_H
#define PROTO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/record_error.h"

#define RECORD_BYTES_MAX (16u << 20) /* an input line */
#define RECORD_ID_BYTES_MAX 512u
#define RECORD_CHOICES_MAX 256u
#define RECORD_STOPS_MAX 16u
#define RECORD_STOP_BYTES_MAX 1024u
#define RECORD_MAX_TOKENS_MAX 1048576 /* of one generation */

enum record_kind {
    RECORD_SCORE,
    RECORD_CHOICE,
    RECORD_ROLLING,
    RECORD_GENERATE,
};

enum record_id_kind {
    RECORD_ID_LINE, /* no id given: the line number */
    RECORD_ID_STRING,
    RECORD_ID_INT,
};

/* Text, or ready token ids. Ids are used exactly as they are. */
struct record_text {
    bool is_ids;
    char *text; /* UTF-8, NUL after len; may contain NUL */
    size_t len;
    int32_t *id; /* [n] each >= 0 */
    size_t n;
};

struct record {
    enum record_kind kind;
    uint64_t line; /* 1-based */
    enum record_id_kind id_kind;
    char *id; /* RECORD_ID_STRING */
    size_t id_len;
    int64_t id_int; /* RECORD_ID_INT */

    struct record_text context; /* score, choice; the prompt of generate; the
                                  * text of rolling */
    struct record_text *target; /* [n_target]: 1 for score, else choices */
    size_t n_target;
    int32_t gold; /* choice: index, or -1 when not given */

    int32_t max_tokens;
    double temperature;
    double top_p;
    int32_t top_k;
    bool has_seed;
    uint64_t seed;
    struct record_text *stop; /* [n_stop], text */
    size_t n_stop;

    char *metadata; /* compact JSON of the object, or NULL */
};

/* Parse one line (no newline). Returns a record for record_free(), or NULL with
 * *e filled. Codes: invalid_json, not_utf8, missing_field, wrong_type,
 * unknown_key, duplicate_key, invalid_value, too_large.
 *
 * On failure id_* of `partial`, if not NULL, are filled when the line is an
 * object with a usable id, for the error line; free with record_clear().
 */
struct record *record_parse(const char *line, size_t len, uint64_t number,
                            struct record *partial, struct record_error *e);
void record_free(struct record *r); /* NULL is allowed */
void record_clear(struct record *r);

/* 128 bits that tell ids apart: keyed BLAKE2b of kind and value. An absent id
 * equals the integer of its line number.
 */
void record_id_hash(const struct record *r, const uint8_t key[16],
                    uint8_t out[16]);

/* The random stream of a record (DESIGN 8.5): its seed, else the first 8 bytes
 * of BLAKE2b(job seed as 8 bytes little-endian || id bytes), where an absent or
 * integer id is its decimal digits.
 */
uint64_t record_stream_key(const struct record *r, uint64_t job_seed);

/* Answers, appended to `out` as one JSON object without newline. Numbers are
 * the shortest text that reads back the same double.
 */
void record_write_score(const struct record *r, double logprob, bool greedy,
                        size_t tokens, struct buf *out);
void record_write_choice(const struct record *r, const double *logprob,
                         struct buf *out); /* [n_target]; first maximum wins */
void record_write_rolling(const struct record *r, double logprob, size_t tokens,
                          size_t bytes, size_t words, bool first_unscored,
                          struct buf *out);
void record_write_generate(const struct record *r, const char *text, size_t len,
                           const char *finish_reason, size_t tokens,
                           struct buf *out); /* text: UTF-8 */
void record_write_error(const struct record *r, const struct record_error *e,
                        struct buf *out); /* uses id and line of `r` only */

/* A double as JSON, shortest form that reads back the same. NaN and infinities
 * cannot be written and are a bug.
 */
void json_add_double(struct buf *out, double x);
/* A float likewise (shortest that reads back as the same float). */
void json_add_float(struct buf *out, float x);
/* A JSON string with quotes; `s` must be valid UTF-8. */
void json_add_string(struct buf *out, const char *s, size_t len);

#endif /* PROTO_RECORD_H */
