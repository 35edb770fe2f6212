/* SPDX-License-Identifier: Apache-2.0
 * samsvar serve: the server's start, its line of state, and its end by signal.
 */
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/cmd.h"
#include "cli/hub.h"
#include "serve/serve.h"

#define MAX_LIST (1u << 20)

static const char *given_text(const sv_args *a, sv_flag f)
{
    return sv_arg_given(a, f) ? sv_arg_text(a, f) : NULL;
}

/* models/qwen3/ -> qwen3; smollm2.gguf -> smollm2 */
static const char *name_of(sv_arena *arena, const char *path)
{
    char *text = sv_arena_text(arena, path);
    size_t n = strlen(text);
    if (sv_hub_is_name(text)) { /* hf:OWNER/NAME@REV:FILE -> NAME */
        text[3 + strcspn(text + 3, "@:")] = '\0';
        return sv_path_base(text);
    }
    while (n > 1 && text[n - 1] == '/')
        text[--n] = '\0';
    char *name = sv_arena_text(arena, sv_path_base(text));
    n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        name[n - 5] = '\0';
    return name;
}

/* Names and paths of the models: the words of the line, then the lines of --models. */
typedef struct list {
    const char **id, **path;
    size_t n, cap_id, cap_path;
} list;

static void add(list *l, sv_arena *arena, const char *id, const char *path)
{
    size_t n = l->n;
    SV_PUSH(l->id, l->n, l->cap_id, id);
    l->n = n;
    SV_PUSH(l->path, l->n, l->cap_path, sv_newest_model(arena, path));
}

/* "NAME=PATH"; without a name the path's last part is it. A path with = in it needs a name. */
static void add_word(list *l, sv_arena *arena, const char *word)
{
    size_t n = strcspn(word, "=");
    bool named = word[n] == '=' && memchr(word, '/', n) == NULL;
    const char *path = named ? word + n + 1 : word;
    add(l, arena, named ? sv_arena_textn(arena, word, n) : name_of(arena, path), path);
}

static sv_err read_list(const sv_args *a, sv_arena *arena, list *l)
{
    sv_str text;
    for (uint32_t i = 0; i < a->n_word; i++)
        add_word(l, arena, a->word[i]);
    if (sv_arg_given(a, SV_FLAG_NAME) && a->n_word > 0)
        l->id[0] = sv_arg_text(a, SV_FLAG_NAME);
    if (sv_arg_given(a, SV_FLAG_MODELS)) {
        SV_TRY(sv_file_read(sv_arg_text(a, SV_FLAG_MODELS), MAX_LIST, arena, &text));
        for (char *p = sv_arena_text(arena, text.p), *line; (line = strsep(&p, "\n")) != NULL;) {
            size_t n = strlen(line);
            while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' '))
                line[--n] = '\0';
            if (n > 0 && line[0] != '#')
                add_word(l, arena, line);
        }
    }
    for (size_t i = 0; i < l->n; i++)
        if (sv_hub_is_name(l->path[i]))
            return sv_hub_find(l->path[i], arena, &l->path[i]); /* not in the cache: the sentence says what to do */
    if (l->n != 1 && sv_arg_given(a, SV_FLAG_ADAPTER))
        return sv_fail(SV_E_ARG,
                       "--adapter belongs to one base, and %zu models are named; serve it by a process of its own, "
                       "or merge it (samsvar convert) and serve that",
                       l->n);
    return l->n > 0 ? SV_OK : sv_fail(SV_E_ARG, "no model is named; give MODEL, NAME=PATH or --models FILE");
}

static void drop_list(list *l)
{
    sv_mem_free(l->id);
    sv_mem_free(l->path);
    *l = (list){ 0 };
}

static volatile sig_atomic_t hangups;

static void on_hangup(int signal)
{
    (void)signal;
    hangups++;
}

static void reload(const sv_args *a, sv_serve *s)
{
    list l = { 0 };
    sv_arena *arena = sv_arena_make();
    hangups = 0;
    sv_err err = read_list(a, arena, &l);
    if (err == SV_OK)
        err = sv_serve_reload(s, l.id, l.path, l.n);
    if (err == SV_OK)
        sv_note("keys and the list of models are read anew: %zu models", l.n);
    else
        sv_warn("not reloaded: %s", sv_err_text());
    drop_list(&l);
    sv_arena_drop(arena);
}

/* Type=notify of systemd: one datagram when requests can come. */
static void tell_manager(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (path == NULL || strlen(path) >= sizeof at.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(at.sun_path, path, strlen(path));
    if (path[0] == '@')
        at.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&at, n) < 0)
        sv_warn("the service manager could not be told: %s", state);
    close(fd);
}

static sv_err serve_until_signal(const sv_args *a, sv_serve *s, const char *host, const list *l)
{
    double start = sv_clock_s();
    SV_TRY(sv_serve_open(s, l->id, l->path, l->n));
    if (sv_arg_on(a, SV_FLAG_JSON)) {
        sv_out_json(json_pack("{s:s, s:i, s:f}", "event", "ready", "port", (int)sv_serve_port(s), "load_s",
                              sv_clock_s() - start));
        sv_out_flush();
    }
    bool v6 = strchr(host, ':') != NULL;
    sv_note("ready after %.2f s: %s://%s%s%s:%u/ (chat page), /v1 (API); %zu %s, %u answers at a time each",
            sv_clock_s() - start, sv_arg_given(a, SV_FLAG_TLS_CERT) ? "https" : "http", v6 ? "[" : "", host,
            v6 ? "]" : "", (unsigned)sv_serve_port(s), l->n, l->n == 1 ? "model" : "models",
            (unsigned)sv_arg_u64(a, SV_FLAG_MAX_RUNNING));
    tell_manager("READY=1");
    while (sv_interrupts == 0) {
        if (hangups > 0)
            reload(a, s);
        poll(NULL, 0, 100);
    }
    tell_manager("STOPPING=1");
    sv_note("stopping: running answers have %llu s to end; once more stops at once",
            (unsigned long long)sv_arg_u64(a, SV_FLAG_DRAIN));
    if (!sv_serve_drain(s, (double)sv_arg_u64(a, SV_FLAG_DRAIN)))
        sv_warn("answers that still ran were cut off");
    return SV_OK;
}

sv_err sv_cmd_serve(const sv_args *a)
{
    sv_arena *arena = sv_arena_make();
    const char *host = sv_arg_text(a, SV_FLAG_HOST);
    struct sigaction again = { .sa_handler = on_hangup, .sa_flags = SA_RESTART };
    sv_serve_opts o = { .host = host,
                        .port = (uint16_t)sv_arg_u64(a, SV_FLAG_PORT),
                        .api_keys = given_text(a, SV_FLAG_API_KEYS),
                        .tls_cert = given_text(a, SV_FLAG_TLS_CERT),
                        .tls_key = given_text(a, SV_FLAG_TLS_KEY),
                        .behind_proxy = sv_arg_on(a, SV_FLAG_PROXY),
                        .max_body = sv_arg_u64(a, SV_FLAG_MAX_BODY),
                        .max_queue = (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_QUEUE),
                        .model = { .dequant = sv_arg_on(a, SV_FLAG_DEQUANT),
                                   .adapter = given_text(a, SV_FLAG_ADAPTER) },
                        .chats = given_text(a, SV_FLAG_CHATS),
                        .chats_bytes = sv_arg_u64(a, SV_FLAG_CHATS_BYTES),
                        .version = SV_VERSION };
    sv_serve *s = NULL;
    list l = { 0 };
    sv_engine_opts_of(a, (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_RUNNING), &o.engine);
    sigemptyset(&again.sa_mask);
    sigaction(SIGHUP, &again, NULL);
    sv_signals_catch(NULL, 130);
    sv_err err = read_list(a, arena, &l);
    if (err == SV_OK)
        err = sv_serve_start(&o, &s);
    if (err == SV_OK)
        err = serve_until_signal(a, s, host, &l);
    sv_serve_stop(s);
    drop_list(&l);
    sv_arena_drop(arena);
    return err;
}
