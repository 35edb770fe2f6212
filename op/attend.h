/* SPDX-License-Identifier: Apache-2.0
 * What the ops over key pages share: where a key lies, and operands of their cases.
 * Threads: values.
 */
#ifndef SV_OP_ATTEND_H
#define SV_OP_ATTEND_H

#include "op/read.h"

/* Key pages [N,G,K,32] (token innermost) and value pages [N,G,32,K]. Position p of sequence s lies in page
 * table[s][p / 32], slot p mod 32. */
static inline float *sv_key_at(const sv_tensor *kpages, int32_t page, uint32_t g, uint32_t slot)
{
    uint32_t G = kpages->dim[1], K = kpages->dim[2];
    return (float *)sv_tensor_host(kpages) + ((uint64_t)(uint32_t)page * G + g) * K * SV_PAGE + slot; /* steps of 32 */
}

static inline float *sv_value_at(const sv_tensor *vpages, int32_t page, uint32_t g, uint32_t slot)
{
    uint32_t G = vpages->dim[1], K = vpages->dim[3];
    return (float *)sv_tensor_host(vpages) + (((uint64_t)(uint32_t)page * G + g) * SV_PAGE + slot) * K;
}

/* kpages and vpages fit each other: F32, dense, [N,G,K,32] and [N,G,32,K] (either an operand or an inout place). */
sv_err sv_check_pages(const sv_tensor *kpages, const sv_tensor *vpages);

/* How a case spreads its rows over sequences. */
enum {
    SV_CASE_PREFILL, /* sequences one after the other, from position 0 */
    SV_CASE_CHUNK,   /* the same, the last rows of a context of fill_arg[1] positions */
    SV_CASE_DECODE   /* one row each, anywhere in the context */
};

/* Filler: fill_arg[0]: pos operand, seq follows it, and then table when fill_arg[2]; fill_arg[1]: positions of a
 * sequence; fill_arg[3]: one of the above. Pages are given out from the last one down. */
void sv_case_fill_attend(const sv_case *c, sv_tensor *in, uint32_t variant);

#endif
