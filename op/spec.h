/* SPDX-License-Identifier: Apache-2.0
 * The row of an op: formula, shape rule, reference, gradient, conformance cases.
 * Threads: constants.
 */
#ifndef SV_OP_SPEC_H
#define SV_OP_SPEC_H

#include "op/tape.h"
#include "samsvar/tensor.h"

/* A conformance case: shapes, dtypes and attributes of one call; op/case.c fills the operands. */
typedef struct sv_case {
    uint32_t n_in, n_out;
    sv_tensor in[8], out[4]; /* dtype, dims, image, strides (0: dense); at is unset */
    union {
        sv_attr_matmul matmul;
        sv_attr_pack pack;
        sv_attr_scale scale;
        sv_attr_fill fill;
        sv_attr_cast cast;
        sv_attr_rmsnorm rmsnorm;
        sv_attr_rope rope;
        sv_attr_attend attend;
        sv_attr_scatter_rows scatter_rows;
        sv_attr_adamw adamw;
        sv_attr_rand_normal rand_normal;
    } attr;
    bool has_attr;
    char what[64]; /* "NT 7x257x33 bf16 P16" */
    /* Fills integer inputs that must obey rules (tok < V, pos, seq, table, seg, idx); NULL: ops without such inputs.
     * in[i].at is host memory then. */
    void (*fill)(const struct sv_case *c, sv_tensor *in, uint32_t variant);
    uint32_t fill_arg[4]; /* numbers for fill */
} sv_case;

typedef struct sv_opspec {
    const char *name, *formula;
    uint32_t n_in, n_out; /* most inputs; outputs */
    sv_op_class class;
    size_t attr_bytes;
    uint32_t inout; /* bit i: out[i] is read and written, so the caller gives it */
    /* Checks operands; fills dtype, dims and dense strides of outputs that the caller did not give (n_dim = 0 and not
     * in `inout`), checks those that it gave. */
    sv_err (*shape)(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out);
    size_t (*ref_scratch_bytes)(const sv_call *call); /* NULL: none */
    void (*ref)(const sv_call *call, void *scratch);  /* the law: docs/arithmetic.md in C; host memory */
    /* Emits calls that compute din[i] from dout[]; NULL: not differentiable. din[i] stays SV_NONE for inputs without a
     * gradient. Gradients of weights are accumulated into sv_tape_param_grad(t, in[i]) and not returned. */
    void (*grad)(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din);
    uint32_t (*cases)(uint32_t i, sv_case *out); /* fills the i-th case, 1; 0 past the last */
} sv_opspec;

extern const sv_opspec *const sv_opspecs[SV_OP_COUNT]; /* op/table.c, from ops.def */

#define SV_OP(name, n_in, n_out, class, formula) extern const sv_opspec sv_opspec_##name;
#include "samsvar/ops.def"
#undef SV_OP

/* The mask of outputs that this call reads as well as writes: the op's `inout`, and bit 0 of a matmul that accumulates.
 */
uint32_t sv_op_inout(sv_op op, const void *attr);

/* Fills strides densely; 0 for a tensor without dimensions. */
void sv_tensor_dense(sv_tensor *t);
/* Bytes from the first item to behind the last one (dense or strided or an image); SV_E_LIMIT when it wraps 2^62. */
sv_err sv_tensor_bytes(const sv_tensor *t, uint64_t *out);
/* dtype and dims set, dense strides. */
sv_tensor sv_tensor_make(sv_dtype dtype, uint32_t n_dim, const uint32_t *dim);
/* "f32 [3, 4]" in a ring of 4 buffers per thread. */
const char *sv_tensor_text(const sv_tensor *t);
bool sv_tensor_same_shape(const sv_tensor *a, const sv_tensor *b);

#endif
