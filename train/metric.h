/* SPDX-License-Identifier: Apache-2.0
 * Figures of an evaluation and how sure they are: Wilson, pass@k, maj@k, bootstrap over problems, paired tests.
 * Formulas and sources: docs/evaluation.md. Threads: values.
 */
#ifndef SV_TRAIN_METRIC_H
#define SV_TRAIN_METRIC_H

#include <stdint.h>

#include "base/str.h"

typedef struct sv_interval {
    double value, low, high;
} sv_interval;

/* Share of n independent answers, and Wilson's 95 % interval (Wilson 1927; z = 1.959964). n 0: [0, 1]. */
sv_interval sv_wilson(uint64_t right, uint64_t n);

/* Unbiased estimate of "at least one of k samples is right" from c right ones of n (Chen et al. 2021, equation 1), as
 * 1 - product over i = n-c+1 ... n of (1 - k/i); 1 when n - c < k. k <= n, c <= n. */
double sv_pass_at(uint32_t n, uint32_t c, uint32_t k);

/* Majority vote of the first k answers; those whose p is NULL do not vote. The first sample that gave the winning
 * answer; ties go to the answer that was seen first. UINT32_MAX: nobody voted. */
uint32_t sv_vote(const sv_str *answer, uint32_t k);

/* Means of n_metric figures over n problems, value [n][n_metric], with the percentile interval (2.5 %, 97.5 %) of
 * 10,000 resamples of problems: samples of one problem are not independent. Resample r draws its problem i from Philox
 * (seed, SV_STREAM_BOOT, r, i / 4): the same intervals anywhere. */
void sv_bootstrap(const double *value, uint32_t n, uint32_t n_metric, uint64_t seed, sv_interval *out);

/* Two-sided exact McNemar test: problems that only A and only B solved (McNemar 1947; binomial with 1/2). */
double sv_mcnemar(uint32_t only_a, uint32_t only_b);

/* Two-sided sign-flip test of sum d = 0 over paired differences (Fisher 1935): 10,000 flips by Philox (seed,
 * SV_STREAM_BOOT, UINT32_MAX, ...), p = (1 + flips at least as far from 0) / 10,001. Integers: no rounding. */
double sv_sign_flip(const int32_t *d, uint32_t n, uint64_t seed);

#endif
