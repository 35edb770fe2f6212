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

/* What a key may do: words behind it. */
static sv_err read_words(const char *path, size_t line, sv_str text, sv_key *out)
{
    while (text.n > 0) {
        size_t n = 0;
        while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t')) {
            text.p++;
            text.n--;
        }
        while (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
            n++;
        if (n == 5 && memcmp(text.p, "admin", 5) == 0)
            out->admin = true;
        else if (n == 5 && memcmp(text.p, "chats", 5) == 0)
            out->chats = true;
        else if (n > 0)
            return sv_fail(SV_E_ARG, "%s line %zu: a word behind the key is not known; allowed are admin and chats",
                           path, line);
        text.p += n;
        text.n -= n;
    }
    return SV_OK;
}

static sv_err read_line(const char *path, size_t line, sv_str text, sv_keys *out, size_t *cap)
{
    size_t n = 0;
    sv_key key = { 0 };
    while (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
        n++;
    if (n == 0 || text.p[0] == '#')
        return SV_OK;
    if (n < MIN_KEY || n > MAX_KEY)
        return sv_fail(SV_E_ARG, "%s line %zu: a key of %zu bytes; allowed are %u to %u", path, line, n, MIN_KEY,
                       MAX_KEY);
    SV_TRY(read_words(path, line, (sv_str){ text.p + n, text.n - n }, &key));
    sv_sha_of(text.p, n, key.sum);
    SV_PUSH(out->key, out->n, *cap, key);
    return SV_OK;
}

static sv_err read_lines(const char *path, sv_str text, sv_keys *out)
{
    size_t cap = 0, line = 0;
    while (text.n > 0) {
        size_t end = 0, next;
        while (end < text.n && text.p[end] != '\n')
            end++;
        next = end < text.n ? end + 1 : end;
        while (end > 0 && (text.p[end - 1] == '\r' || text.p[end - 1] == ' '))
            end--;
        SV_TRY(read_line(path, ++line, (sv_str){ text.p, end }, out, &cap));
        text.p += next;
        text.n -= next;
    }
    return out->n > 0 ? SV_OK : sv_fail(SV_E_ARG, "%s holds no key; write one a line", path);
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
    sv_mem_free(k->key);
    *k = (sv_keys){ 0 };
}

bool sv_keys_find(const sv_keys *k, const char *header, sv_key *out)
{
    uint8_t sum[32];
    uint32_t found = 0;
    *out = (sv_key){ 0 };
    if (k->n == 0)
        return true;
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    sv_sha_of(header + 7, strlen(header + 7), sum);
    for (uint32_t i = 0; i < k->n; i++)
        if (CRYPTO_memcmp(sum, k->key[i].sum, 32) == 0)
            found = i + 1;
    if (found > 0)
        *out = k->key[found - 1];
    return found > 0;
}

uint64_t sv_key_space(const sv_key *k)
{
    uint64_t space;
    memcpy(&space, k->sum, sizeof space);
    return space;
}
