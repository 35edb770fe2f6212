/* SPDX-License-Identifier: Apache-2.0
 * samsvar inspect: what is in a model folder, a GGUF file, a safetensors file or a checkpoint.
 */
#include <string.h>

#include "base/file.h"
#include "base/sha.h"
#include "cli/cmd.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "train/ckpt.h"

static json_t *tensor_json(const char *name, sv_dtype dtype, uint32_t n_dim, const uint64_t *dim)
{
    json_t *shape = json_array();
    for (uint32_t d = 0; d < n_dim; d++)
        json_array_append_new(shape, json_integer((json_int_t)dim[d]));
    return json_pack("{s:s, s:s, s:o}", "name", name, "dtype", sv_dtype_name(dtype), "shape", shape);
}

static void tensor_line(const char *name, sv_dtype dtype, uint32_t n_dim, const uint64_t *dim)
{
    sv_bytes shape = { 0 }, shown = { 0 };
    for (uint32_t d = 0; d < n_dim; d++)
        sv_bytes_printf(&shape, "%s%llu", d ? ", " : "", (unsigned long long)dim[d]);
    sv_show(sv_str_of(name), &shown);
    sv_out("  %-52s %-5s [%s]\n", shown.p ? shown.p : "", sv_dtype_name(dtype), shape.p ? shape.p : "");
    sv_bytes_done(&shape);
    sv_bytes_done(&shown);
}

/* ---- checkpoints ---- */

static sv_err check_ckpt(const char *path, bool json)
{
    sv_ckpt_mark mark;
    SV_TRY(sv_ckpt_check(path, &mark, NULL));
    if (json)
        sv_out_json(json_pack("{s:i, s:s, s:b, s:I, s:s, s:s}", "v", 1, "path", path, "good", 1, "step",
                              (json_int_t)mark.step, "weights", sv_hash_words(mark.weight_bits), "state",
                              sv_hash_words(mark.state_bits)));
    else
        sv_out("%s: good, step %llu, weights %s, state %s\n", path, (unsigned long long)mark.step,
               sv_hash_words(mark.weight_bits), sv_hash_words(mark.state_bits));
    return SV_OK;
}

/* ---- a file of tensors without a model around it ---- */

static sv_err inspect_tensors(const sv_args *a, const char *path)
{
    sv_tensors *t;
    uint64_t bytes = 0, items = 0;
    bool json = sv_arg_on(a, SV_FLAG_JSON);
    SV_TRY(sv_safetensors_open(path, &t));
    json_t *list = json_array();
    for (size_t i = 0; i < t->n; i++) {
        const sv_named_tensor *it = &t->item[i];
        uint64_t n = 1;
        for (uint32_t d = 0; d < it->n_dim; d++)
            n *= it->dim[d];
        items += n;
        bytes += it->bytes;
        if (json)
            json_array_append_new(list, tensor_json(it->name, it->dtype, it->n_dim, it->dim));
        else
            tensor_line(it->name, it->dtype, it->n_dim, it->dim);
    }
    if (json)
        sv_out_json_pretty(json_pack("{s:i, s:s, s:s, s:O, s:I, s:I}", "v", 1, "path", path, "kind", "safetensors",
                                     "tensors", list, "items", (json_int_t)items, "bytes", (json_int_t)bytes));
    else
        sv_out("%zu tensors, %llu items, %s\n", t->n, (unsigned long long)items, sv_bytes_words((double)bytes));
    json_decref(list);
    sv_tensors_close(t);
    return SV_OK;
}

/* ---- models ---- */

static uint64_t weight_bytes(const sv_model *m, uint32_t id)
{
    const sv_tensor *s = &m->shape[id];
    uint64_t n_col = s->n_dim ? s->dim[s->n_dim - 1] : 0;
    return n_col ? sv_tensor_items(s) / n_col * sv_dtype_row_bytes(s->dtype, n_col) : 0;
}

static void add_tensors(const sv_model *m, json_t *list, uint64_t *bytes, uint32_t *n)
{
    sv_arena *arena = sv_arena_make();
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        uint64_t dim[SV_MAX_DIM];
        if (m->data[id] == NULL)
            continue;
        const sv_tensor *s = &m->shape[id];
        const char *name = sv_weight_name(&m->config, id, false, arena);
        for (uint32_t d = 0; d < s->n_dim; d++)
            dim[d] = s->dim[d];
        if (list != NULL)
            json_array_append_new(list, tensor_json(name, s->dtype, s->n_dim, dim));
        else
            tensor_line(name, s->dtype, s->n_dim, dim);
        *bytes += weight_bytes(m, id);
        ++*n;
    }
    sv_arena_drop(arena);
}

static void print_config(const sv_model *m)
{
    const sv_config *c = &m->config;
    sv_out("%s: %s, family %s (%s)\n", m->path, m->kind, c->family->model_type, c->family->architecture);
    sv_out("  layers %u, width %u, heads %u of %u (key-value heads %u), feed-forward %u\n", c->n_layer, c->d_model,
           c->n_head, c->d_head, c->n_kv_head, c->d_ff);
    sv_out("  vocabulary %u, context %u, rope base %g, norm eps %g, embeddings %s\n", c->n_vocab, c->n_ctx, c->theta,
           (double)c->eps, c->is_tied ? "tied" : "not tied");
    sv_out("  parameters %llu\n", (unsigned long long)sv_model_params(m));
}

static const char *template_hash(const sv_model *m)
{
    uint8_t digest[32];
    sv_str source = sv_template_source(m->chat_template);
    sv_sha *s = sv_sha_make();
    sv_sha_add(s, source.p, source.n);
    sv_sha_end(s, digest);
    return sv_hex(digest, 32);
}

static void print_text(const sv_model *m)
{
    uint8_t digest[32];
    if (m->tokenizer != NULL) {
        sv_tokenizer_hash(m->tokenizer, digest);
        sv_out("  tokenizer: %u tokens, hash %s\n", sv_tokenizer_count(m->tokenizer), sv_hex(digest, 8));
    } else {
        sv_out("  tokenizer: none\n");
    }
    if (m->chat_template != NULL)
        sv_out("  chat template: %zu bytes, hash %.16s\n", sv_template_source(m->chat_template).n, template_hash(m));
    else
        sv_out("  chat template: %s\n", m->template_problem ? m->template_problem : "none");
}

static void print_json(const sv_args *a, const sv_model *m)
{
    uint64_t bytes = 0;
    uint32_t n = 0;
    uint8_t digest[32];
    json_t *list = json_array(), *o = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "path", m->path, "kind", m->kind,
                                                "family", m->config.family->model_type);
    add_tensors(m, list, &bytes, &n);
    json_object_set_new(o, "config", sv_config_json(&m->config));
    json_object_set_new(o, "parameters", json_integer((json_int_t)sv_model_params(m)));
    json_object_set_new(o, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(o, "tensors", list);
    if (m->tokenizer != NULL) {
        sv_tokenizer_hash(m->tokenizer, digest);
        json_object_set_new(o, "tokenizer",
                            json_pack("{s:I, s:s}", "tokens", (json_int_t)sv_tokenizer_count(m->tokenizer), "hash",
                                      sv_hex(digest, 32)));
    }
    if (m->chat_template != NULL)
        json_object_set_new(o, "chat_template", json_pack("{s:s}", "hash", template_hash(m)));
    else if (m->template_problem != NULL)
        json_object_set_new(o, "chat_template", json_pack("{s:s}", "problem", m->template_problem));
    if (sv_arg_on(a, SV_FLAG_HASH)) {
        sv_model_weights_hash(m, digest);
        json_object_set_new(o, "weights_sha256", json_string(sv_hex(digest, 32)));
    }
    sv_out_json_pretty(o);
}

static sv_err inspect_model(const sv_args *a)
{
    sv_model *m;
    uint64_t bytes = 0;
    uint32_t n = 0;
    uint8_t digest[32];
    SV_TRY(sv_open_model(a, a->word[0], &m));
    if (sv_arg_on(a, SV_FLAG_JSON)) {
        print_json(a, m);
        sv_model_close(m);
        return SV_OK;
    }
    print_config(m);
    print_text(m);
    sv_out("tensors\n");
    add_tensors(m, NULL, &bytes, &n);
    sv_out("%u tensors, %s", n, sv_bytes_words((double)bytes));
    if (m->n_dequantised > 0)
        sv_out(" (%u widened to F32: their type has no kernel)", m->n_dequantised);
    sv_out("\n");
    if (sv_arg_on(a, SV_FLAG_HASH)) {
        sv_model_weights_hash(m, digest);
        sv_out("weights %s\n", sv_hex(digest, 32));
    }
    sv_model_close(m);
    return SV_OK;
}

/* An adapter's folder: its tensors; what it stands beside is another model. */
static sv_err inspect_lora(const sv_args *a, const char *path)
{
    sv_arena *arena = sv_arena_make();
    sv_err err = inspect_tensors(a, sv_path_join(arena, path, "adapter_model.safetensors"));
    sv_arena_drop(arena);
    return err;
}

sv_err sv_cmd_inspect(const sv_args *a)
{
    const char *path = a->word[0];
    size_t n = strlen(path);
    if (!sv_file_exists(path))
        return sv_fail(SV_E_NOTFOUND, "%s: no such file or folder", path);
    if (sv_arg_on(a, SV_FLAG_CHECK))
        return check_ckpt(path, sv_arg_on(a, SV_FLAG_JSON));
    if (n > 12 && strcmp(path + n - 12, ".safetensors") == 0)
        return inspect_tensors(a, path);
    if (sv_lora_is_folder(path))
        return inspect_lora(a, path);
    return inspect_model(a);
}
