/* SPDX-License-Identifier: Apache-2.0
 * f32 to blocks of Q4_K, Q5_K and Q6_K. The format leaves the rule open; ours is stated here and is the same on every
 * machine (binary64, + - x / and root alone).
 *
 * Q4_K, Q5_K (x = s n - m, n in 0 ... N, N = 15 or 31), each group of 32: lo = least item or 0, hi = largest. For t =
 * -10
 *   ... 10: n = round((x - lo) (N + t/10)/(hi - lo)), held in 0 ... N; s and m by least squares with weights |x| +
 * rms(x); where m < 0, m = 0 and s alone. The pair with the least weighted error, the first of equals. d = f16(largest
 * s/63), dmin = f16(largest m/63); scales and minima s/d, m/dmin, rounded; then codes n = round((x + dmin min)/(d
 * scale)). Q6_K (x = s q, q in -32 ... 31), each group of 16: e = the first item of largest magnitude. For t = -9 ...
 * 9: q = round(x (-(32 + t/10)/e)); s by least squares with weights x^2; the s that explains most. d = f16(s/-128) of
 * the first s of largest magnitude; scales s/d in -128 ... 127; then codes q = round(x/(d scale)). Rounding is to
 * nearest, ties to even. Threads: pure functions.
 */
#ifndef SV_NUM_KQUANT_H
#define SV_NUM_KQUANT_H

#include <stdbool.h>
#include <stdint.h>

#include "samsvar/dtype.h"

/* n_items floats (a multiple of 256) to a row of blocks of t. False, and the row not to be used: t is none of the
 * three, n_items does not fit, an item is NaN or inf, or f16 cannot hold a factor. */
bool sv_kquant_row(sv_dtype t, const float *x, uint64_t n_items, uint8_t *row);

#endif
