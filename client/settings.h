/* client/settings.h - where an option comes from when it is not on the command
 * line
 *
 * Precedence: the option itself, SKEIN_<NAME> in the environment, the user's
 * file ($XDG_CONFIG_HOME/skein/skein.yaml, by default ~/.config/...), the
 * system's file (/etc/skein/skein.yaml), the built-in default. A file named by
 * --config (or SKEIN_CONFIG) replaces both files. What may be set are the
 * options whose rows say so, of all commands.
 */
#ifndef CLIENT_SETTINGS_H
#define CLIENT_SETTINGS_H

#include "common/err.h"
#include "common/options.h"

#define SETTINGS_SERVER "ipc:///run/skein/skeind.sock"
#define SETTINGS_MAX 16
#define SETTINGS_FILES_MAX 2

struct setting {
    const struct option_row *row; /* the first of that name */
    char *value;                  /* from a file; NULL: none says anything */
    const char *file;             /* which: settings.file[].path */
};

struct settings {
    struct setting item[SETTINGS_MAX];
    size_t n;
    struct settings_file {
        char *path;
        bool read;              /* false: it does not exist */
    } file[SETTINGS_FILES_MAX]; /* that apply, the weaker first */
    size_t files;
};

/* Every setting of every command, without values. */
void settings_init(struct settings *s);

/* Read one file. A missing file is fine unless `required`. ERR_CONFIG. */
int settings_load(const char *path, bool required, struct settings *s,
                  struct err *err);

/* Initialise and read the files that apply: `config` if not NULL, else what
 * SKEIN_CONFIG names, else system, then user. Free in any case.
 */
int settings_load_all(const char *config, struct settings *s, struct err *err);

/* The value that the environment or else a file gives this option, or NULL;
 * *origin is "SKEIN_NAME" or the file's path. Both live as long as `s`, and
 * `variable` holds the name of the variable.
 */
#define SETTINGS_VARIABLE_MAX 64
const char *settings_value(const struct settings *s,
                           const struct option_row *row,
                           char variable[SETTINGS_VARIABLE_MAX],
                           const char **origin);

/* Give every option of `spec` that is a setting and was not given its value
 * from the environment or from `s`. `values` then points into both. ERR_CONFIG.
 */
int settings_fill(const struct option_spec *spec, const struct settings *s,
                  void *values, struct err *err);

void settings_free(struct settings *s);

#endif /* CLIENT_SETTINGS_H */
