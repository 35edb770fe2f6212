/* SPDX-License-Identifier: Apache-2.0
 * The identity of a model's weights. Sharding, file format and padding do not enter; each tensor is hashed on its own,
 * so threads may share the work.
 */
#include <stdlib.h>
#include <string.h>

#include "base/sha.h"
#include "base/thread.h"
#include "model/save_impl.h"

#define MAX_HASHER 16u

typedef struct entry {
    const sv_named_tensor *t;
    uint8_t sum[32];
} entry;

typedef struct hasher {
    entry *entry;
    size_t n, next; /* next: atomic */
} hasher;

static void hash_some(void *arg)
{
    hasher *h = arg;
    for (;;) {
        size_t i = __atomic_fetch_add(&h->next, 1, __ATOMIC_RELAXED);
        if (i >= h->n)
            return;
        sv_sha_of(h->entry[i].t->data, h->entry[i].t->bytes, h->entry[i].sum);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->t->name, ((const entry *)b)->t->name);
}

static void hash_all(hasher *h)
{
    sv_thread *thread[MAX_HASHER];
    uint32_t want = sv_thread_cores(), n = 0;
    want = want > MAX_HASHER ? MAX_HASHER : want;
    while (n + 1 < want && sv_thread_start("sv-hash", hash_some, h, &thread[n]) == SV_OK)
        n++;
    hash_some(h);
    for (uint32_t i = 0; i < n; i++)
        sv_thread_join(thread[i]);
}

void sv_weights_hash(const sv_named_tensor *item, size_t n, uint8_t out[32])
{
    hasher h = { .entry = sv_mem_new((n ? n : 1) * sizeof *h.entry), .n = n };
    for (size_t i = 0; i < n; i++)
        h.entry[i].t = &item[i];
    hash_all(&h);
    qsort(h.entry, n, sizeof *h.entry, by_name);
    sv_sha *s = sv_sha_make();
    sv_bytes line = { 0 };
    sv_sha_add(s, "samsvar-weights/1\n", 18);
    for (size_t i = 0; i < n; i++) {
        const sv_named_tensor *t = h.entry[i].t;
        const char *type = sv_dtype_name(t->dtype);
        sv_bytes_clear(&line);
        sv_bytes_add(&line, t->name, strlen(t->name) + 1);
        sv_bytes_add(&line, type, strlen(type) + 1);
        for (uint32_t d = 0; d < t->n_dim; d++)
            sv_bytes_printf(&line, d ? ",%llu" : "%llu", (unsigned long long)t->dim[d]);
        sv_bytes_char(&line, '\0');
        sv_sha_add(s, line.p, line.n);
        sv_sha_add(s, h.entry[i].sum, 32);
    }
    sv_sha_end(s, out);
    sv_bytes_done(&line);
    sv_mem_free(h.entry);
}

void sv_model_weights_hash(const sv_model *m, uint8_t out[32])
{
    const sv_model_own *o = sv_model_own_of(m);
    sv_arena *a = sv_arena_make();
    sv_named_tensor *item = SV_NEW_N(a, sv_named_tensor, sv_weight_ids(&m->config));
    size_t n = 0;
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        if (!o->stored[id].data)
            continue;
        sv_named_tensor *t = &item[n++];
        t->name = sv_weight_name(&m->config, id, false, a);
        t->dtype = o->stored[id].dtype;
        t->data = o->stored[id].data;
        t->bytes = o->stored[id].bytes;
        sv_weight_dims(&m->shape[id], t);
    }
    sv_weights_hash(item, n, out);
    sv_arena_drop(a);
}
