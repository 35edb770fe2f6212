/* SPDX-License-Identifier: Apache-2.0
 * Metrics: the vectors of their formulas, ties, and that intervals depend on the seed alone.
 */
#include "train/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b) assert_true((a) - (b) < 1e-6 && (b) - (a) < 1e-6)

static void test_pass_at_k_is_the_unbiased_estimate(void **state)
{
    static const struct {
        uint32_t n, c, k;
        double p;
    } row[] = { { 8, 0, 4, 0 },    { 8, 1, 1, 0.125 }, { 8, 2, 4, 0.7857142857 },
                { 16, 3, 8, 0.9 }, { 8, 6, 4, 1 },     { 64, 1, 8, 0.125 },
                { 8, 8, 8, 1 },    { 8, 1, 8, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        NEAR(sv_pass_at(row[i].n, row[i].c, row[i].k), row[i].p);
}

static void test_wilson_intervals_are_those_of_the_formula(void **state)
{
    static const struct {
        uint64_t right, n;
        double low, high;
    } row[] = { { 0, 30, 0, 0.113513 },          { 15, 30, 0.331541, 0.668459 },   { 30, 30, 0.886487, 1 },
                { 56, 246, 0.179668, 0.283992 }, { 293, 300, 0.952628, 0.988652 }, { 0, 0, 0, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        sv_interval w = sv_wilson(row[i].right, row[i].n);
        NEAR(w.low, row[i].low);
        NEAR(w.high, row[i].high);
    }
}

static void test_votes_tie_to_the_answer_seen_first_and_none_never_wins(void **state)
{
    const sv_str none = { 0 }, a = SV_STR("7"), b = SV_STR("12");
    (void)state;
    assert_int_equal(sv_vote((sv_str[]){ b, a, a, b }, 4), 0);
    assert_int_equal(sv_vote((sv_str[]){ none, none, a, none }, 4), 2);
    assert_int_equal(sv_vote((sv_str[]){ a, b, b, a }, 3), 1);
    assert_int_equal(sv_vote((sv_str[]){ none, none }, 2), UINT32_MAX);
    assert_int_equal(sv_vote(NULL, 0), UINT32_MAX);
}

static void test_a_bootstrap_repeats_from_its_seed_and_covers_what_theory_says(void **state)
{
    enum { N = 400 };
    double v[2 * N];
    sv_interval a[2], b[2], c[2];
    (void)state;
    for (int i = 0; i < N; i++) {
        v[2 * i] = i < N / 4;
        v[2 * i + 1] = 0.5;
    }
    sv_bootstrap(v, N, 2, 7, a);
    sv_bootstrap(v, N, 2, 7, b);
    sv_bootstrap(v, N, 2, 8, c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    NEAR(a[0].value, 0.25);
    /* the binomial's standard error is 0.02165: 0.25 -+ 1.96 of it */
    assert_true(a[0].low > 0.2 && a[0].low < 0.215 && a[0].high > 0.285 && a[0].high < 0.3);
    NEAR(a[1].low, 0.5);
    NEAR(a[1].high, 0.5);
    sv_bootstrap(v, 0, 2, 7, a);
    NEAR(a[0].value, 0);
}

static void test_mcnemar_is_the_exact_binomial(void **state)
{
    (void)state;
    NEAR(sv_mcnemar(0, 0), 1);
    NEAR(sv_mcnemar(5, 5), 1);
    NEAR(sv_mcnemar(0, 5), 0.0625);
    NEAR(sv_mcnemar(6, 0), 0.03125);
    NEAR(sv_mcnemar(2, 10), 2 * 79.0 / 4096); /* 2 (1 + 12 + 66) / 2^12 */
    assert_true(sv_mcnemar(0, 100000) < 1e-300);
    NEAR(sv_mcnemar(50000, 50000), 1);
}

static void test_a_sign_flip_test_tells_a_difference_from_none(void **state)
{
    int32_t none[40], all[40], one[1] = { 3 };
    (void)state;
    for (int i = 0; i < 40; i++) {
        none[i] = i % 2 ? 1 : -1;
        all[i] = 1;
    }
    NEAR(sv_sign_flip(none, 40, 1), 1);
    NEAR(sv_sign_flip(all, 40, 1), 1.0 / 10001);
    NEAR(sv_sign_flip(one, 1, 1), 1);
    NEAR(sv_sign_flip(NULL, 0, 1), 1);
    int32_t few[5] = { 1, 1, 1, 1, 1 }; /* exact: 2 / 32 */
    double p = sv_sign_flip(few, 5, 3);
    assert_true(p > 0.055 && p < 0.07);
    assert_true(p == sv_sign_flip(few, 5, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass_at_k_is_the_unbiased_estimate),
        cmocka_unit_test(test_wilson_intervals_are_those_of_the_formula),
        cmocka_unit_test(test_votes_tie_to_the_answer_seen_first_and_none_never_wins),
        cmocka_unit_test(test_a_bootstrap_repeats_from_its_seed_and_covers_what_theory_says),
        cmocka_unit_test(test_mcnemar_is_the_exact_binomial),
        cmocka_unit_test(test_a_sign_flip_test_tells_a_difference_from_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
