/* SPDX-License-Identifier: Apache-2.0
 * The trie of added tokens and the search in trusted runs.
 */
#include "text/added.h"

#include "base/mem.h"

#define NONE UINT32_MAX

typedef struct node {
    uint32_t child, sibling; /* 0: none; node 0 is the root */
    uint32_t id;             /* NONE: no token ends here */
    uint8_t byte;
} node;

struct sv_added {
    node *node;
    size_t n_node, cap_node;
    uint32_t first[256]; /* the root's children by byte; 0: none */
};

sv_added *sv_added_make(void)
{
    sv_added *a = sv_mem_new(sizeof *a);
    node root = { .id = NONE };
    SV_PUSH(a->node, a->n_node, a->cap_node, root);
    return a;
}

void sv_added_drop(sv_added *a)
{
    if (!a)
        return;
    sv_mem_free(a->node);
    sv_mem_free(a);
}

static uint32_t step(const sv_added *a, uint32_t at, uint8_t byte)
{
    if (at == 0)
        return a->first[byte];
    uint32_t c = a->node[at].child;
    while (c != 0 && a->node[c].byte != byte)
        c = a->node[c].sibling;
    return c;
}

sv_err sv_added_put(sv_added *a, sv_str content, uint32_t id, const char *name)
{
    if (content.n == 0)
        return sv_fail(SV_E_FORMAT, "%s: added token %u is empty", name, id);
    if (content.n > SV_ADDED_MAX_BYTES)
        return sv_fail(SV_E_LIMIT, "%s: added token %u has %zu bytes; at most %d are allowed", name, id, content.n,
                       SV_ADDED_MAX_BYTES);
    uint32_t at = 0;
    for (size_t i = 0; i < content.n; i++) {
        uint8_t byte = (uint8_t)content.p[i];
        uint32_t next = step(a, at, byte);
        if (next == 0) {
            next = (uint32_t)a->n_node;
            node fresh = { .sibling = at == 0 ? 0 : a->node[at].child, .id = NONE, .byte = byte };
            SV_PUSH(a->node, a->n_node, a->cap_node, fresh);
            if (at == 0)
                a->first[byte] = next;
            else
                a->node[at].child = next;
        }
        at = next;
    }
    if (a->node[at].id != NONE)
        return sv_fail(SV_E_FORMAT, "%s: added token %s stands twice, with ids %u and %u", name, sv_str_quote(content),
                       a->node[at].id, id);
    a->node[at].id = id;
    return SV_OK;
}

bool sv_added_empty(const sv_added *a)
{
    return a->n_node == 1;
}

bool sv_added_find(const sv_added *a, sv_str content, uint32_t *id)
{
    uint32_t at = 0;
    for (size_t i = 0; i < content.n; i++)
        if ((at = step(a, at, (uint8_t)content.p[i])) == 0)
            return false;
    if (a->node[at].id == NONE)
        return false;
    *id = a->node[at].id;
    return true;
}

bool sv_added_next(const sv_added *a, const sv_marked *m, size_t begin, size_t end, size_t *run, sv_added_match *out)
{
    if (sv_added_empty(a))
        return false;
    while (begin < end) {
        while (m->run[*run].end <= begin)
            ++*run;
        size_t stop = m->run[*run].end < end ? m->run[*run].end : end;
        if (!m->run[*run].trusted)
            begin = stop;
        for (; begin < stop; begin++) {
            uint32_t at = a->first[(uint8_t)m->text.p[begin]];
            out->end = 0;
            for (size_t i = begin; at != 0;) {
                i++;
                if (a->node[at].id != NONE) {
                    out->end = i;
                    out->id = a->node[at].id;
                }
                at = i < stop ? step(a, at, (uint8_t)m->text.p[i]) : 0;
            }
            if (out->end > 0) {
                out->begin = begin;
                return true;
            }
        }
    }
    return false;
}
