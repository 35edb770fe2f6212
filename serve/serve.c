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
#include "base/sha.h"
#include "samsvar/chip.h"
#include "serve/serve_impl.h"

#define MAX_BODY (4u << 20)
#define MAX_QUEUE 256u
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

static void count(sv_serve *s, unsigned status)
{
    if (__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE))
        sv_work_count_status(s->work, status);
}

void sv_reply_fault(sv_serve *s, sv_http_request *r, unsigned status, const char *param, const char *code,
                    const char *message)
{
    sv_bytes body = { 0 };
    count(s, status);
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
    count(s, status);
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

static json_t *model_json(const sv_serve *s, const char *suffix)
{
    sv_bytes id = { 0 };
    sv_bytes_printf(&id, "%s%s", s->o.id, suffix);
    json_t *meta =
        json_pack("{s:i, s:i, s:I, s:s}", "n_ctx_train", (int)s->model->config.n_ctx, "n_vocab", (int)s->rules.n_vocab,
                  "n_params", (json_int_t)sv_model_params(s->model), "fingerprint", s->fingerprint);
    json_t *o = json_pack("{s:o, s:s, s:I, s:s, s:i, s:o}", "id", sv_json_text_of((sv_str){ id.p, id.n }), "object",
                          "model", "created", (json_int_t)s->created, "owned_by", "samsvar", "max_model_len",
                          (int)s->rules.n_ctx, "meta", meta);
    sv_bytes_done(&id);
    return o;
}

static void models(sv_serve *s, sv_http_request *r)
{
    json_t *list = json_pack("[o]", model_json(s, ""));
    if (s->model->chat_template != NULL)
        json_array_append_new(list, model_json(s, ":nothink"));
    sv_reply_json(s, r, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

static void one_model(sv_serve *s, sv_http_request *r, const char *id)
{
    size_t n = strlen(s->o.id);
    bool same = strncmp(id, s->o.id, n) == 0;
    if (same && (id[n] == '\0' || strcmp(id + n, ":nothink") == 0))
        sv_reply_json(s, r, 200, model_json(s, id + n));
    else
        sv_reply_fault(s, r, 404, "model", "model_not_found", "there is no such model here; GET /v1/models lists them");
}

static void tokenize(sv_serve *s, sv_http_request *r)
{
    json_t *o;
    sv_ids ids = { 0 };
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    const char *param = NULL;
    if (err == SV_OK) {
        const json_t *text = sv_json_get(o, "content");
        text = text ? text : sv_json_get(o, "prompt");
        param = "content";
        if (!json_is_string(text))
            err = sv_fail(SV_E_ARG, "content is missing or no text; it is the text to make tokens of");
        else
            err = sv_tokenizer_encode_plain(s->model->tokenizer,
                                            (sv_str){ json_string_value(text), json_string_length(text) }, false, &ids);
        json_decref(o);
    }
    if (err != SV_OK) {
        sv_reply_error(s, r, err, param);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < ids.n; i++)
            json_array_append_new(list, json_integer(ids.id[i]));
        sv_reply_json(s, r, 200, json_pack("{s:o, s:I}", "tokens", list, "count", (json_int_t)ids.n));
    }
    sv_ids_done(&ids);
}

static sv_err read_ids(const sv_serve *s, const json_t *list, sv_ids *ids)
{
    if (!json_is_array(list))
        return sv_fail(SV_E_ARG, "tokens is missing or no list; it is the list of token ids");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= s->rules.n_vocab)
            return sv_fail(SV_E_ARG, "tokens[%zu] is no token id; allowed: whole numbers from 0 to %u", i,
                           s->rules.n_vocab - 1);
        SV_PUSH(ids->id, ids->n, ids->cap, (uint32_t)json_integer_value(v));
    }
    return SV_OK;
}

static void detokenize(sv_serve *s, sv_http_request *r)
{
    json_t *o;
    sv_ids ids = { 0 };
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    const char *param = NULL;
    if (err == SV_OK) {
        param = "tokens";
        err = read_ids(s, sv_json_get(o, "tokens"), &ids);
        json_decref(o);
    }
    if (err != SV_OK) {
        sv_reply_error(s, r, err, param);
    } else {
        sv_bytes text = { 0 };
        sv_tokenizer_decode(s->model->tokenizer, ids.id, ids.n, true, &text);
        sv_str v = { text.p ? text.p : "", text.n };
        sv_reply_json(s, r, 200, json_pack("{s:o, s:o}", "content", sv_json_text_of(v), "prompt", sv_json_text_of(v)));
        sv_bytes_done(&text);
    }
    sv_ids_done(&ids);
}

static void apply_template(sv_serve *s, sv_http_request *r)
{
    sv_ask ask;
    sv_ids ids = { 0 };
    sv_marked text = { 0 };
    bool in_thought;
    sv_err err = sv_ask_parse(sv_http_body(r), true, &s->rules, &ask);
    if (err == SV_OK)
        err = sv_render(s, &ask, &text, &ids, &in_thought);
    if (err != SV_OK)
        sv_reply_error(s, r, err, ask.param);
    else
        sv_reply_json(s, r, 200,
                      json_pack("{s:o, s:I}", "prompt",
                                sv_json_text_of((sv_str){ text.text.p ? text.text.p : "", text.text.n }), "count",
                                (json_int_t)ids.n));
    sv_marked_done(&text);
    sv_ids_done(&ids);
    sv_ask_done(&ask);
}

static void metrics(sv_serve *s, sv_http_request *r)
{
    sv_metrics m;
    sv_bytes out = { 0 };
    sv_work_metrics(s->work, &m);
    sv_metrics_print(&m, s->o.id, s->o.version ? s->o.version : "", &out);
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
    { "GET", "/v1/models", models },
    { "GET", "/models", models },
    { "POST", "/tokenize", tokenize },
    { "POST", "/detokenize", detokenize },
    { "POST", "/apply-template", apply_template },
    { "GET", "/metrics", metrics },
};

static const char not_found[] = "no such path; there are /, /health, /metrics, /v1/models, /v1/chat/completions, "
                                "/v1/completions, /tokenize, /detokenize and /apply-template";

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
    if (!sv_keys_allow(&s->keys, sv_http_header(r, "Authorization"))) {
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
    if (strncmp(path, "/v1/models/", 11) == 0 && strcmp(method, "GET") == 0 &&
        __atomic_load_n(&s->ready, __ATOMIC_ACQUIRE))
        one_model(s, r, path + 11);
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
    return sv_http_start(&h, &s->http);
}

sv_err sv_serve_start(const sv_serve_opts *opts, sv_serve **out)
{
    sv_serve *s = sv_mem_new(sizeof *s);
    s->o = *opts;
    s->arena = sv_arena_make();
    s->created = sv_clock_unix();
    sv_err err = start(s);
    if (err != SV_OK) {
        sv_serve_stop(s);
        return err;
    }
    *out = s;
    return SV_OK;
}

static void line(sv_sha *s, const char *name, const uint8_t sum[32])
{
    char hex[65];
    sv_sha_hex(sum, hex);
    sv_sha_add(s, name, strlen(name));
    sv_sha_add(s, " ", 1);
    sv_sha_add(s, hex, 64);
    sv_sha_add(s, "\n", 1);
}

static void add_text(sv_sha *s, const char *text)
{
    sv_sha_add(s, text, strlen(text));
}

/* All that an answer's ids depend on beside the request: two servers of one fingerprint give the same. */
static void make_fingerprint(const sv_model *m, char out[32])
{
    uint8_t sum[32];
    char hex[65];
    sv_bytes opset = { 0 };
    sv_sha *s = sv_sha_make();
    add_text(s, "samsvar-fingerprint/1\n");
    sv_model_weights_hash(m, sum);
    line(s, "weights", sum);
    json_t *config = sv_config_json(&m->config);
    sv_bytes text = { 0 };
    sv_json_print(config, JSON_SORT_KEYS, &text);
    sv_sha_of(text.p, text.n, sum);
    line(s, "config", sum);
    sv_bytes_done(&text);
    json_decref(config);
    sv_tokenizer_hash(m->tokenizer, sum);
    line(s, "tokenizer", sum);
    sv_str source = m->chat_template ? sv_template_source(m->chat_template) : SV_STR("");
    sv_sha_of(source.p, source.n, sum);
    line(s, "template", sum);
    sv_bytes_printf(&opset, "adapter none\nopset %d\n", SV_OPSET);
    add_text(s, opset.p);
    add_text(s, m->n_dequantised > 0 ? "numerics f32-v1\n" : "numerics block-v1\n");
    add_text(s, "kv f32\nsampler 1\n");
    sv_sha_end(s, sum);
    sv_sha_hex(sum, hex);
    memcpy(out, "sv1-", 4);
    memcpy(out + 4, hex, 16);
    out[20] = '\0';
    sv_bytes_done(&opset);
}

static sv_sampling defaults_of(const sv_gen_defaults *d)
{
    sv_sampling s = SV_SAMPLING_GREEDY;
    s.temperature = d->temperature >= 0 && d->temperature <= 2 ? (float)d->temperature : 1;
    s.top_p = d->top_p > 0 ? (float)d->top_p : 1;
    s.top_k = d->top_k > 0 ? (uint32_t)d->top_k : 0;
    s.min_p = d->min_p >= 0 ? (float)d->min_p : 0;
    s.repetition = d->repetition_penalty > 0 ? (float)d->repetition_penalty : 1;
    return s;
}

sv_err sv_serve_ready(sv_serve *s, const sv_model *m, sv_engine *e, uint32_t max_running)
{
    SV_TRY(sv_model_need_tokenizer(m));
    s->model = m;
    s->engine = e;
    s->rules = (sv_ask_rules){ sv_engine_ctx(e), m->config.n_vocab, defaults_of(&m->defaults) };
    if (sv_tokenizer_count(m->tokenizer) < s->rules.n_vocab)
        s->rules.n_vocab = sv_tokenizer_count(m->tokenizer);
    make_fingerprint(m, s->fingerprint);
    SV_TRY(sv_work_start(e, max_running, s->o.max_queue ? s->o.max_queue : MAX_QUEUE, &s->work));
    __atomic_store_n(&s->ready, true, __ATOMIC_RELEASE);
    return SV_OK;
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
    if (s->work != NULL)
        sv_work_fail_all(s->work, "the server was stopped");
    sv_http_stop(s->http);
    sv_work_stop(s->work);
    sv_keys_done(&s->keys);
    sv_arena_drop(s->arena);
    sv_mem_free(s);
}
