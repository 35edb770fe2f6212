/* SPDX-License-Identifier: Apache-2.0
 * Packed layouts of weights [n, k]: one index function each, used by packer, reference, kernels and tests. Layouts are
 * made of outputs side by side, so that the lanes of a vector are outputs (docs/arithmetic.md ).
 * Spare columns (n not a multiple of the panel) are zero bytes. Threads: values.
 */
#ifndef SV_NUM_IMAGE_H
#define SV_NUM_IMAGE_H

#include <stdint.h>

#include "samsvar/dtype.h"

#define SV_P16_COLS 16u
#define SV_BLOCK_COLS 32u  /* columns of an S8, S4 or A4 panel */
#define SV_BLOCK_ITEMS 32u /* items of k in a block */
#define SV_S8_BYTES 1088u  /* 8 steps x 32 columns x 4 k int8; 32 f16 scales */
#define SV_S4_BYTES 576u   /* 4 pairs of steps x 32 columns x 4 bytes; 32 f16 scales */
#define SV_A4_BYTES 640u   /* as S4; 32 f16 minima */
#define SV_S8_SCALE 1024u  /* byte offset of the scales inside a panel block */
#define SV_S4_SCALE 512u
#define SV_A4_MIN 576u
#define SV_K4_BYTES 4736u /* 8 blocks of S4's 512 bytes of codes; 8 x 32 scales; 8 x 32 minima; 32 f16 d; 32 dmin */
#define SV_K5_BYTES 5760u /* codes as K4; 8 x 32 columns x 4 bytes of fifth bits; the rest as K4 */
#define SV_K6_BYTES 6720u /* codes as K4; 8 x 2 x 32 columns x 4 bytes of bits 4 and 5; 16 x 32 int8 scales; 32 d */

/* P16, [ceil(n/16)][k][16]: item index of (row n, column k) of a weight with K columns. */
static inline uint64_t sv_image_p16(uint32_t n, uint32_t k, uint32_t K)
{
    return ((uint64_t)(n / SV_P16_COLS) * K + k) * SV_P16_COLS + n % SV_P16_COLS;
}

static inline uint64_t sv_image_p16_items(uint32_t N, uint32_t K)
{
    return (uint64_t)((N + SV_P16_COLS - 1) / SV_P16_COLS) * K * SV_P16_COLS;
}

/* S8, S4, A4, [ceil(n/32)][k/32]: number of the panel block that holds (n, k). */
static inline uint64_t sv_image_block(uint32_t n, uint32_t k, uint32_t K)
{
    return (uint64_t)(n / SV_BLOCK_COLS) * (K / SV_BLOCK_ITEMS) + k / SV_BLOCK_ITEMS;
}

static inline uint64_t sv_image_blocks(uint32_t N, uint32_t K)
{
    return (uint64_t)((N + SV_BLOCK_COLS - 1) / SV_BLOCK_COLS) * (K / SV_BLOCK_ITEMS);
}

/* Byte offset of code (n, k) inside its S8 block: step k/4, column n, k mod 4. */
static inline uint32_t sv_image_s8_code(uint32_t n, uint32_t k)
{
    return (k % SV_BLOCK_ITEMS) / 4 * 128 + n % SV_BLOCK_COLS * 4 + k % 4;
}

/* Byte offset of the byte that holds code (n, k) inside its S4 or A4 block, and the bits to shift it down by: step 2p
 * is in the low nibble, step 2p + 1 in the high one. */
static inline uint32_t sv_image_s4_code(uint32_t n, uint32_t k)
{
    return (k % SV_BLOCK_ITEMS) / 8 * 128 + n % SV_BLOCK_COLS * 4 + k % 4;
}

static inline uint32_t sv_image_s4_shift(uint32_t k)
{
    return (k % SV_BLOCK_ITEMS) / 4 % 2 * 4;
}

/* Byte offset of the f16 scale (or, from SV_A4_MIN, minimum) of column n, counted from SV_S8_SCALE or SV_S4_SCALE. */
static inline uint32_t sv_image_scale(uint32_t n)
{
    return n % SV_BLOCK_COLS * 2;
}

/* K4, K5, K6, [ceil(n/32)][k/256]: number of the panel block that holds (n, k). */
static inline uint64_t sv_image_k_block(uint32_t n, uint32_t k, uint32_t K)
{
    return (uint64_t)(n / SV_BLOCK_COLS) * (K / 256u) + k / 256u;
}

/* Byte offsets inside a panel block; scales and minima are bytes, [part][column]. */
typedef struct sv_image_k {
    uint32_t bytes, high, scale, n_scale, min, d, dmin;
} sv_image_k;

/* t: Q4_K, Q5_K or Q6_K. */
static inline const sv_image_k *sv_image_k_of(sv_dtype t)
{
    static const sv_image_k k4 = { SV_K4_BYTES, 4096, 4096, 8, 4352, 4608, 4672 };
    static const sv_image_k k5 = { SV_K5_BYTES, 4096, 5120, 8, 5376, 5632, 5696 };
    static const sv_image_k k6 = { SV_K6_BYTES, 4096, 6144, 16, 0, 6656, 0 };
    return t == SV_DT_Q4_K ? &k4 : t == SV_DT_Q5_K ? &k5 : &k6;
}

/* The four bytes that hold steps 2p (low nibbles) and 2p + 1 (high) of column n; a step is four items of a part of 32.
 */
static inline uint32_t sv_image_k_code(uint32_t part, uint32_t pair, uint32_t n)
{
    return part * 512 + pair * 128 + n % SV_BLOCK_COLS * 4;
}

/* The word of a part's fifth bits, counted from `high`: item 4s + j of the part is bit s of byte j. */
static inline uint32_t sv_image_k_high5(uint32_t part, uint32_t n)
{
    return part * 128 + n % SV_BLOCK_COLS * 4;
}

/* The word of bits 4 and 5 of half h (16 items) of a part: item 4s + j of the half is bits 2s, 2s + 1 of byte j. */
static inline uint32_t sv_image_k_high6(uint32_t part, uint32_t h, uint32_t n)
{
    return part * 256 + h * 128 + n % SV_BLOCK_COLS * 4;
}

/* Bytes of a panel block of an image of blocks. */
static inline uint32_t sv_image_block_bytes(sv_dtype t)
{
    switch (t) {
    case SV_DT_Q8_0:
        return SV_S8_BYTES;
    case SV_DT_Q4_0:
        return SV_S4_BYTES;
    case SV_DT_Q4_1:
        return SV_A4_BYTES;
    default:
        return sv_image_k_of(t)->bytes;
    }
}

#endif
