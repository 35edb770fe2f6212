/* SPDX-License-Identifier: Apache-2.0
 * Two SFT steps end in the recorded weights: a check so small that an emulated machine ends it soon, too;
 * e2e/train_bits makes fifty steps in more ways. train_short [CHIP]: only on this chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "chip/registry.h"
#include "test/train_run.h"

static void expect(const char *sets)
{
    uint64_t golden = golden_bits("sft2"), h = tiny_hash(sets, 2);
    assert_true(golden != 0);
    if (h != golden)
        fail_msg("%s: %016llx; expected sft2 %016llx", sets, (unsigned long long)h, (unsigned long long)golden);
    print_message("sft2 %016llx %s\n", (unsigned long long)h, sets);
}

static const char *only;

static void test_the_weights_are_the_golden_ones(void **state)
{
    (void)state;
    char set[80] = "";
    if (only != NULL)
        snprintf(set, sizeof set, "chip=%s", only);
    expect(set);
}

static void test_every_instruction_set_has_these_weights(void **state)
{
    (void)state;
    if (only != NULL)
        skip();
    const sv_chip_entry *e;
    size_t n;
    assert_int_equal(sv_chips_list(&e, &n), SV_OK);
    for (size_t i = 0; i < n; i++)
        for (uint32_t d = 0; strcmp(e[i].name, "cpu") == 0 && d < e[i].n_device; d++) {
            char set[32];
            snprintf(set, sizeof set, "chip=cpu:%u", d);
            expect(set);
        }
}

int main(int argc, char **argv)
{
    only = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_weights_are_the_golden_ones),
        cmocka_unit_test(test_every_instruction_set_has_these_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
