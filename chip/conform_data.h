/* SPDX-License-Identifier: Apache-2.0
 * Operands of the conformance suite: numbers that are likely to show a wrong order, a wrong rounding or a wrong edge.
 * Threads: values.
 */
#ifndef SV_CHIP_CONFORM_DATA_H
#define SV_CHIP_CONFORM_DATA_H

#include "op/spec.h"

typedef enum sv_data_kind {
    SV_DATA_NORMAL,  /* standard normal */
    SV_DATA_SPECIAL, /* with zeros of both signs, subnormals, and now and then inf, NaN, 1e38 */
    SV_DATA_CANCEL,  /* neighbours that nearly cancel, so that any other order of a sum shows */
    SV_DATA_WIDE,    /* exponents from -60 to 60 */
    SV_DATA_ZERO, /* rows of tiny numbers, whose products vanish and leave the sign of a zero; rows whose maximum is -0
                   */
    SV_DATA_COUNT
} sv_data_kind;

const char *sv_data_name(sv_data_kind kind);

/* Which draw: any other member gives other numbers. */
typedef struct sv_data_key {
    uint64_t seed;
    uint32_t call; /* op and case */
    uint32_t operand;
} sv_data_key;

/* Fills every item of a plain tensor in host memory (t->at.buf->host), gaps between strided rows untouched. Block types
 * get codes of the whole range and finite scales, Q8X its sums; integers are 0. */
void sv_data_fill(const sv_tensor *t, sv_data_kind kind, const sv_data_key *key);

/* Byte offset, from the tensor's first item, of item `index` (row-major, in units of blocks for block types). */
uint64_t sv_data_offset(const sv_tensor *t, uint64_t index);
/* Units of the tensor: items, or blocks for block types. */
uint64_t sv_data_units(const sv_tensor *t);

/* Maps every NaN to the canonical one, in place: items of F32, BF16 and F16, the scale of Q8X. */
void sv_data_canonical(const sv_tensor *t);

#endif
