/* SPDX-License-Identifier: Apache-2.0
 * The verbs, and what several of them share: opening models and engines by flags, prompts, one streamed answer,
 * signals. Threads: the main thread.
 */
#ifndef SV_CLI_CMD_H
#define SV_CLI_CMD_H

#include <signal.h>

#include "cli/flags.h"
#include "cli/out.h"
#include "infer/engine.h"

#define SV_VERSION "0.1.0"

/* One function per verb; an error's exit code is sv_err_exit_code's. */
#define SV_VERB(id, words, fewest, most, summary) sv_err sv_cmd_##id(const sv_args *a);
#include "cli/flags.def"

sv_err sv_chip_bench(const sv_args *a); /* in cmd_bench.c */

/* ---- signals: the first Ctrl-C counts, the second ends the program ---- */
extern volatile sig_atomic_t sv_interrupts;
/* fn (may be NULL) runs in the handler of the first one. hard: what the second exits with; 0: it only counts. */
void sv_signals_catch(void (*fn)(void), int hard);

/* ---- opening by flags ---- */
/* path: a model, or the folder of a training run, whose newest checkpoint is taken. */
sv_err sv_open_model(const sv_args *a, const char *path, sv_model **out);
sv_err sv_open_base(const sv_args *a, const char *path, sv_model **out); /* without --adapter */
/* A model's path as it is, or a run's newest checkpoint. */
const char *sv_newest_model(sv_arena *arena, const char *path);
void sv_engine_opts_of(const sv_args *a, uint32_t max_running, sv_engine_opts *out);
sv_err sv_open_engine(const sv_args *a, const sv_model *m, uint32_t max_running, sv_engine **out);
/* --temperature ... --seed over what the model proposes. */
sv_err sv_sampling_of(const sv_args *a, const sv_model *m, sv_sampling *out);
/* The text of -p, -f, or word 1 ("-": stdin; else the word, when is_word_text). Owned by arena. */
sv_err sv_text_of(const sv_args *a, bool is_word_text, sv_arena *arena, sv_str *out);

/* ---- prompts ---- */
json_t *sv_message(const char *role, sv_str content);
/* Renders the chat template and encodes it. SV_E_UNSUPPORTED: the model has none (says why, and that --raw does
 * without). */
sv_err sv_chat_ids(const sv_model *m, const json_t *messages, bool no_think, sv_ids *out);
/* The text as it is, behind the model's first token when it wants one. */
sv_err sv_raw_ids(const sv_model *m, sv_str text, sv_ids *out);
/* One user message by template when the model has one and `raw` is false. */
sv_err sv_user_ids(const sv_model *m, sv_str text, bool raw, sv_ids *out);
/* True when a prompt's end opens a block of thought that it does not close. */
bool sv_opens_thought(const sv_model *m, const uint32_t *prompt, uint32_t n);

/* ---- one answer ---- */
typedef struct sv_answer {
    sv_bytes text; /* without special tokens */
    sv_ids ids;    /* drawn, the end token included */
    uint32_t n_prompt;
    double first_s, all_s; /* from the post to the first token; to the end */
    sv_finish finish;
    bool stopped;     /* by Ctrl-C */
    bool has_thought; /* it has a </think>, or began inside one */
    size_t think_end; /* bytes of text up to and with </think> */
} sv_answer;
typedef void (*sv_piece_fn)(void *ctx, const sv_event *e, sv_str piece); /* piece may be empty */
/* Posts, streams, fills *out (which may hold an older answer: its memory is used again). */
sv_err sv_answer_run(sv_engine *e, const sv_model *m, const sv_request *r, sv_piece_fn fn, void *ctx, sv_answer *out);
void sv_answer_done(sv_answer *w);

/* ---- verify, used by demo ---- */
typedef struct sv_verify_opts {
    const char *const *chip; /* n_chip specs; n_chip 0: every chip and instruction set there is */
    uint32_t n_chip, n_thread, n_decode;
    const uint32_t *prompt;
    uint32_t n_prompt;
    bool strict, json;
} sv_verify_opts;
/* Prints a line per chip and the verdict. SV_E_BITS: they differ. */
sv_err sv_verify_model(const sv_model *m, const sv_verify_opts *o);
/* Chips to compare by default; texts in arena. At most 16. */
uint32_t sv_verify_chips(sv_arena *arena, const char *spec[16]);

/* ---- training, used by demo ---- */
typedef struct sv_train sv_train;
typedef struct sv_recipe sv_recipe;
typedef struct sv_train_loop {
    bool json;
    float *loss; /* every step's, by sv_mem */
    size_t n_loss, cap_loss;
    bool stopped;
    uint64_t eval_every;  /* steps between held-out losses; 0: none before the end */
    uint32_t eval_rows;   /* held-out rows of them, at most */
    const char *what;     /* that `loss` is; NULL: the loss */
    uint64_t n_generated; /* RL: tokens */
    double seconds;       /* RL: of steps */
} sv_train_loop;
sv_err sv_train_run(sv_train *t, sv_train_loop *loop);
/* The same for train.method: rl. */
/* --dry-run: memory and cost of a recipe. */
sv_err sv_train_plan(const sv_recipe *r, bool json);
sv_err sv_train_run_rl(sv_train *t, const sv_recipe *r, sv_train_loop *loop);
void sv_train_draw(const sv_train_loop *loop, uint64_t first_step);

#endif
