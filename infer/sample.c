/* SPDX-License-Identifier: Apache-2.0
 * The sampler: docs/arithmetic.md A-40, step by step. One draw per token, keyed by its place, so that a continued
 * answer is the uninterrupted one.
 */
#include "infer/sample.h"

#include <string.h>

#include "base/mem.h"
#include "infer/row.h"
#include "infer/select.h"
#include "num/philox.h"

#define CHUNK 256u /* candidates of a cumulative chunk */
#define ABREAST 8u /* chunks summed at a time; each is a chain of its own */

struct sv_sampler {
    uint32_t n_vocab;
    float *z;        /* [n_vocab] logits after penalties and temperature */
    float *p;        /* [n_vocab] candidates: their logits, then exponentials, then probabilities */
    uint32_t *id;    /* [n_vocab] ids of the candidates, unless they are 0, 1, 2 ... */
    float *base;     /* [chunks] cumulative p of what comes before a chunk */
    float *total;    /* [chunks] p of a chunk */
    uint32_t *count; /* [n_vocab] all zero between calls */
    sv_select *select;
};

typedef struct candidates {
    float *p;
    uint32_t n;
    const sv_pair *pair; /* descending, or NULL */
    const uint32_t *id;  /* in id order, with gaps; NULL and no pair: 0, 1, 2 ... */
} candidates;

sv_sampler *sv_sampler_make(uint32_t n_vocab)
{
    sv_sampler *s = sv_mem_new(sizeof *s);
    size_t n = (size_t)n_vocab + 1;
    s->n_vocab = n_vocab;
    s->z = sv_mem_new(sv_mem_mul_or_die(n, sizeof *s->z));
    s->p = sv_mem_new(sv_mem_mul_or_die(n, sizeof *s->p));
    s->id = sv_mem_new(sv_mem_mul_or_die(n, sizeof *s->id));
    s->count = sv_mem_new(sv_mem_mul_or_die(n, sizeof *s->count));
    s->base = sv_mem_new((n / CHUNK + ABREAST + 1) * sizeof *s->base);
    s->total = sv_mem_new((n / CHUNK + ABREAST + 1) * sizeof *s->total);
    s->select = sv_select_make(n_vocab);
    return s;
}

void sv_sampler_drop(sv_sampler *s)
{
    if (s == NULL)
        return;
    sv_mem_free(s->z);
    sv_mem_free(s->p);
    sv_mem_free(s->id);
    sv_mem_free(s->count);
    sv_mem_free(s->base);
    sv_mem_free(s->total);
    sv_select_drop(s->select);
    sv_mem_free(s);
}

static sv_err check(const char *field, float v, float min, float max)
{
    if (v >= min && v <= max)
        return SV_OK;
    return sv_fail(SV_E_ARG, "%s is %g; allowed are %g to %g", field, (double)v, (double)min, (double)max);
}

sv_err sv_sampling_check(const sv_sampling *how)
{
    float t = how->temperature;
    if (!(t == 0.0f || (t >= SV_TEMPERATURE_MIN && t <= SV_TEMPERATURE_MAX)))
        return sv_fail(SV_E_ARG, "temperature is %g; allowed are 0 (the largest logit) and %g to %g", (double)t,
                       (double)SV_TEMPERATURE_MIN, (double)SV_TEMPERATURE_MAX);
    if (!(how->top_p > 0.0f && how->top_p <= 1.0f))
        return sv_fail(SV_E_ARG, "top_p is %g; allowed is more than 0, up to 1 (off)", (double)how->top_p);
    SV_TRY(check("min_p", how->min_p, 0.0f, 1.0f));
    SV_TRY(check("repetition", how->repetition, 0.01f, 100.0f));
    SV_TRY(check("frequency", how->frequency, -100.0f, 100.0f));
    return check("presence", how->presence, -100.0f, 100.0f);
}

static bool has_penalty(const sv_sampling *how)
{
    return how->repetition != 1.0f || how->frequency != 0.0f || how->presence != 0.0f;
}

/* Each seen token once: repetition for all, frequency and presence by its count in the output. */
static void penalise(sv_sampler *s, uint32_t n, const sv_sampling *how, const uint32_t *seen, uint32_t n_seen,
                     uint32_t n_out)
{
    for (uint32_t i = n_seen - n_out; i < n_seen; i++)
        s->count[seen[i]]++;
    for (uint32_t i = 0; i < n_seen; i++) {
        uint32_t id = seen[i], c = s->count[id];
        if (id >= n || c == UINT32_MAX)
            continue;
        float z = s->z[id];
        if (how->repetition != 1.0f)
            z = z > 0.0f ? z / how->repetition : z * how->repetition;
        z = z - (float)c * how->frequency;
        if (c > 0)
            z = z - how->presence;
        s->z[id] = z;
        s->count[id] = UINT32_MAX; /* done */
    }
    for (uint32_t i = 0; i < n_seen; i++)
        s->count[seen[i]] = 0;
}

/* Ids in their order; those with a logit of -inf or NaN do not exist. */
static candidates in_id_order(sv_sampler *s, const float *z, uint32_t n)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++)
        found += z[i] > -__builtin_inff();
    memcpy(s->p, z, n * sizeof *z);
    if (found == n)
        return (candidates){ .p = s->p, .n = n };
    found = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->p[found] = z[i];
        s->id[found] = i;
        found += z[i] > -__builtin_inff();
    }
    return (candidates){ .p = s->p, .n = found, .id = s->id };
}

static candidates descending(sv_sampler *s, const float *z, uint32_t n, uint32_t top_k)
{
    candidates c = { .p = s->p };
    c.n = sv_select_top(s->select, z, n, top_k, &c.pair);
    for (uint32_t j = 0; j < c.n; j++)
        c.p[j] = sv_pair_value(c.pair[j]);
    return c;
}

static uint32_t id_of(const candidates *c, uint32_t j)
{
    return c->pair ? sv_pair_id(c->pair[j]) : c->id ? c->id[j] : j;
}

static uint32_t chunk_end(uint32_t n, uint32_t chunk)
{
    return n - chunk * CHUNK < CHUNK ? n : (chunk + 1) * CHUNK;
}

/* Totals of chunks, each added in order from +0, several chains at a time; then what comes before each. */
static void cumulate(sv_sampler *s, const float *p, uint32_t n)
{
    uint32_t full = n / CHUNK, chunks = full + (n % CHUNK != 0), k = 0;
    for (; k + ABREAST <= full; k += ABREAST) {
        float sum[ABREAST] = { 0 };
        const float *x = p + k * CHUNK;
        for (uint32_t j = 0; j < CHUNK; j++)
            for (uint32_t c = 0; c < ABREAST; c++)
                sum[c] = sum[c] + x[c * CHUNK + j];
        memcpy(s->total + k, sum, sizeof sum);
    }
    for (; k < chunks; k++) {
        float sum = 0.0f;
        for (uint32_t j = k * CHUNK; j < chunk_end(n, k); j++)
            sum = sum + p[j];
        s->total[k] = sum;
    }
    float base = 0.0f;
    for (k = 0; k < chunks; k++) {
        s->base[k] = base;
        base = base + s->total[k];
    }
}

/* The first j < n with c_j > limit (>= when `reach`); n when there is none. c never falls. */
static uint32_t first_over(const sv_sampler *s, const float *p, uint32_t n, float limit, bool reach)
{
    for (uint32_t k = 0; k * CHUNK < n; k++) {
        float end = s->base[k] + s->total[k], sum = 0.0f;
        if (chunk_end(n, k) == (k + 1) * CHUNK && !(reach ? end >= limit : end > limit))
            continue;
        for (uint32_t j = k * CHUNK; j < chunk_end(n, k); j++) {
            sum = sum + p[j];
            float c = s->base[k] + sum;
            if (reach ? c >= limit : c > limit)
                return j;
        }
    }
    return n;
}

static float cumulative(const sv_sampler *s, const float *p, uint32_t j)
{
    float sum = 0.0f;
    for (uint32_t i = j / CHUNK * CHUNK; i <= j; i++)
        sum = sum + p[i];
    return s->base[j / CHUNK] + sum;
}

/* How many stay: up to the first c_j >= top_p, and while p_j >= min_p p_0; at least one. */
static uint32_t cut(const sv_sampler *s, const candidates *c, const sv_sampling *how)
{
    uint32_t keep = c->n;
    if (how->top_p < 1.0f) {
        uint32_t last = first_over(s, c->p, c->n, how->top_p, true);
        keep = last < c->n ? last + 1 : c->n;
    }
    if (how->min_p > 0.0f) {
        float limit = how->min_p * c->p[0];
        uint32_t n = 1;
        while (n < keep && c->p[n] >= limit)
            n++;
        keep = n;
    }
    return keep;
}

static uint32_t draw(sv_sampler *s, const candidates *c, const sv_sampling *how, float m, uint32_t position)
{
    sv_row_exp(c->p, c->n, m, c->p);
    sv_row_mul(c->p, c->n, 1.0f / sv_row_sum(c->p, c->n), c->p);
    cumulate(s, c->p, c->n);
    uint32_t keep = cut(s, c, how);
    sv_philox x = sv_philox_at(how->seed, how->stream, how->step, how->row, position);
    float limit = sv_philox_uniform(x.w[0]) * cumulative(s, c->p, keep - 1);
    uint32_t j = first_over(s, c->p, keep, limit, false);
    return id_of(c, j < keep ? j : keep - 1);
}

uint32_t sv_sample(sv_sampler *s, const float *z, uint32_t n_real, const sv_sampling *how, const uint32_t *seen,
                   uint32_t n_seen, uint32_t n_out, uint32_t position)
{
    SV_ASSERT(n_real <= s->n_vocab && n_out <= n_seen);
    bool penalty = has_penalty(how) && n_seen > 0;
    if (penalty || how->n_bias > 0) {
        memcpy(s->z, z, n_real * sizeof *z);
        if (penalty)
            penalise(s, n_real, how, seen, n_seen, n_out);
        for (uint32_t i = 0; i < how->n_bias; i++)
            s->z[how->bias[i].id] = s->z[how->bias[i].id] + how->bias[i].by;
        z = s->z;
    }
    if (how->temperature == 0.0f)
        return sv_row_argmax(z, n_real);
    if (how->temperature != 1.0f) { /* division by 1 is exact */
        sv_row_div(z, n_real, how->temperature, s->z);
        z = s->z;
    }
    float m = sv_row_max(z, n_real);
    if (!(m > -__builtin_inff() && m < __builtin_inff()))
        return sv_row_argmax(z, n_real);
    bool ordered = how->top_k > 0 || how->top_p < 1.0f || how->min_p > 0.0f;
    candidates c = ordered ? descending(s, z, n_real, how->top_k) : in_id_order(s, z, n_real);
    return draw(s, &c, how, m, position);
}

uint32_t sv_sampler_top(sv_sampler *s, const float *z, uint32_t n, uint32_t k, uint32_t *id)
{
    const sv_pair *pair;
    uint32_t found = k ? sv_select_top(s->select, z, n, k, &pair) : 0;
    for (uint32_t j = 0; j < found; j++)
        id[j] = sv_pair_id(pair[j]);
    return found;
}
