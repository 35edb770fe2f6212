/* SPDX-License-Identifier: Apache-2.0
 * A stack of free pages. Which page a position gets never shows in a bit, so the order is whatever is cheap.
 */
#include "infer/kv.h"

#include "base/mem.h"
#include "samsvar/op.h"

struct sv_pages {
    uint32_t n, n_free;
    int32_t *free;    /* [n] */
    uint32_t *holder; /* [n] */
};

sv_pages *sv_pages_make(uint32_t n)
{
    sv_pages *p = sv_mem_new(sizeof *p);
    p->n = p->n_free = n;
    p->free = sv_mem_new(sv_mem_mul_or_die(n, sizeof *p->free));
    p->holder = sv_mem_new(sv_mem_mul_or_die(n, sizeof *p->holder));
    for (uint32_t i = 0; i < n; i++)
        p->free[i] = (int32_t)(n - 1 - i);
    return p;
}

void sv_pages_drop(sv_pages *p)
{
    if (p == NULL)
        return;
    sv_mem_free(p->free);
    sv_mem_free(p->holder);
    sv_mem_free(p);
}

uint32_t sv_pages_n_free(const sv_pages *p)
{
    return p->n_free;
}

bool sv_pages_take(sv_pages *p, int32_t *page)
{
    if (p->n_free == 0)
        return false;
    *page = p->free[--p->n_free];
    p->holder[*page] = 1;
    return true;
}

void sv_pages_hold(sv_pages *p, int32_t page)
{
    SV_ASSERT((uint32_t)page < p->n && p->holder[page] > 0);
    p->holder[page]++;
}

uint32_t sv_pages_n_holder(const sv_pages *p, int32_t page)
{
    return p->holder[page];
}

void sv_pages_give(sv_pages *p, int32_t page)
{
    SV_ASSERT((uint32_t)page < p->n && p->holder[page] > 0);
    if (--p->holder[page] == 0)
        p->free[p->n_free++] = page;
}

uint32_t sv_pages_for(uint32_t n_position)
{
    return n_position / SV_PAGE + (n_position % SV_PAGE != 0);
}
