/* SPDX-License-Identifier: Apache-2.0
 * Tokens into what a client sees.
 */
#include "serve/grow.h"

#include <math.h>

#define LOGPROB_NONE -9999.0 /* JSON has no minus infinity */

void sv_grow_init(sv_grow *g, const sv_model *m, const sv_ask *ask, bool chat, bool in_thought)
{
    *g = (sv_grow){ .m = m, .ask = ask, .chat = chat };
    sv_decoder_init(&g->decoder, m->tokenizer, false);
    sv_cut_init(&g->cut, ask->stop, ask->n_stop, ask->include_stop, chat && !ask->reasoning_in_content, in_thought);
}

void sv_grow_done(sv_grow *g)
{
    sv_cut_done(&g->cut);
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

static void end(sv_grow *g, const char *why)
{
    sv_bytes rest = { 0 };
    sv_decoder_end(&g->decoder, &rest);
    sv_cut_put(&g->cut, (sv_str){ rest.p ? rest.p : "", rest.n }, &g->think, &g->answer);
    sv_cut_end(&g->cut, &g->think, &g->answer);
    sv_bytes_done(&rest);
    g->finish = g->cut.stopped ? "stop" : why;
}

/* Marks of thought are text to us even where the vocabulary calls them special. */
static bool is_mark(sv_str piece)
{
    return sv_str_is(piece, "<think>") || sv_str_is(piece, "</think>");
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
        if (text.n == 0 && g->cut.split && is_mark(piece))
            sv_bytes_add(&text, piece.p, piece.n);
    }
    g->n_text += text.n;
    sv_cut_put(&g->cut, (sv_str){ text.p ? text.p : "", text.n }, &g->think, &g->answer);
    sv_bytes_done(&text);
    if (!g->cut.stopped)
        return false;
    end(g, "stop");
    return true;
}
