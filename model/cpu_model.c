#include "model/cpu_model.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes that can be had without swapping, as the kernel estimates it; no limit
 * where it does not say.
 */
static size_t memory_available(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    size_t kib, found = SIZE_MAX;

    if (f == NULL)
        return SIZE_MAX;
    while (found == SIZE_MAX && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "MemAvailable: %zu kB", &kib) == 1)
            found = kib * 1024;
    }
    fclose(f);
    return found;
}

float *cpu_alloc(size_t floats, const char *what, struct err *err)
{
    size_t bytes = floats * sizeof(float), available = memory_available();
    void *p = MAP_FAILED;

    if (bytes <= available)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        err_set(err, ERR_NOMEM, "%s: %zu bytes needed, %zu available", what,
                bytes, available);
        return NULL;
    }
    madvise(p, bytes, MADV_HUGEPAGE); /* a matter of speed alone */
    return p;
}

void cpu_free(float *p, size_t floats)
{
    if (p != NULL)
        munmap(p, floats * sizeof(float));
}

/* Hands out the model's memory. Without memory it only counts, so that one walk
 * over the weights gives the size and a second one fills it.
 */
struct loader {
    float *memory;
    size_t used;
    float *rows; /* [CPU_LANES][largest k]: one panel's rows */
};

static float *take(struct loader *l, size_t floats)
{
    size_t at = l->used;

    l->used += cpu_pad(floats);
    return l->memory == NULL ? NULL : l->memory + at;
}

static const float *load_vector(struct loader *l, const struct weight *w)
{
    float *to;

    if (!weight_present(w))
        return NULL;
    to = take(l, (size_t)(w->rows * w->cols));
    if (to != NULL)
        weight_read(w, to);
    return to;
}

static struct cpu_matrix load_matrix(struct loader *l, const struct weight *w)
{
    size_t n = (size_t)w->rows, k = (size_t)w->cols;
    float *panel = take(l, cpu_matrix_floats(n, k));

    for (size_t i = 0; panel != NULL && i < n; i += CPU_LANES) {
        size_t rows = n - i < CPU_LANES ? n - i : CPU_LANES;

        weight_read_rows(w, (int64_t)i, (int64_t)rows, l->rows);
        cpu_pack_panel(n, k, i, l->rows, panel);
    }
    return (struct cpu_matrix){.panel = panel, .n = n, .k = k};
}

static void load_embedding(struct loader *l, struct cpu_model *m,
                           const struct weights *w, const struct cpu_kernels *k)
{
    float *emb = take(l, m->V * m->C);
    const float *ln0_w = load_vector(l, &w->ln0_w);
    const float *ln0_b = load_vector(l, &w->ln0_b);
    struct cpu_rows rows = {emb, m->C};

    m->emb = emb;
    if (emb == NULL)
        return;
    weight_read(&w->emb, emb);
    if (ln0_w != NULL)
        k->layer_norm(m->V, m->C, rows, ln0_w, ln0_b, rows);
}

static void load_layer(struct loader *l, struct cpu_layer *to,
                       const struct weights_layer *w, bool first)
{
    *to = (struct cpu_layer){
        .ln1_w = load_vector(l, &w->ln1_w),
        .ln1_b = load_vector(l, &w->ln1_b),
        .ln2_w = load_vector(l, &w->ln2_w),
        .ln2_b = load_vector(l, &w->ln2_b),
        .x_r = load_vector(l, &w->x_r),
        .x_w = load_vector(l, &w->x_w),
        .x_k = load_vector(l, &w->x_k),
        .x_v = load_vector(l, &w->x_v),
        .x_a = load_vector(l, &w->x_a),
        .x_g = load_vector(l, &w->x_g),
        .w0 = load_vector(l, &w->w0),
        .a0 = load_vector(l, &w->a0),
        .k_k = load_vector(l, &w->k_k),
        .k_a = load_vector(l, &w->k_a),
        .r_k = load_vector(l, &w->r_k),
        .ln_x_w = load_vector(l, &w->ln_x_w),
        .ln_x_b = load_vector(l, &w->ln_x_b),
        .output_bias = load_vector(l, &w->output_bias),
        .ffn_x_k = load_vector(l, &w->ffn_x_k),
        .w1 = load_matrix(l, &w->w1),
        .w2 = load_matrix(l, &w->w2),
        .a1 = load_matrix(l, &w->a1),
        .a2 = load_matrix(l, &w->a2),
        .g1 = load_matrix(l, &w->g1),
        .g2 = load_matrix(l, &w->g2),
        .receptance = load_matrix(l, &w->receptance),
        .key = load_matrix(l, &w->key),
        .value = load_matrix(l, &w->value),
        .output = load_matrix(l, &w->output),
        .ffn_key = load_matrix(l, &w->ffn_key),
        .ffn_value = load_matrix(l, &w->ffn_value),
    };
    if (first) /* layer 0 has no value residual, whatever the file holds */
        return;
    to->v0 = load_vector(l, &w->v0);
    to->v1 = load_matrix(l, &w->v1);
    to->v2 = load_matrix(l, &w->v2);
}

static void load_all(struct loader *l, struct cpu_model *m,
                     const struct weights *w, const struct cpu_kernels *k)
{
    float *bias;

    l->used = 0;
    load_embedding(l, m, w, k);
    for (size_t i = 0; i < m->L; i++)
        load_layer(l, &m->layer[i], &w->layer[i], i == 0);
    m->ln_out_w = load_vector(l, &w->ln_out_w);
    m->ln_out_b = load_vector(l, &w->ln_out_b);
    m->head = load_matrix(l, &w->head);
    if (weight_present(&w->head_bias)) {
        bias = take(l, m->V); /* the memory is zeroed beyond V */
        m->head_bias = bias;
        if (bias != NULL)
            weight_read(&w->head_bias, bias);
    }
}

static int check_shape(const struct weights *w, struct err *err)
{
    if (w->N < CPU_LANES || w->N % CPU_LANES != 0 || w->C != w->H * w->N)
        return err_set(err, ERR_INVALID,
                       "head size %" PRId32 " (C %" PRId32 ", H %" PRId32
                       "); multiples of %d with C = H * N expected",
                       w->N, w->C, w->H, CPU_LANES);
    return 0;
}

static size_t rank_max(const struct weights *w)
{
    const int32_t rank[] = {w->rank_w, w->rank_a, w->rank_v, w->rank_g};
    int32_t max = 1;

    for (size_t i = 0; i < sizeof rank / sizeof *rank; i++)
        max = rank[i] > max ? rank[i] : max;
    return (size_t)max;
}

int cpu_model_init(struct cpu_model *m, const struct weights *w,
                   const struct cpu_kernels *k, struct err *err)
{
    struct loader l = {0};
    size_t k_max;

    *m = (struct cpu_model){0};
    if (check_shape(w, err) < 0)
        return -1;
    m->L = (size_t)w->L;
    m->C = (size_t)w->C;
    m->H = (size_t)w->H;
    m->N = (size_t)w->N;
    m->F = (size_t)w->F;
    m->V = (size_t)w->V;
    m->rank_max = rank_max(w);
    k_max = m->F > m->C ? m->F : m->C;
    k_max = m->rank_max > k_max ? m->rank_max : k_max;
    m->layer = calloc(m->L, sizeof *m->layer);
    l.rows = calloc(CPU_LANES * k_max, sizeof *l.rows);
    if (m->layer == NULL || l.rows == NULL) {
        err_set(err, ERR_NOMEM, "no memory for the table of layers");
        goto fail;
    }
    load_all(&l, m, w, k);
    m->floats = l.used;
    m->memory = cpu_alloc(m->floats, "weights in fp32", err);
    if (m->memory == NULL)
        goto fail;
    l.memory = m->memory;
    load_all(&l, m, w, k);
    free(l.rows);
    return 0;
fail:
    free(l.rows);
    cpu_model_finish(m);
    return -1;
}

void cpu_model_finish(struct cpu_model *m)
{
    cpu_free(m->memory, m->floats);
    free(m->layer);
    *m = (struct cpu_model){0};
}
