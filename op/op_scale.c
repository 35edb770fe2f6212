/* SPDX-License-Identifier: Apache-2.0
 * scale - a tensor times a number.
 *
 *     y = x factor
 *
 * shape    x of 1 to 4 dimensions -> y as x
 * dtype    f32
 * arith    A-31: one rounded multiplication
 * grad     dx = dy factor
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 0));
    return sv_check_out(&out[0], "y", SV_DT_F32, in[0].n_dim, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const float *x = sv_tensor_host(&call->in[0]), factor = ((const sv_attr_scale *)call->attr)->factor;
    float *y = sv_tensor_host(&call->out[0]);
    sv_rows r = sv_rows_of(&call->in[0]);
    for (uint64_t t = 0; t < r.n; t++)
        for (uint32_t d = 0; d < r.len; d++)
            y[t * r.len + d] = x[t * r.step + d] * factor;
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = sv_tape_emit1(t, SV_OP_scale, fwd->attr, dout, 1);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const float factor[] = { 0.125f, -1.0f, 0.0f, 3.1415927f, 1e-38f, 1e38f, -0.0f };
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    c->has_attr = true;
    c->attr.scale.factor = factor[i % 7];
    sv_case_name(c, "[%u, %u] times %g, gap %u", T, D, (double)c->attr.scale.factor, gap);
    return 1;
}

const sv_opspec sv_opspec_scale = {
    .name = "scale",
    .formula = "y = x factor",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .attr_bytes = sizeof(sv_attr_scale),
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
