/* SPDX-License-Identifier: Apache-2.0
 * Verifiers: extraction and equality of each, gold that is off, and the tricks that once paid elsewhere.
 */
#include "train/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static sv_err read_gold(const char *verifier, const char *json, sv_arena *a, sv_gold *gold, bool *is_supported)
{
    json_t *row = json_loads(json, 0, NULL);
    assert_non_null(row);
    sv_err err = sv_gold_read(sv_verifier_find(verifier), row, "set.jsonl:7", a, gold, is_supported);
    json_decref(row);
    return err;
}

static sv_verdict judge(const char *verifier, const char *json, sv_str output, sv_extract how, sv_bytes *answer)
{
    sv_arena *a = sv_arena_make();
    sv_gold gold;
    bool is_supported;
    if (read_gold(verifier, json, a, &gold, &is_supported) != SV_OK)
        fail_msg("%s", sv_err_text());
    assert_true(is_supported);
    sv_verdict v = sv_verify(sv_verifier_find(verifier), &gold, output, true, false, how, answer);
    sv_arena_drop(a);
    return v;
}

typedef struct row {
    const char *gold, *output;
    sv_verdict verdict;
} row;

#define R SV_VERDICT_CORRECT
#define W SV_VERDICT_WELL_FORMED
#define M SV_VERDICT_MALFORMED
#define U SV_VERDICT_UNSUPPORTED
#define T SV_VERDICT_TRUNCATED

static void expect(const char *verifier, sv_extract how, const row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_pack("{s:s}", "gold", r[i].gold);
        char *json = json_dumps(o, 0);
        sv_verdict v = judge(verifier, json, sv_str_of(r[i].output), how, NULL);
        if (v != r[i].verdict)
            fail_msg("%s, gold '%s', output '%s': %s, expected %s", verifier, r[i].gold, r[i].output,
                     sv_verdict_name(v), sv_verdict_name(r[i].verdict));
        free(json);
        json_decref(o);
    }
}
#define EXPECT(verifier, how, ...) \
    do { \
        const row rows_[] = { __VA_ARGS__ }; \
        expect(verifier, how, rows_, sizeof rows_ / sizeof *rows_); \
    } while (0)

static void test_gsm8k_strict_takes_the_first_marked_number(void **state)
{
    (void)state;
    EXPECT("gsm8k", SV_EXTRACT_STRICT, { "6 + 12 = 18\n#### 18", "So 18.\n#### 18", R }, { "#### 18", "#### 18.", R },
           { "#### 18", "#### 18.00", R }, { "#### 1,234", "#### 1234", R }, { "#### 1234", "#### 1,234", R },
           { "#### -3", "#### -3", R }, { "#### 18", "#### 19", W }, { "#### 18", "#### 19 #### 18", W },
           { "#### 18", "####18", M }, { "#### 18", "18", M }, { "#### 18", "#### $18", M }, { "18", "#### 18", R },
           { "#### 18", "#### 1.8.0", U }, { "#### 18", "#### ", M }, { "#### 18", "<think>#### 18</think>", M },
           { "#### 18", "<think>#### 18", T }, { "#### 18", "<think>x</think>#### 18", R },
           { "#### 18", "#### \xd9\xa1\xd9\xa8", M }, { "#### 18", "#### 0000000000000000000018", U });
    EXPECT("gsm8k", SV_EXTRACT_TRAIN, { "#### 18", "#### 18", R }, { "#### 18", "#### 18\n#### 18", M });
}

static void test_gsm8k_flexible_takes_the_last_number(void **state)
{
    (void)state;
    EXPECT("gsm8k", SV_EXTRACT_FLEXIBLE, { "#### 18", "It is $18.", R }, { "#### 7", "so 07.$,", R },
           { "#### 18", "18 dollars, not 19", W }, { "#### 5", "the answer is 5", R },
           { "#### -5", "it is -5 degrees", R }, { "#### 1200", "$1,200.00", R },
           { "#### 18", "#### 18\nDone in 2 steps", W }, { "#### 18", "none", M }, { "#### 18", "v 1.2.3", U });
}

static void test_math_takes_the_last_box_and_normalises(void **state)
{
    (void)state;
    EXPECT("math", SV_EXTRACT_STRICT, { "\\frac{1}{2}", "so $\\boxed{\\frac{1}{2}}$.", R },
           { "\\frac{1}{2}", "\\boxed{\\dfrac12}", R }, { "\\frac{1}{2}", "\\boxed{1/2}", R },
           { "\\frac{1}{2}", "\\boxed{.5}", R }, { "\\frac{1}{2}", "\\boxed{0.50}", R },
           { "\\frac12", "\\boxed{x = \\tfrac{1}{2}}", R }, { "\\boxed{7}", "\\boxed{7}", R },
           { "50\\%", "\\boxed{50}", R }, { "10", "\\boxed{10\\text{ cm}}", R },
           { "10", "\\boxed{10\\mbox{ cm}^2}", R }, { "\\text{Evelyn}", "\\boxed{Evelyn}", R },
           { "\\text{(A)}", "\\boxed{(A)}", R }, { "90", "\\boxed{90^\\circ}", R }, { "1,000", "\\boxed{1000}", R },
           { "\\$32", "\\boxed{32}", R }, { "(1, 2)", "\\boxed{\\left( 1,2 \\right)}", R },
           { "(1, 2)", "\\boxed{(2,1)}", W }, { "\\{1, 2\\}", "\\boxed{\\{2,1\\}}", R },
           { "2\\sqrt{3}", "\\boxed{\\sqrt{12}}", R }, { "\\frac{\\sqrt3}{3}", "\\boxed{\\frac{1}{\\sqrt{3}}}", R },
           { "x^2+1", "\\boxed{x^2 + 1}", R }, { "x^2+1", "\\boxed{1+x^2}", W }, { "7", "\\boxed{8}\\boxed{7}", R },
           { "7", "\\boxed{7}\\boxed{8}", W }, { "7", "7", M }, { "7", "\\boxed{7", M }, { "7", "\\boxed{}", M },
           { "7", "\\boxed{\\boxed{7}}", R }, { "7", "<think>\\boxed{7}</think>none", M }, { "7", "\\boxed{ }", M },
           { "\\frac{1}{3}", "\\boxed{0.333333}", R }, { "\\frac{1}{3}", "\\boxed{0.3333}", W },
           { "3\\frac{1}{2}", "\\boxed{\\frac{7}{2}}", R }, { "[0,1)", "\\boxed{[0,1)}", R },
           { "[0,1)", "\\boxed{(0,1)}", W }, { "-\\frac{2}{3}", "\\boxed{\\frac{-2}{3}}", R });
    EXPECT("math", SV_EXTRACT_TRAIN, { "7", "\\boxed{8}\\boxed{7}", M }, { "7", "\\boxed{7}", R });
    EXPECT("aime", SV_EXTRACT_STRICT, { "025", "\\boxed{25}", R }, { "25", "\\boxed{025}", R });
}

static void test_number_compares_values_exactly(void **state)
{
    (void)state;
    EXPECT("number", SV_EXTRACT_STRICT, { "42", "<answer>42</answer>", R }, { "42", "<answer> 42.0 </answer>", R },
           { "42", "<answer>The result is 42 apples</answer>", R }, { "42", "<answer>40 or 42</answer>", U },
           { "42", "<answer>\\boxed{42}</answer>", R }, { "42", "\\boxed{42}", R }, { "42", "42", M },
           { "0.5", "<answer>50%</answer>", R }, { "50%", "<answer>1/2</answer>", R },
           { "50%", "<answer>50</answer>", W }, { "1/3", "<answer>0.333333</answer>", R },
           { "1/3", "<answer>0.33333</answer>", W }, { "1/3", "<answer>2/6</answer>", R },
           { "\\sqrt{8}", "<answer>2\\sqrt{2}</answer>", R }, { "\\sqrt{8}", "<answer>2.828427</answer>", W },
           { "(1,2)", "<answer>(1, 2)</answer>", R }, { "{1,2}", "<answer>{2,1}</answer>", R },
           { "42", "<answer>6*7</answer>", U }, { "42", "<answer>40+2</answer>", U },
           { "42", "<answer>84/2</answer>", R }, { "\\{1,2\\}", "<answer>2, 1</answer>", R },
           { "1,234", "<answer>1234</answer>", R }, { "42", "<answer>41</answer><answer>42</answer>", R },
           { "42", "<answer>42</answer><answer>41", M }, { "42", "<answer>1/0</answer>", U },
           { "42", "<answer>99999999999999999999</answer>", U }, { "42", "<answer>x</answer>", U },
           { "42", "<answer></answer>", M }, { "42", "<answer>\xef\xbc\x94\xef\xbc\x92</answer>", U },
           { "42",
             "<answer>4\xe2\x80\x8b"
             "2</answer>",
             U });
    EXPECT("number", SV_EXTRACT_FLEXIBLE, { "42", "I think it is 42.", R }, { "42", "$x$ is $42$", R },
           { "42", "from 42 to 43", W }, { "3", "no number", M }, { "-7", "it drops to -7 degrees", R },
           { "7", "13-7", R }, { "1/2", "it is 1/2.", R });
    EXPECT("number", SV_EXTRACT_TRAIN, { "42", "<answer>42</answer>", R },
           { "42", "<answer>41</answer><answer>42</answer>", M });
}

static const char game[] = "{\"target\":24,\"nums\":[3,3,8,8]}", small[] = "{\"target\":11,\"numbers\":[5,2,4]}";

static void test_countdown_uses_each_number_once_by_usual_precedence(void **state)
{
    static const struct {
        const char *set, *output;
        sv_verdict verdict;
    } r[] = {
        { game, "<answer>8/(3-8/3)</answer>", R },
        { game, "<answer> 8 / ( 3 - 8 / 3 ) </answer>", R },
        { small, "<answer>5+2+4</answer>", R },
        { small, "<answer>2*4+5</answer>", W },
        { small, "<answer>5+2*4</answer>", W }, /* 13, never 28 */
        { small, "<answer>-(5-2*4)+8</answer>", M },
        { small, "<answer>5--2+4</answer>", R },
        { small, "<answer>5+2+4=11</answer>", M },
        { small, "<answer>11</answer>", M },
        { small, "<answer>5+2+4+0</answer>", M },
        { small, "<answer>5+2+2+2</answer>", M },
        { small, "<answer>5+2.0+4</answer>", M },
        { small, "<answer>5+2+4.</answer>", M },
        { small, "<answer>5 2 4</answer>", M },
        { small, "<answer>(5)(2)+4</answer>", M },
        { small, "<answer>5/(2-2)+4</answer>", M },
        { small, "<answer>5**2-4</answer>", M },
        { small, "<answer>5//2+4</answer>", M },
        { small, "<answer>5+2+4#</answer>", M },
        { small, "<answer>__import__('os')</answer>", M },
        { small, "<answer>5+2+\xd9\xa4</answer>", M },
        { small, "<answer></answer>", M },
        { small, "5+2+4", M },
        { small, "<answer>5+2+4", M },
        { small, "<answer>1</answer> no: <answer>5+2+4</answer>", R },
        { small, "<think><answer>5+2+4</answer></think>", M },
        { small, "<answer>999999999999999999*999999999999999999*9</answer>", M },
    };
    (void)state;
    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        sv_verdict v = judge("countdown", r[i].set, sv_str_of(r[i].output), SV_EXTRACT_STRICT, NULL);
        if (v != r[i].verdict)
            fail_msg("'%s': %s, expected %s", r[i].output, sv_verdict_name(v), sv_verdict_name(r[i].verdict));
    }
    assert_int_equal(judge("countdown", "{\"target\":11,\"nums\":[0,5,2,4]}", SV_STR("<answer>5/0+2+4</answer>"),
                           SV_EXTRACT_STRICT, NULL),
                     M);
}

static void test_exact_and_choice_look_into_the_block(void **state)
{
    (void)state;
    EXPECT("exact", SV_EXTRACT_STRICT, { " Oslo ", "<answer>Oslo\n</answer>", R },
           { "Oslo", "<answer>oslo</answer>", W }, { "Oslo", "Oslo", M }, { "Oslo", "<answer> </answer>", M });
    EXPECT("exact", SV_EXTRACT_FLEXIBLE, { "Oslo", "<think>hm</think>\n\nOslo\n", R }, { "Oslo", "It is Oslo", W });
    EXPECT("choice", SV_EXTRACT_STRICT, { "B", "<answer>B</answer>", R }, { "B", "<answer>(B)</answer>", R },
           { "(B)", "<answer>B.</answer>", R }, { "B", "<answer>b</answer>", M }, { "B", "<answer>A B</answer>", M },
           { "B", "<answer>C</answer>", W }, { "B", "<answer>\xd0\x92</answer>", M }, { "B", "B", M },
           { "B", "<answer>ABCD</answer>", M }, { "J", "<answer>J)</answer>", R });
    EXPECT("choice", SV_EXTRACT_FLEXIBLE, { "B", "The answer is (B).", R }, { "B", "\\boxed{B}", R },
           { "B", "Because", M }, { "B", "B, then C", W });
}

static void test_gold_that_does_not_parse_is_named_with_its_line(void **state)
{
    static const struct {
        const char *verifier, *row;
    } bad[] = {
        { "gsm8k", "{\"gold\":\"none\"}" },
        { "gsm8k", "{\"answer\":\"#### \"}" },
        { "gsm8k", "{}" },
        { "math", "{\"gold\":\"\"}" },
        { "math", "{\"gold\":\"\\\\boxed{7\"}" },
        { "math", "{\"gold\":null}" },
        { "number", "{\"gold\":\" \"}" },
        { "number", "{\"gold\":[1]}" },
        { "countdown", "{\"target\":24}" },
        { "countdown", "{\"target\":\"24\",\"nums\":[1]}" },
        { "countdown", "{\"target\":24,\"nums\":[]}" },
        { "countdown", "{\"target\":24,\"nums\":[1,-2]}" },
        { "countdown", "{\"target\":24,\"nums\":[1,2.5]}" },
        { "exact", "{\"gold\":\"\"}" },
        { "choice", "{\"gold\":\"K\"}" },
        { "choice", "{\"gold\":\"AB\"}" },
    };
    (void)state;
    sv_arena *a = sv_arena_make();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sv_gold gold;
        bool is_supported;
        if (read_gold(bad[i].verifier, bad[i].row, a, &gold, &is_supported) != SV_E_FORMAT)
            fail_msg("%s takes %s", bad[i].verifier, bad[i].row);
        assert_memory_equal(sv_err_text(), "set.jsonl:7: ", 13);
    }
    sv_gold gold;
    bool is_supported;
    assert_int_equal(read_gold("number", "{\"gold\":\"x+y\"}", a, &gold, &is_supported), SV_OK);
    assert_false(is_supported);
    assert_int_equal(read_gold("number", "{\"gold\":42}", a, &gold, &is_supported), SV_OK);
    assert_int_equal(read_gold("number", "{\"gold\":0.5}", a, &gold, &is_supported), SV_OK);
    assert_int_equal(
        read_gold("gsm8k", "{\"question\":\"?\",\"answer\":\"3+4 = 7\\n#### 7\"}", a, &gold, &is_supported), SV_OK);
    sv_arena_drop(a);
}

/* score(gold) is correct: the gold, written as an answer, earns the reward. */
static void test_every_gold_written_as_an_answer_is_correct(void **state)
{
    static const char *const gold[] = { "7", "-7", "0", "1,234", "3.25", "1/2", "12345678901234567" };
    static const char *const latex[] = { "\\frac{3}{4}",  "2\\sqrt{5}", "(1,2)",     "\\{1,2,3\\}",
                                         "x+1",           "\\text{no}", "\\pi",      "[0,1)",
                                         "3\\frac{1}{2}", "10\\%",      "90^\\circ", "\\frac{1+\\sqrt2}{3}" };
    (void)state;
    sv_bytes b = { 0 };
    for (size_t i = 0; i < sizeof gold / sizeof *gold; i++) {
        sv_bytes_clear(&b);
        sv_bytes_printf(&b, "<answer>%s</answer>", gold[i]);
        EXPECT("number", SV_EXTRACT_TRAIN, { gold[i], b.p, R });
        EXPECT("exact", SV_EXTRACT_TRAIN, { gold[i], b.p, R });
        sv_bytes_clear(&b);
        sv_bytes_printf(&b, "#### %s", gold[i]);
        if (strchr(gold[i], '/') == NULL)
            EXPECT("gsm8k", SV_EXTRACT_TRAIN, { gold[i], b.p, R });
    }
    for (size_t i = 0; i < sizeof latex / sizeof *latex; i++) {
        sv_bytes_clear(&b);
        sv_bytes_printf(&b, "\\boxed{%s}", latex[i]);
        EXPECT("math", SV_EXTRACT_TRAIN, { latex[i], b.p, R });
    }
    sv_bytes_done(&b);
}

/* Tricks that once paid, at each verifier. */
static void test_tricks_earn_nothing(void **state)
{
    static const struct {
        const char *verifier, *row;
    } set[] = { { "gsm8k", "{\"gold\":\"#### 18\"}" }, { "math", "{\"gold\":\"18\"}" },
                { "number", "{\"gold\":\"18\"}" },     { "countdown", "{\"target\":18,\"nums\":[9,2]}" },
                { "exact", "{\"gold\":\"18\"}" },      { "choice", "{\"gold\":\"B\"}" } };
    static const char *const trick[] = {
        "",
        "<answer></answer>",
        "\\boxed{}",
        "#### ",
        "How much is 9 times 2?",
        "<answer>1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18</answer>",
        "\\boxed{1, 2, 18}",
        "<think>18 <answer>18</answer> \\boxed{18} #### 18 <answer>9*2</answer> <answer>B</answer></think>",
        "<think><answer>18</answer> #### 18 \\boxed{18}",
        "<answer>\xd9\xa1\xd9\xa8</answer>",
        "\\boxed{\xef\xbc\x91\xef\xbc\x98}",
        "#### \xef\xbc\x91\xef\xbc\x98",
        "<answer>1/0</answer>",
        "\\boxed{\\frac{1}{0}}",
        "<answer>17</answer><answer>18</answer>\\boxed{17}\\boxed{18}#### 17\n#### 18",
        "<answer>A B C D</answer>",
        "<answer>9*2*1</answer>",
        "\\boxed{\\boxed{17}18}",
        "<answer>18 or 17</answer>",
        "<answer>18x</answer>",
        "<answer>NaN</answer>",
        "<answer>inf</answer>",
        "\\boxed{18x}",
        "<answer>18",
        "\\boxed{18",
    };
    (void)state;
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        for (size_t k = 0; k < sizeof trick / sizeof *trick; k++)
            if (judge(set[i].verifier, set[i].row, sv_str_of(trick[k]), SV_EXTRACT_TRAIN, NULL) == R)
                fail_msg("%s pays for '%s'", set[i].verifier, trick[k]);
    char *many = malloc(1000000);
    memset(many, '8', 1000000);
    memcpy(many, "<answer>", 8);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        assert_int_equal(judge(set[i].verifier, set[i].row, (sv_str){ many, 1000000 }, SV_EXTRACT_FLEXIBLE, NULL), M);
        assert_int_equal(judge(set[i].verifier, set[i].row,
                               (sv_str){ "<answer>1\0"
                                         "8</answer>",
                                         20 },
                               SV_EXTRACT_FLEXIBLE, NULL),
                         M);
    }
    free(many);
}

static void test_answers_of_one_value_have_one_normal_form(void **state)
{
    static const struct {
        const char *verifier, *row, *output, *answer;
    } r[] = {
        { "gsm8k", "{\"gold\":\"#### 18\"}", "#### 1,018.50", "2037/2" },
        { "math", "{\"gold\":\"18\"}", "\\boxed{\\frac{36}{2}}", "18" },
        { "math", "{\"gold\":\"18\"}", "\\boxed{x + 1}", "x+1" },
        { "number", "{\"gold\":\"18\"}", "<answer>\\sqrt{12}</answer>", "2*sqrt(3)" },
        { "number", "{\"gold\":\"18\"}", "<answer>(1, 0.5)</answer>", "(1,1/2)" },
        { "countdown", "{\"target\":18,\"nums\":[9,2]}", "<answer> 9 * 2 </answer>", "9*2" },
        { "choice", "{\"gold\":\"B\"}", "<answer>(C)</answer>", "C" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        sv_bytes b = { 0 };
        judge(r[i].verifier, r[i].row, sv_str_of(r[i].output), SV_EXTRACT_STRICT, &b);
        assert_string_equal(b.p, r[i].answer);
        sv_bytes_done(&b);
    }
}

static void test_a_prompt_that_opens_a_thought_is_minded(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    sv_gold gold;
    bool is_supported;
    const sv_verifier *v = sv_verifier_find("number");
    assert_int_equal(read_gold("number", "{\"gold\":42}", a, &gold, &is_supported), SV_OK);
    sv_str out = SV_STR("<answer>42</answer>"), closed = SV_STR("hm</think><answer>42</answer>");
    assert_int_equal(sv_verify(v, &gold, out, true, false, SV_EXTRACT_STRICT, NULL), R);
    assert_int_equal(sv_verify(v, &gold, out, true, true, SV_EXTRACT_STRICT, NULL), T);
    assert_int_equal(sv_verify(v, &gold, closed, true, true, SV_EXTRACT_STRICT, NULL), R);
    assert_int_equal(sv_verify(v, &gold, out, false, false, SV_EXTRACT_STRICT, NULL), T);
    sv_arena_drop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gsm8k_strict_takes_the_first_marked_number),
        cmocka_unit_test(test_gsm8k_flexible_takes_the_last_number),
        cmocka_unit_test(test_math_takes_the_last_box_and_normalises),
        cmocka_unit_test(test_number_compares_values_exactly),
        cmocka_unit_test(test_countdown_uses_each_number_once_by_usual_precedence),
        cmocka_unit_test(test_exact_and_choice_look_into_the_block),
        cmocka_unit_test(test_gold_that_does_not_parse_is_named_with_its_line),
        cmocka_unit_test(test_every_gold_written_as_an_answer_is_correct),
        cmocka_unit_test(test_tricks_earn_nothing),
        cmocka_unit_test(test_answers_of_one_value_have_one_normal_form),
        cmocka_unit_test(test_a_prompt_that_opens_a_thought_is_minded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
