#include "bench/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool ends(const struct bench_option *o)
{
    return o->word == NULL && o->number == NULL;
}

static int set(const struct bench_option *o, const char *value, struct err *err)
{
    char *end;
    long long x;

    if (o->word != NULL) {
        *o->word = value;
        return 0;
    }
    errno = 0;
    x = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || x < 0)
        return err_set(err, ERR_USAGE, "%s %s: a whole number expected", o->key,
                       value);
    *o->number = x;
    return 0;
}

int bench_options(int argc, char **argv, const struct bench_option *option,
                  struct err *err)
{
    for (int i = 1; i < argc; i++) {
        const struct bench_option *o = option;
        const bool dashed = argv[i][0] == '-';

        while (!ends(o)
               && !(dashed ? o->key != NULL && strcmp(o->key, argv[i]) == 0
                           : o->key == NULL && *o->word == NULL))
            o++;
        if (ends(o))
            return err_set(err, ERR_USAGE, "\"%s\" is not understood", argv[i]);
        if (dashed && ++i == argc)
            return err_set(err, ERR_USAGE, "%s: a value expected", o->key);
        if (set(o, argv[i], err) < 0)
            return -1;
    }
    return 0;
}
