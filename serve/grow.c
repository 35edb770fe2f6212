/* SPDX-License-Identifier: Apache-2.0
 * Tokens into what a client sees.
 */
#include "serve/grow.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOGPROB_NONE -9999.0 /* JSON has no minus infinity */

void sv_grow_init(sv_grow *g, const sv_model *m, const sv_ask *ask, bool chat, bool in_thought, sv_tool_format tools)
{
    *g = (sv_grow){ .m = m, .ask = ask, .chat = chat, .tools = tools };
    sv_decoder_init(&g->decoder, m->tokenizer, false);
    sv_cut_init(&g->cut, ask->stop, ask->n_stop, ask->include_stop, chat && !ask->reasoning_in_content, in_thought);
    g->cut.tool_open = sv_tool_open(tools);
    g->cut.tool_close = sv_tool_close(tools);
}

void sv_grow_done(sv_grow *g)
{
    sv_cut_done(&g->cut);
    sv_tool_calls_done(&g->calls);
    sv_bytes_done(&g->thought);
    sv_bytes_done(&g->think);
    sv_bytes_done(&g->answer);
    sv_ids_done(&g->ids);
    json_decref(g->tokens);
    *g = (sv_grow){ 0 };
}

static bool is_end(const sv_grow *g, uint32_t id)
{
    const sv_config *c = &g->m->config;
    for (uint32_t i = 0; i < c->n_eos && !g->ask->ignore_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

static json_t *logprob_json(float v)
{
    return json_real(isfinite(v) ? (double)v : LOGPROB_NONE);
}

static json_t *token_json(const sv_grow *g, uint32_t id, float logprob)
{
    sv_str piece = sv_tokenizer_piece(g->m->tokenizer, id);
    json_t *bytes = json_array();
    for (size_t i = 0; i < piece.n; i++)
        json_array_append_new(bytes, json_integer((unsigned char)piece.p[i]));
    return json_pack("{s:o, s:o, s:o}", "token", sv_json_text_of(piece), "logprob", logprob_json(logprob), "bytes",
                     bytes);
}

static void add_chat_logprob(sv_grow *g, const sv_event *ev)
{
    json_t *o = token_json(g, ev->id, ev->logprob), *top = json_array();
    for (uint32_t i = 0; i < ev->n_top; i++)
        json_array_append_new(top, token_json(g, ev->top[i].id, ev->top[i].logprob));
    json_object_set_new(o, "top_logprobs", top);
    if (g->tokens == NULL)
        g->tokens = json_array();
    json_array_append_new(g->tokens, o);
}

/* Two ids of equal text: the larger value stays; the drawn token's own is always there. */
static json_t *top_object(const sv_grow *g, const sv_event *ev)
{
    json_t *top = json_object();
    for (uint32_t i = 0; i < ev->n_top; i++) {
        json_t *name = sv_json_text_of(sv_tokenizer_piece(g->m->tokenizer, ev->top[i].id));
        if (json_object_get(top, json_string_value(name)) == NULL)
            json_object_set_new(top, json_string_value(name), logprob_json(ev->top[i].logprob));
        json_decref(name);
    }
    return top;
}

static void add_completion_logprob(sv_grow *g, const sv_event *ev)
{
    if (g->tokens == NULL)
        g->tokens = json_pack("{s:[], s:[], s:[], s:[]}", "tokens", "token_logprobs", "top_logprobs", "text_offset");
    json_array_append_new(json_object_get(g->tokens, "tokens"),
                          sv_json_text_of(sv_tokenizer_piece(g->m->tokenizer, ev->id)));
    json_array_append_new(json_object_get(g->tokens, "token_logprobs"), logprob_json(ev->logprob));
    json_array_append_new(json_object_get(g->tokens, "top_logprobs"), top_object(g, ev));
    json_array_append_new(json_object_get(g->tokens, "text_offset"), json_integer((json_int_t)g->n_text));
}

json_t *sv_grow_logprobs(sv_grow *g)
{
    json_t *t = g->tokens;
    g->tokens = NULL;
    if (t == NULL || !g->chat)
        return t;
    return json_pack("{s:o, s:n}", "content", t, "refusal");
}

void sv_grow_score(sv_grow *g, const sv_event *ev)
{
    add_completion_logprob(g, ev);
    if (ev->position == 0) { /* nothing stands before the first token */
        json_array_set_new(json_object_get(g->tokens, "token_logprobs"), 0, json_null());
        json_array_set_new(json_object_get(g->tokens, "top_logprobs"), 0, json_null());
    }
    g->n_text += sv_tokenizer_piece(g->m->tokenizer, ev->id).n;
}

static sv_str view(const sv_bytes *b)
{
    return (sv_str){ b->p ? b->p : "", b->n };
}

/* A block of calls that has ended, or is content after all. */
static void take_block(sv_grow *g)
{
    sv_cut *c = &g->cut;
    c->has_block = false;
    if (sv_tool_parse(g->tools, view(&c->block), &g->calls) == SV_OK)
        return;
    snprintf(g->tool_error, sizeof g->tool_error, "%s", sv_err_text());
    sv_bytes_text(&g->answer, c->tool_open);
    sv_bytes_add(&g->answer, view(&c->block).p, c->block.n);
    if (c->block_closed)
        sv_bytes_text(&g->answer, c->tool_close);
    c->n_answer += c->block.n + 1;
}

static void put(sv_grow *g, const sv_bytes *text)
{
    size_t before = g->think.n;
    sv_cut_put(&g->cut, view(text), &g->think, &g->answer);
    if (g->tools != SV_TOOLS_NONE)
        sv_bytes_add(&g->thought, view(&g->think).p + before, g->think.n - before);
    while (g->cut.has_block) {
        take_block(g);
        sv_cut_put(&g->cut, SV_STR(""), &g->think, &g->answer);
    }
}

static void end(sv_grow *g, const char *why)
{
    sv_bytes rest = { 0 };
    sv_decoder_end(&g->decoder, &rest);
    put(g, &rest);
    do {
        if (g->cut.has_block)
            take_block(g);
        sv_cut_end(&g->cut, &g->think, &g->answer);
    } while (g->cut.has_block);
    sv_bytes_done(&rest);
    g->finish = g->cut.stopped ? "stop" : why;
    if (g->calls.n > 0 && strcmp(g->finish, "stop") == 0)
        g->finish = "tool_calls";
}

/* Marks of thoughts and calls are text to us even where the vocabulary calls them special. */
static bool is_mark(const sv_grow *g, sv_str piece)
{
    if (sv_str_is(piece, "<think>") || sv_str_is(piece, "</think>"))
        return true;
    return g->tools != SV_TOOLS_NONE &&
           (sv_str_starts(piece, "<｜tool") || sv_str_is(piece, "<tool_call>") || sv_str_is(piece, "</tool_call>"));
}

bool sv_grow_take(sv_grow *g, const sv_event *ev)
{
    if (g->finish != NULL)
        return false;
    if (ev->kind == SV_EVENT_FINISH) {
        end(g, ev->finish == SV_FINISH_LENGTH ? "length" : "stop");
        return false;
    }
    bool is_last = is_end(g, ev->id);
    g->n_cached = ev->n_cached;
    sv_bytes text = { 0 };
    SV_PUSH(g->ids.id, g->ids.n, g->ids.cap, ev->id);
    g->n_reasoning += g->cut.state == SV_CUT_THINK;
    if (g->ask->logprobs && !is_last)
        (g->chat ? add_chat_logprob : add_completion_logprob)(g, ev);
    if (!is_last) {
        sv_str piece = sv_tokenizer_piece(g->m->tokenizer, ev->id);
        sv_decoder_put(&g->decoder, ev->id, &text);
        if (text.n == 0 && g->cut.split && is_mark(g, piece))
            sv_bytes_add(&text, piece.p, piece.n);
    }
    g->n_text += text.n;
    put(g, &text);
    sv_bytes_done(&text);
    if (!g->cut.stopped)
        return false;
    end(g, "stop");
    return true;
}
