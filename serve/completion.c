/* SPDX-License-Identifier: Apache-2.0
 * Chat and text completions: from the request to a turn, from its events to one reply or a stream of chunks.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sha.h"
#include "serve/grow.h"

#define PING_NS 15000000000ull

typedef struct reply {
    sv_serve *s;
    sv_served *h; /* held until the answer is out */
    sv_http_request *r;
    sv_ask ask;
    bool chat;
    sv_turn *turn;
    sv_grow *grow; /* [ask.n] */
    char id[48];
    int64_t created;
    uint32_t n_prompt;
    char prompt_sha[65];
    sv_bytes echo;
    bool begun; /* stream: the first chunks are out */
    uint64_t last_ns;
} reply;

static void reply_done(void *ctx)
{
    reply *p = ctx;
    sv_turn_drop(p->turn);
    for (uint32_t i = 0; i < p->ask.n && p->turn != NULL; i++)
        sv_grow_done(&p->grow[i]);
    sv_mem_free(p->grow);
    sv_bytes_done(&p->echo);
    sv_ask_done(&p->ask);
    sv_served_put(p->h);
    sv_mem_free(p);
}

/* ---- JSON of replies ---- */

static void sha_of_ids(const uint32_t *id, size_t n, char hex[65])
{
    uint8_t sum[32];
    sv_sha *s = sv_sha_make();
    for (size_t i = 0; i < n; i++) {
        uint8_t b[4] = { (uint8_t)id[i], (uint8_t)(id[i] >> 8), (uint8_t)(id[i] >> 16), (uint8_t)(id[i] >> 24) };
        sv_sha_add(s, b, 4);
    }
    sv_sha_end(s, sum);
    sv_sha_hex(sum, hex);
}

static json_t *usage_json(const reply *p)
{
    json_int_t out = 0, reasoning = 0, cached = p->grow[0].n_cached;
    for (uint32_t i = 0; i < p->ask.n; i++) {
        out += (json_int_t)p->grow[i].ids.n;
        reasoning += p->grow[i].n_reasoning;
    }
    return json_pack("{s:i, s:I, s:I, s:{s:I}, s:{s:I}, s:I, s:I}", "prompt_tokens", (int)p->n_prompt,
                     "completion_tokens", out, "total_tokens", out + (json_int_t)p->n_prompt, "prompt_tokens_details",
                     "cached_tokens", cached, "completion_tokens_details", "reasoning_tokens", reasoning,
                     "prompt_cache_hit_tokens", cached, "prompt_cache_miss_tokens", (json_int_t)p->n_prompt - cached);
}

/* What an answer depends on, and the proof of it. */
static json_t *facts_json(const reply *p)
{
    const sv_sampling *s = &p->ask.sampling;
    json_t *out = json_array();
    for (uint32_t i = 0; i < p->ask.n; i++) {
        char hex[65];
        sha_of_ids(p->grow[i].ids.id, p->grow[i].ids.n, hex);
        json_array_append_new(out, json_string(hex));
    }
    if (p->ask.n == 1) {
        json_t *one = json_incref(json_array_get(out, 0));
        json_decref(out);
        out = one;
    }
    json_t *how = json_pack("{s:f, s:f, s:i, s:f, s:f, s:f, s:f}", "temperature", (double)s->temperature, "top_p",
                            (double)s->top_p, "top_k", (int)s->top_k, "min_p", (double)s->min_p, "repetition_penalty",
                            (double)s->repetition, "frequency_penalty", (double)s->frequency, "presence_penalty",
                            (double)s->presence);
    return json_pack("{s:s, s:I, s:s, s:o, s:o, s:O}", "fingerprint", sv_served_fingerprint(p->h), "seed",
                     (json_int_t)s->seed, "prompt_sha256", p->prompt_sha, "output_sha256", out, "sampling", how,
                     "ignored", p->ask.ignored);
}

static json_t *frame(const reply *p, const char *object, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", p->id, "object", object, "created", (json_int_t)p->created,
                     "model", p->ask.model ? p->ask.model : p->h->id, "system_fingerprint", sv_served_fingerprint(p->h),
                     "choices", choices);
}

static sv_str view(const sv_bytes *b)
{
    return (sv_str){ b->p ? b->p : "", b->n };
}

static json_t *or_null(json_t *o)
{
    return o ? o : json_null();
}

static json_t *whole_choice(reply *p, uint32_t i)
{
    sv_grow *g = &p->grow[i];
    if (!p->chat) {
        sv_bytes text = { 0 };
        sv_bytes_add(&text, view(&p->echo).p, p->echo.n);
        sv_bytes_add(&text, view(&g->answer).p, g->answer.n);
        json_t *o = json_pack("{s:i, s:o, s:o, s:s}", "index", (int)i, "text", sv_json_text_of(view(&text)), "logprobs",
                              or_null(sv_grow_logprobs(g)), "finish_reason", g->finish);
        sv_bytes_done(&text);
        return o;
    }
    bool silent = g->cut.n_answer == 0 && g->cut.n_think > 0;
    json_t *m = json_pack("{s:s, s:o, s:n}", "role", "assistant", "content",
                          silent ? json_null() : sv_json_text_of(view(&g->answer)), "refusal");
    if (g->think.n > 0) {
        json_object_set_new(m, "reasoning_content", sv_json_text_of(view(&g->think)));
        json_object_set_new(m, "reasoning", sv_json_text_of(view(&g->think)));
    }
    return json_pack("{s:i, s:o, s:o, s:s}", "index", (int)i, "message", m, "logprobs", or_null(sv_grow_logprobs(g)),
                     "finish_reason", g->finish);
}

static void reply_whole(reply *p)
{
    json_t *choices = json_array();
    for (uint32_t i = 0; i < p->ask.n; i++)
        json_array_append_new(choices, whole_choice(p, i));
    json_t *o = frame(p, p->chat ? "chat.completion" : "text_completion", choices);
    json_object_set_new(o, "usage", usage_json(p));
    json_object_set_new(o, "samsvar", facts_json(p));
    sv_reply_json(p->s, p->r, 200, o);
}

/* ---- streams ---- */

static void put_chunk(reply *p, json_t *choices, json_t *more, sv_bytes *out)
{
    json_t *o = frame(p, p->chat ? "chat.completion.chunk" : "text_completion", choices);
    if (p->ask.include_usage)
        json_object_set_new(o, "usage", json_null());
    if (more != NULL)
        json_object_update(o, more);
    json_decref(more);
    sv_bytes text = { 0 };
    sv_json_print(o, 0, &text);
    sv_http_event(out, view(&text));
    sv_bytes_done(&text);
    json_decref(o);
    p->last_ns = sv_clock_ns();
}

static json_t *delta_choice(const reply *p, uint32_t i, json_t *delta, json_t *logprobs, const char *finish)
{
    json_t *o = p->chat ? json_pack("[{s:i, s:o, s:o}]", "index", (int)i, "delta", delta, "logprobs", or_null(logprobs))
                        : json_pack("[{s:i, s:o, s:o}]", "index", (int)i, "text", delta, "logprobs", or_null(logprobs));
    json_object_set_new(json_array_get(o, 0), "finish_reason", finish ? json_string(finish) : json_null());
    return o;
}

static void put_grown(reply *p, uint32_t i, sv_bytes *out)
{
    sv_grow *g = &p->grow[i];
    json_t *logprobs = sv_grow_logprobs(g);
    if (g->think.n > 0) {
        json_t *d = json_pack("{s:o, s:o}", "reasoning_content", sv_json_text_of(view(&g->think)), "reasoning",
                              sv_json_text_of(view(&g->think)));
        put_chunk(p, delta_choice(p, i, d, g->answer.n ? NULL : logprobs, NULL), NULL, out);
        logprobs = g->answer.n ? logprobs : NULL;
    }
    if (g->answer.n > 0 || logprobs != NULL) {
        json_t *text = sv_json_text_of(view(&g->answer));
        json_t *d = p->chat ? json_pack("{s:o}", "content", text) : text;
        put_chunk(p, delta_choice(p, i, d, logprobs, NULL), NULL, out);
    }
    sv_bytes_clear(&g->think);
    sv_bytes_clear(&g->answer);
}

static bool all_finished(const reply *p)
{
    for (uint32_t i = 0; i < p->ask.n; i++)
        if (p->grow[i].finish == NULL)
            return false;
    return true;
}

static void put_finish(reply *p, uint32_t i, sv_bytes *out)
{
    json_t *d = p->chat ? json_object() : json_string("");
    json_t *more = all_finished(p) ? json_pack("{s:o}", "samsvar", facts_json(p)) : NULL;
    put_chunk(p, delta_choice(p, i, d, NULL, p->grow[i].finish), more, out);
}

static void put_begin(reply *p, sv_bytes *out)
{
    p->begun = true;
    for (uint32_t i = 0; i < p->ask.n; i++) {
        if (p->chat)
            put_chunk(p, delta_choice(p, i, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL, NULL),
                      NULL, out);
        else if (p->echo.n > 0)
            put_chunk(p, delta_choice(p, i, sv_json_text_of(view(&p->echo)), NULL, NULL), NULL, out);
    }
    if (out->n == 0)
        sv_bytes_text(out, ": here\n\n");
}

static bool put_end(reply *p, sv_bytes *out)
{
    if (p->ask.include_usage)
        put_chunk(p, json_array(), json_pack("{s:o}", "usage", usage_json(p)), out);
    sv_http_event(out, SV_STR("[DONE]"));
    return false;
}

static void take_event(reply *p, uint32_t i, const sv_event *ev)
{
    if (sv_grow_take(&p->grow[i], ev))
        sv_turn_cancel(p->turn, i);
}

/* Nothing to send now: a ping when it has been quiet for long. False: the client has left. */
static bool stay(reply *p, sv_bytes *out)
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
    reply *p = ctx;
    if (sv_served_fingerprint(p->h) == NULL)
        return stay(p, out);
    if (!p->begun) {
        put_begin(p, out);
        return true;
    }
    while (out->n == 0) {
        sv_event ev;
        uint32_t i;
        switch (sv_turn_next(p->turn, 0, &i, &ev)) {
        case SV_TURN_EVENT:
            take_event(p, i, &ev);
            put_grown(p, i, out);
            if (p->grow[i].finish != NULL)
                put_finish(p, i, out);
            break;
        case SV_TURN_QUIET:
            return stay(p, out);
        case SV_TURN_END:
            return put_end(p, out);
        case SV_TURN_FAILED: {
            sv_bytes body = { 0 };
            sv_error_body(500, NULL, NULL, sv_err_text(), &body);
            sv_http_event(out, view(&body));
            sv_bytes_done(&body);
            return false;
        }
        }
    }
    return true;
}

/* ---- one reply ---- */

/* Called when something may have come. */
static void step_whole(void *ctx)
{
    reply *p = ctx;
    sv_event ev;
    uint32_t i;
    for (;;) {
        switch (sv_turn_next(p->turn, 0, &i, &ev)) {
        case SV_TURN_EVENT:
            take_event(p, i, &ev);
            break;
        case SV_TURN_QUIET:
            if (sv_http_gone(p->r))
                sv_reply_fault(p->s, p->r, 408, NULL, NULL, "the client closed the connection");
            return;
        case SV_TURN_END:
            if (sv_served_fingerprint(p->h) != NULL)
                reply_whole(p);
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
    SV_TRY(sv_template_render(m->chat_template, &in, text));
    if (a->continue_final)
        SV_TRY(cut_behind_content(a, text));
    SV_TRY(sv_tokenizer_encode(m->tokenizer, text, ids));
    sv_str end = view(&text->text);
    while (end.n > 0 && strchr(" \n\t", end.p[end.n - 1]) != NULL)
        end.n--;
    *in_thought = sv_str_ends(end, "<think>");
    return SV_OK;
}

static sv_err prompt_ids(reply *p, sv_ids *ids)
{
    const sv_model *m = p->h->model;
    const json_t *v = p->ask.prompt;
    p->ask.param = "prompt";
    if (json_is_string(v)) {
        sv_str text = { json_string_value(v), json_string_length(v) };
        if (m->add_bos && m->config.bos >= 0)
            SV_PUSH(ids->id, ids->n, ids->cap, (uint32_t)m->config.bos);
        if (p->ask.echo)
            sv_bytes_add(&p->echo, text.p, text.n);
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
        sv_tokenizer_decode(m->tokenizer, ids->id, ids->n, false, &p->echo);
    return SV_OK;
}

static sv_err check_length(reply *p, size_t n)
{
    uint32_t ctx = p->h->rules.n_ctx, most = p->ask.max_tokens;
    p->ask.param = p->chat ? "messages" : "prompt";
    if (n == 0)
        return sv_fail(SV_E_ARG, "the prompt has no token; send some text");
    if (n >= ctx || n + most > ctx)
        return sv_fail(SV_E_LIMIT, "prompt %zu + max %u > context %u; shorten the prompt or ask for fewer tokens", n,
                       most ? most : 1, ctx);
    p->ask.param = NULL;
    return SV_OK;
}

/* Reads the request by the rules of the model that it names. SV_E_NOTFOUND: there is none. ID:nothink switches thinking
 * off. */
static sv_err read_request(reply *p)
{
    bool nothink, known;
    sv_str body = sv_http_body(p->r);
    p->h = sv_served_of_body(p->s, body, &nothink, &known);
    if (p->h == NULL)
        return sv_no_such_model(p->s, NULL);
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
        sv_ask_done(&p->ask);
        SV_TRY(sv_ask_parse(body, p->chat, &h->rules, &p->ask));
    }
    if (nothink) {
        if (p->ask.kwargs == NULL)
            p->ask.kwargs = json_object();
        json_object_set_new(p->ask.kwargs, "enable_thinking", json_false());
        json_object_set_new(p->ask.kwargs, "thinking", json_false());
    }
    return SV_OK;
}

static sv_err post(reply *p, sv_ids *ids)
{
    bool in_thought = false;
    if (p->chat) {
        sv_marked text = { 0 };
        p->ask.param = "messages";
        sv_err err = sv_render(p->h, &p->ask, &text, ids, &in_thought);
        sv_marked_done(&text);
        SV_TRY(err);
    } else {
        SV_TRY(prompt_ids(p, ids));
    }
    SV_TRY(check_length(p, ids->n));
    if (p->ask.echo && p->ask.logprobs) {
        p->ask.param = "echo";
        return sv_fail(SV_E_UNSUPPORTED, "echo together with logprobs is not built; ask for one of them");
    }
    p->n_prompt = (uint32_t)ids->n;
    sha_of_ids(ids->id, ids->n, p->prompt_sha);
    if (!p->ask.has_seed)
        p->ask.sampling.seed = sv_random_seed();
    p->ask.sampling.stream = 1;
    sv_key key;
    sv_key_of(p->s, p->r, &key);
    sv_request q = { .prompt = ids->id,
                     .n_prompt = p->n_prompt,
                     .max_tokens = p->ask.max_tokens,
                     .sampling = p->ask.sampling,
                     .space = sv_key_space(&key),
                     .ignore_eos = p->ask.ignore_eos,
                     .n_logprob = p->ask.n_top,
                     .want_logprob = p->ask.logprobs };
    SV_TRY(sv_turn_post(p->h->work, &q, p->ask.n, &p->turn));
    p->grow = sv_mem_new(p->ask.n * sizeof *p->grow);
    for (uint32_t i = 0; i < p->ask.n; i++)
        sv_grow_init(&p->grow[i], p->h->model, &p->ask, p->chat, in_thought);
    return SV_OK;
}

void sv_complete(sv_serve *s, sv_http_request *r, bool chat)
{
    reply *p = sv_mem_new(sizeof *p);
    sv_ids ids = { 0 };
    char word[25];
    p->s = s;
    p->r = r;
    p->chat = chat;
    p->created = sv_clock_unix();
    p->last_ns = sv_clock_ns();
    sv_random_word(word);
    snprintf(p->id, sizeof p->id, "%s-%s", chat ? "chatcmpl" : "cmpl", word);
    sv_err err = read_request(p);
    if (err == SV_OK)
        err = post(p, &ids);
    sv_ids_done(&ids);
    if (err != SV_OK) {
        sv_reply_error(s, r, err, p->ask.param);
        reply_done(p);
        return;
    }
    if (p->ask.stream) {
        sv_count_status(s, 200);
        sv_http_stream(r, pull, reply_done, p);
    } else {
        sv_http_wait(r, step_whole, reply_done, p);
    }
    sv_turn_notify(p->turn, wake, r);
}
