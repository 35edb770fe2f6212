/* SPDX-License-Identifier: Apache-2.0
 * The log-probability of one token, for the sampler: the bits of the op logprob.
 * Threads: values.
 */
#ifndef SV_OP_LOGPROB_H
#define SV_OP_LOGPROB_H

#include <stdint.h>

/* -((log l + m) - z[y]) with m = MAX(z), l = SUM(exp(z - m)) over n logits; y < n. Natural logarithm. */
float sv_logprob_row(const float *z, uint32_t n, uint32_t y);

#endif
