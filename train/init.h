/* SPDX-License-Identifier: Apache-2.0
 * Initial weights of a new model: pure functions of (seed, weight, item).
 * Threads: values.
 */
#ifndef SV_TRAIN_INIT_H
#define SV_TRAIN_INIT_H

#include "model/model.h"

/* Fills every weight of a model made by sv_model_new: gains 1, biases 0, the embedding N(0, 0.02^2); matrices N(0, 1/I)
 * for I inputs, and those that write to the residual (o_proj, down_proj) N(0, 1/(2 L I)) for L layers, as GPT-2 does
 * (Radford et al. 2019, 2.3). Items are the op rand_normal's, keyed (seed, init, weight id, item). */
void sv_init_weights(sv_model *m, uint64_t seed);
/* A of an adapter N(0, 1/(3 I)), the variance of PEFT's own; B +0, so that the first step starts at the base. Keyed
 * (seed, init, id of sv_lora_id, item). */
void sv_init_lora(sv_lora *l, const sv_config *c, uint64_t seed);

#endif
