/* SPDX-License-Identifier: Apache-2.0
 * argmax - where each row is largest.
 *
 *     y[w] = lowest j with the largest z[w,j]
 *
 * shape    z [W,V] -> y I32 [W]; W may be 0
 * dtype    z: f32
 * arith    A-13: compare and select from (-inf, 0): ties go to the lowest index, NaN never wins; a row of NaN and -inf
 *          gives 0
 */
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "z", SV_TAKES_F32, 2));
    if (in[0].dim[1] == 0)
        return sv_fail(SV_E_SHAPE, "z is %s; a row without items has no largest one", sv_tensor_text(&in[0]));
    return sv_check_out(&out[0], "y", SV_DT_I32, 1, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    int32_t *y = sv_tensor_host(&call->out[0]);
    for (uint32_t w = 0; w < call->in[0].dim[0]; w++)
        y[w] = (int32_t)sv_argmax(sv_row(&call->in[0], w), call->in[0].dim[1]);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t W, V, gap;
    if (!sv_case_rows(i, &W, &V, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, W, V), gap);
    sv_case_name(c, "[%u, %u], gap %u", W, V, gap);
    return 1;
}

const sv_opspec sv_opspec_argmax = {
    .name = "argmax",
    .formula = "y[w] = lowest j with the largest z[w,j]; NaN never wins",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_ARG,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
