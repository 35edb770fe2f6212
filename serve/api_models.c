/* SPDX-License-Identifier: Apache-2.0
 * Models over HTTP: the list that every client may read, and loading, unloading and renaming for the administrator.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "serve/serve_impl.h"

/* ---- GET /v1/models ---- */

static json_t *model_json(const sv_served *h, const char *name, const char *suffix)
{
    sv_bytes id = { 0 };
    sv_bytes_printf(&id, "%s%s", name, suffix);
    const char *print = sv_served_fingerprint(h);
    json_t *meta =
        json_pack("{s:i, s:i, s:I, s:s?}", "n_ctx_train", (int)h->model->config.n_ctx, "n_vocab", (int)h->rules.n_vocab,
                  "n_params", (json_int_t)sv_model_params(h->model), "fingerprint", print);
    json_t *o = json_pack("{s:o, s:s, s:I, s:s, s:i, s:s, s:o}", "id", sv_json_text_of((sv_str){ id.p, id.n }),
                          "object", "model", "created", (json_int_t)h->created, "owned_by", "samsvar", "max_model_len",
                          (int)h->rules.n_ctx, "root", h->id, "meta", meta);
    sv_bytes_done(&id);
    return o;
}

static void add_both(json_t *list, const sv_served *h, const char *name)
{
    json_array_append_new(list, model_json(h, name, ""));
    if (h->model->chat_template != NULL)
        json_array_append_new(list, model_json(h, name, ":nothink"));
}

typedef struct names {
    sv_served **host;
    uint32_t n;
    json_t *list;
} names;

static void add_alias(void *ctx, const char *name, const char *id)
{
    const names *a = ctx;
    for (uint32_t i = 0; i < a->n; i++)
        if (strcmp(a->host[i]->id, id) == 0)
            add_both(a->list, a->host[i], name);
}

void sv_api_models(sv_serve *s, sv_http_request *r)
{
    names a = { .list = json_array() };
    a.n = sv_models_all(s->models, &a.host);
    for (uint32_t i = 0; i < a.n; i++)
        add_both(a.list, a.host[i], a.host[i]->id);
    sv_models_aliases(s->models, add_alias, &a);
    for (uint32_t i = 0; i < a.n; i++)
        sv_served_put(a.host[i]);
    sv_mem_free(a.host);
    sv_reply_json(s, r, 200, json_pack("{s:s, s:o}", "object", "list", "data", a.list));
}

void sv_api_model(sv_serve *s, sv_http_request *r, const char *id)
{
    bool nothink, known;
    sv_served *h = sv_served_of(s, id, &nothink, &known);
    if (known)
        sv_reply_json(s, r, 200, model_json(h, id, ""));
    else
        sv_reply_fault(s, r, 404, "model", "model_not_found", "there is no such model here; GET /v1/models lists them");
    sv_served_put(h);
}

/* ---- the administrator ---- */

static bool is_admin(sv_serve *s, sv_http_request *r)
{
    sv_key key;
    if (sv_key_of(s, r, &key) && key.admin)
        return true;
    sv_reply_fault(s, r, 403, NULL, "admin_key_needed",
                   "an administrator's key is needed: a line \"KEY admin\" in the file of --api-keys");
    return false;
}

void sv_api_admin_list(sv_serve *s, sv_http_request *r)
{
    sv_key key;
    sv_reply_json(s, r, 200, sv_models_json(s->models, sv_key_of(s, r, &key) && key.admin));
}

typedef struct load {
    sv_serve *s;
    sv_http_request *r;
    sv_order *order;
    char id[256];
} load;

static void wake(void *ctx)
{
    sv_http_wake(ctx);
}

static void load_done(void *ctx)
{
    load *l = ctx;
    sv_order_drop(l->s->models, l->order);
    sv_mem_free(l);
}

static void reply_state(sv_serve *s, sv_http_request *r, const char *id, const char *state)
{
    sv_reply_json(s, r, 200, json_pack("{s:s, s:s}", "id", id, "state", state));
}

static void load_step(void *ctx)
{
    load *l = ctx;
    sv_err err;
    char text[512];
    if (!sv_order_result(l->s->models, l->order, &err, text, sizeof text))
        return;
    if (err == SV_OK)
        reply_state(l->s, l->r, l->id, "loaded");
    else
        sv_reply_fault(l->s, l->r, err == SV_E_NOTFOUND ? 404 : err == SV_E_NOMEM ? 503 : 400, "model", NULL, text);
}

static void start_load(sv_serve *s, sv_http_request *r, const char *id)
{
    load *l = sv_mem_new(sizeof *l);
    l->s = s;
    l->r = r;
    snprintf(l->id, sizeof l->id, "%s", id);
    sv_http_wait(r, load_step, load_done, l);
    l->order = sv_models_load(s->models, id, wake, r);
}

static void set_alias(sv_serve *s, sv_http_request *r, const char *id)
{
    json_t *o = NULL;
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    const json_t *name = err == SV_OK ? sv_json_get(o, "alias") : NULL;
    if (err == SV_OK && !json_is_string(name))
        err = sv_fail(SV_E_ARG, "alias is missing or no text; it is the other name of the model");
    if (err == SV_OK)
        err = sv_models_alias(s->models, json_string_value(name), id);
    if (err == SV_OK)
        sv_reply_json(s, r, 200, json_pack("{s:s, s:O}", "id", id, "alias", name));
    else
        sv_reply_error(s, r, err, "alias");
    json_decref(o);
}

void sv_api_admin(sv_serve *s, sv_http_request *r, const char *rest)
{
    const char *slash = strrchr(rest, '/'), *verb = slash ? slash + 1 : "";
    char id[256];
    if (!is_admin(s, r))
        return;
    snprintf(id, sizeof id, "%.*s", (int)(slash ? slash - rest : 0), rest);
    if (strcmp(verb, "load") == 0) {
        start_load(s, r, id);
    } else if (strcmp(verb, "alias") == 0) {
        set_alias(s, r, id);
    } else if (strcmp(verb, "unload") != 0) {
        sv_reply_fault(s, r, 404, NULL, NULL, "no such order; there are load, unload and alias");
    } else if (sv_models_unload(s->models, id) != SV_OK) {
        sv_reply_error(s, r, SV_E_NOTFOUND, "model");
    } else {
        reply_state(s, r, id, "unloaded");
    }
}
