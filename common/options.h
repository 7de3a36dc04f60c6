/* common/options.h - one table says what a command line takes
 *
 * The rows of a table drive getopt_long(), the help, the man page
 * (common/manual.h), the completion scripts (client/completion.h) and the hints
 * after a mistake, so that no two of them can disagree. Parsing fills a struct
 * of the command; a row says where. Nothing here knows what any option means.
 */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define OPTIONS_MAX 32     /* rows of one command, common rows included */
#define OPTIONS_COLUMNS 79 /* of a help text */
#define OPTION_LIST_MAX 16 /* times one option may be given */

enum option_type {
    OPTION_FLAG,   /* bool: true when given */
    OPTION_TEXT,   /* const char *: the argument, into argv */
    OPTION_CHOICE, /* const char *: one of `choice` */
    OPTION_INT,    /* struct option_int, within min..max */
    OPTION_TIME,   /* struct option_int in ms, from "90", "1h30m", "01:30:00" or
                    * "2-00:00:00"; min and max are in ms, too */
    OPTION_LIST,   /* struct option_list: may be given again */
};

/* What a shell may offer for a value, besides the words of `choice`. */
enum option_offer {
    OFFER_NOTHING,
    OFFER_FILES,
    OFFER_JOBS,   /* ids of jobs, "last", "all" */
    OFFER_MODELS, /* as workers announce them */
};

struct option_int {
    bool given;
    int64_t value;
};

struct option_list {
    const char *item[OPTION_LIST_MAX];
    size_t n;
};

struct option_row {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* short name, or 0 */
    enum option_type type;
    size_t offset;        /* of the field it fills */
    const char *value;    /* placeholder in the help: "FILE" */
    const char *help;     /* a phrase or some; the help wraps it */
    const char *fallback; /* the default as the help shows it, or NULL */
    bool required;        /* here, in the environment or in skein.yaml */
    int64_t min, max;
    const char *const *choice; /* NULL-terminated */
    enum option_offer offer;
    bool setting; /* also read from SKEIN_<NAME> and skein.yaml */
};

/* What a command takes and what its help says. */
struct option_spec {
    const char *program; /* "skeind"; NULL: "skein" */
    const char *command; /* "submit", "worker ls"; NULL: the program has none */
    const char *synopsis; /* what follows the command: "[OPTIONS] FILE" */
    const char *purpose;  /* first line of the help, one phrase */
    /* More of it, or NULL. Lines that begin with a space stay as they are,
     * others are paragraphs, wrapped.
     */
    const char *about;
    const char *examples; /* lines of "  skein ..." */
    const struct option_row *rows;
    const struct option_row *common; /* rows every command has */
    int args_min, args_max;          /* positional arguments */
    enum option_offer offer;         /* for them */
    const char *const *choice;       /* each is one of these; or NULL */
};

/* "skein worker ls": what a user types before the options. */
void options_name(const struct option_spec *spec, struct buf *out);

/* All rows of a command, its own first: *row ends with NULL. Returns their
 * number.
 */
int options_rows(const struct option_spec *spec,
                 const struct option_row *row[OPTIONS_MAX + 1]);

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

/* A duration: "90" or "1.5" (seconds), "1h30m", "45s", "200ms", "01:30:00" or
 * "2-00:00:00", into milliseconds. -1 when it is none, or above INT64_MAX / 2.
 */
int options_duration(const char *text, int64_t *ms);

/* Was this option given (or has it been assigned)? */
bool options_given(const struct option_row *row, const void *values);

/* Is every required option there? -1: ERR_USAGE, naming the first that is not.
 */
int options_complete(const struct option_spec *spec, const void *values,
                     struct err *err);

/* Append the whole help text. */
void options_help(const struct option_spec *spec, struct buf *out);

/* The same on standard output. */
void options_print_help(const struct option_spec *spec);

/* "skein ls: what is wrong" on standard error, and after ERR_USAGE the way out
 * in a second line.
 */
void options_report(const struct option_spec *spec, const struct err *err);

/* Append `text` wrapped at `columns`; every line but the first is indented by
 * `indent`, where the first is taken to begin, too. Line breaks in `text` stay,
 * and lines that begin with a space are not wrapped. No newline at the end.
 */
void options_wrap(const char *text, size_t indent, size_t columns,
                  struct buf *out);

#endif /* COMMON_OPTIONS_H */
