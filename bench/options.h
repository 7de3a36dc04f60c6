/* bench/options.h - command lines of skein-bench's parts */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdint.h>

#include "common/err.h"

/* An option with a value, one of the pointers set; without `key` the argument
 * that is no option. What is not given stays as it is.
 */
struct bench_option {
    const char *key;
    const char **word;
    int64_t *number; /* >= 0 */
};

/* `option` ends with {0}. 0, or -1: ERR_USAGE; text names the argument. */
int bench_options(int argc, char **argv, const struct bench_option *option,
                  struct err *err);

#endif /* BENCH_OPTIONS_H */
