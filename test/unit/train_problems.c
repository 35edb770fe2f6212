/* SPDX-License-Identifier: Apache-2.0
 * Problems of a file: the keys that are taken, prompts made for countdown, faults counted, rows left out.
 */
#include "train/problems.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/samsvar-problems-XXXXXX";

static sv_err open_text(const char *text, const char *verifier, uint64_t max, bool skip, sv_problems **out)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return sv_problems_open(path, verifier ? sv_verifier_find(verifier) : NULL, max, skip, out);
}

static sv_problems *need(const char *text, const char *verifier, uint64_t max)
{
    sv_problems *p;
    if (open_text(text, verifier, max, true, &p) != SV_OK)
        fail_msg("%s", sv_err_text());
    return p;
}

static void expect_text(const sv_problems *p, uint32_t i, const char *text)
{
    sv_str t = sv_problem_text(&p->item[i]);
    assert_int_equal(t.n, strlen(text));
    assert_memory_equal(t.p, text, t.n);
}

static void test_prompts_and_gold_go_by_their_usual_names(void **state)
{
    (void)state;
    sv_problems *p =
        need("{\"prompt\":\"a\",\"gold\":1}\n"
             "{\"question\":\"b\",\"answer\":\"2\"}\r\n\n"
             "{\"problem\":\"c\",\"solution\":\"so \\\\boxed{3}\",\"answer\":null}\n"
             "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"d\"}],"
             "\"ground_truth\":\"4\"}\n",
             "math", 0);
    assert_int_equal(p->n, 4);
    expect_text(p, 0, "a");
    expect_text(p, 1, "b");
    expect_text(p, 2, "c");
    expect_text(p, 3, "d");
    assert_int_equal(p->item[3].line, 5);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(p->item[i].gold.has_value);
        assert_true(p->item[i].gold.value.item[0].num == i + 1);
    }
    assert_int_equal(json_array_size(p->item[3].messages), 2);
    sv_problems_close(p);
}

static void test_countdown_rows_need_no_prompt(void **state)
{
    (void)state;
    sv_problems *p = need("{\"target\":24,\"nums\":[3,3,8,8]}\n{\"target\":5,\"numbers\":[2,3],\"prompt\":\"go\"}\n",
                          "countdown", 0);
    sv_str t = sv_problem_text(&p->item[0]);
    assert_memory_equal(t.p, "Using the numbers [3, 3, 8, 8], create an expression that equals 24.", 67);
    expect_text(p, 1, "go");
    sv_problems_close(p);
}

static void test_rows_may_name_their_verifier(void **state)
{
    (void)state;
    const char *text = "{\"prompt\":\"a\",\"gold\":\"B\",\"verifier\":\"choice\"}\n"
                       "{\"prompt\":\"b\",\"gold\":\"x\",\"verifier\":\"exact\"}\n";
    sv_problems *p = need(text, NULL, 0);
    assert_string_equal(sv_verifier_name(p->item[0].verifier), "choice");
    assert_string_equal(sv_verifier_name(p->item[1].verifier), "exact");
    sv_problems_close(p);
    p = need(text, "exact", 1);
    assert_int_equal(p->n, 1);
    assert_string_equal(sv_verifier_name(p->item[0].verifier), "exact");
    sv_problems_close(p);
}

static void test_unsupported_gold_is_left_out_or_an_error(void **state)
{
    (void)state;
    const char *text = "{\"prompt\":\"a\",\"gold\":\"x\"}\n{\"prompt\":\"b\",\"gold\":\"7\"}\n";
    sv_problems *p = need(text, "number", 0);
    assert_int_equal(p->n, 1);
    assert_int_equal(p->n_unsupported, 1);
    sv_problems_close(p);
    assert_int_equal(open_text(text, "number", 0, false, &p), SV_E_UNSUPPORTED);
    assert_non_null(strstr(sv_err_text(), ":1: verifier number does not cover"));
    assert_int_equal(open_text("{\"prompt\":\"a\",\"gold\":\"x\"}\n", "number", 0, true, &p), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "whose gold answer the verifier covers"));
}

static void test_faults_are_counted_and_the_first_is_named(void **state)
{
    sv_problems *p;
    (void)state;
    assert_int_equal(open_text("{\"prompt\":\"a\",\"gold\":\"#### 1\"}\n"
                               "{\"prompt\":\"\",\"gold\":\"#### 1\"}\n"
                               "not json\n"
                               "{\"prompt\":[{\"role\":\"assistant\",\"content\":\"x\"}],\"gold\":\"#### 1\"}\n",
                               "gsm8k", 0, true, &p),
                     SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), ":2: no prompt"));
    assert_non_null(strstr(sv_err_text(), "3 of 4 rows have such a fault"));
    assert_int_equal(open_text("{\"prompt\":\"a\",\"gold\":\"1\"}\n", NULL, 0, true, &p), SV_E_ARG);
    assert_int_equal(open_text("", "exact", 0, true, &p), SV_E_FORMAT);
    assert_int_equal(sv_problems_open("/tmp/samsvar-no-such-file", sv_verifier_find("exact"), 0, true, &p),
                     SV_E_NOTFOUND);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}
static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts_and_gold_go_by_their_usual_names),
        cmocka_unit_test(test_countdown_rows_need_no_prompt),
        cmocka_unit_test(test_rows_may_name_their_verifier),
        cmocka_unit_test(test_unsupported_gold_is_left_out_or_an_error),
        cmocka_unit_test(test_faults_are_counted_and_the_first_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
