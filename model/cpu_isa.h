/* model/cpu_isa.h - one instruction set's table of kernels
 *
 * The whole body of cpu_isa_*.c, each of which defines its CPU_ISA_* macro,
 * CPU_ISA_TABLE and CPU_ISA_NAME and is compiled for its instruction set.
 */
#include "model/cpu_rowwise.h"
#include "model/cpu_sgemm.h"
#include "model/cpu_wkv.h"

const struct cpu_kernels CPU_ISA_TABLE = {
    .name = CPU_ISA_NAME,
    .sgemm = sgemm,
    .layer_norm = layer_norm,
    .shift = shift,
    .mix = mix,
    .add = add,
    .tanh = tanh_rows,
    .sigmoid = sigmoid,
    .decay = decay,
    .relu_square = relu_square,
    .value_residual = value_residual,
    .keys = keys,
    .wkv = wkv,
    .mixout = mixout,
    .softmax = softmax,
    .exp = exp_row,
    .log = log_one,
};
