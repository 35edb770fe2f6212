/* SPDX-License-Identifier: Apache-2.0
 * Failures that need real runs of the 335k model (minutes on 2 cores): a weak base with and without a reward for form,
 * length that runs away, a student that is too small. `make long`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#ifdef SV_HAVE_SQLITE
#include <sqlite3.h>
#endif

#include "test/cli_run.h"

/* A number of the run's log; -1: there is none. */
static double ask(const char *name, const char *sql)
{
    double v = -1;
#ifdef SV_HAVE_SQLITE
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    const char *path = CLI_TEXT("%s/%s/log.sqlite", cli_root, name);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        v = sqlite3_column_double(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
#else
    (void)name;
    (void)sql;
    skip();
#endif
    return v;
}

static int set_up(void **state)
{
    return cli_missing() || cli_set_up(state) ? -1 : 0;
}

/* A blind searcher whose traces are never drawn again: it hits 7 % of the time (SFT A). */
static void weak_base(void)
{
    if (access(CLI_TEXT("%s/weak/log.jsonl", cli_root), F_OK) == 0)
        return;
    assert_int_equal(
        cli(CLI_TEXT("train recipes/countdown3-sft.yaml --set data.worked=0 --set run.dir=%s/weak", cli_root)), 0);
}

static int rl(const char *name, const char *sets)
{
    return cli(CLI_TEXT("train recipes/countdown3-rl.yaml --set model.from=%s/weak --set run.dir=%s/%s --set "
                        "eval.problems=240 --set eval.samples=8 %s",
                        cli_root, cli_root, name, sets));
}

/* Either the guard stops it, with a checkpoint from before and a sentence with the three figures, or it stays alive:
 * the cause of the explosion that was seen elsewhere is not isolated. */
static void test_f1_length_runs_away_or_not_but_never_unseen(void **state)
{
    (void)state;
    static const char *const lr[] = { "3e-4", "5e-4" };
    weak_base();
    for (int i = 0; i < 2; i++) {
        const char *name = CLI_TEXT("f1-%d", i);
        int rc =
            rl(name, CLI_TEXT("--set rl.loss=dapo --set rl.updates=4 --set reward.format=0 --set train.steps=60 --set "
                              "eval.every=20 --set optim.lr=%s",
                              lr[i]));
        double length =
            ask(name, "SELECT value FROM metric WHERE name='completions/mean_length' ORDER BY step DESC LIMIT 1");
        double cut =
            ask(name, "SELECT value FROM metric WHERE name='completions/clipped_ratio' ORDER BY step DESC LIMIT 1");
        print_message("F1, lr %s: exit %d, last length %.1f, cut off %.2f\n", lr[i], rc, length, cut);
        assert_true(rc == 0 || rc == 6);
        if (rc == 6)
            assert_true(cli_has(cli_err, "mean length") && cli_has(cli_err, "cut off") &&
                        cli_has(cli_err, "groups alike"));
        else
            assert_true(length < 99 || cut < 0.5);
        assert_int_equal(system(CLI_TEXT("ls -d %s/%s/step-* >/dev/null", cli_root, name)), 0);
    }
}

static void test_f2_a_weak_base_is_slow_but_stays_alive(void **state)
{
    (void)state;
    weak_base();
    assert_int_equal(cli(CLI_TEXT("eval %s/weak --task countdown-3 --problems 240 --json", cli_root)), 0);
    const char *at = strstr(cli_out, "\"mean@8\":{\"value\":");
    assert_non_null(at);
    double before = atof(at + strlen("\"mean@8\":{\"value\":"));
    assert_int_equal(rl("f2", "--set optim.lr=1e-4 --set train.steps=60 --set eval.every=60"), 0);
    double after = ask("f2", "SELECT value FROM eval WHERE name='mean@8' AND step=60");
    print_message("F2: mean@8 %.3f before, %.3f after 60 steps\n", before, after);
    assert_true(after > before - 0.02);
}

static void test_f3_a_student_that_is_too_small_is_warned_of(void **state)
{
    (void)state;
    assert_int_equal(cli(CLI_TEXT("train recipes/chain100-sft.yaml --set run.dir=%s/small --set train.steps=300 --set "
                                  "model.new.hidden_size=64 --set model.new.num_hidden_layers=2 --set "
                                  "model.new.num_attention_heads=2 --set model.new.num_key_value_heads=2 --set "
                                  "model.new.intermediate_size=160",
                                  cli_root)),
                     0);
    int rc = cli(
        CLI_TEXT("train recipes/chain100-rl.yaml --set model.from=%s/small --set run.dir=%s/f3 --set train.steps=30 "
                 "--set rl.group_size=8 --set reward.format=0 --set eval.every=0",
                 cli_root, cli_root));
    double most = ask("f3", "SELECT max(value) FROM metric WHERE name='frac_reward_zero_std'");
    print_message("F3: exit %d, at most %.2f of groups alike\n", rc, most);
    assert_true(rc == 0 || rc == 6);
    assert_true(most > 0.6);
    assert_true(cli_has(cli_err, "A better start (SFT), rl.resample or other problems help"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f1_length_runs_away_or_not_but_never_unseen),
        cmocka_unit_test(test_f2_a_weak_base_is_slow_but_stays_alive),
        cmocka_unit_test(test_f3_a_student_that_is_too_small_is_warned_of),
    };
    return cmocka_run_group_tests(tests, set_up, cli_tear_down);
}
