/* SPDX-License-Identifier: Apache-2.0
 * A hash map from bytes to uint32_t: open addressing, keys in an arena, SipHash-1-3 with a random key so that a file
 * cannot choose colliding keys. There is no iteration, so the random key can never reach a result.
 */
#include "base/map.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"

typedef struct slot {
    const char *key; /* NULL: empty */
    size_t n;
    uint32_t hash, value;
} slot;

struct sv_map {
    slot *slots;
    size_t cap, n; /* cap is a power of two */
    uint64_t k0, k1;
    sv_arena *keys;
};

static inline uint64_t rotl(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3. Source: Aumasson & Bernstein 2012, section 2, with one and three rounds. */
static uint32_t hash_of(const sv_map *m, sv_str key)
{
    uint64_t v[4] = { m->k0 ^ 0x736f6d6570736575u, m->k1 ^ 0x646f72616e646f6du, m->k0 ^ 0x6c7967656e657261u,
                      m->k1 ^ 0x7465646279746573u };
    size_t left = key.n;
    const char *p = key.p;
    uint64_t w;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&w, p, 8);
        v[3] ^= w;
        sip_round(v);
        v[0] ^= w;
    }
    w = 0;
    if (left)
        memcpy(&w, p, left);
    w |= (uint64_t)key.n << 56;
    v[3] ^= w;
    sip_round(v);
    v[0] ^= w;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(h ^ h >> 32);
}

sv_map *sv_map_make(size_t expected)
{
    sv_map *m = sv_mem_new(sizeof *m);
    m->cap = 16;
    while (m->cap / 4 * 3 < expected)
        m->cap = sv_mem_mul_or_die(m->cap, 2);
    m->slots = sv_mem_new(sv_mem_mul_or_die(m->cap, sizeof *m->slots));
    m->keys = sv_arena_make();
    uint64_t k[2];
    if (getrandom(k, sizeof k, GRND_NONBLOCK) != (ssize_t)sizeof k) {
        k[0] = sv_clock_ns();
        k[1] = (uint64_t)(uintptr_t)m;
    }
    m->k0 = k[0];
    m->k1 = k[1];
    return m;
}

void sv_map_drop(sv_map *m)
{
    if (!m)
        return;
    sv_arena_drop(m->keys);
    sv_mem_free(m->slots);
    sv_mem_free(m);
}

/* The slot that holds the key, or the empty one where it belongs. */
static slot *find(const sv_map *m, sv_str key, uint32_t hash)
{
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        slot *s = &m->slots[i];
        if (!s->key || (s->hash == hash && s->n == key.n && (key.n == 0 || memcmp(s->key, key.p, key.n) == 0)))
            return s;
    }
}

static void double_size(sv_map *m)
{
    slot *old = m->slots;
    size_t n_old = m->cap;
    m->cap = sv_mem_mul_or_die(n_old, 2);
    m->slots = sv_mem_new(sv_mem_mul_or_die(m->cap, sizeof *m->slots));
    for (size_t i = 0; i < n_old; i++) {
        if (!old[i].key)
            continue;
        size_t at = old[i].hash & (m->cap - 1);
        while (m->slots[at].key)
            at = (at + 1) & (m->cap - 1);
        m->slots[at] = old[i];
    }
    sv_mem_free(old);
}

bool sv_map_put(sv_map *m, sv_str key, uint32_t value)
{
    uint32_t hash = hash_of(m, key);
    slot *s = find(m, key, hash);
    if (s->key)
        return false;
    if (m->n + 1 > m->cap / 4 * 3) {
        double_size(m);
        s = find(m, key, hash);
    }
    *s = (slot){ .key = sv_arena_textn(m->keys, key.p, key.n), .n = key.n, .hash = hash, .value = value };
    m->n++;
    return true;
}

bool sv_map_get(const sv_map *m, sv_str key, uint32_t *out)
{
    const slot *s = find(m, key, hash_of(m, key));
    if (!s->key)
        return false;
    if (out)
        *out = s->value;
    return true;
}

size_t sv_map_count(const sv_map *m)
{
    return m->n;
}
