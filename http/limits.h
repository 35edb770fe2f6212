/* SPDX-License-Identifier: Apache-2.0
 * What libmicrohttpd lets through and a public service must not: ambiguous framing, odd names, foreign hosts.
 * Threads: no state.
 */
#ifndef SV_HTTP_LIMITS_H
#define SV_HTTP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

/* Of one request's headers. {0}, then one call of sv_http_seen for each. */
typedef struct sv_http_seen_headers {
    unsigned n, n_host, n_length, n_transfer;
    bool bad_name, bad_value, bad_transfer;
    char host[256];
} sv_http_seen_headers;

#define SV_HTTP_MAX_HEADERS 64u

void sv_http_seen(sv_http_seen_headers *s, const char *name, const char *value, size_t n_value);
/* NULL: fine; else a sentence, and the status in *status. */
const char *sv_http_refusal(const sv_http_seen_headers *s, bool check_host, unsigned *status);
/* True for localhost, 127.x.y.z and ::1, with or without a port. */
bool sv_http_host_is_local(const char *host);

#endif
