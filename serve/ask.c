/* SPDX-License-Identifier: Apache-2.0
 * Reading requests.
 */
#include "serve/ask_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define MAX_STOP_BYTES 256u
#define MAX_BIAS 1024u

static const sv_json_limits request_limits = { (size_t)64 << 20, 64 }; /* the body's own limit comes first */

/* Accepted without effect on the answer. */
static const char *const quiet_fields[] = { "user",         "metadata",          "store",
                                            "service_tier", "safety_identifier", "prompt_cache_key",
                                            "verbosity",    "prediction",        "moderation",
                                            "cache_prompt" };
static const char *const known_fields[] = { "model",
                                            "messages",
                                            "tools",
                                            "tool_choice",
                                            "prompt",
                                            "stream",
                                            "stream_options",
                                            "temperature",
                                            "top_p",
                                            "top_k",
                                            "min_p",
                                            "seed",
                                            "max_tokens",
                                            "max_completion_tokens",
                                            "stop",
                                            "logprobs",
                                            "top_logprobs",
                                            "n",
                                            "frequency_penalty",
                                            "presence_penalty",
                                            "repetition_penalty",
                                            "chat_template_kwargs",
                                            "enable_thinking",
                                            "thinking",
                                            "reasoning_effort",
                                            "reasoning_format",
                                            "response_format",
                                            "ignore_eos",
                                            "echo",
                                            "include_stop_str_in_output",
                                            "continue_final_message",
                                            "logit_bias",
                                            "best_of",
                                            "suffix",
                                            "parallel_tool_calls",
                                            "functions",
                                            "function_call",
                                            "thinking_budget",
                                            "thinking_token_budget",
                                            "thinking_budget_tokens",
                                            "reasoning_budget_tokens",
                                            "budget_message",
                                            "reasoning_budget_message" };

bool sv_ask_is_in(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

/* A value in few words, for messages. */
const char *sv_ask_words(const json_t *v)
{
    static _Thread_local char out[128];
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        snprintf(out, sizeof out, "the text \"%.80s\"",
                 sv_str_quote((sv_str){ json_string_value(v), json_string_length(v) }));
        return out;
    case JSON_INTEGER:
        snprintf(out, sizeof out, "%lld", (long long)json_integer_value(v));
        return out;
    case JSON_REAL:
        snprintf(out, sizeof out, "%.9g", json_real_value(v));
        return out;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        break;
    }
    return "null";
}

sv_err sv_ask_wrong(sv_ask *a, const char *field, const json_t *v, const char *allowed)
{
    a->param = field;
    return sv_fail(SV_E_ARG, "%s is %s; allowed: %s", field, sv_ask_words(v), allowed);
}

sv_err sv_ask_unsupported(sv_ask *a, const char *field, const char *sentence)
{
    a->param = field;
    return sv_fail(SV_E_UNSUPPORTED, "%s: %s", field, sentence);
}

sv_err sv_ask_number(sv_ask *a, const char *field, double min, double max, const char *allowed, float *out)
{
    const json_t *v = sv_json_get(a->root, field);
    if (v == NULL)
        return SV_OK;
    double x = json_number_value(v);
    if (!json_is_number(v) || !isfinite(x) || x < min || x > max)
        return sv_ask_wrong(a, field, v, allowed);
    *out = (float)x;
    return SV_OK;
}

sv_err sv_ask_whole(sv_ask *a, const char *field, int64_t min, int64_t max, int64_t *out)
{
    const json_t *v = sv_json_get(a->root, field);
    if (v == NULL)
        return SV_OK;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
        char allowed[80];
        snprintf(allowed, sizeof allowed, "whole numbers from %lld to %lld", (long long)min, (long long)max);
        return sv_ask_wrong(a, field, v, allowed);
    }
    *out = json_integer_value(v);
    return SV_OK;
}

sv_err sv_ask_on_off(sv_ask *a, const json_t *obj, const char *key, const char *field, bool *out)
{
    const json_t *v = sv_json_get(obj, key);
    if (v == NULL)
        return SV_OK;
    if (!json_is_boolean(v))
        return sv_ask_wrong(a, field, v, "true, false");
    *out = json_is_true(v);
    return SV_OK;
}

static sv_err read_sampling(sv_ask *a, const sv_ask_rules *rules)
{
    sv_sampling *s = &a->sampling;
    int64_t top_k = s->top_k, seed = 0;
    SV_TRY(sv_ask_number(a, "temperature", 0, 2, "numbers from 0 to 2", &s->temperature));
    if (s->temperature > 0 && s->temperature < SV_TEMPERATURE_MIN)
        return sv_ask_wrong(a, "temperature", sv_json_get(a->root, "temperature"), "0, or numbers from 0.001 to 2");
    SV_TRY(sv_ask_number(a, "top_p", 0, 1, "numbers above 0, up to 1", &s->top_p));
    if (s->top_p <= 0)
        return sv_ask_wrong(a, "top_p", sv_json_get(a->root, "top_p"), "numbers above 0, up to 1");
    SV_TRY(sv_ask_number(a, "min_p", 0, 0.9999, "numbers from 0 to below 1", &s->min_p));
    SV_TRY(sv_ask_number(a, "frequency_penalty", -2, 2, "numbers from -2 to 2", &s->frequency));
    SV_TRY(sv_ask_number(a, "presence_penalty", -2, 2, "numbers from -2 to 2", &s->presence));
    SV_TRY(sv_ask_number(a, "repetition_penalty", 0.01, 10, "numbers from 0.01 to 10", &s->repetition));
    SV_TRY(sv_ask_whole(a, "top_k", -1, rules->n_vocab, &top_k));
    s->top_k = top_k < 0 ? 0 : (uint32_t)top_k;
    a->has_seed = sv_json_get(a->root, "seed") != NULL;
    SV_TRY(sv_ask_whole(a, "seed", INT64_MIN, INT64_MAX, &seed));
    s->seed = (uint64_t)seed;
    a->param = "temperature";
    SV_TRY(sv_sampling_check(s));
    a->param = NULL;
    return SV_OK;
}

static sv_err add_stop(sv_ask *a, const json_t *v)
{
    if (json_is_null(v))
        return SV_OK;
    if (!json_is_string(v) || json_string_length(v) < 1 || json_string_length(v) > MAX_STOP_BYTES)
        return sv_ask_wrong(a, "stop", v, "texts of 1 to 256 bytes");
    if (a->n_stop == SV_ASK_MAX_STOP) {
        a->param = "stop";
        return sv_fail(SV_E_ARG, "stop has more than %u texts; allowed: up to %u", SV_ASK_MAX_STOP, SV_ASK_MAX_STOP);
    }
    a->stop[a->n_stop++] = json_string_value(v);
    return SV_OK;
}

static sv_err read_stop(sv_ask *a)
{
    const json_t *v = sv_json_get(a->root, "stop");
    if (v == NULL || json_is_string(v))
        return v ? add_stop(a, v) : SV_OK;
    if (!json_is_array(v))
        return sv_ask_wrong(a, "stop", v, "a text, or a list of up to 16 texts");
    for (size_t i = 0; i < json_array_size(v); i++)
        SV_TRY(add_stop(a, json_array_get(v, i)));
    return SV_OK;
}

static sv_err read_lengths(sv_ask *a, const sv_ask_rules *rules)
{
    int64_t most = 0, n = 1, best;
    SV_TRY(sv_ask_whole(a, "max_tokens", a->echo ? 0 : 1, rules->n_ctx, &most));
    a->only_echo = a->echo && sv_json_get(a->root, "max_tokens") != NULL && most == 0;
    SV_TRY(sv_ask_whole(a, "max_completion_tokens", 1, rules->n_ctx, &most));
    SV_TRY(sv_ask_whole(a, "n", 1, SV_ASK_MAX_CHOICE, &n));
    best = n;
    SV_TRY(sv_ask_whole(a, "best_of", 1, SV_ASK_MAX_CHOICE, &best));
    if (best != n)
        return sv_ask_unsupported(a, "best_of", "only n answers are made and all are returned; leave it out");
    a->max_tokens = (uint32_t)most;
    a->n = (uint32_t)n;
    return SV_OK;
}

static sv_err read_logprobs(sv_ask *a, bool chat)
{
    int64_t top = 0;
    if (chat) {
        SV_TRY(sv_ask_on_off(a, a->root, "logprobs", "logprobs", &a->logprobs));
        SV_TRY(sv_ask_whole(a, "top_logprobs", 0, SV_ASK_MAX_TOP, &top));
        if (top > 0 && !a->logprobs)
            return sv_ask_wrong(a, "top_logprobs", sv_json_get(a->root, "top_logprobs"), "only with logprobs true");
    } else {
        SV_TRY(sv_ask_whole(a, "logprobs", 0, SV_ASK_MAX_TOP, &top));
        a->logprobs = sv_json_get(a->root, "logprobs") != NULL;
    }
    a->n_top = (uint32_t)top;
    return SV_OK;
}

static sv_err read_stream(sv_ask *a)
{
    SV_TRY(sv_ask_on_off(a, a->root, "stream", "stream", &a->stream));
    const json_t *o = sv_json_get(a->root, "stream_options"), *v;
    const char *key;
    if (o == NULL)
        return SV_OK;
    if (!json_is_object(o))
        return sv_ask_wrong(a, "stream_options", o, "an object");
    json_object_foreach((json_t *)(uintptr_t)o, key,
                        v) if (strcmp(key, "include_usage") != 0 && strcmp(key, "include_obfuscation") != 0)
    {
        a->param = "stream_options";
        return sv_fail(SV_E_ARG, "stream_options holds %s; allowed: include_usage", sv_str_quote(sv_str_of(key)));
    }
    return sv_ask_on_off(a, o, "include_usage", "stream_options.include_usage", &a->include_usage);
}

static bool is_ids(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_integer(json_array_get(v, i)))
            return false;
    return json_array_size(v) > 0;
}

/* One text, one list of ids, or a list of either. */
static sv_err read_completion(sv_ask *a)
{
    static const char allowed[] = "a text, a list of token ids, or a list of up to 256 of either";
    const json_t *v = sv_json_get(a->root, "prompt");
    a->param = "prompt";
    if (v == NULL)
        return sv_fail(SV_E_ARG, "prompt is missing; it is %s", allowed);
    bool one = json_is_string(v) || is_ids(v);
    if (!one && (json_array_size(v) < 1 || json_array_size(v) > SV_ASK_MAX_PROMPT))
        return sv_ask_wrong(a, "prompt", v, allowed);
    for (size_t i = 0; !one && i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)) && !is_ids(json_array_get(v, i)))
            return sv_ask_wrong(a, "prompt", v, allowed);
    a->prompt = v;
    a->n_prompt = one ? 1 : (uint32_t)json_array_size(v);
    a->one_prompt = one;
    a->param = NULL;
    if (sv_json_get(a->root, "suffix") != NULL)
        return sv_ask_unsupported(a, "suffix", "text behind the gap is not built; leave it out");
    SV_TRY(sv_ask_read_format(a));
    return sv_ask_on_off(a, a->root, "echo", "echo", &a->echo);
}

const json_t *sv_ask_prompt(const sv_ask *a, uint32_t i)
{
    return a->one_prompt ? a->prompt : json_array_get(a->prompt, i);
}

/* ---- the whole ---- */

static sv_err read_bias(sv_ask *a, const sv_ask_rules *rules)
{
    static const char allowed[] = "an object of up to 1,024 token ids with numbers from -100 to 100";
    const json_t *o = sv_json_get(a->root, "logit_bias"), *v;
    const char *key;
    if (o == NULL)
        return SV_OK;
    if (!json_is_object(o) || json_object_size(o) > MAX_BIAS)
        return sv_ask_wrong(a, "logit_bias", o, allowed);
    a->bias = sv_mem_new((json_object_size(o) + 1) * sizeof *a->bias);
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        uint64_t id;
        double by = json_number_value(v);
        a->param = "logit_bias";
        if (!sv_str_u64(sv_str_of(key), &id) || id >= rules->n_vocab)
            return sv_fail(SV_E_ARG, "logit_bias holds %s; allowed: token ids from 0 to %u",
                           sv_str_quote(sv_str_of(key)), rules->n_vocab - 1);
        if (!json_is_number(v) || !(by >= -100 && by <= 100))
            return sv_fail(SV_E_ARG, "logit_bias.%s is %s; allowed: numbers from -100 to 100", key, sv_ask_words(v));
        for (uint32_t i = 0; i < a->sampling.n_bias; i++)
            if (a->bias[i].id == id)
                return sv_fail(SV_E_ARG, "logit_bias names token %u twice", (unsigned)id);
        a->bias[a->sampling.n_bias++] = (sv_logit_bias){ (uint32_t)id, (float)by };
    }
    a->param = NULL;
    a->sampling.bias = a->bias;
    return SV_OK;
}

static sv_err read_others(sv_ask *a, const sv_ask_rules *rules)
{
    SV_TRY(read_bias(a, rules));
    SV_TRY(sv_ask_on_off(a, a->root, "ignore_eos", "ignore_eos", &a->ignore_eos));
    SV_TRY(sv_ask_on_off(a, a->root, "continue_final_message", "continue_final_message", &a->continue_final));
    return sv_ask_on_off(a, a->root, "include_stop_str_in_output", "include_stop_str_in_output", &a->include_stop);
}

static void list_ignored(sv_ask *a)
{
    const char *key;
    json_t *v;
    a->ignored = json_array();
    json_object_foreach(a->root, key,
                        v) if (!sv_ask_is_in(known_fields, sizeof known_fields / sizeof *known_fields, key) &&
                               !sv_ask_is_in(quiet_fields, sizeof quiet_fields / sizeof *quiet_fields, key) &&
                               json_array_size(a->ignored) < 32 && strlen(key) <= 64)
        json_array_append_new(a->ignored, json_string(key));
}

sv_err sv_ask_json(sv_str body, json_t **out)
{
    SV_TRY(sv_json_parse(body, &request_limits, "the body", out));
    if (json_is_object(*out))
        return SV_OK;
    sv_err err = sv_fail(SV_E_ARG, "the body is %s; a JSON object is needed", sv_ask_words(*out));
    json_decref(*out);
    *out = NULL;
    return err;
}

static sv_err read_all(sv_ask *out, bool chat, const sv_ask_rules *rules)
{
    const json_t *model = sv_json_get(out->root, "model");
    if (model != NULL && (!json_is_string(model) || json_string_length(model) > 256))
        return sv_ask_wrong(out, "model", model, "a text of up to 256 bytes");
    out->model = json_string_value(model);
    SV_TRY(chat ? sv_ask_read_chat(out, rules) : read_completion(out));
    SV_TRY(read_sampling(out, rules));
    SV_TRY(read_lengths(out, rules));
    SV_TRY(read_stop(out));
    SV_TRY(read_logprobs(out, chat));
    SV_TRY(read_stream(out));
    SV_TRY(read_others(out, rules));
    list_ignored(out);
    return SV_OK;
}

sv_err sv_ask_read(json_t *root, bool chat, const sv_ask_rules *rules, sv_ask *out)
{
    *out = (sv_ask){ .root = root, .sampling = rules->defaults, .n = 1, .n_prompt = 1, .budget = -1 };
    out->parallel_tools = true;
    return read_all(out, chat, rules);
}

sv_err sv_ask_parse(sv_str body, bool chat, const sv_ask_rules *rules, sv_ask *out)
{
    json_t *root;
    *out = (sv_ask){ .n = 1 };
    SV_TRY(sv_ask_json(body, &root));
    return sv_ask_read(root, chat, rules, out);
}

void sv_ask_done(sv_ask *a)
{
    sv_mem_free(a->bias);
    json_decref(a->kwargs);
    json_decref(a->ignored);
    json_decref(a->root);
    *a = (sv_ask){ 0 };
}
