/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: methods of strings, dicts and lists, and the three functions range, namespace and raise_exception.
 */
#include "text/template_impl.h"

#include <string.h>

sv_err sv_tpl_args(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *arg, const char *const *spec, size_t n_spec,
                   size_t n_need, const sv_tpl_value **got)
{
    const char *what = sv_str_quote(e->t->names[n->kind == SV_TPL_N_CALL ? n->kid[0]->name : n->name]);
    for (size_t i = 0; i < n_spec; i++)
        got[i] = NULL;
    if (n->n_arg > n_spec)
        return sv_tpl_fault(e, "'%s' takes at most %zu argument(s)", what, n_spec);
    for (uint32_t i = 0; i < n->n_arg; i++)
        got[i] = &arg[i];
    for (uint32_t k = 0; k < n->n_key; k++) {
        size_t i = 0;
        while (i < n_spec && (!spec[i] || !sv_str_is(e->t->names[n->key[k]], spec[i])))
            i++;
        if (i == n_spec || got[i])
            return sv_tpl_fault(e, "'%s' takes no keyword argument '%s' here", what,
                                sv_str_quote(e->t->names[n->key[k]]));
        got[i] = &arg[n->n_arg + k];
    }
    for (size_t i = 0; i < n_need; i++)
        if (!got[i])
            return sv_tpl_fault(e, "'%s' needs %zu argument(s)", what, n_need);
    return SV_OK;
}

sv_err sv_tpl_int_arg(sv_tpl_env *e, const sv_tpl_value *v, int64_t dflt, int64_t *out)
{
    *out = dflt;
    if (!v)
        return SV_OK;
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, v);
    if (v->tag != SV_TPL_INT && v->tag != SV_TPL_BOOL)
        return sv_tpl_fault(e, "'%s' object cannot be interpreted as an integer", sv_tpl_type(v));
    *out = v->tag == SV_TPL_INT ? v->u.i : v->u.b;
    return SV_OK;
}

static sv_err need_string(sv_tpl_env *e, const sv_tpl_value *v)
{
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, v);
    return v->tag == SV_TPL_STRING ? SV_OK : sv_tpl_fault(e, "a str is needed, not '%s'", sv_tpl_type(v));
}

/* --- strings --- */

typedef sv_err (*method_fn)(sv_tpl_env *e, const sv_tpl_value *obj, const sv_tpl_value **got, sv_tpl_value *out);

static sv_err text_split(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    int64_t max;
    const sv_tpl_value *sep = got[0] && got[0]->tag == SV_TPL_NONE ? NULL : got[0];
    if (sep)
        SV_TRY(need_string(e, sep));
    SV_TRY(sv_tpl_int_arg(e, got[1], -1, &max));
    return sv_tpl_split(e, s, sep, max < 0 ? -1 : max, out);
}

static sv_err strip_sides(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *chars, int sides, sv_tpl_value *out)
{
    if (chars && chars->tag == SV_TPL_NONE)
        chars = NULL;
    if (chars)
        SV_TRY(need_string(e, chars));
    return sv_tpl_strip(e, s, chars, sides, out);
}

static sv_err text_strip(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    return strip_sides(e, s, got[0], SV_TPL_LEFT | SV_TPL_RIGHT, out);
}

static sv_err text_lstrip(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    return strip_sides(e, s, got[0], SV_TPL_LEFT, out);
}

static sv_err text_rstrip(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    return strip_sides(e, s, got[0], SV_TPL_RIGHT, out);
}

/* s begins (or ends) with a text or with one of a tuple of them. */
static sv_err affix(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *a, bool at_end, sv_tpl_value *out)
{
    sv_tpl_list one = { .item = (sv_tpl_value *)(uintptr_t)a, .n = 1 };
    const sv_tpl_list *l = a->tag == SV_TPL_LIST && a->u.list->kind == SV_TPL_KIND_TUPLE ? a->u.list : &one;
    bool is = false;
    for (uint32_t i = 0; i < l->n && !is; i++) {
        SV_TRY(need_string(e, &l->item[i]));
        sv_str t = sv_tpl_str(s), x = sv_tpl_str(&l->item[i]);
        SV_TRY(sv_tpl_work(e, x.n));
        is = x.n <= t.n && memcmp(t.p + (at_end ? t.n - x.n : 0), x.p, x.n) == 0;
    }
    *out = sv_tpl_bool(is, true);
    return SV_OK;
}

static sv_err text_startswith(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    return affix(e, s, got[0], false, out);
}

static sv_err text_endswith(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    return affix(e, s, got[0], true, out);
}

static sv_err text_replace(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    int64_t max;
    SV_TRY(need_string(e, got[0]));
    SV_TRY(need_string(e, got[1]));
    SV_TRY(sv_tpl_int_arg(e, got[2], -1, &max));
    sv_tpl_value fresh = *got[1];
    if (s->markup)
        SV_TRY(sv_tpl_escape(e, got[1], &fresh));
    return sv_tpl_replace(e, s, got[0], &fresh, max < 0 ? -1 : max, out);
}

static sv_err text_upper(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return sv_tpl_recase(e, s, SV_TPL_UPPER, out);
}

static sv_err text_lower(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return sv_tpl_recase(e, s, SV_TPL_LOWER, out);
}

static sv_err text_title(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return sv_tpl_recase(e, s, SV_TPL_TITLE, out);
}

/* --- dicts and lists --- */

static sv_err dict_get(sv_tpl_env *e, const sv_tpl_value *d, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value *found;
    SV_TRY(sv_tpl_dict_find(e, d->u.dict, got[0], &found));
    *out = found ? *found : got[1] ? *got[1] : sv_tpl_none();
    return SV_OK;
}

/* .items(), .keys(), .values(): which & 1 gives keys, & 2 values */
static sv_err dict_view(sv_tpl_env *e, const sv_tpl_dict *d, int which, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_VIEW, d->n, out));
    for (uint32_t i = 0; i < d->n; i++) {
        sv_tpl_value v = which == 1 ? d->item[i].key : d->item[i].value;
        if (which == 3) {
            SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_TUPLE, 2, &v));
            SV_TRY(sv_tpl_list_add(e, v.u.list, d->item[i].key));
            SV_TRY(sv_tpl_list_add(e, v.u.list, d->item[i].value));
        }
        SV_TRY(sv_tpl_list_add(e, out->u.list, v));
    }
    return sv_tpl_work(e, (size_t)d->n * 8);
}

static sv_err dict_items(sv_tpl_env *e, const sv_tpl_value *d, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return dict_view(e, d->u.dict, 3, out);
}

static sv_err dict_keys(sv_tpl_env *e, const sv_tpl_value *d, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return dict_view(e, d->u.dict, 1, out);
}

static sv_err dict_values(sv_tpl_env *e, const sv_tpl_value *d, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return dict_view(e, d->u.dict, 2, out);
}

static sv_err dict_pop(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_dict *d = v->u.dict;
    sv_tpl_value *found;
    SV_TRY(sv_tpl_dict_find(e, d, got[0], &found));
    if (!found && !got[1])
        return sv_tpl_fault(e, "pop of a key that is not there");
    *out = found ? *found : *got[1];
    for (uint32_t i = 0; found && i < d->n; i++) {
        if (&d->item[i].value == found) {
            memmove(&d->item[i], &d->item[i + 1], (d->n - i - 1) * sizeof d->item[0]);
            d->n--;
            break;
        }
    }
    return SV_OK;
}

static sv_err list_append(sv_tpl_env *e, const sv_tpl_value *l, const sv_tpl_value **got, sv_tpl_value *out)
{
    *out = sv_tpl_none();
    return sv_tpl_list_add(e, l->u.list, *got[0]);
}

static sv_err list_pop(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_list *l = v->u.list;
    int64_t i;
    SV_TRY(sv_tpl_int_arg(e, got[0], -1, &i));
    if (i < 0)
        i += l->n;
    if (i < 0 || i >= l->n)
        return sv_tpl_fault(e, l->n ? "pop index out of range" : "pop from empty list");
    *out = l->item[i];
    SV_TRY(sv_tpl_work(e, (size_t)(l->n - i) * 8));
    memmove(&l->item[i], &l->item[i + 1], (size_t)(l->n - i - 1) * sizeof l->item[0]);
    l->n--;
    return SV_OK;
}

#define SPEC_MAX 3
static const struct method {
    uint8_t tag;
    const char *name;
    method_fn fn;
    uint8_t n_spec, n_need;
    const char *spec[SPEC_MAX];
} methods[] = {
    { SV_TPL_STRING, "split", text_split, 2, 0, { "sep", "maxsplit" } },
    { SV_TPL_STRING, "strip", text_strip, 1, 0, { NULL } },
    { SV_TPL_STRING, "lstrip", text_lstrip, 1, 0, { NULL } },
    { SV_TPL_STRING, "rstrip", text_rstrip, 1, 0, { NULL } },
    { SV_TPL_STRING, "startswith", text_startswith, 1, 1, { NULL } },
    { SV_TPL_STRING, "endswith", text_endswith, 1, 1, { NULL } },
    { SV_TPL_STRING, "replace", text_replace, 3, 2, { NULL } },
    { SV_TPL_STRING, "upper", text_upper, 0, 0, { NULL } },
    { SV_TPL_STRING, "lower", text_lower, 0, 0, { NULL } },
    { SV_TPL_STRING, "title", text_title, 0, 0, { NULL } },
    { SV_TPL_DICT, "get", dict_get, 2, 1, { NULL } },
    { SV_TPL_DICT, "items", dict_items, 0, 0, { NULL } },
    { SV_TPL_DICT, "keys", dict_keys, 0, 0, { NULL } },
    { SV_TPL_DICT, "values", dict_values, 0, 0, { NULL } },
    { SV_TPL_DICT, "pop", dict_pop, 2, 1, { NULL } },
    { SV_TPL_LIST, "append", list_append, 1, 1, { NULL } },
    { SV_TPL_LIST, "pop", list_pop, 1, 0, { NULL } },
};
#define N_METHOD (sizeof methods / sizeof methods[0])

static const struct method *find(const sv_tpl_value *obj, sv_str name)
{
    if (obj->tag == SV_TPL_LIST && obj->u.list->kind != SV_TPL_KIND_LIST)
        return NULL;
    for (size_t i = 0; i < N_METHOD; i++)
        if (methods[i].tag == obj->tag && sv_str_is(name, methods[i].name))
            return &methods[i];
    return NULL;
}

bool sv_tpl_is_method(sv_str name)
{
    for (size_t i = 0; i < N_METHOD; i++)
        if (sv_str_is(name, methods[i].name))
            return true;
    return false;
}

/* What Python has besides: reading such a name gives something defined and true, also in a dict that has no such key.
 */
bool sv_tpl_has_method(const sv_tpl_value *obj, sv_str name)
{
    static const char *const of_text[] = {
        "capitalize", "casefold",   "center",       "count",        "encode",  "expandtabs", "find",    "format",
        "format_map", "index",      "isalnum",      "isalpha",      "isascii", "isdecimal",  "isdigit", "isidentifier",
        "islower",    "isnumeric",  "isprintable",  "isspace",      "istitle", "isupper",    "join",    "ljust",
        "maketrans",  "partition",  "removeprefix", "removesuffix", "rfind",   "rindex",     "rjust",   "rpartition",
        "rsplit",     "splitlines", "swapcase",     "translate",    "zfill",   NULL
    };
    static const char *const of_dict[] = { "clear", "copy", "fromkeys", "popitem", "setdefault", "update", NULL };
    static const char *const of_list[] = { "clear",  "copy",   "count",   "extend", "index",
                                           "insert", "remove", "reverse", "sort",   NULL };
    static const char *const of_tuple[] = { "count", "index", NULL }, *const none[] = { NULL };
    const char *const *more = none;
    if (find(obj, name))
        return true;
    if (obj->tag == SV_TPL_STRING)
        more = of_text;
    else if (obj->tag == SV_TPL_DICT)
        more = of_dict;
    else if (obj->tag == SV_TPL_LIST && obj->u.list->kind == SV_TPL_KIND_LIST)
        more = of_list;
    else if (obj->tag == SV_TPL_LIST &&
             (obj->u.list->kind == SV_TPL_KIND_TUPLE || obj->u.list->kind == SV_TPL_KIND_RANGE))
        more = of_tuple;
    for (; *more; more++)
        if (sv_str_is(name, *more))
            return true;
    return false;
}

/* --- functions --- */

static sv_err call_range(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *arg, sv_tpl_value *out)
{
    static const char *const spec[3] = { NULL, NULL, NULL };
    const sv_tpl_value *got[3];
    int64_t from, to, step;
    SV_TRY(sv_tpl_args(e, n, arg, spec, 3, 1, got));
    SV_TRY(sv_tpl_int_arg(e, got[1] ? got[0] : NULL, 0, &from));
    SV_TRY(sv_tpl_int_arg(e, got[1] ? got[1] : got[0], 0, &to));
    SV_TRY(sv_tpl_int_arg(e, got[2], 1, &step));
    if (step == 0)
        return sv_tpl_fault(e, "range() arg 3 must not be zero");
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_RANGE, 0, out));
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        if (out->u.list->n == SV_TPL_MAX_RANGE)
            return sv_tpl_over(e, "a range of more than %d items", SV_TPL_MAX_RANGE);
        SV_TRY(sv_tpl_list_add(e, out->u.list, sv_tpl_int(i, true)));
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return sv_tpl_work(e, (size_t)out->u.list->n * 8);
}

static sv_err call_namespace(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *arg, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_dict_make(e, out));
    out->tag = SV_TPL_NAMESPACE;
    if (n->n_arg > 1 || (n->n_arg == 1 && arg[0].tag != SV_TPL_DICT))
        return sv_tpl_fault(e, "namespace() takes a dict and keyword arguments");
    for (uint32_t i = 0; n->n_arg && i < arg[0].u.dict->n; i++)
        SV_TRY(sv_tpl_dict_set(e, out->u.dict, &arg[0].u.dict->item[i].key, arg[0].u.dict->item[i].value));
    for (uint32_t k = 0; k < n->n_key; k++) {
        sv_tpl_value key;
        SV_TRY(sv_tpl_borrow(e, e->t->names[n->key[k]], true, &key));
        SV_TRY(sv_tpl_dict_set(e, out->u.dict, &key, arg[n->n_arg + k]));
    }
    return SV_OK;
}

static sv_err call_raise(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *arg)
{
    static const char *const spec[1] = { "message" };
    const sv_tpl_value *got[1];
    sv_tpl_value text;
    SV_TRY(sv_tpl_args(e, n, arg, spec, 1, 1, got));
    SV_TRY(sv_tpl_to_string(e, got[0], &text));
    return sv_fail(SV_E_ARG, "%.*s", (int)(text.n < 1024 ? text.n : 1024), sv_tpl_str(&text).p);
}

/* --- calls --- */

static sv_err call_method(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    sv_tpl_value obj, *arg, callee;
    const sv_tpl_value *got[SPEC_MAX];
    sv_str name = e->t->names[n->kid[0]->name];
    SV_TRY(sv_tpl_eval(e, n->kid[0]->kid[0], &obj));
    e->at = n;
    if (obj.tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, &obj);
    SV_TRY(sv_tpl_eval_args(e, n, &arg));
    e->at = n;
    const struct method *m = find(&obj, name);
    if (m) {
        SV_TRY(sv_tpl_args(e, n, arg, m->spec, m->n_spec, m->n_need, got));
        return m->fn(e, &obj, got, out);
    }
    SV_TRY(sv_tpl_attr(e, &obj, name, &callee));
    if (callee.tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, &callee);
    return sv_tpl_fault(e, "'%s' object is not callable", sv_tpl_type(&callee));
}

sv_err sv_tpl_call(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out)
{
    if (n->kid[0]->kind == SV_TPL_N_ATTR)
        return call_method(e, n, out);
    sv_tpl_value f = sv_tpl_lookup(e, n->kid[0]->name), *arg;
    SV_TRY(sv_tpl_eval_args(e, n, &arg));
    e->at = n;
    if (f.tag == SV_TPL_MACRO)
        return sv_tpl_call_macro(e, f.u.macro, n, arg, out);
    if (f.tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, &f);
    if (f.tag != SV_TPL_FUNCTION)
        return sv_tpl_fault(e, "'%s' object is not callable", sv_tpl_type(&f));
    if (f.u.i == SV_TPL_NAME_range)
        return call_range(e, n, arg, out);
    if (f.u.i == SV_TPL_NAME_namespace)
        return call_namespace(e, n, arg, out);
    return call_raise(e, n, arg);
}
