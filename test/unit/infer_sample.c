/* SPDX-License-Identifier: Apache-2.0
 * The sampler against a sampler that sorts everything and adds one by one, and against its published vectors.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "infer/sample.h"
#include "num/bits.h"
#include "num/canon.h"
#include "num/philox.h"
#include "num/sum.h"

enum { MOST = 5000 };
#define OFF ((sv_sampling){ .temperature = 1, .top_p = 1, .repetition = 1, .stream = 1 })

/* The law, word by word. */

static const float *sorting;
static int by_rank(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (sorting[x] != sorting[y])
        return sorting[x] > sorting[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void plain_penalties(float *z, const sv_sampling *how, const uint32_t *seen, uint32_t n_seen, uint32_t n_out)
{
    for (uint32_t i = 0; i < n_seen; i++) {
        uint32_t count = 0, before = 0;
        for (uint32_t k = 0; k < n_seen; k++) {
            count += seen[k] == seen[i] && k >= n_seen - n_out;
            before += seen[k] == seen[i] && k < i;
        }
        if (before)
            continue;
        float *x = &z[seen[i]];
        if (how->repetition != 1)
            *x = *x > 0 ? *x / how->repetition : *x * how->repetition;
        *x = *x - (float)count * how->frequency;
        if (count > 0)
            *x = *x - how->presence;
    }
}

static uint32_t plain_sample(const float *logits, uint32_t n, const sv_sampling *how, const uint32_t *seen,
                             uint32_t n_seen, uint32_t n_out, uint32_t position)
{
    static float z[MOST], p[MOST], c[MOST];
    static uint32_t id[MOST];
    uint32_t n_c = 0;
    memcpy(z, logits, n * sizeof *z);
    plain_penalties(z, how, seen, n_seen, n_out);
    if (how->temperature == 0)
        return sv_argmax(z, n);
    for (uint32_t i = 0; i < n; i++) {
        z[i] = z[i] / how->temperature;
        if (z[i] > -INFINITY)
            id[n_c++] = i;
    }
    if (how->top_k || how->top_p < 1 || how->min_p > 0) {
        sorting = z;
        qsort(id, n_c, sizeof *id, by_rank);
        n_c = how->top_k && how->top_k < n_c ? how->top_k : n_c;
    }
    float m = -INFINITY;
    for (uint32_t j = 0; j < n_c; j++)
        m = z[id[j]] > m ? z[id[j]] : m;
    for (uint32_t j = 0; j < n_c; j++)
        p[j] = sv_canon_exp(z[id[j]] - (m + 0.0f));
    float inv = 1.0f / sv_sum(p, n_c), chunks = 0, in_chunk = 0;
    for (uint32_t j = 0; j < n_c; j++) {
        p[j] = p[j] * inv;
        in_chunk = in_chunk + p[j];
        c[j] = chunks + in_chunk;
        if (j % 256 == 255) {
            chunks = chunks + in_chunk;
            in_chunk = 0;
        }
    }
    uint32_t keep = 1;
    while (keep < n_c && !(how->top_p < 1 && c[keep - 1] >= how->top_p) &&
           !(how->min_p > 0 && p[keep] < how->min_p * p[0]))
        keep++;
    float u = sv_philox_uniform(sv_philox_at(how->seed, how->stream, how->step, how->row, position).w[0]);
    for (uint32_t j = 0; j < keep; j++)
        if (c[j] > u * c[keep - 1])
            return id[j];
    return id[keep - 1];
}

static void normals(uint32_t which, uint32_t n, float scale, float *z)
{
    for (uint32_t i = 0; i < n; i++) {
        float four[4];
        sv_philox_normal4(3, SV_STREAM_TEST, which, i / 4, four);
        z[i] = scale * four[i % 4];
    }
}

static void test_philox_has_the_published_vectors(void **state)
{
    (void)state;
    static const uint32_t zero[] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
                          one[] = { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
                          seed7[] = { 0x7c594933, 0x0ad4229c, 0x75a89293 };
    sv_philox x = sv_philox_block(0, 0, 0, 0, 0, 0);
    assert_memory_equal(x.w, zero, sizeof zero);
    x = sv_philox_block(~0u, ~0u, ~0u, ~0u, ~0u, ~0u);
    assert_memory_equal(x.w, one, sizeof one);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(sv_philox_at(7, SV_STREAM_SAMPLE, 0, 0, 12 + i).w[0], seed7[i]);
}

static void test_five_logits_give_the_published_draws(void **state)
{
    (void)state;
    static const float z[5] = { 0.5f, 2, 1, 2, -1 };
    sv_sampling how = { .temperature = 0.5f, .top_k = 4, .top_p = 0.95f, .repetition = 1, .seed = 7, .stream = 1 };
    sv_sampler *s = sv_sampler_make(5);
    uint32_t id[5];
    assert_int_equal(sv_sample(s, z, 5, &how, NULL, 0, 0, 12), 3);
    assert_int_equal(sv_sample(s, z, 5, &how, NULL, 0, 0, 13), 1);
    assert_int_equal(sv_sample(s, z, 5, &how, NULL, 0, 0, 14), 1);
    assert_int_equal(sv_sampler_top(s, z, 5, 4, id), 4);
    assert_int_equal(id[0], 1);
    assert_int_equal(id[1], 3);
    assert_int_equal(id[2], 2);
    assert_int_equal(id[3], 0);
    sv_sampler_drop(s);
}

static void test_temperature_zero_takes_the_lowest_of_equals(void **state)
{
    (void)state;
    sv_sampling how = SV_SAMPLING_GREEDY;
    sv_sampler *s = sv_sampler_make(200);
    float z[200];
    for (uint32_t n = 1; n <= 200; n += 7)
        for (uint32_t at = 0; at < n; at += 3) {
            for (uint32_t i = 0; i < n; i++)
                z[i] = i >= at && (i - at) % 5 == 0 ? 2.0f : 1.0f;
            assert_int_equal(sv_sample(s, z, n, &how, NULL, 0, 0, 0), at);
            z[at] = NAN;
            assert_int_equal(sv_sample(s, z, n, &how, NULL, 0, 0, 0), sv_argmax(z, n));
        }
    z[0] = -0.0f, z[1] = 0.0f;
    assert_int_equal(sv_sample(s, z, 2, &how, NULL, 0, 0, 0), 0);
    sv_sampler_drop(s);
}

/* Selection and its cuts, against the sort. */

static void agree(sv_sampler *s, const float *z, uint32_t n, const sv_sampling *how, const char *what)
{
    static const uint32_t seen[] = { 3, 1, 3, 0, 2, 3, 0 }; /* 1 is in the prompt alone */
    for (uint32_t position = 7; position < 17; position++) {
        uint32_t got = sv_sample(s, z, n, how, seen, 7, 4, position);
        uint32_t expected = plain_sample(z, n, how, seen, 7, 4, position);
        if (got != expected)
            fail_msg("%s, %u logits, T %g k %u p %g min %g rep %g: drew %u, expected %u", what, n,
                     (double)how->temperature, how->top_k, (double)how->top_p, (double)how->min_p,
                     (double)how->repetition, got, expected);
    }
}

static void agree_on_all(sv_sampler *s, const float *z, uint32_t n, const char *what)
{
    static const uint32_t k[] = { 0, 1, 2, 20, 64, 257, 4999, 100000 };
    static const float p[] = { 1, 0.95f, 0.5f, 0.01f }, min[] = { 0, 0.05f, 0.9f }, t[] = { 0, 0.25f, 1, 3 };
    sv_sampling how = OFF;
    for (size_t a = 0; a < 8; a++)
        for (size_t b = 0; b < 4; b++)
            for (size_t c = 0; c < 3; c++) {
                how.top_k = k[a];
                how.top_p = p[b];
                how.min_p = min[c];
                how.temperature = t[(a + b + c) % 4];
                how.repetition = (a + c) % 2 ? 1 : 1.3f;
                how.frequency = b % 2 ? 0 : 0.4f;
                how.presence = c % 2 ? 0 : -0.7f;
                how.seed = a * 100 + b * 10 + c;
                agree(s, z, n, &how, what);
            }
}

static void test_the_sampler_equals_one_that_sorts_everything(void **state)
{
    (void)state;
    static const uint32_t size[] = { 4, 5, 31, 32, 33, 255, 256, 257, 1000, 4095, 4096, 4097, MOST };
    static float z[MOST];
    sv_sampler *s = sv_sampler_make(MOST);
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        uint32_t n = size[i];
        normals((uint32_t)i, n, 3, z);
        agree_on_all(s, z, n, "normal");
        for (uint32_t j = 0; j < n; j++)
            z[j] = (float)(int)z[j];
        agree_on_all(s, z, n, "ties");
        for (uint32_t j = 0; j < n; j += 3)
            z[j] = -INFINITY;
        agree_on_all(s, z, n, "a third forbidden");
        for (uint32_t j = 0; j < n; j++)
            z[j] = j % 2 ? 0.0f : -0.0f;
        agree_on_all(s, z, n, "zeros");
    }
    sv_sampler_drop(s);
}

static void test_borders_of_cumulative_chunks_are_strict_where_the_law_is(void **state)
{
    (void)state;
    enum { V = 512 };
    static const float z[V]; /* p = 2^-9: every sum is exact */
    sv_sampler *s = sv_sampler_make(V);
    sv_sampling how = OFF, half = OFF;
    how.seed = 5; /* whose draw at this place is exactly 1/2 */
    assert_true(sv_philox_uniform(sv_philox_at(5, how.stream, 0, 0, 964234).w[0]) == 0.5f);
    assert_int_equal(sv_sample(s, z, V, &how, NULL, 0, 0, 964234), 256);
    half.top_p = 0.5f;
    uint32_t most = 0;
    for (uint32_t position = 0; position < 5000; position++) {
        uint32_t id = sv_sample(s, z, V, &half, NULL, 0, 0, position);
        most = id > most ? id : most;
    }
    assert_int_equal(most, 255);
    sv_sampler_drop(s);
}

/* Nearly equal probabilities, so that the last bits of the cumulative sums decide now and then. */
static void test_cumulative_sums_are_in_chunks_of_256(void **state)
{
    (void)state;
    static float z[MOST];
    normals(70, MOST, 0.01f, z);
    sv_sampler *s = sv_sampler_make(MOST);
    sv_sampling how = OFF;
    for (uint32_t position = 0; position < 8000; position++)
        assert_int_equal(sv_sample(s, z, MOST, &how, NULL, 0, 0, position),
                         plain_sample(z, MOST, &how, NULL, 0, 0, position));
    sv_sampler_drop(s);
}

static void test_what_is_forbidden_or_nan_is_never_drawn(void **state)
{
    (void)state;
    float z[64];
    sv_sampler *s = sv_sampler_make(64);
    sv_sampling how = OFF;
    for (uint32_t i = 0; i < 64; i++)
        z[i] = i == 17 ? -5 : i % 2 ? -INFINITY : NAN;
    for (uint32_t k = 0; k < 4; k++)
        for (uint32_t position = 0; position < 50; position++) {
            how.temperature = k == 3 ? 0 : 1;
            how.top_k = k == 1 ? 5 : 0;
            how.top_p = k == 2 ? 0.5f : 1;
            assert_int_equal(sv_sample(s, z, 64, &how, NULL, 0, 0, position), 17);
        }
    for (uint32_t i = 0; i < 64; i++)
        z[i] = -INFINITY;
    assert_int_equal(sv_sample(s, z, 64, &how, NULL, 0, 0, 1), 0);
    z[9] = INFINITY;
    how.temperature = 1;
    assert_int_equal(sv_sample(s, z, 64, &how, NULL, 0, 0, 1), 9);
    sv_sampler_drop(s);
}

static void test_ids_behind_the_real_ones_do_not_exist(void **state)
{
    (void)state;
    float z[10] = { 0, 0, 0, 0, 0, 99, 99, 99, 99, 99 };
    sv_sampler *s = sv_sampler_make(10);
    sv_sampling how = OFF;
    for (uint32_t position = 0; position < 200; position++)
        assert_true(sv_sample(s, z, 5, &how, NULL, 0, 0, position) < 5);
    sv_sampler_drop(s);
}

static void test_a_draw_depends_on_its_place_alone(void **state)
{
    (void)state;
    static float z[MOST], copy[MOST];
    normals(40, MOST, 2, z);
    memcpy(copy, z, sizeof z);
    sv_sampler *s = sv_sampler_make(MOST), *other = sv_sampler_make(MOST);
    sv_sampling how = OFF, cut = OFF;
    cut.top_k = 50;
    uint32_t drawn[20], distinct = 0;
    for (uint32_t i = 0; i < 20; i++)
        drawn[i] = sv_sample(s, z, MOST, &how, NULL, 0, 0, i);
    for (uint32_t i = 20; i-- > 0;) {
        sv_sample(other, z, MOST, &cut, NULL, 0, 0, i); /* leaves its scratch behind */
        assert_int_equal(sv_sample(other, z, MOST, &how, NULL, 0, 0, i), drawn[i]);
        distinct += i > 0 && drawn[i] != drawn[i - 1];
    }
    assert_true(distinct > 10);
    assert_memory_equal(z, copy, sizeof z);
    sv_sampling row = how, step = how, stream = how, seed = how;
    row.row = step.step = 1;
    stream.stream = 5;
    seed.seed = 1ull << 40;
    const sv_sampling *changed[] = { &row, &step, &stream, &seed };
    for (size_t c = 0; c < 4; c++) {
        uint32_t same = 0;
        for (uint32_t i = 0; i < 20; i++)
            same += sv_sample(s, z, MOST, changed[c], NULL, 0, 0, i) == drawn[i];
        assert_true(same < 10);
    }
    sv_sampler_drop(s);
    sv_sampler_drop(other);
}

static void test_frequencies_of_a_million_draws_are_the_probabilities(void **state)
{
    (void)state;
    enum { V = 40, DRAWS = 1000000 };
    float z[V];
    double sum = 0;
    uint32_t count[V] = { 0 };
    normals(50, V, 1.5f, z);
    for (uint32_t i = 0; i < V; i++)
        sum += exp((double)z[i] / 0.8);
    sv_sampler *s = sv_sampler_make(V);
    sv_sampling how = OFF;
    how.temperature = 0.8f;
    how.seed = 99;
    for (uint32_t i = 0; i < DRAWS; i++)
        count[sv_sample(s, z, V, &how, NULL, 0, 0, i)]++;
    for (uint32_t i = 0; i < V; i++) {
        double p = exp((double)z[i] / 0.8) / sum, sigma = sqrt(DRAWS * p * (1 - p));
        if (fabs(count[i] - DRAWS * p) > 5 * sigma + 1)
            fail_msg("token %u: %u draws, expected %.0f +- %.0f", i, count[i], DRAWS * p, sigma);
    }
    sv_sampler_drop(s);
}

static void test_top_k_is_the_start_of_the_full_order(void **state)
{
    (void)state;
    static float z[MOST];
    static uint32_t all[MOST], top[MOST];
    sv_sampler *s = sv_sampler_make(MOST);
    for (uint32_t kind = 0; kind < 4; kind++) {
        normals(60 + kind, MOST, kind == 1 ? 0.01f : 4, z);
        for (uint32_t i = 0; i < MOST; i++)
            z[i] = kind == 2 ? (float)(i % 3) : kind == 3 && i % 64 ? -INFINITY : z[i];
        sorting = z;
        for (uint32_t i = 0; i < MOST; i++)
            all[i] = i;
        qsort(all, MOST, sizeof *all, by_rank);
        for (uint32_t k = 1; k <= MOST; k = k < 30 ? k + 1 : k + k / 3) {
            uint32_t n = sv_sampler_top(s, z, MOST, k, top), exist = kind == 3 ? (MOST + 63) / 64 : MOST;
            assert_int_equal(n, k < exist ? k : exist);
            assert_memory_equal(top, all, n * sizeof *top);
        }
    }
    sv_sampler_drop(s);
}

static void refused(sv_sampling how, const char *words)
{
    assert_int_equal(sv_sampling_check(&how), SV_E_ARG);
    if (!strstr(sv_err_text(), words))
        fail_msg("\"%s\" does not say \"%s\"", sv_err_text(), words);
}

static void test_settings_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    sv_sampling greedy = SV_SAMPLING_GREEDY, h;
    assert_int_equal(sv_sampling_check(&greedy), SV_OK);
    h = OFF;
    assert_int_equal(sv_sampling_check(&h), SV_OK);
#define REFUSED(field, value, words) (h = OFF, h.field = (value), refused(h, words))
    REFUSED(temperature, -0.5f, "temperature is -0.5");
    REFUSED(temperature, 1e-6f, "0.001");
    REFUSED(temperature, 101, "temperature is 101");
    REFUSED(temperature, NAN, "temperature");
    REFUSED(top_p, 0, "top_p is 0");
    REFUSED(top_p, 1.5f, "top_p is 1.5");
    REFUSED(top_p, NAN, "top_p");
    REFUSED(min_p, -1, "min_p");
    REFUSED(min_p, 1.01f, "min_p is 1.01");
    REFUSED(repetition, 0, "repetition is 0");
    REFUSED(frequency, INFINITY, "frequency");
    REFUSED(presence, -101, "presence is -101");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_has_the_published_vectors),
        cmocka_unit_test(test_five_logits_give_the_published_draws),
        cmocka_unit_test(test_temperature_zero_takes_the_lowest_of_equals),
        cmocka_unit_test(test_the_sampler_equals_one_that_sorts_everything),
        cmocka_unit_test(test_borders_of_cumulative_chunks_are_strict_where_the_law_is),
        cmocka_unit_test(test_cumulative_sums_are_in_chunks_of_256),
        cmocka_unit_test(test_what_is_forbidden_or_nan_is_never_drawn),
        cmocka_unit_test(test_ids_behind_the_real_ones_do_not_exist),
        cmocka_unit_test(test_a_draw_depends_on_its_place_alone),
        cmocka_unit_test(test_frequencies_of_a_million_draws_are_the_probabilities),
        cmocka_unit_test(test_top_k_is_the_start_of_the_full_order),
        cmocka_unit_test(test_settings_out_of_range_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
