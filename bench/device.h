/* bench/device.h - kernels of the benchmark itself */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/weights_random.h"

#ifdef __cplusplus
extern "C" {
#endif

enum fill_type {
    FILL_F32,
    FILL_F16,
    FILL_BF16,
};

struct fill {
    struct weights_random_fill values;
    bool relu; /* negative ones become 0 */
};

/* Elements first..first+n-1 to `to`. Writing `to` is all it costs. */
cudaError_t kernel_fill(const struct fill *f, enum fill_type type,
                        uint64_t first, int64_t n, void *to, cudaStream_t s);

/* bytes of `from` to `to`, both 16-byte aligned, bytes a multiple of 16. */
cudaError_t kernel_copy(size_t bytes, const void *from, void *to,
                        cudaStream_t s);

/* Fused multiply-adds alone, FMA_FLOPS of them counted as 2 flops each, on
 * every multiprocessor: what recurrence and norms cannot beat. `out` [1].
 */
#define FMA_FLOPS (2.0 * 1056 * 256 * 8 * 4096)
cudaError_t kernel_fma(float *out, cudaStream_t s);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_DEVICE_H */
