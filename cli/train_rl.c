/* SPDX-License-Identifier: Apache-2.0
 * The loop of samsvar train for train.method: rl, with its live line.
 */
#include "base/clock.h"
#include "cli/eval.h"
#include "rl/rl.h"

static sv_train *in_hand; /* for the signal handler */

static void ask_stop(void)
{
    sv_train_request_stop(in_hand);
}

/* What the live line shows while answers are written. */
typedef struct view {
    uint64_t step, steps;
    double told; /* when */
} view;

static void tell_answers(void *ctx, uint32_t n, uint32_t of)
{
    view *v = ctx;
    double now = sv_clock_s();
    if (now - v->told < 0.2)
        return;
    v->told = now;
    sv_live("step %llu/%llu  %u of %u answers", (unsigned long long)v->step + 1, (unsigned long long)v->steps, n, of);
}

static void put_step(const sv_rl_report *r)
{
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:f, s:f}", "event", "step", "step", (json_int_t)r->train.step, "steps",
                  (json_int_t)r->train.steps, "grad_norm", (double)r->train.grad_norm, "lr", (double)r->train.lr);
    json_t *extra = sv_rl_event(r);
    json_object_update(o, extra);
    json_decref(extra);
    if (r->train.has_hash)
        json_object_set_new(o, "weight_hash", json_string(sv_hash_words(r->train.weight_bits)));
    if (r->train.saved)
        json_object_set_new(o, "saved", json_true());
    sv_out_json(o);
}

static void tell(const sv_rl_report *r, bool json)
{
    double rate = r->train.step_s > 0 ? (double)r->n_generated / r->train.step_s : 0;
    if (json)
        put_step(r);
    sv_live(
        "step %llu/%llu  reward %.3f  right %.0f %%  length %.1f  entropy %.3f  ratio %.9g..%.9g  %.0f tok/s  %s left",
        (unsigned long long)r->train.step, (unsigned long long)r->train.steps, (double)r->reward,
        100 * (double)r->correct, (double)r->mean_length, (double)r->entropy, (double)r->ratio_min,
        (double)r->ratio_max, rate, sv_time_words(r->train.left_s));
    if (r->warning != NULL)
        sv_warn("step %llu: %s", (unsigned long long)r->train.step, r->warning);
    if (r->train.save_problem != NULL)
        sv_warn("no checkpoint at step %llu: %s", (unsigned long long)r->train.step, r->train.save_problem);
}

static sv_err loop_steps(sv_train *t, const sv_recipe *recipe, sv_rl *rl, sv_train_loop *loop, view *v)
{
    sv_rl_report r = { 0 };
    bool said = false;
    while (!sv_train_done(t) && !loop->stopped) {
        v->step = sv_train_steps_made(t);
        SV_TRY(sv_rl_step(rl, &r));
        SV_PUSH(loop->loss, loop->n_loss, loop->cap_loss, r.reward);
        tell(&r, loop->json);
        loop->n_generated = r.total_generated;
        loop->seconds += r.train.step_s;
        if (sv_interrupts > 0 && !said)
            sv_note("stopping: step %llu is finished and saved ...", (unsigned long long)r.train.step);
        said = sv_interrupts > 0;
        loop->stopped = r.train.stopped;
        if (!loop->stopped)
            SV_TRY(sv_train_evaluate_due(t, recipe, loop->json));
    }
    return SV_OK;
}

sv_err sv_train_run_rl(sv_train *t, const sv_recipe *r, sv_train_loop *loop)
{
    sv_rl *rl;
    view v = { .steps = sv_recipe_u64(r, SV_KEY_STEPS) };
    SV_TRY(sv_rl_open(t, r, &rl));
    sv_roller_tell(sv_rl_roller(rl), tell_answers, &v);
    loop->what = "reward";
    in_hand = t;
    sv_signals_catch(ask_stop, 130);
    sv_err err = loop_steps(t, r, rl, loop, &v);
    sv_live_end();
    sv_signals_catch(NULL, 130);
    sv_rl_close(rl);
    if (err == SV_OK && loop->seconds > 0)
        sv_note("%llu tokens generated and trained on in %s: %.0f tok/s", (unsigned long long)loop->n_generated,
                sv_time_words(loop->seconds), (double)loop->n_generated / loop->seconds);
    return err;
}
