/* SPDX-License-Identifier: Apache-2.0
 * Pages of the KV arena by number: which are free, and how many hold each of the others.
 * Threads: used by one thread at a time.
 */
#ifndef SV_INFER_KV_H
#define SV_INFER_KV_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sv_pages sv_pages;

sv_pages *sv_pages_make(uint32_t n);
void sv_pages_drop(sv_pages *p); /* NULL is fine */
uint32_t sv_pages_n_free(const sv_pages *p);

/* A free page with one holder, the one given back last; false: none is free. */
bool sv_pages_take(sv_pages *p, int32_t *page);
/* One holder more, for a full page that sequences share. */
void sv_pages_hold(sv_pages *p, int32_t page);
uint32_t sv_pages_n_holder(const sv_pages *p, int32_t page);
/* One holder less; the last one frees it. */
void sv_pages_give(sv_pages *p, int32_t page);

/* Pages that n positions fill. */
uint32_t sv_pages_for(uint32_t n_position);

#endif
