/* SPDX-License-Identifier: Apache-2.0
 * What this machine can do: fused multiply-adds and int8 products per second, bytes read per second; one or all
 * threads. Loops are assembly with registers of their own, so that no compiler spills or removes them. The best of five
 * counts. Threads: sv_peak_* start their own.
 */
#ifndef SV_BENCH_PEAK_H
#define SV_BENCH_PEAK_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define PEAK_MAX_THREAD 256
#define PEAK_ROUNDS 2000000

typedef struct peak_share {
    void (*fn)(const struct peak_share *);
    const char *isa;
    const char *mem;
    size_t bytes;
    pthread_barrier_t *start;
    double t0, t1;
    uint64_t sink;
} peak_share;

/* clang-format off */
#if defined(__x86_64__)
#define PEAK_12(op, a, b, reg) \
    op " " a "," b "," reg "0\n" op " " a "," b "," reg "1\n" op " " a "," b "," reg "2\n" op " " a "," b "," reg "3\n" \
    op " " a "," b "," reg "4\n" op " " a "," b "," reg "5\n" op " " a "," b "," reg "6\n" op " " a "," b "," reg "7\n" \
    op " " a "," b "," reg "8\n" op " " a "," b "," reg "9\n" op " " a "," b "," reg "10\n" op " " a "," b "," reg "11\n"
#define PEAK_INT8(n) \
    "vpmaddubsw %%ymm14,%%ymm13,%%ymm12\nvpmaddwd %%ymm15,%%ymm12,%%ymm12\nvpaddd %%ymm12,%%ymm" #n ",%%ymm" #n "\n"

static void peak_fma_loop(const peak_share *s)
{
    uint64_t n = PEAK_ROUNDS;
    if (strncmp(s->isa, "avx512", 6) == 0 && __builtin_cpu_supports("avx512f"))
        __asm__ volatile("1:\n" PEAK_12("vfmadd231ps", "%%zmm14", "%%zmm15", "%%zmm") "dec %0\njnz 1b\nvzeroupper" : "+r"(n)::"cc",
                         "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
    else
        __asm__ volatile("vxorps %%xmm14,%%xmm14,%%xmm14\nvxorps %%xmm15,%%xmm15,%%xmm15\n"
                         "1:\n" PEAK_12("vfmadd231ps", "%%ymm14", "%%ymm15", "%%ymm") "dec %0\njnz 1b\nvzeroupper"
                         : "+r"(n)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                           "xmm10", "xmm11", "xmm14", "xmm15");
}

static void peak_int8_loop(const peak_share *s)
{
    uint64_t n = PEAK_ROUNDS;
    (void)s;
    __asm__ volatile("1:\n" PEAK_INT8(0) PEAK_INT8(1) PEAK_INT8(2) PEAK_INT8(3) PEAK_INT8(4) PEAK_INT8(5) PEAK_INT8(6)
                     PEAK_INT8(7) "dec %0\njnz 1b\nvzeroupper"
                     : "+r"(n)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm12", "xmm13", "xmm14",
                       "xmm15");
}

static double peak_lanes(const char *isa) { return strncmp(isa, "avx512", 6) == 0 && __builtin_cpu_supports("avx512f") ? 16 : 8; }
#else
static void peak_fma_loop(const peak_share *s)
{
    uint64_t n = PEAK_ROUNDS;
    (void)s;
#if defined(__aarch64__)
    __asm__ volatile("1:\n"
                     "fmla v0.4s,v30.4s,v31.4s\nfmla v1.4s,v30.4s,v31.4s\nfmla v2.4s,v30.4s,v31.4s\nfmla v3.4s,v30.4s,v31.4s\n"
                     "fmla v4.4s,v30.4s,v31.4s\nfmla v5.4s,v30.4s,v31.4s\nfmla v6.4s,v30.4s,v31.4s\nfmla v7.4s,v30.4s,v31.4s\n"
                     "fmla v16.4s,v30.4s,v31.4s\nfmla v17.4s,v30.4s,v31.4s\nfmla v18.4s,v30.4s,v31.4s\nfmla v19.4s,v30.4s,v31.4s\n"
                     "subs %0,%0,#1\nb.ne 1b"
                     : "+r"(n)::"cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19");
#endif
}

static void peak_int8_loop(const peak_share *s) { (void)s; }
static double peak_lanes(const char *isa) { return isa ? 4 : 4; }
#endif
/* clang-format on */

/* Four streams over the thread's part. */
static void peak_read_loop(const peak_share *s)
{
    typedef uint64_t v4 __attribute__((vector_size(32), aligned(8)));
    size_t quarter = s->bytes / 4 / 64 * 64;
    v4 a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    for (size_t i = 0; i < quarter; i += 64) {
        a |= *(const v4 *)(s->mem + i) | *(const v4 *)(s->mem + i + 32);
        b |= *(const v4 *)(s->mem + quarter + i) | *(const v4 *)(s->mem + quarter + i + 32);
        c |= *(const v4 *)(s->mem + 2 * quarter + i) | *(const v4 *)(s->mem + 2 * quarter + i + 32);
        d |= *(const v4 *)(s->mem + 3 * quarter + i) | *(const v4 *)(s->mem + 3 * quarter + i + 32);
    }
    a |= b | c | d;
    ((peak_share *)s)->sink = a[0] | a[1] | a[2] | a[3];
}

static void *peak_thread(void *arg)
{
    peak_share *s = arg;
    pthread_barrier_wait(s->start);
    s->t0 = sv_clock_s();
    s->fn(s);
    s->t1 = sv_clock_s();
    return NULL;
}

/* Least wall time of five runs with n threads. */
static double peak_time(void (*fn)(const peak_share *), const char *isa, uint32_t n, const char *mem, size_t bytes)
{
    double best = 1e30;
    n = n < PEAK_MAX_THREAD ? n : PEAK_MAX_THREAD;
    for (int run = 0; run < 5; run++) {
        pthread_t id[PEAK_MAX_THREAD];
        peak_share share[PEAK_MAX_THREAD];
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, n);
        for (uint32_t i = 0; i < n; i++)
            share[i] = (peak_share){
                .fn = fn, .isa = isa, .mem = mem ? mem + bytes / n * i : NULL, .bytes = bytes / n, .start = &start
            };
        for (uint32_t i = 1; i < n; i++)
            pthread_create(&id[i], NULL, peak_thread, &share[i]);
        peak_thread(&share[0]);
        double t0 = share[0].t0, t1 = share[0].t1;
        for (uint32_t i = 1; i < n; i++) {
            pthread_join(id[i], NULL);
            t0 = share[i].t0 < t0 ? share[i].t0 : t0;
            t1 = share[i].t1 > t1 ? share[i].t1 : t1;
        }
        pthread_barrier_destroy(&start);
        best = t1 - t0 < best ? t1 - t0 : best;
    }
    return best;
}

/* Floating point operations per second. */
static double peak_fma(const char *isa, uint32_t n)
{
    return 12.0 * 2 * peak_lanes(isa) * PEAK_ROUNDS * n / peak_time(peak_fma_loop, isa, n, NULL, 0);
}

/* int8 operations per second by vpmaddubsw, vpmaddwd, vpaddd. */
static double peak_int8(const char *isa, uint32_t n)
{
    return 8.0 * 64 * PEAK_ROUNDS * n / peak_time(peak_int8_loop, isa, n, NULL, 0);
}

/* Bytes per second; 0 when the block is not to be had. */
static double peak_read(uint32_t n, size_t bytes)
{
    void *mem = NULL;
    if (sv_mem_large(bytes, "read bandwidth", &mem) != SV_OK)
        return 0;
    memset(mem, 1, bytes);
    double t = peak_time(peak_read_loop, "", n, mem, bytes);
    sv_mem_large_free(mem, bytes);
    return (double)bytes / t;
}

#endif
