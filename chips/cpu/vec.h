/* SPDX-License-Identifier: Apache-2.0
 * The vector layer that every kernel text is written in: SV_W float lanes, GCC vector types (so + - * / and comparisons
 * are native), and a few operations in plain C that an instruction set's header may replace by defining SV_HAS_<NAME>.
 * A header vec_<isa>.h sets SV_W, includes this file, and is included once per translation unit.
 */
/* clang-format off */
#ifndef SV_CHIPS_CPU_VEC_H
#define SV_CHIPS_CPU_VEC_H

#include <stdint.h>
#include <string.h>

#include "num/dtype.h"

#define SV_INL static inline __attribute__((always_inline, unused))
#define SV_PANEL 16              /* columns of a P16 panel */
#define SV_PV (SV_PANEL / SV_W)  /* vectors per panel */
#ifndef SV_UNROLL /* loops over registers */
#define SV_UNROLL _Pragma("GCC unroll 32")
#endif

typedef float vf __attribute__((vector_size(4 * SV_W)));
typedef int32_t vi __attribute__((vector_size(4 * SV_W)));
typedef float vf_any __attribute__((vector_size(4 * SV_W), aligned(4), may_alias));
typedef int32_t vi_any __attribute__((vector_size(4 * SV_W), aligned(4), may_alias));
typedef int8_t vb __attribute__((vector_size(4 * SV_W)));
typedef uint8_t vub __attribute__((vector_size(4 * SV_W)));
typedef vb vb_any __attribute__((aligned(1), may_alias));

SV_INL vf v_load(const float *p) { return *(const vf_any *)p; }
SV_INL void v_store(float *p, vf v) { *(vf_any *)p = v; }
SV_INL vi v_loadi(const int32_t *p) { return *(const vi_any *)p; }
SV_INL void v_storei(int32_t *p, vi v) { *(vi_any *)p = v; }
SV_INL vb v_loadb(const void *p) { return *(const vb_any *)p; }

#ifndef SV_HAS_SET1
SV_INL vf v_set1(float x)
{
    vf r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = x;
    return r;
}

SV_INL vi v_set1i(int32_t x)
{
    vi r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = x;
    return r;
}
#endif

SV_INL vf v_zero(void) { return (vf){ 0 }; }

#ifndef SV_HAS_EDGE
/* n < SV_W lanes; the others read as +0 and are not written. */
SV_INL vf v_loadn(const float *p, int n)
{
    vf r = { 0 };
    for (int i = 0; i < n; i++)
        r[i] = p[i];
    return r;
}

SV_INL void v_storen(float *p, vf v, int n)
{
    float t[SV_W];
    memcpy(t, &v, sizeof t);
    for (int i = 0; i < n; i++)
        p[i] = t[i];
}
#endif

#ifndef SV_HAS_FMA
SV_INL vf v_fma(vf a, vf b, vf c)
{
    vf r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r;
}
#endif

#ifndef SV_HAS_SQRT
SV_INL vf v_sqrt(vf a)
{
    vf r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = __builtin_sqrtf(a[i]);
    return r;
}
#endif

#ifndef SV_HAS_SEL
/* a where the mask's lane is all ones, b where it is 0. */
SV_INL vf v_sel(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
#endif

SV_INL vf v_to_f(vi a) { return __builtin_convertvector(a, vf); }
SV_INL vi v_to_i(vf a) { return __builtin_convertvector(a, vi); }

#ifndef SV_HAS_WIDEN
SV_INL vf v_bf16(const uint16_t *p)
{
    vi r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = (int32_t)((uint32_t)p[i] << 16);
    return (vf)r;
}

SV_INL vf v_f16(const uint16_t *p)
{
    vf r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = sv_f16_widen(p[i]);
    return r;
}
#endif

#ifndef SV_HAS_BYTES
/* SV_W bytes as floats. */
SV_INL vf v_u8(const uint8_t *p)
{
    vi r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = p[i];
    return v_to_f(r);
}

SV_INL vf v_s8(const uint8_t *p)
{
    vi r = { 0 };
    for (int i = 0; i < SV_W; i++)
        r[i] = (int8_t)p[i];
    return v_to_f(r);
}
#endif

#ifndef SV_HAS_DOT8
/* Integer dot steps: SV_W columns, 4 bytes of k each. v_w8: signed weights; v_w4: codes 0 .. 15. x: 4 activation bytes in
 * every lane, |x| <= 127. A sum of 8 steps (a block of 32) is read by v_dot8_end / v_dot4_end. */
typedef vb v_w8;
typedef vi v_acc8;
typedef vi v_acc4;
SV_INL v_w8 v_w8_load(const void *p) { return v_loadb(p); }
SV_INL v_acc8 v_dot8_start(int32_t bias) { return v_set1i(bias); }
SV_INL int32_t v_dot8_bias(int32_t sum_x)
{
    (void)sum_x;
    return 0;
}

SV_INL vi v_dot_plain(vi acc, vb w, vb x)
{
    for (int i = 0; i < SV_W; i++)
        acc[i] += w[4 * i] * x[4 * i] + w[4 * i + 1] * x[4 * i + 1] + w[4 * i + 2] * x[4 * i + 2] +
                  w[4 * i + 3] * x[4 * i + 3];
    return acc;
}

SV_INL v_acc8 v_dot8(v_acc8 acc, v_w8 w, vb x) { return v_dot_plain(acc, w, x); }
SV_INL vi v_dot8_end(v_acc8 acc) { return acc; }
SV_INL int32_t v_dot4_bias(int32_t sum_x) { return -8 * sum_x; }
SV_INL v_acc4 v_dot4_start(int32_t bias) { return v_set1i(bias); }
SV_INL v_acc4 v_dot4(v_acc4 acc, vb w, vb x) { return v_dot_plain(acc, w, x); }
SV_INL vi v_dot4_end(v_acc4 acc) { return acc; }
#endif

#endif
