/* SPDX-License-Identifier: Apache-2.0
 * Claims about random numbers: Philox has the published vectors, draws are keyed by integers, normals look normal.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "num/philox.h"

static void check(sv_philox w, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    assert_int_equal(w.w[0], a);
    assert_int_equal(w.w[1], b);
    assert_int_equal(w.w[2], c);
    assert_int_equal(w.w[3], d);
}

static void test_philox_has_the_published_vectors(void **state)
{
    (void)state;
    const uint32_t f = 0xffffffffu;
    check(sv_philox_block(0, 0, 0, 0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    check(sv_philox_block(f, f, f, f, f, f), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    check(sv_philox_block(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0), 0xd16cfe09,
          0x94fdcceb, 0x5001e420, 0x24126ea1);
}

static void test_draws_are_keyed_by_seed_stream_step_row_position(void **state)
{
    (void)state;
    assert_int_equal(sv_philox_at(7, SV_STREAM_SAMPLE, 0, 0, 12).w[0], 0x7c594933);
    assert_int_equal(sv_philox_at(7, SV_STREAM_SAMPLE, 0, 0, 13).w[0], 0x0ad4229c);
    assert_int_equal(sv_philox_at(7, SV_STREAM_SAMPLE, 0, 0, 14).w[0], 0x75a89293);
    check(sv_philox_at(0x1122334455667788ull, 5, 4, 3, 2), sv_philox_block(2, 3, 4, 5, 0x55667788, 0x11223344).w[0],
          sv_philox_block(2, 3, 4, 5, 0x55667788, 0x11223344).w[1],
          sv_philox_block(2, 3, 4, 5, 0x55667788, 0x11223344).w[2],
          sv_philox_block(2, 3, 4, 5, 0x55667788, 0x11223344).w[3]);
}

static void test_uniforms_stay_in_their_interval(void **state)
{
    (void)state;
    assert_true(sv_philox_uniform(0) == 0.0f);
    assert_true(sv_philox_uniform(0xffffffffu) < 1.0f);
    assert_true(sv_philox_uniform_open(0) > 0.0f);
    assert_true(sv_philox_uniform_open(0xffffffffu) == 1.0f);
}

static void test_normals_have_the_moments_of_a_normal(void **state)
{
    (void)state;
    const uint32_t n = 1u << 18;
    double sum[5] = { 0 };
    for (uint32_t b = 0; b < n / 4; b++) {
        float x[4];
        sv_philox_normal4(3, SV_STREAM_INIT, 0, b, x);
        for (int i = 0; i < 4; i++)
            for (int p = 1; p <= 4; p++)
                sum[p] += pow((double)x[i], p);
    }
    assert_true(fabs(sum[1] / n) < 0.01);
    assert_true(fabs(sum[2] / n - 1) < 0.02);
    assert_true(fabs(sum[3] / n) < 0.05);
    assert_true(fabs(sum[4] / n - 3) < 0.1);
}

static void test_the_longest_radius_is_finite(void **state)
{
    (void)state;
    float x[2];
    sv_philox_normals(0, 0, x); /* u = 2^-24 */
    assert_true(x[0] > 5.7f && x[0] < 5.8f);
    sv_philox_normals(0xffffffffu, 0, x); /* u = 1 */
    assert_true(sv_bits_same(x[0], 0.0f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_has_the_published_vectors),
        cmocka_unit_test(test_draws_are_keyed_by_seed_stream_step_row_position),
        cmocka_unit_test(test_uniforms_stay_in_their_interval),
        cmocka_unit_test(test_normals_have_the_moments_of_a_normal),
        cmocka_unit_test(test_the_longest_radius_is_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
