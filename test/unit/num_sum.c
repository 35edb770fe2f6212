/* SPDX-License-Identifier: Apache-2.0
 * Claims about the orders of sums: HALVE is the recursive tree, its subtrees can be computed apart, SUM is 32 lanes and
 * pieces of 4,096, DOT is fma chains of 256, maxima never see NaN.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "num/bits.h"
#include "num/philox.h"
#include "num/sum.h"

#define MOST 160000u

static float data[MOST], other[MOST];

static int fill(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MOST; i += 4) {
        sv_philox_normal4(1, SV_STREAM_TEST, 0, i / 4, data + i);
        sv_philox_normal4(2, SV_STREAM_TEST, 0, i / 4, other + i);
    }
    return 0;
}

/* The definitions, written the long way. */

static float halve(const float *piece, uint32_t lo, uint32_t hi)
{
    if (hi - lo == 1)
        return piece[lo];
    uint32_t mid = lo + (uint32_t)ceil((hi - lo) / 2.0);
    return halve(piece, lo, mid) + halve(piece, mid, hi);
}

static float tree32(const float *x, uint32_t n)
{
    float lane[32] = { 0 };
    for (uint32_t i = 0; i < n; i++)
        lane[i % 32] += x[i];
    for (uint32_t w = 16; w >= 1; w /= 2)
        for (uint32_t j = 0; j < w; j++)
            lane[j] += lane[j + w];
    return lane[0];
}

static void same(float a, float b)
{
    if (!sv_bits_same(a, b))
        fail_msg("%a is not %a", (double)a, (double)b);
}

static void test_halve_stack_is_the_recursive_tree(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 300; n++) {
        sv_halve h;
        uint32_t deepest = 0;
        sv_halve_begin(&h, n);
        for (uint32_t c = 0; c < n; c++) {
            sv_halve_push(&h, data[c]);
            deepest = h.top > deepest ? h.top : deepest;
        }
        assert_int_equal(h.top, 1);
        assert_true(deepest <= sv_halve_depth(n));
        assert_int_equal(sv_halve_depth(n), (uint32_t)ceil(log2(n)) + 1);
        same(sv_halve_total(&h), halve(data, 0, n));
    }
    assert_true(sv_halve_depth(UINT32_MAX) <= SV_HALVE_MAX);
}

static void test_halves_computed_apart_give_the_same_total(void **state)
{
    (void)state;
    for (uint32_t n = 2; n < 100; n++) {
        uint32_t mid = sv_halve_mid(0, n);
        sv_halve lo, hi, all;
        sv_halve_begin(&all, n);
        sv_halve_begin(&lo, mid);
        sv_halve_begin(&hi, n - mid);
        for (uint32_t c = 0; c < n; c++) {
            sv_halve_push(&all, data[c]);
            sv_halve_push(c < mid ? &lo : &hi, data[c]);
        }
        same(sv_halve_total(&all), sv_halve_total(&lo) + sv_halve_total(&hi));
    }
}

static void test_sum_is_32_lanes_and_pieces_of_4096(void **state)
{
    (void)state;
    static const uint32_t n[] = { 0, 1, 2, 31, 32, 33, 63, 64, 65, 1000, 4095, 4096, 4097, 8192, 8193, 12289, 151936 };
    float piece[MOST / 4096 + 1];
    for (uint32_t i = 0; i < sizeof n / sizeof *n; i++) {
        uint32_t pieces = (n[i] + 4095) / 4096;
        for (uint32_t p = 0; p < pieces; p++)
            piece[p] = tree32(data + p * 4096, n[i] - p * 4096 < 4096 ? n[i] - p * 4096 : 4096);
        same(sv_sum(data, n[i]), n[i] ? halve(piece, 0, pieces) : 0.0f);
    }
}

static void test_sum_differs_from_other_orders(void **state)
{
    (void)state;
    float forward = 0, eight[8] = { 0 };
    for (uint32_t i = 0; i < 4096; i++) {
        forward += data[i];
        eight[i % 8] += data[i];
    }
    assert_false(sv_bits_same(sv_sum(data, 4096), forward));
    assert_false(sv_bits_same(sv_sum(data, 4096), tree32(eight, 8)));
}

static void test_dot_is_fma_chains_of_256_combined_by_halve(void **state)
{
    (void)state;
    static const uint32_t n[] = { 0, 1, 2, 255, 256, 257, 511, 512, 513, 768, 1024, 1280, 1792, 3072 };
    for (uint32_t i = 0; i < sizeof n / sizeof *n; i++) {
        float piece[16];
        uint32_t chunks = (n[i] + 255) / 256;
        for (uint32_t c = 0; c < chunks; c++) {
            piece[c] = 0;
            for (uint32_t k = c * 256; k < n[i] && k < (c + 1) * 256; k++)
                piece[c] = fmaf(data[3 * k], other[2 * k], piece[c]);
        }
        same(sv_dot(data, 3, other, 2, n[i]), n[i] ? halve(piece, 0, chunks) : 0.0f);
    }
}

static void test_dot_rounds_once_per_product(void **state)
{
    (void)state;
    float a[2] = { 1.0f + 0x1p-12f, 1.0f + 0x1p-12f }, b[2] = { 1.0f + 0x1p-12f, -1.0f - 0x1p-12f };
    same(sv_dot(a, 1, b, 1, 2), -0x1p-24f); /* round((1 + 2^-12)^2) - (1 + 2^-12)^2; two roundings would give 0 */
}

static void test_max_skips_nan_and_gives_positive_zero(void **state)
{
    (void)state;
    float x[] = { NAN, -0.0f, -1.0f, NAN };
    same(sv_max(x, 4), 0.0f);
    same(sv_max(x, 1), -INFINITY);
    same(sv_max(x, 0), -INFINITY);
    same(sv_max((float[]){ -2.0f, NAN, 3.0f, INFINITY, NAN }, 5), INFINITY);
}

static void test_argmax_takes_the_lowest_index_and_skips_nan(void **state)
{
    (void)state;
    assert_int_equal(sv_argmax((float[]){ 1, 2, 2, NAN }, 4), 1);
    assert_int_equal(sv_argmax((float[]){ NAN, -INFINITY, -5 }, 3), 2);
    assert_int_equal(sv_argmax((float[]){ NAN, NAN }, 2), 0);
    assert_int_equal(sv_argmax((float[]){ -0.0f, 0.0f }, 2), 0);
}

static void test_ulps_and_hashes_treat_nan_as_one_value(void **state)
{
    (void)state;
    float nan_a = sv_bits_f32(0x7f800001u), nan_b = sv_bits_f32(0xffc12345u);
    assert_true(sv_bits_same(nan_a, nan_b));
    assert_false(sv_bits_same(0.0f, -0.0f));
    assert_int_equal(sv_bits_ulps(0.0f, -0.0f), 0);
    assert_int_equal(sv_bits_ulps(1.0f, 1.0f + 0x1p-23f), 1);
    assert_int_equal(sv_bits_ulps(-0x1p-149f, 0x1p-149f), 2);
    assert_int_equal(sv_bits_ulps(nan_a, 1.0f), UINT32_MAX);
    assert_true(sv_fnv_floats(SV_FNV_START, &nan_a, 1) == sv_fnv_floats(SV_FNV_START, &nan_b, 1));
    assert_true(sv_fnv_word(SV_FNV_START, 0) == 0xaf63bd4c8601b7dfull); /* FNV-1a of one zero byte */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halve_stack_is_the_recursive_tree),
        cmocka_unit_test(test_halves_computed_apart_give_the_same_total),
        cmocka_unit_test(test_sum_is_32_lanes_and_pieces_of_4096),
        cmocka_unit_test(test_sum_differs_from_other_orders),
        cmocka_unit_test(test_dot_is_fma_chains_of_256_combined_by_halve),
        cmocka_unit_test(test_dot_rounds_once_per_product),
        cmocka_unit_test(test_max_skips_nan_and_gives_positive_zero),
        cmocka_unit_test(test_argmax_takes_the_lowest_index_and_skips_nan),
        cmocka_unit_test(test_ulps_and_hashes_treat_nan_as_one_value),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
