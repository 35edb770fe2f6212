/* SPDX-License-Identifier: Apache-2.0
 * copy - the same items in another place, densely.
 *
 *     y = x
 *
 * shape    x of 1 to 4 dimensions -> y as x, dense
 * dtype    f32, bf16, f16, i32; y as x
 * arith    A-32: bits are kept, NaN payloads included
 * grad     dx = dy
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_FLOAT | SV_TAKES_I32, 0));
    return sv_check_out(&out[0], "y", in[0].dtype, in[0].n_dim, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    uint64_t bytes = sv_dtype_block_bytes(call->in[0].dtype);
    const uint8_t *x = sv_tensor_host(&call->in[0]);
    uint8_t *y = sv_tensor_host(&call->out[0]);
    sv_rows r = sv_rows_of(&call->in[0]);
    for (uint64_t t = 0; t < r.n; t++)
        memcpy(y + t * r.len * bytes, x + t * r.step * bytes, r.len * bytes);
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = dout[0];
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const sv_dtype type[] = { SV_DT_F32, SV_DT_BF16, SV_DT_F16, SV_DT_I32 };
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, type[i % 4], T, D), gap);
    sv_case_name(c, "%s, gap %u", sv_tensor_text(&c->in[0]), gap);
    return 1;
}

const sv_opspec sv_opspec_copy = {
    .name = "copy",
    .formula = "y = x",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_MOVE,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
