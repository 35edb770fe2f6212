/* SPDX-License-Identifier: Apache-2.0
 * Bytes and text: views, a growing byte buffer, UTF-8, numbers from text.
 */
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

sv_str sv_str_of(const char *text)
{
    return text ? (sv_str){ text, strlen(text) } : (sv_str){ "", 0 };
}

bool sv_str_eq(sv_str a, sv_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool sv_str_is(sv_str a, const char *text)
{
    return sv_str_eq(a, sv_str_of(text));
}

bool sv_str_starts(sv_str a, const char *prefix)
{
    size_t n = strlen(prefix);
    return n <= a.n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool sv_str_ends(sv_str a, const char *suffix)
{
    size_t n = strlen(suffix);
    return n <= a.n && (n == 0 || memcmp(a.p + (a.n - n), suffix, n) == 0);
}

/* Room for n more bytes and the NUL. */
static void make_room(sv_bytes *b, size_t n)
{
    size_t want, twice = sv_mem_mul_or_die(b->cap, 2);
    bool fits = sv_add_size(b->n, n, &want) && sv_add_size(want, 1, &want);
    SV_ASSERT(fits);
    if (want <= b->cap)
        return;
    size_t cap = want > twice ? want : twice;
    cap = cap < 32 ? 32 : cap;
    b->p = sv_mem_grow(b->p, b->cap, cap);
    b->cap = cap;
}

void sv_bytes_add(sv_bytes *b, const void *data, size_t n)
{
    /* The data may be a part of the buffer itself, which is about to move. */
    uintptr_t base = (uintptr_t)b->p, from = (uintptr_t)data;
    bool is_inside = b->p && from >= base && from < base + b->cap;
    size_t at = is_inside ? from - base : 0;
    make_room(b, n);
    if (n)
        memmove(b->p + b->n, is_inside ? b->p + at : (const char *)data, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void sv_bytes_text(sv_bytes *b, const char *text)
{
    sv_bytes_add(b, text, strlen(text));
}

void sv_bytes_char(sv_bytes *b, char c)
{
    if (b->n + 1 >= b->cap)
        make_room(b, 1);
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
}

void sv_bytes_printf(sv_bytes *b, const char *fmt, ...)
{
    va_list ap, again;
    SV_ASSERT(fmt);
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    SV_ASSERT(n >= 0);
    make_room(b, (size_t)n);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void sv_bytes_clear(sv_bytes *b)
{
    b->n = 0;
    if (b->p)
        b->p[0] = '\0';
}

void sv_bytes_done(sv_bytes *b)
{
    sv_mem_free(b->p);
    *b = (sv_bytes){ 0 };
}

/* Length of a character by its first byte (0: not a first byte) and the range of its second byte.
 * Source: Unicode 15.0, table 3-7, well-formed UTF-8 byte sequences. */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xbf;
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c < 0xe0)
        return 2;
    if (c == 0xe0)
        *lo = 0xa0;
    if (c == 0xed)
        *hi = 0x9f;
    if (c == 0xf0)
        *lo = 0x90;
    if (c == 0xf4)
        *hi = 0x8f;
    return c < 0xf0 ? 3 : 4;
}

/* Bytes of s that are a valid beginning of one character, at least 1; *need is the whole length, 0 when none is. */
static size_t scan(const char *s, size_t n, size_t *need)
{
    unsigned char lo, hi;
    const unsigned char *u = (const unsigned char *)s;
    *need = lead(u[0], &lo, &hi);
    size_t i = 1;
    for (; i < *need && i < n; i++) {
        if (u[i] < lo || u[i] > hi)
            break;
        lo = 0x80;
        hi = 0xbf;
    }
    return i;
}

uint32_t sv_utf8_next(const char *s, size_t n, size_t *used)
{
    static const unsigned char first_bits[5] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    size_t need;
    *used = scan(s, n, &need);
    if (*used != need)
        return SV_UTF8_BAD;
    uint32_t cp = (unsigned char)s[0] & first_bits[need];
    for (size_t i = 1; i < need; i++)
        cp = cp << 6 | ((unsigned char)s[i] & 0x3fu);
    return cp;
}

size_t sv_utf8_put(uint32_t cp, char out[4])
{
    SV_ASSERT(cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff));
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char mark[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    out[0] = (char)(mark[n] | cp);
    return n;
}

bool sv_utf8_valid(const char *s, size_t n, size_t *at)
{
    size_t i = 0;
    while (i < n) {
        /* Eight ASCII bytes at a time, and characters of two bytes: most of a tokenizer.json. */
        uint64_t w;
        while (n - i >= 8 && (memcpy(&w, s + i, 8), (w & 0x8080808080808080u) == 0))
            i += 8;
        while (i < n && (unsigned char)s[i] < 0x80)
            i++;
        while (n - i >= 2 && (unsigned char)(s[i] - 0xc2) < 0xe0 - 0xc2 && ((unsigned char)s[i + 1] & 0xc0) == 0x80)
            i += 2;
        if (i == n)
            break;
        if ((unsigned char)s[i] < 0x80)
            continue;
        size_t need, used = scan(s + i, n - i, &need);
        if (used != need) {
            if (at)
                *at = i;
            return false;
        }
        i += used;
    }
    return true;
}

size_t sv_utf8_tail(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)s[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t need, used = scan(s + n - back, back, &need);
        return used == back && need > back ? back : 0;
    }
    return 0;
}

const char *sv_str_quote(sv_str s)
{
    enum { MAX_IN = 80, RING = 4 };
    static _Thread_local char ring[RING][MAX_IN * 4 + 4];
    static _Thread_local unsigned next;
    char *out = ring[next++ % RING], *at = out;
    size_t n = s.n < MAX_IN ? s.n : MAX_IN;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f)
            *at++ = (char)c;
        else
            at += snprintf(at, 5, "\\x%02x", c);
    }
    memcpy(at, s.n > MAX_IN ? "..." : "", s.n > MAX_IN ? 4 : 1);
    return out;
}

bool sv_str_u64(sv_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || !sv_mul_u64(v, 10, &v) || !sv_add_u64(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool sv_str_i64(sv_str s, int64_t *out)
{
    uint64_t v;
    bool is_negative = s.n > 0 && s.p[0] == '-';
    if (!sv_str_u64(is_negative ? (sv_str){ s.p + 1, s.n - 1 } : s, &v) || v > (uint64_t)INT64_MAX + is_negative)
        return false;
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool sv_str_f64(sv_str s, double *out)
{
    /* strtod also takes white space, hexadecimal, "inf" and "nan": none of them is a number in a file or a flag. */
    if (s.n == 0 || s.n > 4096)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr("0123456789+-.eE", s.p[i]))
            return false;
    char small[64], *copy = s.n < sizeof small ? small : sv_mem_new(s.n + 1), *end;
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    double v = strtod(copy, &end);
    bool is_whole = *end == '\0' && isfinite(v);
    if (copy != small)
        sv_mem_free(copy);
    if (is_whole)
        *out = v;
    return is_whole;
}

/* Levenshtein distance with two rows; words longer than a flag or a key are not compared. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX_WORD = 64 };
    size_t na = strlen(a), nb = strlen(b), row[MAX_WORD + 1];
    if (na > MAX_WORD || nb > MAX_WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

const char *sv_str_nearest(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t best_distance = 4, n_word = strlen(word);
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, words[i]);
        /* A suggestion that shares no letter with the word is none. */
        if (d < best_distance && (d < n_word || d == 0)) {
            best_distance = d;
            best = words[i];
        }
    }
    return best;
}
