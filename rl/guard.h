/* SPDX-License-Identifier: Apache-2.0
 * Watches an RL run: answers that only grow, steps that teach nothing, a policy that narrows while it gets worse.
 * Threads: values.
 */
#ifndef SV_RL_GUARD_H
#define SV_RL_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define SV_RL_GUARD_WINDOW 32

typedef struct sv_rl_guard {
    uint32_t n_long, n_silent, n_flat, n_narrow; /* steps in a row */
    float last_reward;
    bool has_reward;
    float norm[SV_RL_GUARD_WINDOW]; /* of gradients, a ring */
    uint32_t n_norm;
} sv_rl_guard;

typedef struct sv_rl_signs {
    float mean_length, most_length, truncated; /* tokens, the cap, a share */
    float zero_std, entropy, reward;
} sv_rl_signs;

typedef enum sv_rl_view {
    SV_RL_FINE,
    SV_RL_FLAT,   /* warn: above 80 % of groups without a difference, 5 steps */
    SV_RL_NARROW, /* warn: entropy below 0.005 nat for 5 steps while the reward falls */
    SV_RL_STEEP,  /* warn: gradient above 10 times its running median */
    SV_RL_LONG,   /* stop: mean length >= 0.9 of the cap and half of the answers cut off, 5 steps */
    SV_RL_SILENT  /* stop: no group with a difference, 10 steps */
} sv_rl_view;

/* Before the update of a step. *first: this step is the first of a row that may end in a stop; its state is worth
 * keeping. */
sv_rl_view sv_rl_guard_look(sv_rl_guard *g, const sv_rl_signs *s, bool *first);
/* The gradient's norm, behind the backward pass. */
sv_rl_view sv_rl_guard_norm(sv_rl_guard *g, float norm);

#endif
