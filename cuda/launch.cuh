/* cuda/launch.cuh - kernels that begin while the one before them ends
 *
 * launch_next() launches a kernel whose blocks may start before the kernel in
 * front of it on the stream is done. Such a kernel calls launch_wait() before it
 * touches memory that others use; and launch_release(), so that its successor
 * may start as soon as its own last blocks have. Between kernels of a few
 * microseconds that is a fifth of the time.
 */
#ifndef CUDA_LAUNCH_CUH
#define CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* Until all that was enqueued before is done and seen. */
__device__ __forceinline__ void launch_wait(void)
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

__device__ __forceinline__ void launch_release(void)
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

template <typename... P, typename... A>
static cudaError_t launch_next(void (*kernel)(P...), dim3 grid, int threads,
                               size_t shared, cudaStream_t s, A &&...arguments)
{
    cudaLaunchAttribute early = {};
    cudaLaunchConfig_t config = {};

    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = grid;
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = shared;
    config.stream = s;
    config.attrs = &early;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, P(arguments)...);
}

#endif /* CUDA_LAUNCH_CUH */
