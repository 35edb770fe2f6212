/* SPDX-License-Identifier: Apache-2.0
 * Products of quantised activations (Q8X: scale, sum of codes, 32 codes as ten words) with block-quantised weights in the
 * images S8, S4 and A4. Integer sums of a block stay below 2^24, so they are carried exactly in floats.
 * A work-item owns R rows x 16 columns; per block acc = fma(sum, s_w s_x, acc), chunks of 8 blocks, HALVE over chunks.
 */
#define MAX_DEPTH 14

inline float16 code(int16 w, int shift) { return convert_float16((w << (24 - shift)) >> 24); }

#define ADD_STEP(R, word, wv, decode) \
    { \
        float16 q0 = decode(wv, 0), q1 = decode(wv, 8), q2 = decode(wv, 16), q3 = decode(wv, 24); \
        _Pragma("unroll") for (uint i = 0; i < R; i++) { \
            float4 x = convert_float4(as_char4(a[row[i] + (ulong)b * 10 + 2 + (word)])); \
            isum[i] = fma(q0, (float16)(x.x), isum[i]); \
            isum[i] = fma(q1, (float16)(x.y), isum[i]); \
            isum[i] = fma(q2, (float16)(x.z), isum[i]); \
            isum[i] = fma(q3, (float16)(x.w), isum[i]); \
        } \
    }

#define CODE_8(w, shift) code(w, shift)
#define CODE_4_LO(w, shift) (convert_float16((w >> (shift)) & 15) - 8.0f)
#define CODE_4_HI(w, shift) (convert_float16((w >> ((shift) + 4)) & 15) - 8.0f)
#define CODE_U_LO(w, shift) convert_float16((w >> (shift)) & 15)
#define CODE_U_HI(w, shift) convert_float16((w >> ((shift) + 4)) & 15)

#define SUM_S8(R) \
    for (uint step = 0; step < 8; step++) { \
        int16 wv = vload16(0, wb + step * 32); \
        ADD_STEP(R, step, wv, CODE_8) \
    }
#define SUM_S4(R) \
    for (uint pair = 0; pair < 4; pair++) { \
        int16 wv = vload16(0, wb + pair * 32); \
        ADD_STEP(R, 2 * pair, wv, CODE_4_LO) \
        ADD_STEP(R, 2 * pair + 1, wv, CODE_4_HI) \
    }
#define SUM_A4(R) \
    for (uint pair = 0; pair < 4; pair++) { \
        int16 wv = vload16(0, wb + pair * 32); \
        ADD_STEP(R, 2 * pair, wv, CODE_U_LO) \
        ADD_STEP(R, 2 * pair + 1, wv, CODE_U_HI) \
    }
#define WORDS_S8 272
#define WORDS_S4 144
#define WORDS_A4 160
#define SCALE_S8 256
#define SCALE_S4 128
#define SCALE_A4 128
#define HAS_MIN_S8 0
#define HAS_MIN_S4 0
#define HAS_MIN_A4 1

/* w counts 4-byte words; panels of 32 columns, of which a work-item takes the half `half`. */
#define BLOCK(R, F) \
    KERNEL void block_##F##_##R(IN(int, a), IN(int, w), OUT(float, y), uint M, uint N, uint n_block) \
    { \
        uint m0 = get_global_id(0) * R, p = get_global_id(1), n0 = p * 16, half16 = p % 2, top = 0; \
        uint n_chunk = (n_block + 7) / 8; \
        float16 stack[MAX_DEPTH * R], acc[R], isum[R]; \
        ulong row[R]; \
        for (uint i = 0; i < R; i++) { \
            row[i] = a_off + (ulong)min(m0 + i, M - 1) * n_block * 10; \
            acc[i] = (float16)(0.0f); \
        } \
        __global const int *wb = w + w_off + (ulong)(p / 2) * n_block * WORDS_##F + half16 * 16; \
        __global const ushort *sb = (__global const ushort *)(w + w_off + (ulong)(p / 2) * n_block * WORDS_##F + SCALE_##F) + \
                                    half16 * 16; \
        for (uint b = 0; b < n_block; b++) { \
            for (uint i = 0; i < R; i++) \
                isum[i] = (float16)(0.0f); \
            SUM_##F(R) \
            float16 sw = widen_f16(vload16(0, sb)); \
            for (uint i = 0; i < R; i++) { \
                float sx = as_float(a[row[i] + (ulong)b * 10]); \
                acc[i] = fma(isum[i], sw * sx, acc[i]); \
                if (HAS_MIN_##F) { \
                    float sum = convert_float(a[row[i] + (ulong)b * 10 + 1]); \
                    acc[i] = fma((float16)(sum), widen_f16(vload16(0, sb + 32)) * sx, acc[i]); \
                } \
            } \
            wb += WORDS_##F; \
            sb += 2 * WORDS_##F; \
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
