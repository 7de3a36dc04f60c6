/* common/err.h - the error value that travels up a call chain
 *
 * A function that can fail takes `struct err *err` last and returns 0, a count
 * or a pointer on success, -1 or NULL on failure.
 *
 *   - Whoever knows the cause calls err_set(), once.
 *   - Each caller that can add where or for whom calls err_wrap().
 *   - Nobody else touches it; the code never changes on the way up.
 *   - Only main() and the event loops log it or turn it into a reply.
 *
 * `err` may be NULL when the caller needs to know only that something failed.
 * Bugs are not errors: a broken precondition is assert()ed.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

#define ERR_TEXT_MAX 512 /* bytes, with the final NUL; longer text is cut */

/* Also the exit status of every program and `status` in proto/skein.proto;
 * never renumbered. 0-5 tell how a job ended, 64 and up that something around
 * it went wrong, so that a script can tell the two apart.
 */
enum err_code {
    ERR_NONE = 0,
    ERR_LINES = 1,        /* the job ended; some lines are errors */
    ERR_USAGE = 2,        /* the command line is wrong */
    ERR_JOB_FAILED = 3,   /* the job failed, or every line did */
    ERR_CANCELLED = 4,    /* the job was cancelled */
    ERR_NOT_FOUND = 5,    /* no such job, tensor, file */
    ERR_INVALID = 65,     /* input data is wrong; retrying cannot help */
    ERR_UNREACHABLE = 69, /* no coordinator answers */
    ERR_INTERNAL = 70,    /* a bug, said instead of hidden */
    ERR_OS = 71,          /* a system call failed; text names it */
    ERR_IO = 74,          /* reading or writing a file failed; text names it */
    ERR_AGAIN = 75,       /* full, draining or busy: try again later */
    ERR_PROTOCOL = 76,    /* a message or frame breaks the protocol */
    ERR_DENIED = 77,      /* this key may not do this */
    ERR_CONFIG = 78,      /* configuration file or environment */
    ERR_NOMEM = 79,       /* host or device memory does not suffice */
    ERR_TIMEOUT = 80,     /* a peer did not answer in time */
    ERR_CONFLICT = 81,    /* the object is in a state that forbids this */
    ERR_LIMIT = 82,       /* a documented bound would be exceeded */
    ERR_CORRUPT = 83,     /* stored data do not have their recorded hash */
    ERR_CUDA = 84,        /* the device context may be unusable from here on */
    ERR_NCCL = 85,        /* a peer GPU is gone; the group is lost */
};

struct err {
    enum err_code code;
    char text[ERR_TEXT_MAX]; /* one line, no final full stop or newline */
};

/* Record `code` and a formatted cause. Returns -1, so that a failing function
 * can end in `return err_set(...)`.
 */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "context: " before the recorded cause; the code stays. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "not_found", "timeout", ...: the spelling used in logs and JSON. Static. */
const char *err_name(enum err_code code);

#ifdef __cplusplus
}
#endif

#endif /* COMMON_ERR_H */
