/* SPDX-License-Identifier: Apache-2.0
 * Connections and requests over libmicrohttpd: a few threads with epoll. A request that waits is suspended and costs no
 * thread; a watcher closes peers that are too slow and wakes requests whose client has left.
 */
#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "http/limits.h"

#define MAX_CONNECTION 512u
#define POOL_BYTES (32u << 10)
#define STACK_BYTES (512u << 10)
#define STREAM_BLOCK (4u << 10)
#define IDLE_S 60u
#define HEADER_NS 10000000000ull
#define BODY_NS 5000000000ull
#define BODY_BYTE_NS 1000000ull /* about 1 KiB/s */
#define WATCH_MS 500
#define LONGEST_SLEEP_NS 15000000000ull
#define STOP_NS 5000000000ull
#define MIN_THREAD 4u
#define MAX_THREAD 16u

/* A connection that the watcher may close. */
typedef struct peer {
    struct peer *next, **before;
    int fd;
    uint64_t id;          /* never used again: what epoll knows it by */
    uint64_t deadline_ns; /* 0: none */
    bool watched;         /* for the client's leaving */
    sv_http_request *request;
} peer;

struct sv_http {
    sv_http_opts o;
    struct MHD_Daemon *daemon;
    uint16_t port;
    uint32_t n_active; /* atomic */
    uint32_t n_thread;
    pthread_mutex_t lock;
    peer *peers;
    uint64_t last_peer;
    uint32_t n_asleep; /* suspended requests, those that are just being resumed too */
    bool stopping;     /* nothing may sleep any more */
    bool ended;        /* an order to the watcher */
    int epoll;
    sv_thread *watcher;
};

typedef enum nap { NAP_ASLEEP, NAP_WOKEN, NAP_STOPPING } nap;

struct sv_http_request {
    sv_http *h;
    struct MHD_Connection *c;
    peer *peer;
    const char *method, *path;
    sv_bytes body;
    uint64_t start_ns;
    bool too_long, replied;
    sv_bytes reply_name[8], reply_value[8];
    uint32_t n_reply;
    struct MHD_Response *response; /* made, not yet queued */
    unsigned status;
    sv_http_pull pull;    /* a stream */
    void (*step)(void *); /* a wait */
    void (*done)(void *);
    void *stream;
    sv_bytes ready; /* pulled, not yet sent from `sent` on */
    size_t sent;
    bool ended;
    bool asleep, woken; /* under the server's lock; woken: the next sleep ends at once */
    bool gone;          /* atomic */
    uint64_t asleep_ns;
};

static void set_deadline(sv_http *h, peer *p, uint64_t ns)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&h->lock);
    p->deadline_ns = ns;
    pthread_mutex_unlock(&h->lock);
}

/* ---- sleep: a request that waits is suspended ---- */

/* Called by the request's own thread, in a callback of the library. */
static nap fall_asleep(sv_http_request *r)
{
    sv_http *h = r->h;
    nap out = NAP_ASLEEP;
    pthread_mutex_lock(&h->lock);
    if (h->stopping) {
        out = NAP_STOPPING;
    } else if (r->woken) {
        r->woken = false;
        out = NAP_WOKEN;
    } else {
        peer *p = r->peer;
        r->asleep = true;
        r->asleep_ns = sv_clock_ns();
        h->n_asleep++;
        if (p != NULL && !p->watched) {
            struct epoll_event ev = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = p->id };
            p->watched = epoll_ctl(h->epoll, EPOLL_CTL_ADD, p->fd, &ev) == 0;
        }
        MHD_suspend_connection(r->c);
    }
    pthread_mutex_unlock(&h->lock);
    return out;
}

/* Inside the lock: true when the caller must resume it, outside. */
static bool take_from_sleep(sv_http_request *r)
{
    bool slept = r->asleep;
    r->asleep = false;
    r->woken |= !slept;
    return slept;
}

static void resume(sv_http *h, struct MHD_Connection *c)
{
    MHD_resume_connection(c);
    pthread_mutex_lock(&h->lock);
    h->n_asleep--;
    pthread_mutex_unlock(&h->lock);
}

void sv_http_wake(sv_http_request *r)
{
    sv_http *h = r->h;
    struct MHD_Connection *c = r->c;
    pthread_mutex_lock(&h->lock);
    bool slept = take_from_sleep(r);
    pthread_mutex_unlock(&h->lock);
    if (slept)
        resume(h, c);
}

/* Wakes requests that have slept since before `ns`, one at a time: resuming needs the lock to be free. */
static void wake_older(sv_http *h, uint64_t ns)
{
    for (;;) {
        struct MHD_Connection *c = NULL;
        pthread_mutex_lock(&h->lock);
        for (peer *p = h->peers; p != NULL && c == NULL; p = p->next)
            if (p->request != NULL && p->request->asleep && p->request->asleep_ns <= ns && take_from_sleep(p->request))
                c = p->request->c;
        pthread_mutex_unlock(&h->lock);
        if (c == NULL)
            return;
        resume(h, c);
    }
}

void sv_http_wake_all(sv_http *h)
{
    wake_older(h, sv_clock_ns());
}

/* ---- the watcher ---- */

static void wake_left(sv_http *h, uint64_t id)
{
    struct MHD_Connection *c = NULL;
    pthread_mutex_lock(&h->lock);
    for (peer *p = h->peers; p != NULL; p = p->next) {
        sv_http_request *r = p->id == id ? p->request : NULL;
        if (r == NULL)
            continue;
        __atomic_store_n(&r->gone, true, __ATOMIC_RELAXED);
        if (take_from_sleep(r))
            c = r->c;
    }
    pthread_mutex_unlock(&h->lock);
    if (c != NULL)
        resume(h, c);
}

static void close_late(sv_http *h, uint64_t now)
{
    pthread_mutex_lock(&h->lock);
    for (peer *p = h->peers; p != NULL; p = p->next)
        if (p->deadline_ns != 0 && p->deadline_ns < now) {
            shutdown(p->fd, SHUT_RDWR);
            p->deadline_ns = 0;
        }
    pthread_mutex_unlock(&h->lock);
}

static void watch(void *arg)
{
    sv_http *h = arg;
    struct epoll_event ev[16];
    uint64_t last = sv_clock_ns();
    for (bool stop = false; !stop;) {
        int n = epoll_wait(h->epoll, ev, 16, WATCH_MS);
        for (int i = 0; i < n; i++)
            wake_left(h, ev[i].data.u64);
        uint64_t now = sv_clock_ns();
        if (now - last > WATCH_MS * 1000000ull) {
            close_late(h, now);
            wake_older(h, now - LONGEST_SLEEP_NS);
            last = now;
        }
        pthread_mutex_lock(&h->lock);
        stop = h->ended;
        pthread_mutex_unlock(&h->lock);
    }
}

static void on_connection(void *cls, struct MHD_Connection *c, void **ctx, enum MHD_ConnectionNotificationCode code)
{
    sv_http *h = cls;
    pthread_mutex_lock(&h->lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        peer *p = sv_mem_new(sizeof *p);
        p->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        p->id = ++h->last_peer;
        p->deadline_ns = sv_clock_ns() + HEADER_NS;
        p->next = h->peers;
        p->before = &h->peers;
        if (p->next != NULL)
            p->next->before = &p->next;
        h->peers = p;
        *ctx = p;
    } else if (*ctx != NULL) {
        peer *p = *ctx;
        *p->before = p->next;
        if (p->next != NULL)
            p->next->before = p->before;
        sv_mem_free(p);
        *ctx = NULL;
    }
    pthread_mutex_unlock(&h->lock);
}

/* ---- requests ---- */

const char *sv_http_method(const sv_http_request *r)
{
    return r->method;
}
const char *sv_http_path(const sv_http_request *r)
{
    return r->path;
}
const char *sv_http_header(const sv_http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->c, MHD_HEADER_KIND, name);
}
sv_str sv_http_body(const sv_http_request *r)
{
    return (sv_str){ r->body.p ? r->body.p : "", r->body.n };
}

bool sv_http_gone(const sv_http_request *r)
{
    if (__atomic_load_n(&r->gone, __ATOMIC_RELAXED))
        return true;
    struct pollfd p = { .fd = MHD_get_connection_info(r->c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                        .events = POLLRDHUP };
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

void sv_http_add_header(sv_http_request *r, const char *name, const char *value)
{
    SV_ASSERT(r->n_reply < 8);
    sv_bytes_text(&r->reply_name[r->n_reply], name);
    sv_bytes_text(&r->reply_value[r->n_reply++], value);
}

static void send_response(sv_http_request *r, unsigned status, const char *type, struct MHD_Response *m)
{
    MHD_add_response_header(m, "Content-Type", type);
    for (const char *const *p = r->h->o.header; p != NULL && p[0] != NULL; p += 2)
        MHD_add_response_header(m, p[0], p[1]);
    for (uint32_t i = 0; i < r->n_reply; i++)
        MHD_add_response_header(m, r->reply_name[i].p, r->reply_value[i].p);
    if (status == 400 || status == 413 || status == 431)
        MHD_add_response_header(m, "Connection", "close");
    r->response = m;
    r->status = status;
    r->replied = true;
}

void sv_http_reply(sv_http_request *r, unsigned status, const char *type, sv_str body)
{
    struct MHD_Response *m =
        MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)(body.n ? body.p : ""), MHD_RESPMEM_MUST_COPY);
    send_response(r, status, type, m);
}

static ssize_t read_stream(void *cls, uint64_t pos, char *buf, size_t max)
{
    sv_http_request *r = cls;
    (void)pos;
    while (r->sent == r->ready.n) {
        if (r->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        sv_bytes_clear(&r->ready);
        r->sent = 0;
        r->ended = !r->pull(r->stream, &r->ready);
        if (r->ready.n > 0 || r->ended)
            continue;
        nap slept = fall_asleep(r);
        if (slept != NAP_WOKEN)
            return slept == NAP_ASLEEP ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = r->ready.n - r->sent < max ? r->ready.n - r->sent : max;
    memcpy(buf, r->ready.p + r->sent, n);
    r->sent += n;
    return (ssize_t)n;
}

void sv_http_stream(sv_http_request *r, sv_http_pull pull, void (*done)(void *), void *ctx)
{
    r->pull = pull;
    r->done = done;
    r->stream = ctx;
    struct MHD_Response *m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, r, NULL);
    MHD_add_response_header(m, "Cache-Control", "no-cache");
    MHD_add_response_header(m, "X-Accel-Buffering", "no");
    send_response(r, 200, "text/event-stream", m);
}

void sv_http_wait(sv_http_request *r, void (*step)(void *), void (*done)(void *), void *ctx)
{
    r->step = step;
    r->done = done;
    r->stream = ctx;
}

void sv_http_event(sv_bytes *out, sv_str text)
{
    sv_bytes_text(out, "data: ");
    sv_bytes_add(out, text.p, text.n);
    sv_bytes_text(out, "\n\n");
}

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t n_name,
                                  const char *value, size_t n_value)
{
    (void)kind;
    (void)n_name;
    sv_http_seen(cls, name, value, n_value);
    return MHD_YES;
}

static void refuse(sv_http_request *r, unsigned status, const char *message)
{
    sv_bytes body = { 0 };
    r->h->o.fault(r->h->o.ctx, status, message, &body);
    sv_http_reply(r, status, "application/json", (sv_str){ body.p, body.n });
    sv_bytes_done(&body);
}

static sv_http_request *begin(sv_http *h, struct MHD_Connection *c, const char *url, const char *method)
{
    sv_http_request *r = sv_mem_new(sizeof *r);
    sv_http_seen_headers seen = { 0 };
    unsigned status;
    r->h = h;
    r->c = c;
    r->method = method;
    r->path = url;
    r->start_ns = sv_clock_ns();
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    r->peer = info ? info->socket_context : NULL;
    __atomic_fetch_add(&h->n_active, 1, __ATOMIC_RELAXED);
    set_deadline(h, r->peer, r->start_ns + BODY_NS);
    MHD_get_connection_values_n(c, MHD_HEADER_KIND, see_header, &seen);
    const char *why = sv_http_refusal(&seen, h->o.check_host, &status);
    const char *length = sv_http_header(r, "Content-Length");
    uint64_t n;
    if (why == NULL && length != NULL && sv_str_u64(sv_str_of(length), &n) && n > h->o.max_body) {
        status = 413;
        why = "the body is larger than this server takes (--max-body)";
    }
    if (r->peer != NULL) {
        pthread_mutex_lock(&h->lock);
        r->peer->request = r;
        pthread_mutex_unlock(&h->lock);
    }
    if (why != NULL)
        refuse(r, status, why);
    return r;
}

static enum MHD_Result send_reply(sv_http_request *r)
{
    enum MHD_Result done = MHD_queue_response(r->c, r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    return done;
}

/* Until there is a reply, or the request sleeps; then the library calls again. */
static enum MHD_Result advance(sv_http_request *r)
{
    while (!r->replied) {
        SV_ASSERT(r->step != NULL);
        nap slept = fall_asleep(r);
        if (slept == NAP_ASLEEP)
            return MHD_YES;
        if (slept == NAP_STOPPING)
            refuse(r, 503, "the server was stopped");
        else
            r->step(r->stream);
    }
    return send_reply(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *n, void **state)
{
    sv_http *h = cls;
    sv_http_request *r = *state;
    (void)version;
    if (r == NULL) {
        r = *state = begin(h, c, url, method);
        return r->replied ? send_reply(r) : MHD_YES;
    }
    if (r->replied) {
        *n = 0;
        return MHD_YES;
    }
    if (r->step != NULL) { /* it was woken */
        r->step(r->stream);
        return advance(r);
    }
    if (*n > 0) {
        r->too_long |= r->body.n + *n > h->o.max_body;
        if (r->too_long)
            return MHD_NO; /* an endless body is not read to its end: the connection closes */
        sv_bytes_add(&r->body, data, *n);
        set_deadline(h, r->peer, r->start_ns + BODY_NS + r->body.n * BODY_BYTE_NS);
        *n = 0;
        return MHD_YES;
    }
    set_deadline(h, r->peer, 0);
    h->o.handler(h->o.ctx, r);
    return advance(r);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code)
{
    sv_http *h = cls;
    sv_http_request *r = *state;
    (void)c;
    (void)code;
    if (r == NULL)
        return;
    *state = NULL;
    if (r->peer != NULL) {
        pthread_mutex_lock(&h->lock);
        r->peer->request = NULL;
        r->peer->deadline_ns = sv_clock_ns() + IDLE_S * 1000000000ull;
        pthread_mutex_unlock(&h->lock);
    }
    if (r->done != NULL)
        r->done(r->stream);
    for (uint32_t i = 0; i < r->n_reply; i++) {
        sv_bytes_done(&r->reply_name[i]);
        sv_bytes_done(&r->reply_value[i]);
    }
    sv_bytes_done(&r->ready);
    sv_bytes_done(&r->body);
    sv_mem_free(r);
    __atomic_fetch_sub(&h->n_active, 1, __ATOMIC_RELAXED);
}

/* ---- start and stop ---- */

static void on_log(void *cls, const char *fmt, va_list ap)
{
    char text[512];
    (void)cls;
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    sv_log(SV_LOG_DEBUG, "http", "%s", text);
}

static sv_err read_address(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return SV_OK;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return SV_OK;
    }
    return sv_fail(SV_E_ARG, "%s is no address to listen on; allowed are localhost, IPv4 and IPv6 addresses", host);
}

bool sv_http_is_loopback(const char *host)
{
    return sv_http_host_is_local(host);
}

static struct MHD_Daemon *start_daemon(sv_http *h, struct sockaddr_storage *at)
{
    const sv_http_opts *o = &h->o;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     MHD_USE_ITC | (at->ss_family == AF_INET6 ? MHD_USE_IPv6 : 0) | (o->cert ? MHD_USE_TLS : 0);
    uint32_t most = o->max_connection ? o->max_connection : MAX_CONNECTION;
    struct MHD_OptionItem tls[] = { { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->cert },
                                    { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key },
                                    { MHD_OPTION_HTTPS_PRIORITIES, 0,
                                      (void *)(uintptr_t) "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1" },
                                    { MHD_OPTION_END, 0, NULL } };
    struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
    /* Signals belong to the main thread: the library's threads inherit a mask with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, o->port, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_SOCK_ADDR, at,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)most, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_THREAD_POOL_SIZE,
        h->n_thread, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        h, MHD_OPTION_ARRAY, o->cert ? tls : none, MHD_OPTION_END);
    int problem = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = problem;
    return d;
}

sv_err sv_http_start(const sv_http_opts *opts, sv_http **out)
{
    struct sockaddr_storage at;
    SV_TRY(read_address(opts->host, opts->port, &at));
    sv_http *h = sv_mem_new(sizeof *h);
    h->o = *opts;
    pthread_mutex_init(&h->lock, NULL);
    h->n_thread = sv_thread_cores() < MIN_THREAD ? MIN_THREAD : sv_thread_cores();
    h->n_thread = h->n_thread > MAX_THREAD ? MAX_THREAD : h->n_thread;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll < 0) {
        sv_http_stop(h);
        return sv_fail(SV_E_IO, "there is no room for another event queue: %s; raise the limit of open files",
                       strerror(errno));
    }
    h->daemon = start_daemon(h, &at);
    if (h->daemon == NULL) {
        int problem = errno;
        sv_http_stop(h);
        return sv_fail(SV_E_IO, "cannot listen on %s:%u: %s; take another --port, or stop the program that has it",
                       opts->host, opts->port, problem ? strerror(problem) : "certificate or key not accepted");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    h->port = info ? info->port : opts->port;
    sv_err err = sv_thread_start("sv-http-watch", watch, h, &h->watcher);
    if (err != SV_OK) {
        sv_http_stop(h);
        return err;
    }
    *out = h;
    return SV_OK;
}

uint16_t sv_http_port(const sv_http *h)
{
    return h->port;
}
uint32_t sv_http_active(const sv_http *h)
{
    return __atomic_load_n(&h->n_active, __ATOMIC_RELAXED);
}

/* A suspended connection must not meet the library's end. Handlers end soon: nothing sleeps any more. */
static void end_requests(sv_http *h)
{
    uint64_t end = sv_clock_ns() + STOP_NS;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    for (bool asleep = true; asleep || (sv_http_active(h) > 0 && sv_clock_ns() < end);) {
        sv_http_wake_all(h);
        poll(NULL, 0, 5);
        pthread_mutex_lock(&h->lock);
        asleep = h->n_asleep > 0;
        pthread_mutex_unlock(&h->lock);
    }
}

void sv_http_stop(sv_http *h)
{
    if (h == NULL)
        return;
    if (h->daemon != NULL) {
        end_requests(h);
        MHD_stop_daemon(h->daemon);
    }
    if (h->watcher != NULL) {
        pthread_mutex_lock(&h->lock);
        h->ended = true;
        pthread_mutex_unlock(&h->lock);
        sv_thread_join(h->watcher);
    }
    if (h->epoll >= 0)
        close(h->epoll);
    pthread_mutex_destroy(&h->lock);
    sv_mem_free(h);
}
