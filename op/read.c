/* SPDX-License-Identifier: Apache-2.0
 * Reading operands of every type and layout, one item at a time: the reference has no need to be fast, only to be
 * plain.
 */
#include "op/read.h"

#include "num/kblock.h"

void sv_read_kblock(const sv_tensor *t, uint32_t n, uint32_t kb, sv_kblock *k)
{
    const uint8_t *p = sv_tensor_host(t);
    uint32_t n_block = t->dim[1] / SV_K_ITEMS;
    if (t->image == SV_IMAGE_PLAIN)
        sv_kblock_open(t->dtype, p + ((uint64_t)n * n_block + kb) * sv_dtype_block_bytes(t->dtype), k);
    else
        sv_kblock_get(t->dtype, p + sv_image_k_block(n, kb * SV_K_ITEMS, t->dim[1]) * sv_image_block_bytes(t->dtype), n,
                      k);
}

void sv_read_kblocks(const sv_tensor *t, uint32_t n, sv_kblock *out)
{
    for (uint32_t kb = 0; kb < t->dim[1] / SV_K_ITEMS; kb++)
        sv_read_kblock(t, n, kb, &out[kb]);
}

/* The file's block of (n, block kb), rebuilt from a packed layout. */
static void unpack_block(const sv_tensor *t, uint32_t n, uint32_t kb, uint8_t *block)
{
    if (sv_dtype_is_k(t->dtype)) {
        sv_kblock k;
        sv_read_kblock(t, n, kb, &k);
        sv_kblock_close(t->dtype, &k, block);
        return;
    }
    uint32_t K = t->dim[1], k0 = kb * SV_BLOCK_ITEMS;
    const uint8_t *p = sv_tensor_host(t);
    p += sv_image_block(n, k0, K) * sv_image_block_bytes(t->dtype);
    if (t->image == SV_IMAGE_S8) {
        memcpy(block, p + SV_S8_SCALE + sv_image_scale(n), 2);
        for (uint32_t k = 0; k < SV_BLOCK_ITEMS; k++)
            block[2 + k] = p[sv_image_s8_code(n, k)];
        return;
    }
    uint8_t *q = block + 2;
    memcpy(block, p + SV_S4_SCALE + sv_image_scale(n), 2);
    if (t->image == SV_IMAGE_A4) {
        memcpy(block + 2, p + SV_A4_MIN + sv_image_scale(n), 2);
        q = block + 4;
    }
    for (uint32_t j = 0; j < 16; j++) {
        unsigned lo = p[sv_image_s4_code(n, j)] >> sv_image_s4_shift(j) & 15u;
        unsigned hi = p[sv_image_s4_code(n, j + 16)] >> sv_image_s4_shift(j + 16) & 15u;
        q[j] = (uint8_t)(lo | hi << 4);
    }
}

void sv_read_row(const sv_tensor *t, uint32_t n, float *out)
{
    uint32_t K = t->dim[1], bytes = sv_dtype_block_bytes(t->dtype), items = sv_dtype_block_items(t->dtype);
    const uint8_t *base = sv_tensor_host(t);
    if (t->image == SV_IMAGE_P16) {
        for (uint32_t k = 0; k < K; k++)
            out[k] = sv_load_float(t->dtype, base + sv_image_p16(n, k, K) * bytes);
        return;
    }
    if (items == 1) {
        for (uint32_t k = 0; k < K; k++)
            out[k] = sv_load_float(t->dtype, base + (n * t->stride[0] + k) * bytes);
        return;
    }
    for (uint32_t k = 0; k < K; k += items) {
        uint8_t block[256];
        const uint8_t *p = block;
        if (t->image == SV_IMAGE_PLAIN)
            p = base + (n * t->stride[0] + k) / items * bytes;
        else
            unpack_block(t, n, k / items, block);
        sv_dtype_dequant_block(t->dtype, p, out + k);
    }
}

void sv_read_all(const sv_tensor *t, float *out)
{
    for (uint32_t n = 0; n < t->dim[0]; n++)
        sv_read_row(t, n, out + (uint64_t)n * t->dim[1]);
}

void sv_read_codes(const sv_tensor *t, uint32_t n, int8_t *code, float *scale, float *min)
{
    uint32_t n_block = t->dim[1] / SV_BLOCK_ITEMS, bytes = sv_dtype_block_bytes(t->dtype);
    const uint8_t *base = sv_tensor_host(t);
    for (uint32_t kb = 0; kb < n_block; kb++, code += SV_BLOCK_ITEMS) {
        uint8_t block[64];
        if (t->image == SV_IMAGE_PLAIN)
            memcpy(block, base + ((uint64_t)n * n_block + kb) * bytes, bytes);
        else
            unpack_block(t, n, kb, block);
        scale[kb] = sv_dtype_scale_f16(block);
        if (t->dtype == SV_DT_Q8_0) {
            memcpy(code, block + 2, SV_BLOCK_ITEMS);
            continue;
        }
        bool has_min = t->dtype == SV_DT_Q4_1;
        const uint8_t *q = block + (has_min ? 4 : 2);
        if (has_min)
            min[kb] = sv_dtype_scale_f16(block + 2);
        for (uint32_t j = 0; j < 16; j++) {
            code[j] = (int8_t)((q[j] & 15) - (has_min ? 0 : 8));
            code[j + 16] = (int8_t)((q[j] >> 4) - (has_min ? 0 : 8));
        }
    }
}
