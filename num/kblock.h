/* SPDX-License-Identifier: Apache-2.0
 * Blocks of Q4_K, Q5_K and Q6_K (256 items) opened: codes, integer scales and minima as bytes, and f16 factors; from
 * the file's layout and back, and from the packed images and back (docs/arithmetic.md A-33). Each way loses nothing.
 * Threads: values.
 */
#ifndef SV_NUM_KBLOCK_H
#define SV_NUM_KBLOCK_H

#include "num/dtype.h"
#include "num/image.h"

#define SV_K_ITEMS 256u
#define SV_K_PARTS 8u /* groups of 32 items, each with an activation scale of its own */

typedef struct sv_kblock {
    uint8_t code[SV_K_ITEMS]; /* 0 ... 15, 31 or 63; Q6_K: the value is code - 32 */
    uint8_t scale[16];        /* Q4_K, Q5_K: 8, 0 ... 63; Q6_K: 16, int8 */
    uint8_t min[SV_K_PARTS];  /* Q4_K, Q5_K: 0 ... 63 */
    uint16_t d, dmin;         /* f16; Q6_K has no dmin */
} sv_kblock;

/* Q4_K, Q5_K or Q6_K. */
static inline bool sv_dtype_is_k(sv_dtype t)
{
    return t == SV_DT_Q4_K || t == SV_DT_Q5_K || t == SV_DT_Q6_K;
}

/* ---- the file's layout ---- */

/* Eight scales or minima of 6 bits in 12 bytes: the first four whole, the others with two bits above the first. */
static inline void sv_kblock_put_scales(const uint8_t *scale, const uint8_t *min, uint8_t *s)
{
    for (unsigned g = 0; g < 4; g++) {
        s[g] = (uint8_t)(scale[g] | scale[g + 4] >> 4 << 6);
        s[g + 4] = (uint8_t)(min[g] | min[g + 4] >> 4 << 6);
        s[g + 8] = (uint8_t)((scale[g + 4] & 15u) | (unsigned)(min[g + 4] & 15u) << 4);
    }
}

/* Written so that compilers use vectors: packing at load is made of these. */
static inline void sv_kblock_open_q6(const uint8_t *b, sv_kblock *k)
{
    for (unsigned h = 0; h < 2; h++) {
        const uint8_t *q = b + 64 * h, *high = b + 128 + 32 * h;
        uint8_t *code = k->code + 128 * h;
        for (unsigned l = 0; l < 32; l++) {
            code[l] = (uint8_t)((q[l] & 15u) | (high[l] & 3u) << 4);
            code[32 + l] = (uint8_t)((q[32 + l] & 15u) | (high[l] >> 2 & 3u) << 4);
            code[64 + l] = (uint8_t)(q[l] >> 4 | (high[l] >> 4 & 3u) << 4);
            code[96 + l] = (uint8_t)(q[32 + l] >> 4 | (high[l] >> 6) << 4);
        }
    }
    memcpy(k->scale, b + 192, 16);
    k->d = sv_load_u16(b + 208);
}

static inline void sv_kblock_close_q6(const sv_kblock *k, uint8_t *b)
{
    memset(b, 0, 192);
    for (unsigned j = 0; j < SV_K_ITEMS; j++) {
        unsigned h = j / 128, p = j % 128 / 32, l = j % 32, at = 64 * h + l + 32 * (p % 2);
        b[at] = (uint8_t)(b[at] | (k->code[j] & 15u) << (p < 2 ? 0 : 4));
        at = 128 + 32 * h + l;
        b[at] = (uint8_t)(b[at] | (unsigned)(k->code[j] >> 4) << (2 * p));
    }
    memcpy(b + 192, k->scale, 16);
    sv_store_u16(b + 208, k->d);
}

/* t: Q4_K, Q5_K or Q6_K; b: the file's block. */
static inline void sv_kblock_open(sv_dtype t, const uint8_t *b, sv_kblock *k)
{
    if (t == SV_DT_Q6_K) {
        sv_kblock_open_q6(b, k);
        return;
    }
    const uint8_t *high = b + 16, *q = b + (t == SV_DT_Q5_K ? 48 : 16);
    k->d = sv_load_u16(b);
    k->dmin = sv_load_u16(b + 2);
    for (unsigned g = 0; g < SV_K_PARTS; g++) {
        unsigned scale, min;
        sv_dtype_k_scale(b + 4, g, &scale, &min);
        k->scale[g] = (uint8_t)scale;
        k->min[g] = (uint8_t)min;
        for (unsigned l = 0; l < 32; l++) {
            unsigned n = q[g / 2 * 32 + l] >> (g % 2 * 4) & 15u;
            k->code[32 * g + l] = (uint8_t)(t == SV_DT_Q5_K ? n | (high[l] >> g & 1u) << 4 : n);
        }
    }
}

static inline void sv_kblock_close(sv_dtype t, const sv_kblock *k, uint8_t *b)
{
    if (t == SV_DT_Q6_K) {
        sv_kblock_close_q6(k, b);
        return;
    }
    uint8_t *high = b + 16, *q = b + (t == SV_DT_Q5_K ? 48 : 16);
    sv_store_u16(b, k->d);
    sv_store_u16(b + 2, k->dmin);
    sv_kblock_put_scales(k->scale, k->min, b + 4);
    for (unsigned l = 0; l < 32; l++) {
        unsigned bits = 0;
        for (unsigned c = 0; c < 4; c++) {
            unsigned even = k->code[64 * c + l], odd = k->code[64 * c + 32 + l];
            q[32 * c + l] = (uint8_t)((even & 15u) | (odd & 15u) << 4);
            bits |= (even >> 4) << (2 * c) | (odd >> 4) << (2 * c + 1);
        }
        if (t == SV_DT_Q5_K)
            high[l] = (uint8_t)bits;
    }
}

/* ---- the images K4, K5, K6 ---- */

/* Writes column n (its panel's number of columns is SV_BLOCK_COLS) of the panel block p. */
static inline void sv_kblock_put(sv_dtype t, const sv_kblock *k, uint8_t *p, uint32_t n)
{
    const sv_image_k *at = sv_image_k_of(t);
    for (uint32_t part = 0; part < SV_K_PARTS; part++) {
        uint32_t five = 0, six[2] = { 0, 0 };
        for (uint32_t pair = 0; pair < 4; pair++) {
            const uint8_t *c = k->code + 32 * part + 8 * pair;
            uint32_t lo = sv_load_u32(c), hi = sv_load_u32(c + 4), step = 2 * pair;
            sv_store_u32(p + sv_image_k_code(part, pair, n), (lo & 0x0f0f0f0fu) | (hi & 0x0f0f0f0fu) << 4);
            five |= (lo >> 4 & 0x01010101u) << step | (hi >> 4 & 0x01010101u) << (step + 1);
            six[pair / 2] |= (lo >> 4 & 0x03030303u) << (2 * (step % 4)) | (hi >> 4 & 0x03030303u)
                                                                               << (2 * (step % 4) + 2);
        }
        if (t == SV_DT_Q5_K)
            sv_store_u32(p + at->high + sv_image_k_high5(part, n), five);
        for (uint32_t h = 0; t == SV_DT_Q6_K && h < 2; h++)
            sv_store_u32(p + at->high + sv_image_k_high6(part, h, n), six[h]);
    }
    for (uint32_t i = 0; i < at->n_scale; i++)
        p[at->scale + SV_BLOCK_COLS * i + n % SV_BLOCK_COLS] = k->scale[i];
    sv_store_u16(p + at->d + sv_image_scale(n), k->d);
    if (t == SV_DT_Q6_K)
        return;
    for (uint32_t i = 0; i < SV_K_PARTS; i++)
        p[at->min + SV_BLOCK_COLS * i + n % SV_BLOCK_COLS] = k->min[i];
    sv_store_u16(p + at->dmin + sv_image_scale(n), k->dmin);
}

/* Reads column n of the panel block p. */
static inline void sv_kblock_get(sv_dtype t, const uint8_t *p, uint32_t n, sv_kblock *k)
{
    const sv_image_k *at = sv_image_k_of(t);
    for (uint32_t part = 0; part < SV_K_PARTS; part++) {
        uint32_t five = t == SV_DT_Q5_K ? sv_load_u32(p + at->high + sv_image_k_high5(part, n)) : 0, six[2] = { 0, 0 };
        for (uint32_t h = 0; t == SV_DT_Q6_K && h < 2; h++)
            six[h] = sv_load_u32(p + at->high + sv_image_k_high6(part, h, n));
        for (uint32_t step = 0; step < 8; step++) {
            uint32_t low = sv_load_u32(p + sv_image_k_code(part, step / 2, n)) >> (step % 2 * 4) & 0x0f0f0f0fu;
            uint32_t high = (five >> step & 0x01010101u) | (six[step / 4] >> (step % 4 * 2) & 0x03030303u);
            sv_store_u32(k->code + 32 * part + 4 * step, low | high << 4);
        }
    }
    for (uint32_t i = 0; i < at->n_scale; i++)
        k->scale[i] = p[at->scale + SV_BLOCK_COLS * i + n % SV_BLOCK_COLS];
    k->d = sv_load_u16(p + at->d + sv_image_scale(n));
    k->dmin = 0;
    if (t == SV_DT_Q6_K)
        return;
    for (uint32_t i = 0; i < SV_K_PARTS; i++)
        k->min[i] = p[at->min + SV_BLOCK_COLS * i + n % SV_BLOCK_COLS];
    k->dmin = sv_load_u16(p + at->dmin + sv_image_scale(n));
}

#endif
