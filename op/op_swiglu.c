/* SPDX-License-Identifier: Apache-2.0
 * swiglu - the gated activation of feed-forward layers.
 *
 *     y = silu(gate) up
 *
 * shape    gate, up the same [T,D] -> y as gate
 * dtype    f32
 * arith    A-24: silu of A-20, then one rounded multiplication
 * grad     swiglu_grad
 * source   Shazeer 2020, "GLU variants improve transformer"
 */
#include "num/canon.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "gate", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "up", SV_TAKES_F32, 2));
    SV_TRY(sv_check_same(&in[0], "gate", &in[1], "up"));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++) {
        const float *gate = sv_row(&call->in[0], t), *up = sv_row(&call->in[1], t);
        float *y = sv_row(&call->out[0], t);
        for (uint32_t d = 0; d < call->in[0].dim[1]; d++)
            y[d] = sv_canon_silu(gate[d]) * up[d];
    }
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    sv_val out[2] = { SV_NONE, SV_NONE };
    sv_tape_emit(t, SV_OP_swiglu_grad, NULL, (sv_val[]){ fwd->in[0], fwd->in[1], dout[0] }, 3, out);
    for (uint32_t i = 0; i < 2; i++)
        if (sv_tape_needs(t, fwd->in[i]))
            din[i] = out[i];
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), i % 4 == 1 ? gap : 0);
    sv_case_name(c, "[%u, %u], gap %u", T, D, gap);
    return 1;
}

const sv_opspec sv_opspec_swiglu = {
    .name = "swiglu",
    .formula = "y = silu(gate) up",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
