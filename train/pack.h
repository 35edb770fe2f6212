/* SPDX-License-Identifier: Apache-2.0
 * Training rows packed into leaves, and leaves into steps. The leaf is the unit of a gradient's sum: its borders depend
 * on the rows and their order alone, never on how many leaves are in flight. Threads: used by one thread at a time.
 */
#ifndef SV_TRAIN_PACK_H
#define SV_TRAIN_PACK_H

#include <stdbool.h>
#include <stddef.h>

#include "run/step.h"

/* One training row: a sequence of its own. Borrowed for the call that takes it. */
typedef struct sv_row {
    const int32_t *id;      /* [n] */
    const uint8_t *counted; /* [n] not 0: the token's log-prob counts; [0] is not read */
    const float *dlp; /* [n] gradient of the loss to the log-prob of token i; NULL: -1/N for every counted token */
    uint32_t n;
} sv_row;

/* A whole batch, flat. */
typedef struct sv_batch {
    int32_t *tok, *pos;             /* [n_tok] */
    int32_t *want, *target;         /* [n_want] want: rows of tok */
    float *dlp;                     /* [n_want] */
    uint32_t *seq_tok;              /* [n_seq + 1] where each row starts in tok */
    uint32_t *leaf_seq, *leaf_want; /* [n_leaf + 1] */
    size_t n_tok, n_want, n_seq, n_leaf;
    size_t cap_tok, cap_want, cap_seq, cap_leaf; /* of the arrays above */
    int32_t *step_seq, *step_want, *step_seg, *step_seg_want, *step_table;
    size_t cap_step_tok, cap_step_want, cap_step_leaf, cap_step_table;
} sv_batch;

/* Packs n rows in order: a row joins the open leaf while that has at most pack_tokens tokens; a longer row is a leaf of
 * its own. A row's tokens behind its last counted one are not run, nor is that one itself (nothing reads its logits);
 * rows without a counted token are left out. */
void sv_batch_pack(sv_batch *b, const sv_row *row, size_t n, uint32_t pack_tokens);
void sv_batch_done(sv_batch *b);

/* The leaves lo ... hi - 1 as one step; valid until the next call for this batch. Pages are the step's own. */
void sv_batch_step(sv_batch *b, size_t lo, size_t hi, sv_step *out);

#endif
