/* SPDX-License-Identifier: Apache-2.0
 * Tensors without memory: making, measuring and printing their shapes.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "num/image.h"
#include "op/spec.h"

#define MOST_BYTES (1ull << 62)

void sv_tensor_dense(sv_tensor *t)
{
    uint64_t step = 1;
    for (uint32_t i = t->n_dim; i-- > 0;) {
        t->stride[i] = step;
        step *= t->dim[i];
    }
}

sv_tensor sv_tensor_make(sv_dtype dtype, uint32_t n_dim, const uint32_t *dim)
{
    sv_tensor t = { .dtype = dtype, .n_dim = n_dim };
    SV_ASSERT(n_dim <= SV_MAX_DIM);
    for (uint32_t i = 0; i < n_dim; i++)
        t.dim[i] = dim[i];
    sv_tensor_dense(&t);
    return t;
}

bool sv_tensor_same_shape(const sv_tensor *a, const sv_tensor *b)
{
    return a->n_dim == b->n_dim && memcmp(a->dim, b->dim, a->n_dim * sizeof a->dim[0]) == 0;
}

const char *sv_tensor_text(const sv_tensor *t)
{
    static _Thread_local char ring[4][96];
    static _Thread_local unsigned turn;
    static const char *const image[] = { "", " P16", " S8", " S4", " A4", " K4", " K5", " K6" };
    char *text = ring[turn++ % 4];
    size_t n = 0, cap = sizeof ring[0];
    for (const char *name = sv_dtype_name(t->dtype); *name; name++)
        text[n++] = (char)tolower((unsigned char)*name);
    n += (size_t)snprintf(text + n, cap - n, " [");
    for (uint32_t i = 0; i < t->n_dim && i < SV_MAX_DIM; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s%u", i ? ", " : "", t->dim[i]);
    snprintf(text + n, cap - n, "]%s", t->image <= SV_IMAGE_K6 ? image[t->image] : " ?");
    return text;
}

static sv_err too_large(const sv_tensor *t)
{
    return sv_fail(SV_E_LIMIT, "tensor %s: more than 2^62 bytes", sv_tensor_text(t));
}

/* Bytes of a packed weight, from counts that num/image.h defines. */
static sv_err image_bytes(const sv_tensor *t, uint64_t *out)
{
    SV_ASSERT(t->n_dim == 2 && t->image <= SV_IMAGE_K6);
    uint64_t units, unit_bytes;
    if (t->image == SV_IMAGE_P16) {
        units = ((uint64_t)t->dim[0] + SV_P16_COLS - 1) / SV_P16_COLS * t->dim[1];
        unit_bytes = SV_P16_COLS * sv_dtype_block_bytes(t->dtype);
    } else {
        uint32_t items = sv_dtype_block_items(t->dtype);
        units = ((uint64_t)t->dim[0] + SV_BLOCK_COLS - 1) / SV_BLOCK_COLS * (t->dim[1] / items);
        unit_bytes = sv_image_block_bytes(t->dtype);
    }
    if (units > MOST_BYTES / unit_bytes)
        return too_large(t);
    *out = units * unit_bytes;
    return SV_OK;
}

sv_err sv_tensor_bytes(const sv_tensor *t, uint64_t *out)
{
    uint64_t last = 0, items = sv_dtype_block_items(t->dtype), bytes = sv_dtype_block_bytes(t->dtype);
    if (t->image != SV_IMAGE_PLAIN)
        return image_bytes(t, out);
    for (uint32_t i = 0; i < t->n_dim; i++) {
        if (t->dim[i] == 0) {
            *out = 0;
            return SV_OK;
        }
        uint64_t far = t->dim[i] - 1;
        if (t->stride[i] != 0 && far > (MOST_BYTES - last) / t->stride[i])
            return too_large(t);
        last += far * t->stride[i];
    }
    uint64_t blocks = last / items + 1;
    if (blocks > MOST_BYTES / bytes)
        return too_large(t);
    *out = blocks * bytes;
    return SV_OK;
}
