/* SPDX-License-Identifier: Apache-2.0
 * samsvar train with train.method: rl and opd: what it prints, writes and refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/cli_run.h"

#define SMALL "--set train.steps=3 --set schedule.warmup=1 --set rl.prompts=2 --set rollout.max_tokens=12 --json"

static void test_an_sft_run_goes_on_with_rl_and_opd(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli(CLI_TEXT("train recipes/chain100-quick.yaml --set run.dir=%s/sft --set train.batch_rows=2 "
                                  "--set train.steps=30",
                                  cli_root)),
                     0);
    assert_int_equal(cli(CLI_TEXT("train recipes/chain100-rl.yaml --set model.from=%s/sft --set run.dir=%s/rl "
                                  "--set rl.group_size=4 " SMALL,
                                  cli_root, cli_root)),
                     0);
    assert_true(cli_has(cli_out, "\"event\":\"step\",\"step\":3"));
    assert_true(cli_has(cli_out, "\"sampling/importance_sampling_ratio/max\":1.0"));
    assert_true(cli_has(cli_out, "\"sampling/sampling_logp_difference/max\":0.0"));
    assert_true(cli_has(cli_out, "\"event\":\"done\""));
    assert_int_equal(system(CLI_TEXT("grep -q frac_reward_zero_std %s/rl/log.jsonl", cli_root)), 0);
    assert_int_equal(cli(CLI_TEXT("inspect --check %s/rl/step-000003", cli_root)), 0);
    assert_int_equal(cli(CLI_TEXT("train recipes/chain100-opd.yaml --set model.from=%s/sft --set opd.teacher=%s/rl "
                                  "--set run.dir=%s/opd " SMALL,
                                  cli_root, cli_root, cli_root)),
                     0);
    assert_true(cli_has(cli_out, "\"tokens/teacher\":"));
}

static void test_a_biased_sampler_is_refused(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli("train recipes/chain100-rl.yaml --set rollout.top_p=0.8"), 2);
    assert_true(cli_has(cli_err, "rollout.top_p is 0.8"));
    assert_true(cli_has(cli_err, "use 1"));
    assert_int_equal(cli("train recipes/chain100-sft.yaml --set rl.prompts=4"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_sft_run_goes_on_with_rl_and_opd),
        cmocka_unit_test(test_a_biased_sampler_is_refused),
    };
    return cmocka_run_group_tests(tests, cli_set_up, cli_tear_down);
}
