/* SPDX-License-Identifier: Apache-2.0
 * f32 to blocks of Q4_K, Q5_K and Q6_K: least squares around a few first guesses (the rule: num/kquant.h).
 */
#include "num/kquant.h"

#include "num/kblock.h"

/* v to the nearest integer, ties to even; |v| < 2^51. */
static double nearest(double v)
{
    return (v + 0x1.8p52) - 0x1.8p52;
}

/* nearest(v) held in [lo, hi]. */
static int code_of(double v, int lo, int hi)
{
    return v <= lo ? lo : v >= hi ? hi : (int)nearest(v);
}

static double magnitude(double v)
{
    return v < 0 ? -v : v;
}

/* ---- scale and minimum ---- */

typedef struct fit {
    double s, m, error;
} fit;

/* s and m >= 0 for given codes, by weighted least squares. */
static fit solve(const float *x, const double *w, const int *n)
{
    double sw = 0, sn = 0, snn = 0, sx = 0, snx = 0;
    for (int i = 0; i < 32; i++) {
        sw += w[i];
        sn += w[i] * n[i];
        snn += w[i] * n[i] * n[i];
        sx += w[i] * (double)x[i];
        snx += w[i] * n[i] * (double)x[i];
    }
    double det = sw * snn - sn * sn;
    fit f = { 0, 0, 0 };
    if (det > 0) {
        f.s = (sw * snx - sn * sx) / det;
        f.m = (sn * snx - snn * sx) / det;
    }
    if (!(det > 0) || f.m < 0) {
        f.m = 0;
        f.s = snn > 0 ? snx / snn : 0;
    }
    for (int i = 0; i < 32; i++) {
        double e = f.s * n[i] - f.m - (double)x[i];
        f.error += w[i] * e * e;
    }
    return f;
}

static fit fit_with_min(const float *x, int n_max)
{
    double lo = 0, hi = (double)x[0], sum = 0, w[32];
    for (int i = 0; i < 32; i++) {
        lo = (double)x[i] < lo ? (double)x[i] : lo;
        hi = (double)x[i] > hi ? (double)x[i] : hi;
        sum += (double)x[i] * (double)x[i];
    }
    fit best = { 0, -lo, 0 };
    if (!(hi > lo)) /* all items are one that is not above 0 */
        return best;
    double rms = __builtin_sqrt(sum / 32);
    for (int i = 0; i < 32; i++)
        w[i] = rms + magnitude((double)x[i]);
    bool found = false;
    for (int t = -10; t <= 10; t++) {
        int n[32];
        double inverse = (n_max + t / 10.0) / (hi - lo);
        for (int i = 0; i < 32; i++)
            n[i] = code_of(((double)x[i] - lo) * inverse, 0, n_max);
        fit f = solve(x, w, n);
        if (f.s > 0 && (!found || f.error < best.error)) {
            best = f;
            found = true;
        }
    }
    return best;
}

static void quant_with_min(const float *x, int n_max, sv_kblock *k)
{
    fit f[SV_K_PARTS];
    double s = 0, m = 0;
    for (int g = 0; g < 8; g++) {
        f[g] = fit_with_min(x + 32 * g, n_max);
        s = f[g].s > s ? f[g].s : s;
        m = f[g].m > m ? f[g].m : m;
    }
    k->d = sv_f16_narrow((float)(s / 63));
    k->dmin = sv_f16_narrow((float)(m / 63));
    double d = (double)sv_f16_widen(k->d), dmin = (double)sv_f16_widen(k->dmin);
    for (int g = 0; g < 8; g++) {
        int scale = d > 0 ? code_of(f[g].s / d, 0, 63) : 0, min = dmin > 0 ? code_of(f[g].m / dmin, 0, 63) : 0;
        k->scale[g] = (uint8_t)scale;
        k->min[g] = (uint8_t)min;
        for (int i = 32 * g; i < 32 * g + 32; i++)
            k->code[i] = (uint8_t)(scale > 0 ? code_of(((double)x[i] + dmin * min) / (d * scale), 0, n_max) : 0);
    }
}

/* ---- scale alone ---- */

static double fit_signed(const float *x)
{
    double e = 0, best = 0, s = 0;
    for (int i = 0; i < 16; i++)
        e = magnitude((double)x[i]) > magnitude(e) ? (double)x[i] : e;
    for (int t = -9; t <= 9 && e != 0; t++) {
        double inverse = -(32 + t / 10.0) / e, qx = 0, qq = 0;
        for (int i = 0; i < 16; i++) {
            int q = code_of((double)x[i] * inverse, -32, 31);
            double w = (double)x[i] * (double)x[i];
            qx += w * q * (double)x[i];
            qq += w * q * q;
        }
        if (qq > 0 && qx * qx > best * qq) {
            best = qx * qx / qq;
            s = qx / qq;
        }
    }
    return s;
}

static void quant_signed(const float *x, sv_kblock *k)
{
    double s[16], most = 0;
    for (int g = 0; g < 16; g++) {
        s[g] = fit_signed(x + 16 * g);
        most = magnitude(s[g]) > magnitude(most) ? s[g] : most;
    }
    k->d = sv_f16_narrow((float)(most / -128));
    double d = (double)sv_f16_widen(k->d);
    for (int g = 0; g < 16; g++) {
        int scale = d != 0 ? code_of(s[g] / d, -128, 127) : 0;
        k->scale[g] = (uint8_t)scale;
        for (int i = 16 * g; i < 16 * g + 16; i++)
            k->code[i] = (uint8_t)(32 + (scale != 0 ? code_of((double)x[i] / (d * scale), -32, 31) : 0));
    }
}

static bool quant_block(sv_dtype t, const float *x, uint8_t *block)
{
    sv_kblock k;
    for (unsigned i = 0; i < SV_K_ITEMS; i++)
        if ((sv_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u)
            return false;
    if (t == SV_DT_Q6_K)
        quant_signed(x, &k);
    else
        quant_with_min(x, t == SV_DT_Q5_K ? 31 : 15, &k);
    sv_kblock_close(t, &k, block);
    return sv_dtype_scale_is_finite(t, block);
}

bool sv_kquant_row(sv_dtype t, const float *x, uint64_t n_items, uint8_t *row)
{
    if (!sv_dtype_is_k(t) || n_items % SV_K_ITEMS != 0)
        return false;
    for (uint64_t i = 0; i < n_items / SV_K_ITEMS; i++)
        if (!quant_block(t, x + i * SV_K_ITEMS, row + i * sv_dtype_block_bytes(t)))
            return false;
    return true;
}
