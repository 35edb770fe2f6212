/* SPDX-License-Identifier: Apache-2.0
 * RL has one answer: what was sampled is what is trained, bit for bit, and threads, micro-batches, instruction sets,
 * neighbours and a kill change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>

#include "test/rl_run.h"

#define REUSE "rl.updates=3 rl.loss=grpo rl.advantage=mean-std rl.kl=0.01 train.steps=6 "

static void expect(const char *golden, const char *sets)
{
    uint64_t h = rl_hash(sets, NULL), want = golden_bits(golden);
    if (h != want)
        fail_msg("%s: %016llx; expected %s %016llx", sets, (unsigned long long)h, golden, (unsigned long long)want);
}

static void test_every_ratio_of_a_fresh_sample_is_exactly_1(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    uint32_t n_update = 0;
    assert_int_equal(rl_open("rl.check=off", &x), SV_OK); /* measured, not assumed */
    while (!sv_train_done(x.t)) {
        assert_int_equal(sv_rl_step(x.rl, &r), SV_OK);
        assert_true(r.ratio_min == 1.0f && r.ratio_mean == 1.0f && r.ratio_max == 1.0f);
        assert_true(r.diff_max == 0.0f && r.diff_mean == 0.0f);
        assert_true(r.n_generated > 0 && r.mean_length >= 1.0f && r.entropy > 0.0f);
        n_update += r.n_update;
    }
    assert_true(n_update >= 15);
    uint64_t h;
    assert_int_equal(sv_train_hash(x.t, &h), SV_OK);
    assert_true(h == golden_bits("rl20")); /* the comparison costs no bit */
    rl_close(&x);
}

static void test_the_bits_are_the_golden_ones(void **state)
{
    (void)state;
    expect("rl20", "");
    expect("rl6-reuse", REUSE);
}

static void test_threads_change_no_bit(void **state)
{
    (void)state;
    expect("rl20", "threads=1");
    expect("rl20", "threads=7");
    expect("rl6-reuse", REUSE "threads=1 rl.check=all");
}

static void test_micro_batches_and_neighbours_change_no_bit(void **state)
{
    (void)state;
    expect("rl20", "train.micro=1 rollout.running=1");
    expect("rl20", "train.micro=3 rollout.running=5");
    expect("rl6-reuse", REUSE "train.micro=1 rollout.running=3");
}

static void test_instruction_sets_change_no_bit(void **state)
{
    (void)state;
    expect("rl20", "chip=cpu:scalar");
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        expect("rl20", "chip=cpu:avx2");
#endif
}

/* Two steps on the cpu, two on another chip, against four on the cpu. */
static void go_on_with(const char *chip, uint64_t want)
{
    char sets[256];
    rl_run x;
    snprintf(sets, sizeof sets, "chip=%s train.steps=2", chip);
    if (rl_open(sets, &x) != SV_OK) {
        print_message("no %s here: %s\n", chip, sv_err_text());
        return;
    }
    rl_close(&x);
    snprintf(sets, sizeof sets, "train.steps=2 run.dir=%s/moves-to-%s", rl_root, chip);
    assert_true(rl_hash(sets, NULL) != 0);
    snprintf(sets, sizeof sets, "train.steps=4 chip=%s run.dir=%s/moves-to-%s", chip, rl_root, chip);
    assert_true(rl_hash(sets, NULL) == want);
}

static void test_a_run_moves_to_another_chip_without_a_bit(void **state)
{
    (void)state;
    uint64_t want = rl_hash("train.steps=4", NULL);
    assert_true(want != 0);
    go_on_with("ref", want);
    go_on_with("odd", want);
    go_on_with("opencl", want);
}

static void test_gspo_is_grpo_with_one_update(void **state)
{
    (void)state;
    uint64_t h = rl_hash("rl.loss=grpo train.steps=5", NULL);
    assert_true(h != 0 && h == rl_hash("rl.loss=gspo train.steps=5", NULL));
}

static void test_every_loss_and_advantage_runs(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "rl.loss=dapo rl.updates=2 rl.advantage=loo",
        "rl.loss=cispo rl.updates=2 rl.advantage=batch-std",
        "rl.loss=reinforce rl.advantage=batch rl.kl=0.01 rl.kl_form=k1",
        "rl.kl=0.01 rl.kl_form=k2 rl.truncated=mask",
        "rl.kl=0.01 rl.kl_form=k3 rl.truncated=shape",
        "rl.resample=true rl.resample_rounds=3",
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char line[256];
        sv_rl_report r;
        snprintf(line, sizeof line, "%s train.steps=2", sets[i]);
        assert_true(rl_hash(line, &r) != 0);
        assert_true(r.n_generated > 0 && r.train.step == 2);
    }
}

static void test_one_flipped_bit_stops_the_run(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    sv_rollout_batch b;
    uint64_t before, after;
    uint32_t bits, at = 0;
    assert_int_equal(rl_open("", &x), SV_OK);
    assert_int_equal(sv_rl_sample(x.rl, &b, &r), SV_OK);
    while (at < b.n && b.row[at].advantage == 0.0f)
        at++;
    assert_true(at < b.n);
    sv_rollout *w = &b.row[at];
    assert_true(w->n - w->n_prompt > 2);
    memcpy(&bits, &w->lp[2], 4);
    bits ^= 1;
    memcpy(&w->lp[2], &bits, 4);
    assert_int_equal(sv_train_hash(x.t, &before), SV_OK);
    assert_int_equal(sv_rl_learn(x.rl, &b, &r), SV_E_BITS);
    char want[64];
    snprintf(want, sizeof want, "step 1, row %u (problem %u, answer %u), token 2", at, w->problem, w->sample);
    assert_non_null(strstr(sv_err_text(), want));
    assert_int_equal(sv_err_exit_code(SV_E_BITS), 5);
    assert_int_equal(sv_train_hash(x.t, &after), SV_OK);
    assert_true(before == after);
    sv_rollout_done(&b);
    rl_close(&x);
}

static void test_every_fallback_is_exact_for_equal_bits(void **state)
{
    (void)state;
    static const char *const mode[] = { "report",     "token-tis", "seq-tis", "seq-mask",
                                        "token-mask", "geo-rs",    "k3-rs",   "opsm" };
    uint64_t want = rl_hash("train.steps=3", NULL);
    for (size_t i = 0; i < sizeof mode / sizeof *mode; i++) {
        char sets[64];
        sv_rl_report r;
        snprintf(sets, sizeof sets, "train.steps=3 rl.mismatch=%s", mode[i]);
        assert_true(rl_hash(sets, &r) == want);
        assert_true(r.is_close && r.mismatch_k3 == 0.0f);
    }
}

/* What a sampler in another type would give. */
static void round_to_bf16(sv_rollout_batch *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        for (uint32_t t = 0; t < b->row[i].n - b->row[i].n_prompt; t++) {
            uint32_t bits;
            memcpy(&bits, &b->row[i].lp[t], 4);
            bits = (bits + 0x8000u) & 0xffff0000u;
            memcpy(&b->row[i].lp[t], &bits, 4);
        }
}

static void test_rounded_answers_stop_or_are_reported(void **state)
{
    (void)state;
    static const char *const sets[] = { "", "rl.mismatch=report" };
    for (int k = 0; k < 2; k++) {
        rl_run x;
        sv_rl_report r;
        sv_rollout_batch b;
        assert_int_equal(rl_open(sets[k], &x), SV_OK);
        assert_int_equal(sv_rl_sample(x.rl, &b, &r), SV_OK);
        round_to_bf16(&b);
        assert_int_equal(sv_rl_learn(x.rl, &b, &r), k == 0 ? SV_E_BITS : SV_OK);
        if (k == 1)
            assert_true(r.diff_max > 0.0f && r.mismatch_k3 > 0.0f && r.ratio_max > 1.0f && r.ratio_min < 1.0f);
        sv_rollout_done(&b);
        rl_close(&x);
    }
}

/* Runs in a child that dies in step `die`: behind its samples, or behind its updates. */
static void run_and_die(const char *sets, uint64_t die, bool behind_updates)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        rl_run x;
        sv_rl_report r;
        sv_rollout_batch b;
        if (rl_open(sets, &x) != SV_OK)
            _exit(1);
        while (sv_train_steps_made(x.t) + 1 < die)
            if (sv_rl_step(x.rl, &r) != SV_OK)
                _exit(1);
        if (sv_rl_sample(x.rl, &b, &r) != SV_OK || (behind_updates && sv_rl_learn(x.rl, &b, &r) != SV_OK))
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_a_killed_run_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    char sets[256];
    rl_run x;
    snprintf(sets, sizeof sets, "run.dir=%s/killed", rl_root);
    run_and_die(sets, 3, true);
    run_and_die(sets, 8, false); /* nothing was saved: from the start */
    run_and_die(sets, 10, true); /* from step 5; dies with step 10 saved */
    assert_int_equal(rl_open(sets, &x), SV_OK);
    assert_true(sv_train_resumed_from(x.t) == 10);
    rl_close(&x);
    expect("rl20", sets);
    snprintf(sets, sizeof sets, REUSE "ckpt.every=2 run.dir=%s/killed-reuse", rl_root);
    run_and_die(sets, 4, true);
    expect("rl6-reuse", sets);
}

static void test_a_run_without_a_signal_is_stopped(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    char sets[256];
    sv_err err = SV_OK;
    snprintf(sets, sizeof sets, "guard.rl=stop reward.correct=0 reward.format=0 run.dir=%s/silent", rl_root);
    assert_int_equal(rl_open(sets, &x), SV_OK);
    while (err == SV_OK && !sv_train_done(x.t))
        err = sv_rl_step(x.rl, &r);
    assert_int_equal(err, SV_E_GUARD);
    assert_int_equal(sv_train_steps_made(x.t), 9);
    assert_non_null(strstr(sv_err_text(), "10 steps in a row"));
    rl_close(&x);
    assert_int_equal(rl_open(sets, &x), SV_OK);
    assert_int_equal(sv_train_resumed_from(x.t), 5);
    rl_close(&x);
}

static void test_a_student_comes_nearer_to_its_teacher(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    char sets[256];
    double first = 0, last = 0;
    /* the teacher has learned more than the base; the student starts at the base */
    snprintf(sets, sizeof sets, "train.steps=300 data.worked=0 ckpt.every=0 run.dir=%s/teacher", rl_root);
    assert_true(tiny_hash(sets, UINT64_MAX) != 0);
    snprintf(sets, sizeof sets, "train.method=opd opd.teacher=%s/teacher rl.group_size=1 rl.prompts=32", rl_root);
    assert_int_equal(rl_open(sets, &x), SV_OK);
    for (int i = 0; !sv_train_done(x.t); i++) {
        assert_int_equal(sv_rl_step(x.rl, &r), SV_OK);
        assert_true(r.ratio_max == 1.0f && r.n_teacher > r.n_generated && r.n_reference == 0);
        first += i < 3 ? (double)r.kl / 3 : 0;
        last += i >= 17 ? (double)r.kl / 3 : 0;
    }
    rl_close(&x);
    if (!(first > 0 && last < 0.7 * first))
        fail_msg("reverse KL %g at first, %g in the end", first, last);
}

static const char *write_rows(const char *name, const char *rows)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", rl_root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(rows, f);
    fclose(f);
    return path;
}

static void test_problems_of_a_file_train(void **state)
{
    (void)state;
    char sets[512];
    sv_rl_report r;
    rl_run x;
    const char *path = write_rows("three.jsonl", "{\"prompt\": \"2*3*7+1+1+8:\", \"gold\": 52}\n"
                                                 "{\"prompt\": \"1-1-6-7+1-2:\", \"gold\": 86}\n"
                                                 "{\"prompt\": \"1+1+1+1+1+1:\", \"gold\": 6}\n");
    snprintf(sets, sizeof sets, "data.task= data.path=%s data.verifier=number train.steps=4", path);
    uint64_t h = rl_hash(sets, &r);
    assert_true(h != 0 && r.n_generated > 0);
    snprintf(sets, sizeof sets, "data.task= data.path=%s data.verifier=number train.steps=4 threads=1 train.micro=1",
             path);
    assert_true(rl_hash(sets, NULL) == h);
    path =
        write_rows("bad.jsonl", "{\"prompt\": \"1+1:\", \"gold\": 2}\n{\"prompt\": \"1+2:\", \"gold\": \"three\"}\n");
    snprintf(sets, sizeof sets, "data.task= data.path=%s data.verifier=number", path);
    assert_int_equal(sv_err_exit_code(rl_open(sets, &x)), 3); /* a gold that does not parse is never a reward */
    assert_non_null(strstr(sv_err_text(), "bad.jsonl:2"));
    snprintf(sets, sizeof sets, "data.task= data.path=%s data.verifier=oracle", path);
    assert_int_equal(rl_open(sets, &x), SV_E_ARG);
}

static void refuse(const char *sets, const char *words)
{
    rl_run x;
    assert_int_equal(rl_open(sets, &x), SV_E_ARG);
    if (strstr(sv_err_text(), words) == NULL)
        fail_msg("%s: '%s' has no '%s'", sets, sv_err_text(), words);
}

static void test_what_would_bias_the_ratio_is_refused(void **state)
{
    (void)state;
    refuse("rollout.top_p=0.9", "rollout.top_p is 0.9: the sampler would draw from another distribution");
    refuse("rollout.top_k=50", "rollout.top_k");
    refuse("rollout.temperature=0.7", "rollout.temperature is 0.7");
    refuse("rollout.min_p=0.1", "rollout.min_p");
    refuse("rl.group_size=1", "rl.group_size is 1");
    refuse("train.method=opd", "needs opd.teacher");
    refuse("opd.teacher=x", "opd.teacher belongs to train.method: opd");
    refuse("rl.updates=33", "4 x 8 = 32 answers");
    refuse("rollout.max_tokens=128", "context, 128");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_ratio_of_a_fresh_sample_is_exactly_1),
        cmocka_unit_test(test_the_bits_are_the_golden_ones),
        cmocka_unit_test(test_threads_change_no_bit),
        cmocka_unit_test(test_micro_batches_and_neighbours_change_no_bit),
        cmocka_unit_test(test_instruction_sets_change_no_bit),
        cmocka_unit_test(test_a_run_moves_to_another_chip_without_a_bit),
        cmocka_unit_test(test_gspo_is_grpo_with_one_update),
        cmocka_unit_test(test_every_loss_and_advantage_runs),
        cmocka_unit_test(test_one_flipped_bit_stops_the_run),
        cmocka_unit_test(test_every_fallback_is_exact_for_equal_bits),
        cmocka_unit_test(test_rounded_answers_stop_or_are_reported),
        cmocka_unit_test(test_a_killed_run_goes_on_to_the_same_bits),
        cmocka_unit_test(test_a_run_without_a_signal_is_stopped),
        cmocka_unit_test(test_a_student_comes_nearer_to_its_teacher),
        cmocka_unit_test(test_problems_of_a_file_train),
        cmocka_unit_test(test_what_would_bias_the_ratio_is_refused),
    };
    return cmocka_run_group_tests(tests, rl_base, rl_clean);
}
