/* SPDX-License-Identifier: Apache-2.0
 * Opening a model to be served, its fingerprint, its end.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha.h"
#include "base/thread.h"
#include "op/spec.h"
#include "samsvar/chip.h"
#include "serve/serve_impl.h"

#define DEFAULT_QUEUE 256u
#define SPARE_BYTES (64ull << 20)

/* ---- the fingerprint: hashing weights takes a second a gigabyte, so the first requests do not wait for it to begin */

typedef struct sv_hasher {
    const sv_model *model;
    char text[32];
    bool done; /* atomic: text is whole */
    void (*hashed)(void *ctx);
    void *ctx;
    sv_thread *thread;
} sv_hasher;

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
    if (m->lora != NULL) {
        sv_lora_hash(m->lora, &m->config, sum);
        line(s, "adapter", sum);
    } else {
        add_text(s, "adapter none\n");
    }
    sv_bytes_printf(&opset, "opset %d\n", SV_OPSET);
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

static void hash(void *arg)
{
    sv_hasher *h = arg;
    make_fingerprint(h->model, h->text);
    __atomic_store_n(&h->done, true, __ATOMIC_RELEASE);
    if (h->hashed != NULL)
        h->hashed(h->ctx);
}

const char *sv_served_fingerprint(const sv_served *h)
{
    return __atomic_load_n(&h->hasher->done, __ATOMIC_ACQUIRE) ? h->hasher->text : NULL;
}

/* ---- opening ---- */

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

static sv_err fill(sv_served *h, uint32_t max_running, const sv_served_opts *o)
{
    const sv_model *m = h->model;
    h->rules = (sv_ask_rules){ sv_engine_ctx(h->engine), m->config.n_vocab, defaults_of(&m->defaults) };
    if (sv_tokenizer_count(m->tokenizer) < h->rules.n_vocab)
        h->rules.n_vocab = sv_tokenizer_count(m->tokenizer);
    SV_TRY(sv_work_start(h->engine, max_running, o->max_queue ? o->max_queue : DEFAULT_QUEUE, &h->work));
    h->hasher->model = m;
    h->hasher->hashed = o->hashed;
    h->hasher->ctx = o->ctx;
    return sv_thread_start("sv-fingerprint", hash, h->hasher, &h->hasher->thread);
}

static sv_served *blank(const char *id, const sv_served_opts *o)
{
    sv_served *h = sv_mem_new(sizeof *h);
    h->id = sv_mem_text(id);
    h->refs = 1;
    h->created = sv_clock_unix();
    h->last = o->last;
    h->ctx = o->ctx;
    h->hasher = sv_mem_new(sizeof *h->hasher);
    return h;
}

sv_err sv_served_make(const char *id, const sv_model *m, sv_engine *e, uint32_t max_running, const sv_served_opts *o,
                      sv_served **out)
{
    SV_TRY(sv_model_need_tokenizer(m));
    sv_served *h = blank(id, o);
    h->model = m;
    h->engine = e;
    sv_err err = fill(h, max_running, o);
    if (err != SV_OK) {
        sv_served_close(h);
        return err;
    }
    *out = h;
    return SV_OK;
}

/* ---- memory, before it is taken ---- */

static uint64_t available_bytes(void)
{
    uint64_t kb = 0;
    sv_str text;
    sv_arena *a = sv_arena_make();
    if (sv_file_read("/proc/meminfo", 65536, a, &text) == SV_OK) {
        const char *at = strstr(text.p, "MemAvailable:");
        unsigned long long n;
        if (at != NULL && sscanf(at, "MemAvailable: %llu kB", &n) == 1)
            kb = n;
    }
    sv_arena_drop(a);
    return kb * 1024;
}

/* Weights stand packed once beside the mapped file, whose pages can be dropped; KV pages and a step's logits are F32.
 */
static uint64_t needed_bytes(const sv_model *m, const sv_engine_opts *o)
{
    const sv_config *c = &m->config;
    uint64_t ctx = o->n_ctx && o->n_ctx < c->n_ctx ? o->n_ctx : c->n_ctx < 8192 ? c->n_ctx : 8192;
    uint64_t rows = o->n_page ? (uint64_t)o->n_page * 32 : (o->max_running ? o->max_running : 1) * ctx;
    uint64_t kv = rows * 2 * c->n_layer * c->n_kv_head * c->d_head * sizeof(float);
    uint64_t weights = 0, one;
    for (uint32_t id = 0; id < sv_weight_ids(c); id++)
        if (m->data[id] != NULL && sv_tensor_bytes(&m->shape[id], &one) == SV_OK)
            weights += one;
    return weights + kv + SPARE_BYTES;
}

static sv_err need_room(const char *id, const sv_model *m, const sv_engine_opts *o)
{
    uint64_t need = needed_bytes(m, o), have = available_bytes();
    if (have == 0 || need <= have)
        return SV_OK;
    return sv_fail(SV_E_NOMEM,
                   "%s needs %llu MiB for weights and KV pages, %llu MiB are available; unload another model, or start "
                   "with a smaller --ctx or --max-running",
                   id, (unsigned long long)(need >> 20), (unsigned long long)(have >> 20));
}

sv_err sv_served_engine(const sv_model *m, const sv_engine_opts *o, sv_engine **out)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one);
    sv_err err = sv_engine_open(m, o, out);
    pthread_mutex_unlock(&one);
    return err;
}

sv_err sv_served_open(const char *id, const char *path, const sv_served_opts *o, sv_served **out)
{
    sv_served *h = blank(id, o);
    sv_err err = sv_model_open(path, &o->model, &h->own_model);
    h->own = true;
    h->model = h->own_model;
    if (err == SV_OK)
        err = sv_model_need_tokenizer(h->model);
    if (err == SV_OK)
        err = need_room(id, h->model, &o->engine);
    if (err == SV_OK)
        err = sv_served_engine(h->model, &o->engine, &h->engine);
    if (err == SV_OK)
        err = fill(h, o->engine.max_running ? o->engine.max_running : 1, o);
    if (err != SV_OK) {
        sv_served_close(h);
        return err;
    }
    *out = h;
    return SV_OK;
}

sv_err sv_served_fail(const sv_served *h, sv_err err)
{
    char text[512];
    snprintf(text, sizeof text, "%s", sv_err_text());
    const char *rest = h && sv_str_starts(sv_str_of(text), h->model->path) ? strstr(text, ": ") : NULL;
    return rest != NULL ? sv_fail(err, "%s%s", h->id, rest) : err;
}

/* ---- references, the end ---- */

void sv_served_take(sv_served *h)
{
    __atomic_fetch_add(&h->refs, 1, __ATOMIC_RELAXED);
}

void sv_served_put(sv_served *h)
{
    if (h != NULL && __atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) == 0)
        h->last(h->ctx, h);
}

void sv_served_close(sv_served *h)
{
    if (h == NULL)
        return;
    sv_thread_join(h->hasher->thread);
    sv_work_stop(h->work);
    if (h->own) {
        sv_engine_close(h->engine);
        sv_model_close(h->own_model);
    }
    sv_vocab_drop(h->vocab);
    sv_mem_free(h->hasher);
    sv_mem_free(h->id);
    sv_mem_free(h);
}
