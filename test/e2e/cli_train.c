/* SPDX-License-Identifier: Apache-2.0
 * The main job by the command line: train, stop, go on, then run, score, chat, convert and verify what was trained.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/cli_run.h"

#define SMALL "--set train.batch_rows=4 --set train.steps=60 --set ckpt.every=40"

static const char *train_line(const char *name)
{
    return CLI_TEXT("train recipes/chain100-quick.yaml --set run.dir=%s/%s " SMALL, cli_root, name);
}

/* The value of "key":"..." in text. */
static const char *text_of(const char *text, const char *key, char *to, size_t cap)
{
    const char *at = strstr(text, CLI_TEXT("\"%s\":\"", key));
    assert_non_null(at);
    at += strlen(key) + 4;
    size_t n = strcspn(at, "\"");
    assert_true(n < cap);
    memcpy(to, at, n);
    to[n] = '\0';
    return to;
}

static const char *model(void)
{
    return CLI_TEXT("%s/whole/step-000060", cli_root);
}

/* First: everything else needs its model. */
static void test_training_ends_with_a_checkpoint_and_a_hash(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("%s --json", train_line("whole"))), 0);
    assert_true(cli_has(cli_out, "{\"v\":1,\"event\":\"step\",\"step\":60,\"steps\":60,"));
    assert_true(cli_has(cli_out, "\"event\":\"done\""));
    assert_int_equal(cli(CLI_TEXT("inspect --check %s", model())), 0);
}

/* The shell sends the signal once the third step is seen. */
static void test_ctrl_c_saves_and_the_same_line_goes_on_to_the_same_bits(void **state)
{
    char whole[20], resumed[20];
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("%s --json", train_line("whole"))), 0);
    text_of(cli_out, "weights", whole, sizeof whole);
    const char *line = train_line("cut");
    int rc = system(CLI_TEXT("set -m; %s %s --json >%s/cut.out 2>%s/cut.err & p=$!; "
                             "for i in $(seq 600); do grep -q '\"step\":3,' %s/cut.out && break; sleep 0.05; done; "
                             "kill -INT $p; wait $p",
                             cli_bin(), line, cli_root, cli_root, cli_root));
    assert_int_equal(WEXITSTATUS(rc), 6);
    assert_int_equal(cli(CLI_TEXT("%s --json", train_line("cut"))), 0);
    assert_true(cli_has(cli_err, "going on from step"));
    assert_string_equal(text_of(cli_out, "weights", resumed, sizeof resumed), whole);
}

static void test_threads_and_chips_train_the_same_weights(void **state)
{
    char one[20], ref[20];
    (void)state;
    if (cli_missing())
        skip();
    const char *few = "--set train.batch_rows=2 --set train.steps=2 --set schedule.warmup=0";
    assert_int_equal(cli(CLI_TEXT("train recipes/chain100-quick.yaml --set run.dir= %s --threads 1 --json", few)), 0);
    text_of(cli_out, "weights", one, sizeof one);
    assert_int_equal(cli(CLI_TEXT("train recipes/chain100-quick.yaml --set run.dir= %s --chip ref --json", few)), 0);
    assert_string_equal(text_of(cli_out, "weights", ref, sizeof ref), one);
}

static void test_an_answer_streams_with_log_probs(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("run %s -p '2*3*7+1+1+8:' --max-tokens 4 --json --logprobs 3", model())), 0);
    assert_true(cli_has(cli_out, "\"event\":\"token\""));
    assert_true(cli_has(cli_out, "\"top\":[{\"id\":"));
    assert_true(cli_has(cli_out, "\"prompt_tokens\":13"));
    assert_true(cli_has(cli_err, "start to first token"));
    assert_int_equal(cli(CLI_TEXT("run %s -q -p '2*3*7+1+1+8:' --max-tokens 4", model())), 0);
    assert_string_equal(cli_err, "");
    assert_int_equal(system(CLI_TEXT("printf '2*3*7+1+1+8:' | %s run %s - -q --max-tokens 4 >%s/stdin", cli_bin(),
                                     model(), cli_root)),
                     0);
    assert_int_equal(system(CLI_TEXT("cmp -s %s/stdin %s/out", cli_root, cli_root)), 0);
}

static void test_the_same_seed_gives_the_same_answer_on_every_chip(void **state)
{
    static const char *const how[] = { "--threads 1", "--threads 3", "--chip cpu:scalar", "--chip ref" };
    (void)state;
    if (cli_missing())
        skip();
    const char *line = CLI_TEXT("run %s -q -p '2*3*7+1+1+8:' --temperature 1 --seed 5 --max-tokens 40", model());
    assert_int_equal(cli(line), 0);
    char first[512];
    memcpy(first, cli_out, sizeof first);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cli(CLI_TEXT("%s %s", line, how[i])), 0);
        assert_string_equal(cli_out, first);
    }
}

static void test_score_gives_null_for_the_first_token_and_a_perplexity(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("score %s -p '2*3=6,' --json", model())), 0);
    assert_true(strncmp(cli_out, "{\"id\":8,\"piece\":\"2\",\"logprob\":null}\n", 36) == 0);
    assert_true(cli_has(cli_out, "\"tokens\":6,\"scored\":5"));
    assert_true(cli_has(cli_out, "\"perplexity\":"));
}

static void test_chat_without_a_terminal_reads_plain_lines(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    int rc = system(CLI_TEXT("printf '2*3*7+1+1+8:\\n/temp x\\n/info\\n/save %s/chat.jsonl\\n/quit\\nnever' | %s chat "
                             "%s --max-tokens 8 >%s/chat 2>&1",
                             cli_root, cli_bin(), model(), cli_root));
    assert_int_equal(WEXITSTATUS(rc), 0);
    cli_read("chat", cli_out, sizeof cli_out);
    assert_true(cli_has(cli_out, "/temp takes a number"));
    assert_true(cli_has(cli_out, "2 messages"));
    cli_read("chat.jsonl", cli_out, sizeof cli_out);
    assert_true(strncmp(cli_out, "{\"messages\":[{\"role\":\"user\",\"content\":\"2*3*7+1+1+8:\"},", 53) == 0);
}

static void test_convert_goes_there_and_back_without_a_changed_weight(void **state)
{
    char before[80], after[80];
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("convert %s %s/a.gguf -q", model(), cli_root)), 0);
    assert_int_equal(cli(CLI_TEXT("convert %s/a.gguf %s/back -q", cli_root, cli_root)), 0);
    assert_int_equal(cli(CLI_TEXT("inspect %s --hash -q", model())), 0);
    snprintf(before, sizeof before, "%.71s", strstr(cli_out, "\nweights "));
    assert_int_equal(cli(CLI_TEXT("inspect %s/back --hash -q", cli_root)), 0);
    snprintf(after, sizeof after, "%.71s", strstr(cli_out, "\nweights "));
    assert_string_equal(before, after);
    assert_int_equal(cli(CLI_TEXT("convert %s %s", model(), model())), 2);
    assert_int_equal(cli(CLI_TEXT("convert %s %s/dry.gguf --dtype q8_0 --dry-run", model(), cli_root)), 0);
    assert_int_not_equal(access(CLI_TEXT("%s/dry.gguf", cli_root), F_OK), 0);
}

static void test_verify_finds_chips_identical(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(
        cli(CLI_TEXT("verify %s --chip cpu --chip cpu:scalar --chip ref --chip odd --max-tokens 6", model())), 0);
    assert_true(cli_has(cli_out, "IDENTICAL: 4 chips"));
    assert_int_equal(cli(CLI_TEXT("verify %s --chip cpu --chip ref --max-tokens 2 --json", model())), 0);
    assert_true(cli_has(cli_out, "\"event\":\"verdict\",\"identical\":true"));
}

static void test_chip_test_ends_with_a_tiny_model(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli("chip test ref --quick -q"), 0);
    assert_true(cli_has(cli_out, "ok   end to end"));
}

static void test_a_finished_run_is_evaluated_alone(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("%s --eval 5 --json", train_line("whole"))), 0);
    assert_false(cli_has(cli_out, "\"event\":\"step\""));
    assert_true(cli_has(cli_out, "\"event\":\"eval\",\"task\":\"chain100\",\"problems\":5"));
    assert_true(cli_has(cli_out, "\"ids_hash\":"));
}

static void test_bench_has_a_line_for_training_steps(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli("bench test/golden/models/qwen3 --kind train --json --threads 1"), 0);
    assert_true(cli_has(cli_out,
                        "{\"kind\":\"train\",\"model\":\"test/golden/models/qwen3\",\"tokens\":256,\"context\":0,"
                        "\"batch\":4,\"threads\":1,\"tok_s\":"));
    assert_int_equal(cli("bench test/golden/models/qwen3 --kind trian"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_ends_with_a_checkpoint_and_a_hash),
        cmocka_unit_test(test_ctrl_c_saves_and_the_same_line_goes_on_to_the_same_bits),
        cmocka_unit_test(test_threads_and_chips_train_the_same_weights),
        cmocka_unit_test(test_an_answer_streams_with_log_probs),
        cmocka_unit_test(test_the_same_seed_gives_the_same_answer_on_every_chip),
        cmocka_unit_test(test_score_gives_null_for_the_first_token_and_a_perplexity),
        cmocka_unit_test(test_chat_without_a_terminal_reads_plain_lines),
        cmocka_unit_test(test_convert_goes_there_and_back_without_a_changed_weight),
        cmocka_unit_test(test_verify_finds_chips_identical),
        cmocka_unit_test(test_chip_test_ends_with_a_tiny_model),
        cmocka_unit_test(test_a_finished_run_is_evaluated_alone),
        cmocka_unit_test(test_bench_has_a_line_for_training_steps),
    };
    return cmocka_run_group_tests(tests, cli_set_up, cli_tear_down);
}
