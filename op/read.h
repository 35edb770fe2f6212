/* SPDX-License-Identifier: Apache-2.0
 * Operands as the references read them: rows of any float or block type, in any layout, widened to f32.
 * Threads: values.
 */
#ifndef SV_OP_READ_H
#define SV_OP_READ_H

#include "num/kblock.h"
#include "op/spec.h"

/* Row `row` of a plain F32 tensor of 2 dimensions. */
static inline float *sv_row(const sv_tensor *t, uint64_t row)
{
    return (float *)sv_tensor_host(t) + row * t->stride[0];
}

static inline const int32_t *sv_ints(const sv_tensor *t)
{
    return sv_tensor_host(t);
}

/* The tensor as rows of its last dimension: how many, how long, how far apart in items. 1-D: one row. */
typedef struct sv_rows {
    uint64_t n, step;
    uint32_t len;
} sv_rows;

static inline sv_rows sv_rows_of(const sv_tensor *t)
{
    sv_rows r = { .len = t->dim[t->n_dim - 1] };
    r.n = r.len ? sv_tensor_items(t) / r.len : 0;
    r.step = t->n_dim == 2 ? t->stride[0] : r.len;
    return r;
}

/* One item of a float type: widened exactly, or rounded once. */
static inline float sv_load_float(sv_dtype dtype, const uint8_t *p)
{
    if (dtype == SV_DT_F32)
        return sv_f32_of_bits(sv_load_u32(p));
    return dtype == SV_DT_BF16 ? sv_bf16_widen(sv_load_u16(p)) : sv_f16_widen(sv_load_u16(p));
}

static inline void sv_store_float(sv_dtype dtype, uint8_t *p, float v)
{
    if (dtype == SV_DT_F32)
        sv_store_u32(p, sv_f32_bits(v));
    else
        sv_store_u16(p, dtype == SV_DT_BF16 ? sv_bf16_narrow(v) : sv_f16_narrow(v));
}

/* Row n of a 2-D tensor (float or block type, plain or packed), widened exactly: out [dim[1]]. */
void sv_read_row(const sv_tensor *t, uint32_t n, float *out);
/* All of a 2-D tensor, row by row: out [dim[0]][dim[1]]. */
void sv_read_all(const sv_tensor *t, float *out);

/* Row n of a Q8_0, Q4_0 or Q4_1 weight: codes [K] (Q4_0: n - 8; Q4_1: n), scale and, for Q4_1, min [K/32]. */
void sv_read_codes(const sv_tensor *t, uint32_t n, int8_t *code, float *scale, float *min);

/* Block kb of row n of a Q4_K, Q5_K or Q6_K weight in any layout. */
void sv_read_kblock(const sv_tensor *t, uint32_t n, uint32_t kb, sv_kblock *k);
/* Row n of a Q4_K, Q5_K or Q6_K weight in any layout: out [dim[1]/256]. */
void sv_read_kblocks(const sv_tensor *t, uint32_t n, sv_kblock *out);

#endif
