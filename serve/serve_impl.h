/* SPDX-License-Identifier: Apache-2.0
 * The server's inside.
 * Threads: constant once ready, but for `work`, which locks itself.
 */
#ifndef SV_SERVE_SERVE_IMPL_H
#define SV_SERVE_SERVE_IMPL_H

#include "http/http.h"
#include "serve/keys.h"
#include "serve/serve.h"
#include "serve/work.h"

struct sv_serve {
    sv_serve_opts o;
    sv_http *http;
    sv_keys keys;
    sv_arena *arena; /* texts of certificate and key */
    bool ready;      /* atomic: all below is set */
    bool draining;   /* atomic */
    const sv_model *model;
    sv_engine *engine;
    sv_work *work;
    sv_ask_rules rules;
    char fingerprint[32];
    int64_t created;
};

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
/* Ids of a chat, and whether their end opens a thought. */
sv_err sv_render(const sv_serve *s, const sv_ask *a, sv_marked *text, sv_ids *ids, bool *in_thought);

/* page.c */
const char *sv_page(const char *path, const char **type, size_t *n); /* NULL: no such */

#endif
