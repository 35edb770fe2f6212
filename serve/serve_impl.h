/* SPDX-License-Identifier: Apache-2.0
 * The server's inside.
 * Threads: constant once ready, but for `work`, which locks itself.
 */
#ifndef SV_SERVE_SERVE_IMPL_H
#define SV_SERVE_SERVE_IMPL_H

#include <pthread.h>

#include "http/http.h"
#include "serve/served.h"
#include "serve/chats.h"
#include "serve/keys.h"
#include "serve/models.h"
#include "serve/serve.h"
#include "serve/work.h"

struct sv_serve {
    sv_serve_opts o;
    sv_http *http;
    pthread_mutex_t lock; /* of keys, which SIGHUP replaces */
    sv_keys keys;
    sv_arena *arena; /* texts of certificate and key */
    bool ready;      /* atomic: models are there */
    bool draining;   /* atomic */
    bool stopping;   /* atomic: nothing long goes on */
    bool proving;    /* atomic: one proof at a time */
    sv_models *models;
    struct sv_replay *replay;
    sv_chats *chats; /* NULL: none are kept */
    int64_t created;
    uint64_t status[6]; /* atomic: replies by hundreds */
};

/* The model that a request names, held; nothink: with thinking off. One that nobody has: the first model, and *known is
 * false. NULL: none is loaded. */
sv_served *sv_served_of(sv_serve *s, const char *name, bool *nothink, bool *known);
/* The same for a request whose body has been read no further; looks into it only when there is a choice. */
sv_served *sv_served_of_body(sv_serve *s, sv_str body, bool *nothink, bool *known);
sv_err sv_no_such_model(sv_serve *s, const char *name);
/* Who asks. False: nobody who may. */
bool sv_key_of(sv_serve *s, const sv_http_request *r, sv_key *out);
void sv_count_status(sv_serve *s, unsigned status);

/* api_models.c */
void sv_api_models(sv_serve *s, sv_http_request *r);
void sv_api_model(sv_serve *s, sv_http_request *r, const char *id);
void sv_api_admin_list(sv_serve *s, sv_http_request *r);
/* /samsvar/models/{id}/{verb} */
void sv_api_admin(sv_serve *s, sv_http_request *r, const char *rest);

/* ---- replies ---- */
/* {"error": ...}; param and code may be NULL. */
void sv_error_body(unsigned status, const char *param, const char *code, const char *message, sv_bytes *out);
void sv_reply_fault(sv_serve *s, sv_http_request *r, unsigned status, const char *param, const char *code,
                    const char *message);
/* The status that an error of ours has, with its sentence. */
void sv_reply_error(sv_serve *s, sv_http_request *r, sv_err err, const char *param);
void sv_reply_json(sv_serve *s, sv_http_request *r, unsigned status, json_t *o); /* takes o */
/* A JSON text; bytes that are not UTF-8 become U+FFFD. */
json_t *sv_json_text_of(sv_str s);
/* Appends compact JSON; flags as jansson's. */
void sv_json_print(const json_t *o, size_t flags, sv_bytes *out);
/* Words of 24 letters and digits that nobody can guess. */
void sv_random_word(char out[25]);
uint64_t sv_random_seed(void); /* below 2^53 */

/* completion.c: /v1/chat/completions and /v1/completions */
void sv_complete(sv_serve *s, sv_http_request *r, bool chat);
/* responses.c: /v1/responses */
void sv_respond(sv_serve *s, sv_http_request *r);
/* Ids of a chat, and whether their end opens a thought. */
sv_err sv_render(const sv_served *h, const sv_ask *a, sv_marked *text, sv_ids *ids, bool *in_thought);

/* api_chats.c: /samsvar/chats and below; rest: the path behind it */
void sv_api_chats(sv_serve *s, sv_http_request *r, const char *rest);
bool sv_chats_allowed(sv_serve *s, const sv_http_request *r, sv_key *key);

/* prove.c */
void sv_api_prove(sv_serve *s, sv_http_request *r);
void sv_api_page(sv_serve *s, sv_http_request *r);
const char *sv_prove_default(const sv_serve *s); /* the chip that proves when none is named */

/* page.c */
const char *sv_page(const char *path, const char **type, size_t *n); /* NULL: no such */

#endif
