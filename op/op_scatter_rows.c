/* SPDX-License-Identifier: Apache-2.0
 * scatter_rows - rows to their places, zero elsewhere.
 *
 *     y = +0; y[idx[w]] = x[w]
 *
 * shape    x [W,D], idx I32 [W], ascending, each at most once -> y [attr.n_row,D]
 * dtype    f32
 * arith    A-32
 * grad     gather_rows
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "idx", SV_TAKES_I32, 1));
    SV_TRY(sv_check_dim(&in[1], "idx", 0, in[0].dim[0], "rows of x"));
    uint32_t n_row = ((const sv_attr_scatter_rows *)attr)->n_row;
    if (n_row < in[0].dim[0])
        return sv_fail(SV_E_SHAPE, "x is %s and n_row is %u; there must be a place for each row",
                       sv_tensor_text(&in[0]), n_row);
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, (uint32_t[]){ n_row, in[0].dim[1] });
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const int32_t *idx = sv_ints(&call->in[1]);
    size_t row = call->in[0].dim[1] * sizeof(float);
    if (row > 0)
        memset(sv_tensor_host(&call->out[0]), 0, call->out[0].dim[0] * row);
    for (uint32_t w = 0; w < call->in[0].dim[0]; w++)
        memcpy(sv_row(&call->out[0], (uint32_t)idx[w]), sv_row(&call->in[0], w), row);
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = sv_tape_emit1(t, SV_OP_gather_rows, NULL, (sv_val[]){ dout[0], fwd->in[1] }, 2);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t W, D, gap;
    if (!sv_case_rows(i, &W, &D, &gap))
        return 0;
    uint32_t n_row = W + i % 4 * 7;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, W, D), gap);
    SV_CASE_IN1(c, SV_DT_I32, W);
    c->has_attr = true;
    c->attr.scatter_rows.n_row = n_row;
    c->fill = sv_case_fill_ascending;
    c->fill_arg[0] = 1;
    c->fill_arg[1] = n_row;
    sv_case_name(c, "%u of %u rows of %u, gap %u", W, n_row, D, gap);
    return 1;
}

const sv_opspec sv_opspec_scatter_rows = {
    .name = "scatter_rows",
    .formula = "y = 0; y[idx[w]] = x[w], idx ascending",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_MOVE,
    .attr_bytes = sizeof(sv_attr_scatter_rows),
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
