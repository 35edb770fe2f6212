/* SPDX-License-Identifier: Apache-2.0
 * Claims about attention: its formula, and that prefill, chunks, decode, batches and page orders give the same bits.
 */
#include <math.h>

#include "test/op_run.h"
#include "num/canon.h"
#include "num/sum.h"

enum { H = 4, G = 2, K = 8, T = 600, PAGES = 40 };

static sv_tensor q, k, v, pos, seq, whole, whole_stat;

/* Pages full of NaN, and the table of one sequence: page i at place (i step + 3) mod PAGES. */
typedef struct cache {
    sv_tensor pages[2], table;
} cache;

static cache make_cache(uint32_t step)
{
    cache c = { { T4(F32, PAGES, G, K, SV_PAGE), T4(F32, PAGES, G, SV_PAGE, K) }, T2(I32, 2, 20) };
    for (uint32_t i = 0; i < 40; i++)
        op_run_i(&c.table)[i] = (int32_t)((i * step + 3) % PAGES);
    return c;
}

static sv_tensor rows(sv_tensor t, uint32_t first, uint32_t n)
{
    t.at.off += (uint64_t)first * t.stride[0] * 4;
    t.dim[0] = n;
    return t;
}

/* Puts rows [first, first + n) into the cache and attends with them; o and stat go to their places in the outputs. */
static void attend_rows(cache *c, sv_tensor sequence, uint32_t first, uint32_t n, sv_tensor *o, sv_tensor *stat)
{
    sv_tensor p = rows(pos, first, n), s = rows(sequence, first, n), kr = rows(k, first, n), vr = rows(v, first, n);
    op_run_call(SV_OP_kv_put, NULL, (sv_tensor[]){ kr, vr, p, s, c->table }, 5, c->pages);
    sv_attr_attend attr = { H, G, K };
    sv_tensor in[] = { rows(q, first, n), kr, vr, c->pages[0], c->pages[1], p, s, c->table };
    sv_tensor out[] = { rows(*o, first, n), rows(*stat, first, n) };
    op_run_call(SV_OP_attend, &attr, in, 8, out);
}

static int setup(void **state)
{
    (void)state;
    q = op_run_normal2(T, H * K, 1);
    k = op_run_normal2(T, G * K, 2);
    v = op_run_normal2(T, G * K, 3);
    pos = T1(I32, T);
    seq = T1(I32, T);
    for (uint32_t t = 0; t < T; t++) {
        op_run_i(&pos)[t] = (int32_t)t;
        op_run_i(&seq)[t] = 0;
    }
    whole = T2(F32, T, H * K);
    whole_stat = T3(F32, T, H, 2);
    cache c = make_cache(1);
    attend_rows(&c, seq, 0, T, &whole, &whole_stat);
    return 0;
}

static void test_attend_is_softmax_of_scores_times_values(void **state)
{
    (void)state;
    static const uint32_t query[] = { 0, 1, 31, 32, 255, 256, 257, 511, 512, 599 };
    for (uint32_t i = 0; i < sizeof query / sizeof *query; i++)
        for (uint32_t h = 0; h < H; h++) {
            uint32_t t = query[i], g = h / 2;
            double l = 0, o[K] = { 0 };
            for (uint32_t j = 0; j <= t; j++) {
                double s = 0;
                for (uint32_t d = 0; d < K; d++)
                    s += (double)op_run_f(&q)[(t * H + h) * K + d] * (double)op_run_f(&k)[(j * G + g) * K + d];
                l += exp(s);
                for (uint32_t d = 0; d < K; d++)
                    o[d] += exp(s) * (double)op_run_f(&v)[(j * G + g) * K + d];
            }
            for (uint32_t d = 0; d < K; d++)
                op_run_near((double)op_run_f(&whole)[(t * H + h) * K + d], o[d] / l, 3e-6, "o", t);
            const float *stat = op_run_f(&whole_stat) + (t * H + h) * 2;
            op_run_near((double)stat[0] + log((double)stat[1]), log(l), 3e-6, "m + log l", t);
        }
}

static void test_two_blocks_merge_left_to_right(void **state)
{
    (void)state;
    uint32_t t = 300, n[2] = { 256, 45 };
    float m[2], l[2], e[256], O[2] = { 0, 0 };
    for (uint32_t b = 0; b < 2; b++) { /* head 0, channel 0 */
        for (uint32_t j = 0; j < n[b]; j++)
            e[j] = sv_dot(op_run_f(&q) + t * H * K, 1, op_run_f(&k) + (b * 256 + j) * G * K, 1, K);
        m[b] = sv_max(e, n[b]);
        for (uint32_t j = 0; j < n[b]; j++) {
            e[j] = sv_canon_exp(e[j] - m[b]);
            O[b] = fmaf(e[j], op_run_f(&v)[(b * 256 + j) * G * K], O[b]);
        }
        l[b] = sv_sum(e, n[b]);
    }
    float top = m[1] > m[0] ? m[1] : m[0], f = sv_canon_exp(m[0] - top), g = sv_canon_exp(m[1] - top);
    float sum = l[0] * f + l[1] * g;
    assert_true(sv_bits_same(op_run_f(&whole)[t * H * K], (O[0] * f + O[1] * g) * (1.0f / sum)));
    assert_true(sv_bits_same(op_run_f(&whole_stat)[t * H * 2], top));
    assert_true(sv_bits_same(op_run_f(&whole_stat)[t * H * 2 + 1], sum));
}

static void test_chunks_and_page_orders_do_not_change_a_bit(void **state)
{
    (void)state;
    static const uint32_t chunk[] = { 1, 7, 256, 300 }, step[] = { 7, 1, 39, 11 };
    for (uint32_t i = 0; i < 4; i++) {
        cache c = make_cache(step[i]);
        sv_tensor o = T2(F32, T, H * K), stat = T3(F32, T, H, 2);
        for (uint32_t first = 0; first < T; first += chunk[i])
            attend_rows(&c, seq, first, T - first < chunk[i] ? T - first : chunk[i], &o, &stat);
        op_run_same(&o, &whole);
        op_run_same(&stat, &whole_stat);
    }
}

static void test_other_sequences_in_the_batch_do_not_change_a_bit(void **state)
{
    (void)state;
    /* Rows 0 ... 299 twice, interleaved: sequence 0 as before, sequence 1 the same tokens in other pages. */
    enum { N = 300 };
    cache c = make_cache(7);
    sv_tensor q2 = T2(F32, 2 * N, H * K), k2 = T2(F32, 2 * N, G * K), v2 = T2(F32, 2 * N, G * K);
    sv_tensor pos2 = T1(I32, 2 * N), seq2 = T1(I32, 2 * N), out[2];
    for (uint32_t t = 0; t < 2 * N; t++) {
        memcpy(op_run_f(&q2) + t * H * K, op_run_f(&q) + t / 2 * H * K, H * K * 4);
        memcpy(op_run_f(&k2) + t * G * K, op_run_f(&k) + t / 2 * G * K, G * K * 4);
        memcpy(op_run_f(&v2) + t * G * K, op_run_f(&v) + t / 2 * G * K, G * K * 4);
        op_run_i(&pos2)[t] = (int32_t)(t / 2);
        op_run_i(&seq2)[t] = (int32_t)(t % 2);
    }
    memset(out, 0, sizeof out);
    op_run_call(SV_OP_kv_put, NULL, (sv_tensor[]){ k2, v2, pos2, seq2, c.table }, 5, c.pages);
    sv_tensor in[] = { q2, k2, v2, c.pages[0], c.pages[1], pos2, seq2, c.table };
    op_run_call(SV_OP_attend, &(sv_attr_attend){ H, G, K }, in, 8, out);
    for (uint32_t i = 0; i < 2 * N * H * K; i++)
        assert_true(sv_bits_same(op_run_f(&out[0])[i], op_run_f(&whole)[i / (2 * H * K) * H * K + i % (H * K)]));
}

static void grad_of(uint32_t first, uint32_t n, sv_tensor dy, sv_tensor *out)
{
    sv_tensor in[] = {
        rows(q, first, n), rows(k, first, n), rows(v, first, n), rows(whole, first, n), rows(whole_stat, first, n), dy,
        rows(pos, 0, n),   rows(seq, 0, n)
    };
    memset(out, 0, 3 * sizeof *out);
    op_run_call(SV_OP_attend_grad, &(sv_attr_attend){ H, G, K }, in, 8, out);
}

static void test_gradient_pieces_are_cut_at_256_and_added_left_to_right(void **state)
{
    (void)state;
    enum { N = 560 };
    sv_tensor dy = op_run_normal2(N, H * K, 9), out[3];
    grad_of(0, N, dy, out);
    uint32_t i = 555, j = 10; /* dq of a late query, dk and dv of an early key; head 1, key head 0, channel 2 */
    float dq = 0, piece = 0, dk = 0, dv = 0, pk = 0, pv = 0;
    bool first = true;
    for (uint32_t turn = 0; turn < 3; turn++) /* 0: dq; then the two query heads of key head 0 */
        for (uint32_t x = turn == 0 ? 0 : j; x < (turn == 0 ? i + 1 : N); x++) {
            uint32_t qi = turn == 0 ? i : x, kj = turn == 0 ? x : j, h = turn == 0 ? 1 : turn - 1;
            const float *qr = op_run_f(&q) + (qi * H + h) * K, *dr = op_run_f(&dy) + (qi * H + h) * K;
            const float *stat = op_run_f(&whole_stat) + (qi * H + h) * 2;
            float delta = sv_dot(dr, 1, op_run_f(&whole) + (qi * H + h) * K, 1, K);
            float p = sv_canon_exp(sv_dot(qr, 1, op_run_f(&k) + kj * G * K, 1, K) - stat[0]) * (1.0f / stat[1]);
            float ds = p * (sv_dot(dr, 1, op_run_f(&v) + kj * G * K, 1, K) - delta);
            if (turn == 0) {
                piece = fmaf(ds, op_run_f(&k)[kj * G * K + 2], piece);
                if (x % 256 == 255 || x == i) {
                    dq = x < 256 ? piece : dq + piece;
                    piece = 0;
                }
                continue;
            }
            pk = fmaf(ds, qr[2], pk);
            pv = fmaf(p, dr[2], pv);
            if (x % 256 == 255 || x == N - 1) {
                dk = first ? pk : dk + pk;
                dv = first ? pv : dv + pv;
                pk = pv = 0;
                first = false;
            }
        }
    assert_true(sv_bits_same(op_run_f(&out[0])[(i * H + 1) * K + 2], dq));
    assert_true(sv_bits_same(op_run_f(&out[1])[j * G * K + 2], dk));
    assert_true(sv_bits_same(op_run_f(&out[2])[j * G * K + 2], dv));
}

static void test_gradients_of_packed_sequences_equal_those_alone(void **state)
{
    (void)state;
    /* One call over [0, 40) [0, 25), against two calls. The forward of both is made here: positions restart. */
    enum { A = 40, B = 25 };
    sv_tensor both[3], alone[3], dy = op_run_normal2(A + B, H * K, 9), o = T2(F32, A + B, H * K),
                                 stat = T3(F32, A + B, H, 2);
    sv_tensor p2 = T1(I32, A + B), s2 = T1(I32, A + B);
    cache c = make_cache(1);
    for (uint32_t t = 0; t < A + B; t++) {
        op_run_i(&p2)[t] = (int32_t)(t < A ? t : t - A);
        op_run_i(&s2)[t] = t >= A;
    }
    sv_tensor kr = rows(k, 0, A + B), vr = rows(v, 0, A + B), qr = rows(q, 0, A + B), out[] = { o, stat };
    op_run_call(SV_OP_kv_put, NULL, (sv_tensor[]){ kr, vr, p2, s2, c.table }, 5, c.pages);
    op_run_call(SV_OP_attend, &(sv_attr_attend){ H, G, K },
                (sv_tensor[]){ qr, kr, vr, c.pages[0], c.pages[1], p2, s2, c.table }, 8, out);
    memset(both, 0, sizeof both);
    op_run_call(SV_OP_attend_grad, &(sv_attr_attend){ H, G, K }, (sv_tensor[]){ qr, kr, vr, o, stat, dy, p2, s2 }, 8,
                both);
    for (uint32_t part = 0; part < 2; part++) {
        uint32_t first = part ? A : 0, n = part ? B : A;
        sv_tensor in[] = { rows(qr, first, n),   rows(kr, first, n), rows(vr, first, n), rows(o, first, n),
                           rows(stat, first, n), rows(dy, first, n), rows(p2, first, n), rows(s2, first, n) };
        memset(alone, 0, sizeof alone);
        op_run_call(SV_OP_attend_grad, &(sv_attr_attend){ H, G, K }, in, 8, alone);
        for (uint32_t i = 0; i < 3; i++) {
            sv_tensor mine = rows(both[i], first, n);
            op_run_same(&mine, &alone[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attend_is_softmax_of_scores_times_values),
        cmocka_unit_test(test_two_blocks_merge_left_to_right),
        cmocka_unit_test(test_chunks_and_page_orders_do_not_change_a_bit),
        cmocka_unit_test(test_other_sequences_in_the_batch_do_not_change_a_bit),
        cmocka_unit_test(test_gradient_pieces_are_cut_at_256_and_added_left_to_right),
        cmocka_unit_test(test_gradients_of_packed_sequences_equal_those_alone),
    };
    return cmocka_run_group_tests(tests, setup, op_run_drop_all);
}
