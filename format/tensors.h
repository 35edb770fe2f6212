/* SPDX-License-Identifier: Apache-2.0
 * A set of named tensors as it lies in a file or a set of files: views into mapped bytes, row order as in the file.
 * Threads: constant once opened.
 */
#ifndef SV_FORMAT_TENSORS_H
#define SV_FORMAT_TENSORS_H

#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "num/dtype.h"

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
    sv_arena *arena;       /* owns names and the mapping (deferred) */
} sv_tensors;

const sv_named_tensor *sv_tensors_find(const sv_tensors *t, const char *name); /* NULL: not there */
void sv_tensors_close(sv_tensors *t);                                          /* NULL is fine */

#endif
