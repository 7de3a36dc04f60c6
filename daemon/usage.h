/* daemon/usage.h - the command line of skeind, as a table (common/options.h) */
#ifndef DAEMON_USAGE_H
#define DAEMON_USAGE_H

#include <stdbool.h>

#include "common/options.h"

/* What was given; zero-initialise. */
struct usage {
    const char *config;
    const char *spool;
    const char *http;
    const char *log_level;
    struct option_list listen;
    bool check_config;
    bool die_with_parent;
    bool help;
    bool version;
};

extern const struct option_spec usage_skeind;

#endif /* DAEMON_USAGE_H */
