/* SPDX-License-Identifier: Apache-2.0
 * GGUF v2 and v3: metadata and named tensors, read and written (ggml docs/gguf.md).
 * Threads: an opened file is constant and may be shared.
 */
#ifndef SV_FORMAT_GGUF_H
#define SV_FORMAT_GGUF_H

#include <stdbool.h>

#include "format/tensors.h"

#define SV_GGUF_MAX_KEYS 65536u
#define SV_GGUF_MAX_KEY 65535u                      /* bytes */
#define SV_GGUF_MAX_NAME 64u                        /* bytes of a tensor's name */
#define SV_GGUF_MAX_ARRAY (UINT64_C(1) << 24)       /* items */
#define SV_GGUF_MAX_TEXT (UINT64_C(16) << 20)       /* bytes */
#define SV_GGUF_MAX_TOKENIZER (UINT64_C(128) << 20) /* bytes of tokenizer.huggingface.json */
#define SV_GGUF_MIN_ALIGN 8u
#define SV_GGUF_MAX_ALIGN 65536u

typedef enum sv_gguf_type {
    SV_GGUF_U8,
    SV_GGUF_I8,
    SV_GGUF_U16,
    SV_GGUF_I16,
    SV_GGUF_U32,
    SV_GGUF_I32,
    SV_GGUF_F32,
    SV_GGUF_BOOL,
    SV_GGUF_STRING,
    SV_GGUF_ARRAY,
    SV_GGUF_U64,
    SV_GGUF_I64,
    SV_GGUF_F64
} sv_gguf_type;

typedef struct sv_gguf_value {
    const char *key;
    sv_gguf_type type; /* of the value, or of the items of an array */
    bool is_array;
    uint64_t n;            /* items; 1 for a plain value */
    union {                /* plain values and arrays alike: pointers to n items, widened: */
        const uint64_t *u; /* U8 .. U64, BOOL */
        const int64_t *i;  /* I8 .. I64 */
        const double *f;   /* F32, F64 (exact) */
        const sv_str *s;   /* STRING */
    } at;
} sv_gguf_value;

typedef struct sv_gguf {
    uint32_t version, alignment;
    sv_gguf_value *value;
    size_t n_value;
    sv_tensors *tensors;
    sv_arena *arena;
} sv_gguf;

/* Reads one file, or all parts when the name ends in -00001-of-0000N.gguf. Everything is validated against the real
 * file length before the first large allocation. */
sv_err sv_gguf_open(const char *path, sv_gguf **out);
/* The same for one file that is in memory; p must outlive *out. `name` stands in messages. */
sv_err sv_gguf_open_bytes(const uint8_t *p, size_t n, const char *name, sv_gguf **out);
void sv_gguf_close(sv_gguf *g); /* NULL is fine */

const sv_gguf_value *sv_gguf_find(const sv_gguf *g, const char *key); /* NULL: not there */
/* Typed access; `need` false: a missing key leaves *out as it is. Wrong type or range: SV_E_FORMAT with key and
 * finding. u32 takes any whole-number type that holds 0 .. 2^32 - 1; f64 takes F32 and F64. */
sv_err sv_gguf_u32(const sv_gguf *g, const char *key, bool need, uint32_t *out);
sv_err sv_gguf_f64(const sv_gguf *g, const char *key, bool need, double *out);
sv_err sv_gguf_bool(const sv_gguf *g, const char *key, bool need, bool *out);
sv_err sv_gguf_text(const sv_gguf *g, const char *key, bool need, sv_str *out);

/* Writes one file, version 3: values in the order given (but split.* keys: the file is whole), then tensors in the
 * order given. alignment 0: what the key general.alignment says, else 32; another alignment than 32 needs that key.
 * Values and tensors that the reader would refuse are refused with SV_E_ARG, SV_E_LIMIT, SV_E_DTYPE or SV_E_SHAPE. */
sv_err sv_gguf_write(const char *path, const sv_gguf_value *value, size_t n_value, const sv_named_tensor *item,
                     size_t n, uint32_t alignment);

#endif
