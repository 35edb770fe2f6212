/* SPDX-License-Identifier: Apache-2.0
 * A chip in one file, outside the program's tree: host memory, three rows, the reference for everything else. It is
 * built against the installed headers alone: make && SAMSVAR_PLUGIN_DIR=$PWD samsvar chip test example The arithmetic
 * is docs/arithmetic.md: one rounding per operator, fma only in dot products, sums in the order of the law. Compile
 * with -ffp-contract=off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samsvar/chip.h"

struct sv_device {
    const sv_host *host; /* valid as long as the device */
};
struct sv_queue {
    sv_device *device;
};

/* Devices. A real plug-in counts what the driver finds, and gives 0 when there is no driver. */

static sv_err ex_count(uint32_t *n)
{
    *n = 1;
    return SV_OK;
}

static sv_err ex_open(uint32_t index, const sv_host *host, sv_device **out)
{
    (void)index;
    sv_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return host->fail(SV_E_NOMEM, "example: no memory for a device");
    d->host = host;
    host->log(3, "example", "opened");
    *out = d;
    return SV_OK;
}

static void ex_close(sv_device *d)
{
    free(d);
}

static sv_err ex_info(sv_device *d, sv_device_info *out)
{
    (void)d;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "an example");
    out->align = 16;
    out->n_thread = 1;
    out->is_exact = true;
    out->host_memory = true;
    return SV_OK;
}

/* Memory. */

static sv_err ex_alloc(sv_device *d, size_t bytes, sv_buffer **out)
{
    sv_buffer *b = calloc(1, sizeof *b);
    void *p = malloc(bytes > 0 ? bytes : 1); /* 16-byte aligned, as info says */
    if (b == NULL || p == NULL) {
        free(b);
        free(p);
        return d->host->fail(SV_E_NOMEM, "example: no memory for a buffer of %zu bytes", bytes);
    }
    b->host = p;
    b->bytes = bytes;
    *out = b;
    return SV_OK;
}

static void ex_free(sv_device *d, sv_buffer *b)
{
    (void)d;
    if (b == NULL)
        return;
    free(b->host);
    free(b);
}

/* Work: done before the call returns, so there is nothing to wait for. */

static sv_err ex_queue_open(sv_device *d, sv_queue **out)
{
    sv_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return d->host->fail(SV_E_NOMEM, "example: no memory for a queue");
    q->device = d;
    *out = q;
    return SV_OK;
}

static void ex_queue_close(sv_queue *q)
{
    free(q);
}

static char *at(sv_span s)
{
    return (char *)s.buf->host + s.off;
}

static sv_err ex_put(sv_queue *q, sv_span dst, const void *src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memcpy(at(dst), src, bytes);
    return SV_OK;
}

static sv_err ex_get(sv_queue *q, void *dst, sv_span src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memcpy(dst, at(src), bytes);
    return SV_OK;
}

static sv_err ex_copy(sv_queue *q, sv_span dst, sv_span src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memmove(at(dst), at(src), bytes);
    return SV_OK;
}

static sv_err ex_wait(sv_queue *q)
{
    (void)q;
    return SV_OK;
}

/* Rows. Shapes and item types were checked when the call was written; a row says in `takes` what of them it can do. */

/* Rows of a matrix may lie further apart than they are long; outputs are dense. */
static const float *row_of(const sv_tensor *t, uint32_t i)
{
    return (const float *)sv_tensor_host(t) + i * t->stride[0];
}

static bool takes_f32(const sv_call *call)
{
    for (uint32_t i = 0; i < call->n_in; i++)
        if (call->in[i].dtype != SV_DT_F32 || call->in[i].n_dim != 2 || call->in[i].image != SV_IMAGE_PLAIN)
            return false;
    return call->op != SV_OP_matmul || ((const sv_attr_matmul *)call->attr)->layout == SV_NT;
}

static sv_err run_add(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    uint32_t T = call->in[0].dim[0], D = call->in[0].dim[1];
    float *y = sv_tensor_host(&call->out[0]);
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t d = 0; d < D; d++)
            *y++ = row_of(&call->in[0], t)[d] + row_of(&call->in[1], t)[d];
    return SV_OK;
}

static sv_err run_scale(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    const sv_attr_scale *a = call->attr;
    float *y = sv_tensor_host(&call->out[0]);
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++)
        for (uint32_t d = 0; d < call->in[0].dim[1]; d++)
            *y++ = row_of(&call->in[0], t)[d] * a->factor;
    return SV_OK;
}

/* The chunks lo ... hi - 1 of a dot product: one chunk is a chain of fma from +0, more are halves, the first the
 * larger. */
static float dot(const float *a, const float *b, uint32_t K, uint32_t lo, uint32_t hi)
{
    if (hi - lo == 1) {
        float s = 0.0f;
        for (uint32_t k = lo * SV_DOT_CHUNK; k < K && k < hi * SV_DOT_CHUNK; k++)
            s = __builtin_fmaf(a[k], b[k], s);
        return s;
    }
    uint32_t mid = lo + (hi - lo + 1) / 2;
    return dot(a, b, K, lo, mid) + dot(a, b, K, mid, hi);
}

static sv_err run_matmul(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    uint32_t M = call->in[0].dim[0], K = call->in[0].dim[1], N = call->in[1].dim[0];
    uint32_t n_chunk = (K + SV_DOT_CHUNK - 1) / SV_DOT_CHUNK;
    float *y = sv_tensor_host(&call->out[0]);
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++)
            *y++ = K > 0 ? dot(row_of(&call->in[0], m), row_of(&call->in[1], n), K, 0, n_chunk) : 0.0f;
    return SV_OK;
}

static const sv_kernel kernels[SV_OP_COUNT] = {
    [SV_OP_add] = { .run = run_add, .takes = takes_f32 },
    [SV_OP_scale] = { .run = run_scale, .takes = takes_f32 },
    [SV_OP_matmul] = { .run = run_matmul, .takes = takes_f32 },
};

extern const sv_chip sv_chip_plugin_v1;
const sv_chip sv_chip_plugin_v1 = {
    .size = sizeof(sv_chip),
    .abi = SV_CHIP_ABI,
    .opset = SV_OPSET,
    .name = "example",
    .version = "1",
    .count = ex_count,
    .open = ex_open,
    .close = ex_close,
    .info = ex_info,
    .alloc = ex_alloc,
    .free = ex_free,
    .queue_open = ex_queue_open,
    .queue_close = ex_queue_close,
    .put = ex_put,
    .get = ex_get,
    .copy = ex_copy,
    .wait = ex_wait,
    .n_op = SV_OP_COUNT,
    .op = kernels,
};
