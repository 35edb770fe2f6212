/* SPDX-License-Identifier: Apache-2.0
 * Reading requests.
 */
#include "serve/ask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define MAX_MESSAGES 4096u
#define MAX_TOOLS 128u
#define MAX_STOP_BYTES 256u
#define MAX_KWARGS 32u

static const sv_json_limits request_limits = { (size_t)64 << 20, 64 }; /* the body's own limit comes first */

/* Accepted without effect on the answer. */
static const char *const quiet_fields[] = { "user",         "metadata",           "store",
                                            "service_tier", "safety_identifier",  "prompt_cache_key",
                                            "verbosity",    "prediction",         "moderation",
                                            "cache_prompt", "parallel_tool_calls" };
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
                                            "suffix" };

static bool is_in(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

/* A value in few words, for messages. */
static const char *words_of(const json_t *v)
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

static sv_err wrong(sv_ask *a, const char *field, const json_t *v, const char *allowed)
{
    a->param = field;
    return sv_fail(SV_E_ARG, "%s is %s; allowed: %s", field, words_of(v), allowed);
}

static sv_err unsupported(sv_ask *a, const char *field, const char *sentence)
{
    a->param = field;
    return sv_fail(SV_E_UNSUPPORTED, "%s: %s", field, sentence);
}

static sv_err number(sv_ask *a, const char *field, double min, double max, const char *allowed, float *out)
{
    const json_t *v = sv_json_get(a->root, field);
    if (v == NULL)
        return SV_OK;
    double x = json_number_value(v);
    if (!json_is_number(v) || !isfinite(x) || x < min || x > max)
        return wrong(a, field, v, allowed);
    *out = (float)x;
    return SV_OK;
}

static sv_err whole(sv_ask *a, const char *field, int64_t min, int64_t max, int64_t *out)
{
    const json_t *v = sv_json_get(a->root, field);
    if (v == NULL)
        return SV_OK;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
        char allowed[80];
        snprintf(allowed, sizeof allowed, "whole numbers from %lld to %lld", (long long)min, (long long)max);
        return wrong(a, field, v, allowed);
    }
    *out = json_integer_value(v);
    return SV_OK;
}

static sv_err on_off(sv_ask *a, const json_t *obj, const char *key, const char *field, bool *out)
{
    const json_t *v = sv_json_get(obj, key);
    if (v == NULL)
        return SV_OK;
    if (!json_is_boolean(v))
        return wrong(a, field, v, "true, false");
    *out = json_is_true(v);
    return SV_OK;
}

static sv_err read_sampling(sv_ask *a, const sv_ask_rules *rules)
{
    sv_sampling *s = &a->sampling;
    int64_t top_k = s->top_k, seed = 0;
    SV_TRY(number(a, "temperature", 0, 2, "numbers from 0 to 2", &s->temperature));
    if (s->temperature > 0 && s->temperature < SV_TEMPERATURE_MIN)
        return wrong(a, "temperature", sv_json_get(a->root, "temperature"), "0, or numbers from 0.001 to 2");
    SV_TRY(number(a, "top_p", 0, 1, "numbers above 0, up to 1", &s->top_p));
    if (s->top_p <= 0)
        return wrong(a, "top_p", sv_json_get(a->root, "top_p"), "numbers above 0, up to 1");
    SV_TRY(number(a, "min_p", 0, 0.9999, "numbers from 0 to below 1", &s->min_p));
    SV_TRY(number(a, "frequency_penalty", -2, 2, "numbers from -2 to 2", &s->frequency));
    SV_TRY(number(a, "presence_penalty", -2, 2, "numbers from -2 to 2", &s->presence));
    SV_TRY(number(a, "repetition_penalty", 0.01, 10, "numbers from 0.01 to 10", &s->repetition));
    SV_TRY(whole(a, "top_k", -1, rules->n_vocab, &top_k));
    s->top_k = top_k < 0 ? 0 : (uint32_t)top_k;
    a->has_seed = sv_json_get(a->root, "seed") != NULL;
    SV_TRY(whole(a, "seed", INT64_MIN, INT64_MAX, &seed));
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
        return wrong(a, "stop", v, "texts of 1 to 256 bytes");
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
        return wrong(a, "stop", v, "a text, or a list of up to 16 texts");
    for (size_t i = 0; i < json_array_size(v); i++)
        SV_TRY(add_stop(a, json_array_get(v, i)));
    return SV_OK;
}

static sv_err read_lengths(sv_ask *a, const sv_ask_rules *rules)
{
    int64_t most = 0, n = 1, best;
    SV_TRY(whole(a, "max_tokens", 1, rules->n_ctx, &most));
    SV_TRY(whole(a, "max_completion_tokens", 1, rules->n_ctx, &most));
    SV_TRY(whole(a, "n", 1, SV_ASK_MAX_CHOICE, &n));
    best = n;
    SV_TRY(whole(a, "best_of", 1, SV_ASK_MAX_CHOICE, &best));
    if (best != n)
        return unsupported(a, "best_of", "only n answers are made and all are returned; leave it out");
    a->max_tokens = (uint32_t)most;
    a->n = (uint32_t)n;
    return SV_OK;
}

static sv_err read_logprobs(sv_ask *a, bool chat)
{
    int64_t top = 0;
    if (chat) {
        SV_TRY(on_off(a, a->root, "logprobs", "logprobs", &a->logprobs));
        SV_TRY(whole(a, "top_logprobs", 0, SV_ASK_MAX_TOP, &top));
        if (top > 0 && !a->logprobs)
            return wrong(a, "top_logprobs", sv_json_get(a->root, "top_logprobs"), "only with logprobs true");
    } else {
        SV_TRY(whole(a, "logprobs", 0, SV_ASK_MAX_TOP, &top));
        a->logprobs = sv_json_get(a->root, "logprobs") != NULL;
    }
    a->n_top = (uint32_t)top;
    return SV_OK;
}

static sv_err read_stream(sv_ask *a)
{
    SV_TRY(on_off(a, a->root, "stream", "stream", &a->stream));
    const json_t *o = sv_json_get(a->root, "stream_options"), *v;
    const char *key;
    if (o == NULL)
        return SV_OK;
    if (!json_is_object(o))
        return wrong(a, "stream_options", o, "an object");
    json_object_foreach((json_t *)(uintptr_t)o, key,
                        v) if (strcmp(key, "include_usage") != 0 && strcmp(key, "include_obfuscation") != 0)
    {
        a->param = "stream_options";
        return sv_fail(SV_E_ARG, "stream_options holds %s; allowed: include_usage", sv_str_quote(sv_str_of(key)));
    }
    return on_off(a, o, "include_usage", "stream_options.include_usage", &a->include_usage);
}

/* ---- thinking ---- */

static void set_thinking(sv_ask *a, bool on)
{
    if (a->kwargs == NULL)
        a->kwargs = json_object();
    if (json_object_get(a->kwargs, "enable_thinking") == NULL)
        json_object_set_new(a->kwargs, "enable_thinking", json_boolean(on));
    if (json_object_get(a->kwargs, "thinking") == NULL)
        json_object_set_new(a->kwargs, "thinking", json_boolean(on));
}

static sv_err read_kwargs(sv_ask *a)
{
    const json_t *o = sv_json_get(a->root, "chat_template_kwargs"), *v;
    const char *key;
    if (o == NULL)
        return SV_OK;
    if (!json_is_object(o) || json_object_size(o) > MAX_KWARGS)
        return wrong(a, "chat_template_kwargs", o, "an object of up to 32 entries");
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        static const char *const own[] = { "messages", "tools", "add_generation_prompt", "bos_token", "eos_token" };
        a->param = "chat_template_kwargs";
        if (is_in(own, 5, key))
            return sv_fail(SV_E_ARG, "chat_template_kwargs holds %s, which the server sets itself; leave it out", key);
        if (json_is_object(v) || json_is_array(v))
            return sv_fail(SV_E_ARG, "chat_template_kwargs.%s is %s; allowed: texts, numbers, true, false",
                           sv_str_quote(sv_str_of(key)), words_of(v));
        bool is_switch = strcmp(key, "enable_thinking") == 0 || strcmp(key, "thinking") == 0;
        if (is_switch && !json_is_boolean(v))
            return sv_fail(SV_E_ARG, "chat_template_kwargs.%s is %s; allowed: true, false", key, words_of(v));
    }
    a->param = NULL;
    a->kwargs = json_copy((json_t *)(uintptr_t)o);
    const json_t *on = json_object_get(o, "enable_thinking");
    on = on ? on : json_object_get(o, "thinking");
    if (on != NULL)
        set_thinking(a, json_is_true(on));
    return SV_OK;
}

static sv_err read_thinking(sv_ask *a)
{
    static const char *const efforts[] = { "none", "minimal", "low", "medium", "high", "xhigh", "max" };
    static const char *const formats[] = { "both", "deepseek", "vllm", "auto", "none" };
    SV_TRY(read_kwargs(a));
    const json_t *v = sv_json_get(a->root, "enable_thinking");
    if (v != NULL && !json_is_boolean(v))
        return wrong(a, "enable_thinking", v, "true, false");
    if (v != NULL)
        set_thinking(a, json_is_true(v));
    v = sv_json_get(a->root, "thinking");
    if (v != NULL) {
        const char *type = json_string_value(json_object_get(v, "type"));
        if (type == NULL || (strcmp(type, "enabled") != 0 && strcmp(type, "disabled") != 0))
            return wrong(a, "thinking", v, "{\"type\": \"enabled\"} or {\"type\": \"disabled\"}");
        set_thinking(a, strcmp(type, "enabled") == 0);
    }
    v = sv_json_get(a->root, "reasoning_effort");
    if (v != NULL) {
        if (!json_is_string(v) || !is_in(efforts, 7, json_string_value(v)))
            return wrong(a, "reasoning_effort", v, "none, minimal, low, medium, high, xhigh, max");
        if (strcmp(json_string_value(v), "none") == 0)
            set_thinking(a, false);
    }
    v = sv_json_get(a->root, "reasoning_format");
    if (v != NULL && (!json_is_string(v) || !is_in(formats, 5, json_string_value(v))))
        return wrong(a, "reasoning_format", v, "both, deepseek, vllm, none");
    a->reasoning_in_content = v != NULL && strcmp(json_string_value(v), "none") == 0;
    return SV_OK;
}

/* ---- messages ---- */

static sv_err message_fault(sv_ask *a, size_t i, const char *what, const json_t *v, const char *allowed)
{
    a->param = "messages";
    return sv_fail(SV_E_ARG, "messages[%zu]%s is %s; allowed: %s", i, what, v ? words_of(v) : "missing", allowed);
}

/* Text parts become one text; others are not built. Replaces the content in the message. */
static sv_err join_parts(sv_ask *a, size_t i, json_t *message, const json_t *parts)
{
    sv_bytes text = { 0 };
    for (size_t k = 0; k < json_array_size(parts); k++) {
        const json_t *part = json_array_get(parts, k), *t = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        bool is_text = type != NULL && (strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0);
        if (!is_text || !json_is_string(t)) {
            sv_bytes_done(&text);
            a->param = "messages";
            return sv_fail(SV_E_UNSUPPORTED,
                           "messages[%zu].content[%zu] has the type %s; this model reads parts of type text only", i, k,
                           type ? sv_str_quote(sv_str_of(type)) : "that is missing");
        }
        sv_bytes_add(&text, json_string_value(t), json_string_length(t));
    }
    json_object_set_new(message, "content", json_stringn(text.n ? text.p : "", text.n));
    sv_bytes_done(&text);
    return SV_OK;
}

static sv_err read_reasoning(sv_ask *a, size_t i, json_t *message)
{
    json_t *one = sv_json_get(message, "reasoning_content"), *two = sv_json_get(message, "reasoning");
    if (one != NULL && !json_is_string(one))
        return message_fault(a, i, ".reasoning_content", one, "a text");
    if (two != NULL && !json_is_string(two))
        return message_fault(a, i, ".reasoning", two, "a text");
    if (one != NULL && two != NULL && !json_equal(one, two)) {
        a->param = "messages";
        return sv_fail(SV_E_ARG, "messages[%zu]: reasoning_content and reasoning are different texts; send one", i);
    }
    if (one == NULL && two != NULL)
        json_object_set(message, "reasoning_content", two);
    return SV_OK;
}

static sv_err read_message(sv_ask *a, size_t i, json_t *m)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool", "developer", "function" };
    if (!json_is_object(m))
        return message_fault(a, i, "", m, "an object with role and content");
    json_t *role = sv_json_get(m, "role"), *content = sv_json_get(m, "content");
    if (!json_is_string(role) || !is_in(roles, 6, json_string_value(role)))
        return message_fault(a, i, ".role", role, "system, developer, user, assistant, tool, function");
    const char *name = json_string_value(role); /* gone once the role is replaced */
    bool is_assistant = strcmp(name, "assistant") == 0;
    const char *instead = strcmp(name, "developer") == 0 ? "system" : strcmp(name, "function") == 0 ? "tool" : NULL;
    if (instead != NULL)
        json_object_set_new(m, "role", json_string(instead));
    if (content == NULL && !is_assistant)
        return message_fault(a, i, ".content", NULL, "a text, or a list of text parts");
    if (content == NULL)
        json_object_set_new(m, "content", json_string(""));
    else if (json_is_array(content))
        SV_TRY(join_parts(a, i, m, content));
    else if (!json_is_string(content))
        return message_fault(a, i, ".content", content, "a text, or a list of text parts");
    return read_reasoning(a, i, m);
}

static sv_err read_chat(sv_ask *a)
{
    json_t *list = sv_json_get(a->root, "messages"), *v;
    a->param = "messages";
    if (list == NULL)
        return sv_fail(SV_E_ARG, "messages is missing; it is the list of what was said so far");
    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > MAX_MESSAGES)
        return wrong(a, "messages", list, "a list of 1 to 4,096 messages");
    for (size_t i = 0; i < json_array_size(list); i++)
        SV_TRY(read_message(a, i, json_array_get(list, i)));
    a->param = NULL;
    a->messages = list;
    v = sv_json_get(a->root, "tools");
    if (v != NULL && (!json_is_array(v) || json_array_size(v) > MAX_TOOLS))
        return wrong(a, "tools", v, "a list of up to 128 tools");
    const json_t *choice = sv_json_get(a->root, "tool_choice");
    bool none = choice != NULL && json_is_string(choice) && strcmp(json_string_value(choice), "none") == 0;
    bool automatic = choice == NULL || (json_is_string(choice) && strcmp(json_string_value(choice), "auto") == 0);
    if (!none && !automatic)
        return unsupported(a, "tool_choice", "only \"auto\" and \"none\" are built; a forced call is not");
    a->tools = v != NULL && json_array_size(v) > 0 && !none ? v : NULL;
    return read_thinking(a);
}

static sv_err read_completion(sv_ask *a)
{
    const json_t *v = sv_json_get(a->root, "prompt");
    a->param = "prompt";
    if (v == NULL)
        return sv_fail(SV_E_ARG, "prompt is missing; it is a text or a list of token ids");
    if (json_is_array(v) && json_array_size(v) == 1 && !json_is_integer(json_array_get(v, 0)))
        v = json_array_get(v, 0);
    bool ids = json_is_array(v) && json_array_size(v) > 0;
    for (size_t i = 0; ids && i < json_array_size(v); i++)
        ids = json_is_integer(json_array_get(v, i));
    if (!ids && !json_is_string(v))
        return wrong(a, "prompt", v, "one text, or one list of token ids");
    a->prompt = v;
    a->param = NULL;
    if (sv_json_get(a->root, "suffix") != NULL)
        return unsupported(a, "suffix", "text behind the gap is not built; leave it out");
    return on_off(a, a->root, "echo", "echo", &a->echo);
}

/* ---- the whole ---- */

static sv_err read_others(sv_ask *a)
{
    const json_t *v = sv_json_get(a->root, "response_format");
    if (v != NULL) {
        const char *type = json_string_value(json_object_get(v, "type"));
        if (type == NULL)
            return wrong(a, "response_format", v, "{\"type\": \"text\"}");
        if (strcmp(type, "text") != 0)
            return unsupported(a, "response_format", "only {\"type\": \"text\"} is built");
    }
    v = sv_json_get(a->root, "logit_bias");
    if (v != NULL && (!json_is_object(v) || json_object_size(v) > 0))
        return unsupported(a, "logit_bias", "not built; leave it out");
    SV_TRY(on_off(a, a->root, "ignore_eos", "ignore_eos", &a->ignore_eos));
    SV_TRY(on_off(a, a->root, "continue_final_message", "continue_final_message", &a->continue_final));
    return on_off(a, a->root, "include_stop_str_in_output", "include_stop_str_in_output", &a->include_stop);
}

static void list_ignored(sv_ask *a)
{
    const char *key;
    json_t *v;
    a->ignored = json_array();
    json_object_foreach(a->root, key, v) if (!is_in(known_fields, sizeof known_fields / sizeof *known_fields, key) &&
                                             !is_in(quiet_fields, sizeof quiet_fields / sizeof *quiet_fields, key) &&
                                             json_array_size(a->ignored) < 32 && strlen(key) <= 64)
        json_array_append_new(a->ignored, json_string(key));
}

sv_err sv_ask_json(sv_str body, json_t **out)
{
    SV_TRY(sv_json_parse(body, &request_limits, "the body", out));
    if (json_is_object(*out))
        return SV_OK;
    sv_err err = sv_fail(SV_E_ARG, "the body is %s; a JSON object is needed", words_of(*out));
    json_decref(*out);
    *out = NULL;
    return err;
}

sv_err sv_ask_parse(sv_str body, bool chat, const sv_ask_rules *rules, sv_ask *out)
{
    *out = (sv_ask){ .sampling = rules->defaults, .n = 1 };
    SV_TRY(sv_ask_json(body, &out->root));
    const json_t *model = sv_json_get(out->root, "model");
    if (model != NULL && (!json_is_string(model) || json_string_length(model) > 256))
        return wrong(out, "model", model, "a text of up to 256 bytes");
    out->model = json_string_value(model);
    SV_TRY(chat ? read_chat(out) : read_completion(out));
    SV_TRY(read_sampling(out, rules));
    SV_TRY(read_lengths(out, rules));
    SV_TRY(read_stop(out));
    SV_TRY(read_logprobs(out, chat));
    SV_TRY(read_stream(out));
    SV_TRY(read_others(out));
    list_ignored(out);
    return SV_OK;
}

void sv_ask_done(sv_ask *a)
{
    json_decref(a->kwargs);
    json_decref(a->ignored);
    json_decref(a->root);
    *a = (sv_ask){ 0 };
}
