/* SPDX-License-Identifier: Apache-2.0
 * Rows by index, copies, casts, rotations. What is moved is moved as integers, so that no bit of a NaN changes.
 */

/* y[w] = x[idx[w]], or y[idx[w]] = x[w] with `scatter`; words of 2 or 4 bytes. A work-item moves up to 256 columns. */
#define MOVE_ROWS(name, type) \
    KERNEL void name(IN(type, x), ulong x_step, IN(int, idx), OUT(type, y), uint width, uint scatter) \
    { \
        uint c0 = get_global_id(0) * 256, c1 = min(c0 + 256, width); \
        ulong w = get_global_id(1), at = (ulong)idx[idx_off + w]; \
        x += x_off + (scatter ? w : at) * x_step; \
        y += y_off + (scatter ? at : w) * width; \
        for (uint c = c0; c < c1; c++) \
            y[c] = x[c]; \
    } \
    KERNEL void copy_##name(IN(type, x), ulong x_step, OUT(type, y), uint width) \
    { \
        uint c0 = get_global_id(0) * 256, c1 = min(c0 + 256, width); \
        x += x_off + get_global_id(1) * x_step; \
        y += y_off + get_global_id(1) * (ulong)width; \
        for (uint c = c0; c < c1; c++) \
            y[c] = x[c]; \
    }

MOVE_ROWS(rows_4, uint)
MOVE_ROWS(rows_2, ushort)

KERNEL void fill_4(OUT(uint, y), ulong n, uint word)
{
    ulong c0 = get_global_id(0) * 1024, c1 = min(c0 + 1024, n);
    y += y_off;
    for (ulong c = c0; c < c1; c++)
        y[c] = word;
}

/* Rows of a table, widened. */
#define EMBED(T) \
    KERNEL void embed_##T(IN(int, tok), IN(TYPE_##T, table), ulong step, OUT(float, y), uint D) \
    { \
        uint c0 = get_global_id(0) * 256, c1 = min(c0 + 256, D); \
        table += table_off + (ulong)tok[tok_off + get_global_id(1)] * step; \
        y += y_off + get_global_id(1) * (ulong)D; \
        for (uint c = c0; c < c1; c += 16) \
            store(y + c, LOAD_##T(table + c, c1 - c), c1 - c); \
    }

EMBED(f32)
EMBED(bf16)
EMBED(f16)

/* The same from a table of Q8_0 blocks, in the file's order or in panels (S8): f32 values d q. A work-item does a block. */
KERNEL void embed_q8_0(IN(int, tok), IN(uchar, table), OUT(float, y), uint n_block, uint panels)
{
    uint b = get_global_id(0), n = tok[tok_off + get_global_id(1)];
    table += table_off;
    y += y_off + (get_global_id(1) * (ulong)n_block + b) * 32;
    ulong at = panels ? ((ulong)(n / 32) * n_block + b) * 1088 : ((ulong)n * n_block + b) * 34;
    __global const uchar *s = table + at + (panels ? 1024 + n % 32 * 2 : 0);
    float d = widen_f16((ushort16)((ushort)(s[0] | s[1] << 8))).s0;
    for (uint k = 0; k < 32; k++) {
        uchar q = table[at + (panels ? k / 4 * 128 + n % 32 * 4 + k % 4 : 2 + k)];
        y[k] = d * convert_float(as_char(q));
    }
}

/* dtable[tok[t]] += dy[t], t ascending: a work-item owns columns of the whole table. */
KERNEL void embed_grad(IN(int, tok), IN(float, dy), ulong dy_step, OUT(float, dtable), uint T, uint D)
{
    uint c = get_global_id(0) * 16, left = D - c;
    for (uint t = 0; t < T; t++) {
        __global float *row = dtable + dtable_off + (ulong)tok[tok_off + t] * D + c;
        store(row, load(row, left, 0.0f) + load(dy + dy_off + t * dy_step + c, left, 0.0f), left);
    }
}

/* A work-item rotates one head of one token. */
KERNEL void rope_f32(IN(float, x), ulong x_step, IN(int, pos), IN(float, table), ulong table_step, OUT(float, y), uint width,
                     uint d_head, uint inverse, float factor)
{
    uint n = d_head / 2;
    ulong row = get_global_id(1);
    x += x_off + row * x_step + get_global_id(0) * d_head;
    y += y_off + row * width + get_global_id(0) * d_head;
    table += table_off + (ulong)pos[pos_off + row] * table_step;
    for (uint i = 0; i < n; i += 16) {
        uint left = n - i;
        float16 a = load(x + i, left, 0.0f), b = load(x + n + i, left, 0.0f);
        float16 c = load(table + i, left, 0.0f), s = load(table + n + i, left, 0.0f), u, v;
        if (inverse) {
            if (factor != 1.0f) {
                a = a * factor;
                b = b * factor;
            }
            u = a * c + b * s;
            v = b * c - a * s;
        } else {
            u = a * c - b * s;
            v = b * c + a * s;
            if (factor != 1.0f) {
                u = u * factor;
                v = v * factor;
            }
        }
        store(y + i, u, left);
        store(y + n + i, v, left);
    }
}

/* f32, bf16 and f16 into each other: one rounding, to nearest even; NaN made quiet as the reference does. */
inline ushort narrow_bf16(uint u)
{
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (ushort)(u >> 16 | 0x40u);
    return (ushort)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

inline ushort narrow_f16(uint u)
{
    uint sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu, q;
    if (a > 0x7f800000u)
        return (ushort)(sign | 0x7e00u | (a >> 13 & 0x1ffu));
    if (a >= 0x47800000u)
        return (ushort)(sign | 0x7c00u);
    if (a >= 0x38800000u) {
        q = a - 0x38000000u;
        return (ushort)(sign | (q + 0xfffu + (q >> 13 & 1u)) >> 13);
    }
    if (a < 0x33000000u)
        return (ushort)sign;
    uint m = (a & 0x7fffffu) | 0x800000u, shift = 126u - (a >> 23), half_ulp = 1u << (shift - 1u);
    uint rest = m & ((1u << shift) - 1u);
    q = m >> shift;
    q += rest > half_ulp || (rest == half_ulp && (q & 1u)) ? 1u : 0u;
    return (ushort)(sign | q);
}

#define CAST(from, to, out, expr) \
    KERNEL void cast_##from##_##to(IN(TYPE_##from, x), ulong x_step, OUT(out, y), uint width) \
    { \
        uint c0 = get_global_id(0) * 256, c1 = min(c0 + 256, width); \
        x += x_off + get_global_id(1) * x_step; \
        y += y_off + get_global_id(1) * (ulong)width; \
        for (uint c = c0; c < c1; c += 16) { \
            uint t[16], left = min(c1 - c, 16u); \
            vstore16(as_uint16(LOAD_##from(x + c, left)), 0, t); \
            for (uint i = 0; i < left; i++) { \
                uint u = t[i]; \
                y[c + i] = expr; \
            } \
        } \
    }

CAST(bf16, f32, uint, u)
CAST(f16, f32, uint, u)
CAST(f32, bf16, ushort, narrow_bf16(u))
CAST(f32, f16, ushort, narrow_f16(u))
