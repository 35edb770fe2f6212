/* SPDX-License-Identifier: Apache-2.0
 * cast - another float type.
 *
 *     y = x in attr.dtype
 *
 * shape    x of 1 to 4 dimensions -> y as x, dense
 * dtype    x, y: f32, bf16, f16
 * arith    A-1: widened exactly, then rounded once, to nearest even; subnormals kept; overflow gives infinity
 * grad     dx = dy (gradients are f32, and rounding counts as the identity)
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_FLOAT, 0));
    uint32_t dtype = ((const sv_attr_cast *)attr)->dtype;
    if (dtype >= SV_DTYPE_COUNT || !(SV_TAKES_FLOAT >> dtype & 1u))
        return sv_fail(SV_E_DTYPE, "target type is %s; allowed: F32, BF16, F16",
                       dtype < SV_DTYPE_COUNT ? sv_dtype_name((sv_dtype)dtype) : "unknown");
    return sv_check_out(&out[0], "y", (sv_dtype)dtype, in[0].n_dim, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    sv_dtype from = call->in[0].dtype, to = call->out[0].dtype;
    uint64_t from_bytes = sv_dtype_block_bytes(from), to_bytes = sv_dtype_block_bytes(to);
    const uint8_t *x = sv_tensor_host(&call->in[0]);
    uint8_t *y = sv_tensor_host(&call->out[0]);
    sv_rows r = sv_rows_of(&call->in[0]);
    for (uint64_t t = 0; t < r.n; t++)
        for (uint32_t d = 0; d < r.len; d++)
            sv_store_float(to, y + (t * r.len + d) * to_bytes, sv_load_float(from, x + (t * r.step + d) * from_bytes));
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = dout[0];
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const sv_dtype from[] = { SV_DT_F32, SV_DT_F32, SV_DT_BF16, SV_DT_F16, SV_DT_BF16, SV_DT_F16, SV_DT_F32 };
    static const sv_dtype to[] = { SV_DT_BF16, SV_DT_F16, SV_DT_F32, SV_DT_F32, SV_DT_F16, SV_DT_BF16, SV_DT_F32 };
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, from[i % 7], T, D), gap);
    c->has_attr = true;
    c->attr.cast.dtype = to[i % 7];
    sv_case_name(c, "%s to %s, gap %u", sv_tensor_text(&c->in[0]), sv_dtype_name(to[i % 7]), gap);
    return 1;
}

const sv_opspec sv_opspec_cast = {
    .name = "cast",
    .formula = "y = x in another float type, rounded once",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .attr_bytes = sizeof(sv_attr_cast),
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
