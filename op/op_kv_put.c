/* SPDX-License-Identifier: Apache-2.0
 * kv_put - keys and values of new tokens into their pages.
 *
 *     kpages[page, g, d, slot] = k[t, gK + d], vpages[page, g, slot, d] = v[t, gK + d],
 *     page = table[seq[t], pos[t] / 32], slot = pos[t] mod 32
 *
 * shape    k, v [T,GK], pos, seq I32 [T], table I32 [S,P], inout kpages [N,G,K,32], vpages [N,G,32,K]; T may be 0;
 *          each (seq, pos) at most once, pages of different sequences are different: the caller's promise
 * dtype    f32
 * arith    A-32
 */
#include "op/attend.h"
#include "op/case.h"
#include "op/check.h"

sv_err sv_check_pages(const sv_tensor *kpages, const sv_tensor *vpages)
{
    SV_TRY(sv_check(kpages, "kpages", SV_TAKES_F32, 4));
    SV_TRY(sv_check(vpages, "vpages", SV_TAKES_F32, 4));
    SV_TRY(sv_check_dim(kpages, "kpages", 3, SV_PAGE, "positions of a page"));
    SV_TRY(sv_check_dim(vpages, "vpages", 0, kpages->dim[0], "pages of kpages"));
    SV_TRY(sv_check_dim(vpages, "vpages", 1, kpages->dim[1], "heads of kpages"));
    SV_TRY(sv_check_dim(vpages, "vpages", 2, SV_PAGE, "positions of a page"));
    return sv_check_dim(vpages, "vpages", 3, kpages->dim[2], "channels of kpages");
}

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 5, 5));
    if (out[0].n_dim == 0 || out[1].n_dim == 0)
        return sv_fail(SV_E_SHAPE, "kpages and vpages are written in part, so they must be given");
    SV_TRY(sv_check_pages(&out[0], &out[1]));
    SV_TRY(sv_check(&in[0], "k", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "v", SV_TAKES_F32, 2));
    SV_TRY(sv_check_same(&in[0], "k", &in[1], "v"));
    SV_TRY(sv_check_dim(&in[0], "k", 1, out[0].dim[1] * out[0].dim[2], "heads times channels of kpages"));
    SV_TRY(sv_check(&in[2], "pos", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[3], "seq", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[4], "table", SV_TAKES_I32, 2));
    SV_TRY(sv_check_dim(&in[2], "pos", 0, in[0].dim[0], "rows of k"));
    return sv_check_dim(&in[3], "seq", 0, in[0].dim[0], "rows of k");
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const sv_tensor *kpages = &call->out[0], *vpages = &call->out[1], *table = &call->in[4];
    const int32_t *pos = sv_ints(&call->in[2]), *seq = sv_ints(&call->in[3]);
    uint32_t G = kpages->dim[1], K = kpages->dim[2];
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++) {
        int32_t page = sv_ints(table)[(uint64_t)(uint32_t)seq[t] * table->stride[0] + (uint32_t)pos[t] / SV_PAGE];
        uint32_t slot = (uint32_t)pos[t] % SV_PAGE;
        for (uint32_t g = 0; g < G; g++) {
            float *k = sv_key_at(kpages, page, g, slot), *v = sv_value_at(vpages, page, g, slot);
            for (uint32_t d = 0; d < K; d++) {
                k[d * SV_PAGE] = sv_row(&call->in[0], t)[g * K + d];
                v[d] = sv_row(&call->in[1], t)[g * K + d];
            }
        }
    }
}

/* Cases of the three ops over pages. */

static uint32_t draw_start(uint32_t mode, uint32_t context, uint32_t rows, uint32_t variant, uint32_t s)
{
    if (mode == SV_CASE_CHUNK && context > rows)
        return context - rows - sv_case_draw(variant, s, context - rows < 3 ? 1 : 3);
    return 0;
}

void sv_case_fill_attend(const sv_case *c, sv_tensor *in, uint32_t variant)
{
    uint32_t first = c->fill_arg[0], context = c->fill_arg[1], mode = c->fill_arg[3], T = in[first].dim[0];
    int32_t *pos = sv_tensor_host(&in[first]), *seq = sv_tensor_host(&in[first + 1]);
    uint32_t S = c->fill_arg[2] ? in[first + 2].dim[0] : 3, each = S ? (T + S - 1) / S : 0;
    uint32_t step = context % 7 ? 7 : 1; /* prime to the context: no position twice */
    for (uint32_t t = 0; t < T; t++) {
        uint32_t s = mode == SV_CASE_DECODE ? t % S : t / each, from = mode == SV_CASE_DECODE ? 0 : s * each;
        uint32_t rows = mode == SV_CASE_DECODE ? 1 : (T - from < each ? T - from : each);
        uint32_t start = draw_start(mode, context, rows, variant, s);
        /* Decode: rows of one sequence get different positions, the first of them the last one. */
        pos[t] =
            (int32_t)(mode == SV_CASE_DECODE ? (2 * context - 1 - t / S * step % context) % context : start + t - from);
        seq[t] = (int32_t)s;
    }
    if (!c->fill_arg[2])
        return;
    sv_tensor *table = &in[first + 2];
    int32_t *page = sv_tensor_host(table);
    uint32_t n = S * table->dim[1];
    for (uint32_t i = 0; i < n; i++) /* a permutation: 7 is prime to no multiple of itself, so step over those */
        page[i] = (int32_t)(n - 1 - (n % 7 ? (uint64_t)i * 7 % n : i));
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t rows[] = { 1, 0, 2, 7, 33, 65 }, head[] = { 1, 2, 4, 3 },
                          channel[] = { 16, 64, 5, 33, 128, 80, 1 };
    if (i >= 42)
        return 0;
    uint32_t T = rows[i % 6], G = head[i / 6 % 4], K = channel[i / 6], S = 1 + i % 3, context = 70,
             gap = i % 4 == 1 ? 17 : 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, G * K), gap);
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, G * K), gap);
    SV_CASE_IN1(c, SV_DT_I32, T);
    SV_CASE_IN1(c, SV_DT_I32, T);
    SV_CASE_IN2(c, SV_DT_I32, S, 3);
    sv_case_out(c, SV_DT_F32, 4, 3 * S, G, K, SV_PAGE);
    sv_case_out(c, SV_DT_F32, 4, 3 * S, G, SV_PAGE, K);
    c->fill = sv_case_fill_attend;
    c->fill_arg[0] = 2;
    c->fill_arg[1] = context;
    c->fill_arg[2] = 1;
    c->fill_arg[3] = i % 3;
    sv_case_name(c, "%u rows of %u x %u into %u sequences, gap %u", T, G, K, S, gap);
    return 1;
}

const sv_opspec sv_opspec_kv_put = {
    .name = "kv_put",
    .formula = "inout kpages, vpages get the rows k, v; in: k, v, pos, seq, table [S,P]",
    .n_in = 5,
    .n_out = 2,
    .class = SV_CLASS_MOVE,
    .inout = 3,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
