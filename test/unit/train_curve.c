/* SPDX-License-Identifier: Apache-2.0
 * Learning rates, clip factors, and the guard on the curve.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "train/guard.h"
#include "train/optim.h"
#include "train/schedule.h"

static bool near(float a, double b)
{
    return (double)a > b * (1 - 1e-6) && (double)a < b * (1 + 1e-6);
}

static void test_flat_linear_warms_up_stays_and_falls(void **state)
{
    (void)state;
    sv_schedule s = { SV_SCHEDULE_FLAT_LINEAR, 30, 3000, 3e-3, 0.02 };
    assert_true(near(sv_schedule_rate(&s, 0), 1e-4));
    assert_true(near(sv_schedule_rate(&s, 29), 3e-3));
    assert_true(near(sv_schedule_rate(&s, 1499), 3e-3));
    assert_true(near(sv_schedule_rate(&s, 2249), 3e-3 * 0.51));
    assert_true(near(sv_schedule_rate(&s, 2999), 6e-5));
}

static void test_cosine_falls_to_its_share(void **state)
{
    (void)state;
    sv_schedule s = { SV_SCHEDULE_COSINE, 10, 110, 1e-3, 0.1 };
    assert_true(near(sv_schedule_rate(&s, 9), 1e-3));
    assert_true(near(sv_schedule_rate(&s, 59), 1e-3 * 0.55));
    assert_true(near(sv_schedule_rate(&s, 109), 1e-4));
    for (uint64_t i = 10; i < 109; i++)
        assert_true(sv_schedule_rate(&s, i + 1) <= sv_schedule_rate(&s, i));
}

static void test_constant_stays_for_ever(void **state)
{
    (void)state;
    sv_schedule s = { SV_SCHEDULE_CONSTANT, 0, 10, 1e-3, 0.02 };
    assert_true(sv_schedule_rate(&s, 0) == 1e-3f);
    assert_true(sv_schedule_rate(&s, 1000000) == 1e-3f);
}

static void test_a_clip_factor_is_one_or_the_ratio(void **state)
{
    (void)state;
    assert_true(sv_optim_clip(0.5f, 1.0f) == 1.0f);
    assert_true(sv_optim_clip(1.0f, 1.0f) == 1.0f);
    assert_true(sv_optim_clip(4.0f, 1.0f) == 0.25f);
    assert_true(sv_optim_clip(4.0f, 0.0f) == 1.0f);
}

static void test_numbers_that_are_none_are_seen_at_once(void **state)
{
    (void)state;
    sv_guard g = { 0 };
    float inf = __builtin_inff(), nan = __builtin_nanf("");
    assert_int_equal(sv_guard_step(&g, 1.0f, 1.0f), SV_GUARD_FINE);
    assert_int_equal(sv_guard_step(&g, nan, 1.0f), SV_GUARD_NONFINITE);
    assert_int_equal(sv_guard_step(&g, inf, 1.0f), SV_GUARD_NONFINITE);
    assert_int_equal(sv_guard_step(&g, 1.0f, -inf), SV_GUARD_NONFINITE);
    assert_int_equal(sv_guard_step(&g, 1.0f, nan), SV_GUARD_NONFINITE);
    assert_int_equal(g.n, 1);
}

static void test_two_high_losses_running_are_a_spike(void **state)
{
    (void)state;
    sv_guard g = { 0 };
    for (int i = 0; i < 63; i++)
        assert_int_equal(sv_guard_step(&g, 2.0f + 0.001f * (float)(i % 7), 1.0f), SV_GUARD_FINE);
    assert_int_equal(sv_guard_step(&g, 9.0f, 1.0f), SV_GUARD_FINE); /* the window was not full */
    assert_int_equal(sv_guard_step(&g, 9.0f, 1.0f), SV_GUARD_FINE); /* one alone */
    assert_int_equal(sv_guard_step(&g, 2.0f, 1.0f), SV_GUARD_FINE);
    assert_int_equal(sv_guard_step(&g, 2.19f, 1.0f), SV_GUARD_FINE); /* below 10 % of the median */
    assert_int_equal(sv_guard_step(&g, 2.25f, 1.0f), SV_GUARD_FINE);
    assert_int_equal(sv_guard_step(&g, 2.25f, 1.0f), SV_GUARD_SPIKE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat_linear_warms_up_stays_and_falls),
        cmocka_unit_test(test_cosine_falls_to_its_share),
        cmocka_unit_test(test_constant_stays_for_ever),
        cmocka_unit_test(test_a_clip_factor_is_one_or_the_ratio),
        cmocka_unit_test(test_numbers_that_are_none_are_seen_at_once),
        cmocka_unit_test(test_two_high_losses_running_are_a_spike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
