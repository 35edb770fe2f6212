/* SPDX-License-Identifier: Apache-2.0
 * The words in which a model is written. Each emits calls on the build's tape; after a failure they emit nothing.
 */
#include "model/build.h"

#include <string.h>

#include "op/spec.h"

static sv_val step_input(sv_build *b, sv_step_id id, sv_dtype dtype, uint32_t n0, uint32_t n1)
{
    uint32_t dim[2] = { n0, n1 };
    sv_tensor shape = sv_tensor_make(dtype, n1 ? 2 : 1, dim);
    return sv_tape_state(b->t, SV_KIND_STEP, id, &shape);
}

void sv_build_begin(sv_build *b)
{
    const sv_step_shape *n = &b->step;
    b->tok = step_input(b, SV_STEP_TOK, SV_DT_I32, n->n_tok, 0);
    b->pos = step_input(b, SV_STEP_POS, SV_DT_I32, n->n_tok, 0);
    b->seq = step_input(b, SV_STEP_SEQ, SV_DT_I32, n->n_tok, 0);
    b->table = step_input(b, SV_STEP_TABLE, SV_DT_I32, n->n_seq, n->n_page);
    b->want = step_input(b, SV_STEP_WANT, SV_DT_I32, n->n_want, 0);
    if (n->n_leaf > 0) {
        step_input(b, SV_STEP_SEG, SV_DT_I32, n->n_leaf + 1, 0);
        step_input(b, SV_STEP_SEG_WANT, SV_DT_I32, n->n_leaf + 1, 0);
    }
    uint32_t table[2] = { b->c->n_ctx, b->c->d_head };
    sv_tensor rope = sv_tensor_make(SV_DT_F32, 2, table);
    b->rope = sv_tape_state(b->t, SV_KIND_CONST, 0, &rope);
    b->quant_of = b->quant = SV_NONE;
}

void sv_layer(sv_build *b, uint32_t layer)
{
    b->t->layer = layer;
}

sv_val sv_w(sv_build *b, uint32_t weight, uint32_t layer)
{
    uint32_t id = sv_weight_id(b->c->family, weight, layer);
    sv_val v = sv_tape_state(b->t, SV_KIND_WEIGHT, id, &b->weight[id]);
    if (b->train && b->lora == NULL)
        sv_tape_set_param(b->t, v);
    return v;
}

static void label(sv_build *b, uint32_t weight)
{
    /* "model.layers.%u.self_attn.q_proj.weight": the tape names the layer itself. */
    const char *name = b->c->family->weight[weight].hf, *mark = strstr(name, "%u.");
    b->t->label = mark ? mark + 3 : name;
}

sv_val sv_embed(sv_build *b, uint32_t weight)
{
    label(b, weight);
    sv_val y = sv_tape_emit1(b->t, SV_OP_embed, NULL, (sv_val[]){ b->tok, sv_w(b, weight, 0) }, 2);
    b->t->label = NULL;
    return y;
}

/* Block-quantised weights meet quantised activations; q, k, v and gate, up share one quantisation. */
static sv_val activation_for(sv_build *b, sv_val x, const sv_tensor *w)
{
    if (sv_dtype_block_items(w->dtype) == 1)
        return x;
    if (b->quant_of != x) {
        b->quant = sv_tape_emit1(b->t, SV_OP_quant, NULL, &x, 1);
        b->quant_of = x;
    }
    return b->quant;
}

static sv_val lora_weight(sv_build *b, uint32_t id, bool is_b)
{
    const sv_tensor *stored = &b->lora_weight[id + (is_b ? b->lora->n_id : 0)];
    sv_val v = sv_tape_state(b->t, SV_KIND_WEIGHT, sv_lora_id(b->c, id, b->lane, is_b), stored);
    if (b->train)
        sv_tape_set_param(b->t, v);
    return v;
}

/* y + ((x A^T) s) B^T where the weight has an adapter. A scale of exactly 1 is no call. */
static sv_val add_lora(sv_build *b, sv_val x, sv_val y, uint32_t id)
{
    const sv_attr_matmul nt = { .layout = SV_NT };
    const sv_lora_part *p = sv_lora_of(b->lora, id);
    if (p == NULL || b->t->err != SV_OK)
        return y;
    sv_attr_scale scale = { p->scale };
    sv_val u = sv_tape_emit1(b->t, SV_OP_matmul, &nt, (sv_val[]){ x, lora_weight(b, id, false) }, 2);
    if (p->scale != 1.0f && b->t->err == SV_OK)
        u = sv_tape_emit1(b->t, SV_OP_scale, &scale, &u, 1);
    if (b->t->err != SV_OK)
        return SV_NONE;
    sv_val v = sv_tape_emit1(b->t, SV_OP_matmul, &nt, (sv_val[]){ u, lora_weight(b, id, true) }, 2);
    return b->t->err == SV_OK ? sv_tape_emit1(b->t, SV_OP_add, NULL, (sv_val[]){ y, v }, 2) : SV_NONE;
}

sv_val sv_linear(sv_build *b, sv_val x, uint32_t weight, uint32_t layer)
{
    sv_attr_matmul attr = { .layout = SV_NT };
    label(b, weight);
    sv_val w = sv_w(b, weight, layer);
    if (b->t->err != SV_OK)
        return SV_NONE;
    sv_val in[2] = { activation_for(b, x, sv_tape_tensor(b->t, w)), w };
    sv_val y = b->t->err == SV_OK ? sv_tape_emit1(b->t, SV_OP_matmul, &attr, in, 2) : SV_NONE;
    y = add_lora(b, x, y, sv_weight_id(b->c->family, weight, layer));
    b->t->label = NULL;
    return y;
}

static sv_val emit2(sv_build *b, sv_op op, const void *attr, sv_val x, sv_val y)
{
    return sv_tape_emit1(b->t, op, attr, (sv_val[]){ x, y }, 2);
}

sv_val sv_bias(sv_build *b, sv_val x, uint32_t weight, uint32_t layer)
{
    label(b, weight);
    sv_val y = emit2(b, SV_OP_add, NULL, x, sv_w(b, weight, layer));
    b->t->label = NULL;
    return y;
}

sv_val sv_norm(sv_build *b, sv_val x, uint32_t weight, uint32_t layer)
{
    sv_attr_rmsnorm attr = { .eps = b->c->eps };
    label(b, weight);
    sv_val y = emit2(b, SV_OP_rmsnorm, &attr, x, sv_w(b, weight, layer));
    b->t->label = NULL;
    return y;
}

sv_val sv_rope(sv_build *b, sv_val x, float scale)
{
    sv_attr_rope attr = { .d_head = b->c->d_head, .scale = scale };
    return sv_tape_emit1(b->t, SV_OP_rope, &attr, (sv_val[]){ x, b->pos, b->rope }, 3);
}

/* Keys and values go to the pages of the layer: the engine's arena, or in training temporaries of the step. */
static void kv_pages(sv_build *b, uint32_t layer, sv_val pages[2])
{
    const sv_config *c = b->c;
    uint32_t n = b->kv_pages ? b->kv_pages : b->step.n_seq * b->step.n_page;
    uint32_t dim[2][4] = { { n, c->n_kv_head, c->d_head, SV_PAGE }, { n, c->n_kv_head, SV_PAGE, c->d_head } };
    for (uint32_t i = 0; i < 2; i++) {
        sv_tensor shape = sv_tensor_make(SV_DT_F32, 4, dim[i]);
        pages[i] = b->kv_pages ? sv_tape_state(b->t, SV_KIND_KV, 2 * (b->lane * c->n_layer + layer) + i, &shape)
                               : sv_tape_temp(b->t, SV_DT_F32, 4, dim[i]);
    }
}

sv_val sv_attend(sv_build *b, uint32_t layer, sv_val q, sv_val k, sv_val v)
{
    sv_attr_attend attr = { b->c->n_head, b->c->n_kv_head, b->c->d_head };
    sv_val pages[2], out[2] = { SV_NONE, SV_NONE };
    kv_pages(b, layer, pages);
    sv_tape_emit(b->t, SV_OP_kv_put, NULL, (sv_val[]){ k, v, b->pos, b->seq, b->table }, 5, pages);
    sv_val in[8] = { q, k, v, pages[0], pages[1], b->pos, b->seq, b->table };
    sv_tape_emit(b->t, SV_OP_attend, &attr, in, 8, out);
    return out[0];
}

sv_val sv_swiglu(sv_build *b, sv_val gate, sv_val up)
{
    return emit2(b, SV_OP_swiglu, NULL, gate, up);
}
sv_val sv_add(sv_build *b, sv_val x, sv_val y)
{
    return emit2(b, SV_OP_add, NULL, x, y);
}
sv_val sv_wanted(sv_build *b, sv_val x)
{
    return emit2(b, SV_OP_gather_rows, NULL, x, b->want);
}
