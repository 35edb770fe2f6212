/* SPDX-License-Identifier: Apache-2.0
 * The words in which a model is written: typed faces of the ops, bound to a step.
 * Threads: used by one thread at a time.
 */
#ifndef SV_MODEL_BUILD_H
#define SV_MODEL_BUILD_H

#include "model/lora.h"
#include "run/step.h"

struct sv_build {
    sv_tape *t;
    const sv_config *c;
    sv_step_shape step;
    const sv_tensor *weight;      /* [sv_weight_ids] stored dtype, dims and image of each weight (place unset) */
    uint32_t kv_pages;            /* pages of the KV arena; 0: a training step with pages of its own */
    bool train;                   /* weights are parameters; with an adapter only its A and B are */
    const sv_lora *lora;          /* adapter beside the weights, or NULL */
    const sv_tensor *lora_weight; /* [2 sv_weight_ids] as weight: A by weight id, then B */
    uint32_t lane;                /* its place, and that of its KV pages, in a store that several share; 0: the first */
    sv_val tok, pos, seq, table, want, rope;
    sv_val quant_of, quant; /* the last activation that was quantised, and its codes: shared by q, k, v */
};

/* Declares the step's inputs on b->t. Call first. */
void sv_build_begin(sv_build *b);

sv_val sv_w(sv_build *b, uint32_t weight, uint32_t layer);
void sv_layer(sv_build *b, uint32_t layer);                               /* stamps following calls */
sv_val sv_embed(sv_build *b, uint32_t weight);                            /* -> x [T,D] */
sv_val sv_linear(sv_build *b, sv_val x, uint32_t weight, uint32_t layer); /* x [T,I], w [O,I] -> [T,O] */
sv_val sv_bias(sv_build *b, sv_val x, uint32_t weight, uint32_t layer);   /* x [T,D] + b [D] */
sv_val sv_norm(sv_build *b, sv_val x, uint32_t weight, uint32_t layer);   /* rmsnorm by groups of the gain's length */
sv_val sv_rope(sv_build *b, sv_val x, float scale);                       /* x [T,H*K]; scale 1: none */
sv_val sv_attend(sv_build *b, uint32_t layer, sv_val q, sv_val k, sv_val v); /* -> [T,H*K] */
sv_val sv_swiglu(sv_build *b, sv_val gate, sv_val up);
sv_val sv_add(sv_build *b, sv_val x, sv_val y);
sv_val sv_wanted(sv_build *b, sv_val x); /* [T,D] -> rows that need logits [W,D] */

/* The RoPE table [n_pos, d_head]: d_head/2 cosines, then as many sines; binary64 with + - x / only, rounded once.
 * out has n_pos * d_head floats. */
void sv_rope_table(const sv_config *c, uint32_t n_pos, float *out);

#endif
