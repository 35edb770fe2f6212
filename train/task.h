/* SPDX-License-Identifier: Apache-2.0
 * Built-in tasks: problems without end, first training rows, a held-out set and a judge. Pure functions of integers: no
 * state, no order, the same problems wherever they are made.
 * Threads: safe from any thread.
 */
#ifndef SV_TRAIN_TASK_H
#define SV_TRAIN_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef enum sv_verdict {
    SV_VERDICT_CORRECT,     /* the right answer in the right form */
    SV_VERDICT_WELL_FORMED, /* the right form, another answer */
    SV_VERDICT_MALFORMED,
    SV_VERDICT_TRUNCATED,  /* no end token before the limit */
    SV_VERDICT_UNSUPPORTED /* an answer that the numeric subset does not cover */
} sv_verdict;

typedef enum sv_split { SV_SPLIT_TRAIN, SV_SPLIT_TEST } sv_split;

typedef struct sv_task {
    const char *name;
    uint32_t n_train, n_test; /* problems of the two splits; no problem stands in both */
    /* Appends problem i of a split: the user's message, such as "2*3*7+1+1+8:". i < n_train or n_test. */
    void (*problem)(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out);
    /* Appends the first training row (step, row): message and completion. Behind the message the template sets
     * "<think>"; the completion is what follows it, up to and without the end token. worked: share of worked traces. */
    void (*row)(uint64_t seed, uint32_t step, uint32_t row, double worked, sv_bytes *message, sv_bytes *completion);
    /* Appends the worked completion of a problem, and its answer alone. False: not a problem of this task. */
    bool (*solve)(sv_str problem, sv_bytes *completion, sv_bytes *answer);
    /* Judges what a model wrote behind "<think>" (special tokens shown, with or without "<end>"). ended: it stopped by
     * its end token. one_answer: several answer blocks are malformed (training); else the last one counts (evaluation).
     */
    sv_verdict (*verify)(sv_str problem, sv_str output, bool ended, bool one_answer);
    /* What the output starts with when the model is forced to think: so many bytes of the problem. 0: a model of this
     * task always thinks, there is nothing to force. */
    size_t n_force;
    /* The files of a model for this task. */
    const char *tokenizer_json, *tokenizer_config, *config;
    /* Appends the answer of a well-formed output (the last block) in one normal form, for majority votes; false: it has
     * none. */
    bool (*answer)(sv_str problem, sv_str output, sv_bytes *out);
    /* How often a blind guess of the right form is right. */
    double (*blind)(sv_str problem);
    uint32_t max_tokens; /* longest answer in an evaluation */
} sv_task;

const sv_task *sv_task_find(const char *name); /* NULL: no such task */
const char *sv_task_names(void);               /* "chain100, ...", for messages */
const sv_task *sv_task_at(uint32_t i);         /* in the order of names; NULL behind the last */
const char *sv_verdict_name(sv_verdict v);     /* "correct" */

extern const sv_task sv_task_chain100, sv_task_countdown3, sv_task_add, sv_task_sort, sv_task_maze, sv_task_reverse,
    sv_task_parity;

#endif
