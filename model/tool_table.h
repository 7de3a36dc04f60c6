/* model/tool_table.h - the command line of skein-model, as tables
 * (common/options.h)
 *
 * Each subcommand's options begin with struct tool_common.
 */
#ifndef MODEL_TOOL_TABLE_H
#define MODEL_TOOL_TABLE_H

#include <stdbool.h>

#include "common/options.h"

struct tool_common {
    bool help;
};

struct tool_inspect_options {
    struct tool_common common;
    bool tensors, json, no_hash;
};

/* Of tokenize and of detokenize. */
struct tool_tokenize_options {
    struct tool_common common;
    const char *tokenizer;
};

struct tool_logits_options {
    struct tool_common common;
    const char *tokens, *backend, *compute;
    bool all;
};

struct tool_convert_options {
    struct tool_common common;
    const char *format, *dtype;
    bool all_bf16;
};

struct tool_verify_options {
    struct tool_common common;
    bool json;
};

extern const struct option_spec tool_inspect_spec, tool_tokenize_spec,
    tool_detokenize_spec, tool_logits_spec, tool_convert_spec, tool_verify_spec;

#endif /* MODEL_TOOL_TABLE_H */
