/* SPDX-License-Identifier: Apache-2.0
 * Sorting a vocabulary.
 */
#include "infer/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_BYTES 65535u

typedef struct word {
    sv_str piece;
    uint32_t id;
} word;

static int by_bytes(const void *a, const void *b)
{
    const word *x = a, *y = b;
    int d = memcmp(x->piece.p, y->piece.p, x->piece.n < y->piece.n ? x->piece.n : y->piece.n);
    if (d != 0)
        return d;
    if (x->piece.n != y->piece.n)
        return x->piece.n < y->piece.n ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static bool is_plain(sv_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return sv_utf8_valid(s.p, s.n, NULL);
}

static uint16_t common(sv_str a, sv_str b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n])
        n++;
    return (uint16_t)n;
}

static sv_vocab_list list_of(const word *w, uint32_t n)
{
    sv_vocab_list l = { .n = n };
    l.id = sv_mem_new(((size_t)n + 1) * sizeof *l.id);
    l.common = sv_mem_new(((size_t)n + 1) * sizeof *l.common);
    for (uint32_t i = 0; i < n; i++) {
        l.id[i] = w[i].id;
        l.common[i] = i > 0 ? common(w[i - 1].piece, w[i].piece) : 0;
    }
    return l;
}

sv_vocab *sv_vocab_make(const sv_tokenizer *t, uint32_t n_real)
{
    sv_vocab *v = sv_mem_new(sizeof *v);
    word *w = sv_mem_new(((size_t)n_real + 1) * sizeof *w);
    uint32_t n = 0, n_odd = 0;
    v->tokenizer = t;
    v->n = n_real;
    v->n_word = n_real / 64 + (n_real % 64 != 0);
    v->plain = sv_mem_new((size_t)(v->n_word + 1) * sizeof *v->plain);
    for (uint32_t id = 0; id < n_real; id++) {
        sv_str piece = sv_tokenizer_piece(t, id);
        if (piece.n == 0 || piece.n > MAX_BYTES || sv_tokenizer_is_special(t, id))
            continue;
        w[n++] = (word){ piece, id };
        if (piece.n > v->longest)
            v->longest = (uint32_t)piece.n;
        if (is_plain(piece))
            v->plain[id / 64] |= 1ull << id % 64;
    }
    qsort(w, n, sizeof *w, by_bytes);
    v->all = list_of(w, n);
    for (uint32_t i = 0; i < n; i++)
        if (!(v->plain[w[i].id / 64] >> w[i].id % 64 & 1))
            w[n_odd++] = w[i];
    v->odd = list_of(w, n_odd);
    sv_mem_free(w);
    return v;
}

void sv_vocab_drop(sv_vocab *v)
{
    if (v == NULL)
        return;
    sv_mem_free(v->all.id);
    sv_mem_free(v->all.common);
    sv_mem_free(v->odd.id);
    sv_mem_free(v->odd.common);
    sv_mem_free(v->plain);
    sv_mem_free(v);
}
