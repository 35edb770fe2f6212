/* SPDX-License-Identifier: Apache-2.0
 * Norms, softmax, sums and choices of the OpenCL chip (kernels/norm.cl).
 */
#include "chips/opencl/rows.h"

#define PIECE 4096
#define MOST_GROUPS (256u << 13) /* as deep as rmsnorm_grad_gain's stack */

static uint32_t type_of(const sv_tensor *g)
{
    return g->dtype == SV_DT_F32 ? 0 : g->dtype == SV_DT_BF16 ? 1 : 2;
}

sv_err ocl_rmsnorm(sv_queue *q, const sv_call *call, sv_span scratch)
{
    static const ocl_kernel_id id[] = { OCL_K_rmsnorm_f32, OCL_K_rmsnorm_bf16, OCL_K_rmsnorm_f16 };
    (void)scratch;
    const sv_tensor *x = &call->in[0], *g = &call->in[1];
    uint32_t width = x->dim[1], D = g->dim[0];
    ocl_launch l = ocl_begin(q, id[type_of(g)]);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_tensor(&l, g);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, width);
    ocl_u32(&l, D);
    ocl_f32(&l, ((const sv_attr_rmsnorm *)call->attr)->eps);
    return ocl_go(&l, D > 0 ? width / D : 0, x->dim[0], 1);
}

bool ocl_rmsnorm_grad_takes(const sv_call *call)
{
    uint32_t D = call->in[1].dim[0];
    return D > 0 && (uint64_t)call->in[0].dim[0] * (call->in[0].dim[1] / D) <= MOST_GROUPS;
}

/* x r of every row. */
size_t ocl_rmsnorm_grad_scratch(const sv_call *call)
{
    return (size_t)call->in[0].dim[0] * call->in[0].dim[1] * sizeof(float);
}

sv_err ocl_rmsnorm_grad(sv_queue *q, const sv_call *call, sv_span scratch)
{
    static const ocl_kernel_id id[] = { OCL_K_rmsnorm_grad_f32, OCL_K_rmsnorm_grad_bf16, OCL_K_rmsnorm_grad_f16 };
    const sv_tensor *x = &call->in[0], *g = &call->in[1], *dy = &call->in[2], *seg = &call->in[3];
    uint32_t width = x->dim[1], D = g->dim[0];
    if (x->dim[0] == 0 || width == 0)
        return SV_OK;
    ocl_launch l = ocl_begin(q, id[type_of(g)]);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_tensor(&l, g);
    ocl_tensor(&l, dy);
    ocl_u64(&l, dy->stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_span(&l, scratch, sizeof(float));
    ocl_u32(&l, width);
    ocl_u32(&l, D);
    ocl_f32(&l, ((const sv_attr_rmsnorm *)call->attr)->eps);
    sv_err err = ocl_go(&l, width / D, x->dim[0], 1);
    if (err != SV_OK)
        return err;
    l = ocl_begin(q, OCL_K_rmsnorm_grad_gain);
    ocl_tensor(&l, dy);
    ocl_u64(&l, dy->stride[0]);
    ocl_span(&l, scratch, sizeof(float));
    ocl_tensor(&l, seg);
    ocl_u32(&l, seg->dim[0] - 1);
    ocl_tensor(&l, &call->out[1]);
    ocl_u32(&l, D);
    ocl_u32(&l, width / D);
    return ocl_go(&l, ((uint64_t)D + 15) / 16, 1, 1);
}

sv_err ocl_softmax(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *x = &call->in[0];
    ocl_launch l = ocl_begin(q, OCL_K_softmax_f32);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, x->dim[1]);
    return ocl_go(&l, x->dim[0], 1, 1);
}

/* Sums of a whole tensor. */

static uint64_t pieces_of(const sv_call *call)
{
    return (sv_tensor_items(&call->in[0]) + PIECE - 1) / PIECE;
}

bool ocl_sum_takes(const sv_call *call)
{
    ocl_rows r;
    return ocl_as_rows(&call->in[0], &r) && r.stride == r.width && pieces_of(call) <= UINT32_MAX;
}

size_t ocl_sum_scratch(const sv_call *call)
{
    return pieces_of(call) * sizeof(float);
}

static sv_err sum(sv_queue *q, ocl_kernel_id id, const sv_call *call, sv_span scratch)
{
    uint64_t n = pieces_of(call);
    if (n > 0) {
        ocl_launch l = ocl_begin(q, id);
        ocl_tensor(&l, &call->in[0]);
        ocl_u64(&l, sv_tensor_items(&call->in[0]));
        ocl_span(&l, scratch, sizeof(float));
        sv_err err = ocl_go(&l, n, 1, 1);
        if (err != SV_OK)
            return err;
    }
    ocl_launch l = ocl_begin(q, OCL_K_halve_pieces);
    ocl_span(&l, n > 0 ? scratch : call->out[0].at, sizeof(float));
    ocl_u32(&l, (uint32_t)n);
    ocl_tensor(&l, &call->out[0]);
    return ocl_go(&l, 1, 1, 1);
}

sv_err ocl_sum(sv_queue *q, const sv_call *call, sv_span scratch)
{
    return sum(q, OCL_K_sum_pieces, call, scratch);
}
sv_err ocl_sumsq(sv_queue *q, const sv_call *call, sv_span scratch)
{
    return sum(q, OCL_K_sumsq_pieces, call, scratch);
}

/* The vocabulary. */

sv_err ocl_logprob(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *z = &call->in[0];
    ocl_launch l = ocl_begin(q, OCL_K_logprob);
    ocl_tensor(&l, z);
    ocl_u64(&l, z->stride[0]);
    ocl_tensor(&l, &call->in[1]);
    ocl_tensor(&l, &call->out[0]);
    ocl_tensor(&l, &call->out[1]);
    ocl_u32(&l, z->dim[1]);
    return ocl_go(&l, z->dim[0], 1, 1);
}

sv_err ocl_logprob_grad(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *z = &call->in[0];
    ocl_launch l = ocl_begin(q, OCL_K_logprob_grad);
    ocl_tensor(&l, z);
    ocl_u64(&l, z->stride[0]);
    ocl_tensor(&l, &call->in[1]);
    ocl_tensor(&l, &call->in[2]);
    ocl_u64(&l, call->in[2].stride[0]);
    ocl_tensor(&l, &call->in[3]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, z->dim[1]);
    return ocl_go(&l, ((uint64_t)z->dim[1] + 1023) / 1024, z->dim[0], 1);
}

sv_err ocl_argmax(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_tensor *z = &call->in[0];
    ocl_launch l = ocl_begin(q, OCL_K_argmax);
    ocl_tensor(&l, z);
    ocl_u64(&l, z->stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, z->dim[1]);
    return ocl_go(&l, z->dim[0], 1, 1);
}
