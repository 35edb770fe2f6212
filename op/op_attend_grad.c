/* SPDX-License-Identifier: Apache-2.0
 * attend_grad - gradient of attention over whole sequences.
 *
 *     p = exp(q_i . k_j - m_i) (1/l_i), delta_i = do_i . o_i, ds = p (do_i . v_j - delta_i):
 *     dq_i = sum_j ds k_j, dk_j = sum_h sum_i ds q_i, dv_j = sum_h sum_i p do_i
 *
 * shape    q [T,HK], k, v [T,GK], o [T,HK], stat [T,H,2], do [T,HK], pos, seq I32 [T] -> dq [T,HK], dk, dv [T,GK].
 *          A sequence is a run of rows whose pos is 0, 1, 2 ...: rows start a sequence where pos is 0, and every row's
 *          sequence is whole (the caller's promise). seq is not read by the reference
 * dtype    f32
 * arith    A-23: s = DOT(q_i, k_j), delta = DOT(do_i, o_i), dp = DOT(do_i, v_j), all over d; r = 1 / l; p = exp(s - m)
 *          r; ds = p (dp - delta); each operator rounded.
 *          dq_i[d]: pieces are fma chains from +0 over j ascending of (ds, k_j[d]), one per 256 absolute positions of
 *          j. dk_j[d], dv_j[d]: for each query head of the group, ascending, i ascending from j: pieces are fma chains
 *          from +0 of (ds, q_i[d]) and (p, do_i[d]), cut at each i divisible by 256 (absolute) and at each new head.
 *          Pieces are added left to right, the first taken as it is
 */
#include "num/canon.h"
#include "num/sum.h"
#include "op/attend.h"
#include "op/case.h"
#include "op/check.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    static const char *const what[] = { "q", "k", "v", "o", "stat", "do", "pos", "seq" };
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 8, 8));
    const sv_attr_attend *a = attr;
    uint32_t T = in[0].dim[0], H = a->n_head, G = a->n_kv_head, K = a->d_head;
    if (H == 0 || G == 0 || K == 0 || H % G != 0)
        return sv_fail(SV_E_ARG, "%u query heads, %u key heads of %u channels; key heads must divide query heads", H, G,
                       K);
    for (uint32_t i = 0; i < 8; i++) {
        bool ints = i >= 6;
        SV_TRY(sv_check(&in[i], what[i], ints ? SV_TAKES_I32 : SV_TAKES_F32, ints ? 1 : i == 4 ? 3 : 2));
        SV_TRY(sv_check_dim(&in[i], what[i], 0, T, "rows of q"));
        if (!ints && i != 4)
            SV_TRY(sv_check_dim(&in[i], what[i], 1, (i == 1 || i == 2 ? G : H) * K, "heads times channels"));
    }
    SV_TRY(sv_check_dim(&in[4], "stat", 1, H, "query heads"));
    SV_TRY(sv_check_dim(&in[4], "stat", 2, 2, "m and l"));
    SV_TRY(sv_check_out(&out[0], "dq", SV_DT_F32, 2, in[0].dim));
    SV_TRY(sv_check_out(&out[1], "dk", SV_DT_F32, 2, in[1].dim));
    return sv_check_out(&out[2], "dv", SV_DT_F32, 2, in[1].dim);
}

/* delta [T][H]; then pieces of dk and dv, [K] each. */
static size_t ref_scratch_bytes(const sv_call *call)
{
    const sv_attr_attend *a = call->attr;
    return ((size_t)call->in[0].dim[0] * a->n_head + 2 * (size_t)a->d_head) * sizeof(float);
}

/* p and ds of query row i, head h, key row j. */
static void weights(const sv_call *call, const float *delta, uint32_t i, uint32_t h, uint32_t j, float *p, float *ds)
{
    const sv_attr_attend *a = call->attr;
    uint32_t K = a->d_head, g = h / (a->n_head / a->n_kv_head);
    const float *stat = (const float *)sv_tensor_host(&call->in[4]) + ((size_t)i * a->n_head + h) * 2;
    float s = sv_dot(sv_row(&call->in[0], i) + (size_t)h * K, 1, sv_row(&call->in[1], j) + (size_t)g * K, 1, K);
    float dp = sv_dot(sv_row(&call->in[5], i) + (size_t)h * K, 1, sv_row(&call->in[2], j) + (size_t)g * K, 1, K);
    *p = sv_canon_exp(s - stat[0]) * (1.0f / stat[1]);
    *ds = *p * (dp - delta[(size_t)i * a->n_head + h]);
}

static void chain(float *piece, float w, const float *x, uint32_t K)
{
    for (uint32_t d = 0; d < K; d++)
        piece[d] = __builtin_fmaf(w, x[d], piece[d]);
}

/* Ends a piece: total = piece when it is the first, else total + piece; the piece is +0 again. */
static void end_piece(float *total, float *piece, uint32_t K, bool first)
{
    for (uint32_t d = 0; d < K; d++) {
        total[d] = first ? piece[d] : total[d] + piece[d];
        piece[d] = 0.0f;
    }
}

static void query_row(const sv_call *call, const float *delta, uint32_t i, uint32_t h, float *piece)
{
    const sv_attr_attend *a = call->attr;
    uint32_t K = a->d_head, g = h / (a->n_head / a->n_kv_head), last = (uint32_t)sv_ints(&call->in[6])[i],
             start = i - last;
    float *dq = sv_row(&call->out[0], i) + (size_t)h * K, p, ds;
    for (uint32_t d = 0; d < K; d++)
        piece[d] = 0.0f;
    for (uint32_t j = 0; j <= last; j++) {
        weights(call, delta, i, h, start + j, &p, &ds);
        chain(piece, ds, sv_row(&call->in[1], start + j) + (size_t)g * K, K);
        if (j % SV_KEY_BLOCK == SV_KEY_BLOCK - 1 || j == last)
            end_piece(dq, piece, K, j < SV_KEY_BLOCK);
    }
}

static void key_row(const sv_call *call, const float *delta, uint32_t row, uint32_t g, float *pk, float *pv)
{
    const sv_attr_attend *a = call->attr;
    const int32_t *pos = sv_ints(&call->in[6]);
    uint32_t K = a->d_head, group = a->n_head / a->n_kv_head, T = call->in[0].dim[0], end = row + 1;
    float *dk = sv_row(&call->out[1], row) + (size_t)g * K, *dv = sv_row(&call->out[2], row) + (size_t)g * K, p, ds;
    bool first = true;
    while (end < T && pos[end] != 0)
        end++;
    for (uint32_t d = 0; d < K; d++)
        pk[d] = pv[d] = 0.0f;
    for (uint32_t h = g * group; h < (g + 1) * group; h++)
        for (uint32_t i = row; i < end; i++) {
            weights(call, delta, i, h, row, &p, &ds);
            chain(pk, ds, sv_row(&call->in[0], i) + (size_t)h * K, K);
            chain(pv, p, sv_row(&call->in[5], i) + (size_t)h * K, K);
            if (pos[i] % SV_KEY_BLOCK == SV_KEY_BLOCK - 1 || i + 1 == end) {
                end_piece(dk, pk, K, first);
                end_piece(dv, pv, K, first);
                first = false;
            }
        }
}

static void ref(const sv_call *call, void *scratch)
{
    const sv_attr_attend *a = call->attr;
    uint32_t T = call->in[0].dim[0], K = a->d_head;
    float *delta = scratch, *piece = delta + (size_t)T * a->n_head;
    for (uint32_t i = 0; i < T; i++)
        for (uint32_t h = 0; h < a->n_head; h++)
            delta[(size_t)i * a->n_head + h] =
                sv_dot(sv_row(&call->in[5], i) + (size_t)h * K, 1, sv_row(&call->in[3], i) + (size_t)h * K, 1, K);
    for (uint32_t i = 0; i < T; i++) {
        for (uint32_t h = 0; h < a->n_head; h++)
            query_row(call, delta, i, h, piece);
        for (uint32_t g = 0; g < a->n_kv_head; g++)
            key_row(call, delta, i, g, piece, piece + K);
    }
}

/* Sequences of uneven length: 0 1 ... from each border on. */
static void fill_sequences(const sv_case *c, sv_tensor *in, uint32_t variant)
{
    int32_t *pos = sv_tensor_host(&in[6]), *seq = sv_tensor_host(&in[7]);
    uint32_t T = in[6].dim[0], longest = c->fill_arg[1], left = 0;
    int32_t s = -1, p = 0;
    for (uint32_t t = 0; t < T; t++) {
        if (left == 0) {
            left = T <= longest ? T : longest - sv_case_draw(variant, t, longest / 2 + 1);
            s++;
            p = 0;
        }
        pos[t] = p++;
        seq[t] = s;
        left--;
    }
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const struct {
        uint32_t T, longest, H, G, K;
    } row[] = {
        { 1, 1, 1, 1, 16 },    { 0, 1, 2, 1, 16 },    { 2, 2, 2, 1, 16 },    { 3, 1, 2, 2, 8 },
        { 15, 15, 2, 1, 64 },  { 16, 16, 4, 2, 16 },  { 17, 17, 7, 1, 16 },  { 31, 31, 2, 2, 33 },
        { 33, 33, 2, 1, 64 },  { 64, 20, 4, 2, 16 },  { 65, 30, 3, 3, 5 },   { 40, 9, 4, 1, 80 },
        { 100, 7, 2, 1, 16 },  { 255, 255, 1, 1, 4 }, { 256, 256, 1, 1, 4 }, { 257, 257, 2, 1, 4 },
        { 300, 290, 2, 1, 3 }, { 513, 513, 1, 1, 2 }, { 12, 12, 2, 1, 128 }, { 9, 5, 2, 1, 256 },
        { 6, 6, 2, 1, 257 },   { 5, 3, 14, 2, 64 },   { 20, 20, 2, 1, 1 },   { 48, 48, 4, 4, 32 },
    };
    if (i >= 2 * sizeof row / sizeof *row)
        return 0;
    uint32_t r = i / 2, T = row[r].T, H = row[r].H, G = row[r].G, K = row[r].K, gap = i % 2 ? 17 : 0;
    const uint32_t width[] = { H * K, G * K, G * K, H * K, 0, H * K };
    for (uint32_t o = 0; o < 6; o++) {
        if (o == 4)
            sv_case_in(c, SV_DT_F32, 3, T, H, 2, 0);
        else
            sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, width[o]), gap);
    }
    SV_CASE_IN1(c, SV_DT_I32, T);
    SV_CASE_IN1(c, SV_DT_I32, T);
    c->has_attr = true;
    c->attr.attend = (sv_attr_attend){ H, G, K };
    c->fill = fill_sequences;
    c->fill_arg[1] = row[r].longest;
    sv_case_name(c, "%u rows, up to %u, %u/%u heads of %u, gap %u", T, row[r].longest, H, G, K, gap);
    return 1;
}

const sv_opspec sv_opspec_attend_grad = {
    .name = "attend_grad",
    .formula = "dq, dk, dv of whole sequences; in: q, k, v, o, stat, do, pos, seq",
    .n_in = 8,
    .n_out = 3,
    .class = SV_CLASS_DOT,
    .attr_bytes = sizeof(sv_attr_attend),
    .shape = shape,
    .ref_scratch_bytes = ref_scratch_bytes,
    .ref = ref,
    .cases = cases,
};
