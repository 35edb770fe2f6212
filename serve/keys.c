/* SPDX-License-Identifier: Apache-2.0
 * API keys.
 */
#include "serve/keys.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/sha.h"

#define MAX_FILE (1u << 20)
#define MIN_KEY 8u
#define MAX_KEY 256u

static sv_err read_lines(const char *path, sv_str text, sv_keys *out)
{
    size_t cap = 0, n = 0, line = 0;
    while (text.n > 0) {
        size_t end = 0, next;
        while (end < text.n && text.p[end] != '\n')
            end++;
        next = end < text.n ? end + 1 : end;
        line++;
        while (end > 0 && (text.p[end - 1] == '\r' || text.p[end - 1] == ' '))
            end--;
        if (end > 0 && text.p[0] != '#') {
            if (end < MIN_KEY || end > MAX_KEY)
                return sv_fail(SV_E_ARG, "%s line %zu: a key of %zu bytes; allowed are %u to %u", path, line, end,
                               MIN_KEY, MAX_KEY);
            if (n == cap) {
                out->sum = sv_mem_grow(out->sum, cap * 32, (cap ? 2 * cap : 8) * 32);
                cap = cap ? 2 * cap : 8;
            }
            sv_sha_of(text.p, end, out->sum[n++]);
            out->n = (uint32_t)n;
        }
        text.p += next;
        text.n -= next;
    }
    return n > 0 ? SV_OK : sv_fail(SV_E_ARG, "%s holds no key; write one a line", path);
}

sv_err sv_keys_load(const char *path, sv_keys *out)
{
    struct stat st;
    *out = (sv_keys){ 0 };
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return sv_fail(SV_E_ARG, "%s may be read by others (mode %03o); allowed is 600: chmod 600 %s", path,
                       (unsigned)(st.st_mode & 0777), path);
    sv_arena *a = sv_arena_make();
    sv_str text;
    sv_err err = sv_file_read(path, MAX_FILE, a, &text);
    if (err == SV_OK) {
        err = read_lines(path, text, out);
        OPENSSL_cleanse((void *)(uintptr_t)text.p, text.n);
    }
    sv_arena_drop(a);
    if (err != SV_OK)
        sv_keys_done(out);
    return err;
}

void sv_keys_done(sv_keys *k)
{
    sv_mem_free(k->sum);
    *k = (sv_keys){ 0 };
}

uint64_t sv_keys_space(const sv_keys *k, const char *header)
{
    uint8_t sum[32];
    uint64_t space = 0;
    if (k->n == 0 || header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
        return 0;
    sv_sha_of(header + 7, strlen(header + 7), sum);
    memcpy(&space, sum, sizeof space);
    return space;
}

bool sv_keys_allow(const sv_keys *k, const char *header)
{
    uint8_t sum[32];
    uint32_t found = 0;
    if (k->n == 0)
        return true;
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    sv_sha_of(header + 7, strlen(header + 7), sum);
    for (uint32_t i = 0; i < k->n; i++)
        found |= CRYPTO_memcmp(sum, k->sum[i], 32) == 0;
    return found != 0;
}
