/* SPDX-License-Identifier: Apache-2.0
 * The RoPE table: made on the host in binary64 with + - x / and compares only (own exp, log, sine and cosine), rounded
 * once to float. So every machine and every libm gives the same table; its bytes are part of the model's identity. law
 * docs/arithmetic.md A-22 source   Su et al. 2021, eq. 34; Llama 3 scaling: transformers modeling_rope_utils.py,
 * _compute_llama3_parameters
 */
#include <string.h>

#include "base/mem.h"
#include "model/build.h"

#define LN2_HI \
    6.93147180369123816490e-01 /* fdlibm's split of ln 2: the high part has 32 bits, so k * LN2_HI is exact */
#define LN2_LO 1.90821492927058770002e-10
#define PI_2_HI 1.57079632673412561417e+00 /* fdlibm's split of pi/2: 33 bits each */
#define PI_2_MID 6.07710050630396597660e-11
#define PI_2_LO 2.02226624879595063154e-21
#define TWO_PI 6.28318530717958647692

/* Rounds |x| < 2^51 to the nearest integer, ties to even. */
static double nearest(double x)
{
    const double shift = 6755399441055744.0; /* 1.5 * 2^52 */
    volatile double y = x + shift;           /* volatile: keep the rounding of the sum */
    return y - shift;
}

static double power_of_2(int k)
{
    double p = 1.0;
    for (; k > 0; k--)
        p *= 2.0;
    for (; k < 0; k++)
        p *= 0.5;
    return p;
}

/* e^x, |x| < 700: Taylor series of degree 20 on |r| <= ln2/2 (remainder below 2^-75). */
static double exp64(double x)
{
    double k = nearest(x / (LN2_HI + LN2_LO)), r = (x - k * LN2_HI) - k * LN2_LO, s = 1.0;
    for (int i = 20; i > 0; i--)
        s = 1.0 + s * r / i;
    return s * power_of_2((int)k);
}

/* ln x, x > 0: 2 artanh((m - 1)/(m + 1)) on m in [0.7, 1.4], 30 terms. */
static double log64(double x)
{
    int k = 0;
    for (; x > 1.4; k++)
        x *= 0.5;
    for (; x < 0.7; k--)
        x *= 2.0;
    double z = (x - 1.0) / (x + 1.0), z2 = z * z, s = 0.0;
    for (int i = 59; i > 0; i -= 2)
        s = s * z2 + 1.0 / i;
    return k * LN2_HI + (k * LN2_LO + 2.0 * z * s);
}

/* sin and cos of 0 <= x < 2^27: reduction by three parts of pi/2, Taylor series on |r| <= pi/4. */
static void sincos64(double x, double *sine, double *cosine)
{
    double n = nearest(x / (PI_2_HI + PI_2_MID)), r = ((x - n * PI_2_HI) - n * PI_2_MID) - n * PI_2_LO, r2 = r * r;
    double s = 1.0, c = 1.0;
    for (int i = 23; i > 1; i -= 2)
        s = 1.0 - s * r2 / (i * (i - 1));
    for (int i = 22; i > 0; i -= 2)
        c = 1.0 - c * r2 / (i * (i - 1));
    s *= r;
    switch ((uint32_t)n & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
    }
}

static double scaled(const sv_config *c, double f)
{
    if (c->scaling == SV_ROPE_LINEAR)
        return f / c->rope_factor;
    if (c->scaling != SV_ROPE_LLAMA3)
        return f;
    double wave = TWO_PI / f, ctx = c->rope_ctx;
    if (wave < ctx / c->rope_high)
        return f;
    if (wave > ctx / c->rope_low)
        return f / c->rope_factor;
    double t = (ctx / wave - c->rope_low) / (c->rope_high - c->rope_low);
    return (1.0 - t) * f / c->rope_factor + t * f;
}

static double frequency(const sv_config *c, uint32_t i)
{
    double f = exp64(-2.0 * i / c->d_head * log64(c->theta));
    if (c->scaling == SV_ROPE_FACTORS && c->rope_divisor != NULL)
        return f / (double)c->rope_divisor[i];
    return scaled(c, f);
}

void sv_rope_table(const sv_config *c, uint32_t n_pos, float *out)
{
    uint32_t half = c->d_head / 2;
    double *f = sv_mem_new((half ? half : 1) * sizeof *f);
    for (uint32_t i = 0; i < half; i++)
        f[i] = frequency(c, i);
    for (uint32_t p = 0; p < n_pos; p++) {
        float *row = out + (size_t)p * c->d_head;
        for (uint32_t i = 0; i < half; i++) {
            double s, co;
            sincos64(p * f[i], &s, &co);
            row[i] = (float)co;
            row[half + i] = (float)s;
        }
    }
    sv_mem_free(f);
}
