/* model/weights_share.h - one rank opens a checkpoint, the others learn of it
 *
 * Rank 0 has the values. The others get the dimensions and which tensors there
 * are, so that they can plan and allocate; the values follow in whatever form
 * the backend gave them on rank 0 (cuda/model.h). Their disks are not touched.
 */
#ifndef MODEL_WEIGHTS_SHARE_H
#define MODEL_WEIGHTS_SHARE_H

#include <stdint.h>

#include "common/comm.h"
#include "common/err.h"
#include "common/hash.h"
#include "model/weights.h"

/* On rank 0 of `c`: tell the others. `hash` is the model's, for fingerprints.
 * 0, or -1 as comm_broadcast().
 */
int weights_tell(const struct weights *w, const uint8_t hash[HASH_BYTES],
                 struct comm *c, int64_t timeout_ms, struct err *err);

/* On the others: weights for weights_close(), whose values must not be read, or
 * NULL: as comm_broadcast(), ERR_INTERNAL (not what weights_tell() says).
 */
struct weights *weights_hear(uint8_t hash[HASH_BYTES], struct comm *c,
                             int64_t timeout_ms, struct err *err);

#endif /* MODEL_WEIGHTS_SHARE_H */
