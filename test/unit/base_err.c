/* SPDX-License-Identifier: Apache-2.0
 * base/err: the sentence of the last failure, its limits, and the tables of codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"
#include "base/thread.h"

static void test_fail_keeps_the_sentence_and_gives_the_code_back(void **state)
{
    (void)state;
    assert_int_equal(sv_fail(SV_E_SHAPE, "rmsnorm: gain has %d items", 7), SV_E_SHAPE);
    assert_string_equal(sv_err_text(), "rmsnorm: gain has 7 items");
}

static void test_fail_may_quote_the_sentence_that_it_replaces(void **state)
{
    (void)state;
    sv_fail(SV_E_IO, "inner");
    sv_fail(SV_E_IO, "outer (%s)", sv_err_text());
    assert_string_equal(sv_err_text(), "outer (inner)");
}

static void test_fail_in_puts_words_in_front(void **state)
{
    (void)state;
    sv_fail(SV_E_FORMAT, "header is cut");
    assert_int_equal(sv_fail_in(SV_E_FORMAT, "model-%d.safetensors", 2), SV_E_FORMAT);
    assert_string_equal(sv_err_text(), "model-2.safetensors: header is cut");
    sv_fail_in(SV_E_FORMAT, "load: ");
    assert_string_equal(sv_err_text(), "load: model-2.safetensors: header is cut");
    sv_fail_in(SV_E_FORMAT, "run:");
    assert_string_equal(sv_err_text(), "run: load: model-2.safetensors: header is cut");
}

static void test_a_long_sentence_is_cut_at_a_character(void **state)
{
    (void)state;
    char *text = malloc(6001);
    for (int i = 0; i < 2000; i++)
        memcpy(text + 3 * i, "\xe2\x82\xac", 3);
    text[6000] = '\0';
    for (int shift = 0; shift < 3; shift++) {
        sv_fail(SV_E_IO, "%.*s%s", shift, "ab", text);
        size_t n = strlen(sv_err_text());
        assert_in_range(n, 2030, 2047);
        assert_true(sv_utf8_valid(sv_err_text(), n, NULL));
        assert_string_equal(sv_err_text() + n - 3, "...");
        sv_fail_in(SV_E_IO, "front");
        n = strlen(sv_err_text());
        assert_in_range(n, 2030, 2047);
        assert_true(sv_utf8_valid(sv_err_text(), n, NULL));
        assert_memory_equal(sv_err_text(), "front: ", 7);
    }
    free(text);
}

static void fail_elsewhere(void *arg)
{
    *(bool *)arg = sv_err_text()[0] == '\0';
    sv_fail(SV_E_IO, "of the other thread");
}

static void test_the_sentence_belongs_to_its_thread(void **state)
{
    (void)state;
    sv_fail(SV_E_IO, "of this thread");
    bool began_empty = false;
    sv_thread *t;
    assert_int_equal(sv_thread_start("err", fail_elsewhere, &began_empty, &t), SV_OK);
    sv_thread_join(t);
    assert_true(began_empty);
    assert_string_equal(sv_err_text(), "of this thread");
}

static void test_every_code_has_name_meaning_and_exit_code(void **state)
{
    (void)state;
#define CHECK(name, value, exit_code, text) \
    assert_string_equal(sv_err_name(SV_E_##name), #name); \
    assert_string_equal(sv_err_meaning(SV_E_##name), text); \
    assert_int_equal(sv_err_exit_code(SV_E_##name), exit_code); \
    assert_int_equal(SV_E_##name, value);
    SV_ERR_LIST(CHECK)
#undef CHECK
    assert_string_equal(sv_err_name(SV_OK), "OK");
    assert_int_equal(sv_err_exit_code(SV_OK), 0);
}

static void test_an_unknown_code_has_words_and_exit_code_1(void **state)
{
    (void)state;
    sv_err odd = (sv_err)-15000;
    assert_non_null(sv_err_name(odd));
    assert_non_null(sv_err_meaning(odd));
    assert_int_equal(sv_err_exit_code(odd), 1);
}

static sv_err tries(sv_err first)
{
    SV_TRY(first);
    return SV_E_ARG;
}

static void test_try_returns_the_failure_and_goes_on_after_ok(void **state)
{
    (void)state;
    assert_int_equal(tries(SV_E_LIMIT), SV_E_LIMIT);
    assert_int_equal(tries(SV_OK), SV_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_keeps_the_sentence_and_gives_the_code_back),
        cmocka_unit_test(test_fail_may_quote_the_sentence_that_it_replaces),
        cmocka_unit_test(test_fail_in_puts_words_in_front),
        cmocka_unit_test(test_a_long_sentence_is_cut_at_a_character),
        cmocka_unit_test(test_the_sentence_belongs_to_its_thread),
        cmocka_unit_test(test_every_code_has_name_meaning_and_exit_code),
        cmocka_unit_test(test_an_unknown_code_has_words_and_exit_code_1),
        cmocka_unit_test(test_try_returns_the_failure_and_goes_on_after_ok),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
