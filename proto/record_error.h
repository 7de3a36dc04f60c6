/* proto/record_error.h - why a line is an error
 *
 * Filled by everything that refuses a line: the reader of its JSON, the checks
 * of its keys, the encoder.
 */
#ifndef PROTO_RECORD_ERROR_H
#define PROTO_RECORD_ERROR_H

/* Every code there is, NULL-ended; docs/records.md says what they mean. */
extern const char *const record_error_codes[];

struct record_error {
    const char *code; /* one of these; static */
    char message[400];
    char field[64]; /* "" when the line as a whole is meant */
};

/* Fill all three; what does not fit is cut, as UTF-8. */
int record_error_set(struct record_error *e, const char *code,
                     const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* returns -1 */

#endif /* PROTO_RECORD_ERROR_H */
