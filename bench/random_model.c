#include "bench/random_model.h"

#include "bench/device.h"
#include "cuda/cu.h"

#define STAGE_BYTES ((int64_t)256 << 20)

static int fill_device(void *stage, const struct weights_random_fill *f,
                       int64_t n, bool bf16, void *to, struct err *err)
{
    const int64_t size = bf16 ? 2 : 4, most = STAGE_BYTES / size;
    const struct fill fill = {.values = *f};
    char *at = to;

    for (int64_t i = 0; i < n; i += most) {
        int64_t now = n - i < most ? n - i : most;

        if (CU(kernel_fill(&fill, bf16 ? FILL_BF16 : FILL_F32, (uint64_t)i, now,
                           stage, NULL),
               err)
                < 0
            || CU(cudaMemcpy(at + i * size, stage, (size_t)(now * size),
                             cudaMemcpyDeviceToHost),
                  err)
                   < 0)
            return -1;
    }
    return 0;
}

struct weights *random_model(const struct weights_shape *shape, uint64_t seed,
                             int device, struct err *err)
{
    struct weights_random_writer by = {
        .matrix_bf16 = true,
        .fill = weights_random_fill_host,
    };
    struct weights *w;

    if (device >= 0 && cudaSetDevice(device) == cudaSuccess
        && cudaMalloc(&by.context, STAGE_BYTES) == cudaSuccess)
        by.fill = fill_device;
    else
        (void)cudaGetLastError(); /* no GPU is no error here */
    w = weights_random_by(&by, shape, seed, err);
    if (by.context != NULL)
        (void)cudaFree(by.context);
    return w;
}
