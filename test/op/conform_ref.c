/* SPDX-License-Identifier: Apache-2.0
 * Claims about the test chips: the reference chip and odd pass the whole suite, null is not asked for answers.
 */
#include "test/conform_run.h"

static void test_the_reference_passes_by_fallback_alone(void **state)
{
    (void)state;
    sv_conform_result r = conform_clean("ref", 0, false);
    assert_true(r.n_case > 1000);
    assert_int_equal(r.n_native, 0);
}

static void test_odd_passes_with_one_row(void **state)
{
    (void)state;
    sv_conform_result r = conform_clean("odd", 0, true);
    assert_true(r.n_native > 0 && r.n_native < r.n_case / 2);
}

static void test_null_is_not_compared(void **state)
{
    (void)state;
    sv_conform_result r = conform_clean("null", 0, false);
    assert_true(r.n_case > 0 && r.n_case < 1000);
    assert_int_equal(r.n_native, 0);
}

static void test_another_seed_gives_other_data_and_no_failure(void **state)
{
    (void)state;
    sv_chip_dev d;
    sv_conform_opts o = { .op = "swiglu", .only_case = 3, .seed = 987654321 };
    sv_conform_result r;
    assert_int_equal(sv_chip_open("ref", NULL, &d), SV_OK);
    assert_int_equal(sv_conform_run(&d, &o, &r), SV_OK);
    assert_true(r.n_case > 0);
    assert_int_equal(r.n_fail, 0);
    o.op = "swigul";
    assert_int_equal(sv_conform_run(&d, &o, &r), SV_E_ARG);
    assert_non_null(strstr(sv_err_text(), "did you mean swiglu"));
    sv_chip_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_reference_passes_by_fallback_alone),
        cmocka_unit_test(test_odd_passes_with_one_row),
        cmocka_unit_test(test_null_is_not_compared),
        cmocka_unit_test(test_another_seed_gives_other_data_and_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
