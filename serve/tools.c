/* SPDX-License-Identifier: Apache-2.0
 * Reading and forcing tool calls.
 */
#include "serve/tools.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "infer/schema.h"
#include "serve/serve_impl.h"

#define DS_BEGIN "<｜tool▁calls▁begin｜>"
#define DS_END "<｜tool▁calls▁end｜>"
#define DS_CALL "<｜tool▁call▁begin｜>"
#define DS_CALL_END "<｜tool▁call▁end｜>"
#define DS_SEP "<｜tool▁sep｜>"
#define DS_FENCE "\n```json\n"

static const sv_json_limits call_limits = { (size_t)16 << 20, 64 };

static bool holds(sv_str text, const char *word)
{
    return memmem(text.p, text.n, word, strlen(word)) != NULL;
}

sv_tool_format sv_tool_format_of(sv_str source)
{
    if (holds(source, "<tool_call>"))
        return SV_TOOLS_JSON_TAG;
    if (!holds(source, DS_SEP))
        return SV_TOOLS_NONE;
    return holds(source, "```json") ? SV_TOOLS_DEEPSEEK_3 : SV_TOOLS_DEEPSEEK_31;
}

const char *sv_tool_open(sv_tool_format f)
{
    return f == SV_TOOLS_NONE ? NULL : f == SV_TOOLS_JSON_TAG ? "<tool_call>" : DS_BEGIN;
}

const char *sv_tool_close(sv_tool_format f)
{
    return f == SV_TOOLS_NONE ? NULL : f == SV_TOOLS_JSON_TAG ? "</tool_call>" : DS_END;
}

void sv_tool_calls_done(sv_tool_calls *c)
{
    for (size_t i = 0; i < c->n; i++) {
        sv_mem_free(c->call[i].name);
        sv_mem_free(c->call[i].argument);
    }
    sv_mem_free(c->call);
    *c = (sv_tool_calls){ 0 };
}

static sv_str trim(sv_str s)
{
    while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL)
        s.p++, s.n--;
    while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
        s.n--;
    return s;
}

static char *text_of(sv_str s)
{
    char *p = sv_mem_new(s.n + 1);
    memcpy(p, s.p, s.n);
    return p;
}

static void add(sv_tool_calls *out, sv_str name, sv_str argument)
{
    sv_tool_call c = { .name = text_of(name), .argument = text_of(argument) };
    char word[25];
    sv_random_word(word);
    snprintf(c.id, sizeof c.id, "call_%s", word);
    SV_PUSH(out->call, out->n, out->cap, c);
}

/* ---- {"name": ..., "arguments": ...} ---- */

/* Bytes of the JSON value at the front of valid JSON. */
static size_t value_bytes(sv_str s)
{
    size_t i = 0, depth = 0;
    bool text = false;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (text) {
            i += c == '\\';
            text = c != '"';
            if (!text && depth == 0)
                return i + 1;
        } else if (c == '"') {
            text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return i;
            if (--depth == 0)
                return i + 1;
        } else if (depth == 0 && strchr(", \t\r\n", c) != NULL) {
            return i;
        }
    }
    return i;
}

static sv_str skip(sv_str s, size_t n)
{
    return (sv_str){ s.p + n, s.n - n };
}

/* The bytes of the member `key` of a valid object; empty when it has none. */
static sv_str member(sv_str object, const char *key)
{
    sv_str s = trim(skip(trim(object), 1));
    while (s.n > 0 && s.p[0] == '"') {
        size_t n = value_bytes(s);
        bool found = n == strlen(key) + 2 && memcmp(s.p + 1, key, n - 2) == 0;
        s = trim(skip(s, n));
        s = trim(skip(s, 1)); /* the colon */
        n = value_bytes(s);
        if (found)
            return (sv_str){ s.p, n };
        s = trim(skip(s, n));
        if (s.n > 0 && s.p[0] == ',')
            s = trim(skip(s, 1));
    }
    return (sv_str){ "", 0 };
}

static sv_err parse_tag(sv_str block, sv_tool_calls *out)
{
    json_t *o;
    sv_str text = trim(block);
    SV_TRY(sv_json_parse(text, &call_limits, "the tool call", &o));
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *key = json_object_get(o, "arguments") ? "arguments" : "parameters";
    const json_t *argument = json_object_get(o, key);
    sv_err err = SV_OK;
    if (name == NULL)
        err = sv_fail(SV_E_FORMAT, "the tool call has no name");
    else if (json_is_object(argument))
        add(out, sv_str_of(name), member(text, key));
    else if (json_is_string(argument))
        add(out, sv_str_of(name), sv_str_of(json_string_value(argument)));
    else if (argument == NULL)
        add(out, sv_str_of(name), SV_STR("{}"));
    else
        err = sv_fail(SV_E_FORMAT, "the tool call has arguments that are no object");
    json_decref(o);
    return err;
}

/* ---- DeepSeek ---- */

static sv_err check_json(sv_str text)
{
    json_t *o;
    SV_TRY(sv_json_parse(text, &call_limits, "the tool call's arguments", &o));
    sv_err err = json_is_object(o) ? SV_OK : sv_fail(SV_E_FORMAT, "the tool call has arguments that are no object");
    json_decref(o);
    return err;
}

/* Cuts s at a mark: what stands before it is returned, s goes on behind it. False: no such mark. */
static bool cut(sv_str *s, const char *mark, sv_str *before)
{
    const char *p = memmem(s->p, s->n, mark, strlen(mark));
    if (p == NULL)
        return false;
    *before = (sv_str){ s->p, (size_t)(p - s->p) };
    *s = skip(*s, before->n + strlen(mark));
    return true;
}

static sv_err parse_deepseek(sv_tool_format f, sv_str s, sv_tool_calls *out)
{
    sv_str none, call, name, argument;
    while (cut(&s, DS_CALL, &none)) {
        if (!cut(&s, DS_CALL_END, &call) || !cut(&call, DS_SEP, &name))
            return sv_fail(SV_E_FORMAT, "the tool call lacks a mark");
        argument = call;
        if (f == SV_TOOLS_DEEPSEEK_3) {
            if (!cut(&argument, DS_FENCE, &name) || !cut(&argument, "```", &call))
                return sv_fail(SV_E_FORMAT, "the tool call lacks its fence");
            argument = call;
        }
        argument = trim(argument);
        SV_TRY(check_json(argument));
        add(out, trim(name), argument);
    }
    return SV_OK;
}

sv_err sv_tool_parse(sv_tool_format f, sv_str block, sv_tool_calls *out)
{
    sv_tool_calls got = { 0 };
    sv_err err = f == SV_TOOLS_JSON_TAG ? parse_tag(block, &got) : parse_deepseek(f, block, &got);
    if (err == SV_OK && got.n == 0)
        err = sv_fail(SV_E_FORMAT, "there is no call between the marks");
    for (size_t i = 0; err == SV_OK && i < got.n; i++)
        SV_PUSH(out->call, out->n, out->cap, got.call[i]);
    if (err == SV_OK)
        got.n = 0;
    sv_tool_calls_done(&got);
    return err;
}

/* ---- forced calls ---- */

static uint32_t lit(sv_gram *g, const char *text)
{
    return sv_gram_lit(g, sv_str_of(text));
}

static sv_err one_tool(sv_gram *g, sv_tool_format f, const json_t *function, uint32_t *node)
{
    const char *name = json_string_value(json_object_get(function, "name"));
    const json_t *parameters = sv_json_get(function, "parameters");
    sv_bytes where = { 0 }, head = { 0 };
    uint32_t argument = 0;
    sv_bytes_printf(&where, "tools.%s.parameters", name);
    sv_err err = SV_OK;
    if (json_object_size(parameters) > 0)
        err = sv_schema_compile(g, parameters, where.p, &argument);
    else
        argument = sv_gram_map(g, sv_gram_value(g));
    if (err == SV_OK && f == SV_TOOLS_JSON_TAG) {
        sv_bytes_printf(&head, "\n{\"name\": \"%s\", \"arguments\": ", name);
        *node = sv_gram_seq(g,
                            (uint32_t[]){ sv_gram_mark(g, "<tool_call>"), lit(g, head.p), argument, lit(g, "}\n"),
                                          sv_gram_mark(g, "</tool_call>") },
                            5);
    } else if (err == SV_OK) {
        bool fence = f == SV_TOOLS_DEEPSEEK_3;
        sv_bytes_printf(&head, "%s%s", name, fence ? DS_FENCE : "");
        uint32_t begin = sv_gram_mark(g, DS_CALL), sep = sv_gram_mark(g, DS_SEP), words = lit(g, head.p);
        uint32_t end = sv_gram_mark(g, DS_CALL_END), back = lit(g, fence ? "\n```" : "");
        *node = fence ? sv_gram_seq(g, (uint32_t[]){ begin, lit(g, "function"), sep, words, argument, back, end }, 7)
                      : sv_gram_seq(g, (uint32_t[]){ begin, words, sep, argument, end }, 5);
    }
    sv_bytes_done(&where);
    sv_bytes_done(&head);
    return err;
}

sv_err sv_tool_gram(sv_gram *g, sv_tool_format f, const json_t *tools, const char *name, bool parallel, uint32_t *node)
{
    uint32_t *kid = sv_mem_new((json_array_size(tools) + 1) * sizeof *kid), n = 0;
    sv_err err = SV_OK;
    for (size_t i = 0; i < json_array_size(tools) && err == SV_OK; i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        if (name == NULL || strcmp(name, json_string_value(json_object_get(function, "name"))) == 0)
            err = one_tool(g, f, function, &kid[n++]);
    }
    SV_ASSERT(err != SV_OK || n > 0);
    if (err == SV_OK) {
        uint32_t call = sv_gram_alt(g, kid, n);
        if (parallel)
            call = sv_gram_seq(
                g,
                (uint32_t[]){ call, sv_gram_repeat(g, sv_gram_seq(g, (uint32_t[]){ lit(g, "\n"), call }, 2), 0, 31) },
                2);
        *node = f == SV_TOOLS_JSON_TAG
                    ? call
                    : sv_gram_seq(g, (uint32_t[]){ sv_gram_mark(g, DS_BEGIN), call, sv_gram_mark(g, DS_END) }, 3);
    }
    sv_mem_free(kid);
    return err;
}
