/* SPDX-License-Identifier: Apache-2.0
 * Vector layer for AVX-512 F, BW, DQ, VL and VNNI: sixteen lanes. With SV_VEC_EMULATED the same sixteen lanes stand in
 * plain C, so that the texts of this width are tested on a host that lacks them.
 */
/* clang-format off */
#ifndef SV_CHIPS_CPU_VEC_AVX512_H
#define SV_CHIPS_CPU_VEC_AVX512_H

#include <immintrin.h>

#define SV_W 16
#ifndef SV_VEC_EMULATED
#define SV_HAS_SET1
#define SV_HAS_EDGE
#define SV_HAS_FMA
#define SV_HAS_SQRT
#define SV_HAS_SEL
#define SV_HAS_WIDEN
#define SV_HAS_BYTES
#define v_set1(x) ((vf)_mm512_set1_ps(x))
#define v_set1i(x) ((vi)_mm512_set1_epi32(x))
#else
#define SV_UNROLL /* sums in memory: tests alone use it */
#define SV_HAS_SET1
#define SV_HAS_FMA
#define v_set1(x) ((vf)((v_halves){ { _mm256_set1_ps(x), _mm256_set1_ps(x) } }).v)
#define v_set1i(x) ((vi)((v_halves){ { (__m256)_mm256_set1_epi32(x), (__m256)_mm256_set1_epi32(x) } }).v)
#endif
#define SV_HAS_DOT8
typedef float v_sixteen __attribute__((vector_size(64)));
typedef union v_halves {
    __m256 h[2];
    v_sixteen v;
} v_halves;
#include "chips/cpu/vec.h"

#ifndef SV_VEC_EMULATED
SV_INL __mmask16 v_edge(int n) { return (__mmask16)((1u << n) - 1u); }
SV_INL vf v_loadn(const float *p, int n) { return (vf)_mm512_maskz_loadu_ps(v_edge(n), p); }
SV_INL void v_storen(float *p, vf v, int n) { _mm512_mask_storeu_ps(p, v_edge(n), (__m512)v); }
SV_INL vf v_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
SV_INL vf v_sqrt(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
SV_INL vf v_sel(vi mask, vf a, vf b)
{
    return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
}

SV_INL vf v_f16(const uint16_t *p) { return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

SV_INL vf v_bf16(const uint16_t *p)
{
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
}

SV_INL vf v_u8(const uint8_t *p)
{
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

SV_INL vf v_s8(const uint8_t *p)
{
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* acc += u x in 32 bits, never the saturating form. Inline: gcc 12 copies the accumulator around the intrinsic. */
SV_INL vi v_dpbusd(vi acc, vub u, vb x)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(x));
    return acc;
}
#else
SV_INL vf v_fma(vf a, vf b, vf c)
{
    v_halves x, y, z;
    x.v = a;
    y.v = b;
    z.v = c;
    z.h[0] = _mm256_fmadd_ps(x.h[0], y.h[0], z.h[0]);
    z.h[1] = _mm256_fmadd_ps(x.h[1], y.h[1], z.h[1]);
    return z.v;
}

SV_INL vi v_dpbusd(vi acc, vub u, vb x)
{
    for (int i = 0; i < 4 * SV_W; i++)
        acc[i / 4] += (int32_t)u[i] * (int32_t)x[i];
    return acc;
}
#endif

/* u = w + 128 is unsigned; the start value takes 128 sum(x) back. */
typedef vub v_w8;
typedef vi v_acc8;
typedef vi v_acc4;

SV_INL v_w8 v_w8_load(const void *p) { return (v_w8)v_loadb(p) ^ (uint8_t)0x80; }
SV_INL int32_t v_dot8_bias(int32_t sum_x) { return -128 * sum_x; }
SV_INL v_acc8 v_dot8_start(int32_t bias) { return v_set1i(bias); }
SV_INL v_acc8 v_dot8(v_acc8 acc, v_w8 w, vb x) { return v_dpbusd(acc, w, x); }
SV_INL vi v_dot8_end(v_acc8 acc) { return acc; }
SV_INL int32_t v_dot4_bias(int32_t sum_x) { return -8 * sum_x; }
SV_INL v_acc4 v_dot4_start(int32_t bias) { return v_set1i(bias); }
SV_INL v_acc4 v_dot4(v_acc4 acc, vb w, vb x) { return v_dpbusd(acc, (vub)w, x); }
SV_INL vi v_dot4_end(v_acc4 acc) { return acc; }

/* Codes 0 .. 63 are unsigned already; the start value takes 32 sum(x) back. */
#define SV_HAS_DOT6
typedef vub v_w6;
typedef vi v_acc6;
SV_INL v_w6 v_w6_make(vb code) { return (v_w6)code; }
SV_INL v_acc6 v_dot6_start(int32_t bias) { return v_set1i(bias); }
SV_INL int32_t v_dot6_bias(const int8_t *x)
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++)
        sum += x[i];
    return -32 * sum;
}

SV_INL v_acc6 v_dot6(v_acc6 acc, v_w6 w, vb x) { return v_dpbusd(acc, w, x); }

#endif
