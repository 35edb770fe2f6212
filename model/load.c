/* SPDX-License-Identifier: Apache-2.0
 * Opening, making and closing models; Hugging Face folders, of which checkpoints are one kind.
 */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "format/safetensors.h"
#include "model/load_impl.h"

#define MAX_TOKENIZER_BYTES ((size_t)128 << 20)
#define MAX_TEMPLATE_BYTES ((size_t)1 << 20)

/* ---- what a model owns ---- */

static void drop_json(void *j)
{
    json_decref(j);
}

static void drop_tokenizer(void *t)
{
    sv_tokenizer_drop(t);
}

static void drop_tensors(void *t)
{
    sv_tensors_close(t);
}

typedef struct block {
    void *p;
    size_t bytes;
} block;

static void drop_block(void *arg)
{
    block *b = arg;
    sv_mem_large_free(b->p, b->bytes);
}

sv_model_own *sv_model_own_make(const char *path, const char *kind, const sv_model_opts *opts)
{
    sv_arena *a = sv_arena_make();
    sv_model_own *o = SV_NEW(a, sv_model_own);
    o->m.arena = a;
    o->m.path = sv_arena_text(a, path);
    o->m.kind = kind;
    o->m.config.bos = o->m.config.pad = -1;
    o->m.defaults = (sv_gen_defaults){ -1, -1, -1, -1, -1 };
    if (opts)
        o->opts = *opts;
    o->opts.dequant = o->opts.dequant || o->opts.adapter != NULL;
    return o;
}

json_t *sv_model_keep_json(sv_model_own *o, json_t *j)
{
    if (j)
        sv_arena_defer(o->m.arena, drop_json, j);
    return j;
}

sv_err sv_model_block(sv_arena *a, uint64_t bytes, const char *what, void **out)
{
    block *b = SV_NEW(a, block);
    b->bytes = bytes ? bytes : 1;
    SV_TRY(sv_mem_large(b->bytes, what, &b->p));
    sv_arena_defer(a, drop_block, b);
    *out = b->p;
    return SV_OK;
}

void sv_model_close(sv_model *m)
{
    if (m)
        sv_arena_drop(m->arena);
}

/* ---- folder ---- */

static sv_err no_config(const sv_model_own *o)
{
    char **name;
    size_t n;
    if (sv_lora_is_folder(o->m.path))
        return sv_fail(SV_E_ARG, "%s: an adapter, not a model; name its base, and this folder with --adapter",
                       o->m.path);
    SV_TRY(sv_file_list(o->m.path, o->m.arena, &name, &n));
    for (size_t i = 0; i < n; i++)
        if (sv_str_ends(sv_str_of(name[i]), ".gguf"))
            return sv_fail(SV_E_NOTFOUND, "%s: no config.json, so it is no model folder; it holds %s, name that file",
                           o->m.path, sv_str_quote(sv_str_of(name[i])));
    return sv_fail(
        SV_E_NOTFOUND,
        "%s: no config.json; a model folder has config.json, model.safetensors (or its shards and index) and "
        "tokenizer.json",
        o->m.path);
}

/* A JSON file of the folder; NULL when it is missing and may be. */
static sv_err load_json(sv_model_own *o, const char *name, json_t **out)
{
    json_t *j = NULL;
    const char *path = sv_path_join(o->m.arena, o->m.path, name);
    *out = NULL;
    if (!sv_file_exists(path))
        return SV_OK;
    SV_TRY(sv_json_load(path, &sv_json_file_limits, &j));
    *out = sv_model_keep_json(o, j);
    if (!json_is_object(j))
        return sv_fail(SV_E_FORMAT, "%s: not a JSON object", path);
    return SV_OK;
}

static sv_err load_tokenizer(sv_model_own *o, sv_tokenizer_job *job)
{
    const char *path = sv_path_join(o->m.arena, o->m.path, "tokenizer.json");
    if (o->opts.no_tokenizer)
        return SV_OK;
    if (!sv_file_exists(path)) {
        bool old = sv_file_exists(sv_path_join(o->m.arena, o->m.path, "vocab.json")) ||
                   sv_file_exists(sv_path_join(o->m.arena, o->m.path, "tokenizer.model"));
        o->no_tokenizer_text = sv_arena_printf(
            o->m.arena, "%s is missing, so this model reads and writes no text%s", path,
            old ? "; the folder has a tokenizer in an older form, let transformers save it as tokenizer.json"
                : "; copy the tokenizer.json of the model it was trained from");
        return SV_OK;
    }
    job->arena = sv_arena_make();
    job->name = job->json_name = path;
    SV_TRY(sv_file_read(path, MAX_TOKENIZER_BYTES, job->arena, &job->json));
    sv_tokenizer_job_start(job);
    return SV_OK;
}

/* special_tokens_map.json fills what tokenizer_config.json does not say. */
static sv_err load_tokenizer_config(sv_model_own *o)
{
    static const char *const keys[] = { "bos_token", "eos_token", "pad_token" };
    json_t *map;
    const char *where = sv_path_join(o->m.arena, o->m.path, "tokenizer_config.json");
    SV_TRY(load_json(o, "tokenizer_config.json", &o->m.hf_tokenizer_config));
    SV_TRY(load_json(o, "special_tokens_map.json", &map));
    if (map && !o->m.hf_tokenizer_config)
        o->m.hf_tokenizer_config = sv_model_keep_json(o, json_object());
    for (size_t i = 0; map && i < sizeof keys / sizeof *keys; i++)
        if (!json_object_get(o->m.hf_tokenizer_config, keys[i]) && sv_json_get(map, keys[i]))
            json_object_set(o->m.hf_tokenizer_config, keys[i], sv_json_get(map, keys[i]));
    return sv_model_read_special_tokens(o, where);
}

static sv_err load_template(sv_model_own *o)
{
    const char *path = sv_path_join(o->m.arena, o->m.path, "chat_template.jinja");
    json_t *wrapped;
    sv_str text = { NULL, 0 };
    if (o->opts.chat_template)
        return sv_model_replace_template(o);
    if (sv_file_exists(path)) {
        SV_TRY(sv_file_read(path, MAX_TEMPLATE_BYTES, o->m.arena, &text));
        sv_model_set_template(o, text, path);
        return SV_OK;
    }
    SV_TRY(load_json(o, "chat_template.json", &wrapped));
    text = sv_template_of_config(wrapped);
    if (!text.p) {
        text = sv_template_of_config(o->m.hf_tokenizer_config);
        o->template_is_in_config = text.p != NULL;
    }
    sv_model_set_template(o, text, o->template_is_in_config ? "tokenizer_config.json" : "chat_template.json");
    return SV_OK;
}

static sv_err load_weights(sv_model_own *o)
{
    sv_tensors *t;
    SV_TRY(sv_safetensors_open(o->m.path, &t));
    sv_arena_defer(o->m.arena, drop_tensors, t);
    return sv_model_bind(o, t, NULL);
}

sv_err sv_model_open_folder(sv_model_own *o)
{
    const char *where = sv_path_join(o->m.arena, o->m.path, "config.json");
    SV_TRY(load_json(o, "config.json", &o->m.hf_config));
    if (!o->m.hf_config)
        return no_config(o);
    SV_TRY(sv_config_read(o->m.hf_config, where, &o->m.config));
    SV_TRY(sv_config_divisors(o->m.hf_config, &o->m.config, where, o->m.arena, &o->m.config.rope_divisor));
    SV_TRY(load_json(o, "generation_config.json", &o->m.hf_generation));
    SV_TRY(sv_model_read_generation(o, sv_path_join(o->m.arena, o->m.path, "generation_config.json")));
    sv_tokenizer_job job = { 0 };
    sv_err e = load_tokenizer(o, &job);
    if (e == SV_OK)
        e = load_weights(o);
    SV_TRY(sv_tokenizer_job_end(&job, o));
    SV_TRY(e);
    SV_TRY(load_tokenizer_config(o));
    return load_template(o);
}

/* ---- opening ---- */

sv_err sv_model_open(const char *path, const sv_model_opts *opts, sv_model **out)
{
    bool folder = sv_file_is_dir(path);
    *out = NULL;
    if (!folder && !sv_file_exists(path))
        return sv_fail(SV_E_NOTFOUND, "%s: no such folder or file; a model is a Hugging Face folder or a .gguf file",
                       path);
    if (!folder && sv_str_ends(sv_str_of(path), ".safetensors"))
        return sv_fail(SV_E_ARG, "%s: weights alone are no model; name the folder that also has its config.json", path);
    sv_model_own *o = sv_model_own_make(path, folder ? "folder" : "gguf", opts);
    sv_err e = folder ? sv_model_open_folder(o) : sv_model_open_gguf(o);
    if (e == SV_OK && o->opts.adapter != NULL)
        e = sv_model_attach(&o->m, o->opts.adapter);
    if (e != SV_OK) {
        sv_model_close(&o->m);
        return e;
    }
    if (o->opts.no_tokenizer)
        o->no_tokenizer_text = "the model was opened for its weights alone, without a tokenizer";
    *out = &o->m;
    return SV_OK;
}

sv_err sv_model_need_tokenizer(const sv_model *m)
{
    const sv_model_own *o = sv_model_own_of(m);
    if (m->tokenizer)
        return SV_OK;
    return sv_fail(SV_E_NOTFOUND, "%s: %s", m->path,
                   o->no_tokenizer_text ? o->no_tokenizer_text : "the model has no tokenizer");
}

uint64_t sv_model_params(const sv_model *m)
{
    uint64_t n = 0;
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        n += m->data[id] ? sv_tensor_items(&m->shape[id]) : 0;
    return n;
}

/* ---- new models ---- */

/* One block of zeros for all weights, each at a multiple of 64 bytes. */
static sv_err make_weights(sv_model_own *o)
{
    const sv_config *c = &o->m.config;
    uint32_t n = sv_weight_ids(c);
    uint64_t total = 0;
    void *p;
    o->m.shape = SV_NEW_N(o->m.arena, sv_tensor, n);
    o->m.data = SV_NEW_N(o->m.arena, const void *, n);
    o->stored = SV_NEW_N(o->m.arena, sv_stored, n);
    for (uint32_t id = 0; id < n; id++) {
        if (!sv_weight_exists(c, id))
            continue;
        o->m.shape[id] = sv_weight_shape(c, id);
        if (!sv_weight_is_alias(c, id))
            total += (sv_tensor_items(&o->m.shape[id]) * sizeof(float) + 63) / 64 * 64;
    }
    SV_TRY(sv_model_block(o->m.arena, total, "weights of a new model", &p));
    memset(p, 0, total);
    for (uint32_t id = 0; id < n; id++) {
        if (!sv_weight_exists(c, id) || sv_weight_is_alias(c, id))
            continue;
        uint64_t bytes = sv_tensor_items(&o->m.shape[id]) * sizeof(float);
        o->m.data[id] = p;
        o->stored[id] = (sv_stored){ SV_DT_F32, p, bytes };
        p = (uint8_t *)p + (bytes + 63) / 64 * 64;
    }
    o->is_writable = true;
    return SV_OK;
}

static sv_err make_new(sv_model_own *o, const json_t *config, sv_str tokenizer_json, sv_str tokenizer_config)
{
    json_t *j = NULL;
    o->m.hf_config = sv_model_keep_json(o, json_deep_copy(config));
    SV_TRY(sv_config_read(o->m.hf_config, "config", &o->m.config));
    SV_TRY(sv_config_divisors(o->m.hf_config, &o->m.config, "config", o->m.arena, &o->m.config.rope_divisor));
    if (tokenizer_json.n > 0) {
        SV_TRY(sv_tokenizer_from_json(tokenizer_json, "tokenizer.json", &o->m.tokenizer));
        sv_arena_defer(o->m.arena, drop_tokenizer, o->m.tokenizer);
        SV_TRY(sv_model_check_vocab(o, "tokenizer.json"));
    }
    o->no_tokenizer_text = "the new model was made without a tokenizer.json";
    if (tokenizer_config.n > 0) {
        SV_TRY(sv_json_parse(tokenizer_config, &sv_json_file_limits, "tokenizer_config.json", &j));
        o->m.hf_tokenizer_config = sv_model_keep_json(o, j);
    }
    SV_TRY(sv_model_read_special_tokens(o, "tokenizer_config.json"));
    sv_str text = sv_template_of_config(o->m.hf_tokenizer_config);
    o->template_is_in_config = text.p != NULL;
    sv_model_set_template(o, text, "tokenizer_config.json");
    return make_weights(o);
}

sv_err sv_model_new(const json_t *config, sv_str tokenizer_json, sv_str tokenizer_config, sv_model **out)
{
    sv_model_own *o = sv_model_own_make("a new model", "folder", NULL);
    sv_err e = make_new(o, config, tokenizer_json, tokenizer_config);
    if (e != SV_OK)
        sv_model_close(&o->m);
    *out = e == SV_OK ? &o->m : NULL;
    return e;
}

float *sv_model_weight(sv_model *m, uint32_t id)
{
    const sv_model_own *o = sv_model_own_of(m);
    if (!o->is_writable || id >= sv_weight_ids(&m->config))
        return NULL;
    return (float *)(uintptr_t)m->data[id];
}
