/* SPDX-License-Identifier: Apache-2.0
 * Requests to a hub by libcurl. Redirects are followed by hand, so that a token never goes to another host.
 */
#include "cli/hub.h"

#ifdef SV_HAVE_CURL
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/str.h"

struct sv_hub_http {
    CURL *curl;
    char *endpoint, *token; /* token: "Authorization: Bearer ...", or NULL */
    bool plain;             /* http on this machine is allowed: the endpoint is so */
    uint32_t stall_s;
};

/* ---- the token: from the environment or from its file, never shown ---- */

static char *read_token(void)
{
    const char *text = getenv("HF_TOKEN"), *path = getenv("HF_TOKEN_PATH"), *home = getenv("HF_HOME"),
               *user = getenv("HOME");
    sv_arena *a = sv_arena_make();
    sv_str file;
    sv_bytes out = { 0 };
    if (text == NULL) {
        if (path == NULL && home != NULL)
            path = sv_path_join(a, home, "token");
        else if (path == NULL && user != NULL)
            path = sv_path_join(a, user, ".cache/huggingface/token");
        if (path != NULL && sv_file_exists(path) && sv_file_read(path, 4096, a, &file) == SV_OK)
            text = file.p;
    }
    size_t n = text ? strcspn(text, "\r\n ") : 0;
    if (n > 0)
        sv_bytes_printf(&out, "Authorization: Bearer %.*s", (int)n, text);
    sv_arena_drop(a);
    return out.p;
}

static bool is_local(const char *url)
{
    return strncmp(url, "http://127.0.0.1", 16) == 0 || strncmp(url, "http://localhost", 16) == 0 ||
           strncmp(url, "http://[::1]", 12) == 0;
}

sv_err sv_hub_http_open(const char *endpoint, uint32_t stall_s, sv_hub_http **out)
{
    if (strncmp(endpoint, "https://", 8) != 0 && !is_local(endpoint))
        return sv_fail(SV_E_ARG, "HF_ENDPOINT is %s; allowed: https, and http on this machine", endpoint);
    sv_hub_http *h = sv_mem_new(sizeof *h);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    h->curl = curl_easy_init();
    h->endpoint = sv_mem_text(endpoint);
    h->token = read_token();
    h->plain = is_local(endpoint);
    h->stall_s = stall_s;
    if (h->curl == NULL) {
        sv_hub_http_close(h);
        return sv_fail(SV_E_INTERNAL, "libcurl does not start");
    }
    *out = h;
    return SV_OK;
}

void sv_hub_http_close(sv_hub_http *h)
{
    if (h == NULL)
        return;
    curl_easy_cleanup(h->curl);
    sv_mem_free(h->endpoint);
    sv_mem_free(h->token);
    sv_mem_free(h);
}

/* ---- one transfer ---- */

typedef struct transfer {
    sv_hub_reply *r;
    sv_arena *a;
    bool (*take)(void *ctx, const sv_hub_reply *r, const void *data, size_t n);
    void *ctx;
    CURL *curl;
} transfer;

/* The value of a header line of that name, without quotes and W/, or NULL. */
static const char *value_of(transfer *t, const char *line, size_t n, const char *name)
{
    size_t m = strlen(name);
    if (n <= m || strncasecmp(line, name, m) != 0 || line[m] != ':')
        return NULL;
    line += m + 1;
    n -= m + 1;
    while (n > 0 && strchr(" \t", *line) != NULL) {
        line++;
        n--;
    }
    if (n > 2 && strncmp(line, "W/", 2) == 0) {
        line += 2;
        n -= 2;
    }
    while (n > 0 && strchr(" \r\n\t\"", line[n - 1]) != NULL)
        n--;
    if (n > 0 && *line == '"') {
        line++;
        n--;
    }
    return sv_arena_textn(t->a, line, n);
}

static size_t on_header(char *line, size_t one, size_t n, void *ctx)
{
    transfer *t = ctx;
    sv_hub_reply *r = t->r;
    const char *v;
    uint64_t x;
    n *= one;
    if ((v = value_of(t, line, n, "X-Repo-Commit")) != NULL)
        r->commit = v;
    else if ((v = value_of(t, line, n, "X-Linked-Etag")) != NULL)
        r->linked_etag = v;
    else if ((v = value_of(t, line, n, "ETag")) != NULL)
        r->etag = v;
    else if ((v = value_of(t, line, n, "Location")) != NULL)
        r->location = v;
    else if ((v = value_of(t, line, n, "X-Error-Code")) != NULL)
        r->error_code = v;
    else if ((v = value_of(t, line, n, "X-Linked-Size")) != NULL && sv_str_u64(sv_str_of(v), &r->linked_size))
        r->has_linked_size = true;
    else if ((v = value_of(t, line, n, "Content-Length")) != NULL && sv_str_u64(sv_str_of(v), &r->size))
        r->has_size = true;
    else if ((v = value_of(t, line, n, "Retry-After")) != NULL && sv_str_u64(sv_str_of(v), &x))
        r->retry_after_s = x < 60 ? (uint32_t)x : 60;
    return n;
}

static size_t on_body(char *data, size_t one, size_t n, void *ctx)
{
    transfer *t = ctx;
    n *= one;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->r->status);
    t->r->ranged = t->r->status == 206;
    return t->take(t->ctx, t->r, data, n) ? n : 0;
}

static bool same_host(const char *url, const char *endpoint)
{
    size_t n = strcspn(endpoint + 8, "/") + 8; /* https:// has 8, http:// 7: a slash more at most */
    return strncmp(url, endpoint, n) == 0 && (url[n] == '/' || url[n] == '\0');
}

sv_err sv_hub_http_get(sv_hub_http *h, const char *url, uint64_t from,
                       bool (*take)(void *ctx, const sv_hub_reply *r, const void *data, size_t n), void *ctx,
                       sv_arena *a, sv_hub_reply *out)
{
    char range[32];
    transfer t = { out, a, take, ctx, h->curl };
    *out = (sv_hub_reply){ .commit = "", .etag = "", .linked_etag = "", .location = "", .error_code = "" };
    curl_easy_reset(h->curl);
    struct curl_slist *list = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (h->token != NULL && same_host(url, h->endpoint))
        list = curl_slist_append(list, h->token);
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "samsvar");
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, h->plain ? "http,https" : "https");
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)h->stall_s);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (long)h->stall_s);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, &t);
    if (take == NULL) {
        curl_easy_setopt(h->curl, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &t);
    }
    if (from > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)from);
        curl_easy_setopt(h->curl, CURLOPT_RANGE, range);
    }
    CURLcode code = curl_easy_perform(h->curl);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &out->status);
    curl_slist_free_all(list);
    return code == CURLE_OK ? SV_OK
                            : sv_fail(SV_E_IO, "%.*s: %s", (int)strcspn(url, "?"), url, curl_easy_strerror(code));
}

#else
sv_err sv_hub_http_open(const char *endpoint, uint32_t stall_s, sv_hub_http **out)
{
    (void)endpoint;
    (void)stall_s;
    (void)out;
    return sv_fail(SV_E_UNSUPPORTED, "this samsvar was built without libcurl, so it fetches nothing; install "
                                     "libcurl4-openssl-dev and build again");
}
void sv_hub_http_close(sv_hub_http *h)
{
    (void)h;
}
sv_err sv_hub_http_get(sv_hub_http *h, const char *url, uint64_t from,
                       bool (*take)(void *ctx, const sv_hub_reply *r, const void *data, size_t n), void *ctx,
                       sv_arena *a, sv_hub_reply *out)
{
    (void)h;
    (void)url;
    (void)from;
    (void)take;
    (void)ctx;
    (void)a;
    (void)out;
    return sv_fail(SV_E_UNSUPPORTED, "built without libcurl");
}
#endif
