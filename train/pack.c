/* SPDX-License-Identifier: Apache-2.0
 * Rows into leaves, leaves into steps.
 */
#include "train/pack.h"

#include "base/mem.h"
#include "samsvar/op.h"

/* Room for n items of 4 bytes in several arrays that grow together. */
static void reserve(size_t n, size_t *cap, void **array, size_t n_array)
{
    if (n <= *cap)
        return;
    size_t more = *cap ? *cap : 64;
    while (more < n)
        more *= 2;
    for (size_t i = 0; i < n_array; i++)
        array[i] = sv_mem_grow(array[i], *cap * 4, more * 4);
    *cap = more;
}

static void reserve_batch(sv_batch *b, size_t more_tok)
{
    void *tok[] = { b->tok, b->pos }, *want[] = { b->want, b->target, b->dlp };
    void *leaf[] = { b->leaf_seq, b->leaf_want }, *seq[] = { b->seq_tok };
    reserve(b->n_tok + more_tok, &b->cap_tok, tok, 2);
    reserve(b->n_want + more_tok, &b->cap_want, want, 3);
    reserve(b->n_leaf + 2, &b->cap_leaf, leaf, 2);
    reserve(b->n_seq + 2, &b->cap_seq, seq, 1);
    b->tok = tok[0], b->pos = tok[1];
    b->want = want[0], b->target = want[1], b->dlp = want[2];
    b->leaf_seq = leaf[0], b->leaf_want = leaf[1];
    b->seq_tok = seq[0];
}

/* Tokens of a row that are run: those before the last counted one. */
static uint32_t run_length(const sv_row *r)
{
    uint32_t n = r->n;
    while (n > 1 && !r->counted[n - 1])
        n--;
    return n > 0 ? n - 1 : 0;
}

static void add_row(sv_batch *b, const sv_row *r, uint32_t n, float dlp)
{
    for (uint32_t i = 0; i < n; i++) {
        if (r->counted[i + 1]) {
            b->want[b->n_want] = (int32_t)b->n_tok;
            b->target[b->n_want] = r->id[i + 1];
            b->dlp[b->n_want++] = r->dlp ? r->dlp[i + 1] : dlp;
        }
        b->tok[b->n_tok] = r->id[i];
        b->pos[b->n_tok++] = (int32_t)i;
    }
    b->seq_tok[++b->n_seq] = (uint32_t)b->n_tok;
    b->leaf_seq[b->n_leaf] = (uint32_t)b->n_seq;
    b->leaf_want[b->n_leaf] = (uint32_t)b->n_want;
}

static size_t count_targets(const sv_row *row, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 1; j < row[i].n; j++)
            total += row[i].counted[j] != 0;
    return total;
}

void sv_batch_pack(sv_batch *b, const sv_row *row, size_t n, uint32_t pack_tokens)
{
    size_t counted = count_targets(row, n), in_leaf = 0;
    float dlp = counted ? -(1.0f / (float)counted) : 0.0f;
    b->n_tok = b->n_want = b->n_seq = b->n_leaf = 0;
    reserve_batch(b, 1);
    b->seq_tok[0] = b->leaf_seq[0] = b->leaf_want[0] = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t len = run_length(&row[i]);
        if (len == 0)
            continue;
        if (b->n_leaf == 0 || in_leaf + len > pack_tokens) {
            b->n_leaf++;
            in_leaf = 0;
        }
        reserve_batch(b, len);
        add_row(b, &row[i], len, dlp);
        in_leaf += len;
    }
}

void sv_batch_done(sv_batch *b)
{
    void *const all[] = { b->tok,      b->pos,           b->want,      b->target,   b->dlp,
                          b->seq_tok,  b->leaf_seq,      b->leaf_want, b->step_seq, b->step_want,
                          b->step_seg, b->step_seg_want, b->step_table };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sv_mem_free(all[i]);
    *b = (sv_batch){ 0 };
}

static void reserve_step(sv_batch *b, const sv_step_shape *n)
{
    void *leaf[] = { b->step_seg, b->step_seg_want }, *tok[] = { b->step_seq }, *want[] = { b->step_want };
    void *table[] = { b->step_table };
    reserve(n->n_leaf + 1, &b->cap_step_leaf, leaf, 2);
    reserve(n->n_tok, &b->cap_step_tok, tok, 1);
    reserve(n->n_want, &b->cap_step_want, want, 1);
    reserve((size_t)n->n_seq * n->n_page, &b->cap_step_table, table, 1);
    b->step_seg = leaf[0], b->step_seg_want = leaf[1];
    b->step_seq = tok[0], b->step_want = want[0], b->step_table = table[0];
}

void sv_batch_step(sv_batch *b, size_t lo, size_t hi, sv_step *out)
{
    uint32_t s0 = b->leaf_seq[lo], s1 = b->leaf_seq[hi], t0 = b->seq_tok[s0], t1 = b->seq_tok[s1];
    uint32_t w0 = b->leaf_want[lo], w1 = b->leaf_want[hi], longest = 1;
    for (uint32_t s = s0; s < s1; s++)
        if (b->seq_tok[s + 1] - b->seq_tok[s] > longest)
            longest = b->seq_tok[s + 1] - b->seq_tok[s];
    sv_step_shape shape = { .n_tok = t1 - t0,
                            .n_seq = s1 - s0,
                            .n_page = (longest + SV_PAGE - 1) / SV_PAGE,
                            .n_want = w1 - w0,
                            .n_leaf = (uint32_t)(hi - lo) };
    reserve_step(b, &shape);
    for (uint32_t s = s0; s < s1; s++)
        for (uint32_t t = b->seq_tok[s]; t < b->seq_tok[s + 1]; t++)
            b->step_seq[t - t0] = (int32_t)(s - s0);
    for (uint32_t w = w0; w < w1; w++)
        b->step_want[w - w0] = b->want[w] - (int32_t)t0;
    for (size_t l = lo; l <= hi; l++) {
        b->step_seg[l - lo] = (int32_t)(b->seq_tok[b->leaf_seq[l]] - t0);
        b->step_seg_want[l - lo] = (int32_t)(b->leaf_want[l] - w0);
    }
    for (uint32_t i = 0; i < shape.n_seq * shape.n_page; i++)
        b->step_table[i] = (int32_t)i;
    *out = (sv_step){ .shape = shape,
                      .tok = b->tok + t0,
                      .pos = b->pos + t0,
                      .seq = b->step_seq,
                      .table = b->step_table,
                      .want = b->step_want,
                      .seg = b->step_seg,
                      .seg_want = b->step_seg_want,
                      .target = b->target + w0,
                      .dlp = b->dlp + w0 };
}
