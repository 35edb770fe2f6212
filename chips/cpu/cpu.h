/* SPDX-License-Identifier: Apache-2.0
 * The cpu chip's inside: device, thread pool, and the table of kernels that each instruction set exports.
 * Threads: a device is used by one thread at a time; its pool's workers run inside sv_cpu_parallel only.
 */
#ifndef SV_CHIPS_CPU_H
#define SV_CHIPS_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "samsvar/chip.h"

#define SV_CPU_ALIGN 64u
#define SV_CPU_CACHE_LINE 64u

typedef struct sv_cpu_pool sv_cpu_pool;
/* One share of a job: tid of n_thread. Every share runs exactly once; the split follows from (tid, n_thread) alone. */
typedef void (*sv_cpu_job)(void *ctx, uint32_t tid, uint32_t n_thread);

/* A kernel: operands are bound and checked; it returns when the answer stands in memory. */
typedef sv_err (*sv_cpu_kernel)(sv_device *d, const sv_call *call);

typedef struct sv_cpu_isa {
    const char *name;              /* "avx2": the variant */
    sv_cpu_kernel op[SV_OP_COUNT]; /* NULL: the op has no row */
} sv_cpu_isa;

extern const sv_cpu_isa sv_cpu_scalar;
#if defined(__x86_64__)
extern const sv_cpu_isa sv_cpu_avx2, sv_cpu_avx512;
#ifdef SV_CPU_EMU512
extern const sv_cpu_isa sv_cpu_avx512emu;
#endif
#elif defined(__aarch64__)
extern const sv_cpu_isa sv_cpu_neon, sv_cpu_neondot;
#endif

#define SV_CPU_SPARES 8

/* A block that was freed and waits to be allocated again. */
typedef struct sv_cpu_spare {
    void *p;
    size_t room;
} sv_cpu_spare;

struct sv_device {
    const sv_cpu_isa *isa;
    const sv_host *host;
    sv_cpu_pool *pool;
    uint32_t n_thread;
    char *work; /* n_thread slices of work_slice bytes */
    size_t work_slice;
    void *plan; /* what the caller writes before a job and all shares read */
    size_t plan_bytes;
    sv_cpu_spare spare[SV_CPU_SPARES]; /* oldest first */
    uint32_t n_spare;
};

#define SV_CPU_TRY(x) \
    do { \
        sv_err sv_cpu_err = (x); \
        if (sv_cpu_err) \
            return sv_cpu_err; \
    } while (0)

/* ---- pool.c ---- */

/* Starts n_thread - 1 workers (the caller is share 0). NULL: no memory or no threads. */
sv_cpu_pool *sv_cpu_pool_make(uint32_t n_thread);
void sv_cpu_pool_drop(sv_cpu_pool *p);
/* Workers that stay on one core each; none when SAMSVAR_PIN=0, or when cores are too few. */
uint32_t sv_cpu_pool_pinned(const sv_cpu_pool *p);
/* Runs job on every thread of the pool and returns when all shares are done. */
void sv_cpu_pool_run(sv_cpu_pool *p, sv_cpu_job job, void *ctx);
/* Advice: all of these bytes are about to be written, so their pages are made in one go, not one fault each. */
void sv_cpu_touch(void *p, size_t bytes);
/* Cores that this process may use. */
uint32_t sv_cpu_cores(void);
/* Sets rounding to nearest even and subnormals on in this thread, and returns what stood there. */
uint32_t sv_cpu_fp_enter(void);
void sv_cpu_fp_leave(uint32_t saved);

/* Work below this many cycles is not worth handing out (a round trip costs about 1 us, more when workers sleep). */
#define SV_CPU_SMALL 10000.0

/* Runs job on all threads, or on the caller alone when `work` (an estimate in cycles) is small. */
static inline void sv_cpu_parallel(sv_device *d, double work, sv_cpu_job job, void *ctx)
{
    if (d->n_thread == 1 || work < SV_CPU_SMALL)
        job(ctx, 0, 1);
    else
        sv_cpu_pool_run(d->pool, job, ctx);
}

/* The tid-th of n_thread contiguous shares of n units: [*lo, *hi). */
static inline void sv_cpu_share(uint64_t n, uint32_t tid, uint32_t n_thread, uint64_t *lo, uint64_t *hi)
{
    uint64_t each = n / n_thread, more = n % n_thread;
    *lo = each * tid + (tid < more ? tid : more);
    *hi = *lo + each + (tid < more ? 1 : 0);
}

/* Makes sure that the device has `plan` bytes at d->plan and each thread `work` bytes; contents are lost. */
sv_err sv_cpu_reserve_plan(sv_device *d, size_t plan, size_t work);
static inline sv_err sv_cpu_reserve(sv_device *d, size_t work)
{
    return sv_cpu_reserve_plan(d, 0, work);
}
static inline void *sv_cpu_work(const sv_device *d, uint32_t tid)
{
    return d->work == NULL ? NULL : d->work + d->work_slice * tid;
}

/* ---- shapes ---- */

/* A tensor seen as rows of contiguous items. */
typedef struct sv_cpu_rows {
    uint64_t n_row, n_col;
    uint64_t stride; /* items from row to row */
} sv_cpu_rows;

/* Folds all dimensions but the last; false when the strides do not allow it. */
static inline bool sv_cpu_as_rows(const sv_tensor *t, sv_cpu_rows *out)
{
    if (t->n_dim == 0) {
        *out = (sv_cpu_rows){ 1, 1, 1 };
        return true;
    }
    uint32_t last = t->n_dim - 1;
    out->n_col = t->dim[last];
    out->n_row = 1;
    out->stride = t->dim[last];
    if (t->dim[last] > 1 && t->stride[last] != 1)
        return false;
    bool first = true;
    for (uint32_t i = last; i-- > 0;) {
        if (t->dim[i] == 1)
            continue;
        if (first)
            out->stride = t->stride[i];
        else if (t->stride[i] != out->stride * out->n_row)
            return false;
        first = false;
        out->n_row *= t->dim[i];
    }
    return true;
}

/* True when the items lie in one block in index order. */
static inline bool sv_cpu_is_dense(const sv_tensor *t)
{
    sv_cpu_rows r;
    return sv_cpu_as_rows(t, &r) && (r.stride == r.n_col || r.n_row <= 1);
}

#endif
