/* SPDX-License-Identifier: Apache-2.0
 * Rows that sum, look for a maximum, or both. A work-item owns a row (or a group of it); 32 lanes by index modulo 32, folded
 * after each piece of 4,096 items, pieces by HALVE.
 */
#define PIECE 4096

/* out = SUM over i < n of the lanes of `expr`, which sees `i` (a multiple of 16) and `left`, the items from there on. */
#define SUM_OVER(out, n, expr) \
    { \
        sv_halve pieces_; \
        sv_halve_begin(&pieces_, ((n) + PIECE - 1) / PIECE); \
        for (uint p_ = 0; p_ < (n); p_ += PIECE) { \
            uint e_ = min(p_ + PIECE, (uint)(n)); \
            lanes32 s_ = { (float16)(0.0f), (float16)(0.0f) }; \
            for (uint i = p_; i < e_; i += 16) { \
                uint left = e_ - i; \
                float16 v_ = expr; \
                if (left < 16) \
                    v_ = pick(LANES < (int16)((int)left), v_, (float16)(-0.0f)); \
                if (i % 32 == 0) \
                    s_.lo = s_.lo + v_; \
                else \
                    s_.hi = s_.hi + v_; \
            } \
            sv_halve_push(&pieces_, fold32(s_)); \
        } \
        out = sv_halve_total(&pieces_); \
    }

inline float max_of(__global const float *x, uint n)
{
    float16 m = (float16)(NEG_INF);
    for (uint i = 0; i < n; i += 16) {
        float16 v = load(x + i, n - i, NEG_INF);
        m = select(m, v, v > m);
    }
    return fold_max(m) + 0.0f;
}

#define RMSNORM(T) \
    KERNEL void rmsnorm_##T(IN(float, x), ulong x_step, IN(TYPE_##T, g), OUT(float, y), uint width, uint D, float eps) \
    { \
        ulong row = get_global_id(1); \
        x += x_off + row * x_step + get_global_id(0) * (ulong)D; \
        y += y_off + row * width + get_global_id(0) * (ulong)D; \
        g += g_off; \
        float sum; \
        SUM_OVER(sum, D, (load(x + i, left, 0.0f) * load(x + i, left, 0.0f))) \
        float r = 1.0f / sqrt(sum / convert_float(D) + eps); \
        for (uint i = 0; i < D; i += 16) \
            store(y + i, (load(x + i, D - i, 0.0f) * r) * LOAD_##T(g + i, D - i), D - i); \
    } \
    /* dx, and x r to scratch for the gradient of the gain */ \
    KERNEL void rmsnorm_grad_##T(IN(float, x), ulong x_step, IN(TYPE_##T, g), IN(float, dy), ulong dy_step, OUT(float, dx), \
                                 OUT(float, xr), uint width, uint D, float eps) \
    { \
        ulong row = get_global_id(1); \
        x += x_off + row * x_step + get_global_id(0) * (ulong)D; \
        dy += dy_off + row * dy_step + get_global_id(0) * (ulong)D; \
        dx += dx_off + row * width + get_global_id(0) * (ulong)D; \
        xr += xr_off + row * width + get_global_id(0) * (ulong)D; \
        g += g_off; \
        float sum, c; \
        SUM_OVER(sum, D, (load(x + i, left, 0.0f) * load(x + i, left, 0.0f))) \
        SUM_OVER(c, D, ((load(dy + i, left, 0.0f) * LOAD_##T(g + i, left)) * load(x + i, left, 0.0f))) \
        float r = 1.0f / sqrt(sum / convert_float(D) + eps); \
        float k = ((r * r) * c) / convert_float(D); \
        for (uint i = 0; i < D; i += 16) { \
            float16 v = load(x + i, D - i, 0.0f); \
            store(xr + i, v * r, D - i); \
            store(dx + i, r * (load(dy + i, D - i, 0.0f) * LOAD_##T(g + i, D - i) - k * v), D - i); \
        } \
    }

RMSNORM(f32)
RMSNORM(bf16)
RMSNORM(f16)

/* dg[d] += per leaf, DOT over its groups of dy (x r); a work-item owns 16 channels. per: groups of a row. */
KERNEL void rmsnorm_grad_gain(IN(float, dy), ulong dy_step, IN(float, xr), IN(int, seg), uint L, OUT(float, dg), uint D, uint per)
{
    uint d0 = get_global_id(0) * 16, left = min(D - d0, 16u);
    float16 stack[14], total = load(dg + dg_off + d0, left, 0.0f);
    dy += dy_off + d0;
    xr += xr_off + d0;
    seg += seg_off;
    for (uint l = 0; l < L; l++) {
        ulong lo = (ulong)seg[l] * per, hi = (ulong)seg[l + 1] * per;
        uint n_chunk = (hi - lo + 255) / 256, top = 0;
        for (uint c = 0; c < n_chunk; c++) {
            float16 s = (float16)(0.0f);
            ulong end = min(lo + (c + 1) * 256ul, hi);
            for (ulong i = lo + c * 256ul; i < end; i++)
                s = fma(load(dy + i / per * dy_step + i % per * D, left, 0.0f), load(xr + i * D, left, 0.0f), s);
            for (uint pops = sv_halve_pops(c, n_chunk); pops > 0; pops--)
                s = stack[--top] + s;
            stack[top++] = s;
        }
        if (n_chunk > 0)
            total = total + stack[0];
    }
    store(dg + dg_off + d0, total, left);
}

KERNEL void softmax_f32(IN(float, x), ulong x_step, OUT(float, y), uint D)
{
    x += x_off + get_global_id(0) * x_step;
    y += y_off + get_global_id(0) * (ulong)D;
    float m = max_of(x, D), l;
    for (uint i = 0; i < D; i += 16)
        store(y + i, canon16_exp(load(x + i, D - i, 0.0f) - m), D - i);
    SUM_OVER(l, D, (load(y + i, left, 0.0f)))
    float r = 1.0f / l;
    for (uint i = 0; i < D; i += 16)
        store(y + i, load(y + i, D - i, 0.0f) * r, D - i);
}

/* A work-item sums one piece of a tensor; the pieces are combined by one more. */
#define SUM_PIECES(name, expr) \
    KERNEL void name(IN(float, x), ulong n, OUT(float, part)) \
    { \
        ulong p = get_global_id(0); \
        uint m = min(n - p * PIECE, (ulong)PIECE); \
        x += x_off + p * PIECE; \
        float s; \
        SUM_OVER(s, m, expr) \
        part[part_off + p] = s; \
    }

SUM_PIECES(sum_pieces, (load(x + i, left, 0.0f)))
SUM_PIECES(sumsq_pieces, (load(x + i, left, 0.0f) * load(x + i, left, 0.0f)))

KERNEL void halve_pieces(IN(float, part), uint n, OUT(float, y))
{
    sv_halve h;
    sv_halve_begin(&h, n);
    for (uint i = 0; i < n; i++)
        sv_halve_push(&h, part[part_off + i]);
    y[y_off] = sv_halve_total(&h);
}

KERNEL void logprob(IN(float, z), ulong z_step, IN(int, target), OUT(float, lp), OUT(float, stat), uint V)
{
    uint w = get_global_id(0);
    z += z_off + w * z_step;
    float m = max_of(z, V), l;
    SUM_OVER(l, V, (canon16_exp(load(z + i, left, 0.0f) - m)))
    lp[lp_off + w] = -((canon_log(l) + m) - z[target[target_off + w]]);
    stat[stat_off + 2 * w] = m;
    stat[stat_off + 2 * w + 1] = l;
}

KERNEL void logprob_grad(IN(float, z), ulong z_step, IN(int, target), IN(float, stat), ulong stat_step, IN(float, dlp), OUT(float, dz),
                         uint V)
{
    ulong w = get_global_id(1);
    uint c0 = get_global_id(0) * 1024, c1 = min(c0 + 1024, V);
    float m = stat[stat_off + w * stat_step], r = 1.0f / stat[stat_off + w * stat_step + 1], n = -dlp[dlp_off + w];
    int y = target[target_off + w];
    z += z_off + w * z_step;
    dz += dz_off + w * V;
    for (uint c = c0; c < c1; c += 16) {
        float16 p = canon16_exp(load(z + c, c1 - c, 0.0f) - m) * r;
        p = pick((int16)((int)c) + LANES == y, p - 1.0f, p);
        store(dz + c, p * n, c1 - c);
    }
}

/* Per lane the first of its largest items; between lanes the largest, of equals the first. */
KERNEL void argmax(IN(float, z), ulong z_step, OUT(int, y), uint V)
{
    z += z_off + get_global_id(0) * z_step;
    float16 m = (float16)(NEG_INF);
    int16 at = (int16)(0);
    for (uint i = 0; i < V; i += 16) {
        float16 v = load(z + i, V - i, NEG_INF);
        int16 wins = v > m;
        m = select(m, v, wins);
        at = select(at, (int16)((int)i) + LANES, wins);
    }
    float lane[16], best = NEG_INF;
    int index[16], first = 0;
    vstore16(m, 0, lane);
    vstore16(at, 0, index);
    for (uint j = 0; j < 16; j++)
        if (lane[j] > best || (lane[j] == best && index[j] < first)) {
            best = lane[j];
            first = index[j];
        }
    y[y_off + get_global_id(0)] = first;
}
