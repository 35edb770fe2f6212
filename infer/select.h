/* SPDX-License-Identifier: Apache-2.0
 * The largest items of a row in order, without sorting the rest.
 * Threads: a selector is used by one thread at a time.
 */
#ifndef SV_INFER_SELECT_H
#define SV_INFER_SELECT_H

#include "num/bits.h"

/* An item in the order "descending, ties to the lowest id": smaller pairs come first. */
typedef uint64_t sv_pair;
static inline uint32_t sv_pair_id(sv_pair p)
{
    return (uint32_t)p;
}

/* The item itself; a zero as +0. */
static inline float sv_pair_value(sv_pair p)
{
    uint32_t key = (uint32_t)(p >> 32);
    return sv_bits_f32(key & 0x80000000u ? key : 0x7fffffffu - key);
}

typedef struct sv_select sv_select;

sv_select *sv_select_make(uint32_t n_max);
void sv_select_drop(sv_select *s); /* NULL is fine */

/* The k largest of x [n], n <= n_max, in order; k 0: all. -inf and NaN do not exist. *out has as many as returned and
 * is valid until the next call. Equal to a full sort, cut. */
uint32_t sv_select_top(sv_select *s, const float *x, uint32_t n, uint32_t k, const sv_pair **out);

#endif
