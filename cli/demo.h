/* SPDX-License-Identifier: Apache-2.0
 * The acts of the demo: a model of 335,040 parameters learns a task by imitation, then by RL, with its controls.
 * Threads: the main thread.
 */
#ifndef SV_CLI_DEMO_H
#define SV_CLI_DEMO_H

#include "cli/eval.h"
#include "train/recipe.h"

typedef struct sv_act {
    const char *name; /* of its folders */
    const sv_task *task;
    const char *sft, *rl;         /* texts of recipes */
    uint32_t sft_steps, rl_steps; /* 0: as the recipe says */
    uint32_t n_problem;           /* held-out ones of an evaluation */
} sv_act;

/* Acts 1 and 2; quick: fewer steps and problems. */
sv_act sv_act_of(int which, bool quick);
/* Trains in dir/NAME-sft and dir/NAME-rl (what is finished there is used) and prints the controls beside the result.
 * *model: folder of the trained model's run, by arena. */
sv_err sv_act_run(const sv_args *a, const sv_act *act, const char *dir, sv_arena *arena, const char **model);
/* The same answers, drawn at T = 1, from the checkpoint on two chips: hashes of all ids, and IDENTICAL or SV_E_BITS
 * with the first difference. */
sv_err sv_act_replay(const sv_args *a, const sv_act *act, const char *model, uint32_t n_problem);

#endif
