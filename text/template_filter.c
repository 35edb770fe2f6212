/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: filters. Semantics: jinja2 3.1, filters.py, with Hugging Face's tojson (ASCII off, nothing escaped
 * for HTML, keys in their order).
 */
#include "text/template_impl.h"

#include <math.h>
#include <string.h>

typedef sv_err (*filter_fn)(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out);

static bool is_given(const sv_tpl_value *v)
{
    return v && v->tag != SV_TPL_NONE;
}

/* --- text --- */

static sv_err filter_tojson(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    int64_t indent;
    SV_TRY(sv_tpl_int_arg(e, is_given(got[0]) ? got[0] : NULL, 0, &indent));
    return sv_tpl_to_json(e, v, is_given(got[0]), indent, out);
}

static sv_err filter_string(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return sv_tpl_to_string(e, v, out);
}

static sv_err filter_trim(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value s;
    SV_TRY(sv_tpl_to_string(e, v, &s));
    if (is_given(got[0]) && got[0]->tag != SV_TPL_STRING)
        return sv_tpl_fault(e, "trim takes a str, not '%s'", sv_tpl_type(got[0]));
    return sv_tpl_strip(e, &s, is_given(got[0]) ? got[0] : NULL, SV_TPL_LEFT | SV_TPL_RIGHT, out);
}

static sv_err recased(sv_tpl_env *e, const sv_tpl_value *v, sv_tpl_case to, sv_tpl_value *out)
{
    sv_tpl_value s;
    SV_TRY(sv_tpl_to_string(e, v, &s));
    return sv_tpl_recase(e, &s, to, out);
}

static sv_err filter_upper(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return recased(e, v, SV_TPL_UPPER, out);
}

static sv_err filter_lower(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return recased(e, v, SV_TPL_LOWER, out);
}

static sv_err filter_capitalize(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    return recased(e, v, SV_TPL_CAPITAL, out);
}

static sv_err filter_replace(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value s, old, fresh;
    int64_t max;
    SV_TRY(sv_tpl_to_string(e, v, &s));
    SV_TRY(sv_tpl_to_string(e, got[0], &old));
    SV_TRY(sv_tpl_to_string(e, got[1], &fresh));
    SV_TRY(sv_tpl_int_arg(e, is_given(got[2]) ? got[2] : NULL, -1, &max));
    s.markup = false; /* the filter works on str() */
    return sv_tpl_replace(e, &s, &old, &fresh, max < 0 ? -1 : max, out);
}

static sv_err filter_indent(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value by;
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, v);
    if (v->tag != SV_TPL_STRING)
        return sv_tpl_fault(e, "indent takes a str, not '%s'", sv_tpl_type(v));
    if (got[0] && got[0]->tag == SV_TPL_STRING) {
        by = *got[0];
    } else {
        int64_t width;
        SV_TRY(sv_tpl_int_arg(e, got[0], 4, &width));
        if (width > (int64_t)SV_TPL_MAX_OUT)
            return sv_tpl_over(e, "an indentation of more than %u spaces", SV_TPL_MAX_OUT);
        sv_tpl_buf *b;
        size_t n = width < 0 ? 0 : (size_t)width;
        SV_TRY(sv_tpl_buf_make(e, n, &b));
        memset(b->p, ' ', n);
        b->n = (uint32_t)n;
        b->trusted = true;
        by = sv_tpl_buf_string(b);
    }
    return sv_tpl_indent(e, v, &by, got[1] && sv_tpl_is_true(got[1]), got[2] && sv_tpl_is_true(got[2]), out);
}

static sv_err filter_safe(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    SV_TRY(sv_tpl_to_string(e, v, out));
    out->markup = true;
    return SV_OK;
}

/* --- numbers and defaults --- */

static sv_err filter_default(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    bool use = v->tag == SV_TPL_UNDEFINED || (got[1] && sv_tpl_is_true(got[1]) && !sv_tpl_is_true(v));
    if (!use) {
        *out = *v;
        return SV_OK;
    }
    if (!got[0])
        return sv_tpl_borrow(e, SV_STR(""), true, out);
    *out = *got[0];
    return SV_OK;
}

/* Digits with single underscores between them, as int() and float() read them, without the underscores. */
static bool plain_number(sv_str s, sv_bytes *out)
{
    for (size_t i = 0; i < s.n; i++) {
        bool inner =
            i > 0 && i + 1 < s.n && s.p[i - 1] >= '0' && s.p[i - 1] <= '9' && s.p[i + 1] >= '0' && s.p[i + 1] <= '9';
        if (s.p[i] != '_')
            sv_bytes_char(out, s.p[i]);
        else if (!inner)
            return false;
    }
    return out->n > 0 && out->n <= 400;
}

static bool int_of_text(sv_tpl_env *e, const sv_tpl_value *v, int64_t *out)
{
    sv_tpl_value s;
    sv_bytes digits = { 0 };
    double f;
    bool is = false;
    if (sv_tpl_strip(e, v, NULL, SV_TPL_LEFT | SV_TPL_RIGHT, &s) == SV_OK && s.n <= 512 &&
        plain_number(sv_tpl_str(&s), &digits)) {
        sv_str t = { digits.p, digits.n };
        bool plus = t.n > 1 && t.p[0] == '+', twice = plus && (t.p[1] == '+' || t.p[1] == '-');
        if (plus)
            t = (sv_str){ t.p + 1, t.n - 1 };
        is = !twice && sv_str_i64(t, out);
        if (!is && !twice && sv_str_f64(t, &f) && f > -9.2e18 && f < 9.2e18) {
            *out = (int64_t)f;
            is = true;
        }
    }
    sv_bytes_done(&digits);
    return is;
}

static sv_err filter_int(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    int64_t i = 0, base;
    bool is = v->tag == SV_TPL_INT || v->tag == SV_TPL_BOOL;
    SV_TRY(sv_tpl_int_arg(e, got[1], 10, &base));
    if (base != 10)
        return sv_tpl_unbuilt(e, "filter 'int' with another base than 10 is not built");
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, v);
    if (is)
        i = v->tag == SV_TPL_INT ? v->u.i : v->u.b;
    else if (v->tag == SV_TPL_STRING)
        is = int_of_text(e, v, &i);
    else if (v->tag == SV_TPL_FLOAT && isinf(v->u.f))
        return sv_tpl_fault(e, "cannot convert float infinity to integer");
    else if (v->tag == SV_TPL_FLOAT && !isnan(v->u.f)) {
        if (fabs(v->u.f) > 9.2e18)
            return sv_tpl_over(e, "an integer out of the range of 64 bits");
        i = (int64_t)v->u.f;
        is = true;
    }
    *out = is       ? sv_tpl_int(i, v->tag == SV_TPL_STRING ? sv_tpl_all_trusted(v) : v->trusted)
           : got[0] ? *got[0]
                    : sv_tpl_int(0, true);
    return SV_OK;
}

static sv_err filter_length(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    uint32_t n = 0;
    (void)got;
    if (v->tag == SV_TPL_STRING) {
        SV_TRY(sv_tpl_work(e, v->n));
        n = (uint32_t)sv_tpl_count(v);
    } else if (v->tag == SV_TPL_LIST && v->u.list->kind != SV_TPL_KIND_GENERATOR) {
        n = v->u.list->n;
    } else if (v->tag == SV_TPL_DICT) {
        n = v->u.dict->n;
    } else if (v->tag == SV_TPL_LOOP) {
        SV_TRY(sv_tpl_loop_length(e, v->u.loop, &n));
    } else if (v->tag != SV_TPL_UNDEFINED) {
        return sv_tpl_fault(e, "object of type '%s' has no len()", sv_tpl_type(v));
    }
    *out = sv_tpl_int(n, false);
    return SV_OK;
}

/* --- sequences --- */

static sv_err filter_list(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value items;
    (void)got;
    SV_TRY(sv_tpl_items(e, v, &items));
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_LIST, items.u.list->n, out));
    for (uint32_t i = 0; i < items.u.list->n; i++)
        SV_TRY(sv_tpl_list_add(e, out->u.list, items.u.list->item[i]));
    return sv_tpl_work(e, (size_t)items.u.list->n * 8);
}

static sv_err filter_first(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value items;
    (void)got;
    SV_TRY(sv_tpl_items(e, v, &items));
    *out = items.u.list->n ? items.u.list->item[0] : sv_tpl_undefined(SV_STR("the first item of nothing"), 0);
    return SV_OK;
}

static sv_err filter_last(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value items;
    (void)got;
    if (v->tag == SV_TPL_LIST && v->u.list->kind == SV_TPL_KIND_GENERATOR)
        return sv_tpl_fault(e, "'generator' object is not reversible");
    SV_TRY(sv_tpl_items(e, v, &items));
    uint32_t n = items.u.list->n;
    *out = n ? items.u.list->item[n - 1] : sv_tpl_undefined(SV_STR("the last item of nothing"), 0);
    return SV_OK;
}

/* An item's attribute by a path with dots; parts of digits are positions. */
static sv_err by_path(sv_tpl_env *e, const sv_tpl_value *item, const sv_tpl_value *path, const sv_tpl_value *dflt,
                      sv_tpl_value *out)
{
    *out = *item;
    if (path->tag != SV_TPL_STRING)
        return sv_tpl_item(e, item, path, out);
    for (size_t from = 0; from <= path->n;) {
        sv_str t = { sv_tpl_str(path).p + from, path->n - from };
        const char *dot = memchr(t.p, '.', t.n);
        size_t n = dot ? (size_t)(dot - t.p) : t.n;
        sv_tpl_value part = sv_tpl_view(path, from, n), of = *out;
        int64_t i;
        if (n && t.p[0] >= '0' && t.p[0] <= '9' && sv_str_i64((sv_str){ t.p, n }, &i))
            part = sv_tpl_int(i, true);
        SV_TRY(sv_tpl_item(e, &of, &part, out));
        if (is_given(dflt) && out->tag == SV_TPL_UNDEFINED)
            *out = *dflt;
        from += n + 1;
    }
    return SV_OK;
}

static sv_err filter_join(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value items, between, text;
    sv_tpl_buf *b;
    SV_TRY(sv_tpl_borrow(e, SV_STR(""), true, &between));
    if (got[0])
        SV_TRY(sv_tpl_to_string(e, got[0], &between));
    SV_TRY(sv_tpl_items(e, v, &items));
    SV_TRY(sv_tpl_buf_make(e, 64, &b));
    for (uint32_t i = 0; i < items.u.list->n; i++) {
        if (i)
            SV_TRY(sv_tpl_buf_add_string(e, &b, &between));
        text = items.u.list->item[i];
        if (is_given(got[1]))
            SV_TRY(by_path(e, &items.u.list->item[i], got[1], NULL, &text));
        SV_TRY(sv_tpl_to_string(e, &text, &text));
        SV_TRY(sv_tpl_buf_add_string(e, &b, &text));
        SV_TRY(sv_tpl_work(e, 64));
    }
    *out = sv_tpl_buf_string(b);
    return SV_OK;
}

static sv_err pairs(sv_tpl_env *e, const sv_tpl_dict *d, sv_tpl_kind kind, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_list_make(e, kind, d->n, out));
    for (uint32_t i = 0; i < d->n; i++) {
        sv_tpl_value pair;
        SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_TUPLE, 2, &pair));
        SV_TRY(sv_tpl_list_add(e, pair.u.list, d->item[i].key));
        SV_TRY(sv_tpl_list_add(e, pair.u.list, d->item[i].value));
        SV_TRY(sv_tpl_list_add(e, out->u.list, pair));
    }
    return sv_tpl_work(e, (size_t)d->n * 8);
}

static sv_err filter_items(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    (void)got;
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_list_make(e, SV_TPL_KIND_GENERATOR, 0, out);
    if (v->tag != SV_TPL_DICT)
        return sv_tpl_fault(e, "items takes a dict, not '%s'", sv_tpl_type(v));
    return pairs(e, v->u.dict, SV_TPL_KIND_GENERATOR, out);
}

/* A key for comparisons: text in lower case unless case matters. */
static sv_err fold(sv_tpl_env *e, const sv_tpl_value *v, bool exact, sv_tpl_value *out)
{
    *out = *v;
    return v->tag == SV_TPL_STRING && !exact ? sv_tpl_recase(e, v, SV_TPL_LOWER, out) : SV_OK;
}

/* Merges key[from .. mid) and key[mid .. to) and their items through the second halves of both arrays; stable. */
static sv_err merge(sv_tpl_env *e, sv_tpl_value *key, sv_tpl_value *item, uint32_t n, uint32_t from, uint32_t mid,
                    uint32_t to, bool reverse)
{
    uint32_t a = from, b = mid;
    for (uint32_t i = from; i < to; i++) {
        bool second = a == mid;
        if (a < mid && b < to) {
            int order;
            SV_TRY(sv_tpl_less(e, &key[b], &key[a], "<", &order));
            second = reverse ? order == 1 : order == -1;
            SV_TRY(sv_tpl_work(e, 64));
        }
        uint32_t take = second ? b++ : a++;
        key[n + i] = key[take];
        item[n + i] = item[take];
    }
    memcpy(key + from, key + n + from, (to - from) * sizeof *key);
    memcpy(item + from, item + n + from, (to - from) * sizeof *item);
    return SV_OK;
}

static sv_err filter_dictsort(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    bool exact = got[0] && sv_tpl_is_true(got[0]), reverse = got[2] && sv_tpl_is_true(got[2]);
    uint32_t by = 0;
    sv_tpl_value *key, *item;
    if (v->tag == SV_TPL_UNDEFINED)
        return sv_tpl_undefined_fault(e, v);
    if (v->tag != SV_TPL_DICT)
        return sv_tpl_fault(e, "dictsort takes a dict, not '%s'", sv_tpl_type(v));
    if (got[1]) {
        bool text = got[1]->tag == SV_TPL_STRING;
        by = text && sv_str_is(sv_tpl_str(got[1]), "value");
        if (!by && !(text && sv_str_is(sv_tpl_str(got[1]), "key")))
            return sv_tpl_fault(e, "You can only sort by either \"key\" or \"value\"");
    }
    SV_TRY(pairs(e, v->u.dict, SV_TPL_KIND_LIST, out));
    uint32_t n = out->u.list->n;
    SV_TRY(sv_tpl_alloc(e, 2 * (size_t)n * sizeof *key, &key));
    SV_TRY(sv_tpl_alloc(e, 2 * (size_t)n * sizeof *item, &item));
    for (uint32_t i = 0; i < n; i++) {
        item[i] = out->u.list->item[i];
        SV_TRY(fold(e, &item[i].u.list->item[by], exact, &key[i]));
    }
    for (uint32_t width = 1; width < n; width *= 2)
        for (uint32_t from = 0; from + width < n; from += 2 * width)
            SV_TRY(merge(e, key, item, n, from, from + width, from + 2 * width < n ? from + 2 * width : n, reverse));
    out->u.list->item = item;
    out->u.list->cap = 2 * n;
    return SV_OK;
}

static sv_err filter_unique(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value items, seen, key, *found;
    SV_TRY(sv_tpl_items(e, v, &items));
    SV_TRY(sv_tpl_dict_make(e, &seen));
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_GENERATOR, 0, out));
    for (uint32_t i = 0; i < items.u.list->n; i++) {
        key = items.u.list->item[i];
        if (is_given(got[1]))
            SV_TRY(by_path(e, &items.u.list->item[i], got[1], NULL, &key));
        SV_TRY(fold(e, &key, got[0] && sv_tpl_is_true(got[0]), &key));
        SV_TRY(sv_tpl_dict_find(e, seen.u.dict, &key, &found));
        if (found)
            continue;
        SV_TRY(sv_tpl_dict_set(e, seen.u.dict, &key, key));
        SV_TRY(sv_tpl_list_add(e, out->u.list, items.u.list->item[i]));
    }
    return SV_OK;
}

static sv_err filter_map(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    sv_tpl_value items, mapped;
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_GENERATOR, 0, out));
    if (!sv_tpl_is_true(v))
        return SV_OK;
    SV_TRY(sv_tpl_items(e, v, &items));
    for (uint32_t i = 0; i < items.u.list->n; i++) {
        SV_TRY(by_path(e, &items.u.list->item[i], got[0], got[1], &mapped));
        SV_TRY(sv_tpl_list_add(e, out->u.list, mapped));
        SV_TRY(sv_tpl_work(e, 64));
    }
    return SV_OK;
}

static void drop_json(void *j)
{
    json_decref(j);
}

static sv_err filter_from_json(sv_tpl_env *e, const sv_tpl_value *v, const sv_tpl_value **got, sv_tpl_value *out)
{
    json_t *j;
    json_error_t at;
    (void)got;
    if (v->tag != SV_TPL_STRING)
        return sv_tpl_fault(e, "from_json takes a str, not '%s'", sv_tpl_type(v));
    sv_str t = sv_tpl_str(v);
    uint32_t depth = 0, deepest = 0;
    for (size_t i = 0; i < t.n; i++) { /* brackets in strings count too: only the bound is looser */
        if (t.p[i] == '{' || t.p[i] == '[')
            depth++;
        else if ((t.p[i] == '}' || t.p[i] == ']') && depth)
            depth--;
        deepest = depth > deepest ? depth : deepest;
    }
    SV_TRY(sv_tpl_work(e, t.n * 4));
    if (deepest > SV_TPL_MAX_NEST)
        return sv_tpl_over(e, "JSON is nested more than %u deep", SV_TPL_MAX_NEST);
    j = json_loadb(t.p, t.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
    if (!j)
        return sv_tpl_fault(e, "from_json: %s", at.text);
    sv_arena_defer(e->arena, drop_json, j); /* the values borrow its strings */
    return sv_tpl_from_json(e, j, 0, out);
}

/* --- the table --- */

#define SPEC_MAX 3
enum { FILTER_SELECT = 1, FILTER_REJECT = 2, FILTER_ATTR = 4 };

static const struct filter {
    const char *name;
    filter_fn fn; /* NULL: select and its kin */
    uint8_t which, n_spec, n_need;
    const char *spec[SPEC_MAX];
} filters[] = {
    { "tojson", filter_tojson, 0, 2, 0, { "indent", "ensure_ascii" } },
    { "length", filter_length, 0, 0, 0, { NULL } },
    { "count", filter_length, 0, 0, 0, { NULL } },
    { "trim", filter_trim, 0, 1, 0, { "chars" } },
    { "string", filter_string, 0, 0, 0, { NULL } },
    { "default", filter_default, 0, 2, 0, { "default_value", "boolean" } },
    { "d", filter_default, 0, 2, 0, { "default_value", "boolean" } },
    { "items", filter_items, 0, 0, 0, { NULL } },
    { "join", filter_join, 0, 2, 0, { "d", "attribute" } },
    { "list", filter_list, 0, 0, 0, { NULL } },
    { "safe", filter_safe, 0, 0, 0, { NULL } },
    { "first", filter_first, 0, 0, 0, { NULL } },
    { "last", filter_last, 0, 0, 0, { NULL } },
    { "upper", filter_upper, 0, 0, 0, { NULL } },
    { "lower", filter_lower, 0, 0, 0, { NULL } },
    { "capitalize", filter_capitalize, 0, 0, 0, { NULL } },
    { "replace", filter_replace, 0, 3, 2, { "old", "new", "count" } },
    { "select", NULL, FILTER_SELECT, 0, 0, { NULL } },
    { "reject", NULL, FILTER_REJECT, 0, 0, { NULL } },
    { "selectattr", NULL, FILTER_SELECT | FILTER_ATTR, 0, 1, { NULL } },
    { "rejectattr", NULL, FILTER_REJECT | FILTER_ATTR, 0, 1, { NULL } },
    { "map", filter_map, 0, 2, 1, { "attribute", "default" } },
    { "unique", filter_unique, 0, 2, 0, { "case_sensitive", "attribute" } },
    { "dictsort", filter_dictsort, 0, 3, 0, { "case_sensitive", "by", "reverse" } },
    { "int", filter_int, 0, 2, 0, { "default", "base" } },
    { "from_json", filter_from_json, 0, 0, 0, { NULL } },
    { "indent", filter_indent, 0, 3, 0, { "width", "first", "blank" } },
};

bool sv_tpl_filter_find(sv_str name, uint16_t *id)
{
    for (uint16_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        if (sv_str_is(name, filters[i].name)) {
            *id = i;
            return true;
        }
    }
    return false;
}

const char *sv_tpl_filter_check(const sv_template *t, const sv_tpl_node *n)
{
    const struct filter *f = &filters[n->id];
    if (!f->fn) {
        uint32_t name = f->which & FILTER_ATTR ? 2 : 1; /* kid of the test's name */
        uint16_t id;
        if (n->n_key)
            return "with a keyword argument";
        if (n->n_arg >= name && n->kid[name]->kind == SV_TPL_N_CONST &&
            (n->kid[name]->value.tag != SV_TPL_STRING || !sv_tpl_test_find(sv_tpl_str(&n->kid[name]->value), &id)))
            return "with this test";
        return NULL;
    }
    if (n->n_arg > f->n_spec)
        return "with so many arguments";
    bool is_json = f->fn == filter_tojson;
    if (n->n_arg && (is_json || f->fn == filter_map))
        return "with an argument that has no name"; /* it means another thing in each implementation */
    for (uint32_t k = 0; k < n->n_key; k++) {
        size_t i = 0;
        while (i < f->n_spec && !sv_str_is(t->names[n->key[k]], f->spec[i]))
            i++;
        const sv_tpl_node *v = n->kid[1 + n->n_arg + k];
        if (i == f->n_spec)
            return "with this keyword argument";
        if (is_json && i == 1 && (v->kind != SV_TPL_N_CONST || v->value.tag != SV_TPL_BOOL || v->value.u.b))
            return "with ensure_ascii";
    }
    return NULL;
}

/* select, reject, selectattr, rejectattr: [attribute,] [test, argument] */
static sv_err select_items(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *v, const sv_tpl_value *arg,
                           sv_tpl_value *out)
{
    int which = filters[n->id].which;
    uint32_t skip = which & FILTER_ATTR ? 1 : 0;
    uint16_t test = 0;
    bool has_test = n->n_arg > skip;
    sv_tpl_value items;
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_GENERATOR, 0, out));
    if (!sv_tpl_is_true(v))
        return SV_OK;
    if (n->n_arg < skip)
        return sv_tpl_fault(e, "Missing parameter for attribute name");
    if (has_test && (arg[skip].tag != SV_TPL_STRING || !sv_tpl_test_find(sv_tpl_str(&arg[skip]), &test)))
        return sv_tpl_unbuilt(e, "a test is named by a str, and only some are built");
    SV_TRY(sv_tpl_items(e, v, &items));
    for (uint32_t i = 0; i < items.u.list->n; i++) {
        sv_tpl_value item = items.u.list->item[i], asked = item;
        SV_TRY(sv_tpl_work(e, 64));
        if (skip)
            SV_TRY(by_path(e, &item, &arg[0], NULL, &asked));
        bool is = sv_tpl_is_true(&asked);
        if (has_test)
            SV_TRY(sv_tpl_test(e, test, &asked, arg + skip + 1, n->n_arg - skip - 1, &is));
        if (is == ((which & FILTER_SELECT) != 0))
            SV_TRY(sv_tpl_list_add(e, out->u.list, item));
    }
    return SV_OK;
}

sv_err sv_tpl_filter(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *v, const sv_tpl_value *arg,
                     sv_tpl_value *out)
{
    const struct filter *f = &filters[n->id];
    const sv_tpl_value *got[SPEC_MAX];
    if (!f->fn)
        return select_items(e, n, v, arg, out);
    SV_TRY(sv_tpl_args(e, n, arg, f->spec, f->n_spec, f->n_need, got));
    return f->fn(e, v, got, out);
}
