/* SPDX-License-Identifier: Apache-2.0
 * The cpu chip's threads stay on cores of their own, as far as there are any.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chips/cpu/cpu.h"

static void count(void *ctx, uint32_t tid, uint32_t n_thread)
{
    (void)tid;
    (void)n_thread;
    atomic_fetch_add((_Atomic uint32_t *)ctx, 1);
}

static void check_works(sv_cpu_pool *p, uint32_t n_thread)
{
    _Atomic uint32_t n = 0;
    for (int i = 0; i < 100; i++)
        sv_cpu_pool_run(p, count, (void *)&n);
    assert_int_equal(n, 100 * n_thread);
}

static void test_workers_of_two_pools_never_share_a_core(void **state)
{
    uint32_t n = sv_cpu_cores();
    (void)state;
    if (n < 2)
        skip();
    sv_cpu_pool *a = sv_cpu_pool_make(n), *b = sv_cpu_pool_make(n);
    assert_int_equal(sv_cpu_pool_pinned(a), n - 1);
    assert_int_equal(sv_cpu_pool_pinned(b), 0); /* no core is left: the system places its workers */
    check_works(a, n);
    check_works(b, n);
    sv_cpu_pool_drop(a);
    sv_cpu_pool *c = sv_cpu_pool_make(n);
    assert_int_equal(sv_cpu_pool_pinned(c), n - 1); /* given back */
    check_works(c, n);
    sv_cpu_pool_drop(c);
    sv_cpu_pool_drop(b);
}

static void test_more_threads_than_cores_are_not_pinned(void **state)
{
    uint32_t n = sv_cpu_cores() + 1;
    (void)state;
    sv_cpu_pool *p = sv_cpu_pool_make(n);
    assert_int_equal(sv_cpu_pool_pinned(p), 0);
    check_works(p, n);
    sv_cpu_pool_drop(p);
}

static void test_pinning_can_be_turned_off(void **state)
{
    (void)state;
    setenv("SAMSVAR_PIN", "0", 1);
    sv_cpu_pool *p = sv_cpu_pool_make(sv_cpu_cores());
    unsetenv("SAMSVAR_PIN");
    assert_int_equal(sv_cpu_pool_pinned(p), 0);
    sv_cpu_pool_drop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_of_two_pools_never_share_a_core),
        cmocka_unit_test(test_more_threads_than_cores_are_not_pinned),
        cmocka_unit_test(test_pinning_can_be_turned_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
