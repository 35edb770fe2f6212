/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints under faults: death at each point of a save, death at any time, a full disk, damaged files of every kind.
 * What a run ends with is the same each time, or the run says why it stops.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/train_run.h"
#include "train/ckpt.h"

static char root[] = "/tmp/samsvar-ckpt-XXXXXX";
static uint64_t golden;

static int set_up(void **state)
{
    (void)state;
    golden = golden_bits("sft50");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return sv_file_remove_tree(root) == SV_OK ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[4][256];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", root, name);
    return path[at];
}

static const char *sets_of(const char *name, const char *more)
{
    static char sets[512];
    snprintf(sets, sizeof sets, "run.dir=%s/%s threads=1 %s", root, name, more);
    return sets;
}

static void expect_end(const char *name)
{
    char dir[64];
    sv_ckpt_mark mark;
    snprintf(dir, sizeof dir, "%s/step-000050", name);
    if (sv_ckpt_check(path_of(dir), &mark, NULL) != SV_OK)
        fail_msg("%s: %s", name, sv_err_text());
    assert_true(mark.weight_bits == golden);
}

static uint32_t count_names(const char *name, const char *start)
{
    sv_arena *a = sv_arena_make();
    char **all;
    size_t n;
    uint32_t found = 0;
    assert_int_equal(sv_file_list(path_of(name), a, &all, &n), SV_OK);
    for (size_t i = 0; i < n; i++)
        found += sv_str_starts(sv_str_of(all[i]), start);
    sv_arena_drop(a);
    return found;
}

static void test_death_at_each_point_of_a_save_loses_nothing_that_was_saved(void **state)
{
    (void)state;
#ifdef SV_FAULTS
    static const char *const point[] = {
        "begin", "model", "state", "manifest", "synced", "renamed", "saved", "pruned"
    };
    for (size_t i = 0; i < sizeof point / sizeof *point; i++) {
        char rules[64];
        snprintf(rules, sizeof rules, "die:ckpt.%s:nth=3", point[i]); /* the save of step 30 */
        assert_int_equal(tiny_child(sets_of(point[i], ""), rules), 137);
        bool is_there = i >= 5;
        char dir[64];
        snprintf(dir, sizeof dir, "%s/step-000030", point[i]);
        assert_true(sv_file_exists(path_of(dir)) == is_there);
        snprintf(dir, sizeof dir, "%s/step-000020", point[i]);
        assert_int_equal(sv_ckpt_check(path_of(dir), NULL, NULL), SV_OK);
        assert_true(is_there || count_names(point[i], ".tmp-") == 1);
        assert_int_equal(tiny_child(sets_of(point[i], ""), NULL), 0);
        assert_int_equal(count_names(point[i], ".tmp-"), 0);
        expect_end(point[i]);
    }
#else
    skip();
#endif
}

static void test_death_at_any_time_ends_in_the_same_weights(void **state)
{
    (void)state;
    int died = 0;
    for (int attempt = 0; attempt < 40; attempt++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            sv_recipe *r;
            sv_train *t;
            sv_err err = tiny_open(sets_of("killed", ""), &r, &t);
            for (sv_train_report report; err == SV_OK && !sv_train_done(t);)
                err = sv_train_step(t, &report);
            _exit(err == SV_OK ? 0 : 1);
        }
        int status;
        usleep((useconds_t)(40000 + 37000 * (attempt % 11)));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        died += WIFSIGNALED(status);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        assert_true(WIFSIGNALED(status));
    }
    print_message("killed %d times\n", died);
    assert_int_equal(tiny_child(sets_of("killed", ""), NULL), 0);
    expect_end("killed");
}

static void test_a_full_disk_does_not_end_the_run(void **state)
{
    (void)state;
#ifdef SV_FAULTS
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    assert_int_equal(tiny_open(sets_of("full", ""), &r, &t), SV_OK);
    while (sv_train_steps_made(t) < 9)
        assert_int_equal(sv_train_step(t, &report), SV_OK);
    for (int from = 7; from > 0; from -= 6) { /* inside the save of step 10; then from the first line of step 20 on */
        char rules[64];
        while (sv_train_steps_made(t) % 10 != 9)
            assert_int_equal(sv_train_step(t, &report), SV_OK);
        uint64_t before = report.unsaved_steps;
        snprintf(rules, sizeof rules, "file.write:from=%d:err=ENOSPC", from);
        sv_fault_set(rules);
        if (sv_train_step(t, &report) != SV_OK)
            fail_msg("%s", sv_err_text());
        assert_false(report.saved);
        assert_non_null(report.save_problem);
        assert_true(report.unsaved_steps == before + 1);
        assert_int_equal(count_names("full", ".tmp-"), 0);
        assert_int_equal(count_names("full", "step-"), 0);
        if (from == 1) /* the disk stays full for two more steps */
            for (int i = 0; i < 2; i++)
                assert_int_equal(sv_train_step(t, &report), SV_OK);
        sv_fault_set(NULL);
    }
    while (!sv_train_done(t)) {
        assert_int_equal(sv_train_step(t, &report), SV_OK);
        assert_true(report.saved == (report.step % 10 == 0));
    }
    tiny_close(r, t);
    expect_end("full");
    sv_file_map x, y;
    assert_int_equal(sv_file_map_open(path_of("full/curve.tsv"), &x), SV_OK);
    assert_int_equal(sv_file_map_open(path_of("killed/curve.tsv"), &y), SV_OK);
    assert_true(x.n == y.n && memcmp(x.p, y.p, x.n) == 0); /* no line is lost */
    sv_file_map_close(&x);
    sv_file_map_close(&y);
#else
    skip();
#endif
}

/* Every call of a save made to fail in turn: no temporary folder stays, the checkpoint before is whole. */
static void test_every_failing_call_of_a_save_leaves_the_run_whole(void **state)
{
    (void)state;
#ifdef SV_FAULTS
    static const char *const call[] = { "open", "write", "fsync", "rename", "mkdir" };
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    assert_int_equal(tiny_open(sets_of("calls", "ckpt.every=0"), &r, &t), SV_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sv_train_step(t, &report), SV_OK);
    uint32_t failed = 0;
    for (size_t k = 0; k < sizeof call / sizeof *call; k++) {
        for (int nth = 1; nth < 200; nth++) {
            char rules[64];
            snprintf(rules, sizeof rules, "file.%s:nth=%d:err=%s", call[k], nth, k == 1 ? "ENOSPC" : "EIO");
            sv_fault_set(rules);
            sv_err err = sv_train_save(t, NULL);
            sv_fault_set(NULL);
            if (count_names("calls", ".tmp-") != 0)
                fail_msg("%s: a temporary folder is left (%s)", rules, sv_err_text());
            if (err == SV_OK)
                break;
            failed++;
            if (count_names("calls", "step-") != 0) /* failed behind the rename: it has to be whole */
                assert_int_equal(sv_ckpt_check(path_of("calls/step-000003"), NULL, NULL), SV_OK);
            assert_int_equal(sv_file_remove_tree(path_of("calls/step-000003")), SV_OK);
        }
        assert_int_equal(sv_file_remove_tree(path_of("calls/step-000003")), SV_OK);
    }
    print_message("%u calls failed in turn\n", failed);
    assert_true(failed > 20);
    tiny_close(r, t);
#else
    skip();
#endif
}

/* ---- damaged files ---- */

static void rewrite(const char *path, void (*damage)(char *p, size_t *n, uint64_t at), uint64_t at)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    char *p = malloc(n + 1);
    rewind(f);
    assert_true(fread(p, 1, n, f) == n);
    fclose(f);
    damage(p, &n, at);
    f = fopen(path, "wb");
    assert_true(fwrite(p, 1, n, f) == n);
    fclose(f);
    free(p);
}

static void flip(char *p, size_t *n, uint64_t at)
{
    p[at * 977 % *n] ^= 4;
}
static void cut(char *p, size_t *n, uint64_t at)
{
    (void)p;
    *n = *n * at / 8;
}

static void expect_fallback(const char *what)
{
    sv_recipe *r;
    sv_train *t;
    if (tiny_open(sets_of("damaged", ""), &r, &t) != SV_OK)
        fail_msg("%s: %s", what, sv_err_text());
    if (sv_train_resumed_from(t) != 10 || strstr(sv_train_skipped(t), "step-000020") == NULL)
        fail_msg("%s: went on from %llu; %s", what, (unsigned long long)sv_train_resumed_from(t), sv_train_skipped(t));
    tiny_close(r, t);
}

static void copy_run(void)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf %s/damaged && cp -r %s/good %s/damaged", root, root, root);
    assert_int_equal(system(command), 0);
}

static void make_good(void)
{
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    assert_int_equal(tiny_open(sets_of("good", ""), &r, &t), SV_OK);
    while (sv_train_steps_made(t) < 20)
        assert_int_equal(sv_train_step(t, &report), SV_OK);
    tiny_close(r, t);
}

static void test_a_damaged_checkpoint_is_skipped_named_and_kept(void **state)
{
    (void)state;
    static const char *const file[] = { "model.safetensors", "state.safetensors",     "config.json",
                                        "tokenizer.json",    "tokenizer_config.json", "manifest.json" };
    char path[256], what[300];
    make_good();
    for (size_t k = 0; k < sizeof file / sizeof *file; k++) {
        for (uint64_t at = 0; at < 8; at++) {
            copy_run();
            snprintf(path, sizeof path, "%s/damaged/step-000020/%s", root, file[k]);
            /* One bit of the manifest's "made by", or of a space, is no damage: cut it alone. */
            bool flips = at >= 4 && strcmp(file[k], "manifest.json") != 0;
            rewrite(path, flips ? flip : cut, at);
            snprintf(what, sizeof what, "%s, damage %d", file[k], (int)at);
            expect_fallback(what);
            assert_int_equal(count_names("damaged", "bad-step-000020"), 1);
        }
        copy_run();
        snprintf(path, sizeof path, "%s/damaged/step-000020/%s", root, file[k]);
        assert_int_equal(unlink(path), 0);
        expect_fallback(file[k]);
    }
}

static void test_files_of_another_step_are_not_taken(void **state)
{
    (void)state;
    static const char *const file[] = { "model.safetensors", "state.safetensors", "manifest.json" };
    for (size_t k = 0; k < 3; k++) {
        char command[512];
        copy_run();
        snprintf(command, sizeof command, "cp %s/damaged/step-000010/%s %s/damaged/step-000020/%s", root, file[k], root,
                 file[k]);
        assert_int_equal(system(command), 0);
        expect_fallback(file[k]);
    }
    copy_run();
    assert_int_equal(sv_file_write(path_of("damaged/step-000020/extra"), SV_STR("x")), SV_OK);
    expect_fallback("a file too many");
}

static void test_a_run_never_starts_from_zero_in_silence(void **state)
{
    (void)state;
    sv_recipe *r;
    sv_train *t;
    copy_run();
    rewrite(path_of("damaged/step-000010/model.safetensors"), flip, 3);
    rewrite(path_of("damaged/step-000020/model.safetensors"), flip, 3);
    assert_int_equal(tiny_open(sets_of("damaged", ""), &r, &t), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "all checkpoints are damaged"));
    assert_int_equal(sv_err_exit_code(SV_E_FORMAT), 3);
    assert_int_equal(tiny_open(sets_of("damaged", ""), &r, &t), SV_E_FORMAT); /* nor the second time */
    assert_int_equal(count_names("damaged", "bad-step-"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_at_each_point_of_a_save_loses_nothing_that_was_saved),
        cmocka_unit_test(test_death_at_any_time_ends_in_the_same_weights),
        cmocka_unit_test(test_a_full_disk_does_not_end_the_run),
        cmocka_unit_test(test_every_failing_call_of_a_save_leaves_the_run_whole),
        cmocka_unit_test(test_a_damaged_checkpoint_is_skipped_named_and_kept),
        cmocka_unit_test(test_files_of_another_step_are_not_taken),
        cmocka_unit_test(test_a_run_never_starts_from_zero_in_silence),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
