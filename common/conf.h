/* common/conf.h - YAML into a struct, by a table
 *
 * The only owner of libyaml. A configuration is at most 64 KiB and 16 levels
 * deep, checked while parsing (libyaml 0.2.5 is quadratic in nesting). Every
 * error names file, line and column, and for an unknown key the nearest known
 * one. Booleans are exactly true and false.
 *
 *     struct conf_key keys[] = {
 *         {"spool", CONF_STRING, offsetof(struct cfg, spool), .required = true},
 *         {"beat_ms", CONF_INT, offsetof(struct cfg, beat_ms), .min = 100,
 *          .max = 60000},
 *         {"devices", CONF_STRING_LIST, offsetof(struct cfg, devices)},
 *         {"models", CONF_MAP_LIST, offsetof(struct cfg, models), .sub = model_keys,
 *          .sub_size = sizeof(struct cfg_model)},
 *         {0},
 *     };
 */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum conf_type {
    CONF_STRING,      /* char *, malloc'ed */
    CONF_INT,         /* int64_t, within min..max */
    CONF_BOOL,        /* bool */
    CONF_STRING_LIST, /* struct conf_strings; a scalar is a list of one */
    CONF_MAP_LIST,    /* struct conf_maps; elements by the table `sub` */
};

struct conf_strings {
    char **item; /* [n], each malloc'ed */
    size_t n;
};

struct conf_maps {
    void *item; /* [n] structs of sub_size bytes, calloc'ed */
    size_t n;
};

struct conf_key {
    const char *name;
    enum conf_type type;
    size_t offset;
    int64_t min, max; /* CONF_INT; min == max means unbounded */
    bool required;
    const struct conf_key *sub; /* CONF_MAP_LIST */
    size_t sub_size;
};

#define CONF_BYTES_MAX (64u << 10)
#define CONF_DEPTH_MAX 16   /* open sequences and mappings */
#define CONF_KEYS_MAX 64    /* entries of one table */
#define CONF_ITEMS_MAX 4096 /* elements of one list */

/* Read `path` into `cfg`, which the caller has filled with defaults (strings as
 * malloc'ed copies or NULL). Values found replace defaults.
 * Returns 0, or -1: ERR_CONFIG, ERR_NOT_FOUND, ERR_IO, ERR_LIMIT (too large).
 * `cfg` may be partly filled then; conf_free() frees it all the same.
 */
int conf_load(const char *path, const struct conf_key *keys, void *cfg,
              struct err *err);

/* The same from memory; `name` stands for the file in error texts. */
int conf_parse(const char *name, const char *text, size_t len,
               const struct conf_key *keys, void *cfg, struct err *err);

/* Free everything the table's entries own in `cfg`. */
void conf_free(const struct conf_key *keys, void *cfg);

/* The name in `known` (NULL-terminated array) nearest to `word`, or NULL when
 * none is near enough to be what was meant (edit distance above a third of the
 * length). Used for every "did you mean".
 */
const char *conf_nearest(const char *word, const char *const *known);

#endif /* COMMON_CONF_H */
