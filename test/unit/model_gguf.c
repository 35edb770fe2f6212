/* SPDX-License-Identifier: Apache-2.0
 * Models between folders and GGUF files: the way there and back loses nothing that the types allow.
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

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/build.h"
#include "model/save_impl.h"
#include "num/kquant.h"

static char dir[] = "/tmp/samsvar-gguf-XXXXXX";
static sv_arena *arena;
static const char *const families[] = { "qwen3", "qwen2", "llama" };

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

static const char *in_dir(const char *name)
{
    return sv_path_join(arena, dir, name);
}

static const char *source_of(const char *family)
{
    return sv_arena_printf(arena, "test/golden/models/%s", family);
}

static sv_model *open_model(const char *path)
{
    sv_model *m = NULL;
    ok(sv_model_open(path, NULL, &m));
    return m;
}

static void convert(const char *from, const char *to, sv_dtype dtype)
{
    sv_model *m = open_model(from);
    ok(sv_str_ends(sv_str_of(to), ".gguf") ? sv_model_save_gguf(m, to, dtype) : sv_model_save(m, to, NULL, dtype));
    sv_model_close(m);
}

/* Equal names, types, shapes and bytes. */
static void assert_same_tensors(const sv_tensors *a, const sv_tensors *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const sv_named_tensor *x = &a->item[i], *y = sv_tensors_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->n_dim, y->n_dim);
        assert_memory_equal(x->dim, y->dim, x->n_dim * sizeof *x->dim);
        assert_int_equal(x->bytes, y->bytes);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
}

static void assert_same_json(const char *a, const char *b)
{
    json_t *x = NULL, *y = NULL;
    ok(sv_json_load(a, &sv_json_file_limits, &x));
    ok(sv_json_load(b, &sv_json_file_limits, &y));
    if (!json_equal(x, y))
        fail_msg("%s and %s differ", a, b);
    json_decref(x);
    json_decref(y);
}

static void hash_of(const char *path, uint8_t out[32])
{
    sv_model *m = open_model(path);
    sv_model_weights_hash(m, out);
    sv_model_close(m);
}

static void test_the_identity_of_weights_is_the_recorded_one(void **state)
{
    (void)state;
    static const float a[2] = { 0, 1 };
    static const uint8_t one[2] = { 0x80, 0x3f };
    sv_named_tensor t[2] = {
        { .name = "model.b", .dtype = SV_DT_BF16, .n_dim = 2, .dim = { 1, 1 }, .data = one, .bytes = 2 },
        { .name = "model.a", .dtype = SV_DT_F32, .n_dim = 1, .dim = { 2 }, .data = (const uint8_t *)a, .bytes = 8 },
    };
    uint8_t sum[32];
    char hex[65];
    sv_weights_hash(t, 2, sum);
    sv_sha_hex(sum, hex);
    assert_string_equal(hex, "4016746a04403d8fbebc58ef042c6b7cd153f5548b98614568bb6a80e0d214a4");
}

/* ---- there and back ---- */

static void test_a_folder_through_gguf_has_the_same_bytes(void **state)
{
    (void)state;
    static const char *const json[] = { "config.json", "generation_config.json", "tokenizer_config.json",
                                        "tokenizer.json" };
    for (size_t f = 0; f < 3; f++) {
        const char *source = source_of(families[f]), *gguf = in_dir("m.gguf"), *back = in_dir("back");
        sv_tensors *a = NULL, *b = NULL;
        uint8_t h[3][32];
        convert(source, gguf, SV_DTYPE_COUNT);
        convert(gguf, back, SV_DTYPE_COUNT);
        ok(sv_safetensors_open(source, &a));
        ok(sv_safetensors_open(back, &b));
        assert_same_tensors(a, b);
        sv_tensors_close(a);
        sv_tensors_close(b);
        for (size_t i = 0; i < 4; i++)
            assert_same_json(sv_path_join(arena, source, json[i]), sv_path_join(arena, back, json[i]));
        hash_of(source, h[0]);
        hash_of(gguf, h[1]);
        hash_of(back, h[2]);
        assert_memory_equal(h[0], h[1], 32);
        assert_memory_equal(h[0], h[2], 32);
        ok(sv_file_remove_tree(back));
    }
}

static void test_a_gguf_file_through_a_folder_has_the_same_bytes(void **state)
{
    (void)state;
    for (size_t f = 0; f < 3; f++) {
        const char *first = in_dir("a.gguf"), *second = in_dir("b.gguf"), *folder = in_dir("between");
        sv_gguf *a = NULL, *b = NULL;
        convert(source_of(families[f]), first, SV_DTYPE_COUNT);
        convert(first, folder, SV_DTYPE_COUNT);
        convert(folder, second, SV_DTYPE_COUNT);
        ok(sv_gguf_open(first, &a));
        ok(sv_gguf_open(second, &b));
        assert_same_tensors(a->tensors, b->tensors);
        assert_int_equal(a->n_value, b->n_value);
        sv_gguf_close(a);
        sv_gguf_close(b);
        ok(sv_file_remove_tree(folder));
    }
}

/* A file of block types written again keeps them; its keys stay in their order. */
static void test_a_quantised_file_written_again_is_the_same_file(void **state)
{
    (void)state;
    for (size_t f = 0; f < 3; f++) {
        sv_str a, b;
        convert(source_of(families[f]), in_dir("a.gguf"), SV_DT_Q4_0);
        convert(in_dir("a.gguf"), in_dir("b.gguf"), SV_DTYPE_COUNT);
        convert(in_dir("b.gguf"), in_dir("c.gguf"), SV_DTYPE_COUNT);
        ok(sv_file_read(in_dir("b.gguf"), 1 << 24, arena, &a));
        ok(sv_file_read(in_dir("c.gguf"), 1 << 24, arena, &b));
        assert_true(sv_str_eq(a, b));
        sv_gguf *x = NULL, *y = NULL;
        ok(sv_gguf_open(in_dir("a.gguf"), &x));
        ok(sv_gguf_open(in_dir("b.gguf"), &y));
        assert_same_tensors(x->tensors, y->tensors);
        sv_gguf_close(x);
        sv_gguf_close(y);
    }
}

/* ---- what the file holds ---- */

static void test_llama_rows_are_permuted_and_others_are_not(void **state)
{
    (void)state;
    static const struct {
        const char *family;
        uint32_t d, row[8]; /* GGUF row r holds HF row row[r], as far as given */
    } some[] = { { "llama", 8, { 0, 4, 1, 5, 2, 6, 3, 7 } }, { "qwen2", 8, { 0, 1, 2, 3, 4, 5, 6, 7 } } };
    for (size_t f = 0; f < 2; f++) {
        sv_tensors *hf = NULL;
        sv_gguf *g = NULL;
        convert(source_of(some[f].family), in_dir("m.gguf"), SV_DTYPE_COUNT);
        ok(sv_safetensors_open(source_of(some[f].family), &hf));
        ok(sv_gguf_open(in_dir("m.gguf"), &g));
        const char *names[2][2] = { { "model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight" },
                                    { "model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight" } };
        for (size_t n = 0; n < 2; n++) {
            const sv_named_tensor *a = sv_tensors_find(hf, names[n][0]), *b = sv_tensors_find(g->tensors, names[n][1]);
            uint64_t row = a->bytes / a->dim[0];
            for (uint64_t r = 0; r < a->dim[0]; r++)
                assert_memory_equal(b->data + r * row,
                                    a->data + (r / some[f].d * some[f].d + some[f].row[r % some[f].d]) * row, row);
        }
        sv_gguf_close(g);
        sv_tensors_close(hf);
    }
}

static void test_vectors_are_f32_in_gguf_and_restored(void **state)
{
    (void)state;
    sv_gguf *g = NULL;
    convert(source_of("qwen2"), in_dir("m.gguf"), SV_DTYPE_COUNT);
    ok(sv_gguf_open(in_dir("m.gguf"), &g));
    for (size_t i = 0; i < g->tensors->n; i++)
        assert_int_equal(g->tensors->item[i].dtype, g->tensors->item[i].n_dim == 1 ? SV_DT_F32 : SV_DT_BF16);
    sv_gguf_close(g);
    sv_model *m = open_model(in_dir("m.gguf"));
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        if (m->data[id])
            assert_int_equal(m->shape[id].dtype, m->shape[id].n_dim == 1 ? SV_DT_F32 : SV_DT_BF16);
    sv_model_close(m);
}

static void test_other_programs_keys_are_there(void **state)
{
    (void)state;
    sv_gguf *g = NULL;
    sv_str text = { NULL, 0 };
    uint32_t n = 0;
    double f = 0;
    convert(source_of("llama"), in_dir("m.gguf"), SV_DT_Q8_0);
    ok(sv_gguf_open(in_dir("m.gguf"), &g));
    ok(sv_gguf_text(g, "general.architecture", true, &text));
    assert_true(sv_str_is(text, "llama"));
    ok(sv_gguf_u32(g, "general.file_type", true, &n));
    assert_int_equal(n, 7);
    ok(sv_gguf_u32(g, "general.quantization_version", true, &n));
    assert_int_equal(n, 2);
    ok(sv_gguf_u32(g, "llama.rope.dimension_count", true, &n));
    assert_int_equal(n, 8);
    ok(sv_gguf_f64(g, "llama.rope.freq_base", true, &f));
    assert_true(f == 5e5);
    ok(sv_gguf_text(g, "tokenizer.ggml.pre", true, &text));
    assert_true(sv_str_is(text, "llama-bpe"));
    const sv_gguf_value *tokens = sv_gguf_find(g, "tokenizer.ggml.tokens"),
                        *types = sv_gguf_find(g, "tokenizer.ggml.token_type"),
                        *merges = sv_gguf_find(g, "tokenizer.ggml.merges");
    assert_int_equal(tokens->n, 288);
    assert_int_equal(merges->n, 20);
    assert_true(sv_str_is(tokens->at.s[276], "<|endoftext|>") && types->at.i[276] == 3);
    assert_true(sv_str_is(tokens->at.s[287], "[PAD287]") && types->at.i[287] == 5);
    assert_true(types->at.i[0] == 1 && sv_gguf_find(g, "tokenizer.huggingface.json") != NULL);
    /* llama3's rule as divisors: 1 for short waves, the factor for long ones */
    const sv_named_tensor *d = sv_tensors_find(g->tensors, "rope_freqs.weight");
    assert_int_equal(d->dim[0], 4);
    assert_true(sv_f32_of_bits(sv_load_u32(d->data)) == 1.0f);
    assert_true(sv_f32_of_bits(sv_load_u32(d->data + 12)) == 8.0f);
    sv_gguf_close(g);
    convert(source_of("qwen3"), in_dir("m.gguf"), SV_DTYPE_COUNT);
    ok(sv_gguf_open(in_dir("m.gguf"), &g));
    ok(sv_gguf_text(g, "tokenizer.ggml.pre", true, &text));
    assert_true(sv_str_is(text, "qwen2"));
    ok(sv_gguf_u32(g, "qwen3.attention.key_length", true, &n));
    assert_int_equal(n, 16);
    assert_null(sv_tensors_find(g->tensors, "output.weight"));
    sv_gguf_close(g);
}

static void test_q4_files_hold_embedding_and_head_as_q8(void **state)
{
    (void)state;
    sv_gguf *g = NULL;
    convert(source_of("llama"), in_dir("m.gguf"), SV_DT_Q4_0);
    ok(sv_gguf_open(in_dir("m.gguf"), &g));
    assert_int_equal(sv_tensors_find(g->tensors, "token_embd.weight")->dtype, SV_DT_Q8_0);
    assert_int_equal(sv_tensors_find(g->tensors, "output.weight")->dtype, SV_DT_Q8_0);
    assert_int_equal(sv_tensors_find(g->tensors, "blk.0.attn_q.weight")->dtype, SV_DT_Q4_0);
    sv_gguf_close(g);
}

/* A model whose rows are whole blocks of 256, but for those of the output projection (heads x 64 = 192). */
static sv_model *wide_model(void)
{
    sv_model *m = NULL;
    json_t *j = NULL;
    ok(sv_json_load("test/golden/models/llama/config.json", &sv_json_file_limits, &j));
    json_object_set_new(j, "hidden_size", json_integer(256));
    json_object_set_new(j, "intermediate_size", json_integer(512));
    json_object_set_new(j, "num_attention_heads", json_integer(3));
    json_object_set_new(j, "num_key_value_heads", json_integer(1));
    json_object_set_new(j, "head_dim", json_integer(64));
    ok(sv_model_new(j, sv_str_of(NULL), sv_str_of(NULL), &m));
    json_decref(j);
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        for (uint64_t i = 0; m->data[id] && i < sv_tensor_items(&m->shape[id]); i++)
            sv_model_weight(m, id)[i] = (float)((i * 7919 + id * 104729) % 2001) * 1e-3f - 1.0f;
    return m;
}

static void test_k_files_hold_what_the_rule_says_and_read_back_as_written(void **state)
{
    (void)state;
    static const sv_dtype type[] = { SV_DT_Q4_K, SV_DT_Q5_K, SV_DT_Q6_K };
    for (size_t i = 0; i < 3; i++) {
        sv_gguf *g = NULL, *again = NULL;
        sv_model *m = wide_model();
        ok(sv_model_save_gguf(m, in_dir("m.gguf"), type[i]));
        ok(sv_gguf_open(in_dir("m.gguf"), &g));
        assert_int_equal(sv_tensors_find(g->tensors, "token_embd.weight")->dtype, SV_DT_Q6_K);
        assert_int_equal(sv_tensors_find(g->tensors, "output.weight")->dtype, SV_DT_Q6_K);
        assert_int_equal(sv_tensors_find(g->tensors, "blk.0.attn_q.weight")->dtype, type[i]);
        assert_int_equal(sv_tensors_find(g->tensors, "blk.1.ffn_down.weight")->dtype, type[i]);
        assert_int_equal(sv_tensors_find(g->tensors, "blk.1.attn_output.weight")->dtype, SV_DT_Q8_0);
        const sv_named_tensor *down = sv_tensors_find(g->tensors, "blk.1.ffn_down.weight");
        for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
            if (!m->data[id] || strcmp(sv_weight_name(&m->config, id, true, arena), down->name) != 0)
                continue;
            uint8_t row[2 * 210];
            for (uint32_t r = 0; r < 256; r++) {
                assert_true(sv_kquant_row(type[i], (const float *)m->data[id] + 512 * r, 512, row));
                assert_memory_equal(row, down->data + r * sv_dtype_row_bytes(type[i], 512), down->bytes / 256);
            }
        }
        sv_model_close(m);
        m = open_model(in_dir("m.gguf"));
        assert_int_equal(m->n_dequantised, 0); /* kept packed */
        ok(sv_model_save_gguf(m, in_dir("n.gguf"), SV_DTYPE_COUNT));
        ok(sv_gguf_open(in_dir("n.gguf"), &again));
        assert_same_tensors(g->tensors, again->tensors);
        sv_model_close(m);
        sv_gguf_close(g);
        sv_gguf_close(again);
    }
}

/* ---- quantised models ---- */

static void test_quantised_weights_stay_as_stored_and_widen_when_asked(void **state)
{
    (void)state;
    sv_model *m = NULL, *wide = NULL;
    sv_model_opts opts = { .dequant = true };
    convert(source_of("llama"), in_dir("m.gguf"), SV_DT_Q8_0);
    ok(sv_model_open(in_dir("m.gguf"), NULL, &m));
    ok(sv_model_open(in_dir("m.gguf"), &opts, &wide));
    assert_int_equal(m->n_dequantised, 0);
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        const sv_tensor *s = &m->shape[id];
        if (!m->data[id] || s->n_dim != 2)
            continue;
        assert_int_equal(s->dtype, SV_DT_Q8_0);
        assert_int_equal(wide->shape[id].dtype, SV_DT_F32);
        float *row = malloc(s->dim[1] * sizeof *row);
        for (uint32_t r = 0; r < s->dim[0]; r++) {
            uint64_t bytes = sv_dtype_row_bytes(SV_DT_Q8_0, s->dim[1]);
            assert_true(sv_dtype_dequant_row(SV_DT_Q8_0, (const uint8_t *)m->data[id] + r * bytes, s->dim[1], row));
            assert_memory_equal(row, (const float *)wide->data[id] + (size_t)r * s->dim[1], s->dim[1] * sizeof *row);
        }
        free(row);
    }
    uint8_t a[32], b[32];
    sv_model_weights_hash(m, a);
    sv_model_weights_hash(wide, b);
    assert_memory_equal(a, b, 32); /* the hash is over what is stored */
    /* a folder cannot say Q8_0: F32 of the same values */
    ok(sv_model_save(m, in_dir("folder"), NULL, SV_DTYPE_COUNT));
    sv_model_close(m);
    m = open_model(in_dir("folder"));
    assert_int_equal(m->shape[0].dtype, SV_DT_F32);
    assert_memory_equal(m->data[0], wide->data[0], sv_tensor_items(&m->shape[0]) * sizeof(float));
    sv_model_close(m);
    sv_model_close(wide);
    ok(sv_file_remove_tree(in_dir("folder")));
}

/* A GGUF file with one matrix of another type in place of its own. */
static void write_with(const char *from, const char *to, const char *name, sv_dtype dtype, const uint8_t *data)
{
    sv_gguf *g = NULL;
    ok(sv_gguf_open(from, &g));
    sv_named_tensor *t = calloc(g->tensors->n, sizeof *t);
    memcpy(t, g->tensors->item, g->tensors->n * sizeof *t);
    for (size_t i = 0; i < g->tensors->n; i++)
        if (strcmp(t[i].name, name) == 0) {
            t[i].dtype = dtype;
            t[i].data = data;
            t[i].bytes = t[i].dim[0] * sv_dtype_row_bytes(dtype, t[i].dim[1]);
        }
    ok(sv_gguf_write(to, g->value, g->n_value, t, g->tensors->n, 0));
    free(t);
    sv_gguf_close(g);
}

static void test_a_type_without_a_kernel_is_widened_and_kept_on_saving(void **state)
{
    (void)state;
    static uint8_t block[32 * 4 * 22];
    sv_gguf *g = NULL;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = i % 22 < 2 ? (uint8_t)(i % 22 ? 0x2c : 0x00) : (uint8_t)(37 * i + 11); /* d = 0.0625 */
    convert(source_of("llama"), in_dir("m.gguf"), SV_DTYPE_COUNT);
    write_with(in_dir("m.gguf"), in_dir("q.gguf"), "blk.0.attn_q.weight", SV_DT_Q5_0, block);
    sv_model *m = open_model(in_dir("q.gguf"));
    assert_int_equal(m->n_dequantised, 1);
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        if (m->data[id] && strcmp(sv_weight_name(&m->config, id, true, arena), "blk.0.attn_q.weight") == 0) {
            float row[32];
            assert_int_equal(m->shape[id].dtype, SV_DT_F32);
            assert_true(sv_dtype_dequant_row(SV_DT_Q5_0, block + 22, 32, row)); /* GGUF row 1 is HF row 4 */
            assert_memory_equal((const float *)m->data[id] + 4 * 32, row, sizeof row);
        }
    ok(sv_model_save_gguf(m, in_dir("again.gguf"), SV_DTYPE_COUNT));
    sv_model_close(m);
    ok(sv_gguf_open(in_dir("again.gguf"), &g));
    const sv_named_tensor *t = sv_tensors_find(g->tensors, "blk.0.attn_q.weight");
    assert_int_equal(t->dtype, SV_DT_Q5_0);
    assert_memory_equal(t->data, block, t->bytes);
    sv_gguf_close(g);
    sv_store_u16(block + 22, 0x7c00);
    write_with(in_dir("m.gguf"), in_dir("q.gguf"), "blk.0.attn_q.weight", SV_DT_Q5_0, block);
    assert_int_equal(sv_model_open(in_dir("q.gguf"), NULL, &m), SV_E_FORMAT);
    assert_says("block 1");
}

/* ---- files without our keys, and damaged ones ---- */

/* Copies m.gguf to n.gguf without keys that start with a prefix. */
static void without(const char *prefix)
{
    sv_gguf *g = NULL;
    size_t n = 0;
    ok(sv_gguf_open(in_dir("m.gguf"), &g));
    sv_gguf_value *v = calloc(g->n_value, sizeof *v);
    for (size_t i = 0; i < g->n_value; i++)
        if (strncmp(g->value[i].key, prefix, strlen(prefix)) != 0)
            v[n++] = g->value[i];
    assert_true(n < g->n_value);
    ok(sv_gguf_write(in_dir("n.gguf"), v, n, g->tensors->item, g->tensors->n, 0));
    free(v);
    sv_gguf_close(g);
}

static void test_keys_alone_make_the_same_config(void **state)
{
    (void)state;
    for (size_t f = 0; f < 3; f++) {
        convert(source_of(families[f]), in_dir("m.gguf"), SV_DTYPE_COUNT);
        without("samsvar.");
        sv_model *a = open_model(in_dir("m.gguf")), *b = open_model(in_dir("n.gguf"));
        sv_config c = b->config;
        bool llama = strcmp(families[f], "llama") == 0;
        assert_int_equal(c.scaling, llama ? SV_ROPE_FACTORS : SV_ROPE_PLAIN);
        /* the divisors give llama3's table but for the last bits */
        float *x = malloc(64 * c.d_head * sizeof *x), *y = malloc(64 * c.d_head * sizeof *y);
        sv_rope_table(&a->config, 64, x);
        sv_rope_table(&c, 64, y);
        for (uint32_t i = 0; i < 64 * c.d_head; i++)
            assert_true(fabsf(x[i] - y[i]) <= 1e-5f);
        free(x);
        free(y);
        c.scaling = a->config.scaling;
        c.rope_factor = a->config.rope_factor;
        c.rope_low = a->config.rope_low;
        c.rope_high = a->config.rope_high;
        c.rope_ctx = a->config.rope_ctx;
        c.rope_divisor = NULL;
        c.n_eos = a->config.n_eos; /* GGUF names one */
        memcpy(c.eos, a->config.eos, sizeof c.eos);
        assert_memory_equal(&c, &a->config, sizeof c);
        assert_string_equal(b->eos_token, "<|im_end|>");
        assert_int_equal(b->add_bos, llama);
        assert_non_null(b->chat_template);
        /* and a folder of it opens with the same table */
        ok(sv_model_save(b, in_dir("folder"), NULL, SV_DTYPE_COUNT));
        sv_model_close(a);
        a = open_model(in_dir("folder"));
        assert_int_equal(a->config.scaling, b->config.scaling);
        if (llama)
            assert_memory_equal(a->config.rope_divisor, b->config.rope_divisor, c.d_head / 2 * sizeof(float));
        assert_non_null(a->chat_template);
        ok(sv_model_need_tokenizer(a));
        sv_model_close(a);
        sv_model_close(b);
        ok(sv_file_remove_tree(in_dir("folder")));
    }
}

static void test_the_arrays_alone_make_the_same_tokenizer(void **state)
{
    (void)state;
    for (size_t f = 0; f < 3; f++) {
        convert(source_of(families[f]), in_dir("m.gguf"), SV_DTYPE_COUNT);
        without("tokenizer.huggingface");
        sv_model *a = open_model(in_dir("m.gguf")), *b = open_model(in_dir("n.gguf"));
        sv_ids x = { 0 }, y = { 0 };
        sv_str text = SV_STR("The sum of 12345 and two's other\n\n  thing is <|im_end|>\xc3\xa9");
        ok(sv_tokenizer_encode_plain(a->tokenizer, text, true, &x));
        ok(sv_tokenizer_encode_plain(b->tokenizer, text, true, &y));
        assert_int_equal(x.n, y.n);
        assert_memory_equal(x.id, y.id, x.n * sizeof *x.id);
        sv_ids_done(&x);
        sv_ids_done(&y);
        sv_model_close(a);
        sv_model_close(b);
    }
}

static void test_a_missing_key_is_named(void **state)
{
    (void)state;
    sv_model *m = NULL;
    convert(source_of("qwen3"), in_dir("m.gguf"), SV_DTYPE_COUNT);
    static const char *const keys[] = { "general.architecture", "qwen3.block_count", "qwen3.embedding_length",
                                        "qwen3.attention.layer_norm_rms_epsilon" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        without(keys[i]);
        assert_int_equal(sv_model_open(in_dir("n.gguf"), NULL, &m), SV_E_FORMAT);
        assert_says(keys[i]);
    }
    without("tokenizer.");
    ok(sv_model_open(in_dir("n.gguf"), NULL, &m));
    assert_int_equal(sv_model_need_tokenizer(m), SV_E_NOTFOUND);
    assert_says("tokenizer.ggml.model");
    sv_model_close(m);
}

static void test_a_value_that_a_type_cannot_hold_is_refused(void **state)
{
    (void)state;
    sv_model *m = NULL;
    json_t *j = NULL;
    ok(sv_json_load("test/golden/models/qwen3/config.json", &sv_json_file_limits, &j));
    ok(sv_model_new(j, sv_str_of(NULL), sv_str_of(NULL), &m));
    sv_model_weight(m, 0)[5 * 32] = 1e30f;
    assert_int_equal(sv_model_save_gguf(m, in_dir("x.gguf"), SV_DT_F16), SV_E_DTYPE);
    assert_says("token_embd.weight: row 5");
    assert_int_equal(sv_model_save(m, in_dir("x"), NULL, SV_DT_F16), SV_E_DTYPE);
    assert_says("model.embed_tokens.weight: row 5");
    assert_int_equal(sv_model_save(m, in_dir("x"), NULL, SV_DT_Q8_0), SV_E_ARG);
    sv_model_close(m);
    json_decref(j);
}

/* ---- a real file, when there is one ---- */

static void test_smollm2_opens_fast_and_as_designed(void **state)
{
    (void)state;
    const char *path = getenv("SAMSVAR_TEST_GGUF");
    if (!path)
        skip();
    uint64_t start = sv_clock_ns();
    sv_model *m = open_model(path);
    uint64_t ms = (sv_clock_ns() - start) / 1000000;
    printf("             opened in %llu ms\n", (unsigned long long)ms);
    const sv_config *c = &m->config;
    assert_string_equal(c->family->model_type, "llama");
    assert_true(c->n_layer == 30 && c->d_model == 576 && c->n_head == 9 && c->n_kv_head == 3 && c->d_head == 64);
    assert_true(c->d_ff == 1536 && c->n_ctx == 8192 && c->theta == 1e5 && c->eps == 1e-5f && c->n_vocab == 49152);
    assert_true(c->is_tied && c->bos == 1 && c->pad == 2 && c->n_eos == 1 && c->eos[0] == 2 && !m->add_bos);
    assert_int_equal(sv_tokenizer_count(m->tokenizer), 49152);
    assert_non_null(m->chat_template);
    assert_int_equal(m->n_dequantised, 0);
    assert_int_equal(m->shape[0].dtype, SV_DT_Q8_0);
    float w[64];
    assert_true(sv_dtype_dequant_row(SV_DT_Q8_0, m->data[0], 32, w));
    assert_true(fabsf(w[0] - -0.10654449f) < 1e-7f && fabsf(w[1] - 0.03297806f) < 1e-7f);
    for (uint32_t id = 0; id < c->family->n_weight; id++)
        if (strcmp(c->family->weight[id].gguf, "blk.%u.attn_k.weight") == 0) {
            assert_int_equal(m->shape[id].dtype, SV_DT_Q4_1);
            assert_true(sv_dtype_dequant_row(SV_DT_Q4_1, m->data[id], 32, w)); /* row 0 stays row 0 */
            assert_true(fabsf(w[0] - -0.15527344f) < 1e-7f && fabsf(w[1] - 0.34020996f) < 1e-7f);
        }
    /* written again: the same tensors, and every key as it was */
    sv_gguf *a = NULL, *b = NULL;
    ok(sv_model_save_gguf(m, in_dir("smol.gguf"), SV_DTYPE_COUNT));
    ok(sv_gguf_open(path, &a));
    ok(sv_gguf_open(in_dir("smol.gguf"), &b));
    assert_same_tensors(a->tensors, b->tensors);
    for (size_t i = 0; i < a->n_value; i++)
        assert_non_null(sv_gguf_find(b, a->value[i].key));
    sv_gguf_close(a);
    sv_gguf_close(b);
    uint8_t x[32], y[32];
    sv_model_weights_hash(m, x);
    hash_of(in_dir("smol.gguf"), y);
    assert_memory_equal(x, y, 32);
    sv_model_close(m);
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
        cmocka_unit_test(test_the_identity_of_weights_is_the_recorded_one),
        cmocka_unit_test(test_a_folder_through_gguf_has_the_same_bytes),
        cmocka_unit_test(test_a_gguf_file_through_a_folder_has_the_same_bytes),
        cmocka_unit_test(test_a_quantised_file_written_again_is_the_same_file),
        cmocka_unit_test(test_llama_rows_are_permuted_and_others_are_not),
        cmocka_unit_test(test_vectors_are_f32_in_gguf_and_restored),
        cmocka_unit_test(test_other_programs_keys_are_there),
        cmocka_unit_test(test_q4_files_hold_embedding_and_head_as_q8),
        cmocka_unit_test(test_k_files_hold_what_the_rule_says_and_read_back_as_written),
        cmocka_unit_test(test_quantised_weights_stay_as_stored_and_widen_when_asked),
        cmocka_unit_test(test_a_type_without_a_kernel_is_widened_and_kept_on_saving),
        cmocka_unit_test(test_keys_alone_make_the_same_config),
        cmocka_unit_test(test_the_arrays_alone_make_the_same_tokenizer),
        cmocka_unit_test(test_a_missing_key_is_named),
        cmocka_unit_test(test_a_value_that_a_type_cannot_hold_is_refused),
        cmocka_unit_test(test_smollm2_opens_fast_and_as_designed),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
