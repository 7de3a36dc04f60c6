/* client/options.h - one option table per command: it parses and it explains
 *
 * The same rows drive getopt_long() and the help text, so the two cannot
 * disagree. Parsing fills a struct of the command; a row says where. Nothing
 * here knows what any option means.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define OPTIONS_MAX 32 /* rows of one command, common rows included */

enum option_type {
    OPTION_FLAG,   /* bool: true when given */
    OPTION_TEXT,   /* const char *: the argument, into argv */
    OPTION_CHOICE, /* const char *: one of `choice` */
    OPTION_INT,    /* struct option_int, within min..max */
};

struct option_int {
    bool given;
    int64_t value;
};

struct option_row {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* short name, or 0 */
    enum option_type type;
    size_t offset;        /* of the field it fills */
    const char *value;    /* placeholder in the help: "FILE" */
    const char *help;     /* one phrase; '\n' starts another line */
    const char *fallback; /* the default as the help shows it, or NULL */
    bool required;        /* for the help; the command checks */
    int64_t min, max;
    const char *const *choice; /* NULL-terminated */
    bool setting;              /* also read from SKEIN_<NAME> and skein.yaml */
};

/* What a command takes and what its help says. */
struct option_spec {
    const char *command;  /* "submit", "worker ls" */
    const char *synopsis; /* what follows the command: "FILE -m MODEL" */
    const char *purpose;  /* first line of the help, one sentence */
    const char *about;    /* more of it, lines of <= 78 columns; or NULL */
    const char *examples; /* lines of "  skein ..." */
    const struct option_row *rows;
    const struct option_row *common; /* rows every command has */
    int args_min, args_max;          /* positional arguments */
};

/* Parse argv[0..argc) where argv[0] is ignored. Fields of options that are not
 * given stay as they are. Positional arguments end up at argv[*first..argc).
 * Returns 0, or -1: ERR_USAGE naming the nearest option.
 */
int options_parse(const struct option_spec *spec, int argc, char **argv,
                  void *values, int *first, struct err *err);

/* Assign the text of a setting as if it had been the option's argument.
 * `origin` ("SKEIN_BOS", "file:key") begins the error text. ERR_CONFIG.
 */
int options_assign(const struct option_row *row, const char *text,
                   const char *origin, void *values, struct err *err);

/* Was this option given (or has it been assigned)? */
bool options_given(const struct option_row *row, const void *values);

/* Append the whole help text. */
void options_help(const struct option_spec *spec, struct buf *out);

#endif /* CLIENT_OPTIONS_H */
