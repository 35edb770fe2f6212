/* SPDX-License-Identifier: Apache-2.0
 * What the law tests share: tiny random models of every family, made in memory, and one way to run a sequence.
 * Threads: a test program has one.
 */
#ifndef SV_TEST_LAW_MODEL_H
#define SV_TEST_LAW_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "chip/registry.h"
#include "model/runner.h"
#include "num/bits.h"
#include "num/philox.h"

#define LAW_VOCAB 263u /* prime: every tail of every kernel */
#define LAW_CTX 384u   /* more than one block of 256 keys */

static const char *const law_families[] = { "qwen3", "qwen2", "llama" };
#define LAW_N_FAMILY (sizeof law_families / sizeof law_families[0])

static inline void law_ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

/* A model with weights of +-0.3, gains around 1. eos_id < 0: none. */
static inline sv_model *law_model(const char *family, int eos_id)
{
    static const char *const text =
        "{\"model_type\":\"%s\",\"num_hidden_layers\":2,\"hidden_size\":64,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,\"head_dim\":%d,\"intermediate_size\":96,\"vocab_size\":%u,"
        "\"max_position_embeddings\":%u,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,\"torch_dtype\":\"float32\","
        "\"tie_word_embeddings\":%s%s}";
    char config[600], eos[40] = "";
    if (eos_id >= 0)
        snprintf(eos, sizeof eos, ",\"eos_token_id\":%d", eos_id);
    bool is_qwen3 = strcmp(family, "qwen3") == 0;
    int n = snprintf(config, sizeof config, text, family, is_qwen3 ? 32 : 16, LAW_VOCAB, LAW_CTX,
                     is_qwen3 ? "true" : "false", eos);
    json_t *j;
    sv_model *m;
    law_ok(sv_json_parse((sv_str){ config, (size_t)n }, &sv_json_file_limits, "config.json", &j));
    law_ok(sv_model_new(j, (sv_str){ 0 }, (sv_str){ 0 }, &m));
    json_decref(j);
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        if (!sv_weight_exists(&m->config, id) || sv_weight_is_alias(&m->config, id))
            continue;
        sv_tensor shape = sv_weight_shape(&m->config, id);
        float *w = sv_model_weight(m, id);
        for (uint32_t i = 0; i < sv_tensor_items(&shape); i++) {
            float u = sv_philox_uniform(sv_philox_at(5, SV_STREAM_TEST, 1, id, i).w[0]) - 0.5f;
            w[i] = shape.n_dim == 1 && !strstr(m->config.family->weight[id % m->config.family->n_weight].hf, "bias")
                       ? 1.0f + 0.5f * u
                       : 0.6f * u;
        }
    }
    return m;
}

static inline uint32_t law_draw(uint32_t purpose, uint32_t i, uint32_t below)
{
    return sv_philox_at(11, SV_STREAM_TEST, purpose, 0, i).w[0] % below;
}

static inline void law_ids(uint32_t purpose, uint32_t n, uint32_t *id)
{
    for (uint32_t i = 0; i < n; i++)
        id[i] = law_draw(purpose, i, LAW_VOCAB);
}

static inline sv_runner *law_runner(const sv_model *m, const char *chip, uint32_t n_thread, uint32_t n_page)
{
    sv_runner_opts o = { .chip = chip, .machine = { .n_thread = n_thread }, .n_page = n_page };
    sv_runner *r;
    law_ok(sv_runner_open(m, &o, &r));
    return r;
}

/* Logits of every position of id [n] -> z [n, vocab], chunk rows a step, through pages first, first + stride ... */
static inline void law_run(sv_runner *r, const uint32_t *id, uint32_t n, uint32_t chunk, uint32_t first,
                           uint32_t stride, float *z)
{
    uint32_t P = LAW_CTX / SV_PAGE, N = sv_runner_pages(r);
    int32_t tok[LAW_CTX], pos[LAW_CTX], seq[LAW_CTX] = { 0 }, want[LAW_CTX], table[LAW_CTX / SV_PAGE];
    for (uint32_t p = 0; p < P; p++)
        table[p] = (int32_t)((first + p * stride) % N);
    for (uint32_t at = 0; at < n; at += chunk) {
        uint32_t T = n - at < chunk ? n - at : chunk;
        for (uint32_t t = 0; t < T; t++) {
            tok[t] = (int32_t)id[at + t];
            pos[t] = (int32_t)(at + t);
            want[t] = (int32_t)t;
        }
        sv_step step = { .shape = { T, 1, P, T, 0 }, .tok = tok, .pos = pos, .seq = seq, .table = table, .want = want };
        law_ok(sv_runner_step(r, &step, z + (size_t)at * LAW_VOCAB, NULL));
    }
}

/* Says where two tables of logits first differ. */
static inline void law_same(const char *what, const float *z, const float *expected, uint32_t n)
{
    for (size_t i = 0; i < (size_t)n * LAW_VOCAB; i++)
        if (!sv_bits_same(z[i], expected[i]))
            fail_msg("%s: row %zu, token %zu: %a, expected %a", what, i / LAW_VOCAB, i % LAW_VOCAB, (double)z[i],
                     (double)expected[i]);
}

static inline float *law_rows(uint32_t n)
{
    float *z = malloc((size_t)n * LAW_VOCAB * sizeof *z);
    assert_non_null(z);
    return z;
}

/* The n-th chip that is here, exact and usable, as a spec ("cpu:avx2"); false behind the last one. */
static inline bool law_chip(uint32_t n, char spec[64])
{
    static const char *const asked[] = { "cpu:scalar", "cpu:avx2", "cpu:avx512", "cpu:avx512emu",
                                         "cpu:neon",   "ref",      "odd",        "opencl" };
    static bool have[sizeof asked / sizeof asked[0]], known;
    for (size_t i = 0; !known && i < sizeof asked / sizeof asked[0]; i++) {
        sv_chip_dev d;
        have[i] = sv_chip_open(asked[i], NULL, &d) == SV_OK;
        if (have[i])
            sv_chip_close(&d);
        else
            printf("not here: %s\n", asked[i]);
    }
    known = true;
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++)
        if (have[i] && n-- == 0) {
            snprintf(spec, 64, "%s", asked[i]);
            return true;
        }
    return false;
}

#endif
