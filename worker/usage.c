#include "worker/usage.h"

#include "common/log.h"
#include "worker/rank.h"

static const char *const comm_choices[] = {"auto", "nccl", "local", NULL};

static const struct option_row rows[] = {
    {.name = "config",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, config),
     .value = "FILE",
     .help = "YAML; skein-worker.yaml in the documentation directory lists "
             "every key with its default. Options beat it.",
     .fallback = "no file",
     .offer = OFFER_FILES},
    {.name = "connect",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, connect),
     .value = "ENDPOINT",
     .help = "ipc:///path or tcp://host:port of the coordinator",
     .fallback = "ipc:///run/skein/skeind.sock"},
    {.name = "name",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, name),
     .value = "NAME",
     .help = "of this worker in skein worker ls",
     .fallback = "the host's name"},
    {.name = "model",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, model),
     .value = "NAME=PATH",
     .help = "serve the checkpoint at PATH (.safetensors, a directory, .pth) "
             "to jobs that ask for NAME",
     .fallback = "that of the file",
     .offer = OFFER_FILES},
    {.name = "tokenizer",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, tokenizer),
     .value = "FILE",
     .help = "of that model",
     .fallback = "the one beside the checkpoint",
     .offer = OFFER_FILES},
    {.name = "devices",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, devices),
     .value = "LIST",
     .help = "comma-separated: cpu, once per process; cuda:0, cuda:1, ...; "
             "null; auto (every GPU, or the cores where there is none)",
     .fallback = "auto"},
    {.name = "tokens-per-step",
     .type = OPTION_INT,
     .offset = offsetof(struct usage, tokens_per_step),
     .value = "N",
     .min = 1,
     .max = USAGE_TOKENS_PER_STEP_MAX,
     .help = "rows of one model step; speed and memory, never results",
     .fallback = "by device"},
    {.name = "slots",
     .type = OPTION_INT,
     .offset = offsetof(struct usage, slots),
     .value = "N",
     .min = RANK_SLOTS_MIN,
     .max = RANK_SLOTS_MAX,
     .help = "sequences at a time, per device; speed and memory, never "
             "results",
     .fallback = "by device"},
    {.name = "backend-options",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, backend_options),
     .value = "TEXT",
     .help = "key=value,... of the engine"},
    {.name = "comm",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct usage, comm),
     .value = "KIND",
     .choice = comm_choices,
     .help = "what carries weights and answers between GPUs: auto, nccl or "
             "local; auto is NCCL where every GPU has one process and "
             "libnccl.so.2 is found (SKEIN_NCCL names another file), else "
             "shared memory. Never changes a result.",
     .fallback = "auto"},
    {.name = "log-level",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct usage, log_level),
     .value = "LEVEL",
     .choice = log_level_names,
     .help = "error, warn, info or debug; log lines go to standard error",
     .fallback = "info"},
    {.name = "check-config",
     .type = OPTION_FLAG,
     .offset = offsetof(struct usage, check_config),
     .help = "say whether the configuration is good, and exit"},
    {.name = "die-with-parent",
     .type = OPTION_FLAG,
     .offset = offsetof(struct usage, die_with_parent),
     .help = "end when the starting process ends"},
    {.name = "help",
     .letter = 'h',
     .type = OPTION_FLAG,
     .offset = offsetof(struct usage, help),
     .help = "this text"},
    {.name = "version",
     .type = OPTION_FLAG,
     .offset = offsetof(struct usage, version),
     .help = "print the version"},
    {.name = NULL},
};

const struct option_spec usage_worker = {
    .program = "skein-worker",
    .synopsis = "--connect ENDPOINT --model NAME=PATH [OPTIONS]\n"
                "       skein-worker --config FILE [OPTIONS]",
    .purpose = "compute leased shards of Skein jobs on this host's devices",
    .about =
        "Connects to a coordinator (skeind), loads one model, and scores or "
        "generates what it is given until told to stop. One process per "
        "device; a device that crashes or hangs is restarted and its work done "
        "again, with the same bits.\n"
        "The null device has no model: it answers at once with made-up "
        "numbers, for tests of everything around it. Without --tokenizer it "
        "reads text as bytes: byte b is token b + 1.\n"
        "SIGTERM finishes or gives back what is held, then exits 0; a second "
        "one exits at once.",
    .examples = "  skein-worker --connect tcp://127.0.0.1:7447 \\\n"
                "      --model demo=examples/model --devices cpu,cpu",
    .rows = rows,
};
