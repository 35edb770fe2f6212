/* SPDX-License-Identifier: Apache-2.0
 * The OpenCL chip: devices, memory, queues. Buffers have no address, so an operand is a buffer and an offset in items.
 * A device that lacks subnormals, fma or correctly rounded division and root cannot obey the law and is refused.
 */
#include "chips/opencl/opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SV_CHIP_SYMBOL
#define SV_CHIP_SYMBOL sv_chip_plugin_v1
#endif

#define MAX_DEVICE 16
#define MAX_STAGED (1u << 20) /* a larger put waits for the copy instead of making its own */

/* Errors. */

const char *ocl_error(cl_int code)
{
    static _Thread_local char text[64];
    static const struct {
        cl_int code;
        const char *name;
    } known[] = {
        { CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND" },
        { CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE" },
        { CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE" },
        { CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE" },
        { CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES" },
        { CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY" },
        { CL_MEM_COPY_OVERLAP, "CL_MEM_COPY_OVERLAP" },
        { CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE" },
        { CL_INVALID_VALUE, "CL_INVALID_VALUE" },
        { CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE" },
        { CL_INVALID_BINARY, "CL_INVALID_BINARY" },
        { CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS" },
        { CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME" },
        { CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX" },
        { CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE" },
        { CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS" },
        { CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE" },
    };
    const char *name = "OpenCL error";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code)
            name = known[i].name;
    snprintf(text, sizeof text, "%s (%d)", name, (int)code);
    return text;
}

sv_err ocl_fail(sv_device *d, cl_int code, const char *what)
{
    bool memory =
        code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE;
    return d->host->fail(memory ? SV_E_NOMEM : SV_E_CHIP, "opencl: %s failed on %s: %s", what, d->name,
                         ocl_error(code));
}

/* Devices: those that can obey first, graphics cards before processors. */

typedef struct found {
    cl_platform_id platform;
    cl_device_id id;
    int rank;
} found;

#define NEEDED (CL_FP_DENORM | CL_FP_INF_NAN | CL_FP_ROUND_TO_NEAREST | CL_FP_FMA | CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT)

static cl_device_fp_config float_config(cl_device_id id)
{
    cl_device_fp_config fp = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof fp, &fp, NULL) != CL_SUCCESS)
        return 0;
    return fp;
}

static bool is_little_endian(cl_device_id id)
{
    cl_bool little = CL_FALSE;
    return clGetDeviceInfo(id, CL_DEVICE_ENDIAN_LITTLE, sizeof little, &little, NULL) == CL_SUCCESS && little;
}

static bool device_is_cpu(cl_device_id id)
{
    cl_device_type type = 0;
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    return (type & CL_DEVICE_TYPE_CPU) != 0;
}

static int rank_of(cl_device_id id)
{
    bool fits = (float_config(id) & NEEDED) == NEEDED && is_little_endian(id);
    return (fits ? 0 : 2) + (device_is_cpu(id) ? 1 : 0);
}

static uint32_t find_devices(found out[MAX_DEVICE])
{
    cl_platform_id platform[8];
    cl_uint n_platform = 0, n_device;
    uint32_t n = 0;
    if (clGetPlatformIDs(8, platform, &n_platform) != CL_SUCCESS)
        return 0;
    for (cl_uint p = 0; p < n_platform && p < 8; p++) {
        cl_device_id id[MAX_DEVICE];
        if (clGetDeviceIDs(platform[p], CL_DEVICE_TYPE_ALL, MAX_DEVICE, id, &n_device) != CL_SUCCESS)
            continue;
        for (cl_uint i = 0; i < n_device && i < MAX_DEVICE && n < MAX_DEVICE; i++) {
            found f = { platform[p], id[i], rank_of(id[i]) };
            uint32_t at = n++;
            for (; at > 0 && out[at - 1].rank > f.rank; at--)
                out[at] = out[at - 1];
            out[at] = f;
        }
    }
    return n;
}

static sv_err ocl_count(uint32_t *n)
{
    found f[MAX_DEVICE];
    *n = find_devices(f);
    return SV_OK;
}

static sv_err check_device(sv_device *d)
{
    cl_device_fp_config fp = float_config(d->id);
    if ((fp & NEEDED) != NEEDED)
        return d->host->fail(SV_E_CHIP, "opencl: %s cannot obey the arithmetic: it lacks%s%s%s%s%s in single precision",
                             d->name, fp & CL_FP_DENORM ? "" : " subnormal numbers,",
                             fp & CL_FP_INF_NAN ? "" : " inf and NaN,",
                             fp & CL_FP_ROUND_TO_NEAREST ? "" : " round to nearest,", fp & CL_FP_FMA ? "" : " fma,",
                             fp & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ? "" : " correctly rounded division and root,");
    if (!is_little_endian(d->id))
        return d->host->fail(SV_E_CHIP, "opencl: %s is big-endian, which nothing here is written for", d->name);
    return SV_OK;
}

static void ocl_close(sv_device *d)
{
    if (d == NULL)
        return;
    for (int i = 0; i < OCL_KERNEL_COUNT; i++)
        if (d->kernel[i] != NULL)
            clReleaseKernel(d->kernel[i]);
    for (int i = 0; i < OCL_PROGRAM_COUNT; i++)
        if (d->program[i] != NULL)
            clReleaseProgram(d->program[i]);
    if (d->context != NULL)
        clReleaseContext(d->context);
    free(d);
}

static sv_err ocl_open(uint32_t index, const sv_host *host, sv_device **out)
{
    found f[MAX_DEVICE];
    uint32_t n = find_devices(f);
    if (index >= n)
        return host->fail(SV_E_CHIP, "opencl: device %u asked for, %u found", index, n);
    sv_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return host->fail(SV_E_NOMEM, "opencl: no memory for a device");
    d->host = host;
    d->platform = f[index].platform;
    d->id = f[index].id;
    d->is_cpu = device_is_cpu(d->id);
    clGetDeviceInfo(d->id, CL_DEVICE_NAME, sizeof d->name - 1, d->name, NULL);
    clGetDeviceInfo(d->id, CL_DRIVER_VERSION, sizeof d->driver - 1, d->driver, NULL);
    sv_err err = check_device(d);
    if (err == SV_OK) {
        cl_context_properties props[] = { CL_CONTEXT_PLATFORM, (cl_context_properties)d->platform, 0 };
        cl_int code;
        d->context = clCreateContext(props, 1, &d->id, NULL, NULL, &code);
        if (code != CL_SUCCESS)
            err = ocl_fail(d, code, "making a context");
    }
    if (err != SV_OK) {
        ocl_close(d);
        return err;
    }
    *out = d;
    return SV_OK;
}

static sv_err ocl_info(sv_device *d, sv_device_info *out)
{
    cl_ulong bytes = 0;
    cl_uint units = 1;
    memset(out, 0, sizeof *out);
    clGetDeviceInfo(d->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof bytes, &bytes, NULL);
    clGetDeviceInfo(d->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    snprintf(out->name, sizeof out->name, "%.70s, driver %.14s", d->name, d->driver);
    out->mem_bytes = bytes;
    out->align = 64;
    out->n_thread = units;
    out->is_exact = true;
    out->host_memory = false;
    return SV_OK;
}

/* Memory. */

static sv_err ocl_alloc(sv_device *d, size_t bytes, sv_buffer **out)
{
    ocl_buffer *b = calloc(1, sizeof *b);
    if (b == NULL)
        return d->host->fail(SV_E_NOMEM, "opencl: no memory for a buffer");
    cl_int code;
    b->mem = clCreateBuffer(d->context, CL_MEM_READ_WRITE, bytes > 0 ? bytes : 1, NULL, &code);
    if (code != CL_SUCCESS) {
        free(b);
        return ocl_fail(d, code, "allocating a buffer");
    }
    b->pub.bytes = bytes;
    *out = &b->pub;
    return SV_OK;
}

static void ocl_free(sv_device *d, sv_buffer *b)
{
    (void)d;
    if (b == NULL)
        return;
    clReleaseMemObject(((ocl_buffer *)b)->mem); /* the driver keeps it until queued commands are done */
    free(b);
}

/* Work. */

static sv_err ocl_queue_open(sv_device *d, sv_queue **out)
{
    sv_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return d->host->fail(SV_E_NOMEM, "opencl: no memory for a queue");
    cl_int code;
    q->device = d;
    q->cl = clCreateCommandQueue(d->context, d->id, 0, &code);
    if (code != CL_SUCCESS) {
        free(q);
        return ocl_fail(d, code, "making a queue");
    }
    *out = q;
    return SV_OK;
}

static void drop_staging(sv_queue *q)
{
    while (q->staging != NULL) {
        ocl_staging *s = q->staging;
        q->staging = s->next;
        free(s);
    }
}

static sv_err ocl_wait(sv_queue *q)
{
    cl_int code = clFinish(q->cl);
    drop_staging(q);
    return code == CL_SUCCESS ? SV_OK : ocl_fail(q->device, code, "waiting");
}

static void ocl_queue_close(sv_queue *q)
{
    clFinish(q->cl);
    drop_staging(q);
    clReleaseCommandQueue(q->cl);
    free(q);
}

static cl_mem mem_of(sv_span s)
{
    return ((ocl_buffer *)s.buf)->mem;
}

static sv_err ocl_put(sv_queue *q, sv_span dst, const void *src, size_t bytes)
{
    if (bytes == 0)
        return SV_OK;
    cl_bool blocking = CL_TRUE;
    if (bytes <= MAX_STAGED) {
        ocl_staging *s = malloc(sizeof *s + bytes);
        if (s != NULL) {
            memcpy(s->bytes, src, bytes);
            s->next = q->staging;
            q->staging = s;
            src = s->bytes;
            blocking = CL_FALSE;
        }
    }
    cl_int code = clEnqueueWriteBuffer(q->cl, mem_of(dst), blocking, dst.off, bytes, src, 0, NULL, NULL);
    return code == CL_SUCCESS ? SV_OK : ocl_fail(q->device, code, "writing a buffer");
}

static sv_err ocl_get(sv_queue *q, void *dst, sv_span src, size_t bytes)
{
    if (bytes == 0)
        return SV_OK;
    cl_int code = clEnqueueReadBuffer(q->cl, mem_of(src), CL_FALSE, src.off, bytes, dst, 0, NULL, NULL);
    return code == CL_SUCCESS ? SV_OK : ocl_fail(q->device, code, "reading a buffer");
}

static sv_err ocl_copy(sv_queue *q, sv_span dst, sv_span src, size_t bytes)
{
    if (bytes == 0)
        return SV_OK;
    cl_int code = clEnqueueCopyBuffer(q->cl, mem_of(src), mem_of(dst), src.off, dst.off, bytes, 0, NULL, NULL);
    return code == CL_SUCCESS ? SV_OK : ocl_fail(q->device, code, "copying a buffer");
}

static sv_err ocl_mark(sv_queue *q, sv_mark **out)
{
    sv_mark *m = calloc(1, sizeof *m);
    if (m == NULL)
        return q->device->host->fail(SV_E_NOMEM, "opencl: no memory for a mark");
    cl_int code = clEnqueueMarkerWithWaitList(q->cl, 0, NULL, &m->event);
    if (code == CL_SUCCESS)
        code = clFlush(q->cl); /* another queue may wait for it only once it is on its way */
    if (code != CL_SUCCESS) {
        free(m);
        return ocl_fail(q->device, code, "marking");
    }
    *out = m;
    return SV_OK;
}

static sv_err ocl_after(sv_queue *q, sv_mark *m)
{
    cl_int code = clEnqueueBarrierWithWaitList(q->cl, 1, &m->event, NULL);
    return code == CL_SUCCESS ? SV_OK : ocl_fail(q->device, code, "waiting for a mark");
}

static void ocl_mark_drop(sv_mark *m)
{
    if (m == NULL)
        return;
    clReleaseEvent(m->event);
    free(m);
}

/* Launching. */

ocl_launch ocl_begin(sv_queue *q, ocl_kernel_id id)
{
    ocl_launch l = { .q = q, .id = id };
    l.err = ocl_kernel(q->device, id, &l.kernel);
    return l;
}

static void set_arg(ocl_launch *l, size_t bytes, const void *value)
{
    if (l->err != SV_OK)
        return;
    cl_int code = clSetKernelArg(l->kernel, l->n++, bytes, value);
    if (code != CL_SUCCESS)
        l->err = ocl_fail(l->q->device, code, "setting a kernel's argument");
}

void ocl_span(ocl_launch *l, sv_span at, uint32_t item_bytes)
{
    cl_mem mem = at.buf != NULL ? mem_of(at) : NULL;
    set_arg(l, sizeof mem, &mem);
    ocl_u64(l, at.off / item_bytes);
}

void ocl_tensor(ocl_launch *l, const sv_tensor *t)
{
    ocl_span(l, t->at, sv_dtype_block_items(t->dtype) > 1 ? 1 : sv_dtype_block_bytes(t->dtype));
}

void ocl_u32(ocl_launch *l, uint32_t v)
{
    set_arg(l, sizeof v, &v);
}
void ocl_u64(ocl_launch *l, uint64_t v)
{
    set_arg(l, sizeof v, &v);
}
void ocl_f32(ocl_launch *l, float v)
{
    set_arg(l, sizeof v, &v);
}

sv_err ocl_go(ocl_launch *l, uint64_t nx, uint64_t ny, uint64_t nz)
{
    static const size_t one[3] = { 1, 1, 1 };
    if (l->err != SV_OK || nx == 0 || ny == 0 || nz == 0)
        return l->err;
    size_t global[3] = { nx, ny, nz };
    cl_int code =
        clEnqueueNDRangeKernel(l->q->cl, l->kernel, 3, NULL, global, l->q->device->is_cpu ? one : NULL, 0, NULL, NULL);
    return code == CL_SUCCESS ? SV_OK : ocl_fail(l->q->device, code, "launching a kernel");
}

bool ocl_as_rows(const sv_tensor *t, ocl_rows *out)
{
    *out = (ocl_rows){ .n = 1, .stride = 0, .width = 1 };
    if (t->n_dim == 0)
        return true;
    out->width = t->dim[t->n_dim - 1];
    out->stride = out->width;
    if (out->width > 1 && t->stride[t->n_dim - 1] != 1)
        return false;
    for (uint32_t i = t->n_dim - 1; i-- > 0;) {
        if (t->dim[i] == 1)
            continue;
        if (out->n == 1)
            out->stride = t->stride[i];
        else if (t->stride[i] != out->n * out->stride)
            return false;
        out->n *= t->dim[i];
    }
    return true;
}

/* Panels of outputs side by side for every type that has such a layout. */
static sv_image ocl_weight_image(sv_device *d, sv_dtype dtype, uint32_t n, uint32_t k)
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

extern const sv_chip SV_CHIP_SYMBOL;
const sv_chip SV_CHIP_SYMBOL = {
    .size = sizeof(sv_chip),
    .abi = SV_CHIP_ABI,
    .opset = SV_OPSET,
    .name = "opencl",
    .version = "1",
    .count = ocl_count,
    .open = ocl_open,
    .close = ocl_close,
    .info = ocl_info,
    .alloc = ocl_alloc,
    .free = ocl_free,
    .queue_open = ocl_queue_open,
    .queue_close = ocl_queue_close,
    .put = ocl_put,
    .get = ocl_get,
    .copy = ocl_copy,
    .wait = ocl_wait,
    .mark = ocl_mark,
    .after = ocl_after,
    .mark_drop = ocl_mark_drop,
    .n_op = SV_OP_COUNT,
    .op = ocl_rows_table,
    .weight_image = ocl_weight_image,
};
