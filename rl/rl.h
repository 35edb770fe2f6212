/* SPDX-License-Identifier: Apache-2.0
 * Reinforcement learning with verifiable rewards: the serving engine samples from the weights that the trainer updates,
 * and the trainer's log-probs of those answers are the sampler's, bit for bit (docs/reinforcement.md).
 * Threads: used by one thread at a time.
 */
#ifndef SV_RL_RL_H
#define SV_RL_RL_H

#include "rl/guard.h"
#include "rl/mismatch.h"
#include "rl/policy.h"
#include "rl/rollout.h"
#include "train/trainer.h"

typedef struct sv_rl sv_rl;

/* Names of the log in brackets, where they differ. */
typedef struct sv_rl_report {
    sv_train_report train; /* loss: mean of -log-prob of the last update's tokens; grad_norm: the largest of the step */
    float reward, reward_std;                 /* mean; mean of the groups' standard deviations */
    float correct;                            /* share of right answers */
    float zero_std;                           /* share of groups whose answers score alike [frac_reward_zero_std] */
    float mean_length, max_length, truncated; /* tokens; share [completions/...] */
    float entropy;                            /* mean of -log-prob of the sampled tokens: an unbiased estimate, nats */
    float kl;                                 /* mean over tokens of the form's value; 0 without a reference */
    float diff_mean, diff_max; /* |trainer - sampler| log-prob, first update [sampling/sampling_logp_difference/...] */
    float ratio_min, ratio_mean, ratio_max;                  /* their ratio [sampling/importance_sampling_ratio/...] */
    float mismatch_k3;                                       /* [mismatch/k3] mean over answers; 0 with assert */
    bool is_close;                                           /* rl.mismatch is not assert: the run is not exact */
    float clip_low, clip_high;                               /* share of tokens, all updates [clip_ratio/..._mean] */
    uint64_t n_generated, n_trained, n_reference, n_teacher; /* tokens of this step [tokens/...] */
    uint64_t total_generated;                                /* since open */
    uint32_t n_update;                                       /* optimizer steps made; 0: no answer had an advantage */
    double rollout_s, update_s, core_s;
    const char *warning; /* of the guard, or NULL; valid until the next step */
} sv_rl_report;

/* t: opened with a recipe of train.method: rl or opd. Borrows both. Errors as sv_roller_open. */
sv_err sv_rl_open(sv_train *t, const sv_recipe *r, sv_rl **out);
void sv_rl_close(sv_rl *rl); /* before the trainer; NULL is fine */
sv_roller *sv_rl_roller(sv_rl *rl);

/* One step: a batch of answers, rl.updates optimizer steps on it, a line in log.jsonl, a checkpoint when due.
 * SV_E_BITS: a log-prob of the trainer is not the sampler's; names step, answer and token, and nothing was updated.
 * SV_E_GUARD: stopped, and why; the state before is saved. */
sv_err sv_rl_step(sv_rl *rl, sv_rl_report *out);
/* Its two halves: what was sampled may be looked at in between. b is the caller's to drop. */
sv_err sv_rl_sample(sv_rl *rl, sv_rollout_batch *b, sv_rl_report *out);
sv_err sv_rl_learn(sv_rl *rl, sv_rollout_batch *b, sv_rl_report *out);

/* Rows of update k of m: places floor(n k / m) ... of the order by (seed, SV_STREAM_MINI, step), ascending; m 1: all.
 * row [n] gets their numbers; returns how many. */
uint32_t sv_rl_part(uint64_t seed, uint32_t step, uint32_t n, uint32_t k, uint32_t m, uint32_t *row);

/* ---- for rl_*.c ---- */
void sv_rl_measure(const sv_rollout_batch *b, sv_rl_report *out);
json_t *sv_rl_event(const sv_rl_report *r);
void sv_rl_log_samples(sv_train *t, const sv_rollout_batch *b);

#endif
