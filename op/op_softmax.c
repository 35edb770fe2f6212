/* SPDX-License-Identifier: Apache-2.0
 * softmax - each row as probabilities.
 *
 *     y[t,d] = exp(x[t,d] - m) (1/l), m = max_d x, l = sum_d exp(x - m)
 *
 * shape    x [T,D] -> y as x; T may be 0
 * dtype    f32
 * arith    m is MAX; e = exp(x - m); l is SUM(e); y = e * (1 / l)
 */
#include "num/canon.h"
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 2));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    uint32_t D = call->in[0].dim[1];
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++) {
        const float *x = sv_row(&call->in[0], t);
        float *y = sv_row(&call->out[0], t), m = sv_max(x, D);
        for (uint32_t d = 0; d < D; d++)
            y[d] = sv_canon_exp(x[d] - m);
        float r = 1.0f / sv_sum(y, D);
        for (uint32_t d = 0; d < D; d++)
            y[d] = y[d] * r;
    }
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t more[] = { 4095, 4096, 4097, 8192, 12289, 20480, 33000 };
    uint32_t T = 1 + i % 2, D = i < 7 ? more[i] : 0, gap = 0;
    if (i >= 7 && !sv_case_rows(i - 7, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    sv_case_name(c, "[%u, %u], gap %u", T, D, gap);
    return 1;
}

const sv_opspec sv_opspec_softmax = {
    .name = "softmax",
    .formula = "y[t,d] = exp(x[t,d] - max) / sum, over d",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_SUM,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
