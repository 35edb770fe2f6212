/* SPDX-License-Identifier: Apache-2.0
 * config.json: its keys to sv_config, in the spellings of transformers 4 and 5, and back. What is not built is refused
 * by its key's name.
 * source   transformers, configuration_{llama,qwen2,qwen3}.py, modeling_rope_utils.py
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/load_impl.h"

#define MAX_LAYER 4096u
#define MAX_WIDTH (1u << 20)
#define MAX_HEAD 8192u
#define MAX_D_HEAD 2048u
#define MAX_VOCAB (1u << 21)
#define MAX_CTX (1u << 24)
#define THETA_DEFAULT 10000.0
#define MAX_EOS (sizeof((sv_config *)0)->eos / sizeof(uint32_t))

/* ---- family ---- */

static sv_err read_family(const json_t *j, const char *where, sv_config *c)
{
    const char *type;
    SV_TRY(sv_json_need_text(j, "model_type", where, &type));
    c->family = sv_family_find(type);
    if (!c->family)
        return sv_fail(SV_E_UNSUPPORTED, "%s: model_type is \"%s\", built are: %s", where,
                       sv_str_quote(sv_str_of(type)), sv_family_names());
    const json_t *list = sv_json_get(j, "architectures");
    if (!list)
        return SV_OK;
    const char *first = json_string_value(json_array_get(list, 0));
    if (!first)
        return sv_fail(SV_E_FORMAT, "%s: architectures is not a list of texts; %s belongs there", where,
                       c->family->architecture);
    if (strcmp(first, c->family->architecture) != 0)
        return sv_fail(SV_E_UNSUPPORTED, "%s: architectures is \"%s\", for model_type %s only %s is built", where,
                       sv_str_quote(sv_str_of(first)), type, c->family->architecture);
    return SV_OK;
}

/* ---- what is not built ---- */

static sv_err refuse_true(const json_t *j, const char *key, const char *where)
{
    bool on;
    SV_TRY(sv_json_bool(j, key, false, where, &on));
    if (on)
        return sv_fail(SV_E_UNSUPPORTED, "%s: %s is true, only false is built", where, key);
    return SV_OK;
}

static sv_err check_layer_types(const json_t *j, const char *where)
{
    const json_t *list = sv_json_get(j, "layer_types"), *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *type = json_string_value(item);
        if (!type || strcmp(type, "full_attention") != 0)
            return sv_fail(SV_E_UNSUPPORTED, "%s: layer_types[%zu] is %s, only full_attention is built", where, i,
                           type ? sv_str_quote(sv_str_of(type)) : "not a text");
    }
    return SV_OK;
}

static bool has_bias(const sv_family *f)
{
    for (uint32_t i = 0; i < f->n_weight; i++)
        if (sv_str_ends(sv_str_of(f->weight[i].hf), ".bias"))
            return true;
    return false;
}

static sv_err refuse_unbuilt(const json_t *j, const char *where, const sv_config *c)
{
    const char *act;
    double partial;
    SV_TRY(sv_json_text(j, "hidden_act", "silu", where, &act));
    if (strcmp(act, "silu") != 0)
        return sv_fail(SV_E_UNSUPPORTED, "%s: hidden_act is \"%s\", only silu is built", where,
                       sv_str_quote(sv_str_of(act)));
    if (sv_json_get(j, "quantization_config"))
        return sv_fail(SV_E_UNSUPPORTED,
                       "%s: quantization_config is there, quantised folders are not read; take the model's BF16 files, "
                       "or a GGUF file of it",
                       where);
    SV_TRY(refuse_true(j, "use_sliding_window", where));
    SV_TRY(check_layer_types(j, where));
    SV_TRY(refuse_true(j, "mlp_bias", where));
    if (!has_bias(c->family))
        SV_TRY(refuse_true(j, "attention_bias", where));
    SV_TRY(sv_json_f64(j, "partial_rotary_factor", 0, 1, 1, where, &partial));
    if (partial < 1)
        return sv_fail(SV_E_UNSUPPORTED, "%s: partial_rotary_factor is %g, only 1 is built", where, partial);
    return SV_OK;
}

/* ---- sizes ---- */

static sv_err read_sizes(const json_t *j, const char *where, sv_config *c)
{
    double eps;
    SV_TRY(sv_json_need_u32(j, "num_hidden_layers", 1, MAX_LAYER, where, &c->n_layer));
    SV_TRY(sv_json_need_u32(j, "hidden_size", 1, MAX_WIDTH, where, &c->d_model));
    SV_TRY(sv_json_need_u32(j, "num_attention_heads", 1, MAX_HEAD, where, &c->n_head));
    SV_TRY(sv_json_u32(j, "num_key_value_heads", 1, MAX_HEAD, c->n_head, where, &c->n_kv_head));
    SV_TRY(sv_json_need_u32(j, "intermediate_size", 1, MAX_WIDTH, where, &c->d_ff));
    SV_TRY(sv_json_need_u32(j, "vocab_size", 1, MAX_VOCAB, where, &c->n_vocab));
    SV_TRY(sv_json_need_u32(j, "max_position_embeddings", 1, MAX_CTX, where, &c->n_ctx));
    SV_TRY(sv_json_need_f64(j, "rms_norm_eps", 0, 1, where, &eps));
    c->eps = (float)eps;
    SV_TRY(sv_json_u32(j, "head_dim", 1, MAX_D_HEAD, 0, where, &c->d_head));
    if (c->d_head == 0 && c->d_model % c->n_head != 0)
        return sv_fail(SV_E_FORMAT,
                       "%s: hidden_size %u is no multiple of num_attention_heads %u, and head_dim is missing", where,
                       c->d_model, c->n_head);
    if (c->d_head == 0)
        c->d_head = c->d_model / c->n_head;
    if (c->d_head % 2 != 0 || c->d_head > MAX_D_HEAD)
        return sv_fail(SV_E_FORMAT,
                       "%s: head_dim (or hidden_size / num_attention_heads) is %u, allowed are even "
                       "numbers up to %u",
                       where, c->d_head, MAX_D_HEAD);
    if (c->n_head % c->n_kv_head != 0)
        return sv_fail(SV_E_FORMAT, "%s: num_attention_heads %u is no multiple of num_key_value_heads %u", where,
                       c->n_head, c->n_kv_head);
    return sv_json_bool(j, "tie_word_embeddings", false, where, &c->is_tied);
}

/* ---- RoPE ---- */

typedef struct rope {
    double theta; /* 0: not said */
    sv_rope_scaling scaling;
    double factor, low, high;
    uint32_t ctx;
} rope;

static const char *rope_kind(const json_t *j)
{
    const char *a = json_string_value(sv_json_get(j, "rope_type")), *b = json_string_value(sv_json_get(j, "type"));
    return a ? a : b ? b : "default";
}

static bool is_one_list(const json_t *j)
{
    const json_t *a = sv_json_get(j, "short_factor"), *b = sv_json_get(j, "long_factor");
    return json_is_array(a) && json_is_array(b) && json_equal(a, b);
}

static sv_err read_rope_kind(const json_t *j, const char *key, const char *where, rope *r)
{
    const char *kind = rope_kind(j);
    double factor;
    if (strcmp(kind, "default") == 0)
        return SV_OK;
    if (strcmp(kind, "linear") == 0) {
        r->scaling = SV_ROPE_LINEAR;
        return sv_json_need_f64(j, "factor", 1e-6, 1e6, where, &r->factor);
    }
    if (strcmp(kind, "llama3") == 0) {
        r->scaling = SV_ROPE_LLAMA3;
        SV_TRY(sv_json_need_f64(j, "factor", 1, 1e6, where, &r->factor));
        SV_TRY(sv_json_need_f64(j, "low_freq_factor", 1e-6, 1e6, where, &r->low));
        SV_TRY(sv_json_need_f64(j, "high_freq_factor", 1e-6, 1e6, where, &r->high));
        SV_TRY(sv_json_need_u32(j, "original_max_position_embeddings", 1, MAX_CTX, where, &r->ctx));
        if (r->high <= r->low)
            return sv_fail(SV_E_FORMAT, "%s: %s has high_freq_factor %g, it must be above low_freq_factor %g", where,
                           key, r->high, r->low);
        return SV_OK;
    }
    if (strcmp(kind, "longrope") == 0 && is_one_list(j)) {
        r->scaling = SV_ROPE_FACTORS;
        SV_TRY(sv_json_need_f64(j, "attention_factor", 0, 1e6, where, &factor));
        if (factor == 1.0)
            return SV_OK;
    }
    return sv_fail(SV_E_UNSUPPORTED,
                   "%s: %s is of type \"%s\"; built are default, linear, llama3, and longrope whose short_factor and "
                   "long_factor are one list and whose attention_factor is 1",
                   where, key, sv_str_quote(sv_str_of(kind)));
}

static sv_err read_rope_object(const json_t *j, const char *key, const char *where, rope *r)
{
    const char *name;
    const json_t *member;
    const char *a = json_string_value(sv_json_get(j, "rope_type")), *b = json_string_value(sv_json_get(j, "type"));
    double partial;
    memset(r, 0, sizeof *r);
    if (!j)
        return SV_OK;
    if (!json_is_object(j))
        return sv_fail(SV_E_FORMAT, "%s: %s is not an object", where, key);
    json_object_foreach((json_t *)j, name, member) if (json_is_object(member)) return sv_fail(
        SV_E_UNSUPPORTED, "%s: %s differs by layer (%s); one for all layers is built", where, key,
        sv_str_quote(sv_str_of(name)));
    if (a && b && strcmp(a, b) != 0)
        return sv_fail(SV_E_FORMAT, "%s: %s has rope_type \"%s\" and type \"%s\"; keep one", where, key,
                       sv_str_quote(sv_str_of(a)), sv_str_quote(sv_str_of(b)));
    SV_TRY(sv_json_f64(j, "partial_rotary_factor", 0, 1, 1, where, &partial));
    if (partial < 1)
        return sv_fail(SV_E_UNSUPPORTED, "%s: partial_rotary_factor is %g, only 1 is built", where, partial);
    SV_TRY(sv_json_f64(j, "rope_theta", 1, 1e15, 0, where, &r->theta));
    return read_rope_kind(j, key, where, r);
}

static bool same_scaling(const rope *a, const rope *b)
{
    return a->scaling == b->scaling && a->factor == b->factor && a->low == b->low && a->high == b->high &&
           a->ctx == b->ctx;
}

/* transformers 4: rope_theta, rope_scaling; 5: rope_parameters holds both. */
static sv_err read_rope(const json_t *j, const char *where, sv_config *c)
{
    const json_t *scaling = sv_json_get(j, "rope_scaling"), *parameters = sv_json_get(j, "rope_parameters");
    rope old, now;
    double theta;
    SV_TRY(read_rope_object(scaling, "rope_scaling", where, &old));
    SV_TRY(read_rope_object(parameters, "rope_parameters", where, &now));
    if (scaling && parameters && !same_scaling(&old, &now))
        return sv_fail(SV_E_FORMAT, "%s: rope_scaling and rope_parameters contradict each other; keep one", where);
    SV_TRY(sv_json_f64(j, "rope_theta", 1, 1e15, 0, where, &theta));
    double said[3] = { theta, old.theta, now.theta };
    c->theta = 0;
    for (int i = 0; i < 3; i++) {
        if (said[i] != 0 && c->theta != 0 && said[i] != c->theta)
            return sv_fail(SV_E_FORMAT, "%s: rope_theta is both %.17g and %.17g; keep one", where, c->theta, said[i]);
        c->theta = said[i] != 0 ? said[i] : c->theta;
    }
    if (c->theta == 0)
        c->theta = THETA_DEFAULT;
    const rope *r = parameters ? &now : &old;
    c->scaling = r->scaling;
    c->rope_factor = r->factor;
    c->rope_low = r->low;
    c->rope_high = r->high;
    c->rope_ctx = r->ctx;
    return SV_OK;
}

sv_err sv_config_divisors(const json_t *config, const sv_config *c, const char *where, sv_arena *a, const float **out)
{
    *out = NULL;
    if (c->scaling != SV_ROPE_FACTORS)
        return SV_OK;
    const json_t *r = sv_json_get(config, "rope_parameters");
    const json_t *list = sv_json_get(r ? r : sv_json_get(config, "rope_scaling"), "short_factor");
    if (json_array_size(list) != c->d_head / 2)
        return sv_fail(SV_E_FORMAT, "%s: short_factor has %zu numbers, head_dim %u needs %u", where,
                       json_array_size(list), c->d_head, c->d_head / 2);
    float *d = SV_NEW_N(a, float, c->d_head / 2);
    for (uint32_t i = 0; i < c->d_head / 2; i++) {
        d[i] = (float)json_number_value(json_array_get(list, i));
        if (!(d[i] > 0) || !isfinite(d[i]))
            return sv_fail(SV_E_FORMAT, "%s: short_factor[%u] is no number above 0", where, i);
    }
    *out = d;
    return SV_OK;
}

/* ---- token ids ---- */

sv_err sv_config_add_eos(sv_config *c, int64_t id, const char *where)
{
    if (id < 0 || id >= c->n_vocab)
        return sv_fail(SV_E_FORMAT, "%s: eos_token_id %lld is outside the vocabulary of %u", where, (long long)id,
                       c->n_vocab);
    for (uint32_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] == (uint32_t)id)
            return SV_OK;
    if (c->n_eos == MAX_EOS)
        return sv_fail(SV_E_LIMIT, "%s: more than %zu tokens end a text; take away some", where, MAX_EOS);
    c->eos[c->n_eos++] = (uint32_t)id;
    return SV_OK;
}

sv_err sv_config_add_eos_of(sv_config *c, const json_t *id, const char *where)
{
    size_t i;
    json_t *item;
    if (!id)
        return SV_OK;
    if (json_is_integer(id))
        return json_integer_value(id) == -1 ? SV_OK : sv_config_add_eos(c, json_integer_value(id), where);
    if (!json_is_array(id))
        return sv_fail(SV_E_FORMAT, "%s: eos_token_id is neither a whole number nor a list of them", where);
    json_array_foreach(id, i, item)
    {
        if (!json_is_integer(item))
            return sv_fail(SV_E_FORMAT, "%s: eos_token_id[%zu] is no whole number", where, i);
        SV_TRY(sv_config_add_eos(c, json_integer_value(item), where));
    }
    return SV_OK;
}

/* A token id, or -1 for none. */
static sv_err read_id(const json_t *j, const char *key, const char *where, uint32_t n_vocab, int64_t *out)
{
    const json_t *v = sv_json_get(j, key);
    *out = -1;
    if (!v)
        return SV_OK;
    if (!json_is_integer(v) || json_integer_value(v) < -1 || json_integer_value(v) >= (json_int_t)n_vocab)
        return sv_fail(SV_E_FORMAT, "%s: %s is no token id, allowed are whole numbers from 0 to %u, and null", where,
                       key, n_vocab - 1);
    *out = json_integer_value(v);
    return SV_OK;
}

sv_err sv_config_read(const json_t *config, const char *where, sv_config *out)
{
    sv_config c = { .bos = -1, .pad = -1 };
    memset(out, 0, sizeof *out);
    if (!json_is_object(config))
        return sv_fail(SV_E_FORMAT, "%s: not a JSON object", where);
    SV_TRY(read_family(config, where, &c));
    SV_TRY(refuse_unbuilt(config, where, &c));
    SV_TRY(read_sizes(config, where, &c));
    SV_TRY(read_rope(config, where, &c));
    SV_TRY(sv_config_add_eos_of(&c, sv_json_get(config, "eos_token_id"), where));
    SV_TRY(read_id(config, "bos_token_id", where, c.n_vocab, &c.bos));
    SV_TRY(read_id(config, "pad_token_id", where, c.n_vocab, &c.pad));
    *out = c;
    return SV_OK;
}

/* ---- back ---- */

double sv_shortest_f64(float x)
{
    double v = (double)x;
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (sv_str_f64(sv_str_of(text), &v) && (float)v == x)
            return v;
    }
    return (double)x;
}

static void set(json_t *j, const char *key, json_t *value)
{
    json_object_set_new(j, key, value);
}

static json_t *eos_json(const sv_config *c)
{
    if (c->n_eos == 0)
        return json_null();
    if (c->n_eos == 1)
        return json_integer(c->eos[0]);
    json_t *list = json_array();
    for (uint32_t i = 0; i < c->n_eos; i++)
        json_array_append_new(list, json_integer(c->eos[i]));
    return list;
}

/* Divisors of frequencies as read from a file are what transformers calls longrope, with one list for all lengths. */
static json_t *factors_json(const sv_config *c)
{
    json_t *j = json_object(), *list = json_array();
    for (uint32_t i = 0; i < c->d_head / 2; i++)
        json_array_append_new(list, json_real(c->rope_divisor ? (double)c->rope_divisor[i] : 1.0));
    set(j, "rope_type", json_string("longrope"));
    set(j, "attention_factor", json_real(1.0));
    set(j, "factor", json_real(1.0));
    set(j, "original_max_position_embeddings", json_integer(c->n_ctx));
    set(j, "long_factor", json_deep_copy(list));
    set(j, "short_factor", list);
    return j;
}

static json_t *scaling_json(const sv_config *c)
{
    json_t *j;
    switch (c->scaling) {
    case SV_ROPE_PLAIN:
        break;
    case SV_ROPE_FACTORS:
        return factors_json(c);
    case SV_ROPE_LINEAR:
        j = json_object();
        set(j, "rope_type", json_string("linear"));
        set(j, "factor", json_real(c->rope_factor));
        return j;
    case SV_ROPE_LLAMA3:
        j = json_object();
        set(j, "rope_type", json_string("llama3"));
        set(j, "factor", json_real(c->rope_factor));
        set(j, "low_freq_factor", json_real(c->rope_low));
        set(j, "high_freq_factor", json_real(c->rope_high));
        set(j, "original_max_position_embeddings", json_integer(c->rope_ctx));
        return j;
    }
    return json_null();
}

json_t *sv_config_json(const sv_config *c)
{
    json_t *j = json_object(), *architectures = json_array();
    json_array_append_new(architectures, json_string(c->family->architecture));
    set(j, "architectures", architectures);
    set(j, "attention_bias", json_boolean(has_bias(c->family)));
    set(j, "bos_token_id", c->bos < 0 ? json_null() : json_integer(c->bos));
    set(j, "eos_token_id", eos_json(c));
    set(j, "head_dim", json_integer(c->d_head));
    set(j, "hidden_act", json_string("silu"));
    set(j, "hidden_size", json_integer(c->d_model));
    set(j, "intermediate_size", json_integer(c->d_ff));
    set(j, "max_position_embeddings", json_integer(c->n_ctx));
    set(j, "model_type", json_string(c->family->model_type));
    set(j, "num_attention_heads", json_integer(c->n_head));
    set(j, "num_hidden_layers", json_integer(c->n_layer));
    set(j, "num_key_value_heads", json_integer(c->n_kv_head));
    set(j, "pad_token_id", c->pad < 0 ? json_null() : json_integer(c->pad));
    set(j, "rms_norm_eps", json_real(sv_shortest_f64(c->eps)));
    set(j, "rope_scaling", scaling_json(c));
    set(j, "rope_theta", json_real(c->theta));
    set(j, "tie_word_embeddings", json_boolean(c->is_tied));
    set(j, "use_cache", json_true());
    set(j, "vocab_size", json_integer(c->n_vocab));
    return j;
}
