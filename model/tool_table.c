#include "model/tool_table.h"

static const struct option_row common[] = {
    {.name = "help",
     .letter = 'h',
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_common, help),
     .help = "this text"},
    {.name = NULL},
};

/* ---- inspect ------------------------------------------------------------ */

static const struct option_row inspect_rows[] = {
    {.name = "tensors",
     .letter = 't',
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_inspect_options, tensors),
     .help = "also every tensor: name, dtype, shape"},
    {.name = "json",
     .letter = 'j',
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_inspect_options, json),
     .help = "one JSON object; with --tensors, tensors have a BLAKE2b-256 of "
             "their elements as stored, in row-major order"},
    {.name = "no-hash",
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_inspect_options, no_hash),
     .help = "neither weights hash nor fingerprint: fast on large models"},
    {.name = NULL},
};

const struct option_spec tool_inspect_spec = {
    .program = "skein-model",
    .command = "inspect",
    .synopsis = "[OPTIONS] MODEL",
    .purpose = "what a checkpoint holds: sizes, dtypes, fingerprint",
    .about =
        "Prints architecture, dimensions, dtypes, used and unused parameters, "
        "the tokenizer beside it, the hash of its weights and the numerics "
        "fingerprint that workers on this machine's CPU would have. A "
        "checkpoint that is not a plain RWKV-7 language model is listed all "
        "the same; it says why, and \"runnable\" is false.",
    .examples = "  skein-model inspect rwkv7-0.1b.pth --tensors",
    .rows = inspect_rows,
    .common = common,
    .args_min = 1,
    .args_max = 1,
    .offer = OFFER_FILES,
};

/* ---- tokenize, detokenize ----------------------------------------------- */

static const struct option_row tokenize_rows[] = {
    {.name = "tokenizer",
     .letter = 't',
     .type = OPTION_TEXT,
     .offset = offsetof(struct tool_tokenize_options, tokenizer),
     .value = "FILE",
     .help = "rwkv_vocab*.txt or tokenizer.json, in place of MODEL",
     .fallback = "the one that lies beside MODEL",
     .offer = OFFER_FILES},
    {.name = NULL},
};

const struct option_spec tool_tokenize_spec = {
    .program = "skein-model",
    .command = "tokenize",
    .synopsis = "MODEL | --tokenizer FILE",
    .purpose = "JSON lines of text to token ids",
    .about = "Reads JSON lines {\"text\": ...} or {\"base64\": ...} from "
             "standard input and writes {\"ids\": [...]} for each. No start "
             "token is added. A bad line gives {\"error\": ...}, a message on "
             "standard error and exit status 1.",
    .examples = "  echo '{\"text\":\"The Eiffel tower\"}' | skein-model "
                "tokenize models/w/",
    .rows = tokenize_rows,
    .common = common,
    .args_max = 1,
    .offer = OFFER_FILES,
};

const struct option_spec tool_detokenize_spec = {
    .program = "skein-model",
    .command = "detokenize",
    .synopsis = "MODEL | --tokenizer FILE",
    .purpose = "JSON lines of token ids to text",
    .about = "Reads JSON lines {\"ids\": [...]} from standard input and writes "
             "{\"text\": ...} for each, or {\"base64\": ...} when the bytes "
             "are not UTF-8. A bad line gives {\"error\": ...}, a message on "
             "standard error and exit status 1.",
    .examples = "  echo '{\"ids\":[510,1002]}' | skein-model detokenize "
                "--tokenizer v.txt",
    .rows = tokenize_rows,
    .common = common,
    .args_max = 1,
    .offer = OFFER_FILES,
};

/* ---- logits ------------------------------------------------------------- */

static const char *const compute_choices[] = {"fp16", "bf16", "fp32", NULL};

static const struct option_row logits_rows[] = {
    {.name = "tokens",
     .letter = 't',
     .type = OPTION_TEXT,
     .offset = offsetof(struct tool_logits_options, tokens),
     .value = "IDS",
     .help = "token ids, with commas between",
     .required = true},
    {.name = "all",
     .letter = 'a',
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_logits_options, all),
     .help = "an array for each position: {\"logits\":[[...],...]}"},
    {.name = "backend",
     .letter = 'b',
     .type = OPTION_TEXT,
     .offset = offsetof(struct tool_logits_options, backend),
     .value = "NAME",
     .help = "cpu, or cpu:isa=portable, avx2 or avx512: the same bits, by "
             "other instructions; cuda or cuda:device=1: a GPU, where there is "
             "one",
     .fallback = "cpu"},
    {.name = "compute",
     .letter = 'c',
     .type = OPTION_CHOICE,
     .offset = offsetof(struct tool_logits_options, compute),
     .value = "TYPE",
     .choice = compute_choices,
     .help = "of cuda's products: fp16, bf16 or fp32 (the bits of cpu)",
     .fallback = "fp16"},
    {.name = NULL},
};

const struct option_spec tool_logits_spec = {
    .program = "skein-model",
    .command = "logits",
    .synopsis = "[OPTIONS] MODEL --tokens 1,2,3",
    .purpose = "logits after a list of tokens",
    .about = "Runs the tokens through the model from an empty state and prints "
             "one JSON object {\"logits\":[...]}: those after the last token, "
             "before softmax. The numbers read back as the same floats. "
             "Nothing is added to the tokens; put 0 first for a start token.",
    .examples = "  skein-model logits rwkv7-0.1b.pth --tokens 0,510,1002 --all",
    .rows = logits_rows,
    .common = common,
    .args_min = 1,
    .args_max = 1,
    .offer = OFFER_FILES,
};

/* ---- convert ------------------------------------------------------------ */

static const char *const format_choices[] = {"fla", "blink", NULL};
static const char *const dtype_choices[] = {"bf16", "fp16", "fp32", NULL};

static const struct option_row convert_rows[] = {
    {.name = "format",
     .letter = 'f',
     .type = OPTION_CHOICE,
     .offset = offsetof(struct tool_convert_options, format),
     .value = "FORMAT",
     .choice = format_choices,
     .help = "fla: directory OUT with model.safetensors and config.json, as "
             "flash-linear-attention and transformers load it; blink: "
             "safetensors file OUT with BlinkDL's names and shapes",
     .required = true},
    {.name = "dtype",
     .letter = 'd',
     .type = OPTION_CHOICE,
     .offset = offsetof(struct tool_convert_options, dtype),
     .value = "TYPE",
     .choice = dtype_choices,
     .help = "bf16, fp16 or fp32 for matrices; vectors (norms, decay, mixing, "
             "biases) become fp32, whatever TYPE is",
     .fallback = "every tensor keeps its dtype and its bits"},
    {.name = "all-bf16",
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_convert_options, all_bf16),
     .help = "bf16 for everything, vectors too: loses precision where it "
             "matters, and warns. Only to reproduce such files."},
    {.name = NULL},
};

const struct option_spec tool_convert_spec = {
    .program = "skein-model",
    .command = "convert",
    .synopsis = "[OPTIONS] IN OUT --format fla|blink",
    .purpose = "write a checkpoint in another format",
    .about = "Writes the model IN, in any format skein reads, as OUT. Tensors "
             "RWKV-7 does not use are left out and named on standard error.",
    .examples =
        "  skein-model convert rwkv7-0.1b.pth rwkv7-0.1b-fla --format fla\n"
        "  skein-model verify rwkv7-0.1b.pth rwkv7-0.1b-fla",
    .rows = convert_rows,
    .common = common,
    .args_min = 2,
    .args_max = 2,
    .offer = OFFER_FILES,
};

/* ---- verify ------------------------------------------------------------- */

static const struct option_row verify_rows[] = {
    {.name = "json",
     .letter = 'j',
     .type = OPTION_FLAG,
     .offset = offsetof(struct tool_verify_options, json),
     .help = "one JSON object instead of text"},
    {.name = NULL},
};

const struct option_spec tool_verify_spec = {
    .program = "skein-model",
    .command = "verify",
    .synopsis = "[OPTIONS] A B",
    .purpose = "compare two checkpoints, tensor by tensor and by logits",
    .about = "Compares two models, whatever their formats and names: every "
             "tensor, then the logits of 1,024 tokens through the cpu backend. "
             "Tensors of different dtypes are equal within tolerance when each "
             "element differs by no more than the rounding of the two dtypes "
             "explains. Logits are reported, and must be the same bits when "
             "all tensors are equal. Exit status: 0 equal within tolerance, 1 "
             "not.",
    .examples = "  skein-model verify rwkv7-0.1b.pth rwkv7-0.1b-fla",
    .rows = verify_rows,
    .common = common,
    .args_min = 2,
    .args_max = 2,
    .offer = OFFER_FILES,
};
