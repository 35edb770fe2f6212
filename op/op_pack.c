/* SPDX-License-Identifier: Apache-2.0
 * pack - a weight in the layout that a kernel wants, or back.
 *
 *     y = w in the layout attr.image
 *
 * shape    w [N,K] in any layout of its type -> y [N,K], same type
 * dtype    P16: f32, bf16, f16; S8: q8_0; S4: q4_0; A4: q4_1; K4, K5, K6: q4_k, q5_k, q6_k; plain: any of these
 *          (unpacks)
 * arith    A-32: bytes are moved; spare columns of the last panel are zero bytes, so that images can be compared and
 *          hashed
 */
#include "num/kblock.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    const uint32_t takes = SV_TAKES_FLOAT | SV_TAKES(Q8_0) | SV_TAKES(Q4_0) | SV_TAKES(Q4_1) | SV_TAKES_K;
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check_weight(&in[0], "w", takes));
    uint32_t image = ((const sv_attr_pack *)attr)->image;
    if (image > SV_IMAGE_K6)
        return sv_fail(SV_E_ARG, "image is %u; allowed: 0 to %d", image, SV_IMAGE_K6);
    sv_tensor want = sv_tensor_make(in[0].dtype, 2, in[0].dim);
    want.image = (uint8_t)image;
    SV_TRY(sv_check_weight(&want, "y", takes));
    if (out[0].n_dim != 0 &&
        (out[0].image != image || out[0].dtype != want.dtype || !sv_tensor_same_shape(&out[0], &want)))
        return sv_fail(SV_E_SHAPE, "output y is %s; it must be %s", sv_tensor_text(&out[0]), sv_tensor_text(&want));
    if (out[0].n_dim == 0)
        out[0] = want;
    return SV_OK;
}

/* Where the bytes of a float item or of a block's parts lie in each layout. */
static uint8_t *item_at(const sv_tensor *t, uint32_t n, uint32_t k)
{
    uint64_t i = t->image == SV_IMAGE_P16 ? sv_image_p16(n, k, t->dim[1]) : n * t->stride[0] + k;
    return (uint8_t *)sv_tensor_host(t) + i * sv_dtype_block_bytes(t->dtype);
}

static void move_floats(const sv_tensor *w, const sv_tensor *y)
{
    uint32_t bytes = sv_dtype_block_bytes(w->dtype);
    for (uint32_t n = 0; n < w->dim[0]; n++)
        for (uint32_t k = 0; k < w->dim[1]; k++)
            memcpy(item_at(y, n, k), item_at(w, n, k), bytes);
}

/* The block of (n, kb): its bytes in a plain tensor, or the panel block that holds it. */
static uint8_t *block_at(const sv_tensor *t, uint32_t n, uint32_t kb)
{
    uint32_t K = t->dim[1];
    uint8_t *base = sv_tensor_host(t);
    if (t->image == SV_IMAGE_PLAIN)
        return base + ((uint64_t)n * (K / 32) + kb) * sv_dtype_block_bytes(t->dtype);
    return base + sv_image_block(n, kb * 32, K) * sv_image_block_bytes(t->dtype);
}

static uint32_t get_code(const sv_tensor *t, const uint8_t *block, uint32_t n, uint32_t k)
{
    uint32_t head = t->dtype == SV_DT_Q4_1 ? 4 : 2;
    if (t->dtype == SV_DT_Q8_0)
        return block[t->image == SV_IMAGE_PLAIN ? head + k : sv_image_s8_code(n, k)];
    if (t->image == SV_IMAGE_PLAIN)
        return block[head + k % 16] >> (k < 16 ? 0 : 4) & 15u;
    return block[sv_image_s4_code(n, k)] >> sv_image_s4_shift(k) & 15u;
}

/* Codes are ORed in: the destination was cleared. */
static void put_code(const sv_tensor *t, uint8_t *block, uint32_t n, uint32_t k, uint32_t code)
{
    uint32_t head = t->dtype == SV_DT_Q4_1 ? 4 : 2, at, shift = 0;
    if (t->dtype == SV_DT_Q8_0) {
        at = t->image == SV_IMAGE_PLAIN ? head + k : sv_image_s8_code(n, k);
    } else if (t->image == SV_IMAGE_PLAIN) {
        at = head + k % 16;
        shift = k < 16 ? 0 : 4;
    } else {
        at = sv_image_s4_code(n, k);
        shift = sv_image_s4_shift(k);
    }
    block[at] = (uint8_t)(block[at] | code << shift);
}

/* The f16 scale (which = 0) or minimum (1) of column n in its block. */
static uint8_t *scale_at(const sv_tensor *t, uint8_t *block, uint32_t n, uint32_t which)
{
    if (t->image == SV_IMAGE_PLAIN)
        return block + 2 * which;
    return block + (t->image == SV_IMAGE_S8 ? SV_S8_SCALE : which ? SV_A4_MIN : SV_S4_SCALE) + sv_image_scale(n);
}

static void move_blocks(const sv_tensor *w, const sv_tensor *y)
{
    for (uint32_t n = 0; n < w->dim[0]; n++)
        for (uint32_t kb = 0; kb < w->dim[1] / 32; kb++) {
            uint8_t *src = block_at(w, n, kb), *dst = block_at(y, n, kb);
            for (uint32_t which = 0; which < (w->dtype == SV_DT_Q4_1 ? 2u : 1u); which++)
                memcpy(scale_at(y, dst, n, which), scale_at(w, src, n, which), 2);
            for (uint32_t k = 0; k < 32; k++)
                put_code(y, dst, n, k, get_code(w, src, n, k));
        }
}

static void move_kblocks(const sv_tensor *w, const sv_tensor *y)
{
    uint32_t K = y->dim[1], bytes = sv_dtype_block_bytes(y->dtype);
    uint8_t *base = sv_tensor_host(y);
    for (uint32_t n = 0; n < w->dim[0]; n++)
        for (uint32_t kb = 0; kb < K / SV_K_ITEMS; kb++) {
            sv_kblock k;
            sv_read_kblock(w, n, kb, &k);
            if (y->image == SV_IMAGE_PLAIN)
                sv_kblock_close(y->dtype, &k, base + ((uint64_t)n * (K / SV_K_ITEMS) + kb) * bytes);
            else
                sv_kblock_put(y->dtype, &k,
                              base + sv_image_k_block(n, kb * SV_K_ITEMS, K) * sv_image_block_bytes(y->dtype), n);
        }
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    uint64_t bytes = 0;
    if (sv_tensor_bytes(&call->out[0], &bytes) != SV_OK || bytes == 0)
        return;
    memset(sv_tensor_host(&call->out[0]), 0, bytes);
    if (SV_TAKES_FLOAT >> call->in[0].dtype & 1u)
        move_floats(&call->in[0], &call->out[0]);
    else if (sv_dtype_is_k(call->in[0].dtype))
        move_kblocks(&call->in[0], &call->out[0]);
    else
        move_blocks(&call->in[0], &call->out[0]);
}

static const uint32_t case_rows[] = { 1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100 };

static uint32_t case_k(uint32_t i, sv_case *c)
{
    if (i >= 3 * 12)
        return 0;
    uint32_t kind = i % 3;
    bool back = i / 3 % 3 == 2;
    sv_tensor *w = SV_CASE_IN2(c, (sv_dtype)(SV_DT_Q4_K + kind), case_rows[i / 3], 256 * (1 + i / 3 % 5));
    w->image = (uint8_t)(back ? SV_IMAGE_K4 + kind : SV_IMAGE_PLAIN);
    c->has_attr = true;
    c->attr.pack.image = back ? SV_IMAGE_PLAIN : SV_IMAGE_K4 + kind;
    sv_case_name(c, "%s to image %u", sv_tensor_text(w), c->attr.pack.image);
    return 1;
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t cols[] = { 1, 3, 8, 16, 31, 64, 257, 5, 33 };
    static const sv_dtype type[] = { SV_DT_F32, SV_DT_BF16, SV_DT_F16, SV_DT_Q8_0, SV_DT_Q4_0, SV_DT_Q4_1 };
    static const sv_image image[] = { SV_IMAGE_P16, SV_IMAGE_P16, SV_IMAGE_P16, SV_IMAGE_S8, SV_IMAGE_S4, SV_IMAGE_A4 };
    if (i >= 6 * 12)
        return case_k(i - 6 * 12, c);
    uint32_t kind = i % 6, N = case_rows[i / 6], K = kind < 3 ? cols[(i / 6 + kind) % 9] : 32 * (1 + i / 6 % 5);
    bool back = i / 6 % 3 == 2;
    sv_tensor *w = SV_CASE_IN2(c, type[kind], N, K);
    if (back)
        w->image = (uint8_t)image[kind];
    else if (kind < 3 && i / 6 % 4 == 1)
        sv_case_gap(w, 17);
    c->has_attr = true;
    c->attr.pack.image = back ? SV_IMAGE_PLAIN : image[kind];
    sv_case_name(c, "%s to image %u, gap %u", sv_tensor_text(w), c->attr.pack.image, (unsigned)(w->stride[0] - K));
    return 1;
}

const sv_opspec sv_opspec_pack = {
    .name = "pack",
    .formula = "y = w in the layout attr.image",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_MOVE,
    .attr_bytes = sizeof(sv_attr_pack),
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
