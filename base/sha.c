/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 by libcrypto.
 */
#include "base/sha.h"

#include <openssl/evp.h>

#include <stdbool.h>

#include "base/err.h"

/* sv_sha is libcrypto's own state under our name: there is nothing to add to it. */
static EVP_MD_CTX *ctx_of(sv_sha *s)
{
    return (EVP_MD_CTX *)(void *)s;
}

sv_sha *sv_sha_make(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    SV_ASSERT(c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1);
    return (sv_sha *)(void *)c;
}

void sv_sha_add(sv_sha *s, const void *data, size_t n)
{
    bool done = n == 0 || EVP_DigestUpdate(ctx_of(s), data, n) == 1;
    SV_ASSERT(done);
}

void sv_sha_end(sv_sha *s, uint8_t out[32])
{
    bool done = EVP_DigestFinal_ex(ctx_of(s), out, NULL) == 1;
    SV_ASSERT(done);
    EVP_MD_CTX_free(ctx_of(s));
}

void sv_sha_drop(sv_sha *s)
{
    EVP_MD_CTX_free(ctx_of(s));
}

void sv_sha_of(const void *data, size_t n, uint8_t out[32])
{
    sv_sha *s = sv_sha_make();
    sv_sha_add(s, data, n);
    sv_sha_end(s, out);
}

void sv_sha_hex(const uint8_t sum[32], char out[65])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[64] = '\0';
}
