/* SPDX-License-Identifier: Apache-2.0
 * Rewards of groups of answers into advantages: f32 on the host, sums in the order of num/sum.h, the same bits
 * anywhere. Threads: values.
 */
#ifndef SV_RL_ADVANTAGE_H
#define SV_RL_ADVANTAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef enum sv_adv {
    SV_ADV_MEAN,      /* r - mean of the group (Dr. GRPO, arXiv 2503.20783) */
    SV_ADV_MEAN_STD,  /* (r - mean) / (std + 1e-4) (GRPO, 2402.03300); population std */
    SV_ADV_LOO,       /* r - mean of the others = (r - mean) G / (G - 1) (RLOO, 2402.14740) */
    SV_ADV_BATCH_STD, /* (r - mean of the group) / (std of those over the batch + 1e-4) */
    SV_ADV_BATCH      /* (r - mean of the batch) / (std of the batch + 1e-4) (REINFORCE++, 2501.03262) */
} sv_adv;

/* By the word of rl.advantage. */
sv_adv sv_adv_of(const char *word);
/* r [n_group][group] to a of the same shape. A group whose rewards are all equal, compared as bits, gets +0 exactly
 * (but with SV_ADV_BATCH, where the batch as a whole does): the mean of sixteen 0.1f need not be 0.1f. r and a do not
 * overlap. group >= 2 but for SV_ADV_BATCH. */
void sv_advantage(sv_adv kind, const float *r, uint32_t n_group, uint32_t group, float *a);
/* All items have the same bits. */
bool sv_all_equal(const float *r, uint32_t n);
/* Mean and population standard deviation of n > 0 items. scratch [n]. */
float sv_mean_of(const float *r, uint32_t n);
float sv_std_of(const float *r, uint32_t n, float mean, float *scratch);

#endif
