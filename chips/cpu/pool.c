/* SPDX-License-Identifier: Apache-2.0
 * The cpu chip's thread pool: static shares, workers spin about 20 us and then sleep on a futex. Each share is claimed
 * once, by its worker or, when that has not started yet (asleep, or its core is busy elsewhere), by the caller: what a
 * share computes depends on its number alone, so it does not matter who runs it. Threads: one caller at a time; the
 * caller is share 0.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "chips/cpu/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("isb" ::: "memory")
#else
#define RELAX() ((void)0)
#endif

#define SPIN_NS 20000 /* about ten times what it costs to wake a sleeping thread */

typedef struct worker_arg {
    sv_cpu_pool *pool;
    uint32_t tid;
} worker_arg;

struct sv_cpu_pool {
    uint32_t n_thread, n_started;
    cpu_set_t core; /* those that its workers are pinned to */
    uint32_t spin;  /* rounds of RELAX before sleeping; 0 when there are more threads than cores */
    pthread_t *thread;
    worker_arg *arg; /* of each thread: a worker allocates and frees nothing, so that it may start late unseen */
    sv_cpu_job job;
    void *ctx;
    _Atomic uint32_t *claim; /* [n_thread] the last epoch whose share was taken */
    _Atomic bool stop;
    _Alignas(SV_CPU_CACHE_LINE) _Atomic uint32_t epoch;   /* grows by one per job; workers wait for it */
    _Atomic uint32_t sleeping;                            /* workers inside the futex */
    _Alignas(SV_CPU_CACHE_LINE) _Atomic uint32_t pending; /* shares not done yet; the caller waits for 0 */
    _Atomic uint32_t caller_sleeps;
};

static void futex_wait(_Atomic uint32_t *at, uint32_t expected)
{
    syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *at, int n)
{
    syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older ones refuse it, which costs speed only */
#endif

void sv_cpu_touch(void *p, size_t bytes)
{
    const uintptr_t page = 4096;
    uintptr_t begin = ((uintptr_t)p + page - 1) & ~(page - 1), end = ((uintptr_t)p + bytes) & ~(page - 1);
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
}

uint32_t sv_cpu_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

uint32_t sv_cpu_fp_enter(void)
{
#if defined(__x86_64__)
    uint32_t now = _mm_getcsr(), want = now & ~0xe040u; /* RC = nearest, FTZ = 0, DAZ = 0 */
    if (__builtin_expect(want != now, 0))
        _mm_setcsr(want);
    return now;
#elif defined(__aarch64__)
    uint64_t now, want;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    want = now & ~(uint64_t)0x03c80000u; /* AHP, DN, FZ, RMode, FZ16 = 0 (DN: NaNs are compared canonically) */
    want &= ~(uint64_t)0x07000000u;
    if (want != now)
        __asm__ volatile("msr fpcr, %0" ::"r"(want));
    return (uint32_t)now;
#else
    return 0;
#endif
}

void sv_cpu_fp_leave(uint32_t saved)
{
#if defined(__x86_64__)
    if (__builtin_expect((saved & 0xe040u) != 0, 0))
        _mm_setcsr(saved);
#elif defined(__aarch64__)
    if ((saved & 0x07c80000u) != 0) {
        uint64_t v = saved;
        __asm__ volatile("msr fpcr, %0" ::"r"(v));
    }
#else
    (void)saved;
#endif
}

/* Waits until *at differs from `old`; spins first, then sleeps and counts itself in *sleepers. Returns what stands
 * there. */
static uint32_t wait_change(_Atomic uint32_t *at, uint32_t old, uint32_t spin, _Atomic uint32_t *sleepers)
{
    uint32_t now;
    for (uint32_t i = 0; i < spin; i++) {
        if ((now = atomic_load_explicit(at, memory_order_acquire)) != old)
            return now;
        RELAX();
    }
    atomic_fetch_add(sleepers, 1);
    while ((now = atomic_load(at)) == old)
        futex_wait(at, old);
    atomic_fetch_sub(sleepers, 1);
    return now;
}

/* Takes share i of the job `epoch`. Every share of a job is taken before the next job begins, so a late worker that
 * still has an old epoch in hand fails here. */
static bool claim_share(sv_cpu_pool *p, uint32_t i, uint32_t epoch)
{
    uint32_t before = epoch - 1;
    return atomic_compare_exchange_strong(&p->claim[i], &before, epoch);
}

static void *worker(void *p)
{
    const worker_arg arg = *(const worker_arg *)p;
    sv_cpu_pool *pool = arg.pool;
    sv_cpu_fp_enter();
    uint32_t seen = 0;
    for (;;) {
        seen = wait_change(&pool->epoch, seen, pool->spin, &pool->sleeping);
        if (atomic_load_explicit(&pool->stop, memory_order_acquire))
            return NULL;
        if (!claim_share(pool, arg.tid, seen))
            continue;
        pool->job(pool->ctx, arg.tid, pool->n_thread);
        if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->caller_sleeps))
            futex_wake(&pool->pending, 1);
    }
}

/* How many RELAX fit into the spinning time here. */
static uint32_t spin_rounds(void)
{
    struct timespec a, b;
    const uint32_t rounds = 2000;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint32_t i = 0; i < rounds; i++)
        RELAX();
    clock_gettime(CLOCK_MONOTONIC, &b);
    int64_t ns = (b.tv_sec - a.tv_sec) * 1000000000 + (b.tv_nsec - a.tv_nsec);
    int64_t n = (int64_t)rounds * SPIN_NS / (ns > 0 ? ns : 1);
    return n < 50 ? 50 : n > 20000 ? 20000 : (uint32_t)n;
}

/* Cores that workers of any pool of this process are pinned to. */
static pthread_mutex_t core_lock = PTHREAD_MUTEX_INITIALIZER;
static cpu_set_t core_taken;

/* The first core of the mask behind the caller's that no worker has; -1: none. Processes with few threads, started on
 * different cores, so choose different ones. */
static int free_core(const cpu_set_t *mask, int callers)
{
    for (int i = 1; i < CPU_SETSIZE; i++) {
        int c = ((callers < 0 ? 0 : callers) + i) % CPU_SETSIZE;
        if (CPU_ISSET(c, mask) && !CPU_ISSET(c, &core_taken))
            return c;
    }
    return -1;
}

/* Each worker stays on a core of its own as far as there are any: a second pool of the process takes others, and runs
 * unpinned where none are left, since two workers on one core would wait for each other. The caller is never pinned:
 * its thread is not ours. */
static void pin_workers(sv_cpu_pool *p)
{
    cpu_set_t mask;
    const char *option = getenv("SAMSVAR_PIN");
    if ((option != NULL && option[0] == '0') || sched_getaffinity(0, sizeof mask, &mask) != 0 ||
        (int)p->n_thread > CPU_COUNT(&mask))
        return;
    pthread_mutex_lock(&core_lock);
    int callers = sched_getcpu(), most = CPU_COUNT(&mask) - 1;
    for (uint32_t i = 1; i <= p->n_started && CPU_COUNT(&core_taken) + (int)(p->n_started - i) < most; i++) {
        int c = free_core(&mask, callers);
        cpu_set_t one;
        CPU_ZERO(&one);
        if (c < 0)
            break;
        CPU_SET(c, &one);
        if (pthread_setaffinity_np(p->thread[i], sizeof one, &one) != 0)
            break;
        CPU_SET(c, &core_taken);
        CPU_SET(c, &p->core);
    }
    pthread_mutex_unlock(&core_lock);
}

static void give_cores_back(sv_cpu_pool *p)
{
    pthread_mutex_lock(&core_lock);
    for (int c = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET(c, &p->core))
            CPU_CLR(c, &core_taken);
    pthread_mutex_unlock(&core_lock);
}

uint32_t sv_cpu_pool_pinned(const sv_cpu_pool *p)
{
    return (uint32_t)CPU_COUNT(&p->core);
}

sv_cpu_pool *sv_cpu_pool_make(uint32_t n_thread)
{
    sv_cpu_pool *p = NULL;
    if (posix_memalign((void **)&p, SV_CPU_CACHE_LINE, sizeof *p) != 0)
        return NULL;
    *p = (sv_cpu_pool){ .n_thread = n_thread };
    p->thread = calloc(n_thread, sizeof *p->thread);
    p->arg = calloc(n_thread, sizeof *p->arg);
    p->claim = calloc(n_thread, sizeof *p->claim);
    if (p->thread == NULL || p->arg == NULL || p->claim == NULL) {
        free(p->thread);
        free(p->arg);
        free(p->claim);
        free(p);
        return NULL;
    }
    p->spin = n_thread <= sv_cpu_cores() ? spin_rounds() : 0;
    for (uint32_t i = 1; i < n_thread; i++) {
        p->arg[i] = (worker_arg){ p, i };
        if (pthread_create(&p->thread[i], NULL, worker, &p->arg[i]) != 0)
            break;
        p->n_started++;
    }
    if (p->n_started + 1 < n_thread) {
        sv_cpu_pool_drop(p);
        return NULL;
    }
    pin_workers(p);
    return p;
}

/* Returns the new epoch. */
static uint32_t start_workers(sv_cpu_pool *p)
{
    uint32_t epoch = atomic_fetch_add(&p->epoch, 1) + 1;
    if (atomic_load(&p->sleeping))
        futex_wake(&p->epoch, INT32_MAX);
    return epoch;
}

void sv_cpu_pool_drop(sv_cpu_pool *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true);
    start_workers(p);
    for (uint32_t i = 1; i <= p->n_started; i++)
        pthread_join(p->thread[i], NULL);
    give_cores_back(p);
    free(p->thread);
    free(p->arg);
    free(p->claim);
    free(p);
}

void sv_cpu_pool_run(sv_cpu_pool *p, sv_cpu_job job, void *ctx)
{
    p->job = job;
    p->ctx = ctx;
    atomic_store_explicit(&p->pending, p->n_thread - 1, memory_order_relaxed);
    uint32_t epoch = start_workers(p);
    job(ctx, 0, p->n_thread);
    for (uint32_t i = 1; i < p->n_thread; i++)
        if (claim_share(p, i, epoch)) {
            job(ctx, i, p->n_thread);
            atomic_fetch_sub(&p->pending, 1);
        }
    for (uint32_t i = 0; i < p->spin; i++) {
        if (atomic_load_explicit(&p->pending, memory_order_acquire) == 0)
            return;
        RELAX();
    }
    atomic_store(&p->caller_sleeps, 1);
    for (uint32_t left; (left = atomic_load(&p->pending)) != 0;)
        futex_wait(&p->pending, left);
    atomic_store(&p->caller_sleeps, 0);
}
