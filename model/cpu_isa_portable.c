#define CPU_ISA_PORTABLE
#define CPU_ISA_NAME "portable"
#define CPU_ISA_TABLE cpu_kernels_portable
#include "model/cpu_isa.h"
