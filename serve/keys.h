/* SPDX-License-Identifier: Apache-2.0
 * API keys: read from a file that only its owner may read, kept as digests, compared in constant time.
 * Threads: constant once loaded.
 */
#ifndef SV_SERVE_KEYS_H
#define SV_SERVE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct sv_keys {
    uint8_t (*sum)[32]; /* [n] SHA-256 of each key */
    uint32_t n;
} sv_keys;

/* One key a line, 8 to 256 bytes; empty lines and those that begin with # are skipped. SV_E_ARG: others may read the
 * file, or it holds no key. */
sv_err sv_keys_load(const char *path, sv_keys *out);
void sv_keys_done(sv_keys *k);
/* Looks at every key, whichever fits. header: the Authorization header, or NULL. */
bool sv_keys_allow(const sv_keys *k, const char *header);
/* A number of the key's own, from its digest: what requests of one key may share. 0 when there are no keys. */
uint64_t sv_keys_space(const sv_keys *k, const char *header);

#endif
