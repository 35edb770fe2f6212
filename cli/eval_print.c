/* SPDX-License-Identifier: Apache-2.0
 * Evaluations as text and JSON: the figures, two models paired, and every answer as a line.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/eval.h"
#include "samsvar/chip.h"

static json_t *real(double v)
{
    return json_real(v);
}

json_t *sv_eval_figures(const sv_eval_result *r)
{
    json_t *o = json_object();
    for (uint32_t i = 0; i < r->n_figure; i++) {
        const sv_eval_figure *f = &r->figure[i];
        json_object_set_new(o, f->name,
                            f->has_interval ? json_pack("{s:o, s:o, s:o}", "value", real(f->at.value), "low",
                                                        real(f->at.low), "high", real(f->at.high))
                                            : json_pack("{s:o}", "value", real(f->at.value)));
    }
    return o;
}

static void print_json(const sv_eval_result *r, const char *model)
{
    const sv_sampling *s = &r->opts.sampling;
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "event", "eval", "task", r->set->name, "problems", (json_int_t)r->set->n,
                  "samples", (json_int_t)r->opts.n_sample, "max_tokens", (json_int_t)r->opts.max_tokens);
    if (model != NULL)
        json_object_set_new(o, "model", json_string(model));
    json_object_set_new(o, "metrics", sv_eval_figures(r));
    json_object_set_new(o, "sampling",
                        json_pack("{s:f, s:f, s:I, s:f, s:I}", "temperature", (double)s->temperature, "top_p",
                                  (double)s->top_p, "top_k", (json_int_t)s->top_k, "min_p", (double)s->min_p, "seed",
                                  (json_int_t)s->seed));
    if (r->weights[0])
        json_object_set_new(o, "weights", json_string(r->weights));
    if (r->adapter[0])
        json_object_set_new(o, "adapter", json_string(r->adapter));
    json_object_set_new(o, "problems_hash", json_string(sv_hex(r->set->hash, 16)));
    json_object_set_new(o, "ids_hash", json_string(sv_hash_words(r->hash)));
    json_object_set_new(o, "opset", json_integer(SV_OPSET));
    json_object_set_new(o, "seconds", real(r->seconds));
    sv_out_json(o);
}

static void print_figure(const sv_eval_figure *f)
{
    if (!f->is_share)
        sv_out("  %-24s %6.1f\n", f->name, f->at.value);
    else if (!f->has_interval)
        sv_out("  %-24s %6.1f %%\n", f->name, 100 * f->at.value);
    else
        sv_out("  %-24s %6.1f %%  [%.1f, %.1f]\n", f->name, 100 * f->at.value, 100 * f->at.low, 100 * f->at.high);
}

/* Left to --json: what is 0, pass@1 (it is the mean), and votes and pass@k of the forced control. */
static bool is_shown(const sv_eval_figure *f)
{
    if (strcmp(f->name, "pass@1") == 0 || strncmp(f->name, "forced_pass", 11) == 0 ||
        strncmp(f->name, "forced_maj", 10) == 0)
        return false;
    return f->has_interval || f->at.value > 0;
}

void sv_eval_print(const sv_eval_result *r, const char *model, bool json)
{
    const sv_sampling *s = &r->opts.sampling;
    if (json) {
        print_json(r, model);
        return;
    }
    if (model != NULL)
        sv_out("%s\n", model);
    sv_out("%s, %u %s, %u answers each (95 %% intervals; %s)\n", r->set->name, r->set->n,
           r->set->task != NULL ? "held-out problems" : "problems", r->opts.n_sample, sv_time_words(r->seconds));
    for (uint32_t i = 0; i < r->n_figure; i++)
        if (is_shown(&r->figure[i]))
            print_figure(&r->figure[i]);
    sv_out("  T %g, top-p %g, top-k %u, seed %llu, at most %u tokens, opset %d\n", (double)s->temperature,
           (double)s->top_p, s->top_k, (unsigned long long)s->seed, r->opts.max_tokens, SV_OPSET);
    if (r->weights[0])
        sv_out("  weights %.16s  problems %s  ids %s\n", r->weights, sv_hex(r->set->hash, 8), sv_hash_words(r->hash));
    else
        sv_out("  problems %s  ids %s\n", sv_hex(r->set->hash, 8), sv_hash_words(r->hash));
    if (r->adapter[0])
        sv_out("  adapter %.16s\n", r->adapter);
    if (r->opts.n_sample > 1)
        sv_out("  pass@k for k > n / 2 rests on few samples; raise --samples before quoting it\n");
}

/* ---- two models ---- */

typedef struct pair {
    const char *name;
    double a, b, p;
    sv_interval difference; /* b - a */
    uint32_t only_a, only_b;
    bool has_interval;
} pair;

static uint32_t count_right(const sv_eval_part *p, uint32_t problem)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < p->n_sample; k++)
        n += p->answer[(size_t)problem * p->n_sample + k].verdict.strict == SV_VERDICT_CORRECT;
    return n;
}

static void compare(const sv_eval_result *a, const sv_eval_result *b, int part, pair *out)
{
    const sv_eval_part *pa = &a->part[part], *pb = &b->part[part];
    uint32_t n = a->set->n;
    int32_t *d = sv_mem_new((size_t)n * sizeof *d);
    double *share = sv_mem_new((size_t)n * sizeof *share);
    *out = (pair){ .name = pa->name };
    for (uint32_t i = 0; i < n; i++) {
        uint32_t ra = count_right(pa, i), rb = count_right(pb, i);
        d[i] = (int32_t)rb - (int32_t)ra;
        share[i] = (double)d[i] / pa->n_sample;
        out->a += (double)ra / pa->n_sample / n;
        out->b += (double)rb / pa->n_sample / n;
        out->only_a += ra > rb;
        out->only_b += rb > ra;
    }
    sv_bootstrap(share, n, 1, a->opts.sampling.seed, &out->difference);
    out->p = pa->greedy ? sv_mcnemar(out->only_a, out->only_b) : sv_sign_flip(d, n, a->opts.sampling.seed);
    sv_mem_free(d);
    sv_mem_free(share);
}

static const char *verdict_of(const pair *p)
{
    return p->p >= 0.05              ? "no difference shown"
           : p->difference.value > 0 ? "the second is better"
                                     : "the first is better";
}

void sv_eval_print_pair(const sv_eval_result *a, const sv_eval_result *b, bool json)
{
    if (!json)
        sv_out("the second against the first, paired on %u problems with the same seeds\n", a->set->n);
    for (int k = 0; k < SV_EVAL_PARTS; k++) {
        pair p;
        if (a->part[k].answer == NULL || b->part[k].answer == NULL)
            continue;
        compare(a, b, k, &p);
        const char *test = a->part[k].greedy ? "mcnemar" : "sign-flip";
        if (json)
            sv_out_json(json_pack("{s:s, s:s, s:f, s:f, s:{s:f, s:f, s:f}, s:I, s:I, s:s, s:f, s:s}", "event", "paired",
                                  "part", p.name, "first", p.a, "second", p.b, "difference", "value",
                                  p.difference.value, "low", p.difference.low, "high", p.difference.high, "only_first",
                                  (json_int_t)p.only_a, "only_second", (json_int_t)p.only_b, "test", test, "p", p.p,
                                  "verdict", verdict_of(&p)));
        else
            sv_out("  %-14s %+6.1f points  [%+.1f, %+.1f]  %s p = %.2g (better on %u, worse on %u): %s\n", p.name,
                   100 * p.difference.value, 100 * p.difference.low, 100 * p.difference.high,
                   a->part[k].greedy ? "McNemar" : "sign flips", p.p, p.only_b, p.only_a, verdict_of(&p));
    }
}

/* ---- every answer ---- */

static void write_answer(const sv_eval_result *r, const sv_eval_part *p, uint32_t i, const char *model, sv_bytes *out)
{
    const sv_eval_answer *w = &p->answer[i];
    sv_bytes text = { 0 };
    sv_eval_set_text(r->set, i / p->n_sample, &text);
    sv_bytes_text(out, "{\"model\":");
    sv_json_quote(out, sv_str_of(model));
    sv_bytes_printf(out, ",\"part\":\"%s\",\"problem\":%u,\"sample\":%u,\"seed\":%llu,\"text\":", p->name,
                    i / p->n_sample, i % p->n_sample, (unsigned long long)r->opts.sampling.seed);
    sv_json_quote(out, (sv_str){ text.p ? text.p : "", text.n });
    sv_bytes_text(out, ",\"output\":");
    sv_json_quote(out, (sv_str){ w->text.p ? w->text.p : "", w->text.n });
    sv_bytes_text(out, ",\"answer\":");
    if (w->verdict.has_answer)
        sv_json_quote(out, (sv_str){ w->answer.p ? w->answer.p : "", w->answer.n });
    else
        sv_bytes_text(out, "null");
    sv_bytes_printf(out, ",\"tokens\":%zu,\"ended\":%s,\"verdict\":\"%s\"", w->ids.n, w->ended ? "true" : "false",
                    sv_verdict_name(w->verdict.strict));
    if (w->verdict.flexible != w->verdict.strict)
        sv_bytes_printf(out, ",\"flexible\":\"%s\"", sv_verdict_name(w->verdict.flexible));
    sv_bytes_text(out, "}\n");
    sv_bytes_done(&text);
}

void sv_eval_write(const sv_eval_result *r, const char *model, sv_bytes *out)
{
    for (int k = 0; k < SV_EVAL_PARTS; k++)
        for (uint32_t i = 0; r->part[k].answer != NULL && i < r->set->n * r->part[k].n_sample; i++)
            write_answer(r, &r->part[k], i, model, out);
}
