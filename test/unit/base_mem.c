/* SPDX-License-Identifier: Apache-2.0
 * base/mem: small blocks, large blocks and arenas.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "base/mem.h"

static bool is_zero(const void *p, size_t n)
{
    const char *c = p;
    for (size_t i = 0; i < n; i++)
        if (c[i])
            return false;
    return true;
}

static void test_small_blocks_are_zeroed_also_where_they_grow(void **state)
{
    (void)state;
    char *p = sv_mem_new(100);
    assert_true(is_zero(p, 100));
    memset(p, 1, 100);
    p = sv_mem_grow(p, 100, 5000);
    assert_int_equal(p[99], 1);
    assert_true(is_zero(p + 100, 4900));
    sv_mem_free(p);
    p = sv_mem_grow(NULL, 0, 64);
    assert_true(is_zero(p, 64));
    sv_mem_free(p);
    sv_mem_free(sv_mem_new(0));
    sv_mem_free(NULL);
}

static void test_large_blocks_are_aligned_and_writable_to_the_last_byte(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 63, 64, 4095, 4194303, 4194304, 4194305, 6291456, 6291457, 8388607, 9000001 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *p;
        assert_int_equal(sv_mem_large(sizes[i], "block", &p), SV_OK);
        assert_int_equal((uintptr_t)p % (sizes[i] >= 4194304 ? 2097152 : 64), 0);
        memset(p, 0x5a, sizes[i]);
        sv_mem_large_free(p, sizes[i]);
    }
    sv_mem_large_free(NULL, 10);
}

static void test_a_large_block_that_cannot_be_had_is_named(void **state)
{
    (void)state;
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2, (size_t)1 << 55 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *p = &p;
        assert_int_equal(sv_mem_large(sizes[i], "KV pages", &p), SV_E_NOMEM);
        assert_null(p);
        assert_non_null(strstr(sv_err_text(), "KV pages: needs "));
    }
}

static void test_a_fault_rule_makes_one_large_block_fail(void **state)
{
    (void)state;
#ifdef SV_FAULTS
    void *p, *q;
    sv_fault_set("alloc:nth=2");
    assert_int_equal(sv_mem_large(64, "first", &p), SV_OK);
    assert_int_equal(sv_mem_large(64, "second", &q), SV_E_NOMEM);
    sv_mem_large_free(p, 64);
    assert_int_equal(sv_mem_large(64, "third", &p), SV_OK);
    sv_mem_large_free(p, 64);
    sv_fault_set(NULL);
#else
    skip();
#endif
}

static void test_arena_blocks_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    for (int round = 0; round < 3; round++) {
        unsigned char *p[600];
        for (size_t i = 0; i < 600; i++) {
            size_t n = i * 37 % 9000;
            p[i] = sv_arena_new(a, n);
            assert_int_equal((uintptr_t)p[i] % 16, 0);
            assert_true(is_zero(p[i], n));
            memset(p[i], (int)(i % 251) + 1, n);
        }
        for (size_t i = 0; i < 600; i++)
            for (size_t j = 0; j < i * 37 % 9000; j++)
                assert_true(p[i][j] == i % 251 + 1);
        sv_arena_reset(a);
    }
    sv_arena_drop(a);
    sv_arena_drop(NULL);
}

static void test_arena_texts_are_copies(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    char from[] = "hello";
    char *text = sv_arena_text(a, from), *part = sv_arena_textn(a, from, 4), *none = sv_arena_textn(a, NULL, 0);
    from[0] = 'j';
    assert_string_equal(text, "hello");
    assert_string_equal(part, "hell");
    assert_string_equal(none, "");
    assert_string_equal(sv_arena_printf(a, "%s-%05d", "step", 42), "step-00042");
    sv_arena_drop(a);
}

static char order[16];
static void note(void *arg)
{
    strcat(order, arg);
}

static void test_deferred_calls_run_in_reverse_at_reset_and_drop(void **state)
{
    (void)state;
    order[0] = '\0';
    sv_arena *a = sv_arena_make();
    sv_arena_defer(a, note, "a");
    sv_arena_defer(a, note, "b");
    sv_arena_reset(a);
    assert_string_equal(order, "ba");
    sv_arena_defer(a, note, "c");
    sv_arena_defer(a, note, "d");
    sv_arena_drop(a);
    assert_string_equal(order, "badc");
}

static void test_push_grows_an_array(void **state)
{
    (void)state;
    struct {
        int *items;
        size_t n, cap;
    } v = { 0 };
    for (int i = 0; i < 1000; i++)
        SV_PUSH(v.items, v.n, v.cap, i * 3);
    assert_int_equal(v.n, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v.items[i], i * 3);
    sv_mem_free(v.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_blocks_are_zeroed_also_where_they_grow),
        cmocka_unit_test(test_large_blocks_are_aligned_and_writable_to_the_last_byte),
        cmocka_unit_test(test_a_large_block_that_cannot_be_had_is_named),
        cmocka_unit_test(test_a_fault_rule_makes_one_large_block_fail),
        cmocka_unit_test(test_arena_blocks_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(test_arena_texts_are_copies),
        cmocka_unit_test(test_deferred_calls_run_in_reverse_at_reset_and_drop),
        cmocka_unit_test(test_push_grows_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
