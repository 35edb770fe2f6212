/* SPDX-License-Identifier: Apache-2.0
 * Hand-written scanners for the split rules of known model families: the same pieces as their regular expressions,
 * matched by Unicode 14.0 classes.
 * Threads: no state.
 */
#ifndef SV_TEXT_SCAN_H
#define SV_TEXT_SCAN_H

#include <stddef.h>

#include "base/str.h"

typedef enum sv_scan {
    SV_SCAN_NONE,
    SV_SCAN_GPT2,
    SV_SCAN_QWEN2, /* Qwen2, Qwen2.5, Qwen3 */
    SV_SCAN_QWEN35,
    SV_SCAN_LLAMA3,
    SV_SCAN_DIGITS_3,   /* \p{N}{1,3}: first of DeepSeek-V3's three */
    SV_SCAN_CJK,        /* second */
    SV_SCAN_DEEPSEEK,   /* third */
    SV_SCAN_DIGIT_EACH, /* Digits with individual_digits */
    SV_SCAN_DIGITS_ALL, /* Digits without */
    SV_SCAN_COUNT
} sv_scan;

/* The regular expression that the scanner stands for, as tokenizer.json holds it; NULL for NONE. */
const char *sv_scan_regex(sv_scan kind);
/* The scanner whose regular expression is exactly this text, or NONE. */
sv_scan sv_scan_of_regex(sv_str regex);

/* The end of the piece that begins at p[at], at < n: a match, or all text up to the next match or the end. p is valid
 * UTF-8, and at = 0 or the end of the piece before. */
size_t sv_scan_next(sv_scan kind, const char *p, size_t at, size_t n);

#endif
