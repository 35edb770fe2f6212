/* SPDX-License-Identifier: Apache-2.0
 * sumsq - the sum of the squares of all items.
 *
 *     y[0] = sum of x x
 *
 * shape    x of 1 to 4 dimensions -> y [1]; no items: +0
 * dtype    f32
 * arith    A-12: as sum, each square rounded first
 */
#include "num/sum.h"
#include "op/read.h"
#include "op/total.h"

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const float *x = sv_tensor_host(&call->in[0]);
    sv_rows r = sv_rows_of(&call->in[0]);
    sv_sum_state sum;
    sv_sum_begin(&sum, r.n * r.len);
    for (uint64_t t = 0; t < r.n; t++)
        for (uint32_t d = 0; d < r.len; d++)
            sv_sum_add(&sum, x[t * r.step + d] * x[t * r.step + d]);
    *(float *)sv_tensor_host(&call->out[0]) = sv_sum_end(&sum);
}

const sv_opspec sv_opspec_sumsq = {
    .name = "sumsq",
    .formula = "y[0] = sum of squares of all items",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_SUM,
    .shape = sv_total_shape,
    .ref = ref,
    .cases = sv_total_cases,
};
