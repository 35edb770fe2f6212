/* SPDX-License-Identifier: Apache-2.0
 * What writing folders and GGUF files shares.
 * Threads: as model.h.
 */
#ifndef SV_MODEL_SAVE_IMPL_H
#define SV_MODEL_SAVE_IMPL_H

#include "model/load_impl.h"

/* Sets dtype, data and bytes of t to the weight's rows in HF order as `to`; other: F32 values instead of the model's,
 * or NULL. What is stored as `to` already is not copied. t->name stands in messages. SV_E_DTYPE: a value does not fit.
 */
sv_err sv_weight_convert(const sv_model *m, uint32_t id, const float *other, sv_dtype to, sv_arena *a,
                         sv_named_tensor *t);
/* A large block that lives as long as a. */
sv_err sv_weight_block(sv_arena *a, uint64_t bytes, void **out);
void sv_weight_dims(const sv_tensor *shape, sv_named_tensor *t);
/* hash.c: the identity of any set of tensors, of which a model's weights are one. */
void sv_weights_hash(const sv_named_tensor *item, size_t n, uint8_t out[32]);

#endif
