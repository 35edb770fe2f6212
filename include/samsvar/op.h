/* SPDX-License-Identifier: Apache-2.0
 * Op numbers and attributes. Append only, as ops.def.
 */
#ifndef SAMSVAR_OP_H
#define SAMSVAR_OP_H

#include <stdint.h>

#include "samsvar/dtype.h"

#define SV_OPSET 1

typedef enum sv_op {
#define SV_OP(name, n_in, n_out, class, formula) SV_OP_##name,
#include "samsvar/ops.def"
#undef SV_OP
    SV_OP_COUNT
} sv_op;

/* clang-format off */
typedef enum sv_op_class { SV_CLASS_MOVE, SV_CLASS_ELEM, SV_CLASS_SUM, SV_CLASS_DOT, SV_CLASS_ARG, SV_CLASS_RAND } sv_op_class;

typedef enum sv_layout {
    SV_NT, /* a [M,K], b [N,K] -> y [M,N]: forward; b may be any weight type and image; a Q8X when b is block-quantised */
    SV_NN, /* a [M,N], b [N,K] -> y [M,K]: gradient to the input; b F32, BF16, F16 plain */
    SV_TN  /* a [T,N], b [T,K], seg [L+1] -> c [N,K]: gradient to the weight; leaf totals added left to right */
} sv_layout;

#define SV_PAGE 32        /* positions of a KV page */
#define SV_KEY_BLOCK 256  /* keys of an attention block, by absolute position */
#define SV_DOT_CHUNK 256

typedef struct sv_attr_matmul {
    uint32_t layout;     /* sv_layout */
    uint32_t accumulate; /* TN only: 1: c is inout, c = ((c + leaf_0) + leaf_1) ...; 0: from +0 */
} sv_attr_matmul;
typedef struct sv_attr_pack { uint32_t image; } sv_attr_pack;
typedef struct sv_attr_scale { float factor; } sv_attr_scale;
typedef struct sv_attr_fill { float value; uint32_t n_dim, dim[4]; } sv_attr_fill; /* F32 */
typedef struct sv_attr_cast { uint32_t dtype; } sv_attr_cast;
typedef struct sv_attr_rmsnorm { float eps; } sv_attr_rmsnorm; /* also rmsnorm_grad; D = g's length divides x's row */
typedef struct sv_attr_rope {
    uint32_t d_head;
    uint32_t inverse; /* 1: rotate back; the scale is then multiplied first */
    float scale;      /* multiplied after the rotation; exactly 1: no multiplication */
} sv_attr_rope;
typedef struct sv_attr_attend { uint32_t n_head, n_kv_head, d_head; } sv_attr_attend; /* also attend_grad */
typedef struct sv_attr_scatter_rows { uint32_t n_row; } sv_attr_scatter_rows;
typedef struct sv_attr_adamw { float beta1, beta2, eps, decay; } sv_attr_adamw;
typedef struct sv_attr_rand_normal { uint64_t seed; uint32_t stream, step; float std; uint32_t n_dim, dim[4]; } sv_attr_rand_normal;
/* clang-format on */

#endif
