/* SPDX-License-Identifier: Apache-2.0
 * A cursor over JSON text that finds and walks vocab and merges. What it skips, sv_json_parse checks.
 */
#include "text/tokjson.h"

#include <string.h>

#include "base/json.h"

typedef struct cursor {
    const sv_tokjson *j;
    const char *p, *end, *start;
    size_t at; /* where `start` is in the file */
} cursor;

static sv_err damaged(const cursor *c, const char *expected)
{
    return sv_fail(SV_E_FORMAT, "%s: byte %zu: expected %s; the file is damaged or is no tokenizer.json", c->j->name,
                   c->at + (size_t)(c->p - c->start), expected);
}

static cursor over(const sv_tokjson *j, sv_str text)
{
    static const char none[1];
    if (text.n == 0) /* a missing part has no address */
        return (cursor){ j, none, none, none, 0 };
    return (cursor){ j, text.p, text.p + text.n, text.p, (size_t)(text.p - j->text.p) };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void skip_space(cursor *c)
{
    while (c->p < c->end && is_space(*c->p))
        c->p++;
}

/* Passes over white space, and over `want` if it is next. */
static bool take(cursor *c, char want)
{
    skip_space(c);
    if (c->p == c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

static bool take_hex4(cursor *c, uint32_t *out)
{
    *out = 0;
    if (c->end - c->p < 4)
        return false;
    for (int i = 0; i < 4; i++, c->p++) {
        char d = *c->p;
        uint32_t v = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : (uint32_t)((d | 0x20) - 'a' + 10);
        if (v > 15 || (v > 9 && (d | 0x20) < 'a'))
            return false;
        *out = *out << 4 | v;
    }
    return true;
}

/* The part of an escape behind the backslash; appends what it stands for. */
static sv_err take_escape(cursor *c, sv_bytes *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c->p < c->end && *c->p != 0 ? strchr(from, *c->p) : NULL;
    if (at) {
        c->p++;
        sv_bytes_char(out, to[at - from]);
        return SV_OK;
    }
    uint32_t cp, low;
    if (c->p == c->end || *c->p++ != 'u' || !take_hex4(c, &cp))
        return damaged(c, "a JSON escape");
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (c->end - c->p < 2 || memcmp(c->p, "\\u", 2) != 0)
            return damaged(c, "the second half of a surrogate pair");
        c->p += 2;
        if (!take_hex4(c, &low) || low < 0xdc00 || low >= 0xe000)
            return damaged(c, "the second half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xd800) << 10 | (low - 0xdc00));
    } else if (cp == 0 || (cp >= 0xdc00 && cp < 0xe000)) {
        return damaged(c, "a character other than NUL or half a surrogate pair");
    }
    char utf8[4];
    sv_bytes_add(out, utf8, sv_utf8_put(cp, utf8));
    return SV_OK;
}

/* A string: a view of the text where it has no escapes, else of `buffer`. */
static sv_err take_string(cursor *c, sv_bytes *buffer, sv_str *out)
{
    if (!take(c, '"'))
        return damaged(c, "a string");
    const char *start = c->p;
    bool escaped = false;
    sv_bytes_clear(buffer);
    for (;;) {
        const char *run = c->p;
        while (c->p < c->end && *c->p != '"' && *c->p != '\\' && (unsigned char)*c->p >= 0x20)
            c->p++;
        if (c->p == c->end || (unsigned char)*c->p < 0x20)
            return damaged(c, "the end of a string");
        bool last = *c->p == '"';
        if (escaped || !last)
            sv_bytes_add(buffer, run, (size_t)(c->p - run));
        c->p++;
        if (last)
            break;
        escaped = true;
        SV_TRY(take_escape(c, buffer));
    }
    *out = escaped ? (sv_str){ buffer->p, buffer->n } : (sv_str){ start, (size_t)(c->p - 1 - start) };
    return SV_OK;
}

/* Passes over a value of any kind, counting brackets only. */
static sv_err skip_value(cursor *c, sv_str *out)
{
    skip_space(c);
    const char *start = c->p;
    size_t depth = 0;
    do {
        if (c->p == c->end)
            return damaged(c, "the end of a value");
        char ch = *c->p++;
        if (ch == '"') {
            while (c->p < c->end && *c->p != '"')
                c->p += *c->p == '\\' && c->end - c->p > 1 ? 2 : 1;
            if (c->p == c->end)
                return damaged(c, "the end of a string");
            c->p++;
        } else if (ch == '{' || ch == '[') {
            depth++;
        } else if (ch == '}' || ch == ']') {
            if (depth-- == 0)
                return damaged(c, "a value");
        } else if (depth == 0) {
            while (c->p < c->end && !is_space(*c->p) && !strchr(",]}", *c->p))
                c->p++;
        }
    } while (depth > 0);
    *out = (sv_str){ start, (size_t)(c->p - start) };
    return SV_OK;
}

/* Finds members of the object that `text` is; a member that is missing leaves its view as it was. */
static sv_err find_members(const sv_tokjson *j, sv_str text, const char *const *key, sv_str *const *value, size_t n)
{
    cursor c = over(j, text);
    if (!take(&c, '{'))
        return damaged(&c, "an object");
    if (take(&c, '}'))
        return SV_OK;
    sv_bytes buffer = { 0 };
    sv_err e;
    do {
        sv_str name, v;
        if ((e = take_string(&c, &buffer, &name)) != SV_OK)
            break;
        size_t i = 0;
        while (i < n && !sv_str_is(name, key[i]))
            i++;
        if (!take(&c, ':')) {
            e = damaged(&c, "a colon");
            break;
        }
        if ((e = skip_value(&c, &v)) != SV_OK)
            break;
        if (i < n && value[i]->n == 0)
            *value[i] = v;
    } while (take(&c, ','));
    sv_bytes_done(&buffer);
    return e;
}

/* Appends the text up to `part`, then null in its place; *from moves behind it. */
static void cut(sv_bytes *out, const char **from, sv_str part)
{
    if (part.n == 0)
        return;
    sv_bytes_add(out, *from, (size_t)(part.p - *from));
    sv_bytes_text(out, "null");
    *from = part.p + part.n;
}

sv_err sv_tokjson_open(sv_str text, const char *name, sv_tokjson *out)
{
    *out = (sv_tokjson){ .name = name, .text = text };
    size_t at;
    if (text.n > sv_json_tokenizer_limits.max_bytes)
        return sv_fail(SV_E_LIMIT, "%s: %zu bytes; at most %zu are read", name, text.n,
                       sv_json_tokenizer_limits.max_bytes);
    if (!sv_utf8_valid(text.p, text.n, &at))
        return sv_fail(SV_E_FORMAT, "%s: byte %zu is not UTF-8", name, at);
    sv_str model = { 0 };
    SV_TRY(find_members(out, text, (const char *const[]){ "model" }, (sv_str *const[]){ &model }, 1));
    if (model.n > 0 && model.p[0] == '{')
        SV_TRY(find_members(out, model, (const char *const[]){ "vocab", "merges" },
                            (sv_str *const[]){ &out->vocab, &out->merges }, 2));
    sv_bytes rest = { 0 };
    const char *from = text.p;
    bool vocab_first = out->vocab.p < out->merges.p;
    cut(&rest, &from, vocab_first ? out->vocab : out->merges);
    cut(&rest, &from, vocab_first ? out->merges : out->vocab);
    sv_bytes_add(&rest, from, (size_t)(text.p + text.n - from));
    sv_err e = sv_json_parse((sv_str){ rest.p, rest.n }, &sv_json_tokenizer_limits, name, &out->rest);
    sv_bytes_done(&rest);
    if (sv_str_is(out->vocab, "null"))
        out->vocab.n = 0;
    if (sv_str_is(out->merges, "null"))
        out->merges.n = 0;
    return e;
}

void sv_tokjson_close(sv_tokjson *j)
{
    json_decref(j->rest);
    *j = (sv_tokjson){ 0 };
}

static uint32_t half_of_quotes(sv_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '"';
    return (uint32_t)(n / 2);
}

uint32_t sv_tokjson_vocab_size(const sv_tokjson *j)
{
    return half_of_quotes(j->vocab);
}

uint32_t sv_tokjson_merges_size(const sv_tokjson *j)
{
    cursor c = over(j, j->merges);
    bool pairs = take(&c, '[') && take(&c, '[');
    return half_of_quotes(j->merges) / (pairs ? 2 : 1);
}

static sv_err take_id(cursor *c, uint32_t *out)
{
    uint64_t v = 0;
    skip_space(c);
    const char *start = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9' && v <= UINT32_MAX)
        v = 10 * v + (uint64_t)(*c->p++ - '0');
    if (c->p == start || v > UINT32_MAX || (*start == '0' && c->p - start > 1))
        return damaged(c, "a whole number below 2^32");
    *out = (uint32_t)v;
    return SV_OK;
}

sv_err sv_tokjson_vocab(const sv_tokjson *j, sv_tokjson_vocab_fn fn, void *arg)
{
    cursor c = over(j, j->vocab);
    if (!take(&c, '{'))
        return damaged(&c, "an object as model.vocab");
    if (take(&c, '}'))
        return SV_OK;
    sv_bytes buffer = { 0 };
    sv_err e;
    do {
        sv_str name;
        uint32_t id = 0;
        if ((e = take_string(&c, &buffer, &name)) != SV_OK)
            break;
        if (!take(&c, ':')) {
            e = damaged(&c, "a colon");
            break;
        }
        if ((e = take_id(&c, &id)) != SV_OK || (e = fn(arg, name, id)) != SV_OK)
            break;
    } while (take(&c, ','));
    sv_bytes_done(&buffer);
    SV_TRY(e);
    if (!take(&c, '}') || c.p != c.end)
        return damaged(&c, "a comma or the end of model.vocab");
    return SV_OK;
}

/* One item of merges. */
static sv_err take_merge(cursor *c, sv_bytes buffer[2], sv_str *left, sv_str *right)
{
    if (!take(c, '[')) {
        sv_str both;
        SV_TRY(take_string(c, &buffer[0], &both));
        const char *gap = memchr(both.p, ' ', both.n);
        if (!gap || memchr(gap + 1, ' ', both.n - (size_t)(gap + 1 - both.p)))
            return damaged(c, "two tokens and one space as a merge before this place");
        *left = (sv_str){ both.p, (size_t)(gap - both.p) };
        *right = (sv_str){ gap + 1, both.n - left->n - 1 };
        return SV_OK;
    }
    SV_TRY(take_string(c, &buffer[0], left));
    if (!take(c, ','))
        return damaged(c, "a comma");
    SV_TRY(take_string(c, &buffer[1], right));
    return take(c, ']') ? SV_OK : damaged(c, "the end of a merge of two tokens");
}

sv_err sv_tokjson_merges(const sv_tokjson *j, sv_tokjson_merge_fn fn, void *arg)
{
    cursor c = over(j, j->merges);
    if (!take(&c, '['))
        return damaged(&c, "a list as model.merges");
    if (take(&c, ']'))
        return SV_OK;
    sv_bytes buffer[2] = { { 0 }, { 0 } };
    sv_err e;
    do {
        sv_str left, right;
        if ((e = take_merge(&c, buffer, &left, &right)) != SV_OK || (e = fn(arg, left, right)) != SV_OK)
            break;
    } while (take(&c, ','));
    sv_bytes_done(&buffer[0]);
    sv_bytes_done(&buffer[1]);
    SV_TRY(e);
    if (!take(&c, ']') || c.p != c.end)
        return damaged(&c, "a comma or the end of model.merges");
    return SV_OK;
}
