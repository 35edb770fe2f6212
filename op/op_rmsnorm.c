/* SPDX-License-Identifier: Apache-2.0
 * rmsnorm - scale each group of a row to unit root mean square, then by a gain per channel.
 *
 *     y[t,d] = x[t,d] r g[d], r = 1 / sqrt(mean_d x[t,d]^2 + eps)
 *
 * shape    x [T,nD], g [D] -> y as x: each row is n groups of D (n = 1, or the heads of a row); T may be 0
 * dtype    x, y: f32; g: f32, bf16, f16, widened exactly
 * arith    A-21: ms = SUM(x x) / (float)D, the products rounded; r = 1 / sqrt(ms + eps); y = (x r) g; each rounded
 * grad     rmsnorm_grad
 * errors   SV_E_SHAPE when D does not divide x's rows
 * source   Zhang & Sennrich 2019, eq. 4
 */
#include "num/canon.h"
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "g", SV_TAKES_FLOAT, 1));
    if (in[1].dim[0] == 0 || in[0].dim[1] % in[1].dim[0] != 0)
        return sv_fail(SV_E_SHAPE, "x is %s and g is %s; g's length must divide x's rows", sv_tensor_text(&in[0]),
                       sv_tensor_text(&in[1]));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, in[0].dim);
}

static size_t ref_scratch_bytes(const sv_call *call)
{
    return call->in[1].dim[0] * sizeof(float);
}

static void ref(const sv_call *call, void *scratch)
{
    float *g = scratch, eps = ((const sv_attr_rmsnorm *)call->attr)->eps;
    uint32_t D = call->in[1].dim[0];
    for (uint32_t d = 0; d < D; d++)
        g[d] = sv_load_float(call->in[1].dtype, (const uint8_t *)sv_tensor_host(&call->in[1]) +
                                                    d * sv_dtype_block_bytes(call->in[1].dtype));
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++)
        for (uint32_t first = 0; first < call->in[0].dim[1]; first += D) {
            const float *x = sv_row(&call->in[0], t) + first;
            float *y = sv_row(&call->out[0], t) + first;
            sv_sum_state sum;
            sv_sum_begin(&sum, D);
            for (uint32_t d = 0; d < D; d++)
                sv_sum_add(&sum, x[d] * x[d]);
            float r = sv_canon_rsqrt(sv_sum_end(&sum) / (float)D + eps);
            for (uint32_t d = 0; d < D; d++)
                y[d] = (x[d] * r) * g[d];
        }
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    uint32_t D = sv_tape_tensor(t, fwd->in[1])->dim[0];
    sv_val seg = sv_tape_seg(t, fwd->in[0]), into = sv_tape_param_grad(t, fwd->in[1]);
    bool is_param = into != SV_NONE;
    sv_attr_fill zero = { 0.0f, 1, { D } };
    if (seg == SV_NONE)
        return;
    if (!is_param)
        into = sv_tape_emit1(t, SV_OP_fill, &zero, NULL, 0);
    sv_val out[2] = { SV_NONE, into };
    sv_tape_emit(t, SV_OP_rmsnorm_grad, fwd->attr, (sv_val[]){ fwd->in[0], fwd->in[1], dout[0], seg }, 4, out);
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = out[0];
    if (!is_param && sv_tape_needs(t, fwd->in[1]))
        din[1] = into;
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t groups[] = { 1, 1, 2, 1, 7, 1 };
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    uint32_t n = D <= 1000 ? groups[i % 6] : 1;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, n * D), gap);
    SV_CASE_IN1(c, i % 5 == 3 ? SV_DT_BF16 : SV_DT_F32, D);
    c->has_attr = true;
    c->attr.rmsnorm.eps = i % 2 ? 1e-6f : 1e-5f;
    sv_case_name(c, "[%u, %u x %u], %s gain, gap %u", T, n, D, sv_dtype_name(c->in[1].dtype), gap);
    return 1;
}

const sv_opspec sv_opspec_rmsnorm = {
    .name = "rmsnorm",
    .formula = "y[t,d] = x[t,d] g[d] / sqrt(mean_d x[t,d]^2 + eps)",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_SUM,
    .attr_bytes = sizeof(sv_attr_rmsnorm),
    .shape = shape,
    .ref_scratch_bytes = ref_scratch_bytes,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
