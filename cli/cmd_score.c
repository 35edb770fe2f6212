/* SPDX-License-Identifier: Apache-2.0
 * samsvar score: log-probability of each token of a text given those before it, and perplexity.
 */
#include <math.h>

#include "base/file.h"
#include "cli/cmd.h"

typedef struct total {
    double sum;
    uint64_t n, n_scored;
} total;

static void put(const sv_args *a, const sv_model *m, const sv_event *e, total *t)
{
    sv_str piece = sv_tokenizer_piece(m->tokenizer, e->id);
    bool has = !isnan(e->logprob);
    t->n++;
    if (has) {
        t->sum += (double)e->logprob;
        t->n_scored++;
    }
    if (!sv_arg_on(a, SV_FLAG_JSON)) {
        if (has)
            sv_out("%9.4f  %s\n", (double)e->logprob, sv_str_quote(piece));
        else
            sv_out("        -  %s\n", sv_str_quote(piece));
        return;
    }
    sv_bytes shown = { 0 };
    if (sv_utf8_valid(piece.p, piece.n, NULL))
        sv_bytes_add(&shown, piece.p, piece.n);
    else
        sv_show(piece, &shown);
    sv_out_json(json_pack("{s:I, s:o, s:o}", "id", (json_int_t)e->id, "piece",
                          json_stringn(shown.p ? shown.p : "", shown.n), "logprob",
                          has && isfinite(e->logprob) ? json_real((double)e->logprob) : json_null()));
    sv_bytes_done(&shown);
}

static sv_err score(const sv_args *a, const sv_model *m, const sv_ids *ids)
{
    sv_engine *e;
    sv_ticket ticket;
    sv_event ev;
    bool has = true;
    total t = { 0 };
    sv_request r = { .prompt = ids->id, .n_prompt = (uint32_t)ids->n, .score = true, .sampling = SV_SAMPLING_GREEDY };
    SV_TRY(sv_open_engine(a, m, 1, &e));
    sv_err err = sv_engine_post(e, &r, &ticket);
    while (err == SV_OK && has) {
        err = sv_engine_next(e, &ev, &has);
        if (err == SV_OK && has && ev.kind == SV_EVENT_SCORE)
            put(a, m, &ev, &t);
        if (err == SV_OK && has && ev.kind == SV_EVENT_FINISH)
            break;
    }
    sv_engine_close(e);
    SV_TRY(err);
    double perplexity = t.n_scored ? exp(-t.sum / (double)t.n_scored) : NAN;
    if (sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json(json_pack("{s:I, s:I, s:f, s:o}", "tokens", (json_int_t)t.n, "scored", (json_int_t)t.n_scored,
                              "logprob", t.sum, "perplexity",
                              isfinite(perplexity) ? json_real(perplexity) : json_null()));
    else
        sv_out("%llu tokens, log-probability %.4f, perplexity %.4f\n", (unsigned long long)t.n, t.sum, perplexity);
    return SV_OK;
}

sv_err sv_cmd_score(const sv_args *a)
{
    sv_arena *arena = sv_arena_make();
    sv_model *m = NULL;
    sv_ids ids = { 0 };
    sv_str text;
    sv_err err = sv_text_of(a, false, arena, &text);
    if (err == SV_OK)
        err = sv_open_model(a, a->word[0], &m);
    if (err == SV_OK)
        err = sv_raw_ids(m, text, &ids);
    if (err == SV_OK)
        err = score(a, m, &ids);
    sv_ids_done(&ids);
    sv_model_close(m);
    sv_arena_drop(arena);
    return err;
}
