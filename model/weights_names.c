#include "model/weights_names.h"

#include <stdio.h>
#include <string.h>

#define TOP(field) offsetof(struct weights, field)
#define LAYER(field) offsetof(struct weights_layer, field)

/* clang-format off */
const struct weights_row weights_top[] = {
    {"emb.weight", "model.embeddings.weight", TOP(emb),
     DIM_V, DIM_C, NEED_ALWAYS, false, false, 0},
    {"blocks.0.ln0.weight", "model.layers.0.pre_norm.weight", TOP(ln0_w),
     DIM_ONE, DIM_C, NEED_NEVER, false, false, 0},
    {"blocks.0.ln0.bias", "model.layers.0.pre_norm.bias", TOP(ln0_b),
     DIM_ONE, DIM_C, NEED_NEVER, false, false, 0},
    {"ln_out.weight", "model.norm.weight", TOP(ln_out_w),
     DIM_ONE, DIM_C, NEED_ALWAYS, false, false, 0},
    {"ln_out.bias", "model.norm.bias", TOP(ln_out_b),
     DIM_ONE, DIM_C, NEED_ALWAYS, false, false, 0},
    {"head.weight", "lm_head.weight", TOP(head),
     DIM_V, DIM_C, NEED_ALWAYS, false, false, 0},
    {"head.bias", "lm_head.bias", TOP(head_bias),
     DIM_ONE, DIM_V, NEED_NEVER, false, false, 0},
};
const size_t weights_top_n = sizeof weights_top / sizeof *weights_top;

#define VECTOR(blink, fla, field) \
    {blink, fla, LAYER(field), DIM_ONE, DIM_C, NEED_ALWAYS, false, false, 0}
#define MIX(c, field, i) \
    {"att.x_" c, "attn.x_" c, LAYER(field), DIM_ONE, DIM_C, NEED_ALWAYS, \
     false, true, i}
#define LORA_0(c, field, need) \
    {"att." c "0", "attn." c "_lora.lora.2.bias", LAYER(field), \
     DIM_ONE, DIM_C, need, false, false, 0}
#define LORA_1(c, field, rank, need) \
    {"att." c "1", "attn." c "_lora.lora.0.weight", LAYER(field), \
     rank, DIM_C, need, true, false, 0}
#define LORA_2(c, field, rank, need) \
    {"att." c "2", "attn." c "_lora.lora.2.weight", LAYER(field), \
     DIM_C, rank, need, true, false, 0}
#define MATRIX(blink, fla, field, rows, cols) \
    {blink, fla, LAYER(field), rows, cols, NEED_ALWAYS, false, false, 0}

const struct weights_row weights_per_layer[] = {
    VECTOR("ln1.weight", "attn_norm.weight", ln1_w),
    VECTOR("ln1.bias", "attn_norm.bias", ln1_b),
    VECTOR("ln2.weight", "ffn_norm.weight", ln2_w),
    VECTOR("ln2.bias", "ffn_norm.bias", ln2_b),
    MIX("r", x_r, 0),
    MIX("w", x_w, 1),
    MIX("k", x_k, 2),
    MIX("v", x_v, 3),
    MIX("a", x_a, 4),
    MIX("g", x_g, 5),
    LORA_0("w", w0, NEED_ALWAYS),
    LORA_0("a", a0, NEED_ALWAYS),
    LORA_0("v", v0, NEED_LATER),
    LORA_1("w", w1, DIM_RANK_W, NEED_ALWAYS),
    LORA_1("a", a1, DIM_RANK_A, NEED_ALWAYS),
    LORA_1("v", v1, DIM_RANK_V, NEED_LATER),
    LORA_1("g", g1, DIM_RANK_G, NEED_ALWAYS),
    LORA_2("w", w2, DIM_RANK_W, NEED_ALWAYS),
    LORA_2("a", a2, DIM_RANK_A, NEED_ALWAYS),
    LORA_2("v", v2, DIM_RANK_V, NEED_LATER),
    LORA_2("g", g2, DIM_RANK_G, NEED_ALWAYS),
    VECTOR("att.k_k", "attn.k_k", k_k),
    VECTOR("att.k_a", "attn.k_a", k_a),
    MATRIX("att.r_k", "attn.r_k", r_k, DIM_H, DIM_N),
    MATRIX("att.receptance.weight", "attn.r_proj.weight", receptance,
           DIM_C, DIM_C),
    MATRIX("att.key.weight", "attn.k_proj.weight", key, DIM_C, DIM_C),
    MATRIX("att.value.weight", "attn.v_proj.weight", value, DIM_C, DIM_C),
    MATRIX("att.output.weight", "attn.o_proj.weight", output, DIM_C, DIM_C),
    {"att.output.bias", "attn.o_proj.bias", LAYER(output_bias),
     DIM_ONE, DIM_C, NEED_NEVER, false, false, 0},
    VECTOR("att.ln_x.weight", "attn.g_norm.weight", ln_x_w),
    VECTOR("att.ln_x.bias", "attn.g_norm.bias", ln_x_b),
    VECTOR("ffn.x_k", "ffn.x_k", ffn_x_k),
    MATRIX("ffn.key.weight", "ffn.key.weight", ffn_key, DIM_F, DIM_C),
    MATRIX("ffn.value.weight", "ffn.value.weight", ffn_value, DIM_C, DIM_F),
};
/* clang-format on */
const size_t weights_per_layer_n =
    sizeof weights_per_layer / sizeof *weights_per_layer;

const char *weights_dim_name(enum weights_dim d)
{
    static const char *const name[DIM_COUNT] = {
        "1", "V", "C", "H", "N", "F", "R_w", "R_a", "R_v", "R_g"};

    return name[d];
}

void weights_name_blink(const struct weights_row *row, int32_t layer,
                        char out[WEIGHTS_NAME_MAX])
{
    if (layer < 0)
        snprintf(out, WEIGHTS_NAME_MAX, "%s", row->blink);
    else
        snprintf(out, WEIGHTS_NAME_MAX, "blocks.%d.%s", layer, row->blink);
}

void weights_name_fla(const struct weights_row *row, int32_t layer,
                      char out[WEIGHTS_NAME_MAX])
{
    if (layer < 0)
        snprintf(out, WEIGHTS_NAME_MAX, "%s", row->fla);
    else
        snprintf(out, WEIGHTS_NAME_MAX, "model.layers.%d.%s", layer, row->fla);
}

bool weights_next(const struct weights *w, struct weights_iter *it)
{
    size_t n = weights_top_n + (size_t)w->L * weights_per_layer_n;

    while (it->next < n) {
        size_t i = it->next++;
        const char *base = (const char *)w;

        if (i < weights_top_n) {
            it->layer = -1;
            it->row = &weights_top[i];
        } else {
            i -= weights_top_n;
            it->layer = (int32_t)(i / weights_per_layer_n);
            it->row = &weights_per_layer[i % weights_per_layer_n];
            base = (const char *)&w->layer[it->layer];
        }
        it->weight =
            (const struct weight *)(const void *)(base + it->row->offset);
        if (weight_present(it->weight))
            return true;
    }
    return false;
}

/* Parts of tensor names that only other architectures have, surest first. */
static const struct {
    const char *part;
    const char *what;
} foreign[] = {
    {".qkv.", "RWKV-7b (qkv.*), a variant with attention"},
    {".ffn.s_emb", "RWKV-7a (ffn.s_emb*, \"DeepEmbed\")"},
    {"rosa", "an RWKV-8 experiment (rosa*)"},
    {".att.time_maa_", "RWKV-6 (att.time_maa_*)"},
    {".att.time_faaaa", "RWKV-5 (att.time_faaaa)"},
    {".att.time_", "RWKV-4 or RWKV-5 (att.time_*)"},
    {".attn.q_proj.", "a hybrid with attention layers (attn.q_proj)"},
    {".self_attn.", "a transformer (self_attn.*)"},
};

const char *weights_foreign(const struct tensor_file *f)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        for (size_t k = 0; k < f->n; k++) {
            if (strstr(f->tensor[k].name, foreign[i].part) != NULL)
                return foreign[i].what;
        }
    }
    return NULL;
}
