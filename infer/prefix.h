/* SPDX-License-Identifier: Apache-2.0
 * A tree of full KV pages by their token ids, so that requests with a common beginning compute it once. A page in the
 * tree has one holder more, the tree; pages that nobody else holds are idle, and given up, the longest unused first,
 * when a page is needed. Roots are apart by `space`: who has another one finds nothing. Threads: used by one thread at
 * a time.
 */
#ifndef SV_INFER_PREFIX_H
#define SV_INFER_PREFIX_H

#include "infer/kv.h"

#define SV_NO_PAGE (-1)

typedef struct sv_prefix sv_prefix;

/* Over n pages of p, which is borrowed. */
sv_prefix *sv_prefix_make(uint32_t n, sv_pages *p);
void sv_prefix_drop(sv_prefix *x); /* NULL is fine */

/* Pages that a sequence can have: free ones and idle ones. */
uint32_t sv_prefix_n_free(const sv_prefix *x);
bool sv_prefix_is_idle(const sv_prefix *x, int32_t page);

/* The page behind `parent` (SV_NO_PAGE: at the root of space) that holds these SV_PAGE ids, or SV_NO_PAGE. */
int32_t sv_prefix_find(const sv_prefix *x, uint64_t space, int32_t parent, const uint32_t *id);
/* Puts a full page into the tree; its caller holds page and parent. There is an equal one: *page becomes it, and the
 * caller's own is given back. */
void sv_prefix_add(sv_prefix *x, uint64_t space, int32_t parent, const uint32_t *id, int32_t *page);

/* As sv_pages_take, hold, give. A sequence holds a page only with those before it, and gives back the last one first.
 */
bool sv_prefix_take(sv_prefix *x, int32_t *page);
void sv_prefix_hold(sv_prefix *x, int32_t page);
void sv_prefix_give(sv_prefix *x, int32_t page);

/* Forgets what no sequence holds, and takes what they hold out of the tree: the weights have changed. */
void sv_prefix_clear(sv_prefix *x);

#endif
