/* SPDX-License-Identifier: Apache-2.0
 * Vector layer for aarch64 NEON: four lanes.
 */
/* clang-format off */
#ifndef SV_CHIPS_CPU_VEC_NEON_H
#define SV_CHIPS_CPU_VEC_NEON_H

#include <arm_neon.h>

#define SV_W 4
#define SV_HAS_SET1
#define SV_HAS_FMA
#define SV_HAS_SQRT
#define SV_HAS_SEL
#define SV_HAS_WIDEN
#define SV_HAS_BYTES
#define SV_HAS_DOT8
#define v_set1(x) ((vf)vdupq_n_f32(x))
#define v_set1i(x) ((vi)vdupq_n_s32(x))
#include "chips/cpu/vec.h"

SV_INL vf v_fma(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
SV_INL vf v_sqrt(vf a) { return (vf)vsqrtq_f32((float32x4_t)a); }
SV_INL vf v_sel(vi mask, vf a, vf b)
{
    return (vf)vbslq_f32((uint32x4_t)mask, (float32x4_t)a, (float32x4_t)b);
}

SV_INL vf v_bf16(const uint16_t *p) { return (vf)vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16); }
SV_INL vf v_f16(const uint16_t *p) { return (vf)vcvt_f32_f16((float16x4_t)vld1_u16(p)); }

SV_INL vf v_u8(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return (vf)vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))))));
}

SV_INL vf v_s8(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))))));
}

typedef vb v_w8;
typedef vi v_acc8;
typedef vi v_acc4;

#ifdef __ARM_FEATURE_DOTPROD
SV_INL vi v_dot_lanes(vi acc, vb w, vb x) { return (vi)vdotq_s32((int32x4_t)acc, (int8x16_t)w, (int8x16_t)x); }
#else
/* Pair sums fit 16 bits: 2 x 128 x 127 < 2^15. */
SV_INL vi v_dot_lanes(vi acc, vb w, vb x)
{
    int8x16_t a = (int8x16_t)w, b = (int8x16_t)x;
    int16x8_t lo = vmull_s8(vget_low_s8(a), vget_low_s8(b)), hi = vmull_high_s8(a, b);
    return (vi)vpadalq_s16((int32x4_t)acc, vpaddq_s16(lo, hi));
}
#endif

SV_INL v_w8 v_w8_load(const void *p) { return v_loadb(p); }
SV_INL v_acc8 v_dot8_start(int32_t bias) { return v_set1i(bias); }
SV_INL int32_t v_dot8_bias(int32_t sum_x)
{
    (void)sum_x;
    return 0;
}

SV_INL v_acc8 v_dot8(v_acc8 acc, v_w8 w, vb x) { return v_dot_lanes(acc, w, x); }
SV_INL vi v_dot8_end(v_acc8 acc) { return acc; }
SV_INL int32_t v_dot4_bias(int32_t sum_x) { return -8 * sum_x; }
SV_INL v_acc4 v_dot4_start(int32_t bias) { return v_set1i(bias); }
SV_INL v_acc4 v_dot4(v_acc4 acc, vb w, vb x) { return v_dot_lanes(acc, w, x); }
SV_INL vi v_dot4_end(v_acc4 acc) { return acc; }

#endif
