/* SPDX-License-Identifier: Apache-2.0
 * Elementwise rows: a work-item takes SPAN columns of one row. Inputs have row strides (0: the same row again), outputs are
 * dense. No fma.
 */
#define SPAN 1024

#define UNARY(name, expr, ...) \
    KERNEL void name(IN(float, a), ulong a_step, OUT(float, y), uint width, __VA_ARGS__) \
    { \
        uint c0 = get_global_id(0) * SPAN, c1 = min(c0 + SPAN, width); \
        a += a_off + get_global_id(1) * a_step; \
        y += y_off + get_global_id(1) * (ulong)width; \
        for (uint c = c0; c < c1; c += 16) { \
            float16 u = load(a + c, c1 - c, 0.0f); \
            store(y + c, expr, c1 - c); \
        } \
    }

#define BINARY(name, expr) \
    KERNEL void name(IN(float, a), ulong a_step, IN(float, b), ulong b_step, OUT(float, y), uint width) \
    { \
        uint c0 = get_global_id(0) * SPAN, c1 = min(c0 + SPAN, width); \
        a += a_off + get_global_id(1) * a_step; \
        b += b_off + get_global_id(1) * b_step; \
        y += y_off + get_global_id(1) * (ulong)width; \
        for (uint c = c0; c < c1; c += 16) { \
            float16 u = load(a + c, c1 - c, 0.0f), v = load(b + c, c1 - c, 0.0f); \
            store(y + c, expr, c1 - c); \
        } \
    }

BINARY(add_f32, u + v)
BINARY(mul_f32, u * v)
BINARY(swiglu_f32, canon16_silu(u) * v)
UNARY(scale_f32, u * factor, float factor)

KERNEL void swiglu_grad_f32(IN(float, gate), ulong gate_step, IN(float, up), ulong up_step, IN(float, dy), ulong dy_step,
                            OUT(float, dgate), OUT(float, dup), uint width)
{
    uint c0 = get_global_id(0) * SPAN, c1 = min(c0 + SPAN, width);
    ulong row = get_global_id(1);
    gate += gate_off + row * gate_step;
    up += up_off + row * up_step;
    dy += dy_off + row * dy_step;
    dgate += dgate_off + row * width;
    dup += dup_off + row * width;
    for (uint c = c0; c < c1; c += 16) {
        uint n = c1 - c;
        float16 g = load(gate + c, n, 0.0f), u = load(up + c, n, 0.0f), d = load(dy + c, n, 0.0f);
        float16 sg = canon16_sigmoid(g);
        store(dup + c, d * canon16_silu(g), n);
        store(dgate + c, (d * u) * (sg * (1.0f + g * (1.0f - sg))), n);
    }
}

KERNEL void adamw(IN(float, g), ulong g_step, IN(float, opt), OUT(float, p), OUT(float, m), OUT(float, v), uint width, float beta1,
                  float beta2, float w1, float w2, float eps, float decay)
{
    uint c0 = get_global_id(0) * SPAN, c1 = min(c0 + SPAN, width);
    ulong row = get_global_id(1);
    opt += opt_off;
    float lr = opt[0], corr1 = opt[1], corr2 = opt[2], clip = opt[3], keep = 1.0f - lr * decay;
    g += g_off + row * g_step;
    p += p_off + row * width;
    m += m_off + row * width;
    v += v_off + row * width;
    for (uint c = c0; c < c1; c += 16) {
        uint n = c1 - c;
        float16 x = load(g + c, n, 0.0f) * clip, p1 = load(p + c, n, 0.0f) * keep;
        float16 mn = load(m + c, n, 0.0f) * beta1 + x * w1, vn = load(v + c, n, 0.0f) * beta2 + (x * x) * w2;
        store(m + c, mn, n);
        store(v + c, vn, n);
        store(p + c, p1 - lr * ((mn * corr1) / (sqrt(vn * corr2) + eps)), n);
    }
}

/* Philox4x32-10 (Salmon et al. 2011), as num/philox.h; a work-item makes 16 blocks of four normals. */
KERNEL void rand_normal(OUT(float, y), ulong n, uint key0, uint key1, uint stream, uint step, float std)
{
    ulong b0 = get_global_id(0) * 16, b1 = min(b0 + 16, (n + 3) / 4);
    y += y_off;
    for (ulong b = b0; b < b1; b++) {
        uint c0 = (uint)b, c1 = (uint)(b >> 32), c2 = step, c3 = stream, k0 = key0, k1 = key1;
        for (uint round = 0; round < 10; round++) {
            uint hi0 = mul_hi(0xD2511F53u, c0), lo0 = 0xD2511F53u * c0, hi1 = mul_hi(0xCD9E8D57u, c2), lo1 = 0xCD9E8D57u * c2;
            c0 = hi1 ^ c1 ^ k0;
            c1 = lo1;
            c2 = hi0 ^ c3 ^ k1;
            c3 = lo0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        uint w[4] = { c0, c1, c2, c3 };
        for (uint i = 0; i < 4; i += 2) {
            float r = sqrt(0.0f - 2.0f * canon_log(convert_float((w[i] >> 8) + 1) * 0x1p-24f));
            float t = (convert_float(w[i + 1] >> 8) * 0x1p-24f) * 6.2831855f;
            if (4 * b + i < n)
                y[4 * b + i] = std * (r * canon_cos(t));
            if (4 * b + i + 1 < n)
                y[4 * b + i + 1] = std * (r * canon_sin(t));
        }
    }
}
