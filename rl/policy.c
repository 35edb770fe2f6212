/* SPDX-License-Identifier: Apache-2.0
 * The losses, token by token.
 */
#include "rl/policy.h"

#include <string.h>

#include "num/canon.h"
#include "num/sum.h"

#define TOKEN_MOST 20.0f    /* of a token's log ratio */
#define SEQUENCE_MOST 10.0f /* of an answer's */

static int place_of(const char *word, const char *const *name)
{
    int i = 0;
    while (strcmp(word, name[i]) != 0)
        i++;
    return i;
}

sv_policy sv_policy_of(const sv_recipe *r)
{
    static const char *const loss[] = { "dr-grpo", "grpo", "dapo", "gspo", "cispo", "reinforce" };
    static const char *const kl[] = { "", "k3-ratio", "k3", "k2", "k1" };
    static const float low[] = { 0.2f, 0.2f, 0.2f, 3e-4f, 1.0f, 1.0f },
                       high[] = { 0.28f, 0.2f, 0.28f, 4e-4f, 4.0f, 1.0f };
    sv_policy p = { .loss = (sv_pg_loss)place_of(sv_recipe_text(r, SV_KEY_RL_LOSS), loss) };
    bool has_low = sv_recipe_given(r, SV_KEY_RL_CLIP_LOW), has_high = sv_recipe_given(r, SV_KEY_RL_CLIP_HIGH);
    p.low = has_low ? (float)sv_recipe_f64(r, SV_KEY_RL_CLIP_LOW) : low[p.loss];
    p.high = has_high ? (float)sv_recipe_f64(r, SV_KEY_RL_CLIP_HIGH) : high[p.loss];
    p.ratio_max = (float)sv_recipe_f64(r, SV_KEY_RL_RATIO_MAX);
    p.norm_tokens = (float)sv_recipe_u64(r, SV_KEY_RL_NORM);
    p.beta = (float)sv_recipe_f64(r, SV_KEY_RL_KL);
    if (p.beta > 0.0f)
        p.kl = (sv_kl_form)place_of(sv_recipe_text(r, SV_KEY_RL_KL_FORM), kl);
    return p;
}

float sv_policy_norm(const sv_policy *p, uint64_t n, uint64_t n_token)
{
    if (p->loss == SV_PG_DR_GRPO)
        return (float)n * p->norm_tokens;
    return p->loss == SV_PG_GRPO || p->loss == SV_PG_GSPO ? (float)n : (float)n_token;
}

static float within(float x, float most)
{
    return x > most ? most : x < 0.0f - most ? 0.0f - most : x;
}

float sv_ratio(float d)
{
    return sv_canon_exp(within(d, TOKEN_MOST));
}

float sv_k3(float e)
{
    return (sv_canon_exp(within(e, TOKEN_MOST)) - e) - 1.0f;
}

/* The weight of a ratio: 0 where min(ratio A, clip(ratio) A) is flat. The sign of A decides which side clips. */
static float clipped(const sv_policy *p, float ratio, float a, uint32_t n, sv_policy_stat *stat)
{
    if (a > 0.0f && ratio > 1.0f + p->high) {
        stat->n_high += n;
        return 0.0f;
    }
    if (a < 0.0f && ratio < 1.0f - p->low) {
        stat->n_low += n;
        return 0.0f;
    }
    return a < 0.0f && p->ratio_max > 0.0f && ratio > p->ratio_max ? 0.0f : ratio;
}

static float weight_only(const sv_policy *p, float ratio, sv_policy_stat *stat)
{
    float low = 1.0f - p->low, high = 1.0f + p->high;
    stat->n_high += ratio > high;
    stat->n_low += ratio < low;
    return ratio > high ? high : ratio < low ? low : ratio;
}

static float sequence_ratio(uint32_t n, const float *lp_new, const float *lp_old, float *scratch)
{
    for (uint32_t t = 0; t < n; t++)
        scratch[t] = lp_new[t] - lp_old[t];
    return sv_canon_exp(within(sv_sum(scratch, n) / (float)n, SEQUENCE_MOST));
}

/* Gradient of beta times the form's value to the log-prob of now. */
static float kl_gradient(const sv_policy *p, float ratio, float e, double *value)
{
    float k3 = sv_k3(e);
    switch (p->kl) {
    case SV_KL_K3_RATIO:
        *value += (double)(ratio * k3);
        return 0.0f - p->beta * (ratio * e);
    case SV_KL_K3:
        *value += (double)k3;
        return p->beta * (1.0f - sv_canon_exp(within(e, TOKEN_MOST)));
    case SV_KL_K2:
        *value += (double)(0.5f * (e * e));
        return 0.0f - p->beta * e;
    default:
        *value -= (double)e;
        return 0.0f;
    }
}

void sv_policy_row(const sv_policy *p, float a, float norm, uint32_t n, const float *lp_new, const float *lp_old,
                   const float *lp_ref, const float *weight, float *dlp, float *scratch, sv_policy_stat *stat)
{
    bool per_answer = p->loss == SV_PG_GRPO || p->loss == SV_PG_GSPO;
    float scale = (per_answer ? 1.0f / (float)n : 1.0f) / norm, of_answer = 1.0f;
    if (p->loss == SV_PG_GSPO)
        of_answer = clipped(p, sequence_ratio(n, lp_new, lp_old, scratch), a, n, stat);
    for (uint32_t t = 0; t < n; t++) {
        float ratio = sv_ratio(lp_new[t] - lp_old[t]), kappa = of_answer;
        if (p->loss == SV_PG_CISPO)
            kappa = weight_only(p, ratio, stat);
        else if (p->loss != SV_PG_GSPO && p->loss != SV_PG_REINFORCE)
            kappa = clipped(p, ratio, a, 1, stat);
        if (weight != NULL)
            kappa = kappa * weight[t];
        float d = 0.0f - kappa * a;
        if (lp_ref != NULL)
            d = d + kl_gradient(p, ratio, lp_ref[t] - lp_new[t], &stat->kl);
        dlp[t] = d * scale;
    }
    stat->n_token += n;
}
