/* SPDX-License-Identifier: Apache-2.0
 * What shape rules share: counts, item types, dimensions, places of outputs. Each sentence names the operand, what was
 * found and what is allowed; the tape puts op, layer and label in front.
 * Threads: values.
 */
#ifndef SV_OP_CHECK_H
#define SV_OP_CHECK_H

#include "op/spec.h"

#define SV_TAKES(dtype) (1u << SV_DT_##dtype)
#define SV_TAKES_F32 SV_TAKES(F32)
#define SV_TAKES_I32 SV_TAKES(I32)
#define SV_TAKES_FLOAT (SV_TAKES(F32) | SV_TAKES(BF16) | SV_TAKES(F16))
#define SV_TAKES_K (SV_TAKES(Q4_K) | SV_TAKES(Q5_K) | SV_TAKES(Q6_K))

/* The number of inputs lies in [least, most]. */
sv_err sv_check_count(uint32_t n_in, uint32_t least, uint32_t most);
/* Item type in the mask `takes`, n_dim dimensions (0: any from 1), plain layout; dense, but for the rows of a 2-D
 * tensor, which may lie further apart. `what` names the operand. */
sv_err sv_check(const sv_tensor *t, const char *what, uint32_t takes, uint32_t n_dim);
/* As sv_check for a weight of 2 dimensions in any layout of its type; rows of block types are whole blocks. */
sv_err sv_check_weight(const sv_tensor *t, const char *what, uint32_t takes);
/* Dimension `axis` of t is `want` (`of`: where that number comes from). */
sv_err sv_check_dim(const sv_tensor *t, const char *what, uint32_t axis, uint32_t want, const char *of);
/* Both have the same dimensions. */
sv_err sv_check_same(const sv_tensor *a, const char *what_a, const sv_tensor *b, const char *what_b);
/* An output: filled when not given (n_dim = 0), else it must be dense, plain and of this type and shape. */
sv_err sv_check_out(sv_tensor *out, const char *what, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim);
/* An output that is read and written: it must be given. */
sv_err sv_check_inout(sv_tensor *out, const char *what, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim);
/* The op's attributes are there. */
sv_err sv_check_attr(const void *attr);

#endif
