/* SPDX-License-Identifier: Apache-2.0
 * Training an adapter has one answer too: the base stays as it is, what was sampled is what is trained, and threads,
 * micro-batches, instruction sets and a restart change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/rl_run.h"

#define LORA "train.lora.rank=4 train.lora.alpha=6 "

static const char sft_recipe[] = "seed: 7\n"
                                 "data: {task: chain100}\n"
                                 "train: {steps: 12, batch_rows: 8, pack_tokens: 64}\n"
                                 "optim: {lr: 3e-3}\n"
                                 "schedule: {warmup: 2}\n"
                                 "ckpt: {every: 4}\n"
                                 "curve: {hash_every: 4}\n"
                                 "threads: 2\n";

/* sets: as tiny_open. The hash of the adapter, 0 after a failure. *t (may be NULL) stays open. */
static uint64_t sft(const char *sets)
{
    char *text = strdup(sets), *save = NULL, from[128];
    const char *set[MOST_SETS];
    size_t n = 0;
    uint64_t hash = 0;
    sv_recipe *r = NULL;
    sv_train *t = NULL;
    snprintf(from, sizeof from, "model.from=%s/base", rl_root);
    set[n++] = from;
    for (char *w = strtok_r(text, " ", &save); w != NULL && n < MOST_SETS; w = strtok_r(NULL, " ", &save))
        set[n++] = w;
    sv_err err = sv_recipe_parse(sv_str_of(sft_recipe), "sft.yaml", set, n, &r);
    if (err == SV_OK)
        err = sv_train_open(r, &t);
    for (sv_train_report report; err == SV_OK && !sv_train_done(t);)
        err = sv_train_step(t, &report);
    if (err == SV_OK)
        err = sv_train_hash(t, &hash);
    if (err != SV_OK)
        fprintf(stderr, "%s: %s\n", sets, sv_err_text());
    sv_train_close(t);
    sv_recipe_drop(r);
    free(text);
    return err == SV_OK ? hash : 0;
}

static void test_threads_micro_batches_and_instruction_sets_change_no_bit(void **state)
{
    (void)state;
    static const char *const sets[] = { LORA "threads=1",     LORA "threads=7",       LORA "train.micro=1",
                                        LORA "train.micro=3", LORA "chip=cpu:scalar", LORA "chip=ref",
                                        LORA "chip=odd" };
    uint64_t want = golden_bits("lora12");
    if (sft(LORA) != want)
        fail_msg("%016llx; expected lora12", (unsigned long long)sft(LORA));
    assert_true(want != sft("train.lora.rank=4 train.lora.alpha=8"));
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (sft(sets[i]) != want)
            fail_msg("%s: another adapter", sets[i]);
}

static void test_a_run_goes_on_from_its_checkpoint_without_a_bit(void **state)
{
    (void)state;
    char sets[640];
    uint64_t want = sft(LORA);
    snprintf(sets, sizeof sets, LORA "run.dir=%s/whole", rl_root);
    assert_true(sft(sets) == want);
    snprintf(sets, sizeof sets, "cp -r %s/whole %s/cut && rm -r %s/cut/step-000012 %s/cut/step-000008", rl_root,
             rl_root, rl_root, rl_root);
    assert_int_equal(system(sets), 0);
    snprintf(sets, sizeof sets, LORA "run.dir=%s/cut", rl_root);
    assert_true(sft(sets) == want); /* steps 5 ... 12 again */
    snprintf(sets, sizeof sets,
             "cmp -s %s/whole/step-000012/adapter_model.safetensors "
             "%s/cut/step-000012/adapter_model.safetensors && cmp -s "
             "%s/whole/step-000012/state.safetensors %s/cut/step-000012/state.safetensors",
             rl_root, rl_root, rl_root, rl_root);
    assert_int_equal(system(sets), 0);
    snprintf(sets, sizeof sets, "train.lora.rank=5 run.dir=%s/cut", rl_root);
    assert_true(sft(sets) == 0); /* another recipe */
    snprintf(sets, sizeof sets, "run.dir=%s/cut", rl_root);
    assert_true(sft(sets) == 0); /* all weights, from an adapter's checkpoint */
}

/* Adapters alone have gradients and moments; the base has the bits it had. */
static void test_the_base_stays_as_it_is(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report report;
    const sv_model *m;
    uint8_t before[32], after[32];
    assert_int_equal(rl_open(LORA "train.steps=3", &x), SV_OK);
    assert_int_equal(sv_train_model(x.t, &m), SV_OK);
    sv_model_weights_hash(m, before);
    while (!sv_train_done(x.t))
        assert_int_equal(sv_rl_step(x.rl, &report), SV_OK);
    sv_store *s = sv_runner_store(sv_train_runner(x.t));
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        assert_null(sv_store_find(s, SV_KIND_GRAD, id));
        assert_null(sv_store_find(s, SV_KIND_ADAM_M, id));
        if (m->data[id] == NULL)
            continue;
        float *now = malloc(4 * sv_tensor_items(&m->shape[id]));
        assert_int_equal(sv_store_get(s, SV_KIND_WEIGHT, id, now), SV_OK);
        assert_memory_equal(now, m->data[id], 4 * sv_tensor_items(&m->shape[id]));
        free(now);
    }
    assert_int_equal(sv_train_model(x.t, &m), SV_OK);
    sv_model_weights_hash(m, after);
    assert_memory_equal(before, after, 32);
    rl_close(&x);
}

static void test_every_ratio_of_a_fresh_sample_is_exactly_1(void **state)
{
    (void)state;
    rl_run x;
    sv_rl_report r;
    uint32_t n_update = 0;
    assert_int_equal(rl_open(LORA "rl.check=off train.lora.targets=all,lm_head train.steps=10 optim.lr=1e-2", &x),
                     SV_OK);
    while (!sv_train_done(x.t)) {
        assert_int_equal(sv_rl_step(x.rl, &r), SV_OK);
        assert_true(r.ratio_min == 1.0f && r.ratio_mean == 1.0f && r.ratio_max == 1.0f);
        assert_true(r.diff_max == 0.0f && r.diff_mean == 0.0f);
        n_update += r.n_update;
    }
    assert_true(n_update >= 5);
    rl_close(&x);
}

static void test_rl_of_an_adapter_changes_no_bit_either(void **state)
{
    (void)state;
    uint64_t want = rl_hash(LORA "train.steps=6", NULL);
    assert_true(want != 0);
    assert_true(rl_hash(LORA "train.steps=6 threads=1 train.micro=1 rollout.running=3", NULL) == want);
    assert_true(rl_hash(LORA "train.steps=6 threads=7 chip=cpu:scalar", NULL) == want);
}

/* An SFT adapter, RL on it with a KL to it, distillation from the base. */
static void test_rl_and_opd_go_on_with_an_adapter(void **state)
{
    (void)state;
    char sets[256];
    sv_rl_report r;
    snprintf(sets, sizeof sets, LORA "run.dir=%s/sft", rl_root);
    assert_true(sft(sets) != 0);
    snprintf(sets, sizeof sets, "train.lora.from=%s/sft rl.kl=0.01 train.steps=1 schedule.warmup=0", rl_root);
    assert_true(rl_hash(sets, &r) != 0);
    assert_true(r.kl == 0.0f); /* the reference is the start, adapter included */
    snprintf(sets, sizeof sets, "train.method=opd opd.teacher=%s/base train.lora.from=%s/sft train.steps=2", rl_root,
             rl_root);
    assert_true(rl_hash(sets, &r) != 0);
    assert_true(r.kl != 0.0f); /* the teacher has no adapter */
}

static void expect_refusal(const char *sets, const char *words)
{
    rl_run x;
    assert_int_equal(rl_open(sets, &x), SV_E_ARG);
    if (strstr(sv_err_text(), words) == NULL)
        fail_msg("%s: '%s'; expected '%s'", sets, sv_err_text(), words);
}

static void test_recipes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    expect_refusal("train.lora.rank=0", "train.lora.rank is 0; give 1 or more");
    expect_refusal("train.lora.alpha=8", "train.lora.alpha needs train.lora.rank");
    expect_refusal("train.lora.rank=4 train.lora.targets=qproj", "did you mean 'q_proj'?");
    expect_refusal("train.lora.rank=4 train.lora.from=x", "an old adapter brings its rank");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_micro_batches_and_instruction_sets_change_no_bit),
        cmocka_unit_test(test_a_run_goes_on_from_its_checkpoint_without_a_bit),
        cmocka_unit_test(test_the_base_stays_as_it_is),
        cmocka_unit_test(test_every_ratio_of_a_fresh_sample_is_exactly_1),
        cmocka_unit_test(test_rl_of_an_adapter_changes_no_bit_either),
        cmocka_unit_test(test_rl_and_opd_go_on_with_an_adapter),
        cmocka_unit_test(test_recipes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, rl_base, rl_clean);
}
