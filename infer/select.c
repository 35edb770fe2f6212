/* SPDX-License-Identifier: Apache-2.0
 * Selection by threshold: the k-th largest of the maxima of blocks is no larger than the k-th largest item, so only the
 * blocks that reach it are looked at; what is found is sorted by digits.
 */
#include "infer/select.h"

#include <string.h>

#include "base/mem.h"
#include "infer/row.h"

#define BLOCK 64u
#define DIGIT 11u
#define BINS (1u << DIGIT)
#define FEW 48u /* below this insertion is faster than counting */

struct sv_select {
    sv_pair *pair, *other; /* [n_max] */
    float *max;            /* [blocks] */
};

static uint32_t blocks(uint32_t n)
{
    return n / BLOCK + (n % BLOCK != 0);
}

sv_select *sv_select_make(uint32_t n_max)
{
    sv_select *s = sv_mem_new(sizeof *s);
    s->pair = sv_mem_new(sv_mem_mul_or_die((size_t)n_max + 1, sizeof *s->pair));
    s->other = sv_mem_new(sv_mem_mul_or_die((size_t)n_max + 1, sizeof *s->other));
    s->max = sv_mem_new(sv_mem_mul_or_die((size_t)blocks(n_max) + 1, sizeof *s->max));
    return s;
}

void sv_select_drop(sv_select *s)
{
    if (s == NULL)
        return;
    sv_mem_free(s->pair);
    sv_mem_free(s->other);
    sv_mem_free(s->max);
    sv_mem_free(s);
}

/* Larger floats give smaller keys; -0 and +0 the same. */
static sv_pair pair_of(float x, uint32_t id)
{
    uint32_t bits = (uint32_t)sv_bits_i32(x + 0.0f);
    uint32_t key = bits & 0x80000000u ? bits : 0x7fffffffu - bits;
    return (sv_pair)key << 32 | id;
}

static void insert_sort(sv_pair *p, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        sv_pair x = p[i];
        uint32_t j = i;
        for (; j > 0 && p[j - 1] > x; j--)
            p[j] = p[j - 1];
        p[j] = x;
    }
}

/* Stable by the 32 bits of the key, so ascending ids stay so. Leaves the result in s->pair. */
static void digit_sort(sv_select *s, uint32_t n)
{
    uint32_t count[3][BINS];
    memset(count, 0, sizeof count);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t d = 0; d < 3; d++)
            count[d][s->pair[i] >> (32 + d * DIGIT) & (BINS - 1)]++;
    for (uint32_t d = 0; d < 3; d++) {
        uint32_t sum = 0, shift = 32 + d * DIGIT;
        if (count[d][s->pair[0] >> shift & (BINS - 1)] == n)
            continue;
        for (uint32_t b = 0; b < BINS; b++) {
            uint32_t c = count[d][b];
            count[d][b] = sum;
            sum += c;
        }
        for (uint32_t i = 0; i < n; i++)
            s->other[count[d][s->pair[i] >> shift & (BINS - 1)]++] = s->pair[i];
        sv_pair *t = s->pair;
        s->pair = s->other;
        s->other = t;
    }
}

static void sort(sv_select *s, uint32_t n)
{
    if (n < FEW)
        insert_sort(s->pair, n);
    else
        digit_sort(s, n);
}

/* Appends what is at least `from` and exists. */
static uint32_t collect(sv_select *s, const float *x, uint32_t lo, uint32_t hi, float from, uint32_t n)
{
    for (uint32_t i = lo; i < hi; i++)
        if (x[i] >= from && x[i] > -__builtin_inff())
            s->pair[n++] = pair_of(x[i], i);
    return n;
}

/* The k-th largest of the maxima of blocks, or -inf. */
static float threshold(sv_select *s, uint32_t n_block, uint32_t k)
{
    if (k > n_block)
        return -__builtin_inff();
    for (uint32_t b = 0; b < n_block; b++)
        s->pair[b] = pair_of(s->max[b], b);
    sort(s, n_block);
    return s->max[sv_pair_id(s->pair[k - 1])];
}

uint32_t sv_select_top(sv_select *s, const float *x, uint32_t n, uint32_t k, const sv_pair **out)
{
    uint32_t found = 0, n_block = blocks(n);
    if (k == 0 || k > n)
        k = n;
    if (k > n_block / 4) { /* most blocks would be looked at anyway */
        found = collect(s, x, 0, n, -__builtin_inff(), 0);
    } else {
        for (uint32_t b = 0; b < n_block; b++)
            s->max[b] = sv_row_max(x + b * BLOCK, n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK);
        float from = threshold(s, n_block, k);
        for (uint32_t b = 0; b < n_block; b++)
            if (s->max[b] >= from)
                found = collect(s, x, b * BLOCK, n - b * BLOCK < BLOCK ? n : (b + 1) * BLOCK, from, found);
    }
    if (found > 1)
        sort(s, found);
    *out = s->pair;
    return found < k ? found : k;
}
