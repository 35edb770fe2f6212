/* SPDX-License-Identifier: Apache-2.0
 * Draws operands from Philox, keyed by seed, call, operand and item, so that a failing case is made again by its
 * numbers.
 */
#include "chip/conform_data.h"

#include <string.h>

#include "num/bits.h"
#include "num/dtype.h"
#include "num/philox.h"

const char *sv_data_name(sv_data_kind kind)
{
    static const char *const name[] = { "normal", "special", "cancel", "wide", "zero" };
    return (unsigned)kind < SV_DATA_COUNT ? name[kind] : "?";
}

static const uint32_t special[] = {
    0x00000000, 0x80000000, 0x00000000, 0x80000000, /* zeros are frequent: their signs are what padding breaks */
    0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00400000, 0x00800000, 0x80800000,
    0x00012345,                                                                         /* around the least normal */
    0x3f800000, 0xbf800000, 0x3f800001, 0x3f7fffff, 0x4b000000, 0x4b7fffff, 0xcb800001, /* 1 and 2^23, 2^24 */
    0x7e967699, 0xfe967699, 0x7f7fffff, 0xff7fffff,                                     /* 1e38 and the largest */
    0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001,
};
#define N_SPECIAL (sizeof special / sizeof *special)
#define N_TAME 19 /* the first ones leave most results finite */

/* Tiny numbers of both signs, or none above zero: by the row's own draw. */
static float draw_zero(const sv_data_key *key, uint64_t row, const sv_philox *w)
{
    sv_philox style = sv_philox_at(key->seed, SV_STREAM_TEST, key->call ^ 0x40000000u, key->operand, (uint32_t)row);
    if (style.w[0] % 2 == 0)
        return sv_bits_f32(w->w[1] % 4 == 0 ? w->w[0] & 0x80000000u : (w->w[2] % 28u) << 23 | (w->w[0] & 0x807fffffu));
    return w->w[1] % 2 == 0 ? -0.0f : w->w[1] % 8 == 1 ? -1.0f : sv_bits_f32(0x80000000u | w->w[0] >> 7);
}

static float draw(sv_data_kind kind, const sv_data_key *key, uint64_t index, uint64_t row)
{
    sv_philox w = sv_philox_at(key->seed, SV_STREAM_TEST, key->call, key->operand << 8 | (uint32_t)(index >> 32 & 255u),
                               (uint32_t)index);
    float normal[2];
    sv_philox_normals(w.w[0], w.w[1], normal);
    switch (kind) {
    case SV_DATA_SPECIAL:
        if (w.w[2] % 4 == 0)
            return sv_bits_f32(special[w.w[3] % N_TAME]);
        if (w.w[2] % 64 == 1)
            return sv_bits_f32(special[w.w[3] % N_SPECIAL]);
        return normal[0];
    case SV_DATA_CANCEL: { /* +v, -(v + little): the pair shares its draw */
        sv_philox pair =
            sv_philox_at(key->seed, SV_STREAM_TEST, key->call ^ 0x80000000u, key->operand, (uint32_t)(index / 2));
        float v = 1024.0f * (sv_philox_uniform(pair.w[0]) + 0.5f);
        return index % 2 == 0 ? v : -v + normal[0] * 0x1p-10f;
    }
    case SV_DATA_ZERO:
        return draw_zero(key, row, &w);
    case SV_DATA_WIDE:
        return sv_bits_f32((w.w[2] % 121u + 67u) << 23 | (w.w[3] & 0x807fffffu));
    default:
        return normal[0];
    }
}

static float draw_scale(sv_data_kind kind, const sv_data_key *key, uint64_t block)
{
    sv_data_key k = { key->seed, key->call, key->operand + 64 };
    float s = draw(SV_DATA_NORMAL, &k, block, 0) * 0.125f;
    sv_philox w = sv_philox_at(key->seed, SV_STREAM_TEST, key->call, key->operand + 128, (uint32_t)block);
    if (kind == SV_DATA_SPECIAL && w.w[0] % 4 == 0) {
        static const float odd[] = { 0.0f, -0.0f, 0x1p-24f, -0x1p-20f, 65504.0f, 0x1p-14f };
        s = odd[w.w[1] % 6];
        if (w.w[2] % 128 < 2) /* seldom: what they touch is compared as NaN alone */
            s = w.w[2] % 128 ? __builtin_inff() : __builtin_nanf("");
    }
    return s;
}

/* Where a block type keeps f16 scales: byte offsets; the other bytes are codes of the whole range. */
static uint32_t scale_places(sv_dtype t, uint32_t place[2])
{
    place[0] = 0;
    place[1] = 2;
    switch (t) {
    case SV_DT_Q8_0:
    case SV_DT_Q4_0:
    case SV_DT_Q5_0:
        return 1;
    case SV_DT_Q6_K:
        place[0] = 208;
        return 1;
    default: /* Q4_1, Q5_1, Q4_K, Q5_K */
        return 2;
    }
}

static void fill_block(uint8_t *b, sv_dtype t, sv_data_kind kind, const sv_data_key *key, uint64_t block)
{
    uint32_t bytes = sv_dtype_block_bytes(t), place[2];
    for (uint32_t i = 0; i < bytes; i += 4) {
        sv_philox w = sv_philox_at(key->seed, SV_STREAM_TEST, key->call, key->operand << 8 | i / 4, (uint32_t)block);
        uint32_t word = w.w[0];
        if (kind == SV_DATA_CANCEL) /* all at the ends of the range: the largest sums */
            word = block % 2 == 0 ? 0x7f7f7f7fu : 0x80808080u;
        memcpy(b + i, &word, bytes - i < 4 ? bytes - i : 4);
    }
    if (t == SV_DT_Q8X) { /* no code is -128: the quantiser never makes one */
        int32_t sum = 0;
        for (uint32_t i = 8; i < 40; i++) {
            int8_t code = (int8_t)b[i];
            code = code == -128 ? -127 : code;
            b[i] = (uint8_t)code;
            sum += code;
        }
        sv_store_u32(b, sv_bits_u32(draw_scale(kind, key, block)));
        sv_store_u32(b + 4, (uint32_t)sum);
        return;
    }
    uint32_t n = scale_places(t, place);
    for (uint32_t i = 0; i < n; i++)
        sv_store_u16(b + place[i], sv_f16_narrow(draw_scale(kind, key, 2 * block + i)));
}

uint64_t sv_data_units(const sv_tensor *t)
{
    return sv_tensor_items(t) / sv_dtype_block_items(t->dtype);
}

uint64_t sv_data_offset(const sv_tensor *t, uint64_t index)
{
    if (sv_dtype_is_block(t->dtype))
        return index * sv_dtype_block_bytes(t->dtype);
    uint64_t off = 0;
    for (uint32_t i = t->n_dim; i-- > 0;) {
        off += index % t->dim[i] * t->stride[i];
        index /= t->dim[i];
    }
    return off * sv_dtype_block_bytes(t->dtype);
}

void sv_data_fill(const sv_tensor *t, sv_data_kind kind, const sv_data_key *key)
{
    uint8_t *base = sv_tensor_host(t);
    uint64_t n = sv_data_units(t), width = t->n_dim > 0 ? t->dim[t->n_dim - 1] : 1;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *p = base + sv_data_offset(t, i);
        switch (t->dtype) {
        case SV_DT_F32:
            sv_store_u32(p, sv_bits_u32(draw(kind, key, i, i / width)));
            break;
        case SV_DT_BF16:
            sv_store_u16(p, sv_bf16_narrow(draw(kind, key, i, i / width)));
            break;
        case SV_DT_F16:
            sv_store_u16(p, sv_f16_narrow(draw(kind, key, i, i / width)));
            break;
        case SV_DT_I32:
        case SV_DT_I64:
        case SV_DT_U8:
        case SV_DT_BOOL:
            memset(p, 0, sv_dtype_block_bytes(t->dtype));
            break;
        default:
            fill_block(p, t->dtype, kind, key, i);
        }
    }
}

void sv_data_canonical(const sv_tensor *t)
{
    uint8_t *base = sv_tensor_host(t);
    uint64_t n = sv_data_units(t);
    bool words = t->dtype == SV_DT_F32 || t->dtype == SV_DT_Q8X;
    uint32_t inf = t->dtype == SV_DT_BF16 ? 0x7f80u : 0x7c00u, nan = t->dtype == SV_DT_BF16 ? 0x7fc0u : 0x7e00u;
    if ((!words && t->dtype != SV_DT_BF16 && t->dtype != SV_DT_F16) || t->image != SV_IMAGE_PLAIN)
        return; /* images are copies of bytes */
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *p = base + sv_data_offset(t, i);
        if (words)
            sv_store_u32(p, sv_bits_canonical(sv_load_u32(p)));
        else if ((sv_load_u16(p) & 0x7fffu) > inf)
            sv_store_u16(p, (uint16_t)nan);
    }
}
