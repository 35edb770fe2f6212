/* SPDX-License-Identifier: Apache-2.0
 * The tape: calls in order, and the values between them. Nothing runs here; run/ puts a tape on a chip.
 * Emitting is sticky: after the first failure later emits do nothing, and sv_tape_error tells.
 * Threads: a tape is used by one thread at a time.
 */
#ifndef SV_OP_TAPE_H
#define SV_OP_TAPE_H

#include "base/mem.h"
#include "samsvar/tensor.h"

typedef uint32_t sv_val; /* index of a value on its tape */
#define SV_NONE 0u

/* Where a value lives. Temporaries get their place from the plan; the others are bound by (kind, id). */
typedef enum sv_kind {
    SV_KIND_TEMP,
    SV_KIND_WEIGHT, /* id: slot of the family's weight table, per layer */
    SV_KIND_GRAD,   /* the same ids; accumulated */
    SV_KIND_ADAM_M,
    SV_KIND_ADAM_V,
    SV_KIND_KV,    /* id: 2 layer + (0 keys, 1 values) */
    SV_KIND_STEP,  /* id: sv_step_id; written before each step */
    SV_KIND_CONST, /* id: 0 the RoPE table */
    SV_KIND_OUT,   /* results that outlive the step; id: chosen by who emits */
    SV_KIND_COUNT
} sv_kind;

typedef enum sv_step_id {
    SV_STEP_TOK,      /* I32 [T] */
    SV_STEP_POS,      /* I32 [T] absolute position in its sequence */
    SV_STEP_SEQ,      /* I32 [T] row of the page table */
    SV_STEP_TABLE,    /* I32 [S,P] page numbers */
    SV_STEP_WANT,     /* I32 [W] rows that need logits, ascending */
    SV_STEP_SEG,      /* I32 [L+1] leaves in rows of T */
    SV_STEP_SEG_WANT, /* I32 [L+1] leaves in rows of W */
    SV_STEP_TARGET,   /* I32 [W] */
    SV_STEP_DLP,      /* F32 [W] gradient of the loss to the log-prob */
    SV_STEP_OPT,      /* F32 [4] lr, 1/(1-b1^t), 1/(1-b2^t), clip factor */
    SV_STEP_COUNT
} sv_step_id;

/* Which rows a value's first dimension counts; gradients to weights take the leaves of that set. */
typedef enum sv_rowset { SV_ROWS_TOKENS, SV_ROWS_WANTED, SV_ROWS_OTHER } sv_rowset;

typedef struct sv_tape_value {
    sv_tensor t; /* dtype, dims, strides; at is unset until planned */
    sv_kind kind;
    uint32_t id;
    sv_rowset rows;
    bool needs_grad; /* a parameter, or computed from one */
    bool is_param;
} sv_tape_value;

typedef struct sv_tape_call {
    sv_op op;
    uint32_t n_in, n_out;
    const sv_val *in, *out;
    const void *attr;  /* copied into the tape */
    uint32_t layer;    /* for messages and traces; UINT32_MAX: none */
    const char *label; /* "self_attn.q_proj", or NULL */
} sv_tape_call;

typedef struct sv_tape {
    sv_tape_value *value; /* [n_value]; value[0] is SV_NONE */
    size_t n_value, cap_value;
    sv_tape_call *call;
    size_t n_call, cap_call;
    sv_val *grad; /* [n_value] after backward: gradient of a value, or SV_NONE */
    size_t cap_grad;
    sv_arena *arena;
    sv_err err;
    char *err_text;
    uint32_t layer; /* stamped on calls */
    const char *label;
    bool backward; /* emitting gradients: nothing needs a gradient of its own */
} sv_tape;

sv_tape *sv_tape_make(void);
void sv_tape_drop(sv_tape *t);
void sv_tape_clear(sv_tape *t); /* empties it, keeps memory */

/* The value bound to (kind, id); the same value for the same pair, whose shape must agree. */
sv_val sv_tape_state(sv_tape *t, sv_kind kind, uint32_t id, const sv_tensor *shape);
/* Marks a weight as trained: it needs a gradient. */
void sv_tape_set_param(sv_tape *t, sv_val v);
/* An uninitialised temporary, to be written by a call that takes it as an inout operand. */
sv_val sv_tape_temp(sv_tape *t, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim);

/* Makes a temporary outlive the step, as (KIND_OUT, id): the caller of a plan reads it with sv_plan_get. */
void sv_tape_set_out(sv_tape *t, sv_val v, uint32_t id);

/* Appends a call. in: n_in values. out: n_out places; SV_NONE there becomes a new temporary, a value there is written
 * (inout operands must be given). Fails stickily with the op's shape error, the layer and the label in front. */
void sv_tape_emit(sv_tape *t, sv_op op, const void *attr, const sv_val *in, uint32_t n_in, sv_val *out);
/* The same for one output that is always new. */
sv_val sv_tape_emit1(sv_tape *t, sv_op op, const void *attr, const sv_val *in, uint32_t n_in);

const sv_tensor *sv_tape_tensor(const sv_tape *t, sv_val v);
sv_err sv_tape_error(const sv_tape *t); /* restores the sentence of the first failure */

/* Appends the backward calls for y with gradient dy. Walks calls in reverse; a value that was used several times has
 * its gradients added in that order, g = g + din. Call once per tape. */
sv_err sv_tape_backward(sv_tape *t, sv_val y, sv_val dy);
/* For gradient functions: the accumulated gradient state of a parameter (kind GRAD, same id); SV_NONE when not trained.
 */
sv_val sv_tape_param_grad(sv_tape *t, sv_val weight);
/* For gradient functions: does anyone need this input's gradient? */
bool sv_tape_needs(const sv_tape *t, sv_val v);
/* For gradient functions: the leaf offsets of v's rows. */
sv_val sv_tape_seg(sv_tape *t, sv_val v);

#endif
