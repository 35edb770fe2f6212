/* SPDX-License-Identifier: Apache-2.0
 * What the files that read and write models share: the model's private half, and the steps of opening one.
 * Threads: as model.h.
 */
#ifndef SV_MODEL_LOAD_IMPL_H
#define SV_MODEL_LOAD_IMPL_H

#include "base/thread.h"
#include "format/gguf.h"
#include "model/model.h"

/* A weight as its file holds it, rows in HF order: what the hash is over and what is kept on saving. sv_model.data is
 * the same memory, or its values widened to F32. */
typedef struct sv_stored {
    sv_dtype dtype;
    const void *data; /* NULL: no such weight, or an alias */
    uint64_t bytes;
} sv_stored;

typedef struct sv_model_own {
    sv_model m; /* first: a sv_model is the face of this */
    sv_model_opts opts;
    sv_stored *stored;             /* [sv_weight_ids] */
    bool is_writable;              /* data is F32 memory of the model's own */
    const char *no_tokenizer_text; /* the sentence for sv_model_need_tokenizer */
    sv_str template_text;          /* the chat template's source, readable or not; p NULL: none */
    bool template_is_in_config;    /* it is tokenizer_config.json's */
    sv_gguf *gguf;                 /* the file, for its keys; NULL for folders */
} sv_model_own;

/* A model of this module's making, without weights. */
sv_model_own *sv_model_own_make(const char *path, const char *kind, const sv_model_opts *opts);
static inline const sv_model_own *sv_model_own_of(const sv_model *m)
{
    return (const sv_model_own *)m;
}
/* Hands a JSON value over to the model. NULL is fine. */
json_t *sv_model_keep_json(sv_model_own *o, json_t *j);
/* A large block of the model's own. */
sv_err sv_model_block(sv_arena *a, uint64_t bytes, const char *what, void **out);

sv_err sv_model_open_folder(sv_model_own *o);
sv_err sv_model_open_gguf(sv_model_own *o);

/* load_weight.c: every weight of the config gets its tensor, checked for name, shape, type and finite values; tensors
 * that no weight asks for are refused. dtypes: samsvar.source.dtypes, or NULL. */
sv_err sv_model_bind(sv_model_own *o, const sv_tensors *t, const sv_gguf_value *dtypes);
/* Rows of n_row / d_head heads between HF order and llama's GGUF order: GGUF row 2i + a holds HF row a d/2 + i. */
void sv_rope_rows(void *dst, const void *src, uint32_t n_row, uint64_t row_bytes, uint32_t d_head, bool to_gguf);
/* n items of a float or block type widened to F32. */
void sv_widen(sv_dtype t, const void *src, uint64_t n_row, uint64_t n_col, float *out);

/* load_tokenizer.c: a tokenizer that is made while other things are read. {0}: none. */
typedef struct sv_tokenizer_job {
    sv_vocab_parts parts; /* when has_parts; what they point to lives until the end */
    bool has_parts;
    sv_str json; /* p NULL: made from the parts. Both: they must agree */
    const char *json_name, *name;
    sv_arena *arena; /* of the caller's, for these; dropped at the end. NULL is fine */
    /* The job's own. */
    sv_tokenizer *made;
    sv_err err;
    char text[1024];
    sv_thread *thread;
    bool started;
} sv_tokenizer_job;
void sv_tokenizer_job_start(sv_tokenizer_job *j);
/* Waits for it; o gets the tokenizer, checked against the config. Always called, also for a job that never started. */
sv_err sv_tokenizer_job_end(sv_tokenizer_job *j, sv_model_own *o);

/* load_text.c: what stands around the weights. Each takes what it needs from o->m. */
sv_err sv_model_read_generation(sv_model_own *o, const char *where); /* hf_generation -> defaults, eos */
sv_err sv_model_read_special_tokens(sv_model_own *o,
                                    const char *where); /* hf_tokenizer_config -> bos, eos, pad, add_bos */
/* Compiles the template: SV_OK with template_problem where it cannot be read. text is borrowed for good. */
void sv_model_set_template(sv_model_own *o, sv_str text, const char *name);
/* The template of tokenizer_config.json: a text, or the one named default in a list. p NULL: none. */
sv_str sv_template_of_config(const json_t *tokenizer_config);
/* opts->chat_template: unreadable is an error, since it was asked for. */
sv_err sv_model_replace_template(sv_model_own *o);
/* The tokenizer and the config agree: no id beyond the vocabulary. */
sv_err sv_model_check_vocab(const sv_model_own *o, const char *where);
/* True when tokenizer.json puts this token before a text. */
bool sv_tokenizer_json_adds(sv_str json, const char *token);

/* config.c */
sv_err sv_config_add_eos(sv_config *c, int64_t id, const char *where);
sv_err sv_config_add_eos_of(sv_config *c, const json_t *id_or_list, const char *where);
/* [d_head/2] divisors of SV_ROPE_FACTORS from config.json's lists, made in a; NULL when it has none. */
sv_err sv_config_divisors(const json_t *config, const sv_config *c, const char *where, sv_arena *a, const float **out);
/* The shortest decimal number that is this float. */
double sv_shortest_f64(float x);

/* save.c: a JSON value as text, keys in their order, two spaces, shortest numbers, a line's end. */
void sv_json_write(sv_bytes *out, const json_t *v);

#endif
