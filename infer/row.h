/* SPDX-License-Identifier: Apache-2.0
 * Passes over one row of logits in a shape that compilers turn into vectors, with the bits of num/sum.h and
 * op/logprob.h. Threads: values.
 */
#ifndef SV_INFER_ROW_H
#define SV_INFER_ROW_H

#include <stdint.h>

/* MAX of n floats: NaN never wins, -inf for none, a zero is +0. */
float sv_row_max(const float *x, uint32_t n);
/* ARG: lowest index of the largest item; 0 when nothing wins. */
uint32_t sv_row_argmax(const float *x, uint32_t n);
/* y[i] = exp(x[i] - m); y may be x. */
void sv_row_exp(const float *x, uint32_t n, float m, float *y);
/* SUM of n floats. */
float sv_row_sum(const float *x, uint32_t n);
/* y[i] = x[i] / by and x[i] * by; y may be x. */
void sv_row_div(const float *x, uint32_t n, float by, float *y);
void sv_row_mul(const float *x, uint32_t n, float by, float *y);

/* The two numbers that every log-probability of a row shares: MAX, and SUM of exp(z - m). */
typedef struct sv_row_stat {
    float m, l;
} sv_row_stat;
sv_row_stat sv_row_stat_of(const float *z, uint32_t n);
/* -((log l + m) - z): the bits of sv_logprob_row for the token with logit z. */
float sv_row_logprob(sv_row_stat s, float z);

#endif
