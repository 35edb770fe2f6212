/* SPDX-License-Identifier: Apache-2.0
 * logprob - log-probability of a given token per row of logits.
 *
 *     lp[w] = z[w,y] - m - log l, m = max_j z[w,j], l = sum_j exp(z[w,j] - m), y = target[w]
 *
 * shape    z [W,V], target I32 [W] -> lp [W], stat [W,2] = (m, l); W may be 0; 0 <= target < V is the caller's promise
 * dtype    f32
 * arith    A-25: m is MAX; e = exp(z - m); l is SUM(e) over j = 0 ... V - 1 (pieces of 4,096 by HALVE);
 *          lp = -((log(l) + m) - z[y]), each operator rounded
 * grad     logprob_grad
 */
#include "op/logprob.h"

#include "num/canon.h"
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static float row(const float *z, uint32_t n, uint32_t y, float stat[2])
{
    sv_sum_state sum;
    float m = sv_max(z, n);
    sv_sum_begin(&sum, n);
    for (uint32_t j = 0; j < n; j++)
        sv_sum_add(&sum, sv_canon_exp(z[j] - m));
    stat[0] = m;
    stat[1] = sv_sum_end(&sum);
    return -((sv_canon_log(stat[1]) + m) - z[y]);
}

float sv_logprob_row(const float *z, uint32_t n, uint32_t y)
{
    float stat[2];
    return row(z, n, y, stat);
}

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "z", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "target", SV_TAKES_I32, 1));
    SV_TRY(sv_check_dim(&in[1], "target", 0, in[0].dim[0], "rows of z"));
    SV_TRY(sv_check_out(&out[0], "lp", SV_DT_F32, 1, in[0].dim));
    return sv_check_out(&out[1], "stat", SV_DT_F32, 2, (uint32_t[]){ in[0].dim[0], 2 });
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    float *lp = sv_tensor_host(&call->out[0]);
    for (uint32_t w = 0; w < call->in[0].dim[0]; w++)
        lp[w] = row(sv_row(&call->in[0], w), call->in[0].dim[1], (uint32_t)sv_ints(&call->in[1])[w],
                    sv_row(&call->out[1], w));
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    if (dout[0] != SV_NONE && sv_tape_needs(t, fwd->in[0]))
        din[0] =
            sv_tape_emit1(t, SV_OP_logprob_grad, NULL, (sv_val[]){ fwd->in[0], fwd->in[1], fwd->out[1], dout[0] }, 4);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t more[] = { 4095, 4096, 4097, 8192, 12289, 20480, 33000, 151936 };
    uint32_t W = 1 + i % 2, V = i < 8 ? more[i] : 0, gap = 0;
    if (i >= 8 && !sv_case_rows(i - 8, &W, &V, &gap))
        return 0;
    if (V > 100000)
        W = 1;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, W, V), gap);
    SV_CASE_IN1(c, SV_DT_I32, W);
    c->fill = sv_case_fill_index;
    c->fill_arg[0] = 1;
    c->fill_arg[1] = V;
    sv_case_name(c, "[%u, %u], gap %u", W, V, gap);
    return 1;
}

const sv_opspec sv_opspec_logprob = {
    .name = "logprob",
    .formula = "lp[w] = z[w,y] - m - log l; also stat [W,2] = m, l; in: z, target",
    .n_in = 2,
    .n_out = 2,
    .class = SV_CLASS_SUM,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
