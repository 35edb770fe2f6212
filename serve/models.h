/* SPDX-License-Identifier: Apache-2.0
 * The models of a server by name: any number, loaded and unloaded while it runs, with other names for them. Opening and
 * closing take seconds, so a thread of its own does them in order.
 * Threads: all functions are safe from any thread.
 */
#ifndef SV_SERVE_MODELS_H
#define SV_SERVE_MODELS_H

#include <jansson.h>

#include "serve/served.h"

typedef struct sv_models sv_models;

/* o->last is the registry's own. */
sv_err sv_models_start(const sv_served_opts *o, sv_models **out);
/* No request holds a model any more. NULL is fine. */
void sv_models_stop(sv_models *m);
/* Every answer ends now with `why`, later ones too. */
void sv_models_fail_all(sv_models *m, const char *why);

/* A name and where its model lies; known, not loaded. SV_E_ARG: the name is taken or not allowed. */
sv_err sv_models_add(sv_models *m, const char *id, const char *path);
/* A model that is there already, borrowed. */
sv_err sv_models_add_served(sv_models *m, sv_served *h);
/* Opens it now, in the caller's thread. A model of that name that runs is replaced: its requests end on it. */
sv_err sv_models_load_now(sv_models *m, const char *id);

/* By name, other name, or either with :nothink; NULL or "": the first that is loaded. The caller puts the host. NULL:
 * there is none that is loaded. */
sv_served *sv_models_find(sv_models *m, const char *name, bool *nothink);
/* How many names a request may say without being looked at: 1 when there is one model and no other name. */
bool sv_models_is_single(sv_models *m);
/* What can be asked for, as text for a 404. Appends. */
void sv_models_names(sv_models *m, sv_bytes *out);
/* Every host that is loaded, each held; the caller puts them and frees the list. */
uint32_t sv_models_all(sv_models *m, sv_served ***out);
/* [{id, state, path, problem}] and {name: id} */
json_t *sv_models_json(sv_models *m, bool with_paths);
/* Calls fn for every other name. */
void sv_models_aliases(sv_models *m, void (*fn)(void *ctx, const char *name, const char *id), void *ctx);

/* Orders. done(ctx) is called by the registry's thread once, unless the order was dropped before. */
typedef struct sv_order sv_order;
sv_order *sv_models_load(sv_models *m, const char *id, void (*done)(void *ctx), void *ctx);
/* False: not yet. Else *err and text are set. */
bool sv_order_result(sv_models *m, sv_order *o, sv_err *err, char *text, size_t cap);
void sv_order_drop(sv_models *m, sv_order *o);
/* No new request gets it; its memory goes with the last that runs. SV_E_NOTFOUND */
sv_err sv_models_unload(sv_models *m, const char *id);
/* From the next request on, `name` is `id`. SV_E_ARG: name is a model's own; SV_E_NOTFOUND: id is not loaded. */
sv_err sv_models_alias(sv_models *m, const char *name, const char *id);
/* The whole list anew: models that are not in it are unloaded, new ones and those with another path are loaded. */
sv_err sv_models_set(sv_models *m, const char *const *id, const char *const *path, size_t n);

#endif
