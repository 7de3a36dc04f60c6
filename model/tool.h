/* model/tool.h - what the subcommands of skein-model share
 *
 * One file per subcommand, tool_NAME.c. Data goes to stdout, everything else to
 * stderr.
 */
#ifndef MODEL_TOOL_H
#define MODEL_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/err.h"
#include "model/tool_table.h"
#include "model/weights.h"
#include "text/tokenizer.h"

#define TOOL_LINE_BYTES_MAX (16u << 20) /* an input line, as in a job */

/* `options` is the subcommand's struct of model/tool_table.h, arg[0..n_arg) its
 * arguments. Returns the exit status, or -1 and *err, whose code becomes the
 * exit status.
 */
typedef int tool_run_fn(const void *options, char *const *arg, int n_arg,
                        struct err *err);

tool_run_fn tool_inspect, tool_tokenize, tool_detokenize, tool_logits,
    tool_convert, tool_verify;

/* Write `out` to stdout and empty it. ERR_IO when that fails. */
int tool_print(struct buf *out, struct err *err);

/* The next line of `in` into `line`, without its newline. 1, 0 at the end, or
 * -1: ERR_IO, ERR_LIMIT.
 */
int tool_read_line(FILE *in, struct buf *line, struct err *err);

/* A tokenizer from a file, or the one that lies beside a model. */
struct tokenizer *tool_open_tokenizer(const char *file, const char *model,
                                      struct err *err);

/* "1,2,3" to ids 0..vocab-1. */
int tool_parse_ids(const char *text, int32_t vocab, struct ids *out,
                   struct err *err);

/* Logits of consecutive tokens from a backend with an empty state. */
struct tool_forward;

/* `backend`: "cpu", "cuda", either with ":OPTIONS" of model/backend.h. */
struct tool_forward *tool_forward_begin(const struct weights *w,
                                        const char *backend, struct err *err);
#define TOOL_FORWARD_ROWS 64 /* most tokens per call */
/* logits[n][V] of the next n tokens; with `last_only` [V] of the last one. */
int tool_forward_rows(struct tool_forward *f, const int32_t *token, int32_t n,
                      bool last_only, float *logits, struct err *err);
void tool_forward_end(struct tool_forward *f); /* NULL is allowed */

/* Standard base64 (RFC 4648 section 4), padded. Decoding refuses anything
 * else: -1.
 */
void tool_base64_add(struct buf *out, const void *data, size_t len);
int tool_base64_decode(const char *text, size_t len, struct buf *out);

#endif /* MODEL_TOOL_H */
