/* SPDX-License-Identifier: Apache-2.0
 * base/json: what is refused and how it is said, typed members, quoting, numbers.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#define TEXT(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }
#define PARSE(text, out) sv_json_parse(SV_STR(text), &sv_json_file_limits, "t.json", (out))

static void test_bad_texts_are_refused_with_a_place(void **state)
{
    (void)state;
    static const struct {
        sv_str text;
        const char *says;
    } rows[] = {
        { TEXT(""), "t.json:1:" },
        { TEXT("{\"a\":1,\n \"a\":2}"), "t.json:2:" },
        { TEXT("{\"a\":{\"b\":1,\"b\":1}}"), "duplicate" },
        { TEXT("\xef\xbb\xbf{}"), "t.json:1:1: begins with a byte order mark" },
        { TEXT("{\n\"a\": \"\xff\"}"), "t.json:2:7: the bytes \\xff" },
        { TEXT("{\"a\": \"\xed\xa0\x80\"}"), "not UTF-8" },
        { TEXT("{}\0"), "t.json:1:3: a NUL byte" },
        { TEXT("{\"a\":\"\\u0000\"}"), "\\u0000" },
        { TEXT("{} {}"), "t.json:1:" },
        { TEXT("{}x"), "t.json:1:" },
        { TEXT("3"), "t.json:1:" },
        { TEXT("\"text\""), "t.json:1:" },
        { TEXT("{\"a\":1,}"), "t.json:1:" },
        { TEXT("[1,2"), "t.json:1:" },
        { TEXT("[\"\\ud800\"]"), "t.json:1:" },
        { TEXT("[NaN]"), "t.json:1:" },
        { TEXT("[1e999]"), "t.json:1:" },
        { TEXT("[99999999999999999999]"), "t.json:1:" },
        { TEXT("[01]"), "t.json:1:" },
        { TEXT("[\"\\"), "t.json:1:" },
        { TEXT("]]]"), "t.json:1:" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *v = NULL;
        assert_int_equal(sv_json_parse(rows[i].text, &sv_json_file_limits, "t.json", &v), SV_E_FORMAT);
        assert_null(v);
        if (!strstr(sv_err_text(), rows[i].says))
            fail_msg("row %zu: \"%s\" does not say \"%s\"", i, sv_err_text(), rows[i].says);
    }
}

static void test_depth_is_limited_before_the_parser(void **state)
{
    (void)state;
    json_t *v;
    sv_bytes b = { 0 };
    for (uint32_t depth = 31; depth <= 33; depth++) {
        sv_bytes_clear(&b);
        for (uint32_t i = 0; i < depth; i++)
            sv_bytes_text(&b, i % 2 ? "{\"a\":" : "[");
        sv_bytes_text(&b, "0");
        for (uint32_t i = depth; i-- > 0;)
            sv_bytes_char(&b, i % 2 ? '}' : ']');
        sv_err e = sv_json_parse((sv_str){ b.p, b.n }, &sv_json_file_limits, "t.json", &v);
        assert_int_equal(e, depth <= 32 ? SV_OK : SV_E_LIMIT);
        json_decref(v);
    }
    assert_non_null(strstr(sv_err_text(), "t.json:1:"));
    sv_bytes_clear(&b);
    for (uint32_t i = 0; i < 1000000; i++)
        sv_bytes_char(&b, '[');
    assert_int_equal(sv_json_parse((sv_str){ b.p, b.n }, &sv_json_file_limits, "t.json", &v), SV_E_LIMIT);
    sv_bytes_done(&b);
    /* Brackets in texts do not count, also behind escaped quotes; brothers do not add up. */
    sv_json_limits two = { 1000, 2 };
    assert_int_equal(sv_json_parse(SV_STR("[\"\\\"[[[[\\\\\",[1],[2],{\"[{[{\":3}]"), &two, "t.json", &v), SV_OK);
    json_decref(v);
}

static void test_length_is_limited(void **state)
{
    (void)state;
    json_t *v;
    sv_json_limits ten = { 10, 4 };
    assert_int_equal(sv_json_parse(SV_STR("[       ]"), &ten, "t.json", &v), SV_OK);
    json_decref(v);
    assert_int_equal(sv_json_parse(SV_STR("[         ]"), &ten, "t.json", &v), SV_E_LIMIT);
    assert_non_null(strstr(sv_err_text(), "t.json: 11 bytes of JSON, at most 10"));
}

static void test_members_are_typed_and_ranged(void **state)
{
    (void)state;
    json_t *o;
    assert_int_equal(
        PARSE("{\"n\":7,\"neg\":-1,\"big\":5000000000,\"r\":0.5,\"t\":\"text\",\"b\":true,\"z\":null,\"l\":[]}", &o),
        SV_OK);
    uint32_t u;
    double f;
    bool b;
    const char *t;
    assert_true(sv_json_u32(o, "n", 1, 8, 3, "c", &u) == SV_OK && u == 7);
    assert_true(sv_json_u32(o, "none", 1, 8, 3, "c", &u) == SV_OK && u == 3);
    assert_true(sv_json_u32(o, "z", 1, 8, 3, "c", &u) == SV_OK && u == 3);
    assert_true(sv_json_u32(NULL, "n", 1, 8, 3, "c", &u) == SV_OK && u == 3);
    assert_int_equal(sv_json_u32(o, "n", 1, 6, 3, "config.json", &u), SV_E_FORMAT);
    assert_string_equal(sv_err_text(), "config.json: n is 7, allowed are whole numbers from 1 to 6; correct the file");
    assert_int_equal(u, 3);
    assert_int_equal(sv_json_u32(o, "neg", 0, UINT32_MAX, 3, "c", &u), SV_E_FORMAT);
    assert_int_equal(sv_json_u32(o, "big", 0, UINT32_MAX, 3, "c", &u), SV_E_FORMAT);
    assert_int_equal(sv_json_u32(o, "r", 0, 9, 3, "c", &u), SV_E_FORMAT);
    assert_int_equal(sv_json_u32(o, "t", 0, 9, 3, "c", &u), SV_E_FORMAT);
    assert_int_equal(sv_json_u32(o, "b", 0, 9, 3, "c", &u), SV_E_FORMAT);
    assert_true(sv_json_need_u32(o, "n", 0, 9, "c", &u) == SV_OK && u == 7);
    assert_int_equal(sv_json_need_u32(o, "none", 0, 9, "config.json", &u), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "config.json: the key none is missing"));
    assert_int_equal(sv_json_need_u32(o, "z", 0, 9, "c", &u), SV_E_FORMAT);
    assert_true(sv_json_f64(o, "r", 0, 1, 2, "c", &f) == SV_OK && f == 0.5);
    assert_true(sv_json_f64(o, "n", 0, 9, 2, "c", &f) == SV_OK && f == 7);
    assert_true(sv_json_f64(o, "none", 0, 9, 2, "c", &f) == SV_OK && f == 2);
    assert_int_equal(sv_json_f64(o, "r", 1, 9, 2, "c", &f), SV_E_FORMAT);
    assert_int_equal(sv_json_f64(o, "t", 1, 9, 2, "c", &f), SV_E_FORMAT);
    assert_int_equal(sv_json_need_f64(o, "none", 1, 9, "c", &f), SV_E_FORMAT);
    assert_true(sv_json_bool(o, "b", false, "c", &b) == SV_OK && b);
    assert_true(sv_json_bool(o, "none", true, "c", &b) == SV_OK && b);
    assert_int_equal(sv_json_bool(o, "n", true, "c", &b), SV_E_FORMAT);
    assert_int_equal(sv_json_text(o, "t", "d", "c", &t), SV_OK);
    assert_string_equal(t, "text");
    assert_int_equal(sv_json_text(o, "none", "d", "c", &t), SV_OK);
    assert_string_equal(t, "d");
    assert_int_equal(sv_json_text(o, "l", "d", "config.json", &t), SV_E_FORMAT);
    assert_string_equal(sv_err_text(), "config.json: l is a list, a text is needed; correct the file");
    assert_int_equal(sv_json_need_text(o, "none", "c", &t), SV_E_FORMAT);
    assert_int_equal(sv_json_u32(sv_json_get(o, "l"), "n", 0, 9, 3, "c", &u), SV_E_FORMAT);
    assert_null(sv_json_get(o, "z"));
    assert_null(sv_json_get(NULL, "z"));
    json_decref(o);
}

static void test_quoted_text_reads_back(void **state)
{
    (void)state;
    sv_bytes b = { 0 };
    sv_json_quote(&b, SV_STR("a\"\\/\b\f\n\r\t\x01\x1f\x7f \xc3\xa6\xe2\x82\xac\xf0\x9f\x98\x80"));
    assert_string_equal(b.p, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f \xc3\xa6\xe2\x82\xac\xf0\x9f\x98\x80\"");
    sv_bytes_clear(&b);
    sv_json_quote(&b, SV_STR("\xff\xe2\x82x\xed\xa0\x80"));
    assert_string_equal(b.p, "\"\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    sv_bytes_clear(&b);
    sv_json_quote(&b, SV_STR("\0"));
    assert_string_equal(b.p, "\"\\u0000\"");
    sv_bytes_done(&b);
}

static void test_numbers_read_back_to_the_same_bits(void **state)
{
    (void)state;
    static const double v[] = { 0,       -0.0,    1,      -17,    0.1,       1.0 / 3,  1e22,   1e300,
                                DBL_MIN, DBL_MAX, 5e-324, 2.5e-5, 123456789, 1e15 + 1, 1 << 30 };
    sv_bytes b = { 0 };
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        json_t *o;
        sv_bytes_clear(&b);
        sv_bytes_char(&b, '[');
        sv_json_number(&b, v[i]);
        sv_bytes_char(&b, ']');
        assert_int_equal(sv_json_parse((sv_str){ b.p, b.n }, &sv_json_file_limits, "n", &o), SV_OK);
        double back = json_number_value(json_array_get(o, 0));
        assert_memory_equal(&back, &v[i], sizeof back);
        json_decref(o);
    }
    sv_bytes_clear(&b);
    sv_json_number(&b, 0.1);
    sv_json_number(&b, INFINITY);
    sv_json_number(&b, NAN);
    assert_string_equal(b.p, "0.1nullnull");
    sv_bytes_done(&b);
}

static void test_load_names_the_file(void **state)
{
    (void)state;
    char path[] = "/tmp/samsvar-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"a\":1}\n", 8), 8);
    close(fd);
    json_t *o;
    uint32_t u;
    assert_int_equal(sv_json_load(path, &sv_json_file_limits, &o), SV_OK);
    assert_true(sv_json_need_u32(o, "a", 0, 9, path, &u) == SV_OK && u == 1);
    json_decref(o);
    sv_json_limits few = { 4, 4 };
    assert_int_equal(sv_json_load(path, &few, &o), SV_E_LIMIT);
    assert_non_null(strstr(sv_err_text(), path));
    unlink(path);
    assert_int_equal(sv_json_load(path, &sv_json_file_limits, &o), SV_E_NOTFOUND);
    assert_null(o);
    assert_non_null(strstr(sv_err_text(), path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_texts_are_refused_with_a_place),
        cmocka_unit_test(test_depth_is_limited_before_the_parser),
        cmocka_unit_test(test_length_is_limited),
        cmocka_unit_test(test_members_are_typed_and_ranged),
        cmocka_unit_test(test_quoted_text_reads_back),
        cmocka_unit_test(test_numbers_read_back_to_the_same_bits),
        cmocka_unit_test(test_load_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
