/* SPDX-License-Identifier: Apache-2.0
 * A run folder from start to end: checkpoints that are models, the same curve after a resume, one process at a time,
 * and what a resume refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/train_run.h"
#include "train/ckpt.h"

static char root[] = "/tmp/samsvar-run-XXXXXX";

static int set_up(void **state)
{
    (void)state;
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
    snprintf(sets, sizeof sets, "run.dir=%s/%s %s", root, name, more);
    return sets;
}

static bool same_files(const char *a, const char *b)
{
    sv_file_map x, y;
    assert_int_equal(sv_file_map_open(a, &x), SV_OK);
    assert_int_equal(sv_file_map_open(b, &y), SV_OK);
    bool same = x.n == y.n && memcmp(x.p, y.p, x.n) == 0;
    sv_file_map_close(&x);
    sv_file_map_close(&y);
    return same;
}

/* Some steps, then closed without saving. */
static void run_steps(const char *sets, uint64_t steps)
{
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    if (tiny_open(sets, &r, &t) != SV_OK)
        fail_msg("%s", sv_err_text());
    while (sv_train_steps_made(t) < steps)
        assert_int_equal(sv_train_step(t, &report), SV_OK);
    tiny_close(r, t);
}

static void test_a_whole_run_leaves_models_and_a_curve(void **state)
{
    (void)state;
    assert_int_equal(tiny_child(sets_of("whole", ""), NULL), 0);
    assert_false(sv_file_exists(path_of("whole/step-000020"))); /* the newest three stay */
    assert_true(sv_file_exists(path_of("whole/step-000030")));
    sv_ckpt_mark mark;
    if (sv_ckpt_check(path_of("whole/step-000050"), &mark, NULL) != SV_OK)
        fail_msg("%s", sv_err_text());
    assert_true(mark.step == 50 && mark.cursor == 600 && mark.n_update == 50);
    assert_true(mark.weight_bits == golden_bits("sft50"));
    sv_model *m;
    if (sv_model_open(path_of("whole/step-000050"), NULL, &m) != SV_OK)
        fail_msg("%s", sv_err_text());
    assert_non_null(m->tokenizer);
    assert_non_null(m->chat_template);
    sv_model_close(m);
    sv_file_map map;
    uint32_t lines = 0;
    assert_int_equal(sv_file_map_open(path_of("whole/curve.tsv"), &map), SV_OK);
    for (size_t i = 0; i < map.n; i++)
        lines += map.p[i] == '\n';
    assert_int_equal(lines, 50);
    sv_file_map_close(&map);
}

static void test_a_resumed_run_has_the_same_curve_and_weights(void **state)
{
    (void)state;
    run_steps(sets_of("again", "threads=1"), 17); /* saved at 10; 7 steps are lost */
    run_steps(sets_of("again", "train.micro=2"), 38);
    assert_int_equal(tiny_child(sets_of("again", "chip=cpu:scalar"), NULL), 0);
    assert_true(same_files(path_of("again/curve.tsv"), path_of("whole/curve.tsv")));
    assert_true(
        same_files(path_of("again/step-000050/model.safetensors"), path_of("whole/step-000050/model.safetensors")));
    assert_true(
        same_files(path_of("again/step-000050/state.safetensors"), path_of("whole/step-000050/state.safetensors")));
}

static void test_a_second_process_is_told_who_is_there(void **state)
{
    (void)state;
    sv_recipe *r, *r2;
    sv_train *t, *t2;
    assert_int_equal(tiny_open(sets_of("locked", ""), &r, &t), SV_OK);
    assert_int_equal(tiny_open(sets_of("locked", ""), &r2, &t2), SV_E_BUSY);
    tiny_close(r, t);
    assert_int_equal(tiny_open(sets_of("locked", ""), &r, &t), SV_OK);
    tiny_close(r, t);
}

static void expect_refused(const char *more, const char *part)
{
    sv_recipe *r;
    sv_train *t;
    assert_int_equal(tiny_open(sets_of("whole", more), &r, &t), SV_E_ARG);
    if (strstr(sv_err_text(), part) == NULL)
        fail_msg("'%s' does not say '%s'", sv_err_text(), part);
}

static void test_another_recipe_does_not_go_on(void **state)
{
    (void)state;
    expect_refused("optim.lr=1e-3", "optim.lr was 0.003 when this run was saved; the recipe says 0.001");
    expect_refused("train.pack_tokens=65", "train.pack_tokens was 64");
    expect_refused("seed=8", "seed was 7");
    expect_refused("train.steps=60", "train.steps was 50");
}

static void test_a_stop_saves_and_the_run_goes_on_later(void **state)
{
    (void)state;
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    assert_int_equal(tiny_open(sets_of("stopped", ""), &r, &t), SV_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_false(report.stopped || report.saved);
    assert_true(report.unsaved_steps == 3);
    sv_train_request_stop(t);
    assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_true(report.stopped && report.saved && report.unsaved_steps == 0);
    tiny_close(r, t);
    assert_true(sv_file_exists(path_of("stopped/step-000004")));
    assert_int_equal(tiny_open(sets_of("stopped", ""), &r, &t), SV_OK);
    assert_true(sv_train_resumed_from(t) == 4);
    tiny_close(r, t);
}

static void test_saving_the_same_step_twice_is_fine(void **state)
{
    (void)state;
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    const char *dir;
    assert_int_equal(tiny_open(sets_of("twice", ""), &r, &t), SV_OK);
    assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_int_equal(sv_train_save(t, &dir), SV_OK);
    assert_string_equal(dir, path_of("twice/step-000001"));
    assert_int_equal(sv_train_save(t, &dir), SV_OK);
    tiny_close(r, t);
    /* The same step with other bits is a finding. */
    assert_int_equal(sv_file_rename(path_of("twice/step-000001"), path_of("twice/kept")), SV_OK);
    assert_int_equal(tiny_open(sets_of("twice", "seed=9"), &r, &t), SV_OK);
    assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_int_equal(sv_file_rename(path_of("twice/kept"), path_of("twice/step-000001")), SV_OK);
    assert_int_equal(sv_train_save(t, NULL), SV_E_BITS);
    tiny_close(r, t);
}

static void test_a_run_starts_from_a_saved_model(void **state)
{
    (void)state;
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    char yaml[512];
    snprintf(yaml, sizeof yaml,
             "model: {from: %s/whole/step-000050}\ndata: {task: chain100}\ntrain: {batch_rows: 12, steps: 60}\n"
             "schedule: {kind: constant, warmup: 0}\n",
             root);
    assert_int_equal(sv_recipe_parse(sv_str_of(yaml), "from.yaml", NULL, 0, &r), SV_OK);
    if (sv_train_open(r, &t) != SV_OK)
        fail_msg("%s", sv_err_text());
    uint64_t hash;
    assert_int_equal(sv_train_hash(t, &hash), SV_OK);
    assert_true(hash == golden_bits("sft50"));
    assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_true(report.loss < 2.7f);
    tiny_close(r, t);
}

static void test_a_gradient_that_is_no_number_stops_before_the_update(void **state)
{
    (void)state;
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    sv_row row;
    sv_data *d;
    const sv_model *m;
    uint64_t before, after;
    float dlp[200];
    assert_int_equal(tiny_open(sets_of("guard", ""), &r, &t), SV_OK);
    assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_int_equal(sv_train_hash(t, &before), SV_OK);
    assert_int_equal(sv_train_model(t, &m), SV_OK);
    assert_int_equal(sv_data_open(r, m, 128, &d), SV_OK);
    assert_int_equal(sv_data_row(d, 0, 0, 0, &row), SV_OK);
    for (int i = 0; i < 200; i++)
        dlp[i] = __builtin_inff();
    row.dlp = dlp;
    assert_int_equal(sv_train_update(t, &row, 1, NULL, &report), SV_E_GUARD);
    assert_int_equal(sv_err_exit_code(SV_E_GUARD), 6);
    assert_int_equal(sv_train_hash(t, &after), SV_OK);
    assert_true(before == after);
    assert_true(sv_file_exists(path_of("guard/step-000001")));
    tiny_close(r, t);
    assert_int_equal(tiny_open(sets_of("guard2", "guard.nonfinite=skip"), &r, &t), SV_OK);
    assert_int_equal(sv_train_hash(t, &before), SV_OK);
    assert_int_equal(sv_train_update(t, &row, 1, NULL, &report), SV_OK);
    assert_true(report.skipped && report.step == 1);
    assert_int_equal(sv_train_hash(t, &after), SV_OK);
    assert_true(before == after);
    sv_data_close(d);
    tiny_close(r, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_run_leaves_models_and_a_curve),
        cmocka_unit_test(test_a_resumed_run_has_the_same_curve_and_weights),
        cmocka_unit_test(test_a_second_process_is_told_who_is_there),
        cmocka_unit_test(test_another_recipe_does_not_go_on),
        cmocka_unit_test(test_a_stop_saves_and_the_run_goes_on_later),
        cmocka_unit_test(test_saving_the_same_step_twice_is_fine),
        cmocka_unit_test(test_a_run_starts_from_a_saved_model),
        cmocka_unit_test(test_a_gradient_that_is_no_number_stops_before_the_update),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
