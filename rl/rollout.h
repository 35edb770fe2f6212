/* SPDX-License-Identifier: Apache-2.0
 * Answers that train: problems of a task, sampled by the serving engine from the weights that the trainer updates,
 * judged and rewarded. Threads: used by one thread at a time.
 */
#ifndef SV_RL_ROLLOUT_H
#define SV_RL_ROLLOUT_H

#include "infer/engine.h"
#include "train/recipe.h"
#include "train/task.h"

/* One answer. Arrays belong to the batch. */
typedef struct sv_rollout {
    uint32_t problem, sample; /* b and g; the row's number is b G + g */
    uint32_t item;            /* of the source */
    uint32_t n_prompt, n;     /* tokens of the prompt; of both */
    int32_t *id;              /* [n] */
    uint8_t *counted;         /* [n] 1 for the answer's tokens */
    float *lp;                /* [n - n_prompt] as sampled */
    float *ref;               /* the same by the reference; NULL: none */
    float *old, *weight; /* rl.mismatch: by the trainer before the first update, and of the policy term; NULL: none */
    bool ended;
    bool masked; /* rl.truncated: mask took it out of the loss */
    sv_verdict verdict;
    float reward, advantage;
} sv_rollout;

typedef struct sv_rollout_batch {
    sv_rollout *row; /* [n] groups one after the other, in order of problems */
    uint32_t n, n_group, group;
    uint64_t n_generated; /* tokens drawn, those of groups that were left out included */
    uint64_t n_reference; /* tokens that the reference scored */
    uint32_t n_drawn;     /* groups drawn */
    sv_arena *arena;
} sv_rollout_batch;

typedef struct sv_roller sv_roller;

/* runner: what the trainer updates; the engine serves from its store. Borrows all. SV_E_ARG: the recipe does not fit
 * the model; SV_E_FORMAT: the model has no end token. */
sv_err sv_roller_open(const sv_recipe *r, sv_runner *runner, sv_roller **out);
void sv_roller_close(sv_roller *r); /* NULL is fine */
/* Longest prompt and answer together: data.max_tokens, or the model's context. */
uint32_t sv_roller_ctx(const sv_recipe *r, uint32_t model_ctx);
/* Answers that are written at the same time: rollout.running, or as many as fit. */
uint32_t sv_roller_running(const sv_recipe *r, const sv_config *c);
/* Told after each answer of a batch: how many there are, and of how many. NULL: nobody. */
void sv_roller_tell(sv_roller *r, void (*fn)(void *ctx, uint32_t n, uint32_t of), void *ctx);

/* The answers of a step, counted from 0: a pure function of (weights, seed, step). Token at position p of row r is
 * drawn by (seed, SV_STREAM_ROLLOUT, step, r, p); problem b is draw(n_train) of (seed, SV_STREAM_PROMPT, step, b, 1).
 */
sv_err sv_roller_make(sv_roller *r, uint32_t step, sv_rollout_batch *out);
void sv_rollout_done(sv_rollout_batch *b);

/* Reward of a verdict and a length; *masked: it leaves the loss. */
float sv_reward(const sv_recipe *r, sv_verdict v, uint32_t n_token, bool *masked);
/* 0 up to most - slack tokens, then in a line to -1 at most, -1 beyond (DAPO's soft overlong punishment). */
float sv_overlong(uint32_t n_token, uint32_t most, uint32_t slack);

#endif
