/* SPDX-License-Identifier: Apache-2.0
 * The command line's words: help, suggestions, precedence, exit codes, JSON, what goes where.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/cli_run.h"

static const char *const verbs[] = { "run",     "chat",     "score", "train", "verify", "inspect",
                                     "convert", "tokenize", "bench", "chip",  "demo",   "completion" };

static void test_every_verb_has_help_on_stdout(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        assert_int_equal(cli(CLI_TEXT("%s --help", verbs[i])), 0);
        assert_true(cli_has(cli_out, CLI_TEXT("samsvar %s", verbs[i])));
        assert_true(cli_has(cli_out, "--json"));
        assert_string_equal(cli_err, "");
    }
    assert_int_equal(cli("--help"), 0);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        assert_true(cli_has(cli_out, verbs[i]));
}

static void test_unknown_words_get_one_suggestion(void **state)
{
    static const char *const row[][2] = {
        { "rnu x", "no verb 'rnu'; did you mean 'run'?" },
        { "run m --max-tokns 3", "did you mean '--max-tokens'?" },
        { "chip lst", "did you mean 'list'?" },
        { "completion bsh", "did you mean 'bash'?" },
        { "convert test x --dtype q8_1", "did you mean 'q8_0'?" },
    };
    (void)state;
    if (cli_missing())
        skip();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(cli(row[i][0]), 2);
        assert_true(cli_has(cli_err, row[i][1]));
        assert_true(strncmp(cli_err, "samsvar: ", 9) == 0);
        assert_string_equal(cli_out, "");
    }
}

static void test_wrong_use_exits_2_and_says_what_is_allowed(void **state)
{
    static const char *const row[][2] = {
        { "", "lists the verbs" },
        { "run", "too few words" },
        { "inspect a b", "one word too many, 'b'" },
        { "run m --logprobs 21", "from 0 to 20, found '21'" },
        { "run m --temperature warm", "found 'warm'" },
        { "run m --seed", "--seed needs a value" },
        { "run m --raw=yes", "takes no value" },
        { "tokenize m --seed 1", "'tokenize' has no flag --seed" },
        { "run m -x", "no flag '-x'" },
        { "run m -qv", "not joined" },
    };
    (void)state;
    if (cli_missing())
        skip();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(cli(row[i][0]), 2);
        assert_true(cli_has(cli_err, row[i][1]));
    }
}

static void test_flags_stand_before_or_after_the_verb(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli("--json chip list"), 0);
    char before[1 << 14];
    memcpy(before, cli_out, sizeof before);
    assert_int_equal(cli("chip list --json"), 0);
    assert_string_equal(before, cli_out);
    assert_true(cli_has(cli_out, "\"name\": \"ref\""));
}

static void test_a_flag_beats_the_environment(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli_env("SAMSVAR_CHIP=nope", "train recipes/chain100-quick.yaml --dry-run"), 0);
    assert_true(cli_has(cli_out, "nope"));
    assert_int_equal(cli_env("SAMSVAR_CHIP=nope", "train recipes/chain100-quick.yaml --dry-run --chip ref"), 0);
    assert_false(cli_has(cli_out, "nope"));
    assert_int_equal(cli_env("SAMSVAR_SEED=x", "train recipes/chain100-quick.yaml --dry-run"), 2);
    assert_true(cli_has(cli_err, "SAMSVAR_SEED takes a whole number"));
}

static void test_exit_codes_tell_files_from_chips(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli("inspect /does/not/exist"), 3);
    assert_int_equal(cli("run /does/not/exist -p x"), 3);
    assert_int_equal(cli("chip info nope"), 4);
    assert_true(cli_has(cli_err, "cpu, ref"));
    assert_int_equal(cli("train recipes/chain100-quick.yaml --dry-run --set train.stepz=3"), 2);
    assert_true(cli_has(cli_err, "train.steps"));
}

static void test_errors_are_json_too_when_asked(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    assert_int_equal(cli("chip info nope --json"), 4);
    assert_true(cli_has(cli_out, "{\"error\":{\"code\":\"CHIP\",\"message\":"));
    assert_true(cli_has(cli_err, "samsvar: "));
}

static void test_a_full_disk_behind_stdout_is_an_error(void **state)
{
    (void)state;
    if (cli_missing() || access("/dev/full", W_OK) != 0)
        skip();
    int rc = system(CLI_TEXT("%s --help >/dev/full 2>%s/err", cli_bin(), cli_root));
    assert_int_equal(WEXITSTATUS(rc), 1);
}

static void test_completions_know_every_verb(void **state)
{
    static const char *const shell[] = { "bash", "zsh", "fish" };
    (void)state;
    if (cli_missing())
        skip();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cli(CLI_TEXT("completion %s", shell[i])), 0);
        for (size_t k = 0; k < sizeof verbs / sizeof *verbs; k++)
            assert_true(cli_has(cli_out, verbs[k]));
    }
    assert_int_equal(cli("completion bash"), 0);
    assert_int_equal(system(CLI_TEXT("bash -n %s/out", cli_root)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_verb_has_help_on_stdout),
        cmocka_unit_test(test_unknown_words_get_one_suggestion),
        cmocka_unit_test(test_wrong_use_exits_2_and_says_what_is_allowed),
        cmocka_unit_test(test_flags_stand_before_or_after_the_verb),
        cmocka_unit_test(test_a_flag_beats_the_environment),
        cmocka_unit_test(test_exit_codes_tell_files_from_chips),
        cmocka_unit_test(test_errors_are_json_too_when_asked),
        cmocka_unit_test(test_a_full_disk_behind_stdout_is_an_error),
        cmocka_unit_test(test_completions_know_every_verb),
    };
    return cmocka_run_group_tests(tests, cli_set_up, cli_tear_down);
}
