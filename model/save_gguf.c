/* SPDX-License-Identifier: Apache-2.0
 * A model as a GGUF file that other programs read too. What GGUF cannot say (config.json in full, types of vectors,
 * the tokenizer's rules) goes under keys of our own, so that the way back gives the folder again.
 * source   ggml docs/gguf.md; llama.cpp gguf-py/gguf/constants.py for keys and file types
 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "num/kblock.h"
#include "model/save_impl.h"
#include "text/scan.h"
#include "text/tokjson.h"

#define TWO_PI 6.28318530717958647692

typedef struct writer {
    const sv_model *m;
    const sv_model_own *o;
    sv_dtype dtype; /* asked for */
    sv_arena *a;
    sv_gguf_value *value;
    size_t n_value, cap_value;
    sv_named_tensor *item;
    size_t n_item, n_narrow; /* n_narrow: matrices whose rows are no whole blocks */
} writer;

/* ---- keys ---- */

static void add(writer *w, const char *key, sv_gguf_type type, const void *items, uint64_t n, bool is_array)
{
    sv_gguf_value v = { .key = sv_arena_text(w->a, key), .type = type, .is_array = is_array, .n = n };
    v.at.u = items;
    SV_PUSH(w->value, w->n_value, w->cap_value, v);
}

static void add_u32(writer *w, const char *key, uint32_t x)
{
    uint64_t *v = SV_NEW(w->a, uint64_t);
    *v = x;
    add(w, key, SV_GGUF_U32, v, 1, false);
}

static void add_f32(writer *w, const char *key, double x)
{
    double *v = SV_NEW(w->a, double);
    *v = (double)(float)x;
    add(w, key, SV_GGUF_F32, v, 1, false);
}

static void add_bool(writer *w, const char *key, bool x)
{
    uint64_t *v = SV_NEW(w->a, uint64_t);
    *v = x;
    add(w, key, SV_GGUF_BOOL, v, 1, false);
}

/* text must live as long as the writer. */
static void add_text(writer *w, const char *key, sv_str text)
{
    sv_str *v = SV_NEW(w->a, sv_str);
    *v = text;
    add(w, key, SV_GGUF_STRING, v, 1, false);
}

static void add_json(writer *w, const char *key, const json_t *j)
{
    sv_bytes b = { 0 };
    if (!j)
        return;
    sv_json_write(&b, j);
    add_text(w, key, (sv_str){ sv_arena_textn(w->a, b.p, b.n), b.n });
    sv_bytes_done(&b);
}

static const char *arch(writer *w, const char *key)
{
    return sv_arena_printf(w->a, "%s.%s", w->m->config.family->gguf_arch, key);
}

static void add_sizes(writer *w)
{
    const sv_config *c = &w->m->config;
    add_u32(w, arch(w, "block_count"), c->n_layer);
    add_u32(w, arch(w, "context_length"), c->n_ctx);
    add_u32(w, arch(w, "embedding_length"), c->d_model);
    add_u32(w, arch(w, "feed_forward_length"), c->d_ff);
    add_u32(w, arch(w, "attention.head_count"), c->n_head);
    add_u32(w, arch(w, "attention.head_count_kv"), c->n_kv_head);
    add_f32(w, arch(w, "attention.layer_norm_rms_epsilon"), (double)c->eps);
    add_u32(w, arch(w, "attention.key_length"), c->d_head);
    add_u32(w, arch(w, "attention.value_length"), c->d_head);
    add_f32(w, arch(w, "rope.freq_base"), c->theta);
    add_u32(w, arch(w, "rope.dimension_count"), c->d_head);
    add_u32(w, arch(w, "vocab_size"), c->n_vocab);
    if (c->scaling == SV_ROPE_LINEAR) {
        add_text(w, arch(w, "rope.scaling.type"), SV_STR("linear"));
        add_f32(w, arch(w, "rope.scaling.factor"), c->rope_factor);
    }
}

/* llama.cpp's number of what most matrices are. */
static uint32_t file_type(sv_dtype t)
{
    switch (t) {
    case SV_DT_F16:
        return 1;
    case SV_DT_Q4_0:
        return 2;
    case SV_DT_Q4_1:
        return 3;
    case SV_DT_Q8_0:
        return 7;
    case SV_DT_Q5_0:
        return 8;
    case SV_DT_Q5_1:
        return 9;
    case SV_DT_Q4_K:
        return 15;
    case SV_DT_Q5_K:
        return 17;
    case SV_DT_Q6_K:
        return 18;
    case SV_DT_BF16:
        return 32;
    default:
        return 0;
    }
}

static void add_file_type(writer *w)
{
    uint64_t items[SV_DTYPE_COUNT] = { 0 };
    sv_dtype most = SV_DT_F32;
    bool quantised = false;
    for (size_t i = 0; i < w->n_item; i++) {
        if (w->item[i].n_dim == 2)
            items[w->item[i].dtype] += w->item[i].dim[0] * w->item[i].dim[1];
        quantised = quantised || sv_dtype_is_block(w->item[i].dtype);
    }
    for (sv_dtype t = SV_DT_F32; t < SV_DTYPE_COUNT; t++)
        most = items[t] > items[most] ? t : most;
    add_u32(w, "general.file_type", file_type(most));
    if (quantised)
        add_u32(w, "general.quantization_version", 2);
}

/* ---- tokenizer ---- */

typedef struct vocab {
    writer *w;
    sv_str *token;
    int64_t *type;
    uint32_t n;
    sv_str *merge;
    size_t n_merge, cap_merge;
} vocab;

static sv_err put_token(void *arg, sv_str name, uint32_t id)
{
    vocab *v = arg;
    if (id >= v->n)
        return SV_OK; /* refused when the model was opened */
    v->token[id] = (sv_str){ sv_arena_textn(v->w->a, name.p, name.n), name.n };
    v->type[id] = 1;
    return SV_OK;
}

static sv_err put_merge(void *arg, sv_str left, sv_str right)
{
    vocab *v = arg;
    const char *text = sv_arena_printf(v->w->a, "%.*s %.*s", (int)left.n, left.p, (int)right.n, right.p);
    SV_PUSH(v->merge, v->n_merge, v->cap_merge, ((sv_str){ text, left.n + 1 + right.n }));
    return SV_OK;
}

static void put_added(vocab *v, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        json_int_t id = json_integer_value(json_object_get(item, "id"));
        const json_t *content = json_object_get(item, "content");
        if (id < 0 || id >= v->n || !json_is_string(content))
            continue;
        v->token[id] = (sv_str){ sv_arena_textn(v->w->a, json_string_value(content), json_string_length(content)),
                                 json_string_length(content) };
        v->type[id] = json_is_true(json_object_get(item, "special")) ? 3 : 4;
    }
}

/* A pre_tokenizer's steps in order, sequences opened. */
static size_t flatten(const json_t *p, const json_t **out, size_t n, size_t max)
{
    const json_t *list = sv_json_get(p, "pretokenizers");
    size_t i;
    json_t *item;
    if (!list && p && n < max)
        out[n++] = p;
    json_array_foreach(list, i, item) n = flatten(item, out, n, max);
    return n;
}

static sv_scan scan_of(const json_t *p)
{
    const char *type = json_string_value(sv_json_get(p, "type"));
    const char *regex = json_string_value(sv_json_get(sv_json_get(p, "pattern"), "Regex"));
    if (type && strcmp(type, "Digits") == 0 && json_is_true(json_object_get(p, "individual_digits")))
        return SV_SCAN_DIGIT_EACH;
    if (type && strcmp(type, "ByteLevel") == 0 && !json_is_false(json_object_get(p, "use_regex")))
        return SV_SCAN_GPT2;
    return regex ? sv_scan_of_regex(sv_str_of(regex)) : SV_SCAN_NONE;
}

/* The name under which llama.cpp knows the split rule; "default" when it knows none. Our own reading takes the
 * tokenizer.json inside. */
static const char *pre_name(const json_t *rest)
{
    const json_t *step[4] = { NULL };
    size_t n = flatten(sv_json_get(rest, "pre_tokenizer"), step, 0, 4);
    switch (n > 0 ? scan_of(step[0]) : SV_SCAN_NONE) {
    case SV_SCAN_QWEN2:
        return "qwen2";
    case SV_SCAN_LLAMA3:
        return "llama-bpe";
    case SV_SCAN_DIGITS_3:
        return "deepseek-v3";
    case SV_SCAN_DIGIT_EACH:
        return n > 1 && scan_of(step[1]) == SV_SCAN_GPT2 ? "smollm" : "default";
    case SV_SCAN_GPT2:
        return "gpt-2";
    default:
        return "default";
    }
}

static sv_err add_vocab(writer *w, sv_str json)
{
    sv_tokjson t;
    vocab v = { .w = w, .n = w->m->config.n_vocab };
    SV_TRY(sv_tokjson_open(json, "tokenizer.json", &t));
    v.token = SV_NEW_N(w->a, sv_str, v.n);
    v.type = SV_NEW_N(w->a, int64_t, v.n);
    sv_err e = sv_tokjson_vocab(&t, put_token, &v);
    if (e == SV_OK && t.merges.n > 0)
        e = sv_tokjson_merges(&t, put_merge, &v);
    put_added(&v, sv_json_get(t.rest, "added_tokens"));
    for (uint32_t id = 0; id < v.n; id++)
        if (v.type[id] == 0) { /* a row without a token */
            v.token[id] = sv_str_of(sv_arena_printf(w->a, "[PAD%u]", id));
            v.type[id] = 5;
        }
    sv_str *merge = SV_NEW_N(w->a, sv_str, v.n_merge ? v.n_merge : 1);
    if (v.n_merge)
        memcpy(merge, v.merge, v.n_merge * sizeof *merge);
    add_text(w, "tokenizer.ggml.model", SV_STR("gpt2"));
    add_text(w, "tokenizer.ggml.pre", sv_str_of(pre_name(t.rest)));
    add(w, "tokenizer.ggml.tokens", SV_GGUF_STRING, v.token, v.n, true);
    add(w, "tokenizer.ggml.token_type", SV_GGUF_I32, v.type, v.n, true);
    add(w, "tokenizer.ggml.merges", SV_GGUF_STRING, merge, v.n_merge, true);
    sv_mem_free(v.merge);
    sv_tokjson_close(&t);
    return e;
}

static sv_err add_tokenizer(writer *w)
{
    const sv_config *c = &w->m->config;
    if (!w->m->tokenizer)
        return SV_OK;
    SV_TRY(add_vocab(w, sv_tokenizer_json(w->m->tokenizer)));
    if (c->bos >= 0)
        add_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos);
    if (c->n_eos > 0)
        add_u32(w, "tokenizer.ggml.eos_token_id", c->eos[0]);
    if (c->pad >= 0)
        add_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)c->pad);
    add_bool(w, "tokenizer.ggml.add_bos_token", w->m->add_bos);
    if (w->o->template_text.p)
        add_text(w, "tokenizer.chat_template", w->o->template_text);
    return SV_OK;
}

/* ---- all keys ---- */

static bool is_ours(const char *key)
{
    return strcmp(key, "general.file_type") == 0 || strcmp(key, "general.quantization_version") == 0 ||
           strcmp(key, "tokenizer.huggingface.json") == 0 || strncmp(key, "samsvar.", 8) == 0;
}

/* A file's own keys in their order, known to us or not; what we make anew comes behind. */
static void keep_keys(writer *w)
{
    for (size_t i = 0; i < w->o->gguf->n_value; i++)
        if (!is_ours(w->o->gguf->value[i].key))
            SV_PUSH(w->value, w->n_value, w->cap_value, w->o->gguf->value[i]);
}

static void add_sources(writer *w)
{
    const sv_config *c = &w->m->config;
    uint32_t n_id = sv_weight_ids(c);
    sv_str *line = SV_NEW_N(w->a, sv_str, n_id);
    uint64_t n = 0;
    add_json(w, "samsvar.source.config", w->m->hf_config);
    add_json(w, "samsvar.source.generation_config", w->m->hf_generation);
    add_json(w, "samsvar.source.tokenizer_config", w->m->hf_tokenizer_config);
    for (uint32_t id = 0; id < n_id; id++)
        if (w->m->data[id])
            line[n++] = sv_str_of(sv_arena_printf(w->a, "%s=%s", sv_weight_name(c, id, false, w->a),
                                                  sv_dtype_name(w->o->stored[id].dtype)));
    add(w, "samsvar.source.dtypes", SV_GGUF_STRING, line, n, true);
}

/* Sources of a file that had none are its own keys: adding a config made from them would only say it twice. */
static bool has_sources(const writer *w)
{
    return !w->o->gguf || sv_gguf_find(w->o->gguf, "samsvar.source.config");
}

static sv_err add_keys(writer *w)
{
    if (w->o->gguf) {
        keep_keys(w);
    } else {
        const char *name = sv_path_base(w->m->path);
        add_text(w, "general.architecture", sv_str_of(w->m->config.family->gguf_arch));
        add_text(w, "general.type", SV_STR("model"));
        add_text(w, "general.name", sv_str_of(*name ? name : "model"));
        add_sizes(w);
        SV_TRY(add_tokenizer(w));
    }
    add_file_type(w);
    if (w->m->tokenizer)
        add_text(w, "tokenizer.huggingface.json", sv_tokenizer_json(w->m->tokenizer));
    if (has_sources(w))
        add_sources(w);
    return SV_OK;
}

/* ---- tensors ---- */

/* The type to write a matrix as. The embedding and the head get more bits: Q8_0 in Q4_0 and Q4_1 files, Q6_K in Q4_K
 * and Q5_K files. Rows that are no whole blocks: Q8_0 instead of a K type, else F16. */
static sv_dtype matrix_dtype(writer *w, const sv_weight *weight, const sv_tensor *shape, sv_dtype own)
{
    sv_dtype t = w->dtype;
    uint32_t n_col = shape->dim[shape->n_dim - 1];
    if (t == SV_DTYPE_COUNT)
        return own;
    if (strcmp(weight->gguf, "token_embd.weight") == 0 || strcmp(weight->gguf, "output.weight") == 0)
        t = t == SV_DT_Q4_0 || t == SV_DT_Q4_1 ? SV_DT_Q8_0 : t == SV_DT_Q4_K || t == SV_DT_Q5_K ? SV_DT_Q6_K : t;
    if (n_col % sv_dtype_block_items(t) == 0)
        return t;
    w->n_narrow++;
    return sv_dtype_is_k(t) && n_col % 32 == 0 ? SV_DT_Q8_0 : SV_DT_F16;
}

static sv_err permute(writer *w, const sv_tensor *shape, sv_named_tensor *t)
{
    void *rows;
    SV_TRY(sv_weight_block(w->a, t->bytes, &rows));
    sv_rope_rows(rows, t->data, shape->dim[0], t->bytes / shape->dim[0], w->m->config.d_head, true);
    t->data = rows;
    return SV_OK;
}

static sv_err add_weight(writer *w, uint32_t id)
{
    const sv_family *f = w->m->config.family;
    const sv_weight *weight = &f->weight[id % f->n_weight];
    const sv_tensor *shape = &w->m->shape[id];
    sv_named_tensor *t = &w->item[w->n_item++];
    sv_dtype to = SV_DT_F32;
    t->name = sv_weight_name(&w->m->config, id, true, w->a);
    sv_weight_dims(shape, t);
    if (!(weight->flags & SV_W_VECTOR))
        to = matrix_dtype(w, weight, shape, w->o->stored[id].dtype);
    SV_TRY(sv_weight_convert(w->m, id, NULL, to, w->a, t));
    if (f->permutes_gguf && (weight->flags & (SV_W_ROPE_ROWS | SV_W_ROPE_KV)))
        return permute(w, shape, t);
    return SV_OK;
}

/* Divisors of the RoPE frequencies: as read, or what llama3's rule makes of them. For other programs; where the file
 * holds config.json our own reading takes that. */
static void add_divisors(writer *w)
{
    const sv_config *c = &w->m->config;
    uint32_t half = c->d_head / 2;
    if (c->scaling != SV_ROPE_LLAMA3 && !(c->scaling == SV_ROPE_FACTORS && c->rope_divisor))
        return;
    float *d = SV_NEW_N(w->a, float, half);
    for (uint32_t i = 0; i < half; i++) {
        if (c->scaling == SV_ROPE_FACTORS) {
            d[i] = c->rope_divisor[i];
            continue;
        }
        double wave = TWO_PI * pow(c->theta, 2.0 * i / c->d_head);
        double t = ((double)c->rope_ctx / wave - c->rope_low) / (c->rope_high - c->rope_low);
        if (wave < (double)c->rope_ctx / c->rope_high)
            d[i] = 1.0f;
        else if (wave > (double)c->rope_ctx / c->rope_low)
            d[i] = (float)c->rope_factor;
        else
            d[i] = (float)(1.0 / ((1.0 - t) / c->rope_factor + t));
    }
    w->item[w->n_item++] = (sv_named_tensor){ .name = "rope_freqs.weight",
                                              .dtype = SV_DT_F32,
                                              .n_dim = 1,
                                              .dim = { half },
                                              .data = (const uint8_t *)d,
                                              .bytes = half * sizeof(float) };
}

static sv_err add_tensors(writer *w)
{
    uint32_t n_id = sv_weight_ids(&w->m->config);
    w->item = SV_NEW_N(w->a, sv_named_tensor, (size_t)n_id + 1);
    for (uint32_t id = 0; id < n_id; id++)
        if (w->m->data[id])
            SV_TRY(add_weight(w, id));
    add_divisors(w);
    if (w->n_narrow)
        sv_log(SV_LOG_WARN, "convert", "%zu matrices have rows that are no multiple of %u: written as %s, not %s",
               w->n_narrow, sv_dtype_block_items(w->dtype), sv_dtype_is_k(w->dtype) ? "Q8_0 (or F16)" : "F16",
               sv_dtype_name(w->dtype));
    return SV_OK;
}

sv_err sv_model_save_gguf(const sv_model *m, const char *path, sv_dtype dtype)
{
    if (dtype != SV_DTYPE_COUNT && !sv_dtype_is_float(dtype) && !sv_dtype_is_k(dtype) && dtype != SV_DT_Q8_0 &&
        dtype != SV_DT_Q4_0 && dtype != SV_DT_Q4_1)
        return sv_fail(SV_E_ARG,
                       "%s: GGUF files are written as F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q5_K or Q6_K, not %s",
                       path, sv_dtype_name(dtype));
    writer w = { .m = m, .o = sv_model_own_of(m), .dtype = dtype, .a = sv_arena_make() };
    sv_err e = add_tensors(&w);
    if (e == SV_OK)
        e = add_keys(&w);
    if (e == SV_OK)
        e = sv_gguf_write(path, w.value, w.n_value, w.item, w.n_item, 0);
    sv_mem_free(w.value);
    sv_arena_drop(w.a);
    return e;
}
