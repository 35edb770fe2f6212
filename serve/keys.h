/* SPDX-License-Identifier: Apache-2.0
 * API keys: read from a file that only its owner may read, kept as digests, compared in constant time.
 * Threads: constant once loaded.
 */
#ifndef SV_SERVE_KEYS_H
#define SV_SERVE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct sv_key {
    uint8_t sum[32]; /* SHA-256: the namespace of what it may see; zeros: no key is needed here */
    bool admin;      /* may load and unload models */
    bool chats;      /* its conversations are kept on the server */
} sv_key;

typedef struct sv_keys {
    sv_key *key; /* [n] */
    uint32_t n;
} sv_keys;

/* "KEY [admin] [chats]" a line, KEY of 8 to 256 bytes without blanks; empty lines and those that begin with # are
 * skipped. SV_E_ARG: others may read the file, or it holds no key. */
sv_err sv_keys_load(const char *path, sv_keys *out);
void sv_keys_done(sv_keys *k);
/* Looks at every key, whichever fits. header: the Authorization header, or NULL. Without keys everybody fits, as
 * nobody. */
bool sv_keys_find(const sv_keys *k, const char *header, sv_key *out);
/* A number of the key's own, from its digest: what requests of one key may share. 0 when there are no keys. */
uint64_t sv_key_space(const sv_key *k);

#endif
