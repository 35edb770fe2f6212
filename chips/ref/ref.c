/* SPDX-License-Identifier: Apache-2.0
 * The chip without rows: host memory and nothing else, so that every op runs the reference. What it answers is the law;
 * it is what other chips are compared with, and what to run when a kernel is under suspicion.
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

/* Devices. */

static sv_err ref_count(uint32_t *n)
{
    *n = 1;
    return SV_OK;
}

static sv_err ref_open(uint32_t index, const sv_host *host, sv_device **out)
{
    (void)index;
    sv_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return host->fail(SV_E_NOMEM, "ref: no memory for a device");
    d->host = host;
    *out = d;
    return SV_OK;
}

static void ref_close(sv_device *d)
{
    free(d);
}

static sv_err ref_info(sv_device *d, sv_device_info *out)
{
    (void)d;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "the reference, one thread");
    out->align = 64;
    out->n_thread = 1;
    out->host_memory = true;
    out->is_exact = true;
    return SV_OK;
}

/* Memory. */

typedef struct ref_buffer {
    sv_buffer base;
    void *room; /* what to free */
} ref_buffer;

static sv_err ref_alloc(sv_device *d, size_t bytes, sv_buffer **out)
{
    ref_buffer *b = calloc(1, sizeof *b);
    void *room = bytes <= SIZE_MAX - 64 ? calloc(1, bytes + 64) : NULL;
    if (b == NULL || room == NULL) {
        free(b);
        free(room);
        return d->host->fail(SV_E_NOMEM, "ref: no memory for a buffer of %zu bytes", bytes);
    }
    b->room = room;
    b->base.host = (void *)(((uintptr_t)room + 63) & ~(uintptr_t)63);
    b->base.bytes = bytes;
    *out = &b->base;
    return SV_OK;
}

static void ref_free(sv_device *d, sv_buffer *b)
{
    (void)d;
    if (b == NULL)
        return;
    free(((ref_buffer *)b)->room);
    free(b);
}

/* Work, in order. Here everything is done before the call returns. */

static sv_err ref_queue_open(sv_device *d, sv_queue **out)
{
    sv_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return d->host->fail(SV_E_NOMEM, "ref: no memory for a queue");
    q->device = d;
    *out = q;
    return SV_OK;
}

static void ref_queue_close(sv_queue *q)
{
    free(q);
}

static sv_err ref_put(sv_queue *q, sv_span dst, const void *src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memcpy((char *)dst.buf->host + dst.off, src, bytes);
    return SV_OK;
}

static sv_err ref_get(sv_queue *q, void *dst, sv_span src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memcpy(dst, (char *)src.buf->host + src.off, bytes);
    return SV_OK;
}

static sv_err ref_copy(sv_queue *q, sv_span dst, sv_span src, size_t bytes)
{
    (void)q;
    if (bytes > 0)
        memmove((char *)dst.buf->host + dst.off, (char *)src.buf->host + src.off, bytes);
    return SV_OK;
}

static sv_err ref_wait(sv_queue *q)
{
    (void)q;
    return SV_OK;
}

extern const sv_chip sv_chip_ref;
const sv_chip sv_chip_ref = {
    .size = sizeof(sv_chip),
    .abi = SV_CHIP_ABI,
    .opset = SV_OPSET,
    .name = "ref",
    .version = "1",
    .count = ref_count,
    .open = ref_open,
    .close = ref_close,
    .info = ref_info,
    .alloc = ref_alloc,
    .free = ref_free,
    .queue_open = ref_queue_open,
    .queue_close = ref_queue_close,
    .put = ref_put,
    .get = ref_get,
    .copy = ref_copy,
    .wait = ref_wait,
};
