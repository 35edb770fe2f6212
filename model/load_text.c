/* SPDX-License-Identifier: Apache-2.0
 * What stands around the weights: proposals for generation, special tokens, the chat template. The same steps for
 * folders and for GGUF files, whose keys are first made into the JSON that a folder would have.
 */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/load_impl.h"
#include "text/tokjson.h"

#define MAX_TEMPLATE_BYTES (1u << 20)

/* ---- generation_config.json ---- */

sv_err sv_model_read_generation(sv_model_own *o, const char *where)
{
    const json_t *j = o->m.hf_generation;
    sv_gen_defaults *d = &o->m.defaults;
    bool sample;
    double top_k;
    *d = (sv_gen_defaults){ -1, -1, -1, -1, -1 };
    if (!j)
        return SV_OK;
    SV_TRY(sv_json_f64(j, "temperature", 0, 1e6, -1, where, &d->temperature));
    SV_TRY(sv_json_f64(j, "top_p", 0, 1, -1, where, &d->top_p));
    SV_TRY(sv_json_f64(j, "min_p", 0, 1, -1, where, &d->min_p));
    SV_TRY(sv_json_f64(j, "repetition_penalty", 0, 1e6, -1, where, &d->repetition_penalty));
    SV_TRY(sv_json_f64(j, "top_k", 0, 1e9, -1, where, &top_k));
    d->top_k = (int64_t)top_k;
    SV_TRY(sv_json_bool(j, "do_sample", true, where, &sample));
    if (!sample)
        d->temperature = 0;
    return sv_config_add_eos_of(&o->m.config, sv_json_get(j, "eos_token_id"), where);
}

/* ---- special tokens ---- */

/* A token of tokenizer_config.json: a text, or an object with content; NULL: none. */
static sv_err token_text(const json_t *j, const char *key, const char *where, const char **out)
{
    const json_t *v = sv_json_get(j, key);
    *out = NULL;
    if (!v)
        return SV_OK;
    *out = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    if (!*out)
        return sv_fail(SV_E_FORMAT, "%s: %s is neither a text nor an object with content", where, key);
    return SV_OK;
}

static int64_t id_of(const sv_model_own *o, const char *token)
{
    uint32_t id;
    if (!token || !o->m.tokenizer || !sv_tokenizer_find(o->m.tokenizer, sv_str_of(token), &id))
        return -1;
    return id < o->m.config.n_vocab ? (int64_t)id : -1;
}

static bool processor_adds(const json_t *p, const char *token)
{
    const json_t *list = sv_json_get(p, "processors"), *item;
    size_t i;
    json_array_foreach(list, i, item) if (processor_adds(item, token)) return true;
    const json_t *first = sv_json_get(json_array_get(sv_json_get(p, "single"), 0), "SpecialToken");
    const char *id = json_string_value(sv_json_get(first, "id"));
    return id && strcmp(id, token) == 0;
}

bool sv_tokenizer_json_adds(sv_str json, const char *token)
{
    sv_tokjson t;
    if (!token || json.n == 0 || sv_tokjson_open(json, "tokenizer.json", &t) != SV_OK)
        return false;
    bool adds = processor_adds(sv_json_get(t.rest, "post_processor"), token);
    sv_tokjson_close(&t);
    return adds;
}

sv_err sv_model_read_special_tokens(sv_model_own *o, const char *where)
{
    const json_t *j = o->m.hf_tokenizer_config;
    sv_config *c = &o->m.config;
    const char *bos, *eos, *pad;
    SV_TRY(token_text(j, "bos_token", where, &bos));
    SV_TRY(token_text(j, "eos_token", where, &eos));
    SV_TRY(token_text(j, "pad_token", where, &pad));
    o->m.bos_token = bos;
    o->m.eos_token = eos;
    c->bos = c->bos < 0 ? id_of(o, bos) : c->bos;
    c->pad = c->pad < 0 ? id_of(o, pad) : c->pad;
    if (id_of(o, eos) >= 0)
        SV_TRY(sv_config_add_eos(c, id_of(o, eos), where));
    if (sv_json_get(j, "add_bos_token"))
        SV_TRY(sv_json_bool(j, "add_bos_token", false, where, &o->m.add_bos));
    else if (o->m.tokenizer && bos)
        o->m.add_bos = sv_tokenizer_json_adds(sv_tokenizer_json(o->m.tokenizer), bos);
    o->m.add_bos = o->m.add_bos && c->bos >= 0;
    return SV_OK;
}

sv_err sv_model_check_vocab(const sv_model_own *o, const char *where)
{
    if (!o->m.tokenizer || sv_tokenizer_count(o->m.tokenizer) <= o->m.config.n_vocab)
        return SV_OK;
    return sv_fail(
        SV_E_FORMAT,
        "%s: %u tokens, but vocab_size is %u: the last have no row in the embedding; the tokenizer is another "
        "model's, or tokens were added without growing the weights",
        where, sv_tokenizer_count(o->m.tokenizer), o->m.config.n_vocab);
}

/* ---- chat template ---- */

static void drop_template(void *t)
{
    sv_template_drop(t);
}

sv_str sv_template_of_config(const json_t *tokenizer_config)
{
    const json_t *v = sv_json_get(tokenizer_config, "chat_template"), *item, *chosen = NULL;
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach(v, i, item)
        {
            const char *name = json_string_value(sv_json_get(item, "name"));
            if (!chosen || (name && strcmp(name, "default") == 0))
                chosen = sv_json_get(item, "template");
        }
        v = chosen;
    }
    return json_is_string(v) ? (sv_str){ json_string_value(v), json_string_length(v) } : (sv_str){ NULL, 0 };
}

static sv_err make_template(sv_model_own *o, sv_str text, const char *name)
{
    o->template_text = text;
    o->m.template_problem = NULL;
    SV_TRY(sv_template_make(text, name, &o->m.chat_template));
    sv_arena_defer(o->m.arena, drop_template, o->m.chat_template);
    return SV_OK;
}

void sv_model_set_template(sv_model_own *o, sv_str text, const char *name)
{
    if (!text.p || make_template(o, text, name) == SV_OK)
        return;
    o->m.chat_template = NULL;
    o->m.template_problem = sv_arena_text(o->m.arena, sv_err_text());
}

sv_err sv_model_replace_template(sv_model_own *o)
{
    sv_str text;
    if (!o->opts.chat_template)
        return SV_OK;
    SV_TRY(sv_file_read(o->opts.chat_template, MAX_TEMPLATE_BYTES, o->m.arena, &text));
    o->template_is_in_config = false;
    return make_template(o, text, o->opts.chat_template);
}
