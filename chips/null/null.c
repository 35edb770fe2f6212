/* SPDX-License-Identifier: Apache-2.0
 * The chip that computes nothing: memory and queues are real, every row returns at once, so that planners and
 * schedulers are tested without arithmetic. Also the skeleton of a new chip: copy this folder, rename, and fill it in
 * (docs/add-a-chip.md). It needs include/samsvar/ only, and has no unresolved symbol of the program's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samsvar/chip.h"

/* A plug-in exports the name that carries the ABI: cc -shared -DSV_CHIP_SYMBOL=sv_chip_plugin_v1. */
#ifndef SV_CHIP_SYMBOL
#define SV_CHIP_SYMBOL sv_chip_null
#endif

struct sv_device {
    const sv_host *host; /* valid as long as the device */
};
struct sv_queue {
    sv_device *device;
};

/* Devices. */

static sv_err null_count(uint32_t *n)
{
    *n = 1;
    return SV_OK;
}

static sv_err null_open(uint32_t index, const sv_host *host, sv_device **out)
{
    (void)index;
    sv_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return host->fail(SV_E_NOMEM, "null: no memory for a device");
    d->host = host;
    *out = d;
    return SV_OK;
}

static void null_close(sv_device *d)
{
    free(d);
}

static sv_err null_info(sv_device *d, sv_device_info *out)
{
    (void)d;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "null, computes nothing");
    out->align = 64;
    out->n_thread = 1;
    out->host_memory = true;
    out->is_exact = false;
    return SV_OK;
}

/* Memory. calloc gives pages only when they are touched, so a plan of any size costs nothing here. */

typedef struct null_buffer {
    sv_buffer base;
    void *room; /* what to free */
} null_buffer;

static sv_err null_alloc(sv_device *d, size_t bytes, sv_buffer **out)
{
    null_buffer *b = calloc(1, sizeof *b);
    void *room = bytes <= SIZE_MAX - 64 ? calloc(1, bytes + 64) : NULL;
    if (b == NULL || room == NULL) {
        free(b);
        free(room);
        return d->host->fail(SV_E_NOMEM, "null: no memory for a buffer of %zu bytes", bytes);
    }
    b->room = room;
    b->base.host = (void *)(((uintptr_t)room + 63) & ~(uintptr_t)63);
    b->base.bytes = bytes;
    *out = &b->base;
    return SV_OK;
}

static void null_free(sv_device *d, sv_buffer *b)
{
    (void)d;
    if (b == NULL)
        return;
    free(((null_buffer *)b)->room);
    free(b);
}

/* Work, in order. Here everything is done before the call returns. */

static sv_err null_queue_open(sv_device *d, sv_queue **out)
{
    sv_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return d->host->fail(SV_E_NOMEM, "null: no memory for a queue");
    q->device = d;
    *out = q;
    return SV_OK;
}

static void null_queue_close(sv_queue *q)
{
    free(q);
}

static sv_err null_put(sv_queue *q, sv_span dst, const void *src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memcpy((char *)dst.buf->host + dst.off, src, bytes);
    return SV_OK;
}

static sv_err null_get(sv_queue *q, void *dst, sv_span src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memcpy(dst, (char *)src.buf->host + src.off, bytes);
    return SV_OK;
}

static sv_err null_copy(sv_queue *q, sv_span dst, sv_span src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memmove((char *)dst.buf->host + dst.off, (char *)src.buf->host + src.off, bytes);
    return SV_OK;
}

static sv_err null_wait(sv_queue *q)
{
    (void)q;
    return SV_OK;
}

/* Rows. A new chip starts with none (n_op = 0): every op then runs the reference, and every model works. */

static sv_err null_run(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)call;
    (void)scratch;
    return SV_OK;
}

static const sv_kernel kernels[SV_OP_COUNT] = {
#define SV_OP(name, n_in, n_out, class, formula) [SV_OP_##name] = { .run = null_run },
#include "samsvar/ops.def"
#undef SV_OP
};

extern const sv_chip SV_CHIP_SYMBOL;
const sv_chip SV_CHIP_SYMBOL = {
    .size = sizeof(sv_chip),
    .abi = SV_CHIP_ABI,
    .opset = SV_OPSET,
    .name = "null",
    .version = "1",
    .count = null_count,
    .open = null_open,
    .close = null_close,
    .info = null_info,
    .alloc = null_alloc,
    .free = null_free,
    .queue_open = null_queue_open,
    .queue_close = null_queue_close,
    .put = null_put,
    .get = null_get,
    .copy = null_copy,
    .wait = null_wait,
    .n_op = SV_OP_COUNT,
    .op = kernels,
};
