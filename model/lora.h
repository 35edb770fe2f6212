/* SPDX-License-Identifier: Apache-2.0
 * Low-rank adapters (LoRA, arXiv 2106.09685): beside a linear weight W [out,in] stand A [r,in] and B [out,r], and
 *
 *     y = x W^T + ((x A^T) s) B^T        s = alpha / r, or alpha / sqrt(r) with use_rslora
 *
 * by the same calls in training and in serving (docs/lora.md). Files are in PEFT's layout.
 * Threads: constant once opened, but for a, b that a trainer writes.
 */
#ifndef SV_MODEL_LORA_H
#define SV_MODEL_LORA_H

#include "model/family.h"

typedef struct sv_lora_part {
    uint32_t rank; /* r; 0: this weight has no adapter */
    double alpha;
    float scale;  /* s, computed in binary64 and rounded once */
    float *a, *b; /* [r,in], [out,r] */
} sv_lora_part;

typedef struct sv_lora {
    const char *path; /* its folder, for messages */
    uint32_t rank;    /* adapter_config.json's r and lora_alpha; a part may have its own */
    double alpha;
    bool is_rs;         /* use_rslora */
    const char *base;   /* base_model_name_or_path */
    char base_hash[65]; /* hash of the base's weights (sv_model_weights_hash); "": not known, as in PEFT's own files */
    uint32_t n_id;
    sv_lora_part *part; /* [n_id] by weight id */
    uint64_t n_param;
    sv_arena *arena;
} sv_lora;

/* What train.lora.* asks for. */
typedef struct sv_lora_spec {
    uint32_t rank;
    double alpha;
    bool is_rs;
    const char *targets; /* "all": every linear weight inside the layers; or names as in PEFT, "q_proj,v_proj" */
} sv_lora_spec;

/* A new adapter of zeros. SV_E_ARG: rank 0, or a target that no linear weight of this family has. */
sv_err sv_lora_new(const sv_config *c, const sv_lora_spec *spec, sv_lora **out);
/* dir: a folder with adapter_config.json and adapter_model.safetensors, or a run whose checkpoints are such folders
 * (the newest). SV_E_NOTFOUND, SV_E_FORMAT, SV_E_UNSUPPORTED (a kind of adapter that this is not), SV_E_SHAPE (of
 * another base). */
sv_err sv_lora_open(const char *dir, const sv_config *c, sv_lora **out);
void sv_lora_close(sv_lora *l); /* NULL is fine */
/* Writes PEFT's two files and samsvar_adapter.json (the base's hash) into dir, which is made when missing. */
sv_err sv_lora_save(const sv_lora *l, const sv_config *c, const char *dir);
/* SHA-256 of names, dims and values, as sv_model_weights_hash. */
void sv_lora_hash(const sv_lora *l, const sv_config *c, uint8_t out[32]);
/* True when dir is an adapter's folder. */
bool sv_lora_is_folder(const char *dir);

static inline const sv_lora_part *sv_lora_of(const sv_lora *l, uint32_t id)
{
    return l != NULL && l->part[id].rank > 0 ? &l->part[id] : NULL;
}
/* Ids of A and B on tapes and in stores, behind those of weights and of sums of tied gradients. lane: which of the
 * adapters that share one store. */
static inline uint32_t sv_lora_id(const sv_config *c, uint32_t id, uint32_t lane, bool is_b)
{
    return sv_weight_ids(c) * (2 + 2 * lane + is_b) + id;
}
sv_tensor sv_lora_shape(const sv_lora *l, const sv_config *c, uint32_t id, bool is_b);
/* "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", made in a. */
char *sv_lora_name(const sv_config *c, uint32_t id, bool is_b, sv_arena *a);

/* ---- for lora_*.c ---- */
sv_lora *sv_lora_make(const sv_config *c, const char *path);
/* "model.layers.0.self_attn.q_proj" */
char *sv_lora_module(const sv_config *c, uint32_t id, sv_arena *a);
/* Does the weight take an adapter: a linear map of this model. */
bool sv_lora_may(const sv_config *c, uint32_t id);
/* PEFT's rule: the module is named `name`, or ends in a dot and `name`. */
bool sv_lora_matches(const char *module, const char *name);
/* Sets rank, alpha and scale of each part first; then memory of zeros for all of them. */
sv_err sv_lora_fill(sv_lora *l, const sv_config *c);

#endif
