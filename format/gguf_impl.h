/* SPDX-License-Identifier: Apache-2.0
 * What reading and writing GGUF share: numbers of types, and their limits.
 */
#ifndef SV_FORMAT_GGUF_IMPL_H
#define SV_FORMAT_GGUF_IMPL_H

#include "format/gguf.h"

#define SV_GGUF_DEFAULT_ALIGN 32u
#define SV_GGUF_TYPE_COUNT 13u

/* Bytes of a value in the file; 8 (the length) for a text, 12 (type and count) for an array. t < SV_GGUF_TYPE_COUNT. */
uint32_t sv_gguf_type_bytes(sv_gguf_type t);
const char *sv_gguf_type_name(uint32_t t);
/* ggml's number of an item type, and back: SV_E_UNSUPPORTED with the type's name. */
bool sv_gguf_number_of(sv_dtype t, uint32_t *out);
sv_err sv_gguf_dtype_of(uint32_t number, const char *tensor, sv_dtype *out);
/* SV_E_FORMAT: not ASCII, or a control character. SV_E_LIMIT: empty or too long. */
sv_err sv_gguf_check_key(sv_str key);
sv_err sv_gguf_check_name(sv_str name);
bool sv_gguf_align_ok(uint64_t alignment);
/* The next multiple of a power of two; false: it wraps. */
bool sv_gguf_align_up(uint64_t at, uint64_t alignment, uint64_t *out);
uint64_t sv_gguf_max_text(const char *key);

#endif
