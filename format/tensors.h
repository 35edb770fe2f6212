/* SPDX-License-Identifier: Apache-2.0
 * A set of named tensors as it lies in a file or a set of files: views into mapped bytes, row order as in the file.
 * Threads: constant once opened.
 */
#ifndef SV_FORMAT_TENSORS_H
#define SV_FORMAT_TENSORS_H

#include <stdint.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "num/dtype.h"

#define SV_TENSOR_MAX_DIM 8
#define SV_TENSOR_MAX_ITEMS ((UINT64_C(1) << 48) - 1) /* of a dimension and of the product */
#define SV_TENSORS_MAX_FILE 65536u                    /* tensors of a file */
#define SV_TENSORS_MAX_MODEL 262144u                  /* tensors of a set of files */
#define SV_TENSORS_MAX_FILES 4096u                    /* files of a set */

typedef struct sv_named_tensor {
    const char *name;
    sv_dtype dtype;
    uint32_t n_dim;
    uint64_t dim[8]; /* outermost first (GGUF files store the reverse; readers turn it round) */
    const uint8_t *data;
    uint64_t bytes;
    const char *file; /* for messages; may be NULL when writing */
    uint64_t file_offset;
} sv_named_tensor;

typedef struct sv_tensors {
    sv_named_tensor *item; /* in file order */
    size_t n;
    sv_arena *arena; /* owns names and the mapping (deferred) */
    sv_map *by_name; /* name to index; NULL: sv_tensors_find walks the items */
} sv_tensors;

const sv_named_tensor *sv_tensors_find(const sv_tensors *t, const char *name); /* NULL: not there */
void sv_tensors_close(sv_tensors *t);                                          /* NULL is fine */

/* Items and bytes from dtype and dimensions, multiplied checked. SV_E_LIMIT: more than 8 dimensions, a dimension or a
 * product above SV_TENSOR_MAX_ITEMS; SV_E_FORMAT: the innermost dimension is no multiple of the block. Out may be NULL.
 */
sv_err sv_tensor_measure(const char *name, sv_dtype dtype, uint32_t n_dim, const uint64_t *dim, uint64_t *items,
                         uint64_t *bytes);
/* Fills by_name. SV_E_FORMAT names the tensor that is there twice, and both files. */
sv_err sv_tensors_index(sv_tensors *t);
/* Reads all data: SV_E_FORMAT with tensor and first index when a float is NaN or inf, or with tensor and block when a
 * scale is. Files may hold such values; serving them is refused. */
sv_err sv_named_tensor_check_finite(const sv_named_tensor *t);

#endif
