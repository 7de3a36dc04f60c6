/* client/settings.h - where an option comes from when it is not on the command
 * line
 *
 * Precedence: the option itself, SKEIN_<NAME> in the environment, the user's
 * file ($XDG_CONFIG_HOME/skein/skein.yaml, by default ~/.config/...), the
 * system's file (/etc/skein/skein.yaml), the built-in default. A file named by
 * --config (or SKEIN_CONFIG) replaces both files.
 */
#ifndef CLIENT_SETTINGS_H
#define CLIENT_SETTINGS_H

#include "common/options.h"
#include "common/err.h"

#define SETTINGS_SERVER "ipc:///run/skein/skeind.sock"

/* The keys of skein.yaml; NULL where a file says nothing. */
struct settings {
    char *server;
    char *model;
    char *tokenizer;
    char *devices;
    char *bos;
    char *color;
};

/* Read one file. A missing file is fine unless `required`. ERR_CONFIG. */
int settings_load(const char *path, bool required, struct settings *s,
                  struct err *err);

/* Read the files that apply: `config` if not NULL, else system, then user. */
int settings_load_all(const char *config, struct settings *s, struct err *err);

/* Give every option of `spec` that is a setting and was not given its value
 * from the environment or from `s`. `values` then points into both. ERR_CONFIG.
 */
int settings_fill(const struct option_spec *spec, const struct settings *s,
                  void *values, struct err *err);

void settings_free(struct settings *s);

#endif /* CLIENT_SETTINGS_H */
