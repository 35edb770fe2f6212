/* SPDX-License-Identifier: Apache-2.0
 * A hub's cache on disk, in the layout that Hugging Face's own programs read and write, and fetching into it.
 * Threads: the main thread.
 */
#ifndef SV_CLI_HUB_H
#define SV_CLI_HUB_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* "hf:OWNER/NAME[@REV][:FILE]"; rev "main" when not said, file NULL. */
typedef struct sv_hub_name {
    const char *repo, *rev, *file;
} sv_hub_name;
bool sv_hub_is_name(const char *text); /* begins with hf: */
sv_err sv_hub_parse(const char *text, sv_arena *a, sv_hub_name *out);

/* $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub, and the repository's folder in it. */
sv_err sv_hub_folder(const sv_hub_name *n, sv_arena *a, const char **out);
/* The snapshot (or its file) that a name stands for. SV_E_NOTFOUND: not fetched; the sentence has the line to type. */
sv_err sv_hub_find(const char *text, sv_arena *a, const char **out);

typedef struct sv_hub_opts {
    const char *const *include; /* patterns; n_include 0: what samsvar reads */
    uint32_t n_include;
    uint32_t stall_s; /* without a byte for so long, it is tried again */
    uint32_t tries;   /* of a file, without progress */
} sv_hub_opts;
typedef struct sv_hub_result {
    uint32_t n_file, n_fetched;
    uint64_t bytes; /* fetched */
    const char *path;
} sv_hub_result;
/* SV_E_UNSUPPORTED: built without libcurl. */
sv_err sv_hub_pull(const sv_hub_name *n, const sv_hub_opts *o, sv_arena *a, sv_hub_result *out);

/* hub_http.c: one request. The headers that the hub's protocol speaks of; texts owned by a, "" when not sent. */
typedef struct sv_hub_reply {
    long status;
    const char *commit, *etag, *linked_etag, *location, *error_code;
    uint64_t size, linked_size;
    bool has_size, has_linked_size, ranged; /* ranged: 206 */
    uint32_t retry_after_s;
} sv_hub_reply;
typedef struct sv_hub_http sv_hub_http;
sv_err sv_hub_http_open(const char *endpoint, uint32_t stall_s, sv_hub_http **out);
void sv_hub_http_close(sv_hub_http *h);
/* take gets the body (ranged tells it whether it is the rest or the whole); NULL: HEAD. A false from it ends the
 * transfer. Tokens go to the endpoint's host alone. SV_E_IO: no whole reply; what came before was taken. */
sv_err sv_hub_http_get(sv_hub_http *h, const char *url, uint64_t from,
                       bool (*take)(void *ctx, const sv_hub_reply *r, const void *data, size_t n), void *ctx,
                       sv_arena *a, sv_hub_reply *out);

#endif
