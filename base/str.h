/* SPDX-License-Identifier: Apache-2.0
 * Bytes and text: views, a growing byte buffer, UTF-8.
 * Threads: values; no shared state.
 */
#ifndef SV_BASE_STR_H
#define SV_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A view of bytes, not NUL-terminated. Valid as long as what it was taken from. */
typedef struct sv_str {
    const char *p;
    size_t n;
} sv_str;

#define SV_STR(literal) ((sv_str){ "" literal, sizeof(literal) - 1 })
sv_str sv_str_of(const char *text); /* NULL gives an empty view */
bool sv_str_eq(sv_str a, sv_str b);
bool sv_str_is(sv_str a, const char *text);
bool sv_str_starts(sv_str a, const char *prefix);
bool sv_str_ends(sv_str a, const char *suffix);

/* A growing byte buffer; always NUL-terminated behind n, so p may be printed. {0} is an empty one. */
typedef struct sv_bytes {
    char *p;
    size_t n, cap;
} sv_bytes;
void sv_bytes_add(sv_bytes *b, const void *data, size_t n);
void sv_bytes_text(sv_bytes *b, const char *text);
void sv_bytes_char(sv_bytes *b, char c);
void sv_bytes_printf(sv_bytes *b, const char *fmt, ...) SV_PRINTF(2, 3);
void sv_bytes_clear(sv_bytes *b); /* n = 0, keeps the memory */
void sv_bytes_done(sv_bytes *b);  /* frees */

/* UTF-8 as Unicode defines it: no surrogates, no overlong forms, at most U+10FFFF. */
#define SV_UTF8_BAD 0xffffffffu
/* Reads one code point at s[0..n); sets *used (1..4). Invalid: SV_UTF8_BAD, *used = length of the maximal invalid part
 * (Unicode 3.9, at least 1). n must be > 0. */
uint32_t sv_utf8_next(const char *s, size_t n, size_t *used);
size_t sv_utf8_put(uint32_t cp, char out[4]); /* bytes written, 1..4 */
/* True when all of s is valid; else *at is the byte offset of the first fault. `at` may be NULL. */
bool sv_utf8_valid(const char *s, size_t n, size_t *at);
/* How many bytes at the end of s are an incomplete but so far valid character (0..3). A stream holds them back. */
size_t sv_utf8_tail(const char *s, size_t n);

/* Escapes bytes for a message: printable ASCII as is, the rest as \xNN, at most 80 bytes, then "...". Ring of 4 buffers
 * per thread. */
const char *sv_str_quote(sv_str s);
/* Numbers from text, whole string, no white space: false when it does not fit. */
bool sv_str_u64(sv_str s, uint64_t *out);
bool sv_str_i64(sv_str s, int64_t *out);
bool sv_str_f64(sv_str s, double *out);
/* The first word of `words` (n) nearest to `word` by edit distance, or NULL when none is within 3 or each would replace
 * every letter. */
const char *sv_str_nearest(const char *word, const char *const *words, size_t n);

#endif
