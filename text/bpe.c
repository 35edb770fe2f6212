/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary's and the merges' hash tables, and merging by scan (short pieces) or by heap (long ones).
 */
#include "text/bpe.h"

#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"

#define NO_TOKEN UINT32_MAX
#define NO_RANK UINT32_MAX
enum { SHORT_PIECE = 48 };

typedef struct token {
    uint32_t at, n; /* bytes in blob */
} token;

/* A place of the vocabulary's table. Most tokens are short: those it holds whole. */
typedef struct slot {
    uint64_t head; /* the first 8 bytes, zeros behind the last */
    uint32_t tag;  /* upper half of the hash */
    uint32_t info; /* id + 1, kind_of << ID_BITS; 0: empty */
} slot;
enum { ID_BITS = 21, ID_MASK = (1 << ID_BITS) - 1, LONGEST_KNOWN = 1023 };

/* A merge that waits for its look-ups: a batch of them waits for memory together. */
typedef struct pending {
    uint64_t hash[3];            /* left, right, both */
    uint32_t at, n_left, n_both; /* in pending_bytes */
} pending;
enum { BATCH = 32 };

typedef struct pair_slot {
    uint64_t key; /* left << 32 | right, plus 1; 0: empty */
    uint32_t rank, id;
} pair_slot;

typedef struct pair_made {
    uint32_t rank, id;
} pair_made;

struct sv_bpe {
    char *name;
    uint64_t seed; /* differs from run to run, so that a file cannot choose keys that collide; never reaches an id */
    char *blob;
    size_t n_blob, cap_blob;
    token *token;
    uint8_t *flags;
    size_t n_token, cap_token, cap_flags;
    slot *slot;
    size_t n_slot_used, slot_mask;
    uint64_t *merge; /* left << 32 | right by rank */
    size_t n_merge, cap_merge;
    pending pending[BATCH];
    sv_bytes pending_bytes;
    size_t n_pending;
    pair_slot *pair;
    size_t n_pair_used, pair_mask;
    uint32_t byte_id[256];
    pair_made *byte_pair; /* [256 * 256] merges of two single bytes, by the bytes: every piece begins with these */
    bool ignore_merges;
    /* Whether merging a token's bytes gives that token: 0 not known yet, 1 yes, 2 no. Filled in while encoding; any
     * thread writes the same value. */
    _Atomic uint8_t *whole;
};

static uint64_t mix(uint64_t a)
{
    a ^= a >> 32;
    a *= 0x9e3779b97f4a7c15u;
    a ^= a >> 29;
    a *= 0xbf58476d1ce4e5b9u;
    return a ^ a >> 32;
}

/* Up to 8 bytes as a number. */
static uint64_t word_of(const char *p, size_t n)
{
    uint64_t w = 0;
    memcpy(&w, p, n < 8 ? n : 8);
    return w;
}

static uint64_t hash_bytes(const sv_bpe *b, sv_str s, bool raw)
{
    uint64_t h = b->seed ^ (s.n * 2 + raw);
    for (; s.n > 8; s.p += 8, s.n -= 8)
        h = mix(h ^ word_of(s.p, 8));
    return mix(h ^ word_of(s.p, s.n) * 0x9e3779b97f4a7c15u);
}

/* What a place says of a token beside its bytes: the length, as far as LONGEST_KNOWN, and whether the name is raw. */
static uint32_t kind_of(size_t n, bool raw)
{
    return (uint32_t)(n < LONGEST_KNOWN ? n : LONGEST_KNOWN) << 1 | raw;
}

static size_t table_size(size_t items)
{
    size_t n = 16;
    while (n < items + items / 2)
        n *= 2;
    return n;
}

sv_bpe *sv_bpe_make(uint32_t n_token, uint32_t n_merge, const char *name)
{
    sv_bpe *b = sv_mem_new(sizeof *b);
    b->name = sv_mem_text(name);
    b->seed = mix(sv_clock_ns() ^ (uint64_t)(uintptr_t)b);
    b->slot_mask = table_size(n_token) - 1;
    b->slot = sv_mem_new((b->slot_mask + 1) * sizeof *b->slot);
    b->pair_mask = table_size(n_merge) - 1;
    b->pair = sv_mem_new((b->pair_mask + 1) * sizeof *b->pair);
    memset(b->byte_id, 0xff, sizeof b->byte_id);
    return b;
}

void sv_bpe_drop(sv_bpe *b)
{
    if (!b)
        return;
    sv_mem_free(b->name);
    sv_mem_free(b->blob);
    sv_mem_free(b->token);
    sv_mem_free(b->flags);
    sv_mem_free(b->slot);
    sv_mem_free(b->merge);
    sv_mem_free(b->pair);
    sv_mem_free(b->byte_pair);
    sv_bytes_done(&b->pending_bytes);
    sv_mem_free((void *)b->whole);
    sv_mem_free(b);
}

static size_t grown(size_t cap, size_t need)
{
    if (cap < 64)
        cap = 64;
    while (cap < need)
        cap += cap / 2;
    return cap;
}

static void reserve_id(sv_bpe *b, uint32_t id)
{
    if (id < b->n_token)
        return;
    if (id >= b->cap_token) {
        size_t cap = grown(b->cap_token, (size_t)id + 1);
        b->token = sv_mem_grow(b->token, b->cap_token * sizeof *b->token, cap * sizeof *b->token);
        b->flags = sv_mem_grow(b->flags, b->cap_token, cap);
        b->cap_token = cap;
    }
    b->n_token = (size_t)id + 1;
}

static void slot_insert(const sv_bpe *b, slot *table, size_t mask, uint64_t hash, uint32_t id)
{
    size_t i = hash & mask;
    while (table[i].info != 0)
        i = (i + 1) & mask;
    token t = b->token[id];
    uint32_t kind = kind_of(t.n, (b->flags[id] & SV_TOKEN_RAW) != 0);
    table[i] = (slot){ word_of(b->blob + t.at, t.n), (uint32_t)(hash >> 32), kind << ID_BITS | (id + 1) };
}

static bool find_hashed(const sv_bpe *b, sv_str s, bool raw, uint64_t hash, uint32_t *id)
{
    uint64_t head = word_of(s.p, s.n);
    uint32_t kind = kind_of(s.n, raw);
    for (size_t i = hash & b->slot_mask; b->slot[i].info != 0; i = (i + 1) & b->slot_mask) {
        const slot *at = &b->slot[i];
        if (at->tag != (uint32_t)(hash >> 32) || at->head != head || at->info >> ID_BITS != kind)
            continue;
        *id = (at->info & ID_MASK) - 1;
        if (s.n <= 8)
            return true;
        const token *t = &b->token[*id];
        if (t->n == s.n && memcmp(b->blob + t->at + 8, s.p + 8, s.n - 8) == 0)
            return true;
    }
    return false;
}

bool sv_bpe_find(const sv_bpe *b, sv_str bytes, bool raw, uint32_t *id)
{
    return bytes.n > 0 && find_hashed(b, bytes, raw, hash_bytes(b, bytes, raw), id);
}

static void grow_slots(sv_bpe *b)
{
    size_t size = 2 * (b->slot_mask + 1);
    slot *table = sv_mem_new(size * sizeof *table);
    for (size_t i = 0; i <= b->slot_mask; i++) {
        if (b->slot[i].info == 0)
            continue;
        uint32_t id = (b->slot[i].info & ID_MASK) - 1;
        sv_str s = { b->blob + b->token[id].at, b->token[id].n };
        slot_insert(b, table, size - 1, hash_bytes(b, s, (b->flags[id] & SV_TOKEN_RAW) != 0), id);
    }
    sv_mem_free(b->slot);
    b->slot = table;
    b->slot_mask = size - 1;
}

sv_err sv_bpe_put(sv_bpe *b, uint32_t id, sv_str bytes, uint32_t flags)
{
    if (id >= SV_BPE_MAX_TOKENS)
        return sv_fail(SV_E_LIMIT, "%s: token %s has id %u; ids are below %d", b->name, sv_str_quote(bytes), id,
                       SV_BPE_MAX_TOKENS);
    if (bytes.n == 0)
        return sv_fail(SV_E_FORMAT, "%s: token %u is empty; a token needs at least one byte", b->name, id);
    if (sv_bpe_flags(b, id) != 0)
        return sv_fail(SV_E_FORMAT, "%s: id %u is given to two tokens, %s and %s", b->name, id,
                       sv_str_quote(sv_bpe_piece(b, id)), sv_str_quote(bytes));
    size_t end;
    if (!sv_add_size(b->n_blob, bytes.n, &end) || end > UINT32_MAX)
        return sv_fail(SV_E_LIMIT, "%s: all tokens together have more than 4 GiB", b->name);
    bool raw = (flags & SV_TOKEN_RAW) != 0;
    uint64_t hash = 0;
    if ((flags & SV_TOKEN_VOCAB) != 0) {
        uint32_t other;
        hash = hash_bytes(b, bytes, raw);
        if (find_hashed(b, bytes, raw, hash, &other))
            return sv_fail(SV_E_FORMAT, "%s: token %s stands twice, with ids %u and %u", b->name, sv_str_quote(bytes),
                           other, id);
    }
    if (end > b->cap_blob) {
        size_t cap = grown(b->cap_blob, end);
        b->blob = sv_mem_grow(b->blob, b->cap_blob, cap);
        b->cap_blob = cap;
    }
    memcpy(b->blob + b->n_blob, bytes.p, bytes.n);
    reserve_id(b, id);
    b->token[id] = (token){ (uint32_t)b->n_blob, (uint32_t)bytes.n };
    b->flags[id] = (uint8_t)(flags | SV_TOKEN_EXISTS);
    b->n_blob = end;
    if ((flags & SV_TOKEN_VOCAB) != 0) {
        if (3 * (b->n_slot_used + 1) > 2 * (b->slot_mask + 1))
            grow_slots(b);
        slot_insert(b, b->slot, b->slot_mask, hash, id);
        b->n_slot_used++;
    }
    return SV_OK;
}

void sv_bpe_mark(sv_bpe *b, uint32_t id, uint32_t flags)
{
    SV_ASSERT(sv_bpe_flags(b, id) != 0);
    b->flags[id] |= (uint8_t)flags;
}

static const pair_slot *find_pair(const sv_bpe *b, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) + 1;
    for (size_t i = mix(key ^ b->seed) & b->pair_mask; b->pair[i].key != 0; i = (i + 1) & b->pair_mask)
        if (b->pair[i].key == key)
            return &b->pair[i];
    return NULL;
}

static pair_slot *pair_place(const sv_bpe *b, pair_slot *pair, size_t mask, uint64_t key)
{
    size_t i = mix(key ^ b->seed) & mask;
    while (pair[i].key != 0 && pair[i].key != key)
        i = (i + 1) & mask;
    return &pair[i];
}

/* Makes room for n more pairs. */
static void reserve_pairs(sv_bpe *b, size_t n)
{
    size_t size = b->pair_mask + 1;
    while (3 * (b->n_pair_used + n) > 2 * size)
        size *= 2;
    if (size == b->pair_mask + 1)
        return;
    pair_slot *pair = sv_mem_new(size * sizeof *pair);
    for (size_t i = 0; i <= b->pair_mask; i++)
        if (b->pair[i].key != 0)
            *pair_place(b, pair, size - 1, b->pair[i].key) = b->pair[i];
    sv_mem_free(b->pair);
    b->pair = pair;
    b->pair_mask = size - 1;
}

/* Looks one merge up; id: left, right, what they make. */
static sv_err find_merge(const sv_bpe *b, size_t i, uint32_t id[3])
{
    const pending *p = &b->pending[i];
    const char *bytes = b->pending_bytes.p + p->at;
    sv_str all = { bytes, p->n_both };
    sv_str side[2] = { { bytes, p->n_left }, { bytes + p->n_left, p->n_both - p->n_left } };
    size_t rank = b->n_merge + i;
    for (int k = 0; k < 2; k++)
        if (!find_hashed(b, side[k], false, p->hash[k], &id[k]))
            return sv_fail(SV_E_FORMAT, "%s: the %s side of merge %zu, %s, is not in the vocabulary", b->name,
                           k == 0 ? "left" : "right", rank, sv_str_quote(side[k]));
    if (!find_hashed(b, all, false, p->hash[2], &id[2]))
        return sv_fail(SV_E_FORMAT, "%s: merge %zu makes %s, which is not in the vocabulary", b->name, rank,
                       sv_str_quote(all));
    if ((b->flags[id[2]] & SV_TOKEN_SPECIAL) != 0)
        return sv_fail(SV_E_UNSUPPORTED, "%s: merge %zu makes the special token %s, so a user's text could become it",
                       b->name, rank, sv_str_quote(all));
    return SV_OK;
}

/* Enters the merges that wait; with an error none of them. */
static sv_err end_batch(sv_bpe *b)
{
    uint32_t id[BATCH][3];
    sv_err e = SV_OK;
    reserve_pairs(b, b->n_pending);
    for (size_t i = 0; i < b->n_pending && e == SV_OK; i++) {
        if ((e = find_merge(b, i, id[i])) == SV_OK)
            __builtin_prefetch(&b->pair[mix((((uint64_t)id[i][0] << 32 | id[i][1]) + 1) ^ b->seed) & b->pair_mask], 1);
    }
    for (size_t i = 0; i < b->n_pending && e == SV_OK; i++) {
        uint64_t both = (uint64_t)id[i][0] << 32 | id[i][1];
        pair_slot *p = pair_place(b, b->pair, b->pair_mask, both + 1);
        b->n_pair_used += p->key == 0;
        *p = (pair_slot){ both + 1, (uint32_t)b->n_merge, id[i][2] };
        SV_PUSH(b->merge, b->n_merge, b->cap_merge, both);
    }
    b->n_pending = 0;
    sv_bytes_clear(&b->pending_bytes);
    return e;
}

sv_err sv_bpe_add_merge(sv_bpe *b, sv_str left, sv_str right)
{
    size_t rank = b->n_merge + b->n_pending, n = left.n + right.n;
    if (rank >= SV_BPE_MAX_MERGES)
        return sv_fail(SV_E_LIMIT, "%s: more than %d merges", b->name, SV_BPE_MAX_MERGES);
    if (left.n == 0 || right.n == 0)
        return sv_fail(SV_E_FORMAT, "%s: merge %zu has an empty %s side", b->name, rank,
                       left.n == 0 ? "left" : "right");
    if (n > UINT32_MAX / BATCH)
        return sv_fail(SV_E_LIMIT, "%s: merge %zu makes a token of %zu bytes", b->name, rank, n);
    pending *p = &b->pending[b->n_pending++];
    *p = (pending){ .at = (uint32_t)b->pending_bytes.n, .n_left = (uint32_t)left.n, .n_both = (uint32_t)n };
    sv_bytes_add(&b->pending_bytes, left.p, left.n);
    sv_bytes_add(&b->pending_bytes, right.p, right.n);
    p->hash[0] = hash_bytes(b, left, false);
    p->hash[1] = hash_bytes(b, right, false);
    p->hash[2] = hash_bytes(b, (sv_str){ b->pending_bytes.p + p->at, n }, false);
    for (int k = 0; k < 3; k++)
        __builtin_prefetch(&b->slot[p->hash[k] & b->slot_mask]);
    return b->n_pending == BATCH ? end_batch(b) : SV_OK;
}

uint32_t sv_bpe_n_merge(const sv_bpe *b)
{
    return (uint32_t)(b->n_merge + b->n_pending);
}

void sv_bpe_merge(const sv_bpe *b, uint32_t rank, uint32_t *left, uint32_t *right, uint32_t *made)
{
    *left = (uint32_t)(b->merge[rank] >> 32);
    *right = (uint32_t)b->merge[rank];
    *made = find_pair(b, *left, *right)->id;
}

/* Marks the tokens that are whole UTF-8. */
static void mark_text(sv_bpe *b)
{
    for (size_t i = 0; i < b->n_token; i++)
        if (b->flags[i] != 0 && sv_utf8_valid(b->blob + b->token[i].at, b->token[i].n, NULL))
            b->flags[i] |= SV_TOKEN_TEXT;
}

sv_err sv_bpe_seal(sv_bpe *b, bool ignore_merges)
{
    SV_TRY(end_batch(b));
    b->ignore_merges = ignore_merges;
    mark_text(b);
    for (uint32_t c = 0; c < 256; c++) {
        char byte = (char)c;
        uint32_t id;
        if (sv_bpe_find(b, (sv_str){ &byte, 1 }, false, &id) && (b->flags[id] & SV_TOKEN_SPECIAL) == 0)
            b->byte_id[c] = id;
    }
    b->whole = sv_mem_new((b->n_token + 1) * sizeof *b->whole);
    b->byte_pair = sv_mem_new(65536 * sizeof *b->byte_pair);
    memset(b->byte_pair, 0xff, 65536 * sizeof *b->byte_pair);
    for (size_t i = 0; i < b->n_merge; i++) {
        sv_str l = sv_bpe_piece(b, (uint32_t)(b->merge[i] >> 32)), r = sv_bpe_piece(b, (uint32_t)b->merge[i]);
        if (l.n != 1 || r.n != 1)
            continue;
        const pair_slot *p = find_pair(b, (uint32_t)(b->merge[i] >> 32), (uint32_t)b->merge[i]);
        b->byte_pair[(unsigned char)l.p[0] << 8 | (unsigned char)r.p[0]] = (pair_made){ p->rank, p->id };
    }
    return SV_OK;
}

uint32_t sv_bpe_count(const sv_bpe *b)
{
    return (uint32_t)b->n_token;
}

uint32_t sv_bpe_flags(const sv_bpe *b, uint32_t id)
{
    return id < b->n_token ? b->flags[id] : 0;
}

sv_str sv_bpe_piece(const sv_bpe *b, uint32_t id)
{
    if (sv_bpe_flags(b, id) == 0)
        return (sv_str){ "", 0 };
    return (sv_str){ b->blob + b->token[id].at, b->token[id].n };
}

size_t sv_bpe_text(const sv_bpe *b, const uint32_t *id, size_t n, uint32_t flags, sv_bytes *out)
{
    size_t i = 0;
    for (; i < n; i++) {
        if (id[i] >= b->n_token || (b->flags[id[i]] & (flags | SV_TOKEN_TEXT)) != SV_TOKEN_TEXT)
            break;
        token t = b->token[id[i]];
        if (out->cap - out->n > 16 && b->n_blob - t.at >= 16 && t.n <= 16) {
            memcpy(out->p + out->n, b->blob + t.at, 16);
            out->n += t.n;
        } else {
            sv_bytes_add(out, b->blob + t.at, t.n);
        }
    }
    if (out->p)
        out->p[out->n] = 0;
    return i;
}

void sv_bpe_work_done(sv_bpe_work *w)
{
    sv_mem_free(w->word);
    sv_mem_free(w->id);
    sv_mem_free(w->heap);
    *w = (sv_bpe_work){ 0 };
}

static void push_id(sv_ids *out, uint32_t id)
{
    SV_PUSH(out->id, out->n, out->cap, id);
}

static pair_made pair_of_bytes(const sv_bpe *b, const char *p)
{
    return b->byte_pair[(unsigned char)p[0] << 8 | (unsigned char)p[1]];
}

/* Merges id[0..n), the ids of a piece's bytes, in place by looking at all pairs each time; returns the new n. */
static size_t merge_short(const sv_bpe *b, const char *piece, uint32_t *id, size_t n)
{
    uint32_t rank[SHORT_PIECE], made[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++) {
        pair_made p = pair_of_bytes(b, piece + i);
        rank[i] = p.rank;
        made[i] = p.id;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        id[best] = made[best];
        size_t rest = n - best - 2;
        memmove(id + best + 1, id + best + 2, rest * sizeof *id);
        memmove(rank + best, rank + best + 1, rest * sizeof *rank);
        memmove(made + best, made + best + 1, rest * sizeof *made);
        n--;
        for (size_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const pair_slot *p = find_pair(b, id[i], id[i + 1]);
            rank[i] = p ? p->rank : NO_RANK;
            made[i] = p ? p->id : 0;
        }
    }
    return n;
}

static void sift_down(uint64_t *h, size_t n, size_t i)
{
    uint64_t v = h[i];
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && h[c + 1] < h[c])
            c++;
        if (v <= h[c])
            break;
        h[i] = h[c];
    }
    h[i] = v;
}

static void heap_push(sv_bpe_work *w, uint64_t v)
{
    SV_PUSH(w->heap, w->n_heap, w->cap_heap, v);
    size_t i = w->n_heap - 1;
    for (; i > 0 && v < w->heap[(i - 1) / 2]; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = v;
}

static uint64_t heap_pop(sv_bpe_work *w)
{
    uint64_t v = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap > 0)
        sift_down(w->heap, w->n_heap, 0);
    return v;
}

static void rank_again(const sv_bpe *b, sv_bpe_work *w, uint32_t i, uint32_t n)
{
    const pair_slot *p = w->next[i] < n ? find_pair(b, w->id[i], w->id[w->next[i]]) : NULL;
    w->rank[i] = p ? p->rank : NO_RANK;
    if (p)
        heap_push(w, (uint64_t)p->rank << 32 | i);
}

/* Merges w->id[0..n), the ids of a piece's bytes, by a heap of (rank, place); an entry whose rank is no longer its
 * place's rank is stale. */
static void merge_long(const sv_bpe *b, const char *piece, sv_bpe_work *w, uint32_t n)
{
    w->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->next[i] = i + 1;
        w->prev[i] = i - 1; /* wraps to 2^32 - 1 for the first */
        w->rank[i] = i + 1 < n ? pair_of_bytes(b, piece + i).rank : NO_RANK;
        if (w->rank[i] != NO_RANK) {
            uint64_t entry = (uint64_t)w->rank[i] << 32 | i;
            SV_PUSH(w->heap, w->n_heap, w->cap_heap, entry);
        }
    }
    for (size_t i = w->n_heap / 2; i-- > 0;)
        sift_down(w->heap, w->n_heap, i);
    while (w->n_heap > 0) {
        uint64_t top = heap_pop(w);
        uint32_t i = (uint32_t)top;
        if (w->rank[i] != (uint32_t)(top >> 32))
            continue;
        uint32_t gone = w->next[i];
        w->id[i] = find_pair(b, w->id[i], w->id[gone])->id;
        w->rank[gone] = NO_RANK;
        w->next[i] = w->next[gone];
        if (w->next[i] < n)
            w->prev[w->next[i]] = i;
        rank_again(b, w, i, n);
        if (w->prev[i] < n)
            rank_again(b, w, w->prev[i], n);
    }
}

static void reserve_work(sv_bpe_work *w, size_t n)
{
    if (n <= w->cap)
        return;
    sv_mem_free(w->id);
    w->cap = grown(w->cap, n);
    w->id = sv_mem_new(sv_mem_mul_or_die(w->cap, 4 * sizeof *w->id));
    w->next = w->id + w->cap;
    w->prev = w->next + w->cap;
    w->rank = w->prev + w->cap;
}

/* Appends what merging the piece's bytes gives. */
static bool encode_merging(const sv_bpe *b, sv_str piece, sv_bpe_work *w, sv_ids *out, size_t *bad)
{
    uint32_t small[SHORT_PIECE], *id = small;
    if (piece.n > SHORT_PIECE) {
        reserve_work(w, piece.n);
        id = w->id;
    }
    for (size_t i = 0; i < piece.n; i++) {
        id[i] = b->byte_id[(unsigned char)piece.p[i]];
        if (id[i] == NO_TOKEN) {
            *bad = i;
            return false;
        }
    }
    if (piece.n <= SHORT_PIECE) {
        size_t n = merge_short(b, piece.p, small, piece.n);
        for (size_t i = 0; i < n; i++)
            push_id(out, small[i]);
        return true;
    }
    SV_ASSERT(piece.n < UINT32_MAX);
    merge_long(b, piece.p, w, (uint32_t)piece.n);
    for (uint32_t i = 0; i < piece.n; i = w->next[i])
        push_id(out, w->id[i]);
    return true;
}

/* A piece that is in no table of words. */
static bool encode_whole(const sv_bpe *b, sv_str piece, sv_bpe_work *w, sv_ids *out, size_t *bad)
{
    if (piece.n == 1 && !b->ignore_merges) {
        uint32_t byte = b->byte_id[(unsigned char)piece.p[0]];
        *bad = 0;
        if (byte != NO_TOKEN)
            push_id(out, byte);
        return byte != NO_TOKEN;
    }
    uint32_t id;
    if (!sv_bpe_find(b, piece, false, &id))
        return encode_merging(b, piece, w, out, bad);
    if (b->ignore_merges && (b->flags[id] & SV_TOKEN_ADDED) == 0) {
        push_id(out, id);
        return true;
    }
    uint8_t known = atomic_load_explicit(&b->whole[id], memory_order_relaxed);
    if (known == 1) {
        push_id(out, id);
        return true;
    }
    size_t n = out->n;
    if (!encode_merging(b, piece, w, out, bad))
        return false;
    if (known == 0) {
        known = out->n == n + 1 && out->id[n] == id ? 1 : 2;
        atomic_store_explicit(&b->whole[id], known, memory_order_relaxed);
    }
    return true;
}

enum { N_WORD = 8192, WORD_BYTES = 15, WORD_IDS = 4 };

void sv_bpe_work_text(sv_bpe_work *w, sv_str text)
{
    w->end = text.p + text.n;
    if (!w->word)
        w->word = sv_mem_new(N_WORD * sizeof *w->word);
}

/* The key of a short piece. */
static inline void key_of(sv_str s, const char *end, uint64_t key[2])
{
    static const uint64_t mask[9] = { 0,          0xff,         0xffff,         0xffffff,
                                      0xffffffff, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff,
                                      UINT64_MAX };
    key[0] = key[1] = 0;
    if ((uintptr_t)end - (uintptr_t)s.p >= 16)
        memcpy(key, s.p, 16); /* reads behind the piece, not the text */
    else
        memcpy(key, s.p, s.n);
    key[0] &= mask[s.n < 8 ? s.n : 8];
    key[1] = (key[1] & mask[s.n < 8 ? 0 : s.n - 8]) | (uint64_t)s.n << 56;
}

/* Keeps what a piece became, if it fits. */
static void keep_word(sv_bpe_word *at, const uint64_t key[2], const uint32_t *id, size_t n)
{
    if (n > WORD_IDS)
        return;
    *at = (sv_bpe_word){ .key = { key[0], key[1] } };
    memcpy(at->id, id, n * sizeof *id);
    at->id[0] |= (uint32_t)(n - 1) << 30;
}

bool sv_bpe_encode(const sv_bpe *b, sv_str piece, sv_bpe_work *w, sv_ids *out, size_t *bad)
{
    if (!w->word || piece.n > WORD_BYTES)
        return encode_whole(b, piece, w, out, bad);
    uint64_t key[2];
    key_of(piece, w->end, key);
    uint64_t h = (key[0] ^ b->seed) * 0x9e3779b97f4a7c15u + key[1] * 0xbf58476d1ce4e5b9u;
    sv_bpe_word *at = &w->word[(h ^ h >> 32) * 0x9e3779b97f4a7c15u >> 40 & (N_WORD - 1)];
    if (at->key[0] != key[0] || at->key[1] != key[1]) {
        size_t before = out->n;
        if (!encode_whole(b, piece, w, out, bad))
            return false;
        keep_word(at, key, out->id + before, out->n - before);
        return true;
    }
    if (out->cap - out->n < WORD_IDS) {
        for (size_t i = 0; i <= at->id[0] >> 30; i++)
            push_id(out, i == 0 ? at->id[0] & (UINT32_MAX >> 2) : at->id[i]);
        return true;
    }
    memcpy(out->id + out->n, at->id, sizeof at->id);
    out->id[out->n] &= UINT32_MAX >> 2;
    out->n += 1 + (at->id[0] >> 30);
    return true;
}
