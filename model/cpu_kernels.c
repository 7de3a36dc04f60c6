#include "model/cpu_kernels.h"

#include <stdint.h>
#include <string.h>

/* SKEIN_CPU_X86: model/CMakeLists.txt compiled the two x86 tables as well. */
extern const struct cpu_kernels cpu_kernels_portable;
#ifdef SKEIN_CPU_X86
extern const struct cpu_kernels cpu_kernels_avx2;
extern const struct cpu_kernels cpu_kernels_avx512;
#endif

const char *const cpu_isa_words[] = {"auto", "avx512", "avx2", "portable",
                                     NULL};

static const struct cpu_kernels *find(enum cpu_isa isa)
{
#ifdef SKEIN_CPU_X86
    if (isa == CPU_ISA_512 && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512dq"))
        return &cpu_kernels_avx512;
    if (isa == CPU_ISA_256 && __builtin_cpu_supports("avx2")
        && __builtin_cpu_supports("fma"))
        return &cpu_kernels_avx2;
#endif
    return isa == CPU_ISA_SCALAR ? &cpu_kernels_portable : NULL;
}

const struct cpu_kernels *cpu_kernels(enum cpu_isa isa, struct err *err)
{
    const struct cpu_kernels *k = find(isa);

    if (isa == CPU_ISA_BEST) {
        for (enum cpu_isa i = CPU_ISA_512; k == NULL; i++)
            k = find(i);
    }
    if (k == NULL)
        err_set(err, ERR_INVALID, "this host or build has no %s",
                cpu_isa_words[isa]);
    return k;
}

size_t cpu_matrix_floats(size_t n, size_t k)
{
    return cpu_pad(n) * k;
}

void cpu_pack_panel(size_t n, size_t k, size_t first, const float *row,
                    float *panel)
{
    size_t rows = n - first < CPU_LANES ? n - first : CPU_LANES;

    panel += first * k;
    for (size_t j = 0; j < k; j++) {
        for (size_t i = 0; i < CPU_LANES; i++)
            panel[j * CPU_LANES + i] = i < rows ? row[i * k + j] : 0.0f;
    }
}
