/* SPDX-License-Identifier: Apache-2.0
 * gather_rows - rows by index.
 *
 *     y[w] = x[idx[w]]
 *
 * shape    x [T,D], idx I32 [W] -> y [W,D]; W may be 0; 0 <= idx < T is the caller's promise
 * dtype    f32, bf16, f16, i32; y as x
 * arith    A-32
 * grad     scatter_rows (idx ascending, each row at most once)
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_FLOAT | SV_TAKES_I32, 2));
    SV_TRY(sv_check(&in[1], "idx", SV_TAKES_I32, 1));
    return sv_check_out(&out[0], "y", in[0].dtype, 2, (uint32_t[]){ in[1].dim[0], in[0].dim[1] });
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const int32_t *idx = sv_ints(&call->in[1]);
    size_t bytes = sv_dtype_block_bytes(call->in[0].dtype), row = call->in[0].dim[1] * bytes;
    const uint8_t *x = sv_tensor_host(&call->in[0]);
    uint8_t *y = sv_tensor_host(&call->out[0]);
    for (uint32_t w = 0; w < call->in[1].dim[0]; w++)
        memcpy(y + w * row, x + (uint64_t)idx[w] * call->in[0].stride[0] * bytes, row);
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    sv_attr_scatter_rows attr = { sv_tape_tensor(t, fwd->in[0])->dim[0] };
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = sv_tape_emit1(t, SV_OP_scatter_rows, &attr, (sv_val[]){ dout[0], fwd->in[1] }, 2);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const sv_dtype type[] = { SV_DT_F32, SV_DT_BF16, SV_DT_F32, SV_DT_I32, SV_DT_F16 };
    static const uint32_t rows[] = { 1, 2, 9, 40 };
    uint32_t W, D, gap;
    if (!sv_case_rows(i, &W, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, type[i % 5], rows[i % 4], D), gap);
    SV_CASE_IN1(c, SV_DT_I32, W);
    c->fill = sv_case_fill_index;
    c->fill_arg[0] = 1;
    c->fill_arg[1] = rows[i % 4];
    sv_case_name(c, "%u rows of %s, gap %u", W, sv_tensor_text(&c->in[0]), gap);
    return 1;
}

const sv_opspec sv_opspec_gather_rows = {
    .name = "gather_rows",
    .formula = "y[w] = x[idx[w]]",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_MOVE,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
