/* SPDX-License-Identifier: Apache-2.0
 * The training tape: forward, log-probs, backward into gradient buffers. Plans are kept by step shape.
 * Threads: used by one thread at a time.
 */
#ifndef SV_TRAIN_LOSS_H
#define SV_TRAIN_LOSS_H

#include "model/runner.h"

typedef struct sv_loss sv_loss;

/* Borrows a runner opened with `train`; makes a gradient buffer of +0 in its store for every weight (tied weights have
 * one each: their sum is the optimizer's), or with an adapter for its A and B alone. */
sv_err sv_loss_open(sv_runner *r, sv_loss **out);
void sv_loss_close(sv_loss *l); /* NULL is fine */

/* Gradients to +0: before the first micro-batch of a step. */
sv_err sv_loss_clear(sv_loss *l);
/* Runs one micro-batch: lp [W] are the log-probs of the step's targets; with `backward` the gradients of sum_w dlp[w]
 * lp[w] are added to the buffers. */
sv_err sv_loss_run(sv_loss *l, const sv_step *step, bool backward, float *lp);
uint64_t sv_loss_plans_made(const sv_loss *l); /* since open; for the log */

#endif
