/* SPDX-License-Identifier: Apache-2.0
 * Weights by the log-prob difference of trainer and sampler.
 */
#include "rl/mismatch.h"

#include <stdbool.h>
#include <string.h>

#include "num/canon.h"
#include "num/sum.h"
#include "rl/policy.h"

#define SEQUENCE_MOST 10.0f /* of a summed log ratio */

sv_mismatch sv_mismatch_of(const sv_recipe *r)
{
    static const struct {
        const char *word;
        float low, high;
    } mode[] = { { "assert", 0, 0 },      { "report", 0, 0 },    { "token-tis", 0, 2 },
                 { "seq-tis", 0, 2 },     { "seq-mask", 0, 3 },  { "token-mask", 0.5f, 5 },
                 { "geo-rs", 0, 0.001f }, { "k3-rs", 0, 0.01f }, { "opsm", 0, 0.5f } };
    int i = 0;
    while (!sv_recipe_is(r, SV_KEY_RL_MISMATCH, mode[i].word))
        i++;
    double low = sv_recipe_f64(r, SV_KEY_RL_MIS_MIN), high = sv_recipe_f64(r, SV_KEY_RL_MIS_MAX);
    return (sv_mismatch){ (sv_mis)i, low > 0 ? (float)low : mode[i].low, high > 0 ? (float)high : mode[i].high };
}

static float within(float x, float most)
{
    return x > most ? most : x < 0.0f - most ? 0.0f - most : x;
}

static float of_token(const sv_mismatch *x, float m)
{
    if (x->mode == SV_MIS_TOKEN_TIS)
        return m < x->high ? m : x->high;
    return m >= x->low && m <= x->high ? m : 0.0f;
}

/* sum: of delta; k3: mean of m - 1 - delta. */
static float of_answer(const sv_mismatch *x, float a, float n, float sum, float k3)
{
    float product = sv_canon_exp(within(sum, SEQUENCE_MOST)), mean = sum / n, geo = sv_canon_exp(mean);
    switch (x->mode) {
    case SV_MIS_SEQ_TIS:
        return product < x->high ? product : x->high;
    case SV_MIS_SEQ_MASK:
        return product >= x->low && product <= x->high ? product : 0.0f;
    case SV_MIS_GEO_RS:
        return geo >= 1.0f - x->high && geo <= 1.0f + x->high ? 1.0f : 0.0f;
    case SV_MIS_K3_RS:
        return k3 < x->high ? 1.0f : 0.0f;
    case SV_MIS_OPSM:
        return a < 0.0f && 0.0f - mean > x->high ? 0.0f : 1.0f;
    default:
        return 1.0f;
    }
}

void sv_mismatch_row(const sv_mismatch *x, float a, uint32_t n, const float *trainer, const float *sampler,
                     float *weight, float *scratch, double *k3)
{
    bool by_token = x->mode == SV_MIS_TOKEN_TIS || x->mode == SV_MIS_TOKEN_MASK;
    for (uint32_t t = 0; t < n; t++)
        scratch[t] = trainer[t] - sampler[t];
    float sum = sv_sum(scratch, n);
    for (uint32_t t = 0; t < n; t++) {
        weight[t] = sv_ratio(scratch[t]);
        scratch[t] = sv_k3(scratch[t]);
    }
    float mean_k3 = sv_sum(scratch, n) / (float)n, all = of_answer(x, a, (float)n, sum, mean_k3);
    for (uint32_t t = 0; t < n; t++)
        weight[t] = by_token ? of_token(x, weight[t]) : all;
    *k3 += (double)mean_k3;
}
