/* SPDX-License-Identifier: Apache-2.0
 * What the server's tests share: a server on a tiny random model, and a client over loopback sockets.
 * Threads: one server a program; a call of the client belongs to its thread.
 */
#ifndef SV_TEST_SERVE_RUN_H
#define SV_TEST_SERVE_RUN_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "serve/serve.h"

#define MODEL "test/golden/models/qwen3"

static const char *model_path = MODEL;
static sv_engine_opts engine_opts = { .chip = "cpu", .max_running = 4, .chunk = 16, .prefix = true };
static uint32_t max_queue = 12;
static sv_model *model;
static sv_engine *engine;
static sv_serve *server;
static uint32_t n_free;

static inline void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

static inline void start_server(const char *keys)
{
    sv_model_opts mo = { 0 };
    sv_serve_opts so = { .port = 0, .id = "tiny", .max_queue = max_queue, .max_body = 1 << 20, .api_keys = keys };
    ok(sv_model_open(model_path, &mo, &model));
    ok(sv_engine_open(model, &engine_opts, &engine));
    n_free = sv_engine_free_pages(engine);
    ok(sv_serve_start(&so, &server));
    ok(sv_serve_ready(server, model, engine, engine_opts.max_running));
}

static inline void stop_server(void)
{
    sv_serve_stop(server);
    assert_int_equal(sv_engine_free_pages(engine), n_free);
    sv_engine_close(engine);
    sv_model_close(model);
    server = NULL;
}

static inline int setup(void **state)
{
    (void)state;
    start_server(NULL);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    stop_server();
    return 0;
}

/* ---- a client ---- */

static inline int dial(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(sv_serve_port(server)) };
    struct timeval wait = { .tv_sec = 60 };
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static inline void say(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server may close early; what it said is still to be read */
        data += sent;
        n -= (size_t)sent;
    }
}

/* All that comes until the server closes. */
static inline void hear(int fd, sv_bytes *out)
{
    char buf[4096];
    ssize_t n;
    sv_bytes_clear(out);
    while ((n = recv(fd, buf, sizeof buf, 0)) > 0)
        sv_bytes_add(out, buf, (size_t)n);
    close(fd);
    sv_bytes_char(out, '\0');
}

static inline int status_of(const sv_bytes *reply)
{
    int status = 0;
    sscanf(reply->p, "HTTP/1.1 %d", &status);
    return status;
}

static inline void post_start(int fd, const char *path, sv_str body, const char *more)
{
    sv_bytes q = { 0 };
    sv_bytes_printf(&q,
                    "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n%s\r\n",
                    path, body.n, more);
    sv_bytes_add(&q, body.p, body.n);
    say(fd, q.p, q.n);
    sv_bytes_done(&q);
}

static inline int post_bytes(const char *path, sv_str body, sv_bytes *out)
{
    int fd = dial();
    post_start(fd, path, body, "");
    hear(fd, out);
    return status_of(out);
}

static inline int post(const char *path, const char *body, sv_bytes *out)
{
    return post_bytes(path, sv_str_of(body), out);
}

static inline int raw(const char *request, sv_bytes *out)
{
    int fd = dial();
    say(fd, request, strlen(request));
    hear(fd, out);
    return status_of(out);
}

static inline json_t *body_json(const sv_bytes *reply)
{
    const char *body = strstr(reply->p, "\r\n\r\n");
    json_error_t e;
    json_t *o = body ? json_loads(body + 4, 0, &e) : NULL;
    if (o == NULL)
        fail_msg("no JSON in: %.300s", reply->p);
    return o;
}

static inline const char *text_at(const json_t *o, const char *path)
{
    char part[64];
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        o = json_is_array(o) ? json_array_get(o, (size_t)atoi(part)) : json_object_get(o, part);
        p += n + (p[n] == '/');
    }
    return json_string_value(o);
}

/* By the metrics: the engine is its thread's own. */
static inline bool all_pages_free(void)
{
    const char *name = "\nvllm:kv_cache_usage_perc{model_name=\"tiny\"} ";
    sv_bytes r = { 0 };
    bool free_again = false;
    for (int i = 0; i < 400 && !free_again; i++) {
        assert_int_equal(raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 200);
        const char *at = strstr(r.p, name);
        assert_non_null(at);
        free_again = strtod(at + strlen(name), NULL) == 0;
        if (!free_again)
            poll(NULL, 0, 10);
    }
    sv_bytes_done(&r);
    return free_again;
}

/* Is the server well? */
static inline void assert_lives(void)
{
    sv_bytes r = { 0 };
    assert_int_equal(raw("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 200);
    sv_bytes_done(&r);
}

#endif
