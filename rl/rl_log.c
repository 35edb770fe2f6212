/* SPDX-License-Identifier: Apache-2.0
 * What a batch of answers looks like in numbers, and the line of it in log.jsonl. Names are those that users of TRL
 * search for.
 */
#include "base/json.h"
#include "rl/advantage.h"
#include "rl/rl.h"

void sv_rl_measure(const sv_rollout_batch *b, sv_rl_report *out)
{
    double reward = 0, std = 0, length = 0, entropy = 0, token = 0;
    uint32_t n_right = 0, n_cut = 0, n_alike = 0;
    float *r = SV_NEW_N(b->arena, float, b->n), *scratch = SV_NEW_N(b->arena, float, b->n);
    for (uint32_t i = 0; i < b->n; i++) {
        const sv_rollout *w = &b->row[i];
        float n = (float)(w->n - w->n_prompt);
        r[i] = w->reward;
        reward += (double)w->reward;
        length += (double)n;
        token += (double)n;
        n_right += w->verdict == SV_VERDICT_CORRECT;
        n_cut += !w->ended;
        out->max_length = n > out->max_length ? n : out->max_length;
        for (uint32_t t = 0; t < w->n - w->n_prompt; t++)
            entropy -= (double)w->lp[t];
    }
    for (uint32_t g = 0; g < b->n_group; g++) {
        const float *of = r + (size_t)g * b->group;
        n_alike += sv_all_equal(of, b->group);
        std += (double)sv_std_of(of, b->group, sv_mean_of(of, b->group), scratch);
    }
    double n = b->n > 0 ? (double)b->n : 1;
    out->reward = (float)(reward / n);
    out->reward_std = (float)(std / (double)(b->n_group ? b->n_group : 1));
    out->correct = (float)((double)n_right / n);
    out->zero_std = (float)((double)n_alike / (double)(b->n_group ? b->n_group : 1));
    out->mean_length = (float)(length / n);
    out->truncated = (float)((double)n_cut / n);
    out->entropy = (float)(entropy / (token > 0 ? token : 1));
}

/* ---- transcripts ---- */

static json_t *text_of(const sv_model *m, const int32_t *id, uint32_t n)
{
    sv_bytes text = { 0 }, quoted = { 0 };
    sv_tokenizer_decode(m->tokenizer, (const uint32_t *)id, n, true, &text);
    sv_json_quote(&quoted, (sv_str){ text.p ? text.p : "", text.n }); /* cut bytes become U+FFFD */
    json_t *o = json_loadb(quoted.p, quoted.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    sv_bytes_done(&text);
    sv_bytes_done(&quoted);
    return o != NULL ? o : json_string("");
}

static void log_sample(sv_train *t, const sv_rollout_batch *b, uint32_t i, uint64_t step)
{
    const sv_model *m = sv_runner_model(sv_train_runner(t));
    const sv_rollout *w = &b->row[i];
    json_t *o = json_pack("{s:s, s:I, s:I}", "event", "sample", "step", (json_int_t)step, "row", (json_int_t)i);
    json_object_set_new(o, "problem", text_of(m, w->id, w->n_prompt));
    json_object_set_new(o, "output", text_of(m, w->id + w->n_prompt, w->n - w->n_prompt));
    json_object_set_new(o, "verdict", json_string(sv_verdict_name(w->verdict)));
    json_object_set_new(o, "reward", json_real((double)w->reward));
    json_object_set_new(o, "advantage", json_real((double)w->advantage));
    json_object_set_new(o, "tokens", json_integer(w->n - w->n_prompt));
    sv_train_log(t, o);
    json_decref(o);
}

/* Two answers to the first problem and one to the second: of the first step, and of every tenth. */
void sv_rl_log_samples(sv_train *t, const sv_rollout_batch *b)
{
    uint64_t step = sv_train_steps_made(t) + 1;
    uint32_t row[3] = { 0, 1, b->group }, before = UINT32_MAX;
    if (step != 1 && step % 10 != 0)
        return;
    if (sv_runner_model(sv_train_runner(t))->tokenizer == NULL)
        return;
    for (int i = 0; i < 3; i++) {
        if (row[i] < b->n && row[i] != before)
            log_sample(t, b, row[i], step);
        before = row[i];
    }
}

/* ---- figures ---- */

/* JSON has no inf and NaN. */
static void add(json_t *o, const char *name, double v)
{
    json_object_set_new(o, name, v - v == 0.0 ? json_real(v) : json_null());
}

static void add_count(json_t *o, const char *name, uint64_t v)
{
    json_object_set_new(o, name, json_integer((json_int_t)v));
}

json_t *sv_rl_event(const sv_rl_report *r)
{
    json_t *o = json_object();
    add(o, "reward", (double)r->reward);
    add(o, "reward_std", (double)r->reward_std);
    add(o, "frac_reward_zero_std", (double)r->zero_std);
    add(o, "correct", (double)r->correct);
    add(o, "completions/mean_length", (double)r->mean_length);
    add(o, "completions/max_length", (double)r->max_length);
    add(o, "completions/clipped_ratio", (double)r->truncated);
    add(o, "clip_ratio/low_mean", (double)r->clip_low);
    add(o, "clip_ratio/high_mean", (double)r->clip_high);
    add(o, "clip_ratio/region_mean", (double)r->clip_low + (double)r->clip_high);
    add(o, "entropy", (double)r->entropy);
    add(o, "kl", (double)r->kl);
    add(o, "sampling/sampling_logp_difference/mean", (double)r->diff_mean);
    add(o, "sampling/sampling_logp_difference/max", (double)r->diff_max);
    add(o, "sampling/importance_sampling_ratio/min", (double)r->ratio_min);
    add(o, "sampling/importance_sampling_ratio/mean", (double)r->ratio_mean);
    add(o, "sampling/importance_sampling_ratio/max", (double)r->ratio_max);
    add(o, "mismatch/k3", (double)r->mismatch_k3);
    json_object_set_new(o, "exact", json_boolean(!r->is_close));
    add_count(o, "updates", r->n_update);
    add_count(o, "tokens/generated", r->n_generated);
    add_count(o, "tokens/trained", r->n_trained);
    add_count(o, "tokens/reference", r->n_reference);
    add_count(o, "tokens/teacher", r->n_teacher);
    add(o, "rollout_s", r->rollout_s);
    add(o, "update_s", r->update_s);
    add(o, "core_s", r->core_s);
    if (r->warning != NULL)
        json_object_set_new(o, "warning", json_string(r->warning));
    return o;
}
