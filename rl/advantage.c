/* SPDX-License-Identifier: Apache-2.0
 * Advantages. The formulas stand in the header.
 */
#include "rl/advantage.h"

#include <string.h>

#include "base/mem.h"
#include "num/bits.h"
#include "num/sum.h"

#define EPS 1e-4f /* added to a standard deviation */

sv_adv sv_adv_of(const char *word)
{
    static const char *const name[] = { "mean", "mean-std", "loo", "batch-std", "batch" };
    int i = 0;
    while (strcmp(word, name[i]) != 0)
        i++;
    return (sv_adv)i;
}

bool sv_all_equal(const float *r, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (sv_bits_u32(r[i]) != sv_bits_u32(r[0]))
            return false;
    return true;
}

float sv_mean_of(const float *r, uint32_t n)
{
    return sv_sum(r, n) / (float)n;
}

float sv_std_of(const float *r, uint32_t n, float mean, float *scratch)
{
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = (r[i] - mean) * (r[i] - mean);
    return __builtin_sqrtf(sv_sum(scratch, n) / (float)n);
}

static void of_group(sv_adv kind, const float *r, uint32_t n, float *a, float *scratch)
{
    float mean = sv_mean_of(r, n), std = sv_std_of(r, n, mean, scratch);
    bool equal = sv_all_equal(r, n);
    for (uint32_t i = 0; i < n; i++) {
        float c = r[i] - mean;
        if (kind == SV_ADV_MEAN_STD)
            c = c / (std + EPS);
        else if (kind == SV_ADV_LOO)
            c = c * ((float)n / (float)(n - 1));
        a[i] = equal ? 0.0f : c;
    }
}

/* Divides by the standard deviation of the whole batch around 0. */
static void scale_batch(float *a, uint32_t n, float *scratch)
{
    float by = sv_std_of(a, n, 0.0f, scratch) + EPS;
    for (uint32_t i = 0; i < n; i++)
        a[i] = a[i] / by;
}

void sv_advantage(sv_adv kind, const float *r, uint32_t n_group, uint32_t group, float *a)
{
    uint32_t n = n_group * group;
    float *scratch = sv_mem_new(sv_mem_mul_or_die((size_t)n + 1, sizeof *scratch));
    if (kind == SV_ADV_BATCH && n > 0) {
        float mean = sv_mean_of(r, n);
        bool equal = sv_all_equal(r, n);
        for (uint32_t i = 0; i < n; i++)
            a[i] = equal ? 0.0f : r[i] - mean;
    }
    for (uint32_t g = 0; g < n_group && kind != SV_ADV_BATCH; g++)
        of_group(kind, r + (size_t)g * group, group, a + (size_t)g * group, scratch);
    if ((kind == SV_ADV_BATCH || kind == SV_ADV_BATCH_STD) && n > 0)
        scale_batch(a, n, scratch);
    sv_mem_free(scratch);
}
