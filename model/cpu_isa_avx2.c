#define CPU_ISA_AVX2
#define CPU_ISA_NAME "avx2"
#define CPU_ISA_TABLE cpu_kernels_avx2
#include "model/cpu_isa.h"
