/* SPDX-License-Identifier: Apache-2.0
 * Claims about packed layouts: every item has its own place, places fill the layout, and items lie where kernels read
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "num/image.h"

static uint8_t seen[1 << 16];

static void test_p16_places_are_a_permutation(void **state)
{
    (void)state;
    const uint32_t N = 48, K = 37;
    memset(seen, 0, sizeof seen);
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t k = 0; k < K; k++) {
            uint64_t at = sv_image_p16(n, k, K);
            assert_true(at < sv_image_p16_items(N, K));
            assert_int_equal(seen[at]++, 0);
        }
    assert_int_equal(sv_image_p16_items(N, K), N * K);
    assert_int_equal(sv_image_p16_items(33, 5), 48 * 5);
    assert_int_equal(sv_image_p16(17, 2, 5), 5 * 16 + 2 * 16 + 1);
}

static void test_s8_block_holds_each_code_once_and_then_scales(void **state)
{
    (void)state;
    memset(seen, 0, sizeof seen);
    for (uint32_t n = 0; n < 32; n++)
        for (uint32_t k = 0; k < 32; k++)
            assert_int_equal(seen[sv_image_s8_code(n, k)]++, 0);
    for (uint32_t n = 0; n < 32; n++)
        for (uint32_t b = 0; b < 2; b++)
            assert_int_equal(seen[SV_S8_SCALE + sv_image_scale(n) + b]++, 0);
    for (uint32_t i = 0; i < SV_S8_BYTES; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(sv_image_s8_code(3, 6), 128 + 3 * 4 + 2);
}

static void test_s4_block_holds_two_codes_per_byte_and_then_scales(void **state)
{
    (void)state;
    memset(seen, 0, sizeof seen);
    for (uint32_t n = 0; n < 32; n++)
        for (uint32_t k = 0; k < 32; k++)
            seen[sv_image_s4_code(n, k)] |= (uint8_t)(15u << sv_image_s4_shift(k));
    for (uint32_t i = 0; i < SV_S4_SCALE; i++)
        assert_int_equal(seen[i], 0xff);
    assert_int_equal(seen[SV_S4_SCALE], 0);
    assert_int_equal(SV_S4_SCALE + 64, SV_S4_BYTES);
    assert_int_equal(SV_A4_MIN + 64, SV_A4_BYTES);
    /* Step 2p low, step 2p + 1 high. */
    assert_int_equal(sv_image_s4_code(5, 2), sv_image_s4_code(5, 6));
    assert_int_equal(sv_image_s4_shift(2), 0);
    assert_int_equal(sv_image_s4_shift(6), 4);
}

static void test_panel_blocks_run_along_k(void **state)
{
    (void)state;
    assert_int_equal(sv_image_block(0, 0, 96), 0);
    assert_int_equal(sv_image_block(31, 95, 96), 2);
    assert_int_equal(sv_image_block(32, 0, 96), 3);
    assert_int_equal(sv_image_blocks(33, 96), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p16_places_are_a_permutation),
        cmocka_unit_test(test_s8_block_holds_each_code_once_and_then_scales),
        cmocka_unit_test(test_s4_block_holds_two_codes_per_byte_and_then_scales),
        cmocka_unit_test(test_panel_blocks_run_along_k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
