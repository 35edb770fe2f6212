/* SPDX-License-Identifier: Apache-2.0
 * The passes over rows give the bits of num/sum.h and op/logprob.h, whatever the length; and pages are counted right.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "infer/kv.h"
#include "infer/row.h"
#include "num/bits.h"
#include "num/canon.h"
#include "num/philox.h"
#include "num/sum.h"
#include "op/logprob.h"

enum { MOST = 20000 };
static float x[MOST], y[MOST];

static const uint32_t length[] = { 0,   1,   3,   4,    31,   32,   33,   63,   64,   65,    127,   255,
                                   256, 257, 511, 4095, 4096, 4097, 4128, 8191, 8192, 12289, 16385, MOST };
#define N_LENGTH (sizeof length / sizeof length[0])

static void fill(uint32_t which, float scale)
{
    for (uint32_t i = 0; i < MOST; i += 4) {
        sv_philox_normal4(21, SV_STREAM_TEST, which, i / 4, x + i);
        for (uint32_t k = 0; k < 4; k++)
            x[i + k] *= scale;
    }
}

static void test_max_sum_and_argmax_have_the_law_s_bits(void **state)
{
    (void)state;
    for (uint32_t which = 0; which < 4; which++) {
        fill(which, which == 1 ? 1e-42f : 5);
        for (uint32_t i = 0; which == 2 && i < MOST; i++)
            x[i] = i % 3 ? -0.0f : NAN;
        for (uint32_t i = 0; which == 3 && i < MOST; i++)
            x[i] = i % 7 ? (float)(i % 5) : i % 2 ? -INFINITY : NAN;
        for (size_t i = 0; i < N_LENGTH; i++) {
            assert_true(sv_bits_same(sv_row_max(x, length[i]), sv_max(x, length[i])));
            assert_true(sv_bits_same(sv_row_sum(x, length[i]), sv_sum(x, length[i])));
            assert_int_equal(sv_row_argmax(x, length[i]), sv_argmax(x, length[i]));
        }
    }
}

static void test_exp_over_lanes_is_the_scalar_one(void **state)
{
    (void)state;
    uint32_t word = 0x1234567;
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < MOST; i++) {
            word = word * 1664525u + 1013904223u;
            x[i] = round % 2 ? sv_bits_f32(word) : (float)(int32_t)word * 0x1p-24f;
        }
        sv_row_exp(x, MOST - round, 1.5f, y);
        for (uint32_t i = 0; i < MOST - round; i++)
            assert_true(sv_bits_same(y[i], sv_canon_exp(x[i] - 1.5f)));
    }
}

static void test_a_row_s_log_prob_has_the_op_s_bits(void **state)
{
    (void)state;
    fill(9, 4);
    for (size_t i = 1; i < N_LENGTH; i++) {
        sv_row_stat s = sv_row_stat_of(x, length[i]);
        for (uint32_t t = 0; t < length[i]; t += 1 + length[i] / 5)
            assert_true(sv_bits_same(sv_row_logprob(s, x[t]), sv_logprob_row(x, length[i], t)));
    }
}

static void test_division_and_product_are_rounded_once(void **state)
{
    (void)state;
    fill(10, 4);
    sv_row_div(x, 1000, 0.7f, y);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(y[i] == x[i] / 0.7f);
    sv_row_mul(x, 1000, 0.7f, y);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(y[i] == x[i] * 0.7f);
}

static void test_pages_are_given_once_and_come_back_with_their_last_holder(void **state)
{
    (void)state;
    enum { N = 50 };
    bool used[N] = { false };
    int32_t page[N], none;
    sv_pages *p = sv_pages_make(N);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(sv_pages_n_free(p), N - i);
        assert_true(sv_pages_take(p, &page[i]));
        assert_in_range(page[i], 0, N - 1);
        assert_false(used[page[i]]);
        used[page[i]] = true;
    }
    assert_false(sv_pages_take(p, &none));
    sv_pages_hold(p, page[3]);
    sv_pages_hold(p, page[3]);
    sv_pages_give(p, page[3]);
    sv_pages_give(p, page[3]);
    assert_int_equal(sv_pages_n_free(p), 0);
    for (uint32_t i = 0; i < N; i++)
        sv_pages_give(p, page[i]);
    assert_int_equal(sv_pages_n_free(p), N);
    sv_pages_drop(p);
    sv_pages_drop(NULL);
}

static void test_a_page_holds_32_positions(void **state)
{
    (void)state;
    assert_int_equal(sv_pages_for(0), 0);
    assert_int_equal(sv_pages_for(1), 1);
    assert_int_equal(sv_pages_for(32), 1);
    assert_int_equal(sv_pages_for(33), 2);
    assert_int_equal(sv_pages_for(UINT32_MAX), 1u << 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_sum_and_argmax_have_the_law_s_bits),
        cmocka_unit_test(test_exp_over_lanes_is_the_scalar_one),
        cmocka_unit_test(test_a_row_s_log_prob_has_the_op_s_bits),
        cmocka_unit_test(test_division_and_product_are_rounded_once),
        cmocka_unit_test(test_pages_are_given_once_and_come_back_with_their_last_holder),
        cmocka_unit_test(test_a_page_holds_32_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
