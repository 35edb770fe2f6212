/* SPDX-License-Identifier: Apache-2.0
 * Item types of tensors, in files and on chips. Append only: the number is in the ABI.
 */
#ifndef SAMSVAR_DTYPE_H
#define SAMSVAR_DTYPE_H

#include <stdint.h>

/* clang-format off */
/*         name    value items bytes  of a block; in-file name */
#define SV_DTYPE_LIST(X) \
    X(F32,     0,   1,   4, "F32") \
    X(BF16,    1,   1,   2, "BF16") \
    X(F16,     2,   1,   2, "F16") \
    X(I32,     3,   1,   4, "I32") \
    X(I64,     4,   1,   8, "I64") \
    X(U8,      5,   1,   1, "U8") \
    X(BOOL,    6,   1,   1, "BOOL") \
    X(Q8_0,    7,  32,  34, "Q8_0") \
    X(Q4_0,    8,  32,  18, "Q4_0") \
    X(Q4_1,    9,  32,  20, "Q4_1") \
    X(Q5_0,   10,  32,  22, "Q5_0") \
    X(Q5_1,   11,  32,  24, "Q5_1") \
    X(Q4_K,   12, 256, 144, "Q4_K") \
    X(Q5_K,   13, 256, 176, "Q5_K") \
    X(Q6_K,   14, 256, 210, "Q6_K") \
    X(Q8X,    15,  32,  40, "Q8X") /* quantised activations: f32 scale, i32 sum of codes, 32 int8 codes */
/* clang-format on */

typedef enum sv_dtype {
#define SV_DTYPE_ENUM(name, value, items, bytes, text) SV_DT_##name = value,
    SV_DTYPE_LIST(SV_DTYPE_ENUM)
#undef SV_DTYPE_ENUM
        SV_DTYPE_COUNT
} sv_dtype;

static inline uint32_t sv_dtype_block_items(sv_dtype t)
{
    static const uint16_t n[] = {
#define SV_DTYPE_ROW(name, value, items, bytes, text) items,
        SV_DTYPE_LIST(SV_DTYPE_ROW)
#undef SV_DTYPE_ROW
    };
    return n[t];
}

static inline uint32_t sv_dtype_block_bytes(sv_dtype t)
{
    static const uint16_t n[] = {
#define SV_DTYPE_ROW(name, value, items, bytes, text) bytes,
        SV_DTYPE_LIST(SV_DTYPE_ROW)
#undef SV_DTYPE_ROW
    };
    return n[t];
}

static inline const char *sv_dtype_name(sv_dtype t)
{
    static const char *const n[] = {
#define SV_DTYPE_ROW(name, value, items, bytes, text) text,
        SV_DTYPE_LIST(SV_DTYPE_ROW)
#undef SV_DTYPE_ROW
    };
    return (unsigned)t < SV_DTYPE_COUNT ? n[t] : "?";
}

#endif
