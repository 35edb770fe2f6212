/* SPDX-License-Identifier: Apache-2.0
 * Binds a tape to a chip: lifetimes, offsets, places of states, the row of each call. What runs is in exec.c.
 */
#include "run/plan.h"

#include <string.h>

#include "op/spec.h"
#include "run/plan_impl.h"

/* A free stretch of the arena, or a temporary that holds one. */
typedef struct stretch {
    uint64_t off, bytes;
} stretch;

typedef struct layout {
    stretch *free;
    size_t n, cap;
    uint64_t top, align;
} layout;

static uint64_t round_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) / align * align;
}

/* First fit; the arena grows when nothing fits. Deterministic: a plan depends on its tape alone. */
static uint64_t take(layout *l, uint64_t bytes)
{
    bytes = round_up(bytes ? bytes : 1, l->align);
    for (size_t i = 0; i < l->n; i++) {
        if (l->free[i].bytes < bytes)
            continue;
        uint64_t off = l->free[i].off;
        l->free[i].off += bytes;
        l->free[i].bytes -= bytes;
        if (l->free[i].bytes == 0) {
            memmove(&l->free[i], &l->free[i + 1], (l->n - i - 1) * sizeof *l->free);
            l->n--;
        }
        return off;
    }
    uint64_t off = l->top;
    l->top += bytes;
    return off;
}

static void give(layout *l, uint64_t off, uint64_t bytes)
{
    bytes = round_up(bytes ? bytes : 1, l->align);
    size_t i = 0;
    while (i < l->n && l->free[i].off < off)
        i++;
    stretch s = { off, bytes };
    SV_PUSH(l->free, l->n, l->cap, s);
    memmove(&l->free[i + 1], &l->free[i], (l->n - 1 - i) * sizeof *l->free);
    l->free[i] = s;
    if (i + 1 < l->n && l->free[i].off + l->free[i].bytes == l->free[i + 1].off) {
        l->free[i].bytes += l->free[i + 1].bytes;
        memmove(&l->free[i + 1], &l->free[i + 2], (l->n - i - 2) * sizeof *l->free);
        l->n--;
    }
    if (i > 0 && l->free[i - 1].off + l->free[i - 1].bytes == l->free[i].off) {
        l->free[i - 1].bytes += l->free[i].bytes;
        memmove(&l->free[i], &l->free[i + 1], (l->n - i - 1) * sizeof *l->free);
        l->n--;
    }
}

typedef struct life {
    uint32_t last; /* index of the last call that touches the value */
    bool used, placed;
    uint64_t bytes;
} life;

static sv_err find_lives(const sv_tape *t, life *of)
{
    for (size_t v = 1; v < t->n_value; v++)
        SV_TRY(sv_tensor_bytes(&t->value[v].t, &of[v].bytes));
    for (size_t c = 0; c < t->n_call; c++) {
        const sv_tape_call *call = &t->call[c];
        for (uint32_t i = 0; i < call->n_in; i++)
            of[call->in[i]] = (life){ (uint32_t)c, true, false, of[call->in[i]].bytes };
        for (uint32_t i = 0; i < call->n_out; i++)
            of[call->out[i]] = (life){ (uint32_t)c, true, false, of[call->out[i]].bytes };
    }
    return SV_OK;
}

static bool is_own(sv_kind kind)
{
    return kind == SV_KIND_STEP || kind == SV_KIND_OUT;
}

/* Step inputs and results live as long as the plan. */
static void place_own(sv_plan *p, const sv_tape *t, life *of, layout *l)
{
    for (size_t v = 1; v < t->n_value; v++) {
        if (!is_own(t->value[v].kind))
            continue;
        sv_plan_own own = { .kind = t->value[v].kind, .id = t->value[v].id, .bytes = of[v].bytes };
        own.t = t->value[v].t;
        own.t.at.off = take(l, of[v].bytes);
        of[v].placed = true;
        p->value[v] = own.t;
        SV_PUSH(p->own, p->n_own, p->cap_own, own);
    }
}

static void place_temp(sv_plan *p, const sv_tape *t, sv_val v, life *of, layout *l)
{
    if (t->value[v].kind != SV_KIND_TEMP || of[v].placed)
        return;
    p->value[v] = t->value[v].t;
    p->value[v].at.off = take(l, of[v].bytes);
    of[v].placed = true;
}

static void place_temps(sv_plan *p, const sv_tape *t, life *of, layout *l)
{
    for (size_t c = 0; c < t->n_call; c++) {
        const sv_tape_call *call = &t->call[c];
        for (uint32_t i = 0; i < call->n_out; i++)
            place_temp(p, t, call->out[i], of, l);
        for (int side = 0; side < 2; side++) {
            const sv_val *v = side ? call->out : call->in;
            for (uint32_t i = 0; i < (side ? call->n_out : call->n_in); i++) {
                if (t->value[v[i]].kind != SV_KIND_TEMP || of[v[i]].last != c || !of[v[i]].placed)
                    continue;
                give(l, p->value[v[i]].at.off, of[v[i]].bytes);
                of[v[i]].placed = false; /* given back; a value may stand twice in a call */
            }
        }
    }
}

static sv_err bind_states(sv_plan *p, const sv_tape *t)
{
    for (size_t v = 1; v < t->n_value; v++) {
        const sv_tape_value *value = &t->value[v];
        if (value->kind == SV_KIND_TEMP || is_own(value->kind))
            continue;
        const sv_tensor *s = sv_store_find(p->store, value->kind, value->id);
        if (s == NULL)
            return sv_fail(SV_E_INTERNAL, "plan: state %d:%u is on the tape, but not in the store", (int)value->kind,
                           value->id);
        if (!sv_tensor_same_shape(s, &value->t) || s->dtype != value->t.dtype)
            return sv_fail(SV_E_INTERNAL, "plan: state %d:%u is %s on the tape, %s in the store", (int)value->kind,
                           value->id, sv_tensor_text(&value->t), sv_tensor_text(s));
        p->value[v] = *s;
    }
    return SV_OK;
}

static sv_err bind_calls(sv_plan *p, const sv_tape *t)
{
    p->call = SV_NEW_N(p->arena, sv_plan_call, t->n_call ? t->n_call : 1);
    p->n_call = (uint32_t)t->n_call;
    for (size_t c = 0; c < t->n_call; c++) {
        const sv_tape_call *from = &t->call[c];
        sv_plan_call *to = &p->call[c];
        sv_tensor *in = SV_NEW_N(p->arena, sv_tensor, from->n_in + 1),
                  *out = SV_NEW_N(p->arena, sv_tensor, from->n_out);
        for (uint32_t i = 0; i < from->n_in; i++)
            in[i] = p->value[from->in[i]];
        for (uint32_t i = 0; i < from->n_out; i++)
            out[i] = p->value[from->out[i]];
        to->call = (sv_call){ .op = from->op, .n_in = from->n_in, .n_out = from->n_out, .in = in, .out = out };
        size_t attr_bytes = sv_opspecs[from->op]->attr_bytes;
        if (from->attr != NULL && attr_bytes > 0) {
            void *attr = sv_arena_new(p->arena, attr_bytes);
            memcpy(attr, from->attr, attr_bytes);
            to->call.attr = attr;
        }
        to->layer = from->layer;
        to->label = from->label ? sv_arena_text(p->arena, from->label) : NULL;
        SV_TRY(sv_plan_choose_row(p, to));
    }
    return SV_OK;
}

static sv_err make(sv_plan *p, const sv_tape *t, life *of, layout *l)
{
    sv_machine *m = sv_store_machine(p->store);
    SV_TRY(find_lives(t, of));
    place_own(p, t, of, l);
    place_temps(p, t, of, l);
    p->arena_bytes = l->top ? l->top : 1;
    SV_TRY(m->dev.chip->alloc(m->dev.device, p->arena_bytes, &p->buf));
    for (size_t v = 1; v < t->n_value; v++)
        if (t->value[v].kind == SV_KIND_TEMP || is_own(t->value[v].kind))
            p->value[v].at.buf = p->buf;
    for (size_t i = 0; i < p->n_own; i++)
        p->own[i].t.at.buf = p->buf;
    SV_TRY(bind_states(p, t));
    SV_TRY(bind_calls(p, t));
    return sv_plan_reserve(p);
}

sv_err sv_plan_make(const sv_tape *t, sv_store *s, sv_plan **out)
{
    SV_TRY(sv_tape_error(t));
    sv_plan *p = sv_mem_new(sizeof *p);
    p->store = s;
    p->arena = sv_arena_make();
    p->value = SV_NEW_N(p->arena, sv_tensor, t->n_value);
    life *of = sv_mem_new(t->n_value * sizeof *of);
    layout l = { .align = sv_store_machine(s)->dev.info.align };
    if (l.align < 64)
        l.align = 64;
    sv_err err = make(p, t, of, &l);
    sv_mem_free(of);
    sv_mem_free(l.free);
    if (err != SV_OK) {
        sv_plan_drop(p);
        return err;
    }
    *out = p;
    return SV_OK;
}

void sv_plan_drop(sv_plan *p)
{
    if (p == NULL)
        return;
    sv_machine *m = sv_store_machine(p->store);
    sv_plan_release(p);
    if (p->buf != NULL)
        m->dev.chip->free(m->dev.device, p->buf);
    sv_mem_free(p->own);
    sv_arena_drop(p->arena);
    sv_mem_free(p);
}

const sv_plan_own *sv_plan_find(const sv_plan *p, sv_kind kind, uint32_t id)
{
    for (size_t i = 0; i < p->n_own; i++)
        if (p->own[i].kind == kind && p->own[i].id == id)
            return &p->own[i];
    return NULL;
}

const sv_tensor *sv_plan_out(const sv_plan *p, uint32_t out_id)
{
    const sv_plan_own *own = sv_plan_find(p, SV_KIND_OUT, out_id);
    return own ? &own->t : NULL;
}

void sv_plan_set_trace(sv_plan *p, sv_trace_fn fn, void *ctx)
{
    p->trace = fn;
    p->trace_ctx = ctx;
}

uint64_t sv_plan_arena_bytes(const sv_plan *p)
{
    return p->arena_bytes;
}
uint32_t sv_plan_calls(const sv_plan *p)
{
    return p->n_call;
}
