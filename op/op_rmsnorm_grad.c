/* SPDX-License-Identifier: Apache-2.0
 * rmsnorm_grad - gradient of rmsnorm.
 *
 *     dx_d = r (a_d - k x_d), a_d = dy_d g_d, k = r^2 (sum_d a_d x_d) / D;  dg[d] += sum over groups of dy_d (x_d r)
 *
 * shape    x [T,nD], g [D], dy [T,nD], seg I32 [L+1] -> dx as x, inout dg [D]; T may be 0
 * dtype    x, dy, dx, dg: f32; g: f32, bf16, f16
 * arith    A-21: r as in the forward pass; c = SUM(a x); k = ((r r) c) / (float)D; dx = r (a - k x); each rounded.
 *          dg is DOT over the groups of a leaf, ascending (tokens, then groups inside a token), of (dy, x r) with
 *          x r rounded first, chunks of 256 groups by index in the leaf, HALVE; leaf totals are added left to right to
 *          dg
 */
#include "num/canon.h"
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 4, 4));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "g", SV_TAKES_FLOAT, 1));
    SV_TRY(sv_check(&in[2], "dy", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[3], "seg", SV_TAKES_I32, 1));
    SV_TRY(sv_check_same(&in[0], "x", &in[2], "dy"));
    if (in[1].dim[0] == 0 || in[0].dim[1] % in[1].dim[0] != 0)
        return sv_fail(SV_E_SHAPE, "x is %s and g is %s; g's length must divide x's rows", sv_tensor_text(&in[0]),
                       sv_tensor_text(&in[1]));
    if (in[3].dim[0] == 0)
        return sv_fail(SV_E_SHAPE, "seg is %s; it has one item more than there are leaves", sv_tensor_text(&in[3]));
    SV_TRY(sv_check_out(&out[0], "dx", SV_DT_F32, 2, in[0].dim));
    return sv_check_inout(&out[1], "dg", SV_DT_F32, 1, in[1].dim);
}

/* g [D], then x r of every group [T n][D]. */
static size_t ref_scratch_bytes(const sv_call *call)
{
    return (call->in[1].dim[0] + sv_tensor_items(&call->in[0])) * sizeof(float);
}

static void one_group(const float *x, const float *g, const float *dy, uint32_t D, float eps, float *xr, float *dx)
{
    sv_sum_state squares, ax;
    sv_sum_begin(&squares, D);
    sv_sum_begin(&ax, D);
    for (uint32_t d = 0; d < D; d++) {
        sv_sum_add(&squares, x[d] * x[d]);
        sv_sum_add(&ax, (dy[d] * g[d]) * x[d]);
    }
    float r = sv_canon_rsqrt(sv_sum_end(&squares) / (float)D + eps);
    float k = ((r * r) * sv_sum_end(&ax)) / (float)D;
    for (uint32_t d = 0; d < D; d++) {
        xr[d] = x[d] * r;
        dx[d] = r * (dy[d] * g[d] - k * x[d]);
    }
}

/* dg[d] of one leaf: groups lo ... hi - 1 of xr [groups][D]. */
static float leaf_total(const sv_call *call, const float *xr, uint32_t d, uint64_t lo, uint64_t hi)
{
    uint32_t D = call->in[1].dim[0], n = call->in[0].dim[1] / D;
    sv_halve h;
    float s = 0.0f;
    sv_halve_begin(&h, (uint32_t)((hi - lo + SV_DOT_CHUNK - 1) / SV_DOT_CHUNK));
    for (uint64_t i = lo; i < hi; i++) {
        s = __builtin_fmaf(sv_row(&call->in[2], i / n)[i % n * D + d], xr[i * D + d], s);
        if ((i - lo) % SV_DOT_CHUNK == SV_DOT_CHUNK - 1 || i + 1 == hi) {
            sv_halve_push(&h, s);
            s = 0.0f;
        }
    }
    return sv_halve_total(&h);
}

static void ref(const sv_call *call, void *scratch)
{
    uint32_t D = call->in[1].dim[0], n = call->in[0].dim[1] / D, L = call->in[3].dim[0] - 1;
    float *g = scratch, *xr = g + D, *dg = sv_tensor_host(&call->out[1]);
    const int32_t *seg = sv_ints(&call->in[3]);
    for (uint32_t d = 0; d < D; d++)
        g[d] = sv_load_float(call->in[1].dtype, (const uint8_t *)sv_tensor_host(&call->in[1]) +
                                                    d * sv_dtype_block_bytes(call->in[1].dtype));
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++)
        for (uint32_t j = 0; j < n; j++)
            one_group(sv_row(&call->in[0], t) + j * D, g, sv_row(&call->in[2], t) + j * D, D,
                      ((const sv_attr_rmsnorm *)call->attr)->eps, xr + ((size_t)t * n + j) * D,
                      sv_row(&call->out[0], t) + j * D);
    for (uint32_t l = 0; l < L; l++)
        for (uint32_t d = 0; d < D && seg[l] < seg[l + 1]; d++)
            dg[d] = dg[d] + leaf_total(call, xr, d, (uint64_t)seg[l] * n, (uint64_t)seg[l + 1] * n);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t groups[] = { 1, 1, 2, 1, 7, 1 }, leaves[] = { 1, 2, 1, 5 };
    uint32_t T, D, gap;
    if (i < 4) { /* more than one chunk of groups */
        T = 150 + 200 * i;
        D = 16 + i;
        gap = 0;
    } else if (!sv_case_rows(i - 4, &T, &D, &gap)) {
        return 0;
    }
    uint32_t n = D <= 300 ? groups[i % 6] : 1;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, n * D), gap);
    SV_CASE_IN1(c, i % 5 == 3 ? SV_DT_BF16 : SV_DT_F32, D);
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, n * D), i % 2 ? gap : 0);
    SV_CASE_IN1(c, SV_DT_I32, leaves[i % 4] + 1);
    sv_case_out(c, SV_DT_F32, 0, 0, 0, 0, 0);
    SV_CASE_OUT1(c, SV_DT_F32, D);
    c->has_attr = true;
    c->attr.rmsnorm.eps = 1e-6f;
    c->fill = sv_case_fill_seg;
    c->fill_arg[2] = 3;
    c->fill_arg[3] = T;
    sv_case_name(c, "[%u, %u x %u], %u leaves, gap %u", T, n, D, leaves[i % 4], gap);
    return 1;
}

const sv_opspec sv_opspec_rmsnorm_grad = {
    .name = "rmsnorm_grad",
    .formula = "dx, and inout dg (+)= per leaf; in: x, g, dy, seg",
    .n_in = 4,
    .n_out = 2,
    .class = SV_CLASS_DOT,
    .attr_bytes = sizeof(sv_attr_rmsnorm),
    .inout = 2,
    .shape = shape,
    .ref_scratch_bytes = ref_scratch_bytes,
    .ref = ref,
    .cases = cases,
};
