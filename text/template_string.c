/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: strings whose bytes carry marks. Every operation moves a byte together with its mark, so text of a
 * user never becomes trusted. Semantics: Python 3's str; positions count characters.
 */
#include "text/template_impl.h"

#include <string.h>

/* --- buffers and views --- */

sv_str sv_tpl_str(const sv_tpl_value *s)
{
    return (sv_str){ s->u.buf->p + s->at, s->n };
}

sv_tpl_value sv_tpl_buf_string(sv_tpl_buf *b)
{
    return (sv_tpl_value){ .tag = SV_TPL_STRING, .n = b->n, .u.buf = b };
}

sv_tpl_value sv_tpl_view(const sv_tpl_value *s, size_t at, size_t n)
{
    sv_tpl_value v = *s;
    v.at = s->at + (uint32_t)at;
    v.n = (uint32_t)n;
    return v;
}

sv_err sv_tpl_borrow(sv_tpl_env *e, sv_str text, bool trusted, sv_tpl_value *out)
{
    sv_tpl_buf *b;
    if (text.n > SV_TPL_MAX_OUT)
        return sv_tpl_over(e, "a text of %zu bytes, at most %u are allowed", text.n, SV_TPL_MAX_OUT);
    SV_TRY(sv_tpl_alloc(e, sizeof *b, &b));
    b->p = (char *)(uintptr_t)text.p; /* cap is 0: never written */
    b->n = (uint32_t)text.n;
    b->trusted = trusted;
    *out = sv_tpl_buf_string(b);
    return SV_OK;
}

sv_err sv_tpl_buf_make(sv_tpl_env *e, size_t cap, sv_tpl_buf **out)
{
    SV_TRY(sv_tpl_alloc(e, sizeof **out, out));
    SV_TRY(sv_tpl_alloc(e, cap, &(*out)->p));
    (*out)->cap = (uint32_t)cap;
    return SV_OK;
}

/* Marks the bytes from b->n to b->n + n. */
static sv_err mark(sv_tpl_env *e, sv_tpl_buf *b, size_t n, bool trusted)
{
    if (!b->run) {
        if (b->n == 0)
            b->trusted = trusted;
        if (b->trusted == trusted)
            return SV_OK;
        SV_TRY(sv_tpl_alloc(e, 4 * sizeof *b->run, &b->run));
        b->cap_run = 4;
        b->run[0] = (sv_run){ b->n, b->trusted };
        b->n_run = 1;
    }
    if (b->run[b->n_run - 1].trusted == trusted) {
        b->run[b->n_run - 1].end = b->n + n;
        return SV_OK;
    }
    if (b->n_run == b->cap_run) {
        sv_run *grown;
        SV_TRY(sv_tpl_alloc(e, 2 * (size_t)b->cap_run * sizeof *grown, &grown));
        memcpy(grown, b->run, b->n_run * sizeof *grown);
        b->run = grown;
        b->cap_run *= 2;
    }
    b->run[b->n_run++] = (sv_run){ b->n + n, trusted };
    return SV_OK;
}

/* Room for n more bytes behind the view [at, at + len) of *b, which must end *b to be extended in place. */
static sv_err reserve(sv_tpl_env *e, sv_tpl_value *view, size_t n)
{
    sv_tpl_buf *b = view->u.buf;
    if (b->cap && view->at + view->n == b->n && b->cap - b->n >= n)
        return SV_OK;
    size_t need = view->n + n;
    sv_tpl_value old = *view;
    SV_TRY(sv_tpl_buf_make(e, need + need / 2 + 32, &view->u.buf));
    view->at = 0;
    sv_tpl_walk w = { 0 };
    sv_str text;
    bool trusted;
    while (sv_tpl_walk_next(&w, &old, &text, &trusted)) {
        sv_tpl_buf *to = view->u.buf;
        SV_TRY(mark(e, to, text.n, trusted));
        memcpy(to->p + to->n, text.p, text.n);
        to->n += (uint32_t)text.n;
    }
    return SV_OK;
}

sv_err sv_tpl_buf_add(sv_tpl_env *e, sv_tpl_buf **b, sv_str text, bool trusted)
{
    if (text.n == 0)
        return SV_OK;
    sv_tpl_value all = sv_tpl_buf_string(*b);
    SV_TRY(reserve(e, &all, text.n));
    *b = all.u.buf;
    SV_TRY(mark(e, *b, text.n, trusted));
    memcpy((*b)->p + (*b)->n, text.p, text.n);
    (*b)->n += (uint32_t)text.n;
    return SV_OK;
}

sv_err sv_tpl_buf_add_string(sv_tpl_env *e, sv_tpl_buf **b, const sv_tpl_value *s)
{
    sv_tpl_walk w = { 0 };
    sv_str text;
    bool trusted;
    while (sv_tpl_walk_next(&w, s, &text, &trusted))
        SV_TRY(sv_tpl_buf_add(e, b, text, trusted));
    return SV_OK;
}

sv_err sv_tpl_concat(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, sv_tpl_value *out)
{
    bool markup = a->markup && b->markup;
    if (a->n == 0 || b->n == 0) {
        *out = a->n ? *a : *b;
        out->markup = markup;
        return SV_OK;
    }
    sv_tpl_value left = *a, right = *b;
    SV_TRY(sv_tpl_work(e, right.n));
    SV_TRY(reserve(e, &left, right.n));
    sv_tpl_buf *to = left.u.buf;
    SV_TRY(sv_tpl_buf_add_string(e, &to, &right)); /* there is room: `to` stays */
    left.n += right.n;
    left.markup = markup;
    *out = left;
    return SV_OK;
}

/* --- marks --- */

/* The run that covers byte `at` of a buffer with runs. */
static uint32_t run_at(const sv_tpl_buf *b, size_t at)
{
    uint32_t lo = 0, hi = b->n_run - 1;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (b->run[mid].end > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

bool sv_tpl_walk_next(sv_tpl_walk *w, const sv_tpl_value *s, sv_str *bytes, bool *trusted)
{
    const sv_tpl_buf *b = s->u.buf;
    if (w->done == s->n)
        return false;
    size_t n = s->n - w->done;
    *trusted = b->trusted;
    if (b->run) {
        w->run = w->started ? w->run + 1 : run_at(b, s->at);
        *trusted = b->run[w->run].trusted;
        if (b->run[w->run].end - s->at - w->done < n)
            n = b->run[w->run].end - s->at - w->done;
    }
    *bytes = (sv_str){ b->p + s->at + w->done, n };
    w->done += (uint32_t)n;
    w->started = true;
    return true;
}

bool sv_tpl_trusted_at(const sv_tpl_value *s, size_t at)
{
    const sv_tpl_buf *b = s->u.buf;
    return b->run ? b->run[run_at(b, s->at + at)].trusted : b->trusted;
}

bool sv_tpl_all_trusted(const sv_tpl_value *s)
{
    sv_tpl_walk w = { 0 };
    sv_str text;
    bool trusted;
    while (sv_tpl_walk_next(&w, s, &text, &trusted))
        if (!trusted)
            return false;
    return true;
}

/* --- characters --- */

size_t sv_tpl_count(const sv_tpl_value *s)
{
    sv_str t = sv_tpl_str(s);
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += ((unsigned char)t.p[i] & 0xc0) != 0x80;
    return n;
}

size_t sv_tpl_offset(const sv_tpl_value *s, size_t character)
{
    sv_str t = sv_tpl_str(s);
    size_t i = 0, seen = 0;
    for (; i < t.n; i++)
        if (((unsigned char)t.p[i] & 0xc0) != 0x80 && seen++ == character)
            break;
    return i;
}

bool sv_tpl_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

/* Start of the character that ends at `to`. */
static size_t back(const char *p, size_t to)
{
    do
        to--;
    while (((unsigned char)p[to] & 0xc0) == 0x80);
    return to;
}

static bool strippable(sv_str c, const sv_tpl_value *chars)
{
    size_t used;
    if (!chars)
        return sv_tpl_is_space(sv_utf8_next(c.p, c.n, &used));
    return memmem(sv_tpl_str(chars).p, chars->n, c.p, c.n) != NULL; /* UTF-8 has no false matches */
}

sv_err sv_tpl_strip(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *chars, int sides, sv_tpl_value *out)
{
    sv_str t = sv_tpl_str(s);
    size_t from = 0, to = t.n, used;
    while ((sides & SV_TPL_LEFT) && from < to) {
        sv_utf8_next(t.p + from, to - from, &used);
        if (!strippable((sv_str){ t.p + from, used }, chars))
            break;
        SV_TRY(sv_tpl_work(e, chars ? 64 + chars->n : 8));
        from += used;
    }
    while ((sides & SV_TPL_RIGHT) && from < to) {
        size_t p = back(t.p, to);
        if (!strippable((sv_str){ t.p + p, to - p }, chars))
            break;
        SV_TRY(sv_tpl_work(e, chars ? 64 + chars->n : 8));
        to = p;
    }
    *out = sv_tpl_view(s, from, to - from);
    return SV_OK;
}

/* --- cutting and replacing --- */

static sv_err split_space(sv_tpl_env *e, const sv_tpl_value *s, int64_t max, sv_tpl_list *l)
{
    sv_tpl_value rest;
    SV_TRY(sv_tpl_strip(e, s, NULL, SV_TPL_LEFT, &rest));
    while (rest.n) {
        sv_str t = sv_tpl_str(&rest);
        size_t at = 0, used = 0;
        if (max-- == 0)
            return sv_tpl_list_add(e, l, rest);
        while (at < t.n && !sv_tpl_is_space(sv_utf8_next(t.p + at, t.n - at, &used)))
            at += used;
        SV_TRY(sv_tpl_list_add(e, l, sv_tpl_view(&rest, 0, at)));
        rest = sv_tpl_view(&rest, at, t.n - at);
        SV_TRY(sv_tpl_strip(e, &rest, NULL, SV_TPL_LEFT, &rest));
    }
    return SV_OK;
}

sv_err sv_tpl_split(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *sep, int64_t max, sv_tpl_value *out)
{
    SV_TRY(sv_tpl_list_make(e, SV_TPL_KIND_LIST, 0, out));
    SV_TRY(sv_tpl_work(e, s->n));
    if (!sep) {
        /* Trailing white space stays in the last part only when `max` cut there, as in Python. */
        sv_tpl_value t = *s;
        if (max < 0)
            SV_TRY(sv_tpl_strip(e, s, NULL, SV_TPL_RIGHT, &t));
        return split_space(e, &t, max, out->u.list);
    }
    if (sep->n == 0)
        return sv_tpl_fault(e, "empty separator");
    sv_str t = sv_tpl_str(s), mark_text = sv_tpl_str(sep);
    size_t from = 0;
    const char *hit;
    while (max-- != 0 && (hit = memmem(t.p + from, t.n - from, mark_text.p, mark_text.n)) != NULL) {
        size_t at = (size_t)(hit - t.p);
        SV_TRY(sv_tpl_list_add(e, out->u.list, sv_tpl_view(s, from, at - from)));
        from = at + mark_text.n;
    }
    return sv_tpl_list_add(e, out->u.list, sv_tpl_view(s, from, t.n - from));
}

sv_err sv_tpl_replace(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *old, const sv_tpl_value *fresh,
                      int64_t max, sv_tpl_value *out)
{
    sv_str t = sv_tpl_str(s), o = sv_tpl_str(old);
    sv_tpl_buf *b;
    size_t from = 0, used;
    SV_TRY(sv_tpl_work(e, t.n));
    if (o.n && (t.n < o.n || !memmem(t.p, t.n, o.p, o.n))) {
        *out = *s;
        return SV_OK;
    }
    SV_TRY(sv_tpl_buf_make(e, t.n, &b));
    while (max-- != 0) {
        size_t at = from;
        if (o.n) {
            const char *hit = memmem(t.p + from, t.n - from, o.p, o.n);
            if (!hit)
                break;
            at = (size_t)(hit - t.p);
        }
        sv_tpl_value before = sv_tpl_view(s, from, at - from);
        SV_TRY(sv_tpl_buf_add_string(e, &b, &before));
        SV_TRY(sv_tpl_buf_add_string(e, &b, fresh));
        SV_TRY(sv_tpl_work(e, 64));
        from = at + o.n;
        if (o.n == 0) { /* between all characters, and at both ends */
            if (from == t.n)
                break;
            sv_utf8_next(t.p + from, t.n - from, &used);
            before = sv_tpl_view(s, from, used);
            SV_TRY(sv_tpl_buf_add_string(e, &b, &before));
            from += used;
        }
    }
    sv_tpl_value rest = sv_tpl_view(s, from, t.n - from);
    SV_TRY(sv_tpl_buf_add_string(e, &b, &rest));
    *out = sv_tpl_buf_string(b);
    out->markup = s->markup;
    return SV_OK;
}

/* True for the line ends of Python's str.splitlines. */
static bool ends_line(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

sv_err sv_tpl_indent(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *by, bool first, bool blank,
                     sv_tpl_value *out)
{
    sv_str t = sv_tpl_str(s);
    sv_tpl_buf *b;
    SV_TRY(sv_tpl_work(e, t.n));
    SV_TRY(sv_tpl_buf_make(e, t.n + by->n, &b));
    if (first)
        SV_TRY(sv_tpl_buf_add_string(e, &b, by));
    for (size_t from = 0, line = 0;; line++) {
        size_t at = from, used = 0, skip = 0;
        for (; at < t.n; at += used) {
            if (ends_line(sv_utf8_next(t.p + at, t.n - at, &used))) {
                skip = t.p[at] == '\r' && at + 1 < t.n && t.p[at + 1] == '\n' ? 2 : used;
                break;
            }
        }
        sv_tpl_value text = sv_tpl_view(s, from, at - from);
        if (line && (blank || text.n))
            SV_TRY(sv_tpl_buf_add_string(e, &b, by));
        SV_TRY(sv_tpl_buf_add_string(e, &b, &text));
        if (skip == 0)
            break;
        SV_TRY(sv_tpl_buf_add(e, &b, SV_STR("\n"), sv_tpl_trusted_at(s, at)));
        from = at + skip;
    }
    *out = sv_tpl_buf_string(b);
    out->markup = s->markup;
    return SV_OK;
}

sv_err sv_tpl_escape(sv_tpl_env *e, const sv_tpl_value *s, sv_tpl_value *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
    sv_str t = sv_tpl_str(s);
    sv_tpl_buf *b;
    size_t plain = 0;
    if (s->markup) {
        *out = *s;
        return SV_OK;
    }
    SV_TRY(sv_tpl_work(e, t.n));
    SV_TRY(sv_tpl_buf_make(e, t.n, &b));
    for (size_t i = 0; i <= t.n; i++) {
        const char *hit = i < t.n ? memchr(from, t.p[i], sizeof from - 1) : NULL;
        if (i < t.n && !hit)
            continue;
        sv_tpl_value before = sv_tpl_view(s, plain, i - plain);
        SV_TRY(sv_tpl_buf_add_string(e, &b, &before));
        if (hit)
            SV_TRY(sv_tpl_buf_add(e, &b, sv_str_of(to[hit - from]), sv_tpl_trusted_at(s, i)));
        plain = i + 1;
    }
    *out = sv_tpl_buf_string(b);
    out->markup = true;
    return SV_OK;
}
