/* SPDX-License-Identifier: Apache-2.0
 * Replies of the chat and text completions, whole and in chunks.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/sha.h"
#include "serve/reply.h"

sv_str sv_view(const sv_bytes *b)
{
    return (sv_str){ b->p ? b->p : "", b->n };
}

/* ---- JSON of replies ---- */

void sv_sha_of_ids(const uint32_t *id, size_t n, char hex[65])
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

json_t *sv_reply_usage(const sv_reply *p)
{
    json_int_t in = 0, out = 0, reasoning = 0, cached = 0;
    for (uint32_t i = 0; i < p->n_part; i++)
        in += p->part[i].n_prompt;
    for (uint32_t i = 0; i < p->n_grow; i++) {
        out += (json_int_t)p->grow[i].ids.n;
        reasoning += p->grow[i].n_reasoning;
        if (i % p->ask.n == 0)
            cached += p->grow[i].n_cached;
    }
    return json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I}, s:I, s:I}", "prompt_tokens", in, "completion_tokens", out,
                     "total_tokens", out + in, "prompt_tokens_details", "cached_tokens", cached,
                     "completion_tokens_details", "reasoning_tokens", reasoning, "prompt_cache_hit_tokens", cached,
                     "prompt_cache_miss_tokens", in - cached);
}

static json_t *one_or_list(json_t *list)
{
    if (json_array_size(list) != 1)
        return list;
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return one;
}

/* What an answer depends on, and the proof of it. */
json_t *sv_reply_facts(const sv_reply *p)
{
    const sv_sampling *s = &p->ask.sampling;
    json_t *out = json_array(), *in = json_array();
    for (uint32_t i = 0; i < p->n_grow; i++) {
        char hex[65];
        sv_sha_of_ids(p->grow[i].ids.id, p->grow[i].ids.n, hex);
        json_array_append_new(out, json_string(hex));
    }
    for (uint32_t i = 0; i < p->n_part; i++)
        json_array_append_new(in, json_string(p->part[i].prompt_sha));
    json_t *how = json_pack("{s:f, s:f, s:i, s:f, s:f, s:f, s:f}", "temperature", (double)s->temperature, "top_p",
                            (double)s->top_p, "top_k", (int)s->top_k, "min_p", (double)s->min_p, "repetition_penalty",
                            (double)s->repetition, "frequency_penalty", (double)s->frequency, "presence_penalty",
                            (double)s->presence);
    json_t *o = json_pack("{s:s, s:I, s:o, s:o, s:o, s:O}", "fingerprint", sv_served_fingerprint(p->h), "seed",
                          (json_int_t)s->seed, "prompt_sha256", one_or_list(in), "output_sha256", one_or_list(out),
                          "sampling", how, "ignored", p->ask.ignored);
    static const char *const replay[] = { NULL, "exact", "rendered", "miss" };
    if (p->replayed != SV_REPLAY_NONE)
        json_object_set_new(o, "replay", json_string(replay[p->replayed]));
    if (p->thought.n_close > 0)
        json_object_set_new(o, "thinking", json_pack("{s:I}", "budget", (json_int_t)p->thought.budget));
    for (uint32_t i = 0; i < p->n_grow; i++)
        if (p->grow[i].tool_error[0] != '\0')
            json_object_set_new(o, "tool_error", sv_json_text_of(sv_str_of(p->grow[i].tool_error)));
    return o;
}

static json_t *frame(const sv_reply *p, const char *object, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", p->id, "object", object, "created", (json_int_t)p->created,
                     "model", p->ask.model ? p->ask.model : p->h->id, "system_fingerprint", sv_served_fingerprint(p->h),
                     "choices", choices);
}

static json_t *or_null(json_t *o)
{
    return o ? o : json_null();
}

json_t *sv_reply_call_json(const sv_tool_call *c)
{
    return json_pack("{s:s, s:s, s:{s:o, s:o}}", "id", c->id, "type", "function", "function", "name",
                     sv_json_text_of(sv_str_of(c->name)), "arguments", sv_json_text_of(sv_str_of(c->argument)));
}

static json_t *whole_choice(sv_reply *p, uint32_t i)
{
    sv_grow *g = &p->grow[i];
    if (!p->chat) {
        sv_bytes text = { 0 };
        sv_bytes_add(&text, sv_view(&p->part[i / p->ask.n].echo).p, p->part[i / p->ask.n].echo.n);
        sv_bytes_add(&text, sv_view(&g->answer).p, g->answer.n);
        json_t *o = json_pack("{s:i, s:o, s:o, s:s}", "index", (int)i, "text", sv_json_text_of(sv_view(&text)),
                              "logprobs", or_null(sv_grow_logprobs(g)), "finish_reason", g->finish);
        sv_bytes_done(&text);
        return o;
    }
    bool silent = g->cut.n_answer == 0 && (g->cut.n_think > 0 || g->calls.n > 0);
    json_t *m = json_pack("{s:s, s:o, s:n}", "role", "assistant", "content",
                          silent ? json_null() : sv_json_text_of(sv_view(&g->answer)), "refusal");
    if (g->think.n > 0) {
        json_object_set_new(m, "reasoning_content", sv_json_text_of(sv_view(&g->think)));
        json_object_set_new(m, "reasoning", sv_json_text_of(sv_view(&g->think)));
    }
    if (g->calls.n > 0) {
        json_t *calls = json_array();
        for (size_t k = 0; k < g->calls.n; k++)
            json_array_append_new(calls, sv_reply_call_json(&g->calls.call[k]));
        json_object_set_new(m, "tool_calls", calls);
    }
    return json_pack("{s:i, s:o, s:o, s:s}", "index", (int)i, "message", m, "logprobs", or_null(sv_grow_logprobs(g)),
                     "finish_reason", g->finish);
}

static json_t *whole(sv_reply *p)
{
    json_t *choices = json_array();
    for (uint32_t i = 0; i < p->n_grow; i++)
        json_array_append_new(choices, whole_choice(p, i));
    json_t *o = frame(p, p->chat ? "chat.completion" : "text_completion", choices);
    json_object_set_new(o, "usage", sv_reply_usage(p));
    json_object_set_new(o, "samsvar", sv_reply_facts(p));
    return o;
}

/* ---- streams ---- */

static void put_chunk(sv_reply *p, json_t *choices, json_t *more, sv_bytes *out)
{
    json_t *o = frame(p, p->chat ? "chat.completion.chunk" : "text_completion", choices);
    if (p->ask.include_usage)
        json_object_set_new(o, "usage", json_null());
    if (more != NULL)
        json_object_update(o, more);
    json_decref(more);
    sv_bytes text = { 0 };
    sv_json_print(o, 0, &text);
    sv_http_event(out, sv_view(&text));
    sv_bytes_done(&text);
    json_decref(o);
    p->last_ns = sv_clock_ns();
}

static json_t *delta_choice(const sv_reply *p, uint32_t i, json_t *delta, json_t *logprobs, const char *finish)
{
    json_t *o = p->chat ? json_pack("[{s:i, s:o, s:o}]", "index", (int)i, "delta", delta, "logprobs", or_null(logprobs))
                        : json_pack("[{s:i, s:o, s:o}]", "index", (int)i, "text", delta, "logprobs", or_null(logprobs));
    json_object_set_new(json_array_get(o, 0), "finish_reason", finish ? json_string(finish) : json_null());
    return o;
}

/* A call in two pieces: who is called, then the arguments as the model wrote them. */
static void put_calls(sv_reply *p, uint32_t i, sv_bytes *out)
{
    sv_grow *g = &p->grow[i];
    for (; g->n_said < g->calls.n; g->n_said++) {
        const sv_tool_call *c = &g->calls.call[g->n_said];
        json_t *head = sv_reply_call_json(c);
        json_object_set_new(head, "index", json_integer((json_int_t)g->n_said));
        json_object_set_new(json_object_get(head, "function"), "arguments", json_string(""));
        put_chunk(p, delta_choice(p, i, json_pack("{s:[o]}", "tool_calls", head), NULL, NULL), NULL, out);
        json_t *rest = json_pack("{s:I, s:{s:o}}", "index", (json_int_t)g->n_said, "function", "arguments",
                                 sv_json_text_of(sv_str_of(c->argument)));
        put_chunk(p, delta_choice(p, i, json_pack("{s:[o]}", "tool_calls", rest), NULL, NULL), NULL, out);
    }
}

static void put_grown(sv_reply *p, uint32_t i, sv_bytes *out)
{
    sv_grow *g = &p->grow[i];
    json_t *logprobs = sv_grow_logprobs(g);
    if (g->think.n > 0) {
        json_t *d = json_pack("{s:o, s:o}", "reasoning_content", sv_json_text_of(sv_view(&g->think)), "reasoning",
                              sv_json_text_of(sv_view(&g->think)));
        put_chunk(p, delta_choice(p, i, d, g->answer.n ? NULL : logprobs, NULL), NULL, out);
        logprobs = g->answer.n ? logprobs : NULL;
    }
    if (g->answer.n > 0 || logprobs != NULL) {
        json_t *text = sv_json_text_of(sv_view(&g->answer));
        json_t *d = p->chat ? json_pack("{s:o}", "content", text) : text;
        put_chunk(p, delta_choice(p, i, d, logprobs, NULL), NULL, out);
    }
    put_calls(p, i, out);
    sv_bytes_clear(&g->think);
    sv_bytes_clear(&g->answer);
}

bool sv_reply_all_finished(const sv_reply *p)
{
    for (uint32_t i = 0; i < p->n_grow; i++)
        if (p->grow[i].finish == NULL)
            return false;
    return true;
}

static void put_finish(sv_reply *p, uint32_t i, sv_bytes *out)
{
    json_t *d = p->chat ? json_object() : json_string("");
    json_t *more = sv_reply_all_finished(p) ? json_pack("{s:o}", "samsvar", sv_reply_facts(p)) : NULL;
    put_chunk(p, delta_choice(p, i, d, NULL, p->grow[i].finish), more, out);
}

static void put_begin(sv_reply *p, sv_bytes *out)
{
    for (uint32_t i = 0; i < p->n_grow; i++) {
        if (p->chat)
            put_chunk(p, delta_choice(p, i, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL, NULL),
                      NULL, out);
        else if (p->part[i / p->ask.n].echo.n > 0)
            put_chunk(p, delta_choice(p, i, sv_json_text_of(sv_view(&p->part[i / p->ask.n].echo)), NULL, NULL), NULL,
                      out);
    }
    if (out->n == 0)
        sv_bytes_text(out, ": here\n\n");
}

static void put_end(sv_reply *p, sv_bytes *out)
{
    if (p->ask.include_usage)
        put_chunk(p, json_array(), json_pack("{s:o}", "usage", sv_reply_usage(p)), out);
    sv_http_event(out, SV_STR("[DONE]"));
}

const sv_speech sv_speech_chat = { "chatcmpl", whole, put_begin, put_grown, put_finish, put_end, NULL };
const sv_speech sv_speech_text = { "cmpl", whole, put_begin, put_grown, put_finish, put_end, NULL };
