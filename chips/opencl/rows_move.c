/* SPDX-License-Identifier: Apache-2.0
 * Rows of the OpenCL chip that move, widen, narrow or rotate (kernels/move.cl).
 */
#include <string.h>

#include "chips/opencl/rows.h"

#define SPAN 256 /* columns of a work-item, as in move.cl */

static uint64_t spans_of(uint32_t width)
{
    return ((uint64_t)width + SPAN - 1) / SPAN;
}
static bool is_float(sv_dtype t)
{
    return t == SV_DT_F32 || t == SV_DT_BF16 || t == SV_DT_F16;
}

bool ocl_embed_takes(const sv_call *call)
{
    const sv_tensor *table = &call->in[1];
    if (table->dtype == SV_DT_Q8_0)
        return table->image == SV_IMAGE_PLAIN || table->image == SV_IMAGE_S8;
    return is_float(table->dtype) && table->image == SV_IMAGE_PLAIN;
}

sv_err ocl_embed(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *table = &call->in[1];
    uint32_t T = call->in[0].dim[0], D = table->dim[1];
    bool blocks = table->dtype == SV_DT_Q8_0;
    ocl_launch l = ocl_begin(q, blocks                       ? OCL_K_embed_q8_0
                                : table->dtype == SV_DT_F32  ? OCL_K_embed_f32
                                : table->dtype == SV_DT_BF16 ? OCL_K_embed_bf16
                                                             : OCL_K_embed_f16);
    ocl_tensor(&l, &call->in[0]);
    ocl_tensor(&l, table);
    if (!blocks)
        ocl_u64(&l, table->stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, blocks ? D / 32 : D);
    if (blocks)
        ocl_u32(&l, table->image == SV_IMAGE_S8);
    return ocl_go(&l, blocks ? D / 32 : spans_of(D), T, 1);
}

sv_err ocl_embed_grad(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *dy = &call->in[1];
    ocl_launch l = ocl_begin(q, OCL_K_embed_grad);
    ocl_tensor(&l, &call->in[0]);
    ocl_tensor(&l, dy);
    ocl_u64(&l, dy->stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, dy->dim[0]);
    ocl_u32(&l, dy->dim[1]);
    return ocl_go(&l, dy->dim[0] > 0 ? ((uint64_t)dy->dim[1] + 15) / 16 : 0, 1, 1);
}

static sv_err move_rows(sv_queue *q, const sv_call *call, uint64_t n, uint32_t scatter)
{
    const sv_tensor *x = &call->in[0];
    ocl_launch l = ocl_begin(q, sv_dtype_block_bytes(x->dtype) == 4 ? OCL_K_rows_4 : OCL_K_rows_2);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_tensor(&l, &call->in[1]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, x->dim[1]);
    ocl_u32(&l, scatter);
    return ocl_go(&l, spans_of(x->dim[1]), n, 1);
}

sv_err ocl_gather_rows(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    return move_rows(q, call, call->in[1].dim[0], 0);
}

static sv_err fill(sv_queue *q, const sv_tensor *y, uint32_t word)
{
    uint64_t n = sv_tensor_items(y);
    ocl_launch l = ocl_begin(q, OCL_K_fill_4);
    ocl_tensor(&l, y);
    ocl_u64(&l, n);
    ocl_u32(&l, word);
    return ocl_go(&l, (n + 1023) / 1024, 1, 1);
}

sv_err ocl_scatter_rows(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    sv_err err = fill(q, &call->out[0], 0);
    return err != SV_OK ? err : move_rows(q, call, call->in[0].dim[0], 1);
}

sv_err ocl_fill(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    uint32_t word;
    memcpy(&word, &((const sv_attr_fill *)call->attr)->value, sizeof word);
    return fill(q, &call->out[0], word);
}

static sv_err by_rows(sv_queue *q, ocl_kernel_id id, const sv_call *call)
{
    ocl_rows r;
    ocl_as_rows(&call->in[0], &r);
    ocl_launch l = ocl_begin(q, id);
    ocl_tensor(&l, &call->in[0]);
    ocl_u64(&l, r.stride);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, r.width);
    return ocl_go(&l, spans_of(r.width), r.n, 1);
}

bool ocl_copy_takes(const sv_call *call)
{
    ocl_rows r;
    uint32_t bytes = sv_dtype_block_bytes(call->in[0].dtype);
    return (bytes == 4 || bytes == 2) && sv_dtype_block_items(call->in[0].dtype) == 1 && ocl_as_rows(&call->in[0], &r);
}

sv_err ocl_copy_row(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    return by_rows(q, sv_dtype_block_bytes(call->in[0].dtype) == 4 ? OCL_K_copy_rows_4 : OCL_K_copy_rows_2, call);
}

static bool cast_kernel(sv_dtype from, sv_dtype to, ocl_kernel_id *id)
{
    static const struct {
        sv_dtype from, to;
        ocl_kernel_id id;
    } known[] = {
        { SV_DT_BF16, SV_DT_F32, OCL_K_cast_bf16_f32 },
        { SV_DT_F16, SV_DT_F32, OCL_K_cast_f16_f32 },
        { SV_DT_F32, SV_DT_BF16, OCL_K_cast_f32_bf16 },
        { SV_DT_F32, SV_DT_F16, OCL_K_cast_f32_f16 },
    };
    for (uint32_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].from == from && known[i].to == to) {
            *id = known[i].id;
            return true;
        }
    return false;
}

bool ocl_cast_takes(const sv_call *call)
{
    ocl_rows r;
    ocl_kernel_id id;
    return cast_kernel(call->in[0].dtype, call->out[0].dtype, &id) && ocl_as_rows(&call->in[0], &r);
}

sv_err ocl_cast(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    ocl_kernel_id id = OCL_K_cast_f32_bf16;
    cast_kernel(call->in[0].dtype, call->out[0].dtype, &id);
    return by_rows(q, id, call);
}

sv_err ocl_rope(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_attr_rope *r = call->attr;
    const sv_tensor *x = &call->in[0], *table = &call->in[2];
    ocl_launch l = ocl_begin(q, OCL_K_rope_f32);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_tensor(&l, &call->in[1]);
    ocl_tensor(&l, table);
    ocl_u64(&l, table->stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, x->dim[1]);
    ocl_u32(&l, r->d_head);
    ocl_u32(&l, r->inverse);
    ocl_f32(&l, r->scale);
    return ocl_go(&l, x->dim[1] / r->d_head, x->dim[0], 1);
}
