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
 * or a line of an OpenAI batch, {"custom_id","method","url","body"}, with url
 *
 *   /v1/completions             generate: several prompts, n samples of each
 *   /v1/chat/completions        generate: messages in place of a prompt
 *   /v1/loglikelihood           choice
 *   /v1/loglikelihood_rolling   rolling
 *
 * whose answers and errors have OpenAI's shapes. Unknown and duplicate keys are
 * refused.
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
/* Choices of one completion, prompts times n: OpenAI has 2048 prompts. */
#define RECORD_SAMPLES_MAX 2048u
/* Tokens that one line may ask for, over all its choices. */
#define RECORD_GENERATED_MAX (4u << 20)
#define RECORD_TOP_MAX 20     /* top_logprobs */
#define RECORD_BIAS_MAX 1024u /* tokens in logit_bias */
#define RECORD_TAG_BYTES 16

enum record_kind {
    RECORD_SCORE,
    RECORD_CHOICE,
    RECORD_ROLLING,
    RECORD_GENERATE,
};

/* How a line is written, and its answer. */
enum record_form {
    RECORD_NATIVE,
    RECORD_OPENAI,
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

struct record_bias {
    int32_t token; /* >= 0 */
    double bias;
};

struct record_message {
    const char *role; /* "system", "user", ..: static */
    struct record_text content;
};

/* What the meaning of a line depends on besides the line: its job. All zero is
 * a job without settings; so is NULL where a job is asked for.
 */
struct record_job {
    const char *model;          /* lines that name another are refused; what is
                                 * behind an '@' is not part of it. NULL: any */
    bool lenient;               /* unknown keys are warnings */
    const uint8_t *fingerprint; /* [32], or NULL: not known yet */
    int64_t created_s;          /* Unix seconds */
};

struct record {
    enum record_kind kind;
    enum record_form form;
    bool form_known; /* false: the line is no JSON object; form is a guess */
    uint64_t line;   /* 1-based */
    enum record_id_kind id_kind;
    char *id; /* RECORD_ID_STRING */
    size_t id_len;
    int64_t id_int; /* RECORD_ID_INT */
    /* What OpenAI ids are made of: BLAKE2b(line || number || fingerprint). */
    uint8_t tag[RECORD_TAG_BYTES];
    char *model; /* OpenAI: as the line names it */

    struct record_text context; /* score, choice; the text of rolling */
    struct record_text *target; /* [n_target]: 1 for score, else choices */
    size_t n_target;
    int32_t gold; /* choice: index, or -1 when not given */

    struct record_text *prompt; /* generate: [n_prompt], or messages */
    size_t n_prompt;
    struct record_message *message; /* [n_message] */
    size_t n_message;
    uint32_t n;         /* samples of each prompt */
    int32_t max_tokens; /* 0: none, OpenAI only */
    double temperature;
    double top_p;
    int32_t top_k;
    double min_p;
    double presence_penalty;
    double frequency_penalty;
    double repetition_penalty;
    struct record_bias *bias; /* [n_bias], tokens ascending */
    size_t n_bias;
    bool has_seed;
    uint64_t seed;
    struct record_text *stop; /* [n_stop], text */
    size_t n_stop;
    bool echo; /* the prompt is part of the answer */

    bool token_logprobs; /* of every token scored or generated */
    int32_t top_logprobs;
    bool tokens_as_ids; /* a token's text is written "token_id:N" */

    char *metadata; /* compact JSON of the object, or NULL */

    uint32_t n_warnings;
    char *warning; /* the first of them, or NULL */
};

/* Parse one line (no newline). Returns a record for record_free(), or NULL with
 * *e filled; docs/records.md lists the codes.
 *
 * On failure what the error line needs (line, form, id, tag) is filled in
 * `partial`, if not NULL; free with record_clear().
 */
struct record *record_parse(const struct record_job *job, const char *line,
                            size_t len, uint64_t number, struct record *partial,
                            struct record_error *e);
void record_free(struct record *r); /* NULL is allowed */
void record_clear(struct record *r);

/* Does it need a tokenizer: is any of it text? */
bool record_has_text(const struct record *r);

/* Choices that a generation answers with. */
size_t record_samples(const struct record *r);

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

/* A token and log P(token | all before it). */
struct token_logprob {
    int32_t id;
    float logprob; /* nats */
};

/* Tokens with their likeliest alternatives: at[i * (k + 1)] is the i-th token,
 * behind it come the k likeliest in its place, descending.
 */
struct record_detail {
    const struct token_logprob *at;
    size_t n; /* tokens */
    uint32_t k;
};

/* Answers to native lines, appended to `out` as one JSON object without
 * newline. `detail`, one for each target, is written when the record asked for
 * it; else it may be NULL. Numbers are the shortest text that reads back the
 * same.
 */
void record_write_score(const struct record *r, double logprob, bool greedy,
                        size_t tokens, const struct record_detail *detail,
                        struct buf *out);
/* logprob[n_target]; the first maximum wins */
void record_write_choice(const struct record *r, const double *logprob,
                         const struct record_detail *detail, struct buf *out);
void record_write_rolling(const struct record *r, double logprob, size_t tokens,
                          size_t bytes, size_t words, bool first_unscored,
                          const struct record_detail *detail, struct buf *out);
void record_write_generate(const struct record *r, const char *text, size_t len,
                           const char *finish_reason, size_t tokens,
                           const struct record_detail *detail,
                           struct buf *out); /* text: UTF-8 */

/* In the form of the line; uses form, line, id and tag of `r` only. */
void record_write_error(const struct record *r, const struct record_error *e,
                        struct buf *out);

/* The members token_ids, token_logprobs and top_logprobs, each with a comma
 * before it; nothing when the record did not ask.
 */
void record_add_detail(const struct record *r,
                       const struct record_detail *detail, struct buf *out);

/* The line around the body of an OpenAI answer. */
void openai_begin(const struct record *r, struct buf *out);
void openai_end(const struct record *r, struct buf *out);
void openai_write_error(const struct record *r, const struct record_error *e,
                        struct buf *out);
/* "PREFIXhex" with quotes, hex being the tag: "cmpl-", "req_". */
void openai_add_id(const struct record *r, const char *prefix, struct buf *out);

/* A double as JSON, shortest form that reads back the same. NaN and infinities
 * cannot be written and are a bug.
 */
void json_add_double(struct buf *out, double x);
/* A float likewise (shortest that reads back as the same float). */
void json_add_float(struct buf *out, float x);
/* A JSON string with quotes; `s` must be valid UTF-8. */
void json_add_string(struct buf *out, const char *s, size_t len);

#endif /* PROTO_RECORD_H */
