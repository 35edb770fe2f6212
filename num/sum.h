/* SPDX-License-Identifier: Apache-2.0
 * The orders of sums and maxima (docs/arithmetic.md A-11 DOT, A-12 SUM, A-13 MAX and ARG). Threads: values.
 */
#ifndef SV_NUM_SUM_H
#define SV_NUM_SUM_H

#include <stdint.h>

#include "num/halve.h"

#define SV_SUM_LANES 32
#define SV_SUM_PIECE 4096
#define SV_SUM_CHUNK 256 /* items of a DOT chunk; SV_DOT_CHUNK of op.h */

/* Folds 32 lanes: w = 16, 8, 4, 2, 1: lane[j] = lane[j] + lane[j + w], j < w. Destroys lane. */
static inline float sv_sum_fold(float *lane)
{
    for (uint32_t w = SV_SUM_LANES / 2; w > 0; w /= 2)
        for (uint32_t j = 0; j < w; j++)
            lane[j] = lane[j] + lane[j + w];
    return lane[0];
}

/* A running SUM of n items, given in order: lane[i mod 32] += x_i from +0, folded at the end of each piece of 4,096;
 * pieces by HALVE. */
typedef struct sv_sum_state {
    uint64_t n, i;
    float lane[SV_SUM_LANES];
    sv_halve pieces;
} sv_sum_state;

static inline void sv_sum_begin(sv_sum_state *s, uint64_t n)
{
    s->n = n;
    s->i = 0;
    for (uint32_t j = 0; j < SV_SUM_LANES; j++)
        s->lane[j] = 0.0f;
    sv_halve_begin(&s->pieces, (uint32_t)((n + SV_SUM_PIECE - 1) / SV_SUM_PIECE));
}

static inline void sv_sum_add(sv_sum_state *s, float x)
{
    uint32_t j = (uint32_t)(s->i % SV_SUM_LANES);
    s->lane[j] = s->lane[j] + x;
    s->i++;
    if (s->i % SV_SUM_PIECE != 0 && s->i != s->n)
        return;
    sv_halve_push(&s->pieces, sv_sum_fold(s->lane));
    for (j = 0; j < SV_SUM_LANES; j++)
        s->lane[j] = 0.0f;
}

/* The total after n calls of sv_sum_add; +0 when n is 0. */
static inline float sv_sum_end(const sv_sum_state *s)
{
    return sv_halve_total(&s->pieces);
}

/* SUM of n floats. */
static inline float sv_sum(const float *x, uint64_t n)
{
    sv_sum_state s;
    sv_sum_begin(&s, n);
    for (uint64_t i = 0; i < n; i++)
        sv_sum_add(&s, x[i]);
    return sv_sum_end(&s);
}

/* MAX by compare and select: NaN never wins, -inf for none or only NaN; a zero result is +0. */
static inline float sv_max(const float *x, uint64_t n)
{
    float m = -__builtin_inff();
    for (uint64_t i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m + 0.0f;
}

/* ARG: lowest index of the largest item; NaN never wins; 0 when nothing wins (only NaN or -inf). */
static inline uint32_t sv_argmax(const float *x, uint32_t n)
{
    float m = -__builtin_inff();
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        at = x[i] > m ? i : at;
        m = x[i] > m ? x[i] : m;
    }
    return at;
}

/* DOT of a[k * a_step] and b[k * b_step], k = 0 ... n - 1: fma chains from +0 over chunks of 256, chunks by HALVE. +0
 * for n = 0. */
static inline float sv_dot(const float *a, uint64_t a_step, const float *b, uint64_t b_step, uint32_t n)
{
    sv_halve h;
    sv_halve_begin(&h, (n + SV_SUM_CHUNK - 1) / SV_SUM_CHUNK);
    for (uint32_t k0 = 0; k0 < n; k0 += SV_SUM_CHUNK) {
        uint32_t k1 = n - k0 < SV_SUM_CHUNK ? n : k0 + SV_SUM_CHUNK;
        float s = 0.0f;
        for (uint32_t k = k0; k < k1; k++)
            s = __builtin_fmaf(a[k * a_step], b[k * b_step], s);
        sv_halve_push(&h, s);
    }
    return sv_halve_total(&h);
}

#endif
