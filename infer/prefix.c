/* SPDX-License-Identifier: Apache-2.0
 * The tree is a hash table from (space, parent page, ids) to a page; a node's number is its page's. Idle nodes stand in
 * a list in the order in which they became idle. Since a sequence holds a whole path and gives its end back first,
 * whatever stands below an idle node became idle before it: the head of the list is always a leaf.
 */
#include "infer/prefix.h"

#include <string.h>

#include "base/mem.h"
#include "samsvar/op.h"

#define NONE (-1)

typedef struct node {
    uint32_t id[SV_PAGE];
    uint64_t space;
    int32_t parent;        /* page before it, or SV_NO_PAGE */
    int32_t chain;         /* next in its bucket */
    int32_t before, after; /* in the list of idle nodes */
    bool in_tree, idle;
} node;

struct sv_prefix {
    sv_pages *pages;
    uint32_t n, n_idle, n_bucket;
    node *node;      /* [n] */
    int32_t *bucket; /* [n_bucket], a power of two */
    int32_t oldest, newest;
};

sv_prefix *sv_prefix_make(uint32_t n, sv_pages *p)
{
    sv_prefix *x = sv_mem_new(sizeof *x);
    x->pages = p;
    x->n = n;
    x->n_bucket = 64;
    while (x->n_bucket < n)
        x->n_bucket *= 2;
    x->node = sv_mem_new(sv_mem_mul_or_die((size_t)n + 1, sizeof *x->node));
    x->bucket = sv_mem_new(sv_mem_mul_or_die(x->n_bucket, sizeof *x->bucket));
    for (uint32_t i = 0; i < x->n_bucket; i++)
        x->bucket[i] = NONE;
    x->oldest = x->newest = NONE;
    return x;
}

void sv_prefix_drop(sv_prefix *x)
{
    if (x == NULL)
        return;
    sv_mem_free(x->node);
    sv_mem_free(x->bucket);
    sv_mem_free(x);
}

uint32_t sv_prefix_n_free(const sv_prefix *x)
{
    return sv_pages_n_free(x->pages) + x->n_idle;
}

bool sv_prefix_is_idle(const sv_prefix *x, int32_t page)
{
    return x->node[page].idle;
}

/* ---- the table ---- */

static int32_t *bucket_of(const sv_prefix *x, uint64_t space, int32_t parent, const uint32_t *id)
{
    uint64_t h = space ^ (uint64_t)(uint32_t)parent * 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < SV_PAGE; i++)
        h = (h ^ id[i]) * 0xff51afd7ed558ccdu, h ^= h >> 29;
    return &x->bucket[h & (x->n_bucket - 1)];
}

int32_t sv_prefix_find(const sv_prefix *x, uint64_t space, int32_t parent, const uint32_t *id)
{
    int32_t at = *bucket_of(x, space, parent, id);
    for (; at != NONE; at = x->node[at].chain) {
        const node *d = &x->node[at];
        if (d->space == space && d->parent == parent && memcmp(d->id, id, sizeof d->id) == 0)
            return at;
    }
    return SV_NO_PAGE;
}

static void unlink_node(sv_prefix *x, int32_t page)
{
    node *d = &x->node[page];
    int32_t *at = bucket_of(x, d->space, d->parent, d->id);
    while (*at != page)
        at = &x->node[*at].chain;
    *at = d->chain;
    d->in_tree = false;
}

/* ---- the list of idle nodes ---- */

static void set_idle(sv_prefix *x, int32_t page)
{
    node *d = &x->node[page];
    d->idle = true;
    d->before = x->newest;
    d->after = NONE;
    *(x->newest == NONE ? &x->oldest : &x->node[x->newest].after) = page;
    x->newest = page;
    x->n_idle++;
}

static void set_busy(sv_prefix *x, int32_t page)
{
    node *d = &x->node[page];
    *(d->before == NONE ? &x->oldest : &x->node[d->before].after) = d->after;
    *(d->after == NONE ? &x->newest : &x->node[d->after].before) = d->before;
    d->idle = false;
    x->n_idle--;
}

/* ---- pages ---- */

void sv_prefix_add(sv_prefix *x, uint64_t space, int32_t parent, const uint32_t *id, int32_t *page)
{
    int32_t have = sv_prefix_find(x, space, parent, id);
    if (have != SV_NO_PAGE && have != *page) {
        sv_prefix_hold(x, have);
        sv_prefix_give(x, *page);
        *page = have;
    }
    if (have != SV_NO_PAGE)
        return;
    node *d = &x->node[*page];
    int32_t *bucket = bucket_of(x, space, parent, id);
    memcpy(d->id, id, sizeof d->id);
    d->space = space;
    d->parent = parent;
    d->chain = *bucket;
    d->in_tree = true;
    *bucket = *page;
    sv_pages_hold(x->pages, *page);
}

static void evict(sv_prefix *x)
{
    int32_t page = x->oldest;
    set_busy(x, page);
    unlink_node(x, page);
    sv_pages_give(x->pages, page);
}

bool sv_prefix_take(sv_prefix *x, int32_t *page)
{
    if (sv_pages_n_free(x->pages) == 0 && x->oldest != NONE)
        evict(x);
    return sv_pages_take(x->pages, page);
}

void sv_prefix_hold(sv_prefix *x, int32_t page)
{
    if (x->node[page].idle)
        set_busy(x, page);
    sv_pages_hold(x->pages, page);
}

void sv_prefix_give(sv_prefix *x, int32_t page)
{
    sv_pages_give(x->pages, page);
    if (x->node[page].in_tree && sv_pages_n_holder(x->pages, page) == 1)
        set_idle(x, page);
}

void sv_prefix_clear(sv_prefix *x)
{
    while (x->oldest != NONE)
        evict(x);
    for (uint32_t i = 0; i < x->n; i++) {
        if (!x->node[i].in_tree)
            continue;
        unlink_node(x, (int32_t)i);
        sv_pages_give(x->pages, (int32_t)i);
    }
}
