/* SPDX-License-Identifier: Apache-2.0
 * Attention. A work-item owns one query head of one token (attend, dq), or sixteen keys of one key head (dk, dv). Scores have
 * keys in lanes, outputs have channels; sums over keys and queries run in ascending order. d_head <= 256: one chunk.
 */
#define KEYS 256
#define PAGE 32
#define MOST_D 256

inline int16 below(uint first, uint n) { return (int16)((int)first) + LANES < (int16)((int)n); }

/* 16 x 4 keys of two pages against one query; e gets raw scores, the maximum of those that exist goes into *m. */
inline void scores(__global const float *q, __global const float *k0, __global const float *k1, uint D, uint first, uint n,
                   float *e, float16 *m)
{
    float16 s[4];
    for (uint i = 0; i < 4; i++)
        s[i] = (float16)(0.0f);
    for (uint d = 0; d < D; d++) {
        float16 x = (float16)(q[d]);
        s[0] = fma(x, vload16(0, k0 + d * PAGE), s[0]);
        s[1] = fma(x, vload16(1, k0 + d * PAGE), s[1]);
        s[2] = fma(x, vload16(0, k1 + d * PAGE), s[2]);
        s[3] = fma(x, vload16(1, k1 + d * PAGE), s[3]);
    }
    for (uint i = 0; i < 4; i++) {
        vstore16(s[i], 0, e + 16 * i);
        *m = select(*m, s[i], s[i] > *m && below(first + 16 * i, n));
    }
}

/* O[d] = chain over j < n of e[j] v_j[d]. pages: of this block's first key. */
inline void outputs(__global const float *vp, __global const int *pages, uint G, uint g, uint D, uint n, const float *e, float *O)
{
    uint d = 0;
    for (; d + 64 <= D; d += 64) {
        float16 a = (float16)(0.0f), b = a, c = a, f = a;
        for (uint j = 0; j < n; j++) {
            __global const float *v = vp + (((ulong)pages[j / PAGE] * G + g) * PAGE + j % PAGE) * D + d;
            float16 x = (float16)(e[j]);
            a = fma(x, vload16(0, v), a);
            b = fma(x, vload16(1, v), b);
            c = fma(x, vload16(2, v), c);
            f = fma(x, vload16(3, v), f);
        }
        vstore16(a, 0, O + d);
        vstore16(b, 1, O + d);
        vstore16(c, 2, O + d);
        vstore16(f, 3, O + d);
    }
    for (; d < D; d += 16) {
        float16 a = (float16)(0.0f);
        for (uint j = 0; j < n; j++)
            a = fma((float16)(e[j]), load(vp + (((ulong)pages[j / PAGE] * G + g) * PAGE + j % PAGE) * D + d, D - d, 0.0f), a);
        vstore16(a, 0, O + d);
    }
}

KERNEL void attend(IN(float, q), ulong q_step, IN(float, kp), IN(float, vp), IN(int, pos), IN(int, seq), IN(int, table),
                   ulong table_step, OUT(float, o), OUT(float, stat), uint G, uint D)
{
    uint h = get_global_id(0), H = get_global_size(0), g = h / (H / G), t = get_global_id(1), n_key = pos[pos_off + t] + 1;
    float e[KEYS], O[MOST_D], total[MOST_D], m = 0.0f, l = 0.0f;
    __global const int *pages = table + table_off + (ulong)seq[seq_off + t] * table_step;
    q += q_off + t * q_step + (ulong)h * D;
    o += o_off + ((ulong)t * H + h) * D;
    kp += kp_off;
    vp += vp_off;
    for (uint first = 0; first < n_key; first += KEYS) {
        uint n = min(n_key - first, (uint)KEYS);
        __global const int *here = pages + first / PAGE;
        float16 mv = (float16)(NEG_INF);
        for (uint j = 0; j < n; j += 2 * PAGE) {
            __global const float *k0 = kp + ((ulong)here[j / PAGE] * G + g) * D * PAGE;
            __global const float *k1 = j + PAGE < n ? kp + ((ulong)here[j / PAGE + 1] * G + g) * D * PAGE : k0;
            scores(q, k0, k1, D, j, n, e + j, &mv);
        }
        float m_b = fold_max(mv) + 0.0f;
        lanes32 sum = { (float16)(0.0f), (float16)(0.0f) };
        for (uint j = 0; j < n; j += 32) {
            float16 lo = canon16_exp(vload16(0, e + j) - m_b), hi = canon16_exp(vload16(1, e + j) - m_b);
            vstore16(lo, 0, e + j);
            vstore16(hi, 1, e + j);
            sum.lo = sum.lo + pick(below(j, n), lo, (float16)(-0.0f));
            sum.hi = sum.hi + pick(below(j + 16, n), hi, (float16)(-0.0f));
        }
        float l_b = fold32(sum);
        if (first == 0) {
            outputs(vp, here, G, g, D, n, e, total);
            m = m_b;
            l = l_b;
            continue;
        }
        outputs(vp, here, G, g, D, n, e, O);
        float m_new = m_b > m ? m_b : m, f = canon_exp(m - m_new), f_b = canon_exp(m_b - m_new);
        l = l * f + l_b * f_b;
        for (uint d = 0; d < D; d += 16)
            vstore16(vload16(0, total + d) * f + vload16(0, O + d) * f_b, 0, total + d);
        m = m_new;
    }
    float r = 1.0f / l;
    for (uint d = 0; d < D; d += 16)
        store(o + d, vload16(0, total + d) * r, D - d);
    stat[stat_off + ((ulong)t * H + h) * 2] = m;
    stat[stat_off + ((ulong)t * H + h) * 2 + 1] = l;
}

KERNEL void kv_put(IN(float, k), ulong k_step, IN(float, v), ulong v_step, IN(int, pos), IN(int, seq), IN(int, table),
                   ulong table_step, OUT(float, kp), OUT(float, vp), uint D)
{
    uint g = get_global_id(0), G = get_global_size(0), t = get_global_id(1), p = pos[pos_off + t], slot = p % PAGE;
    ulong page = table[table_off + (ulong)seq[seq_off + t] * table_step + p / PAGE];
    k += k_off + t * k_step + (ulong)g * D;
    v += v_off + t * v_step + (ulong)g * D;
    kp += kp_off + (page * G + g) * D * PAGE + slot;
    vp += vp_off + ((page * G + g) * PAGE + slot) * D;
    for (uint d = 0; d < D; d++) {
        kp[(ulong)d * PAGE] = k[d];
        vp[d] = v[d];
    }
}

/* Backward. kt, vt: rows of k and v in panels of 16 tokens, [ceil(T/16)][G D][16]. */

KERNEL void attend_delta(IN(float, dy), ulong dy_step, IN(float, o), ulong o_step, OUT(float, delta), uint D)
{
    uint h = get_global_id(0), H = get_global_size(0), t = get_global_id(1);
    dy += dy_off + t * dy_step + (ulong)h * D;
    o += o_off + t * o_step + (ulong)h * D;
    float s = 0.0f;
    for (uint d = 0; d < D; d++)
        s = fma(dy[d], o[d], s);
    delta[delta_off + (ulong)t * H + h] = s;
}

/* p and ds of one query against a panel of sixteen keys. */
inline void weights16(__global const float *q, __global const float *dy, __global const float *kt, __global const float *vt, uint D,
                      float m, float r, float delta, float16 *p, float16 *ds)
{
    float16 s = (float16)(0.0f), dp = s;
    for (uint d = 0; d < D; d++) {
        s = fma((float16)(q[d]), vload16(d, kt), s);
        dp = fma((float16)(dy[d]), vload16(d, vt), dp);
    }
    *p = canon16_exp(s - m) * r;
    *ds = *p * (dp - delta);
}

KERNEL void attend_grad_q(IN(float, q), ulong q_step, IN(float, k), ulong k_step, IN(float, dy), ulong dy_step, IN(float, stat),
                          IN(int, pos), IN(float, kt), IN(float, vt), IN(float, delta), OUT(float, dq), uint G, uint D)
{
    uint h = get_global_id(0), H = get_global_size(0), g = h / (H / G), i = get_global_id(1), last = pos[pos_off + i];
    uint start = i - last;
    float total[MOST_D], w[KEYS + 32];
    q += q_off + i * q_step + (ulong)h * D;
    dy += dy_off + i * dy_step + (ulong)h * D;
    stat += stat_off + ((ulong)i * H + h) * 2;
    k += k_off + (ulong)g * D;
    float m = stat[0], r = 1.0f / stat[1], del = delta[delta_off + (ulong)i * H + h];
    for (uint first = 0; first <= last; first += KEYS) {
        uint row0 = start + first, row1 = min(start + last + 1, row0 + KEYS), panel0 = row0 / 16;
        for (uint panel = panel0; panel * 16 < row1; panel++) {
            float16 p, ds;
            ulong at = ((ulong)panel * G + g) * D * 16;
            weights16(q, dy, kt + kt_off + at, vt + vt_off + at, D, m, r, del, &p, &ds);
            vstore16(ds, panel - panel0, w);
        }
        for (uint d = 0; d < D; d += 16) {
            float16 piece = (float16)(0.0f);
            for (uint j = row0; j < row1; j++)
                piece = fma((float16)(w[j - panel0 * 16]), load(k + j * k_step + d, D - d, 0.0f), piece);
            if (first > 0)
                piece = vload16(0, total + d) + piece;
            vstore16(piece, 0, total + d);
        }
    }
    dq += dq_off + ((ulong)i * H + h) * D;
    for (uint d = 0; d < D; d += 16)
        store(dq + d, vload16(0, total + d), D - d);
}

/* Ends the pieces of the lanes in `on`: the first is taken as it is, later ones are added. */
inline void end_piece16(float16 *total, float16 *piece, uint D, int16 on, int16 fresh)
{
    for (uint d = 0; d < D; d++) {
        total[d] = select(total[d], select(total[d] + piece[d], piece[d], fresh), on);
        piece[d] = select(piece[d], (float16)(0.0f), on);
    }
}

inline void store_lanes(__global float *p, ulong step, const float16 *total, uint D, uint n)
{
    for (uint d = 0; d < D; d++) {
        float t[16];
        vstore16(total[d], 0, t);
        for (uint j = 0; j < n; j++)
            p[j * step + d] = t[j];
    }
}

/* out[n] = four queries (step apart) times a panel of sixteen keys. */
inline void dots4(__global const float *x, ulong step, __global const float *panel, uint D, float16 out[4])
{
    float16 a = (float16)(0.0f), b = a, c = a, e = a;
    for (uint d = 0; d < D; d++) {
        float16 v = vload16(d, panel);
        a = fma((float16)(x[d]), v, a);
        b = fma((float16)(x[d + step]), v, b);
        c = fma((float16)(x[d + 2 * step]), v, c);
        e = fma((float16)(x[d + 3 * step]), v, e);
    }
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = e;
}

/* piece[d] goes on with four queries, ascending. */
inline void chain4(float16 *piece, const float16 w[4], __global const float *x, ulong step, uint D)
{
    float16 a = w[0], b = w[1], c = w[2], e = w[3];
    for (uint d = 0; d < D; d++) {
        float16 s = fma(a, (float16)(x[d]), piece[d]);
        s = fma(b, (float16)(x[d + step]), s);
        s = fma(c, (float16)(x[d + 2 * step]), s);
        piece[d] = fma(e, (float16)(x[d + 3 * step]), s);
    }
}

/* A panel may hold keys of several sequences: at row i those lanes take part that lie in i's sequence and not behind i. */
KERNEL void attend_grad_kv(IN(float, q), ulong q_step, IN(float, dy), ulong dy_step, IN(float, stat), IN(int, pos), IN(float, kt),
                           IN(float, vt), IN(float, delta), OUT(float, dk), OUT(float, dv), uint T, uint H, uint D)
{
    uint g = get_global_id(0), G = get_global_size(0), panel = get_global_id(1), row0 = panel * 16, group = H / G;
    uint n_lane = min(T - row0, 16u);
    float16 tk[MOST_D], tv[MOST_D], pk[MOST_D], pv[MOST_D];
    int16 fresh = (int16)(-1), key = (int16)((int)row0) + LANES;
    ulong at = ((ulong)panel * G + g) * D * 16;
    pos += pos_off;
    q += q_off;
    dy += dy_off;
    for (uint d = 0; d < D; d++)
        tk[d] = tv[d] = pk[d] = pv[d] = (float16)(0.0f);
    for (uint h = g * group; h < (g + 1) * group; h++)
        for (uint i = row0; i < T;) {
            int start = (int)i - pos[i];
            if (start >= (int)(row0 + n_lane))
                break; /* a later sequence: no key of ours */
            __global const float *st = stat + stat_off + ((ulong)i * H + h) * 2, *del = delta + delta_off + (ulong)i * H + h;
            __global const float *qi = q + i * q_step + (ulong)h * D, *di = dy + i * dy_step + (ulong)h * D;
            int16 on = key >= start && key <= (int)i;
            uint n = 1;
            if (all(on) && i + 3 < T && pos[i + 3] == pos[i] + 3 && pos[i] % KEYS < KEYS - 3) {
                float16 p[4], ds[4];
                dots4(qi, q_step, kt + kt_off + at, D, p);
                dots4(di, dy_step, vt + vt_off + at, D, ds);
                for (uint j = 0; j < 4; j++) {
                    p[j] = canon16_exp(p[j] - st[j * H * 2]) * (1.0f / st[j * H * 2 + 1]);
                    ds[j] = p[j] * (ds[j] - del[j * H]);
                }
                chain4(pk, ds, qi, q_step, D);
                chain4(pv, p, di, dy_step, D);
                n = 4;
            } else {
                float16 p, ds;
                weights16(qi, di, kt + kt_off + at, vt + vt_off + at, D, st[0], 1.0f / st[1], del[0], &p, &ds);
                for (uint d = 0; d < D; d++) {
                    pk[d] = select(pk[d], fma(ds, (float16)(qi[d]), pk[d]), on);
                    pv[d] = select(pv[d], fma(p, (float16)(di[d]), pv[d]), on);
                }
            }
            i += n;
            if (pos[i - 1] % KEYS == KEYS - 1 || i == T || pos[i] == 0) {
                end_piece16(tk, pk, D, on, fresh);
                end_piece16(tv, pv, D, on, fresh);
                fresh = fresh && !on;
            }
        }
    dk += dk_off + ((ulong)row0 * G + g) * D;
    dv += dv_off + ((ulong)row0 * G + g) * D;
    store_lanes(dk, (ulong)G * D, tk, D, n_lane);
    store_lanes(dv, (ulong)G * D, tv, D, n_lane);
}
