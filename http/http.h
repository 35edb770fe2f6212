/* SPDX-License-Identifier: Apache-2.0
 * An HTTP/1.1 server over libmicrohttpd with the limits of a public service: whole requests in, replies or event
 * streams out. A few threads serve all connections, so a handler must not wait: it replies, streams, or
 * asks to be called again when woken. Limits: request line and headers 32 KiB (the library
 * answers 414 and 431), 64 headers; a connection has 10 s for its headers, a body must come at 1 KiB/s after 5 s; idle
 * connections are closed after 60 s. Threads: a request belongs to the thread that its handler is called in.
 */
#ifndef SV_HTTP_HTTP_H
#define SV_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct sv_http sv_http;
typedef struct sv_http_request sv_http_request;

/* Called with a whole request; must reply, stream or wait (sv_http_wait) exactly once. */
typedef void (*sv_http_handler)(void *ctx, sv_http_request *r);
/* Appends the next bytes to out. Nothing appended: it is called again after sv_http_wake, or after 15 s. False: the
 * stream is at its end (bytes appended still go out). */
typedef bool (*sv_http_pull)(void *ctx, sv_bytes *out);

typedef struct sv_http_opts {
    const char *host; /* an address, or "localhost" */
    uint16_t port;    /* 0: any free one */
    size_t max_body;
    uint32_t max_connection;   /* 0: 512 */
    const char *cert, *key;    /* PEM texts; NULL: no TLS */
    bool check_host;           /* refuse Host names other than loopback's: no page of another site reaches us by DNS */
    const char *const *header; /* name, value, ..., NULL: sent with every reply */
    sv_http_handler handler;
    /* Replies that the server itself makes: a body for a status and a sentence. */
    void (*fault)(void *ctx, unsigned status, const char *message, sv_bytes *out);
    void *ctx;
} sv_http_opts;

/* SV_E_ARG: no such address; SV_E_IO: it cannot be listened on. */
sv_err sv_http_start(const sv_http_opts *opts, sv_http **out);
uint16_t sv_http_port(const sv_http *h);
uint32_t sv_http_active(const sv_http *h); /* requests that have not been answered in full */
void sv_http_stop(sv_http *h);             /* NULL is fine; handlers must be able to end */
bool sv_http_is_loopback(const char *host);

const char *sv_http_method(const sv_http_request *r);
const char *sv_http_path(const sv_http_request *r);
const char *sv_http_header(const sv_http_request *r, const char *name); /* NULL: not sent */
sv_str sv_http_body(const sv_http_request *r);
/* The client has closed its side: nobody waits for an answer. */
bool sv_http_gone(const sv_http_request *r);

void sv_http_add_header(sv_http_request *r, const char *name, const char *value); /* of the reply; copied */
void sv_http_reply(sv_http_request *r, unsigned status, const char *type, sv_str body);
/* Server-sent events. done(ctx) is called once, whatever happens. */
void sv_http_stream(sv_http_request *r, sv_http_pull pull, void (*done)(void *), void *ctx);
/* The handler has nothing to say yet: after sv_http_wake, or after 15 s, step(ctx) is called, which replies, streams or
 * does neither to wait on. done as above. */
void sv_http_wait(sv_http_request *r, void (*step)(void *), void (*done)(void *), void *ctx);
/* From any thread, before `done`: whatever the request waits for may have come. Never lost, may come for nothing. */
void sv_http_wake(sv_http_request *r);
void sv_http_wake_all(sv_http *h);
/* "data: TEXT\n\n" */
void sv_http_event(sv_bytes *out, sv_str text);

#endif
