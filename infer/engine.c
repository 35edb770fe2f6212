/* SPDX-License-Identifier: Apache-2.0
 * The engine's face: opening, posting, cancelling, and the loop from steps to events.
 */
#include "infer/engine.h"

#include <string.h>

#include "base/clock.h"
#include "infer/engine_impl.h"

#define CTX_DEFAULT 8192u
#define CHUNK_DEFAULT 256u
#define RUNNING_MAX 1024u
#define CHUNK_MAX 8192u
#define PAGE_MAX (1u << 24)
#define SCORE_ITEMS (4u << 20) /* logits of scored rows in one step */
#define SCORE_ROWS_MIN 16u

static sv_err read_opts(sv_engine *e, const sv_model *m, const sv_engine_opts *o)
{
    uint32_t most = m->config.n_ctx, ctx = o->n_ctx ? o->n_ctx : CTX_DEFAULT;
    e->model = m;
    e->n_vocab = e->n_real = m->config.n_vocab;
    if (m->tokenizer != NULL && sv_tokenizer_count(m->tokenizer) < e->n_real)
        e->n_real = sv_tokenizer_count(m->tokenizer);
    e->n_ctx = ctx < most ? ctx : most;
    e->max_running = o->max_running ? o->max_running : 1;
    e->chunk = o->chunk ? o->chunk : CHUNK_DEFAULT;
    e->n_column = sv_pages_for(e->n_ctx);
    if (e->max_running > RUNNING_MAX)
        return sv_fail(SV_E_ARG, "%u sequences in one step are asked for; allowed are 1 to %u", e->max_running,
                       RUNNING_MAX);
    if (e->chunk > CHUNK_MAX)
        return sv_fail(SV_E_ARG, "prompt chunks of %u tokens are asked for; allowed are 1 to %u", e->chunk, CHUNK_MAX);
    uint64_t n_page = o->n_page ? o->n_page : (uint64_t)e->max_running * e->n_column;
    if (n_page > PAGE_MAX)
        return sv_fail(SV_E_ARG,
                       "%llu KV pages are asked for; allowed are 1 to %u: take fewer sequences or a shorter context",
                       (unsigned long long)n_page, PAGE_MAX);
    e->n_page = (uint32_t)n_page;
    e->max_score = SCORE_ITEMS / e->n_vocab > SCORE_ROWS_MIN ? SCORE_ITEMS / e->n_vocab : SCORE_ROWS_MIN;
    if (e->max_score > e->chunk)
        e->max_score = e->chunk;
    e->max_want = e->max_running + e->max_score;
    return SV_OK;
}

static sv_err fill(sv_engine *e, const sv_engine_opts *o)
{
    sv_runner_opts ro = { .chip = o->chip,
                          .machine = o->machine,
                          .n_ctx = e->n_ctx,
                          .n_page = e->n_page,
                          .share = o->share,
                          .lora = o->lora };
    SV_TRY(sv_runner_open(e->model, &ro, &e->runner));
    size_t rows = (size_t)e->max_running + e->chunk;
    e->pages = sv_pages_make(e->n_page);
    e->prefix = sv_prefix_make(e->n_page, e->pages);
    e->shares = o->prefix;
    e->sampler = sv_sampler_make(e->n_vocab);
    e->running = sv_mem_new(e->max_running * sizeof *e->running);
    e->slot_used = sv_mem_new(e->max_running * sizeof *e->slot_used);
    e->tok = sv_mem_new(rows * sizeof *e->tok);
    e->pos = sv_mem_new(rows * sizeof *e->pos);
    e->seq = sv_mem_new(rows * sizeof *e->seq);
    e->table = sv_mem_new((size_t)e->max_running * e->n_column * sizeof *e->table);
    e->want = sv_mem_new(e->max_want * sizeof *e->want);
    e->target = sv_mem_new(e->max_want * sizeof *e->target);
    e->wanted_by = sv_mem_new(e->max_want * sizeof *e->wanted_by);
    e->lp = sv_mem_new(e->max_want * sizeof *e->lp);
    e->logits_bytes = (uint64_t)e->max_want * e->n_vocab * sizeof *e->logits;
    void *logits;
    SV_TRY(sv_mem_large(e->logits_bytes, "rows of logits", &logits));
    e->logits = logits;
    return SV_OK;
}

sv_err sv_engine_open(const sv_model *m, const sv_engine_opts *opts, sv_engine **out)
{
    static const sv_engine_opts none = { 0 };
    const sv_engine_opts *o = opts ? opts : &none;
    sv_engine *e = sv_mem_new(sizeof *e);
    sv_err err = read_opts(e, m, o);
    if (err == SV_OK)
        err = fill(e, o);
    if (err != SV_OK) {
        sv_engine_close(e);
        return err;
    }
    *out = e;
    return SV_OK;
}

void sv_engine_close(sv_engine *e)
{
    if (e == NULL)
        return;
    for (uint32_t i = 0; i < e->n_running; i++)
        sv_job_drop(e->running[i]);
    for (sv_job *j = e->first, *next; j != NULL; j = next) {
        next = j->next;
        sv_job_drop(j);
    }
    sv_runner_close(e->runner);
    sv_prefix_drop(e->prefix);
    sv_pages_drop(e->pages);
    sv_sampler_drop(e->sampler);
    sv_mem_free(e->running);
    sv_mem_free(e->slot_used);
    sv_mem_free(e->tok);
    sv_mem_free(e->pos);
    sv_mem_free(e->seq);
    sv_mem_free(e->table);
    sv_mem_free(e->want);
    sv_mem_free(e->target);
    sv_mem_free(e->wanted_by);
    sv_mem_free(e->lp);
    sv_mem_free(e->event);
    if (e->logits != NULL)
        sv_mem_large_free(e->logits, e->logits_bytes);
    sv_mem_free(e);
}

/* The longest sequence that can ever run here: by context and by pool. */
static uint32_t longest(const sv_engine *e)
{
    uint64_t pool = (uint64_t)e->n_page * SV_PAGE;
    return pool < e->n_ctx ? (uint32_t)pool : e->n_ctx;
}

static sv_err check_request(const sv_engine *e, const sv_request *r)
{
    uint32_t answer = r->score ? 0 : r->max_tokens ? r->max_tokens : 1;
    if (r->n_prompt == 0)
        return sv_fail(SV_E_ARG, "the prompt is empty; at least one token is needed");
    if ((uint64_t)r->n_prompt + answer > longest(e))
        return sv_fail(
            SV_E_ARG,
            "a prompt of %u tokens and an answer of %u do not fit: a sequence has at most %u (context %u, %u KV "
            "pages of %u)",
            r->n_prompt, answer, longest(e), e->n_ctx, e->n_page, SV_PAGE);
    for (uint32_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] >= e->n_vocab)
            return sv_fail(SV_E_ARG, "prompt token %u is %u; the vocabulary has %u", i, r->prompt[i], e->n_vocab);
    for (uint32_t i = 0; i < r->thought.n_close; i++)
        if (r->thought.n_close > SV_CLOSE_MAX || r->thought.close[i] >= e->n_real)
            return sv_fail(SV_E_ARG, "the close of a thought has %u ids, one of them %u; allowed are %u below %u",
                           r->thought.n_close, r->thought.close[i], SV_CLOSE_MAX, e->n_real);
    for (uint32_t i = 0; i < r->sampling.n_bias; i++)
        if (r->sampling.bias[i].id >= e->n_real)
            return sv_fail(SV_E_ARG, "a bias for token %u; the vocabulary has %u", r->sampling.bias[i].id, e->n_real);
    if (r->n_logprob > SV_TOP_MAX)
        return sv_fail(SV_E_ARG, "%u log-probs per token are asked for; allowed are 0 to %u", r->n_logprob, SV_TOP_MAX);
    return r->score ? SV_OK : sv_sampling_check(&r->sampling);
}

static void *copy_ids(const uint32_t *id, uint32_t n, uint32_t room)
{
    uint32_t *p = sv_mem_new(sv_mem_mul_or_die((size_t)room + 1, sizeof *p));
    if (n > 0)
        memcpy(p, id, n * sizeof *p);
    return p;
}

sv_err sv_engine_post(sv_engine *e, const sv_request *r, sv_ticket *out)
{
    SV_TRY(check_request(e, r));
    sv_job *j = sv_mem_new(sizeof *j);
    j->r = *r;
    j->n_id = r->n_prompt;
    j->n_max = r->score ? r->n_prompt : r->max_tokens ? r->n_prompt + r->max_tokens : longest(e);
    j->id = copy_ids(r->prompt, r->n_prompt, j->n_max);
    j->stop = copy_ids(r->stop, r->n_stop, r->n_stop);
    j->close = copy_ids(r->thought.close, r->thought.n_close, r->thought.n_close);
    j->in_thought = r->thought.open;
    j->bias = sv_mem_new(((size_t)r->sampling.n_bias + 1) * sizeof *j->bias);
    if (r->sampling.n_bias > 0)
        memcpy(j->bias, r->sampling.bias, r->sampling.n_bias * sizeof *j->bias);
    j->r.sampling.bias = j->bias;
    j->r.thought.close = j->close;
    j->r.prompt = j->id;
    j->r.stop = j->stop;
    if (r->guide != NULL)
        sv_guide_hold(r->guide);
    j->ticket = ++e->last_ticket;
    if (e->last != NULL)
        e->last->next = j;
    else
        e->first = j;
    e->last = j;
    *out = j->ticket;
    return SV_OK;
}

static sv_job *unqueue(sv_engine *e, sv_ticket t)
{
    sv_job *before = NULL, *j = e->first;
    while (j != NULL && j->ticket != t) {
        before = j;
        j = j->next;
    }
    if (j == NULL)
        return NULL;
    if (before != NULL)
        before->next = j->next;
    else
        e->first = j->next;
    if (e->last == j)
        e->last = before;
    return j;
}

void sv_engine_cancel(sv_engine *e, sv_ticket t)
{
    size_t n = e->next_event;
    for (size_t i = e->next_event; i < e->n_event; i++)
        if (e->event[i].ticket != t)
            e->event[n++] = e->event[i];
    e->n_event = n;
    for (uint32_t i = 0; i < e->n_running; i++) {
        sv_job *j = e->running[i];
        if (j->ticket != t)
            continue;
        sv_engine_retire(e, j);
        sv_job_drop(j);
        return;
    }
    sv_job_drop(unqueue(e, t));
}

/* Positions of a step's rows are in the pages once it has run. */
static void mark_done(sv_engine *e)
{
    for (uint32_t i = 0; i < e->n_running; i++) {
        sv_job *j = e->running[i];
        for (uint32_t t = 0; t < e->n_tok; t++)
            if (e->seq[t] == (int32_t)j->slot)
                j->n_done = (uint32_t)e->pos[t] + 1;
    }
}

static void measure(sv_engine *e, uint64_t ns)
{
    if (e->n_tok < SV_RATE_ROWS)
        return;
    double row = (double)ns / e->n_tok;
    e->ns_row = e->ns_row > 0 ? 0.75 * e->ns_row + 0.25 * row : row;
}

static sv_err run_step(sv_engine *e)
{
    sv_engine_admit(e);
    if (e->n_running == 0)
        return SV_OK; /* what was admitted is finished: prompts of one token to score */
    sv_engine_layout(e);
    SV_ASSERT(e->n_tok > 0);
    sv_step step = { .shape = { e->n_tok, e->max_running, e->n_column, e->n_want, 0 },
                     .tok = e->tok,
                     .pos = e->pos,
                     .seq = e->seq,
                     .table = e->table,
                     .want = e->want,
                     .target = e->wants_lp ? e->target : NULL };
    uint64_t start = sv_clock_ns();
    SV_TRY(sv_runner_step(e->runner, &step, e->wants_logits ? e->logits : NULL, e->lp));
    measure(e, sv_clock_ns() - start);
    e->n_step++;
    e->n_row += e->n_tok;
    mark_done(e);
    sv_engine_share(e);
    sv_engine_answer(e);
    return SV_OK;
}

sv_err sv_engine_next(sv_engine *e, sv_event *out, bool *has)
{
    while (e->next_event == e->n_event) {
        e->next_event = e->n_event = 0;
        *has = false;
        if (e->first == NULL && e->n_running == 0)
            return SV_OK;
        SV_TRY(run_step(e));
    }
    *out = e->event[e->next_event++];
    *has = true;
    return SV_OK;
}

uint32_t sv_engine_ctx(const sv_engine *e)
{
    return e->n_ctx;
}
sv_runner *sv_engine_runner(sv_engine *e)
{
    return e->runner;
}
uint32_t sv_engine_free_pages(const sv_engine *e)
{
    return sv_prefix_n_free(e->prefix);
}

void sv_engine_forget(sv_engine *e)
{
    SV_ASSERT(e->n_running == 0 && e->first == NULL);
    sv_prefix_clear(e->prefix);
}

void sv_engine_count(const sv_engine *e, sv_engine_counts *out)
{
    *out = (sv_engine_counts){ .n_page = e->n_page,
                               .n_page_held = e->n_page - sv_prefix_n_free(e->prefix),
                               .n_hit = e->n_hit,
                               .n_miss = e->n_miss,
                               .n_preempted = e->n_preempted,
                               .n_step = e->n_step,
                               .n_row = e->n_row };
}
