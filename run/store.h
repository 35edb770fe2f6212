/* SPDX-License-Identifier: Apache-2.0
 * What lives on a chip from step to step, by (kind, id): weights, gradients, moments, KV pages, constants.
 * Threads: used by one thread at a time.
 */
#ifndef SV_RUN_STORE_H
#define SV_RUN_STORE_H

#include "op/tape.h"
#include "run/machine.h"

typedef struct sv_store sv_store;

sv_store *sv_store_make(sv_machine *m);
void sv_store_drop(sv_store *s); /* frees the device memory; NULL is fine */
sv_machine *sv_store_machine(sv_store *s);

/* Copies host data (dense rows as in the file) to the chip. */
sv_err sv_store_put(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape, const void *data);
/* The same for a weight that only matmul (NT) and embed read: packed once into the layout that the chip wants. */
sv_err sv_store_put_packed(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape, const void *data);
/* Device memory set to +0. */
sv_err sv_store_zero(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape);
/* Device memory that need not be set (KV pages). */
sv_err sv_store_raw(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape);
/* (kind, id) names the same memory as (kind, other): tied weights. */
sv_err sv_store_alias(sv_store *s, sv_kind kind, uint32_t id, uint32_t other);
/* Sets existing memory to +0 again, or to new data of the same shape. */
sv_err sv_store_clear(sv_store *s, sv_kind kind, uint32_t id);
sv_err sv_store_update(sv_store *s, sv_kind kind, uint32_t id, const void *data);
/* Copies dense row-order data back to the host; a packed weight is unpacked bit for bit. */
sv_err sv_store_get(sv_store *s, sv_kind kind, uint32_t id, void *data);
/* The bound tensor (with dtype, image, place), or NULL. Valid until the store is dropped. */
const sv_tensor *sv_store_find(const sv_store *s, sv_kind kind, uint32_t id);
uint64_t sv_store_bytes(const sv_store *s); /* device memory held */

#endif
