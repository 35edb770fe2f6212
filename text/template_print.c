/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: values become text, as Python's str(), repr() and json.dumps write them. Whatever is written from a
 * container is not trusted, and so is all JSON.
 */
#include "text/template_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The shortest decimal that reads back to f; exponents from 1e16 up and below 1e-4. Source: CPython, repr(float). */
void sv_tpl_float_text(double f, bool json, char out[40])
{
    char digits[40];
    if (isnan(f) || isinf(f)) {
        const char *text = isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity";
        if (!json)
            text = isnan(f) ? "nan" : f > 0 ? "inf" : "-inf";
        snprintf(out, 40, "%s", text);
        return;
    }
    for (int p = 0; p < 17; p++) {
        snprintf(digits, sizeof digits, "%.*e", p, f);
        if (strtod(digits, NULL) == f)
            break;
    }
    char *e = strchr(digits, 'e');
    int exponent = atoi(e + 1);
    *e = '\0';
    if (exponent < -4 || exponent >= 16) {
        snprintf(out, 40, "%.24se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int n_digit = (int)strlen(digits) - (digits[0] == '-') - (strchr(digits, '.') != NULL);
    int decimals = n_digit - 1 - exponent;
    snprintf(out, 40, "%.*f", decimals < 1 ? 1 : decimals, f);
}

/* --- repr --- */

typedef struct writer {
    sv_tpl_env *e;
    sv_tpl_buf *b;
    bool has_indent;
    int64_t indent;
} writer;

static sv_err put(writer *w, const char *text)
{
    return sv_tpl_buf_add(w->e, &w->b, sv_str_of(text), false);
}

static bool is_printable(uint32_t cp)
{
    if (cp < 0x7f)
        return cp >= 0x20;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c != UTF8PROC_CATEGORY_CC && c != UTF8PROC_CATEGORY_CF && c != UTF8PROC_CATEGORY_CS &&
           c != UTF8PROC_CATEGORY_CO && c != UTF8PROC_CATEGORY_CN && c != UTF8PROC_CATEGORY_ZL &&
           c != UTF8PROC_CATEGORY_ZP && c != UTF8PROC_CATEGORY_ZS;
}

static sv_err put_repr_string(writer *w, sv_str s)
{
    bool quote2 = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n);
    const char *quote = quote2 ? "\"" : "'";
    SV_TRY(sv_tpl_work(w->e, s.n * 4));
    SV_TRY(put(w, quote));
    for (size_t i = 0, used; i < s.n; i += used) {
        char escaped[16];
        uint32_t cp = sv_utf8_next(s.p + i, s.n - i, &used);
        if (cp == (unsigned char)*quote || cp == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", (int)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            snprintf(escaped, sizeof escaped, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        else if (is_printable(cp))
            snprintf(escaped, sizeof escaped, "%.*s", (int)used, s.p + i);
        else
            snprintf(escaped, sizeof escaped, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
        SV_TRY(put(w, escaped));
    }
    return put(w, quote);
}

/* Everything that is no container and no string; false: it is one. */
static bool scalar_text(const sv_tpl_value *v, bool json, char out[40])
{
    switch (v->tag) {
    case SV_TPL_UNDEFINED:
        snprintf(out, 40, "Undefined");
        return !json;
    case SV_TPL_NONE:
        snprintf(out, 40, json ? "null" : "None");
        return true;
    case SV_TPL_BOOL:
        snprintf(out, 40, "%s", json ? (v->u.b ? "true" : "false") : v->u.b ? "True" : "False");
        return true;
    case SV_TPL_INT:
        snprintf(out, 40, "%lld", (long long)v->u.i);
        return true;
    case SV_TPL_FLOAT:
        sv_tpl_float_text(v->u.f, json, out);
        return true;
    default:
        return false;
    }
}

static sv_err repr(writer *w, const sv_tpl_value *v, uint32_t depth)
{
    char text[40];
    if (depth > SV_TPL_MAX_NEST)
        return sv_tpl_over(w->e, "values are nested more than %u deep", SV_TPL_MAX_NEST);
    SV_TRY(sv_tpl_work(w->e, 64));
    if (scalar_text(v, false, text))
        return put(w, text);
    if (v->tag == SV_TPL_STRING) {
        SV_TRY(put(w, v->markup ? "Markup(" : ""));
        SV_TRY(put_repr_string(w, sv_tpl_str(v)));
        return put(w, v->markup ? ")" : "");
    }
    if (v->tag == SV_TPL_DICT || v->tag == SV_TPL_NAMESPACE) {
        SV_TRY(put(w, v->tag == SV_TPL_DICT ? "{" : "<Namespace {"));
        for (uint32_t i = 0; i < v->u.dict->n; i++) {
            if (i)
                SV_TRY(put(w, ", "));
            SV_TRY(repr(w, &v->u.dict->item[i].key, depth + 1));
            SV_TRY(put(w, ": "));
            SV_TRY(repr(w, &v->u.dict->item[i].value, depth + 1));
        }
        return put(w, v->tag == SV_TPL_DICT ? "}" : "}>");
    }
    bool is_list = v->tag == SV_TPL_LIST && v->u.list->kind == SV_TPL_KIND_LIST;
    if (!is_list && (v->tag != SV_TPL_LIST || v->u.list->kind != SV_TPL_KIND_TUPLE))
        return sv_tpl_unbuilt(w->e, "printing a '%s' is not built", sv_tpl_type(v));
    SV_TRY(put(w, is_list ? "[" : "("));
    for (uint32_t i = 0; i < v->u.list->n; i++) {
        if (i)
            SV_TRY(put(w, ", "));
        SV_TRY(repr(w, &v->u.list->item[i], depth + 1));
    }
    return put(w, is_list ? "]" : v->u.list->n == 1 ? ",)" : ")");
}

sv_err sv_tpl_to_string(sv_tpl_env *e, const sv_tpl_value *v, sv_tpl_value *out)
{
    char text[40] = "";
    sv_tpl_buf *b;
    if (v->tag == SV_TPL_STRING) {
        *out = *v;
        return SV_OK;
    }
    if (v->tag == SV_TPL_UNDEFINED || scalar_text(v, false, text)) {
        size_t n = strlen(text);
        SV_TRY(sv_tpl_buf_make(e, n, &b));
        SV_TRY(sv_tpl_buf_add(e, &b, (sv_str){ text, n }, v->trusted));
        *out = sv_tpl_buf_string(b);
        return SV_OK;
    }
    writer w = { .e = e };
    SV_TRY(sv_tpl_buf_make(e, 64, &w.b));
    SV_TRY(repr(&w, v, 0));
    *out = sv_tpl_buf_string(w.b);
    return SV_OK;
}

/* --- JSON: ASCII off, ", " and ": ", no key sort, no HTML escaping --- */

static sv_err put_json_string(writer *w, sv_str s)
{
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    size_t plain = 0;
    SV_TRY(sv_tpl_work(w->e, s.n));
    SV_TRY(put(w, "\""));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        char escaped[8];
        const char *known = memchr(from, c, sizeof from - 1);
        if (known)
            snprintf(escaped, sizeof escaped, "\\%c", to[known - from]);
        else
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        SV_TRY(sv_tpl_buf_add(w->e, &w->b, (sv_str){ s.p + plain, i - plain }, false));
        SV_TRY(put(w, escaped));
        plain = i + 1;
    }
    SV_TRY(sv_tpl_buf_add(w->e, &w->b, (sv_str){ s.p + plain, s.n - plain }, false));
    return put(w, "\"");
}

/* A new line with the indentation of a depth, when there is one. */
static sv_err break_line(writer *w, uint32_t depth)
{
    if (!w->has_indent)
        return SV_OK;
    SV_TRY(put(w, "\n"));
    for (uint32_t d = 0; d < depth; d++)
        for (int64_t i = 0; i < w->indent; i++)
            SV_TRY(put(w, " "));
    return SV_OK;
}

static sv_err json(writer *w, const sv_tpl_value *v, uint32_t depth);

static sv_err json_dict(writer *w, const sv_tpl_dict *d, uint32_t depth)
{
    SV_TRY(put(w, "{"));
    for (uint32_t i = 0; i < d->n; i++) {
        const sv_tpl_value *key = &d->item[i].key;
        char text[40];
        if (i)
            SV_TRY(put(w, w->has_indent ? "," : ", "));
        SV_TRY(break_line(w, depth + 1));
        if (key->tag == SV_TPL_STRING)
            SV_TRY(put_json_string(w, sv_tpl_str(key)));
        else if (scalar_text(key, true, text))
            SV_TRY(put_json_string(w, sv_str_of(text)));
        else
            return sv_tpl_fault(w->e, "keys must be str, int, float, bool or None, not %s", sv_tpl_type(key));
        SV_TRY(put(w, ": "));
        SV_TRY(json(w, &d->item[i].value, depth + 1));
    }
    if (d->n)
        SV_TRY(break_line(w, depth));
    return put(w, "}");
}

static sv_err json(writer *w, const sv_tpl_value *v, uint32_t depth)
{
    char text[40];
    if (depth > SV_TPL_MAX_NEST)
        return sv_tpl_over(w->e, "values are nested more than %u deep", SV_TPL_MAX_NEST);
    SV_TRY(sv_tpl_work(w->e, 64));
    if (scalar_text(v, true, text))
        return put(w, text);
    if (v->tag == SV_TPL_STRING)
        return put_json_string(w, sv_tpl_str(v));
    if (v->tag == SV_TPL_DICT)
        return json_dict(w, v->u.dict, depth);
    if (v->tag != SV_TPL_LIST || v->u.list->kind > SV_TPL_KIND_TUPLE)
        return sv_tpl_fault(w->e, "Object of type %s is not JSON serializable", sv_tpl_type(v));
    SV_TRY(put(w, "["));
    for (uint32_t i = 0; i < v->u.list->n; i++) {
        if (i)
            SV_TRY(put(w, w->has_indent ? "," : ", "));
        SV_TRY(break_line(w, depth + 1));
        SV_TRY(json(w, &v->u.list->item[i], depth + 1));
    }
    if (v->u.list->n)
        SV_TRY(break_line(w, depth));
    return put(w, "]");
}

sv_err sv_tpl_to_json(sv_tpl_env *e, const sv_tpl_value *v, bool has_indent, int64_t indent, sv_tpl_value *out)
{
    writer w = { .e = e, .has_indent = has_indent, .indent = indent };
    SV_TRY(sv_tpl_buf_make(e, 256, &w.b));
    SV_TRY(json(&w, v, 0));
    *out = sv_tpl_buf_string(w.b);
    return SV_OK;
}
