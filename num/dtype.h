/* SPDX-License-Identifier: Apache-2.0
 * Item types: sizes, names, exact widening, single rounding, block quantisation. Header only, so that plug-ins link to
 * nothing of ours. Formulas of block types: serving formats of GGUF (ggml docs/gguf.md), docs/arithmetic.md A-30.
 * Threads: values.
 * Blocks are read and written byte by byte, little-endian, at any address. Compile with -ffp-contract=off: f(d n) + m
 * is two roundings. A NaN that passes through is made quiet, its sign and top payload bits stay (as F16C does).
 */
#ifndef SV_NUM_DTYPE_H
#define SV_NUM_DTYPE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "samsvar/dtype.h"

#define SV_DTYPE_BAD_BYTES UINT64_MAX
#define SV_DTYPE_MAX_BLOCK_ITEMS 256

/* ---- bits ---- */

static inline uint32_t sv_f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float sv_f32_of_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint16_t sv_load_u16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] | (unsigned)p[1] << 8);
}

static inline uint32_t sv_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t sv_load_u64(const uint8_t *p)
{
    return sv_load_u32(p) | (uint64_t)sv_load_u32(p + 4) << 32;
}

static inline void sv_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 255u);
    p[1] = (uint8_t)(v >> 8);
}

static inline void sv_store_u32(uint8_t *p, uint32_t v)
{
    sv_store_u16(p, (uint16_t)(v & 0xffffu));
    sv_store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void sv_store_u64(uint8_t *p, uint64_t v)
{
    sv_store_u32(p, (uint32_t)(v & 0xffffffffu));
    sv_store_u32(p + 4, (uint32_t)(v >> 32));
}

/* ---- widening: exact ---- */

static inline float sv_bf16_widen(uint16_t h)
{
    return sv_f32_of_bits((uint32_t)h << 16);
}

static inline float sv_f16_widen(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 0x3ffu;
    if (e == 0) /* zero and subnormals: m 2^-24, exact in f32 */
        return sv_f32_of_bits(sign | sv_f32_bits((float)m * 0x1p-24f));
    if (e == 31)
        return sv_f32_of_bits(sign | 0x7f800000u | m << 13 | (m ? 0x400000u : 0u));
    return sv_f32_of_bits(sign | (e + 112u) << 23 | m << 13);
}

/* ---- narrowing: one rounding, to nearest, ties to even ---- */

static inline uint16_t sv_bf16_narrow(float x)
{
    uint32_t u = sv_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline uint16_t sv_f16_narrow(float x)
{
    uint32_t u = sv_f32_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu, q;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x1ffu));
    if (a >= 0x47800000u) /* 65536 and more, inf; 65520 .. 65535 round up to inf below */
        return (uint16_t)(sign | 0x7c00u);
    if (a >= 0x38800000u) { /* 2^-14 and more: normal in f16 */
        q = a - 0x38000000u;
        return (uint16_t)(sign | (q + 0xfffu + (q >> 13 & 1u)) >> 13);
    }
    if (a < 0x33000000u) /* below 2^-25: nearer to 0 than to the least subnormal */
        return (uint16_t)sign;
    uint32_t m = (a & 0x7fffffu) | 0x800000u, shift = 126u - (a >> 23), half = 1u << (shift - 1u);
    uint32_t rest = m & ((1u << shift) - 1u);
    q = m >> shift;
    q += rest > half || (rest == half && (q & 1u)) ? 1u : 0u;
    return (uint16_t)(sign | q);
}

/* ---- sizes and kinds ---- */

/* Types whose items share scales: rows are whole blocks. */
static inline bool sv_dtype_is_block(sv_dtype t)
{
    return (unsigned)t < SV_DTYPE_COUNT && sv_dtype_block_items(t) > 1u;
}

/* F32, BF16, F16: one item, one float. */
static inline bool sv_dtype_is_float(sv_dtype t)
{
    return t == SV_DT_F32 || t == SV_DT_BF16 || t == SV_DT_F16;
}

/* Bytes of n_items of a row; SV_DTYPE_BAD_BYTES when t is no type, n_items is no multiple of its block or it wraps. */
static inline uint64_t sv_dtype_row_bytes(sv_dtype t, uint64_t n_items)
{
    if ((unsigned)t >= SV_DTYPE_COUNT)
        return SV_DTYPE_BAD_BYTES;
    uint64_t items = sv_dtype_block_items(t), bytes = sv_dtype_block_bytes(t), blocks = n_items / items;
    if (n_items % items != 0 || blocks > (UINT64_MAX - 1u) / bytes)
        return SV_DTYPE_BAD_BYTES;
    return blocks * bytes;
}

/* ---- blocks to f32 ---- */

static inline float sv_dtype_scale_f16(const uint8_t *p)
{
    return sv_f16_widen(sv_load_u16(p));
}

/* The 6-bit scale and minimum of group g (0 .. 7) of a K block, from its 12 bytes s. */
static inline void sv_dtype_k_scale(const uint8_t *s, unsigned g, unsigned *scale, unsigned *minimum)
{
    if (g < 4) {
        *scale = s[g] & 63u;
        *minimum = s[g + 4] & 63u;
    } else {
        *scale = (s[g + 4] & 15u) + 16u * (s[g - 4] >> 6);
        *minimum = (s[g + 4] >> 4) + 16u * (s[g] >> 6);
    }
}

/* Q4_0, Q4_1, Q5_0, Q5_1: 32 codes of 4 bits, with a fifth from qh; offset or minimum. */
static inline void sv_dtype_dequant_32(sv_dtype t, const uint8_t *b, float *out)
{
    bool has_min = t == SV_DT_Q4_1 || t == SV_DT_Q5_1, five = t == SV_DT_Q5_0 || t == SV_DT_Q5_1;
    float d = sv_dtype_scale_f16(b), m = has_min ? sv_dtype_scale_f16(b + 2) : 0.0f;
    const uint8_t *q = b + (has_min ? 4 : 2);
    uint32_t qh = five ? sv_load_u32(q) : 0u;
    if (five)
        q += 4;
    for (unsigned j = 0; j < 32; j++) {
        unsigned n = j < 16 ? q[j] & 15u : (unsigned)q[j - 16] >> 4;
        n += 16u * (qh >> j & 1u);
        out[j] = has_min ? d * (float)n + m : d * (float)((int)n - (five ? 16 : 8));
    }
}

static inline void sv_dtype_dequant_q45_k(sv_dtype t, const uint8_t *b, float *out)
{
    float d = sv_dtype_scale_f16(b), dmin = sv_dtype_scale_f16(b + 2);
    const uint8_t *s = b + 4, *qh = t == SV_DT_Q5_K ? b + 16 : NULL, *q = qh ? b + 48 : b + 16;
    for (unsigned g = 0; g < 8; g++) {
        unsigned scale, minimum;
        sv_dtype_k_scale(s, g, &scale, &minimum);
        float dg = d * (float)scale, mg = dmin * (float)minimum;
        for (unsigned l = 0; l < 32; l++) {
            unsigned n = q[g / 2 * 32 + l];
            n = g & 1u ? n >> 4 : n & 15u;
            if (qh)
                n += 16u * (qh[l] >> g & 1u);
            out[g * 32 + l] = dg * (float)n - mg;
        }
    }
}

static inline void sv_dtype_dequant_q6_k(const uint8_t *b, float *out)
{
    const uint8_t *ql = b, *qh = b + 128, *sc = b + 192;
    float d = sv_dtype_scale_f16(b + 208);
    for (unsigned j = 0; j < 256; j++) {
        unsigned h = j / 128, p = j % 128 / 32, l = j % 32;
        unsigned lo = ql[64 * h + l + 32 * (p % 2)];
        lo = p < 2 ? lo & 15u : lo >> 4;
        unsigned hi = qh[32 * h + l] >> (2 * p) & 3u;
        out[j] = d * (float)(int8_t)sc[j / 16] * (float)((int)(lo + 16u * hi) - 32);
    }
}

/* One block (sv_dtype_block_bytes(t) bytes) to sv_dtype_block_items(t) floats. False, and nothing written, for I32,
 * I64, U8 and BOOL: they are no weights. */
static inline bool sv_dtype_dequant_block(sv_dtype t, const uint8_t *block, float *out)
{
    switch (t) {
    case SV_DT_F32:
        out[0] = sv_f32_of_bits(sv_load_u32(block));
        return true;
    case SV_DT_BF16:
        out[0] = sv_bf16_widen(sv_load_u16(block));
        return true;
    case SV_DT_F16:
        out[0] = sv_f16_widen(sv_load_u16(block));
        return true;
    case SV_DT_Q8_0: {
        float d = sv_dtype_scale_f16(block);
        for (unsigned j = 0; j < 32; j++)
            out[j] = d * (float)(int8_t)block[2 + j];
        return true;
    }
    case SV_DT_Q8X: {
        float s = sv_f32_of_bits(sv_load_u32(block));
        for (unsigned j = 0; j < 32; j++)
            out[j] = s * (float)(int8_t)block[8 + j];
        return true;
    }
    case SV_DT_Q4_0:
    case SV_DT_Q4_1:
    case SV_DT_Q5_0:
    case SV_DT_Q5_1:
        sv_dtype_dequant_32(t, block, out);
        return true;
    case SV_DT_Q4_K:
    case SV_DT_Q5_K:
        sv_dtype_dequant_q45_k(t, block, out);
        return true;
    case SV_DT_Q6_K:
        sv_dtype_dequant_q6_k(block, out);
        return true;
    default:
        return false;
    }
}

/* n_items floats (a multiple of the block) of a row. False as above, or when n_items does not fit. */
static inline bool sv_dtype_dequant_row(sv_dtype t, const uint8_t *row, uint64_t n_items, float *out)
{
    if (sv_dtype_row_bytes(t, n_items) == SV_DTYPE_BAD_BYTES)
        return false;
    uint64_t items = sv_dtype_block_items(t), bytes = sv_dtype_block_bytes(t);
    for (uint64_t i = 0; i < n_items / items; i++)
        if (!sv_dtype_dequant_block(t, row + i * bytes, out + i * items))
            return false;
    return true;
}

/* The scales of a block are numbers (neither inf nor NaN); true for types without scales. A file where this is false is
 * refused. */
static inline bool sv_dtype_scale_is_finite(sv_dtype t, const uint8_t *block)
{
    switch (t) {
    case SV_DT_Q4_1:
    case SV_DT_Q5_1:
    case SV_DT_Q4_K:
    case SV_DT_Q5_K:
        if ((sv_load_u16(block + 2) & 0x7c00u) == 0x7c00u)
            return false;
        return (sv_load_u16(block) & 0x7c00u) != 0x7c00u;
    case SV_DT_Q8_0:
    case SV_DT_Q4_0:
    case SV_DT_Q5_0:
        return (sv_load_u16(block) & 0x7c00u) != 0x7c00u;
    case SV_DT_Q6_K:
        return (sv_load_u16(block + 208) & 0x7c00u) != 0x7c00u;
    case SV_DT_Q8X:
        return (sv_load_u32(block) & 0x7f800000u) != 0x7f800000u;
    default:
        return true;
    }
}

/* ---- f32 to blocks: the reference rule of the format's own tool, so that files are byte-equal with its ---- */

/* 1/d; 0 where the file's f16 scale is 0 anyway (d = 0, or so small that 1/d is no number). */
static inline float sv_dtype_inverse(float d)
{
    float inv = d != 0.0f ? 1.0f / d : 0.0f;
    return (sv_f32_bits(inv) & 0x7f800000u) == 0x7f800000u ? 0.0f : inv;
}

/* trunc(v) held in [0, 15]; NaN gives 0. */
static inline unsigned sv_dtype_code4(float v)
{
    return v >= 15.0f ? 15u : v >= 1.0f ? (unsigned)v : 0u;
}

/* Codes use the f32 scale, the file holds its f16. */
static inline void sv_dtype_quant_q8_0(const float *x, uint8_t *b)
{
    float amax = 0.0f;
    for (unsigned j = 0; j < 32; j++) {
        float a = x[j] < 0.0f ? -x[j] : x[j];
        amax = a > amax || a != a ? a : amax;
    }
    float d = amax / 127.0f, inv = sv_dtype_inverse(d);
    sv_store_u16(b, sv_f16_narrow(d));
    for (unsigned j = 0; j < 32; j++) {
        float v = x[j] * inv, a = v < 0.0f ? -v : v;
        int n = a >= 127.0f ? 127 : a >= 0.0f ? (int)a : 0; /* half away from zero: floor, then the rest (exact) */
        n += a < 127.0f && a - (float)n >= 0.5f ? 1 : 0;
        b[2 + j] = (uint8_t)(v < 0.0f ? -n : n);
    }
}

/* Product and sum are each rounded to f32, as the PyPI package gguf 0.19.0 does (measured: byte-equal; one fma, or
 * binary64, gives other codes where an item falls halfway). */
static inline void sv_dtype_quant_q4_0(const float *x, uint8_t *b)
{
    float amax = x[0] < 0.0f ? -x[0] : x[0], e = x[0];
    for (unsigned j = 1; j < 32; j++) {
        float a = x[j] < 0.0f ? -x[j] : x[j];
        if (a > amax || a != a) {
            amax = a;
            e = x[j];
        }
    }
    float d = e / -8.0f;
    float inv = sv_dtype_inverse(d);
    sv_store_u16(b, sv_f16_narrow(d));
    for (unsigned j = 0; j < 16; j++) {
        float a = x[j] * inv + 8.5f, c = x[j + 16] * inv + 8.5f;
        b[2 + j] = (uint8_t)(sv_dtype_code4(a) | sv_dtype_code4(c) << 4);
    }
}

static inline void sv_dtype_quant_q4_1(const float *x, uint8_t *b)
{
    float lo = x[0], hi = x[0];
    for (unsigned j = 1; j < 32; j++) {
        lo = x[j] < lo || x[j] != x[j] ? x[j] : lo;
        hi = x[j] > hi || x[j] != x[j] ? x[j] : hi;
    }
    float d = (hi - lo) / 15.0f, inv = sv_dtype_inverse(d);
    sv_store_u16(b, sv_f16_narrow(d));
    sv_store_u16(b + 2, sv_f16_narrow(lo));
    for (unsigned j = 0; j < 16; j++) {
        float a = (x[j] - lo) * inv + 0.5f, c = (x[j + 16] - lo) * inv + 0.5f;
        b[4 + j] = (uint8_t)(sv_dtype_code4(a) | sv_dtype_code4(c) << 4);
    }
}

/* sv_dtype_block_items(t) floats to one block of F32, BF16, F16, Q8_0, Q4_0 or Q4_1. False: not a type that is written,
 * or a scale that f16 cannot hold (an item is NaN, inf or too large); the block is then not to be used. */
static inline bool sv_dtype_quant_block(sv_dtype t, const float *x, uint8_t *block)
{
    switch (t) {
    case SV_DT_F32:
        sv_store_u32(block, sv_f32_bits(x[0]));
        return true;
    case SV_DT_BF16:
        sv_store_u16(block, sv_bf16_narrow(x[0]));
        return true;
    case SV_DT_F16:
        sv_store_u16(block, sv_f16_narrow(x[0]));
        return true;
    case SV_DT_Q8_0:
        sv_dtype_quant_q8_0(x, block);
        break;
    case SV_DT_Q4_0:
        sv_dtype_quant_q4_0(x, block);
        break;
    case SV_DT_Q4_1:
        sv_dtype_quant_q4_1(x, block);
        break;
    default:
        return false;
    }
    return sv_dtype_scale_is_finite(t, block);
}

/* n_items floats (a multiple of the block) to a row of blocks. False as above. */
static inline bool sv_dtype_quant_row(sv_dtype t, const float *x, uint64_t n_items, uint8_t *row)
{
    if (sv_dtype_row_bytes(t, n_items) == SV_DTYPE_BAD_BYTES)
        return false;
    uint64_t items = sv_dtype_block_items(t), bytes = sv_dtype_block_bytes(t);
    for (uint64_t i = 0; i < n_items / items; i++)
        if (!sv_dtype_quant_block(t, x + i * items, row + i * bytes))
            return false;
    return true;
}

#endif
