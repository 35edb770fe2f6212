/* SPDX-License-Identifier: Apache-2.0
 * safetensors files and sharded sets of them: named views of bytes, and writing. Which name means which weight is the
 * family's business (model/), not this file's.
 * Threads: an opened set is constant and may be shared; a writer is used by one thread.
 */
#ifndef SV_FORMAT_SAFETENSORS_H
#define SV_FORMAT_SAFETENSORS_H

#include "format/tensors.h"

#define SV_SAFETENSORS_MAX_HEADER 25000000u /* bytes of JSON; the hub's own limit */
#define SV_SAFETENSORS_MAX_NAME 256u        /* bytes */
#define SV_SAFETENSORS_MAX_METADATA (1u << 20)

/* One .safetensors file, or a folder with model.safetensors or model.safetensors.index.json, or such an index itself.
 * Everything is validated against the real file lengths before the first view is given out. SV_E_FORMAT, SV_E_LIMIT,
 * SV_E_UNSUPPORTED (dtype), SV_E_NOTFOUND. */
sv_err sv_safetensors_open(const char *path, sv_tensors **out);
/* The same for one file that is in memory; p must outlive *out. `name` stands in messages. */
sv_err sv_safetensors_open_bytes(const uint8_t *p, size_t n, const char *name, sv_tensors **out);

/* Writes FILE (or, above shard_bytes, FILE-0000i-of-0000n.safetensors and FILE.safetensors.index.json) into dir, where
 * FILE is stem: "model" gives model.safetensors. Order in the file: item size descending, then name. Items are
 * borrowed. Nothing is seen under the final name before all of that file is on disk. shard_bytes 0: 5,000,000,000. The
 * index comes last; then the file that an older model of the same stem left (index or single file) is removed, since
 * readers would take it. */
sv_err sv_safetensors_write(const char *dir, const char *stem, const sv_named_tensor *item, size_t n,
                            uint64_t shard_bytes);

#endif
