/* SPDX-License-Identifier: Apache-2.0
 * From a row of logits to a token: penalties, temperature, top-k, top-p, min-p, one keyed draw. Order of steps and of
 * sums: docs/arithmetic.md A-40. Threads: values; a scratch is used by one thread at a time.
 */
#ifndef SV_INFER_SAMPLE_H
#define SV_INFER_SAMPLE_H

#include <stdint.h>

#include "base/err.h"

/* Temperatures other than 0: below, a quotient may leave binary32. */
#define SV_TEMPERATURE_MIN 0.001f
#define SV_TEMPERATURE_MAX 100.0f

/* Added to a logit behind the penalties; from SV_BIAS_FORBIDS down the caller forbids the token. */
typedef struct sv_logit_bias {
    uint32_t id;
    float by;
} sv_logit_bias;
#define SV_BIAS_FORBIDS (-100.0f)

typedef struct sv_sampling {
    float temperature;         /* 0: the largest logit, ties to the lowest id */
    uint32_t top_k;            /* 0: off */
    float top_p;               /* 1: off */
    float min_p;               /* 0: off */
    float repetition;          /* 1: off */
    float frequency, presence; /* 0: off */
    const sv_logit_bias *bias; /* [n_bias] ids differ; borrowed */
    uint32_t n_bias;
    uint64_t seed;
    uint32_t stream, step, row; /* Philox: counter (position, row, step, stream); serving: stream 1, step 0, row 0 */
} sv_sampling;
#define SV_SAMPLING_GREEDY ((sv_sampling){ .temperature = 0, .top_p = 1, .repetition = 1, .stream = 1 })

typedef struct sv_sampler sv_sampler; /* scratch for one vocabulary size */
sv_sampler *sv_sampler_make(uint32_t n_vocab);
void sv_sampler_drop(sv_sampler *s);

/* Draws from z [n_vocab] (not changed). seen: ids of prompt and output; n_seen; the last n_out of them are output.
 * position: absolute index of the token to be drawn. n_real: ids from n_real on do not exist, nor do those whose logit
 * is -inf or NaN: that is how a caller forbids a token. Seen ids are below n_vocab. */
uint32_t sv_sample(sv_sampler *s, const float *z, uint32_t n_real, const sv_sampling *how, const uint32_t *seen,
                   uint32_t n_seen, uint32_t n_out, uint32_t position);
/* The k largest of z [n] in descending order, ties to the lowest id, into id; returns how many there are. */
uint32_t sv_sampler_top(sv_sampler *s, const float *z, uint32_t n, uint32_t k, uint32_t *id);
/* SV_E_ARG naming the field, its value and range. */
sv_err sv_sampling_check(const sv_sampling *how);

#endif
