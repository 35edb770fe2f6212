/* SPDX-License-Identifier: Apache-2.0
 * samsvar serve: the server's start, its line of state, and its end by signal.
 */
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/cmd.h"
#include "serve/serve.h"

static const char *given_text(const sv_args *a, sv_flag f)
{
    return sv_arg_given(a, f) ? sv_arg_text(a, f) : NULL;
}

/* models/qwen3/ -> qwen3; smollm2.gguf -> smollm2 */
static const char *name_of(sv_arena *arena, const char *path)
{
    char *text = sv_arena_text(arena, path);
    size_t n = strlen(text);
    while (n > 1 && text[n - 1] == '/')
        text[--n] = '\0';
    char *name = sv_arena_text(arena, sv_path_base(text));
    n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        name[n - 5] = '\0';
    return name;
}

static sv_err serve_until_signal(const sv_args *a, sv_serve *s, const char *host, sv_model **m, sv_engine **e)
{
    uint32_t max_running = (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_RUNNING);
    double start = sv_clock_s();
    SV_TRY(sv_open_model(a, a->word[0], m));
    SV_TRY(sv_open_engine(a, *m, max_running, e));
    SV_TRY(sv_serve_ready(s, *m, *e, max_running));
    if (sv_arg_on(a, SV_FLAG_JSON)) {
        sv_out_json(json_pack("{s:s, s:i, s:f}", "event", "ready", "port", (int)sv_serve_port(s), "load_s",
                              sv_clock_s() - start));
        sv_out_flush();
    }
    bool v6 = strchr(host, ':') != NULL;
    sv_note("ready after %.2f s: %s://%s%s%s:%u/ (chat page), /v1 (API); context %u, %u answers at a time",
            sv_clock_s() - start, sv_arg_given(a, SV_FLAG_TLS_CERT) ? "https" : "http", v6 ? "[" : "", host,
            v6 ? "]" : "", (unsigned)sv_serve_port(s), sv_engine_ctx(*e), max_running);
    while (sv_interrupts == 0)
        poll(NULL, 0, 100);
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
    sv_serve_opts o = { .host = host,
                        .port = (uint16_t)sv_arg_u64(a, SV_FLAG_PORT),
                        .api_keys = given_text(a, SV_FLAG_API_KEYS),
                        .tls_cert = given_text(a, SV_FLAG_TLS_CERT),
                        .tls_key = given_text(a, SV_FLAG_TLS_KEY),
                        .behind_proxy = sv_arg_on(a, SV_FLAG_PROXY),
                        .max_body = sv_arg_u64(a, SV_FLAG_MAX_BODY),
                        .max_queue = (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_QUEUE),
                        .version = SV_VERSION };
    sv_serve *s = NULL;
    sv_model *m = NULL;
    sv_engine *e = NULL;
    o.id = sv_arg_given(a, SV_FLAG_NAME) ? sv_arg_text(a, SV_FLAG_NAME) : name_of(arena, a->word[0]);
    sv_signals_catch(NULL, 130);
    sv_err err = sv_serve_start(&o, &s);
    if (err == SV_OK)
        err = serve_until_signal(a, s, host, &m, &e);
    sv_serve_stop(s);
    sv_engine_close(e);
    sv_model_close(m);
    sv_arena_drop(arena);
    return err;
}
