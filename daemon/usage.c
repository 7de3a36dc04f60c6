#include "daemon/usage.h"

#include "common/log.h"

static const struct option_row rows[] = {
    {.name = "config",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, config),
     .value = "FILE",
     .help = "YAML; skeind.yaml in the documentation directory lists every key "
             "with its default. Options beat it.",
     .fallback = "no file",
     .offer = OFFER_FILES},
    {.name = "spool",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, spool),
     .value = "DIR",
     .help = "where jobs are kept, made when missing. One coordinator uses it "
             "at a time.",
     .fallback = "that of the file",
     .offer = OFFER_FILES},
    {.name = "listen",
     .type = OPTION_LIST,
     .offset = offsetof(struct usage, listen),
     .value = "ENDPOINT",
     .help = "ipc:///path or tcp://127.0.0.1:PORT; may be given again",
     .fallback = "those of the file"},
    {.name = "http",
     .type = OPTION_TEXT,
     .offset = offsetof(struct usage, http),
     .value = "ADDRESS",
     .help = "serve /metrics and /healthz there over HTTP: 127.0.0.1:PORT or "
             "[::1]:PORT; port 0 takes a free one, which the log names. Other "
             "addresses are refused, since there is no access control.",
     .fallback = "nowhere"},
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
     .help = "say whether the settings are right, and exit"},
    {.name = "die-with-parent",
     .type = OPTION_FLAG,
     .offset = offsetof(struct usage, die_with_parent),
     .help = "stop when the starting process ends"},
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

const struct option_spec usage_skeind = {
    .program = "skeind",
    .synopsis = "--spool DIR --listen ENDPOINT [OPTIONS]\n"
                "       skeind --config FILE [OPTIONS]",
    .purpose = "coordinator of Skein: keeps jobs, leases their shards to "
               "workers",
    .about = "Accepts jobs, keeps them durably in the spool, leases their "
             "shards to workers and stores the results. It needs no GPU and no "
             "model. Stop it with SIGTERM; nothing is lost whenever it stops.\n"
             "Exit status: 0 stopped by a signal, 2 usage, 69 an endpoint "
             "cannot be bound, 74 the spool cannot be written, 75 another "
             "coordinator has the spool, 78 configuration, 83 the registry is "
             "corrupt.",
    .examples = "  skeind --spool ~/skein --listen ipc:///tmp/skein.sock\n"
                "  skeind --config /etc/skein/skeind.yaml\n"
                "then\n"
                "  skein-worker --connect ipc:///tmp/skein.sock --model "
                "demo=MODEL\n"
                "  skein submit in.jsonl -m demo -s ipc:///tmp/skein.sock",
    .rows = rows,
};
