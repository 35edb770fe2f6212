/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: upper, lower, title and capitalize, as Python's str has them (full mappings, final sigma). A mapped
 * character keeps the mark of the one it came from.
 */
#include "text/template_impl.h"

#include <string.h>
#include <utf8proc.h>

typedef struct full_case {
    uint32_t cp, upper[3], title[3]; /* 0: ends */
} full_case;

static const full_case table[] = {
#include "text/template_case.inc"
};

static const full_case *find(uint32_t cp)
{
    size_t lo = 0, hi = sizeof table / sizeof table[0];
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (table[mid].cp < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < sizeof table / sizeof table[0] && table[lo].cp == cp ? &table[lo] : NULL;
}

static bool is_cased(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

/* Characters that Unicode's rule for the final sigma looks through. */
static bool is_ignored(uint32_t cp)
{
    static const uint32_t punctuation[] = { '\'',   '.',    ':',    0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                            0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a };
    for (size_t i = 0; i < sizeof punctuation / sizeof punctuation[0]; i++)
        if (punctuation[i] == cp)
            return true;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF ||
           c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_SK;
}

/* True when the sigma at t[at] (2 bytes) ends a word: a cased letter before it and none behind it. */
static bool ends_word(sv_str t, size_t at)
{
    size_t p = at, used;
    bool before = false;
    while (p > 0 && !before) {
        do
            p--;
        while (((unsigned char)t.p[p] & 0xc0) == 0x80);
        uint32_t cp = sv_utf8_next(t.p + p, t.n - p, &used);
        if (is_ignored(cp))
            continue;
        if (!is_cased(cp))
            return false;
        before = true;
    }
    if (!before)
        return false;
    for (p = at + 2; p < t.n; p += used) {
        uint32_t cp = sv_utf8_next(t.p + p, t.n - p, &used);
        if (!is_ignored(cp))
            return !is_cased(cp);
    }
    return true;
}

/* The mapping of one character: 1 to 3 code points. */
static size_t map(uint32_t cp, sv_tpl_case to, uint32_t out[3])
{
    const full_case *full = to == SV_TPL_LOWER ? NULL : find(cp);
    if (full) {
        const uint32_t *from = to == SV_TPL_UPPER ? full->upper : full->title;
        size_t n = 0;
        while (n < 3 && from[n]) {
            out[n] = from[n];
            n++;
        }
        return n;
    }
    utf8proc_int32_t c = (utf8proc_int32_t)cp;
    if (to == SV_TPL_LOWER && cp == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    c = to == SV_TPL_UPPER ? utf8proc_toupper(c) : to == SV_TPL_LOWER ? utf8proc_tolower(c) : utf8proc_totitle(c);
    out[0] = (uint32_t)c;
    return 1;
}

sv_err sv_tpl_recase(sv_tpl_env *e, const sv_tpl_value *s, sv_tpl_case to, sv_tpl_value *out)
{
    sv_str t = sv_tpl_str(s), bytes;
    sv_tpl_buf *b;
    sv_tpl_walk w = { 0 };
    bool trusted, after_letter = false;
    size_t at = 0, used;
    SV_TRY(sv_tpl_work(e, (size_t)s->n * 16));
    SV_TRY(sv_tpl_buf_make(e, s->n, &b));
    /* Runs may end inside of a character only in damaged text; marks are asked per character. */
    while (sv_tpl_walk_next(&w, s, &bytes, &trusted)) {
        for (size_t end = at + bytes.n; at < end; at += used) {
            uint32_t cp = sv_utf8_next(t.p + at, t.n - at, &used), mapped[3];
            sv_tpl_case one = to;
            if (to == SV_TPL_TITLE)
                one = after_letter ? SV_TPL_LOWER : SV_TPL_TITLE;
            else if (to == SV_TPL_CAPITAL)
                one = at ? SV_TPL_LOWER : SV_TPL_TITLE;
            after_letter = is_cased(cp);
            size_t n = map(cp, one, mapped);
            if (one == SV_TPL_LOWER && cp == 0x3a3)
                mapped[0] = ends_word(t, at) ? 0x3c2 : 0x3c3;
            for (size_t i = 0; i < n; i++) {
                char utf8[4] = { 0 };
                SV_TRY(sv_tpl_buf_add(e, &b, (sv_str){ utf8, sv_utf8_put(mapped[i], utf8) }, trusted));
            }
        }
    }
    *out = sv_tpl_buf_string(b);
    out->markup = s->markup;
    return SV_OK;
}
