/* SPDX-License-Identifier: Apache-2.0
 * What ckpt.c (writing) and ckpt_read.c (checking) share. Not for others.
 */
#ifndef SV_TRAIN_CKPT_IMPL_H
#define SV_TRAIN_CKPT_IMPL_H

#include "train/ckpt.h"

sv_err sv_ckpt_file_hash(const char *path, uint64_t *bytes, char hex[65]);
/* Names step-... of a run folder, ascending by step. */
sv_err sv_ckpt_list(const char *run_dir, sv_arena *a, char ***name, size_t *n);
uint64_t sv_ckpt_step_of(const char *name); /* of "step-000400"; UINT64_MAX: not such a name */
sv_err sv_ckpt_set_aside(const char *dir,
                         sv_arena *a); /* step-X becomes bad-step-X, an older one of that name bad-...-2 */

#endif
