/* SPDX-License-Identifier: Apache-2.0
 * samsvar train: runs a recipe to its end, with a live line, a curve, and an evaluation if asked.
 */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/eval.h"
#include "model/model.h"
#include "train/trainer.h"

static sv_train *in_hand; /* for the signal handler */

static void ask_stop(void)
{
    sv_train_request_stop(in_hand);
}

static json_t *number(double v)
{
    return v - v == 0 ? json_real(v) : json_null();
}

static void put_step(const sv_train_report *r)
{
    json_t *o =
        json_pack("{s:s, s:I, s:I}", "event", "step", "step", (json_int_t)r->step, "steps", (json_int_t)r->steps);
    json_object_set_new(o, "loss", number((double)r->loss));
    json_object_set_new(o, "grad_norm", number((double)r->grad_norm));
    json_object_set_new(o, "lr", number((double)r->lr));
    json_object_set_new(o, "tok_s", number(r->tok_s));
    json_object_set_new(o, "left_s", number(r->left_s));
    if (r->has_hash)
        json_object_set_new(o, "weight_hash", json_string(sv_hash_words(r->weight_bits)));
    if (r->saved)
        json_object_set_new(o, "saved", json_true());
    if (r->skipped)
        json_object_set_new(o, "skipped", json_true());
    sv_out_json(o);
}

static void tell(const sv_train_report *r, sv_train_loop *loop)
{
    if (loop->json)
        put_step(r);
    sv_live("step %llu/%llu  loss %.4f  %.0f tok/s  lr %.2e  %s left", (unsigned long long)r->step,
            (unsigned long long)r->steps, (double)r->loss, r->tok_s, (double)r->lr, sv_time_words(r->left_s));
    if (r->save_problem != NULL)
        sv_warn("no checkpoint at step %llu: %s", (unsigned long long)r->step, r->save_problem);
    if (r->skipped)
        sv_warn("step %llu: the gradient is not finite; no update was made", (unsigned long long)r->step);
}

static void log_loss(sv_train *t, uint64_t step, double loss)
{
    json_t *o = json_pack("{s:s, s:I, s:{s:{s:o}}}", "event", "eval", "step", (json_int_t)step, "metrics",
                          "held_out_loss", "value", number(loss));
    sv_train_log(t, o);
    json_decref(o);
}

/* The held-out loss where eval.every asks for it; no bit of the run depends on it. */
static sv_err tell_held_out(sv_train *t, uint64_t step, const sv_train_loop *loop)
{
    double loss;
    uint32_t n_row;
    if (loop->eval_every == 0 || step % loop->eval_every != 0 || sv_train_done(t))
        return SV_OK;
    SV_TRY(sv_train_eval(t, loop->eval_rows, &loss, &n_row));
    if (n_row == 0)
        return SV_OK;
    log_loss(t, step, loss);
    if (loop->json)
        sv_out_json(json_pack("{s:s, s:I, s:o, s:I}", "event", "eval", "step", (json_int_t)step, "held_out_loss",
                              number(loss), "held_out_rows", (json_int_t)n_row));
    else
        sv_note("step %llu: held-out loss %.4f (%u rows)", (unsigned long long)step, loss, n_row);
    return SV_OK;
}

sv_err sv_train_run(sv_train *t, sv_train_loop *loop)
{
    sv_train_report r = { 0 };
    bool said = false;
    in_hand = t;
    sv_signals_catch(ask_stop, 130);
    while (!sv_train_done(t) && !loop->stopped) {
        SV_TRY(sv_train_step(t, &r));
        SV_PUSH(loop->loss, loop->n_loss, loop->cap_loss, r.loss);
        tell(&r, loop);
        SV_TRY(tell_held_out(t, r.step, loop));
        if (sv_interrupts > 0 && !said)
            sv_note("stopping: step %llu is finished and saved ...", (unsigned long long)r.step);
        said = sv_interrupts > 0;
        loop->stopped = r.stopped;
    }
    sv_live_end();
    sv_signals_catch(NULL, 130);
    return SV_OK;
}

void sv_train_draw(const sv_train_loop *loop, uint64_t first_step)
{
    sv_bytes b = { 0 };
    if (loop->n_loss < 2 || loop->json)
        return;
    sv_plot(loop->loss, loop->n_loss, 64, 10, &b);
    sv_note("%s", loop->what ? loop->what : "loss");
    sv_note("%s          step %llu%*llu", b.p, (unsigned long long)first_step, 58,
            (unsigned long long)(first_step + loop->n_loss - 1));
    sv_bytes_done(&b);
}

/* ---- recipe ---- */

/* --chip, --threads and --seed are --set of the recipe's keys, stronger than an earlier --set. */
static sv_err load_recipe(const sv_args *a, sv_arena *arena, sv_recipe **out)
{
    const char *set[SV_ARGS_MAX_VALUE + 3];
    size_t n = 0;
    for (uint32_t i = 0; i < a->flag[SV_FLAG_SET].n; i++)
        set[n++] = a->flag[SV_FLAG_SET].value[i];
    if (sv_arg_given(a, SV_FLAG_CHIP))
        set[n++] = sv_arena_printf(arena, "chip=%s", sv_arg_text(a, SV_FLAG_CHIP));
    if (sv_arg_given(a, SV_FLAG_THREADS))
        set[n++] = sv_arena_printf(arena, "threads=%s", sv_arg_text(a, SV_FLAG_THREADS));
    if (sv_arg_given(a, SV_FLAG_SEED))
        set[n++] = sv_arena_printf(arena, "seed=%s", sv_arg_text(a, SV_FLAG_SEED));
    return sv_recipe_load(a->word[0], set, n, out);
}

/* ---- the run ---- */

static void tell_open(const sv_train *t, const sv_recipe *r, const sv_machine *m)
{
    const char *dir = sv_recipe_text(r, SV_KEY_RUN_DIR);
    if (sv_train_skipped(t)[0])
        sv_warn("%s", sv_train_skipped(t));
    if (sv_train_resumed_from(t) > 0)
        sv_note("going on from step %llu in %s", (unsigned long long)sv_train_resumed_from(t), dir);
    sv_note("%s on %s, checkpoints in %s", sv_recipe_name(r), m->dev.spec, dir[0] ? dir : "(none: run.dir is empty)");
}

static sv_err tell_end(sv_train *t, const sv_args *a, const sv_train_loop *loop)
{
    uint64_t bits;
    double loss;
    uint32_t n_row;
    SV_TRY(sv_train_hash(t, &bits));
    SV_TRY(sv_train_eval(t, loop->eval_rows, &loss, &n_row));
    if (n_row > 0)
        log_loss(t, sv_train_steps_made(t), loss);
    const char *hash = sv_hash_words(bits);
    unsigned long long step = sv_train_steps_made(t);
    if (sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json(json_pack("{s:s, s:I, s:b, s:s, s:f, s:I}", "event", loop->stopped ? "stopped" : "done", "step",
                              (json_int_t)step, "done", sv_train_done(t), "weights", hash, "held_out_loss", loss,
                              "held_out_rows", (json_int_t)n_row));
    else if (n_row > 0)
        sv_out("step %llu  weights %s  held-out loss %.4f (%u rows)\n", step, hash, loss, n_row);
    else
        sv_out("step %llu  weights %s\n", step, hash);
    return SV_OK;
}

static void log_failure(sv_train *t)
{
    json_t *o = json_pack("{s:s, s:I, s:s}", "event", "failed", "step", (json_int_t)sv_train_steps_made(t), "text",
                          sv_err_text());
    sv_train_log(t, o);
    json_decref(o);
}

static sv_err run(const sv_args *a, const sv_recipe *r)
{
    sv_train *t;
    sv_train_loop loop = { .json = sv_arg_on(a, SV_FLAG_JSON),
                           .eval_every = sv_recipe_u64(r, SV_KEY_EVAL_EVERY),
                           .eval_rows = (uint32_t)sv_recipe_u64(r, SV_KEY_EVAL_PROBLEMS) };
    sv_live("opening %s", sv_recipe_name(r));
    SV_TRY(sv_train_open(r, &t));
    uint64_t first = sv_train_steps_made(t) + 1;
    tell_open(t, r, sv_runner_machine(sv_train_runner(t)));
    bool rl = sv_recipe_is(r, SV_KEY_METHOD, "rl") || sv_recipe_is(r, SV_KEY_METHOD, "opd");
    sv_err err = rl ? sv_train_run_rl(t, r, &loop) : sv_train_run(t, &loop);
    sv_train_draw(&loop, first);
    if (err == SV_OK)
        err = tell_end(t, a, &loop);
    else
        log_failure(t);
    if (err == SV_OK && loop.stopped && !sv_train_done(t))
        err = sv_fail(SV_E_GUARD, "stopped at step %llu, saved; run the same line again to go on",
                      (unsigned long long)sv_train_steps_made(t));
    else if (err == SV_OK && sv_arg_u64(a, SV_FLAG_EVAL) > 0)
        err = sv_train_evaluate_all(t, r, (uint32_t)sv_arg_u64(a, SV_FLAG_EVAL), sv_arg_on(a, SV_FLAG_JSON));
    sv_train_close(t);
    sv_mem_free(loop.loss);
    return err;
}

sv_err sv_cmd_train(const sv_args *a)
{
    sv_arena *arena = sv_arena_make();
    sv_recipe *r = NULL;
    sv_err err = load_recipe(a, arena, &r);
    if (err == SV_OK)
        err = sv_arg_on(a, SV_FLAG_DRY_RUN) ? sv_train_plan(r, sv_arg_on(a, SV_FLAG_JSON)) : run(a, r);
    sv_recipe_drop(r);
    sv_arena_drop(arena);
    return err;
}
