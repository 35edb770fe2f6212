/* SPDX-License-Identifier: Apache-2.0
 * Which calls the cpu kernels take: shapes and strides they can walk. What they refuse, the reference runs.
 */
#include "chips/cpu/takes.h"
#include "chips/cpu/cpu.h"

static bool is_rows(const sv_tensor *t)
{
    sv_cpu_rows r;
    return sv_cpu_as_rows(t, &r) && r.n_row <= UINT32_MAX;
}

static bool is_f32_rows(const sv_tensor *t)
{
    return t->dtype == SV_DT_F32 && t->image == SV_IMAGE_PLAIN && is_rows(t);
}

static bool is_float(sv_dtype t)
{
    return t == SV_DT_F32 || t == SV_DT_BF16 || t == SV_DT_F16;
}

bool sv_cpu_takes_matmul(const sv_call *call)
{
    const sv_attr_matmul *attr = call->attr;
    const sv_tensor *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    if (!is_f32_rows(y))
        return false;
    if (attr->layout == SV_TN)
        return is_f32_rows(a) && is_f32_rows(b) && sv_cpu_is_dense(&call->in[2]);
    if (a->dtype == SV_DT_Q8X)
        return b->image != SV_IMAGE_PLAIN;
    if (!is_f32_rows(a) || !is_float(b->dtype))
        return false;
    if (attr->layout == SV_NT && b->image == SV_IMAGE_P16)
        return true;
    return b->image == SV_IMAGE_PLAIN && is_rows(b);
}

/* From the file's layout to an image; the way back is rare and runs by the reference. */
bool sv_cpu_takes_pack(const sv_call *call)
{
    return call->in[0].image == SV_IMAGE_PLAIN && call->out[0].image != SV_IMAGE_PLAIN;
}

/* Heads are whole panels, and scores are one chunk. */
bool sv_cpu_takes_attend(const sv_call *call)
{
    uint32_t k = ((const sv_attr_attend *)call->attr)->d_head;
    return k % 16 == 0 && k <= SV_DOT_CHUNK;
}
