/* SPDX-License-Identifier: Apache-2.0
 * The RL step: sample, judge, compare log-probs, update.
 */
#include "rl/rl.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "num/bits.h"
#include "num/philox.h"
#include "rl/advantage.h"

struct sv_rl {
    sv_train *train;
    const sv_recipe *recipe;
    sv_roller *roller;
    sv_policy policy;
    sv_mismatch mismatch;
    bool is_opd; /* learns from a teacher, whose log-probs stand where a reference's do */
    sv_rl_guard guard;
    uint64_t total_generated, saved_step;
    double start, core_start; /* of the step at hand */
    char warning[256];
};

sv_err sv_rl_open(sv_train *t, const sv_recipe *r, sv_rl **out)
{
    sv_rl *rl = sv_mem_new(sizeof *rl);
    rl->train = t;
    rl->recipe = r;
    rl->policy = sv_policy_of(r);
    rl->mismatch = sv_mismatch_of(r);
    rl->is_opd = sv_recipe_is(r, SV_KEY_METHOD, "opd");
    if (rl->is_opd)
        rl->policy = (sv_policy){ .loss = SV_PG_REINFORCE };
    rl->saved_step = UINT64_MAX;
    sv_err err = sv_roller_open(r, sv_train_runner(t), &rl->roller);
    if (err != SV_OK) {
        sv_rl_close(rl);
        return err;
    }
    *out = rl;
    return SV_OK;
}

void sv_rl_close(sv_rl *rl)
{
    if (rl == NULL)
        return;
    sv_roller_close(rl->roller);
    sv_mem_free(rl);
}

sv_roller *sv_rl_roller(sv_rl *rl)
{
    return rl->roller;
}

uint32_t sv_rl_part(uint64_t seed, uint32_t step, uint32_t n, uint32_t k, uint32_t m, uint32_t *row)
{
    uint32_t low = (uint32_t)((uint64_t)n * k / m), high = (uint32_t)((uint64_t)n * (k + 1) / m), found = 0;
    uint32_t *order = sv_mem_new(((size_t)n + 1) * sizeof *order);
    uint8_t *mine = sv_mem_new((size_t)n + 1);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; m > 1 && i > 1; i--) { /* Fisher and Yates, Durstenfeld 1964 */
        sv_philox w = sv_philox_at(seed, SV_STREAM_MINI, step, 0, i);
        uint32_t j = (uint32_t)(((uint64_t)w.w[0] * i) >> 32), keep = order[i - 1];
        order[i - 1] = order[j];
        order[j] = keep;
    }
    for (uint32_t i = low; i < high; i++)
        mine[order[i]] = 1;
    for (uint32_t i = 0; i < n; i++)
        if (mine[i])
            row[found++] = i;
    sv_mem_free(order);
    sv_mem_free(mine);
    return found;
}

/* ---- advantages ---- */

/* k1: the reward pays for what the answer's log-prob stands above the reference's. */
static void pay_kl(const sv_rl *rl, sv_rollout_batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        sv_rollout *w = &b->row[i];
        float sum = 0.0f;
        for (uint32_t t = 0; t < w->n - w->n_prompt; t++)
            sum = sum + (w->lp[t] - w->ref[t]);
        w->reward = w->reward - rl->policy.beta * sum;
    }
}

static void fill_advantages(const sv_rl *rl, sv_rollout_batch *b)
{
    float *r = SV_NEW_N(b->arena, float, b->n), *a = SV_NEW_N(b->arena, float, b->n);
    for (uint32_t i = 0; i < b->n; i++)
        r[i] = b->row[i].reward;
    sv_advantage(sv_adv_of(sv_recipe_text(rl->recipe, SV_KEY_RL_ADVANTAGE)), r, b->n_group, b->group, a);
    for (uint32_t i = 0; i < b->n; i++)
        b->row[i].advantage = a[i];
}

sv_err sv_rl_sample(sv_rl *rl, sv_rollout_batch *b, sv_rl_report *out)
{
    *out = (sv_rl_report){ 0 };
    rl->start = sv_clock_s();
    rl->core_start = sv_clock_core_s();
    SV_TRY(sv_roller_make(rl->roller, (uint32_t)sv_train_steps_made(rl->train), b));
    out->n_generated = b->n_generated;
    *(rl->is_opd ? &out->n_teacher : &out->n_reference) = b->n_reference;
    sv_rl_measure(b, out);
    if (rl->policy.kl == SV_KL_K1)
        pay_kl(rl, b);
    if (!rl->is_opd)
        fill_advantages(rl, b);
    sv_fault_point("rl.advantages");
    out->total_generated = rl->total_generated += b->n_generated;
    out->rollout_s = sv_clock_s() - rl->start;
    return SV_OK;
}

/* ---- one optimizer step ---- */

/* The rows that an update forwards, and everything by token, rows one after the other. */
typedef struct part {
    const sv_rollout **of; /* [n] */
    sv_row *row;           /* [n] */
    uint32_t n, *number;   /* [n] number of the answer in the batch */
    size_t n_token;
    float *served, *old, *ref, *now,
        *got;   /* [n_token]; served: as sampled; old: before the first update; ref NULL: none */
    float norm; /* Z */
} part;

/* Answers without an advantage leave before the forward pass, unless a KL of the loss needs them; Z counts them. */
static void fill_part(const sv_rl *rl, const sv_rollout_batch *b, uint32_t k, uint32_t m, part *p)
{
    uint32_t *row = SV_NEW_N(b->arena, uint32_t, b->n), step = (uint32_t)sv_train_steps_made(rl->train);
    uint32_t n = sv_rl_part(sv_recipe_u64(rl->recipe, SV_KEY_SEED), step, b->n, k, m, row);
    bool needs_all = rl->is_opd || (rl->policy.kl != SV_KL_NONE && rl->policy.kl != SV_KL_K1);
    uint64_t n_all = 0;
    *p = (part){ .number = row };
    p->of = SV_NEW_N(b->arena, const sv_rollout *, n);
    for (uint32_t i = 0; i < n; i++) {
        const sv_rollout *w = &b->row[row[i]];
        n_all += w->n - w->n_prompt;
        if ((w->masked && !rl->is_opd) || (w->advantage == 0.0f && !needs_all))
            continue;
        p->number[p->n] = row[i];
        p->of[p->n++] = w;
        p->n_token += w->n - w->n_prompt;
    }
    p->norm = sv_policy_norm(&rl->policy, n, n_all);
}

static void lay_out(const sv_rollout_batch *b, part *p)
{
    bool has_ref = p->n > 0 && p->of[0]->ref != NULL;
    size_t at = 0;
    p->row = SV_NEW_N(b->arena, sv_row, p->n);
    p->served = SV_NEW_N(b->arena, float, p->n_token);
    p->old = SV_NEW_N(b->arena, float, p->n_token);
    p->now = SV_NEW_N(b->arena, float, p->n_token);
    p->got = SV_NEW_N(b->arena, float, p->n_token);
    p->ref = has_ref ? SV_NEW_N(b->arena, float, p->n_token) : NULL;
    for (uint32_t i = 0; i < p->n; i++) {
        const sv_rollout *w = p->of[i];
        uint32_t n = w->n - w->n_prompt;
        memcpy(p->served + at, w->lp, n * sizeof *w->lp);
        memcpy(p->old + at, w->old ? w->old : w->lp, n * sizeof *w->lp);
        if (has_ref)
            memcpy(p->ref + at, w->ref, n * sizeof *w->ref);
        float *dlp = SV_NEW_N(b->arena, float, w->n);
        p->row[i] = (sv_row){ .id = w->id, .counted = w->counted, .dlp = dlp, .n = w->n };
        at += n;
    }
}

/* On-policy distillation, sampled form: each token's advantage is sg(teacher - student); its mean is minus the reverse
 * KL (arXiv 2306.13649, 2306.08543). */
static void distil(const part *p, uint32_t i, size_t at, float *dlp, sv_policy_stat *stat)
{
    uint32_t n = p->of[i]->n - p->of[i]->n_prompt;
    for (uint32_t t = 0; t < n; t++) {
        float a = p->ref[at + t] - p->old[at + t];
        dlp[t] = 0.0f - a / p->norm;
        stat->kl -= (double)a;
    }
    stat->n_token += n;
}

static void fill_gradient(const sv_rl *rl, const sv_rollout_batch *b, part *p, sv_policy_stat *stat)
{
    size_t at = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const sv_rollout *w = p->of[i];
        uint32_t n = w->n - w->n_prompt;
        float *scratch = SV_NEW_N(b->arena, float, n), *dlp = (float *)(uintptr_t)p->row[i].dlp;
        if (rl->is_opd)
            distil(p, i, at, dlp + w->n_prompt, stat);
        else
            sv_policy_row(&rl->policy, w->advantage, p->norm, n, p->now + at, p->old + at, p->ref ? p->ref + at : NULL,
                          w->weight, dlp + w->n_prompt, scratch, stat);
        at += n;
    }
}

/* Every log-prob has the bits that are expected; on the first that has not, says where. */
static sv_err same_bits(const sv_rl *rl, const sv_rollout_batch *b, const part *p, const float *want, const float *got)
{
    size_t at = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const sv_rollout *w = p->of[i];
        for (uint32_t t = 0; t < w->n - w->n_prompt; t++, at++) {
            if (sv_bits_u32(want[at]) == sv_bits_u32(got[at]))
                continue;
            return sv_fail(
                SV_E_BITS,
                "step %llu, row %u (problem %u, answer %u), token %u (id %d): the sampler's log-prob is %08x "
                "(%.9g), the trainer's %08x (%.9g). They must be equal; nothing was updated. `samsvar "
                "verify` on the checkpoint names the first call that differs; rl.check: off goes on",
                (unsigned long long)sv_train_steps_made(rl->train) + 1, p->number[i], w->problem, w->sample, t,
                w->id[w->n_prompt + t], sv_bits_u32(want[at]), (double)want[at], sv_bits_u32(got[at]), (double)got[at]);
        }
    }
    (void)b;
    return SV_OK;
}

static void measure_ratio(const part *p, sv_rl_report *out)
{
    double diff = 0, ratio = 0;
    for (size_t i = 0; i < p->n_token; i++) {
        float d = p->got[i] - p->served[i], a = d < 0.0f ? 0.0f - d : d, q = sv_ratio(d);
        diff += (double)a;
        ratio += (double)q;
        out->diff_max = a > out->diff_max ? a : out->diff_max;
        out->ratio_min = i == 0 || q < out->ratio_min ? q : out->ratio_min;
        out->ratio_max = i == 0 || q > out->ratio_max ? q : out->ratio_max;
    }
    out->diff_mean = (float)(diff / (double)p->n_token);
    out->ratio_mean = (float)(ratio / (double)p->n_token);
}

/* The first update takes the sampler's log-probs as those of now, and then compares. Later ones run the forward pass
 * once more: the weights have moved on. */
static sv_err update(sv_rl *rl, const sv_rollout_batch *b, part *p, bool is_first, sv_policy_stat *stat,
                     sv_rl_report *out)
{
    bool trusts = is_first && !sv_recipe_is(rl->recipe, SV_KEY_RL_CHECK, "off");
    lay_out(b, p);
    if (trusts)
        memcpy(p->now, p->old, p->n_token * sizeof *p->now);
    else
        SV_TRY(sv_train_score(rl->train, p->row, p->n, p->now));
    fill_gradient(rl, b, p, stat);
    float norm = out->train.grad_norm;
    SV_TRY(sv_train_gradient(rl->train, p->row, p->n, p->got, &out->train));
    SV_TRY(same_bits(rl, b, p, p->now, p->got));
    sv_fault_point("rl.gradient");
    if (is_first)
        measure_ratio(p, out);
    if (sv_rl_guard_norm(&rl->guard, out->train.grad_norm) == SV_RL_STEEP)
        snprintf(rl->warning, sizeof rl->warning, "the gradient's norm, %g, is above 10 times its running median",
                 (double)out->train.grad_norm);
    SV_TRY(sv_train_apply(rl->train, &out->train));
    sv_fault_point("rl.updated");
    if (norm > out->train.grad_norm)
        out->train.grad_norm = norm;
    out->n_trained += p->n_token;
    out->n_update++;
    return SV_OK;
}

/* rl.check: all. Every answer that will train, before the first update. */
static sv_err check_all(sv_rl *rl, const sv_rollout_batch *b)
{
    part p;
    fill_part(rl, b, 0, 1, &p);
    if (p.n == 0)
        return SV_OK;
    lay_out(b, &p);
    SV_TRY(sv_train_score(rl->train, p.row, p.n, p.got));
    return same_bits(rl, b, &p, p.old, p.got);
}

/* rl.mismatch: the trainer's own log-probs become the old ones, and the sampler's make weights. One more forward pass.
 */
static sv_err weigh(sv_rl *rl, const sv_rollout_batch *b, sv_rl_report *out)
{
    part p;
    double k3 = 0;
    size_t at = 0;
    fill_part(rl, b, 0, 1, &p);
    if (p.n == 0)
        return SV_OK;
    lay_out(b, &p);
    SV_TRY(sv_train_score(rl->train, p.row, p.n, p.got));
    for (uint32_t i = 0; i < p.n; i++) {
        sv_rollout *w = &b->row[p.number[i]];
        uint32_t n = w->n - w->n_prompt;
        float *scratch = SV_NEW_N(b->arena, float, n);
        w->old = p.got + at;
        w->weight = SV_NEW_N(b->arena, float, n);
        sv_mismatch_row(&rl->mismatch, w->advantage, n, w->old, w->lp, w->weight, scratch, &k3);
        at += n;
    }
    out->mismatch_k3 = (float)(k3 / (double)p.n);
    out->is_close = true;
    return SV_OK;
}

/* ---- the guard ---- */

static const char *view_words(sv_rl_view v)
{
    switch (v) {
    case SV_RL_FLAT:
        return "above 80 % of the groups score alike, 5 steps in a row: little is learned. A better start (SFT), "
               "rl.resample or other problems help";
    case SV_RL_NARROW:
        return "entropy is below 0.005 nat while the reward falls, 5 steps in a row";
    case SV_RL_LONG:
        return "answers reach 0.9 of rollout.max_tokens and half of them are cut off, 5 steps in a row: length runs "
               "away";
    case SV_RL_SILENT:
        return "no group has answers that score differently, 10 steps in a row: nothing can be learned. A better start "
               "(SFT), rl.resample or other problems help";
    default:
        return "";
    }
}

static sv_err save_once(sv_rl *rl)
{
    uint64_t step = sv_train_steps_made(rl->train);
    if (rl->saved_step == step || sv_recipe_text(rl->recipe, SV_KEY_RUN_DIR)[0] == '\0')
        return SV_OK;
    rl->saved_step = step;
    return sv_train_save(rl->train, NULL);
}

/* Keeps the state in front of the first bad step; stops after the last that is allowed. */
static sv_err guard(sv_rl *rl, const sv_rl_report *r)
{
    bool first;
    sv_rl_signs s = { .mean_length = r->mean_length,
                      .most_length = (float)sv_recipe_u64(rl->recipe, SV_KEY_ROLLOUT_TOKENS),
                      .truncated = r->truncated,
                      .zero_std = rl->is_opd ? 0.0f : r->zero_std,
                      .entropy = r->entropy,
                      .reward = r->reward };
    rl->warning[0] = '\0';
    if (sv_recipe_is(rl->recipe, SV_KEY_GUARD_RL, "off"))
        return SV_OK;
    sv_rl_view v = sv_rl_guard_look(&rl->guard, &s, &first);
    bool stops = sv_recipe_is(rl->recipe, SV_KEY_GUARD_RL, "stop");
    if (first && stops)
        SV_TRY(save_once(rl));
    snprintf(rl->warning, sizeof rl->warning, "%s", view_words(v));
    if (!stops || (v != SV_RL_LONG && v != SV_RL_SILENT))
        return SV_OK;
    return sv_fail(SV_E_GUARD,
                   "step %llu: %s (mean length %.1f, %.0f %% cut off, %.0f %% of groups alike, reward %.3f). The state "
                   "before the first of these steps is saved, if there is a run.dir; guard.rl: warn goes on",
                   (unsigned long long)sv_train_steps_made(rl->train) + 1, view_words(v), (double)r->mean_length,
                   100.0 * (double)r->truncated, 100.0 * (double)r->zero_std, (double)r->reward);
}

/* ---- the step ---- */

sv_err sv_rl_learn(sv_rl *rl, sv_rollout_batch *b, sv_rl_report *out)
{
    uint32_t m = (uint32_t)sv_recipe_u64(rl->recipe, SV_KEY_RL_UPDATES);
    sv_policy_stat stat = { 0 };
    double start = sv_clock_s();
    SV_TRY(guard(rl, out));
    if (rl->mismatch.mode != SV_MIS_ASSERT)
        SV_TRY(weigh(rl, b, out));
    else if (sv_recipe_is(rl->recipe, SV_KEY_RL_CHECK, "all") && m > 1)
        SV_TRY(check_all(rl, b));
    out->diff_max = out->diff_mean = 0.0f;
    out->ratio_min = out->ratio_mean = out->ratio_max = 1.0f;
    for (uint32_t k = 0; k < m; k++) {
        part p;
        fill_part(rl, b, k, m, &p);
        sv_fault_point("rl.part");
        if (p.n > 0)
            SV_TRY(update(rl, b, &p, out->n_update == 0, &stat, out));
    }
    if (stat.n_token > 0) {
        out->kl = (float)(stat.kl / (double)stat.n_token);
        out->clip_low = (float)((double)stat.n_low / (double)stat.n_token);
        out->clip_high = (float)((double)stat.n_high / (double)stat.n_token);
    }
    out->update_s = sv_clock_s() - start;
    out->core_s = sv_clock_core_s() - rl->core_start;
    out->warning = rl->warning[0] ? rl->warning : NULL;
    sv_rl_log_samples(rl->train, b);
    json_t *extra = sv_rl_event(out);
    sv_err err = sv_train_finish(rl->train, rl->start, extra, &out->train);
    json_decref(extra);
    sv_fault_point("rl.finished");
    return err;
}

sv_err sv_rl_step(sv_rl *rl, sv_rl_report *out)
{
    sv_rollout_batch b;
    SV_TRY(sv_rl_sample(rl, &b, out));
    sv_err err = sv_rl_learn(rl, &b, out);
    sv_rollout_done(&b);
    return err;
}
