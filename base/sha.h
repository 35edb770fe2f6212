/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 by libcrypto. Threads: a state is used by one thread at a time.
 */
#ifndef SV_BASE_SHA_H
#define SV_BASE_SHA_H

#include <stddef.h>
#include <stdint.h>

typedef struct sv_sha sv_sha;
sv_sha *sv_sha_make(void);
void sv_sha_add(sv_sha *s, const void *data, size_t n);
void sv_sha_end(sv_sha *s, uint8_t out[32]); /* drops s */
void sv_sha_drop(sv_sha *s);                 /* without a sum; NULL is fine */
void sv_sha_of(const void *data, size_t n, uint8_t out[32]);
void sv_sha_hex(const uint8_t sum[32], char out[65]);

#endif
