/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: values, their equality and order, lists, dicts, and JSON that becomes values. Semantics: Python 3.
 */
#include "text/template_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- faults --- */

static sv_err fault_at(const sv_tpl_env *e, sv_err code, const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    uint32_t line = e->at ? e->at->line : 0, col = e->at ? e->at->col : 0;
    return sv_tpl_fail_at(code, e->t->name, line, col, "%s", text);
}

sv_err sv_tpl_fault(const sv_tpl_env *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sv_err err = fault_at(e, SV_E_ARG, fmt, ap);
    va_end(ap);
    return err;
}

sv_err sv_tpl_over(const sv_tpl_env *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sv_err err = fault_at(e, SV_E_LIMIT, fmt, ap);
    va_end(ap);
    return err;
}

sv_err sv_tpl_unbuilt(const sv_tpl_env *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sv_err err = fault_at(e, SV_E_UNSUPPORTED, fmt, ap);
    va_end(ap);
    return err;
}

sv_err sv_tpl_alloc(sv_tpl_env *e, size_t bytes, void *out)
{
    void *p = NULL;
    memcpy(out, &p, sizeof p);
    if (bytes > SV_TPL_MAX_ARENA - e->arena_bytes)
        return sv_tpl_over(e, "the template needs more than %u MiB of memory", SV_TPL_MAX_ARENA >> 20);
    e->arena_bytes += bytes;
    p = sv_arena_new(e->arena, bytes ? bytes : 1);
    memcpy(out, &p, sizeof p);
    return SV_OK;
}

sv_err sv_tpl_work(sv_tpl_env *e, size_t bytes)
{
    e->scanned += bytes;
    e->step += e->scanned / 64;
    e->scanned %= 64;
    if (e->step > SV_TPL_MAX_STEP)
        return sv_tpl_over(e, "the template takes more than %u steps", SV_TPL_MAX_STEP);
    return SV_OK;
}

/* --- making --- */

sv_tpl_value sv_tpl_undefined(sv_str name, uint32_t of)
{
    return (sv_tpl_value){ .tag = SV_TPL_UNDEFINED, .of = (uint8_t)of, .n = (uint32_t)name.n, .u.text = name.p };
}

sv_tpl_value sv_tpl_none(void)
{
    return (sv_tpl_value){ .tag = SV_TPL_NONE, .trusted = true };
}

sv_tpl_value sv_tpl_bool(bool b, bool trusted)
{
    return (sv_tpl_value){ .tag = SV_TPL_BOOL, .trusted = trusted, .u.b = b };
}

sv_tpl_value sv_tpl_int(int64_t i, bool trusted)
{
    return (sv_tpl_value){ .tag = SV_TPL_INT, .trusted = trusted, .u.i = i };
}

sv_tpl_value sv_tpl_float(double f, bool trusted)
{
    return (sv_tpl_value){ .tag = SV_TPL_FLOAT, .trusted = trusted, .u.f = f };
}

sv_err sv_tpl_list_make(sv_tpl_env *e, sv_tpl_kind kind, size_t n, sv_tpl_value *out)
{
    sv_tpl_list *l;
    if (n > SV_TPL_MAX_ITEM)
        return sv_tpl_over(e, "a list of %zu items, at most %u are allowed", n, SV_TPL_MAX_ITEM);
    SV_TRY(sv_tpl_alloc(e, sizeof *l, &l));
    SV_TRY(sv_tpl_alloc(e, n * sizeof *l->item, &l->item));
    l->cap = (uint32_t)n;
    l->kind = (uint8_t)kind;
    *out = (sv_tpl_value){ .tag = SV_TPL_LIST, .u.list = l };
    return SV_OK;
}

sv_err sv_tpl_list_add(sv_tpl_env *e, sv_tpl_list *l, sv_tpl_value v)
{
    if (l->n == SV_TPL_MAX_ITEM)
        return sv_tpl_over(e, "a list of more than %u items", SV_TPL_MAX_ITEM);
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 4;
        sv_tpl_value *grown;
        SV_TRY(sv_tpl_alloc(e, cap * sizeof *grown, &grown));
        if (l->n)
            memcpy(grown, l->item, l->n * sizeof *grown);
        l->item = grown;
        l->cap = cap;
    }
    l->item[l->n++] = v;
    return SV_OK;
}

sv_err sv_tpl_dict_make(sv_tpl_env *e, sv_tpl_value *out)
{
    sv_tpl_dict *d;
    SV_TRY(sv_tpl_alloc(e, sizeof *d, &d));
    *out = (sv_tpl_value){ .tag = SV_TPL_DICT, .u.dict = d };
    return SV_OK;
}

static sv_err dict_add(sv_tpl_env *e, sv_tpl_dict *d, const sv_tpl_value *key, sv_tpl_value v)
{
    if (d->n == SV_TPL_MAX_ITEM)
        return sv_tpl_over(e, "a dict of more than %u items", SV_TPL_MAX_ITEM);
    if (d->n == d->cap) {
        uint32_t cap = d->cap ? 2 * d->cap : 4;
        sv_tpl_pair *grown;
        SV_TRY(sv_tpl_alloc(e, cap * sizeof *grown, &grown));
        if (d->n)
            memcpy(grown, d->item, d->n * sizeof *grown);
        d->item = grown;
        d->cap = cap;
    }
    d->item[d->n++] = (sv_tpl_pair){ *key, v };
    return SV_OK;
}

static sv_err hashable_in(sv_tpl_env *e, const sv_tpl_value *v, uint32_t depth, bool *out)
{
    const sv_tpl_list *l = v->tag == SV_TPL_LIST ? v->u.list : NULL;
    *out = v->tag != SV_TPL_DICT && !(l && (l->kind == SV_TPL_KIND_LIST || l->kind == SV_TPL_KIND_VIEW));
    if (depth > SV_TPL_MAX_NEST)
        return sv_tpl_over(e, "values are nested more than %u deep", SV_TPL_MAX_NEST);
    SV_TRY(sv_tpl_work(e, 8));
    for (uint32_t i = 0; *out && l && l->kind == SV_TPL_KIND_TUPLE && i < l->n; i++)
        SV_TRY(hashable_in(e, &l->item[i], depth + 1, out));
    return SV_OK;
}

sv_err sv_tpl_hashable(sv_tpl_env *e, const sv_tpl_value *v, bool *out)
{
    return hashable_in(e, v, 0, out);
}

sv_err sv_tpl_dict_find(sv_tpl_env *e, const sv_tpl_dict *d, const sv_tpl_value *key, sv_tpl_value **out)
{
    *out = NULL;
    bool hashable;
    SV_TRY(sv_tpl_hashable(e, key, &hashable));
    if (!hashable)
        return sv_tpl_fault(e, "unhashable type: '%s'", sv_tpl_type(key));
    SV_TRY(sv_tpl_work(e, (size_t)d->n * 8));
    for (uint32_t i = 0; i < d->n; i++) {
        bool same;
        SV_TRY(sv_tpl_equal(e, &d->item[i].key, key, &same));
        if (same) {
            *out = &d->item[i].value;
            return SV_OK;
        }
    }
    return SV_OK;
}

sv_err sv_tpl_dict_at(sv_tpl_env *e, const sv_tpl_dict *d, sv_str key, sv_tpl_value **out)
{
    *out = NULL;
    SV_TRY(sv_tpl_work(e, (size_t)d->n * 8));
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->item[i].key.tag == SV_TPL_STRING && sv_str_eq(sv_tpl_str(&d->item[i].key), key)) {
            *out = &d->item[i].value;
            return SV_OK;
        }
    }
    return SV_OK;
}

sv_err sv_tpl_dict_set(sv_tpl_env *e, sv_tpl_dict *d, const sv_tpl_value *key, sv_tpl_value v)
{
    sv_tpl_value *old;
    SV_TRY(sv_tpl_dict_find(e, d, key, &old));
    if (!old)
        return dict_add(e, d, key, v);
    *old = v;
    return SV_OK;
}

/* --- asking --- */

const char *sv_tpl_type(const sv_tpl_value *v)
{
    static const char *const tag[] = { "Undefined", "NoneType",  "bool",  "int",      "float",  "str",        "list",
                                       "dict",      "Namespace", "Macro", "function", "method", "LoopContext" };
    static const char *const kind[] = { "list", "tuple", "generator", "dict_view", "range" };
    return v->tag == SV_TPL_LIST ? kind[v->u.list->kind] : tag[v->tag];
}

bool sv_tpl_is_number(const sv_tpl_value *v)
{
    return v->tag == SV_TPL_BOOL || v->tag == SV_TPL_INT || v->tag == SV_TPL_FLOAT;
}

bool sv_tpl_is_true(const sv_tpl_value *v)
{
    switch (v->tag) {
    case SV_TPL_UNDEFINED:
    case SV_TPL_NONE:
        return false;
    case SV_TPL_BOOL:
        return v->u.b;
    case SV_TPL_INT:
        return v->u.i != 0;
    case SV_TPL_FLOAT:
        return v->u.f != 0;
    case SV_TPL_STRING:
        return v->n != 0;
    case SV_TPL_LIST:
        return v->u.list->n != 0 || v->u.list->kind == SV_TPL_KIND_GENERATOR;
    case SV_TPL_DICT:
        return v->u.dict->n != 0;
    default:
        return true;
    }
}

sv_err sv_tpl_undefined_fault(const sv_tpl_env *e, const sv_tpl_value *v)
{
    const char *name = sv_str_quote((sv_str){ v->u.text, v->n });
    if (v->of == 0)
        return sv_tpl_fault(e, "'%s' is undefined", name);
    sv_tpl_value as = { .tag = (uint8_t)(v->of - 1) };
    sv_tpl_list list = { 0 };
    as.u.list = &list;
    if (as.tag == SV_TPL_NONE)
        return sv_tpl_fault(e, "'None' has no attribute '%s'", name);
    return sv_tpl_fault(e, "'%s object' has no attribute '%s'", sv_tpl_type(&as), name);
}

/* --- equality and order --- */

static long double number(const sv_tpl_value *v)
{
    return v->tag == SV_TPL_FLOAT ? (long double)v->u.f
           : v->tag == SV_TPL_INT ? (long double)v->u.i
                                  : (long double)v->u.b;
}

static sv_err equal_in(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, uint32_t depth, bool *out);

static sv_err equal_lists(sv_tpl_env *e, const sv_tpl_list *a, const sv_tpl_list *b, uint32_t depth, bool *out)
{
    *out = a == b;
    if (*out || a->kind != b->kind || a->n != b->n || a->kind == SV_TPL_KIND_GENERATOR)
        return SV_OK;
    for (uint32_t i = 0; i < a->n; i++) {
        SV_TRY(equal_in(e, &a->item[i], &b->item[i], depth, out));
        if (!*out)
            return SV_OK;
    }
    *out = true;
    return SV_OK;
}

static sv_err equal_dicts(sv_tpl_env *e, const sv_tpl_dict *a, const sv_tpl_dict *b, uint32_t depth, bool *out)
{
    *out = a == b;
    if (*out || a->n != b->n)
        return SV_OK;
    for (uint32_t i = 0; i < a->n; i++) {
        sv_tpl_value *other;
        SV_TRY(sv_tpl_dict_find(e, b, &a->item[i].key, &other));
        *out = other != NULL;
        if (other)
            SV_TRY(equal_in(e, &a->item[i].value, other, depth, out));
        if (!*out)
            return SV_OK;
    }
    *out = true;
    return SV_OK;
}

static sv_err equal_in(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, uint32_t depth, bool *out)
{
    if (depth > SV_TPL_MAX_NEST)
        return sv_tpl_over(e, "values are nested more than %u deep", SV_TPL_MAX_NEST);
    SV_TRY(sv_tpl_work(e, 64));
    if (sv_tpl_is_number(a) && sv_tpl_is_number(b)) {
        *out = number(a) == number(b);
        return SV_OK;
    }
    *out = false;
    if (a->tag != b->tag)
        return SV_OK;
    switch (a->tag) {
    case SV_TPL_UNDEFINED:
    case SV_TPL_NONE:
        *out = true;
        return SV_OK;
    case SV_TPL_STRING:
        if (a->n != b->n)
            return SV_OK;
        *out = sv_str_eq(sv_tpl_str(a), sv_tpl_str(b));
        return sv_tpl_work(e, a->n);
    case SV_TPL_LIST:
        return equal_lists(e, a->u.list, b->u.list, depth + 1, out);
    case SV_TPL_DICT:
        return equal_dicts(e, a->u.dict, b->u.dict, depth + 1, out);
    case SV_TPL_METHOD:
        return SV_OK;
    case SV_TPL_FUNCTION:
        *out = a->u.i == b->u.i;
        return SV_OK;
    default:
        *out = a->u.dict == b->u.dict; /* namespace, macro, loop: the same one */
        return SV_OK;
    }
}

sv_err sv_tpl_equal(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, bool *out)
{
    return equal_in(e, a, b, 0, out);
}

static sv_err less_in(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, const char *op, uint32_t depth,
                      int *order)
{
    if (depth > SV_TPL_MAX_NEST)
        return sv_tpl_over(e, "values are nested more than %u deep", SV_TPL_MAX_NEST);
    if (a->tag == SV_TPL_UNDEFINED || b->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, a->tag == SV_TPL_UNDEFINED ? a : b);
    if (sv_tpl_is_number(a) && sv_tpl_is_number(b)) {
        long double x = number(a), y = number(b);
        *order = x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
        return SV_OK;
    }
    if (a->tag == SV_TPL_STRING && b->tag == SV_TPL_STRING) {
        uint32_t n = a->n < b->n ? a->n : b->n;
        int c = memcmp(sv_tpl_str(a).p, sv_tpl_str(b).p, n); /* the order of UTF-8 is the order of code points */
        *order = c < 0 ? -1 : c > 0 ? 1 : (a->n > b->n) - (a->n < b->n);
        return sv_tpl_work(e, n);
    }
    bool lists = a->tag == SV_TPL_LIST && b->tag == SV_TPL_LIST && a->u.list->kind == b->u.list->kind &&
                 (a->u.list->kind == SV_TPL_KIND_LIST || a->u.list->kind == SV_TPL_KIND_TUPLE);
    if (!lists)
        return sv_tpl_fault(e, "'%s' not supported between instances of '%s' and '%s'", op, sv_tpl_type(a),
                            sv_tpl_type(b));
    const sv_tpl_list *x = a->u.list, *y = b->u.list;
    for (uint32_t i = 0; i < x->n && i < y->n; i++) {
        bool same;
        SV_TRY(sv_tpl_equal(e, &x->item[i], &y->item[i], &same));
        if (!same)
            return less_in(e, &x->item[i], &y->item[i], op, depth + 1, order);
    }
    *order = (x->n > y->n) - (x->n < y->n);
    return SV_OK;
}

/* *order: -1, 0, 1, or 2 when a NaN has no place. */
sv_err sv_tpl_less(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, const char *op, int *order)
{
    return less_in(e, a, b, op, 0, order);
}

sv_err sv_tpl_contains(sv_tpl_env *e, const sv_tpl_value *in, const sv_tpl_value *what, bool *out)
{
    *out = false;
    if (in->tag == SV_TPL_STRING) {
        if (what->tag != SV_TPL_STRING)
            return sv_tpl_fault(e, "'in <string>' requires string as left operand, not %s", sv_tpl_type(what));
        SV_TRY(sv_tpl_work(e, in->n));
        *out = what->n == 0 || memmem(sv_tpl_str(in).p, in->n, sv_tpl_str(what).p, what->n) != NULL;
        return SV_OK;
    }
    if (in->tag == SV_TPL_DICT) {
        sv_tpl_value *found;
        SV_TRY(sv_tpl_dict_find(e, in->u.dict, what, &found));
        *out = found != NULL;
        return SV_OK;
    }
    sv_tpl_value items;
    SV_TRY(sv_tpl_items(e, in, &items));
    for (uint32_t i = 0; i < items.u.list->n && !*out; i++)
        SV_TRY(sv_tpl_equal(e, &items.u.list->item[i], what, out));
    return SV_OK;
}

static sv_err characters(sv_tpl_env *e, const sv_tpl_value *s, sv_tpl_value *out)
{
    sv_str text = sv_tpl_str(s);
    sv_tpl_value plain = *s;
    plain.markup = false;
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_LIST, sv_tpl_count(s), out));
    for (size_t at = 0, used; at < text.n; at += used) {
        sv_utf8_next(text.p + at, text.n - at, &used);
        SV_TRY(sv_tpl_list_add(e, out->u.list, sv_tpl_view(&plain, at, used)));
    }
    return sv_tpl_work(e, text.n);
}

sv_err sv_tpl_items(sv_tpl_env *e, const sv_tpl_value *of, sv_tpl_value *out)
{
    const sv_tpl_value v = *of; /* out may be the same */
    switch (v.tag) {
    case SV_TPL_UNDEFINED:
        return sv_tpl_list_make(e, SV_TPL_KIND_LIST, 0, out);
    case SV_TPL_STRING:
        return characters(e, &v, out);
    case SV_TPL_DICT:
        SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_LIST, v.u.dict->n, out));
        for (uint32_t i = 0; i < v.u.dict->n; i++)
            SV_TRY(sv_tpl_list_add(e, out->u.list, v.u.dict->item[i].key));
        return sv_tpl_work(e, (size_t)v.u.dict->n * 8);
    case SV_TPL_LIST:
        if (v.u.list->kind == SV_TPL_KIND_GENERATOR) {
            if (v.u.list->consumed)
                return sv_tpl_list_make(e, SV_TPL_KIND_LIST, 0, out);
            v.u.list->consumed = true;
        }
        *out = v;
        return SV_OK;
    default:
        return sv_tpl_fault(e, "'%s' object is not iterable", sv_tpl_type(&v));
    }
}

/* --- JSON --- */

static sv_err object_from_json(sv_tpl_env *e, const json_t *j, uint32_t depth, sv_tpl_value *out)
{
    json_t *obj = (json_t *)(uintptr_t)j; /* iteration changes nothing */
    SV_TRY(sv_tpl_dict_make(e, out));
    for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it)) {
        sv_tpl_value key, v;
        SV_TRY(sv_tpl_borrow(e, (sv_str){ json_object_iter_key(it), json_object_iter_key_len(it) }, false, &key));
        SV_TRY(sv_tpl_from_json(e, json_object_iter_value(it), depth + 1, &v));
        SV_TRY(dict_add(e, out->u.dict, &key, v));
    }
    return SV_OK;
}

sv_err sv_tpl_from_json(sv_tpl_env *e, const json_t *j, uint32_t depth, sv_tpl_value *out)
{
    if (depth > SV_TPL_MAX_NEST)
        return sv_tpl_over(e, "the input is nested more than %u deep", SV_TPL_MAX_NEST);
    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_OBJECT:
        return object_from_json(e, j, depth, out);
    case JSON_ARRAY: {
        SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_LIST, json_array_size(j), out));
        for (size_t i = 0; i < json_array_size(j); i++) {
            sv_tpl_value v;
            SV_TRY(sv_tpl_from_json(e, json_array_get(j, i), depth + 1, &v));
            SV_TRY(sv_tpl_list_add(e, out->u.list, v));
        }
        return SV_OK;
    }
    case JSON_STRING:
        return sv_tpl_borrow(e, (sv_str){ json_string_value(j), json_string_length(j) }, false, out);
    case JSON_INTEGER:
        *out = sv_tpl_int(json_integer_value(j), false);
        return SV_OK;
    case JSON_REAL:
        *out = sv_tpl_float(json_real_value(j), false);
        return SV_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = sv_tpl_bool(json_is_true(j), false);
        return SV_OK;
    default:
        *out = sv_tpl_none();
        out->trusted = false;
        return SV_OK;
    }
}

sv_err sv_tpl_from_messages(sv_tpl_env *e, const json_t *j, sv_tpl_value *out)
{
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool", "function", "ipython" };
    SV_TRY(sv_tpl_from_json(e, j, 0, out));
    for (uint32_t i = 0; i < out->u.list->n; i++) {
        sv_tpl_value *role;
        if (out->u.list->item[i].tag != SV_TPL_DICT)
            continue;
        SV_TRY(sv_tpl_dict_at(e, out->u.list->item[i].u.dict, SV_STR("role"), &role));
        for (size_t r = 0; role && r < sizeof roles / sizeof roles[0]; r++)
            if (role->tag == SV_TPL_STRING && sv_str_is(sv_tpl_str(role), roles[r]))
                SV_TRY(sv_tpl_borrow(e, sv_str_of(roles[r]), true, role));
    }
    return SV_OK;
}
