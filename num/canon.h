/* SPDX-License-Identifier: Apache-2.0
 * The elementary functions for scalar C: sv_canon_exp, log, sigmoid, silu, rsqrt, tanh, sin, cos (text and law:
 * canon.inc). Threads: values.
 */
#ifndef SV_NUM_CANON_H
#define SV_NUM_CANON_H

#include "num/bits.h"

#define SV_FN(name) sv_canon_##name
#define SV_QUAL static inline
#define SV_F float
#define SV_I int32_t
#define SV_FK(c) (c)
#define SV_IK(c) ((int32_t)(c))
#define SV_SELECT(m, a, b) ((m) ? (a) : (b))
#define SV_AS_I(f) sv_bits_i32(f)
#define SV_AS_F(i) sv_bits_f32((uint32_t)(i))
#define SV_TO_F(i) ((float)(i))
#define SV_TO_I(f) ((int32_t)(f))
#define SV_SQRT(x) __builtin_sqrtf(x)
#include "num/canon.inc"
#undef SV_FN
#undef SV_QUAL
#undef SV_F
#undef SV_I
#undef SV_FK
#undef SV_IK
#undef SV_SELECT
#undef SV_AS_I
#undef SV_AS_F
#undef SV_TO_F
#undef SV_TO_I
#undef SV_SQRT

#endif
