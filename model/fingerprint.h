/* model/fingerprint.h - the numerics fingerprint: may two workers share a job?
 *
 * BLAKE2b-256 of: contract version, compute type, weights_hash(), tokenizer
 * hash (or zeros without one) and the canary bits: a fixed set of token
 * sequences run through the backend at several step shapes. Versions, driver
 * and device are provenance, not compared. DESIGN section 8.6.
 */
#ifndef MODEL_FINGERPRINT_H
#define MODEL_FINGERPRINT_H

#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"
#include "model/backend.h"

#define NUMERICS_CONTRACT 1 /* raise when any result bit may change */

/* weights_hash() cached under $XDG_CACHE_HOME/skein by device, inode, size and
 * mtime of the files; a cache that cannot be written is not an error. `path` is
 * for error texts.
 */
int fingerprint_weights(const char *path, const struct weights *w,
                        uint8_t out[HASH_BYTES], struct err *err);

/* Runs the canary on `b`: uses slots 0..2, which are reset before and after.
 * Fails with ERR_INTERNAL when two step shapes disagree: such a device may not
 * serve. `compute` is "fp32", "fp16" or "bf16". weights_hash and tokenizer_hash
 * may be NULL (null backend, for which no canary runs).
 */
int fingerprint_compute(struct backend *b, const char *compute,
                        const uint8_t *weights_hash,
                        const uint8_t *tokenizer_hash, uint8_t out[HASH_BYTES],
                        struct err *err);

#endif /* MODEL_FINGERPRINT_H */
