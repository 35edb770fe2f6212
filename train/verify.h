/* SPDX-License-Identifier: Apache-2.0
 * Judges of free answers against a gold answer: gsm8k, math, aime, number, countdown, exact, choice. Pure functions of
 * text: exact integers and rationals, no clock, no locale, bounded input. Gold is parsed first and alone: one that does
 * not parse is an error of the data, never a reward.
 * Threads: values; safe from any thread.
 */
#ifndef SV_TRAIN_VERIFY_H
#define SV_TRAIN_VERIFY_H

#include <jansson.h>

#include "base/mem.h"
#include "train/task.h"

#define SV_VERIFY_MAX_TEXT 65536u /* bytes of an output; longer is malformed */
#define SV_VERIFY_MAX_PIECE 1024u /* bytes of an answer; longer is unsupported */
#define SV_VALUE_MAX 16u          /* items of a list */

/* num / den * sqrt(root): den > 0, lowest terms, root >= 1 without square factors. */
typedef struct sv_scalar {
    int64_t num, den, root;
    bool is_decimal; /* written with a decimal point: compared when rounded to six places */
} sv_scalar;
/* One number, or a list with its brackets; '{' (and no bracket at all) is a set. */
typedef struct sv_value {
    sv_scalar item[SV_VALUE_MAX];
    uint32_t n;
    char open, close; /* '\0': a single number */
} sv_value;

typedef struct sv_verifier sv_verifier;
const sv_verifier *sv_verifier_find(const char *name); /* NULL: there is none */
const sv_verifier *sv_verifier_at(uint32_t i);         /* NULL behind the last */
const char *sv_verifier_name(const sv_verifier *v);
const char *sv_verifier_names(void); /* "gsm8k, math, ..." for messages */

typedef struct sv_gold {
    sv_str text; /* the answer alone, normalised where its verifier does so; owned by the arena */
    sv_value value;
    bool has_value;
    int64_t number[SV_VALUE_MAX]; /* countdown: what must be used, each once; value is the target */
    uint32_t n_number;
} sv_gold;

/* Reads the gold of a row: "gold", "answer", "ground_truth" or "solution", a string or a number; countdown: "target"
 * and "nums" or "numbers". SV_E_FORMAT: there is none, or it does not parse; where ("file:line") stands in front.
 * *is_supported false: a good gold that the verifier does not cover. */
sv_err sv_gold_read(const sv_verifier *v, const json_t *row, const char *where, sv_arena *a, sv_gold *out,
                    bool *is_supported);

typedef enum sv_extract {
    SV_EXTRACT_TRAIN,   /* strict, and several answers are malformed */
    SV_EXTRACT_STRICT,  /* the last marked answer (gsm8k: the first) */
    SV_EXTRACT_FLEXIBLE /* else what looks like an answer */
} sv_extract;

/* Judges an output. ended: it stopped by its end token. in_thought: it began inside a block of thought, so that nothing
 * before "</think>" counts. answer (may be NULL): appended in one normal form when there is one. */
sv_verdict sv_verify(const sv_verifier *v, const sv_gold *gold, sv_str output, bool ended, bool in_thought,
                     sv_extract how, sv_bytes *answer);

/* ---- for verify*.c and their tests ---- */

/* The visible part: behind the last "</think>". False: it is all thought. */
bool sv_verify_visible(sv_str output, bool in_thought, sv_str *out);
/* What stands in the last <answer> block, or \boxed{} with balanced braces; *n: how many there are. */
bool sv_verify_block(sv_str text, sv_str *out, uint32_t *n);
bool sv_verify_boxed(sv_str text, sv_str *out, uint32_t *n);
/* The last LaTeX environment: $...$, $$...$$, \(...\), \[...\]. */
bool sv_verify_environment(sv_str text, sv_str *out);
/* The last number of a text: digits with thousands commas, a point, a fraction, a percent sign. *n: how many. */
bool sv_verify_last_number(sv_str text, sv_str *out, uint32_t *n);
sv_str sv_verify_trim(sv_str text);

/* LaTeX in one form: without text, mbox, left, right, spaces, units and $, dfrac and tfrac as frac, \frac12 as
 * \frac{1}{2}, .5 as 0.5, without "x=" in front. keep_percent: else the sign is dropped. False: too long. */
bool sv_verify_normalise(sv_str text, bool keep_percent, char out[SV_VERIFY_MAX_PIECE], size_t *n);
/* A normalised text as a value; false: not covered. */
bool sv_value_read(sv_str text, sv_value *out);
bool sv_value_same(const sv_value *a, const sv_value *b);
void sv_value_write(const sv_value *v, sv_bytes *out);
/* "1,234.50" as a value; false: not a decimal of at most 18 digits. */
bool sv_scalar_decimal(sv_str text, sv_scalar *out);

/* Exact arithmetic on scalars; false: outside of what is covered (overflow, division by 0, unlike roots). */
bool sv_scalar_add(const sv_scalar *a, const sv_scalar *b, sv_scalar *out);
bool sv_scalar_mul(const sv_scalar *a, const sv_scalar *b, sv_scalar *out);
bool sv_scalar_div(const sv_scalar *a, const sv_scalar *b, sv_scalar *out);

/* An expression of + - * / ( ) and integers by usual precedence. numbers: the integers as they stand. False: not one,
 * or without a value. */
bool sv_countdown_read(sv_str text, sv_scalar *value, int64_t number[SV_VALUE_MAX], uint32_t *n_number);

#endif
