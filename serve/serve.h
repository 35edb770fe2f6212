/* SPDX-License-Identifier: Apache-2.0
 * The server: an OpenAI-compatible API and a chat page on one engine. It listens before the model is there; /health
 * says when it is. Threads: start, ready, drain and stop are called by one thread.
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
    const char *id;                            /* the model's name for clients; borrowed */
    const char *version;
} sv_serve_opts;

/* SV_E_ARG: an address beyond loopback without keys, or without TLS and proxy. */
sv_err sv_serve_start(const sv_serve_opts *opts, sv_serve **out);
/* From here on requests are answered. Model and engine are borrowed until sv_serve_stop. */
sv_err sv_serve_ready(sv_serve *s, const sv_model *m, sv_engine *e, uint32_t max_running);
uint16_t sv_serve_port(const sv_serve *s);
/* New requests get 503; waits for those that run, at most `seconds`. True: all are answered. */
bool sv_serve_drain(sv_serve *s, double seconds);
void sv_serve_stop(sv_serve *s); /* NULL is fine; running answers fail */

#endif
