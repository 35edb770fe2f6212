/* SPDX-License-Identifier: Apache-2.0
 * A model in host memory: config, named weights as stored, tokenizer, chat template. Read from a Hugging Face folder, a
 * checkpoint (the same thing) or a GGUF file; written as a folder or as GGUF.
 * Threads: constant once opened, but for sv_model_weight data that a trainer writes.
 */
#ifndef SV_MODEL_MODEL_H
#define SV_MODEL_MODEL_H

#include "format/tensors.h"
#include "model/lora.h"
#include "text/template.h"
#include "text/tokenizer.h"

/* What generation_config.json or the GGUF keys propose; negative: not said. */
typedef struct sv_gen_defaults {
    double temperature, top_p, min_p, repetition_penalty;
    int64_t top_k;
} sv_gen_defaults;

typedef struct sv_model {
    sv_config config;
    const char *path;
    const char *kind;             /* "folder" or "gguf" */
    sv_tensor *shape;             /* [sv_weight_ids] dtype and dims as stored; n_dim 0: no such weight */
    const void **data;            /* [sv_weight_ids] dense rows in HF order; NULL for aliases and ids without weight */
    sv_tokenizer *tokenizer;      /* NULL: the model has none (sv_model_need_tokenizer says so) */
    sv_template *chat_template;   /* NULL: none */
    const char *template_problem; /* why there is none although the file has one, or NULL */
    const char *bos_token, *eos_token; /* texts for the template, or NULL */
    bool add_bos;
    sv_gen_defaults defaults;
    json_t *hf_config;           /* config.json as read or made, owned */
    json_t *hf_generation;       /* generation_config.json, or NULL */
    json_t *hf_tokenizer_config; /* tokenizer_config.json, or NULL */
    uint32_t n_dequantised;      /* weights that were widened to F32 at load because their type has no kernel */
    sv_lora *lora;               /* an adapter that is served with it, or NULL */
    sv_arena *arena;
} sv_model;

typedef struct sv_model_opts {
    bool dequant;              /* widen block-quantised weights to F32 */
    const char *chat_template; /* a file that replaces the model's template, or NULL */
    bool no_tokenizer;         /* weights alone: do not read or ask for a tokenizer */
    bool all_f32;              /* widen every weight to F32, as training needs */
    const char *adapter; /* folder of an adapter to serve with it, or NULL. Implies dequant: a block-quantised base
                            is served as it was trained on, in F32 */
} sv_model_opts;

/* path: a folder, or a .gguf file. Errors name the file, the tensor or key, what was found and what is allowed. */
sv_err sv_model_open(const char *path, const sv_model_opts *opts, sv_model **out);
void sv_model_close(sv_model *m); /* NULL is fine */
sv_err sv_model_need_tokenizer(const sv_model *m);

/* A new model with F32 weights of +0 in its own memory, to be initialised and trained. config is config.json's object;
 * tokenizer_json and tokenizer_config may be empty. */
sv_err sv_model_new(const json_t *config, sv_str tokenizer_json, sv_str tokenizer_config, sv_model **out);
/* The writable weights of such a model. */
float *sv_model_weight(sv_model *m, uint32_t id);

/* Writes config.json, tokenizer.json, tokenizer_config.json, generation_config.json and model.safetensors into dir
 * (made when missing). Weights come from m, but for those where weight[id] is not NULL (F32, dense). dtype: what to
 * store matrices as (SV_DT_F32, BF16, F16), SV_DTYPE_COUNT keeps each tensor's own where safetensors can say it. */
sv_err sv_model_save(const sv_model *m, const char *dir, const float *const *weight, sv_dtype dtype);
/* GGUF: dtype F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q5_K, Q6_K, or SV_DTYPE_COUNT to keep each tensor's own. */
sv_err sv_model_save_gguf(const sv_model *m, const char *path, sv_dtype dtype);

/* config.json's object -> sv_config, and back for a GGUF file that has none. */
sv_err sv_config_read(const json_t *config, const char *where, sv_config *out);
json_t *sv_config_json(const sv_config *c);

/* Puts an adapter beside an opened model, which owns it then. The base must be the one it was trained on, where that is
 * known (sv_model_check_base). */
sv_err sv_model_attach(sv_model *m, const char *dir);
sv_err sv_model_check_base(const sv_model *m, const sv_lora *l);
/* Adds the adapter to the weights, W + s (B A) in F32, and drops it. Weights keep their float type (rounded once more);
 * block-quantised ones become F32. Another model with another hash: its answers are close, not the same. */
sv_err sv_model_merge(sv_model *m);

/* Identity of the weights (serving-and-formats: SHA-256 over names, dtypes, dims, bytes in ascending order of names).
 */
void sv_model_weights_hash(const sv_model *m, uint8_t out[32]);
uint64_t sv_model_params(const sv_model *m); /* aliases counted once */

#endif
