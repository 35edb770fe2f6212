/* SPDX-License-Identifier: Apache-2.0
 * Threads outside chips: start, join, and a bounded queue of pointers.
 * Threads: a queue is safe from any thread.
 */
#ifndef SV_BASE_THREAD_H
#define SV_BASE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct sv_thread sv_thread;
sv_err sv_thread_start(const char *name, void (*fn)(void *), void *arg, sv_thread **out);
void sv_thread_join(sv_thread *t);
uint32_t sv_thread_cores(void); /* cores this process may use */

typedef struct sv_queue_ptr sv_queue_ptr;
sv_queue_ptr *sv_queue_ptr_make(uint32_t capacity);
bool sv_queue_ptr_put(sv_queue_ptr *q, void *item); /* waits for room; false: closed */
void *sv_queue_ptr_get(sv_queue_ptr *q);            /* waits for an item; NULL: closed and empty */
void sv_queue_ptr_close(sv_queue_ptr *q);
void sv_queue_ptr_drop(sv_queue_ptr *q);

#endif
