/* SPDX-License-Identifier: Apache-2.0
 * What one step is: rows of (sequence, position, token). Serving, prefill and training differ in these numbers alone.
 * Threads: values.
 */
#ifndef SV_RUN_STEP_H
#define SV_RUN_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* The shape that a tape is made for. */
typedef struct sv_step_shape {
    uint32_t n_tok;  /* T rows */
    uint32_t n_seq;  /* S rows of the page table */
    uint32_t n_page; /* P columns of the page table */
    uint32_t n_want; /* W rows that need logits */
    uint32_t n_leaf; /* L training rows; 0: not a training step */
} sv_step_shape;

/* Borrowed for the call that takes it. */
typedef struct sv_step {
    sv_step_shape shape;
    const int32_t *tok, *pos, *seq; /* [T] */
    const int32_t *table;           /* [S,P] page numbers */
    const int32_t *want;            /* [W] rows, ascending */
    const int32_t *seg, *seg_want;  /* [L+1] training only: leaf borders in rows of T and of W */
    const int32_t *target;          /* [W] training and scoring: the token whose log-prob is asked; NULL: none */
    const float *dlp;               /* [W] training only: gradient of the loss to the log-prob */
} sv_step;

#endif
