/* SPDX-License-Identifier: Apache-2.0
 * A model family: config, table of weights, one forward. What a family is, nothing of how it runs.
 * Threads: constants.
 */
#ifndef SV_MODEL_FAMILY_H
#define SV_MODEL_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "op/tape.h"

typedef enum sv_rope_scaling { SV_ROPE_PLAIN, SV_ROPE_LLAMA3, SV_ROPE_LINEAR, SV_ROPE_FACTORS } sv_rope_scaling;

typedef struct sv_family sv_family;

/* Sizes that the dense families share. Keys of config.json in the comment; transformers' names. */
typedef struct sv_config {
    const sv_family *family;                 /* model_type */
    uint32_t n_layer;                        /* num_hidden_layers */
    uint32_t d_model;                        /* hidden_size */
    uint32_t n_head;                         /* num_attention_heads */
    uint32_t n_kv_head;                      /* num_key_value_heads */
    uint32_t d_head;                         /* head_dim; absent: d_model / n_head */
    uint32_t d_ff;                           /* intermediate_size */
    uint32_t n_vocab;                        /* vocab_size */
    uint32_t n_ctx;                          /* max_position_embeddings */
    float eps;                               /* rms_norm_eps */
    double theta;                            /* rope_theta */
    bool is_tied;                            /* tie_word_embeddings */
    sv_rope_scaling scaling;                 /* rope_scaling or rope_parameters */
    double rope_factor, rope_low, rope_high; /* llama3: factor, low_freq_factor, high_freq_factor */
    uint32_t rope_ctx;                       /* original_max_position_embeddings */
    const float *rope_divisor;               /* [d_head/2] of a GGUF file's rope_freqs.weight, or NULL */
    uint32_t eos[8], n_eos;                  /* union of config.json, generation_config.json and the tokenizer */
    int64_t bos, pad;                        /* -1: none */
} sv_config;

/* Dimensions of weights, by name. */
typedef enum sv_dim { SV_DIM_NONE, SV_DIM_MODEL, SV_DIM_FF, SV_DIM_VOCAB, SV_DIM_Q, SV_DIM_KV, SV_DIM_HEAD } sv_dim;

typedef enum sv_weight_flag {
    SV_W_ONCE = 1,       /* one for the model; else one per layer */
    SV_W_TIED = 2,       /* the same memory as weight number `tied` when the config says is_tied */
    SV_W_VECTOR = 4,     /* a gain or bias: stored F32 in GGUF */
    SV_W_NODECAY = 8,    /* no weight decay */
    SV_W_LORA = 16,      /* a linear map that an adapter may extend */
    SV_W_ROPE_ROWS = 32, /* rows permuted in llama's GGUF files: query heads */
    SV_W_ROPE_KV = 64,   /* the same, key heads */
    SV_W_EMBED = 128     /* looked up by rows */
} sv_weight_flag;

typedef struct sv_weight {
    const char *hf, *gguf; /* with %u for the layer */
    sv_dim dim[2];         /* [rows, columns]; [n, NONE] for vectors */
    uint32_t flags;
    uint32_t tied; /* index of the weight whose memory it shares */
} sv_weight;

typedef struct sv_build sv_build;

struct sv_family {
    const char *model_type, *architecture; /* "qwen3", "Qwen3ForCausalLM" */
    const char *gguf_arch;                 /* "qwen3" */
    bool permutes_gguf;                    /* llama: rows of q and k are permuted in GGUF */
    const sv_weight *weight;
    uint32_t n_weight;
    /* Emits the forward: tokens of the step -> logits [W,V]. */
    sv_val (*forward)(sv_build *b);
};

extern const sv_family *const sv_families[]; /* from families.def, NULL at the end */
const sv_family *sv_family_find(const char *model_type);
const sv_family *sv_family_find_gguf(const char *arch);
const char *sv_family_names(void); /* "llama, qwen2, qwen3" for messages */

/* The id of a weight on tapes and in stores: index + n_weight * layer (layer 0 for SV_W_ONCE). */
static inline uint32_t sv_weight_id(const sv_family *f, uint32_t index, uint32_t layer)
{
    return index + f->n_weight * ((f->weight[index].flags & SV_W_ONCE) ? 0 : layer);
}
static inline uint32_t sv_weight_ids(const sv_config *c)
{
    return c->family->n_weight * c->n_layer;
}
/* True for ids that name a weight of this model (SV_W_ONCE weights exist in layer 0 only). */
bool sv_weight_exists(const sv_config *c, uint32_t id);
/* True when the weight's memory is another one's (tied): it is not stored or saved on its own. */
bool sv_weight_is_alias(const sv_config *c, uint32_t id);
/* F32 tensor with the weight's dims. */
sv_tensor sv_weight_shape(const sv_config *c, uint32_t id);
/* The Hugging Face or GGUF name, made in a. */
char *sv_weight_name(const sv_config *c, uint32_t id, bool gguf, sv_arena *a);

#endif
