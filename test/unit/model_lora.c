/* SPDX-License-Identifier: Apache-2.0
 * Claims about adapters as files: what is written is read back bit for bit, in PEFT's names, and what is not an adapter
 * of this base is refused with a sentence that says why.
 */
#include "test/law_model.h"

#include <unistd.h>

#include "base/file.h"
#include "format/safetensors.h"

static char folder[] = "/tmp/samsvar-adapter-XXXXXX";
static sv_model *model;

#define CONFIG "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, \"target_modules\": [\"q_proj\"]"
#define Q "base_model.model.model.layers.0.self_attn.q_proj."

static const char *at(const char *name)
{
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    model = law_model("qwen3", -1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sv_model_close(model);
    law_ok(sv_file_remove_tree(folder));
    return 0;
}

static sv_lora *new_adapter(uint32_t rank, const char *targets)
{
    sv_lora_spec spec = { .rank = rank, .alpha = 3, .targets = targets };
    sv_lora *l;
    law_ok(sv_lora_new(&model->config, &spec, &l));
    return l;
}

static void write_config(const char *body)
{
    char text[2000];
    int n = snprintf(text, sizeof text, "{%s}", body);
    law_ok(sv_file_mkdir(at("x")));
    law_ok(sv_file_write(at("x/adapter_config.json"), (sv_str){ text, (size_t)n }));
}

static void write_tensors(const char *a_name, uint64_t a0, uint64_t a1, const char *b_name, uint64_t b0, uint64_t b1)
{
    static float zero[8192];
    sv_named_tensor item[2] = {
        { .name = a_name, .n_dim = 2, .dim = { a0, a1 }, .data = (const uint8_t *)zero, .bytes = 4 * a0 * a1 },
        { .name = b_name, .n_dim = 2, .dim = { b0, b1 }, .data = (const uint8_t *)zero, .bytes = 4 * b0 * b1 },
    };
    item[0].dtype = item[1].dtype = SV_DT_F32;
    law_ok(sv_safetensors_write(at("x"), "adapter_model", item, b_name ? 2 : 1, 0));
}

static void refused(sv_err code, const char *words)
{
    sv_lora *l;
    sv_err e = sv_lora_open(at("x"), &model->config, &l);
    if (e != code || strstr(sv_err_text(), words) == NULL)
        fail_msg("%s: '%s'; expected %s and '%s'", sv_err_name(e), e ? sv_err_text() : "", sv_err_name(code), words);
}

static void test_what_is_saved_is_read_back_bit_for_bit(void **state)
{
    (void)state;
    sv_lora *l = new_adapter(3, "q_proj, mlp.up_proj"), *back;
    l->base = "some/base";
    uint8_t hash[2][32];
    for (uint64_t i = 0; i < l->n_param; i++)
        l->part[2].a[i] = sv_philox_uniform(sv_philox_at(1, SV_STREAM_TEST, 4, 0, (uint32_t)i).w[0]) - 0.5f;
    l->part[2].alpha = 7; /* one part of its own */
    law_ok(sv_lora_save(l, &model->config, at("saved")));
    law_ok(sv_lora_open(at("saved"), &model->config, &back));
    assert_int_equal(back->n_param, l->n_param);
    assert_memory_equal(back->part[2].a, l->part[2].a, l->n_param * sizeof(float));
    assert_true(back->part[2].scale == (float)(7.0 / 3.0) && back->part[2].rank == 3);
    assert_string_equal(back->base, "some/base");
    sv_lora_hash(l, &model->config, hash[0]);
    sv_lora_hash(back, &model->config, hash[1]);
    assert_memory_equal(hash[0], hash[1], 32);
    sv_lora_close(back);
    sv_lora_close(l);
}

static void test_tensors_have_the_names_of_peft(void **state)
{
    (void)state;
    sv_lora *l = new_adapter(2, "q_proj");
    sv_tensors *t;
    law_ok(sv_lora_save(l, &model->config, at("names")));
    law_ok(sv_safetensors_open(at("names/adapter_model.safetensors"), &t));
    assert_int_equal(t->n, 4);
    const sv_named_tensor *a = sv_tensors_find(t, Q "lora_A.weight"), *b = sv_tensors_find(t, Q "lora_B.weight");
    assert_true(a && a->dim[0] == 2 && a->dim[1] == 64 && b && b->dim[0] == 128 && b->dim[1] == 2);
    sv_tensors_close(t);
    sv_lora_close(l);
}

static void test_all_means_the_linear_weights_of_the_layers(void **state)
{
    (void)state;
    sv_lora *l = new_adapter(2, "all"), *head = new_adapter(2, "lm_head");
    uint32_t n = 0, n_head = 0;
    for (uint32_t id = 0; id < l->n_id; id++) {
        n += l->part[id].rank > 0;
        n_head += head->part[id].rank > 0;
    }
    assert_int_equal(n, 2 * 7);
    assert_int_equal(n_head, 1);
    sv_lora_close(l);
    sv_lora_close(head);
}

static void test_a_target_that_is_not_there_is_refused(void **state)
{
    (void)state;
    sv_lora_spec spec = { .rank = 2, .alpha = 2, .targets = "q_proj,qproj" };
    sv_lora *l;
    assert_int_equal(sv_lora_new(&model->config, &spec, &l), SV_E_ARG);
    assert_non_null(strstr(sv_err_text(), "'qproj' names no linear weight of a qwen3 model (did you mean 'q_proj'?)"));
    spec.targets = "embed_tokens";
    assert_int_equal(sv_lora_new(&model->config, &spec, &l), SV_E_ARG);
    spec = (sv_lora_spec){ .rank = 0, .targets = "all" };
    assert_int_equal(sv_lora_new(&model->config, &spec, &l), SV_E_ARG);
    assert_non_null(strstr(sv_err_text(), "rank 0"));
}

static void test_files_that_are_no_adapter_of_this_base_are_refused(void **state)
{
    (void)state;
    law_ok(sv_file_mkdir(at("x")));
    refused(SV_E_NOTFOUND, "no adapter_config.json");
    write_config(CONFIG);
    refused(SV_E_NOTFOUND, "adapter_model.safetensors");
    write_tensors(Q "lora_A.weight", 2, 64, NULL, 0, 0);
    refused(SV_E_FORMAT, "has lora_A, but no lora_B");
    write_tensors(Q "lora_A.weight", 2, 32, Q "lora_B.weight", 128, 2);
    refused(SV_E_SHAPE, "has shape [2, 32], expected [2, 64]; the adapter was made for another model");
    write_tensors(Q "lora_A.weight", 4, 64, Q "lora_B.weight", 128, 4);
    refused(SV_E_SHAPE, "has 4 rows");
    write_tensors("base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight", 2, 64, Q "lora_B.weight", 128, 2);
    refused(SV_E_FORMAT, "has lora_B, but no lora_A");
    write_tensors("base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight", 2, 64,
                  "base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight", 128, 2);
    refused(SV_E_FORMAT, "belongs to another base");
    write_tensors(Q "lora_A.weight", 2, 64, Q "lora_B.weight", 128, 2);
    static const struct {
        const char *config, *words;
        sv_err code;
    } row[] = {
        { "\"peft_type\": \"LORA\", \"r\": 0", "r is 0", SV_E_FORMAT },
        { "\"peft_type\": \"IA3\", \"r\": 2", "peft_type is IA3", SV_E_UNSUPPORTED },
        { CONFIG ", \"use_dora\": true", "use_dora is set", SV_E_UNSUPPORTED },
        { CONFIG ", \"bias\": \"all\"", "bias is all", SV_E_UNSUPPORTED },
        { CONFIG ", \"modules_to_save\": [\"lm_head\"]", "modules_to_save is set", SV_E_UNSUPPORTED },
        { CONFIG ", \"init_lora_weights\": \"pissa_niter_4\"", "leaves its base's weights", SV_E_UNSUPPORTED },
        { CONFIG ", \"rank_pattern\": {\".*q_proj\": 3}", "not expressions", SV_E_UNSUPPORTED },
        { CONFIG ", \"rank_pattern\": {\"q_proj\": 3}", "says rank 3", SV_E_SHAPE },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_config(row[i].config);
        refused(row[i].code, row[i].words);
    }
    write_config(CONFIG ", \"modules_to_save\": null, \"rank_pattern\": {}, \"use_rslora\": true");
    sv_lora *l;
    law_ok(sv_lora_open(at("x"), &model->config, &l));
    assert_true(l->part[2].scale == (float)(4.0 / __builtin_sqrt(2.0)));
    sv_lora_close(l);
}

static void test_another_base_of_the_same_shape_is_told_by_its_hash(void **state)
{
    (void)state;
    write_config(CONFIG);
    write_tensors(Q "lora_A.default.weight", 2, 64, Q "lora_B.default.weight", 128, 2);
    law_ok(sv_model_attach(model, at("x")));
    model->lora = NULL;
    static const char ours[] = "{\"base_weights_sha256\": "
                               "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}";
    law_ok(sv_file_write(at("x/samsvar_adapter.json"), sv_str_of(ours)));
    assert_int_equal(sv_model_attach(model, at("x")), SV_E_ARG);
    assert_non_null(strstr(sv_err_text(), "SHA-256 0123456789abcdef..."));
    assert_null(model->lora);
}

/* W + s (B A): a chain over the rank, one fma. */
static void test_merging_keeps_its_law(void **state)
{
    (void)state;
    sv_model *m = law_model("llama", -1);
    sv_lora *l = new_adapter(3, "o_proj");
    sv_lora_close(l);
    sv_lora_spec spec = { .rank = 3, .alpha = 2, .targets = "down_proj" };
    law_ok(sv_lora_new(&m->config, &spec, &l));
    uint32_t id = 0;
    while (l->part[id].rank == 0)
        id++;
    sv_tensor w = sv_weight_shape(&m->config, id);
    uint32_t out = w.dim[0], in = w.dim[1];
    float *before = malloc(4 * (size_t)out * in), *now;
    memcpy(before, m->data[id], 4 * (size_t)out * in);
    const sv_lora_part *p = &l->part[id];
    for (uint32_t i = 0; i < 3 * in; i++)
        p->a[i] = 0.01f * (float)(i % 97);
    for (uint32_t i = 0; i < 3 * out; i++)
        p->b[i] = 0.03f * (float)(i % 89) - 1.0f;
    m->lora = l;
    law_ok(sv_model_merge(m));
    now = (float *)(uintptr_t)m->data[id];
    for (uint32_t o = 0; o < out; o++)
        for (uint32_t i = 0; i < in; i++) {
            float s = 0.0f;
            for (uint32_t j = 0; j < 3; j++)
                s = __builtin_fmaf(p->b[o * 3 + j], p->a[j * in + i], s);
            assert_true(sv_bits_same(now[o * in + i], __builtin_fmaf((float)(2.0 / 3.0), s, before[o * in + i])));
        }
    free(before);
    sv_lora_close(l);
    sv_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_saved_is_read_back_bit_for_bit),
        cmocka_unit_test(test_tensors_have_the_names_of_peft),
        cmocka_unit_test(test_all_means_the_linear_weights_of_the_layers),
        cmocka_unit_test(test_a_target_that_is_not_there_is_refused),
        cmocka_unit_test(test_files_that_are_no_adapter_of_this_base_are_refused),
        cmocka_unit_test(test_another_base_of_the_same_shape_is_told_by_its_hash),
        cmocka_unit_test(test_merging_keeps_its_law),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
