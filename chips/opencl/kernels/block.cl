/* SPDX-License-Identifier: Apache-2.0
 * Products of quantised activations (Q8X: scale, sum of codes, 32 codes as ten words) with block-quantised weights in the
 * images S8, S4 and A4. A work-item owns R rows x 16 columns. Inside a block sums are integers, in any order: a word of four
 * codes is two 16-bit lanes, k 0 and 1 in one, 2 and 3 in the other, and products stay in 16 bits as long as they fit.
 * Per block acc = fma(sum, s_w s_x, acc), chunks of 8 blocks, HALVE over chunks.
 */
#define MAX_DEPTH 14

/* Four codes of a row as two words of 16-bit lanes, (k0, k2) and (k1, k3): [M][K/4][2]. A work-item does a block. */
KERNEL void widen_q8x(IN(int, a), OUT(int, x), uint n_block)
{
    ulong b = get_global_id(1) * (ulong)n_block + get_global_id(0);
    a += a_off + b * 10 + 2;
    x += x_off + b * 16;
    for (uint i = 0; i < 8; i++) {
        int4 c = convert_int4(as_char4(a[i]));
        x[2 * i] = (c.x & 0xffff) | (c.z << 16);
        x[2 * i + 1] = (c.y & 0xffff) | (c.w << 16);
    }
}

/* Products of 8 columns and four k with those of row i, in 16-bit lanes. */
#define PRODUCTS(i, even, odd, step) \
    (even * as_short16((int8)(xb[row[i] + 2 * (step)])) + odd * as_short16((int8)(xb[row[i] + 2 * (step) + 1])))
#define JOIN(v) (((as_int8(v) << 16) >> 16) + (as_int8(v) >> 16))

/* |w| <= 128, |x| <= 127: two products fit into 16 bits. */
#define SUM_S8(R) \
    int8 t[R]; \
    _Pragma("unroll") for (uint i = 0; i < R; i++) t[i] = (int8)(0); \
    for (uint step = 0; step < 8; step++) { \
        short16 v = as_short16(vload8(0, wq + step * 32)), even = (v << (short)8) >> (short)8, odd = v >> (short)8; \
        _Pragma("unroll") for (uint i = 0; i < R; i++) { \
            short16 p = PRODUCTS(i, even, odd, step); \
            t[i] += JOIN(p); \
        } \
    } \
    _Pragma("unroll") for (uint i = 0; i < R; i++) part[2 * i + h] = t[i];

/* n <= 15, |x| <= 127: the 16 products of a lane fit. */
#define SUM_4BIT(R) \
    short16 t[R]; \
    _Pragma("unroll") for (uint i = 0; i < R; i++) t[i] = (short16)(0); \
    for (uint pair = 0; pair < 4; pair++) { \
        short16 v = as_short16(vload8(0, wq + pair * 32)); \
        short16 e0 = v & (short)15, o0 = (v >> (short)8) & (short)15, e1 = (v >> (short)4) & (short)15; \
        short16 o1 = (v >> (short)12) & (short)15; \
        _Pragma("unroll") for (uint i = 0; i < R; i++) \
            t[i] += PRODUCTS(i, e0, o0, 2 * pair) + PRODUCTS(i, e1, o1, 2 * pair + 1); \
    } \
    _Pragma("unroll") for (uint i = 0; i < R; i++) part[2 * i + h] = JOIN(t[i]);
#define SUM_S4 SUM_4BIT
#define SUM_A4 SUM_4BIT
#define WORDS_S8 272
#define WORDS_S4 144
#define WORDS_A4 160
#define SCALE_S8 256
#define SCALE_S4 128
#define SCALE_A4 128
#define OFFSET_S8 0 /* S4: the code is n - 8 */
#define OFFSET_S4 8
#define OFFSET_A4 0
#define HAS_MIN_S8 0
#define HAS_MIN_S4 0
#define HAS_MIN_A4 1

/* w counts words; panels of 32 columns, of which a work-item takes one half. x: the codes widened. */
#define BLOCK(R, F) \
    KERNEL void block_##F##_##R(IN(int, a), IN(int, x), IN(int, w), OUT(float, y), uint M, uint N, uint n_block) \
    { \
        uint m0 = get_global_id(0) * R, p = get_global_id(1), n0 = p * 16, top = 0, n_chunk = (n_block + 7) / 8; \
        float16 stack[MAX_DEPTH * R], acc[R]; \
        uint row[R]; \
        ulong head[R]; \
        for (uint i = 0; i < R; i++) { \
            uint m = min(m0 + i, M - 1) - m0; \
            row[i] = m * n_block * 16; \
            head[i] = a_off + ((ulong)m0 + m) * n_block * 10; \
            acc[i] = (float16)(0.0f); \
        } \
        __global const int *xb = x + x_off + (ulong)m0 * n_block * 16; \
        __global const int *wb = w + w_off + (ulong)(p / 2) * n_block * WORDS_##F; \
        for (uint b = 0; b < n_block; b++) { \
            int8 part[R * 2]; \
            for (uint h = 0; h < 2; h++) { \
                __global const int *wq = wb + p % 2 * 16 + h * 8; \
                SUM_##F(R) \
            } \
            __global const ushort *sb = (__global const ushort *)(wb + SCALE_##F) + p % 2 * 16; \
            float16 sw = widen_f16(vload16(0, sb)); \
            _Pragma("unroll") for (uint i = 0; i < R; i++) { \
                float sx = as_float(a[head[i] + (ulong)b * 10]); \
                int sum = a[head[i] + (ulong)b * 10 + 1]; \
                int16 isum = (int16)(part[i * 2], part[i * 2 + 1]) - OFFSET_##F * sum; \
                acc[i] = fma(convert_float16(isum), sw * sx, acc[i]); \
                if (HAS_MIN_##F) \
                    acc[i] = fma((float16)(convert_float(sum)), widen_f16(vload16(0, sb + 32)) * sx, acc[i]); \
            } \
            wb += WORDS_##F; \
            xb += 16; \
            if (b % 8 != 7 && b + 1 != n_block) \
                continue; \
            for (uint pops = sv_halve_pops(b / 8, n_chunk); pops > 0; pops--) { \
                top--; \
                for (uint i = 0; i < R; i++) \
                    acc[i] = stack[top * R + i] + acc[i]; \
            } \
            for (uint i = 0; i < R; i++) { \
                stack[top * R + i] = acc[i]; \
                acc[i] = (float16)(0.0f); \
            } \
            top++; \
        } \
        for (uint i = 0; i < R; i++) \
            if (m0 + i < M) \
                store(y + y_off + (ulong)(m0 + i) * N + n0, n_block > 0 ? stack[i] : (float16)(0.0f), N - n0); \
    }

BLOCK(1, S8)
BLOCK(4, S8)
BLOCK(1, S4)
BLOCK(4, S4)
BLOCK(1, A4)
BLOCK(4, A4)

/* Activations to Q8X, a work-item per block. */
KERNEL void quant_q8x(IN(float, x), ulong x_step, OUT(int, y), uint n_block)
{
    uint b = get_global_id(0);
    x += x_off + get_global_id(1) * x_step + (ulong)b * 32;
    y += y_off + (get_global_id(1) * (ulong)n_block + b) * 10;
    float16 u = vload16(0, x), v = vload16(1, x);
    float16 au = as_float16(as_int16(u) & 0x7fffffff), av = as_float16(as_int16(v) & 0x7fffffff);
    bool finite = all(au < INFINITY) && all(av < INFINITY);
    float16 top = select((float16)(0.0f), au, au > 0.0f);
    top = select(top, av, av > top);
    float amax = fold_max(top), s = amax / 127.0f;
    if (!finite || s < 0x1p-126f) {
        y[0] = finite ? 0 : 0x7fc00000;
        for (uint i = 1; i < 10; i++)
            y[i] = 0;
        return;
    }
    float inv = 127.0f / amax;
    u = (u * inv + 12582912.0f) - 12582912.0f;
    v = (v * inv + 12582912.0f) - 12582912.0f;
    u = select(u, (float16)(127.0f), u > 127.0f);
    v = select(v, (float16)(127.0f), v > 127.0f);
    u = select(u, (float16)(-127.0f), u < -127.0f);
    v = select(v, (float16)(-127.0f), v < -127.0f);
    int16 qu = convert_int16(u), qv = convert_int16(v), q = qu + qv;
    int8 q8 = q.lo + q.hi;
    int4 q4 = q8.lo + q8.hi;
    y[0] = as_int(s);
    y[1] = (q4.x + q4.y) + (q4.z + q4.w);
    char16 cu = convert_char16(qu), cv = convert_char16(qv);
    vstore4(as_int4(cu), 0, y + 2);
    vstore4(as_int4(cv), 0, y + 6);
}
