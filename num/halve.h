/* SPDX-License-Identifier: Apache-2.0
 * HALVE, the one tree by which pieces of a sum are combined (docs/arithmetic.md A-10):
 *     H(lo, hi) = piece lo if hi - lo = 1, else H(lo, mid) + H(mid, hi), mid = lo + ceil((hi - lo) / 2).
 * Evaluated with a stack: after piece c, sv_halve_pops(c, n) times "older + newer", then push. The counts depend on n
 * alone. Its subtrees are contiguous, so several chips can each hold one and exchange a single partial. Threads:
 * values.
 */
#ifndef SV_NUM_HALVE_H
#define SV_NUM_HALVE_H

#include <stdint.h>

/* Values that a stack for any n < 2^32 may hold: ceil(log2 n) + 1. */
#define SV_HALVE_MAX 33

static inline uint32_t sv_halve_mid(uint32_t lo, uint32_t hi)
{
    return lo + (hi - lo - (hi - lo) / 2);
}

/* Additions that follow piece c (0-based) of n: the subtrees of more than one piece that end with it. c < n. */
static inline uint32_t sv_halve_pops(uint32_t c, uint32_t n)
{
    uint32_t lo = 0, hi = n, pops = 0;
    while (hi - lo > 1) {
        uint32_t mid = sv_halve_mid(lo, hi);
        if (hi == c + 1)
            pops++;
        if (c < mid)
            hi = mid;
        else
            lo = mid;
    }
    return pops;
}

/* Stack places that n pieces need, the newest piece included: ceil(log2 n) + 1; 0 for none. */
static inline uint32_t sv_halve_depth(uint32_t n)
{
    uint32_t depth = n > 0;
    for (uint32_t m = n; m > 1; m -= m / 2)
        depth++;
    return depth;
}

/* A running HALVE of n pieces. */
typedef struct sv_halve {
    uint32_t n, c, top;
    float s[SV_HALVE_MAX];
} sv_halve;

static inline void sv_halve_begin(sv_halve *h, uint32_t n)
{
    h->n = n;
    h->c = 0;
    h->top = 0;
}

static inline void sv_halve_push(sv_halve *h, float piece)
{
    for (uint32_t pops = sv_halve_pops(h->c, h->n); pops > 0; pops--)
        piece = h->s[--h->top] + piece;
    h->s[h->top++] = piece;
    h->c++;
}

/* The total after n pushes; +0 when n is 0. */
static inline float sv_halve_total(const sv_halve *h)
{
    return h->n > 0 ? h->s[0] : 0.0f;
}

#endif
