/* SPDX-License-Identifier: Apache-2.0
 * JSON: a scan that refuses what the parser should never see, jansson, and typed access with sentences.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

const sv_json_limits sv_json_file_limits = { (size_t)64 << 20, 32 };
const sv_json_limits sv_json_tokenizer_limits = { (size_t)128 << 20, 32 };

/* "line:column" of a byte offset, both from 1, columns in bytes. Ring of one: used once a message. */
static const char *place(sv_str text, size_t at)
{
    static _Thread_local char out[48];
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at && i < text.n; i++) {
        if (text.p[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    snprintf(out, sizeof out, "%zu:%zu", line, at - start + 1);
    return out;
}

/* Depth of nesting, without a stack: strings are skipped, brackets counted. Whether they match is the parser's part. */
static sv_err scan_depth(sv_str text, uint32_t max_depth, const char *name)
{
    uint32_t depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_text = false;
        } else if (c == '"') {
            in_text = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max_depth)
                return sv_fail(SV_E_LIMIT, "%s:%s: nested deeper than %u, the limit; flatten the JSON", name,
                               place(text, i), max_depth);
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return SV_OK;
}

sv_err sv_json_parse(sv_str text, const sv_json_limits *limits, const char *name, json_t **out)
{
    size_t at;
    *out = NULL;
    if (!limits)
        limits = &sv_json_file_limits;
    if (text.n > limits->max_bytes)
        return sv_fail(SV_E_LIMIT, "%s: %zu bytes of JSON, at most %zu are read; check that it is the right file", name,
                       text.n, limits->max_bytes);
    if (sv_str_starts(text, "\xef\xbb\xbf"))
        return sv_fail(SV_E_FORMAT, "%s:1:1: begins with a byte order mark; save it as UTF-8 without one", name);
    if (text.n && (memchr(text.p, 0, text.n)))
        return sv_fail(SV_E_FORMAT, "%s:%s: a NUL byte, JSON is text; the file is damaged, fetch it again", name,
                       place(text, (size_t)((const char *)memchr(text.p, 0, text.n) - text.p)));
    if (!sv_utf8_valid(text.p, text.n, &at))
        return sv_fail(SV_E_FORMAT, "%s:%s: the bytes %s are not UTF-8; save the file as UTF-8", name, place(text, at),
                       sv_str_quote((sv_str){ text.p + at, text.n - at < 4 ? text.n - at : 4 }));
    SV_TRY(scan_depth(text, limits->max_depth, name));
    json_error_t e;
    json_t *root = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &e);
    if (root) {
        *out = root;
        return SV_OK;
    }
    if (json_error_code(&e) == json_error_out_of_memory)
        return sv_fail(SV_E_NOMEM, "%s: not enough memory to parse %zu bytes of JSON; stop other programs", name,
                       text.n);
    return sv_fail(SV_E_FORMAT, "%s:%d:%d: %s; correct the JSON there", name, e.line < 1 ? 1 : e.line,
                   e.column < 1 ? 1 : e.column, sv_str_quote(sv_str_of(e.text)));
}

sv_err sv_json_load(const char *path, const sv_json_limits *limits, json_t **out)
{
    *out = NULL;
    if (!limits)
        limits = &sv_json_file_limits;
    sv_arena *a = sv_arena_make();
    sv_str text;
    sv_err e = sv_file_read(path, limits->max_bytes, a, &text);
    if (e == SV_OK)
        e = sv_json_parse(text, limits, path, out);
    sv_arena_drop(a);
    return e;
}

json_t *sv_json_get(const json_t *obj, const char *key)
{
    json_t *v = json_object_get(obj, key);
    return v && !json_is_null(v) ? v : NULL;
}

/* The value in words for a message; valid until the next call in this thread. */
static const char *describe(const json_t *v)
{
    static _Thread_local char out[96];
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        snprintf(out, sizeof out, "the text \"%.*s\"", 72, sv_str_quote(sv_str_of(json_string_value(v))));
        return out;
    case JSON_INTEGER:
        snprintf(out, sizeof out, "%lld", (long long)json_integer_value(v));
        return out;
    case JSON_REAL:
        snprintf(out, sizeof out, "%.17g", json_real_value(v));
        return out;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* The member, or NULL when it may be missing. */
static sv_err find(const json_t *obj, const char *key, bool need, const char *where, const json_t **out)
{
    *out = NULL;
    if (obj && !json_is_object(obj) && !json_is_null(obj))
        return sv_fail(SV_E_FORMAT, "%s: found %s where an object with the key %s belongs; correct the file", where,
                       describe(obj), key);
    *out = sv_json_get(obj, key);
    if (need && !*out)
        return sv_fail(SV_E_FORMAT, "%s: the key %s is missing, it has no default; add it", where, key);
    return SV_OK;
}

static sv_err take_u32(const json_t *v, const char *key, uint32_t min, uint32_t max, const char *where, uint32_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < (json_int_t)min || json_integer_value(v) > (json_int_t)max)
        return sv_fail(SV_E_FORMAT, "%s: %s is %s, allowed are whole numbers from %u to %u; correct the file", where,
                       key, describe(v), min, max);
    *out = (uint32_t)json_integer_value(v);
    return SV_OK;
}

sv_err sv_json_u32(const json_t *obj, const char *key, uint32_t min, uint32_t max, uint32_t dflt, const char *where,
                   uint32_t *out)
{
    const json_t *v;
    *out = dflt;
    SV_TRY(find(obj, key, false, where, &v));
    return v ? take_u32(v, key, min, max, where, out) : SV_OK;
}

sv_err sv_json_need_u32(const json_t *obj, const char *key, uint32_t min, uint32_t max, const char *where,
                        uint32_t *out)
{
    const json_t *v;
    *out = min;
    SV_TRY(find(obj, key, true, where, &v));
    return take_u32(v, key, min, max, where, out);
}

static sv_err take_f64(const json_t *v, const char *key, double min, double max, const char *where, double *out)
{
    double x = json_number_value(v);
    if (!json_is_number(v) || !isfinite(x) || x < min || x > max)
        return sv_fail(SV_E_FORMAT, "%s: %s is %s, allowed are numbers from %g to %g; correct the file", where, key,
                       describe(v), min, max);
    *out = x;
    return SV_OK;
}

sv_err sv_json_f64(const json_t *obj, const char *key, double min, double max, double dflt, const char *where,
                   double *out)
{
    const json_t *v;
    *out = dflt;
    SV_TRY(find(obj, key, false, where, &v));
    return v ? take_f64(v, key, min, max, where, out) : SV_OK;
}

sv_err sv_json_need_f64(const json_t *obj, const char *key, double min, double max, const char *where, double *out)
{
    const json_t *v;
    *out = min;
    SV_TRY(find(obj, key, true, where, &v));
    return take_f64(v, key, min, max, where, out);
}

sv_err sv_json_bool(const json_t *obj, const char *key, bool dflt, const char *where, bool *out)
{
    const json_t *v;
    *out = dflt;
    SV_TRY(find(obj, key, false, where, &v));
    if (!v)
        return SV_OK;
    if (!json_is_boolean(v))
        return sv_fail(SV_E_FORMAT, "%s: %s is %s, allowed are true and false; correct the file", where, key,
                       describe(v));
    *out = json_is_true(v);
    return SV_OK;
}

static sv_err take_text(const json_t *v, const char *key, const char *where, const char **out)
{
    if (!json_is_string(v))
        return sv_fail(SV_E_FORMAT, "%s: %s is %s, a text is needed; correct the file", where, key, describe(v));
    *out = json_string_value(v);
    return SV_OK;
}

sv_err sv_json_text(const json_t *obj, const char *key, const char *dflt, const char *where, const char **out)
{
    const json_t *v;
    *out = dflt;
    SV_TRY(find(obj, key, false, where, &v));
    return v ? take_text(v, key, where, out) : SV_OK;
}

sv_err sv_json_need_text(const json_t *obj, const char *key, const char *where, const char **out)
{
    const json_t *v;
    *out = "";
    SV_TRY(find(obj, key, true, where, &v));
    return take_text(v, key, where, out);
}

static void quote_control(sv_bytes *out, unsigned char c)
{
    switch (c) {
    case '\b':
        sv_bytes_text(out, "\\b");
        break;
    case '\f':
        sv_bytes_text(out, "\\f");
        break;
    case '\n':
        sv_bytes_text(out, "\\n");
        break;
    case '\r':
        sv_bytes_text(out, "\\r");
        break;
    case '\t':
        sv_bytes_text(out, "\\t");
        break;
    default:
        sv_bytes_printf(out, "\\u%04x", c);
    }
}

void sv_json_quote(sv_bytes *out, sv_str text)
{
    sv_bytes_char(out, '"');
    for (size_t i = 0, used; i < text.n; i += used) {
        uint32_t cp = sv_utf8_next(text.p + i, text.n - i, &used);
        if (cp == SV_UTF8_BAD)
            sv_bytes_text(out, "\xef\xbf\xbd");
        else if (cp < 0x20)
            quote_control(out, (unsigned char)cp);
        else if (cp == '"' || cp == '\\')
            sv_bytes_add(out, (char[]){ '\\', (char)cp }, 2);
        else
            sv_bytes_add(out, text.p + i, used);
    }
    sv_bytes_char(out, '"');
}

void sv_json_number(sv_bytes *out, double v)
{
    if (!isfinite(v)) {
        sv_bytes_text(out, "null");
        return;
    }
    /* As an integer, minus zero would lose its sign. */
    if (v == 0 && signbit(v)) {
        sv_bytes_text(out, "-0.0");
        return;
    }
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        double back;
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (sv_str_f64(sv_str_of(text), &back) && back == v)
            break;
    }
    sv_bytes_text(out, text);
}
