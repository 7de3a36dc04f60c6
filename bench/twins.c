#include "bench/twins.h"

#include <math.h>
#include <string.h>

#include "model/tensor.h"

static float row_factor(const float *x, size_t n)
{
    float peak = 0;
    int e;

    for (size_t i = 0; i < n; i++)
        peak = fabsf(x[i]) > peak ? fabsf(x[i]) : peak;
    if (!(peak >= 32768.0f) || isinf(peak))
        return 1;
    frexpf(peak, &e); /* 2^(e-1) <= peak < 2^e */
    return ldexpf(1, e - 15);
}

float twin_narrow(enum narrow_type type, const float *x, size_t n, void *out)
{
    float up = type == NARROW_FP16 ? row_factor(x, n) : 1;
    uint16_t *half = out;

    if (type == NARROW_FP32) {
        memcpy(out, x, n * sizeof *x);
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        half[i] =
            type == NARROW_FP16 ? f32_to_f16(x[i] / up) : f32_to_bf16(x[i]);
    return up;
}

void twin_group(const struct cpu_kernels *cpu, enum group_op op,
                const float *bias, float *z, size_t n)
{
    const struct cpu_rows row = {z, n};

    if (op == GROUP_DECAY)
        cpu->decay(1, n, row, bias);
    else if (op == GROUP_RATE)
        cpu->sigmoid(1, n, row, bias);
    else if (op == GROUP_TANH)
        cpu->tanh(1, n, row);
    else if (op == GROUP_SIGMOID)
        cpu->sigmoid(1, n, row, NULL);
    else if (op == GROUP_RELU2)
        cpu->relu_square(1, n, row);
}
