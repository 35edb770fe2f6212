/* SPDX-License-Identifier: Apache-2.0
 * Serving takes the memory of the weights once, and that of the KV pages in use.
 */
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
#include "infer/engine.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const char config[] =
    "{\"model_type\": \"qwen3\", \"architectures\": [\"Qwen3ForCausalLM\"], \"hidden_size\": 512, "
    "\"num_hidden_layers\": 4,"
    "\"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 64, \"intermediate_size\": 2048,"
    "\"vocab_size\": 16384, \"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000,"
    "\"tie_word_embeddings\": true, \"attention_bias\": false, \"hidden_act\": \"silu\", \"eos_token_id\": 1}";

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

/* Bytes of this process in memory: the second number of /proc/self/statm is pages. */
static double resident(void)
{
    unsigned long all = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &pages), 2);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double write_model(const char *path)
{
    sv_model *m;
    json_t *j;
    double bytes = 0;
    ok(sv_json_parse(sv_str_of(config), &sv_json_file_limits, "config", &j));
    ok(sv_model_new(j, (sv_str){ 0 }, (sv_str){ 0 }, &m));
    json_decref(j);
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        float *w = m->data[id] ? sv_model_weight(m, id) : NULL;
        uint64_t n = w ? sv_tensor_items(&m->shape[id]) : 0;
        for (uint64_t i = 0; i < n; i++)
            w[i] = (float)((i * 2654435761u >> 7) % 1000) * 1e-4f - 0.05f;
        bytes += (double)n * sizeof(float);
    }
    ok(sv_model_save_gguf(m, path, SV_DT_F32));
    sv_model_close(m);
    return bytes;
}

static void test_weights_are_resident_once(void **state)
{
    char path[] = "/tmp/samsvar-memory-XXXXXX";
    (void)state;
    if (SANITIZED)
        skip();
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    double weights = write_model(path), before = resident();
    sv_model *m;
    sv_engine *e;
    sv_model_opts opts = { .no_tokenizer = true };
    ok(sv_model_open(path, &opts, &m));
    sv_engine_opts how = { .chip = "cpu", .machine = { .n_thread = 2 }, .n_ctx = 2048, .max_running = 8 };
    ok(sv_engine_open(m, &how, &e));
    uint32_t prompt[64];
    for (uint32_t i = 0; i < 64; i++)
        prompt[i] = 2 + 97 * i;
    sv_request r = { .prompt = prompt, .n_prompt = 64, .max_tokens = 4, .sampling = SV_SAMPLING_GREEDY };
    sv_ticket ticket;
    sv_event event;
    bool has = true;
    ok(sv_engine_post(e, &r, &ticket));
    while (has)
        ok(sv_engine_next(e, &event, &has));
    double kv = 2.0 * 4 * 4 * 64 * sizeof(float) * 80, more = resident() - before; /* 68 positions, in whole pages */
    /* The step's arena and the threads' scratch do not grow with the model. */
    double room = 1.15 * weights + kv + (12 << 20);
    if (more > room)
        fail_msg("%.1f MB more than before for %.1f MB of weights; at most %.1f are allowed", more * 1e-6,
                 weights * 1e-6, room * 1e-6);
    sv_engine_close(e);
    sv_model_close(m);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_weights_are_resident_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
