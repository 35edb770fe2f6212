/* SPDX-License-Identifier: Apache-2.0
 * Memory: the only file that calls malloc and mmap for memory. Small blocks never fail, large ones say so.
 */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/fault.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

enum { CACHE_LINE = 64 };
static const size_t huge_page = (size_t)2 << 20, huge_from = (size_t)4 << 20;

static _Noreturn void no_memory(size_t bytes)
{
    fprintf(stderr,
            "samsvar: out of memory: a small block of %zu bytes could not be had; stop other programs or use a "
            "smaller model, context or batch\n",
            bytes);
    abort();
}

void *sv_mem_new(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        no_memory(bytes);
    return p;
}

void *sv_mem_grow(void *p, size_t old_bytes, size_t new_bytes)
{
    char *q = realloc(p, new_bytes ? new_bytes : 1);
    if (!q)
        no_memory(new_bytes);
    if (!p)
        old_bytes = 0;
    if (new_bytes > old_bytes)
        memset(q + old_bytes, 0, new_bytes - old_bytes);
    return q;
}

char *sv_mem_text(const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = sv_mem_new(n);
    memcpy(p, text, n);
    return p;
}

void sv_mem_free(void *p)
{
    free(p);
}

size_t sv_mem_mul_or_die(size_t a, size_t b)
{
    size_t n;
    if (!sv_mul_size(a, b, &n))
        no_memory(SIZE_MAX);
    return n;
}

/* A mapping aligned to the huge page: maps one more, gives both ends back. */
static void *map_huge(size_t bytes)
{
    size_t want = bytes + huge_page;
    char *p = mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t head = (huge_page - ((uintptr_t)p & (huge_page - 1))) & (huge_page - 1);
    if (head)
        munmap(p, head);
    if (huge_page - head)
        munmap(p + head + bytes, huge_page - head);
    /* Advice only: without huge pages in the kernel it works as well, more slowly. */
    madvise(p + head, bytes, MADV_HUGEPAGE);
    return p + head;
}

/* Bytes that a block of `bytes` really takes; 0 when that number does not exist. */
static size_t large_bytes(size_t bytes)
{
    size_t unit = bytes >= huge_from && !HAS_ASAN ? 4096 : CACHE_LINE;
    if (bytes > SIZE_MAX / 4)
        return 0;
    return bytes ? (bytes + unit - 1) / unit * unit : unit;
}

sv_err sv_mem_large(size_t bytes, const char *what, void **out)
{
    *out = NULL;
    size_t n = large_bytes(bytes);
    /* The address sanitizer sees overruns only in blocks of its own, and ends the process for sizes above its limit. */
    if (n && HAS_ASAN && n > (size_t)1 << 37)
        n = 0;
    if (n && !sv_fault_errno("alloc")) {
        if (n >= huge_from && !HAS_ASAN)
            *out = map_huge(n);
        else
            *out = aligned_alloc(n >= huge_from ? huge_page : CACHE_LINE,
                                 n >= huge_from ? (n + huge_page - 1) / huge_page * huge_page : n);
    }
    if (!*out)
        return sv_fail(SV_E_NOMEM,
                       "%s: needs %zu bytes (%.1f MiB), the system does not give them; use a smaller model, "
                       "context or batch, or stop other programs",
                       what, bytes, (double)bytes / 1048576.0);
    return SV_OK;
}

void sv_mem_large_free(void *p, size_t bytes)
{
    if (!p)
        return;
    size_t n = large_bytes(bytes);
    if (n >= huge_from && !HAS_ASAN)
        munmap(p, n);
    else
        free(p);
}

void sv_mem_sparse(void *p, size_t bytes)
{
    const uintptr_t page = 4096;
    uintptr_t begin = ((uintptr_t)p + page - 1) & ~(page - 1), end = ((uintptr_t)p + bytes) & ~(page - 1);
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_NOHUGEPAGE);
}

typedef struct chunk {
    struct chunk *next;
    size_t used, cap;
    _Alignas(16) char data[];
} chunk;

typedef struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *arg;
} deferred;

struct sv_arena {
    chunk *first, *at; /* chunks behind `at` are empty, kept by a reset */
    deferred *last;
    size_t next_cap;
};

enum { FIRST_CHUNK = 4096 - 64, LAST_CHUNK = 1 << 20 };

sv_arena *sv_arena_make(void)
{
    sv_arena *a = sv_mem_new(sizeof *a);
    a->next_cap = FIRST_CHUNK;
    return a;
}

static void run_deferred(sv_arena *a)
{
    while (a->last) {
        deferred *d = a->last;
        a->last = d->next;
        d->fn(d->arg);
    }
}

void sv_arena_drop(sv_arena *a)
{
    if (!a)
        return;
    run_deferred(a);
    for (chunk *c = a->first, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void sv_arena_reset(sv_arena *a)
{
    run_deferred(a);
    for (chunk *c = a->first; c; c = c->next)
        c->used = 0;
    a->at = a->first;
}

/* Puts a new chunk with room for n bytes behind the current one. */
static chunk *add_chunk(sv_arena *a, size_t n)
{
    size_t cap = n > a->next_cap ? n : a->next_cap, bytes;
    if (!sv_add_size(cap, sizeof(chunk), &bytes))
        no_memory(n);
    chunk *c = malloc(bytes);
    if (!c)
        no_memory(n);
    c->used = 0;
    c->cap = cap;
    if (a->next_cap < LAST_CHUNK)
        a->next_cap *= 2;
    if (a->at) {
        c->next = a->at->next;
        a->at->next = c;
    } else {
        c->next = NULL;
        a->first = c;
    }
    return c;
}

void *sv_arena_new(sv_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX - 64)
        no_memory(bytes);
    size_t n = bytes ? (bytes + 15) & ~(size_t)15 : 16;
    chunk *c = a->at;
    while (c && c->cap - c->used < n)
        c = c->next;
    if (!c)
        c = add_chunk(a, n);
    a->at = c;
    void *p = c->data + c->used;
    c->used += n;
    return memset(p, 0, n);
}

char *sv_arena_textn(sv_arena *a, const char *text, size_t n)
{
    if (n == SIZE_MAX)
        no_memory(n);
    char *p = sv_arena_new(a, n + 1);
    if (n)
        memcpy(p, text, n);
    return p;
}

char *sv_arena_text(sv_arena *a, const char *text)
{
    return sv_arena_textn(a, text, strlen(text));
}

char *sv_arena_printf(sv_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    SV_ASSERT(fmt);
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    SV_ASSERT(n >= 0);
    char *p = sv_arena_new(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void sv_arena_defer(sv_arena *a, void (*fn)(void *), void *arg)
{
    deferred *d = SV_NEW(a, deferred);
    *d = (deferred){ .next = a->last, .fn = fn, .arg = arg };
    a->last = d;
}
