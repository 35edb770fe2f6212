/* SPDX-License-Identifier: Apache-2.0
 * config.json and the folder around it: every spelling that is read, and every refusal with its words.
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
#include "format/safetensors.h"
#include "model/model.h"

#define SIZES \
    "\"num_hidden_layers\":1,\"hidden_size\":8,\"num_attention_heads\":2,\"num_key_value_heads\":1," \
    "\"intermediate_size\":16,\"vocab_size\":12,\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5"
#define LLAMA "\"model_type\":\"llama\"," SIZES

static char dir[] = "/tmp/samsvar-model-XXXXXX";
static sv_arena *arena;

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

static void assert_says(const char *words)
{
    if (!strstr(sv_err_text(), words))
        fail_msg("\"%s\" does not say \"%s\"", sv_err_text(), words);
}

/* The config of an object with these members. */
static sv_err read_members(const char *members, sv_config *c)
{
    json_t *j = NULL;
    sv_bytes text = { 0 };
    sv_bytes_printf(&text, "{%s}", members);
    ok(sv_json_parse((sv_str){ text.p, text.n }, &sv_json_file_limits, "config.json", &j));
    sv_err e = sv_config_read(j, "config.json", c);
    json_decref(j);
    sv_bytes_done(&text);
    return e;
}

static sv_config config_of(const char *members)
{
    sv_config c;
    ok(read_members(members, &c));
    return c;
}

static void assert_refused(const char *members, sv_err code, const char *words)
{
    sv_config c;
    assert_int_equal(read_members(members, &c), code);
    assert_says(words);
    assert_says("config.json");
}

/* ---- config.json ---- */

static void test_sizes_are_read_and_head_dim_has_a_default(void **state)
{
    (void)state;
    sv_config c = config_of(LLAMA);
    assert_string_equal(c.family->model_type, "llama");
    assert_int_equal(c.n_layer, 1);
    assert_int_equal(c.d_model, 8);
    assert_int_equal(c.n_head, 2);
    assert_int_equal(c.n_kv_head, 1);
    assert_int_equal(c.d_head, 4);
    assert_int_equal(c.d_ff, 16);
    assert_int_equal(c.n_vocab, 12);
    assert_int_equal(c.n_ctx, 64);
    assert_true(c.eps == 1e-5f && c.theta == 1e4 && c.scaling == SV_ROPE_PLAIN && !c.is_tied);
    assert_true(c.bos == -1 && c.pad == -1 && c.n_eos == 0);
    c = config_of(LLAMA ",\"head_dim\":16");
    assert_int_equal(c.d_head, 16);
}

static void test_rope_is_read_in_both_spellings(void **state)
{
    (void)state;
    static const char *const llama3[] = {
        LLAMA ",\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
              "\"high_freq_factor\":4,\"original_max_position_embeddings\":32}",
        LLAMA ",\"rope_parameters\":{\"rope_theta\":5e5,\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
              "\"high_freq_factor\":4,\"original_max_position_embeddings\":32}",
        LLAMA ",\"rope_theta\":5e5,\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
              "\"high_freq_factor\":4,\"original_max_position_embeddings\":32},\"rope_parameters\":{\"rope_theta\":5e5,"
              "\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
              "\"original_max_position_embeddings\":32}",
    };
    for (size_t i = 0; i < 3; i++) {
        sv_config c = config_of(llama3[i]);
        assert_true(c.theta == 5e5 && c.scaling == SV_ROPE_LLAMA3 && c.rope_factor == 8 && c.rope_low == 1);
        assert_true(c.rope_high == 4 && c.rope_ctx == 32);
    }
    sv_config c = config_of(LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}");
    assert_true(c.scaling == SV_ROPE_LINEAR && c.rope_factor == 2.5);
    c = config_of(LLAMA ",\"rope_scaling\":null,\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7}");
    assert_true(c.scaling == SV_ROPE_PLAIN && c.theta == 7);
}

static void test_contradicting_rope_is_refused(void **state)
{
    (void)state;
    assert_refused(LLAMA ",\"rope_theta\":10,\"rope_parameters\":{\"rope_theta\":20}", SV_E_FORMAT, "rope_theta");
    assert_refused(LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_type\":"
                         "\"default\"}",
                   SV_E_FORMAT, "contradict");
    assert_refused(LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"rope_type\":\"llama3\",\"factor\":2}", SV_E_FORMAT,
                   "keep one");
    assert_refused(LLAMA ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}", SV_E_UNSUPPORTED, "yarn");
    assert_refused(LLAMA ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}", SV_E_UNSUPPORTED,
                   "full_attention");
}

static void test_what_is_not_built_is_refused_by_its_key(void **state)
{
    (void)state;
    assert_refused("\"model_type\":\"gpt2\"," SIZES, SV_E_UNSUPPORTED, "llama");
    assert_refused(LLAMA ",\"hidden_act\":\"gelu\"", SV_E_UNSUPPORTED, "hidden_act");
    assert_refused(LLAMA ",\"quantization_config\":{\"quant_method\":\"fp8\"}", SV_E_UNSUPPORTED,
                   "quantization_config");
    assert_refused(LLAMA ",\"use_sliding_window\":true", SV_E_UNSUPPORTED, "use_sliding_window");
    assert_refused(LLAMA ",\"attention_bias\":true", SV_E_UNSUPPORTED, "attention_bias");
    assert_refused(LLAMA ",\"mlp_bias\":true", SV_E_UNSUPPORTED, "mlp_bias");
    assert_refused(LLAMA ",\"partial_rotary_factor\":0.5", SV_E_UNSUPPORTED, "partial_rotary_factor");
    assert_refused(LLAMA ",\"layer_types\":[\"sliding_attention\"]", SV_E_UNSUPPORTED, "layer_types[0]");
    assert_refused(LLAMA ",\"architectures\":[\"LlamaForSequenceClassification\"]", SV_E_UNSUPPORTED,
                   "LlamaForCausalLM");
    sv_config c = config_of(LLAMA ",\"sliding_window\":4096,\"use_sliding_window\":false,\"quantization_config\":null");
    assert_int_equal(c.n_layer, 1);
    c = config_of("\"model_type\":\"qwen2\",\"attention_bias\":true," SIZES);
    assert_string_equal(c.family->model_type, "qwen2");
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    assert_refused("\"hidden_size\":8", SV_E_FORMAT, "model_type");
    assert_refused("\"model_type\":\"llama\",\"hidden_size\":8", SV_E_FORMAT, "num_hidden_layers");
    assert_refused(LLAMA ",\"head_dim\":5", SV_E_FORMAT, "head_dim");
    assert_refused("\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":9,\"num_attention_heads\":2,"
                   "\"intermediate_size\":1,\"vocab_size\":1,\"max_position_embeddings\":1,\"rms_norm_eps\":1e-5",
                   SV_E_FORMAT, "hidden_size");
    assert_refused("\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":12,\"num_attention_heads\":3,"
                   "\"num_key_value_heads\":2,\"intermediate_size\":1,\"vocab_size\":1,\"max_position_embeddings\":1,"
                   "\"rms_norm_eps\":1e-5",
                   SV_E_FORMAT, "num_key_value_heads");
    assert_refused("\"model_type\":\"llama\",\"num_hidden_layers\":1e3", SV_E_FORMAT, "num_hidden_layers");
}

static void test_end_tokens_are_a_number_or_a_list(void **state)
{
    (void)state;
    sv_config c = config_of(LLAMA ",\"eos_token_id\":3,\"bos_token_id\":1,\"pad_token_id\":-1");
    assert_true(c.n_eos == 1 && c.eos[0] == 3 && c.bos == 1 && c.pad == -1);
    c = config_of(LLAMA ",\"eos_token_id\":[5,3,5]");
    assert_true(c.n_eos == 2 && c.eos[0] == 5 && c.eos[1] == 3);
    assert_refused(LLAMA ",\"eos_token_id\":12", SV_E_FORMAT, "12");
    assert_refused(LLAMA ",\"eos_token_id\":\"x\"", SV_E_FORMAT, "eos_token_id");
    assert_refused(LLAMA ",\"eos_token_id\":[0,1,2,3,4,5,6,7,8]", SV_E_LIMIT, "more than 8");
    assert_refused(LLAMA ",\"bos_token_id\":12", SV_E_FORMAT, "bos_token_id");
}

static void test_a_config_written_reads_back_equal(void **state)
{
    (void)state;
    static const char *const some[] = {
        LLAMA ",\"eos_token_id\":[5,3],\"bos_token_id\":1,\"tie_word_embeddings\":true",
        LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5},\"head_dim\":6",
        "\"model_type\":\"qwen2\",\"rope_theta\":1000000.0," SIZES,
        "\"model_type\":\"qwen3\",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
        "\"high_freq_factor\":4,\"original_max_position_embeddings\":32}," SIZES,
    };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        sv_config a = config_of(some[i]), b;
        json_t *j = sv_config_json(&a);
        ok(sv_config_read(j, "made", &b));
        json_decref(j);
        assert_memory_equal(&a, &b, sizeof a);
    }
}

/* ---- folders ---- */

static const char *in_dir(const char *name)
{
    return sv_path_join(arena, dir, name);
}

static void put(const char *name, const char *text)
{
    ok(sv_file_write(in_dir(name), sv_str_of(text)));
}

static void drop(const char *name)
{
    ok(sv_file_remove_tree(in_dir(name)));
}

/* A folder with a new llama model whose weights count up, and no tokenizer. */
static void fill_dir(const char *config, sv_dtype dtype)
{
    json_t *j = NULL;
    sv_model *m = NULL;
    ok(sv_json_parse(sv_str_of(config), &sv_json_file_limits, "config", &j));
    ok(sv_model_new(j, sv_str_of(NULL), sv_str_of(NULL), &m));
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        float *w = sv_model_weight(m, id);
        for (uint64_t i = 0; w && i < sv_tensor_items(&m->shape[id]); i++)
            w[i] = (float)((i * 7 + id) % 61) / 32.0f;
    }
    ok(sv_file_remove_tree(dir));
    ok(sv_model_save(m, dir, NULL, dtype));
    sv_model_close(m);
    json_decref(j);
}

static void assert_dir_refused(sv_err code, const char *words)
{
    sv_model *m = NULL;
    sv_err e = sv_model_open(dir, NULL, &m);
    if (e == SV_OK)
        fail_msg("opened, but should say \"%s\"", words);
    assert_int_equal(e, code);
    assert_null(m);
    assert_says(words);
}

static void test_a_new_model_saved_is_the_same_opened(void **state)
{
    (void)state;
    sv_model *m = NULL;
    uint8_t a[32], b[32];
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    ok(sv_model_open(dir, NULL, &m));
    sv_model_weights_hash(m, a);
    assert_string_equal(m->kind, "folder");
    /* embed, head 12x8; norms 3x8; q, o 8x8; k, v 4x8; mlp 3x 16x8 */
    assert_int_equal(sv_model_params(m), 2 * 96 + 24 + 2 * 64 + 2 * 32 + 3 * 128);
    ok(sv_model_save(m, in_dir("again"), NULL, SV_DTYPE_COUNT));
    sv_model_close(m);
    ok(sv_model_open(in_dir("again"), NULL, &m));
    sv_model_weights_hash(m, b);
    assert_memory_equal(a, b, 32);
    assert_int_equal(sv_model_need_tokenizer(m), SV_E_NOTFOUND);
    assert_says("tokenizer.json");
    sv_model_close(m);
}

static void test_matrices_are_saved_in_the_type_asked_for_and_vectors_in_their_own(void **state)
{
    (void)state;
    sv_model *m = NULL;
    fill_dir("{" LLAMA ",\"tie_word_embeddings\":true}", SV_DT_BF16);
    ok(sv_model_open(dir, NULL, &m));
    assert_string_equal(json_string_value(sv_json_get(m->hf_config, "torch_dtype")), "bfloat16");
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        if (m->data[id])
            assert_int_equal(m->shape[id].dtype, m->shape[id].n_dim == 2 ? SV_DT_BF16 : SV_DT_F32);
    /* tied: no data of its own, but a shape */
    uint32_t head = m->config.family->n_weight - 1;
    assert_null(m->data[head]);
    assert_int_equal(m->shape[head].dim[0], 12);
    sv_model_close(m);
    sv_model_opts wide = { .all_f32 = true };
    ok(sv_model_open(dir, &wide, &m));
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        assert_int_equal(m->shape[id].dtype, SV_DT_F32);
    sv_model_close(m);
}

static void test_trained_weights_replace_the_models(void **state)
{
    (void)state;
    sv_model *m = NULL;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    ok(sv_model_open(dir, NULL, &m));
    float row[96];
    for (size_t i = 0; i < 96; i++)
        row[i] = (float)i;
    const float **w = calloc(sv_weight_ids(&m->config), sizeof *w);
    w[0] = row;
    ok(sv_model_save(m, in_dir("again"), w, SV_DT_BF16));
    free(w);
    sv_model_close(m);
    ok(sv_model_open(in_dir("again"), NULL, &m));
    assert_int_equal(m->shape[0].dtype, SV_DT_BF16);
    for (size_t i = 0; i < 96; i++)
        assert_true(sv_bf16_widen(((const uint16_t *)m->data[0])[i]) == (float)i);
    sv_model_close(m);
}

static void test_missing_files_are_named(void **state)
{
    (void)state;
    sv_model *m = NULL;
    assert_int_equal(sv_model_open("/nowhere/at/all", NULL, &m), SV_E_NOTFOUND);
    assert_says("/nowhere/at/all");
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    assert_int_equal(sv_model_open(in_dir("model.safetensors"), NULL, &m), SV_E_ARG);
    assert_says("folder");
    drop("model.safetensors");
    assert_dir_refused(SV_E_NOTFOUND, "model.safetensors");
    drop("config.json");
    assert_dir_refused(SV_E_NOTFOUND, "config.json");
    put("x.gguf", "GGUF");
    assert_dir_refused(SV_E_NOTFOUND, "x.gguf");
}

static void test_wrong_shapes_name_the_tensor_and_the_keys(void **state)
{
    (void)state;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    put("config.json", "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":8,\"num_attention_heads\":2,"
                       "\"num_key_value_heads\":2,\"intermediate_size\":16,\"vocab_size\":12,"
                       "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5}");
    assert_dir_refused(SV_E_SHAPE, "k_proj");
    assert_says("[4, 8]");
    assert_says("8 (num_key_value_heads x head_dim)");
    assert_says("model.safetensors");
}

/* The folder's tensors, changed by fn, written again. */
static void rewrite(void (*fn)(sv_named_tensor *t, size_t *n))
{
    sv_tensors *t = NULL;
    sv_named_tensor item[32];
    ok(sv_safetensors_open(dir, &t));
    size_t n = t->n;
    memcpy(item, t->item, n * sizeof *item);
    fn(item, &n);
    ok(sv_safetensors_write(dir, "model", item, n, 0));
    sv_tensors_close(t);
}

static void add_extra(sv_named_tensor *t, size_t *n)
{
    t[*n] = t[0];
    t[(*n)++].name = "model.layers.7.strange.weight";
}

static void add_equal_head(sv_named_tensor *t, size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(t[i].name, "model.embed_tokens.weight") == 0)
            t[*n] = t[i];
    t[(*n)++].name = "lm_head.weight";
}

static void add_inv_freq(sv_named_tensor *t, size_t *n)
{
    t[*n] = t[0];
    t[(*n)++].name = "model.layers.0.self_attn.rotary_emb.inv_freq";
}

static void take_last(sv_named_tensor *t, size_t *n)
{
    (void)t;
    (*n)--;
}

static void make_nan(sv_named_tensor *t, size_t *n)
{
    static uint8_t data[4096];
    (void)n;
    memcpy(data, t[0].data, t[0].bytes);
    sv_store_u32(data + 8, 0x7fc00000u);
    t[0].data = data;
}

static void test_a_tensor_too_many_or_too_few_is_named(void **state)
{
    (void)state;
    sv_model *m = NULL;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    rewrite(add_inv_freq);
    ok(sv_model_open(dir, NULL, &m));
    sv_model_close(m);
    rewrite(add_extra);
    assert_dir_refused(SV_E_FORMAT, "model.layers.7.strange.weight");
    assert_says("samsvar inspect");
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    rewrite(take_last);
    assert_dir_refused(SV_E_FORMAT, "model.norm.weight is missing");
}

static void test_nan_is_refused_with_tensor_and_item(void **state)
{
    (void)state;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    rewrite(make_nan);
    assert_dir_refused(SV_E_FORMAT, "lm_head.weight");
    assert_says("item 2");
}

static void test_a_tied_head_may_be_there_if_it_is_equal(void **state)
{
    (void)state;
    sv_model *m = NULL;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT); /* head and embedding differ */
    put("config.json", "{" LLAMA ",\"tie_word_embeddings\":true}");
    assert_dir_refused(SV_E_FORMAT, "lm_head.weight");
    assert_says("tie_word_embeddings");
    fill_dir("{" LLAMA ",\"tie_word_embeddings\":true}", SV_DTYPE_COUNT);
    rewrite(add_equal_head);
    ok(sv_model_open(dir, NULL, &m));
    assert_null(m->data[m->config.family->n_weight - 1]);
    sv_model_close(m);
}

static void test_generation_defaults_and_end_tokens_are_joined(void **state)
{
    (void)state;
    sv_model *m = NULL;
    fill_dir("{" LLAMA ",\"eos_token_id\":3}", SV_DTYPE_COUNT);
    put("generation_config.json", "{\"eos_token_id\":[3,4],\"temperature\":0.5,\"top_k\":20,\"top_p\":0.9}");
    ok(sv_model_open(dir, NULL, &m));
    assert_true(m->config.n_eos == 2 && m->config.eos[0] == 3 && m->config.eos[1] == 4);
    assert_true(m->defaults.temperature == 0.5 && m->defaults.top_k == 20 && m->defaults.top_p == 0.9);
    assert_true(m->defaults.min_p < 0 && m->defaults.repetition_penalty < 0);
    sv_model_close(m);
    put("generation_config.json", "{\"do_sample\":false,\"temperature\":0.5}");
    ok(sv_model_open(dir, NULL, &m));
    assert_true(m->defaults.temperature == 0);
    sv_model_close(m);
    put("generation_config.json", "{\"top_p\":1.5}");
    assert_dir_refused(SV_E_FORMAT, "top_p");
}

/* ---- tokenizer and template of a real folder ---- */

static void test_special_tokens_are_texts_or_objects(void **state)
{
    (void)state;
    sv_model *m = NULL;
    ok(sv_model_open("test/golden/models/qwen3", NULL, &m));
    assert_string_equal(m->eos_token, "<|im_end|>");
    assert_null(m->bos_token);
    assert_false(m->add_bos);
    assert_int_equal(m->config.pad, 276);
    assert_true(m->config.n_eos == 2 && m->config.eos[0] == 278 && m->config.eos[1] == 276);
    assert_non_null(m->chat_template);
    assert_null(m->template_problem);
    sv_model_close(m);
    ok(sv_model_open("test/golden/models/llama", NULL, &m));
    assert_string_equal(m->bos_token, "<|endoftext|>");
    assert_true(m->add_bos);
    sv_model_close(m);
}

static void test_an_unreadable_template_is_told_and_its_text_is_kept(void **state)
{
    (void)state;
    sv_model *m = NULL;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    put("chat_template.jinja", "{% frobnicate %}");
    put("tokenizer_config.json", "{\"chat_template\":\"{{ 1 }}\"}");
    ok(sv_model_open(dir, NULL, &m));
    assert_null(m->chat_template);
    assert_non_null(m->template_problem);
    assert_non_null(strstr(m->template_problem, "chat_template.jinja"));
    ok(sv_model_save(m, in_dir("again"), NULL, SV_DTYPE_COUNT));
    assert_true(sv_file_exists(in_dir("again/chat_template.jinja")));
    sv_model_close(m);
    /* a file in its place rules; one that is unreadable is an error then */
    put("mine.jinja", "{{ bos_token }}");
    sv_model_opts opts = { .chat_template = in_dir("mine.jinja") };
    ok(sv_model_open(dir, &opts, &m));
    assert_non_null(m->chat_template);
    sv_model_close(m);
    opts.chat_template = in_dir("chat_template.jinja");
    assert_int_not_equal(sv_model_open(dir, &opts, &m), SV_OK);
    /* a list: the one named default */
    drop("chat_template.jinja");
    put("tokenizer_config.json",
        "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"a\"},{\"name\":\"default\",\"template\":\"b\"}]}");
    ok(sv_model_open(dir, NULL, &m));
    assert_true(sv_str_is(sv_template_source(m->chat_template), "b"));
    sv_model_close(m);
}

static void test_more_tokens_than_rows_are_refused(void **state)
{
    (void)state;
    sv_str text;
    fill_dir("{" LLAMA "}", SV_DTYPE_COUNT);
    ok(sv_file_read("test/golden/models/qwen3/tokenizer.json", 1 << 20, arena, &text));
    ok(sv_file_write(in_dir("tokenizer.json"), text));
    assert_dir_refused(SV_E_FORMAT, "vocab_size is 12");
}

static int make_dir(void **state)
{
    (void)state;
    arena = sv_arena_make();
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    ok(sv_file_remove_tree(dir));
    sv_arena_drop(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_read_and_head_dim_has_a_default),
        cmocka_unit_test(test_rope_is_read_in_both_spellings),
        cmocka_unit_test(test_contradicting_rope_is_refused),
        cmocka_unit_test(test_what_is_not_built_is_refused_by_its_key),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(test_end_tokens_are_a_number_or_a_list),
        cmocka_unit_test(test_a_config_written_reads_back_equal),
        cmocka_unit_test(test_a_new_model_saved_is_the_same_opened),
        cmocka_unit_test(test_matrices_are_saved_in_the_type_asked_for_and_vectors_in_their_own),
        cmocka_unit_test(test_trained_weights_replace_the_models),
        cmocka_unit_test(test_missing_files_are_named),
        cmocka_unit_test(test_wrong_shapes_name_the_tensor_and_the_keys),
        cmocka_unit_test(test_a_tensor_too_many_or_too_few_is_named),
        cmocka_unit_test(test_nan_is_refused_with_tensor_and_item),
        cmocka_unit_test(test_a_tied_head_may_be_there_if_it_is_equal),
        cmocka_unit_test(test_generation_defaults_and_end_tokens_are_joined),
        cmocka_unit_test(test_special_tokens_are_texts_or_objects),
        cmocka_unit_test(test_an_unreadable_template_is_told_and_its_text_is_kept),
        cmocka_unit_test(test_more_tokens_than_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
