/* SPDX-License-Identifier: Apache-2.0
 * What sum and sumsq share: shape rule and cases.
 * Threads: values.
 */
#ifndef SV_OP_TOTAL_H
#define SV_OP_TOTAL_H

#include "op/spec.h"

/* x F32 of 1 to 4 dimensions -> y [1]. */
sv_err sv_total_shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out);
/* n around the borders of lanes and pieces, and rows apart. */
uint32_t sv_total_cases(uint32_t i, sv_case *c);

#endif
