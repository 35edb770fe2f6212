/* SPDX-License-Identifier: Apache-2.0
 * A cursor over JSON text that finds vocab and merges and keeps where their strings are. What it skips, sv_json_parse
 * checks.
 */
#include "text/tokjson.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define ESCAPED (1u << 31)

typedef struct cursor {
    sv_tokjson *j;
    const char *p, *end, *start;
    size_t at; /* where `start` is in the file */
} cursor;

static sv_err damaged(const cursor *c, const char *expected)
{
    return sv_fail(SV_E_FORMAT, "%s: byte %zu: expected %s; the file is damaged or is no tokenizer.json", c->j->name,
                   c->at + (size_t)(c->p - c->start), expected);
}

static cursor over(sv_tokjson *j, sv_str text)
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

/* Passes over the bytes of a string that stand for themselves: up to a quote, a backslash, a control or the end. */
static const char *plain_bytes(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    for (uint64_t w; end - p >= 8; p += 8) {
        memcpy(&w, p, 8);
        uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
        if ((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & high)
            break; /* in one of the eight */
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
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
        c->p = plain_bytes(c->p, c->end);
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
            while ((c->p = plain_bytes(c->p, c->end)) < c->end && *c->p != '"')
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
            while (c->p < c->end && !is_space(*c->p) && *c->p != ',' && *c->p != ']' && *c->p != '}')
                c->p++;
        }
    } while (depth > 0);
    *out = (sv_str){ start, (size_t)(c->p - start) };
    return SV_OK;
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

/* A string, kept by its place. */
static sv_err keep_string(cursor *c, sv_bytes *buffer, sv_tokjson_text *out)
{
    sv_str v;
    skip_space(c);
    const char *start = c->p + 1;
    SV_TRY(take_string(c, buffer, &v));
    *out = (sv_tokjson_text){ (uint32_t)(start - c->j->text.p), (uint32_t)(c->p - 1 - start) };
    if (v.p != start)
        out->n |= ESCAPED;
    return SV_OK;
}

/* The value of model.vocab. */
static sv_err keep_vocab(cursor *c, sv_bytes *buffer)
{
    sv_tokjson *j = c->j;
    if (!take(c, '{'))
        return damaged(c, "an object as model.vocab");
    if (take(c, '}'))
        return SV_OK;
    do {
        sv_tokjson_text name;
        uint32_t id = 0;
        SV_TRY(keep_string(c, buffer, &name));
        if (!take(c, ':'))
            return damaged(c, "a colon");
        SV_TRY(take_id(c, &id));
        SV_PUSH(j->token, j->n_token, j->cap_token, name);
        SV_PUSH(j->id, j->n_id, j->cap_id, id);
    } while (take(c, ','));
    return take(c, '}') ? SV_OK : damaged(c, "a comma or the end of model.vocab");
}

/* The value of model.merges. */
static sv_err keep_merges(cursor *c, sv_bytes *buffer)
{
    sv_tokjson *j = c->j;
    if (!take(c, '['))
        return damaged(c, "a list as model.merges");
    if (take(c, ']'))
        return SV_OK;
    do {
        sv_tokjson_text side[2] = { { 0 }, { 0 } };
        bool pair = take(c, '[');
        SV_TRY(keep_string(c, buffer, &side[0]));
        if (pair) {
            if (!take(c, ','))
                return damaged(c, "a comma");
            SV_TRY(keep_string(c, buffer, &side[1]));
            if (!take(c, ']'))
                return damaged(c, "the end of a merge of two tokens");
        }
        SV_PUSH(j->side, j->n_side, j->cap_side, side[0]);
        SV_PUSH(j->side, j->n_side, j->cap_side, side[1]);
    } while (take(c, ','));
    return take(c, ']') ? SV_OK : damaged(c, "a comma or the end of model.merges");
}

/* Members of an object that are looked for. */
typedef struct wanted {
    const char *key;
    sv_str *value;                               /* as it was when the member is missing or null */
    sv_err (*keep)(cursor *c, sv_bytes *buffer); /* reads the value */
    const struct wanted *inner;                  /* members of this member, if it is an object; ended by a NULL key */
} wanted;

static sv_err find_members(cursor *c, const wanted *want);

/* The value of a member; w may be the end of the list. */
static sv_err take_member(cursor *c, const wanted *w, sv_bytes *buffer)
{
    sv_str skipped;
    skip_space(c);
    const char *start = c->p;
    bool is_null = c->end - start >= 4 && memcmp(start, "null", 4) == 0;
    if (!w->key || is_null)
        return skip_value(c, &skipped);
    if (w->inner)
        return c->p < c->end && *c->p == '{' ? find_members(c, w->inner) : skip_value(c, &skipped);
    if (w->value->n > 0) /* twice: the parser of the rest says so */
        return skip_value(c, &skipped);
    SV_TRY(w->keep(c, buffer));
    *w->value = (sv_str){ start, (size_t)(c->p - start) };
    return SV_OK;
}

/* Passes over the object at the cursor. */
static sv_err find_members(cursor *c, const wanted *want)
{
    if (!take(c, '{'))
        return damaged(c, "an object");
    if (take(c, '}'))
        return SV_OK;
    sv_bytes buffer = { 0 };
    sv_err e;
    do {
        sv_str name;
        if ((e = take_string(c, &buffer, &name)) != SV_OK)
            break;
        const wanted *w = want;
        while (w->key && !sv_str_is(name, w->key))
            w++;
        e = take(c, ':') ? take_member(c, w, &buffer) : damaged(c, "a colon");
    } while (e == SV_OK && take(c, ','));
    sv_bytes_done(&buffer);
    if (e == SV_OK && !take(c, '}'))
        e = damaged(c, "a comma or the end of an object");
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
    const wanted parts[] = { { "vocab", &out->vocab, keep_vocab, NULL },
                             { "merges", &out->merges, keep_merges, NULL },
                             { 0 } };
    const wanted top[] = { { "model", NULL, NULL, parts }, { 0 } };
    cursor c = over(out, text);
    SV_TRY(find_members(&c, top));
    sv_bytes rest = { 0 };
    const char *from = text.p;
    bool vocab_first = out->vocab.p < out->merges.p;
    cut(&rest, &from, vocab_first ? out->vocab : out->merges);
    cut(&rest, &from, vocab_first ? out->merges : out->vocab);
    sv_bytes_add(&rest, from, (size_t)(text.p + text.n - from));
    sv_err e = sv_json_parse((sv_str){ rest.p, rest.n }, &sv_json_tokenizer_limits, name, &out->rest);
    sv_bytes_done(&rest);
    return e;
}

void sv_tokjson_close(sv_tokjson *j)
{
    json_decref(j->rest);
    sv_mem_free(j->token);
    sv_mem_free(j->side);
    sv_mem_free(j->id);
    *j = (sv_tokjson){ 0 };
}

uint32_t sv_tokjson_vocab_size(const sv_tokjson *j)
{
    return (uint32_t)j->n_token;
}

uint32_t sv_tokjson_merges_size(const sv_tokjson *j)
{
    return (uint32_t)(j->n_side / 2);
}

/* What a string stands for. It was read before, so it is whole. */
static sv_str text_of(const sv_tokjson *j, sv_tokjson_text t, sv_bytes *buffer)
{
    if ((t.n & ESCAPED) == 0)
        return (sv_str){ j->text.p + t.at, t.n };
    cursor c = { .j = (sv_tokjson *)(uintptr_t)j, .p = j->text.p + t.at - 1, .end = j->text.p + j->text.n };
    c.start = c.p;
    sv_str out = { "", 0 };
    sv_err e = take_string(&c, buffer, &out);
    SV_ASSERT(e == SV_OK);
    return out;
}

sv_err sv_tokjson_vocab(const sv_tokjson *j, sv_tokjson_vocab_fn fn, void *arg)
{
    sv_bytes buffer = { 0 };
    sv_err e = SV_OK;
    for (size_t i = 0; i < j->n_token && e == SV_OK; i++)
        e = fn(arg, text_of(j, j->token[i], &buffer), j->id[i]);
    sv_bytes_done(&buffer);
    return e;
}

static sv_err give_merge(const sv_tokjson *j, const sv_tokjson_text side[2], sv_bytes buffer[2], sv_tokjson_merge_fn fn,
                         void *arg)
{
    sv_str left = text_of(j, side[0], &buffer[0]);
    if (side[1].at > 0)
        return fn(arg, left, text_of(j, side[1], &buffer[1]));
    const char *gap = memchr(left.p, ' ', left.n);
    if (!gap || memchr(gap + 1, ' ', left.n - (size_t)(gap + 1 - left.p)))
        return sv_fail(SV_E_FORMAT,
                       "%s: byte %u: expected two tokens and one space as a merge; the file is damaged or is no "
                       "tokenizer.json",
                       j->name, side[0].at);
    size_t n = (size_t)(gap - left.p);
    return fn(arg, (sv_str){ left.p, n }, (sv_str){ gap + 1, left.n - n - 1 });
}

sv_err sv_tokjson_merges(const sv_tokjson *j, sv_tokjson_merge_fn fn, void *arg)
{
    sv_bytes buffer[2] = { { 0 }, { 0 } };
    sv_err e = SV_OK;
    for (size_t i = 0; i < j->n_side && e == SV_OK; i += 2)
        e = give_merge(j, &j->side[i], buffer, fn, arg);
    sv_bytes_done(&buffer[0]);
    sv_bytes_done(&buffer[1]);
    return e;
}
