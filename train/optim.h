/* SPDX-License-Identifier: Apache-2.0
 * AdamW over a store: gradient norm, clip, update. One plan for the norm, one for the update.
 * Threads: used by one thread at a time.
 */
#ifndef SV_TRAIN_OPTIM_H
#define SV_TRAIN_OPTIM_H

#include "model/runner.h"
#include "train/recipe.h"

typedef struct sv_optim sv_optim;

/* Borrows a runner opened with `train` whose store has gradients (sv_loss_open). Makes moments of +0. */
sv_err sv_optim_open(sv_runner *r, const sv_recipe *recipe, sv_optim **out);
void sv_optim_close(sv_optim *o); /* NULL is fine */

/* The norm of the whole gradient: a sum of squares for each tensor, added in checkpoint order in f32, root. A tied
 * weight's gradient is the sum of its two. Call once before sv_optim_update. */
sv_err sv_optim_norm(sv_optim *o, float *norm);
/* One update. clip: factor on the gradient. Multiplies the powers of the betas once. */
sv_err sv_optim_update(sv_optim *o, float lr, float clip);
/* clip / norm when the norm is above a limit that is not 0; else exactly 1. */
float sv_optim_clip(float norm, float limit);

/* beta1^t, beta2^t and t, for checkpoints. */
void sv_optim_powers(const sv_optim *o, double *power1, double *power2, uint64_t *n_update);
void sv_optim_set_powers(sv_optim *o, double power1, double power2, uint64_t n_update);

#endif
