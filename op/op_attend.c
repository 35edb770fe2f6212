/* SPDX-License-Identifier: Apache-2.0
 * attend - causal attention over key and value pages.
 *
 *     o[t,h] = sum_j p_j v_j, p = softmax_j(q[t,h] . k_j), over the positions j <= pos[t] of sequence seq[t]
 *
 * shape    q [T,HK], k, v [T,GK], kpages [N,G,K,32], vpages [N,G,32,K], pos, seq I32 [T], table I32 [S,P]
 *          -> o [T,HK], stat [T,H,2] = (m, l); query head h reads key head h / (H/G); T may be 0. Keys and values are
 *          read from the pages alone (kv_put has run); k and v are there for the gradient
 * dtype    f32; q has been multiplied by 1/sqrt(K) (rope's scale)
 * arith    A-23: blocks b of 256 keys at absolute positions 256 b ... Per block, with the keys that are there:
 *          s_j = DOT over d of (q, k_j); m_b = MAX(s); e_j = exp(s_j - m_b); l_b = SUM(e) by index in the block;
 *          O_b[d] = fma chain from +0 over j ascending of (e_j, v_j[d]).
 *          Left to right: (m, l, O) = (m_0, l_0, O_0); then m' = m_b > m ? m_b : m; f = exp(m - m'); g = exp(m_b - m');
 *          l = l f + l_b g; O = O f + O_b g; m = m'; each operator rounded. o = O * (1 / l)
 * grad     attend_grad (whole sequences)
 * source   Dao et al. 2022 (block-wise softmax)
 */
#include "num/canon.h"
#include "num/sum.h"
#include "op/attend.h"
#include "op/case.h"
#include "op/check.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 8, 8));
    const sv_attr_attend *a = attr;
    uint32_t T = in[0].dim[0], H = a->n_head, G = a->n_kv_head, K = a->d_head;
    if (H == 0 || G == 0 || K == 0 || H % G != 0)
        return sv_fail(SV_E_ARG, "%u query heads, %u key heads of %u channels; key heads must divide query heads", H, G,
                       K);
    SV_TRY(sv_check(&in[0], "q", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "k", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[2], "v", SV_TAKES_F32, 2));
    SV_TRY(sv_check_dim(&in[0], "q", 1, H * K, "query heads times channels"));
    SV_TRY(sv_check_dim(&in[1], "k", 1, G * K, "key heads times channels"));
    SV_TRY(sv_check_dim(&in[1], "k", 0, T, "rows of q"));
    SV_TRY(sv_check_same(&in[1], "k", &in[2], "v"));
    SV_TRY(sv_check_pages(&in[3], &in[4]));
    SV_TRY(sv_check_dim(&in[3], "kpages", 1, G, "key heads"));
    SV_TRY(sv_check_dim(&in[3], "kpages", 2, K, "channels"));
    SV_TRY(sv_check(&in[5], "pos", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[6], "seq", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[7], "table", SV_TAKES_I32, 2));
    SV_TRY(sv_check_dim(&in[5], "pos", 0, T, "rows of q"));
    SV_TRY(sv_check_dim(&in[6], "seq", 0, T, "rows of q"));
    SV_TRY(sv_check_out(&out[0], "o", SV_DT_F32, 2, in[0].dim));
    return sv_check_out(&out[1], "stat", SV_DT_F32, 3, (uint32_t[]){ T, H, 2 });
}

/* Scores of a block [256], its output [K]. */
static size_t ref_scratch_bytes(const sv_call *call)
{
    return (SV_KEY_BLOCK + ((const sv_attr_attend *)call->attr)->d_head) * sizeof(float);
}

/* m, l and O of the n keys from position first; e [256] is scratch. */
static void one_block(const sv_call *call, const float *q, const int32_t *pages, uint32_t g, uint32_t first, uint32_t n,
                      float *e, float *O, float *m, float *l)
{
    const sv_tensor *kpages = &call->in[3], *vpages = &call->in[4];
    uint32_t K = ((const sv_attr_attend *)call->attr)->d_head;
    for (uint32_t j = 0; j < n; j++)
        e[j] = sv_dot(q, 1, sv_key_at(kpages, pages[(first + j) / SV_PAGE], g, (first + j) % SV_PAGE), SV_PAGE, K);
    *m = sv_max(e, n);
    for (uint32_t j = 0; j < n; j++)
        e[j] = sv_canon_exp(e[j] - *m);
    *l = sv_sum(e, n);
    for (uint32_t d = 0; d < K; d++)
        O[d] = 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        const float *v = sv_value_at(vpages, pages[(first + j) / SV_PAGE], g, (first + j) % SV_PAGE);
        for (uint32_t d = 0; d < K; d++)
            O[d] = __builtin_fmaf(e[j], v[d], O[d]);
    }
}

static void one_query(const sv_call *call, uint32_t t, uint32_t h, float *scratch)
{
    const sv_attr_attend *a = call->attr;
    uint32_t K = a->d_head, g = h / (a->n_head / a->n_kv_head), n_key = (uint32_t)sv_ints(&call->in[5])[t] + 1;
    const int32_t *pages = sv_ints(&call->in[7]) + (uint64_t)(uint32_t)sv_ints(&call->in[6])[t] * call->in[7].stride[0];
    const float *q = sv_row(&call->in[0], t) + (size_t)h * K;
    float *o = sv_row(&call->out[0], t) + (size_t)h * K, *stat = (float *)sv_tensor_host(&call->out[1]);
    float *e = scratch, *O = scratch + SV_KEY_BLOCK, m = 0.0f, l = 0.0f;
    stat += ((size_t)t * a->n_head + h) * 2;
    for (uint32_t first = 0; first < n_key; first += SV_KEY_BLOCK) {
        uint32_t n = n_key - first < SV_KEY_BLOCK ? n_key - first : SV_KEY_BLOCK;
        float m_b, l_b;
        if (first == 0) {
            one_block(call, q, pages, g, 0, n, e, o, &m, &l);
            continue;
        }
        one_block(call, q, pages, g, first, n, e, O, &m_b, &l_b);
        float m_new = m_b > m ? m_b : m, f = sv_canon_exp(m - m_new), f_b = sv_canon_exp(m_b - m_new);
        l = l * f + l_b * f_b;
        for (uint32_t d = 0; d < K; d++)
            o[d] = o[d] * f + O[d] * f_b;
        m = m_new;
    }
    float r = 1.0f / l;
    for (uint32_t d = 0; d < K; d++)
        o[d] = o[d] * r;
    stat[0] = m;
    stat[1] = l;
}

static void ref(const sv_call *call, void *scratch)
{
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++)
        for (uint32_t h = 0; h < ((const sv_attr_attend *)call->attr)->n_head; h++)
            one_query(call, t, h, scratch);
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    sv_val out[3] = { SV_NONE, SV_NONE, SV_NONE };
    if (dout[0] == SV_NONE)
        return;
    const sv_val in[] = {
        fwd->in[0], fwd->in[1], fwd->in[2], fwd->out[0], fwd->out[1], dout[0], fwd->in[5], fwd->in[6]
    };
    sv_tape_emit(t, SV_OP_attend_grad, fwd->attr, in, 8, out);
    for (uint32_t i = 0; i < 3; i++)
        if (sv_tape_needs(t, fwd->in[i]))
            din[i] = out[i];
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const struct {
        uint32_t T, context, H, G, K, S, mode;
    } row[] = {
        { 1, 1, 1, 1, 16, 1, SV_CASE_PREFILL },    { 2, 2, 2, 1, 16, 1, SV_CASE_PREFILL },
        { 0, 64, 2, 1, 16, 1, SV_CASE_PREFILL },   { 15, 15, 4, 1, 64, 1, SV_CASE_PREFILL },
        { 16, 16, 4, 2, 80, 1, SV_CASE_PREFILL },  { 17, 17, 7, 1, 16, 1, SV_CASE_PREFILL },
        { 33, 33, 2, 2, 33, 1, SV_CASE_PREFILL },  { 65, 65, 2, 1, 16, 3, SV_CASE_PREFILL },
        { 255, 255, 1, 1, 8, 1, SV_CASE_PREFILL }, { 256, 256, 1, 1, 8, 1, SV_CASE_PREFILL },
        { 257, 257, 1, 1, 8, 1, SV_CASE_PREFILL }, { 513, 513, 1, 1, 4, 1, SV_CASE_PREFILL },
        { 60, 20, 4, 2, 24, 3, SV_CASE_PREFILL },  { 7, 40, 2, 1, 64, 1, SV_CASE_CHUNK },
        { 8, 257, 4, 1, 64, 1, SV_CASE_CHUNK },    { 13, 260, 2, 1, 128, 2, SV_CASE_CHUNK },
        { 7, 513, 4, 2, 64, 1, SV_CASE_CHUNK },    { 6, 515, 2, 1, 16, 2, SV_CASE_CHUNK },
        { 5, 1030, 2, 1, 32, 1, SV_CASE_CHUNK },   { 14, 300, 7, 1, 16, 2, SV_CASE_CHUNK },
        { 29, 290, 2, 1, 17, 1, SV_CASE_CHUNK },   { 1, 1, 4, 1, 64, 1, SV_CASE_DECODE },
        { 1, 31, 4, 1, 64, 1, SV_CASE_DECODE },    { 1, 32, 4, 1, 64, 1, SV_CASE_DECODE },
        { 1, 33, 4, 1, 64, 1, SV_CASE_DECODE },    { 1, 255, 8, 1, 64, 1, SV_CASE_DECODE },
        { 1, 256, 8, 2, 64, 1, SV_CASE_DECODE },   { 1, 257, 8, 2, 64, 1, SV_CASE_DECODE },
        { 1, 512, 4, 4, 64, 1, SV_CASE_DECODE },   { 1, 513, 4, 2, 80, 1, SV_CASE_DECODE },
        { 1, 769, 2, 1, 128, 1, SV_CASE_DECODE },  { 1, 2049, 2, 1, 64, 1, SV_CASE_DECODE },
        { 4, 100, 4, 2, 64, 4, SV_CASE_DECODE },   { 7, 300, 4, 1, 16, 3, SV_CASE_DECODE },
        { 3, 600, 2, 1, 192, 3, SV_CASE_DECODE },  { 2, 300, 2, 1, 256, 2, SV_CASE_DECODE },
        { 2, 70, 2, 1, 257, 1, SV_CASE_DECODE },   { 2, 40, 2, 1, 600, 1, SV_CASE_CHUNK },
        { 9, 64, 6, 2, 1, 1, SV_CASE_CHUNK },      { 3, 280, 28, 4, 16, 1, SV_CASE_CHUNK },
    };
    if (i >= sizeof row / sizeof *row)
        return 0;
    uint32_t T = row[i].T, H = row[i].H, G = row[i].G, K = row[i].K, S = row[i].S,
             P = (row[i].context + T) / SV_PAGE + 1;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, H * K), i % 3 == 1 ? 17 : 0);
    SV_CASE_IN2(c, SV_DT_F32, T, G * K);
    SV_CASE_IN2(c, SV_DT_F32, T, G * K);
    sv_case_in(c, SV_DT_F32, 4, S * P, G, K, SV_PAGE);
    sv_case_in(c, SV_DT_F32, 4, S * P, G, SV_PAGE, K);
    SV_CASE_IN1(c, SV_DT_I32, T);
    SV_CASE_IN1(c, SV_DT_I32, T);
    SV_CASE_IN2(c, SV_DT_I32, S, P);
    c->has_attr = true;
    c->attr.attend = (sv_attr_attend){ H, G, K };
    c->fill = sv_case_fill_attend;
    c->fill_arg[0] = 5;
    c->fill_arg[1] = row[i].context;
    c->fill_arg[2] = 1;
    c->fill_arg[3] = row[i].mode;
    sv_case_name(c, "%u rows of %u, %u/%u heads of %u, %u sequences%s", T, row[i].context, H, G, K, S,
                 row[i].mode == SV_CASE_DECODE ? ", decode" : "");
    return 1;
}

const sv_opspec sv_opspec_attend = {
    .name = "attend",
    .formula = "o = softmax(q k) v, causal; also stat [T,H,2] = m, l; in: q, k, v, kpages, vpages, pos, seq, table",
    .n_in = 8,
    .n_out = 2,
    .class = SV_CLASS_DOT,
    .attr_bytes = sizeof(sv_attr_attend),
    .shape = shape,
    .ref_scratch_bytes = ref_scratch_bytes,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
