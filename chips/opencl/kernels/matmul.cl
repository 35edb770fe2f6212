/* SPDX-License-Identifier: Apache-2.0
 * Float products. A work-item owns R rows x 16 columns of the result: per k it broadcasts one item of each row and reads 16
 * neighbours of the other operand. Chunks of 256 start at +0 and are combined by HALVE on a stack of partial tiles.
 */
#define CHUNK 256
#define MAX_DEPTH 14 /* k < 256 * 2^13 */

/* One chunk of one tile: rows i at a + row[i], columns at w. cols < 16 only at the ragged edge of a plain operand. */
#define TILE(R, T, cols) \
    for (uint k = 0; k < kn; k++) { \
        float16 wv = LOAD_##T(wk, cols); \
        _Pragma("unroll") for (uint i = 0; i < R; i++) s[i] = fma((float16)(a[row[i] + ak]), wv, s[i]); \
        wk += w_step; \
        ak += a_step; \
    }

/* s = HALVE over chunks of sum over k < K of a[row[i] + k a_step] w[k w_step .. + 16]. */
#define DOT_TILE(R, T) \
    inline void dot_tile_##T##_##R(__global const float *a, const ulong *row, ulong a_step, __global const TYPE_##T *w, \
                                   ulong w_step, uint cols, uint K, float16 *total) \
    { \
        float16 stack[MAX_DEPTH * R], s[R]; \
        uint n_chunk = (K + CHUNK - 1) / CHUNK, top = 0; \
        for (uint i = 0; i < R; i++) \
            total[i] = (float16)(0.0f); \
        for (uint c = 0; c < n_chunk; c++) { \
            uint kn = min(K - c * CHUNK, (uint)CHUNK); \
            __global const TYPE_##T *wk = w + (ulong)c * CHUNK * w_step; \
            ulong ak = (ulong)c * CHUNK * a_step; \
            for (uint i = 0; i < R; i++) \
                s[i] = (float16)(0.0f); \
            if (cols >= 16) { \
                TILE(R, T, 16) \
            } else { \
                TILE(R, T, cols) \
            } \
            for (uint pops = sv_halve_pops(c, n_chunk); pops > 0; pops--) { \
                top--; \
                for (uint i = 0; i < R; i++) \
                    s[i] = stack[top * R + i] + s[i]; \
            } \
            for (uint i = 0; i < R; i++) \
                stack[top * R + i] = s[i]; \
            top++; \
        } \
        if (n_chunk > 0) \
            for (uint i = 0; i < R; i++) \
                total[i] = stack[i]; \
    }

/* y[m,n]: M rows of a (a_row apart, items a_step apart), N columns of w in panels of 16 (panel p at p * w_panel, steps w_step
 * apart; w_tail: items of the last panel that exist, 16 for images). */
#define MATMUL(R, T) \
    DOT_TILE(R, T) \
    KERNEL void matmul_##T##_##R(IN(float, a), ulong a_row, ulong a_step, IN(TYPE_##T, w), ulong w_panel, ulong w_step, \
                                 uint w_tail, OUT(float, y), uint M, uint N, uint K) \
    { \
        uint m0 = get_global_id(0) * R, p = get_global_id(1), n0 = p * 16; \
        ulong row[R]; \
        float16 s[R]; \
        for (uint i = 0; i < R; i++) \
            row[i] = a_off + min(m0 + i, M - 1) * a_row; \
        uint cols = n0 + 16 <= N ? 16 : w_tail; \
        dot_tile_##T##_##R(a, row, a_step, w + w_off + p * w_panel, w_step, cols, K, s); \
        for (uint i = 0; i < R; i++) \
            if (m0 + i < M) \
                store(y + y_off + (ulong)(m0 + i) * N + n0, s[i], N - n0); \
    }

MATMUL(1, f32)
MATMUL(2, f32)
MATMUL(6, f32)
MATMUL(1, bf16)
MATMUL(2, bf16)
MATMUL(6, bf16)
MATMUL(1, f16)
MATMUL(2, f16)
MATMUL(6, f16)

/* TN: c[n,k] = (c or +0) + leaf totals, left to right. */
KERNEL void matmul_tn(IN(float, a), ulong a_step, IN(float, b), ulong b_step, IN(int, seg), uint L, OUT(float, c), uint N, uint K,
                      uint accumulate)
{
    uint n0 = get_global_id(0) * 6, k0 = get_global_id(1) * 16, cols = min(K - k0, 16u);
    float16 c_tile[6], s[6];
    ulong row[6];
    c += c_off;
    seg += seg_off;
    for (uint i = 0; i < 6; i++)
        c_tile[i] = accumulate != 0 && n0 + i < N ? load(c + (ulong)(n0 + i) * K + k0, cols, 0.0f) : (float16)(0.0f);
    for (uint l = 0; l < L; l++) {
        uint lo = seg[l], n_row = seg[l + 1] - lo;
        if (n_row == 0)
            continue;
        for (uint i = 0; i < 6; i++)
            row[i] = a_off + lo * a_step + min(n0 + i, N - 1);
        dot_tile_f32_6(a, row, a_step, b + b_off + lo * b_step + k0, b_step, cols, n_row, s);
        for (uint i = 0; i < 6; i++)
            c_tile[i] = c_tile[i] + s[i];
    }
    for (uint i = 0; i < 6; i++)
        if (n0 + i < N)
            store(c + (ulong)(n0 + i) * K + k0, c_tile[i], cols);
}

/* [N,K] rows w_step apart -> [ceil(N/16)][K][16]; spare columns are zero. A work-item does 16 columns x up to 64 k. */
#define PACK_P16(name, type) \
    KERNEL void name(IN(type, w), ulong w_step, OUT(type, y), uint N, uint K) \
    { \
        uint k0 = get_global_id(0) * 64, k1 = min(k0 + 64, K), n0 = get_global_id(1) * 16; \
        w += w_off; \
        y += y_off + (ulong)n0 * K; \
        for (uint k = k0; k < k1; k++) \
            for (uint n = 0; n < 16; n++) \
                y[(ulong)k * 16 + n] = n0 + n < N ? w[(n0 + n) * w_step + k] : (type)0; \
    }

PACK_P16(pack_p16_4, uint)
PACK_P16(pack_p16_2, ushort)
