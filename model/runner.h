/* SPDX-License-Identifier: Apache-2.0
 * A model on a chip: weights uploaded (and packed) once, KV pages, plans cached by step shape.
 * Threads: used by one thread at a time.
 */
#ifndef SV_MODEL_RUNNER_H
#define SV_MODEL_RUNNER_H

#include "model/build.h"
#include "model/model.h"
#include "run/plan.h"

typedef struct sv_runner sv_runner;

typedef struct sv_runner_opts {
    const char *chip; /* as sv_chip_open */
    sv_machine_opts machine;
    uint32_t n_ctx;   /* longest sequence; 0: the model's */
    uint32_t n_page;  /* KV pages of 32 positions; 0: enough for one sequence of n_ctx */
    bool train;       /* weights stay plain F32 and get gradients; no KV pages */
    sv_runner *share; /* serve from the machine and the weights of this runner, which outlives the new one: what trains
                         is what serves, nothing is copied. chip, machine and n_ctx are its own; NULL: none */
    const sv_lora *lora; /* an adapter beside the weights; NULL: the model's own (sv_model.lora). With `train` only it
                            is trained. With `share` this runner is a model of its own on the other's weights, with
                            pages of its own; what it puts into the store stays until that one closes */
} sv_runner_opts;

sv_err sv_runner_open(const sv_model *m, const sv_runner_opts *opts, sv_runner **out);
void sv_runner_close(sv_runner *r); /* NULL is fine */

/* One serving step: fills logits [W,V] (may be NULL when W is 0). With step->target also lp [W] (else NULL). */
sv_err sv_runner_step(sv_runner *r, const sv_step *step, float *logits, float *lp);

sv_machine *sv_runner_machine(sv_runner *r);
sv_store *sv_runner_store(sv_runner *r);
const sv_model *sv_runner_model(const sv_runner *r);
uint32_t sv_runner_ctx(const sv_runner *r);
uint32_t sv_runner_pages(const sv_runner *r);
const sv_lora *sv_runner_lora(const sv_runner *r); /* NULL: none */
/* Traces every call of every later step; NULL stops. */
void sv_runner_set_trace(sv_runner *r, sv_trace_fn fn, void *ctx);
/* Fills a build for this model on this chip: what training uses to write its own tape (b->t is the caller's). */
void sv_runner_build(sv_runner *r, const sv_step_shape *shape, sv_tape *t, sv_build *out);

#endif
