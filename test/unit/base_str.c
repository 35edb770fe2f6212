/* SPDX-License-Identifier: Apache-2.0
 * base/str: views, the byte buffer, UTF-8 by Unicode's own tables, numbers, suggestions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"

static void test_views_compare_by_bytes(void **state)
{
    (void)state;
    assert_true(sv_str_is(SV_STR("abc"), "abc"));
    assert_false(sv_str_is(SV_STR("abc"), "ab"));
    assert_false(sv_str_eq(SV_STR("a\0b"), SV_STR("a\0c")));
    assert_true(sv_str_eq(SV_STR("a\0b"), SV_STR("a\0b")));
    assert_true(sv_str_eq((sv_str){ NULL, 0 }, SV_STR("")));
    assert_true(sv_str_starts(SV_STR("model.layers"), "model."));
    assert_false(sv_str_starts(SV_STR("mod"), "model"));
    assert_true(sv_str_ends(SV_STR("x.safetensors"), ".safetensors"));
    assert_false(sv_str_ends(SV_STR("ors"), "tensors"));
    assert_true(sv_str_starts(SV_STR(""), "") && sv_str_ends(SV_STR(""), ""));
    assert_int_equal(sv_str_of(NULL).n, 0);
}

static void test_a_buffer_is_always_terminated(void **state)
{
    (void)state;
    sv_bytes b = { 0 };
    for (int i = 0; i < 300; i++) {
        sv_bytes_char(&b, (char)('a' + i % 26));
        assert_int_equal(b.p[b.n], 0);
    }
    sv_bytes_printf(&b, "%d%s", 17, "xyz");
    assert_int_equal(b.n, 305);
    assert_string_equal(b.p + 300, "17xyz");
    sv_bytes_clear(&b);
    assert_string_equal(b.p, "");
    sv_bytes_text(&b, "end");
    assert_string_equal(b.p, "end");
    sv_bytes_done(&b);
    assert_null(b.p);
    sv_bytes_add(&b, NULL, 0);
    assert_string_equal(b.p, "");
    sv_bytes_done(&b);
}

static void test_a_buffer_may_be_added_to_itself(void **state)
{
    (void)state;
    sv_bytes b = { 0 };
    sv_bytes_text(&b, "ab");
    for (int i = 0; i < 10; i++)
        sv_bytes_add(&b, b.p, b.n);
    assert_int_equal(b.n, 2048);
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(b.p[i], i % 2 ? 'b' : 'a');
    sv_bytes_done(&b);
}

static void test_every_code_point_is_read_as_it_was_written(void **state)
{
    (void)state;
    char c[4];
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp == 0xd800)
            cp = 0xe000;
        size_t used, n = sv_utf8_put(cp, c);
        if (sv_utf8_next(c, n, &used) != cp || used != n || !sv_utf8_valid(c, n, NULL) || sv_utf8_tail(c, n) != 0)
            fail_msg("U+%04X", cp);
        if (n != (cp < 0x80 ? 1u : cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u))
            fail_msg("U+%04X has %zu bytes", cp, n);
        for (size_t k = 1; k < n; k++)
            if (sv_utf8_next(c, k, &used) != SV_UTF8_BAD || used != k || sv_utf8_tail(c, k) != k)
                fail_msg("U+%04X cut to %zu bytes", cp, k);
    }
}

/* A second statement of Unicode 15.0 table 3-7, by values instead of ranges: what three bytes may begin with. */
static bool is_well_formed(const unsigned char *s, size_t n)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    while (n) {
        size_t k = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
        if (k == 0 || k > n)
            return false;
        uint32_t cp = k == 1 ? s[0] : s[0] & (0x7fu >> k);
        for (size_t i = 1; i < k; i++) {
            if (s[i] >> 6 != 2)
                return false;
            cp = cp << 6 | (s[i] & 63u);
        }
        if (cp < least[k] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
            return false;
        s += k;
        n -= k;
    }
    return true;
}

static void test_validity_of_all_sequences_of_three_bytes_follows_the_table(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        unsigned char s[3] = { (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v };
        if (sv_utf8_valid((char *)s, 3, NULL) != is_well_formed(s, 3))
            fail_msg("%02x %02x %02x", s[0], s[1], s[2]);
    }
}

static void test_invalid_parts_have_the_lengths_that_unicode_gives(void **state)
{
    (void)state;
    /* Unicode 15.0 tables 3-8 to 3-11, and the usual attacks. */
    static const struct {
        const char *bytes;
        size_t n, used;
    } rows[] = {
        { "\xc0\xaf", 2, 1 },
        { "\xe0\x80\xbf", 3, 1 },
        { "\xf0\x81\x82\x41", 4, 1 },
        { "\xed\xa0\x80", 3, 1 },
        { "\xed\xbf\xbf\xed", 4, 1 },
        { "\xf4\x91\x92\x93", 4, 1 },
        { "\xff\x41", 2, 1 },
        { "\x80", 1, 1 },
        { "\xe1\x80\xe2", 3, 2 },
        { "\xf0\x91\x92\xf1", 4, 3 },
        { "\xf1\xbf\x41", 3, 2 },
        { "\xc2", 1, 1 },
        { "\xe2\x82", 2, 2 },
        { "\xf5\x80\x80\x80", 4, 1 },
        { "\xc1\xbf", 2, 1 },
        { "\xf0\x9f\x98", 3, 3 },
        { "\xf8\x88\x80\x80\x80", 5, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t used;
        assert_int_equal(sv_utf8_next(rows[i].bytes, rows[i].n, &used), SV_UTF8_BAD);
        assert_int_equal(used, rows[i].used);
    }
}

static void test_validity_names_the_first_fault(void **state)
{
    (void)state;
    size_t at = 0;
    assert_false(sv_utf8_valid("0123456789abcdef\xc3\xa6\xc3 tail", 24, &at));
    assert_int_equal(at, 18);
    assert_false(sv_utf8_valid("01234567\xed\xa0\x80", 11, &at));
    assert_int_equal(at, 8);
    assert_true(sv_utf8_valid("", 0, &at));
}

static void test_tail_is_only_what_may_still_become_a_character(void **state)
{
    (void)state;
    assert_int_equal(sv_utf8_tail("", 0), 0);
    assert_int_equal(sv_utf8_tail("ab", 2), 0);
    assert_int_equal(sv_utf8_tail("a\xe2\x82", 3), 2);
    assert_int_equal(sv_utf8_tail("a\xf0\x9f\x98", 4), 3);
    assert_int_equal(sv_utf8_tail("\xe2\x82\xac", 3), 0);
    assert_int_equal(sv_utf8_tail("\xed\xa0", 2), 0);
    assert_int_equal(sv_utf8_tail("\xe0\x80", 2), 0);
    assert_int_equal(sv_utf8_tail("\x82\x82\x82\x82", 4), 0);
    assert_int_equal(sv_utf8_tail("\xc2\xa0\xc3", 3), 1);
    assert_int_equal(sv_utf8_tail("\xff", 1), 0);
}

static void test_quote_escapes_and_cuts(void **state)
{
    (void)state;
    assert_string_equal(sv_str_quote(SV_STR("ab\n\x1b[0m\xff\0z")), "ab\\x0a\\x1b[0m\\xff\\x00z");
    char longer[200];
    memset(longer, '\xff', sizeof longer);
    const char *q = sv_str_quote((sv_str){ longer, sizeof longer });
    assert_int_equal(strlen(q), 80 * 4 + 3);
    assert_string_equal(q + 320, "...");
    const char *a = sv_str_quote(SV_STR("a")), *b = sv_str_quote(SV_STR("b"));
    const char *c = sv_str_quote(SV_STR("c")), *d = sv_str_quote(SV_STR("d"));
    assert_true(*a == 'a' && *b == 'b' && *c == 'c' && *d == 'd');
}

static void test_numbers_are_whole_strings_that_fit(void **state)
{
    (void)state;
    uint64_t u = 5;
    int64_t i = 5;
    double f = 5;
    assert_true(sv_str_u64(SV_STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(sv_str_u64(SV_STR("0"), &u) && u == 0);
    static const char *const no_u64[] = { "",    "18446744073709551616", "-1", "+1", " 1", "1 ", "0x10",
                                          "1.0", "99999999999999999999" };
    for (size_t k = 0; k < sizeof no_u64 / sizeof no_u64[0]; k++)
        assert_false(sv_str_u64(sv_str_of(no_u64[k]), &u));
    assert_true(sv_str_i64(SV_STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(sv_str_i64(SV_STR("9223372036854775807"), &i) && i == INT64_MAX);
    assert_false(sv_str_i64(SV_STR("9223372036854775808"), &i));
    assert_false(sv_str_i64(SV_STR("-9223372036854775809"), &i));
    assert_false(sv_str_i64(SV_STR("-"), &i));
    assert_true(sv_str_f64(SV_STR("-1.5e-3"), &f) && f == -1.5e-3);
    assert_true(sv_str_f64(SV_STR("3"), &f) && f == 3);
    static const char *const no_f64[] = {
        "", "inf", "nan", "0x1p3", " 1", "1 ", "1e999", "-", ".", "1e", "1,5", "1.0.0"
    };
    for (size_t k = 0; k < sizeof no_f64 / sizeof no_f64[0]; k++)
        assert_false(sv_str_f64(sv_str_of(no_f64[k]), &f));
    assert_false(sv_str_f64(SV_STR("1\0002"), &f));
    assert_true(f == 3);
}

static void test_nearest_suggests_only_near_words(void **state)
{
    (void)state;
    static const char *const words[] = { "train", "serve", "score", "run" };
    assert_string_equal(sv_str_nearest("trian", words, 4), "train");
    assert_string_equal(sv_str_nearest("serv", words, 4), "serve");
    assert_string_equal(sv_str_nearest("run", words, 4), "run");
    assert_null(sv_str_nearest("quantise", words, 4));
    assert_null(sv_str_nearest("xy", words, 4));
    assert_null(sv_str_nearest("train", words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_compare_by_bytes),
        cmocka_unit_test(test_a_buffer_is_always_terminated),
        cmocka_unit_test(test_a_buffer_may_be_added_to_itself),
        cmocka_unit_test(test_every_code_point_is_read_as_it_was_written),
        cmocka_unit_test(test_validity_of_all_sequences_of_three_bytes_follows_the_table),
        cmocka_unit_test(test_invalid_parts_have_the_lengths_that_unicode_gives),
        cmocka_unit_test(test_validity_names_the_first_fault),
        cmocka_unit_test(test_tail_is_only_what_may_still_become_a_character),
        cmocka_unit_test(test_quote_escapes_and_cuts),
        cmocka_unit_test(test_numbers_are_whole_strings_that_fit),
        cmocka_unit_test(test_nearest_suggests_only_near_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
