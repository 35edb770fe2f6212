/* SPDX-License-Identifier: Apache-2.0
 * samsvar eval by the command line: figures, saved answers, two models paired, release criteria, wrong use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/cli_run.h"

#define FEW "--problems 12 --samples 4 --max-tokens 60"

/* A model of 40 steps writes sums in the right form, mostly wrong ones. */
static const char *model(void)
{
    const char *dir = CLI_TEXT("%s/model", cli_root);
    if (access(dir, F_OK) != 0)
        assert_int_equal(cli(CLI_TEXT("train recipes/chain100-quick.yaml --set run.dir=%s --set train.batch_rows=4 "
                                      "--set train.steps=40 --set schedule.warmup=4 -q",
                                      dir)),
                         0);
    return dir;
}

static const char *after(const char *text, const char *what)
{
    const char *at = strstr(text, what);
    assert_non_null(at);
    return at + strlen(what);
}

static void test_an_evaluation_names_its_figures_with_intervals(void **state)
{
    static const char *const figure[] = { "greedy", "mean@4", "pass@1",        "pass@2",        "pass@4",   "maj@2",
                                          "maj@4",  "blind",  "forced_greedy", "forced_mean@4", "truncated" };
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 " FEW " --json", model())), 0);
    assert_true(cli_has(cli_out, "\"event\":\"eval\",\"task\":\"chain100\",\"problems\":12,\"samples\":4"));
    for (size_t i = 0; i < sizeof figure / sizeof *figure; i++)
        assert_true(cli_has(cli_out, CLI_TEXT("\"%s\":{\"value\":", figure[i])));
    assert_true(cli_has(cli_out, "\"blind\":{\"value\":0.01}"));
    assert_true(cli_has(cli_out, "\"weights\":\""));
    double mean = strtod(after(cli_out, "\"mean@4\":{\"value\":"), NULL);
    assert_true(mean == strtod(after(cli_out, "\"pass@1\":{\"value\":"), NULL));
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 " FEW, model())), 0);
    assert_true(cli_has(cli_out, "chain100, 12 held-out problems, 4 answers each"));
    assert_true(cli_has(cli_out, "forced_mean@4"));
}

static void test_answers_do_not_depend_on_threads_and_neighbours(void **state)
{
    char first[32];
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 " FEW " --json --out %s/a", model(), cli_root)), 0);
    snprintf(first, sizeof first, "%.16s", after(cli_out, "\"ids_hash\":\""));
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 " FEW " --json --threads 1 --chip cpu:scalar", model())), 0);
    assert_memory_equal(after(cli_out, "\"ids_hash\":\""), first, 16);
    /* the first problems of a larger evaluation are those of a smaller one */
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 --problems 3 --samples 4 --max-tokens 60 -q --out %s/b",
                                  model(), cli_root)),
                     0);
    assert_int_equal(system(CLI_TEXT("cd %s && for p in 0 1 2; do grep -F \"\\\"problem\\\":$p,\" a; done | sort >a.s; "
                                     "sort b >b.s; cmp -s a.s b.s",
                                     cli_root)),
                     0);
    assert_int_equal(system(CLI_TEXT("cd %s && test $(wc -l <a) = 120 && test $(wc -l <b) = 30", cli_root)), 0);
}

static void test_a_model_against_itself_shows_no_difference(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    const char *m = model();
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 " FEW " --json --against %s", m, m)), 0);
    assert_true(cli_has(cli_out, "\"event\":\"paired\",\"part\":\"sampled\""));
    assert_true(cli_has(cli_out, "\"only_first\":0,\"only_second\":0,\"test\":\"mcnemar\",\"p\":1"));
    assert_true(cli_has(cli_out, "\"verdict\":\"no difference shown\""));
    assert_false(cli_has(cli_out, "is better"));
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(CLI_TEXT("%s/%s", cli_root, name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_a_file_of_problems_is_judged_by_its_verifier(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    const char *m = model();
    put("set.jsonl", "{\"prompt\":\"2*3*7+1+1+8:\",\"gold\":52}\n"
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"1-1-6-7+1-2\"}],\"answer\":\"86\"}\n\n"
                     "{\"question\":\"1+1+1+1+1+1:\",\"gold\":\"x+y\"}\n");
    const char *set = CLI_TEXT("%s/set.jsonl", cli_root);
    assert_int_equal(cli(CLI_TEXT("eval %s --task %s --verifier number --samples 2 --max-tokens 60 --json", m, set)),
                     0);
    assert_true(cli_has(cli_out, "\"problems\":2,"));
    assert_true(cli_has(cli_out, "\"left_out\":{\"value\":0.333"));
    assert_false(cli_has(cli_out, "\"blind\""));
    assert_true(cli_has(cli_err, "1 rows are left out"));
    /* the task's judge and the verifier read the same answers alike */
    assert_int_equal(cli(CLI_TEXT("eval %s --task %s --verifier number --samples 2 --max-tokens 60 -q --out %s/of", m,
                                  set, cli_root)),
                     0);
    cli_read("of", cli_out, sizeof cli_out);
    assert_true(cli_has(cli_out, "\"text\":\"2*3*7+1+1+8:\""));
    assert_true(cli_has(cli_out, "</think><answer>"));
    assert_true(cli_has(cli_out, "\"verdict\":\"well-formed\"") || cli_has(cli_out, "\"verdict\":\"correct\""));
    put("own.jsonl", "{\"prompt\":\"2*3*7+1+1+8:\",\"gold\":52,\"verifier\":\"exact\"}\n");
    assert_int_equal(cli(CLI_TEXT("eval %s --task %s/own.jsonl --samples 1 --max-tokens 60 --problems 1", m, cli_root)),
                     0);
}

static int file_of(const char *text, const char *flags)
{
    put("bad.jsonl", text);
    return cli(CLI_TEXT("eval %s/no-model --task %s/bad.jsonl %s", cli_root, cli_root, flags));
}

static void test_bad_gold_is_named_with_its_line_before_the_model_is_read(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(file_of("{\"prompt\":\"a\",\"gold\":\"#### 1\"}\n{\"prompt\":\"b\",\"gold\":\"one\"}\n"
                             "{\"prompt\":\"c\"}\n",
                             "--verifier gsm8k"),
                     3);
    assert_true(cli_has(cli_err, "bad.jsonl:2: the gold answer 'one'"));
    assert_true(cli_has(cli_err, "2 of 3 rows have such a fault"));
    assert_int_equal(file_of("{\"prompt\":\"a\",\"gold\":\"1\"}\n{\"prompt\":\"b\",\n", "--verifier exact"), 3);
    assert_true(cli_has(cli_err, "bad.jsonl:2:"));
    assert_int_equal(file_of("{\"gold\":\"1\"}\n", "--verifier exact"), 3);
    assert_true(cli_has(cli_err, "bad.jsonl:1: no prompt"));
    assert_int_equal(file_of("{\"prompt\":\"a\",\"gold\":\"1\"}\n", ""), 2);
    assert_true(cli_has(cli_err, "no verifier; name one of gsm8k"));
    assert_int_equal(file_of("{\"prompt\":\"a\",\"gold\":\"1\",\"verifier\":\"maths\"}\n", ""), 3);
    assert_int_equal(file_of("", "--verifier exact"), 3);
    assert_int_equal(file_of("{\"prompt\":\"a\",\"gold\":\"1\"}\n", "--verifier exakt"), 2);
    assert_true(cli_has(cli_err, "did you mean 'exact'"));
    assert_int_equal(file_of("{\"nums\":[1,2],\"target\":3}\n", "--verifier countdown"), 3);
    assert_true(cli_has(cli_err, "no-model"));
    assert_int_equal(cli(CLI_TEXT("eval %s/no-model --task chain100 --verifier exact", cli_root)), 2);
    assert_int_equal(cli(CLI_TEXT("eval %s/no-model --task %s/none.jsonl --verifier exact", cli_root, cli_root)), 3);
}

static int gate(const char *text)
{
    put("gate", text);
    return cli(
        CLI_TEXT("eval %s --task chain100 --problems 8 --samples 2 --max-tokens 20 --gate %s/gate", model(), cli_root));
}

static void test_a_missed_criterion_is_named_with_its_value_and_exits_1(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(gate("mean@2: \">= 0\"\nmean_tokens: \"< 100\"\n"), 0);
    assert_true(cli_has(cli_out, "met     mean@2"));
    assert_int_equal(gate("{\"mean@2\": \">= 0\", \"pass@2.high\": \"<= 100%\"}"), 0);
    assert_int_equal(gate("mean@2: \">= 0\"\ngreedy: \"> 100 %\"\nmean_tokens: \"<0\"\n"), 1);
    assert_true(cli_has(cli_err, "2 of 3 criteria missed: greedy is "));
    assert_true(cli_has(cli_err, ", must be > 1; mean_tokens is "));
    assert_true(cli_has(cli_out, "MISSED  greedy"));
}

static void test_gate_files_that_are_off_are_wrong_use(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(gate("meen@2: \">= 0\"\n"), 2);
    assert_true(cli_has(cli_err, "did you mean 'mean@2'"));
    assert_int_equal(gate("mean@2: 0.9\n"), 2);
    assert_true(cli_has(cli_err, "a criterion is such as"));
    assert_int_equal(gate("mean@2: \">= many\"\n"), 2);
    assert_int_equal(gate("# nothing\n"), 2);
    assert_int_equal(
        cli(CLI_TEXT("eval %s --task chain100 --problems 2 --samples 1 --gate %s/none", model(), cli_root)), 3);
}

static void test_wrong_use_is_said_before_anything_runs(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    const char *m = model();
    assert_int_equal(cli(CLI_TEXT("eval %s", m)), 2);
    assert_true(cli_has(cli_err, "give --task FILE.jsonl, or a built-in task: chain100, countdown-3"));
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain10", m)), 2);
    assert_true(cli_has(cli_err, "did you mean 'chain100'"));
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 --problems 301", m)), 2);
    assert_true(cli_has(cli_err, "has 300 held-out problems"));
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 --temperature 0", m)), 2);
    assert_true(cli_has(cli_err, "--samples 0"));
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 --max-tokens 300", m)), 2);
    assert_true(cli_has(cli_err, "context, 256"));
    assert_int_equal(cli(CLI_TEXT("eval %s/none --task chain100", cli_root)), 3);
    assert_int_equal(cli(CLI_TEXT("eval %s --task chain100 --problems 2 --temperature 0 --samples 0 --json", m)), 0);
    assert_false(cli_has(cli_out, "mean@"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_evaluation_names_its_figures_with_intervals),
        cmocka_unit_test(test_answers_do_not_depend_on_threads_and_neighbours),
        cmocka_unit_test(test_a_model_against_itself_shows_no_difference),
        cmocka_unit_test(test_a_file_of_problems_is_judged_by_its_verifier),
        cmocka_unit_test(test_bad_gold_is_named_with_its_line_before_the_model_is_read),
        cmocka_unit_test(test_a_missed_criterion_is_named_with_its_value_and_exits_1),
        cmocka_unit_test(test_gate_files_that_are_off_are_wrong_use),
        cmocka_unit_test(test_wrong_use_is_said_before_anything_runs),
    };
    return cmocka_run_group_tests(tests, cli_set_up, cli_tear_down);
}
