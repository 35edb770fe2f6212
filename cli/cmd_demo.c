/* SPDX-License-Identifier: Apache-2.0
 * samsvar demo: a real model answers, a small one learns to think, and every chip gives the same bits for both.
 */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/demo.h"

#define QUESTION "What is the capital of Norway?"
#define REPLAYED 24u

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

/* ---- the same prompt on every chip ---- */

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

static sv_err compare_chips(const sv_args *a, const sv_model *real, const char *trained)
{
    sv_model *small;
    if (real != NULL) {
        sv_out("  %s, \"%s\"\n", sv_path_base(real->path), QUESTION);
        SV_TRY(same_bits(a, real, SV_STR(QUESTION), false, 4));
    }
    sv_out("  the model trained just now, \"2*3*7+1+1+8:\"\n");
    SV_TRY(sv_open_model(a, trained, &small));
    sv_err err = same_bits(a, small, SV_STR("2*3*7+1+1+8:"), false, 40);
    sv_model_close(small);
    return err;
}

/* ---- the whole ---- */

static sv_err acts(const sv_args *a, const char *dir, sv_arena *arena, const sv_model *real)
{
    bool quick = sv_arg_on(a, SV_FLAG_QUICK);
    sv_act one = sv_act_of(1, quick), two = sv_act_of(2, quick);
    const char *first, *second = NULL;
    title("2. A model with 335,040 parameters learns to work out sums in steps, from nothing");
    sv_out("  Six digits, left to right, modulo 100. It has seen few worked answers and many guesses.\n");
    SV_TRY(sv_act_run(a, &one, dir, arena, &first));
    if (!quick) {
        title("3. Another learns to search: three numbers, two operators, one target");
        SV_TRY(sv_act_run(a, &two, dir, arena, &second));
    }
    title(quick ? "3. The trained checkpoint, served on a second chip"
                : "4. The trained checkpoints, served on a second chip");
    SV_TRY(sv_act_replay(a, &one, first, REPLAYED));
    if (second != NULL)
        SV_TRY(sv_act_replay(a, &two, second, REPLAYED));
    title(quick ? "4. The same prompt on every chip here: a hash of every result of every layer"
                : "5. The same prompt on every chip here: a hash of every result of every layer");
    SV_TRY(compare_chips(a, real, first));
    sv_out("\nTalk to the model: samsvar chat %s\nIts curves: samsvar runs %s\n", first, dir);
    return SV_OK;
}

sv_err sv_cmd_demo(const sv_args *a)
{
    sv_arena *arena = sv_arena_make();
    sv_model *real = NULL;
    double start = sv_clock_s();
    sv_err err = SV_OK;
    const char *dir = sv_arena_printf(arena, "%s/%s-seed%s", sv_arg_text(a, SV_FLAG_DIR),
                                      sv_arg_on(a, SV_FLAG_QUICK) ? "quick" : "full", sv_arg_text(a, SV_FLAG_SEED));
    title("1. A real model answers");
    if (sv_arg_given(a, SV_FLAG_MODEL))
        err = sv_open_model(a, sv_arg_text(a, SV_FLAG_MODEL), &real);
    else
        sv_out("  left out: no model was given (--model FILE.gguf)\n");
    if (err == SV_OK && real != NULL)
        err = ask(a, real);
    if (err == SV_OK)
        err = acts(a, dir, arena, real);
    if (err == SV_OK)
        sv_out("Done in %s\n", sv_time_words(sv_clock_s() - start));
    sv_model_close(real);
    sv_arena_drop(arena);
    return err;
}
