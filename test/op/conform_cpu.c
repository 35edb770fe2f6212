/* SPDX-License-Identifier: Apache-2.0
 * Claims about the cpu chip: every instruction set that this machine has, and every number of threads, gives the bits
 * of the reference.
 */
#include "test/conform_run.h"

static void test_every_instruction_set_has_the_reference_s_bits(void **state)
{
    (void)state;
    const sv_chip_entry *e;
    size_t n;
    uint32_t n_device = 0;
    assert_int_equal(sv_chips_list(&e, &n), SV_OK);
    for (size_t i = 0; i < n; i++)
        if (strcmp(e[i].name, "cpu") == 0) {
            if (e[i].why != NULL)
                fail_msg("%s", e[i].why);
            n_device = e[i].n_device;
        }
    assert_true(n_device > 0);
    for (uint32_t i = 0; i < n_device; i++) {
        char spec[32];
        snprintf(spec, sizeof spec, "cpu:%u", i);
        sv_conform_result r = conform_clean(spec, 2, i > 0);
        assert_true(r.n_native > r.n_case / 2);
    }
}

static void test_any_number_of_threads_has_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t threads[] = { 1, 3, 7 };
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        conform_clean("cpu", threads[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_instruction_set_has_the_reference_s_bits),
        cmocka_unit_test(test_any_number_of_threads_has_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
