/* worker/config.h - what a worker is told: YAML file, then command line */
#ifndef WORKER_CONFIG_H
#define WORKER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"

struct config_model {
    char *name;      /* as jobs ask for it */
    char *path;      /* checkpoint file or directory; NULL: null engine */
    char *tokenizer; /* NULL: looked for beside the checkpoint */
};

/* Every key is documented in conf/skein-worker.yaml. Times in the units their
 * names say.
 */
struct config {
    char *connect;
    char *name;              /* NULL: the host's */
    struct conf_maps models; /* of struct config_model */
    struct conf_strings devices;
    char *backend_options;   /* NULL: none */
    char *comm;              /* "auto", "local" or "nccl" */
    int64_t tokens_per_step; /* 0: by device */
    int64_t slots;           /* 0: by device */
    int64_t encode_threads;
    int64_t gather_ms;
    int64_t stall_s; /* 0: by device */
    int64_t start_s;
    int64_t drain_s;
    char *log_level;

    /* Command line only. */
    bool check;
    bool die_with_parent;
};

enum config_action {
    CONFIG_RUN,
    CONFIG_DONE, /* --help or --version was printed */
};

/* Fill from defaults, --config and the other options, which win. 0 and
 * *action, or -1: ERR_USAGE (text says what is wrong), ERR_CONFIG (the file,
 * too). Free with config_free() either way.
 */
int config_read(int argc, char **argv, struct config *c,
                enum config_action *action, struct err *err);

void config_free(struct config *c);

#endif /* WORKER_CONFIG_H */
