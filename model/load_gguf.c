/* SPDX-License-Identifier: Apache-2.0
 * Opening GGUF files: metadata to config and to the JSON that a folder would have, vocabulary to a tokenizer.
 * source   ggml docs/gguf.md; llama.cpp gguf-py/gguf/constants.py for the keys
 */
#include <string.h>

#include "base/json.h"
#include "model/load_impl.h"

#define THETA_DEFAULT 10000.0
#define TOKENS "tokenizer.ggml.tokens"

static void close_gguf(void *g)
{
    sv_gguf_close(g);
}

/* ---- config ---- */

static sv_err read_family(const sv_model_own *o, const sv_family **out)
{
    sv_str arch;
    SV_TRY(sv_gguf_text(o->gguf, "general.architecture", true, &arch));
    *out = sv_family_find_gguf(sv_arena_textn(o->m.arena, arch.p, arch.n));
    if (*out)
        return SV_OK;
    return sv_fail(SV_E_UNSUPPORTED, "%s: general.architecture is \"%s\", built are: %s", o->m.path, sv_str_quote(arch),
                   sv_family_names());
}

static const char *arch_key(const sv_model_own *o, const sv_config *c, const char *key)
{
    return sv_arena_printf(o->m.arena, "%s.%s", c->family->gguf_arch, key);
}

static sv_err size_key(const sv_model_own *o, const sv_config *c, const char *key, bool need, uint32_t max,
                       uint32_t *out)
{
    const char *full = arch_key(o, c, key);
    SV_TRY(sv_gguf_u32(o->gguf, full, need, out));
    if (*out == 0 || *out > max)
        return sv_fail(SV_E_FORMAT, "%s: %s is %u, allowed are 1 to %u", o->m.path, full, *out, max);
    return SV_OK;
}

static sv_err read_heads(const sv_model_own *o, sv_config *c)
{
    uint32_t value_length, rotated;
    SV_TRY(size_key(o, c, "attention.head_count", true, 8192, &c->n_head));
    c->n_kv_head = c->n_head;
    SV_TRY(size_key(o, c, "attention.head_count_kv", false, 8192, &c->n_kv_head));
    c->d_head = c->d_model / c->n_head;
    SV_TRY(size_key(o, c, "attention.key_length", false, 2048, &c->d_head));
    value_length = rotated = c->d_head;
    SV_TRY(sv_gguf_u32(o->gguf, arch_key(o, c, "attention.value_length"), false, &value_length));
    SV_TRY(sv_gguf_u32(o->gguf, arch_key(o, c, "rope.dimension_count"), false, &rotated));
    if (value_length != c->d_head || rotated != c->d_head)
        return sv_fail(SV_E_UNSUPPORTED,
                       "%s: keys of %u items a head, values of %u, %u of them rotated; only equal lengths are built",
                       o->m.path, c->d_head, value_length, rotated);
    if (c->d_head % 2 != 0 || c->n_head % c->n_kv_head != 0)
        return sv_fail(SV_E_FORMAT, "%s: %u items a head, %u heads, %u for keys; items must be even, heads a multiple",
                       o->m.path, c->d_head, c->n_head, c->n_kv_head);
    return SV_OK;
}

static sv_err read_scaling(const sv_model_own *o, sv_config *c)
{
    sv_str type = SV_STR("none");
    SV_TRY(sv_gguf_text(o->gguf, arch_key(o, c, "rope.scaling.type"), false, &type));
    if (sv_str_is(type, "none"))
        return SV_OK;
    if (!sv_str_is(type, "linear"))
        return sv_fail(SV_E_UNSUPPORTED, "%s: %s.rope.scaling.type is \"%s\", built are none and linear", o->m.path,
                       c->family->gguf_arch, sv_str_quote(type));
    c->scaling = SV_ROPE_LINEAR;
    SV_TRY(sv_gguf_f64(o->gguf, arch_key(o, c, "rope.scaling.factor"), true, &c->rope_factor));
    if (!(c->rope_factor > 0) || c->rope_factor > 1e6)
        return sv_fail(SV_E_FORMAT, "%s: %s.rope.scaling.factor is %g, it must be above 0", o->m.path,
                       c->family->gguf_arch, c->rope_factor);
    return SV_OK;
}

/* rope_freqs.weight: divisors of the frequencies, used as read. */
static sv_err read_divisors(const sv_model_own *o, sv_config *c)
{
    const sv_named_tensor *t = sv_tensors_find(o->gguf->tensors, "rope_freqs.weight");
    if (!t)
        return SV_OK;
    if (t->dtype != SV_DT_F32 || t->n_dim != 1 || t->dim[0] != c->d_head / 2)
        return sv_fail(SV_E_SHAPE, "%s: tensor rope_freqs.weight must be F32 of [%u], half a head", t->file,
                       c->d_head / 2);
    float *d = SV_NEW_N(o->m.arena, float, c->d_head / 2);
    bool plain = true;
    for (uint32_t i = 0; i < c->d_head / 2; i++) {
        d[i] = sv_f32_of_bits(sv_load_u32(t->data + 4 * i));
        if (!(d[i] > 0) || d[i] > 1e30f)
            return sv_fail(SV_E_FORMAT, "%s: rope_freqs.weight[%u] is %g, it must be above 0", t->file, i,
                           (double)d[i]);
        plain = plain && d[i] == 1.0f;
    }
    if (plain)
        return SV_OK;
    if (c->scaling != SV_ROPE_PLAIN)
        return sv_fail(SV_E_UNSUPPORTED, "%s: rope_freqs.weight together with %s.rope.scaling.type is not built",
                       o->m.path, c->family->gguf_arch);
    c->scaling = SV_ROPE_FACTORS;
    c->rope_divisor = d;
    return SV_OK;
}

static sv_err read_keys(const sv_model_own *o, sv_config *c)
{
    const sv_named_tensor *embed = sv_tensors_find(o->gguf->tensors, "token_embd.weight");
    double eps, theta = THETA_DEFAULT;
    SV_TRY(read_family(o, &c->family));
    SV_TRY(size_key(o, c, "block_count", true, 4096, &c->n_layer));
    SV_TRY(size_key(o, c, "context_length", true, 1u << 24, &c->n_ctx));
    SV_TRY(size_key(o, c, "embedding_length", true, 1u << 20, &c->d_model));
    SV_TRY(size_key(o, c, "feed_forward_length", true, 1u << 20, &c->d_ff));
    SV_TRY(read_heads(o, c));
    SV_TRY(sv_gguf_f64(o->gguf, arch_key(o, c, "attention.layer_norm_rms_epsilon"), true, &eps));
    SV_TRY(sv_gguf_f64(o->gguf, arch_key(o, c, "rope.freq_base"), false, &theta));
    if (!(eps >= 0 && eps <= 1) || !(theta >= 1 && theta <= 1e15))
        return sv_fail(SV_E_FORMAT, "%s: epsilon %g or rope.freq_base %g is out of range", o->m.path, eps, theta);
    c->eps = (float)eps;
    c->theta = sv_shortest_f64((float)theta);
    if (embed && embed->n_dim == 2)
        c->n_vocab = embed->dim[0] > 1u << 21 ? 0 : (uint32_t)embed->dim[0];
    SV_TRY(size_key(o, c, "vocab_size", embed == NULL, 1u << 21, &c->n_vocab));
    c->is_tied = !sv_tensors_find(o->gguf->tensors, "output.weight");
    SV_TRY(read_scaling(o, c));
    return read_divisors(o, c);
}

/* A JSON text that our writer put into the file. */
static sv_err source_json(sv_model_own *o, const char *key, json_t **out)
{
    sv_str text = { NULL, 0 };
    json_t *j = NULL;
    *out = NULL;
    SV_TRY(sv_gguf_text(o->gguf, key, false, &text));
    if (!text.p)
        return SV_OK;
    SV_TRY(sv_json_parse(text, &sv_json_file_limits, key, &j));
    *out = sv_model_keep_json(o, j);
    return json_is_object(j) ? SV_OK : sv_fail(SV_E_FORMAT, "%s: %s is not a JSON object", o->m.path, key);
}

static sv_err check_same(const sv_model_own *o, const sv_config *k, const sv_config *j)
{
    const struct {
        const char *key;
        uint32_t key_value, json_value;
    } pair[] = {
        { "block_count", k->n_layer, j->n_layer },
        { "embedding_length", k->d_model, j->d_model },
        { "feed_forward_length", k->d_ff, j->d_ff },
        { "attention.head_count", k->n_head, j->n_head },
        { "attention.head_count_kv", k->n_kv_head, j->n_kv_head },
        { "attention.key_length", k->d_head, j->d_head },
        { "vocab_size", k->n_vocab, j->n_vocab },
    };
    if (k->family != j->family)
        return sv_fail(SV_E_FORMAT, "%s: general.architecture is %s, samsvar.source.config says %s", o->m.path,
                       k->family->gguf_arch, j->family->gguf_arch);
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
        if (pair[i].key_value != pair[i].json_value)
            return sv_fail(SV_E_FORMAT, "%s: %s.%s is %u, samsvar.source.config says %u; the file was changed apart",
                           o->m.path, k->family->gguf_arch, pair[i].key, pair[i].key_value, pair[i].json_value);
    return SV_OK;
}

static sv_err add_token_ids(const sv_model_own *o, sv_config *c)
{
    static const char *const ends[] = { "eos", "eot", "eom" };
    uint32_t bos = UINT32_MAX, pad = UINT32_MAX;
    for (size_t i = 0; i < 3; i++) {
        const char *key = sv_arena_printf(o->m.arena, "tokenizer.ggml.%s_token_id", ends[i]);
        uint32_t id = UINT32_MAX;
        SV_TRY(sv_gguf_u32(o->gguf, key, false, &id));
        if (id != UINT32_MAX)
            SV_TRY(sv_config_add_eos(c, id, key));
    }
    SV_TRY(sv_gguf_u32(o->gguf, "tokenizer.ggml.bos_token_id", false, &bos));
    SV_TRY(sv_gguf_u32(o->gguf, "tokenizer.ggml.padding_token_id", false, &pad));
    if (c->bos < 0 && bos < c->n_vocab)
        c->bos = bos;
    if (c->pad < 0 && pad < c->n_vocab)
        c->pad = pad;
    return SV_OK;
}

static sv_err read_config(sv_model_own *o)
{
    sv_config keys = { .bos = -1, .pad = -1 };
    SV_TRY(read_keys(o, &keys));
    SV_TRY(source_json(o, "samsvar.source.config", &o->m.hf_config));
    if (!o->m.hf_config) {
        SV_TRY(add_token_ids(o, &keys));
        o->m.config = keys;
        o->m.hf_config = sv_model_keep_json(o, sv_config_json(&keys));
        return SV_OK;
    }
    sv_config *c = &o->m.config;
    SV_TRY(sv_config_read(o->m.hf_config, "samsvar.source.config", c));
    SV_TRY(sv_config_divisors(o->m.hf_config, c, "samsvar.source.config", o->m.arena, &c->rope_divisor));
    SV_TRY(check_same(o, &keys, c));
    return add_token_ids(o, c);
}

/* ---- generation ---- */

static sv_err read_generation(sv_model_own *o)
{
    static const char *const pair[][2] = {
        { "general.sampling.temp", "temperature" },
        { "general.sampling.top_p", "top_p" },
        { "general.sampling.min_p", "min_p" },
    };
    uint32_t top_k = UINT32_MAX;
    json_t *j;
    SV_TRY(source_json(o, "samsvar.source.generation_config", &o->m.hf_generation));
    if (o->m.hf_generation)
        return sv_model_read_generation(o, "samsvar.source.generation_config");
    j = sv_model_keep_json(o, json_object());
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        double v = -1;
        SV_TRY(sv_gguf_f64(o->gguf, pair[i][0], false, &v));
        if (v >= 0)
            json_object_set_new(j, pair[i][1], json_real(sv_shortest_f64((float)v)));
    }
    SV_TRY(sv_gguf_u32(o->gguf, "general.sampling.top_k", false, &top_k));
    if (top_k != UINT32_MAX)
        json_object_set_new(j, "top_k", json_integer(top_k));
    o->m.hf_generation = json_object_size(j) > 0 ? j : NULL;
    return sv_model_read_generation(o, "general.sampling");
}

/* ---- tokenizer ---- */

static sv_err need_array(const sv_model_own *o, const char *key, sv_gguf_type type, const sv_gguf_value **out)
{
    const sv_gguf_value *v = sv_gguf_find(o->gguf, key);
    bool whole = v && (v->type == SV_GGUF_I8 || v->type == SV_GGUF_I16 || v->type == SV_GGUF_I32);
    *out = v;
    if (v && (!v->is_array || !(type == SV_GGUF_I32 ? whole : v->type == type)))
        return sv_fail(SV_E_FORMAT, "%s: %s is not an array of the type it should have", o->m.path, key);
    return SV_OK;
}

static sv_err take_vocabulary(sv_model_own *o, sv_vocab_parts *p, sv_arena *a)
{
    const sv_gguf_value *tokens, *types, *merges;
    sv_str pre = { NULL, 0 };
    SV_TRY(need_array(o, TOKENS, SV_GGUF_STRING, &tokens));
    SV_TRY(need_array(o, "tokenizer.ggml.token_type", SV_GGUF_I32, &types));
    SV_TRY(need_array(o, "tokenizer.ggml.merges", SV_GGUF_STRING, &merges));
    SV_TRY(sv_gguf_text(o->gguf, "tokenizer.ggml.pre", false, &pre));
    if (!tokens || !merges)
        return sv_fail(SV_E_FORMAT, "%s: %s is missing, the tokenizer cannot be made", o->m.path,
                       tokens ? "tokenizer.ggml.merges" : TOKENS);
    if (types && types->n != tokens->n)
        return sv_fail(SV_E_FORMAT, "%s: tokenizer.ggml.token_type has %llu items, %s has %llu", o->m.path,
                       (unsigned long long)types->n, TOKENS, (unsigned long long)tokens->n);
    int32_t *type = types ? SV_NEW_N(a, int32_t, types->n) : NULL;
    for (uint64_t i = 0; types && i < types->n; i++)
        type[i] = (int32_t)types->at.i[i];
    *p = (sv_vocab_parts){ .pre = pre.p ? sv_arena_textn(a, pre.p, pre.n) : NULL,
                           .token = tokens->at.s,
                           .type = type,
                           .n_token = (uint32_t)tokens->n,
                           .merge = merges->at.s,
                           .n_merge = (uint32_t)merges->n,
                           .bos_id = o->m.config.bos,
                           .eos_id = o->m.config.n_eos ? (int64_t)o->m.config.eos[0] : -1,
                           .pad_id = o->m.config.pad,
                           .add_bos = o->m.add_bos };
    return SV_OK;
}

/* A tokenizer.json inside rules; the arrays that other programs read must tell the same. */
static sv_err start_tokenizer(sv_model_own *o, sv_str hf, sv_tokenizer_job *job)
{
    job->arena = sv_arena_make();
    job->has_parts = !hf.p || sv_gguf_find(o->gguf, TOKENS);
    job->json = hf;
    job->json_name = "tokenizer.huggingface.json";
    job->name = o->m.path;
    if (job->has_parts)
        SV_TRY(take_vocabulary(o, &job->parts, job->arena));
    sv_tokenizer_job_start(job);
    return SV_OK;
}

static sv_err read_tokenizer(sv_model_own *o, sv_tokenizer_job *job)
{
    sv_str model = { NULL, 0 }, hf = { NULL, 0 }, pre = { NULL, 0 };
    SV_TRY(sv_gguf_text(o->gguf, "tokenizer.ggml.model", false, &model));
    SV_TRY(sv_gguf_text(o->gguf, "tokenizer.huggingface.json", false, &hf));
    SV_TRY(sv_gguf_text(o->gguf, "tokenizer.ggml.pre", false, &pre));
    o->m.add_bos = sv_str_is(pre, "llama-bpe") || sv_str_is(pre, "llama3") || sv_str_is(pre, "llama-v3");
    SV_TRY(sv_gguf_bool(o->gguf, "tokenizer.ggml.add_bos_token", false, &o->m.add_bos));
    o->m.add_bos = o->m.add_bos && o->m.config.bos >= 0;
    if (o->opts.no_tokenizer)
        return SV_OK;
    if (!hf.p && !model.p) {
        o->no_tokenizer_text =
            "the file has no tokenizer.ggml.model key, so no tokenizer; convert the model again from "
            "a folder with tokenizer.json";
        return SV_OK;
    }
    if (!hf.p && !sv_str_is(model, "gpt2"))
        return sv_fail(SV_E_UNSUPPORTED,
                       "%s: tokenizer.ggml.model is \"%s\", only gpt2 (byte-level BPE) is built, and the file has no "
                       "tokenizer.huggingface.json",
                       o->m.path, sv_str_quote(model));
    return start_tokenizer(o, hf, job);
}

/* ---- tokenizer_config.json, found or made ---- */

static void set_token(const sv_model_own *o, json_t *j, const char *key, int64_t id)
{
    const sv_gguf_value *tokens = sv_gguf_find(o->gguf, TOKENS);
    bool known = id >= 0 && tokens && tokens->is_array && tokens->type == SV_GGUF_STRING && (uint64_t)id < tokens->n;
    sv_str s = known ? tokens->at.s[id] : (sv_str){ NULL, 0 };
    json_object_set_new(j, key, known && sv_utf8_valid(s.p, s.n, NULL) ? json_stringn(s.p, s.n) : json_null());
}

static json_t *made_config(const sv_model_own *o, sv_str text)
{
    const sv_config *c = &o->m.config;
    json_t *j = json_object();
    json_object_set_new(j, "add_bos_token", json_boolean(o->m.add_bos));
    set_token(o, j, "bos_token", c->bos);
    json_object_set_new(j, "clean_up_tokenization_spaces", json_false());
    set_token(o, j, "eos_token", c->n_eos ? (int64_t)c->eos[0] : -1);
    json_object_set_new(j, "model_max_length", json_integer(c->n_ctx));
    set_token(o, j, "pad_token", c->pad);
    json_object_set_new(j, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    if (text.p && sv_utf8_valid(text.p, text.n, NULL))
        json_object_set_new(j, "chat_template", json_stringn(text.p, text.n));
    return j;
}

static sv_err read_template(sv_model_own *o)
{
    sv_str text = { NULL, 0 };
    SV_TRY(sv_gguf_text(o->gguf, "tokenizer.chat_template", false, &text));
    SV_TRY(source_json(o, "samsvar.source.tokenizer_config", &o->m.hf_tokenizer_config));
    if (!o->m.hf_tokenizer_config)
        o->m.hf_tokenizer_config = sv_model_keep_json(o, made_config(o, text));
    SV_TRY(sv_model_read_special_tokens(o, "tokenizer_config.json"));
    if (o->opts.chat_template)
        return sv_model_replace_template(o);
    o->template_is_in_config = sv_template_of_config(o->m.hf_tokenizer_config).p != NULL;
    sv_model_set_template(o, text, "tokenizer.chat_template");
    return SV_OK;
}

sv_err sv_model_open_gguf(sv_model_own *o)
{
    SV_TRY(sv_gguf_open(o->m.path, &o->gguf));
    sv_arena_defer(o->m.arena, close_gguf, o->gguf);
    SV_TRY(read_config(o));
    SV_TRY(read_generation(o));
    sv_tokenizer_job job = { 0 };
    sv_err e = read_tokenizer(o, &job);
    if (e == SV_OK)
        e = sv_model_bind(o, o->gguf->tensors, sv_gguf_find(o->gguf, "samsvar.source.dtypes"));
    SV_TRY(sv_tokenizer_job_end(&job, o));
    return e == SV_OK ? read_template(o) : e;
}
