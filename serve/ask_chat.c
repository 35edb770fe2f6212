/* SPDX-License-Identifier: Apache-2.0
 * Reading what only chats have: messages, tools, forms of answers, thinking.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "serve/ask_impl.h"

#define MAX_MESSAGES 4096u
#define MAX_TOOLS 128u
#define MAX_KWARGS 32u
#define MAX_BUDGET_MESSAGE 256u

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
        return sv_ask_wrong(a, "chat_template_kwargs", o, "an object of up to 32 entries");
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        static const char *const own[] = { "messages", "tools", "add_generation_prompt", "bos_token", "eos_token" };
        a->param = "chat_template_kwargs";
        if (sv_ask_is_in(own, 5, key))
            return sv_fail(SV_E_ARG, "chat_template_kwargs holds %s, which the server sets itself; leave it out", key);
        if (json_is_object(v) || json_is_array(v))
            return sv_fail(SV_E_ARG, "chat_template_kwargs.%s is %s; allowed: texts, numbers, true, false",
                           sv_str_quote(sv_str_of(key)), sv_ask_words(v));
        bool is_switch = strcmp(key, "enable_thinking") == 0 || strcmp(key, "thinking") == 0;
        if (is_switch && !json_is_boolean(v))
            return sv_fail(SV_E_ARG, "chat_template_kwargs.%s is %s; allowed: true, false", key, sv_ask_words(v));
    }
    a->param = NULL;
    a->kwargs = json_copy((json_t *)(uintptr_t)o);
    const json_t *on = json_object_get(o, "enable_thinking");
    on = on ? on : json_object_get(o, "thinking");
    if (on != NULL)
        set_thinking(a, json_is_true(on));
    return SV_OK;
}

static sv_err set_budget(sv_ask *a, const char *field, const json_t *v, const sv_ask_rules *rules)
{
    char allowed[64];
    snprintf(allowed, sizeof allowed, "whole numbers from -1 (none) to %u", rules->n_ctx);
    if (!json_is_integer(v) || json_integer_value(v) < -1 || json_integer_value(v) > rules->n_ctx)
        return sv_ask_wrong(a, field, v, allowed);
    if (a->has_budget && a->budget != json_integer_value(v)) {
        a->param = field;
        return sv_fail(SV_E_ARG, "%s is %s, another field says %lld; send one", field, sv_ask_words(v),
                       (long long)a->budget);
    }
    a->has_budget = true;
    a->budget = json_integer_value(v);
    return SV_OK;
}

static sv_err read_budget(sv_ask *a, const sv_ask_rules *rules)
{
    static const char *const fields[] = { "thinking_budget", "thinking_token_budget", "thinking_budget_tokens",
                                          "reasoning_budget_tokens" };
    static const char *const words[] = { "budget_message", "reasoning_budget_message" };
    for (uint32_t i = 0; i < 4; i++) {
        const json_t *v = sv_json_get(a->root, fields[i]);
        if (v != NULL)
            SV_TRY(set_budget(a, fields[i], v, rules));
    }
    for (uint32_t i = 0; i < 2; i++) {
        const json_t *v = sv_json_get(a->root, words[i]);
        if (v != NULL && (!json_is_string(v) || json_string_length(v) > MAX_BUDGET_MESSAGE))
            return sv_ask_wrong(a, words[i], v, "a text of up to 256 bytes");
        if (v != NULL)
            a->budget_message = json_string_value(v);
    }
    return SV_OK;
}

/* {"type": "enabled" or "disabled", "budget_tokens": N} */
static sv_err read_thinking_object(sv_ask *a, const json_t *o, const sv_ask_rules *rules)
{
    const char *key, *type = json_string_value(sv_json_get(o, "type"));
    json_t *v;
    if (type == NULL || (strcmp(type, "enabled") != 0 && strcmp(type, "disabled") != 0))
        return sv_ask_wrong(a, "thinking", o, "{\"type\": \"enabled\"} or {\"type\": \"disabled\"}");
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        a->param = "thinking";
        if (strcmp(key, "budget_tokens") == 0)
            SV_TRY(set_budget(a, "thinking.budget_tokens", v, rules));
        else if (strcmp(key, "type") != 0)
            return sv_fail(SV_E_ARG, "thinking holds %s; allowed: type, budget_tokens", sv_str_quote(sv_str_of(key)));
    }
    a->param = NULL;
    set_thinking(a, strcmp(type, "enabled") == 0);
    return SV_OK;
}

static sv_err read_effort(sv_ask *a, const sv_ask_rules *rules)
{
    static const struct {
        const char *word;
        int64_t budget;
    } effort[] = { { "none", -1 },    { "minimal", 256 }, { "low", 1024 }, { "medium", 4096 },
                   { "high", 16384 }, { "xhigh", 32768 }, { "max", -1 } };
    const json_t *v = sv_json_get(a->root, "reasoning_effort");
    if (v == NULL)
        return SV_OK;
    for (uint32_t i = 0; i < 7 && json_is_string(v); i++) {
        if (strcmp(json_string_value(v), effort[i].word) != 0)
            continue;
        if (i == 0)
            set_thinking(a, false);
        if (!a->has_budget)
            a->budget = effort[i].budget < rules->n_ctx ? effort[i].budget : -1;
        return SV_OK;
    }
    return sv_ask_wrong(a, "reasoning_effort", v, "none, minimal, low, medium, high, xhigh, max");
}

static sv_err read_thinking(sv_ask *a, const sv_ask_rules *rules)
{
    static const char *const formats[] = { "both", "deepseek", "vllm", "auto", "none" };
    SV_TRY(read_kwargs(a));
    const json_t *v = sv_json_get(a->root, "enable_thinking");
    if (v != NULL && !json_is_boolean(v))
        return sv_ask_wrong(a, "enable_thinking", v, "true, false");
    if (v != NULL)
        set_thinking(a, json_is_true(v));
    SV_TRY(read_budget(a, rules));
    v = sv_json_get(a->root, "thinking");
    if (v != NULL)
        SV_TRY(read_thinking_object(a, v, rules));
    SV_TRY(read_effort(a, rules));
    v = sv_json_get(a->root, "reasoning_format");
    if (v != NULL && (!json_is_string(v) || !sv_ask_is_in(formats, 5, json_string_value(v))))
        return sv_ask_wrong(a, "reasoning_format", v, "both, deepseek, vllm, none");
    a->reasoning_in_content = v != NULL && strcmp(json_string_value(v), "none") == 0;
    return SV_OK;
}

/* ---- messages ---- */

static sv_err message_fault(sv_ask *a, size_t i, const char *what, const json_t *v, const char *allowed)
{
    a->param = "messages";
    return sv_fail(SV_E_ARG, "messages[%zu]%s is %s; allowed: %s", i, what, v ? sv_ask_words(v) : "missing", allowed);
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

static sv_err read_calls(sv_ask *a, size_t i, json_t *m)
{
    json_t *list = sv_json_get(m, "tool_calls");
    if (list == NULL) {
        json_object_del(m, "tool_calls");
        return SV_OK;
    }
    if (!json_is_array(list) || json_array_size(list) > MAX_TOOLS)
        return message_fault(a, i, ".tool_calls", list, "a list of up to 128 calls");
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *f = json_object_get(json_array_get(list, k), "function");
        if (!json_is_string(json_object_get(f, "name")) ||
            !(json_is_string(json_object_get(f, "arguments")) || json_is_object(json_object_get(f, "arguments")))) {
            a->param = "messages";
            return sv_fail(SV_E_ARG, "messages[%zu].tool_calls[%zu] has no function with name and arguments", i, k);
        }
    }
    if (json_array_size(list) == 0)
        json_object_del(m, "tool_calls");
    return SV_OK;
}

static sv_err read_message(sv_ask *a, size_t i, json_t *m)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool", "developer", "function" };
    if (!json_is_object(m))
        return message_fault(a, i, "", m, "an object with role and content");
    json_t *role = sv_json_get(m, "role"), *content = sv_json_get(m, "content");
    if (!json_is_string(role) || !sv_ask_is_in(roles, 6, json_string_value(role)))
        return message_fault(a, i, ".role", role, "system, developer, user, assistant, tool, function");
    const char *name = json_string_value(role); /* gone once the role is replaced */
    bool is_assistant = strcmp(name, "assistant") == 0;
    const char *instead = strcmp(name, "developer") == 0 ? "system" : strcmp(name, "function") == 0 ? "tool" : NULL;
    if (instead != NULL)
        json_object_set_new(m, "role", json_string(instead));
    if (content == NULL && !is_assistant)
        return message_fault(a, i, ".content", NULL, "a text, or a list of text parts");
    if (is_assistant)
        SV_TRY(read_calls(a, i, m));
    if (content == NULL) /* beside calls some templates need null, others "": the renderer knows */
        json_object_set_new(m, "content", json_object_get(m, "tool_calls") ? json_null() : json_string(""));
    else if (json_is_array(content))
        SV_TRY(join_parts(a, i, m, content));
    else if (!json_is_string(content))
        return message_fault(a, i, ".content", content, "a text, or a list of text parts");
    return read_reasoning(a, i, m);
}

/* ---- tools and forms ---- */

static sv_err tool_fault(sv_ask *a, size_t i, const char *what)
{
    a->param = "tools";
    return sv_fail(SV_E_ARG, "tools[%zu] %s", i, what);
}

static sv_err check_tool(sv_ask *a, size_t i, const json_t *list)
{
    const json_t *t = json_array_get(list, i), *f = json_object_get(t, "function");
    const json_t *type = sv_json_get(t, "type"), *parameters = sv_json_get(f, "parameters");
    const char *name = json_string_value(json_object_get(f, "name"));
    if (type != NULL && (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0))
        return tool_fault(a, i, "has another type than function");
    if (name == NULL || strlen(name) < 1 || strlen(name) > 64 ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name))
        return tool_fault(a, i, "has no function.name of 1 to 64 letters, digits, _ and -");
    if (parameters != NULL && !json_is_object(parameters))
        return tool_fault(a, i, "has parameters that are no object");
    for (size_t k = 0; k < i; k++)
        if (strcmp(name, sv_ask_tool_name(list, k)) == 0)
            return tool_fault(a, i, "has the name of another one");
    return SV_OK;
}

const char *sv_ask_tool_name(const json_t *tools, size_t i)
{
    return json_string_value(json_object_get(json_object_get(json_array_get(tools, i), "function"), "name"));
}

/* The old names: functions and function_call. */
static void read_functions(sv_ask *a)
{
    const json_t *f = sv_json_get(a->root, "functions"), *c = sv_json_get(a->root, "function_call");
    if (json_is_array(f) && sv_json_get(a->root, "tools") == NULL) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(f); i++)
            json_array_append_new(list, json_pack("{s:s, s:O}", "type", "function", "function", json_array_get(f, i)));
        json_object_set_new(a->root, "tools", list);
    }
    if (c != NULL && sv_json_get(a->root, "tool_choice") == NULL)
        json_object_set_new(a->root, "tool_choice",
                            json_is_object(c) ? json_pack("{s:s, s:O}", "type", "function", "function", c)
                                              : json_incref((json_t *)(uintptr_t)c));
}

static sv_err read_choice(sv_ask *a, const json_t *tools)
{
    static const char *const words[] = { "auto", "none", "required", "any" };
    static const char allowed[] = "auto, none, required, or {\"type\": \"function\", \"function\": {\"name\": NAME}}";
    const json_t *v = sv_json_get(a->root, "tool_choice");
    if (v == NULL)
        return SV_OK;
    if (json_is_string(v)) {
        const char *word = json_string_value(v);
        if (!sv_ask_is_in(words, 4, word))
            return sv_ask_wrong(a, "tool_choice", v, allowed);
        a->choice = strcmp(word, "none") == 0   ? SV_CHOICE_NONE
                    : strcmp(word, "auto") == 0 ? SV_CHOICE_AUTO
                                                : SV_CHOICE_REQUIRED;
    } else {
        const json_t *f = json_object_get(v, "function");
        a->choice_name = json_string_value(json_object_get(f ? f : v, "name"));
        if (a->choice_name == NULL)
            return sv_ask_wrong(a, "tool_choice", v, allowed);
        a->choice = SV_CHOICE_REQUIRED;
        size_t i = 0;
        while (i < json_array_size(tools) && strcmp(a->choice_name, sv_ask_tool_name(tools, i)) != 0)
            i++;
        a->param = "tool_choice";
        if (i == json_array_size(tools))
            return sv_fail(SV_E_ARG, "tool_choice names %s, which is not in tools",
                           sv_str_quote(sv_str_of(a->choice_name)));
        a->param = NULL;
    }
    if (a->choice == SV_CHOICE_REQUIRED && json_array_size(tools) == 0)
        return sv_ask_wrong(a, "tool_choice", v, "a forced call only with tools");
    return SV_OK;
}

static sv_err read_tools(sv_ask *a)
{
    read_functions(a);
    const json_t *v = sv_json_get(a->root, "tools");
    if (v != NULL && (!json_is_array(v) || json_array_size(v) > MAX_TOOLS))
        return sv_ask_wrong(a, "tools", v, "a list of up to 128 tools");
    for (size_t i = 0; i < json_array_size(v); i++)
        SV_TRY(check_tool(a, i, v));
    SV_TRY(read_choice(a, v));
    a->tools = json_array_size(v) > 0 && a->choice != SV_CHOICE_NONE ? v : NULL;
    return sv_ask_on_off(a, a->root, "parallel_tool_calls", "parallel_tool_calls", &a->parallel_tools);
}

sv_err sv_ask_read_format(sv_ask *a)
{
    static const char allowed[] = "{\"type\": \"text\"}, {\"type\": \"json_object\"}, or {\"type\": \"json_schema\", "
                                  "\"json_schema\": {\"name\": NAME, \"schema\": SCHEMA}}";
    const json_t *v = sv_json_get(a->root, "response_format"), *o;
    if (v == NULL)
        return SV_OK;
    const char *type = json_string_value(sv_json_get(v, "type"));
    if (type == NULL)
        return sv_ask_wrong(a, "response_format", v, allowed);
    if (strcmp(type, "text") == 0)
        return SV_OK;
    if (strcmp(type, "json_object") == 0) {
        a->form = SV_FORM_OBJECT;
        return SV_OK;
    }
    o = sv_json_get(v, "json_schema");
    a->schema = sv_json_get(o ? o : v, "schema");
    if (strcmp(type, "json_schema") != 0 || a->schema == NULL)
        return sv_ask_wrong(a, "response_format", v, allowed);
    a->form = SV_FORM_SCHEMA;
    return SV_OK;
}

sv_err sv_ask_read_chat(sv_ask *a, const sv_ask_rules *rules)
{
    json_t *list = sv_json_get(a->root, "messages");
    a->param = "messages";
    if (list == NULL)
        return sv_fail(SV_E_ARG, "messages is missing; it is the list of what was said so far");
    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > MAX_MESSAGES)
        return sv_ask_wrong(a, "messages", list, "a list of 1 to 4,096 messages");
    for (size_t i = 0; i < json_array_size(list); i++)
        SV_TRY(read_message(a, i, json_array_get(list, i)));
    a->param = NULL;
    a->messages = list;
    SV_TRY(read_tools(a));
    SV_TRY(sv_ask_read_format(a));
    return read_thinking(a, rules);
}
