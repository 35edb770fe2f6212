/* SPDX-License-Identifier: Apache-2.0
 * All built-in tasks: splits without overlap, rows and solutions judged right, tricks judged wrong, and the numbers
 * that define countdown-3.
 */
#include "train/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "model/model.h"

static sv_str view(const sv_bytes *b)
{
    return (sv_str){ b->p ? b->p : "", b->n };
}

#define EACH_TASK(t) for (uint32_t at_ = 0; ((t) = sv_task_at(at_)) != NULL; at_++)

static void test_every_task_is_found_by_its_name(void **state)
{
    const sv_task *t;
    uint32_t n = 0;
    (void)state;
    EACH_TASK(t)
    {
        assert_ptr_equal(sv_task_find(t->name), t);
        assert_non_null(strstr(sv_task_names(), t->name));
        n++;
    }
    assert_int_equal(n, 7);
    assert_null(sv_task_find("chain"));
    assert_null(sv_task_at(n));
}

/* ---- splits ---- */

/* What makes a problem: for countdown-3 and sort the digits in ascending order, up to the colon; else the text. */
static void structure(const sv_task *t, sv_bytes *text)
{
    bool sorts = strcmp(t->name, "countdown-3") == 0 || strcmp(t->name, "sort") == 0;
    char *colon = strchr(text->p, ':');
    text->n = (size_t)(colon - text->p);
    *colon = '\0';
    for (size_t i = 1; sorts && i < text->n; i++)
        for (size_t k = i; k > 0 && text->p[k - 1] > text->p[k]; k--) {
            char c = text->p[k];
            text->p[k] = text->p[k - 1];
            text->p[k - 1] = c;
        }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **list(const sv_task *t, uint64_t seed, sv_split split, uint32_t n, bool only_structure)
{
    char **out = malloc(n * sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        sv_bytes b = { 0 };
        t->problem(seed, split, i, &b);
        if (only_structure)
            structure(t, &b);
        out[i] = strdup(b.p);
        sv_bytes_done(&b);
    }
    qsort(out, n, sizeof *out, by_text);
    return out;
}

static void drop(char **v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

static void test_no_problem_stands_in_both_splits(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            uint32_t n_train = t->n_train < 6000 ? t->n_train : 6000, a = 0, b = 0;
            char **train = list(t, seed, SV_SPLIT_TRAIN, n_train, true),
                 **test = list(t, seed, SV_SPLIT_TEST, t->n_test, true);
            while (a < n_train && b < t->n_test) {
                int order = strcmp(train[a], test[b]);
                if (order == 0)
                    fail_msg("%s, seed %d: '%s' stands in both splits", t->name, (int)seed, test[b]);
                *(order < 0 ? &a : &b) += 1;
            }
            drop(train, n_train);
            drop(test, t->n_test);
        }
    }
}

static void test_rows_come_from_the_training_split(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        char **test = list(t, 4, SV_SPLIT_TEST, t->n_test, true);
        for (uint32_t i = 0; i < 1000; i++) {
            sv_bytes m = { 0 }, c = { 0 };
            t->row(4, i / 32, i % 32, 0.5, &m, &c);
            structure(t, &m);
            assert_null(bsearch(&m.p, test, t->n_test, sizeof *test, by_text));
            sv_bytes_done(&m);
            sv_bytes_done(&c);
        }
        drop(test, t->n_test);
    }
}

static void test_held_out_problems_are_different_ones(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        uint32_t same = 0, other = 0;
        char **a = list(t, 1, SV_SPLIT_TEST, t->n_test, false), **b = list(t, 2, SV_SPLIT_TEST, t->n_test, false);
        for (uint32_t i = 1; i < t->n_test; i++)
            same += strcmp(a[i - 1], a[i]) == 0;
        for (uint32_t i = 0; i < t->n_test; i++)
            other += bsearch(&a[i], b, t->n_test, sizeof *b, by_text) == NULL;
        assert_in_range(same, 0, 2);
        assert_true(other > t->n_test / 2); /* two seeds give different splits */
        drop(a, t->n_test);
        drop(b, t->n_test);
    }
}

/* ---- solutions ---- */

static void test_a_solution_is_judged_correct_and_is_the_answer(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        for (uint32_t i = 0; i < 3000; i++) {
            sv_bytes p = { 0 }, c = { 0 }, a = { 0 }, found = { 0 };
            sv_split split = i < t->n_test ? SV_SPLIT_TEST : SV_SPLIT_TRAIN;
            t->problem(9, split, i % t->n_train, &p);
            assert_true(t->solve(view(&p), &c, &a));
            if (t->verify(view(&p), view(&c), true, true) != SV_VERDICT_CORRECT)
                fail_msg("%s: '%s' is not solved by '%s'", t->name, p.p, c.p);
            assert_true(t->answer(view(&p), view(&c), &found));
            assert_string_equal(found.p, a.p);
            assert_int_equal(t->verify(view(&p), view(&c), false, true), SV_VERDICT_TRUNCATED);
            double blind = t->blind(view(&p));
            assert_true(blind > 0 || strcmp(t->name, "maze") == 0);
            assert_true(blind <= 1);
            sv_bytes_done(&p);
            sv_bytes_done(&c);
            sv_bytes_done(&a);
            sv_bytes_done(&found);
        }
    }
}

/* countdown-3 shows failed searches too. */
static void test_every_row_is_well_formed_and_mostly_right(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        uint32_t right = 0;
        for (uint32_t i = 0; i < 4000; i++) {
            sv_bytes m = { 0 }, c = { 0 };
            t->row(7, i / 32, i % 32, 0.5, &m, &c);
            sv_verdict v = t->verify(view(&m), view(&c), true, true);
            assert_true(v == SV_VERDICT_CORRECT || v == SV_VERDICT_WELL_FORMED);
            right += v == SV_VERDICT_CORRECT;
            sv_bytes_done(&m);
            sv_bytes_done(&c);
        }
        if (strcmp(t->name, "countdown-3") == 0)
            assert_in_range(right, 2200, 2520); /* mix C1: 59 % */
        else
            assert_int_equal(right, 4000);
    }
}

static void test_rows_fit_the_model_and_its_tokens(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        json_t *config;
        sv_model *m;
        assert_int_equal(sv_json_parse(sv_str_of(t->config), &sv_json_file_limits, "config.json", &config), SV_OK);
        assert_int_equal(sv_model_new(config, sv_str_of(t->tokenizer_json), sv_str_of(t->tokenizer_config), &m), SV_OK);
        for (uint32_t i = 0; i < 500; i++) {
            sv_bytes p = { 0 }, c = { 0 };
            sv_ids ids = { 0 };
            t->row(3, 0, i, 1, &p, &c);
            assert_int_equal(sv_tokenizer_encode_plain(m->tokenizer, view(&p), false, &ids), SV_OK);
            assert_int_equal(ids.n, p.n); /* one token a character */
            ids.n = 0;
            assert_int_equal(sv_tokenizer_encode_plain(m->tokenizer, view(&c), true, &ids), SV_OK);
            if (ids.n + 1 > t->max_tokens)
                fail_msg("%s: %zu tokens in '%s'", t->name, ids.n + 1, c.p);
            if (t->n_force > 0)
                assert_memory_equal(p.p, c.p, t->n_force); /* a worked trace begins as a forced one does */
            sv_ids_done(&ids);
            sv_bytes_done(&p);
            sv_bytes_done(&c);
        }
        json_decref(config);
        sv_model_close(m);
    }
}

/* ---- tricks ---- */

static const char *const tricks[] = {
    "",
    "<end>",
    "</think>",
    "<answer></answer>",
    "</think><answer></answer>",
    "</think><answer>?</answer>",
    "</think><answer> </answer>",
    "</think><answer>-</answer>",
    "</think><answer>--1</answer>",
    "</think><answer>99999999999999999999999999</answer>",
    "</think><answer>1/0</answer>",
    "</think><answer>\xd9\xa1</answer>",     /* arabic-indic one */
    "</think><answer>\xef\xbc\x91</answer>", /* full-width one */
    "</think><answer>1,2,3,4,5,6,7,8,9</answer>",
    "</think><answer>0x10</answer>",
    "</think><answer>1e1</answer>",
    "</think><answer><answer>1</answer></answer>",
    "</think><answer>1</answer>1",
    "</answer></think><answer>",
};

static void expect_no_reward(const sv_task *t, sv_str problem, sv_str output)
{
    sv_verdict v = t->verify(problem, output, true, true);
    if (v == SV_VERDICT_CORRECT)
        fail_msg("%s: '%.*s' earned a reward for '%.*s'", t->name, (int)problem.n, problem.p, (int)output.n, output.p);
}

static void test_tricks_earn_nothing(void **state)
{
    const sv_task *t;
    (void)state;
    EACH_TASK(t)
    {
        for (uint32_t i = 0; i < 100; i++) {
            sv_bytes p = { 0 }, c = { 0 }, out = { 0 };
            t->problem(2, SV_SPLIT_TEST, i, &p);
            assert_true(t->solve(view(&p), &c, NULL));
            for (size_t k = 0; k < sizeof tricks / sizeof *tricks; k++)
                expect_no_reward(t, view(&p), sv_str_of(tricks[k]));
            expect_no_reward(t, view(&p), view(&p));
            sv_bytes_printf(&out, "</think><answer>%s</answer>", p.p); /* the problem copied */
            expect_no_reward(t, view(&p), view(&out));
            sv_bytes_clear(&out);
            sv_bytes_printf(&out, "%s%s", c.p, strstr(c.p, "</think>")); /* two answers */
            expect_no_reward(t, view(&p), view(&out));
            assert_int_equal(t->verify(view(&p), view(&out), true, false), SV_VERDICT_CORRECT);
            sv_bytes_clear(&out);
            sv_bytes_printf(&out, "%s</think>", strstr(c.p, "<answer>")); /* the answer inside the thought */
            expect_no_reward(t, view(&p), view(&out));
            c.p[strlen(c.p) - strlen("</answer>") - 1] = '\0'; /* a NUL in the answer */
            expect_no_reward(t, view(&p), view(&c));
            sv_bytes_done(&p);
            sv_bytes_done(&c);
            sv_bytes_done(&out);
        }
    }
}

static void test_judges_are_total(void **state)
{
    const sv_task *t;
    char *many = malloc(1000000);
    (void)state;
    memset(many, '7', 1000000);
    EACH_TASK(t)
    {
        sv_bytes p = { 0 }, out = { 0 };
        t->problem(2, SV_SPLIT_TEST, 0, &p);
        assert_int_equal(t->verify(view(&p), (sv_str){ many, 1000000 }, true, true), SV_VERDICT_MALFORMED);
        assert_int_equal(t->verify(SV_STR(""), SV_STR("</think><answer>1</answer>"), true, true),
                         SV_VERDICT_UNSUPPORTED);
        assert_int_equal(t->verify((sv_str){ many, 1000000 }, SV_STR("</think><answer>1</answer>"), true, true),
                         SV_VERDICT_UNSUPPORTED);
        assert_false(t->answer(view(&p), SV_STR("1"), &out));
        assert_false(t->solve(SV_STR("nonsense"), NULL, NULL));
        sv_bytes_done(&p);
        sv_bytes_done(&out);
    }
    free(many);
}

/* ---- countdown-3 ---- */

static void test_countdown_has_1319_problems_in_165_multisets(void **state)
{
    const sv_task *t = sv_task_find("countdown-3");
    uint32_t n = 0;
    (void)state;
    double blind = 0;
    for (int a = 1; a <= 9; a++)
        for (int b = a; b <= 9; b++)
            for (int c = b; c <= 9; c++)
                for (int target = 10; target <= 99; target++) {
                    char text[16];
                    snprintf(text, sizeof text, "%d,%d,%d:%d", a, b, c, target);
                    n += t->solve(sv_str_of(text), NULL, NULL);
                    blind += t->blind(sv_str_of(text));
                }
    assert_int_equal(n, 1319);
    assert_in_range((int)(1e5 * blind / n), 7450, 7550); /* 7.5 % over all problems */
    /* {2, 4, 5}: 3 of 24 expressions give 11; {2, 9, 9}: 1 of 14 gives 27 */
    assert_true(t->blind(SV_STR("5,2,4:11")) == 3.0 / 24);
    assert_true(t->blind(SV_STR("9,2,9:27")) == 1.0 / 14);
}

static void test_countdown_judges_by_the_numbers_and_from_left_to_right(void **state)
{
    static const struct {
        const char *answer;
        sv_verdict verdict;
    } row[] = {
        { "5+2+4", SV_VERDICT_CORRECT },
        { "2+5+4", SV_VERDICT_CORRECT },
        { "4+2+5", SV_VERDICT_CORRECT },
        { "05+2+4", SV_VERDICT_CORRECT },
        { "5+2*4", SV_VERDICT_WELL_FORMED }, /* 28, never 13 */
        { "2-5-4", SV_VERDICT_WELL_FORMED },
        { "5*2+4", SV_VERDICT_WELL_FORMED },
        { "5+2", SV_VERDICT_MALFORMED },
        { "5+2+4+0", SV_VERDICT_MALFORMED },
        { "5+5+1", SV_VERDICT_MALFORMED },
        { "11", SV_VERDICT_MALFORMED },
        { "5+2+4=11", SV_VERDICT_MALFORMED },
        { "(5+2)+4", SV_VERDICT_MALFORMED },
        { "5/2+4", SV_VERDICT_MALFORMED },
        { "5 + 2 + 4", SV_VERDICT_MALFORMED },
        { "+5+2+4", SV_VERDICT_MALFORMED },
        { "5+2+", SV_VERDICT_MALFORMED },
        { "5+2+4,", SV_VERDICT_MALFORMED },
        { "5+2+00004", SV_VERDICT_MALFORMED },
        { "7+2+2", SV_VERDICT_MALFORMED },
        { "9999*9999*9999", SV_VERDICT_MALFORMED },
        { "5+2+\xd9\xa4", SV_VERDICT_MALFORMED },
        { "5\xe2\x88\x92"
          "2+4",
          SV_VERDICT_MALFORMED }, /* U+2212 minus */
    };
    const sv_task *t = sv_task_find("countdown-3");
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        sv_bytes out = { 0 };
        sv_bytes_printf(&out, "5*2=10,10+4=14;</think><answer>%s</answer><end>", row[i].answer);
        sv_verdict v = t->verify(SV_STR("5,2,4:11"), view(&out), true, true);
        if (v != row[i].verdict)
            fail_msg("'%s': %s, expected %s", row[i].answer, sv_verdict_name(v), sv_verdict_name(row[i].verdict));
        sv_bytes_done(&out);
    }
}

static void test_worked_traces_are_those_of_their_definitions(void **state)
{
    static const struct {
        const char *task, *problem, *completion;
    } row[] = {
        { "countdown-3", "9,2,9:27", "9*2=18,18+9=27!</think><answer>9*2+9</answer>" },
        { "add", "347+985:", "347+985;7+5+0=12,4+8+1=13,3+9+1=13;</think><answer>1332</answer>" },
        { "add",
          "99999+100:", "99999+100;9+0+0=09,9+0+0=09,9+1+0=10,9+0+1=10,9+0+1=10;</think><answer>100099</answer>" },
        { "sort",
          "5291730:", "5291730,0291735,0192735,0129735,0123795,0123597,0123579;</think><answer>0123579</answer>" },
        { "reverse", "52917301:", "</think><answer>10371925</answer>" },
        { "parity", "10110000000000000001:",
          "1=1,0=1,1=2,1=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,0=3,1=4;</think><answer>0</"
          "answer>" },
        { "maze", "00000,11110,00000,01111,00000:",
          "00,01,02,03,04,14,24,23,22,21,20,30,40,41,42,43,44;</think><answer>6666884444886666</answer>" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        sv_bytes c = { 0 };
        assert_true(sv_task_find(row[i].task)->solve(sv_str_of(row[i].problem), &c, NULL));
        assert_string_equal(c.p, row[i].completion);
        sv_bytes_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_is_found_by_its_name),
        cmocka_unit_test(test_no_problem_stands_in_both_splits),
        cmocka_unit_test(test_rows_come_from_the_training_split),
        cmocka_unit_test(test_held_out_problems_are_different_ones),
        cmocka_unit_test(test_a_solution_is_judged_correct_and_is_the_answer),
        cmocka_unit_test(test_every_row_is_well_formed_and_mostly_right),
        cmocka_unit_test(test_rows_fit_the_model_and_its_tokens),
        cmocka_unit_test(test_tricks_earn_nothing),
        cmocka_unit_test(test_judges_are_total),
        cmocka_unit_test(test_countdown_has_1319_problems_in_165_multisets),
        cmocka_unit_test(test_countdown_judges_by_the_numbers_and_from_left_to_right),
        cmocka_unit_test(test_worked_traces_are_those_of_their_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
