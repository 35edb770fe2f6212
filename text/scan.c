/* SPDX-License-Identifier: Apache-2.0
 * One function per family; each follows the alternatives of its regular expression in order.
 */
#include "text/scan.h"

#include <stdbool.h>
#include <stdint.h>

#include "text/unicode.h"

enum { L = SV_UNI_L, M = SV_UNI_M, N = SV_UNI_N, P = SV_UNI_P, S = SV_UNI_S, SPACE = SV_UNI_SPACE };
/* Flags that a scanner adds to those of Unicode. */
enum { NEWLINE = 1u << 15 }; /* CR or LF */

#define TAIL "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
static const char *const regexes[SV_SCAN_COUNT] = {
    [SV_SCAN_GPT2] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    [SV_SCAN_QWEN2] = CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    [SV_SCAN_QWEN35] =
        CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" TAIL,
    [SV_SCAN_LLAMA3] = CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    [SV_SCAN_DIGITS_3] = "\\p{N}{1,3}",
    [SV_SCAN_CJK] = "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+",
    /* The file holds CR and LF themselves where the others hold escapes. */
    [SV_SCAN_DEEPSEEK] =
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
        "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    [SV_SCAN_DIGIT_EACH] = "\\p{N}",
    [SV_SCAN_DIGITS_ALL] = "\\p{N}+",
};

const char *sv_scan_regex(sv_scan kind)
{
    return kind < SV_SCAN_COUNT ? regexes[kind] : NULL;
}

sv_scan sv_scan_of_regex(sv_str regex)
{
    for (int k = SV_SCAN_NONE + 1; k < SV_SCAN_COUNT; k++)
        if (sv_str_is(regex, regexes[k]))
            return (sv_scan)k;
    return SV_SCAN_NONE;
}

/* Classes of ASCII, so that most text needs no look-up in the large table. */
/* clang-format off */
static const uint16_t ascii[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, SPACE, SPACE | NEWLINE, SPACE, SPACE, SPACE | NEWLINE, 0, 0, /* 00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                                         /* 10 */
    SPACE, P, P, P, S, P, P, P, P, P, P, S, P, P, P, P,                                     /* 20 */
    N, N, N, N, N, N, N, N, N, N, P, P, S, S, S, P,                                         /* 30 */
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,                                         /* 40 */
    L, L, L, L, L, L, L, L, L, L, L, P, P, P, S, P,                                         /* 50 */
    S, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,                                         /* 60 */
    L, L, L, L, L, L, L, L, L, L, L, P, S, P, S, 0,                                         /* 70 */
};
/* clang-format on */

/* Flags of the character at p[at]; *end is where it ends. At n: 0, and *end = n. */
static inline uint32_t class_at(const char *p, size_t at, size_t n, size_t *end)
{
    if (at >= n) {
        *end = n;
        return 0;
    }
    unsigned char c = (unsigned char)p[at];
    if (c < 0x80) {
        *end = at + 1;
        return ascii[c];
    }
    uint32_t used;
    uint32_t cp = sv_unicode_next(p + at, &used);
    *end = at + used;
    return sv_unicode_flags(cp);
}

/* Passes over characters that have one of the flags in `want`. */
static inline size_t while_any(const char *p, size_t at, size_t n, uint32_t want)
{
    size_t end;
    while (at < n && (class_at(p, at, n, &end) & want) != 0)
        at = end;
    return at;
}

/* Passes over characters that have none of the flags. */
static inline size_t while_none(const char *p, size_t at, size_t n, uint32_t flags)
{
    size_t end;
    while (at < n && (class_at(p, at, n, &end) & flags) == 0)
        at = end;
    return at;
}

/* Length of 's 't 're 've 'm 'll 'd at p[at], or 0. No case: also capitals and U+017F, the long s. */
static size_t contraction(const char *p, size_t at, size_t n, bool no_case)
{
    if (n - at < 2 || p[at] != '\'')
        return 0;
    unsigned char fold = no_case ? 0x20 : 0;
    int a = (unsigned char)p[at + 1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (n - at < 3)
        return 0;
    if (no_case && (unsigned char)p[at + 1] == 0xc5 && (unsigned char)p[at + 2] == 0xbf)
        return 3;
    int b = (unsigned char)p[at + 2] | fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space at p[at]: "\s*[\r\n]+" when `newlines`, then "\s+(?!\S)", then "\s+". */
static size_t spaces(const char *p, size_t at, size_t n, bool newlines)
{
    size_t i = at, end, last = at, after_newline = 0;
    uint32_t f;
    while (i < n && ((f = class_at(p, i, n, &end)) & SPACE) != 0) {
        last = i;
        i = end;
        if ((f & NEWLINE) != 0)
            after_newline = i;
    }
    if (newlines && after_newline > 0)
        return after_newline;
    if (i == n || last == at)
        return i;
    return last;
}

static size_t next_gpt2(const char *p, size_t at, size_t n)
{
    size_t end, after;
    uint32_t f = class_at(p, at, n, &end);
    if (p[at] == '\'') {
        size_t c = contraction(p, at, n, false);
        if (c > 0)
            return at + c;
    }
    if (p[at] == ' ' && end < n) {
        uint32_t g = class_at(p, end, n, &after);
        if ((g & SPACE) == 0) {
            f = g;
            end = after;
        }
    }
    if ((f & L) != 0)
        return while_any(p, end, n, L);
    if ((f & N) != 0)
        return while_any(p, end, n, N);
    if ((f & SPACE) == 0)
        return while_none(p, end, n, SPACE | L | N);
    return spaces(p, at, n, false);
}

/* Qwen and Llama-3. word: what words are made of; digits: longest run of numbers in one piece. */
static inline size_t next_qwen(const char *p, size_t at, size_t n, uint32_t word, int digits)
{
    size_t end, after;
    uint32_t f = class_at(p, at, n, &end);
    if (p[at] == '\'') {
        size_t c = contraction(p, at, n, true);
        if (c > 0)
            return at + c;
    }
    if ((f & word) != 0)
        return while_any(p, end, n, word);
    uint32_t g = class_at(p, end, n, &after);
    if ((f & (N | NEWLINE)) == 0 && (g & word) != 0)
        return while_any(p, after, n, word);
    if ((f & N) != 0) {
        for (int i = 1; i < digits && (class_at(p, end, n, &after) & N) != 0; i++)
            end = after;
        return end;
    }
    uint32_t not_punct = SPACE | N | word;
    if (p[at] == ' ' && end < n && (g & not_punct) == 0) {
        f = g;
        end = after;
    }
    if ((f & not_punct) == 0)
        return while_any(p, while_none(p, end, n, not_punct), n, NEWLINE);
    return spaces(p, at, n, true);
}

static bool is_ascii_letter(const char *p, size_t at, size_t n)
{
    return at < n && (unsigned char)((p[at] | 0x20) - 'a') < 26;
}

/* A match of DeepSeek-V3's third rule at p[at], or `at` when there is none. */
static size_t match_deepseek(const char *p, size_t at, size_t n)
{
    size_t end, after;
    uint32_t f = class_at(p, at, n, &end);
    if ((unsigned char)p[at] < 0x80 && (f & (P | S)) != 0 && is_ascii_letter(p, end, n)) {
        while (is_ascii_letter(p, end, n))
            end++;
        return end;
    }
    if ((f & (L | M)) != 0)
        return while_any(p, end, n, L | M);
    uint32_t g = class_at(p, end, n, &after);
    if ((f & (NEWLINE | P | S)) == 0 && (g & (L | M)) != 0)
        return while_any(p, after, n, L | M);
    if (p[at] == ' ' && (g & (P | S)) != 0) {
        f = g;
        end = after;
    }
    if ((f & (P | S)) != 0)
        return while_any(p, while_any(p, end, n, P | S), n, NEWLINE);
    if ((f & SPACE) != 0)
        return spaces(p, at, n, true);
    return at;
}

static size_t next_deepseek(const char *p, size_t at, size_t n)
{
    size_t end = match_deepseek(p, at, n);
    if (end > at)
        return end;
    do
        class_at(p, at, n, &at);
    while (at < n && match_deepseek(p, at, n) == at);
    return at;
}

/* Whether the character at p[at], whose first byte is E3 to E9, is one of the class. */
static bool is_cjk(const char *p, size_t at)
{
    uint32_t used;
    uint32_t cp = sv_unicode_next(p + at, &used);
    return (cp >= 0x4e00 && cp <= 0x9fa5) || (cp >= 0x3040 && cp <= 0x30ff);
}

static bool may_be_cjk(char first)
{
    return (unsigned char)first >= 0xe3 && (unsigned char)first <= 0xe9;
}

static size_t next_cjk(const char *p, size_t at, size_t n)
{
    size_t start = at;
    while (at < n && may_be_cjk(p[at]) && is_cjk(p, at))
        at += 3;
    if (at > start)
        return at;
    /* All other bytes, those inside of characters too, may be passed over one by one. */
    while (at < n && !(may_be_cjk(p[at]) && is_cjk(p, at)))
        at++;
    return at;
}

/* Numbers by at most `most` a piece; everything else in one piece. */
static size_t next_digits(const char *p, size_t at, size_t n, size_t most)
{
    size_t end;
    if ((class_at(p, at, n, &end) & N) == 0)
        return while_none(p, end, n, N);
    for (size_t i = 1; i < most && end < n; i++) {
        size_t after;
        if ((class_at(p, end, n, &after) & N) == 0)
            break;
        end = after;
    }
    return end;
}

size_t sv_scan_next(sv_scan kind, const char *p, size_t at, size_t n)
{
    switch (kind) {
    case SV_SCAN_GPT2:
        return next_gpt2(p, at, n);
    case SV_SCAN_QWEN2:
        return next_qwen(p, at, n, L, 1);
    case SV_SCAN_QWEN35:
        return next_qwen(p, at, n, L | M, 1);
    case SV_SCAN_LLAMA3:
        return next_qwen(p, at, n, L, 3);
    case SV_SCAN_DIGITS_3:
        return next_digits(p, at, n, 3);
    case SV_SCAN_CJK:
        return next_cjk(p, at, n);
    case SV_SCAN_DEEPSEEK:
        return next_deepseek(p, at, n);
    case SV_SCAN_DIGIT_EACH:
        return next_digits(p, at, n, 1);
    case SV_SCAN_DIGITS_ALL:
        return next_digits(p, at, n, SIZE_MAX);
    case SV_SCAN_NONE:
    case SV_SCAN_COUNT:
        break;
    }
    return n;
}
