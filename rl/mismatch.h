/* SPDX-License-Identifier: Apache-2.0
 * The fallback for answers whose sampler computed other log-probs than the trainer: weights on the policy term. Off by
 * default (rl.mismatch: assert), because here both compute the same bits. f32 on the host, fixed order.
 * Threads: values.
 */
#ifndef SV_RL_MISMATCH_H
#define SV_RL_MISMATCH_H

#include <stdint.h>

#include "train/recipe.h"

/* delta_t = log-prob by the trainer's old weights - log-prob by the sampler; m_t = exp(delta_t). */
typedef enum sv_mis {
    SV_MIS_ASSERT,     /* any delta that is not 0 stops the run */
    SV_MIS_REPORT,     /* weight 1 */
    SV_MIS_TOKEN_TIS,  /* min(m_t, C); C 2 */
    SV_MIS_SEQ_TIS,    /* min(product of m, C); C 2 */
    SV_MIS_SEQ_MASK,   /* product of m, 0 outside [C_min, C]; C 3, C_min 0 */
    SV_MIS_TOKEN_MASK, /* m_t, 0 outside [C_min, C]; 0.5, 5 (IcePop) */
    SV_MIS_GEO_RS,     /* 1 when the geometric mean of m is in [1 - C, 1 + C], else 0; C 0.001 */
    SV_MIS_K3_RS,      /* 1 when mean(m - 1 - delta) < C, else 0; C 0.01 */
    SV_MIS_OPSM        /* 0 when A < 0 and mean(-delta) > C, else 1; C 0.5 (DeepSeek-V3.2) */
} sv_mis;

typedef struct sv_mismatch {
    sv_mis mode;
    float low, high; /* C_min, C */
} sv_mismatch;

sv_mismatch sv_mismatch_of(const sv_recipe *r);
/* One answer of n >= 1 tokens; weight [n], scratch [n]. *k3: mean of m - 1 - delta is added. */
void sv_mismatch_row(const sv_mismatch *x, float advantage, uint32_t n, const float *trainer, const float *sampler,
                     float *weight, float *scratch, double *k3);

#endif
