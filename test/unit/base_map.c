/* SPDX-License-Identifier: Apache-2.0
 * base/map and base/sha: a map from bytes to numbers, and SHA-256.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/map.h"
#include "base/sha.h"

static void test_every_key_is_found_after_any_growth(void **state)
{
    (void)state;
    static const size_t expected[] = { 0, 100000 };
    for (int k = 0; k < 2; k++) {
        sv_map *m = sv_map_make(expected[k]);
        char key[32];
        uint32_t v;
        for (uint32_t i = 0; i < 50000; i++) {
            int n = snprintf(key, sizeof key, "%u-%u", i * 2654435761u, i);
            assert_true(sv_map_put(m, (sv_str){ key, (size_t)n }, i));
        }
        assert_int_equal(sv_map_count(m), 50000);
        for (uint32_t i = 0; i < 50000; i++) {
            int n = snprintf(key, sizeof key, "%u-%u", i * 2654435761u, i);
            assert_true(sv_map_get(m, (sv_str){ key, (size_t)n }, &v));
            assert_int_equal(v, i);
            assert_false(sv_map_get(m, (sv_str){ key, (size_t)n - 1 }, &v) && v == i);
        }
        sv_map_drop(m);
    }
    sv_map_drop(NULL);
}

static void test_a_second_put_changes_nothing(void **state)
{
    (void)state;
    sv_map *m = sv_map_make(4);
    uint32_t v = 9;
    char key[] = "key";
    assert_true(sv_map_put(m, sv_str_of(key), 1));
    key[0] = 'x';
    assert_false(sv_map_get(m, sv_str_of(key), &v));
    assert_int_equal(v, 9);
    assert_false(sv_map_put(m, SV_STR("key"), 2));
    assert_true(sv_map_get(m, SV_STR("key"), &v));
    assert_int_equal(v, 1);
    assert_true(sv_map_get(m, SV_STR("key"), NULL));
    assert_int_equal(sv_map_count(m), 1);
    sv_map_drop(m);
}

static void test_keys_are_bytes(void **state)
{
    (void)state;
    sv_map *m = sv_map_make(4);
    uint32_t v;
    assert_true(sv_map_put(m, SV_STR(""), 1));
    assert_true(sv_map_put(m, SV_STR("\0"), 2));
    assert_true(sv_map_put(m, SV_STR("\0\0"), 3));
    assert_true(sv_map_put(m, SV_STR("a\0b"), 4));
    assert_true(sv_map_get(m, (sv_str){ NULL, 0 }, &v) && v == 1);
    assert_true(sv_map_get(m, SV_STR("\0\0"), &v) && v == 3);
    assert_true(sv_map_get(m, SV_STR("a\0b"), &v) && v == 4);
    assert_false(sv_map_get(m, SV_STR("a"), &v));
    sv_map_drop(m);
}

static void test_sha256_gives_the_sums_of_fips_180(void **state)
{
    (void)state;
    uint8_t sum[32];
    char hex[65];
    sv_sha_of("abc", 3, sum);
    sv_sha_hex(sum, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sv_sha_of(NULL, 0, sum);
    sv_sha_hex(sum, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* A million times "a", in pieces. */
    sv_sha *s = sv_sha_make();
    char part[1000];
    memset(part, 'a', sizeof part);
    for (int i = 0; i < 1000; i++)
        sv_sha_add(s, part, sizeof part);
    sv_sha_end(s, sum);
    sv_sha_hex(sum, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    sv_sha_drop(sv_sha_make());
    sv_sha_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_is_found_after_any_growth),
        cmocka_unit_test(test_a_second_put_changes_nothing),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_sha256_gives_the_sums_of_fips_180),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
