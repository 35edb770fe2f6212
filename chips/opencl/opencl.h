/* SPDX-License-Identifier: Apache-2.0
 * Inside the OpenCL chip: device, buffers, programs, and how a row launches a kernel.
 * Threads: as the plug-in ABI says, a device and its queues by one thread at a time.
 */
#ifndef SV_CHIPS_OPENCL_H
#define SV_CHIPS_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "samsvar/chip.h"

/* Programs are built when a row first needs one. */
typedef enum ocl_program {
    OCL_ELEM,
    OCL_NORM,
    OCL_MATMUL,
    OCL_BLOCK,
    OCL_ATTEND,
    OCL_MOVE,
    OCL_PROGRAM_COUNT
} ocl_program;

/*         name                program */
#define OCL_KERNEL_LIST(X) \
    X(add_f32, ELEM) \
    X(mul_f32, ELEM) \
    X(scale_f32, ELEM) \
    X(swiglu_f32, ELEM) \
    X(swiglu_grad_f32, ELEM) \
    X(adamw, ELEM) \
    X(rand_normal, ELEM) \
    X(rmsnorm_f32, NORM) \
    X(rmsnorm_bf16, NORM) \
    X(rmsnorm_f16, NORM) \
    X(rmsnorm_grad_f32, NORM) \
    X(rmsnorm_grad_bf16, NORM) \
    X(rmsnorm_grad_f16, NORM) \
    X(rmsnorm_grad_gain, NORM) \
    X(softmax_f32, NORM) \
    X(sum_pieces, NORM) \
    X(sumsq_pieces, NORM) \
    X(halve_pieces, NORM) \
    X(logprob, NORM) \
    X(logprob_grad, NORM) \
    X(argmax, NORM) \
    X(matmul_f32_1, MATMUL) \
    X(matmul_f32_2, MATMUL) \
    X(matmul_f32_6, MATMUL) \
    X(matmul_bf16_1, MATMUL) \
    X(matmul_bf16_2, MATMUL) \
    X(matmul_bf16_6, MATMUL) \
    X(matmul_f16_1, MATMUL) \
    X(matmul_f16_2, MATMUL) \
    X(matmul_f16_6, MATMUL) \
    X(matmul_tn, MATMUL) \
    X(pack_p16_4, MATMUL) \
    X(pack_p16_2, MATMUL) \
    X(widen_q8x, BLOCK) \
    X(block_S8_1, BLOCK) \
    X(block_S8_4, BLOCK) \
    X(block_S4_1, BLOCK) \
    X(block_S4_4, BLOCK) \
    X(block_A4_1, BLOCK) \
    X(block_A4_4, BLOCK) \
    X(quant_q8x, BLOCK) \
    X(attend, ATTEND) \
    X(kv_put, ATTEND) \
    X(attend_delta, ATTEND) \
    X(attend_grad_q, ATTEND) \
    X(attend_grad_kv, ATTEND) \
    X(rows_4, MOVE) \
    X(rows_2, MOVE) \
    X(copy_rows_4, MOVE) \
    X(copy_rows_2, MOVE) \
    X(fill_4, MOVE) \
    X(embed_f32, MOVE) \
    X(embed_bf16, MOVE) \
    X(embed_f16, MOVE) \
    X(embed_q8_0, MOVE) \
    X(embed_grad, MOVE) \
    X(rope_f32, MOVE) \
    X(cast_bf16_f32, MOVE) \
    X(cast_f16_f32, MOVE) \
    X(cast_f32_bf16, MOVE) \
    X(cast_f32_f16, MOVE)

typedef enum ocl_kernel_id {
#define OCL_ENUM(name, program) OCL_K_##name,
    OCL_KERNEL_LIST(OCL_ENUM)
#undef OCL_ENUM
        OCL_KERNEL_COUNT
} ocl_kernel_id;

struct sv_device {
    const sv_host *host;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    bool is_cpu;
    char name[128], driver[128];
    cl_program program[OCL_PROGRAM_COUNT];
    cl_kernel kernel[OCL_KERNEL_COUNT];
};

typedef struct ocl_staging { /* bytes of a put that the driver may still read; freed at the next wait */
    struct ocl_staging *next;
    char bytes[];
} ocl_staging;

struct sv_queue {
    sv_device *device;
    cl_command_queue cl;
    ocl_staging *staging;
};

struct sv_mark {
    cl_event event;
};

typedef struct ocl_buffer {
    sv_buffer pub; /* host stays NULL */
    cl_mem mem;
} ocl_buffer;

/* "CL_OUT_OF_RESOURCES (-5)"; a buffer per thread. */
const char *ocl_error(cl_int code);
sv_err ocl_fail(sv_device *d, cl_int code, const char *what);

/* The built kernel, cached in the device. */
sv_err ocl_kernel(sv_device *d, ocl_kernel_id id, cl_kernel *out);

/* A launch: begin, operands in the order of the kernel's parameters, go. The first error sticks and `go` returns it. */
typedef struct ocl_launch {
    sv_queue *q;
    ocl_kernel_id id;
    cl_kernel kernel;
    cl_uint n;
    sv_err err;
} ocl_launch;

ocl_launch ocl_begin(sv_queue *q, ocl_kernel_id id);
void ocl_span(ocl_launch *l, sv_span at, uint32_t item_bytes); /* buffer, then the offset in items as ulong */
void ocl_tensor(ocl_launch *l, const sv_tensor *t);            /* the same, in items of its type (bytes for blocks) */
void ocl_u32(ocl_launch *l, uint32_t v);
void ocl_u64(ocl_launch *l, uint64_t v);
void ocl_f32(ocl_launch *l, float v);
sv_err ocl_go(ocl_launch *l, uint64_t nx, uint64_t ny, uint64_t nz); /* work-items; nothing when one is 0 */

/* A tensor as rows: width items side by side, rows `stride` items apart. False when its strides are no such thing. */
typedef struct ocl_rows {
    uint64_t n, stride;
    uint32_t width;
} ocl_rows;
bool ocl_as_rows(const sv_tensor *t, ocl_rows *out);

extern const sv_kernel ocl_rows_table[SV_OP_COUNT]; /* rows.c */

#endif
