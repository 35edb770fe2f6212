/* SPDX-License-Identifier: Apache-2.0
 * The log of a run: JSON lines and SQLite say the same, a kill leaves both readable, going on repeats no step, and
 * samsvar runs reads them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>

#include "format/jsonl.h"
#include "test/cli_run.h"
#include "test/train_run.h"

#ifdef SV_HAVE_SQLITE
#include <sqlite3.h>

/* One number of a query on the log of cli_root/name. */
static long long ask(const char *name, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(CLI_TEXT("%s/%s/log.sqlite", cli_root, name), &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    long long v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return v;
}
#endif

/* Steps of log.jsonl, which must be 1, 2, 3 ... without a gap or a repetition; other lines are objects. */
static uint64_t steps_of(const char *name)
{
    sv_jsonl *r;
    sv_jsonl_line line;
    json_t *o;
    uint64_t n = 0;
    assert_int_equal(sv_jsonl_open(CLI_TEXT("%s/%s/log.jsonl", cli_root, name), &r), SV_OK);
    while (sv_jsonl_next(r, &line, &o) == SV_OK && o != NULL) {
        if (strcmp(json_string_value(json_object_get(o, "event")), "step") == 0)
            assert_int_equal(json_integer_value(json_object_get(o, "step")), ++n);
        json_decref(o);
    }
    assert_int_equal(line.text.p == NULL, 1); /* read to the end */
    sv_jsonl_close(r);
    return n;
}

static void check_log(const char *name, uint64_t steps)
{
    assert_int_equal(steps_of(name), steps);
#ifdef SV_HAVE_SQLITE
    assert_int_equal(ask(name, "SELECT count(*) FROM metric WHERE name = 'loss'"), steps);
    assert_int_equal(ask(name, "SELECT max(step) FROM metric"), steps);
    assert_int_equal(ask(name, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
#endif
}

static const char *sets_of(const char *name)
{
    return CLI_TEXT("run.dir=%s/%s", cli_root, name);
}

/* Runs in a child that is killed behind step `die`. */
static void run_and_die(const char *name, uint64_t die)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        sv_recipe *r;
        sv_train *t;
        sv_train_report report;
        if (tiny_open(sets_of(name), &r, &t) != SV_OK)
            _exit(1);
        while (sv_train_steps_made(t) < die)
            if (sv_train_step(t, &report) != SV_OK)
                _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
}

static void go_on(const char *name, uint64_t to)
{
    assert_true(tiny_hash(sets_of(name), to) != 0);
}

static void test_a_killed_run_has_every_step_and_going_on_repeats_none(void **state)
{
    (void)state;
    run_and_die("killed", 17);
    check_log("killed", 17);
    run_and_die("killed", 25); /* from step 10 */
    check_log("killed", 25);
    go_on("killed", UINT64_MAX);
    check_log("killed", 50);
    assert_int_equal(system(CLI_TEXT("test $(grep -c '\"event\":\"open\"' %s/killed/log.jsonl) = 3", cli_root)), 0);
}

static void test_a_line_cut_by_a_crash_is_dropped(void **state)
{
    (void)state;
    run_and_die("cut", 12);
    assert_int_equal(system(CLI_TEXT("printf '{\"event\":\"step\",\"st' >>%s/cut/log.jsonl", cli_root)), 0);
    if (!cli_missing()) {
        assert_int_equal(cli(CLI_TEXT("runs %s/cut", cli_root)), 0);
        assert_true(cli_has(cli_out, "12/50"));
    }
    go_on("cut", UINT64_MAX);
    check_log("cut", 50);
}

static void test_a_database_that_is_lost_or_damaged_is_made_again(void **state)
{
    (void)state;
    run_and_die("lost", 12);
    assert_int_equal(system(CLI_TEXT("cd %s/lost && rm -f log.sqlite-*", cli_root)), 0); /* the tail with it */
    run_and_die("lost", 22);
    check_log("lost", 22);
    assert_int_equal(
        system(CLI_TEXT("cd %s/lost && rm -f log.sqlite-* && head -c 3000 /dev/urandom >log.sqlite", cli_root)), 0);
    run_and_die("lost", 31);
    check_log("lost", 31);
    assert_int_equal(system(CLI_TEXT("cd %s/lost && rm -f log.sqlite*", cli_root)), 0);
    go_on("lost", UINT64_MAX);
    check_log("lost", 50);
}

static void test_the_log_changes_no_bit(void **state)
{
    (void)state;
    uint64_t without = tiny_hash("", UINT64_MAX);
    assert_true(without != 0);
    assert_true(tiny_hash(sets_of("killed"), UINT64_MAX) == without);
}

/* ---- samsvar runs ---- */

static void write_log(const char *name, const char *text)
{
    assert_int_equal(system(CLI_TEXT("mkdir -p %s/%s", cli_root, name)), 0);
    FILE *f = fopen(CLI_TEXT("%s/%s/log.jsonl", cli_root, name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define OPEN(lr) "{\"event\":\"open\",\"step\":0,\"method\":\"rl\",\"steps\":3,\"recipe\":{\"optim.lr\":\"" lr "\"}}\n"
#define STEP(n, reward, hash) \
    "{\"event\":\"step\",\"step\":" n ",\"loss\":0.5,\"reward\":" reward ",\"weight_hash\":\"" hash "\"}\n"

static const char log_a[] = OPEN("1e-3") STEP("1", "0.1", "aa") STEP("2", "0.2", "bb") STEP(
    "3", "0.9",
    "cc") "{\"event\":\"eval\",\"step\":3,\"metrics\":{\"mean@8\":{\"value\":0.75,\"low\":0.5,\"high\":0.875}}}\n"
          "{\"event\":\"sample\",\"step\":3,\"row\":0,\"problem\":\"<script>alert(1)</script>\","
          "\"output\":\"a & b \\u001b[31m\",\"verdict\":\"correct\",\"reward\":1,\"advantage\":0.5,\"tokens\":7}\n";
static const char log_b[] = OPEN("2e-3") STEP("1", "0.1", "aa") STEP("2", "0.3", "dd");

static void test_runs_lists_compares_and_plots(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    write_log("all/a", log_a);
    write_log("all/b", log_b);
    assert_int_equal(cli(CLI_TEXT("runs %s/all", cli_root)), 0);
    assert_true(cli_has(cli_out, "3/3") && cli_has(cli_out, "75.0 % [50.0, 87.5]"));
    assert_true(cli_has(cli_out, "done") && cli_has(cli_out, "stopped"));
    assert_int_equal(cli(CLI_TEXT("runs %s/all --compare", cli_root)), 0);
    assert_true(cli_has(cli_out, "optim.lr") && cli_has(cli_out, "2e-3"));
    assert_true(cli_has(cli_out, "differ at step 2 (bb, dd)"));
    assert_int_equal(cli(CLI_TEXT("runs %s/all --plot reward", cli_root)), 0);
    assert_true(cli_has(cli_out, "reward") && cli_has(cli_out, "step 1"));
    assert_int_equal(cli(CLI_TEXT("runs %s/all --json", cli_root)), 0);
    assert_true(cli_has(cli_out, "\"high\":0.875"));
    assert_int_equal(cli(CLI_TEXT("runs %s/all --plot rewrad", cli_root)), 2);
    assert_true(cli_has(cli_err, "did you mean 'reward'"));
    assert_int_equal(cli(CLI_TEXT("runs %s/nowhere", cli_root)), 3);
    assert_int_equal(cli_env("COLUMNS=60", CLI_TEXT("runs %s/all", cli_root)), 0);
    for (char *line = strtok(cli_out, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 60);
}

static void test_the_report_stands_alone_and_escapes(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    write_log("all/a", log_a);
    write_log("all/b", log_b);
    assert_int_equal(cli(CLI_TEXT("runs %s/all --html %s/page.html", cli_root, cli_root)), 0);
    cli_read("page.html", cli_out, sizeof cli_out);
    assert_true(cli_has(cli_out, "&lt;script&gt;alert(1)") && cli_has(cli_out, "a &amp; b \\x1b[31m"));
    assert_true(cli_has(cli_out, "prefers-color-scheme:dark") && cli_has(cli_out, "75.0 %"));
    static const char *const never[] = {
        "<script", "http:", "https:", "url(", "@import", "src=", "<link", "nan", "inf"
    };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (cli_has(cli_out, never[i]))
            fail_msg("the page has '%s'", never[i]);
}

static void test_a_bad_log_is_named_and_the_others_are_shown(void **state)
{
    (void)state;
    if (cli_missing())
        skip();
    write_log("mixed/a", log_a);
    write_log("mixed/bad", "not JSON\n{\"event\":\"open\"}\n");
    write_log("mixed/odd", "{\"event\":\"eval\",\"metrics\":3}\n{\"event\":\"step\",\"step\":-1,\"loss\":null}\n"
                           "{\"event\":5}\n{\"event\":\"open\",\"recipe\":[]}\n{}\n");
    assert_int_equal(cli(CLI_TEXT("runs %s/mixed --html %s/odd.html", cli_root, cli_root)), 0);
    assert_true(cli_has(cli_err, "bad/log.jsonl:1"));
    assert_int_equal(cli(CLI_TEXT("runs %s/mixed", cli_root)), 0);
    assert_true(cli_has(cli_out, "odd"));
    assert_int_equal(cli(CLI_TEXT("runs %s/mixed/odd", cli_root)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_killed_run_has_every_step_and_going_on_repeats_none),
        cmocka_unit_test(test_a_line_cut_by_a_crash_is_dropped),
        cmocka_unit_test(test_a_database_that_is_lost_or_damaged_is_made_again),
        cmocka_unit_test(test_the_log_changes_no_bit),
        cmocka_unit_test(test_runs_lists_compares_and_plots),
        cmocka_unit_test(test_the_report_stands_alone_and_escapes),
        cmocka_unit_test(test_a_bad_log_is_named_and_the_others_are_shown),
    };
    return cmocka_run_group_tests(tests, cli_set_up, cli_tear_down);
}
