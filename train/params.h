/* SPDX-License-Identifier: Apache-2.0
 * What a run trains: all weights of a model, or an adapter's A and B beside frozen weights. One list, in checkpoint
 * order, that gradients, optimizer, hashes and checkpoints walk. Threads: constant once made.
 */
#ifndef SV_TRAIN_PARAMS_H
#define SV_TRAIN_PARAMS_H

#include "model/model.h"

typedef struct sv_param {
    uint32_t id; /* of its weight, gradient and moments in the store */
    sv_tensor shape;
    const char *name; /* in checkpoints */
    float *host;      /* writable copy on the host; NULL where the model has none */
    bool decays;      /* a matrix: optim.decay applies */
    uint32_t tied;    /* id of a weight of the same memory, whose gradient is added; UINT32_MAX: none */
} sv_param;

typedef struct sv_params {
    sv_param *item;
    uint32_t n;
} sv_params;

/* lora NULL: the model's weights by ascending id, aliases left out. Else A and B of the adapter, by ascending bytes of
 * their names. Made in a. */
sv_params sv_params_of(const sv_model *m, const sv_lora *lora, sv_arena *a);
uint64_t sv_params_items(const sv_params *p);
/* The id behind all weights where the sum of two tied gradients is kept. */
static inline uint32_t sv_param_sum_id(const sv_config *c, uint32_t id)
{
    return sv_weight_ids(c) + id;
}

#endif
