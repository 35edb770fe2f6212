/* SPDX-License-Identifier: Apache-2.0
 * Figures of an evaluation: intervals, estimates and tests.
 */
#include "train/metric.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "num/philox.h"

#define RESAMPLES 10000u

sv_interval sv_wilson(uint64_t right, uint64_t n)
{
    const double z = 1.959964;
    if (n == 0)
        return (sv_interval){ 0, 0, 1 };
    double m = (double)n, p = (double)right / m, mid = p + z * z / (2 * m), d = 1 + z * z / m,
           half = z * sqrt(p * (1 - p) / m + z * z / (4 * m * m));
    return (sv_interval){ p, right == 0 ? 0 : (mid - half) / d, right == n ? 1 : (mid + half) / d };
}

double sv_pass_at(uint32_t n, uint32_t c, uint32_t k)
{
    double none = 1;
    if (n - c < k)
        return 1;
    for (uint32_t i = n - c + 1; i <= n; i++)
        none *= 1 - (double)k / i;
    return 1 - none;
}

uint32_t sv_vote(const sv_str *answer, uint32_t k)
{
    uint32_t best = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t votes = 0;
        if (answer[i].p == NULL)
            continue;
        for (uint32_t j = 0; j < k; j++)
            if (answer[j].p != NULL && sv_str_eq(answer[i], answer[j]))
                votes++;
        if (votes > most) {
            most = votes;
            best = i;
        }
    }
    return best;
}

static uint32_t below(uint32_t word, uint32_t n)
{
    return (uint32_t)(((uint64_t)word * n) >> 32);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sums [n_metric] of one resample. */
static void resample(const double *value, uint32_t n, uint32_t n_metric, uint64_t seed, uint32_t r, double *sum)
{
    sv_philox w = { 0 };
    for (uint32_t m = 0; m < n_metric; m++)
        sum[m] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            w = sv_philox_at(seed, SV_STREAM_BOOT, r, 0, i / 4);
        const double *v = value + (size_t)below(w.w[i % 4], n) * n_metric;
        for (uint32_t m = 0; m < n_metric; m++)
            sum[m] += v[m];
    }
}

void sv_bootstrap(const double *value, uint32_t n, uint32_t n_metric, uint64_t seed, sv_interval *out)
{
    double *mean = sv_mem_new((size_t)n_metric * RESAMPLES * sizeof *mean);
    double *sum = sv_mem_new((size_t)n_metric * sizeof *sum);
    for (uint32_t m = 0; m < n_metric; m++) {
        out[m] = (sv_interval){ 0, 0, 1 };
        for (uint32_t i = 0; i < n; i++)
            out[m].value += value[(size_t)i * n_metric + m] / n;
    }
    for (uint32_t r = 0; n > 0 && r < RESAMPLES; r++) {
        resample(value, n, n_metric, seed, r, sum);
        for (uint32_t m = 0; m < n_metric; m++)
            mean[(size_t)m * RESAMPLES + r] = sum[m] / n;
    }
    for (uint32_t m = 0; n > 0 && m < n_metric; m++) {
        double *of = mean + (size_t)m * RESAMPLES;
        qsort(of, RESAMPLES, sizeof *of, ascending);
        out[m].low = of[RESAMPLES / 40 - 1]; /* 250th smallest and 250th largest */
        out[m].high = of[RESAMPLES - RESAMPLES / 40];
    }
    sv_mem_free(mean);
    sv_mem_free(sum);
}

double sv_mcnemar(uint32_t only_a, uint32_t only_b)
{
    uint32_t n = only_a + only_b, few = only_a < only_b ? only_a : only_b;
    double log_term = -(double)n * log(2), p = 0;
    for (uint32_t i = 0; i <= few; i++) {
        p += exp(log_term);
        log_term += log((double)(n - i)) - log((double)(i + 1));
    }
    return 2 * p < 1 ? 2 * p : 1;
}

double sv_sign_flip(const int32_t *d, uint32_t n, uint64_t seed)
{
    int64_t seen = 0;
    uint32_t as_far = 1;
    for (uint32_t i = 0; i < n; i++)
        seen += d[i];
    for (uint32_t r = 0; r < RESAMPLES; r++) {
        sv_philox w = { 0 };
        int64_t sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (i % 128 == 0)
                w = sv_philox_at(seed, SV_STREAM_BOOT, UINT32_MAX, r, i / 128);
            sum += w.w[i / 32 % 4] >> (i % 32) & 1 ? d[i] : -(int64_t)d[i];
        }
        as_far += llabs(sum) >= llabs(seen);
    }
    return as_far / (RESAMPLES + 1.0);
}
