/* SPDX-License-Identifier: Apache-2.0
 * The chip that keeps its promises as perversely as it may, for tests of everybody above: nothing runs before wait,
 * fresh memory is full of NaN, buffers have no host address, operands must lie on 4 KiB, weights are wanted in packed
 * images, and there is one row only, add. What works here has not relied on anything that the ABI does not promise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samsvar/chip.h"

#define ODD_ALIGN 4096
#define ODD_NAN 0x7fff7fffu /* a NaN as f32, and each half a NaN as bf16 and f16 */
#define ODD_MAX_OPERAND 8

struct sv_device {
    const sv_host *host;
    sv_queue *queue; /* all open ones, linked */
};

typedef struct odd_buffer {
    sv_buffer pub; /* host stays NULL */
    char *bytes;
} odd_buffer;

typedef enum odd_kind { ODD_PUT, ODD_GET, ODD_COPY, ODD_ADD } odd_kind;

typedef struct odd_job {
    odd_kind kind;
    sv_span dst, src;
    size_t bytes;
    void *data; /* put: our copy of the caller's bytes; get: where the caller wants them */
    sv_tensor in[2], out;
} odd_job;

struct sv_queue {
    sv_device *device;
    sv_queue *next;
    odd_job *job;
    size_t n_job, cap_job;
};

static char *at(sv_span s)
{
    return ((odd_buffer *)s.buf)->bytes + s.off;
}

/* Devices. */

static sv_err odd_count(uint32_t *n)
{
    *n = 1;
    return SV_OK;
}

static sv_err odd_open(uint32_t index, const sv_host *host, sv_device **out)
{
    (void)index;
    sv_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return host->fail(SV_E_NOMEM, "odd: no memory for a device");
    d->host = host;
    *out = d;
    return SV_OK;
}

static void odd_close(sv_device *d)
{
    free(d);
}

static sv_err odd_info(sv_device *d, sv_device_info *out)
{
    (void)d;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "odd, late and without a host address");
    out->align = ODD_ALIGN;
    out->n_thread = 1;
    out->is_exact = true;
    return SV_OK;
}

/* Work. */

/* Row `index` of all leading dimensions counted together; items of the last dimension are `*step` bytes apart. A tensor
 * with fewer dimensions is used again for each index of those that it lacks. */
static char *row_of(const sv_tensor *t, uint64_t index, uint64_t *step)
{
    uint64_t off = 0;
    for (uint32_t i = t->n_dim > 0 ? t->n_dim - 1 : 0; i-- > 0;) {
        off += (index % t->dim[i]) * t->stride[i];
        index /= t->dim[i];
    }
    *step = t->n_dim > 0 ? 4 * t->stride[t->n_dim - 1] : 4;
    return at(t->at) + 4 * off;
}

static void run_add(const odd_job *j)
{
    for (int i = 0; i < 3; i++) {
        uint32_t word = ODD_NAN;
        memcpy(at(j->dst) + 4 * i, &word, 4); /* scratch is ours in full */
    }
    const sv_tensor *y = &j->out;
    uint64_t width = y->n_dim > 0 ? y->dim[y->n_dim - 1] : 1;
    uint64_t n_row = width > 0 ? sv_tensor_items(y) / width : 0;
    for (uint64_t r = n_row; r-- > 0;) { /* backwards: nobody promised an order inside a call */
        uint64_t sa, sb, sy;
        const char *a = row_of(&j->in[0], r, &sa), *b = row_of(&j->in[1], r, &sb);
        char *out = row_of(y, r, &sy);
        for (uint64_t c = width; c-- > 0;) {
            float u, v;
            memcpy(&u, a + c * sa, 4);
            memcpy(&v, b + c * sb, 4);
            u = u + v;
            memcpy(out + c * sy, &u, 4);
        }
    }
}

static void drain(sv_queue *q)
{
    for (size_t i = 0; i < q->n_job; i++) {
        odd_job *j = &q->job[i];
        if (j->kind == ODD_PUT) {
            memcpy(at(j->dst), j->data, j->bytes);
            free(j->data);
        } else if (j->kind == ODD_GET) {
            memcpy(j->data, at(j->src), j->bytes);
        } else if (j->kind == ODD_COPY) {
            memmove(at(j->dst), at(j->src), j->bytes);
        } else {
            run_add(j);
        }
    }
    q->n_job = 0;
}

static sv_err later(sv_queue *q, const odd_job *job)
{
    if (q->n_job == q->cap_job) {
        size_t cap = q->cap_job > 0 ? 2 * q->cap_job : 64;
        odd_job *grown = realloc(q->job, cap * sizeof *grown);
        if (grown == NULL)
            return q->device->host->fail(SV_E_NOMEM, "odd: no memory for %zu jobs", cap);
        q->job = grown;
        q->cap_job = cap;
    }
    q->job[q->n_job++] = *job;
    return SV_OK;
}

static sv_err check_span(sv_queue *q, const char *what, sv_span s, size_t bytes)
{
    if (s.off <= s.buf->bytes && bytes <= s.buf->bytes - s.off)
        return SV_OK;
    return q->device->host->fail(SV_E_INTERNAL, "odd: %s of %zu bytes at %llu leaves a buffer of %llu bytes", what,
                                 bytes, (unsigned long long)s.off, (unsigned long long)s.buf->bytes);
}

static sv_err odd_put(sv_queue *q, sv_span dst, const void *src, size_t bytes)
{
    sv_err err = check_span(q, "put", dst, bytes);
    if (err != SV_OK || bytes == 0)
        return err;
    odd_job job = { .kind = ODD_PUT, .dst = dst, .bytes = bytes, .data = malloc(bytes) };
    if (job.data == NULL)
        return q->device->host->fail(SV_E_NOMEM, "odd: no memory for a put of %zu bytes", bytes);
    memcpy(job.data, src, bytes);
    err = later(q, &job);
    if (err != SV_OK)
        free(job.data);
    return err;
}

static sv_err odd_get(sv_queue *q, void *dst, sv_span src, size_t bytes)
{
    sv_err err = check_span(q, "get", src, bytes);
    if (err != SV_OK || bytes == 0)
        return err;
    odd_job job = { .kind = ODD_GET, .src = src, .bytes = bytes, .data = dst };
    memset(dst, 0xa5, bytes); /* who reads before wait sees rubbish */
    return later(q, &job);
}

static sv_err odd_copy(sv_queue *q, sv_span dst, sv_span src, size_t bytes)
{
    sv_err err = check_span(q, "copy from", src, bytes);
    if (err == SV_OK)
        err = check_span(q, "copy to", dst, bytes);
    if (err != SV_OK || bytes == 0)
        return err;
    odd_job job = { .kind = ODD_COPY, .dst = dst, .src = src, .bytes = bytes };
    return later(q, &job);
}

static sv_err odd_wait(sv_queue *q)
{
    drain(q);
    return SV_OK;
}

static bool add_takes(const sv_call *call)
{
    return call->in[0].dtype == SV_DT_F32 && call->in[1].dtype == SV_DT_F32 && call->out[0].dtype == SV_DT_F32;
}

static size_t add_scratch(const sv_call *call)
{
    (void)call;
    return 12; /* nobody needs it; the core must still lend it, aligned and all ours */
}

static sv_err odd_add(sv_queue *q, const sv_call *call, sv_span scratch)
{
    odd_job job = { .kind = ODD_ADD, .in = { call->in[0], call->in[1] }, .out = call->out[0] };
    if (((job.in[0].at.off | job.in[1].at.off | job.out.at.off | scratch.off) & (ODD_ALIGN - 1)) != 0)
        return q->device->host->fail(SV_E_INTERNAL, "odd: an operand of add is not on a multiple of %d bytes",
                                     ODD_ALIGN);
    sv_err err = check_span(q, "scratch", scratch, add_scratch(call));
    if (err != SV_OK)
        return err;
    job.dst = scratch;
    return later(q, &job);
}

static sv_err odd_queue_open(sv_device *d, sv_queue **out)
{
    sv_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return d->host->fail(SV_E_NOMEM, "odd: no memory for a queue");
    q->device = d;
    q->next = d->queue;
    d->queue = q;
    *out = q;
    return SV_OK;
}

static void odd_queue_close(sv_queue *q)
{
    drain(q);
    for (sv_queue **p = &q->device->queue; *p != NULL; p = &(*p)->next)
        if (*p == q) {
            *p = q->next;
            break;
        }
    free(q->job);
    free(q);
}

/* Memory. */

static sv_err odd_alloc(sv_device *d, size_t bytes, sv_buffer **out)
{
    odd_buffer *b = calloc(1, sizeof *b);
    char *p = bytes < SIZE_MAX - 8 ? malloc(bytes + 4) : NULL;
    if (b == NULL || p == NULL) {
        free(b);
        free(p);
        return d->host->fail(SV_E_NOMEM, "odd: no memory for a buffer of %zu bytes", bytes);
    }
    uint32_t word = ODD_NAN;
    for (size_t i = 0; i < bytes; i += 4)
        memcpy(p + i, &word, 4);
    b->pub.bytes = bytes;
    b->bytes = p;
    *out = &b->pub;
    return SV_OK;
}

static void odd_free(sv_device *d, sv_buffer *b)
{
    if (b == NULL)
        return;
    for (sv_queue *q = d->queue; q != NULL; q = q->next)
        drain(q); /* queued work may still name it */
    free(((odd_buffer *)b)->bytes);
    free(b);
}

static sv_image odd_weight_image(sv_device *d, sv_dtype dtype, uint32_t n, uint32_t k)
{
    (void)d;
    (void)n;
    (void)k;
    switch (dtype) {
    case SV_DT_F32:
    case SV_DT_BF16:
    case SV_DT_F16:
        return SV_IMAGE_P16;
    case SV_DT_Q8_0:
        return SV_IMAGE_S8;
    case SV_DT_Q4_0:
        return SV_IMAGE_S4;
    case SV_DT_Q4_1:
        return SV_IMAGE_A4;
    case SV_DT_Q4_K:
        return SV_IMAGE_K4;
    case SV_DT_Q5_K:
        return SV_IMAGE_K5;
    case SV_DT_Q6_K:
        return SV_IMAGE_K6;
    default:
        return SV_IMAGE_PLAIN;
    }
}

static const sv_kernel kernels[SV_OP_COUNT] = {
    [SV_OP_add] = { .run = odd_add, .scratch_bytes = add_scratch, .takes = add_takes },
};

extern const sv_chip sv_chip_odd;
const sv_chip sv_chip_odd = {
    .size = sizeof(sv_chip),
    .abi = SV_CHIP_ABI,
    .opset = SV_OPSET,
    .name = "odd",
    .version = "1",
    .count = odd_count,
    .open = odd_open,
    .close = odd_close,
    .info = odd_info,
    .alloc = odd_alloc,
    .free = odd_free,
    .queue_open = odd_queue_open,
    .queue_close = odd_queue_close,
    .put = odd_put,
    .get = odd_get,
    .copy = odd_copy,
    .wait = odd_wait,
    .n_op = SV_OP_COUNT,
    .op = kernels,
    .weight_image = odd_weight_image,
};
