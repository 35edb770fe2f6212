/* SPDX-License-Identifier: Apache-2.0
 * The tape: values, calls, and the walk backward. Allocation is by growth of a few arrays, so that a tape that is
 * cleared and written again allocates nothing.
 */
#include "op/tape.h"

#include <stdio.h>
#include <string.h>

#include "op/spec.h"

#define MAX_OPERANDS 8

static sv_val add_value(sv_tape *t, const sv_tensor *shape, sv_kind kind, uint32_t id, sv_rowset rows)
{
    sv_tape_value v = { .kind = kind, .id = id, .rows = rows };
    v.t = *shape;
    v.t.at = (sv_span){ 0 };
    SV_PUSH(t->value, t->n_value, t->cap_value, v);
    return (sv_val)(t->n_value - 1);
}

sv_tape *sv_tape_make(void)
{
    sv_tape *t = sv_mem_new(sizeof *t);
    t->arena = sv_arena_make();
    sv_tape_clear(t);
    return t;
}

void sv_tape_drop(sv_tape *t)
{
    if (t == NULL)
        return;
    sv_arena_drop(t->arena);
    sv_mem_free(t->value);
    sv_mem_free(t->call);
    sv_mem_free(t->grad);
    sv_mem_free(t);
}

void sv_tape_clear(sv_tape *t)
{
    sv_arena_reset(t->arena);
    t->n_value = 0;
    t->n_call = 0;
    if (t->cap_grad)
        memset(t->grad, 0, t->cap_grad * sizeof *t->grad);
    t->err = SV_OK;
    t->err_text = NULL;
    t->layer = UINT32_MAX;
    t->label = NULL;
    t->backward = false;
    sv_tensor none = { 0 };
    add_value(t, &none, SV_KIND_TEMP, 0, SV_ROWS_OTHER);
}

static void set_error(sv_tape *t, sv_err err)
{
    if (t->err != SV_OK)
        return;
    t->err = err;
    t->err_text = sv_arena_text(t->arena, sv_err_text());
}

sv_err sv_tape_error(const sv_tape *t)
{
    return t->err == SV_OK ? SV_OK : sv_fail(t->err, "%s", t->err_text);
}

static sv_rowset rows_of_state(sv_kind kind, uint32_t id)
{
    if (kind != SV_KIND_STEP)
        return SV_ROWS_OTHER;
    switch ((sv_step_id)id) {
    case SV_STEP_TOK:
    case SV_STEP_POS:
    case SV_STEP_SEQ:
        return SV_ROWS_TOKENS;
    case SV_STEP_WANT:
    case SV_STEP_TARGET:
    case SV_STEP_DLP:
        return SV_ROWS_WANTED;
    default:
        return SV_ROWS_OTHER;
    }
}

static sv_val find_state(const sv_tape *t, sv_kind kind, uint32_t id)
{
    /* States come early on a tape and are few; weights of one layer are looked up right after they were added. */
    for (size_t i = t->n_value; i-- > 1;)
        if (t->value[i].kind == kind && t->value[i].id == id)
            return (sv_val)i;
    return SV_NONE;
}

sv_val sv_tape_state(sv_tape *t, sv_kind kind, uint32_t id, const sv_tensor *shape)
{
    if (t->err != SV_OK)
        return SV_NONE;
    sv_val v = find_state(t, kind, id);
    if (v == SV_NONE)
        return add_value(t, shape, kind, id, rows_of_state(kind, id));
    if (!sv_tensor_same_shape(&t->value[v].t, shape) || t->value[v].t.dtype != shape->dtype)
        set_error(t, sv_fail(SV_E_INTERNAL, "tape: state %d:%u has shape %s and is asked for as %s", (int)kind, id,
                             sv_tensor_text(&t->value[v].t), sv_tensor_text(shape)));
    return v;
}

void sv_tape_set_param(sv_tape *t, sv_val v)
{
    if (t->err != SV_OK)
        return;
    t->value[v].is_param = true;
    t->value[v].needs_grad = true;
}

sv_val sv_tape_temp(sv_tape *t, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim)
{
    if (t->err != SV_OK)
        return SV_NONE;
    sv_tensor shape = sv_tensor_make(dtype, n_dim, dim);
    return add_value(t, &shape, SV_KIND_TEMP, 0, SV_ROWS_OTHER);
}

void sv_tape_set_out(sv_tape *t, sv_val v, uint32_t id)
{
    if (t->err != SV_OK)
        return;
    SV_ASSERT(t->value[v].kind == SV_KIND_TEMP);
    t->value[v].kind = SV_KIND_OUT;
    t->value[v].id = id;
}

static void *keep(sv_tape *t, const void *data, size_t bytes)
{
    if (data == NULL || bytes == 0)
        return NULL;
    void *p = sv_arena_new(t->arena, bytes);
    memcpy(p, data, bytes);
    return p;
}

static sv_rowset rows_of_result(const sv_tape *t, sv_op op, const sv_val *in, uint32_t n_in)
{
    if (op == SV_OP_gather_rows || op == SV_OP_scatter_rows || op == SV_OP_embed)
        return op == SV_OP_gather_rows ? SV_ROWS_WANTED : SV_ROWS_TOKENS;
    return n_in > 0 ? t->value[in[0]].rows : SV_ROWS_OTHER;
}

static void fail_emit(sv_tape *t, const sv_opspec *spec, sv_err err)
{
    sv_fail_in(err, "%s%s%s: ", spec->name, t->label ? " of " : "", t->label ? t->label : "");
    if (t->layer != UINT32_MAX)
        sv_fail_in(err, "layer %u, ", t->layer);
    set_error(t, err);
}

void sv_tape_emit(sv_tape *t, sv_op op, const void *attr, const sv_val *in, uint32_t n_in, sv_val *out)
{
    const sv_opspec *spec = sv_opspecs[op];
    if (t->err != SV_OK)
        return;
    SV_ASSERT(n_in <= MAX_OPERANDS && n_in <= spec->n_in && spec->n_out <= MAX_OPERANDS);
    sv_tensor in_t[MAX_OPERANDS] = { 0 }, out_t[MAX_OPERANDS] = { 0 };
    bool needs_grad = false;
    for (uint32_t i = 0; i < n_in; i++) {
        SV_ASSERT(in[i] != SV_NONE && in[i] < t->n_value);
        in_t[i] = t->value[in[i]].t;
        needs_grad = needs_grad || (t->value[in[i]].needs_grad && !t->backward);
    }
    for (uint32_t i = 0; i < spec->n_out; i++)
        if (out[i] != SV_NONE)
            out_t[i] = t->value[out[i]].t;
    sv_err err = spec->shape(in_t, n_in, attr, out_t);
    if (err != SV_OK) {
        fail_emit(t, spec, err);
        return;
    }
    sv_rowset rows = rows_of_result(t, op, in, n_in);
    for (uint32_t i = 0; i < spec->n_out; i++) {
        if (out[i] == SV_NONE) {
            out[i] = add_value(t, &out_t[i], SV_KIND_TEMP, 0, rows);
            t->value[out[i]].needs_grad = needs_grad;
        }
    }
    sv_tape_call call = { .op = op, .n_in = n_in, .n_out = spec->n_out, .layer = t->layer, .label = t->label };
    call.in = keep(t, in, n_in * sizeof *in);
    call.out = keep(t, out, spec->n_out * sizeof *out);
    call.attr = keep(t, attr, spec->attr_bytes);
    SV_PUSH(t->call, t->n_call, t->cap_call, call);
}

sv_val sv_tape_emit1(sv_tape *t, sv_op op, const void *attr, const sv_val *in, uint32_t n_in)
{
    sv_val out[MAX_OPERANDS] = { SV_NONE };
    sv_tape_emit(t, op, attr, in, n_in, out);
    return out[0];
}

const sv_tensor *sv_tape_tensor(const sv_tape *t, sv_val v)
{
    return &t->value[v].t;
}

bool sv_tape_needs(const sv_tape *t, sv_val v)
{
    return t->err == SV_OK && t->value[v].needs_grad;
}

sv_val sv_tape_param_grad(sv_tape *t, sv_val weight)
{
    if (t->err != SV_OK || !t->value[weight].is_param)
        return SV_NONE;
    sv_tensor shape = sv_tensor_make(SV_DT_F32, t->value[weight].t.n_dim, t->value[weight].t.dim);
    return sv_tape_state(t, SV_KIND_GRAD, t->value[weight].id, &shape);
}

sv_val sv_tape_seg(sv_tape *t, sv_val v)
{
    if (t->err != SV_OK)
        return SV_NONE;
    sv_step_id id = t->value[v].rows == SV_ROWS_WANTED ? SV_STEP_SEG_WANT : SV_STEP_SEG;
    sv_val seg = find_state(t, SV_KIND_STEP, id);
    if (seg == SV_NONE)
        set_error(t, sv_fail(SV_E_INTERNAL, "tape: a gradient needs leaf offsets, but the step declared none"));
    return seg;
}

static void reserve_grads(sv_tape *t)
{
    if (t->cap_grad >= t->n_value)
        return;
    size_t cap = 2 * t->n_value;
    t->grad = sv_mem_grow(t->grad, t->cap_grad * sizeof *t->grad, cap * sizeof *t->grad);
    t->cap_grad = cap;
}

static void add_gradient(sv_tape *t, sv_val v, sv_val din)
{
    if (t->err != SV_OK || din == SV_NONE)
        return;
    reserve_grads(t);
    if (t->grad[v] != SV_NONE)
        din = sv_tape_emit1(t, SV_OP_add, NULL, (sv_val[]){ t->grad[v], din }, 2);
    reserve_grads(t);
    t->grad[v] = din;
}

static void step_back(sv_tape *t, size_t index)
{
    sv_tape_call call = t->call[index]; /* a copy: emitting moves the array; its operand lists stay */
    const sv_opspec *spec = sv_opspecs[call.op];
    sv_val dout[MAX_OPERANDS] = { SV_NONE }, din[MAX_OPERANDS] = { SV_NONE };
    bool reached = false, needed = false;
    for (uint32_t i = 0; i < call.n_out; i++) {
        dout[i] = t->grad[call.out[i]];
        reached = reached || dout[i] != SV_NONE;
    }
    for (uint32_t i = 0; i < call.n_in; i++)
        needed = needed || t->value[call.in[i]].needs_grad;
    if (!reached || !needed)
        return;
    t->layer = call.layer;
    t->label = call.label;
    if (spec->grad == NULL) {
        fail_emit(t, spec, sv_fail(SV_E_UNSUPPORTED, "this op has no gradient"));
        return;
    }
    spec->grad(t, &call, dout, din);
    for (uint32_t i = 0; i < call.n_in; i++) {
        if (!t->value[call.in[i]].is_param)
            add_gradient(t, call.in[i], din[i]);
        else if (din[i] != SV_NONE) /* a gradient that nobody would add up */
            fail_emit(t, spec,
                      sv_fail(SV_E_UNSUPPORTED,
                              "operand %u is a weight, and this op adds no gradient to weights; "
                              "weights are used by matmul, rmsnorm, embed or as a bias",
                              i));
    }
}

sv_err sv_tape_backward(sv_tape *t, sv_val y, sv_val dy)
{
    SV_TRY(sv_tape_error(t));
    size_t n_forward = t->n_call;
    t->backward = true;
    reserve_grads(t);
    t->grad[y] = dy;
    for (size_t i = n_forward; i-- > 0 && t->err == SV_OK;)
        step_back(t, i);
    t->layer = UINT32_MAX;
    t->label = NULL;
    return sv_tape_error(t);
}
