/* SPDX-License-Identifier: Apache-2.0
 * The cpu chip: devices (one per instruction set of this host, best first), memory, an immediate queue, and the table
 * of rows, which hands each call to the kernels of the device's instruction set. Threads: a device by one thread at a
 * time; devices are independent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chips/cpu/cpu.h"
#include "chips/cpu/takes.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

struct sv_queue {
    sv_device *device;
};

/* ---- devices ---- */

typedef const sv_cpu_isa *isa_list[4];

#if defined(__x86_64__)
/* The operating system saves the registers (XCR0) and the processor has the instructions. */
static bool host_has_avx2(void)
{
    uint32_t a, b, c, d; /* clang 14 does not know "f16c" by name; its registers are AVX's */
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1u);
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
}

static bool host_has_avx512(void)
{
    return host_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

/* Instruction sets that run here, best first. */
static uint32_t list_isas(isa_list out)
{
    uint32_t n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (host_has_avx512())
        out[n++] = &sv_cpu_avx512;
    if (host_has_avx2())
        out[n++] = &sv_cpu_avx2;
#elif defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
        out[n++] = &sv_cpu_neondot;
    out[n++] = &sv_cpu_neon;
#endif
    out[n++] = &sv_cpu_scalar;
#if defined(__x86_64__) && defined(SV_CPU_EMU512)
    if (host_has_avx2())
        out[n++] = &sv_cpu_avx512emu;
#endif
    return n;
}

static sv_err cpu_count(uint32_t *n)
{
    isa_list list;
    *n = list_isas(list);
    return SV_OK;
}

static void cpu_close(sv_device *d)
{
    if (d == NULL)
        return;
    sv_cpu_pool_drop(d->pool);
    for (uint32_t i = 0; i < d->n_spare; i++)
        free(d->spare[i].p);
    free(d->work);
    free(d->plan);
    free(d);
}

static sv_err cpu_open(uint32_t index, const sv_host *host, sv_device **out)
{
    isa_list list;
    uint32_t n = list_isas(list);
    if (index >= n)
        return host->fail(SV_E_CHIP, "cpu: device %u, but there are only %u; choose one of them", index, n);
    sv_device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return host->fail(SV_E_NOMEM, "cpu: no memory for a device");
    d->isa = list[index];
    d->host = host;
    d->n_thread = host->n_thread ? host->n_thread : sv_cpu_cores();
    d->pool = sv_cpu_pool_make(d->n_thread);
    if (d->pool == NULL) {
        uint32_t asked = d->n_thread;
        free(d);
        return host->fail(SV_E_CHIP, "cpu: %u threads could not be started; ask for fewer", asked);
    }
    *out = d;
    return SV_OK;
}

static void cpu_model(char *out, size_t size)
{
    snprintf(out, size, "cpu");
#if defined(__x86_64__)
    uint32_t r[13] = { 0 };
    if ((uint32_t)__get_cpuid_max(0x80000000u, NULL) < 0x80000004u)
        return;
    for (uint32_t i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    const char *s = (const char *)r;
    while (*s == ' ')
        s++;
    snprintf(out, size, "%s", s);
    for (size_t n = strlen(out); n > 0 && out[n - 1] == ' ';)
        out[--n] = 0;
#elif defined(__aarch64__)
    snprintf(out, size, "aarch64");
#endif
}

static sv_err cpu_info(sv_device *d, sv_device_info *out)
{
    memset(out, 0, sizeof *out);
    char model[52] = "";
    cpu_model(model, sizeof model);
    snprintf(out->name, sizeof out->name, "%s, %s, %u thread%s", model, d->isa->name, d->n_thread,
             d->n_thread == 1 ? "" : "s");
    snprintf(out->variant, sizeof out->variant, "%s", d->isa->name);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    out->mem_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    out->align = SV_CPU_ALIGN;
    out->n_thread = d->n_thread;
    out->is_exact = true;
    out->host_memory = true;
    return SV_OK;
}

/* ---- memory ---- */

static void *cpu_block(size_t bytes)
{
    size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : SV_CPU_ALIGN;
    if (bytes > SIZE_MAX - align)
        return NULL;
    size_t size = (bytes + align - 1) / align * align;
    void *p = NULL;
    if (posix_memalign(&p, align, size ? size : align) != 0)
        return NULL;
    if (align == HUGE_PAGE)
        madvise(p, size, MADV_HUGEPAGE); /* advice: a refusal costs speed only */
    return p;
}

/* Freed blocks of a step's size are kept: a trainer frees and allocates its arena whenever the shape of a step changes,
 * and fresh pages cost about a tenth of the step. */
#define SPARE_LEAST ((size_t)1 << 20)
#define SPARE_MOST ((size_t)256 << 20) /* all spares together */

static void drop_spare(sv_device *d, uint32_t i)
{
    free(d->spare[i].p);
    memmove(&d->spare[i], &d->spare[i + 1], (--d->n_spare - i) * sizeof *d->spare);
}

static void *take_spare(sv_device *d, size_t bytes, size_t *room)
{
    for (uint32_t i = d->n_spare; i-- > 0;)
        if (d->spare[i].room >= bytes && d->spare[i].room / 2 <= bytes) {
            void *p = d->spare[i].p;
            *room = d->spare[i].room;
            memmove(&d->spare[i], &d->spare[i + 1], (--d->n_spare - i) * sizeof *d->spare);
            return p;
        }
    return NULL;
}

static void keep_spare(sv_device *d, void *p, size_t room)
{
    size_t total = room;
    for (uint32_t i = 0; i < d->n_spare; i++)
        total += d->spare[i].room;
    while (d->n_spare > 0 && (total > SPARE_MOST || d->n_spare == SV_CPU_SPARES)) {
        total -= d->spare[0].room;
        drop_spare(d, 0);
    }
    d->spare[d->n_spare++] = (sv_cpu_spare){ p, room };
}

typedef struct cpu_buffer {
    sv_buffer base;
    bool owned;
    size_t room; /* bytes that the block has; 0: it is not kept when freed */
} cpu_buffer;

static void *cpu_block_or_spare(sv_device *d, size_t bytes, size_t *room)
{
    *room = 0;
    if (bytes < SPARE_LEAST || bytes > SPARE_MOST / 2)
        return cpu_block(bytes);
    void *p = take_spare(d, bytes, room);
    if (p == NULL) {
        *room = bytes + bytes / 8; /* the next step is seldom of exactly this size */
        p = cpu_block(*room);
    }
    return p;
}

static sv_err cpu_alloc(sv_device *d, size_t bytes, sv_buffer **out)
{
    size_t room = 0;
    cpu_buffer *b = malloc(sizeof *b);
    void *p = b ? cpu_block_or_spare(d, bytes, &room) : NULL;
    while (b != NULL && p == NULL && d->n_spare > 0) {
        drop_spare(d, 0);
        room = 0;
        p = cpu_block(bytes);
    }
    if (p == NULL) {
        free(b);
        return d->host->fail(SV_E_NOMEM, "cpu: %zu bytes are not to be had; use a smaller model, context or batch",
                             bytes);
    }
    *b = (cpu_buffer){ { p, bytes }, true, room };
    *out = &b->base;
    return SV_OK;
}

static void cpu_free(sv_device *d, sv_buffer *buf)
{
    cpu_buffer *b = (cpu_buffer *)buf;
    if (b == NULL)
        return;
    if (b->owned && b->room > 0)
        keep_spare(d, b->base.host, b->room);
    else if (b->owned)
        free(b->base.host);
    free(b);
}

static sv_err cpu_wrap(sv_device *d, void *host, size_t bytes, sv_buffer **out)
{
    cpu_buffer *b = malloc(sizeof *b);
    if (b == NULL)
        return d->host->fail(SV_E_NOMEM, "cpu: no memory for a buffer");
    *b = (cpu_buffer){ { host, bytes }, false, 0 };
    *out = &b->base;
    return SV_OK;
}

sv_err sv_cpu_reserve_plan(sv_device *d, size_t plan, size_t work)
{
    if (plan > d->plan_bytes) {
        free(d->plan);
        d->plan_bytes = plan + plan / 2;
        d->plan = cpu_block(d->plan_bytes);
        if (d->plan == NULL) {
            d->plan_bytes = 0;
            return d->host->fail(SV_E_NOMEM, "cpu: %zu bytes for a plan are not to be had", plan);
        }
    }
    if (work > d->work_slice) {
        free(d->work);
        size_t slice = (work + work / 4 + SV_CPU_ALIGN) / SV_CPU_ALIGN * SV_CPU_ALIGN;
        d->work_slice = slice;
        d->work = slice <= SIZE_MAX / d->n_thread ? cpu_block(slice * d->n_thread) : NULL;
        if (d->work == NULL) {
            d->work_slice = 0;
            return d->host->fail(SV_E_NOMEM,
                                 "cpu: %zu bytes of scratch memory for each of %u threads are not to be had", work,
                                 d->n_thread);
        }
    }
    return SV_OK;
}

/* ---- queue: every call is done when it returns ---- */

static sv_err cpu_queue_open(sv_device *d, sv_queue **out)
{
    sv_queue *q = malloc(sizeof *q);
    if (q == NULL)
        return d->host->fail(SV_E_NOMEM, "cpu: no memory for a queue");
    q->device = d;
    *out = q;
    return SV_OK;
}

static void cpu_queue_close(sv_queue *q)
{
    free(q);
}

static char *span_host(sv_span s)
{
    return (char *)s.buf->host + s.off;
}

typedef struct copy_job {
    char *dst;
    const char *src;
    size_t bytes;
} copy_job;

static void copy_share(void *ctx, uint32_t tid, uint32_t n_thread)
{
    const copy_job *job = ctx;
    uint64_t lo, hi, lines = (job->bytes + SV_CPU_CACHE_LINE - 1) / SV_CPU_CACHE_LINE;
    sv_cpu_share(lines, tid, n_thread, &lo, &hi);
    lo *= SV_CPU_CACHE_LINE;
    hi *= SV_CPU_CACHE_LINE;
    if (hi > job->bytes)
        hi = job->bytes;
    if (lo < hi)
        memcpy(job->dst + lo, job->src + lo, hi - lo);
}

static sv_err cpu_move(sv_queue *q, void *dst, const void *src, size_t bytes)
{
    copy_job job = { dst, src, bytes };
    uintptr_t a = (uintptr_t)dst, b = (uintptr_t)src;
    if (a < b + bytes && b < a + bytes)
        memmove(dst, src, bytes);
    else
        sv_cpu_parallel(q->device, (double)bytes / 16, copy_share, &job);
    return SV_OK;
}

static sv_err cpu_put(sv_queue *q, sv_span dst, const void *src, size_t bytes)
{
    return cpu_move(q, span_host(dst), src, bytes);
}

static sv_err cpu_get(sv_queue *q, void *dst, sv_span src, size_t bytes)
{
    return cpu_move(q, dst, span_host(src), bytes);
}

static sv_err cpu_copy(sv_queue *q, sv_span dst, sv_span src, size_t bytes)
{
    return cpu_move(q, span_host(dst), span_host(src), bytes);
}

static sv_err cpu_wait(sv_queue *q)
{
    (void)q;
    return SV_OK;
}

/* ---- rows ---- */

static sv_err cpu_run(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)scratch;
    sv_device *d = q->device;
    sv_cpu_kernel kernel = d->isa->op[call->op];
    if (kernel == NULL)
        return d->host->fail(SV_E_INTERNAL, "cpu: op %d has no kernel for %s", (int)call->op, d->isa->name);
    uint32_t saved = sv_cpu_fp_enter();
    sv_err e = kernel(d, call);
    sv_cpu_fp_leave(saved);
    return e;
}

static sv_image cpu_weight_image(sv_device *d, sv_dtype dtype, uint32_t n, uint32_t k)
{
    (void)d;
    (void)n;
    switch (dtype) {
    case SV_DT_F32:
    case SV_DT_BF16:
    case SV_DT_F16:
        return SV_IMAGE_P16;
    case SV_DT_Q8_0:
        return k % 32 == 0 ? SV_IMAGE_S8 : SV_IMAGE_PLAIN;
    case SV_DT_Q4_0:
        return k % 32 == 0 ? SV_IMAGE_S4 : SV_IMAGE_PLAIN;
    case SV_DT_Q4_1:
        return k % 32 == 0 ? SV_IMAGE_A4 : SV_IMAGE_PLAIN;
    case SV_DT_Q4_K:
        return SV_IMAGE_K4;
    case SV_DT_Q5_K:
        return SV_IMAGE_K5;
    case SV_DT_Q6_K:
        return SV_IMAGE_K6;
    default:
        return SV_IMAGE_PLAIN;
    }
}

static const sv_kernel rows[SV_OP_COUNT] = {
    [SV_OP_embed] = { .run = cpu_run },
    [SV_OP_embed_grad] = { .run = cpu_run },
    [SV_OP_matmul] = { .run = cpu_run, .takes = sv_cpu_takes_matmul },
    [SV_OP_pack] = { .run = cpu_run, .takes = sv_cpu_takes_pack },
    [SV_OP_quant] = { .run = cpu_run },
    [SV_OP_add] = { .run = cpu_run },
    [SV_OP_mul] = { .run = cpu_run },
    [SV_OP_scale] = { .run = cpu_run },
    [SV_OP_fill] = { .run = cpu_run },
    [SV_OP_copy] = { .run = cpu_run },
    [SV_OP_cast] = { .run = cpu_run },
    [SV_OP_swiglu] = { .run = cpu_run },
    [SV_OP_swiglu_grad] = { .run = cpu_run },
    [SV_OP_softmax] = { .run = cpu_run },
    [SV_OP_rmsnorm] = { .run = cpu_run },
    [SV_OP_rmsnorm_grad] = { .run = cpu_run },
    [SV_OP_rope] = { .run = cpu_run },
    [SV_OP_kv_put] = { .run = cpu_run },
    [SV_OP_attend] = { .run = cpu_run, .takes = sv_cpu_takes_attend },
    [SV_OP_attend_grad] = { .run = cpu_run, .takes = sv_cpu_takes_attend },
    [SV_OP_gather_rows] = { .run = cpu_run },
    [SV_OP_scatter_rows] = { .run = cpu_run },
    [SV_OP_logprob] = { .run = cpu_run },
    [SV_OP_logprob_grad] = { .run = cpu_run },
    [SV_OP_sum] = { .run = cpu_run },
    [SV_OP_sumsq] = { .run = cpu_run },
    [SV_OP_adamw] = { .run = cpu_run },
    [SV_OP_rand_normal] = { .run = cpu_run },
    [SV_OP_argmax] = { .run = cpu_run },
};

const sv_chip sv_chip_cpu = {
    .size = sizeof(sv_chip),
    .abi = SV_CHIP_ABI,
    .opset = SV_OPSET,
    .name = "cpu",
    .version = "1.0.0",
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .wrap = cpu_wrap,
    .queue_open = cpu_queue_open,
    .queue_close = cpu_queue_close,
    .put = cpu_put,
    .get = cpu_get,
    .copy = cpu_copy,
    .wait = cpu_wait,
    .n_op = SV_OP_COUNT,
    .op = rows,
    .weight_image = cpu_weight_image,
};
