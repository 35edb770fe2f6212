/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: statements run; loops, macros, assignments, and text that goes to the prompt or to a capture.
 */
#include "text/template_impl.h"

#include <string.h>

/* --- frames --- */

typedef struct frame_mark {
    size_t frame, n_var;
} frame_mark;

static frame_mark frame_open(sv_tpl_env *e)
{
    frame_mark m = { e->frame, e->n_var };
    if (e->frame == 0)
        e->n_global = e->n_var;
    e->frame = e->n_var;
    return m;
}

static void frame_close(sv_tpl_env *e, frame_mark m)
{
    e->frame = m.frame;
    e->n_var = m.n_var;
}

/* A name in the innermost frame. */
sv_err sv_tpl_set(sv_tpl_env *e, uint32_t name, sv_tpl_value v)
{
    for (size_t i = e->n_var; i > e->frame; i--) {
        if (e->var[i - 1].name == name) {
            e->var[i - 1].value = v;
            return SV_OK;
        }
    }
    sv_tpl_var var = { name, v };
    SV_PUSH(e->var, e->n_var, e->cap_var, var);
    return SV_OK;
}

static sv_err assign(sv_tpl_env *e, const sv_tpl_node *target, sv_tpl_value v)
{
    if (target->kind == SV_TPL_N_NAME)
        return sv_tpl_set(e, target->name, v);
    e->at = target;
    if (target->kind == SV_TPL_N_ATTR) {
        sv_tpl_value ns = sv_tpl_lookup(e, target->kid[0]->name), key;
        if (ns.tag == SV_TPL_UNDEFINED)
            return sv_tpl_undefined_fault(e, &ns);
        if (ns.tag != SV_TPL_NAMESPACE)
            return sv_tpl_fault(e, "cannot assign attribute on non-namespace object");
        SV_TRY(sv_tpl_borrow(e, e->t->names[target->name], true, &key));
        return sv_tpl_dict_set(e, ns.u.dict, &key, v);
    }
    sv_tpl_value items;
    SV_TRY(sv_tpl_items(e, &v, &items));
    const sv_tpl_list *l = items.u.list;
    if (l->n != target->n_kid)
        return sv_tpl_fault(e, "%s values to unpack (expected %u, got %u)",
                            l->n < target->n_kid ? "not enough" : "too many", target->n_kid, l->n);
    for (uint32_t i = 0; i < target->n_kid; i++)
        SV_TRY(assign(e, target->kid[i], l->item[i]));
    return SV_OK;
}

/* --- output --- */

sv_err sv_tpl_emit(sv_tpl_env *e, const sv_tpl_value *v)
{
    sv_tpl_walk w = { 0 };
    sv_str text;
    bool trusted;
    if (e->capture)
        return sv_tpl_buf_add_string(e, &e->capture, v);
    if (v->n > SV_TPL_MAX_OUT - e->out_bytes)
        return sv_tpl_over(e, "the prompt is longer than %u MiB", SV_TPL_MAX_OUT >> 20);
    e->out_bytes += v->n;
    SV_TRY(sv_tpl_work(e, v->n));
    while (sv_tpl_walk_next(&w, v, &text, &trusted))
        sv_marked_add(e->out, text, trusted);
    return SV_OK;
}

/* Runs a body with its output in a string. */
static sv_err captured(sv_tpl_env *e, const sv_tpl_node *body, sv_tpl_value *out)
{
    sv_tpl_buf *outer = e->capture;
    SV_TRY(sv_tpl_buf_make(e, 64, &e->capture));
    sv_err err = sv_tpl_exec(e, body);
    *out = sv_tpl_buf_string(e->capture);
    e->capture = outer;
    return err;
}

/* --- loops --- */

/* Asks the loop's filter for an item, with the names that were known where the loop stands. */
static sv_err passes(sv_tpl_env *e, sv_tpl_loop *l, const sv_tpl_value *item, bool *is)
{
    size_t hidden = e->n_var - l->base, frame = e->frame, barrier = e->barrier;
    sv_tpl_var *kept;
    sv_tpl_value v = sv_tpl_none();
    SV_TRY(sv_tpl_alloc(e, hidden * sizeof *kept, &kept));
    if (hidden)
        memcpy(kept, e->var + l->base, hidden * sizeof *kept);
    e->n_var = e->frame = l->base;
    e->barrier = l->barrier;
    sv_err err = assign(e, l->node->kid[0], *item);
    if (err == SV_OK)
        err = sv_tpl_eval(e, l->node->kid[2], &v);
    e->n_var = l->base + hidden;
    e->frame = frame;
    e->barrier = barrier;
    if (hidden) /* at least that many places exist: they held these */
        memcpy(e->var + l->base, kept, hidden * sizeof *kept);
    *is = sv_tpl_is_true(&v);
    return err;
}

sv_err sv_tpl_loop_peek(sv_tpl_env *e, sv_tpl_loop *l)
{
    const sv_tpl_list *items = l->items.u.list;
    while (!l->has_after && !l->is_over && l->next < items->n) {
        bool is = true;
        sv_tpl_value item = items->item[l->next++];
        if (l->node)
            SV_TRY(passes(e, l, &item, &is));
        if (is) {
            l->after = item;
            l->has_after = true;
        }
    }
    return SV_OK;
}

sv_err sv_tpl_loop_length(sv_tpl_env *e, sv_tpl_loop *l, uint32_t *n)
{
    if (l->node && !l->is_over) { /* the rest is filtered now */
        sv_tpl_value all;
        uint32_t passed = l->index0 + 1;
        SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_LIST, passed, &all));
        for (uint32_t i = 0; i < passed; i++)
            SV_TRY(sv_tpl_list_add(e, all.u.list, sv_tpl_none()));
        for (;;) {
            SV_TRY(sv_tpl_loop_peek(e, l));
            if (!l->has_after)
                break;
            SV_TRY(sv_tpl_list_add(e, all.u.list, l->after));
            l->has_after = false;
        }
        l->items = all;
        l->next = passed;
        l->node = NULL;
    }
    *n = l->items.u.list->n;
    return SV_OK;
}

static sv_err exec_for(sv_tpl_env *e, const sv_tpl_node *n)
{
    sv_tpl_value items, loop = { .tag = SV_TPL_LOOP };
    bool ran = false;
    SV_TRY(sv_tpl_eval(e, n->kid[1], &items));
    e->at = n;
    SV_TRY(sv_tpl_items(e, &items, &items));
    sv_tpl_loop *l;
    SV_TRY(sv_tpl_alloc(e, sizeof *l, &l));
    *l = (sv_tpl_loop){ .items = items, .node = n->kid[2] ? n : NULL, .base = e->n_var, .barrier = e->barrier };
    loop.u.loop = l;
    frame_mark m = frame_open(e);
    sv_err err;
    for (uint32_t index = 0;; index++) {
        if ((err = sv_tpl_loop_peek(e, l)) != SV_OK || !l->has_after)
            break;
        e->n_var = m.n_var;
        l->has_after = false;
        l->index0 = index;
        l->before = l->current;
        l->current = l->after;
        sv_tpl_set(e, SV_TPL_NAME_loop, loop);
        if ((err = assign(e, n->kid[0], l->current)) != SV_OK || (err = sv_tpl_exec(e, n->kid[3])) != SV_OK)
            break;
        ran |= e->flow == SV_TPL_GO; /* Jinja's else also runs when no turn came to its end */
        bool stop = e->flow == SV_TPL_BREAK;
        e->flow = SV_TPL_GO;
        if (stop)
            break;
    }
    l->is_over = true;
    e->n_var = m.n_var;
    if (err == SV_OK && !ran && n->kid[4])
        err = sv_tpl_exec(e, n->kid[4]);
    frame_close(e, m);
    return err;
}

/* --- macros --- */

static sv_err bind_arguments(sv_tpl_env *e, const sv_tpl_node *macro, const sv_tpl_node *call, const sv_tpl_value *arg)
{
    uint32_t n_default = macro->n_kid - 1, used = 0;
    if (call->n_arg > macro->n_arg)
        return sv_tpl_fault(e, "macro '%s' takes not more than %u argument(s)", sv_str_quote(e->t->names[macro->name]),
                            macro->n_arg);
    for (uint32_t i = 0; i < macro->n_arg; i++) {
        sv_tpl_value v = sv_tpl_undefined(e->t->names[macro->key[i]], 0);
        bool given = i < call->n_arg;
        if (given)
            v = arg[i];
        for (uint32_t k = 0; k < call->n_key && !given; k++) {
            if (call->key[k] == macro->key[i]) {
                v = arg[call->n_arg + k];
                given = true;
                used++;
            }
        }
        if (!given && i + n_default >= macro->n_arg)
            SV_TRY(sv_tpl_eval(e, macro->kid[1 + i + n_default - macro->n_arg], &v));
        SV_TRY(sv_tpl_set(e, macro->key[i], v));
    }
    e->at = call;
    if (used < call->n_key)
        return sv_tpl_fault(e, "macro '%s' was called with a keyword argument that it does not take",
                            sv_str_quote(e->t->names[macro->name]));
    return SV_OK;
}

sv_err sv_tpl_call_macro(sv_tpl_env *e, const sv_tpl_node *macro, const sv_tpl_node *call, const sv_tpl_value *arg,
                         sv_tpl_value *out)
{
    uint32_t rank = e->macro_rank;
    size_t barrier = e->barrier;
    if (rank && macro->id + 1u >= rank)
        return sv_tpl_unbuilt(e, "a macro may call only those that stand before it, not '%s'",
                              sv_str_quote(e->t->names[macro->name]));
    frame_mark m = frame_open(e);
    e->barrier = m.n_var;
    e->macro_rank = macro->id + 1u;
    sv_err err = bind_arguments(e, macro, call, arg);
    if (err == SV_OK)
        err = captured(e, macro->kid[0], out);
    frame_close(e, m);
    e->barrier = barrier;
    e->macro_rank = rank;
    return err;
}

/* --- statements --- */

static sv_err exec_if(sv_tpl_env *e, const sv_tpl_node *n)
{
    for (uint32_t i = 0; i + 1 < n->n_kid; i += 2) {
        sv_tpl_value v;
        SV_TRY(sv_tpl_eval(e, n->kid[i], &v));
        if (sv_tpl_is_true(&v))
            return sv_tpl_exec(e, n->kid[i + 1]);
    }
    return n->n_kid % 2 ? sv_tpl_exec(e, n->kid[n->n_kid - 1]) : SV_OK;
}

static sv_err exec_set_body(sv_tpl_env *e, const sv_tpl_node *n)
{
    sv_tpl_value text, outer = e->captured;
    frame_mark m = frame_open(e);
    sv_err err = captured(e, n->kid[1], &text);
    frame_close(e, m);
    if (err != SV_OK || e->flow != SV_TPL_GO)
        return err;
    if (n->kid[2]) {
        e->captured = text;
        err = sv_tpl_eval(e, n->kid[2], &text);
        e->captured = outer;
    }
    return err == SV_OK ? assign(e, n->kid[0], text) : err;
}

static sv_err exec_node(sv_tpl_env *e, const sv_tpl_node *n)
{
    sv_tpl_value v;
    switch (n->kind) {
    case SV_TPL_N_BODY:
        for (uint32_t i = 0; i < n->n_kid && e->flow == SV_TPL_GO; i++)
            SV_TRY(sv_tpl_exec(e, n->kid[i]));
        return SV_OK;
    case SV_TPL_N_TEXT:
        return sv_tpl_emit(e, &n->value);
    case SV_TPL_N_PRINT:
        SV_TRY(sv_tpl_eval(e, n->kid[0], &v));
        e->at = n;
        SV_TRY(sv_tpl_to_string(e, &v, &v));
        return sv_tpl_emit(e, &v);
    case SV_TPL_N_IF:
        return exec_if(e, n);
    case SV_TPL_N_FOR:
        return exec_for(e, n);
    case SV_TPL_N_SET:
        SV_TRY(sv_tpl_eval(e, n->kid[1], &v));
        return assign(e, n->kid[0], v);
    case SV_TPL_N_SETBODY:
        return exec_set_body(e, n);
    case SV_TPL_N_MACRO:
        return sv_tpl_set(e, n->name, (sv_tpl_value){ .tag = SV_TPL_MACRO, .u.macro = n });
    case SV_TPL_N_SCOPE: {
        frame_mark m = frame_open(e);
        sv_err err = sv_tpl_exec(e, n->kid[0]);
        frame_close(e, m);
        return err;
    }
    default:
        e->flow = n->kind == SV_TPL_N_BREAK ? SV_TPL_BREAK : SV_TPL_CONTINUE;
        return SV_OK;
    }
}

sv_err sv_tpl_exec(sv_tpl_env *e, const sv_tpl_node *n)
{
    e->at = n;
    SV_TRY(sv_tpl_work(e, 64));
    if (e->depth == SV_TPL_MAX_DEPTH)
        return sv_tpl_over(e, "evaluation is nested more than %u deep", SV_TPL_MAX_DEPTH);
    e->depth++;
    sv_err err = exec_node(e, n);
    e->depth--;
    return err;
}
