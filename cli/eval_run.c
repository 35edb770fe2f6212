/* SPDX-License-Identifier: Apache-2.0
 * Answers of a model to a set of problems: greedy, sampled, and the same forced to think. Many sequences run at once.
 */
#include <string.h>

#include "base/clock.h"
#include "cli/eval.h"
#include "num/bits.h"
#include "num/philox.h"

#define RUNNING 64u
#define KV_BYTES (UINT64_C(1) << 30) /* of all that run at once */

typedef struct run {
    const sv_model *m;
    const sv_eval_set *set;
    const sv_eval_opts *o;
    sv_engine *engine;
    sv_ids *prompt; /* [n] of the part at hand */
    uint32_t n_done, n_all;
    double start;
} run;

static sv_err post(run *r, const sv_eval_part *p, uint32_t problem, uint32_t sample, sv_ticket *out)
{
    const sv_ids *prompt = &r->prompt[problem];
    sv_request q = { .prompt = prompt->id,
                     .n_prompt = (uint32_t)prompt->n,
                     .max_tokens = r->o->max_tokens,
                     .sampling = p->greedy ? SV_SAMPLING_GREEDY : r->o->sampling };
    q.sampling.seed = r->o->sampling.seed;
    q.sampling.stream = SV_STREAM_SAMPLE;
    q.sampling.step = problem;
    q.sampling.row = sample;
    return sv_engine_post(r->engine, &q, out);
}

/* Tickets ascend in the order of posts. */
static uint32_t find(const sv_ticket *t, uint32_t n, sv_ticket what)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (t[mid] < what)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && t[low] == what ? low : n;
}

static sv_err collect(run *r, sv_eval_part *p, const sv_ticket *ticket, uint32_t n)
{
    bool has = true;
    sv_event ev;
    while (has) {
        SV_TRY(sv_engine_next(r->engine, &ev, &has));
        uint32_t at = has ? find(ticket, n, ev.ticket) : n;
        if (at == n)
            continue;
        sv_eval_answer *w = &p->answer[at];
        if (ev.kind == SV_EVENT_TOKEN)
            SV_PUSH(w->ids.id, w->ids.n, w->ids.cap, ev.id);
        if (ev.kind != SV_EVENT_FINISH)
            continue;
        w->ended = ev.finish == SV_FINISH_STOP;
        r->n_done++;
        sv_live("evaluation: %u of %u answers, %s", r->n_done, r->n_all, sv_time_words(sv_clock_s() - r->start));
        if (sv_interrupts > 0)
            return sv_fail(SV_E_CANCELLED, "evaluation stopped after %u of %u answers; nothing is saved", r->n_done,
                           r->n_all);
    }
    return SV_OK;
}

static void judge(const run *r, const sv_eval_part *p, uint32_t problem, sv_eval_answer *w)
{
    if (p->forced) {
        sv_bytes text = { 0 };
        sv_eval_set_text(r->set, problem, &text);
        sv_bytes_add(&w->text, text.p, r->set->task->n_force);
        sv_bytes_done(&text);
    }
    const sv_ids *prompt = &r->prompt[problem];
    /* tasks mind their special tokens, but the end is no part of an answer, whatever a model calls it; a file's
     * verifiers read what a user would see */
    size_t n = w->ids.n;
    for (uint32_t i = 0; w->ended && w->ids.n > 0 && i < r->m->config.n_eos; i++)
        n -= w->ids.id[w->ids.n - 1] == r->m->config.eos[i];
    sv_tokenizer_decode(r->m->tokenizer, w->ids.id, n, r->set->task != NULL, &w->text);
    w->verdict = sv_eval_set_judge(r->set, problem, (sv_str){ w->text.p ? w->text.p : "", w->text.n }, w->ended,
                                   sv_opens_thought(r->m, prompt->id, (uint32_t)prompt->n), &w->answer);
}

static sv_err run_part(run *r, sv_eval_part *p, uint64_t *hash)
{
    uint32_t n = r->set->n * p->n_sample;
    sv_ticket *ticket = sv_mem_new((size_t)n * sizeof *ticket);
    sv_err err = SV_OK;
    p->answer = sv_mem_new((size_t)n * sizeof *p->answer);
    for (uint32_t i = 0; err == SV_OK && i < n; i++)
        err = post(r, p, i / p->n_sample, i % p->n_sample, &ticket[i]);
    if (err == SV_OK)
        err = collect(r, p, ticket, n);
    for (uint32_t i = 0; err == SV_OK && i < n; i++) {
        judge(r, p, i / p->n_sample, &p->answer[i]);
        for (size_t j = 0; j < p->answer[i].ids.n; j++)
            *hash = sv_fnv_word(*hash, p->answer[i].ids.id[j]);
    }
    sv_mem_free(ticket);
    return err;
}

/* The longest prompt of all, and all prompts of one kind. */
static sv_err make_prompts(run *r, bool forced, size_t *longest)
{
    for (uint32_t i = 0; i < r->set->n; i++) {
        r->prompt[i].n = 0;
        SV_TRY(sv_eval_set_prompt(r->set, r->m, i, forced, &r->prompt[i]));
        if (r->prompt[i].n > *longest)
            *longest = r->prompt[i].n;
    }
    return SV_OK;
}

static sv_err open_engine(run *r, size_t longest)
{
    const sv_config *c = &r->m->config;
    sv_engine_opts opts = { .chip = r->o->chip, .n_ctx = (uint32_t)longest + r->o->max_tokens };
    opts.machine.n_thread = r->o->n_thread;
    if (opts.n_ctx > c->n_ctx)
        return sv_fail(SV_E_ARG,
                       "%s: the longest prompt has %zu tokens; with --max-tokens %u that is more than the "
                       "model's context, %u",
                       r->set->name, longest, r->o->max_tokens, c->n_ctx);
    uint64_t each = (uint64_t)opts.n_ctx * c->n_layer * c->n_kv_head * c->d_head * 8, fit = KV_BYTES / each;
    opts.max_running = fit >= RUNNING ? RUNNING : fit > 0 ? (uint32_t)fit : 1;
    return sv_engine_open(r->m, &opts, &r->engine);
}

static sv_err run_parts(run *r, sv_eval_result *out)
{
    size_t longest = 0;
    bool forced = out->opts.only_forced;
    SV_TRY(make_prompts(r, forced, &longest));
    /* the forced start is the task's n_force tokens at most */
    SV_TRY(open_engine(r, longest + (forced || r->set->task == NULL ? 0 : r->set->task->n_force)));
    for (int k = 0; k < SV_EVAL_PARTS; k++) {
        sv_eval_part *p = &out->part[k];
        if (p->n_sample == 0)
            continue;
        if (p->forced != forced)
            SV_TRY(make_prompts(r, p->forced, &longest));
        forced = p->forced;
        SV_TRY(run_part(r, p, &out->hash));
    }
    return SV_OK;
}

sv_err sv_eval_run(const sv_model *m, const sv_eval_set *set, const sv_eval_opts *o, sv_eval_result *out)
{
    static const sv_eval_part parts[SV_EVAL_PARTS] = {
        [SV_EVAL_GREEDY] = { .name = "greedy", .greedy = true },
        [SV_EVAL_SAMPLED] = { .name = "sampled" },
        [SV_EVAL_FORCED_GREEDY] = { .name = "forced_greedy", .forced = true, .greedy = true },
        [SV_EVAL_FORCED] = { .name = "forced", .forced = true },
    };
    run r = { .m = m, .set = set, .o = o, .start = sv_clock_s() };
    *out = (sv_eval_result){ .set = set, .opts = *o, .hash = SV_FNV_START };
    SV_TRY(sv_model_need_tokenizer(m));
    for (int k = 0; k < SV_EVAL_PARTS; k++) {
        sv_eval_part *p = &out->part[k];
        *p = parts[k];
        if (o->only_sampled ? k == SV_EVAL_SAMPLED
            : p->forced     ? sv_eval_set_can_force(set) && !o->no_forced
                            : !o->only_forced)
            p->n_sample = p->greedy ? 1 : o->n_sample;
        r.n_all += p->n_sample * set->n;
    }
    r.prompt = sv_mem_new((size_t)set->n * sizeof *r.prompt);
    sv_err err = run_parts(&r, out);
    sv_live_end();
    out->seconds = sv_clock_s() - r.start;
    sv_engine_close(r.engine);
    for (uint32_t i = 0; i < set->n; i++)
        sv_ids_done(&r.prompt[i]);
    sv_mem_free(r.prompt);
    if (err == SV_OK)
        sv_eval_measure(out);
    else
        sv_eval_done(out);
    return err;
}

void sv_eval_done(sv_eval_result *r)
{
    for (int k = 0; k < SV_EVAL_PARTS; k++) {
        sv_eval_part *p = &r->part[k];
        for (uint32_t i = 0; p->answer != NULL && i < r->set->n * p->n_sample; i++) {
            sv_ids_done(&p->answer[i].ids);
            sv_bytes_done(&p->answer[i].text);
            sv_bytes_done(&p->answer[i].answer);
        }
        sv_mem_free(p->answer);
        p->answer = NULL;
    }
    sv_mem_free(r->figure);
    r->figure = NULL;
    r->n_figure = 0;
}
