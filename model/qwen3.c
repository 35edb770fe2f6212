/* SPDX-License-Identifier: Apache-2.0
 * Qwen3 dense: RMS norm of each query and key head before RoPE; no biases.
 * source   transformers, modeling_qwen3.py; config keys as there
 */
#include <math.h>

#include "model/build.h"

enum { EMBED, NORM1, WQ, WK, WV, QNORM, KNORM, WO, NORM2, GATE, UP, DOWN, NORM, HEAD, N_WEIGHT };

#define LAYER "model.layers.%u."
#define BLK "blk.%u."

/* clang-format off */
static const sv_weight weights[N_WEIGHT] = {
    /* safetensors name, gguf name, dims, flags, tied to */
    [EMBED] = { "model.embed_tokens.weight", "token_embd.weight", { SV_DIM_VOCAB, SV_DIM_MODEL }, SV_W_ONCE | SV_W_EMBED, 0 },
    [NORM1] = { LAYER "input_layernorm.weight", BLK "attn_norm.weight", { SV_DIM_MODEL }, SV_W_VECTOR | SV_W_NODECAY, 0 },
    [WQ]    = { LAYER "self_attn.q_proj.weight", BLK "attn_q.weight", { SV_DIM_Q, SV_DIM_MODEL }, SV_W_LORA, 0 },
    [WK]    = { LAYER "self_attn.k_proj.weight", BLK "attn_k.weight", { SV_DIM_KV, SV_DIM_MODEL }, SV_W_LORA, 0 },
    [WV]    = { LAYER "self_attn.v_proj.weight", BLK "attn_v.weight", { SV_DIM_KV, SV_DIM_MODEL }, SV_W_LORA, 0 },
    [QNORM] = { LAYER "self_attn.q_norm.weight", BLK "attn_q_norm.weight", { SV_DIM_HEAD }, SV_W_VECTOR | SV_W_NODECAY, 0 },
    [KNORM] = { LAYER "self_attn.k_norm.weight", BLK "attn_k_norm.weight", { SV_DIM_HEAD }, SV_W_VECTOR | SV_W_NODECAY, 0 },
    [WO]    = { LAYER "self_attn.o_proj.weight", BLK "attn_output.weight", { SV_DIM_MODEL, SV_DIM_Q }, SV_W_LORA, 0 },
    [NORM2] = { LAYER "post_attention_layernorm.weight", BLK "ffn_norm.weight", { SV_DIM_MODEL }, SV_W_VECTOR | SV_W_NODECAY, 0 },
    [GATE]  = { LAYER "mlp.gate_proj.weight", BLK "ffn_gate.weight", { SV_DIM_FF, SV_DIM_MODEL }, SV_W_LORA, 0 },
    [UP]    = { LAYER "mlp.up_proj.weight", BLK "ffn_up.weight", { SV_DIM_FF, SV_DIM_MODEL }, SV_W_LORA, 0 },
    [DOWN]  = { LAYER "mlp.down_proj.weight", BLK "ffn_down.weight", { SV_DIM_MODEL, SV_DIM_FF }, SV_W_LORA, 0 },
    [NORM]  = { "model.norm.weight", "output_norm.weight", { SV_DIM_MODEL }, SV_W_ONCE | SV_W_VECTOR | SV_W_NODECAY, 0 },
    [HEAD]  = { "lm_head.weight", "output.weight", { SV_DIM_VOCAB, SV_DIM_MODEL }, SV_W_ONCE | SV_W_TIED | SV_W_LORA, EMBED },
};
/* clang-format on */

/* x [T,D] -> [T,D] */
static sv_val block(sv_build *b, uint32_t l, sv_val x)
{
    const float scale = 1.0f / sqrtf((float)b->c->d_head);
    sv_layer(b, l);
    sv_val h = sv_norm(b, x, NORM1, l);
    sv_val q = sv_linear(b, h, WQ, l), k = sv_linear(b, h, WK, l), v = sv_linear(b, h, WV, l);
    q = sv_rope(b, sv_norm(b, q, QNORM, l), scale); /* per head: the gain is [K] */
    k = sv_rope(b, sv_norm(b, k, KNORM, l), 1.0f);
    sv_val a = sv_attend(b, l, q, k, v);
    x = sv_add(b, x, sv_linear(b, a, WO, l));

    h = sv_norm(b, x, NORM2, l);
    sv_val m = sv_swiglu(b, sv_linear(b, h, GATE, l), sv_linear(b, h, UP, l));
    return sv_add(b, x, sv_linear(b, m, DOWN, l));
}

static sv_val forward(sv_build *b)
{
    sv_val x = sv_embed(b, EMBED);
    for (uint32_t l = 0; l < b->c->n_layer; l++)
        x = block(b, l, x);
    sv_layer(b, UINT32_MAX);
    return sv_linear(b, sv_norm(b, sv_wanted(b, x), NORM, 0), HEAD, 0);
}

const sv_family sv_family_qwen3 = {
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .gguf_arch = "qwen3",
    .permutes_gguf = false,
    .weight = weights,
    .n_weight = N_WEIGHT,
    .forward = forward,
};
