/* SPDX-License-Identifier: Apache-2.0
 * Sampling evaluation of chain100 on held-out problems: greedy, mean@n, pass@n, and the same forced to think. Many
 * sequences run at once; what each gets does not depend on that.
 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cmd.h"
#include "num/bits.h"
#include "num/philox.h"
#include "train/task.h"

#define RUNNING 64u

/* Answers of one part, problem by problem. */
typedef struct part_plan {
    sv_eval_part *out;
    uint32_t n_sample;
    bool forced, greedy;
} part_plan;

typedef struct one {
    sv_ticket ticket;
    uint32_t problem;
    sv_ids ids;
    bool ended;
} one;

typedef struct eval {
    const sv_model *m;
    const sv_eval_opts *o;
    const sv_task *task;
    sv_engine *engine;
    uint32_t n_done, n_all;
    double start;
} eval;

void sv_wilson(double p, double n, double *low, double *high)
{
    const double z = 1.959964;
    double mid = p + z * z / (2 * n), d = 1 + z * z / n, half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    *low = n > 0 ? fmax(0, (mid - half) / d) : 0;
    *high = n > 0 ? fmin(1, (mid + half) / d) : 1;
}

sv_err sv_eval_prompt(const sv_model *m, sv_str problem, bool forced, sv_ids *out)
{
    json_t *messages = json_array();
    json_array_append_new(messages, sv_message("user", problem));
    sv_err err = sv_chat_ids(m, messages, false, out);
    json_decref(messages);
    SV_TRY(err);
    return forced ? sv_tokenizer_encode_plain(m->tokenizer, (sv_str){ problem.p, 1 }, false, out) : SV_OK;
}

static sv_err post(eval *e, const part_plan *p, one *w, uint32_t problem, uint32_t sample)
{
    sv_bytes text = { 0 };
    sv_ids prompt = { 0 };
    e->task->problem(e->o->task_seed, SV_SPLIT_TEST, problem, &text);
    sv_err err = sv_eval_prompt(e->m, (sv_str){ text.p, text.n }, p->forced, &prompt);
    if (err == SV_OK) {
        sv_request r = { .prompt = prompt.id,
                         .n_prompt = (uint32_t)prompt.n,
                         .max_tokens = e->o->max_tokens,
                         .sampling = SV_SAMPLING_GREEDY };
        r.sampling.temperature = p->greedy ? 0.0f : 1.0f;
        r.sampling.seed = e->o->seed;
        r.sampling.stream = SV_STREAM_SAMPLE;
        r.sampling.step = problem;
        r.sampling.row = sample;
        err = sv_engine_post(e->engine, &r, &w->ticket);
    }
    w->problem = problem;
    sv_bytes_done(&text);
    sv_ids_done(&prompt);
    return err;
}

static one *find(one *w, uint32_t n, sv_ticket ticket)
{
    uint32_t low = 0, high = n; /* tickets ascend in the order of posts */
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (w[mid].ticket < ticket)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && w[low].ticket == ticket ? &w[low] : NULL;
}

static sv_err collect(eval *e, one *w, uint32_t n)
{
    bool has = true;
    sv_event ev;
    while (has) {
        SV_TRY(sv_engine_next(e->engine, &ev, &has));
        one *it = has ? find(w, n, ev.ticket) : NULL;
        if (it == NULL)
            continue;
        if (ev.kind == SV_EVENT_TOKEN)
            SV_PUSH(it->ids.id, it->ids.n, it->ids.cap, ev.id);
        if (ev.kind != SV_EVENT_FINISH)
            continue;
        it->ended = ev.finish == SV_FINISH_STOP;
        e->n_done++;
        sv_live("evaluation: %u of %u answers, %s", e->n_done, e->n_all, sv_time_words(sv_clock_s() - e->start));
        if (sv_interrupts > 0)
            return sv_fail(SV_E_CANCELLED, "evaluation stopped");
    }
    return SV_OK;
}

static bool judge(const eval *e, const part_plan *p, const one *w)
{
    sv_bytes problem = { 0 }, text = { 0 };
    e->task->problem(e->o->task_seed, SV_SPLIT_TEST, w->problem, &problem);
    if (p->forced)
        sv_bytes_add(&text, problem.p, e->task->n_force);
    sv_tokenizer_decode(e->m->tokenizer, w->ids.id, w->ids.n, true, &text);
    sv_verdict v =
        e->task->verify((sv_str){ problem.p, problem.n }, (sv_str){ text.p ? text.p : "", text.n }, w->ended, false);
    p->out->n_truncated += v == SV_VERDICT_TRUNCATED;
    sv_bytes_done(&problem);
    sv_bytes_done(&text);
    return v == SV_VERDICT_CORRECT;
}

static void count(const eval *e, const part_plan *p, const one *w, uint64_t *hash)
{
    p->out->n_problem = e->o->n_problem;
    for (uint32_t i = 0; i < e->o->n_problem; i++) {
        uint32_t right = 0;
        for (uint32_t k = 0; k < p->n_sample; k++) {
            const one *it = &w[i * p->n_sample + k];
            right += judge(e, p, it);
            p->out->n_token += it->ids.n;
            for (size_t j = 0; j < it->ids.n; j++)
                *hash = sv_fnv_word(*hash, it->ids.id[j]);
        }
        p->out->n += p->n_sample;
        p->out->n_right += right;
        p->out->n_pass += right > 0;
    }
}

static sv_err run_part(eval *e, const part_plan *p, uint64_t *hash)
{
    uint32_t n = e->o->n_problem * p->n_sample;
    one *w = sv_mem_new((size_t)n * sizeof *w);
    sv_err err = SV_OK;
    for (uint32_t i = 0; err == SV_OK && i < n; i++)
        err = post(e, p, &w[i], i / p->n_sample, i % p->n_sample);
    if (err == SV_OK)
        err = collect(e, w, n);
    if (err == SV_OK)
        count(e, p, w, hash);
    for (uint32_t i = 0; i < n; i++)
        sv_ids_done(&w[i].ids);
    sv_mem_free(w);
    return err;
}

sv_err sv_eval_chain100(const sv_model *m, const sv_eval_opts *o, sv_eval_result *out)
{
    const part_plan plan[] = { { &out->greedy, 1, false, true },
                               { &out->sampled, o->n_sample, false, false },
                               { &out->forced_greedy, 1, true, true },
                               { &out->forced, o->n_sample, true, false } };
    eval e = { .m = m, .o = o, .task = &sv_task_chain100, .start = sv_clock_s() };
    sv_engine_opts opts = { .chip = o->chip, .max_running = RUNNING, .n_ctx = 16 + o->max_tokens };
    opts.machine.n_thread = o->n_thread;
    *out = (sv_eval_result){ .hash = SV_FNV_START };
    if (opts.n_ctx > m->config.n_ctx)
        opts.n_ctx = m->config.n_ctx;
    SV_TRY(sv_engine_open(m, &opts, &e.engine));
    sv_err err = SV_OK;
    for (int k = o->only_forced ? 2 : 0; k < 4; k++)
        e.n_all += plan[k].n_sample * o->n_problem;
    for (int k = o->only_forced ? 2 : 0; err == SV_OK && k < 4; k++)
        err = run_part(&e, &plan[k], &out->hash);
    sv_live_end();
    out->seconds = sv_clock_s() - e.start;
    sv_engine_close(e.engine);
    return err;
}

/* Samples of one problem are not independent; their share varies at most as one answer's does, so the interval of as
 * many answers as there are problems holds. */
static void print_part(const char *name, const sv_eval_part *p, uint32_t n_sample, json_t *json)
{
    double low, high, mean = p->n ? (double)p->n_right / p->n : 0,
                      pass = p->n_problem ? (double)p->n_pass / p->n_problem : 0;
    sv_wilson(mean, p->n_problem, &low, &high);
    if (json != NULL) {
        json_object_set_new(json, name,
                            json_pack("{s:f, s:f, s:f, s:f, s:I, s:f, s:f}", "mean", mean, "low", low, "high", high,
                                      "pass", pass, "samples", (json_int_t)n_sample, "truncated",
                                      p->n ? (double)p->n_truncated / p->n : 0, "mean_tokens",
                                      p->n ? (double)p->n_token / p->n : 0));
        return;
    }
    sv_out("  %-24s %5.1f %%  [%.1f, %.1f]", name, 100 * mean, 100 * low, 100 * high);
    if (n_sample > 1)
        sv_out("   pass@%u %5.1f %%", n_sample, 100 * pass);
    sv_out("   %.1f tokens, %.1f %% cut off\n", p->n ? (double)p->n_token / p->n : 0,
           p->n ? 100.0 * p->n_truncated / p->n : 0);
}

void sv_eval_print(const sv_eval_result *r, const sv_eval_opts *o, bool json)
{
    json_t *out =
        json ? json_pack("{s:s, s:s, s:I, s:I, s:f}", "event", "eval", "task", "chain100", "problems",
                         (json_int_t)o->n_problem, "max_tokens", (json_int_t)o->max_tokens, "seconds", r->seconds)
             : NULL;
    const char *hash = sv_hash_words(r->hash);
    sv_bytes mean = { 0 }, forced = { 0 };
    sv_bytes_printf(&mean, "mean@%u, T = 1", o->n_sample);
    sv_bytes_printf(&forced, "mean@%u, forced to think", o->n_sample);
    if (!json)
        sv_out("chain100, %u held-out problems, answers of at most %u tokens (95 %% interval; %.0f s)\n", o->n_problem,
               o->max_tokens, r->seconds);
    if (!o->only_forced) {
        print_part(json ? "greedy" : "greedy", &r->greedy, 1, out);
        print_part(json ? "sampled" : mean.p, &r->sampled, o->n_sample, out);
    }
    print_part(json ? "forced_greedy" : "greedy, forced to think", &r->forced_greedy, 1, out);
    print_part(json ? "forced" : forced.p, &r->forced, o->n_sample, out);
    if (json) {
        json_object_set_new(out, "ids_hash", json_string(hash));
        sv_out_json(out);
    } else {
        sv_out("  hash of all ids          %s\n", hash);
    }
    sv_bytes_done(&mean);
    sv_bytes_done(&forced);
}
