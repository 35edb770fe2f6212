/* SPDX-License-Identifier: Apache-2.0
 * From a request to turns of the engine, from their events to one reply or a stream.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "serve/reply.h"

#define PING_NS 15000000000ull

static void reply_done(void *ctx)
{
    sv_reply *p = ctx;
    for (uint32_t i = 0; i < p->n_part && p->part != NULL; i++) {
        sv_turn_drop(p->part[i].score);
        sv_turn_drop(p->part[i].turn);
        sv_bytes_done(&p->part[i].echo);
    }
    for (uint32_t i = 0; i < p->n_grow; i++)
        sv_grow_done(&p->grow[i]);
    sv_mem_free(p->grow);
    sv_mem_free(p->part);
    if (p->how->drop != NULL)
        p->how->drop(p);
    sv_ask_done(&p->ask);
    json_decref(p->source);
    sv_served_put(p->h);
    sv_mem_free(p);
}

/* ---- events ---- */

/* The next event of any prompt: a prompt's scores come before its answers. */
static sv_turn_state next_event(sv_reply *p, uint32_t *i, sv_event *ev)
{
    bool quiet = false;
    for (uint32_t k = 0; k < p->n_part; k++) {
        sv_part *part = &p->part[k];
        for (uint32_t which = 0; which < 2; which++) {
            sv_turn *t = which == 0 ? part->score : part->turn;
            uint32_t choice = 0;
            sv_turn_state state = t ? sv_turn_next(t, 0, &choice, ev) : SV_TURN_END;
            if (state == SV_TURN_END)
                continue;
            *i = k * p->ask.n + choice;
            if (state != SV_TURN_QUIET)
                return state;
            quiet = true;
            break;
        }
    }
    return quiet ? SV_TURN_QUIET : SV_TURN_END;
}

static void take_event(sv_reply *p, uint32_t i, const sv_event *ev)
{
    sv_grow *g = &p->grow[i];
    sv_part *part = &p->part[i / p->ask.n];
    if (ev->kind == SV_EVENT_SCORE) {
        for (uint32_t k = 0; k < p->ask.n; k++)
            sv_grow_score(g + k, ev);
        return;
    }
    if (ev->kind == SV_EVENT_FINISH && ev->finish == SV_FINISH_SCORED) {
        for (uint32_t k = 0; k < p->ask.n && part->turn == NULL; k++)
            g[k].finish = "length";
        return;
    }
    bool was = g->finish != NULL;
    if (sv_grow_take(g, ev))
        sv_turn_cancel(part->turn, i % p->ask.n);
    if (!was && g->finish != NULL && g->calls.n > 0)
        sv_replay_keep(p->s->replay, p->space, p->h->id, &g->calls, sv_view(&g->thought));
}

/* Nothing to send now: a ping when it has been quiet for long. False: the client has left. */
static bool stay(sv_reply *p, sv_bytes *out)
{
    if (sv_http_gone(p->r))
        return false;
    if (sv_clock_ns() - p->last_ns > PING_NS) {
        sv_bytes_text(out, ": ping\n\n");
        p->last_ns = sv_clock_ns();
    }
    return true;
}

/* The next chunks; none when none is there yet. */
static bool pull(void *ctx, sv_bytes *out)
{
    sv_reply *p = ctx;
    if (sv_served_fingerprint(p->h) == NULL)
        return stay(p, out);
    if (!p->begun) {
        p->begun = true;
        p->how->begin(p, out);
        return true;
    }
    while (out->n == 0) {
        sv_event ev;
        uint32_t i;
        switch (next_event(p, &i, &ev)) {
        case SV_TURN_EVENT: {
            bool was = p->grow[i].finish != NULL;
            take_event(p, i, &ev);
            p->how->grown(p, i, out);
            if (p->grow[i].finish != NULL && !was)
                p->how->finish(p, i, out);
            break;
        }
        case SV_TURN_QUIET:
            return stay(p, out);
        case SV_TURN_END:
            p->how->end(p, out);
            return false;
        case SV_TURN_FAILED: {
            sv_bytes body = { 0 };
            sv_error_body(500, NULL, NULL, sv_err_text(), &body);
            sv_http_event(out, sv_view(&body));
            sv_bytes_done(&body);
            return false;
        }
        }
    }
    return true;
}

/* Called when something may have come. */
static void step_whole(void *ctx)
{
    sv_reply *p = ctx;
    sv_event ev;
    uint32_t i;
    for (;;) {
        switch (next_event(p, &i, &ev)) {
        case SV_TURN_EVENT:
            take_event(p, i, &ev);
            break;
        case SV_TURN_QUIET:
            if (sv_http_gone(p->r))
                sv_reply_fault(p->s, p->r, 408, NULL, NULL, "the client closed the connection");
            return;
        case SV_TURN_END:
            if (sv_served_fingerprint(p->h) != NULL)
                sv_reply_json(p->s, p->r, 200, p->how->whole(p));
            return;
        case SV_TURN_FAILED:
            sv_reply_fault(p->s, p->r, 500, NULL, NULL, sv_err_text());
            return;
        }
    }
}

static void wake(void *ctx)
{
    sv_http_wake(ctx);
}

/* ---- prompts ---- */

/* Cuts the rendered chat behind the last message's content, so that the answer goes on with it. */
static sv_err cut_behind_content(const sv_ask *a, sv_marked *text)
{
    const json_t *last = json_array_get(a->messages, json_array_size(a->messages) - 1);
    const char *content = json_string_value(sv_json_get(last, "content"));
    size_t n = content ? strlen(content) : 0, at = text->text.n;
    while (n > 0 && strchr(" \n\t\r", content[n - 1]) != NULL)
        n--;
    if (n == 0 || strcmp(json_string_value(sv_json_get(last, "role")), "assistant") != 0)
        return sv_fail(SV_E_ARG, "continue_final_message needs a last message of the assistant with some text");
    while (at >= n && memcmp(text->text.p + at - n, content, n) != 0)
        at--;
    if (at < n)
        return sv_fail(SV_E_ARG, "the template does not show the last message as it is, so it cannot be continued");
    sv_marked cut = { 0 };
    for (size_t i = 0, from = 0; i < text->n_run && from < at; from = text->run[i++].end) {
        size_t end = text->run[i].end < at ? text->run[i].end : at;
        sv_marked_add(&cut, (sv_str){ text->text.p + from, end - from }, text->run[i].trusted);
    }
    sv_marked_done(text);
    *text = cut;
    return SV_OK;
}

/* Null content beside calls: DeepSeek's templates want null, the others a text. */
static void fix_content(const sv_model *m, const json_t *messages)
{
    sv_tool_format f = sv_form_tools(m);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *o = json_array_get(messages, i), *content = json_object_get(o, "content");
        bool empty = json_is_null(content) || (json_is_string(content) && json_string_length(content) == 0);
        if (!empty || json_object_get(o, "tool_calls") == NULL)
            continue;
        bool null = f == SV_TOOLS_DEEPSEEK_3 || f == SV_TOOLS_DEEPSEEK_31;
        json_object_set_new(o, "content", null ? json_null() : json_string(""));
    }
}

sv_err sv_render(const sv_served *h, const sv_ask *a, sv_marked *text, sv_ids *ids, bool *in_thought)
{
    const sv_model *m = h->model;
    sv_template_input in = { .messages = a->messages,
                             .tools = a->tools,
                             .kwargs = a->kwargs,
                             .bos_token = m->bos_token,
                             .eos_token = m->eos_token,
                             .add_generation_prompt = !a->continue_final };
    if (m->chat_template == NULL)
        return sv_fail(SV_E_UNSUPPORTED, "this model has no chat template; use /v1/completions%s%s",
                       m->template_problem ? ": " : "", m->template_problem ? m->template_problem : "");
    fix_content(m, a->messages);
    SV_TRY(sv_template_render(m->chat_template, &in, text));
    if (a->continue_final)
        SV_TRY(cut_behind_content(a, text));
    SV_TRY(sv_tokenizer_encode(m->tokenizer, text, ids));
    *in_thought = sv_thought_of(m, sv_view(&text->text)) == SV_THOUGHT_OPEN;
    return SV_OK;
}

static sv_err prompt_ids(sv_reply *p, uint32_t k, sv_ids *ids)
{
    const sv_model *m = p->h->model;
    const json_t *v = sv_ask_prompt(&p->ask, k);
    sv_part *part = &p->part[k];
    p->ask.param = "prompt";
    if (json_is_string(v)) {
        sv_str text = { json_string_value(v), json_string_length(v) };
        if (m->add_bos && m->config.bos >= 0)
            SV_PUSH(ids->id, ids->n, ids->cap, (uint32_t)m->config.bos);
        if (p->ask.echo)
            sv_bytes_add(&part->echo, text.p, text.n);
        return sv_tokenizer_encode_plain(m->tokenizer, text, true, ids);
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_int_t id = json_integer_value(json_array_get(v, i));
        if (id < 0 || id >= (json_int_t)p->h->rules.n_vocab)
            return sv_fail(SV_E_ARG, "prompt[%zu] is %lld; allowed: token ids from 0 to %u", i, (long long)id,
                           p->h->rules.n_vocab - 1);
        SV_PUSH(ids->id, ids->n, ids->cap, (uint32_t)id);
    }
    if (p->ask.echo)
        sv_tokenizer_decode(m->tokenizer, ids->id, ids->n, false, &part->echo);
    return SV_OK;
}

static sv_err check_length(sv_reply *p, size_t n)
{
    uint32_t ctx = p->h->rules.n_ctx, most = p->ask.max_tokens;
    p->ask.param = p->chat ? "messages" : "prompt";
    if (n == 0)
        return sv_fail(SV_E_ARG, "the prompt has no token; send some text");
    if ((n >= ctx && !p->ask.only_echo) || n + most > ctx)
        return sv_fail(SV_E_LIMIT, "prompt %zu + max %u > context %u; shorten the prompt or ask for fewer tokens", n,
                       most ? most : 1, ctx);
    p->ask.param = NULL;
    return SV_OK;
}

/* Reads the request by the rules of the model that it names. SV_E_NOTFOUND: there is none. ID:nothink switches thinking
 * off. as_chat: what a request of another API says as a chat. */
static sv_err read_request(sv_reply *p, json_t *as_chat)
{
    bool nothink, known;
    sv_str body = sv_http_body(p->r);
    p->h = sv_served_of_body(p->s, body, &nothink, &known);
    if (p->h == NULL) {
        json_decref(as_chat);
        return sv_no_such_model(p->s, NULL);
    }
    if (as_chat != NULL)
        SV_TRY(sv_ask_read(as_chat, true, &p->h->rules, &p->ask));
    else
        SV_TRY(sv_ask_parse(body, p->chat, &p->h->rules, &p->ask));
    sv_served *h = sv_served_of(p->s, p->ask.model, &nothink, &known);
    if (!known) {
        sv_served_put(h);
        p->ask.param = "model";
        return sv_no_such_model(p->s, p->ask.model);
    }
    bool moved = h != p->h; /* the name became another model's just now */
    sv_served_put(p->h);
    p->h = h;
    if (moved) {
        json_t *again = json_incref(p->ask.root);
        sv_ask_done(&p->ask);
        SV_TRY(sv_ask_read(again, p->chat, &h->rules, &p->ask));
    }
    if (nothink) {
        if (p->ask.kwargs == NULL)
            p->ask.kwargs = json_object();
        json_object_set_new(p->ask.kwargs, "enable_thinking", json_false());
        json_object_set_new(p->ask.kwargs, "thinking", json_false());
    }
    return SV_OK;
}

/* ---- turns ---- */

static sv_err post_turns(sv_reply *p, uint32_t k, sv_request *q)
{
    sv_part *part = &p->part[k];
    if (p->ask.echo && p->ask.logprobs) {
        sv_request score = { .prompt = q->prompt, .n_prompt = q->n_prompt, .score = true, .n_logprob = p->ask.n_top };
        SV_TRY(sv_turn_post(p->h->work, &score, 1, &part->score));
    }
    if (p->ask.only_echo)
        return SV_OK;
    return sv_turn_post(p->h->work, q, p->ask.n, &part->turn);
}

static sv_err post_part(sv_reply *p, uint32_t k, sv_ids *ids, sv_ids *close)
{
    sv_thought_at at = SV_THOUGHT_NONE;
    sv_guide *guide = NULL;
    sv_key key;
    sv_key_of(p->s, p->r, &key);
    if (p->chat) {
        sv_marked text = { 0 };
        bool in_thought;
        p->ask.param = "messages";
        p->space = sv_key_space(&key);
        p->replayed = sv_replay_restore(p->s->replay, p->space, p->h->id, p->ask.messages);
        sv_err err = sv_render(p->h, &p->ask, &text, ids, &in_thought);
        at = err == SV_OK ? sv_thought_of(p->h->model, sv_view(&text.text)) : at;
        at = p->ask.continue_final && at == SV_THOUGHT_MAY ? SV_THOUGHT_CLOSED : at;
        sv_marked_done(&text);
        SV_TRY(err);
    } else {
        SV_TRY(prompt_ids(p, k, ids));
    }
    SV_TRY(check_length(p, ids->n));
    p->part[k].n_prompt = (uint32_t)ids->n;
    sv_sha_of_ids(ids->id, ids->n, p->part[k].prompt_sha);
    sv_request q = { .prompt = ids->id,
                     .n_prompt = (uint32_t)ids->n,
                     .max_tokens = p->ask.max_tokens,
                     .sampling = p->ask.sampling,
                     .space = sv_key_space(&key),
                     .ignore_eos = p->ask.ignore_eos,
                     .n_logprob = p->ask.n_top,
                     .want_logprob = p->ask.logprobs };
    if (p->chat) {
        SV_TRY(sv_form_thought(p->h, &p->ask, at, p->h->rules.n_ctx - q.n_prompt, close, &q.thought));
        p->thought = q.thought;
    }
    SV_TRY(sv_form_guide(p->h, &p->ask, at, &guide));
    q.guide = guide;
    sv_err err = post_turns(p, k, &q);
    sv_guide_drop(guide);
    SV_TRY(err);
    sv_tool_format tools = p->chat && p->ask.tools ? sv_form_tools(p->h->model) : SV_TOOLS_NONE;
    for (uint32_t i = 0; i < p->ask.n; i++) {
        sv_grow_init(&p->grow[k * p->ask.n + i], p->h->model, &p->ask, p->chat, at == SV_THOUGHT_OPEN, tools);
        if (p->part[k].turn == NULL && p->part[k].score == NULL)
            p->grow[k * p->ask.n + i].finish = "length";
        p->n_grow++;
    }
    return SV_OK;
}

static sv_err post(sv_reply *p)
{
    sv_err err = SV_OK;
    if (!p->ask.has_seed)
        p->ask.sampling.seed = sv_random_seed();
    p->ask.sampling.stream = 1;
    p->part = sv_mem_new(p->ask.n_prompt * sizeof *p->part);
    p->grow = sv_mem_new((size_t)p->ask.n_prompt * p->ask.n * sizeof *p->grow);
    p->n_part = p->ask.n_prompt;
    for (uint32_t k = 0; k < p->n_part && err == SV_OK; k++) {
        sv_ids ids = { 0 }, close = { 0 };
        err = post_part(p, k, &ids, &close);
        sv_ids_done(&ids);
        sv_ids_done(&close);
    }
    p->thought.close = NULL;
    return err;
}

static void notify(sv_reply *p, sv_http_request *r)
{
    bool any = false;
    for (uint32_t k = 0; k < p->n_part; k++) {
        sv_turn *turn[2] = { p->part[k].score, p->part[k].turn };
        for (uint32_t i = 0; i < 2; i++)
            if (turn[i] != NULL) {
                sv_turn_notify(turn[i], wake, r);
                any = true;
            }
    }
    if (!any)
        sv_http_wake(r);
}

void sv_reply_run(sv_serve *s, sv_http_request *r, const sv_speech *how, bool chat, json_t *source, json_t *as_chat)
{
    sv_reply *p = sv_mem_new(sizeof *p);
    char word[25];
    p->s = s;
    p->r = r;
    p->how = how;
    p->chat = chat;
    p->source = source;
    p->created = sv_clock_unix();
    p->last_ns = sv_clock_ns();
    sv_random_word(word);
    snprintf(p->id, sizeof p->id, "%s%s%s", how->prefix, how == &sv_speech_response ? "_" : "-", word);
    sv_err err = read_request(p, as_chat);
    if (err == SV_OK)
        err = post(p);
    if (err != SV_OK) {
        sv_reply_error(s, r, sv_served_fail(p->h, err), p->ask.param);
        reply_done(p);
        return;
    }
    if (p->ask.stream) {
        sv_count_status(s, 200);
        sv_http_stream(r, pull, reply_done, p);
    } else {
        sv_http_wait(r, step_whole, reply_done, p);
    }
    notify(p, r);
}

void sv_complete(sv_serve *s, sv_http_request *r, bool chat)
{
    sv_reply_run(s, r, chat ? &sv_speech_chat : &sv_speech_text, chat, NULL, NULL);
}
