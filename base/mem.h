/* SPDX-License-Identifier: Apache-2.0
 * Memory: the only file that calls malloc. Arenas by lifetime, small blocks that never fail, large ones that may.
 * Threads: an arena is used by one thread at a time; the rest is safe from any thread.
 */
#ifndef SV_BASE_MEM_H
#define SV_BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Small host blocks: out of memory aborts with a sentence. Zeroed. Freed by sv_mem_free (NULL is fine). */
void *sv_mem_new(size_t bytes);
void *sv_mem_grow(void *p, size_t old_bytes, size_t new_bytes); /* the new part is zeroed */
char *sv_mem_text(const char *text);                            /* a copy of a string */
void sv_mem_free(void *p);

/* Large or budgeted blocks (weights, KV, step arenas): 64-byte aligned (2 MiB and huge pages advised from 4 MiB on),
 * not zeroed; SV_E_NOMEM with a sentence naming `what` and the size. Freed by sv_mem_large_free. */
sv_err sv_mem_large(size_t bytes, const char *what, void **out);
void sv_mem_large_free(void *p, size_t bytes);

/* Advice about the whole pages inside a block: only a part of it may ever be used, so no huge pages. */
void sv_mem_sparse(void *p, size_t bytes);

/* An arena: many small blocks with one end. */
typedef struct sv_arena sv_arena;
sv_arena *sv_arena_make(void);
void sv_arena_drop(sv_arena *a);                    /* runs deferred calls in reverse, then frees; NULL is fine */
void sv_arena_reset(sv_arena *a);                   /* as drop and make, but keeps the memory */
void *sv_arena_new(sv_arena *a, size_t bytes);      /* zeroed, 16-byte aligned; never NULL */
char *sv_arena_text(sv_arena *a, const char *text); /* a copy of a string */
char *sv_arena_textn(sv_arena *a, const char *text, size_t n); /* a copy of n bytes, NUL added */
char *sv_arena_printf(sv_arena *a, const char *fmt, ...) SV_PRINTF(2, 3);
void sv_arena_defer(sv_arena *a, void (*fn)(void *), void *arg);

#define SV_NEW(a, type) ((type *)sv_arena_new((a), sizeof(type)))
#define SV_NEW_N(a, type, n) ((type *)sv_arena_new((a), sv_mem_mul_or_die((n), sizeof(type))))
size_t sv_mem_mul_or_die(size_t a, size_t b);

/* Appends one item to a growing array held as (items, n, cap): SV_PUSH(v->items, v->n, v->cap, value). */
#define SV_PUSH(items, n, cap, value) \
    do { \
        if ((n) == (cap)) { \
            size_t sv_old_ = (cap); \
            (cap) = sv_old_ ? 2 * sv_old_ : 16; \
            (items) = sv_mem_grow((items), sv_old_ * sizeof *(items), (cap) * sizeof *(items)); \
        } \
        (items)[(n)++] = (value); \
    } while (0)

#endif
