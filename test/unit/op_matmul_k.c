/* SPDX-License-Identifier: Apache-2.0
 * Claims about products with Q4_K, Q5_K and Q6_K weights (docs/arithmetic.md A-33): how far they are from the products
 * of the values, the largest integers, layouts, and scales that are zero, negative, subnormal or no numbers.
 */
#include <math.h>

#include "test/op_run.h"
#include "num/kquant.h"
#include "op/read.h"

static const sv_dtype types[] = { SV_DT_Q4_K, SV_DT_Q5_K, SV_DT_Q6_K };

static sv_tensor nt(sv_tensor a, sv_tensor b)
{
    return op_run1(SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, (sv_tensor[]){ a, b }, 2);
}

static sv_tensor quant(sv_tensor x)
{
    return op_run1(SV_OP_quant, NULL, &x, 1);
}

static sv_tensor weight(sv_dtype t, uint32_t n, uint32_t k, uint32_t key)
{
    sv_tensor x = op_run_normal2(n, k, key), w = op_run_tensor(t, 2, n, k, 0, 0);
    for (uint32_t r = 0; r < n; r++)
        assert_true(sv_kquant_row(t, op_run_f(&x) + (size_t)r * k, k,
                                  (uint8_t *)sv_tensor_host(&w) + r * sv_dtype_row_bytes(t, k)));
    return w;
}

static uint8_t *block_of(const sv_tensor *w, uint32_t i)
{
    return (uint8_t *)sv_tensor_host(w) + i * sv_dtype_block_bytes(w->dtype);
}

/* The product of one row in binary64 from the format's formula, and the sum of what the law rounds: |d i s_x| and
 * |dmin min sum_x s_x| over the parts. */
static double exact(const sv_kblock *k, const uint8_t *x, uint32_t n_block, bool six, double *size)
{
    double y = 0;
    *size = 0;
    for (uint32_t b = 0; b < n_block; b++)
        for (uint32_t p = 0; p < 8; p++) {
            const uint8_t *q = x + (8 * b + p) * 40;
            double s_x = (double)sv_f32_of_bits(sv_load_u32(q)), d = (double)sv_f16_widen(k[b].d), dot = 0, m = 0;
            for (uint32_t j = 0; j < 32; j++) {
                int code = (int)k[b].code[32 * p + j] - (six ? 32 : 0);
                int scale = six ? (int8_t)k[b].scale[2 * p + j / 16] : k[b].scale[p];
                dot += (double)(scale * code * (int8_t)q[8 + j]);
                m += six ? 0 : (double)(k[b].min[p] * (int8_t)q[8 + j]);
            }
            m = six ? 0 : m * (double)sv_f16_widen(k[b].dmin);
            y += (d * dot - m) * s_x;
            *size += (fabs(d * dot) + fabs(m)) * fabs(s_x);
        }
    return y;
}

/* At most 8 roundings in a chain, one of d s (or of the last fma), one of sum_x s_x, one of the fma with dmin, and one
 * for each level of HALVE: (11 + log2 chunks) half units of the sum of magnitudes. */
static void test_products_are_within_the_bound_of_their_roundings(void **state)
{
    (void)state;
    static const uint32_t chunks[] = { 1, 2, 3, 5, 9 };
    for (uint32_t i = 0; i < 15; i++) {
        sv_dtype t = types[i % 3];
        uint32_t c = chunks[i / 3], K = 256 * c;
        sv_tensor x = quant(op_run_normal2(3, K, 1)), w = weight(t, 7, K, 2), y = nt(x, w);
        sv_kblock k[9];
        for (uint32_t n = 0; n < 7; n++) {
            sv_read_kblocks(&w, n, k);
            for (uint32_t m = 0; m < 3; m++) {
                double size, want = exact(k, (uint8_t *)sv_tensor_host(&x) + m * c * 320, c, t == SV_DT_Q6_K, &size);
                double got = (double)op_run_f(&y)[m * 7 + n], bound = (11 + ceil(log2(c))) * 0x1p-24 * 1.001 * size;
                if (fabs(got - want) > bound)
                    fail_msg("%s, K %u: %.9g, exact %.9g, bound %.3g", sv_dtype_name(t), K, got, want, bound);
            }
        }
    }
}

/* Against the f32 values of weights and activations that were not quantised: an activation is at most half a step of
 * its block away (and the rounding of x inv), so the product at most sum |w| s_x (1/2 + 2^-16). */
static void test_products_are_within_half_a_step_of_the_f32_product(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        enum { K = 1024 };
        sv_tensor x = op_run_normal2(2, K, 3), w = weight(types[i], 5, K, 4), q = quant(x), y = nt(q, w);
        float row[K];
        for (uint32_t n = 0; n < 5; n++) {
            sv_read_row(&w, n, row);
            for (uint32_t m = 0; m < 2; m++) {
                double want = 0, bound = 0;
                for (uint32_t k = 0; k < K; k++) {
                    const uint8_t *b = (uint8_t *)sv_tensor_host(&q) + (m * K / 32 + k / 32) * 40;
                    want += (double)op_run_f(&x)[m * K + k] * (double)row[k];
                    bound += fabs((double)row[k]) * (double)sv_f32_of_bits(sv_load_u32(b)) * (0.5 + 0x1p-16);
                }
                assert_true(fabs((double)op_run_f(&y)[m * 5 + n] - want) <= bound);
            }
        }
    }
}

static void test_packed_weights_give_the_bits_of_plain_ones(void **state)
{
    (void)state;
    static const uint32_t rows[] = { 1, 31, 32, 33, 70 };
    for (uint32_t i = 0; i < 15; i++) {
        sv_tensor x = quant(op_run_normal2(3, 512, 1)), w = weight(types[i % 3], rows[i / 3], 512, 2), y = nt(x, w);
        sv_attr_pack attr = { SV_IMAGE_K4 + i % 3 };
        sv_tensor z = nt(x, op_run1(SV_OP_pack, &attr, &w, 1));
        op_run_same(&y, &z);
    }
}

static void test_the_largest_integers_are_exact(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        sv_tensor x = T2(F32, 1, 256), w = op_run_tensor(types[i], 2, 1, 256, 0, 0);
        sv_kblock k = { .d = sv_f16_narrow(1.0f) };
        bool six = types[i] == SV_DT_Q6_K;
        memset(k.code, six ? 0 : i == 1 ? 31 : 15, 256); /* -32 in Q6_K */
        memset(k.scale, six ? 0x80 : 63, 16);
        memset(k.min, 63, 8);
        k.dmin = sv_f16_narrow(-1.0f);
        sv_kblock_close(types[i], &k, block_of(&w, 0));
        for (uint32_t j = 0; j < 256; j++)
            op_run_f(&x)[j] = 127.0f;
        sv_tensor y = nt(quant(x), w);
        float part = six ? 32.0f * 128 * 32 * 127 : (i == 1 ? 31.0f : 15.0f) * 63 * 32 * 127, min = 63.0f * 32 * 127;
        assert_true(part < 0x1p24f);
        assert_true(op_run_f(&y)[0] == 8 * part + (six ? 0 : 8 * min)); /* eight equal parts: doublings are exact */
    }
}

/* The product of one row with d, dmin given. */
static float with_factors(sv_dtype t, float d, float dmin, float x0)
{
    sv_tensor x = op_run_normal2(1, 256, 5), w = weight(t, 1, 256, 6);
    uint8_t *b = block_of(&w, 0);
    op_run_f(&x)[0] = x0;
    sv_store_u16(b + (t == SV_DT_Q6_K ? 208 : 0), sv_f16_narrow(d));
    if (t != SV_DT_Q6_K)
        sv_store_u16(b + 2, sv_f16_narrow(dmin));
    sv_tensor y = nt(quant(x), w);
    return op_run_f(&y)[0];
}

static void test_zero_negative_subnormal_and_unreal_factors_follow_ieee(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        sv_dtype t = types[i];
        float y = with_factors(t, 1.0f, 0.5f, 1.0f);
        assert_true(with_factors(t, 0.0f, 0.0f, 1.0f) == 0.0f);
        assert_true(with_factors(t, -1.0f, -0.5f, 1.0f) == -y);
        assert_true(with_factors(t, 0x1p-23f, 0x1p-24f, 1.0f) == y * 0x1p-23f); /* subnormal in f16, powers of two */
        assert_true(isinf(with_factors(t, INFINITY, 0.5f, 1.0f)));
        assert_true(isnan(with_factors(t, NAN, 0.5f, 1.0f)));
        assert_true(t == SV_DT_Q6_K || isnan(with_factors(t, 1.0f, NAN, 1.0f)));
        assert_true(isnan(with_factors(t, 1.0f, 0.5f, INFINITY))); /* an activation's infinity is not lost */
        assert_true(isnan(with_factors(t, 1.0f, 0.5f, NAN)));
    }
}

static void test_rows_do_not_depend_on_their_neighbours(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        sv_tensor x = quant(op_run_normal2(5, 768, 1)), w = weight(types[i], 9, 768, 2), all = nt(x, w);
        for (uint32_t m = 0; m < 5; m++) {
            sv_tensor row = x, y;
            row.dim[0] = 1;
            row.at.off = (uint64_t)m * 24 * 40;
            y = nt(row, w);
            for (uint32_t n = 0; n < 9; n++)
                assert_true(sv_bits_same(op_run_f(&y)[n], op_run_f(&all)[m * 9 + n]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_are_within_the_bound_of_their_roundings),
        cmocka_unit_test(test_products_are_within_half_a_step_of_the_f32_product),
        cmocka_unit_test(test_packed_weights_give_the_bits_of_plain_ones),
        cmocka_unit_test(test_the_largest_integers_are_exact),
        cmocka_unit_test(test_zero_negative_subnormal_and_unreal_factors_follow_ieee),
        cmocka_unit_test(test_rows_do_not_depend_on_their_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
