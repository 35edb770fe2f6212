/* SPDX-License-Identifier: Apache-2.0
 * RL where things go wrong: a process that dies at any point of a step, runs that fail in known ways (numbers F1 to F10
 * are those of the failures that other stacks had), input that cannot train.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/family.h"
#include "test/rl_run.h"

#define REUSE "rl.updates=3 rl.loss=grpo rl.advantage=mean-std rl.kl=0.01 train.steps=6 "
#define SIX "train.steps=6 ckpt.every=2 "

static uint64_t now(rl_run *x)
{
    uint64_t h = 0;
    assert_int_equal(sv_train_hash(x->t, &h), SV_OK);
    return h;
}

/* ---- F9: the score after a resume ---- */

/* The exit code of a run in a child with those faults. */
static int child(const char *sets, const char *rules)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        rl_run x;
        sv_rl_report r;
        sv_fault_set(rules);
        sv_err err = rl_open(sets, &x);
        while (err == SV_OK && !sv_train_done(x.t))
            err = sv_rl_step(x.rl, &r);
        _exit(err == SV_OK ? 0 : sv_err_exit_code(err));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void die_everywhere(const char *sets, uint64_t want, int nth)
{
    static const char *const point[] = { "rl.drawn",    "rl.sampled", "rl.judged",   "rl.advantages", "rl.part",
                                         "rl.gradient", "rl.updated", "rl.finished", "ckpt.begin",    "ckpt.renamed" };
    for (size_t i = 0; i < sizeof point / sizeof *point; i++) {
        char line[512], rules[64];
        snprintf(line, sizeof line, "%s run.dir=%s/dies-%d-%zu", sets, rl_root, nth, i);
        snprintf(rules, sizeof rules, "die:%s:nth=%d", point[i], strncmp(point[i], "ckpt", 4) == 0 ? 2 : nth);
        int rc = child(line, rules);
        if (rc != 137)
            fail_msg("%s: exit %d", rules, rc);
        uint64_t h = rl_hash(line, NULL);
        if (h != want)
            fail_msg("%s, then on: %016llx; expected %016llx", rules, (unsigned long long)h, (unsigned long long)want);
    }
}

static void test_a_run_may_die_at_any_point_of_a_step(void **state)
{
    (void)state;
    uint64_t six = rl_hash(SIX, NULL);
    assert_true(six != 0);
    die_everywhere(SIX, six, 1); /* nothing is saved yet */
    die_everywhere(SIX, six, 4); /* behind a checkpoint, in the middle */
}

static void test_it_may_die_between_the_updates_of_a_batch(void **state)
{
    (void)state;
    die_everywhere(REUSE "ckpt.every=2", golden_bits("rl6-reuse"), 5);
}

/* ---- F1, F3, F10: runs that go nowhere ---- */

static void test_f1_answers_that_grow_stop_the_run_with_a_checkpoint_from_before(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    char sets[256];
    sv_err err = SV_OK;
    snprintf(sets, sizeof sets, "guard.rl=stop rollout.max_tokens=3 ckpt.every=0 run.dir=%s/long", rl_root);
    assert_int_equal(rl_open(sets, &x), SV_OK);
    uint64_t before = now(&x);
    while (err == SV_OK && !sv_train_done(x.t))
        err = sv_rl_step(x.rl, &r);
    assert_int_equal(err, SV_E_GUARD);
    assert_int_equal(sv_err_exit_code(err), 6);
    assert_non_null(strstr(sv_err_text(), "length runs away"));
    assert_non_null(strstr(sv_err_text(), "mean length 3.0, 100 % cut off, 100 % of groups alike"));
    rl_close(&x);
    assert_int_equal(rl_open(sets, &x), SV_OK); /* the state before the first of them */
    assert_int_equal(sv_train_steps_made(x.t), 0);
    assert_true(now(&x) == before);
    rl_close(&x);
}

static void test_f3_no_signal_is_warned_of_with_advice(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    assert_int_equal(rl_open("guard.rl=warn reward.correct=0 reward.format=0", &x), SV_OK);
    for (int i = 1; i <= 12; i++) {
        assert_int_equal(sv_rl_step(x.rl, &r), SV_OK);
        assert_true((r.warning != NULL) == (i >= 5));
        assert_true(i < 5 || strstr(r.warning, "A better start (SFT), rl.resample or other problems help") != NULL);
    }
    rl_close(&x);
}

static void test_f10_equal_rewards_change_no_weight(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    assert_int_equal(rl_open("reward.correct=0 reward.format=0", &x), SV_OK);
    uint64_t before = now(&x);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sv_rl_step(x.rl, &r), SV_OK);
        assert_true(r.n_update == 0 && r.n_trained == 0 && r.zero_std == 1.0f);
    }
    assert_true(now(&x) == before);
    rl_close(&x);
}

/* ---- F5: a sampler with another layout ---- */

/* Exchanges two rows of a matrix in the store: what a wrong conversion does. */
static void swap_rows(rl_run *x, const char *name)
{
    sv_runner *runner = sv_train_runner(x->t);
    const sv_model *m;
    sv_arena *arena = sv_arena_make();
    assert_int_equal(sv_train_model(x->t, &m), SV_OK);
    uint32_t id = 0, n = sv_weight_ids(&m->config);
    while (id < n &&
           !(sv_weight_exists(&m->config, id) && strcmp(sv_weight_name(&m->config, id, false, arena), name) == 0))
        id++;
    assert_true(id < n);
    sv_tensor shape = sv_weight_shape(&m->config, id);
    size_t items = sv_tensor_items(&shape), width = items / (size_t)shape.dim[0];
    float *w = malloc(items * sizeof *w);
    memcpy(w, m->data[id], items * sizeof *w);
    for (size_t i = 0; i < width; i++) {
        float keep = w[i];
        w[i] = w[width + i];
        w[width + i] = keep;
    }
    assert_int_equal(sv_store_update(sv_runner_store(runner), SV_KIND_WEIGHT, id, w), SV_OK);
    free(w);
    sv_arena_drop(arena);
}

static void test_f5_a_wrong_layout_stops_at_the_first_tokens(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    sv_rollout_batch b;
    assert_int_equal(rl_open("", &x), SV_OK);
    assert_int_equal(sv_rl_sample(x.rl, &b, &r), SV_OK);
    swap_rows(&x, "model.layers.1.self_attn.q_proj.weight");
    assert_int_equal(sv_rl_learn(x.rl, &b, &r), SV_E_BITS);
    assert_non_null(strstr(sv_err_text(), "step 1, row "));
    assert_non_null(strstr(sv_err_text(), "token 0 "));
    sv_rollout_done(&b);
    rl_close(&x);
}

/* ---- F6: many updates on one batch ---- */

static float clipped(const char *sets)
{
    rl_run x;
    sv_rl_report r;
    float most = 0;
    assert_int_equal(rl_open(sets, &x), SV_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sv_rl_step(x.rl, &r), SV_OK);
        most = r.clip_low + r.clip_high > most ? r.clip_low + r.clip_high : most;
    }
    rl_close(&x);
    return most;
}

static void test_f6_ratios_that_run_away_are_seen_and_held(void **state)
{
    (void)state;
    assert_true(clipped("rl.updates=1 optim.lr=1e-2 schedule.warmup=0") == 0.0f);
    assert_true(clipped("rl.updates=16 optim.lr=1e-2 schedule.warmup=0") > 0.02f);
    /* without a clip, a negative advantage still gets nothing above ratio_max */
    sv_policy p = { .loss = SV_PG_DR_GRPO, .low = 1e9f, .high = 1e9f, .ratio_max = 5, .norm_tokens = 50 };
    float lp_new[3] = { -1, -1, -1 }, lp_old[3] = { -1, -3, -2 }, dlp[3], scratch[3];
    sv_policy_stat stat = { 0 };
    sv_policy_row(&p, -1.0f, 1.0f, 3, lp_new, lp_old, NULL, NULL, dlp, scratch, &stat);
    assert_true(dlp[0] == 1.0f && dlp[1] == 0.0f && dlp[2] > 2.7f);
    sv_policy_row(&p, 1.0f, 1.0f, 3, lp_new, lp_old, NULL, NULL, dlp, scratch, &stat);
    assert_true(dlp[1] < -7.0f);
}

/* ---- input ---- */

static void refused(const char *sets, int code, const char *words)
{
    rl_run x;
    sv_err err = rl_open(sets, &x);
    if (err == SV_OK || sv_err_exit_code(err) != code || strstr(sv_err_text(), words) == NULL)
        fail_msg("%s: exit %d, '%s'; expected %d with '%s'", sets, err ? sv_err_exit_code(err) : 0,
                 err ? sv_err_text() : "", code, words);
}

static void test_input_that_cannot_train_is_refused_with_a_sentence(void **state)
{
    (void)state;
    char sets[512];
    refused("rollout.repetition=1.1", 2, "rollout.repetition");
    refused("train.method=opd opd.teacher=test/golden/models/qwen3", 2,
            "its tokens are not the model's: 279 with hash ");
    snprintf(
        sets, sizeof sets,
        "cp -r $(ls -d %s/base/step-* | tail -1) %s/noend && cd %s/noend && sed -i 's/\"eos_token_id\": *[0-9]*,*//' "
        "config.json && rm -f generation_config.json && sed -i 's/\"eos_token\": *\"[^\"]*\",*//' "
        "tokenizer_config.json",
        rl_root, rl_root, rl_root);
    assert_int_equal(system(sets), 0);
    snprintf(sets, sizeof sets, "model.from=%s/noend", rl_root);
    refused(sets, 3, "no end token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_may_die_at_any_point_of_a_step),
        cmocka_unit_test(test_it_may_die_between_the_updates_of_a_batch),
        cmocka_unit_test(test_f1_answers_that_grow_stop_the_run_with_a_checkpoint_from_before),
        cmocka_unit_test(test_f3_no_signal_is_warned_of_with_advice),
        cmocka_unit_test(test_f5_a_wrong_layout_stops_at_the_first_tokens),
        cmocka_unit_test(test_f6_ratios_that_run_away_are_seen_and_held),
        cmocka_unit_test(test_f10_equal_rewards_change_no_weight),
        cmocka_unit_test(test_input_that_cannot_train_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, rl_base, rl_clean);
}
