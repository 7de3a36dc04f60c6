/* daemon/settings.h - what skeind is told: conf/skeind.yaml and its options
 *
 * Options beat the file, the file beats the defaults. No file is read unless it
 * is named.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"
#include "common/log.h"

struct settings {
    /* the file's keys; conf/skeind.yaml explains each */
    char *spool;
    struct conf_strings listen;
    char *log_level;
    int64_t ingest_threads;
    int64_t max_records;
    char *http;
    int64_t beat_ms;
    int64_t lease_ms;
    int64_t lease_worker_ms;
    int64_t lease_disconnected_ms;
    int64_t restart_grace_ms;
    /* options alone */
    enum log_level level; /* log_level, parsed */
    bool check_config;
    bool die_with_parent;
    bool help;
    bool version;
};

/* Defaults, then the file named by --config, then the options. Checks that it
 * all makes sense together. ERR_USAGE, ERR_CONFIG.
 */
int settings_load(int argc, char **argv, struct settings *s, struct err *err);
void settings_free(struct settings *s);

#endif /* DAEMON_SETTINGS_H */
