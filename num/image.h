/* SPDX-License-Identifier: Apache-2.0
 * Packed layouts of weights [n, k]: one index function each, used by packer, reference, kernels and tests. Layouts are
 * made of outputs side by side, so that the lanes of a vector are outputs (docs/arithmetic.md ).
 * Spare columns (n not a multiple of the panel) are zero bytes. Threads: values.
 */
#ifndef SV_NUM_IMAGE_H
#define SV_NUM_IMAGE_H

#include <stdint.h>

#define SV_P16_COLS 16u
#define SV_BLOCK_COLS 32u  /* columns of an S8, S4 or A4 panel */
#define SV_BLOCK_ITEMS 32u /* items of k in a block */
#define SV_S8_BYTES 1088u  /* 8 steps x 32 columns x 4 k int8; 32 f16 scales */
#define SV_S4_BYTES 576u   /* 4 pairs of steps x 32 columns x 4 bytes; 32 f16 scales */
#define SV_A4_BYTES 640u   /* as S4; 32 f16 minima */
#define SV_S8_SCALE 1024u  /* byte offset of the scales inside a panel block */
#define SV_S4_SCALE 512u
#define SV_A4_MIN 576u

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

#endif
