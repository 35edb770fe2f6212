/* SPDX-License-Identifier: Apache-2.0
 * The first law for quantised weights: the logits of a position do not depend on how the sequence is cut into steps, on
 * pages, threads or chips, for every type that is computed by exact integers.
 */
#include "test/law_model.h"

#include <unistd.h>

#include "base/file.h"

enum { N = 70 };

static const sv_dtype types[] = { SV_DT_Q8_0, SV_DT_Q4_0, SV_DT_Q4_1, SV_DT_Q4_K, SV_DT_Q5_K, SV_DT_Q6_K };
#define N_TYPE (sizeof types / sizeof *types)

static sv_model *model[N_TYPE];
static float *expected[N_TYPE]; /* [N, vocab]: the references, the whole prompt at once */
static uint32_t ids[N];
static char folder[] = "/tmp/samsvar-blocks-XXXXXX";

/* Rows of one and two blocks of 256; 263 and 64 columns: ragged panels. */
static sv_model *source(void)
{
    static const char *const config =
        "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":256,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":1,\"head_dim\":64,\"intermediate_size\":512,\"vocab_size\":263,"
        "\"max_position_embeddings\":384,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,\"torch_dtype\":\"float32\","
        "\"tie_word_embeddings\":true}";
    json_t *j;
    sv_model *m;
    law_ok(sv_json_parse(sv_str_of(config), &sv_json_file_limits, "config.json", &j));
    law_ok(sv_model_new(j, (sv_str){ 0 }, (sv_str){ 0 }, &m));
    json_decref(j);
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        if (!sv_weight_exists(&m->config, id) || sv_weight_is_alias(&m->config, id))
            continue;
        sv_tensor shape = sv_weight_shape(&m->config, id);
        float *w = sv_model_weight(m, id), four[4];
        for (uint32_t i = 0; i < sv_tensor_items(&shape); i++) {
            if (i % 4 == 0)
                sv_philox_normal4(5, SV_STREAM_TEST, id, i / 4, four);
            w[i] = shape.n_dim == 1 ? 1.0f : 0.1f * four[i % 4];
        }
    }
    return m;
}

static int setup(void **state)
{
    (void)state;
    sv_model_opts opts = { .no_tokenizer = true };
    if (mkdtemp(folder) == NULL)
        return -1;
    law_ids(1, N, ids);
    sv_model *m = source();
    for (size_t t = 0; t < N_TYPE; t++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%zu.gguf", folder, t);
        law_ok(sv_model_save_gguf(m, path, types[t]));
        law_ok(sv_model_open(path, &opts, &model[t]));
        assert_int_equal(model[t]->n_dequantised, 0);
        expected[t] = law_rows(N);
        sv_runner *r = law_runner(model[t], "ref", 1, 0);
        law_run(r, ids, N, N, 0, 1, expected[t]);
        sv_runner_close(r);
    }
    sv_model_close(m);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPE; t++) {
        sv_model_close(model[t]);
        free(expected[t]);
    }
    law_ok(sv_file_remove_tree(folder));
    return 0;
}

static void same(size_t t, const char *chip, uint32_t n_thread, uint32_t chunk, uint32_t first, uint32_t stride)
{
    char what[160];
    float *z = law_rows(N);
    sv_runner *r = law_runner(model[t], chip, n_thread, 0);
    law_run(r, ids, N, chunk, first, stride, z);
    snprintf(what, sizeof what, "%s on %s, %u threads, chunks of %u", sv_dtype_name(types[t]), chip, n_thread, chunk);
    law_same(what, z, expected[t], N);
    sv_runner_close(r);
    free(z);
}

static void test_types_have_logits_of_their_own(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPE; t++)
        for (size_t u = 0; u < t; u++)
            assert_memory_not_equal(expected[t], expected[u], sizeof(float) * N * LAW_VOCAB);
}

static void test_any_chunk_page_and_number_of_threads_gives_the_same_logits(void **state)
{
    (void)state;
    static const uint32_t chunk[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 17, 33, N };
    for (size_t t = 0; t < N_TYPE; t++)
        for (uint32_t i = 0; i < sizeof chunk / sizeof *chunk; i++)
            same(t, "cpu", 1 + i % 3, chunk[i], i % 5, i % 2 ? 5 : 1);
}

static void test_every_chip_gives_the_same_logits(void **state)
{
    (void)state;
    char spec[64];
    for (uint32_t c = 0; law_chip(c, spec); c++)
        for (size_t t = 0; t < N_TYPE; t++) {
            same(t, spec, 2, N, 0, 1);
            same(t, spec, 2, 6, 0, 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_have_logits_of_their_own),
        cmocka_unit_test(test_any_chunk_page_and_number_of_threads_gives_the_same_logits),
        cmocka_unit_test(test_every_chip_gives_the_same_logits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
