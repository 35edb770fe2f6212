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
