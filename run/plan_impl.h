/* SPDX-License-Identifier: Apache-2.0
 * What plan.c (binding) and exec.c (running) share. Not for others.
 * Threads: used by one thread at a time.
 */
#ifndef SV_RUN_PLAN_IMPL_H
#define SV_RUN_PLAN_IMPL_H

#include "run/plan.h"

typedef enum sv_route {
    SV_ROUTE_CHIP,          /* the chip's own row */
    SV_ROUTE_HELPER,        /* the cpu chip's row, operands copied over and back */
    SV_ROUTE_REFERENCE,     /* the reference on the chip's memory */
    SV_ROUTE_REFERENCE_COPY /* the reference, operands copied over and back */
} sv_route;

typedef struct sv_plan_call {
    sv_call call;
    sv_route route;
    const sv_kernel *row;
    size_t scratch_bytes;
    uint32_t layer;
    const char *label;
} sv_plan_call;

typedef struct sv_plan_own {
    sv_kind kind;
    uint32_t id;
    uint64_t bytes;
    sv_tensor t;
} sv_plan_own;

struct sv_plan {
    sv_store *store;
    sv_arena *arena;
    sv_tensor *value; /* [n_value] of the tape, bound */
    sv_plan_call *call;
    uint32_t n_call;
    sv_plan_own *own;
    size_t n_own, cap_own;
    sv_buffer *buf; /* temporaries, step inputs, results */
    uint64_t arena_bytes;
    sv_span scratch; /* on the chip */
    uint64_t scratch_bytes;
    sv_buffer *staging;  /* host memory for fallback and traces; the helper's buffer when there is one */
    void *staging_block; /* owned when there is no helper */
    sv_buffer staging_host;
    uint64_t staging_bytes, helper_scratch_bytes, ref_scratch_bytes;
    sv_span helper_scratch;
    void *ref_scratch;
    sv_trace_fn trace;
    void *trace_ctx;
};

const sv_plan_own *sv_plan_find(const sv_plan *p, sv_kind kind, uint32_t id);
sv_err sv_plan_choose_row(sv_plan *p, sv_plan_call *c); /* route, row, scratch; grows the plan's maxima */
sv_err sv_plan_reserve(sv_plan *p);                     /* allocates what the maxima ask for */
void sv_plan_release(sv_plan *p);

#endif
