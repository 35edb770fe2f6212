/* SPDX-License-Identifier: Apache-2.0
 * chain100: vectors of its definition, splits, the judge and what tries to fool it.
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
#include "train/init.h"

static const sv_task *task(void)
{
    return sv_task_find("chain100");
}
static sv_str view(const sv_bytes *b)
{
    return (sv_str){ b->p, b->n };
}

static sv_model *new_model(void)
{
    json_t *config;
    sv_model *m;
    assert_int_equal(sv_json_parse(sv_str_of(task()->config), &sv_json_file_limits, "config.json", &config), SV_OK);
    if (sv_model_new(config, sv_str_of(task()->tokenizer_json), sv_str_of(task()->tokenizer_config), &m) != SV_OK)
        fail_msg("%s", sv_err_text());
    json_decref(config);
    return m;
}

static void expect_solution(const char *problem, const char *completion, const char *answer)
{
    sv_bytes c = { 0 }, a = { 0 };
    assert_true(task()->solve(sv_str_of(problem), &c, &a));
    assert_string_equal(c.p, completion);
    assert_string_equal(a.p, answer);
    sv_bytes_done(&c);
    sv_bytes_done(&a);
}

static void test_worked_traces_are_those_of_the_definition(void **state)
{
    (void)state;
    expect_solution("6*9-8-5-3*7", "6*9=54,54-8=46,46-5=41,41-3=38,38*7=66;</think><answer>66</answer>", "66");
    expect_solution("1-1-6-7+1-2", "1-1=0,0-6=94,94-7=87,87+1=88,88-2=86;</think><answer>86</answer>", "86");
    expect_solution("2*3*7+1+1+8:", "2*3=6,6*7=42,42+1=43,43+1=44,44+8=52;</think><answer>52</answer>", "52");
    assert_false(task()->solve(SV_STR("2*3*7+1+1+0"), NULL, NULL));
    assert_false(task()->solve(SV_STR("2*3*7+1+1"), NULL, NULL));
    assert_false(task()->solve(SV_STR("2*3*7+1+1/8"), NULL, NULL));
    assert_false(task()->solve((sv_str){ "2*3*7+1\0"
                                         "1+8",
                                         11 },
                               NULL, NULL));
}

static uint32_t fnv(sv_str s)
{
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x01000193u;
    return h;
}

static void test_no_problem_stands_in_both_splits(void **state)
{
    (void)state;
    assert_int_equal(fnv(SV_STR("2*3*7+1+1+8")), 0x09fe512e);
    assert_int_equal(fnv(SV_STR("1-1-6-7+1-2")), 0xa859f8ca);
    sv_bytes b = { 0 };
    for (uint64_t seed = 1; seed <= 2; seed++)
        for (uint32_t i = 0; i < 2000; i++) {
            sv_bytes_clear(&b);
            task()->problem(seed, SV_SPLIT_TRAIN, i, &b);
            assert_int_equal(b.n, 12);
            assert_true(fnv((sv_str){ b.p, 11 }) % 10 != 0);
            sv_bytes_clear(&b);
            if (i >= task()->n_test)
                continue;
            task()->problem(seed, SV_SPLIT_TEST, i, &b);
            assert_true(fnv((sv_str){ b.p, 11 }) % 10 == 0);
        }
    sv_bytes_done(&b);
}

static void test_two_seeds_give_different_problems(void **state)
{
    (void)state;
    sv_bytes a = { 0 }, b = { 0 };
    uint32_t same = 0;
    for (uint32_t i = 0; i < 300; i++) {
        sv_bytes_clear(&a);
        sv_bytes_clear(&b);
        task()->problem(1, SV_SPLIT_TEST, i, &a);
        task()->problem(2, SV_SPLIT_TEST, i, &b);
        same += strcmp(a.p, b.p) == 0;
    }
    assert_true(same < 3);
    sv_bytes_done(&a);
    sv_bytes_done(&b);
}

static void test_every_row_is_judged_correct_by_its_own_verifier(void **state)
{
    (void)state;
    sv_bytes m = { 0 }, c = { 0 };
    uint32_t worked = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        sv_bytes_clear(&m);
        sv_bytes_clear(&c);
        task()->row(5, i / 48, i % 48, 0.3, &m, &c);
        assert_int_equal(task()->verify(view(&m), view(&c), true, true), SV_VERDICT_CORRECT);
        worked += c.p[0] != '<';
    }
    assert_in_range(worked, 1050, 1350);
    sv_bytes_done(&m);
    sv_bytes_done(&c);
}

static void test_the_judge_is_not_fooled(void **state)
{
    (void)state;
    static const struct {
        const char *output;
        bool ended;
        sv_verdict verdict;
    } row[] = {
        { "</think><answer>52</answer>", true, SV_VERDICT_CORRECT },
        { "</think><answer>52</answer><end>", true, SV_VERDICT_CORRECT },
        { "</think><answer>0052</answer>", true, SV_VERDICT_CORRECT },
        { "anything</think><answer>52</answer>", true, SV_VERDICT_CORRECT },
        { "</think><answer>53</answer>", true, SV_VERDICT_WELL_FORMED },
        { "</think><answer>152</answer>", true, SV_VERDICT_WELL_FORMED },
        { "</think><answer>52</answer>", false, SV_VERDICT_TRUNCATED },
        { "2*3=6,", false, SV_VERDICT_TRUNCATED },
        { "", true, SV_VERDICT_MALFORMED },
        { "<end>", true, SV_VERDICT_MALFORMED },
        { "2*3*7+1+1+8:", true, SV_VERDICT_MALFORMED },
        { "</think><answer></answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>00052</answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>-52</answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>5+2</answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>52</answer>,", true, SV_VERDICT_MALFORMED },
        { "</think>,<answer>52</answer>", true, SV_VERDICT_MALFORMED },
        { "<answer>52</answer></think>", true, SV_VERDICT_MALFORMED },
        { "<answer>52</answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>52</answer><answer>52</answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>53</answer></think><answer>52</answer>", true, SV_VERDICT_MALFORMED },
        { "</think><answer>\xd9\xa5\xd9\xa2</answer>", true, SV_VERDICT_MALFORMED },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        sv_verdict v = task()->verify(SV_STR("2*3*7+1+1+8"), sv_str_of(row[i].output), row[i].ended, true);
        if (v != row[i].verdict)
            fail_msg("'%s': %s, expected %s", row[i].output, sv_verdict_name(v), sv_verdict_name(row[i].verdict));
    }
    assert_int_equal(task()->verify(SV_STR("2*3*7+1+1+8"),
                                    SV_STR("</think><answer>53</answer></think><answer>52</answer>"), true, false),
                     SV_VERDICT_CORRECT);
    assert_int_equal(task()->verify(SV_STR("2*3*7+1+1+8"),
                                    (sv_str){ "</think><answer>5\0"
                                              "2</answer>",
                                              28 },
                                    true, true),
                     SV_VERDICT_MALFORMED);
    assert_int_equal(task()->verify(SV_STR("nonsense"), SV_STR("</think><answer>52</answer>"), true, true),
                     SV_VERDICT_UNSUPPORTED);
    char *many = malloc(1000001);
    memset(many, '5', 1000000);
    assert_int_equal(task()->verify(SV_STR("2*3*7+1+1+8"), (sv_str){ many, 1000000 }, true, true),
                     SV_VERDICT_MALFORMED);
    free(many);
}

static void test_a_worked_trace_has_as_many_tokens_as_defined(void **state)
{
    (void)state;
    sv_model *m = new_model();
    sv_ids ids = { 0 };
    sv_bytes c = { 0 };
    task()->solve(SV_STR("6*9-8-5-3*7"), &c, NULL);
    assert_int_equal(sv_tokenizer_encode_plain(m->tokenizer, view(&c), true, &ids), SV_OK);
    assert_int_equal(ids.n + 1, 45); /* with the end token */
    assert_int_equal(sv_tokenizer_count(m->tokenizer), 25);
    for (size_t i = 0; i < ids.n; i++)
        assert_true(ids.id[i] < 25);
    assert_int_equal(ids.id[ids.n - 1], 5);
    sv_ids_done(&ids);
    sv_bytes_done(&c);
    sv_model_close(m);
}

static void test_the_template_makes_what_rows_are_made_of(void **state)
{
    (void)state;
    sv_model *m = new_model();
    sv_marked out = { 0 };
    if (m->chat_template == NULL)
        fail_msg("%s", m->template_problem ? m->template_problem : "no template");
    json_t *ask = json_loads("[{\"role\":\"user\",\"content\":\"1+1*1+1-1-1\"}]", 0, NULL);
    json_t *off = json_loads("{\"enable_thinking\":false}", 0, NULL);
    sv_template_input in = { .messages = ask, .add_generation_prompt = true };
    assert_int_equal(sv_template_render(m->chat_template, &in, &out), SV_OK);
    assert_string_equal(out.text.p, "1+1*1+1-1-1:<think>");
    in.kwargs = off;
    sv_marked_clear(&out);
    assert_int_equal(sv_template_render(m->chat_template, &in, &out), SV_OK);
    assert_string_equal(out.text.p, "1+1*1+1-1-1:<think></think>");
    json_t *chat = json_loads("[{\"role\":\"user\",\"content\":\"1+1*1+1-1-1:\"},{\"role\":\"assistant\",\"content\":"
                              "\"</think><answer>1</answer>\"}]",
                              0, NULL);
    in = (sv_template_input){ .messages = chat };
    sv_marked_clear(&out);
    assert_int_equal(sv_template_render(m->chat_template, &in, &out), SV_OK);
    assert_string_equal(out.text.p, "1+1*1+1-1-1:<think></think><answer>1</answer><end>");
    json_decref(ask);
    json_decref(off);
    json_decref(chat);
    sv_marked_done(&out);
    sv_model_close(m);
}

static void test_the_model_has_335040_weights_and_starts_as_defined(void **state)
{
    (void)state;
    sv_model *m = new_model();
    assert_true(sv_model_params(m) == 335040);
    sv_init_weights(m, 1);
    const sv_config *c = &m->config;
    for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
        if (!sv_weight_exists(c, id) || sv_weight_is_alias(c, id))
            continue;
        sv_tensor shape = sv_weight_shape(c, id);
        uint64_t n = sv_tensor_items(&shape);
        const float *x = sv_model_weight(m, id);
        const char *name = c->family->weight[id % c->family->n_weight].hf;
        double sum = 0, squares = 0,
               want = strstr(name, "embed")    ? 0.02 * 0.02
                      : strstr(name, "o_proj") ? 1.0 / (6 * 96)
                      : strstr(name, "down")   ? 1.0 / (6 * 256)
                                               : 1.0 / 96;
        for (uint64_t i = 0; i < n; i++)
            sum += (double)x[i], squares += (double)x[i] * (double)x[i];
        if (shape.n_dim == 1) {
            assert_true(sum == (double)n && squares == (double)n);
            continue;
        }
        assert_true(squares / (double)n > 0.9 * want && squares / (double)n < 1.1 * want);
        assert_true(sum / (double)n < 0.1 * 0.1 && sum / (double)n > -0.1 * 0.1);
    }
    sv_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_traces_are_those_of_the_definition),
        cmocka_unit_test(test_no_problem_stands_in_both_splits),
        cmocka_unit_test(test_two_seeds_give_different_problems),
        cmocka_unit_test(test_every_row_is_judged_correct_by_its_own_verifier),
        cmocka_unit_test(test_the_judge_is_not_fooled),
        cmocka_unit_test(test_a_worked_trace_has_as_many_tokens_as_defined),
        cmocka_unit_test(test_the_template_makes_what_rows_are_made_of),
        cmocka_unit_test(test_the_model_has_335040_weights_and_starts_as_defined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
