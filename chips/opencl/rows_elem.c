/* SPDX-License-Identifier: Apache-2.0
 * Elementwise rows of the OpenCL chip (kernels/elem.cl).
 */
#include "chips/opencl/rows.h"

#define SPAN 1024 /* columns of a work-item, as in elem.cl */
#define MOST_FLAT 0x7fffffffu

bool ocl_elem_takes(const sv_call *call)
{
    ocl_rows r;
    for (uint32_t i = 0; i < call->n_in; i++)
        if (call->in[i].dtype != SV_DT_F32 || !ocl_as_rows(&call->in[i], &r))
            return false;
    return ocl_as_rows(&call->out[0], &r);
}

/* The shape of a launch: the output's rows, or one long row when every operand is dense. step[i]: of in[i], 0 for a
 * bias. */
typedef struct shape {
    uint64_t n, step[3];
    uint32_t width;
} shape;

static shape shape_of(const sv_call *call)
{
    ocl_rows y, r;
    shape s = { 0 };
    bool dense = true;
    ocl_as_rows(&call->out[0], &y);
    s.n = y.n;
    s.width = y.width;
    for (uint32_t i = 0; i < call->n_in; i++) {
        ocl_as_rows(&call->in[i], &r);
        bool bias = call->in[i].n_dim < call->out[0].n_dim;
        s.step[i] = bias ? 0 : r.stride;
        dense = dense && s.step[i] == y.width;
    }
    if (dense && s.n * s.width <= MOST_FLAT) {
        s.width = (uint32_t)(s.n * s.width);
        s.n = 1;
    }
    return s;
}

static sv_err go(ocl_launch *l, const shape *s)
{
    return ocl_go(l, ((uint64_t)s->width + SPAN - 1) / SPAN, s->n, 1);
}

static sv_err binary(sv_queue *q, ocl_kernel_id id, const sv_call *call)
{
    shape s = shape_of(call);
    ocl_launch l = ocl_begin(q, id);
    for (uint32_t i = 0; i < 2; i++) {
        ocl_tensor(&l, &call->in[i]);
        ocl_u64(&l, s.step[i]);
    }
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, s.width);
    return go(&l, &s);
}

sv_err ocl_add(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    return binary(q, OCL_K_add_f32, call);
}

sv_err ocl_mul(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    return binary(q, OCL_K_mul_f32, call);
}

sv_err ocl_swiglu(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    return binary(q, OCL_K_swiglu_f32, call);
}

sv_err ocl_scale(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    shape s = shape_of(call);
    ocl_launch l = ocl_begin(q, OCL_K_scale_f32);
    ocl_tensor(&l, &call->in[0]);
    ocl_u64(&l, s.step[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, s.width);
    ocl_f32(&l, ((const sv_attr_scale *)call->attr)->factor);
    return go(&l, &s);
}

sv_err ocl_swiglu_grad(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    shape s = shape_of(call);
    ocl_launch l = ocl_begin(q, OCL_K_swiglu_grad_f32);
    for (uint32_t i = 0; i < 3; i++) {
        ocl_tensor(&l, &call->in[i]);
        ocl_u64(&l, s.step[i]);
    }
    ocl_tensor(&l, &call->out[0]);
    ocl_tensor(&l, &call->out[1]);
    ocl_u32(&l, s.width);
    return go(&l, &s);
}

sv_err ocl_adamw(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_attr_adamw *a = call->attr;
    ocl_rows g;
    ocl_as_rows(&call->in[0], &g);
    shape s = { .n = g.n, .step = { g.stride }, .width = g.width };
    if (g.stride == g.width && g.n * g.width <= MOST_FLAT) {
        s.width = (uint32_t)(g.n * g.width);
        s.n = 1;
    }
    ocl_launch l = ocl_begin(q, OCL_K_adamw);
    ocl_tensor(&l, &call->in[0]);
    ocl_u64(&l, s.step[0]);
    ocl_tensor(&l, &call->in[1]);
    for (uint32_t i = 0; i < 3; i++)
        ocl_tensor(&l, &call->out[i]);
    ocl_u32(&l, s.width);
    ocl_f32(&l, a->beta1);
    ocl_f32(&l, a->beta2);
    ocl_f32(&l, 1.0f - a->beta1);
    ocl_f32(&l, 1.0f - a->beta2);
    ocl_f32(&l, a->eps);
    ocl_f32(&l, a->decay);
    return go(&l, &s);
}

sv_err ocl_rand_normal(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_attr_rand_normal *a = call->attr;
    uint64_t n = sv_tensor_items(&call->out[0]);
    ocl_launch l = ocl_begin(q, OCL_K_rand_normal);
    ocl_tensor(&l, &call->out[0]);
    ocl_u64(&l, n);
    ocl_u32(&l, (uint32_t)a->seed);
    ocl_u32(&l, (uint32_t)(a->seed >> 32));
    ocl_u32(&l, a->stream);
    ocl_u32(&l, a->step);
    ocl_f32(&l, a->std);
    return ocl_go(&l, (n + 63) / 64, 1, 1);
}
