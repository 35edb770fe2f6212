/* SPDX-License-Identifier: Apache-2.0
 * Checks of a request's headers, made before anything of its body is read.
 */
#include "http/limits.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_token(const char *s)
{
    if (*s == '\0')
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || strchr("()<>@,;:\\\"/[]?={}", *s) != NULL)
            return false;
    return true;
}

void sv_http_seen(sv_http_seen_headers *s, const char *name, const char *value, size_t n_value)
{
    const char *v = value ? value : "";
    s->n++;
    s->bad_name |= !is_token(name);
    s->bad_value |= value != NULL && memchr(value, 0, n_value) != NULL;
    if (strcasecmp(name, "host") == 0) {
        s->n_host++;
        snprintf(s->host, sizeof s->host, "%s", v);
    }
    s->n_length += strcasecmp(name, "content-length") == 0;
    if (strcasecmp(name, "transfer-encoding") == 0) {
        s->n_transfer++;
        s->bad_transfer |= strcasecmp(v, "chunked") != 0;
    }
}

bool sv_http_host_is_local(const char *host)
{
    size_t n = strcspn(host, ":");
    if (host[0] == '[')
        return strncmp(host, "[::1]", 5) == 0 && (host[5] == '\0' || host[5] == ':');
    if (strcmp(host, "::1") == 0)
        return true;
    if (n == 9 && strncasecmp(host, "localhost", 9) == 0)
        return true;
    return n >= 9 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}

const char *sv_http_refusal(const sv_http_seen_headers *s, bool check_host, unsigned *status)
{
    *status = 400;
    if (s->n > SV_HTTP_MAX_HEADERS) {
        *status = 431;
        return "more than 64 headers; send fewer";
    }
    if (s->bad_name)
        return "a header's name is not a token (letters, digits and !#$%&'*+-.^_`|~)";
    if (s->bad_value)
        return "a header's value holds a NUL byte";
    if (s->n_host != 1)
        return "exactly one Host header is needed";
    if (s->n_length > 1 || s->n_transfer > 1)
        return "Content-Length or Transfer-Encoding is there more than once";
    if (s->n_length > 0 && s->n_transfer > 0)
        return "both Content-Length and Transfer-Encoding are there; send one";
    if (s->bad_transfer)
        return "Transfer-Encoding may only be chunked";
    if (check_host && !sv_http_host_is_local(s->host)) {
        *status = 403;
        return "this server answers only to localhost; start it with --behind-proxy to serve other names";
    }
    return NULL;
}
