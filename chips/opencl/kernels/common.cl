/* SPDX-License-Identifier: Apache-2.0
 * What every OpenCL program starts with: types, loads with edges, the orders of sums and maxima (docs/arithmetic.md).
 * Allowed: + - * / sqrt, compare and select, fma() in sums that the law makes of fma. Nothing else that rounds.
 * A work-item computes outputs of its own and never shares a sum, so any work-group size gives the same bits.
 */
#pragma OPENCL FP_CONTRACT OFF

typedef uint uint32_t;
typedef int int32_t;
typedef ulong uint64_t;
typedef long int64_t;
typedef uchar uint8_t;
typedef char int8_t;
typedef ushort uint16_t;

#ifdef SV_CPU
#define KERNEL __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
#else
#define KERNEL __kernel
#endif
#define IN(type, name) __global const type *name, ulong name##_off
#define OUT(type, name) __global type *name, ulong name##_off

#define LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define NEG_INF (as_float(0xff800000))

/* Lanes of a where m holds, else of b. */
inline float16 pick(int16 m, float16 a, float16 b) { return select(b, a, m); }

/* n < 16 items; the other lanes hold `pad`. */
inline float16 load_part(__global const float *p, uint n, float pad)
{
    float t[16];
    for (uint i = 0; i < 16; i++)
        t[i] = i < n ? p[i] : pad;
    return vload16(0, t);
}

inline float16 load(__global const float *p, uint n, float pad) { return n >= 16 ? vload16(0, p) : load_part(p, n, pad); }

inline void store_part(__global float *p, float16 v, uint n)
{
    float t[16];
    vstore16(v, 0, t);
    for (uint i = 0; i < n; i++)
        p[i] = t[i];
}

inline void store(__global float *p, float16 v, uint n)
{
    if (n >= 16)
        vstore16(v, 0, p);
    else
        store_part(p, v, n);
}

/* bf16 and f16 widen exactly; a NaN stays one. */
inline float16 widen_bf16(ushort16 h) { return as_float16(convert_uint16(h) << 16); }

inline float16 widen_f16(ushort16 h)
{
    int16 v = convert_int16(h), sign = (v & 0x8000) << 16, e = (v >> 10) & 31, m = v & 0x3ff;
    float16 normal = as_float16(sign | ((e + 112) << 23) | (m << 13));
    float16 small = as_float16(sign | as_int16(convert_float16(m) * 0x1p-24f));
    float16 big = as_float16(sign | 0x7f800000 | (m << 13) | select((int16)(0), (int16)(0x400000), m != 0));
    return select(select(normal, small, e == 0), big, e == 31);
}

/* Float types by name: what they are in memory, and 16 of them (n exist) widened. */
#define TYPE_f32 float
#define TYPE_bf16 ushort
#define TYPE_f16 ushort
#define LOAD_f32(p, n) load(p, n, 0.0f)
#define LOAD_bf16(p, n) widen_bf16(load_half(p, n))
#define LOAD_f16(p, n) widen_f16(load_half(p, n))

inline ushort16 load_half(__global const ushort *p, uint n)
{
    if (n >= 16)
        return vload16(0, p);
    ushort t[16];
    for (uint i = 0; i < 16; i++)
        t[i] = i < n ? p[i] : (ushort)0;
    return vload16(0, t);
}

/* SUM: lane[i mod 32] from +0. An absent item is -0, which changes no lane. */
typedef struct lanes32 {
    float16 lo, hi;
} lanes32;

inline float fold32(lanes32 s)
{
    float16 a = s.lo + s.hi;
    float8 b = a.lo + a.hi;
    float4 c = b.lo + b.hi;
    float2 d = c.lo + c.hi;
    return d.x + d.y;
}

/* MAX of 16 lanes; NaN never wins because no lane is NaN. Zeros are made +0 by who ends the MAX. */
inline float fold_max(float16 m)
{
    float8 a = select(m.hi, m.lo, m.lo > m.hi);
    float4 b = select(a.hi, a.lo, a.lo > a.hi);
    float2 c = select(b.hi, b.lo, b.lo > b.hi);
    return c.x > c.y ? c.x : c.y;
}
