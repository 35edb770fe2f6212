/* SPDX-License-Identifier: Apache-2.0
 * Products of the OpenCL chip (kernels/matmul.cl, kernels/block.cl): which kernel a shape gets. Plain weights of NT are
 * first packed into scratch, so that neighbours in memory are outputs.
 */
#include "chips/opencl/rows.h"

#define MOST_K (256u << 13) /* as deep as the kernels' HALVE stacks */
#define MOST_BLOCKS (8u << 13)

static bool is_float(sv_dtype t)
{
    return t == SV_DT_F32 || t == SV_DT_BF16 || t == SV_DT_F16;
}

static bool is_block_image(const sv_tensor *t)
{
    return (t->dtype == SV_DT_Q8_0 && t->image == SV_IMAGE_S8) || (t->dtype == SV_DT_Q4_0 && t->image == SV_IMAGE_S4) ||
           (t->dtype == SV_DT_Q4_1 && t->image == SV_IMAGE_A4);
}

bool ocl_matmul_takes(const sv_call *call)
{
    const sv_attr_matmul *m = call->attr;
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    uint32_t reduced = m->layout == SV_TN ? a->dim[0] : a->dim[1];
    if (a->dtype == SV_DT_Q8X)
        return is_block_image(b) && a->dim[1] / 32 <= MOST_BLOCKS;
    if (a->dtype != SV_DT_F32 || reduced > MOST_K)
        return false;
    if (m->layout == SV_TN)
        return b->dtype == SV_DT_F32;
    return is_float(b->dtype) && (b->image == SV_IMAGE_PLAIN || b->image == SV_IMAGE_P16);
}

static uint64_t panels_of(uint32_t n)
{
    return ((uint64_t)n + 15) / 16;
}

size_t ocl_matmul_scratch(const sv_call *call)
{
    const sv_attr_matmul *m = call->attr;
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    if (a->dtype == SV_DT_Q8X) /* codes in 16-bit lanes */
        return (size_t)a->dim[0] * a->dim[1] * sizeof(int16_t);
    if (m->layout != SV_NT || !is_float(b->dtype) || b->image != SV_IMAGE_PLAIN)
        return 0;
    return panels_of(b->dim[0]) * 16 * b->dim[1] * sv_dtype_block_bytes(b->dtype);
}

static sv_err pack_p16(sv_queue *q, const sv_tensor *w, sv_span to)
{
    uint32_t bytes = sv_dtype_block_bytes(w->dtype), N = w->dim[0], K = w->dim[1];
    ocl_launch l = ocl_begin(q, bytes == 4 ? OCL_K_pack_p16_4 : OCL_K_pack_p16_2);
    ocl_tensor(&l, w);
    ocl_u64(&l, w->stride[0]);
    ocl_span(&l, to, bytes);
    ocl_u32(&l, N);
    ocl_u32(&l, K);
    return ocl_go(&l, ((uint64_t)K + 63) / 64, panels_of(N), 1);
}

bool ocl_pack_takes(const sv_call *call)
{
    return is_float(call->in[0].dtype) && call->in[0].image == SV_IMAGE_PLAIN && call->out[0].image == SV_IMAGE_P16;
}

sv_err ocl_pack(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    return pack_p16(q, &call->in[0], call->out[0].at);
}

/* Rows per work-item: 1 and 2 for decoding, 6 otherwise. */
static ocl_kernel_id float_kernel(sv_dtype t, uint32_t M, uint32_t *rows)
{
    static const ocl_kernel_id id[3][3] = {
        { OCL_K_matmul_f32_1, OCL_K_matmul_f32_2, OCL_K_matmul_f32_6 },
        { OCL_K_matmul_bf16_1, OCL_K_matmul_bf16_2, OCL_K_matmul_bf16_6 },
        { OCL_K_matmul_f16_1, OCL_K_matmul_f16_2, OCL_K_matmul_f16_6 },
    };
    uint32_t size = M == 1 ? 0 : M == 2 ? 1 : 2;
    *rows = M == 1 ? 1 : M == 2 ? 2 : 6;
    return id[t == SV_DT_F32 ? 0 : t == SV_DT_BF16 ? 1 : 2][size];
}

/* y [M,N] = sum over k < K of a [M,K] and panels of w. */
typedef struct panels {
    sv_span at;
    uint64_t panel, step;
    uint32_t tail; /* items of the last panel that exist */
} panels;

static sv_err product(sv_queue *q, const sv_call *call, const panels *w, uint32_t N, uint32_t K)
{
    const sv_tensor *a = &call->in[0];
    uint32_t M = a->dim[0], rows;
    sv_dtype type = call->in[1].dtype;
    ocl_launch l = ocl_begin(q, float_kernel(type, M, &rows));
    ocl_tensor(&l, a);
    ocl_u64(&l, a->stride[0]);
    ocl_u64(&l, 1);
    ocl_span(&l, w->at, sv_dtype_block_bytes(type));
    ocl_u64(&l, w->panel);
    ocl_u64(&l, w->step);
    ocl_u32(&l, w->tail);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, M);
    ocl_u32(&l, N);
    ocl_u32(&l, K);
    return ocl_go(&l, ((uint64_t)M + rows - 1) / rows, panels_of(N), 1);
}

static sv_err product_nt(sv_queue *q, const sv_call *call, sv_span scratch)
{
    const sv_tensor *b = &call->in[1];
    uint32_t N = b->dim[0], K = b->dim[1];
    panels w = { .at = b->at, .panel = (uint64_t)K * 16, .step = 16, .tail = 16 };
    if (b->image == SV_IMAGE_PLAIN && K > 0 && N > 0) {
        sv_err err = pack_p16(q, b, scratch);
        if (err != SV_OK)
            return err;
        w.at = scratch;
    }
    return product(q, call, &w, N, K);
}

static sv_err product_nn(sv_queue *q, const sv_call *call)
{
    const sv_tensor *b = &call->in[1];
    uint32_t K = b->dim[1];
    panels w = { .at = b->at, .panel = 16, .step = b->stride[0], .tail = K % 16 != 0 ? K % 16 : 16 };
    return product(q, call, &w, K, b->dim[0]);
}

static sv_err product_tn(sv_queue *q, const sv_call *call)
{
    const sv_tensor *a = &call->in[0], *b = &call->in[1], *seg = &call->in[2];
    uint32_t N = a->dim[1], K = b->dim[1];
    ocl_launch l = ocl_begin(q, OCL_K_matmul_tn);
    ocl_tensor(&l, a);
    ocl_u64(&l, a->stride[0]);
    ocl_tensor(&l, b);
    ocl_u64(&l, b->stride[0]);
    ocl_tensor(&l, seg);
    ocl_u32(&l, seg->dim[0] - 1);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, N);
    ocl_u32(&l, K);
    ocl_u32(&l, ((const sv_attr_matmul *)call->attr)->accumulate);
    return ocl_go(&l, ((uint64_t)N + 5) / 6, panels_of(K), 1);
}

static sv_err product_blocks(sv_queue *q, const sv_call *call, sv_span scratch)
{
    static const ocl_kernel_id id[3][2] = { { OCL_K_block_S8_1, OCL_K_block_S8_4 },
                                            { OCL_K_block_S4_1, OCL_K_block_S4_4 },
                                            { OCL_K_block_A4_1, OCL_K_block_A4_4 } };
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    uint32_t M = a->dim[0], N = b->dim[0], n_block = a->dim[1] / 32, rows = M == 1 ? 1 : 4;
    if (M > 0 && n_block > 0) {
        ocl_launch w = ocl_begin(q, OCL_K_widen_q8x);
        ocl_span(&w, a->at, 4);
        ocl_span(&w, scratch, 4);
        ocl_u32(&w, n_block);
        sv_err err = ocl_go(&w, n_block, M, 1);
        if (err != SV_OK)
            return err;
    }
    ocl_launch l = ocl_begin(q, id[b->image - SV_IMAGE_S8][rows > 1]);
    ocl_span(&l, a->at, 4);
    ocl_span(&l, n_block > 0 ? scratch : a->at, 4);
    ocl_span(&l, b->at, 4);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, M);
    ocl_u32(&l, N);
    ocl_u32(&l, n_block);
    return ocl_go(&l, ((uint64_t)M + rows - 1) / rows, panels_of(N), 1);
}

sv_err ocl_matmul(sv_queue *q, const sv_call *call, sv_span scratch)
{
    const sv_attr_matmul *m = call->attr;
    if (call->in[0].dtype == SV_DT_Q8X)
        return product_blocks(q, call, scratch);
    if (m->layout == SV_NT)
        return product_nt(q, call, scratch);
    return m->layout == SV_NN ? product_nn(q, call) : product_tn(q, call);
}

sv_err ocl_quant(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *x = &call->in[0];
    ocl_launch l = ocl_begin(q, OCL_K_quant_q8x);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_span(&l, call->out[0].at, 4);
    ocl_u32(&l, x->dim[1] / 32);
    return ocl_go(&l, x->dim[1] / 32, x->dim[0], 1);
}
