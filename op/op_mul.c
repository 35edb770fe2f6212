/* SPDX-License-Identifier: Apache-2.0
 * mul - products item by item.
 *
 *     y = a b
 *
 * shape    a, b the same, of 1 to 4 dimensions -> y as a
 * dtype    f32
 * arith    A-31: one rounded multiplication
 * grad     da = dy b, db = dy a
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "a", SV_TAKES_F32, 0));
    SV_TRY(sv_check(&in[1], "b", SV_TAKES_F32, 0));
    SV_TRY(sv_check_same(&in[0], "a", &in[1], "b"));
    return sv_check_out(&out[0], "y", SV_DT_F32, in[0].n_dim, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const float *a = sv_tensor_host(&call->in[0]), *b = sv_tensor_host(&call->in[1]);
    float *y = sv_tensor_host(&call->out[0]);
    sv_rows ra = sv_rows_of(&call->in[0]), rb = sv_rows_of(&call->in[1]);
    for (uint64_t t = 0; t < ra.n; t++)
        for (uint32_t d = 0; d < ra.len; d++)
            y[t * ra.len + d] = a[t * ra.step + d] * b[t * rb.step + d];
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    for (uint32_t i = 0; i < 2; i++)
        if (sv_tape_needs(t, fwd->in[i]))
            din[i] = sv_tape_emit1(t, SV_OP_mul, NULL, (sv_val[]){ dout[0], fwd->in[1 - i] }, 2);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), i % 4 == 0 ? 1 : 0);
    sv_case_name(c, "[%u, %u], gaps %u %u", T, D, gap, i % 4 == 0);
    return 1;
}

const sv_opspec sv_opspec_mul = {
    .name = "mul",
    .formula = "y = a b",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
