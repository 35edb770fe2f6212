/* SPDX-License-Identifier: Apache-2.0
 * One model as it is served: weights, engine, the engine's thread, fingerprint. Requests hold it, so that those in
 * flight end on the model they began with; its memory goes with the last of them. Threads: constant once made, but for
 * what locks itself; take and put are safe from any thread.
 */
#ifndef SV_SERVE_SERVED_H
#define SV_SERVE_SERVED_H

#include "infer/engine.h"
#include "serve/ask.h"
#include "serve/work.h"

typedef struct sv_served {
    char *id;
    const sv_model *model;
    sv_engine *engine;
    sv_work *work;
    sv_ask_rules rules;
    int64_t created;
    sv_vocab *vocab;          /* atomic: made when a guide is first asked for */
    struct sv_hasher *hasher; /* makes the fingerprint beside the first requests */
    uint32_t refs;            /* atomic */
    bool own;                 /* model and engine are closed with it */
    sv_model *own_model;
    void (*last)(void *ctx, struct sv_served *h); /* called by who puts the last reference; must not wait */
    void *ctx;
    struct sv_served *next; /* in the list of those that wait to be closed */
} sv_served;

typedef struct sv_served_opts {
    sv_model_opts model;
    sv_engine_opts engine;
    uint32_t max_queue;
    void (*hashed)(void *ctx); /* called once by the hashing thread: the fingerprint is there */
    void (*last)(void *ctx, sv_served *h);
    void *ctx;
} sv_served_opts;

/* Model and engine are borrowed until the host is closed. One reference is the caller's. SV_E_UNSUPPORTED: no
 * tokenizer. */
sv_err sv_served_make(const char *id, const sv_model *m, sv_engine *e, uint32_t max_running, const sv_served_opts *o,
                      sv_served **out);
/* Opens the model at path. SV_E_NOMEM with the numbers: the machine has no room for it beside what runs. */
sv_err sv_served_open(const char *id, const char *path, const sv_served_opts *o, sv_served **out);
/* Opens an engine; chips are opened by one thread at a time. */
sv_err sv_served_engine(const sv_model *m, const sv_engine_opts *o, sv_engine **out);
void sv_served_take(sv_served *h);
void sv_served_put(sv_served *h);   /* the last one calls h->last */
void sv_served_close(sv_served *h); /* nobody holds it any more. Waits for its threads */

/* The present failure without the model's place on this machine, which is no client's business. h NULL: as it is. */
sv_err sv_served_fail(const sv_served *h, sv_err err);

/* NULL: it is still being made; `hashed` will be called. Text of all that an answer's ids depend on beside the request.
 */
const char *sv_served_fingerprint(const sv_served *h);

#endif
