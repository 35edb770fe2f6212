/* SPDX-License-Identifier: Apache-2.0
 * samsvar run: one prompt, the answer on stdout, token by token.
 */
#include <math.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/cmd.h"

typedef struct sink {
    const sv_model *m;
    bool json, escape;
    sv_bytes line;
} sink;

static json_t *text_json(sv_str s)
{
    size_t at;
    if (sv_utf8_valid(s.p, s.n, &at))
        return json_stringn(s.p ? s.p : "", s.n);
    sv_bytes b = { 0 };
    sv_show(s, &b);
    json_t *o = json_stringn(b.p ? b.p : "", b.n);
    sv_bytes_done(&b);
    return o;
}

static json_t *number(float v)
{
    return isfinite(v) ? json_real((double)v) : json_null();
}

static void put_json(const sink *s, const sv_event *e, sv_str piece)
{
    json_t *o =
        json_pack("{s:s, s:I, s:I}", "event", "token", "id", (json_int_t)e->id, "position", (json_int_t)e->position);
    json_object_set_new(o, "piece", text_json(sv_tokenizer_piece(s->m->tokenizer, e->id)));
    json_object_set_new(o, "text", text_json(piece));
    if (!isnan(e->logprob))
        json_object_set_new(o, "logprob", number(e->logprob));
    if (e->n_top > 0) {
        json_t *top = json_array();
        for (uint32_t i = 0; i < e->n_top; i++)
            json_array_append_new(top, json_pack("{s:I, s:o, s:o}", "id", (json_int_t)e->top[i].id, "piece",
                                                 text_json(sv_tokenizer_piece(s->m->tokenizer, e->top[i].id)),
                                                 "logprob", number(e->top[i].logprob)));
        json_object_set_new(o, "top", top);
    }
    sv_out_json(o);
}

static void put(void *ctx, const sv_event *e, sv_str piece)
{
    sink *s = ctx;
    if (s->json) {
        if (e != NULL)
            put_json(s, e, piece);
        return;
    }
    if (piece.n == 0)
        return;
    if (s->escape) {
        sv_bytes_clear(&s->line);
        sv_show(piece, &s->line);
        piece = (sv_str){ s->line.p, s->line.n };
    }
    sv_out_str(piece);
    sv_out_flush();
}

/* Tokens a second, without the first, whose time is that of the prompt. */
static double decode_rate(const sv_answer *w)
{
    return w->ids.n > 1 && w->all_s > w->first_s ? (double)(w->ids.n - 1) / (w->all_s - w->first_s) : 0;
}

static void summary(const sv_answer *w, double start, bool json)
{
    double prefill = w->first_s > 0 ? w->n_prompt / w->first_s : 0;
    const char *why = w->stopped ? "stopped" : w->finish == SV_FINISH_STOP ? "stop" : "length";
    if (json)
        sv_out_json(json_pack("{s:s, s:s, s:I, s:I, s:o, s:f, s:f, s:f}", "event", "finish", "finish", why,
                              "prompt_tokens", (json_int_t)w->n_prompt, "tokens", (json_int_t)w->ids.n, "text",
                              text_json((sv_str){ w->text.p, w->text.n }), "start_to_first_s", start + w->first_s,
                              "prefill_tok_s", prefill, "decode_tok_s", decode_rate(w)));
    sv_note("%u prompt tokens, %zu drawn (%s); start to first token %.2f s, prefill %.0f tok/s, decode %.1f tok/s",
            w->n_prompt, w->ids.n, why, start + w->first_s, prefill, decode_rate(w));
}

static sv_err prompt_ids(const sv_args *a, const sv_model *m, sv_str text, sv_ids *ids)
{
    if (sv_arg_on(a, SV_FLAG_RAW))
        return sv_raw_ids(m, text, ids);
    json_t *messages = json_array();
    if (sv_arg_given(a, SV_FLAG_SYSTEM))
        json_array_append_new(messages, sv_message("system", sv_str_of(sv_arg_text(a, SV_FLAG_SYSTEM))));
    json_array_append_new(messages, sv_message("user", text));
    sv_err err = sv_chat_ids(m, messages, sv_arg_on(a, SV_FLAG_NO_THINK), ids);
    json_decref(messages);
    return err;
}

static sv_err answer(const sv_args *a, const sv_model *m, sv_engine *e, const sv_ids *ids, double start)
{
    sink s = { .m = m, .json = sv_arg_on(a, SV_FLAG_JSON), .escape = sv_out_tty() };
    sv_answer w = { 0 };
    sv_request r = { .prompt = ids->id,
                     .n_prompt = (uint32_t)ids->n,
                     .max_tokens = (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_TOKENS) };
    r.n_logprob = (uint32_t)sv_arg_u64(a, SV_FLAG_LOGPROBS);
    r.want_logprob = sv_arg_given(a, SV_FLAG_LOGPROBS);
    if (r.want_logprob && !s.json)
        return sv_fail(SV_E_ARG, "--logprobs needs --json");
    SV_TRY(sv_sampling_of(a, m, &r.sampling));
    sv_signals_catch(NULL, 130);
    double open_s = sv_clock_s() - start;
    sv_err err = sv_answer_run(e, m, &r, put, &s, &w);
    if (err == SV_OK && !s.json && (w.text.n == 0 || w.text.p[w.text.n - 1] != '\n'))
        sv_out("\n");
    if (err == SV_OK)
        summary(&w, open_s, s.json);
    if (err == SV_OK && w.stopped && sv_interrupts > 0)
        err = sv_fail(SV_E_CANCELLED, "stopped by a signal");
    sv_bytes_done(&s.line);
    sv_answer_done(&w);
    return err;
}

sv_err sv_cmd_run(const sv_args *a)
{
    double start = sv_clock_s();
    sv_arena *arena = sv_arena_make();
    sv_model *m = NULL;
    sv_engine *e = NULL;
    sv_ids ids = { 0 };
    sv_str text;
    sv_err err = sv_text_of(a, false, arena, &text);
    if (err == SV_OK)
        err = sv_open_model(a, a->word[0], &m);
    if (err == SV_OK)
        err = prompt_ids(a, m, text, &ids);
    if (err == SV_OK)
        err = sv_open_engine(a, m, 1, &e);
    if (err == SV_OK)
        err = answer(a, m, e, &ids, start);
    sv_engine_close(e);
    sv_ids_done(&ids);
    sv_model_close(m);
    sv_arena_drop(arena);
    return err;
}
