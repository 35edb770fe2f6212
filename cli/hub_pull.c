/* SPDX-License-Identifier: Apache-2.0
 * Fetching a repository: list, choose, fetch each file into blobs/ by its hash, link it into the snapshot, then move
 * the name to the commit. What is broken off goes on where it stopped; what does not have its hash is thrown away.
 */
#include <fnmatch.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/cmd.h"
#include "cli/hub.h"

#define MAX_LIST (16u << 20)
#define MAX_FILES 10000u
#define MAX_PATH 512u
#define MAX_REDIRECT 5u
#define LARGEST 50000000000ull

typedef struct pull {
    const sv_hub_name *n;
    const sv_hub_opts *o;
    sv_arena *a;
    sv_hub_http *http;
    const char *endpoint, *folder, *commit;
    sv_hub_result *out;
} pull;

static const char *const wanted[] = { "*.safetensors",
                                      "*.safetensors.index.json",
                                      "config.json",
                                      "generation_config.json",
                                      "tokenizer.json",
                                      "tokenizer_config.json",
                                      "special_tokens_map.json",
                                      "added_tokens.json",
                                      "vocab.json",
                                      "merges.txt",
                                      "chat_template.jinja",
                                      "chat_template.json",
                                      "adapter_config.json",
                                      "README.md",
                                      "LICENSE*",
                                      "LICENCE*" };

static bool is_wanted(const pull *p, const char *path)
{
    if (p->n->file != NULL)
        return strcmp(p->n->file, path) == 0;
    for (uint32_t i = 0; i < p->o->n_include; i++)
        if (fnmatch(p->o->include[i], path, 0) == 0)
            return true;
    if (p->o->n_include > 0)
        return false;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (fnmatch(wanted[i], path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

/* A path that a server sends must stay below the snapshot. */
static bool is_safe(const char *path)
{
    size_t n = strlen(path);
    if (n == 0 || n > MAX_PATH || path[0] == '/' || path[n - 1] == '/')
        return false;
    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/') {
        size_t m = strcspn(p, "/");
        if (m == 0 || (m == 1 && p[0] == '.') || (m == 2 && p[0] == '.' && p[1] == '.'))
            return false;
    }
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == '\\' || path[i] == 0x7f)
            return false;
    return true;
}

static const char *escaped(sv_arena *a, const char *path)
{
    sv_bytes b = { 0 };
    for (const char *p = path; *p; p++)
        sv_bytes_printf(&b, strchr("%?# \"<>+", *p) || (unsigned char)*p > 126 ? "%%%02X" : "%c", (unsigned char)*p);
    const char *out = sv_arena_text(a, b.p);
    sv_bytes_done(&b);
    return out;
}

/* ---- trying again ---- */

static bool is_passing(sv_err err, long status)
{
    return err == SV_E_IO || status == 408 || status == 429 || status >= 500;
}

static void nap(uint32_t try, const sv_hub_reply *r)
{
    poll(NULL, 0, r->retry_after_s > 0 ? (int)r->retry_after_s * 1000 : 250 << (try < 5 ? try : 5));
}

static sv_err refused(const pull *p, const char *what, const sv_hub_reply *r)
{
    if (strcmp(r->error_code, "GatedRepo") == 0)
        return sv_fail(SV_E_NOTFOUND, "%s asks you to accept its licence first: %s/%s; then set HF_TOKEN", p->n->repo,
                       p->endpoint, p->n->repo);
    if (r->status == 401 || r->status == 403)
        return sv_fail(SV_E_NOTFOUND, "%s: the hub answered %ld; a wrong name, or a token is needed (HF_TOKEN)", what,
                       r->status);
    if (r->status == 404)
        return sv_fail(SV_E_NOTFOUND, "%s is not there; check name, revision and file", what);
    return sv_fail(SV_E_IO, "%s: the hub answered %ld; try again later", what, r->status);
}

/* Follows redirects by hand; *url ends as the last one asked. */
static sv_err ask(pull *p, const char **url, uint64_t from,
                  bool (*take)(void *, const sv_hub_reply *, const void *, size_t), void *ctx, sv_hub_reply *r)
{
    for (uint32_t i = 0; i <= MAX_REDIRECT; i++) {
        SV_TRY(sv_hub_http_get(p->http, *url, from, take, ctx, p->a, r));
        if (r->status < 300 || r->status > 308 || r->location[0] == '\0')
            return SV_OK;
        if (r->location[0] == '/') {
            size_t n = strcspn(strstr(*url, "://") + 3, "/") + (size_t)(strstr(*url, "://") + 3 - *url);
            *url = sv_arena_printf(p->a, "%.*s%s", (int)n, *url, r->location);
        } else {
            *url = r->location;
        }
    }
    return sv_fail(SV_E_FORMAT, "%s: more than %u redirects", p->n->repo, MAX_REDIRECT);
}

/* ---- the list ---- */

static bool take_list(void *ctx, const sv_hub_reply *r, const void *data, size_t n)
{
    sv_bytes *b = ctx;
    if (r->status != 200)
        return true;
    sv_bytes_add(b, data, n);
    return b->n <= MAX_LIST;
}

static sv_err get_json(pull *p, const char *url, json_t **out)
{
    sv_hub_reply r = { 0 };
    sv_bytes text = { 0 };
    sv_err err = SV_OK;
    for (uint32_t i = 0; i < p->o->tries; i++) {
        const char *at = url;
        sv_bytes_clear(&text);
        err = ask(p, &at, 0, take_list, &text, &r);
        if (!is_passing(err, r.status))
            break;
        nap(i, &r);
    }
    if (err == SV_OK && r.status != 200)
        err = refused(p, p->n->repo, &r);
    static const sv_json_limits limits = { .max_bytes = MAX_LIST, .max_depth = 16 };
    if (err == SV_OK)
        err = sv_json_parse((sv_str){ text.p ? text.p : "", text.n }, &limits, "the hub's list", out);
    sv_bytes_done(&text);
    return err;
}

/* ---- hashes ---- */

/* 64 digits: SHA-256 of the bytes; 40: git's SHA-1 of "blob N\0" and the bytes. */
static bool has_hash(const char *path, const char *want)
{
    sv_file_map m;
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "", head[64];
    if (sv_file_map_open(path, &m) != SV_OK)
        return false;
    bool git = strlen(want) == 40;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_DigestInit_ex(c, git ? EVP_sha1() : EVP_sha256(), NULL);
    if (git)
        EVP_DigestUpdate(c, head, (size_t)snprintf(head, sizeof head, "blob %zu", m.n) + 1);
    EVP_DigestUpdate(c, m.p, m.n);
    EVP_DigestFinal_ex(c, sum, &n);
    EVP_MD_CTX_free(c);
    sv_file_map_close(&m);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return strcmp(hex, want) == 0;
}

static bool is_hash(const char *etag)
{
    size_t n = strlen(etag);
    return (n == 40 || n == 64) && strspn(etag, "0123456789abcdef") == n;
}

/* ---- one file ---- */

typedef struct part {
    pull *p;
    sv_file_log *file;
    const char *name;
    uint64_t size, from;
    bool begun, moved; /* moved: something came */
    sv_err err;
    char why[512];
} part;

static bool take_part(void *ctx, const sv_hub_reply *r, const void *data, size_t n)
{
    part *t = ctx;
    if (r->status != 200 && r->status != 206)
        return true;
    if (!t->begun && !r->ranged && t->from > 0) /* the server sends the whole again */
        t->err = sv_file_log_cut(t->file, 0);
    t->begun = true;
    if (t->err == SV_OK && sv_file_log_bytes(t->file) + n > t->size)
        t->err = sv_fail(SV_E_FORMAT, "%s: more bytes come than the %llu that were told", t->name,
                         (unsigned long long)t->size);
    if (t->err == SV_OK)
        t->err = sv_file_log_add(t->file, data, n);
    if (t->err != SV_OK)
        snprintf(t->why, sizeof t->why, "%s", sv_err_text());
    t->moved |= n > 0;
    t->p->out->bytes += n;
    sv_live("%s: %s of %s", t->name, sv_bytes_words((double)sv_file_log_bytes(t->file)),
            sv_bytes_words((double)t->size));
    return t->err == SV_OK && sv_interrupts == 0;
}

static sv_err fetch_part(pull *p, const char *name, const char *url, const char *path, uint64_t size)
{
    part t = { .p = p, .name = name, .size = size };
    sv_hub_reply r = { 0 };
    SV_TRY(sv_file_log_open(path, &t.file));
    if (sv_file_log_bytes(t.file) > size)
        t.err = sv_file_log_cut(t.file, 0);
    sv_err err = t.err;
    for (uint32_t i = 0; i < p->o->tries && err == SV_OK && sv_file_log_bytes(t.file) < size; i++) {
        const char *at = url;
        t.from = sv_file_log_bytes(t.file);
        t.begun = t.moved = false;
        err = ask(p, &at, t.from, take_part, &t, &r);
        if (t.err != SV_OK)
            err = sv_fail(t.err, "%s", t.why);
        else if (sv_interrupts > 0)
            err = sv_fail(SV_E_CANCELLED, "stopped; the same line goes on from here");
        else if (is_passing(err, r.status) && i + 1 < p->o->tries) {
            nap(i, &r);
            err = SV_OK;
            i = t.moved ? (uint32_t)-1 : i; /* progress: the count begins anew */
        } else if (err == SV_OK && r.status != 200 && r.status != 206)
            err = refused(p, name, &r);
    }
    if (err == SV_OK && sv_file_log_bytes(t.file) < size)
        err = sv_fail(SV_E_IO, "%s: %llu of %llu bytes came; the same line goes on from there", name,
                      (unsigned long long)sv_file_log_bytes(t.file), (unsigned long long)size);
    if (err == SV_OK)
        err = sv_file_log_sync(t.file);
    sv_file_log_close(t.file);
    sv_live_end();
    return err;
}

static sv_err need_room(const pull *p, uint64_t size)
{
    struct statvfs st;
    if (statvfs(p->folder, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < size)
        return sv_fail(SV_E_NOSPACE, "%s bytes are needed in %s, %s are free", sv_bytes_words((double)size), p->folder,
                       sv_bytes_words((double)st.f_bavail * (double)st.f_frsize));
    return SV_OK;
}

/* Wrong bytes: thrown away, and once more. */
static sv_err fetch_blob(pull *p, const char *name, const char *url, const char *etag, uint64_t size, const char *blob)
{
    const char *path = sv_arena_printf(p->a, "%s.incomplete", blob);
    SV_TRY(need_room(p, size));
    for (int i = 0; i < 2; i++) {
        sv_err err = size > 0 ? fetch_part(p, name, url, path, size) : sv_file_write(path, SV_STR(""));
        if (err == SV_E_FORMAT && i == 0) {
            SV_TRY(sv_file_remove_tree(path));
            continue;
        }
        SV_TRY(err);
        if (has_hash(path, etag)) {
            p->out->n_fetched++;
            return sv_file_rename(path, blob);
        }
        SV_TRY(sv_file_remove_tree(path));
    }
    return sv_fail(SV_E_FORMAT, "%s: what came twice does not have the hash %s that the hub told; try another network",
                   name, etag);
}

/* HEAD: commit, hash and length, told by the hub itself before it sends one elsewhere. */
static sv_err look(pull *p, const char *name, const char *rev, sv_hub_reply *r, const char **url)
{
    sv_err err = SV_OK;
    *url =
        sv_arena_printf(p->a, "%s/%s/resolve/%s/%s", p->endpoint, p->n->repo, escaped(p->a, rev), escaped(p->a, name));
    for (uint32_t i = 0, n_moved = 0; i < p->o->tries; i++) {
        err = sv_hub_http_get(p->http, *url, 0, NULL, NULL, p->a, r);
        if (err == SV_OK && r->status >= 300 && r->status <= 308 && r->location[0] == '/' && n_moved++ < MAX_REDIRECT) {
            *url = sv_arena_printf(p->a, "%s%s", p->endpoint, r->location); /* the repository has another name now */
            i--;
            continue;
        }
        if (!is_passing(err, r->status))
            break;
        nap(i, r);
    }
    SV_TRY(err);
    if (r->status >= 400)
        return refused(p, name, r);
    return SV_OK;
}

static sv_err link_blob(pull *p, const char *name, const char *etag)
{
    const char *at = sv_arena_printf(p->a, "%s/snapshots/%s/%s", p->folder, p->commit, name);
    sv_bytes to = { 0 };
    sv_bytes_text(&to, "../../");
    for (const char *s = name; *s; s++)
        if (*s == '/')
            sv_bytes_text(&to, "../");
    sv_bytes_printf(&to, "blobs/%s", etag);
    sv_err err = sv_file_mkdir(sv_path_dir(p->a, at));
    if (err == SV_OK) {
        const char *fresh = sv_arena_printf(p->a, "%s.link-%d", at, (int)getpid());
        if (symlink(to.p, fresh) != 0)
            err = sv_fail(SV_E_IO, "%s: a link cannot be made there", at);
        else
            err = sv_file_rename(fresh, at);
    }
    sv_bytes_done(&to);
    return err;
}

static sv_err fetch(pull *p, const char *name)
{
    sv_hub_reply r = { 0 };
    const char *url;
    SV_TRY(look(p, name, p->commit ? p->commit : p->n->rev, &r, &url));
    const char *etag = r.linked_etag[0] ? r.linked_etag : r.etag;
    uint64_t size = r.has_linked_size ? r.linked_size : r.size;
    if (strlen(r.commit) != 40 || strspn(r.commit, "0123456789abcdef") != 40 || !is_hash(etag) ||
        !(r.has_linked_size || r.has_size))
        return sv_fail(SV_E_FORMAT, "%s: the hub did not tell commit, hash and length; is HF_ENDPOINT a hub?", name);
    if (p->commit == NULL)
        p->commit = r.commit;
    if (strcmp(p->commit, r.commit) != 0)
        return sv_fail(SV_E_FORMAT, "%s is of commit %s, the files before it of %s", name, r.commit, p->commit);
    if (size > LARGEST)
        return sv_fail(SV_E_UNSUPPORTED, "%s has %s; files above 50 GB need another protocol", name,
                       sv_bytes_words((double)size));
    const char *blob = sv_arena_printf(p->a, "%s/blobs/%s", p->folder, etag);
    uint64_t have;
    if (!sv_file_exists(blob) || sv_file_bytes(blob, &have) != SV_OK || have != size)
        SV_TRY(fetch_blob(p, name, url, etag, size, blob));
    p->out->n_file++;
    return link_blob(p, name, etag);
}

static sv_err fetch_all(pull *p)
{
    json_t *list;
    uint32_t n = 0;
    SV_TRY(sv_file_mkdir(sv_path_join(p->a, p->folder, "blobs")));
    SV_TRY(sv_file_mkdir(sv_path_join(p->a, p->folder, "snapshots")));
    SV_TRY(get_json(p,
                    sv_arena_printf(p->a, "%s/api/models/%s/tree/%s?recursive=1", p->endpoint, p->n->repo,
                                    escaped(p->a, p->n->rev)),
                    &list));
    sv_err err = json_is_array(list) && json_array_size(list) <= MAX_FILES
                     ? SV_OK
                     : sv_fail(SV_E_FORMAT, "the hub's list is no list of at most %u files", MAX_FILES);
    for (size_t i = 0; err == SV_OK && i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        const char *type = json_string_value(sv_json_get(f, "type")), *path = json_string_value(sv_json_get(f, "path"));
        if (type == NULL || strcmp(type, "file") != 0 || path == NULL || !is_wanted(p, path))
            continue;
        if (!is_safe(path))
            err = sv_fail(SV_E_FORMAT, "the hub's list has the path %s, which may lie outside of the cache",
                          sv_str_quote(sv_str_of(path)));
        else
            err = fetch(p, path);
        n++;
    }
    json_decref(list);
    if (err == SV_OK && n == 0)
        err = sv_fail(SV_E_NOTFOUND, "%s has no file that is wanted here; name one: hf:%s:FILE, or --include GLOB",
                      p->n->repo, p->n->repo);
    return err;
}

sv_err sv_hub_pull(const sv_hub_name *n, const sv_hub_opts *o, sv_arena *a, sv_hub_result *out)
{
    const char *endpoint = getenv("HF_ENDPOINT"), *offline = getenv("HF_HUB_OFFLINE");
    pull p = { .n = n, .o = o, .a = a, .out = out };
    *out = (sv_hub_result){ 0 };
    if (offline != NULL && strcmp(offline, "0") != 0 && offline[0] != '\0')
        return sv_fail(SV_E_ARG, "HF_HUB_OFFLINE is set, so nothing is fetched");
    p.endpoint = endpoint && endpoint[0] ? endpoint : "https://huggingface.co";
    SV_TRY(sv_hub_folder(n, a, &p.folder));
    SV_TRY(sv_hub_http_open(p.endpoint, o->stall_s, &p.http));
    sv_err err = fetch_all(&p);
    sv_hub_http_close(p.http);
    SV_TRY(err);
    const char *ref = sv_arena_printf(a, "%s/refs/%s", p.folder, n->rev);
    SV_TRY(sv_file_mkdir(sv_path_dir(a, ref)));
    if (strcmp(n->rev, p.commit) != 0)
        SV_TRY(sv_file_write(ref, sv_str_of(p.commit)));
    out->path =
        sv_arena_printf(a, "%s/snapshots/%s%s%s", p.folder, p.commit, n->file ? "/" : "", n->file ? n->file : "");
    return SV_OK;
}
