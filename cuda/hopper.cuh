/* cuda/hopper.cuh - Hopper's own instructions: barriers in shared memory, bulk
 * tensor copies, matrix products of four warps
 *
 * Source: PTX ISA 8.7, sections "mbarrier", "cp.async.bulk.tensor" and
 * "wgmma.mma_async". Addresses are of the shared window, 32 bits.
 */
#ifndef CUDA_HOPPER_CUH
#define CUDA_HOPPER_CUH

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

__device__ __forceinline__ uint32_t hopper_shared(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* ---- clusters -------------------------------------------------------------- */

__device__ __forceinline__ uint32_t cluster_rank(void)
{
    uint32_t rank;

    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ __forceinline__ void cluster_sync(void)
{
    asm volatile("barrier.cluster.arrive.release;\n"
                 "barrier.cluster.wait.acquire;" ::
                     : "memory");
}

/* ---- barriers -------------------------------------------------------------- */

__device__ __forceinline__ void barrier_init(uint32_t barrier, uint32_t count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier),
                 "r"(count)
                 : "memory");
}

__device__ __forceinline__ void barrier_init_done(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/* One arrival that also announces `bytes` of copies. */
__device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
        "r"(bytes)
        : "memory");
}

/* An arrival at the same barrier of the cluster's block `rank`. */
__device__ __forceinline__ void barrier_arrive(uint32_t barrier, uint32_t rank)
{
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, "
                 "[remote];\n"
                 "}" ::"r"(barrier),
                 "r"(rank)
                 : "memory");
}

/* Until the phase of this parity has ended. */
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 "
                 "done, [%0], %1;\n"
                 "@done bra end;\n"
                 "bra again;\n"
                 "end:\n"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* ---- copies ---------------------------------------------------------------- */

/* The map's box at column `x`, row `y` to shared memory; `barrier` counts. */
__device__ __forceinline__ void tensor_load(uint32_t to, const CUtensorMap *map,
                                            int x, int y, uint32_t barrier)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile"
        ".mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
        "l"(map), "r"(x), "r"(y), "r"(barrier)
        : "memory");
}

/* The same, to every block of the cluster in `mask`, at the same addresses. */
__device__ __forceinline__ void tensor_load_all(uint32_t to,
                                                const CUtensorMap *map, int x,
                                                int y, uint32_t barrier,
                                                uint16_t mask)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile"
                 ".mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, "
                 "{%2, %3}], [%4], %5;" ::"r"(to),
                 "l"(map), "r"(x), "r"(y), "r"(barrier), "h"(mask)
                 : "memory");
}

/* Shared memory to the map's box; part of the thread's open group of copies. */
__device__ __forceinline__ void tensor_store(const CUtensorMap *map,
                                             uint32_t from, int x, int y)
{
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group"
                 " [%0, {%1, %2}], [%3];" ::"l"(map),
                 "r"(x), "r"(y), "r"(from)
                 : "memory");
}

__device__ __forceinline__ void copies_end_group(void)
{
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/* Until all but the last N groups of the thread have read their sources. */
template <int N> __device__ __forceinline__ void copies_read(void)
{
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

/* What the thread wrote to shared memory, for copies that begin later. */
__device__ __forceinline__ void copies_see_shared(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- registers between warpgroups ------------------------------------------ */

template <int N> __device__ __forceinline__ void registers_give(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

template <int N> __device__ __forceinline__ void registers_take(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* ---- products -------------------------------------------------------------- */

/* Rows of 64 16-bit values (128 bytes), swizzled by 128 bytes as bulk tensor
 * copies leave them: groups of 8 rows are 1024 bytes apart.
 */
__device__ __forceinline__ uint64_t mma_descriptor(uint32_t shared)
{
    return (uint64_t)((shared & 0x3ffff) >> 4) | (uint64_t)1 << 16
           | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

__device__ __forceinline__ void mma_begin(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void mma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N> __device__ __forceinline__ void mma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#define MMA_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define MMA_16(d, i) \
    MMA_4(d, i), MMA_4(d, i + 4), MMA_4(d, i + 8), MMA_4(d, i + 12)
#define MMA_64(d, i) \
    MMA_16(d, i), MMA_16(d, i + 16), MMA_16(d, i + 32), MMA_16(d, i + 48)

#define MMA_REGS_32                                                          \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, " \
    "%30, %31"
#define MMA_REGS_64                                                            \
    MMA_REGS_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, "    \
                "%43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, " \
                "%55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MMA_REGS_128                                                           \
    MMA_REGS_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, "    \
                "%75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, " \
                "%87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, " \
                "%99, %100, %101, %102, %103, %104, %105, %106, %107, %108, "  \
                "%109, %110, %111, %112, %113, %114, %115, %116, %117, %118, " \
                "%119, %120, %121, %122, %123, %124, %125, %126, %127"

/* d[64][WIDTH] (+)= a[64][16] b[WIDTH][16]^T, asynchronously. Thread t of the
 * warpgroup holds, of row 16 * (t / 32) + t % 32 / 4 and of the row 8 below,
 * the columns 8 * i + t % 4 * 2 + {0, 1}, as d[4 * i + {0, 1}] and + {2, 3}.
 */
template <typename T, int WIDTH>
__device__ __forceinline__ void mma_issue(float (&d)[WIDTH / 2], uint64_t a,
                                          uint64_t b, int accumulate);

#define MMA_ISSUE(type, name, width, regs, outputs, a_at, b_at, p_at)          \
    template <>                                                                \
    __device__ __forceinline__ void mma_issue<type, width>(                    \
        float(&d)[width / 2], uint64_t a, uint64_t b, int accumulate)          \
    {                                                                          \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p_at ", 0;\n"        \
                     "wgmma.mma_async.sync.aligned.m64n" #width                \
                     "k16.f32." name "." name " {" regs "}, %" a_at ", %" b_at \
                     ", p, 1, 1, 0, 0;\n}"                                     \
                     : outputs                                                 \
                     : "l"(a), "l"(b), "r"(accumulate));                       \
    }
#define MMA_ISSUES(type, name)                                              \
    MMA_ISSUE(type, name, 64, MMA_REGS_32,                                  \
              MMA_16(d, 0) MMA_COMMA MMA_16(d, 16), "32", "33", "34")       \
    MMA_ISSUE(type, name, 128, MMA_REGS_64, MMA_64(d, 0), "64", "65", "66") \
    MMA_ISSUE(type, name, 256, MMA_REGS_128,                                \
              MMA_64(d, 0) MMA_COMMA MMA_64(d, 64), "128", "129", "130")
#define MMA_COMMA ,

MMA_ISSUES(__half, "f16")
MMA_ISSUES(__nv_bfloat16, "bf16")

#endif /* CUDA_HOPPER_CUH */
