/* SPDX-License-Identifier: Apache-2.0
 * Attention rows of the OpenCL chip (kernels/attend.cl).
 */
#include "chips/opencl/rows.h"

#define MOST_D 256 /* one chunk of a dot product, as in attend.cl */

bool ocl_attend_takes(const sv_call *call)
{
    return ((const sv_attr_attend *)call->attr)->d_head <= MOST_D;
}

sv_err ocl_attend(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    const sv_attr_attend *a = call->attr;
    ocl_launch l = ocl_begin(q, OCL_K_attend);
    ocl_tensor(&l, &call->in[0]);
    ocl_u64(&l, call->in[0].stride[0]);
    for (uint32_t i = 3; i < 8; i++)
        ocl_tensor(&l, &call->in[i]);
    ocl_u64(&l, call->in[7].stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_tensor(&l, &call->out[1]);
    ocl_u32(&l, a->n_kv_head);
    ocl_u32(&l, a->d_head);
    return ocl_go(&l, a->n_head, call->in[0].dim[0], 1);
}

sv_err ocl_kv_put(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    ocl_launch l = ocl_begin(q, OCL_K_kv_put);
    for (uint32_t i = 0; i < 2; i++) {
        ocl_tensor(&l, &call->in[i]);
        ocl_u64(&l, call->in[i].stride[0]);
    }
    for (uint32_t i = 2; i < 5; i++)
        ocl_tensor(&l, &call->in[i]);
    ocl_u64(&l, call->in[4].stride[0]);
    ocl_tensor(&l, &call->out[0]);
    ocl_tensor(&l, &call->out[1]);
    ocl_u32(&l, call->out[0].dim[2]);
    return ocl_go(&l, call->out[0].dim[1], call->in[0].dim[0], 1);
}

/* Scratch of the gradient: delta [T,H], then k and v in panels of 16 rows. */
static uint64_t panel_items(const sv_call *call)
{
    return ((uint64_t)call->in[1].dim[0] + 15) / 16 * 16 * call->in[1].dim[1];
}

static uint64_t delta_items(const sv_call *call)
{
    return (uint64_t)call->in[0].dim[0] * ((const sv_attr_attend *)call->attr)->n_head;
}

size_t ocl_attend_grad_scratch(const sv_call *call)
{
    return (delta_items(call) + 2 * panel_items(call)) * sizeof(float);
}

static sv_err pack(sv_queue *q, const sv_tensor *x, sv_span to)
{
    ocl_launch l = ocl_begin(q, OCL_K_pack_p16_4);
    ocl_tensor(&l, x);
    ocl_u64(&l, x->stride[0]);
    ocl_span(&l, to, sizeof(float));
    ocl_u32(&l, x->dim[0]);
    ocl_u32(&l, x->dim[1]);
    return ocl_go(&l, ((uint64_t)x->dim[1] + 63) / 64, ((uint64_t)x->dim[0] + 15) / 16, 1);
}

static void rows_arg(ocl_launch *l, const sv_tensor *t)
{
    ocl_tensor(l, t);
    ocl_u64(l, t->stride[0]);
}

sv_err ocl_attend_grad(sv_queue *q, const sv_call *call, sv_span scratch)
{
    const sv_attr_attend *a = call->attr;
    const sv_tensor *in = call->in;
    uint32_t T = in[0].dim[0], H = a->n_head, G = a->n_kv_head, D = a->d_head;
    sv_span delta = scratch, kt = scratch, vt = scratch;
    kt.off += delta_items(call) * sizeof(float);
    vt.off = kt.off + panel_items(call) * sizeof(float);
    if (T == 0)
        return SV_OK;
    sv_err err = pack(q, &in[1], kt);
    if (err == SV_OK)
        err = pack(q, &in[2], vt);
    if (err != SV_OK)
        return err;
    ocl_launch l = ocl_begin(q, OCL_K_attend_delta);
    rows_arg(&l, &in[5]);
    rows_arg(&l, &in[3]);
    ocl_span(&l, delta, sizeof(float));
    ocl_u32(&l, D);
    err = ocl_go(&l, H, T, 1);
    if (err != SV_OK)
        return err;
    l = ocl_begin(q, OCL_K_attend_grad_q);
    rows_arg(&l, &in[0]);
    rows_arg(&l, &in[1]);
    rows_arg(&l, &in[5]);
    ocl_tensor(&l, &in[4]);
    ocl_tensor(&l, &in[6]);
    ocl_span(&l, kt, sizeof(float));
    ocl_span(&l, vt, sizeof(float));
    ocl_span(&l, delta, sizeof(float));
    ocl_tensor(&l, &call->out[0]);
    ocl_u32(&l, G);
    ocl_u32(&l, D);
    err = ocl_go(&l, H, T, 1);
    if (err != SV_OK)
        return err;
    l = ocl_begin(q, OCL_K_attend_grad_kv);
    rows_arg(&l, &in[0]);
    rows_arg(&l, &in[5]);
    ocl_tensor(&l, &in[4]);
    ocl_tensor(&l, &in[6]);
    ocl_span(&l, kt, sizeof(float));
    ocl_span(&l, vt, sizeof(float));
    ocl_span(&l, delta, sizeof(float));
    ocl_tensor(&l, &call->out[1]);
    ocl_tensor(&l, &call->out[2]);
    ocl_u32(&l, T);
    ocl_u32(&l, H);
    ocl_u32(&l, D);
    return ocl_go(&l, G, ((uint64_t)T + 15) / 16, 1);
}
