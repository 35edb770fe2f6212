/* SPDX-License-Identifier: Apache-2.0
 * logprob_grad - gradient of logprob to the logits.
 *
 *     dz[w,j] = (exp(z[w,j] - m) (1/l) - [j = y]) (-dlp[w])
 *
 * shape    z [W,V], target I32 [W], stat [W,2], dlp [W] -> dz as z
 * dtype    f32
 * arith    A-25: r = 1 / l; n = -dlp; p = exp(z - m) r; at j = y: p = p - 1 (elsewhere nothing is subtracted); dz = p
 *          n; each operator rounded
 */
#include "num/canon.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 4, 4));
    SV_TRY(sv_check(&in[0], "z", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "target", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[2], "stat", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[3], "dlp", SV_TAKES_F32, 1));
    SV_TRY(sv_check_dim(&in[1], "target", 0, in[0].dim[0], "rows of z"));
    SV_TRY(sv_check_dim(&in[2], "stat", 0, in[0].dim[0], "rows of z"));
    SV_TRY(sv_check_dim(&in[2], "stat", 1, 2, "m and l"));
    SV_TRY(sv_check_dim(&in[3], "dlp", 0, in[0].dim[0], "rows of z"));
    return sv_check_out(&out[0], "dz", SV_DT_F32, 2, in[0].dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const float *dlp = sv_tensor_host(&call->in[3]);
    for (uint32_t w = 0; w < call->in[0].dim[0]; w++) {
        const float *z = sv_row(&call->in[0], w), *stat = sv_row(&call->in[2], w);
        float *dz = sv_row(&call->out[0], w), m = stat[0], r = 1.0f / stat[1], n = -dlp[w];
        uint32_t y = (uint32_t)sv_ints(&call->in[1])[w];
        for (uint32_t j = 0; j < call->in[0].dim[1]; j++) {
            float p = sv_canon_exp(z[j] - m) * r;
            p = j == y ? p - 1.0f : p;
            dz[j] = p * n;
        }
    }
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t W, V, gap;
    if (!sv_case_rows(i, &W, &V, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, W, V), gap);
    SV_CASE_IN1(c, SV_DT_I32, W);
    SV_CASE_IN2(c, SV_DT_F32, W, 2);
    SV_CASE_IN1(c, SV_DT_F32, W);
    c->fill = sv_case_fill_index;
    c->fill_arg[0] = 1;
    c->fill_arg[1] = V;
    sv_case_name(c, "[%u, %u], gap %u", W, V, gap);
    return 1;
}

const sv_opspec sv_opspec_logprob_grad = {
    .name = "logprob_grad",
    .formula = "dz[w,j] = (exp(z - m)/l - [j = y]) (-dlp[w]); in: z, target, stat, dlp",
    .n_in = 4,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
