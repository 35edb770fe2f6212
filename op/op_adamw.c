/* SPDX-License-Identifier: Apache-2.0
 * adamw - one step of the optimizer.
 *
 *     g' = g clip; p = p (1 - lr decay); m = b1 m + (1 - b1) g'; v = b2 v + (1 - b2) g'^2;
 *     p = p - lr (m c1 / (sqrt(v c2) + eps)), c1 = 1/(1 - b1^t), c2 = 1/(1 - b2^t)
 *
 * shape    g of 1 to 4 dimensions, opt [4] = (lr, c1, c2, clip); inout p, m, v as g
 * dtype    f32
 * arith    A-27, each operator rounded, in this order:
 *          g' = g * clip; p1 = p * (1 - lr * decay); m = m * b1 + g' * (1 - b1); v = v * b2 + (g' * g') * (1 - b2);
 *          p = p1 - lr * ((m * c1) / (sqrt(v * c2) + eps))
 * source   Loshchilov & Hutter 2019, algorithm 2; decay first, as PyTorch's AdamW
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    static const char *const what[] = { "p", "m", "v" };
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "g", SV_TAKES_F32, 0));
    SV_TRY(sv_check(&in[1], "opt", SV_TAKES_F32, 1));
    SV_TRY(sv_check_dim(&in[1], "opt", 0, 4, "lr, two corrections, clip"));
    for (uint32_t i = 0; i < 3; i++)
        SV_TRY(sv_check_inout(&out[i], what[i], SV_DT_F32, in[0].n_dim, in[0].dim));
    return SV_OK;
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const sv_attr_adamw *a = call->attr;
    const float *g = sv_tensor_host(&call->in[0]), *opt = sv_tensor_host(&call->in[1]);
    float *p = sv_tensor_host(&call->out[0]), *m = sv_tensor_host(&call->out[1]), *v = sv_tensor_host(&call->out[2]);
    float lr = opt[0], c1 = opt[1], c2 = opt[2], clip = opt[3], keep = 1.0f - lr * a->decay;
    float w1 = 1.0f - a->beta1, w2 = 1.0f - a->beta2;
    sv_rows r = sv_rows_of(&call->in[0]);
    for (uint64_t t = 0, i = 0; t < r.n; t++)
        for (uint32_t d = 0; d < r.len; d++, i++) {
            float x = g[t * r.step + d] * clip, p1 = p[i] * keep;
            m[i] = m[i] * a->beta1 + x * w1;
            v[i] = v[i] * a->beta2 + (x * x) * w2;
            p[i] = p1 - lr * ((m[i] * c1) / (__builtin_sqrtf(v[i] * c2) + a->eps));
        }
}

/* opt: plausible numbers, so that p moves. */
static void fill_opt(const sv_case *c, sv_tensor *in, uint32_t variant)
{
    static const float opt[][4] = { { 1e-3f, 10.0f, 20.0f, 1.0f },
                                    { 3e-4f, 1.5f, 400.0f, 0.25f },
                                    { 0.1f, 1.0f, 1.0f, 1.0f },
                                    { 1e-5f, 1.1f, 1.01f, 0.7f } };
    (void)c;
    float *dst = sv_tensor_host(&in[1]);
    for (uint32_t i = 0; i < 4; i++)
        dst[i] = opt[variant % 4][i];
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    SV_CASE_IN1(c, SV_DT_F32, 4);
    for (uint32_t k = 0; k < 3; k++)
        SV_CASE_OUT2(c, SV_DT_F32, T, D);
    c->has_attr = true;
    c->attr.adamw = (sv_attr_adamw){ 0.9f, i % 2 ? 0.999f : 0.95f, 1e-8f, i % 3 ? 0.1f : 0.0f };
    c->fill = fill_opt;
    sv_case_name(c, "[%u, %u], decay %g, gap %u", T, D, (double)c->attr.adamw.decay, gap);
    return 1;
}

const sv_opspec sv_opspec_adamw = {
    .name = "adamw",
    .formula = "inout p, m, v; in: g, opt = [lr, 1/(1-b1^t), 1/(1-b2^t), clip]",
    .n_in = 2,
    .n_out = 3,
    .class = SV_CLASS_ELEM,
    .attr_bytes = sizeof(sv_attr_adamw),
    .inout = 7,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
