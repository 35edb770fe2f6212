/* SPDX-License-Identifier: Apache-2.0
 * Sampling evaluations of a run's weights of now: at its end, and every eval.every steps of RL. They stand in the run
 * log; no bit of the run depends on them.
 */
#include <stdio.h>

#include "cli/eval.h"
#include "train/trainer.h"

static void log_figures(sv_train *t, const sv_eval_result *r)
{
    json_t *o = json_pack("{s:s, s:I, s:s, s:I, s:I, s:o}", "event", "eval", "step", (json_int_t)sv_train_steps_made(t),
                          "task", r->set->name, "problems", (json_int_t)r->set->n, "samples",
                          (json_int_t)r->opts.n_sample, "metrics", sv_eval_figures(r));
    sv_train_log(t, o);
    json_decref(o);
}

sv_err sv_train_evaluate(sv_train *t, const sv_recipe *r, uint32_t n, bool only_sampled, sv_eval_set *set,
                         sv_eval_result *out)
{
    const sv_model *m;
    const sv_task *task = sv_task_find(sv_recipe_text(r, SV_KEY_TASK));
    sv_eval_opts o = { .chip = sv_recipe_text(r, SV_KEY_CHIP),
                       .n_thread = (uint32_t)sv_recipe_u64(r, SV_KEY_THREADS),
                       .n_sample = (uint32_t)sv_recipe_u64(r, SV_KEY_EVAL_SAMPLES),
                       .max_tokens = (uint32_t)sv_recipe_u64(r, SV_KEY_EVAL_TOKENS),
                       .sampling = SV_SAMPLING_GREEDY,
                       .only_sampled = only_sampled };
    if (task == NULL)
        return sv_fail(SV_E_ARG, "an evaluation needs data.task: %s; the recipe has '%s'", sv_task_names(),
                       sv_recipe_text(r, SV_KEY_TASK));
    o.sampling.temperature = 1;
    o.sampling.seed = sv_recipe_u64(r, SV_KEY_SEED);
    SV_TRY(sv_train_model(t, &m));
    sv_eval_set_task(task, sv_recipe_u64(r, SV_KEY_SEED), n, set);
    sv_err err = sv_eval_run(m, set, &o, out);
    if (err != SV_OK) {
        sv_eval_set_close(set);
        return err;
    }
    log_figures(t, out);
    return SV_OK;
}

sv_err sv_train_evaluate_all(sv_train *t, const sv_recipe *r, uint32_t n, bool json)
{
    sv_eval_set set;
    sv_eval_result result;
    SV_TRY(sv_train_evaluate(t, r, n, false, &set, &result));
    sv_eval_print(&result, NULL, json);
    sv_eval_done(&result);
    sv_eval_set_close(&set);
    return SV_OK;
}

static const sv_eval_figure *headline(const sv_eval_result *r)
{
    char name[32];
    snprintf(name, sizeof name, "mean@%u", r->opts.n_sample);
    return sv_eval_figure_of(r, name);
}

sv_err sv_train_evaluate_due(sv_train *t, const sv_recipe *r, bool json)
{
    uint64_t every = sv_recipe_u64(r, SV_KEY_EVAL_EVERY), step = sv_train_steps_made(t);
    sv_eval_set set;
    sv_eval_result result;
    if (every == 0 || step % every != 0 || sv_recipe_text(r, SV_KEY_TASK)[0] == '\0')
        return SV_OK;
    SV_TRY(sv_train_evaluate(t, r, (uint32_t)sv_recipe_u64(r, SV_KEY_EVAL_PROBLEMS), true, &set, &result));
    const sv_eval_figure *f = headline(&result), *n = sv_eval_figure_of(&result, "mean_tokens");
    if (json)
        sv_out_json(json_pack("{s:s, s:I, s:s, s:I, s:o}", "event", "eval", "step", (json_int_t)step, "task", set.name,
                              "problems", (json_int_t)set.n, "metrics", sv_eval_figures(&result)));
    else if (f != NULL && n != NULL)
        sv_note("step %llu: %s %.1f %% [%.1f, %.1f] of %u held-out problems, %.1f tokens an answer",
                (unsigned long long)step, f->name, 100 * f->at.value, 100 * f->at.low, 100 * f->at.high, set.n,
                n->at.value);
    sv_eval_done(&result);
    sv_eval_set_close(&set);
    return SV_OK;
}
