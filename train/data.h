/* SPDX-License-Identifier: Apache-2.0
 * Where training rows come from: a built-in task, or JSON lines made into token ids once, at open. Row b of step s is a
 * pure function of (seed, s, b): a resumed run draws the same rows.
 * Threads: used by one thread at a time.
 */
#ifndef SV_TRAIN_DATA_H
#define SV_TRAIN_DATA_H

#include "format/jsonl.h"
#include "model/model.h"
#include "train/pack.h"
#include "train/recipe.h"
#include "train/task.h"

typedef struct sv_data sv_data;

typedef struct sv_data_stats {
    uint64_t n_row, n_token, n_counted; /* 0 for a task */
    uint64_t n_empty;                   /* rows without a counted token, left out */
    uint64_t n_long;                    /* rows above data.max_tokens that were dropped or cut */
    uint64_t n_turn_left;               /* assistant turns that the template does not keep, so that they do not train */
    const char *kind;                   /* "chat", "task" ... */
    uint8_t hash[32];                   /* SHA-256 of the file; of the task's name */
} sv_data_stats;

/* Reads and checks everything: unfit lines are named file:line. Borrows m, which must have a tokenizer for every kind
 * but ids. n_ctx: longest row that the model takes. SV_E_ARG: the recipe does not fit the data, or a held-out
 * problem stands in the training set (its pair is named); SV_E_FORMAT: the data
 * is off. */
sv_err sv_data_open(const sv_recipe *r, const sv_model *m, uint32_t n_ctx, sv_data **out);
void sv_data_close(sv_data *d); /* NULL is fine */
/* SHA-256 of what the recipe names, without reading it in: the file's bytes, or the task's name. */
sv_err sv_data_hash(const sv_recipe *r, uint8_t out[32]);
const sv_data_stats *sv_data_stats_of(const sv_data *d);

/* Row b (of n_batch) of a step counted from 0. cursor: how many positions were passed before the step. Valid until
 * sv_data_recycle. */
sv_err sv_data_row(sv_data *d, uint64_t step, uint64_t cursor, uint32_t b, sv_row *out);
/* Held-out rows: worked traces of a task's test problems, or the lines of eval.path; 0 when there are none. */
uint32_t sv_data_n_eval(const sv_data *d);
sv_err sv_data_eval_row(sv_data *d, uint32_t i, sv_row *out);
void sv_data_recycle(sv_data *d); /* rows given out so far are no longer needed */

/* The item at a position of epoch e: a bijection of 0 ... n - 1 by a Feistel network of four Philox rounds with cycle
 * walking (Black & Rogaway 2002). Any position is found at once. n > 0, position < n. */
uint64_t sv_data_order(uint64_t seed, uint64_t epoch, uint64_t position, uint64_t n);

/* ---- for data*.c ---- */

/* Turns texts into ids and remembers which count. */
typedef struct sv_encoder {
    const sv_model *m;
    sv_template *chat; /* NULL: none */
    sv_template *own;  /* chat, when it was read from a file of the recipe's */
    bool trust_prompt, trust_completion, last_turn_only, allow_string_prompt;
    sv_ids ids;       /* of the row at hand */
    uint8_t *counted; /* [ids.n] */
    size_t cap_counted;
    uint64_t n_turn_left;
} sv_encoder;

/* Appends the ids of a text, counted or not. */
sv_err sv_encoder_text(sv_encoder *e, sv_str text, bool trusted, bool counted);
sv_err sv_encoder_marked(sv_encoder *e, const sv_marked *text, bool counted);
void sv_encoder_id(sv_encoder *e, uint32_t id, bool counted);
void sv_encoder_begin(sv_encoder *e); /* an empty row */
bool sv_encoder_is_end(const sv_encoder *e, uint32_t id);
/* One line of each kind. where: "file:line", for messages. */
sv_err sv_data_chat(sv_encoder *e, const json_t *line, const char *where);
sv_err sv_data_completion(sv_encoder *e, const json_t *line, const char *where);

#endif
