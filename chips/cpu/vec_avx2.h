/* SPDX-License-Identifier: Apache-2.0
 * Vector layer for AVX2 + FMA + F16C: eight lanes.
 */
/* clang-format off */
#ifndef SV_CHIPS_CPU_VEC_AVX2_H
#define SV_CHIPS_CPU_VEC_AVX2_H

#include <immintrin.h>

#define SV_W 8
#define SV_HAS_SET1
#define SV_HAS_EDGE
#define SV_HAS_FMA
#define SV_HAS_SQRT
#define SV_HAS_SEL
#define SV_HAS_WIDEN
#define SV_HAS_BYTES
#define SV_HAS_DOT8
#define SV_HAS_DOTK
#define v_set1(x) ((vf)_mm256_set1_ps(x))
#define v_set1i(x) ((vi)_mm256_set1_epi32(x))
#include "chips/cpu/vec.h"

static const int32_t v_edge_table[16] = { -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0 };

SV_INL __m256i v_edge(int n) { return _mm256_loadu_si256((const __m256i *)(v_edge_table + 8 - n)); }
SV_INL vf v_loadn(const float *p, int n) { return (vf)_mm256_maskload_ps(p, v_edge(n)); }
SV_INL void v_storen(float *p, vf v, int n) { _mm256_maskstore_ps(p, v_edge(n), (__m256)v); }
SV_INL vf v_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
SV_INL vf v_sqrt(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }
SV_INL vf v_sel(vi mask, vf a, vf b) { return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask); }
SV_INL vf v_f16(const uint16_t *p) { return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

SV_INL vf v_bf16(const uint16_t *p)
{
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16);
}

SV_INL vi v_u8i(const uint8_t *p) { return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
SV_INL vi v_s8i(const uint8_t *p) { return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
SV_INL vf v_u8(const uint8_t *p) { return v_to_f(v_u8i(p)); }

#define SV_HAS_BF16_SPLIT
/* 16 bf16 to the floats of the even and of the odd ones: a shift and a mask, no shuffle. */
SV_INL void v_bf16_split(const uint16_t *p, vf *even, vf *odd)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    *even = (vf)_mm256_slli_epi32(v, 16);
    *odd = (vf)_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000u));
}

/* Even and odd items to 16 in order. */
SV_INL void v_unsplit(vf *a, vf *b)
{
    __m256 lo = _mm256_unpacklo_ps((__m256)*a, (__m256)*b), hi = _mm256_unpackhi_ps((__m256)*a, (__m256)*b);
    *a = (vf)_mm256_permute2f128_ps(lo, hi, 0x20);
    *b = (vf)_mm256_permute2f128_ps(lo, hi, 0x31);
}

/* vpmaddubsw wants unsigned x signed: |w| and x with w's sign. 2 x 128 x 127 < 2^15; the other way round fails at -128. */
typedef struct v_w8 {
    __m256i w, abs;
} v_w8;
typedef __m256i v_acc8;
typedef __m256i v_acc4;

/* Sums stay chains: gcc 12 would make a tree of eight products and spill them all (integer addition associates). */
#define v_keep(acc) __asm__("" : "+x"(acc))

SV_INL v_w8 v_w8_load(const void *p)
{
    __m256i w = _mm256_loadu_si256((const __m256i *)p);
    return (v_w8){ w, _mm256_abs_epi8(w) };
}

SV_INL int32_t v_dot8_bias(int32_t sum_x)
{
    (void)sum_x;
    return 0;
}

SV_INL v_acc8 v_dot8_start(int32_t bias)
{
    (void)bias;
    return _mm256_setzero_si256();
}

SV_INL v_acc8 v_dot8(v_acc8 acc, v_w8 w, vb x)
{
    __m256i pairs = _mm256_maddubs_epi16(w.abs, _mm256_sign_epi8((__m256i)x, w.w));
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    v_keep(acc);
    return acc;
}

SV_INL vi v_dot8_end(v_acc8 acc) { return (vi)acc; }

/* For several rows: weights widened to 16 bits once, even and odd bytes, then one vpmaddwd per row. */
#define SV_HAS_DOT16
#define SV_DOT16_ROWS 3
SV_INL void v_dot16_split(vi v, vi *even, vi *odd)
{
    *even = (vi)_mm256_srai_epi16(_mm256_slli_epi16((__m256i)v, 8), 8);
    *odd = (vi)_mm256_srai_epi16((__m256i)v, 8);
}

/* 32 activations to the 16 words that meet them, in the order of the weights' even and odd parts. */
SV_INL void v_dot16_words(const void *x, int32_t *word)
{
    vi even, odd;
    v_dot16_split((vi)v_loadb(x), &even, &odd);
    for (int k = 0; k < 8; k++) {
        word[2 * k] = even[k];
        word[2 * k + 1] = odd[k];
    }
}

SV_INL vi v_dot16(vi acc, vi w, vi x)
{
    __m256i sum = _mm256_add_epi32((__m256i)acc, _mm256_madd_epi16((__m256i)w, (__m256i)x));
    v_keep(sum);
    return (vi)sum;
}

/* Codes 0 .. 15: eight steps fit 16 bits, 15 x 127 x 2 x 8 = 30,480. A block's bias of -8 sum(x) is shared by a lane's two
 * halves; each of them stays within 30,480 still, since its own codes' share of the bias only narrows it. */
SV_INL int32_t v_dot4_bias(int32_t sum_x) { return (int32_t)((uint32_t)(-4 * sum_x) & 0xffffu) * 0x10001; }
SV_INL v_acc4 v_dot4_start(int32_t bias) { return (__m256i)v_set1i(bias); }

SV_INL v_acc4 v_dot4(v_acc4 acc, vb w, vb x)
{
    acc = _mm256_add_epi16(acc, _mm256_maddubs_epi16((__m256i)w, (__m256i)x));
    v_keep(acc);
    return acc;
}

SV_INL vi v_dot4_end(v_acc4 acc) { return (vi)_mm256_madd_epi16(acc, _mm256_set1_epi16(1)); }

/* K blocks: the scale, in both halves of its lane, is what vpmaddwd multiplies the 16-bit sums by, so it costs nothing.
 * Codes of five bits: four steps fit 16 bits, 31 x 127 x 2 x 4 = 31,496. Codes of six: a half lane starts from -32 times the
 * sum of the activations that it will meet, so that it ends within 32 x 127 x 2 x 4 = 32,512, and may wrap on the way. */
#define SV_DOT5_STEPS 4
typedef __m256i v_scale;
typedef __m256i v_total;
typedef __m256i v_acc6;
typedef __m256i v_w6;

SV_INL v_scale v_scale_u8(const uint8_t *p)
{
    vi s = v_u8i(p);
    return (__m256i)(s | s << 16);
}

SV_INL v_scale v_scale_s8(const uint8_t *p)
{
    __m256i s = (__m256i)v_s8i(p);
    return _mm256_blend_epi16(s, _mm256_slli_epi32(s, 16), 0xaa);
}

SV_INL v_total v_total_start(void) { return _mm256_setzero_si256(); }
SV_INL v_total v_total_add4(v_total t, v_acc4 acc, v_scale s) { return _mm256_add_epi32(t, _mm256_madd_epi16(acc, s)); }
SV_INL v_total v_total_add6(v_total t, v_acc6 acc, v_scale s) { return v_total_add4(t, acc, s); }
SV_INL vf v_total_end(v_total t) { return v_to_f((vi)t); }

SV_INL v_w6 v_w6_make(vb code) { return (__m256i)code; }

/* x: 16 activations. */
SV_INL int32_t v_dot6_bias(const int8_t *x)
{
    int32_t low = 0, high = 0;
    for (int i = 0; i < 16; i += 4) {
        low += x[i] + x[i + 1];
        high += x[i + 2] + x[i + 3];
    }
    return (int32_t)(((uint32_t)(-32 * high) << 16) | ((uint32_t)(-32 * low) & 0xffffu));
}

SV_INL v_acc6 v_dot6_start(int32_t bias) { return (__m256i)v_set1i(bias); }
SV_INL v_acc6 v_dot6(v_acc6 acc, v_w6 w, vb x) { return v_dot4(acc, (vb)w, x); }

#endif
