/* SPDX-License-Identifier: Apache-2.0
 * The server: an OpenAI-compatible API and a chat page on any number of models. It listens before they are there;
 * /health says when they are. Threads: start, ready, open, reload, drain and stop are called by one thread.
 */
#ifndef SV_SERVE_SERVE_H
#define SV_SERVE_SERVE_H

#include "infer/engine.h"

typedef struct sv_serve sv_serve;

typedef struct sv_serve_opts {
    const char *host;                          /* NULL: 127.0.0.1 */
    uint16_t port;                             /* 0: any free one */
    const char *api_keys, *tls_cert, *tls_key; /* files, or NULL */
    bool behind_proxy;                         /* something in front of us does TLS and checks names */
    size_t max_body;                           /* bytes; 0: 4 MiB */
    uint32_t max_queue;                        /* answers that wait; 0: 256 */
    const char *id;                            /* sv_serve_ready: the model's name for clients; borrowed */
    sv_model_opts model;                       /* how sv_serve_open and later loads open models; texts borrowed */
    sv_engine_opts engine;
    const char *chats;    /* a file for conversations, made when missing; NULL: none are kept */
    uint64_t chats_bytes; /* its largest size; 0: 1 GB */
    const char *version;
} sv_serve_opts;

/* SV_E_ARG: an address beyond loopback without keys, or without TLS and proxy. */
sv_err sv_serve_start(const sv_serve_opts *opts, sv_serve **out);
/* From here on requests are answered. Model and engine are borrowed until sv_serve_stop. */
sv_err sv_serve_ready(sv_serve *s, const sv_model *m, sv_engine *e, uint32_t max_running);
/* The same for models by name and path, which it opens itself; more may come and go later. A name: 1 to 128 bytes
 * without blanks, quotes and colons. */
sv_err sv_serve_open(sv_serve *s, const char *const *id, const char *const *path, size_t n);
/* Reads the keys' file anew; id not NULL: also makes the list of models this one, in the background. A failure changes
 * nothing of what it names. */
sv_err sv_serve_reload(sv_serve *s, const char *const *id, const char *const *path, size_t n);
uint16_t sv_serve_port(const sv_serve *s);
/* New requests get 503; waits for those that run, at most `seconds`. True: all are answered. */
bool sv_serve_drain(sv_serve *s, double seconds);
void sv_serve_stop(sv_serve *s); /* NULL is fine; running answers fail */

#endif
