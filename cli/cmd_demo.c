/* SPDX-License-Identifier: Apache-2.0
 * samsvar demo: a real model answers, a small one learns to think, and every chip gives the same bits for both.
 */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/eval.h"
#include "train/trainer.h"

#define RECIPE "recipes/chain100-quick.yaml"
#define QUESTION "What is the capital of Norway?"
#define EVAL_PROBLEMS 40u
#define SHOWN 3u

static void title(const char *text)
{
    sv_out(sv_out_color() ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
    sv_out_flush();
}

/* ---- 1: a real model ---- */

static void put(void *ctx, const sv_event *e, sv_str piece)
{
    sv_bytes *b = ctx;
    (void)e;
    sv_bytes_clear(b);
    sv_show(piece, b);
    sv_out_str((sv_str){ b->p ? b->p : "", b->n });
    sv_out_flush();
}

static sv_err ask(const sv_args *a, const sv_model *m)
{
    sv_engine *e;
    sv_ids ids = { 0 };
    sv_answer w = { 0 };
    sv_bytes shown = { 0 };
    double start = sv_clock_s();
    sv_err err = sv_user_ids(m, SV_STR(QUESTION), false, &ids);
    if (err == SV_OK)
        err = sv_open_engine(a, m, 1, &e);
    if (err == SV_OK) {
        sv_request r = {
            .prompt = ids.id, .n_prompt = (uint32_t)ids.n, .max_tokens = 64, .sampling = SV_SAMPLING_GREEDY
        };
        sv_out("  %s\n  ", QUESTION);
        double open_s = sv_clock_s() - start;
        err = sv_answer_run(e, m, &r, put, &shown, &w);
        double s = w.all_s - w.first_s;
        if (err == SV_OK)
            sv_out("\n  (%s on %s, T = 0: first token after %.2f s, then %.1f tok/s)\n", sv_path_base(m->path),
                   sv_runner_machine(sv_engine_runner(e))->dev.spec, open_s + w.first_s,
                   s > 0 ? (double)(w.ids.n - 1) / s : 0.0);
        sv_engine_close(e);
    }
    sv_ids_done(&ids);
    sv_answer_done(&w);
    sv_bytes_done(&shown);
    return err;
}

/* ---- 2: a small one learns to think ---- */

static sv_err show_problem(const sv_model *m, sv_engine *e, uint64_t seed, uint32_t i)
{
    const sv_task *task = &sv_task_chain100;
    sv_bytes problem = { 0 }, text = { 0 }, answer = { 0 };
    sv_ids ids = { 0 };
    sv_answer w = { 0 };
    task->problem(seed, SV_SPLIT_TEST, i, &problem);
    sv_str p = { problem.p, problem.n };
    sv_err err = sv_eval_prompt(m, task, p, true, &ids);
    if (err == SV_OK) {
        sv_request r = {
            .prompt = ids.id, .n_prompt = (uint32_t)ids.n, .max_tokens = 110, .sampling = SV_SAMPLING_GREEDY
        };
        err = sv_answer_run(e, m, &r, NULL, NULL, &w);
    }
    if (err == SV_OK) {
        sv_bytes_add(&text, problem.p, task->n_force);
        sv_bytes_add(&text, w.text.p ? w.text.p : "", w.text.n);
        task->solve(p, NULL, &answer);
        sv_verdict v = task->verify(p, (sv_str){ text.p, text.n }, w.finish == SV_FINISH_STOP, false);
        sv_out("  %s <think>%s\n      %s (it is %s)\n", problem.p, text.p,
               v == SV_VERDICT_CORRECT ? "right" : sv_verdict_name(v), answer.p);
    }
    sv_bytes_done(&problem);
    sv_bytes_done(&text);
    sv_bytes_done(&answer);
    sv_ids_done(&ids);
    sv_answer_done(&w);
    return err;
}

static sv_err show_thinking(const sv_args *a, const sv_model *m, uint64_t seed)
{
    sv_engine *e;
    sv_eval_set set;
    sv_eval_result result;
    sv_eval_opts o = { .chip = sv_arg_text(a, SV_FLAG_CHIP),
                       .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS),
                       .n_sample = 8,
                       .max_tokens = sv_task_chain100.max_tokens,
                       .sampling = SV_SAMPLING_GREEDY,
                       .only_forced = true };
    o.sampling.temperature = 1;
    o.sampling.seed = seed;
    SV_TRY(sv_open_engine(a, m, 1, &e));
    sv_err err = SV_OK;
    sv_out("\n  three problems that it has never seen (digits left to right, modulo 100), made to think:\n");
    for (uint32_t i = 0; err == SV_OK && i < SHOWN; i++)
        err = show_problem(m, e, seed, i);
    sv_engine_close(e);
    SV_TRY(err);
    sv_out("\n");
    sv_eval_set_task(&sv_task_chain100, seed, EVAL_PROBLEMS, &set);
    err = sv_eval_run(m, &set, &o, &result);
    if (err == SV_OK) {
        sv_eval_print(&result, NULL, false);
        sv_eval_done(&result);
    }
    sv_eval_set_close(&set);
    return err;
}

/* ---- 3: same bits ---- */

static sv_err same_bits(const sv_args *a, const sv_model *m, sv_str text, bool raw, uint32_t n_decode)
{
    sv_ids ids = { 0 };
    sv_err err = sv_user_ids(m, text, raw, &ids);
    if (err == SV_OK) {
        sv_verify_opts o = { .chip = a->flag[SV_FLAG_CHIP].value,
                             .n_chip = a->flag[SV_FLAG_CHIP].n > 1 ? a->flag[SV_FLAG_CHIP].n : 0,
                             .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS),
                             .n_decode = n_decode,
                             .prompt = ids.id,
                             .n_prompt = (uint32_t)ids.n };
        err = sv_verify_model(m, &o);
    }
    sv_ids_done(&ids);
    return err;
}

static sv_err compare_chips(const sv_args *a, const sv_model *real, const sv_model *small)
{
    title("3. The same prompt on every chip here: a hash of every result of every layer");
    if (real != NULL) {
        sv_out("  %s, \"%s\"\n", sv_path_base(real->path), QUESTION);
        SV_TRY(same_bits(a, real, SV_STR(QUESTION), false, 4));
    }
    sv_out("  the model trained just now, \"2*3*7+1+1+8:\"\n");
    return same_bits(a, small, SV_STR("2*3*7+1+1+8:"), false, 40);
}

/* ---- the whole ---- */

static sv_err load(const sv_args *a, sv_arena *arena, sv_recipe **out)
{
    const char *set[4];
    size_t n = 0;
    set[n++] = sv_arena_printf(arena, "run.dir=%s", sv_arg_text(a, SV_FLAG_DIR));
    if (sv_arg_given(a, SV_FLAG_SEED))
        set[n++] = sv_arena_printf(arena, "seed=%s", sv_arg_text(a, SV_FLAG_SEED));
    if (sv_arg_given(a, SV_FLAG_CHIP))
        set[n++] = sv_arena_printf(arena, "chip=%s", a->flag[SV_FLAG_CHIP].value[0]);
    if (sv_arg_given(a, SV_FLAG_THREADS))
        set[n++] = sv_arena_printf(arena, "threads=%s", sv_arg_text(a, SV_FLAG_THREADS));
    if (!sv_file_exists(RECIPE))
        return sv_fail(SV_E_NOTFOUND, "%s is not here; run the demo from the folder that samsvar was built in", RECIPE);
    return sv_recipe_load(RECIPE, set, n, out);
}

static sv_err teach(const sv_args *a, const sv_recipe *r, sv_train *t, const sv_model **small)
{
    sv_train_loop loop = { 0 };
    uint64_t first = sv_train_steps_made(t) + 1;
    double start = sv_clock_s();
    if (sv_train_done(t))
        sv_out("  %s holds a finished run; its model is used (another --dir trains anew)\n",
               sv_arg_text(a, SV_FLAG_DIR));
    sv_err err = sv_train_run(t, &loop);
    sv_train_draw(&loop, first);
    size_t n = loop.n_loss;
    bool stopped = loop.stopped && !sv_train_done(t);
    sv_mem_free(loop.loss);
    SV_TRY(err);
    if (stopped)
        return sv_fail(SV_E_GUARD, "stopped, saved in %s; run the same line again to go on",
                       sv_arg_text(a, SV_FLAG_DIR));
    uint64_t bits;
    SV_TRY(sv_train_hash(t, &bits));
    sv_out("  %zu steps in %s, weights %s\n", n, sv_time_words(sv_clock_s() - start), sv_hash_words(bits));
    SV_TRY(sv_train_model(t, small));
    return show_thinking(a, *small, sv_recipe_u64(r, SV_KEY_SEED));
}

static sv_err demo(const sv_args *a, const sv_recipe *r, const sv_model *real)
{
    sv_train *t;
    const sv_model *small = NULL;
    title("2. A model with 335,040 parameters learns to work out sums in steps, from nothing");
    SV_TRY(sv_train_open(r, &t));
    sv_err err = teach(a, r, t, &small);
    if (err == SV_OK)
        err = compare_chips(a, real, small);
    sv_train_close(t);
    return err;
}

sv_err sv_cmd_demo(const sv_args *a)
{
    sv_arena *arena = sv_arena_make();
    sv_model *real = NULL;
    sv_recipe *r = NULL;
    double start = sv_clock_s();
    sv_err err = load(a, arena, &r);
    if (err == SV_OK) {
        title("1. A real model answers");
        if (sv_arg_given(a, SV_FLAG_MODEL))
            err = sv_open_model(a, sv_arg_text(a, SV_FLAG_MODEL), &real);
        else
            sv_out("  left out: no model was given (--model FILE.gguf)\n");
    }
    if (err == SV_OK && real != NULL)
        err = ask(a, real);
    if (err == SV_OK)
        err = demo(a, r, real);
    if (err == SV_OK)
        sv_out("\nDone in %s. Talk to the model: samsvar chat %s\n", sv_time_words(sv_clock_s() - start),
               sv_arg_text(a, SV_FLAG_DIR));
    sv_recipe_drop(r);
    sv_model_close(real);
    sv_arena_drop(arena);
    return err;
}
