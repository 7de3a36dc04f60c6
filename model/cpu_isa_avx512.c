#define CPU_ISA_AVX512
#define CPU_ISA_NAME "avx512"
#define CPU_ISA_TABLE cpu_kernels_avx512
#include "model/cpu_isa.h"
