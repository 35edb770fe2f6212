/* SPDX-License-Identifier: Apache-2.0
 * embed_grad - gradient of a table of rows.
 *
 *     dtable[tok[t],d] = dtable[tok[t],d] + dy[t,d], t ascending
 *
 * shape    tok I32 [T], dy [T,D], inout dtable [V,D]; T may be 0; rows of no token stay as they are
 * dtype    f32
 * arith    A-26: rows are added in token order to what dtable holds, so several calls in order equal one
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "tok", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[1], "dy", SV_TAKES_F32, 2));
    SV_TRY(sv_check_dim(&in[1], "dy", 0, in[0].dim[0], "tokens"));
    return sv_check_inout(&out[0], "dtable", SV_DT_F32, 2, (uint32_t[]){ out[0].dim[0], in[1].dim[1] });
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const int32_t *tok = sv_ints(&call->in[0]);
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++) {
        const float *dy = sv_row(&call->in[1], t);
        float *dst = sv_row(&call->out[0], (uint32_t)tok[t]);
        for (uint32_t d = 0; d < call->in[1].dim[1]; d++)
            dst[d] = dst[d] + dy[d];
    }
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t vocab[] = { 1, 2, 5, 100, 3, 17 };
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    uint32_t V = vocab[i % 6];
    SV_CASE_IN1(c, SV_DT_I32, T);
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    SV_CASE_OUT2(c, SV_DT_F32, V, D);
    c->fill = sv_case_fill_index;
    c->fill_arg[1] = V;
    sv_case_name(c, "%u tokens into [%u, %u], gap %u", T, V, D, gap);
    return 1;
}

const sv_opspec sv_opspec_embed_grad = {
    .name = "embed_grad",
    .formula = "inout dtable[tok[t],d] += dy[t,d], t ascending; in: tok, dy",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_SUM,
    .inout = 1,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
