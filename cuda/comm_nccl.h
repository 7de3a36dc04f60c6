/* cuda/comm_nccl.h - common/comm.h over NCCL: one GPU per rank
 *
 * Bytes only, never a reduction. libnccl is looked for when a communicator is
 * joined, not linked: a host without it, or with another 2.x than this program
 * was built with, runs the same program (with comm_local). Built without nccl.h
 * it is as if no library were found.
 *
 * Nothing waits without a deadline: the communicator does not block, and a
 * collective that is late, or fails, aborts it.
 */
#ifndef CUDA_COMM_NCCL_H
#define CUDA_COMM_NCCL_H

#include <stdint.h>

#include "common/comm.h"

/* What NCCL reads from the environment, unless it is set already: NVLink
 * multicast off, loopback only, no diagnosis port. Call before there are
 * threads; children inherit it.
 */
void comm_nccl_environment(void);

/* Join the ranks of `bootstrap`, each with a GPU of its own, numbered as there;
 * `bootstrap` carries NCCL's address and stays the caller's. All of them or none
 * join: NULL, ERR_NOT_FOUND: rank 0 has no libnccl (text says where it looked;
 * $SKEIN_NCCL names a file); ERR_TIMEOUT, ERR_NCCL, ERR_CUDA, ERR_NOMEM.
 */
struct comm *comm_nccl_join(struct comm *bootstrap, int device,
                            int64_t timeout_ms, struct err *err);

#endif /* CUDA_COMM_NCCL_H */
