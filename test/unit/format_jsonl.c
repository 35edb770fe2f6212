/* SPDX-License-Identifier: Apache-2.0
 * JSON lines: rows, places of faults, limits one below, at, above.
 */
#include "format/jsonl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static sv_jsonl *open_text(const char *text, size_t n)
{
    sv_jsonl *r;
    assert_int_equal(sv_jsonl_open_bytes((sv_str){ text, n }, "d.jsonl", &r), SV_OK);
    return r;
}

#define OPEN(literal) open_text(literal, sizeof(literal) - 1)

static void expect_row(sv_jsonl *r, uint64_t number, uint64_t offset, json_int_t k)
{
    sv_jsonl_line line;
    json_t *v;
    assert_int_equal(sv_jsonl_next(r, &line, &v), SV_OK);
    assert_non_null(v);
    assert_true(line.number == number && line.offset == offset);
    assert_true(json_integer_value(json_object_get(v, "k")) == k);
    json_decref(v);
}

static void expect_end(sv_jsonl *r)
{
    sv_jsonl_line line;
    json_t *v;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sv_jsonl_next(r, &line, &v), SV_OK);
        assert_null(v);
        assert_null(line.text.p);
    }
}

static void test_rows_come_with_line_and_offset_and_empty_lines_are_counted(void **state)
{
    (void)state;
    sv_jsonl *r = OPEN("{\"k\":1}\n\n{\"k\":2}\r\n\r\n \t\n {\"k\":3} \n{\"k\":4}");
    expect_row(r, 1, 0, 1);
    expect_row(r, 3, 9, 2);
    expect_row(r, 6, 23, 3);
    expect_row(r, 7, 33, 4);
    expect_end(r);
    assert_true(sv_jsonl_lines(r) == 7 && sv_jsonl_empty(r) == 3);
    sv_jsonl_close(r);
}

static void test_no_bytes_and_only_line_ends_are_no_rows(void **state)
{
    (void)state;
    sv_jsonl *r = OPEN("");
    expect_end(r);
    assert_true(sv_jsonl_lines(r) == 0);
    sv_jsonl_close(r);
    r = OPEN("\n\r\n");
    expect_end(r);
    assert_true(sv_jsonl_lines(r) == 2 && sv_jsonl_empty(r) == 2);
    sv_jsonl_close(r);
}

typedef struct bad_row {
    const char *text;
    size_t n;
    sv_err want;
    const char *place; /* the sentence's start; NULL: file and line alone */
} bad_row;

#define BAD(literal, want, place) \
    { \
        literal, sizeof(literal) - 1, want, place \
    }

static const bad_row bad[] = {
    BAD("[1]", SV_E_FORMAT, "d.jsonl:2:1: "),
    BAD("  7", SV_E_FORMAT, "d.jsonl:2:3: "),
    BAD("text", SV_E_FORMAT, "d.jsonl:2:1: "),
    BAD("{\"a\":1", SV_E_FORMAT, NULL),
    BAD("{\"a\":}", SV_E_FORMAT, "d.jsonl:2:6: "),
    BAD("{\"a\":1}}", SV_E_FORMAT, "d.jsonl:2:8: "),
    BAD("{\"a\":1}{\"a\":1}", SV_E_FORMAT, NULL),
    BAD("{\"a\":1,\"a\":2}", SV_E_FORMAT, NULL),
    BAD("{\"a\":1e999}", SV_E_FORMAT, NULL),
    BAD("{\"a\":12345678901234567890}", SV_E_FORMAT, NULL),
    BAD("{\"a\":\"\xff\"}", SV_E_FORMAT, "d.jsonl:2:7: "),
    BAD("{\"a\":\"\xed\xa0\x80\"}", SV_E_FORMAT, "d.jsonl:2:7: "),
    BAD("{\"a\":\"\0\"}", SV_E_FORMAT, "d.jsonl:2:7: "),
    BAD("{\"a\":\"\\u0000\"}", SV_E_FORMAT, NULL),
    BAD("{\"a\":\"\\ud800\"}", SV_E_FORMAT, NULL),
    BAD("\xef\xbb\xbf{\"a\":1}", SV_E_FORMAT, "d.jsonl:2:1: "),
    BAD("{'a':1}", SV_E_FORMAT, "d.jsonl:2:2: "),
    BAD("{\"a\":NaN}", SV_E_FORMAT, NULL),
    BAD("{\"a\":\"\r\"}", SV_E_FORMAT, NULL),
};

static void test_faults_name_file_line_and_column_and_reading_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sv_bytes b = { 0 };
        sv_jsonl_line line;
        json_t *v;
        sv_bytes_text(&b, "{\"k\":1}\n");
        sv_bytes_add(&b, bad[i].text, bad[i].n);
        sv_bytes_text(&b, "\n{\"k\":3}");
        sv_jsonl *r = open_text(b.p, b.n);
        expect_row(r, 1, 0, 1);
        sv_err e = sv_jsonl_next(r, &line, &v);
        const char *place = bad[i].place ? bad[i].place : "d.jsonl:2:";
        if (e != bad[i].want || strncmp(sv_err_text(), place, strlen(place)) != 0)
            fail_msg("row %zu: %s: %s", i, sv_err_name(e), sv_err_text());
        assert_null(v);
        assert_int_equal(line.text.n, bad[i].n);
        expect_row(r, 3, 9 + bad[i].n, 3);
        expect_end(r);
        sv_jsonl_close(r);
        sv_bytes_done(&b);
    }
}

static sv_err try_depth(int depth)
{
    sv_bytes b = { 0 };
    sv_jsonl_line line;
    json_t *v;
    sv_bytes_text(&b, "{\"a\":");
    for (int i = 1; i < depth; i++)
        sv_bytes_char(&b, '[');
    for (int i = 1; i < depth; i++)
        sv_bytes_char(&b, ']');
    sv_bytes_text(&b, depth > 1 ? "}" : "1}");
    sv_jsonl *r = open_text(b.p, b.n);
    sv_err e = sv_jsonl_next(r, &line, &v);
    json_decref(v);
    sv_jsonl_close(r);
    sv_bytes_done(&b);
    return e;
}

static void test_r18_depth_ends_at_32(void **state)
{
    (void)state;
    assert_int_equal(try_depth(31), SV_OK);
    assert_int_equal(try_depth(32), SV_OK);
    assert_int_equal(try_depth(33), SV_E_LIMIT);
    assert_int_equal(strncmp(sv_err_text(), "d.jsonl:1:", 10), 0);
    assert_int_equal(try_depth(60000), SV_E_LIMIT);
}

static sv_err try_line(size_t n, const char *end)
{
    sv_bytes b = { 0 };
    sv_jsonl_line line;
    json_t *v;
    char *s = malloc(n);
    memset(s, 'x', n);
    memcpy(s, "{\"k\":\"", 6);
    memcpy(s + n - 2, "\"}", 2);
    sv_bytes_add(&b, s, n);
    free(s);
    sv_bytes_text(&b, end);
    sv_jsonl *r = open_text(b.p, b.n);
    sv_err e = sv_jsonl_next(r, &line, &v);
    json_decref(v);
    if (e != SV_OK)
        assert_true(line.number == 1 && line.text.n == n);
    expect_end(r);
    sv_jsonl_close(r);
    sv_bytes_done(&b);
    return e;
}

static void test_lines_end_at_16_mib_without_their_line_end(void **state)
{
    (void)state;
    static const char *const end[] = { "", "\n", "\r\n" };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_line(SV_JSONL_MAX_LINE - 1, end[i]), SV_OK);
        assert_int_equal(try_line(SV_JSONL_MAX_LINE, end[i]), SV_OK);
        assert_int_equal(try_line(SV_JSONL_MAX_LINE + 1, end[i]), SV_E_LIMIT);
    }
}

static void test_a_row_is_read_again_by_its_view(void **state)
{
    (void)state;
    sv_jsonl *r = OPEN("{\"k\":1}\n\n{\"k\":2}\n");
    sv_jsonl_line line[2], end;
    json_t *v;
    assert_int_equal(sv_jsonl_skim(r, &line[0]), SV_OK);
    assert_int_equal(sv_jsonl_skim(r, &line[1]), SV_OK);
    assert_int_equal(sv_jsonl_skim(r, &end), SV_OK);
    assert_null(end.text.p);
    for (int i = 1; i >= 0; i--) {
        assert_int_equal(sv_jsonl_parse(r, &line[i], &v), SV_OK);
        assert_true(json_integer_value(json_object_get(v, "k")) == i + 1);
        json_decref(v);
    }
    sv_jsonl_close(r);
}

static void test_files_and_standard_input_are_read_alike(void **state)
{
    (void)state;
    char path[] = "/tmp/samsvar-jsonl-XXXXXX";
    sv_jsonl *r;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"k\":1}\n{\"k\":2}\n", 16), 16);
    close(fd);
    assert_int_equal(sv_jsonl_open(path, &r), SV_OK);
    assert_string_equal(sv_jsonl_name(r), path);
    assert_int_equal(sv_jsonl_bytes(r).n, 16);
    expect_row(r, 1, 0, 1);
    expect_row(r, 2, 8, 2);
    expect_end(r);
    sv_jsonl_close(r);
    assert_non_null(freopen(path, "r", stdin));
    assert_int_equal(sv_jsonl_open("-", &r), SV_OK);
    expect_row(r, 1, 0, 1);
    expect_row(r, 2, 8, 2);
    expect_end(r);
    sv_jsonl_close(r);
    unlink(path);
    assert_int_equal(sv_jsonl_open(path, &r), SV_E_NOTFOUND);
    assert_int_equal(sv_jsonl_open("x.jsonl.gz", &r), SV_E_UNSUPPORTED);
    assert_int_equal(sv_jsonl_open("x.jsonl.zst", &r), SV_E_UNSUPPORTED);
    assert_non_null(strstr(sv_err_text(), "zstdcat"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_with_line_and_offset_and_empty_lines_are_counted),
        cmocka_unit_test(test_no_bytes_and_only_line_ends_are_no_rows),
        cmocka_unit_test(test_faults_name_file_line_and_column_and_reading_goes_on),
        cmocka_unit_test(test_r18_depth_ends_at_32),
        cmocka_unit_test(test_lines_end_at_16_mib_without_their_line_end),
        cmocka_unit_test(test_a_row_is_read_again_by_its_view),
        cmocka_unit_test(test_files_and_standard_input_are_read_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
