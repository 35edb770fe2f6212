/* SPDX-License-Identifier: Apache-2.0
 * Counter-based random numbers: no state, no order, the same draw wherever it is made (docs/arithmetic.md A-29).
 * Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Threads: values.
 */
#ifndef SV_NUM_PHILOX_H
#define SV_NUM_PHILOX_H

#include <stdint.h>

#include "num/canon.h"

/* Stream numbers keep draws of different purpose apart. Append only: the numbers are part of results. */
typedef enum sv_stream {
    SV_STREAM_SAMPLE = 1,  /* tokens of answers */
    SV_STREAM_PROMPT = 2,  /* order of prompts */
    SV_STREAM_EPOCH = 3,   /* order of rows in an epoch */
    SV_STREAM_MINI = 4,    /* order of mini-batches */
    SV_STREAM_INIT = 5,    /* initial weights */
    SV_STREAM_BOOT = 6,    /* bootstrap intervals */
    SV_STREAM_TASK = 7,    /* made-up tasks */
    SV_STREAM_AGREE = 8,   /* agreement of labels */
    SV_STREAM_TEST = 9,    /* operands of tests */
    SV_STREAM_ROLLOUT = 10 /* tokens of answers that train */
} sv_stream;

typedef struct sv_philox {
    uint32_t w[4];
} sv_philox;

/* Ten rounds on a counter of four words with a key of two. */
static inline sv_philox sv_philox_block(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (sv_philox){ { c0, c1, c2, c3 } };
}

/* The draw of (seed, stream, step, row, position). */
static inline sv_philox sv_philox_at(uint64_t seed, uint32_t stream, uint32_t step, uint32_t row, uint32_t position)
{
    return sv_philox_block(position, row, step, stream, (uint32_t)seed, (uint32_t)(seed >> 32));
}

/* Uniform in [0, 1): 24 bits, exact. */
static inline float sv_philox_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Uniform in (0, 1]: 24 bits, exact. */
static inline float sv_philox_uniform_open(uint32_t word)
{
    return (float)((word >> 8) + 1) * 0x1p-24f;
}

/* Two standard normals of two words (Box & Muller 1958): u in (0,1] from a, v in [0,1) from b; r = sqrt(0 - 2 log u),
 * t = v * 6.2831855; r cos t, r sin t. Each operator rounded. */
static inline void sv_philox_normals(uint32_t a, uint32_t b, float out[2])
{
    float r = __builtin_sqrtf(0.0f - 2.0f * sv_canon_log(sv_philox_uniform_open(a)));
    float t = sv_philox_uniform(b) * 6.2831855f;
    out[0] = r * sv_canon_cos(t);
    out[1] = r * sv_canon_sin(t);
}

/* Item i of the normal sequence (seed, stream, step): block i / 4 with counter (i / 4 low, i / 4 high, step, stream)
 * gives items 4b ... 4b + 3, as two pairs. Fills all four. */
static inline void sv_philox_normal4(uint64_t seed, uint32_t stream, uint32_t step, uint64_t block, float out[4])
{
    sv_philox w = sv_philox_at(seed, stream, step, (uint32_t)(block >> 32), (uint32_t)block);
    sv_philox_normals(w.w[0], w.w[1], out);
    sv_philox_normals(w.w[2], w.w[3], out + 2);
}

#endif
