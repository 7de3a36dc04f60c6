/* worker/usage.h - the command line of skein-worker, as a table
 * (common/options.h)
 */
#ifndef WORKER_USAGE_H
#define WORKER_USAGE_H

#include <stdbool.h>

#include "common/options.h"

#define USAGE_TOKENS_PER_STEP_MAX 65536

/* What was given; zero-initialise. */
struct usage {
    const char *config;
    const char *connect;
    const char *name;
    const char *model;
    const char *tokenizer;
    const char *devices;
    const char *backend_options;
    const char *comm;
    const char *log_level;
    struct option_int tokens_per_step;
    struct option_int slots;
    bool check_config;
    bool die_with_parent;
    bool help;
    bool version;
};

extern const struct option_spec usage_worker;

#endif /* WORKER_USAGE_H */
