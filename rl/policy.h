/* SPDX-License-Identifier: Apache-2.0
 * Policy losses and the KL to a reference, as the gradient of the minimised loss to each token's log-prob. All are one
 * formula: dlp_t = (-kappa_t A + KL_t) w / Z (docs/reinforcement.md). f32 on the host, the same bits anywhere.
 * Threads: values.
 */
#ifndef SV_RL_POLICY_H
#define SV_RL_POLICY_H

#include <stdint.h>

#include "train/recipe.h"

typedef enum sv_pg_loss {
    SV_PG_DR_GRPO,  /* arXiv 2503.20783: sum over tokens / (n L) */
    SV_PG_GRPO,     /* 2402.03300: mean over answers of the mean over tokens */
    SV_PG_DAPO,     /* 2503.14476: mean over all tokens */
    SV_PG_GSPO,     /* 2507.18071: one ratio for an answer, exp of the mean log ratio */
    SV_PG_CISPO,    /* 2506.13585: the clipped ratio is a weight, no token drops out */
    SV_PG_REINFORCE /* no ratio; mean over all tokens */
} sv_pg_loss;

typedef enum sv_kl_form {
    SV_KL_NONE,
    SV_KL_K3_RATIO, /* value rho (exp(e) - e - 1), e = ref - new: the gradient of the true reverse KL */
    SV_KL_K3,       /* value exp(e) - e - 1 */
    SV_KL_K2,       /* value e^2 / 2 */
    SV_KL_K1        /* in the reward: r -= beta sum(old - ref) */
} sv_kl_form;

typedef struct sv_policy {
    sv_pg_loss loss;
    float low, high;   /* ratios below 1 - low and above 1 + high are clipped */
    float ratio_max;   /* 0: off */
    float norm_tokens; /* L */
    sv_kl_form kl;
    float beta;
} sv_policy;

/* By the recipe; bounds that it does not give are the loss's own. */
sv_policy sv_policy_of(const sv_recipe *r);
/* Z of one optimizer step: n answers with n_token tokens together, those without an advantage included. */
float sv_policy_norm(const sv_policy *p, uint64_t n, uint64_t n_token);

/* What happened, added up over answers. */
typedef struct sv_policy_stat {
    uint64_t n_token, n_low,
        n_high; /* tokens; of them clipped below and above (gspo: all tokens of a clipped answer) */
    double kl;  /* sum over tokens of the form's value, without beta */
} sv_policy_stat;

/* One answer of n >= 1 tokens: log-probs of now, of the sampler, and of the reference (NULL without KL). norm: Z.
 * weight [n]: of the policy term (rl/mismatch.h; NULL: 1). dlp [n]. scratch [n]. */
void sv_policy_row(const sv_policy *p, float advantage, float norm, uint32_t n, const float *lp_new,
                   const float *lp_old, const float *lp_ref, const float *weight, float *dlp, float *scratch,
                   sv_policy_stat *stat);

/* exp of a log ratio that is kept within +-20. */
float sv_ratio(float d);
/* exp(e) - e - 1. */
float sv_k3(float e);

#endif
