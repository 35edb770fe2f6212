/* SPDX-License-Identifier: Apache-2.0
 * Threads outside chips: start, join, and a bounded queue of pointers.
 */
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include "base/mem.h"

struct sv_thread {
    pthread_t id;
    void (*fn)(void *);
    void *arg;
    char name[16]; /* the system's limit */
};

static void *run(void *p)
{
    sv_thread *t = p;
    pthread_setname_np(pthread_self(), t->name);
    t->fn(t->arg);
    return NULL;
}

sv_err sv_thread_start(const char *name, void (*fn)(void *), void *arg, sv_thread **out)
{
    sv_thread *t = sv_mem_new(sizeof *t);
    t->fn = fn;
    t->arg = arg;
    snprintf(t->name, sizeof t->name, "%s", name);
    /* Signals belong to the main thread alone: a new thread inherits a mask with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->id, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        sv_mem_free(t);
        *out = NULL;
        char buf[128];
        return sv_fail(SV_E_NOMEM,
                       "thread %s: the system does not start it: %s; raise the limit of processes (ulimit -u) "
                       "or stop other programs",
                       name, strerror_r(error, buf, sizeof buf));
    }
    *out = t;
    return SV_OK;
}

void sv_thread_join(sv_thread *t)
{
    if (!t)
        return;
    pthread_join(t->id, NULL);
    sv_mem_free(t);
}

/* Cores of the control group's quota (container limits); 0 when there is none. */
static uint32_t quota_cores(void)
{
    int fd = open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char text[64];
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    unsigned long quota, period;
    if (sscanf(text, "%lu %lu", &quota, &period) != 2 || period == 0)
        return 0;
    unsigned long cores = (quota + period - 1) / period;
    return cores == 0 ? 1 : cores > 65536 ? 65536 : (uint32_t)cores;
}

uint32_t sv_thread_cores(void)
{
    cpu_set_t set;
    long n = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    if (n <= 0)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t cores = n > 0 ? (uint32_t)n : 1, quota = quota_cores();
    return quota && quota < cores ? quota : cores;
}

struct sv_queue_ptr {
    pthread_mutex_t lock;
    pthread_cond_t has_item, has_room;
    uint32_t cap, n, head;
    bool is_closed;
    void *items[];
};

sv_queue_ptr *sv_queue_ptr_make(uint32_t capacity)
{
    SV_ASSERT(capacity > 0);
    sv_queue_ptr *q = sv_mem_new(sizeof *q + sv_mem_mul_or_die(capacity, sizeof(void *)));
    q->cap = capacity;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->has_item, NULL);
    pthread_cond_init(&q->has_room, NULL);
    return q;
}

bool sv_queue_ptr_put(sv_queue_ptr *q, void *item)
{
    SV_ASSERT(item); /* NULL is how get says "closed" */
    pthread_mutex_lock(&q->lock);
    while (q->n == q->cap && !q->is_closed)
        pthread_cond_wait(&q->has_room, &q->lock);
    bool is_open = !q->is_closed;
    if (is_open) {
        q->items[((uint64_t)q->head + q->n) % q->cap] = item;
        q->n++;
        pthread_cond_signal(&q->has_item);
    }
    pthread_mutex_unlock(&q->lock);
    return is_open;
}

void *sv_queue_ptr_get(sv_queue_ptr *q)
{
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->is_closed)
        pthread_cond_wait(&q->has_item, &q->lock);
    if (q->n > 0) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->cap;
        q->n--;
        pthread_cond_signal(&q->has_room);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void sv_queue_ptr_close(sv_queue_ptr *q)
{
    pthread_mutex_lock(&q->lock);
    q->is_closed = true;
    pthread_cond_broadcast(&q->has_item);
    pthread_cond_broadcast(&q->has_room);
    pthread_mutex_unlock(&q->lock);
}

void sv_queue_ptr_drop(sv_queue_ptr *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->has_room);
    pthread_cond_destroy(&q->has_item);
    pthread_mutex_destroy(&q->lock);
    sv_mem_free(q);
}
