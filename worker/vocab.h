/* worker/vocab.h - the tokenizer a worker serves its model with */
#ifndef WORKER_VOCAB_H
#define WORKER_VOCAB_H

#include "common/err.h"
#include "text/tokenizer.h"

/* Open `path`; "" means none is known. The null engine then encodes bytes: byte
 * b is token b + 1. Returns 0 and *out, which may be NULL (token ids only).
 */
int vocab_open(const char *engine, const char *path, struct tokenizer **out,
               struct err *err);

#endif /* WORKER_VOCAB_H */
