/* SPDX-License-Identifier: Apache-2.0
 * GGUF v2 and v3: metadata and named tensors, read and written (ggml docs/gguf.md).
 * Threads: an opened file is constant and may be shared.
 */
#ifndef SV_FORMAT_GGUF_H
#define SV_FORMAT_GGUF_H

#include <stdbool.h>

#include "format/tensors.h"

typedef enum sv_gguf_type {
    SV_GGUF_U8, SV_GGUF_I8, SV_GGUF_U16, SV_GGUF_I16, SV_GGUF_U32, SV_GGUF_I32, SV_GGUF_F32, SV_GGUF_BOOL,
    SV_GGUF_STRING, SV_GGUF_ARRAY, SV_GGUF_U64, SV_GGUF_I64, SV_GGUF_F64
} sv_gguf_type;

typedef struct sv_gguf_value {
    const char *key;
    sv_gguf_type type;       /* of the value, or of the items of an array */
    bool is_array;
    uint64_t n;              /* items; 1 for a plain value */
    union {                  /* plain values and arrays alike: pointers to n items, widened: */
        const uint64_t *u;   /* U8 .. U64, BOOL */
        const int64_t *i;    /* I8 .. I64 */
        const double *f;     /* F32, F64 (exact) */
        const sv_str *s;     /* STRING */
    } at;
} sv_gguf_value;

typedef struct sv_gguf {
    uint32_t version, alignment;
    sv_gguf_value *value;
    size_t n_value;
    sv_tensors *tensors;
    sv_arena *arena;
} sv_gguf;

/* Reads one file, or all parts when the name ends in -00001-of-0000N.gguf. Everything is validated against the real file
 * length before the first large allocation. */
sv_err sv_gguf_open(const char *path, sv_gguf **out);
void sv_gguf_close(sv_gguf *g);

const sv_gguf_value *sv_gguf_find(const sv_gguf *g, const char *key); /* NULL: not there */
/* Typed access; `need` false: a missing key leaves *out as it is. Wrong type or range: SV_E_FORMAT with key and finding. */
sv_err sv_gguf_u32(const sv_gguf *g, const char *key, bool need, uint32_t *out);
sv_err sv_gguf_f64(const sv_gguf *g, const char *key, bool need, double *out);
sv_err sv_gguf_bool(const sv_gguf *g, const char *key, bool need, bool *out);
sv_err sv_gguf_text(const sv_gguf *g, const char *key, bool need, sv_str *out);

/* Writes one file, version 3: values in the order given, then tensors in the order given. */
sv_err sv_gguf_write(const char *path, const sv_gguf_value *value, size_t n_value, const sv_named_tensor *item, size_t n,
                     uint32_t alignment);

#endif
