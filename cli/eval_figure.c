/* SPDX-License-Identifier: Apache-2.0
 * From answers to figures: shares, estimates, votes, and their intervals (docs/evaluation.md).
 */
#include <stdio.h>
#include <string.h>

#include "cli/eval.h"

#define MAX_K 16u /* values of k: 1, 2, 4 ... */

static sv_eval_figure *add(sv_eval_result *r, const char *prefix, const char *name, sv_interval at)
{
    r->figure = sv_mem_grow(r->figure, r->n_figure * sizeof *r->figure, (r->n_figure + 1) * sizeof *r->figure);
    sv_eval_figure *f = &r->figure[r->n_figure++];
    snprintf(f->name, sizeof f->name, "%s%s", prefix, name);
    f->at = at;
    f->has_interval = f->is_share = true;
    return f;
}

static void add_plain(sv_eval_result *r, const char *prefix, const char *name, double value, bool is_share)
{
    sv_eval_figure *f = add(r, prefix, name, (sv_interval){ value, value, value });
    f->has_interval = false;
    f->is_share = is_share;
}

static bool is_right(const sv_eval_answer *w, bool flexible)
{
    return (flexible ? w->verdict.flexible : w->verdict.strict) == SV_VERDICT_CORRECT;
}

static uint32_t right_of(const sv_eval_part *p, uint32_t problem, bool flexible)
{
    uint32_t right = 0;
    for (uint32_t k = 0; k < p->n_sample; k++)
        right += is_right(&p->answer[(size_t)problem * p->n_sample + k], flexible);
    return right;
}

/* Does the majority of the first k answers hold? The winner's answer decides, whichever sample gave it. */
static bool vote_is_right(const sv_eval_part *p, uint32_t problem, uint32_t k, sv_str *scratch)
{
    const sv_eval_answer *w = &p->answer[(size_t)problem * p->n_sample];
    for (uint32_t i = 0; i < k; i++)
        scratch[i] =
            w[i].verdict.has_answer ? (sv_str){ w[i].answer.p ? w[i].answer.p : "", w[i].answer.n } : (sv_str){ 0 };
    uint32_t winner = sv_vote(scratch, k);
    return winner != UINT32_MAX && is_right(&w[winner], false);
}

static bool differs(const sv_eval_result *r)
{
    for (int k = 0; k < SV_EVAL_PARTS; k++)
        for (uint32_t i = 0; r->part[k].answer != NULL && i < r->set->n * r->part[k].n_sample; i++) {
            const sv_eval_verdict *v = &r->part[k].answer[i].verdict;
            if (v->strict != v->flexible)
                return true;
        }
    return false;
}

static void measure_greedy(sv_eval_result *r, const sv_eval_part *p, bool flexible)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < r->set->n; i++)
        right += right_of(p, i, flexible);
    add(r, p->forced ? "forced_" : "", flexible ? "greedy_flexible" : "greedy", sv_wilson(right, r->set->n));
}

/* Columns of the bootstrap: the mean, then pass@k for each k, then maj@k for each k above 1. */
static void measure_samples(sv_eval_result *r, const sv_eval_part *p, bool flexible)
{
    uint32_t n = p->n_sample, n_k = 0, k[MAX_K];
    for (uint32_t v = 1; v <= n && n_k < MAX_K; v *= 2)
        k[n_k++] = v;
    uint32_t n_col = flexible ? 1 : 2 * n_k;
    double *value = sv_mem_new((size_t)r->set->n * n_col * sizeof *value);
    sv_str *scratch = sv_mem_new((size_t)n * sizeof *scratch);
    sv_interval out[2 * MAX_K];
    for (uint32_t i = 0; i < r->set->n; i++) {
        double *row = value + (size_t)i * n_col;
        uint32_t right = right_of(p, i, flexible);
        row[0] = (double)right / n;
        for (uint32_t j = 0; !flexible && j < n_k; j++)
            row[1 + j] = sv_pass_at(n, right, k[j]);
        for (uint32_t j = 1; !flexible && j < n_k; j++)
            row[n_k + j] = vote_is_right(p, i, k[j], scratch);
    }
    sv_bootstrap(value, r->set->n, n_col, r->opts.sampling.seed, out);
    for (uint32_t j = 0; j < n_col; j++) /* all alike: no resample can differ, which is not certainty */
        if (out[j].low == out[j].high && (out[j].value == 0 || out[j].value == 1))
            out[j] = sv_wilson(out[j].value == 1 ? r->set->n : 0, r->set->n);
    const char *prefix = p->forced ? "forced_" : "";
    char name[32];
    for (uint32_t j = 0; j < n_col; j++) {
        if (j == 0)
            snprintf(name, sizeof name, flexible ? "mean@%u_flexible" : "mean@%u", n);
        else
            snprintf(name, sizeof name, "%s@%u", j <= n_k ? "pass" : "maj", j <= n_k ? k[j - 1] : k[j - n_k]);
        add(r, prefix, name, out[j]);
    }
    sv_mem_free(value);
    sv_mem_free(scratch);
}

/* Shares of the ways in which answers fail, and their length. */
static void measure_form(sv_eval_result *r, const sv_eval_part *p)
{
    uint32_t n = r->set->n * p->n_sample, of[5] = { 0 };
    uint64_t n_token = 0;
    for (uint32_t i = 0; i < n; i++) {
        of[p->answer[i].verdict.strict]++;
        n_token += p->answer[i].ids.n;
    }
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%s%s", p->forced ? "forced_" : "", p->greedy ? "greedy_" : "");
    add_plain(r, prefix, "truncated", n ? (double)of[SV_VERDICT_TRUNCATED] / n : 0, true);
    add_plain(r, prefix, "malformed", n ? (double)of[SV_VERDICT_MALFORMED] / n : 0, true);
    add_plain(r, prefix, "unsupported", n ? (double)of[SV_VERDICT_UNSUPPORTED] / n : 0, true);
    add_plain(r, prefix, "mean_tokens", n ? (double)n_token / n : 0, false);
}

static void measure_blind(sv_eval_result *r)
{
    sv_bytes text = { 0 };
    double sum = 0;
    for (uint32_t i = 0; i < r->set->n; i++) {
        sv_bytes_clear(&text);
        sv_eval_set_text(r->set, i, &text);
        sum += r->set->task->blind((sv_str){ text.p, text.n });
    }
    add_plain(r, "", "blind", r->set->n ? sum / r->set->n : 0, true);
    sv_bytes_done(&text);
}

void sv_eval_measure(sv_eval_result *r)
{
    bool two = differs(r);
    for (int k = 0; k < SV_EVAL_PARTS; k++) {
        const sv_eval_part *p = &r->part[k];
        if (p->answer == NULL)
            continue;
        for (int flexible = 0; flexible < (two ? 2 : 1); flexible++)
            if (p->greedy)
                measure_greedy(r, p, flexible);
            else
                measure_samples(r, p, flexible);
        measure_form(r, p);
    }
    if (r->set->task != NULL)
        measure_blind(r);
    else if (r->set->file->n_unsupported > 0)
        add_plain(r, "", "left_out",
                  (double)r->set->file->n_unsupported / (double)(r->set->file->n_unsupported + r->set->n), true);
}

const sv_eval_figure *sv_eval_figure_of(const sv_eval_result *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_figure; i++)
        if (strcmp(r->figure[i].name, name) == 0)
            return &r->figure[i];
    return NULL;
}
