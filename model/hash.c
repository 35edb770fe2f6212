/* SPDX-License-Identifier: Apache-2.0
 * The identity of a model's weights. Sharding, file format and padding do not enter; each tensor is hashed on its own,
 * so threads may share the work.
 */
#include <stdlib.h>
#include <string.h>

#include "base/sha.h"
#include "base/thread.h"
#include "model/load_impl.h"

#define MAX_HASHER 16u

typedef struct entry {
    const char *name;
    sv_dtype dtype;
    const sv_tensor *shape;
    const sv_stored *stored;
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
        sv_sha_of(h->entry[i].stored->data, h->entry[i].stored->bytes, h->entry[i].sum);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
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

void sv_model_weights_hash(const sv_model *m, uint8_t out[32])
{
    const sv_model_own *o = sv_model_own_of(m);
    const sv_config *c = &m->config;
    sv_arena *a = sv_arena_make();
    hasher h = { .entry = SV_NEW_N(a, entry, sv_weight_ids(c)) };
    for (uint32_t id = 0; id < sv_weight_ids(c); id++)
        if (o->stored[id].data)
            h.entry[h.n++] = (entry){ .name = sv_weight_name(c, id, false, a),
                                      .dtype = o->stored[id].dtype,
                                      .shape = &m->shape[id],
                                      .stored = &o->stored[id] };
    hash_all(&h);
    qsort(h.entry, h.n, sizeof *h.entry, by_name);
    sv_sha *s = sv_sha_make();
    sv_sha_add(s, "samsvar-weights/1\n", 18);
    for (size_t i = 0; i < h.n; i++) {
        const entry *e = &h.entry[i];
        sv_bytes line = { 0 };
        sv_bytes_add(&line, e->name, strlen(e->name) + 1);
        sv_bytes_add(&line, sv_dtype_name(e->dtype), strlen(sv_dtype_name(e->dtype)) + 1);
        for (uint32_t d = 0; d < e->shape->n_dim; d++)
            sv_bytes_printf(&line, d ? ",%u" : "%u", e->shape->dim[d]);
        sv_bytes_char(&line, '\0');
        sv_sha_add(s, line.p, line.n);
        sv_sha_add(s, e->sum, 32);
        sv_bytes_done(&line);
    }
    sv_sha_end(s, out);
    sv_arena_drop(a);
}
