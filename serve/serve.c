/* SPDX-License-Identifier: Apache-2.0
 * Routes, replies, and the server's life from start to drain.
 */
#include "serve/serve.h"

#include <openssl/rand.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "serve/replay.h"
#include "serve/serve_impl.h"

#define MAX_BODY (4u << 20)
#define MAX_PEM (1u << 20)

/* ---- replies ---- */

json_t *sv_json_text_of(sv_str s)
{
    json_t *o = json_stringn(s.n ? s.p : "", s.n);
    if (o != NULL)
        return o;
    sv_bytes out = { 0 };
    for (size_t at = 0, used; at < s.n; at += used) {
        uint32_t cp = sv_utf8_next(s.p + at, s.n - at, &used);
        sv_bytes_add(&out, cp == SV_UTF8_BAD ? "\xef\xbf\xbd" : s.p + at, cp == SV_UTF8_BAD ? 3 : used);
    }
    o = json_stringn(out.p ? out.p : "", out.n);
    sv_bytes_done(&out);
    return o;
}

static int add_bytes(const char *p, size_t n, void *ctx)
{
    sv_bytes_add(ctx, p, n);
    return 0;
}

void sv_json_print(const json_t *o, size_t flags, sv_bytes *out)
{
    json_dump_callback(o, add_bytes, out, JSON_COMPACT | flags);
}

static const char *type_of(unsigned status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "unavailable_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void sv_error_body(unsigned status, const char *param, const char *code, const char *message, sv_bytes *out)
{
    json_t *o = json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message", sv_json_text_of(sv_str_of(message)), "type",
                          type_of(status), "param", param, "code", code);
    sv_json_print(o, 0, out);
    json_decref(o);
}

void sv_count_status(sv_serve *s, unsigned status)
{
    __atomic_fetch_add(&s->status[status / 100 < 6 ? status / 100 : 5], 1, __ATOMIC_RELAXED);
}

void sv_reply_fault(sv_serve *s, sv_http_request *r, unsigned status, const char *param, const char *code,
                    const char *message)
{
    sv_bytes body = { 0 };
    sv_count_status(s, status);
    sv_error_body(status, param, code, message, &body);
    if (status == 429 || status == 503)
        sv_http_add_header(r, "Retry-After", "1");
    if (status == 401)
        sv_http_add_header(r, "WWW-Authenticate", "Bearer");
    sv_http_reply(r, status, "application/json", (sv_str){ body.p, body.n });
    sv_bytes_done(&body);
}

void sv_reply_error(sv_serve *s, sv_http_request *r, sv_err err, const char *param)
{
    const char *code = err == SV_E_LIMIT && param != NULL ? "context_length_exceeded" : NULL;
    unsigned status = 400;
    switch (err) {
    case SV_E_NOTFOUND:
        status = 404;
        code = "model_not_found";
        break;
    case SV_E_BUSY:
        status = 429;
        param = NULL;
        break;
    case SV_E_NOMEM:
        status = 503;
        break;
    case SV_E_CHIP:
    case SV_E_INTERNAL:
    case SV_E_IO:
        status = 500;
        break;
    default:
        break;
    }
    sv_reply_fault(s, r, status, param, code, sv_err_text());
}

void sv_reply_json(sv_serve *s, sv_http_request *r, unsigned status, json_t *o)
{
    sv_bytes text = { 0 };
    sv_json_print(o, 0, &text);
    sv_count_status(s, status);
    sv_http_reply(r, status, "application/json", (sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    json_decref(o);
}

void sv_random_word(char out[25])
{
    static const char letter[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t b[24];
    SV_ASSERT(RAND_bytes(b, sizeof b) == 1);
    for (uint32_t i = 0; i < 24; i++)
        out[i] = letter[b[i] & 31];
    out[24] = '\0';
}

uint64_t sv_random_seed(void)
{
    uint64_t x;
    SV_ASSERT(RAND_bytes((uint8_t *)&x, sizeof x) == 1);
    return x >> 11;
}

/* ---- endpoints ---- */

static void health(sv_serve *s, sv_http_request *r)
{
    bool ready = __atomic_load_n(&s->ready, __ATOMIC_ACQUIRE);
    if (ready && !__atomic_load_n(&s->draining, __ATOMIC_ACQUIRE)) {
        sv_http_reply(r, 200, "application/json", SV_STR("{\"status\":\"ok\"}"));
        return;
    }
    json_t *o = json_pack("{s:{s:i, s:s, s:s}}", "error", "code", 503, "message", ready ? "Draining" : "Loading model",
                          "type", "unavailable_error");
    sv_bytes text = { 0 };
    sv_json_print(o, 0, &text);
    sv_http_add_header(r, "Retry-After", "1");
    sv_http_reply(r, 503, "application/json", (sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    json_decref(o);
}

/* ---- which model ---- */

sv_served *sv_served_of(sv_serve *s, const char *name, bool *nothink, bool *known)
{
    sv_served *h = sv_models_find(s->models, name, nothink);
    *known = h != NULL;
    if (h == NULL)
        h = sv_models_find(s->models, NULL, nothink);
    return h;
}

sv_served *sv_served_of_body(sv_serve *s, sv_str body, bool *nothink, bool *known)
{
    json_t *o = NULL;
    if (!sv_models_is_single(s->models) && sv_ask_json(body, &o) != SV_OK)
        o = NULL; /* the sentence comes from who reads the body whole */
    sv_served *h = sv_served_of(s, o ? json_string_value(sv_json_get(o, "model")) : NULL, nothink, known);
    json_decref(o);
    return h;
}

sv_err sv_no_such_model(sv_serve *s, const char *name)
{
    sv_bytes list = { 0 };
    sv_models_names(s->models, &list);
    sv_err err = sv_fail(SV_E_NOTFOUND, "there is no model %s here; there is %s",
                         name ? sv_str_quote(sv_str_of(name)) : "loaded", list.p);
    sv_bytes_done(&list);
    return err;
}

/* For endpoints whose only use of the model is its tokenizer and template. NULL: a reply has been sent. */
static sv_served *need_host(sv_serve *s, sv_http_request *r)
{
    bool nothink, known;
    sv_served *h = sv_served_of_body(s, sv_http_body(r), &nothink, &known);
    if (h != NULL && known)
        return h;
    sv_served_put(h);
    sv_reply_fault(s, r, 404, "model", "model_not_found", "there is no such model here; GET /v1/models lists them");
    return NULL;
}

static void tokenize(sv_serve *s, sv_http_request *r)
{
    json_t *o;
    sv_ids ids = { 0 };
    sv_served *h = need_host(s, r);
    if (h == NULL)
        return;
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    const char *param = NULL;
    if (err == SV_OK) {
        const json_t *text = sv_json_get(o, "content");
        text = text ? text : sv_json_get(o, "prompt");
        param = "content";
        if (!json_is_string(text))
            err = sv_fail(SV_E_ARG, "content is missing or no text; it is the text to make tokens of");
        else
            err = sv_tokenizer_encode_plain(h->model->tokenizer,
                                            (sv_str){ json_string_value(text), json_string_length(text) }, false, &ids);
        json_decref(o);
    }
    if (err != SV_OK) {
        sv_reply_error(s, r, sv_served_fail(h, err), param);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < ids.n; i++)
            json_array_append_new(list, json_integer(ids.id[i]));
        sv_reply_json(s, r, 200, json_pack("{s:o, s:I}", "tokens", list, "count", (json_int_t)ids.n));
    }
    sv_ids_done(&ids);
    sv_served_put(h);
}

static sv_err read_ids(const sv_served *h, const json_t *list, sv_ids *ids)
{
    if (!json_is_array(list))
        return sv_fail(SV_E_ARG, "tokens is missing or no list; it is the list of token ids");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= h->rules.n_vocab)
            return sv_fail(SV_E_ARG, "tokens[%zu] is no token id; allowed: whole numbers from 0 to %u", i,
                           h->rules.n_vocab - 1);
        SV_PUSH(ids->id, ids->n, ids->cap, (uint32_t)json_integer_value(v));
    }
    return SV_OK;
}

static void detokenize(sv_serve *s, sv_http_request *r)
{
    json_t *o;
    sv_ids ids = { 0 };
    sv_served *h = need_host(s, r);
    if (h == NULL)
        return;
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    const char *param = NULL;
    if (err == SV_OK) {
        param = "tokens";
        err = read_ids(h, sv_json_get(o, "tokens"), &ids);
        json_decref(o);
    }
    if (err != SV_OK) {
        sv_reply_error(s, r, sv_served_fail(h, err), param);
    } else {
        sv_bytes text = { 0 };
        sv_tokenizer_decode(h->model->tokenizer, ids.id, ids.n, true, &text);
        sv_str v = { text.p ? text.p : "", text.n };
        sv_reply_json(s, r, 200, json_pack("{s:o, s:o}", "content", sv_json_text_of(v), "prompt", sv_json_text_of(v)));
        sv_bytes_done(&text);
    }
    sv_ids_done(&ids);
    sv_served_put(h);
}

static void apply_template(sv_serve *s, sv_http_request *r)
{
    sv_ask ask;
    sv_ids ids = { 0 };
    sv_marked text = { 0 };
    bool in_thought;
    sv_served *h = need_host(s, r);
    if (h == NULL)
        return;
    sv_err err = sv_ask_parse(sv_http_body(r), true, &h->rules, &ask);
    if (err == SV_OK)
        err = sv_render(h, &ask, &text, &ids, &in_thought);
    if (err != SV_OK)
        sv_reply_error(s, r, sv_served_fail(h, err), ask.param);
    else
        sv_reply_json(s, r, 200,
                      json_pack("{s:o, s:I}", "prompt",
                                sv_json_text_of((sv_str){ text.text.p ? text.text.p : "", text.text.n }), "count",
                                (json_int_t)ids.n));
    sv_marked_done(&text);
    sv_ids_done(&ids);
    sv_ask_done(&ask);
    sv_served_put(h);
}

static void metrics(sv_serve *s, sv_http_request *r)
{
    sv_bytes out = { 0 };
    sv_served **all;
    uint32_t n = sv_models_all(s->models, &all);
    sv_metrics *m = sv_mem_new((n + 1) * sizeof *m);
    const char **id = sv_mem_new((n + 1) * sizeof *id);
    for (uint32_t i = 0; i < n; i++) {
        sv_work_metrics(all[i]->work, &m[i]);
        id[i] = all[i]->id;
    }
    sv_metrics_print(m, id, n, s->status, s->o.version ? s->o.version : "", &out);
    for (uint32_t i = 0; i < n; i++)
        sv_served_put(all[i]);
    sv_mem_free(id);
    sv_mem_free(m);
    sv_mem_free(all);
    sv_http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", (sv_str){ out.p, out.n });
    sv_bytes_done(&out);
}

static void chat(sv_serve *s, sv_http_request *r)
{
    sv_complete(s, r, true);
}
static void completion(sv_serve *s, sv_http_request *r)
{
    sv_complete(s, r, false);
}

/* ---- routes ---- */

typedef struct route {
    const char *method, *path;
    void (*fn)(sv_serve *s, sv_http_request *r);
} route;

static const route routes[] = {
    { "POST", "/v1/chat/completions", chat },
    { "POST", "/chat/completions", chat },
    { "POST", "/v1/completions", completion },
    { "POST", "/completions", completion },
    { "POST", "/v1/responses", sv_respond },
    { "POST", "/responses", sv_respond },
    { "GET", "/v1/models", sv_api_models },
    { "GET", "/models", sv_api_models },
    { "GET", "/samsvar/models", sv_api_admin_list },
    { "GET", "/samsvar/page", sv_api_page },
    { "POST", "/samsvar/prove", sv_api_prove },
    { "POST", "/tokenize", tokenize },
    { "POST", "/detokenize", detokenize },
    { "POST", "/apply-template", apply_template },
    { "GET", "/metrics", metrics },
};

static const char not_found[] = "no such path; there are /, /health, /metrics, /v1/models, /samsvar/models, "
                                "/samsvar/chats, /samsvar/prove, /v1/chat/completions, /v1/completions, "
                                "/v1/responses, /tokenize, /detokenize and /apply-template";

/* The page's own files need no key: they hold nothing of anybody. */
static bool reply_page(sv_http_request *r)
{
    static const char rules[] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                                "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    const char *type;
    size_t n;
    const char *text = sv_page(sv_http_path(r), &type, &n);
    if (text == NULL || strcmp(sv_http_method(r), "GET") != 0)
        return false;
    sv_http_add_header(r, "Content-Security-Policy", rules);
    sv_http_add_header(r, "Cache-Control", "no-cache");
    sv_http_reply(r, 200, type, (sv_str){ text, n });
    return true;
}

static bool is_json_type(const char *type)
{
    return type != NULL && strncasecmp(type, "application/json", 16) == 0 &&
           (type[16] == '\0' || type[16] == ';' || type[16] == ' ');
}

static void run_route(sv_serve *s, sv_http_request *r, const route *at)
{
    if (!__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE))
        sv_reply_fault(s, r, 503, NULL, NULL, "the model is being loaded; try again in a second");
    else if (at->method[0] == 'P' && __atomic_load_n(&s->draining, __ATOMIC_ACQUIRE))
        sv_reply_fault(s, r, 503, NULL, NULL, "the server is about to stop; ask another one");
    else if (at->method[0] == 'P' && !is_json_type(sv_http_header(r, "Content-Type")))
        sv_reply_fault(s, r, 415, NULL, NULL, "the Content-Type must be application/json");
    else
        at->fn(s, r);
}

static void handle(void *ctx, sv_http_request *r)
{
    sv_serve *s = ctx;
    const char *path = sv_http_path(r), *method = sv_http_method(r);
    bool path_known = false;
    if (strcmp(path, "/health") == 0 || strcmp(path, "/v1/health") == 0) {
        health(s, r);
        return;
    }
    if (reply_page(r))
        return;
    sv_key key;
    if (!sv_key_of(s, r, &key)) {
        sv_reply_fault(s, r, 401, NULL, "invalid_api_key", "an API key is needed: Authorization: Bearer KEY");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        path_known = true;
        if (strcmp(routes[i].method, method) == 0) {
            run_route(s, r, &routes[i]);
            return;
        }
    }
    if (strncmp(path, "/samsvar/chats", 14) == 0 && (path[14] == '/' || path[14] == '\0')) {
        if (strcmp(method, "PUT") == 0 && !is_json_type(sv_http_header(r, "Content-Type")))
            sv_reply_fault(s, r, 415, NULL, NULL, "the Content-Type must be application/json");
        else
            sv_api_chats(s, r, path + 14);
        return;
    }
    if (strncmp(path, "/v1/models/", 11) == 0 && strcmp(method, "GET") == 0 &&
        __atomic_load_n(&s->ready, __ATOMIC_ACQUIRE))
        sv_api_model(s, r, path + 11);
    else if (strncmp(path, "/samsvar/models/", 16) == 0 && strcmp(method, "POST") == 0)
        sv_api_admin(s, r, path + 16);
    else
        sv_reply_fault(s, r, path_known ? 405 : 404, NULL, NULL,
                       path_known ? "this path has another method" : not_found);
}

static void fault(void *ctx, unsigned status, const char *message, sv_bytes *out)
{
    (void)ctx;
    sv_error_body(status, NULL, NULL, message, out);
}

/* ---- life ---- */

static sv_err read_pem(sv_serve *s, const char *path, const char **out)
{
    sv_str text;
    SV_TRY(sv_file_read(path, MAX_PEM, s->arena, &text));
    *out = text.p;
    return SV_OK;
}

static sv_err check_open(const sv_serve_opts *o, const char *host)
{
    if ((o->tls_cert == NULL) != (o->tls_key == NULL))
        return sv_fail(SV_E_ARG, "--tls-cert and --tls-key belong together; give both");
    if (sv_http_is_loopback(host))
        return SV_OK;
    if (o->api_keys == NULL)
        return sv_fail(SV_E_ARG, "%s can be reached by others, so keys are needed: --api-keys FILE", host);
    if (o->tls_cert == NULL && !o->behind_proxy)
        return sv_fail(SV_E_ARG,
                       "%s can be reached by others, so keys would travel in the open: give --tls-cert and --tls-key, "
                       "or --behind-proxy when a proxy does TLS",
                       host);
    return SV_OK;
}

static sv_err start(sv_serve *s)
{
    static const char *const headers[] = {
        "X-Content-Type-Options", "nosniff", "X-Frame-Options", "DENY", "Referrer-Policy", "no-referrer", NULL
    };
    const sv_serve_opts *o = &s->o;
    sv_http_opts h = { .host = o->host ? o->host : "127.0.0.1",
                       .port = o->port,
                       .max_body = o->max_body ? o->max_body : MAX_BODY,
                       .header = headers,
                       .handler = handle,
                       .fault = fault,
                       .ctx = s };
    SV_TRY(check_open(o, h.host));
    h.check_host = sv_http_is_loopback(h.host) && !o->behind_proxy;
    if (o->api_keys != NULL) {
        SV_TRY(sv_keys_load(o->api_keys, &s->keys));
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no key, and no prompt, in a core dump */
    }
    if (o->tls_cert != NULL) {
        SV_TRY(read_pem(s, o->tls_cert, &h.cert));
        SV_TRY(read_pem(s, o->tls_key, &h.key));
    }
    if (o->chats != NULL)
        SV_TRY(sv_chats_open(o->chats, o->chats_bytes, &s->chats));
    return sv_http_start(&h, &s->http);
}

/* The fingerprint is there: answers that wait for it go out. */
static void on_hashed(void *ctx)
{
    sv_serve *s = ctx;
    sv_http_wake_all(s->http);
}

static void host_opts(sv_serve *s, sv_served_opts *o)
{
    *o = (sv_served_opts){
        .model = s->o.model, .engine = s->o.engine, .max_queue = s->o.max_queue, .hashed = on_hashed, .ctx = s
    };
}

sv_err sv_serve_start(const sv_serve_opts *opts, sv_serve **out)
{
    sv_serve *s = sv_mem_new(sizeof *s);
    s->o = *opts;
    s->arena = sv_arena_make();
    s->replay = sv_replay_make(SV_REPLAY_BYTES);
    s->created = sv_clock_unix();
    pthread_mutex_init(&s->lock, NULL);
    sv_served_opts ho;
    host_opts(s, &ho);
    sv_err err = sv_models_start(&ho, &s->models);
    if (err == SV_OK)
        err = start(s);
    if (err != SV_OK) {
        sv_serve_stop(s);
        return err;
    }
    *out = s;
    return SV_OK;
}

sv_err sv_serve_ready(sv_serve *s, const sv_model *m, sv_engine *e, uint32_t max_running)
{
    sv_served_opts o;
    sv_served *h;
    host_opts(s, &o);
    SV_TRY(sv_served_make(s->o.id, m, e, max_running, &o, &h));
    sv_err err = sv_models_add_served(s->models, h);
    if (err != SV_OK) {
        sv_served_close(h);
        return err;
    }
    __atomic_store_n(&s->ready, true, __ATOMIC_RELEASE);
    return SV_OK;
}

sv_err sv_serve_open(sv_serve *s, const char *const *id, const char *const *path, size_t n)
{
    for (size_t i = 0; i < n; i++)
        SV_TRY(sv_models_add(s->models, id[i], path[i]));
    for (size_t i = 0; i < n; i++)
        SV_TRY(sv_models_load_now(s->models, id[i]));
    __atomic_store_n(&s->ready, true, __ATOMIC_RELEASE);
    return SV_OK;
}

sv_err sv_serve_reload(sv_serve *s, const char *const *id, const char *const *path, size_t n)
{
    if (s->o.api_keys != NULL) {
        sv_keys fresh, old;
        SV_TRY(sv_keys_load(s->o.api_keys, &fresh));
        pthread_mutex_lock(&s->lock);
        old = s->keys;
        s->keys = fresh;
        pthread_mutex_unlock(&s->lock);
        sv_keys_done(&old);
    }
    return id != NULL ? sv_models_set(s->models, id, path, n) : SV_OK;
}

bool sv_key_of(sv_serve *s, const sv_http_request *r, sv_key *out)
{
    pthread_mutex_lock(&s->lock);
    bool found = sv_keys_find(&s->keys, sv_http_header(r, "Authorization"), out);
    pthread_mutex_unlock(&s->lock);
    return found;
}

uint16_t sv_serve_port(const sv_serve *s)
{
    return sv_http_port(s->http);
}

bool sv_serve_drain(sv_serve *s, double seconds)
{
    double end = sv_clock_s() + seconds;
    __atomic_store_n(&s->draining, true, __ATOMIC_RELEASE);
    while (sv_http_active(s->http) > 0 && sv_clock_s() < end)
        poll(NULL, 0, 20);
    return sv_http_active(s->http) == 0;
}

void sv_serve_stop(sv_serve *s)
{
    if (s == NULL)
        return;
    __atomic_store_n(&s->draining, true, __ATOMIC_RELEASE);
    __atomic_store_n(&s->stopping, true, __ATOMIC_RELAXED);
    if (s->models != NULL)
        sv_models_fail_all(s->models, "the server was stopped");
    sv_http_stop(s->http);
    sv_models_stop(s->models);
    sv_chats_close(s->chats);
    sv_replay_drop(s->replay);
    sv_keys_done(&s->keys);
    pthread_mutex_destroy(&s->lock);
    sv_arena_drop(s->arena);
    sv_mem_free(s);
}
