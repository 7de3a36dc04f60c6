/* cuda/cu.h - CUDA status codes as struct err
 *
 * CU() turns one runtime call into 0 or -1 and hides no control flow; the
 * caller still writes the branch:
 *
 *     if (CU(cudaMalloc(&p, n), err) < 0)
 *         goto fail;
 */
#ifndef CUDA_CU_H
#define CUDA_CU_H

#include <cuda_runtime_api.h>

#include "common/err.h"

#define CU(call, err) cu_check((call), #call, __FILE__, __LINE__, (err))

/* Returns 0, or -1: ERR_NOMEM (device or pinned memory), else ERR_CUDA; text
 * "file:line: call: CUDA's own message".
 */
int cu_check(cudaError_t rc, const char *call, const char *file, int line,
             struct err *err);

#endif /* CUDA_CU_H */
