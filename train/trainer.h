/* SPDX-License-Identifier: Apache-2.0
 * The training engine: recipe in, checkpoints out, one optimizer step at a time. Prints nothing; what happened is in
 * the report and, as JSON lines, in run.dir/log.jsonl. Threads: used by one thread, but for sv_train_request_stop.
 */
#ifndef SV_TRAIN_TRAINER_H
#define SV_TRAIN_TRAINER_H

#include "model/runner.h"
#include "train/data.h"
#include "train/recipe.h"

typedef struct sv_train sv_train;

typedef struct sv_train_report {
    uint64_t step, steps; /* made so far, this one included; of the whole run */
    float loss;           /* mean over counted tokens of -log-prob, nats */
    float grad_norm;      /* before the clip */
    float lr, clip;       /* clip: factor on the gradient, 1: none */
    uint32_t n_row, n_leaf, n_micro;
    uint64_t n_tok, n_counted; /* tokens run; tokens whose log-prob counts */
    uint64_t total_tok;        /* tokens run since open */
    double step_s, tok_s;      /* seconds of this step without saving; tokens a second over the last steps */
    double left_s;             /* to the last step, by that rate */
    bool skipped;              /* not finite, and guard.nonfinite: skip: no update was made */
    bool spike;                /* the loss stands far above the last 64, two steps running */
    bool has_hash;
    uint64_t weight_bits; /* sv_bits_hash of the weights, when has_hash (every curve.hash_every steps and at the end) */
    bool saved;           /* a checkpoint of this step is on disk */
    const char *save_problem; /* why a checkpoint that was due is not there (training goes on), or NULL; valid until the
                                 next step */
    uint64_t unsaved_steps;   /* since the newest checkpoint; 0 when run.dir is empty */
    bool done;                /* the last step is made */
    bool stopped;             /* a stop was asked for; the state is saved when run.dir is set */
} sv_train_report;

/* Opens everything a recipe names: run folder (locked), data, model, chip; goes on from the newest good checkpoint when
 * there is one. Borrows the recipe. SV_E_ARG: the recipe does not fit; SV_E_BUSY: another process trains in run.dir;
 * SV_E_FORMAT: a file is damaged, or every checkpoint. */
sv_err sv_train_open(const sv_recipe *r, sv_train **out);
void sv_train_close(sv_train *t); /* saves nothing; NULL is fine */

/* One optimizer step on the recipe's data; saves when a checkpoint is due, at the last step and after a request to
 * stop. SV_E_GUARD: the loss or the gradient is not finite; the state of the last good step is saved. SV_E_ARG: the run
 * is done. After another error only sv_train_close is allowed. */
sv_err sv_train_step(sv_train *t, sv_train_report *out);
bool sv_train_done(const sv_train *t);
uint64_t sv_train_steps_made(const sv_train *t);
/* What happened at open: how many damaged checkpoints were skipped, and why ("" for none). */
uint64_t sv_train_resumed_from(const sv_train *t); /* step; 0: from the start */
const char *sv_train_skipped(const sv_train *t);
const sv_data_stats *sv_train_data(const sv_train *t);

/* Saves now, as run.dir/step-NNNNNN. SV_E_ARG when run.dir is empty. *dir (may be NULL) is valid until the next save.
 */
sv_err sv_train_save(sv_train *t, const char **dir);
/* Mean loss over at most n_most held-out rows; *n_row: how many there were (0: none, *loss is 0). */
sv_err sv_train_eval(sv_train *t, uint32_t n_most, double *loss, uint32_t *n_row);
/* Asks a running step to be the last. Safe in a signal handler and from any thread. */
void sv_train_request_stop(sv_train *t);

/* The model with the weights of now, copied to the host: to serve, save or sample from. Valid until the next step. */
sv_err sv_train_model(sv_train *t, const sv_model **out);
/* sv_bits_hash of the weights in checkpoint order. */
sv_err sv_train_hash(sv_train *t, uint64_t *bits);
/* The runner whose store the optimizer writes, for engines that read it at a step border. */
sv_runner *sv_train_runner(sv_train *t);

/* The folder of a run stands for its newest checkpoint (made in a; names ascend with the steps); other paths stay. */
const char *sv_train_newest_in(sv_arena *a, const char *path);

/* The adapter that a recipe asks for, without values where it is new: for plans. NULL: none. */
sv_err sv_train_lora_of(const sv_recipe *r, const sv_config *c, sv_lora **out);

/* ---- for rl/: steps on rows of the caller's ---- */

/* A step of the caller's, in parts: any number of (gradient, apply), then finish. lp (may be NULL) gets the log-probs
 * of all counted tokens, in order of rows and tokens; it is there before anything is updated. apply looks at what
 * gradient left in the report: SV_E_GUARD when it is not finite. *out starts as {0}; finish counts the step, adds
 * `extra` (may be NULL) to its line in log.jsonl, and saves when due. start: sv_clock_s() when the step began. */
sv_err sv_train_gradient(sv_train *t, const sv_row *row, size_t n, float *lp, sv_train_report *out);
sv_err sv_train_apply(sv_train *t, sv_train_report *out);
sv_err sv_train_finish(sv_train *t, double start, const json_t *extra, sv_train_report *out);
/* As sv_train_step, on rows whose dlp the caller made (sv_row.dlp). lp (may be NULL) gets the log-probs of all counted
 * tokens, in order of rows and tokens. report->loss is the mean of -lp. */
sv_err sv_train_update(sv_train *t, const sv_row *row, size_t n, float *lp, sv_train_report *out);
/* Log-probs of the counted tokens, no update. */
sv_err sv_train_score(sv_train *t, const sv_row *row, size_t n, float *lp);
/* How many log-probs those two give. */
size_t sv_train_count(const sv_row *row, size_t n);
/* One more line for log.jsonl, an object with "event"; nothing without run.dir. */
void sv_train_log(sv_train *t, const json_t *event);

#endif
