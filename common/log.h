/* common/log.h - one event, one line: `<level>component: event key=value ...`
 *
 * The only writer to stderr in daemons. Lines start with journald's <N> prefix
 * when stderr is not a terminal. Libraries do not log; main() and loops do.
 * Thread-safe: a line is one write(2).
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARN = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
};

/* `component` is kept by reference ("skeind", "worker", "rank0"). */
void log_init(const char *component, enum log_level max);

void log_write(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "error", "warn", "info", "debug", NULL */
extern const char *const log_level_names[];

/* "error", "warn", "info", "debug" -> level, or -1. */
int log_level_parse(const char *name);

#endif /* COMMON_LOG_H */
