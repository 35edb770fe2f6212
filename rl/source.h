/* SPDX-License-Identifier: Apache-2.0
 * Where the problems of RL come from: a built-in task, or JSON lines with a gold answer each; and who judges answers.
 * Threads: used by one thread at a time.
 */
#ifndef SV_RL_SOURCE_H
#define SV_RL_SOURCE_H

#include "model/model.h"
#include "train/recipe.h"
#include "train/task.h"

typedef struct sv_source sv_source;

/* Reads and checks all of a file before anything runs: SV_E_FORMAT names file:line and counts the offenders. Borrows
 * both. SV_E_ARG: no such task or verifier. */
sv_err sv_source_open(const sv_recipe *r, const sv_model *m, sv_source **out);
void sv_source_close(sv_source *s); /* NULL is fine */

/* Problem b of a step. A task's is draw(n_train) of Philox (seed, SV_STREAM_PROMPT, step, b, 1); a file's come in the
 * order of an epoch's permutation (sv_data_order). */
uint32_t sv_source_item(const sv_source *s, uint32_t step, uint32_t b);
/* Appends the ids of its prompt, by the model's chat template. */
sv_err sv_source_prompt(const sv_source *s, uint32_t item, sv_ids *out);
/* Judges n ids behind a prompt of n_prompt. */
sv_verdict sv_source_judge(const sv_source *s, uint32_t item, const uint32_t *id, uint32_t n_prompt, uint32_t n,
                           bool ended);

#endif
