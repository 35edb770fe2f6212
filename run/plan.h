/* SPDX-License-Identifier: Apache-2.0
 * A tape on a chip: temporaries by lifetime in one arena, states bound to a store, every call with its row chosen.
 * Running a plan allocates nothing.
 * Threads: used by one thread at a time.
 */
#ifndef SV_RUN_PLAN_H
#define SV_RUN_PLAN_H

#include "run/step.h"
#include "run/store.h"

typedef struct sv_plan sv_plan;

/* Binds a tape. The tape may be dropped afterwards, its shapes are copied. KIND_STEP and KIND_OUT values get memory of
 * the plan's own; every other state must be in the store with the tape's shape. */
sv_err sv_plan_make(const sv_tape *t, sv_store *s, sv_plan **out);
void sv_plan_drop(sv_plan *p); /* NULL is fine */

/* Writes the inputs that the tape declared from a step of the shape it was made for. */
sv_err sv_plan_set_step(sv_plan *p, const sv_step *step);
/* One input by hand (SV_STEP_OPT, ...); bytes must be the value's size. */
sv_err sv_plan_set(sv_plan *p, sv_step_id id, const void *data, uint64_t bytes);
/* Enqueues every call and waits for the end. */
sv_err sv_plan_run(sv_plan *p);
/* Copies the value that was made OUT with this id to the host. */
sv_err sv_plan_get(sv_plan *p, uint32_t out_id, void *data, uint64_t bytes);
const sv_tensor *sv_plan_out(const sv_plan *p, uint32_t out_id); /* its shape; NULL: not there */

/* A hash of every output of every call, in order (sv_bits_hash of its words, NaN made canonical). */
typedef struct sv_trace_row {
    uint32_t call, output; /* index of the call on the tape; index of the output */
    sv_op op;
    uint32_t layer;    /* UINT32_MAX: none */
    const char *label; /* or NULL */
    uint64_t hash;
    const sv_tensor *shape; /* of the output */
    const void *data;       /* on the host, valid during the call back */
    uint64_t bytes;
} sv_trace_row;
typedef void (*sv_trace_fn)(void *ctx, const sv_trace_row *row);
/* NULL stops it. Slows down a lot: each call is waited for. */
void sv_plan_set_trace(sv_plan *p, sv_trace_fn fn, void *ctx);

uint64_t sv_plan_arena_bytes(const sv_plan *p);
uint32_t sv_plan_calls(const sv_plan *p);

#endif
