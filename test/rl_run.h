/* SPDX-License-Identifier: Apache-2.0
 * A small RL run for tests: a model of 17,000 weights that has learned to guess, and 20 steps of 4 x 8 answers on it.
 */
#ifndef SV_TEST_RL_RUN_H
#define SV_TEST_RL_RUN_H

#include "rl/rl.h"
#include "test/train_run.h"

static char rl_root[] = "/tmp/samsvar-rl-XXXXXX";

static const char rl_recipe[] = "seed: 7\n"
                                "data: {task: chain100}\n"
                                "train: {method: rl, steps: 20, pack_tokens: 64}\n"
                                "rl: {prompts: 4, group_size: 8}\n"
                                "rollout: {max_tokens: 32}\n"
                                "optim: {lr: 1e-3, decay: 0}\n"
                                "schedule: {kind: constant, warmup: 2}\n"
                                "ckpt: {every: 5}\n"
                                "guard: {rl: \"off\"}\n"
                                "threads: 2\n";

/* The model to start from, in rl_root/base: 400 steps of guesses and short sums. */
static inline int rl_base(void **state)
{
    char sets[256];
    (void)state;
    if (mkdtemp(rl_root) == NULL)
        return -1;
    snprintf(sets, sizeof sets, "train.steps=400 data.worked=0.4 ckpt.every=0 run.dir=%s/base", rl_root);
    return tiny_hash(sets, UINT64_MAX) != 0 ? 0 : -1;
}

static inline int rl_clean(void **state)
{
    char line[256];
    (void)state;
    snprintf(line, sizeof line, "rm -rf %s", rl_root);
    return system(line);
}

typedef struct rl_run {
    sv_recipe *r;
    sv_train *t;
    sv_rl *rl;
} rl_run;

static inline void rl_close(rl_run *x)
{
    sv_rl_close(x->rl);
    sv_train_close(x->t);
    sv_recipe_drop(x->r);
    *x = (rl_run){ 0 };
}

/* sets: as tiny_open. */
static inline sv_err rl_open(const char *sets, rl_run *x)
{
    char *text = strdup(sets), *save = NULL, from[128];
    const char *set[MOST_SETS];
    size_t n = 0;
    *x = (rl_run){ 0 };
    snprintf(from, sizeof from, "model.from=%s/base", rl_root);
    set[n++] = from;
    for (char *w = strtok_r(text, " ", &save); w != NULL && n < MOST_SETS; w = strtok_r(NULL, " ", &save))
        set[n++] = w;
    sv_err err = sv_recipe_parse(sv_str_of(rl_recipe), "rl.yaml", set, n, &x->r);
    if (err == SV_OK)
        err = sv_train_open(x->r, &x->t);
    if (err == SV_OK)
        err = sv_rl_open(x->t, x->r, &x->rl);
    if (err != SV_OK)
        rl_close(x);
    free(text);
    return err;
}

/* Runs to the end; the hash of the weights, 0 after a failure, whose sentence is on stderr. *last (may be NULL): the
 * last step's report. */
static inline uint64_t rl_hash(const char *sets, sv_rl_report *last)
{
    rl_run x;
    sv_rl_report report = { 0 };
    uint64_t hash = 0;
    sv_err err = rl_open(sets, &x);
    while (err == SV_OK && !sv_train_done(x.t))
        err = sv_rl_step(x.rl, &report);
    if (err == SV_OK)
        err = sv_train_hash(x.t, &hash);
    if (err != SV_OK)
        fprintf(stderr, "%s: %s\n", sets, sv_err_text());
    rl_close(&x);
    if (last != NULL)
        *last = report;
    return err == SV_OK ? hash : 0;
}

#endif
