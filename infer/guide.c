/* SPDX-License-Identifier: Apache-2.0
 * A grammar has stacks; a set of stacks is a state. Both are numbered once seen, so that a step of the automaton is a
 * look into a table, and is worked out only the first time. When there are too many states all are forgotten: a place
 * is found again by walking its text.
 */
#include "infer/guide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_STATES 16384u
#define MAX_FRAMES (1u << 18)
#define MAX_STACKS 8192u /* of one state */
#define MAX_MASKS 512u
#define EXPONENT_DIGITS 2u
#define DEAD 0u /* state: no stack is left */
#define UNKNOWN UINT32_MAX
#define END 0u /* stack: empty, the text may end */

/* Strings: where in one. */
enum { STR_OPEN, STR_BODY, STR_ESCAPE, STR_MORE1, STR_MORE2, STR_MORE3, STR_E0, STR_ED, STR_F0, STR_F4 };
/* Numbers. */
enum { NUM_START, NUM_SIGN, NUM_ZERO, NUM_INT, NUM_POINT, NUM_FRACTION, NUM_E, NUM_E_SIGN, NUM_E_DIGIT };

typedef struct frame {
    uint32_t node, below;
    uint16_t pos, count, depth;
    uint32_t chain;
    uint32_t seen; /* the step that opened it last */
} frame;

typedef struct state {
    uint32_t first, n; /* in `set`, ascending stacks */
    uint32_t chain;
    uint32_t *next; /* [256] or NULL */
    uint64_t *mask; /* or NULL */
    uint32_t n_allowed;
} state;

struct sv_guide {
    sv_gram g;
    const sv_vocab *v;
    uint32_t n_hold; /* atomic */
    uint32_t era, start;
    frame *frame;
    size_t n_frame, cap_frame;
    state *state;
    size_t n_state, cap_state;
    uint32_t *set;
    size_t n_set, cap_set;
    uint32_t *frame_bucket, *state_bucket; /* [BUCKETS] */
    uint32_t *work, *found;                /* stacks to open; leaves found */
    size_t n_work, cap_work, n_found, cap_found;
    uint32_t *path;  /* [longest + 1] states along a token */
    uint32_t *extra; /* special tokens that literals spell */
    size_t n_extra, cap_extra;
    uint32_t n_mask, tick;
};

#define BUCKETS 4096u

/* ---- stacks ---- */

static uint32_t frame_hash(uint32_t below, uint32_t node, uint32_t pos, uint32_t count)
{
    uint32_t h = below * 0x9e3779b1u ^ node * 0x85ebca6bu ^ (pos * 0xc2b2ae35u + count * 0x27d4eb2fu);
    return (h ^ h >> 15) & (BUCKETS - 1);
}

static uint32_t push(sv_guide *d, uint32_t below, uint32_t node, uint32_t pos, uint32_t count)
{
    uint32_t *bucket = &d->frame_bucket[frame_hash(below, node, pos, count)];
    for (uint32_t at = *bucket; at != 0; at = d->frame[at].chain) {
        const frame *f = &d->frame[at];
        if (f->below == below && f->node == node && f->pos == pos && f->count == count)
            return at;
    }
    frame f = { .node = node, .below = below, .pos = (uint16_t)pos, .count = (uint16_t)count, .chain = *bucket };
    f.depth = (uint16_t)(d->frame[below].depth + 1);
    SV_PUSH(d->frame, d->n_frame, d->cap_frame, f);
    *bucket = (uint32_t)d->n_frame - 1;
    return *bucket;
}

static void later(sv_guide *d, uint32_t stack)
{
    if (d->n_frame < 2 * MAX_FRAMES) /* beyond, ways are dropped: what is left is still in the grammar */
        SV_PUSH(d->work, d->n_work, d->cap_work, stack);
}

static void leaf(sv_guide *d, uint32_t stack)
{
    if (d->n_found < MAX_STACKS)
        SV_PUSH(d->found, d->n_found, d->cap_found, stack);
}

static void open_repeat(sv_guide *d, frame f, const sv_gram_node *n)
{
    uint32_t most = n->max > 0 ? n->max : n->min; /* without an end only "enough" is counted */
    if (f.count >= n->min)
        later(d, f.below);
    if (n->max == 0 || f.count < n->max) {
        uint32_t count = f.count < most ? f.count + 1u : f.count;
        later(d, push(d, push(d, f.below, f.node, 0, count), d->g.kid[n->at], 0, 0));
    }
}

static void open_object(sv_guide *d, frame f, const sv_gram_node *n)
{
    const uint32_t *kid = d->g.kid + n->at;
    for (uint32_t k = f.pos; k < n->n; k++) {
        later(d, push(d, push(d, f.below, f.node, k + 1, 1), kid[3 * k + f.count], 0, 0));
        if (kid[3 * k + 2])
            return;
    }
    later(d, push(d, f.below, kid[3 * (size_t)n->n], 0, 0));
}

static bool number_may_end(uint32_t pos)
{
    return pos == NUM_ZERO || pos == NUM_INT || pos == NUM_FRACTION || pos == NUM_E_DIGIT;
}

static bool number_goes_on(bool whole, frame f)
{
    if (whole && (f.pos == NUM_ZERO || (f.pos == NUM_INT && f.count == SV_GRAM_DIGITS)))
        return false;
    return !(f.pos == NUM_E_DIGIT && f.count == EXPONENT_DIGITS);
}

/* Opens a stack until its top takes a byte. */
static void open_one(sv_guide *d, uint32_t stack)
{
    if (d->frame[stack].seen == d->tick)
        return;
    d->frame[stack].seen = d->tick;
    if (stack == END) {
        leaf(d, END);
        return;
    }
    frame f = d->frame[stack];
    const sv_gram_node *n = &d->g.node[f.node];
    const uint32_t *kid = d->g.kid + n->at;
    switch (n->kind) {
    case SV_GRAM_LIT:
        f.pos == n->n ? later(d, f.below) : leaf(d, stack);
        break;
    case SV_GRAM_SEQ:
        if (f.pos == n->n)
            later(d, f.below);
        else /* the last kid needs nobody to come back to */
            later(d, push(d, f.pos + 1u == n->n ? f.below : push(d, f.below, f.node, f.pos + 1u, 0), kid[f.pos], 0, 0));
        break;
    case SV_GRAM_ALT:
        for (uint32_t i = 0; i < n->n; i++)
            later(d, push(d, f.below, kid[i], 0, 0));
        break;
    case SV_GRAM_REPEAT:
        open_repeat(d, f, n);
        break;
    case SV_GRAM_OBJECT:
        open_object(d, f, n);
        break;
    case SV_GRAM_NEST:
        if (f.depth < SV_GRAM_DEPTH)
            later(d, push(d, f.below, kid[0], 0, 0));
        break;
    case SV_GRAM_WS_RUN:
        later(d, f.below);
        if (f.pos < SV_GRAM_WS)
            leaf(d, stack);
        break;
    case SV_GRAM_NUMBER:
    case SV_GRAM_INTEGER:
        if (number_may_end(f.pos))
            later(d, f.below);
        if (number_goes_on(n->kind == SV_GRAM_INTEGER, f))
            leaf(d, stack);
        break;
    case SV_GRAM_STRING:
    case SV_GRAM_THOUGHT:
        leaf(d, stack);
        break;
    }
}

static void open_all(sv_guide *d)
{
    d->tick++;
    while (d->n_work > 0)
        open_one(d, d->work[--d->n_work]);
}

/* ---- a byte ---- */

/* Where a string stands after a byte; false: it may not come. *ends: the closing quote. */
static bool string_byte(uint32_t pos, uint8_t b, uint32_t *to, bool *ends)
{
    static const char escapes[] = "\"\\/bfnrt";
    bool more = b >= 0x80 && b <= 0xbf;
    *ends = false;
    switch (pos) {
    case STR_OPEN:
        *to = STR_BODY;
        return b == '"';
    case STR_BODY:
        *ends = b == '"';
        *to = b == '\\'   ? STR_ESCAPE
              : b < 0x80  ? STR_BODY
              : b == 0xe0 ? STR_E0
              : b == 0xed ? STR_ED
              : b == 0xf0 ? STR_F0
              : b == 0xf4 ? STR_F4
              : b >= 0xf1 ? STR_MORE3
              : b >= 0xe1 ? STR_MORE2
                          : STR_MORE1;
        return b >= 0x20 && (b < 0x80 || (b >= 0xc2 && b <= 0xf4));
    case STR_ESCAPE:
        *to = STR_BODY;
        return b != 0 && strchr(escapes, b) != NULL;
    case STR_MORE1:
        *to = STR_BODY;
        return more;
    case STR_MORE2:
        *to = STR_MORE1;
        return more;
    case STR_MORE3:
        *to = STR_MORE2;
        return more;
    case STR_E0:
        *to = STR_MORE1;
        return more && b >= 0xa0;
    case STR_ED:
        *to = STR_MORE1;
        return more && b <= 0x9f;
    case STR_F0:
        *to = STR_MORE2;
        return more && b >= 0x90;
    default:
        *to = STR_MORE2;
        return more && b <= 0x8f;
    }
}

static bool digit_byte(uint32_t *pos, uint32_t *count, uint32_t next, uint32_t most)
{
    *count = *pos == next ? *count + 1 : 1;
    *pos = next;
    return *count <= most;
}

static bool number_byte(bool whole, uint8_t b, uint32_t *pos, uint32_t *count)
{
    bool digit = b >= '0' && b <= '9', at_int = *pos == NUM_ZERO || *pos == NUM_INT;
    if (*pos == NUM_START && b == '-') {
        *pos = NUM_SIGN;
        return true;
    }
    if (*pos == NUM_START || *pos == NUM_SIGN) {
        *pos = b == '0' ? NUM_ZERO : NUM_INT;
        *count = 1;
        return digit;
    }
    if (digit && *pos == NUM_INT)
        return digit_byte(pos, count, NUM_INT, SV_GRAM_DIGITS);
    if (whole)
        return false;
    if (digit && (*pos == NUM_POINT || *pos == NUM_FRACTION))
        return digit_byte(pos, count, NUM_FRACTION, SV_GRAM_FRACTION);
    if (digit && *pos >= NUM_E)
        return digit_byte(pos, count, NUM_E_DIGIT, EXPONENT_DIGITS);
    if (b == '.' && at_int) {
        *pos = NUM_POINT;
        return true;
    }
    if ((b == 'e' || b == 'E') && (at_int || *pos == NUM_FRACTION)) {
        *pos = NUM_E;
        return true;
    }
    if ((b == '+' || b == '-') && *pos == NUM_E) {
        *pos = NUM_E_SIGN;
        return true;
    }
    return false;
}

static void take_byte(sv_guide *d, uint32_t stack, uint8_t b)
{
    static const char close[] = "</think>";
    frame f = d->frame[stack];
    const sv_gram_node *n = &d->g.node[f.node];
    uint32_t to = f.pos, count = f.count;
    bool ends = false;
    switch (n->kind) {
    case SV_GRAM_LIT:
        if ((uint8_t)d->g.text.p[n->at + f.pos] != b)
            return;
        to++;
        break;
    case SV_GRAM_STRING:
        if (!string_byte(f.pos, b, &to, &ends))
            return;
        break;
    case SV_GRAM_WS_RUN:
        if (b != ' ' && b != '\n' && b != '\t' && b != '\r')
            return;
        to++;
        break;
    case SV_GRAM_THOUGHT:
        to = b == (uint8_t)close[f.pos] ? f.pos + 1u : b == '<' ? 1 : 0;
        ends = to == sizeof close - 1;
        break;
    default:
        if (!number_byte(n->kind == SV_GRAM_INTEGER, b, &to, &count))
            return;
        break;
    }
    later(d, ends ? f.below : push(d, f.below, f.node, to, count));
}

/* ---- states ---- */

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void sort(uint32_t *x, size_t n)
{
    if (n > 64) {
        qsort(x, n, sizeof *x, ascending);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint32_t v = x[i];
        size_t j = i;
        for (; j > 0 && x[j - 1] > v; j--)
            x[j] = x[j - 1];
        x[j] = v;
    }
}

/* The number of the state whose stacks are `found`. */
static uint32_t state_of(sv_guide *d)
{
    uint32_t h = (uint32_t)d->n_found;
    sort(d->found, d->n_found);
    for (size_t i = 0; i < d->n_found; i++)
        h = (h ^ d->found[i]) * 0x85ebca6bu, h ^= h >> 13;
    uint32_t *bucket = &d->state_bucket[h & (BUCKETS - 1)];
    for (uint32_t at = *bucket; at != UNKNOWN; at = d->state[at].chain) {
        const state *s = &d->state[at];
        if (s->n == d->n_found && memcmp(d->set + s->first, d->found, s->n * sizeof *d->found) == 0)
            return at;
    }
    state s = { .first = (uint32_t)d->n_set, .n = (uint32_t)d->n_found, .chain = *bucket };
    for (size_t i = 0; i < d->n_found; i++)
        SV_PUSH(d->set, d->n_set, d->cap_set, d->found[i]);
    SV_PUSH(d->state, d->n_state, d->cap_state, s);
    *bucket = (uint32_t)d->n_state - 1;
    return *bucket;
}

static uint32_t step(sv_guide *d, uint32_t from, uint8_t b)
{
    state *s = &d->state[from];
    if (s->next == NULL) {
        s->next = sv_mem_new(256 * sizeof *s->next);
        memset(s->next, 0xff, 256 * sizeof *s->next);
    }
    if (s->next[b] != UNKNOWN)
        return s->next[b];
    d->n_found = d->n_work = 0;
    for (uint32_t i = 0; i < d->state[from].n; i++) {
        uint32_t stack = d->set[d->state[from].first + i];
        if (stack != END)
            take_byte(d, stack, b);
    }
    open_all(d);
    uint32_t to = d->n_found > 0 ? state_of(d) : DEAD;
    d->state[from].next[b] = to;
    return to;
}

static void drop_masks(sv_guide *d)
{
    for (size_t i = 0; i < d->n_state; i++) {
        sv_mem_free(d->state[i].mask);
        d->state[i].mask = NULL;
    }
    d->n_mask = 0;
}

static void forget(sv_guide *d)
{
    drop_masks(d);
    for (size_t i = 0; i < d->n_state; i++)
        sv_mem_free(d->state[i].next);
    d->n_state = d->n_set = d->n_frame = 0;
    memset(d->frame_bucket, 0, BUCKETS * sizeof *d->frame_bucket);
    memset(d->state_bucket, 0xff, BUCKETS * sizeof *d->state_bucket);
    SV_PUSH(d->frame, d->n_frame, d->cap_frame, (frame){ 0 });                /* END */
    SV_PUSH(d->state, d->n_state, d->cap_state, (state){ .chain = UNKNOWN }); /* DEAD */
    d->era++;
    d->n_found = d->n_work = 0;
    later(d, push(d, END, d->g.root, 0, 0));
    open_all(d);
    d->start = state_of(d);
}

/* ---- life ---- */

static void find_marks(sv_guide *d)
{
    for (size_t i = 0; i < d->g.n_mark; i++) {
        const sv_gram_node *n = &d->g.node[d->g.mark[i]];
        uint32_t id;
        if (sv_tokenizer_find(d->v->tokenizer, (sv_str){ d->g.text.p + n->at, n->n }, &id) && id < d->v->n &&
            sv_tokenizer_is_special(d->v->tokenizer, id))
            SV_PUSH(d->extra, d->n_extra, d->cap_extra, id);
    }
}

sv_guide *sv_guide_make(sv_gram *g, const sv_vocab *v)
{
    sv_guide *d = sv_mem_new(sizeof *d);
    d->g = *g;
    *g = (sv_gram){ 0 };
    d->v = v;
    d->n_hold = 1;
    d->frame_bucket = sv_mem_new(BUCKETS * sizeof *d->frame_bucket);
    d->state_bucket = sv_mem_new(BUCKETS * sizeof *d->state_bucket);
    d->path = sv_mem_new(((size_t)v->longest + 2) * sizeof *d->path);
    find_marks(d);
    forget(d);
    return d;
}

void sv_guide_hold(sv_guide *d)
{
    __atomic_add_fetch(&d->n_hold, 1, __ATOMIC_RELAXED);
}

void sv_guide_drop(sv_guide *d)
{
    if (d == NULL || __atomic_sub_fetch(&d->n_hold, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    drop_masks(d);
    for (size_t i = 0; i < d->n_state; i++)
        sv_mem_free(d->state[i].next);
    sv_gram_done(&d->g);
    sv_mem_free(d->frame);
    sv_mem_free(d->state);
    sv_mem_free(d->set);
    sv_mem_free(d->frame_bucket);
    sv_mem_free(d->state_bucket);
    sv_mem_free(d->work);
    sv_mem_free(d->found);
    sv_mem_free(d->path);
    sv_mem_free(d->extra);
    sv_mem_free(d);
}

/* ---- places ---- */

sv_guide_at sv_guide_start(sv_guide *d)
{
    return (sv_guide_at){ d->start, d->era };
}

bool sv_guide_put(sv_guide *d, sv_guide_at *at, sv_str text)
{
    uint32_t s = at->state;
    SV_ASSERT(at->era == d->era);
    for (size_t i = 0; i < text.n && s != DEAD; i++)
        s = step(d, s, (uint8_t)text.p[i]);
    at->state = s;
    return s != DEAD;
}

bool sv_guide_follow(sv_guide *d, sv_guide_at *at, const uint32_t *id, uint32_t n_known, uint32_t n)
{
    if (d->n_state > MAX_STATES || d->n_frame > MAX_FRAMES)
        forget(d);
    if (at->era != d->era) {
        *at = sv_guide_start(d);
        n_known = 0;
    }
    for (uint32_t i = n_known; i < n && at->state != DEAD; i++)
        sv_guide_put(d, at, sv_tokenizer_piece(d->v->tokenizer, id[i]));
    return at->state != DEAD;
}

bool sv_guide_may_end(const sv_guide *d, sv_guide_at at)
{
    const state *s = &d->state[at.state];
    return s->n > 0 && d->set[s->first] == END;
}

bool sv_guide_must_end(const sv_guide *d, sv_guide_at at)
{
    return d->state[at.state].n == 1 && sv_guide_may_end(d, at);
}

/* ---- masks ---- */

/* Plain text inside a string stays where it is. */
static bool is_string_body(const sv_guide *d, const state *s)
{
    if (s->n != 1 || d->set[s->first] == END)
        return false;
    const frame *f = &d->frame[d->set[s->first]];
    return d->g.node[f->node].kind == SV_GRAM_STRING && f->pos == STR_BODY;
}

static void walk(sv_guide *d, uint32_t from, const sv_vocab_list *l, uint64_t *mask)
{
    uint32_t n_path = 1; /* states known along the last token looked at: path[k] is behind k bytes */
    bool dead = false;   /* the step behind the path's end is */
    d->path[0] = from;
    for (uint32_t i = 0; i < l->n; i++) {
        if (dead && l->common[i] >= n_path)
            continue;
        sv_str piece = sv_tokenizer_piece(d->v->tokenizer, l->id[i]);
        if (l->common[i] + 1u < n_path)
            n_path = l->common[i] + 1u;
        dead = false;
        while (n_path <= piece.n && !dead) {
            uint32_t to = step(d, d->path[n_path - 1], (uint8_t)piece.p[n_path - 1]);
            dead = to == DEAD;
            if (!dead)
                d->path[n_path++] = to;
        }
        if (!dead)
            mask[l->id[i] / 64] |= 1ull << l->id[i] % 64;
    }
}

static void add_extra(sv_guide *d, sv_guide_at at, uint64_t *mask)
{
    for (size_t i = 0; i < d->n_extra; i++) {
        sv_guide_at to = at;
        uint32_t id = d->extra[i];
        if (sv_guide_put(d, &to, sv_tokenizer_piece(d->v->tokenizer, id)))
            mask[id / 64] |= 1ull << id % 64;
    }
}

uint32_t sv_guide_mask(sv_guide *d, sv_guide_at at, const uint64_t **mask)
{
    SV_ASSERT(at.era == d->era);
    uint64_t *m = d->state[at.state].mask;
    if (m == NULL) {
        uint32_t n = 0;
        if (d->n_mask >= MAX_MASKS)
            drop_masks(d);
        m = sv_mem_new((size_t)(d->v->n_word + 1) * sizeof *m);
        bool body = is_string_body(d, &d->state[at.state]);
        if (body)
            memcpy(m, d->v->plain, d->v->n_word * sizeof *m);
        walk(d, at.state, body ? &d->v->odd : &d->v->all, m);
        if (!body)
            add_extra(d, at, m);
        for (uint32_t i = 0; i < d->v->n_word; i++)
            n += (uint32_t)__builtin_popcountll(m[i]);
        d->state[at.state].mask = m;
        d->state[at.state].n_allowed = n;
        d->n_mask++;
    }
    *mask = m;
    return d->state[at.state].n_allowed;
}

void sv_guide_forbid(sv_guide *d, sv_guide_at at, const uint32_t *end, uint32_t n_end, float *z, uint32_t n)
{
    const uint64_t *mask;
    float keep[16];
    bool may_end = sv_guide_may_end(d, at);
    SV_ASSERT(n_end <= 16);
    sv_guide_mask(d, at, &mask);
    for (uint32_t i = 0; i < n_end; i++)
        keep[i] = end[i] < n ? z[end[i]] : -INFINITY;
    for (uint32_t w = 0; w * 64 < n; w++) {
        uint64_t bits = w < d->v->n_word ? mask[w] : 0;
        uint32_t last = n - w * 64 < 64 ? n - w * 64 : 64;
        if (bits == UINT64_MAX)
            continue;
        for (uint32_t i = 0; i < last; i++)
            if (!(bits >> i & 1))
                z[w * 64 + i] = -INFINITY;
    }
    for (uint32_t i = 0; i < n_end; i++)
        if (end[i] < n)
            z[end[i]] = may_end ? keep[i] : -INFINITY;
}
