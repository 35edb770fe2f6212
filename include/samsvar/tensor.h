/* SPDX-License-Identifier: Apache-2.0
 * Tensors and calls: all that a kernel is ever given.
 */
#ifndef SAMSVAR_TENSOR_H
#define SAMSVAR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "samsvar/dtype.h"
#include "samsvar/err.h"
#include "samsvar/op.h"

#define SV_MAX_DIM 4

/* Device memory. A chip's own buffer struct begins with this one. host is the address when the processor can read it
 * (cpu, ref, odd), else NULL. */
typedef struct sv_buffer {
    void *host;
    uint64_t bytes;
} sv_buffer;

typedef struct sv_span {
    sv_buffer *buf;
    uint64_t off; /* bytes; not an address: OpenCL has none */
} sv_span;

/* Packed layouts of weights (num/image.h has one index function each). */
typedef enum sv_image {
    SV_IMAGE_PLAIN = 0, /* strides */
    SV_IMAGE_P16 = 1,   /* F32, BF16, F16: [ceil(n/16)][k][16] */
    SV_IMAGE_S8 = 2,    /* Q8_0: [ceil(n/32)][k/32] { 8 steps x 32 columns x 4 k, int8; 32 f16 scales } 1,088 B */
    SV_IMAGE_S4 = 3, /* Q4_0: [ceil(n/32)][k/32] { 4 x 32 columns x 4 bytes, step 2p low, 2p + 1 high; 32 f16 } 576 B */
    SV_IMAGE_A4 = 4, /* Q4_1: as S4, then 32 f16 minima: 640 B */
    SV_IMAGE_K4 =
        5, /* Q4_K: [ceil(n/32)][k/256] { 8 parts of codes as S4; byte scales, minima; f16 d, dmin } 4,736 B */
    SV_IMAGE_K5 = 6, /* Q5_K: as K4 with words of fifth bits: 5,760 B */
    SV_IMAGE_K6 = 7  /* Q6_K: as K4 with words of bits 4 and 5, int8 scales of 16 items, f16 d: 6,720 B */
} sv_image;

typedef struct sv_tensor {
    sv_dtype dtype;
    uint32_t n_dim, dim[SV_MAX_DIM]; /* outermost first, as PyTorch prints them */
    uint64_t stride[SV_MAX_DIM];     /* in items; dense for block types (whose rows are contiguous) */
    sv_span at;
    uint8_t image; /* sv_image */
} sv_tensor;

/* One op with its operands bound. in and out have passed the op's shape rule: kernels check nothing. */
typedef struct sv_call {
    sv_op op;
    uint32_t n_in, n_out;
    const sv_tensor *in; /* [n_in] read */
    sv_tensor *out;      /* [n_out] written in full, but for operands that ops.def calls inout */
    const void *attr;    /* the op's sv_attr_NAME, or NULL */
} sv_call;

/* The address of a tensor's first item; only for host memory. */
static inline void *sv_tensor_host(const sv_tensor *t)
{
    return (char *)t->at.buf->host + t->at.off;
}

/* Product of all dimensions (1 for none). */
static inline uint64_t sv_tensor_items(const sv_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dim; i++)
        n *= t->dim[i];
    return n;
}

#endif
