/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints: a model folder with the optimizer's state and a manifest beside the weights. A checkpoint is whole and
 * on disk, or it is not there: written under another name, checked by reading it back, then renamed. Threads: one
 * process per run folder (run.lock), one thread.
 *
 *     step-000400/   config.json tokenizer.json ... model.safetensors   a model folder, ready to serve
 *                    state.safetensors   adam.m.NAME, adam.v.NAME
 *                    manifest.json       written last: step, cursor, powers of the betas, contract, hashes
 *                    of an adapter: adapter_config.json, adapter_model.safetensors, samsvar_adapter.json instead of
 *                    the model's files
 *     bad-step-000350/                   failed its check: kept, never loaded
 *     .tmp-000450-4711/                  unfinished; removed at the next start
 *
 * Fault points, in order: ckpt.begin, ckpt.model, ckpt.state, ckpt.manifest, ckpt.synced, ckpt.renamed, ckpt.saved,
 * ckpt.pruned.
 */
#ifndef SV_TRAIN_CKPT_H
#define SV_TRAIN_CKPT_H

#include "train/params.h"
#include "train/recipe.h"

/* What a checkpoint says of a run, beside tensors. */
typedef struct sv_ckpt_mark {
    uint64_t step, cursor;            /* steps made; positions of the data passed */
    double power1, power2;            /* beta1^t, beta2^t, t updates made */
    uint64_t n_update;                /* t */
    uint64_t weight_bits, state_bits; /* sv_bits_hash of weights, and of m then v, in checkpoint order */
} sv_ckpt_mark;

typedef struct sv_ckpt {
    sv_ckpt_mark mark;
    const sv_model *model;            /* its data are the weights to save, when lora is NULL */
    const sv_lora *lora;              /* the adapter to save, or NULL */
    const sv_params *params;          /* what is trained */
    const float *const *m, *const *v; /* [params->n] */
    const sv_recipe *recipe;
    const uint8_t *data_hash; /* [32] */
    const char *chip;         /* "made by", never compared */
    uint32_t n_thread;
    uint64_t keep, every; /* keep the newest `keep` and every 10th of those due each `every` steps; every 0: no 10th */
} sv_ckpt;

/* Writes run_dir/step-NNNNNN. On an error nothing of it is left behind. An equal checkpoint that is there already is
 * fine; SV_E_BITS: a good one with other bits is there, or what was read back is not what was given. *dir (made in a)
 * is the folder. */
sv_err sv_ckpt_save(const sv_ckpt *c, const char *run_dir, sv_arena *a, char **dir);

/* Checks a checkpoint whole: manifest, exact list of files, lengths, SHA-256, hashes of weights and state.
 * SV_E_FORMAT names what is wrong. *contract (owned by the caller) and mark may be NULL. */
sv_err sv_ckpt_check(const char *dir, sv_ckpt_mark *mark, json_t **contract);

/* Finds where to go on in a run folder: removes unfinished folders, checks checkpoints from the newest down, renames
 * damaged ones to bad-... . *dir is NULL when there is none at all; SV_E_FORMAT when there are only damaged ones, now
 * or before (a run never starts from zero in silence); SV_E_ARG when the recipe or the data is another one. *n_bad: how
 * many were skipped, with the sentences in *why (made in a; "" for none). */
sv_err sv_ckpt_find(const char *run_dir, const sv_recipe *r, const uint8_t data_hash[32], sv_arena *a, char **dir,
                    sv_ckpt_mark *mark, uint32_t *n_bad, char **why);

/* Copies the moments of a checked checkpoint into m[i], v[i] (F32, dense). */
sv_err sv_ckpt_load_state(const char *dir, const sv_params *p, float *const *m, float *const *v);

/* sv_bits_hash over x[i] of what is trained, in checkpoint order (sv_params_of); x NULL: the host's copies of the
 * weights. first: place of the first word, moved on. */
uint64_t sv_ckpt_bits(const sv_params *p, const float *const *x, uint64_t *first);

#endif
