/* SPDX-License-Identifier: Apache-2.0
 * quant - activations in blocks of 32 with 8-bit codes, for products with block-quantised weights.
 *
 *     s = amax/127; q[i] = round(x[i] 127/amax), to even, in -127 ... 127; also sum q
 *
 * shape    x [M,K] -> y q8x [M,K], K a multiple of 32; M may be 0
 * dtype    x: f32
 * arith    A-30: amax from +0 by compare and select over |x|; s = amax / 127; inv = 127 / amax; q = (x inv + 12582912)
 *          - 12582912, clamped. A block whose s would be below 2^-126 is zero with s = +0 (no subnormal scales, and inv
 *          stays finite). A block with a NaN or an infinity has s = NaN and zero codes: its products are NaN, so it is
 *          seen
 */
#include "num/bits.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 2));
    if (in[0].dim[1] % 32 != 0)
        return sv_fail(SV_E_SHAPE, "x is %s; its rows must be a multiple of 32 items", sv_tensor_text(&in[0]));
    return sv_check_out(&out[0], "y", SV_DT_Q8X, 2, in[0].dim);
}

static void quant_block(const float *x, uint8_t *y)
{
    float amax = 0.0f;
    bool finite = true;
    for (uint32_t i = 0; i < 32; i++) {
        float a = sv_bits_f32(sv_bits_u32(x[i]) & 0x7fffffffu);
        finite = finite && a < __builtin_inff();
        amax = a > amax ? a : amax;
    }
    float s = amax / 127.0f;
    memset(y, 0, 40);
    if (!finite) {
        sv_store_u32(y, SV_NAN_BITS);
        return;
    }
    if (s < 0x1p-126f)
        return;
    float inv = 127.0f / amax;
    int32_t sum = 0;
    for (uint32_t i = 0; i < 32; i++) {
        float v = (x[i] * inv + 12582912.0f) - 12582912.0f;
        v = v > 127.0f ? 127.0f : v;
        v = v < -127.0f ? -127.0f : v;
        y[8 + i] = (uint8_t)(int8_t)v;
        sum += (int8_t)v;
    }
    sv_store_u32(y, sv_bits_u32(s));
    sv_store_u32(y + 4, (uint32_t)sum);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    uint32_t n_block = call->in[0].dim[1] / 32;
    uint8_t *y = sv_tensor_host(&call->out[0]);
    for (uint32_t m = 0; m < call->in[0].dim[0]; m++)
        for (uint32_t b = 0; b < n_block; b++, y += 40)
            quant_block(sv_row(&call->in[0], m) + 32 * b, y);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t rows[] = { 1, 0, 2, 3, 5, 7, 8, 13, 64 }, blocks[] = { 1, 2, 3, 7, 8, 9, 33 };
    if (i >= 45)
        return 0;
    uint32_t M = rows[i % 9], K = 32 * blocks[(i + i / 9) % 7], gap = i % 3 == 1 ? 17 : 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, M, K), gap);
    sv_case_name(c, "[%u, %u], gap %u", M, K, gap);
    return 1;
}

const sv_opspec sv_opspec_quant = {
    .name = "quant",
    .formula = "q = round(x 127/amax), s = amax/127 per block of 32; Q8X",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
