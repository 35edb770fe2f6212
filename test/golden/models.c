/* SPDX-License-Identifier: Apache-2.0
 * Logits of tiny models of every family against those recorded from transformers (tools/golden.py), through the runner.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "model/runner.h"

#define TOLERANCE 1e-4f
#define MAX_TOK 64u

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

static json_t *golden(const char *kind, const char *family)
{
    char path[128];
    json_t *j = NULL;
    snprintf(path, sizeof path, "test/golden/%s/%s/golden.json", kind, family);
    ok(sv_json_load(path, &sv_json_file_limits, &j));
    return j;
}

static sv_model *open_model(const char *family)
{
    char path[128];
    sv_model *m = NULL;
    snprintf(path, sizeof path, "test/golden/models/%s", family);
    ok(sv_model_open(path, NULL, &m));
    return m;
}

/* Logits of every position, [n, n_vocab]; `cut` positions first, then the rest. */
static float *run(const sv_model *m, const json_t *ids, uint32_t cut)
{
    uint32_t n = (uint32_t)json_array_size(ids), n_vocab = m->config.n_vocab, n_page = (n + SV_PAGE - 1) / SV_PAGE;
    sv_runner_opts opts = { .chip = "cpu", .machine = { .n_thread = 2 } };
    sv_runner *r = NULL;
    int32_t tok[MAX_TOK], pos[MAX_TOK], seq[MAX_TOK] = { 0 }, want[MAX_TOK], table[4];
    assert_true(n <= MAX_TOK && n_page <= 4);
    for (uint32_t i = 0; i < n; i++) {
        tok[i] = (int32_t)json_integer_value(json_array_get(ids, i));
        pos[i] = (int32_t)i;
        want[i] = (int32_t)i;
    }
    for (uint32_t i = 0; i < n_page; i++)
        table[i] = (int32_t)i;
    float *out = calloc((size_t)n * n_vocab, sizeof *out);
    ok(sv_runner_open(m, &opts, &r));
    for (uint32_t at = 0, end = cut; at < n; at = end, end = n) {
        uint32_t t = end - at;
        sv_step step = { .shape = { .n_tok = t, .n_seq = 1, .n_page = n_page, .n_want = t },
                         .tok = tok + at,
                         .pos = pos + at,
                         .seq = seq,
                         .table = table,
                         .want = want };
        ok(sv_runner_step(r, &step, out + (size_t)at * n_vocab, NULL));
    }
    sv_runner_close(r);
    return out;
}

static void assert_golden(const json_t *g, const float *logits, uint32_t n_vocab)
{
    size_t i, j;
    json_t *row, *value;
    const json_t *rows = json_object_get(g, "rows");
    json_array_foreach(json_object_get(g, "logits"), i, row)
    {
        size_t r = (size_t)json_integer_value(json_array_get(rows, i));
        assert_int_equal(json_array_size(row), n_vocab);
        json_array_foreach(row, j, value)
        {
            float expected = (float)json_real_value(value), found = logits[r * n_vocab + j];
            if (!(fabsf(found - expected) <= TOLERANCE))
                fail_msg("logit %zu of position %zu is %.9g, transformers says %.9g", j, r, (double)found,
                         (double)expected);
        }
    }
    json_array_foreach(json_object_get(g, "argmax"), i, value)
    {
        size_t best = 0;
        for (j = 1; j < n_vocab; j++)
            best = logits[i * n_vocab + j] > logits[i * n_vocab + best] ? j : best;
        assert_int_equal(best, json_integer_value(value));
    }
}

static void check_logits(const char *family)
{
    sv_model *m = open_model(family);
    json_t *g = golden("models", family);
    float *logits = run(m, json_object_get(g, "ids"), 37);
    assert_golden(g, logits, m->config.n_vocab);
    free(logits);
    json_decref(g);
    sv_model_close(m);
}

static void test_qwen3_gives_the_logits_of_transformers(void **state)
{
    (void)state;
    check_logits("qwen3");
}

static void test_qwen2_gives_the_logits_of_transformers(void **state)
{
    (void)state;
    check_logits("qwen2");
}

static void test_llama_gives_the_logits_of_transformers(void **state)
{
    (void)state;
    check_logits("llama");
}

/* The same logits, bit for bit, from the model written as GGUF (llama's rows permuted, divisors of llama3) and read. */
static void check_gguf(const char *family)
{
    char path[] = "/tmp/samsvar-models-XXXXXX.gguf";
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    sv_model *m = open_model(family), *back = NULL;
    json_t *g = golden("models", family);
    ok(sv_model_save_gguf(m, path, SV_DTYPE_COUNT));
    ok(sv_model_open(path, NULL, &back));
    float *a = run(m, json_object_get(g, "ids"), 8), *b = run(back, json_object_get(g, "ids"), 8);
    size_t bytes = json_array_size(json_object_get(g, "ids")) * m->config.n_vocab * sizeof *a;
    assert_memory_equal(a, b, bytes);
    free(a);
    free(b);
    json_decref(g);
    sv_model_close(back);
    sv_model_close(m);
    unlink(path);
}

static void test_a_gguf_file_of_a_model_gives_the_same_bits(void **state)
{
    (void)state;
    check_gguf("qwen3");
    check_gguf("qwen2");
    check_gguf("llama");
}

static void test_tokenizers_give_the_ids_of_the_reference(void **state)
{
    (void)state;
    static const char *const family[] = { "qwen3", "qwen2", "llama" };
    for (size_t f = 0; f < 3; f++) {
        sv_model *m = open_model(family[f]);
        json_t *g = golden("models", family[f]);
        const json_t *expected = json_object_get(g, "text_ids");
        sv_ids ids = { 0 };
        ok(sv_model_need_tokenizer(m));
        ok(sv_tokenizer_encode_plain(m->tokenizer, sv_str_of(json_string_value(json_object_get(g, "text"))), true,
                                     &ids));
        assert_int_equal(ids.n, json_array_size(expected));
        for (size_t i = 0; i < ids.n; i++)
            assert_int_equal(ids.id[i], json_integer_value(json_array_get(expected, i)));
        sv_ids_done(&ids);
        json_decref(g);
        sv_model_close(m);
    }
}

/* Recorded from PEFT (tools/golden_lora.py): ranks and alphas by patterns, rslora, layers that have none, lm_head. */
static void test_adapters_give_the_logits_of_peft(void **state)
{
    (void)state;
    static const char *const family[] = { "llama", "qwen3", "qwen2" };
    for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
        char path[128];
        sv_model *m = open_model(family[i]);
        snprintf(path, sizeof path, "test/golden/lora/%s", family[i]);
        ok(sv_model_attach(m, path));
        json_t *g = golden("lora", family[i]);
        float *logits = run(m, json_object_get(g, "ids"), 37);
        assert_golden(g, logits, m->config.n_vocab);
        free(logits);
        json_decref(g);
        sv_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qwen3_gives_the_logits_of_transformers),
        cmocka_unit_test(test_qwen2_gives_the_logits_of_transformers),
        cmocka_unit_test(test_llama_gives_the_logits_of_transformers),
        cmocka_unit_test(test_adapters_give_the_logits_of_peft),
        cmocka_unit_test(test_a_gguf_file_of_a_model_gives_the_same_bits),
        cmocka_unit_test(test_tokenizers_give_the_ids_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
