/* SPDX-License-Identifier: Apache-2.0
 * Adapters by the program: trained, evaluated, run, scored and merged, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/cli_run.h"

static const char recipe[] = "model: {from: BASE}\n"
                             "data: {task: chain100}\n"
                             "train: {steps: 8, batch_rows: 4, lora: {rank: 4, alpha: 8}}\n"
                             "optim: {lr: 1e-2}\n"
                             "schedule: {warmup: 1}\n";

/* A base of 20 steps, and an adapter of 8 on it. */
static int set_up(void **state)
{
    if (cli_set_up(state) != 0)
        return -1;
    if (cli_missing())
        return 0;
    FILE *f = fopen(CLI_TEXT("%s/lora.yaml", cli_root), "w");
    fputs(recipe, f);
    fclose(f);
    if (cli(CLI_TEXT("train recipes/chain100-quick.yaml -q --set run.dir=%s/base --set train.batch_rows=4 --set "
                     "train.steps=20 --set schedule.warmup=2",
                     cli_root)) != 0)
        return -1;
    return cli(
        CLI_TEXT("train %s/lora.yaml -q --set model.from=%s/base --set run.dir=%s/lora", cli_root, cli_root, cli_root));
}

static void test_verbs_take_an_adapter(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    static char alone[1 << 16];
    assert_int_equal(cli(CLI_TEXT("score %s/base -p '3+4=7' --json", cli_root)), 0);
    snprintf(alone, sizeof alone, "%.60000s", cli_out);
    assert_int_equal(cli(CLI_TEXT("score %s/base --adapter %s/lora -p '3+4=7' --json", cli_root, cli_root)), 0);
    assert_string_not_equal(alone, cli_out);
    assert_int_equal(cli(CLI_TEXT("run %s/base --adapter %s/lora -p '3+4' --max-tokens 4", cli_root, cli_root)), 0);
    assert_int_equal(
        cli(CLI_TEXT("verify %s/base --adapter %s/lora -p '3+4' --chip ref --chip cpu", cli_root, cli_root)), 0);
    assert_int_equal(
        cli(CLI_TEXT("eval %s/base --adapter %s/lora --task chain100 --problems 3 --samples 2 --max-tokens 8", cli_root,
                     cli_root)),
        0);
    assert_true(cli_has(cli_out, "adapter "));
    assert_int_equal(cli(CLI_TEXT("inspect --check %s/lora/step-000008", cli_root)), 0);
    assert_int_equal(cli(CLI_TEXT("inspect %s/lora/step-000008", cli_root)), 0);
}

static void test_a_merged_adapter_is_a_model_of_its_own(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("convert %s/base %s/merged --adapter %s/lora", cli_root, cli_root, cli_root)), 0);
    assert_true(cli_has(cli_err, "is merged: another model"));
    assert_int_equal(cli(CLI_TEXT("convert %s/base %s/merged.gguf --adapter %s/lora", cli_root, cli_root, cli_root)),
                     0);
    assert_int_equal(cli(CLI_TEXT("score %s/merged -p '3+4=7' --json", cli_root)), 0);
    const char *line = CLI_TEXT("%.2000s", cli_out);
    assert_int_equal(cli(CLI_TEXT("score %s/merged.gguf -p '3+4=7' --json", cli_root)), 0);
    assert_string_equal(line, CLI_TEXT("%.2000s", cli_out));
}

static void refused(const char *args, int code, const char *words)
{
    if (cli(args) != code || !cli_has(cli_err, words))
        fail_msg("%s: '%s'; expected %d and '%s'", args, cli_err, code, words);
}

static void test_what_is_no_adapter_is_refused(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    refused(CLI_TEXT("run %s/lora/step-000008 -p x", cli_root), 2, "an adapter, not a model; name its base");
    refused(CLI_TEXT("run %s/lora -p x", cli_root), 2, "an adapter, not a model; name its base");
    refused(CLI_TEXT("run %s/base --adapter %s/base -p x", cli_root, cli_root), 3, "no adapter_config.json");
    refused(CLI_TEXT("run %s/base --adapter %s/nowhere -p x", cli_root, cli_root), 3, "no adapter_config.json");
    refused(CLI_TEXT("run test/golden/models/qwen3 --adapter %s/lora -p x", cli_root), 3, "expected [");
    refused(CLI_TEXT("train %s/lora.yaml --set model.from=%s/base --set train.lora.targets=gates", cli_root, cli_root),
            2, "'gates' names no linear weight");
    refused(CLI_TEXT("train %s/lora.yaml --set model.from=%s/base --set train.lora.rank=0", cli_root, cli_root), 2,
            "train.lora.rank is 0");
    refused(CLI_TEXT("serve a=%s/base b=%s/base --adapter %s/lora", cli_root, cli_root, cli_root), 2,
            "--adapter belongs to one base");
    assert_int_equal(cli(CLI_TEXT("train %s/lora.yaml --set model.from=%s/base --dry-run", cli_root, cli_root)), 0);
    assert_true(cli_has(cli_out, "in an adapter"));
}

/* The recipes that were never run here: their sizes come from config.json alone. */
static void test_recipes_of_a_larger_model_are_planned(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    static const char config[] = "{\"model_type\":\"qwen3\",\"num_hidden_layers\":28,\"hidden_size\":1024,"
                                 "\"num_attention_heads\":16,\"num_key_value_heads\":8,\"head_dim\":128,"
                                 "\"intermediate_size\":3072,\"vocab_size\":151936,\"max_position_embeddings\":40960,"
                                 "\"rms_norm_eps\":1e-6,\"rope_theta\":1000000,\"tie_word_embeddings\":true}";
    assert_int_equal(system(CLI_TEXT("mkdir -p %s/qwen", cli_root)), 0);
    FILE *f = fopen(CLI_TEXT("%s/qwen/config.json", cli_root), "w");
    fputs(config, f);
    fclose(f);
    assert_int_equal(
        cli(CLI_TEXT("train recipes/qwen3-0.6b-gsm8k-sft.yaml --dry-run --set model.from=%s/qwen", cli_root)), 0);
    assert_true(cli_has(cli_out, "parameters: 596049920, frozen; 10092544 in an adapter are trained"));
    assert_int_equal(
        cli(CLI_TEXT("train recipes/qwen3-0.6b-gsm8k-rl.yaml --dry-run --set model.from=%s/qwen", cli_root)), 0);
    assert_true(cli_has(cli_out, "KV pages of"));
    assert_true(cli_has(cli_out, "at most"));
    assert_int_equal(cli(CLI_TEXT("train recipes/smollm2-add-rl.yaml --dry-run --set model.from=%s/qwen", cli_root)),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs_take_an_adapter),
        cmocka_unit_test(test_a_merged_adapter_is_a_model_of_its_own),
        cmocka_unit_test(test_what_is_no_adapter_is_refused),
        cmocka_unit_test(test_recipes_of_a_larger_model_are_planned),
    };
    return cmocka_run_group_tests(tests, set_up, cli_tear_down);
}
