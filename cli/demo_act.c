/* SPDX-License-Identifier: Apache-2.0
 * One act of the demo: imitation, RL, the controls, and the same answers on a second chip.
 */
#include "cli/demo.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli_demo.inc"
#include "train/trainer.h"

#define SHOWN 3u

sv_act sv_act_of(int which, bool quick)
{
    sv_act act = { .name = "chain100",
                   .task = &sv_task_chain100,
                   .sft = embed_chain100_sft_yaml,
                   .rl = embed_chain100_rl_yaml,
                   .sft_steps = quick ? 2500 : 0,
                   .rl_steps = quick ? 30 : 0,
                   .n_problem = quick ? 100 : 200 };
    if (which == 2) {
        act.name = "countdown3";
        act.task = &sv_task_countdown3;
        act.sft = embed_countdown3_sft_yaml;
        act.rl = embed_countdown3_rl_yaml;
    }
    return act;
}

/* ---- training ---- */

#define MOST_SETS 12
typedef struct sets {
    const char *of[MOST_SETS];
    size_t n;
} sets;

static void add(sets *s, sv_arena *arena, const char *key, const char *value)
{
    s->of[s->n++] = sv_arena_printf(arena, "%s=%s", key, value);
}

static sets common_sets(const sv_args *a, sv_arena *arena, const char *run_dir, uint32_t steps)
{
    sets s = { 0 };
    add(&s, arena, "run.dir", run_dir);
    add(&s, arena, "seed", sv_arg_text(a, SV_FLAG_SEED));
    if (sv_arg_given(a, SV_FLAG_CHIP))
        add(&s, arena, "chip", a->flag[SV_FLAG_CHIP].value[0]);
    if (sv_arg_given(a, SV_FLAG_THREADS))
        add(&s, arena, "threads", sv_arg_text(a, SV_FLAG_THREADS));
    if (steps > 0)
        add(&s, arena, "train.steps", sv_arena_printf(arena, "%u", steps));
    return s;
}

/* Trains to the end. */
static sv_err train(sv_train *t, const sv_recipe *r, const char *dir)
{
    sv_train_loop loop = { .eval_every = 0 };
    double start = sv_clock_s(), core = sv_clock_core_s();
    bool rl = sv_recipe_is(r, SV_KEY_METHOD, "rl");
    uint64_t first = sv_train_steps_made(t) + 1, hash;
    if (sv_train_done(t))
        sv_out("  %s holds a finished run; it is used (another --dir or --seed trains anew)\n", dir);
    sv_err err = rl ? sv_train_run_rl(t, r, &loop) : sv_train_run(t, &loop);
    sv_train_draw(&loop, first);
    bool stopped = loop.stopped && !sv_train_done(t);
    size_t n = loop.n_loss;
    sv_mem_free(loop.loss);
    SV_TRY(err);
    if (stopped)
        return sv_fail(SV_E_GUARD, "stopped, saved in %s; run the same line again to go on", dir);
    SV_TRY(sv_train_hash(t, &hash));
    if (n > 0)
        sv_out("  %zu steps in %s (%.0f processor seconds), weights %s\n", n, sv_time_words(sv_clock_s() - start),
               sv_clock_core_s() - core, sv_hash_words(hash));
    return SV_OK;
}

/* ---- three problems ---- */

static sv_err answer_one(const sv_model *m, sv_engine *e, const sv_task *task, sv_str problem, sv_bytes *out)
{
    sv_ids ids = { 0 };
    sv_answer w = { 0 };
    sv_err err = sv_eval_prompt(m, task, problem, false, &ids);
    if (err == SV_OK) {
        sv_request r = { .prompt = ids.id,
                         .n_prompt = (uint32_t)ids.n,
                         .max_tokens = task->max_tokens,
                         .sampling = SV_SAMPLING_GREEDY };
        err = sv_answer_run(e, m, &r, NULL, NULL, &w);
    }
    if (err == SV_OK) {
        sv_str text = { w.text.p ? w.text.p : "", w.text.n };
        sv_verdict v = task->verify(problem, text, w.finish == SV_FINISH_STOP, false);
        sv_bytes_text(out, "<think>");
        sv_show(text, out);
        sv_bytes_printf(out, "  %s", v == SV_VERDICT_CORRECT ? "right" : sv_verdict_name(v));
    }
    sv_ids_done(&ids);
    sv_answer_done(&w);
    return err;
}

/* Greedy answers to held-out problems 0 ... SHOWN - 1. */
static sv_err answer_all(const sv_args *a, const sv_act *act, const sv_model *m, sv_bytes *out)
{
    sv_engine *e;
    sv_err err = SV_OK;
    SV_TRY(sv_open_engine(a, m, 1, &e));
    for (uint32_t i = 0; err == SV_OK && i < SHOWN; i++) {
        sv_bytes problem = { 0 };
        act->task->problem(sv_arg_u64(a, SV_FLAG_SEED), SV_SPLIT_TEST, i, &problem);
        err = answer_one(m, e, act->task, (sv_str){ problem.p, problem.n }, &out[i]);
        sv_bytes_done(&problem);
    }
    sv_engine_close(e);
    return err;
}

static void show_answers(const sv_args *a, const sv_act *act, const sv_bytes *before, const sv_bytes *after)
{
    sv_out("\n  three held-out problems, likeliest answer before and after RL:\n");
    for (uint32_t i = 0; i < SHOWN; i++) {
        sv_bytes problem = { 0 };
        act->task->problem(sv_arg_u64(a, SV_FLAG_SEED), SV_SPLIT_TEST, i, &problem);
        sv_out("    %s\n      before  %s\n      after   %s\n", problem.p, before[i].p, after[i].p);
        sv_bytes_done(&problem);
    }
}

/* ---- the controls ---- */

typedef struct line {
    const char *what;
    sv_interval greedy, mean, pass;
    double tokens, cut;
    bool has;
} line;

static sv_interval at(const sv_eval_result *r, const char *prefix, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const sv_eval_figure *f = sv_eval_figure_of(r, full);
    return f ? f->at : (sv_interval){ 0 };
}

static line line_of(const sv_eval_result *r, const char *prefix, const char *what)
{
    line l = { .what = what, .greedy = at(r, prefix, "greedy"), .mean = at(r, prefix, "mean@8") };
    char full[64];
    l.pass = at(r, prefix, "pass@8");
    l.tokens = at(r, prefix, "mean_tokens").value;
    l.cut = at(r, prefix, "truncated").value;
    snprintf(full, sizeof full, "%smean@8", prefix);
    l.has = sv_eval_figure_of(r, full) != NULL;
    return l;
}

static void print_line(const line *l)
{
    if (l->has)
        sv_out("  %-28s %5.1f %%  %5.1f %% [%4.1f, %5.1f]  %5.1f %%  %6.1f  %6.1f %%\n", l->what, 100 * l->greedy.value,
               100 * l->mean.value, 100 * l->mean.low, 100 * l->mean.high, 100 * l->pass.value, l->tokens,
               100 * l->cut);
}

static sv_err evaluate(const sv_args *a, const sv_act *act, const sv_model *m, bool with_forced, line *free_,
                       line *forced, double *blind)
{
    sv_eval_set set;
    sv_eval_result r;
    sv_eval_opts o = { .chip = sv_arg_text(a, SV_FLAG_CHIP),
                       .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS),
                       .n_sample = 8,
                       .max_tokens = act->task->max_tokens,
                       .sampling = SV_SAMPLING_GREEDY };
    if (a->flag[SV_FLAG_CHIP].n > 0)
        o.chip = a->flag[SV_FLAG_CHIP].value[0];
    o.sampling.temperature = 1;
    o.sampling.seed = sv_arg_u64(a, SV_FLAG_SEED);
    sv_eval_set_task(act->task, o.sampling.seed, act->n_problem, &set);
    o.no_forced = !with_forced;
    sv_err err = sv_eval_run(m, &set, &o, &r);
    if (err == SV_OK) {
        *free_ = line_of(&r, "", "");
        *forced = line_of(&r, "forced_", "before RL, made to think");
        *blind = at(&r, "", "blind").value;
        sv_eval_done(&r);
    }
    sv_eval_set_close(&set);
    return err;
}

static void print_table(const sv_act *act, const line *before, const line *forced, const line *after, double blind)
{
    sv_out("\n  %u held-out problems, 8 samples each at T = 1 (95 %% interval)\n", act->n_problem);
    sv_out("  %-28s %7s  %23s  %7s  %6s  %8s\n", "", "greedy", "mean@8", "pass@8", "tokens", "cut off");
    print_line(before);
    print_line(forced);
    print_line(after);
    sv_out("  %-28s %7s  %5.1f %%\n", "a blind guess", "", 100 * blind);
    if (forced->has)
        sv_out("  Where the second and the third line agree, RL taught it to think, not to calculate.\n");
    sv_out("  pass@8 before RL says what was already there.\n");
}

/* ---- the act ---- */

typedef struct scene {
    line before, forced, after, none;
    double blind;
    sv_bytes said[2][SHOWN];
} scene;

/* Trains by a recipe in text and shows what the model can do then: a line, the control when it is wanted, the answers.
 */
static sv_err learn(const sv_args *a, const sv_act *act, const char *recipe, const sets *set, const char *dir,
                    line *now, line *forced, scene *s, sv_bytes *said)
{
    sv_recipe *r = NULL;
    sv_train *t = NULL;
    const sv_model *m;
    sv_err err = sv_recipe_parse(sv_str_of(recipe), act->name, set->of, set->n, &r);
    if (err == SV_OK)
        err = sv_train_open(r, &t);
    if (err == SV_OK)
        err = train(t, r, dir);
    if (err == SV_OK)
        err = sv_train_model(t, &m);
    if (err == SV_OK)
        err = evaluate(a, act, m, forced != &s->none, now, forced, &s->blind);
    if (err == SV_OK)
        err = answer_all(a, act, m, said);
    sv_train_close(t);
    sv_recipe_drop(r);
    return err;
}

static sv_err imitate(const sv_args *a, const sv_act *act, sv_arena *arena, const char *dir, scene *s)
{
    sets set = common_sets(a, arena, dir, act->sft_steps);
    SV_TRY(learn(a, act, act->sft, &set, dir, &s->before, &s->forced, s, s->said[0]));
    s->before.what = "before RL";
    return SV_OK;
}

static sv_err reinforce(const sv_args *a, const sv_act *act, sv_arena *arena, const char *from, const char *dir,
                        scene *s)
{
    sets set = common_sets(a, arena, dir, act->rl_steps);
    add(&set, arena, "model.from", from);
    add(&set, arena, "eval.every", "10");
    add(&set, arena, "eval.problems", "50");
    add(&set, arena, "eval.samples", "8");
    SV_TRY(learn(a, act, act->rl, &set, dir, &s->after, &s->none, s, s->said[1]));
    s->after.what = "after RL";
    return SV_OK;
}

sv_err sv_act_run(const sv_args *a, const sv_act *act, const char *dir, sv_arena *arena, const char **model)
{
    scene s = { 0 };
    const char *sft = sv_arena_printf(arena, "%s/%s-sft", dir, act->name);
    *model = sv_arena_printf(arena, "%s/%s-rl", dir, act->name);
    sv_out("  imitation: it copies worked answers and guesses\n");
    sv_out_flush();
    sv_err err = imitate(a, act, arena, sft, &s);
    if (err == SV_OK) {
        sv_out("  reinforcement: it answers, a program judges, right answers become likelier\n");
        sv_out_flush();
        err = reinforce(a, act, arena, sft, *model, &s);
    }
    if (err == SV_OK) {
        show_answers(a, act, s.said[0], s.said[1]);
        print_table(act, &s.before, &s.forced, &s.after, s.blind);
    }
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < SHOWN; i++)
            sv_bytes_done(&s.said[k][i]);
    return err;
}

/* ---- a second chip ---- */

/* The two to compare: as --chip says, else what trained and the first that is none of cpu's. */
static void two_chips(const sv_args *a, sv_arena *arena, const char *chip[2])
{
    const char *spec[16];
    chip[0] = a->flag[SV_FLAG_CHIP].n > 0 ? a->flag[SV_FLAG_CHIP].value[0] : "cpu";
    chip[1] = "ref";
    if (a->flag[SV_FLAG_CHIP].n > 1) {
        chip[1] = a->flag[SV_FLAG_CHIP].value[1];
        return;
    }
    uint32_t n = sv_verify_chips(arena, spec);
    for (uint32_t i = 0; i < n; i++)
        if (strncmp(spec[i], "cpu", 3) != 0 && strcmp(spec[i], "ref") != 0)
            chip[1] = spec[i];
}

static sv_err first_difference(const sv_eval_result *x, const sv_eval_result *y, const char *const chip[2])
{
    const sv_eval_part *p = &x->part[SV_EVAL_SAMPLED], *q = &y->part[SV_EVAL_SAMPLED];
    for (uint32_t i = 0; i < x->set->n * p->n_sample; i++) {
        const sv_ids *u = &p->answer[i].ids, *v = &q->answer[i].ids;
        size_t k = 0;
        while (k < u->n && k < v->n && u->id[k] == v->id[k])
            k++;
        if (k < u->n || k < v->n)
            return sv_fail(SV_E_BITS, "%s and %s: problem %u, sample %u differ from token %zu on", chip[0], chip[1],
                           i / p->n_sample, i % p->n_sample, k);
    }
    return sv_fail(SV_E_BITS, "%s and %s: the hashes differ", chip[0], chip[1]);
}

sv_err sv_act_replay(const sv_args *a, const sv_act *act, const char *model, uint32_t n_problem)
{
    sv_arena *arena = sv_arena_make();
    sv_model *m = NULL;
    sv_eval_set set;
    sv_eval_result r[2] = { 0 };
    const char *chip[2];
    uint32_t n = 0;
    two_chips(a, arena, chip);
    sv_eval_opts o = { .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS),
                       .n_sample = 8,
                       .max_tokens = act->task->max_tokens,
                       .sampling = SV_SAMPLING_GREEDY,
                       .only_sampled = true };
    o.sampling.temperature = 1;
    o.sampling.seed = sv_arg_u64(a, SV_FLAG_SEED);
    sv_err err = sv_open_model(a, model, &m);
    sv_eval_set_task(act->task, o.sampling.seed, n_problem, &set);
    for (; err == SV_OK && n < 2; n += err == SV_OK) {
        o.chip = chip[n];
        err = sv_eval_run(m, &set, &o, &r[n]);
        if (err == SV_OK)
            sv_out("  %-10s %u problems, 8 samples each at T = 1: ids %s  (%s)\n", chip[n], set.n,
                   sv_hash_words(r[n].hash), sv_time_words(r[n].seconds));
        sv_out_flush();
    }
    if (err == SV_OK && r[0].hash == r[1].hash)
        sv_out("  IDENTICAL: %s answers as %s\n", chip[1], chip[0]);
    else if (err == SV_OK)
        err = first_difference(&r[0], &r[1], chip);
    for (uint32_t i = 0; i < n; i++)
        sv_eval_done(&r[i]);
    sv_eval_set_close(&set);
    sv_model_close(m);
    sv_arena_drop(arena);
    return err;
}
