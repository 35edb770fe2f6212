/* SPDX-License-Identifier: Apache-2.0
 * The parts of an answer: wherever the text is cut into tokens, thoughts, content and stops are the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "serve/cut.h"

typedef struct {
    const char *text, *think, *answer;
    bool in_thought, stopped;
} row;

static const char *const stops[] = { "END", "\n\nQ:" };

static const row rows[] = {
    { "plain", "", "plain", false, false },
    { "<think>\nwhy\n</think>\n\nbecause", "why", "because", false, false },
    { " \n<think>a</think>b", "a", "b", false, false },
    { "a\nb\n\n</think>\n\nc", "a\nb", "c", true, false },
    { "\n\n</think>\n\nc", "", "c", true, false },
    { "still thinking\n", "still thinking", "", true, false },
    { "<thin", "", "<thin", false, false },
    { "a <think> b </think>", "", "a <think> b </think>", false, false },
    { "<think>a</think>b<think>c</think>", "a", "b<think>c</think>", false, false },
    { "one ENtwo END three", "", "one ENtwo ", false, true },
    { "x\n\nQ: more", "", "x", false, true },
    { "<think>a END b</think>c", "a ", "", false, true },
    { "a </thi b", "a </thi b", "", true, false },
    { "EEND", "", "E", false, true },
    { "", "", "", false, false },
};

static void check(const row *r, size_t cut, size_t step)
{
    sv_cut c;
    sv_bytes think = { 0 }, answer = { 0 };
    size_t n = strlen(r->text);
    sv_cut_init(&c, stops, 2, false, true, r->in_thought);
    for (size_t at = 0; at < n;) {
        size_t k = at == 0 && cut > 0 ? cut : step;
        k = k < n - at ? k : n - at;
        sv_cut_put(&c, (sv_str){ r->text + at, k }, &think, &answer);
        at += k;
    }
    sv_cut_end(&c, &think, &answer);
    assert_string_equal(think.p ? think.p : "", r->think);
    assert_string_equal(answer.p ? answer.p : "", r->answer);
    assert_int_equal(c.stopped, r->stopped);
    sv_cut_done(&c);
    sv_bytes_done(&think);
    sv_bytes_done(&answer);
}

static void test_parts_do_not_depend_on_where_the_text_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t cut = 0; cut <= strlen(rows[i].text); cut++)
            for (size_t step = 1; step <= 4; step++)
                check(&rows[i], cut, step);
}

static void test_without_splitting_everything_is_content(void **state)
{
    (void)state;
    sv_cut c;
    sv_bytes think = { 0 }, answer = { 0 };
    sv_cut_init(&c, stops, 2, true, false, false);
    sv_cut_put(&c, SV_STR("\n<think>a</think> END b"), &think, &answer);
    sv_cut_end(&c, &think, &answer);
    assert_string_equal(answer.p, "\n<think>a</think> END");
    sv_cut_done(&c);
    sv_bytes_done(&think);
    sv_bytes_done(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_do_not_depend_on_where_the_text_is_cut),
        cmocka_unit_test(test_without_splitting_everything_is_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
