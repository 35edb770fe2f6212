/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: expressions become values. Semantics: Python 3 and jinja2 3.1 with the default Undefined.
 */
#include "text/template_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- names, attributes, items --- */

sv_tpl_value sv_tpl_lookup(const sv_tpl_env *e, uint32_t name)
{
    for (size_t i = e->n_var; i > e->barrier; i--)
        if (e->var[i - 1].name == name)
            return e->var[i - 1].value;
    for (size_t i = e->barrier ? e->n_global : 0; i > 0; i--)
        if (e->var[i - 1].name == name)
            return e->var[i - 1].value;
    if (name == SV_TPL_NAME_range || name == SV_TPL_NAME_namespace || name == SV_TPL_NAME_raise_exception)
        return (sv_tpl_value){ .tag = SV_TPL_FUNCTION, .u.i = name };
    return sv_tpl_undefined(e->t->names[name], 0);
}

sv_err sv_tpl_loop_attr(sv_tpl_env *e, sv_tpl_loop *l, sv_str name, sv_tpl_value *out)
{
    *out = sv_tpl_undefined(name, SV_TPL_LOOP + 1);
    if (sv_str_is(name, "index")) {
        *out = sv_tpl_int((int64_t)l->index0 + 1, true);
    } else if (sv_str_is(name, "index0")) {
        *out = sv_tpl_int(l->index0, true);
    } else if (sv_str_is(name, "first")) {
        *out = sv_tpl_bool(l->index0 == 0, true);
    } else if (sv_str_is(name, "previtem")) {
        if (l->index0)
            *out = l->before;
    } else if (sv_str_is(name, "last") || sv_str_is(name, "nextitem")) {
        SV_TRY(sv_tpl_loop_peek(e, l));
        if (name.n == 4)
            *out = sv_tpl_bool(!l->has_after, true);
        else if (l->has_after)
            *out = l->after;
    } else if (sv_str_is(name, "length")) {
        uint32_t n;
        SV_TRY(sv_tpl_loop_length(e, l, &n));
        *out = sv_tpl_int(n, true);
    }
    return SV_OK;
}

static sv_tpl_value method_value(void)
{
    return (sv_tpl_value){ .tag = SV_TPL_METHOD };
}

/* obj.name: a method comes before an item of that name. */
sv_err sv_tpl_attr(sv_tpl_env *e, const sv_tpl_value *obj, sv_str name, sv_tpl_value *out)
{
    sv_tpl_value *found = NULL;
    *out = sv_tpl_undefined(name, obj->tag + 1u);
    if (obj->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, obj);
    if (obj->tag == SV_TPL_LOOP)
        return sv_tpl_loop_attr(e, obj->u.loop, name, out);
    if (sv_tpl_has_method(obj, name))
        *out = method_value();
    else if (obj->tag == SV_TPL_DICT || obj->tag == SV_TPL_NAMESPACE)
        SV_TRY(sv_tpl_dict_at(e, obj->u.dict, name, &found));
    if (found)
        *out = *found;
    return SV_OK;
}

/* An integer as a position in n items; false: outside. */
static bool position(const sv_tpl_value *key, size_t n, size_t *at)
{
    if (key->tag != SV_TPL_INT && key->tag != SV_TPL_BOOL)
        return false;
    int64_t i = key->tag == SV_TPL_INT ? key->u.i : key->u.b;
    if (i < 0)
        i += (int64_t)n;
    *at = (size_t)i;
    return i >= 0 && i < (int64_t)n;
}

/* obj[key]: an item comes before a method of that name; what is not there is undefined. */
sv_err sv_tpl_item(sv_tpl_env *e, const sv_tpl_value *obj, const sv_tpl_value *key, sv_tpl_value *out)
{
    size_t at;
    sv_tpl_value *found = NULL;
    if (obj->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, obj);
    if (obj->tag == SV_TPL_LIST && obj->u.list->kind != SV_TPL_KIND_GENERATOR &&
        obj->u.list->kind != SV_TPL_KIND_VIEW && position(key, obj->u.list->n, &at)) {
        *out = obj->u.list->item[at];
        return SV_OK;
    }
    if (obj->tag == SV_TPL_STRING && (key->tag == SV_TPL_INT || key->tag == SV_TPL_BOOL)) {
        SV_TRY(sv_tpl_work(e, obj->n));
        if (position(key, sv_tpl_count(obj), &at)) {
            size_t used, from = sv_tpl_offset(obj, at);
            sv_utf8_next(sv_tpl_str(obj).p + from, obj->n - from, &used);
            *out = sv_tpl_view(obj, from, used);
            return SV_OK;
        }
    }
    if (obj->tag == SV_TPL_DICT) {
        bool hashable;
        SV_TRY(sv_tpl_hashable(e, key, &hashable));
        if (hashable)
            SV_TRY(sv_tpl_dict_find(e, obj->u.dict, key, &found));
    }
    if (found) {
        *out = *found;
        return SV_OK;
    }
    if (key->tag == SV_TPL_STRING) {
        sv_str name = sv_tpl_str(key);
        if (obj->tag == SV_TPL_NAMESPACE || obj->tag == SV_TPL_LOOP)
            return sv_tpl_attr(e, obj, name, out);
        *out = sv_tpl_has_method(obj, name) ? method_value() : sv_tpl_undefined(name, obj->tag + 1u);
        return SV_OK;
    }
    *out = sv_tpl_undefined(SV_STR("[...]"), obj->tag + 1u);
    return SV_OK;
}

/* --- slices --- */

typedef struct slice {
    int64_t start, step;
    size_t n; /* items */
} slice;

/* Source: CPython, PySlice_AdjustIndices. part[i] is NULL or none where it is left out. */
static sv_err slice_of(sv_tpl_env *e, const sv_tpl_value *part, size_t length, slice *out)
{
    int64_t v[3] = { 0, 0, 1 }, n = (int64_t)length;
    bool given[3];
    for (int i = 0; i < 3; i++) {
        given[i] = part[i].tag != SV_TPL_NONE;
        if (!given[i])
            continue;
        if (part[i].tag == SV_TPL_UNDEFINED || (part[i].tag != SV_TPL_INT && part[i].tag != SV_TPL_BOOL))
            return sv_tpl_fault(e, "slice indices must be integers or None, not %s", sv_tpl_type(&part[i]));
        v[i] = part[i].tag == SV_TPL_INT ? part[i].u.i : part[i].u.b;
    }
    if (v[2] == 0)
        return sv_tpl_fault(e, "slice step cannot be zero");
    if (v[2] == INT64_MIN)
        v[2] = -INT64_MAX;
    int64_t low = v[2] < 0 ? -1 : 0, high = v[2] < 0 ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        if (!given[i]) {
            v[i] = (i == 0) == (v[2] > 0) ? low : high;
        } else if (v[i] < 0) {
            v[i] = v[i] < -n ? low : v[i] + n; /* v + n < 0 cannot be here */
        } else if (v[i] > high) {
            v[i] = high;
        }
    }
    *out = (slice){ .start = v[0], .step = v[2] };
    if (v[2] > 0 && v[0] < v[1])
        out->n = (size_t)((v[1] - v[0] - 1) / v[2] + 1);
    else if (v[2] < 0 && v[1] < v[0])
        out->n = (size_t)((v[0] - v[1] - 1) / -v[2] + 1);
    return SV_OK;
}

static sv_err slice_string(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *part, sv_tpl_value *out)
{
    slice sl;
    size_t length = sv_tpl_count(s), used;
    SV_TRY(sv_tpl_work(e, (size_t)s->n * 2));
    SV_TRY(slice_of(e, part, length, &sl));
    if (sl.step == 1 || sl.n == 0) {
        size_t from = sv_tpl_offset(s, (size_t)sl.start);
        sv_tpl_value rest = sv_tpl_view(s, from, s->n - from);
        *out = sv_tpl_view(s, from, sv_tpl_offset(&rest, sl.n));
        return SV_OK;
    }
    uint32_t *offset;
    sv_tpl_buf *b;
    sv_str t = sv_tpl_str(s);
    SV_TRY(sv_tpl_alloc(e, length * sizeof *offset, &offset));
    for (size_t at = 0, i = 0; at < t.n; at += used, i++) {
        sv_utf8_next(t.p + at, t.n - at, &used);
        offset[i] = (uint32_t)at;
    }
    SV_TRY(sv_tpl_buf_make(e, sl.n, &b));
    for (size_t i = 0; i < sl.n; i++) {
        size_t at = offset[sl.start + (int64_t)i * sl.step];
        sv_utf8_next(t.p + at, t.n - at, &used);
        SV_TRY(sv_tpl_buf_add(e, &b, (sv_str){ t.p + at, used }, sv_tpl_trusted_at(s, at)));
    }
    *out = sv_tpl_buf_string(b);
    out->markup = s->markup;
    return SV_OK;
}

static sv_err slice_value(sv_tpl_env *e, const sv_tpl_value *obj, const sv_tpl_value *part, sv_tpl_value *out)
{
    slice sl;
    if (obj->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, obj);
    if (obj->tag == SV_TPL_STRING)
        return slice_string(e, obj, part, out);
    if (obj->tag != SV_TPL_LIST || obj->u.list->kind == SV_TPL_KIND_GENERATOR || obj->u.list->kind == SV_TPL_KIND_VIEW)
        return sv_tpl_fault(e, "'%s' object cannot be sliced", sv_tpl_type(obj));
    const sv_tpl_list *l = obj->u.list;
    SV_TRY(slice_of(e, part, l->n, &sl));
    SV_TRY(sv_tpl_list_make(e, l->kind, sl.n, out));
    for (size_t i = 0; i < sl.n; i++)
        SV_TRY(sv_tpl_list_add(e, out->u.list, l->item[sl.start + (int64_t)i * sl.step]));
    return sv_tpl_work(e, sl.n * 8);
}

/* --- arithmetic --- */

static const char *const op_text[] = { "+", "-", "*", "//", "%", "==", "!=", "<", "<=", ">", ">=", "in", "not in" };

static int64_t whole(const sv_tpl_value *v)
{
    return v->tag == SV_TPL_INT ? v->u.i : v->u.b;
}

static double real(const sv_tpl_value *v)
{
    return v->tag == SV_TPL_FLOAT ? v->u.f : (double)whole(v);
}

static sv_err int_math(sv_tpl_env *e, sv_tpl_op op, int64_t a, int64_t b, int64_t *out)
{
    bool wraps = false;
    if ((op == SV_TPL_OP_FLOORDIV || op == SV_TPL_OP_MOD) && b == 0)
        return sv_tpl_fault(e, "integer division or modulo by zero");
    switch (op) {
    case SV_TPL_OP_ADD:
        wraps = __builtin_add_overflow(a, b, out);
        break;
    case SV_TPL_OP_SUB:
        wraps = __builtin_sub_overflow(a, b, out);
        break;
    case SV_TPL_OP_MUL:
        wraps = __builtin_mul_overflow(a, b, out);
        break;
    case SV_TPL_OP_FLOORDIV:
        wraps = a == INT64_MIN && b == -1;
        if (!wraps)
            *out = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
        break;
    default:
        *out = b == -1 ? 0 : a % b;
        if (*out != 0 && (*out < 0) != (b < 0))
            *out += b;
    }
    return wraps ? sv_tpl_over(e, "an integer out of the range of 64 bits") : SV_OK;
}

static sv_err float_math(sv_tpl_env *e, sv_tpl_op op, double a, double b, double *out)
{
    if ((op == SV_TPL_OP_FLOORDIV || op == SV_TPL_OP_MOD) && b == 0)
        return sv_tpl_fault(e, "float floor division or modulo by zero");
    if (op == SV_TPL_OP_ADD)
        *out = a + b;
    else if (op == SV_TPL_OP_SUB)
        *out = a - b;
    else if (op == SV_TPL_OP_MUL)
        *out = a * b;
    else { /* CPython, float_divmod */
        double mod = fmod(a, b), div = (a - mod) / b;
        if (mod == 0) {
            mod = copysign(0, b);
        } else if ((mod < 0) != (b < 0)) {
            mod += b;
            div -= 1;
        }
        double down = floor(div);
        *out = op == SV_TPL_OP_MOD ? mod : div == 0 ? copysign(0, a / b) : div - down > 0.5 ? down + 1 : down;
    }
    return SV_OK;
}

/* A string or list, n times. */
static sv_err repeat(sv_tpl_env *e, const sv_tpl_value *v, int64_t n, sv_tpl_value *out)
{
    if (n < 0)
        n = 0;
    if (v->tag == SV_TPL_STRING) {
        sv_tpl_buf *b;
        if (n && v->n > SV_TPL_MAX_OUT / (uint64_t)n)
            return sv_tpl_over(e, "a repeated text of more than %u bytes", SV_TPL_MAX_OUT);
        SV_TRY(sv_tpl_buf_make(e, (size_t)n * v->n, &b));
        SV_TRY(sv_tpl_work(e, v->n ? (size_t)n * 64 : 0));
        for (; n && v->n; n--)
            SV_TRY(sv_tpl_buf_add_string(e, &b, v));
        *out = sv_tpl_buf_string(b);
        out->markup = v->markup;
        return SV_OK;
    }
    const sv_tpl_list *l = v->u.list;
    if (n && l->n > SV_TPL_MAX_ITEM / (uint64_t)n)
        return sv_tpl_over(e, "a repeated list of more than %u items", SV_TPL_MAX_ITEM);
    SV_TRY(sv_tpl_list_make(e, l->kind, (size_t)n * l->n, out));
    for (; n && l->n; n--)
        for (uint32_t i = 0; i < l->n; i++)
            SV_TRY(sv_tpl_list_add(e, out->u.list, l->item[i]));
    return SV_OK;
}

static sv_err add_lists(sv_tpl_env *e, const sv_tpl_list *a, const sv_tpl_list *b, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_list_make(e, a->kind, (size_t)a->n + b->n, out));
    for (uint32_t i = 0; i < a->n; i++)
        SV_TRY(sv_tpl_list_add(e, out->u.list, a->item[i]));
    for (uint32_t i = 0; i < b->n; i++)
        SV_TRY(sv_tpl_list_add(e, out->u.list, b->item[i]));
    return sv_tpl_work(e, ((size_t)a->n + b->n) * 8);
}

/* Text that is added to Markup is escaped, as markupsafe does. */
static sv_err add_strings(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, sv_tpl_value *out)
{
    sv_tpl_value left = *a, right = *b;
    if (a->markup != b->markup) {
        SV_TRY(sv_tpl_escape(e, a, &left));
        SV_TRY(sv_tpl_escape(e, b, &right));
    }
    return sv_tpl_concat(e, &left, &right, out);
}

static bool is_sequence(const sv_tpl_value *v)
{
    return v->tag == SV_TPL_LIST && (v->u.list->kind == SV_TPL_KIND_LIST || v->u.list->kind == SV_TPL_KIND_TUPLE);
}

static sv_err math(sv_tpl_env *e, sv_tpl_op op, const sv_tpl_value *a, const sv_tpl_value *b, sv_tpl_value *out)
{
    bool trusted = a->trusted && b->trusted;
    if (op == SV_TPL_OP_MOD && a->tag == SV_TPL_STRING)
        return sv_tpl_unbuilt(e, "formatting with %% is not built");
    if (a->tag == SV_TPL_UNDEFINED || b->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, a->tag == SV_TPL_UNDEFINED ? a : b);
    if (sv_tpl_is_number(a) && sv_tpl_is_number(b)) {
        if (a->tag == SV_TPL_FLOAT || b->tag == SV_TPL_FLOAT) {
            double f = 0;
            SV_TRY(float_math(e, op, real(a), real(b), &f));
            *out = sv_tpl_float(f, trusted);
            return SV_OK;
        }
        int64_t i = 0;
        SV_TRY(int_math(e, op, whole(a), whole(b), &i));
        *out = sv_tpl_int(i, trusted);
        return SV_OK;
    }
    if (op == SV_TPL_OP_ADD && a->tag == SV_TPL_STRING && b->tag == SV_TPL_STRING)
        return add_strings(e, a, b, out);
    if (op == SV_TPL_OP_ADD && is_sequence(a) && is_sequence(b) && a->u.list->kind == b->u.list->kind)
        return add_lists(e, a->u.list, b->u.list, out);
    if (op == SV_TPL_OP_MUL) {
        const sv_tpl_value *times = is_sequence(a) || a->tag == SV_TPL_STRING ? b : a, *what = times == b ? a : b;
        if ((is_sequence(what) || what->tag == SV_TPL_STRING) &&
            (times->tag == SV_TPL_INT || times->tag == SV_TPL_BOOL))
            return repeat(e, what, whole(times), out);
    }
    return sv_tpl_fault(e, "unsupported operand type(s) for %s: '%s' and '%s'", op_text[op], sv_tpl_type(a),
                        sv_tpl_type(b));
}

static sv_err compare(sv_tpl_env *e, sv_tpl_op op, const sv_tpl_value *a, const sv_tpl_value *b, bool *out)
{
    int order;
    switch (op) {
    case SV_TPL_OP_EQ:
    case SV_TPL_OP_NE:
        SV_TRY(sv_tpl_equal(e, a, b, out));
        *out ^= op == SV_TPL_OP_NE;
        return SV_OK;
    case SV_TPL_OP_IN:
    case SV_TPL_OP_NOTIN:
        SV_TRY(sv_tpl_contains(e, b, a, out));
        *out ^= op == SV_TPL_OP_NOTIN;
        return SV_OK;
    default:
        SV_TRY(sv_tpl_less(e, a, b, op_text[op], &order));
        *out = op == SV_TPL_OP_LT   ? order == -1
               : op == SV_TPL_OP_LE ? order == -1 || order == 0
               : op == SV_TPL_OP_GT ? order == 1
                                    : order == 1 || order == 0;
        return SV_OK;
    }
}

static sv_err negative(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *v, sv_tpl_value *out)
{
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, v);
    if (!sv_tpl_is_number(v))
        return sv_tpl_fault(e, "bad operand type for unary %c: '%s'", n->kind == SV_TPL_N_NEG ? '-' : '+',
                            sv_tpl_type(v));
    if (v->tag == SV_TPL_FLOAT) {
        *out = sv_tpl_float(n->kind == SV_TPL_N_NEG ? -v->u.f : v->u.f, v->trusted);
        return SV_OK;
    }
    int64_t i = whole(v);
    if (n->kind == SV_TPL_N_NEG)
        SV_TRY(int_math(e, SV_TPL_OP_SUB, 0, i, &i));
    *out = sv_tpl_int(i, v->trusted);
    return SV_OK;
}

/* --- nodes --- */

static sv_err eval_kids(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_kind kind, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_list_make(e, kind, n->n_kid, out));
    for (uint32_t i = 0; i < n->n_kid; i++) {
        sv_tpl_value v;
        SV_TRY(sv_tpl_eval(e, n->kid[i], &v));
        SV_TRY(sv_tpl_list_add(e, out->u.list, v));
    }
    return SV_OK;
}

static sv_err eval_dict(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_dict_make(e, out));
    for (uint32_t i = 0; i < n->n_kid; i += 2) {
        sv_tpl_value key, v;
        SV_TRY(sv_tpl_eval(e, n->kid[i], &key));
        SV_TRY(sv_tpl_eval(e, n->kid[i + 1], &v));
        e->at = n;
        SV_TRY(sv_tpl_dict_set(e, out->u.dict, &key, v));
    }
    return SV_OK;
}

static sv_err eval_chain(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    sv_tpl_value next, result;
    SV_TRY(sv_tpl_eval(e, n->kid[0], out));
    if (n->kind == SV_TPL_N_CONCAT) {
        SV_TRY(sv_tpl_to_string(e, out, out));
        out->markup = false; /* `~` is the join of str() */
    }
    for (uint32_t i = 1; i < n->n_kid; i++) {
        if ((n->kind == SV_TPL_N_AND && !sv_tpl_is_true(out)) || (n->kind == SV_TPL_N_OR && sv_tpl_is_true(out)))
            return SV_OK;
        SV_TRY(sv_tpl_eval(e, n->kid[i], &next));
        e->at = n;
        if (n->kind == SV_TPL_N_MATH) {
            SV_TRY(math(e, n->op[i - 1], out, &next, &result));
            *out = result;
        } else if (n->kind == SV_TPL_N_CONCAT) {
            SV_TRY(sv_tpl_to_string(e, &next, &next));
            SV_TRY(sv_tpl_concat(e, out, &next, &result));
            *out = result;
        } else {
            *out = next;
        }
    }
    return SV_OK;
}

static sv_err eval_compare(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    sv_tpl_value left, right;
    bool is = true;
    SV_TRY(sv_tpl_eval(e, n->kid[0], &left));
    for (uint32_t i = 1; is && i < n->n_kid; i++) {
        SV_TRY(sv_tpl_eval(e, n->kid[i], &right));
        e->at = n;
        SV_TRY(compare(e, n->op[i - 1], &left, &right, &is));
        left = right;
    }
    *out = sv_tpl_bool(is, true);
    return SV_OK;
}

static sv_err eval_slice(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    sv_tpl_value obj, part[3];
    SV_TRY(sv_tpl_eval(e, n->kid[0], &obj));
    for (int i = 0; i < 3; i++) {
        part[i] = sv_tpl_none();
        if (n->kid[i + 1])
            SV_TRY(sv_tpl_eval(e, n->kid[i + 1], &part[i]));
    }
    e->at = n;
    return slice_value(e, &obj, part, out);
}

static sv_err eval_applied(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    sv_tpl_value v = e->captured, *arg;
    bool is = false;
    if (n->kid[0])
        SV_TRY(sv_tpl_eval(e, n->kid[0], &v));
    SV_TRY(sv_tpl_eval_args(e, n, &arg));
    e->at = n;
    if (n->kind == SV_TPL_N_FILTER)
        return sv_tpl_filter(e, n, &v, arg, out);
    SV_TRY(sv_tpl_test(e, n->id, &v, arg, n->n_arg, &is));
    *out = sv_tpl_bool(is, true);
    return SV_OK;
}

static sv_err eval_node(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    sv_tpl_value a, b;
    switch (n->kind) {
    case SV_TPL_N_CONST:
        *out = n->value;
        return SV_OK;
    case SV_TPL_N_NAME:
        *out = sv_tpl_lookup(e, n->name);
        return SV_OK;
    case SV_TPL_N_LIST:
        return eval_kids(e, n, SV_TPL_KIND_LIST, out);
    case SV_TPL_N_TUPLE:
        return eval_kids(e, n, SV_TPL_KIND_TUPLE, out);
    case SV_TPL_N_DICT:
        return eval_dict(e, n, out);
    case SV_TPL_N_ATTR:
        SV_TRY(sv_tpl_eval(e, n->kid[0], &a));
        e->at = n;
        return sv_tpl_attr(e, &a, e->t->names[n->name], out);
    case SV_TPL_N_ITEM:
        SV_TRY(sv_tpl_eval(e, n->kid[0], &a));
        SV_TRY(sv_tpl_eval(e, n->kid[1], &b));
        e->at = n;
        return sv_tpl_item(e, &a, &b, out);
    case SV_TPL_N_SLICE:
        return eval_slice(e, n, out);
    case SV_TPL_N_CALL:
        return sv_tpl_call(e, n, out);
    case SV_TPL_N_FILTER:
    case SV_TPL_N_TEST:
        return eval_applied(e, n, out);
    case SV_TPL_N_NOT:
        SV_TRY(sv_tpl_eval(e, n->kid[0], &a));
        *out = sv_tpl_bool(!sv_tpl_is_true(&a), true);
        return SV_OK;
    case SV_TPL_N_NEG:
    case SV_TPL_N_POS:
        SV_TRY(sv_tpl_eval(e, n->kid[0], &a));
        e->at = n;
        return negative(e, n, &a, out);
    case SV_TPL_N_COMPARE:
        return eval_compare(e, n, out);
    case SV_TPL_N_COND:
        SV_TRY(sv_tpl_eval(e, n->kid[0], &a));
        if (sv_tpl_is_true(&a))
            return sv_tpl_eval(e, n->kid[1], out);
        *out = sv_tpl_undefined(SV_STR("the else branch of an inline if"), 0);
        return n->kid[2] ? sv_tpl_eval(e, n->kid[2], out) : SV_OK;
    default:
        return eval_chain(e, n, out);
    }
}

sv_err sv_tpl_eval(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    e->at = n;
    SV_TRY(sv_tpl_work(e, 64));
    if (e->depth == SV_TPL_MAX_DEPTH)
        return sv_tpl_over(e, "evaluation is nested more than %u deep", SV_TPL_MAX_DEPTH);
    e->depth++;
    sv_err err = eval_node(e, n, out);
    e->depth--;
    return err;
}

sv_err sv_tpl_eval_args(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value **arg)
{
    uint32_t n_arg = n->n_kid - 1;
    *arg = NULL;
    if (n_arg)
        SV_TRY(sv_tpl_alloc(e, n_arg * sizeof **arg, arg));
    for (uint32_t i = 0; i < n_arg; i++)
        SV_TRY(sv_tpl_eval(e, n->kid[i + 1], &(*arg)[i]));
    return SV_OK;
}
