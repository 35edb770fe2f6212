/* SPDX-License-Identifier: Apache-2.0
 * /v1/responses: a request becomes a chat, its answer becomes items (reasoning, message, function calls), whole or as
 * the events that openai-python reads. Nothing is stored here: `previous_response_id` is refused.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "serve/reply.h"

/* ---- the request ---- */

typedef struct convert {
    const json_t *in;
    json_t *out, *messages;
    json_t *reasoning; /* of the turn that comes next, or NULL */
    const char *param;
} convert;

static sv_err wrong(convert *c, const char *field, const char *allowed)
{
    c->param = field;
    return sv_fail(SV_E_ARG, "%s is not understood; allowed: %s", field, allowed);
}

/* A text, or parts of type input_text, output_text or text. */
static sv_err content(convert *c, const json_t *v, json_t **out)
{
    *out = NULL;
    if (json_is_string(v)) {
        *out = json_incref((json_t *)(uintptr_t)v);
        return SV_OK;
    }
    sv_bytes text = { 0 };
    sv_err err = json_is_array(v) ? SV_OK : wrong(c, "input", "items whose content is a text or a list of text parts");
    for (size_t i = 0; i < json_array_size(v) && err == SV_OK; i++) {
        const json_t *t = json_object_get(json_array_get(v, i), "text");
        if (json_is_string(t)) {
            sv_bytes_add(&text, json_string_value(t), json_string_length(t));
        } else {
            c->param = "input";
            err = sv_fail(SV_E_UNSUPPORTED, "input has a part that is no text; this model reads text only");
        }
    }
    if (err == SV_OK)
        *out = json_stringn(text.n ? text.p : "", text.n);
    sv_bytes_done(&text);
    return err;
}

/* Reasoning and calls stand before or beside the message of one turn: they join the last assistant message. */
static json_t *assistant(convert *c)
{
    size_t n = json_array_size(c->messages);
    json_t *last = n > 0 ? json_array_get(c->messages, n - 1) : NULL;
    const char *role = json_string_value(json_object_get(last, "role"));
    if (c->reasoning == NULL && role != NULL && strcmp(role, "assistant") == 0)
        return last;
    last = json_pack("{s:s, s:n}", "role", "assistant", "content");
    if (c->reasoning != NULL)
        json_object_set_new(last, "reasoning_content", c->reasoning);
    c->reasoning = NULL;
    json_array_append_new(c->messages, last);
    return last;
}

static sv_err add_call(convert *c, const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *id = json_string_value(json_object_get(item, "call_id"));
    const json_t *argument = json_object_get(item, "arguments");
    if (name == NULL || !json_is_string(argument))
        return wrong(c, "input", "a function_call with name, call_id and arguments");
    json_t *m = assistant(c), *list = json_object_get(m, "tool_calls");
    if (list == NULL) {
        list = json_array();
        json_object_set_new(m, "tool_calls", list);
    }
    json_array_append_new(list, json_pack("{s:s?, s:s, s:{s:s, s:O}}", "id", id, "type", "function", "function", "name",
                                          name, "arguments", argument));
    return SV_OK;
}

static sv_err add_reasoning(convert *c, const json_t *item)
{
    json_t *v = json_object_get(item, "content");
    if (json_array_size(v) == 0)
        v = json_object_get(item, "summary");
    json_decref(c->reasoning);
    c->reasoning = NULL;
    return json_array_size(v) > 0 ? content(c, v, &c->reasoning) : SV_OK;
}

static sv_err add_message(convert *c, const json_t *item)
{
    const char *role = json_string_value(json_object_get(item, "role"));
    json_t *text;
    if (role == NULL)
        return wrong(c, "input", "messages with role and content, function_call, function_call_output, reasoning");
    SV_TRY(content(c, json_object_get(item, "content"), &text));
    if (strcmp(role, "assistant") == 0)
        json_object_set_new(assistant(c), "content", text);
    else
        json_array_append_new(c->messages, json_pack("{s:s, s:o}", "role", role, "content", text));
    return SV_OK;
}

static sv_err add_item(convert *c, const json_t *item)
{
    const json_t *t = json_object_get(item, "type");
    const char *type = json_is_string(t) ? json_string_value(t) : "message";
    json_t *text;
    if (strcmp(type, "message") == 0)
        return add_message(c, item);
    if (strcmp(type, "function_call") == 0)
        return add_call(c, item);
    if (strcmp(type, "reasoning") == 0)
        return add_reasoning(c, item);
    if (strcmp(type, "function_call_output") != 0)
        return wrong(c, "input", "items of type message, function_call, function_call_output, reasoning");
    SV_TRY(content(c, json_object_get(item, "output"), &text));
    json_array_append_new(c->messages, json_pack("{s:s, s:o, s:s?}", "role", "tool", "content", text, "tool_call_id",
                                                 json_string_value(json_object_get(item, "call_id"))));
    return SV_OK;
}

static sv_err read_input(convert *c)
{
    const json_t *in = sv_json_get(c->in, "input"), *words = sv_json_get(c->in, "instructions");
    if (words != NULL && !json_is_string(words))
        return wrong(c, "instructions", "a text");
    if (words != NULL)
        json_array_append_new(c->messages, json_pack("{s:s, s:O}", "role", "system", "content", words));
    if (json_is_string(in)) {
        json_array_append_new(c->messages, json_pack("{s:s, s:O}", "role", "user", "content", in));
        return SV_OK;
    }
    if (json_array_size(in) < 1)
        return wrong(c, "input", "a text or a list of items");
    for (size_t i = 0; i < json_array_size(in); i++)
        SV_TRY(add_item(c, json_array_get(in, i)));
    return SV_OK;
}

/* {"type": "function", "name", "parameters"} there, with "function" around it here. */
static sv_err read_tools(convert *c)
{
    const json_t *list = sv_json_get(c->in, "tools"), *choice = sv_json_get(c->in, "tool_choice");
    if (list != NULL && !json_is_array(list))
        return wrong(c, "tools", "a list of functions");
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(t, "type"));
        if (type == NULL || strcmp(type, "function") != 0) {
            json_decref(out);
            c->param = "tools";
            return sv_fail(SV_E_UNSUPPORTED, "tools[%zu] has another type than function, which is not built", i);
        }
        json_t *f = json_copy((json_t *)(uintptr_t)t);
        json_object_del(f, "type");
        json_object_del(f, "strict");
        json_array_append_new(out, json_pack("{s:s, s:o}", "type", "function", "function", f));
    }
    if (json_array_size(out) > 0)
        json_object_set(c->out, "tools", out);
    json_decref(out);
    if (choice != NULL)
        json_object_set(c->out, "tool_choice", (json_t *)(uintptr_t)choice);
    return SV_OK;
}

static sv_err read_text(convert *c)
{
    const json_t *text = sv_json_get(c->in, "text"), *format = sv_json_get(text, "format");
    const json_t *reasoning = sv_json_get(c->in, "reasoning"), *effort = sv_json_get(reasoning, "effort");
    if ((text != NULL && !json_is_object(text)) || (format != NULL && !json_is_object(format)))
        return wrong(c, "text", "{\"format\": {\"type\": \"text\", \"json_object\" or \"json_schema\"}}");
    if (reasoning != NULL && !json_is_object(reasoning))
        return wrong(c, "reasoning", "{\"effort\": EFFORT}");
    if (format != NULL)
        json_object_set(c->out, "response_format", (json_t *)(uintptr_t)format);
    if (effort != NULL)
        json_object_set(c->out, "reasoning_effort", (json_t *)(uintptr_t)effort);
    return SV_OK;
}

static sv_err convert_all(convert *c)
{
    static const char *const same[] = { "model",
                                        "temperature",
                                        "top_p",
                                        "top_k",
                                        "min_p",
                                        "stream",
                                        "seed",
                                        "stop",
                                        "ignore_eos",
                                        "chat_template_kwargs",
                                        "thinking",
                                        "logit_bias",
                                        "enable_thinking",
                                        "parallel_tool_calls",
                                        "thinking_budget",
                                        "presence_penalty",
                                        "frequency_penalty" };
    const json_t *v;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if ((v = sv_json_get(c->in, same[i])) != NULL)
            json_object_set(c->out, same[i], (json_t *)(uintptr_t)v);
    if ((v = sv_json_get(c->in, "max_output_tokens")) != NULL)
        json_object_set(c->out, "max_tokens", (json_t *)(uintptr_t)v);
    c->param = "previous_response_id";
    if (sv_json_get(c->in, "previous_response_id") != NULL || sv_json_get(c->in, "conversation") != NULL)
        return sv_fail(SV_E_UNSUPPORTED, "responses are not stored here; send the whole conversation as input");
    c->param = "background";
    if (json_is_true(sv_json_get(c->in, "background")))
        return sv_fail(SV_E_UNSUPPORTED, "background responses are not built; leave it out");
    c->param = NULL;
    SV_TRY(read_tools(c));
    SV_TRY(read_text(c));
    return read_input(c);
}

/* ---- items ---- */

/* Of one stream: what has been opened. */
typedef struct progress {
    json_int_t sequence, n_item;
    int open;       /* 0: nothing, 1: reasoning, 2: message */
    char item[48];  /* id of the open item */
    sv_bytes text;  /* of it */
    json_t *output; /* items that are complete */
} progress;

static void new_id(const char *prefix, char out[48])
{
    char word[25];
    sv_random_word(word);
    snprintf(out, 48, "%s_%s", prefix, word);
}

static json_t *text_part(sv_str text)
{
    return json_pack("{s:s, s:o, s:[], s:[]}", "type", "output_text", "text", sv_json_text_of(text), "annotations",
                     "logprobs");
}

static json_t *reasoning_item(const char *id, sv_str text)
{
    return json_pack("{s:s, s:s, s:[], s:[{s:s, s:o}], s:s}", "type", "reasoning", "id", id, "summary", "content",
                     "type", "reasoning_text", "text", sv_json_text_of(text), "status", "completed");
}

static json_t *message_item(const char *id, const char *status, json_t *parts)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "type", "message", "id", id, "status", status, "role", "assistant",
                     "content", parts);
}

static json_t *call_item(const char *id, const char *status, const sv_tool_call *c, bool empty)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "type", "function_call", "id", id, "status", status, "call_id",
                     c->id, "name", sv_json_text_of(sv_str_of(c->name)), "arguments",
                     empty ? json_string("") : sv_json_text_of(sv_str_of(c->argument)));
}

static json_t *given(const sv_reply *p, const char *field, json_t *otherwise)
{
    json_t *v = sv_json_get(p->source, field);
    if (v == NULL)
        return otherwise;
    json_decref(otherwise);
    return json_incref(v);
}

static json_t *usage(const sv_reply *p)
{
    json_t *u = sv_reply_usage(p);
    json_t *o =
        json_pack("{s:O, s:O, s:O, s:O, s:O}", "input_tokens", json_object_get(u, "prompt_tokens"), "output_tokens",
                  json_object_get(u, "completion_tokens"), "total_tokens", json_object_get(u, "total_tokens"),
                  "input_tokens_details", json_object_get(u, "prompt_tokens_details"), "output_tokens_details",
                  json_object_get(u, "completion_tokens_details"));
    json_decref(u);
    return o;
}

/* The response as it stands; takes output. */
static json_t *response(const sv_reply *p, const char *status, json_t *output, bool ended)
{
    bool cut = ended && strcmp(p->grow[0].finish, "length") == 0;
    json_t *why = cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null();
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:s, s:o, s:n, s:o}", "id", p->id, "object", "response", "created_at",
                          (json_int_t)p->created, "status", cut ? "incomplete" : status, "model",
                          p->ask.model ? p->ask.model : p->h->id, "output", output, "error", "incomplete_details", why);
    json_object_set_new(o, "instructions", given(p, "instructions", json_null()));
    json_object_set_new(o, "metadata", given(p, "metadata", json_object()));
    json_object_set_new(o, "parallel_tool_calls", json_boolean(p->ask.parallel_tools));
    json_object_set_new(o, "temperature", json_real((double)p->ask.sampling.temperature));
    json_object_set_new(o, "top_p", json_real((double)p->ask.sampling.top_p));
    json_object_set_new(o, "tool_choice", given(p, "tool_choice", json_string("auto")));
    json_object_set_new(o, "tools", given(p, "tools", json_array()));
    json_object_set_new(o, "text", given(p, "text", json_pack("{s:{s:s}}", "format", "type", "text")));
    json_object_set_new(o, "max_output_tokens", given(p, "max_output_tokens", json_null()));
    json_object_set_new(o, "previous_response_id", json_null());
    json_object_set_new(o, "store", json_false());
    json_object_set_new(o, "usage", ended ? usage(p) : json_null());
    if (ended)
        json_object_set_new(o, "samsvar", sv_reply_facts(p));
    return o;
}

static json_t *whole(sv_reply *p)
{
    sv_grow *g = &p->grow[0];
    json_t *list = json_array();
    char id[48];
    if (g->think.n > 0) {
        new_id("rs", id);
        json_array_append_new(list, reasoning_item(id, sv_view(&g->think)));
    }
    if (g->answer.n > 0) {
        new_id("msg", id);
        json_array_append_new(list, message_item(id, "completed", json_pack("[o]", text_part(sv_view(&g->answer)))));
    }
    for (size_t i = 0; i < g->calls.n; i++) {
        new_id("fc", id);
        json_array_append_new(list, call_item(id, "completed", &g->calls.call[i], false));
    }
    return response(p, "completed", list, true);
}

/* ---- streams ---- */

static progress *progress_of(sv_reply *p)
{
    return p->more;
}

/* event: TYPE and data with the type and its number; takes o. */
static void put(sv_reply *p, const char *type, json_t *o, sv_bytes *out)
{
    sv_bytes text = { 0 };
    json_object_set_new(o, "type", json_string(type));
    json_object_set_new(o, "sequence_number", json_integer(progress_of(p)->sequence++));
    sv_json_print(o, 0, &text);
    sv_bytes_printf(out, "event: %s\n", type);
    sv_http_event(out, sv_view(&text));
    sv_bytes_done(&text);
    json_decref(o);
    p->last_ns = sv_clock_ns();
}

static json_t *at_item(const progress *g)
{
    return json_pack("{s:s, s:I, s:I}", "item_id", g->item, "output_index", g->n_item, "content_index", (json_int_t)0);
}

static json_t *with(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
    return o;
}

static json_t *with_item(const progress *g, json_t *item)
{
    return json_pack("{s:I, s:o}", "output_index", g->n_item, "item", item);
}

static void open_item(sv_reply *p, int kind, sv_bytes *out)
{
    progress *g = progress_of(p);
    new_id(kind == 1 ? "rs" : "msg", g->item);
    g->open = kind;
    sv_bytes_clear(&g->text);
    json_t *item = kind == 1 ? json_pack("{s:s, s:s, s:[], s:[], s:s}", "type", "reasoning", "id", g->item, "summary",
                                         "content", "status", "in_progress")
                             : message_item(g->item, "in_progress", json_array());
    put(p, "response.output_item.added", with_item(g, item), out);
    if (kind == 2)
        put(p, "response.content_part.added", with(at_item(g), "part", text_part(SV_STR(""))), out);
}

static void close_item(sv_reply *p, sv_bytes *out)
{
    progress *g = progress_of(p);
    json_t *item = NULL;
    if (g->open == 0)
        return;
    if (g->open == 1) {
        put(p, "response.reasoning_text.done", with(at_item(g), "text", sv_json_text_of(sv_view(&g->text))), out);
        item = reasoning_item(g->item, sv_view(&g->text));
    } else {
        json_t *done = with(at_item(g), "text", sv_json_text_of(sv_view(&g->text)));
        put(p, "response.output_text.done", with(done, "logprobs", json_array()), out);
        put(p, "response.content_part.done", with(at_item(g), "part", text_part(sv_view(&g->text))), out);
        item = message_item(g->item, "completed", json_pack("[o]", text_part(sv_view(&g->text))));
    }
    json_array_append(g->output, item);
    put(p, "response.output_item.done", with_item(g, item), out);
    g->n_item++;
    g->open = 0;
}

static void grow_item(sv_reply *p, int kind, sv_bytes *text, sv_bytes *out)
{
    progress *g = progress_of(p);
    if (text->n == 0)
        return;
    if (g->open != kind) {
        close_item(p, out);
        open_item(p, kind, out);
    }
    sv_bytes_add(&g->text, text->p, text->n);
    json_t *o = with(at_item(g), "delta", sv_json_text_of(sv_view(text)));
    if (kind == 2)
        json_object_set_new(o, "logprobs", json_array());
    put(p, kind == 1 ? "response.reasoning_text.delta" : "response.output_text.delta", o, out);
    sv_bytes_clear(text);
}

static void put_call(sv_reply *p, const sv_tool_call *c, sv_bytes *out)
{
    progress *g = progress_of(p);
    close_item(p, out);
    new_id("fc", g->item);
    put(p, "response.output_item.added", with_item(g, call_item(g->item, "in_progress", c, true)), out);
    json_t *at = json_pack("{s:s, s:I}", "item_id", g->item, "output_index", g->n_item);
    put(p, "response.function_call_arguments.delta",
        with(json_copy(at), "delta", sv_json_text_of(sv_str_of(c->argument))), out);
    with(at, "name", sv_json_text_of(sv_str_of(c->name)));
    put(p, "response.function_call_arguments.done", with(at, "arguments", sv_json_text_of(sv_str_of(c->argument))),
        out);
    json_t *item = call_item(g->item, "completed", c, false);
    json_array_append(g->output, item);
    put(p, "response.output_item.done", with_item(g, item), out);
    g->n_item++;
}

static void begin(sv_reply *p, sv_bytes *out)
{
    progress *g = sv_mem_new(sizeof *g);
    g->output = json_array();
    p->more = g;
    put(p, "response.created", json_pack("{s:o}", "response", response(p, "in_progress", json_array(), false)), out);
    put(p, "response.in_progress", json_pack("{s:o}", "response", response(p, "in_progress", json_array(), false)),
        out);
}

static void grown(sv_reply *p, uint32_t i, sv_bytes *out)
{
    sv_grow *g = &p->grow[i];
    grow_item(p, 1, &g->think, out);
    grow_item(p, 2, &g->answer, out);
    for (; g->n_said < g->calls.n; g->n_said++)
        put_call(p, &g->calls.call[g->n_said], out);
}

static void finish(sv_reply *p, uint32_t i, sv_bytes *out)
{
    progress *g = progress_of(p);
    (void)i;
    close_item(p, out);
    json_t *o = response(p, "completed", json_incref(g->output), true);
    const char *type = strcmp(p->grow[0].finish, "length") == 0 ? "response.incomplete" : "response.completed";
    put(p, type, json_pack("{s:o}", "response", o), out);
}

static void end(sv_reply *p, sv_bytes *out)
{
    (void)p;
    (void)out;
}

static void drop(sv_reply *p)
{
    progress *g = p->more;
    if (g == NULL)
        return;
    sv_bytes_done(&g->text);
    json_decref(g->output);
    sv_mem_free(g);
}

const sv_speech sv_speech_response = { "resp", whole, begin, grown, finish, end, drop };

void sv_respond(sv_serve *s, sv_http_request *r)
{
    convert c = { 0 };
    json_t *in;
    sv_err err = sv_ask_json(sv_http_body(r), &in);
    if (err != SV_OK) {
        sv_reply_error(s, r, err, NULL);
        return;
    }
    c.in = in;
    c.out = json_object();
    c.messages = json_array();
    err = convert_all(&c);
    json_decref(c.reasoning);
    json_object_set_new(c.out, "messages", c.messages);
    if (err == SV_OK) {
        sv_reply_run(s, r, &sv_speech_response, true, in, c.out);
        return;
    }
    sv_reply_error(s, r, err, c.param);
    json_decref(c.out);
    json_decref(in);
}
