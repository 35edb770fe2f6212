/* SPDX-License-Identifier: Apache-2.0
 * swiglu_grad - gradient of swiglu.
 *
 *     dup = dy silu(gate); s = sigmoid(gate); dgate = (dy up) (s (1 + gate (1 - s)))
 *
 * shape    gate, up, dy the same [T,D] -> dgate, dup as gate
 * dtype    f32
 * arith    A-24: each operator rounded, in the order of the parentheses
 */
#include "num/canon.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    static const char *const what[] = { "gate", "up", "dy" };
    (void)attr;
    SV_TRY(sv_check_count(n_in, 3, 3));
    for (uint32_t i = 0; i < 3; i++) {
        SV_TRY(sv_check(&in[i], what[i], SV_TAKES_F32, 2));
        SV_TRY(sv_check_same(&in[0], "gate", &in[i], what[i]));
    }
    SV_TRY(sv_check_out(&out[0], "dgate", SV_DT_F32, 2, in[0].dim));
    return sv_check_out(&out[1], "dup", SV_DT_F32, 2, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++) {
        const float *gate = sv_row(&call->in[0], t), *up = sv_row(&call->in[1], t), *dy = sv_row(&call->in[2], t);
        float *dgate = sv_row(&call->out[0], t), *dup = sv_row(&call->out[1], t);
        for (uint32_t d = 0; d < call->in[0].dim[1]; d++) {
            float g = gate[d], s = sv_canon_sigmoid(g);
            dup[d] = dy[d] * sv_canon_silu(g);
            dgate[d] = (dy[d] * up[d]) * (s * (1.0f + g * (1.0f - s)));
        }
    }
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    for (uint32_t k = 0; k < 3; k++)
        sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), (i + k) % 2 ? gap : 0);
    sv_case_name(c, "[%u, %u], gap %u", T, D, gap);
    return 1;
}

const sv_opspec sv_opspec_swiglu_grad = {
    .name = "swiglu_grad",
    .formula = "dgate, dup from gate, up, dy",
    .n_in = 3,
    .n_out = 2,
    .class = SV_CLASS_ELEM,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
