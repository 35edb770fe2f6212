/* SPDX-License-Identifier: Apache-2.0
 * What the verbs share: models, engines and sampling by flags, prompts, one streamed answer, Ctrl-C.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cmd.h"
#include "cli/hub.h"

#define MAX_TEXT (64u << 20)
#define DEFAULT_CTX 8192u

/* ---- signals ---- */

volatile sig_atomic_t sv_interrupts;
static void (*on_first)(void);
static int hard_exit;

static void handle(int number)
{
    (void)number;
    sv_interrupts = sv_interrupts + 1;
    if (sv_interrupts == 1 && on_first != NULL)
        on_first();
    if (sv_interrupts > 1 && hard_exit != 0)
        _exit(hard_exit);
}

void sv_signals_catch(void (*fn)(void), int hard)
{
    struct sigaction act = { .sa_handler = handle, .sa_flags = SA_RESTART };
    on_first = fn;
    hard_exit = hard;
    sv_interrupts = 0;
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

/* ---- opening ---- */

/* The folder of a run stands for its newest checkpoint; names ascend with the steps. */
const char *sv_newest_model(sv_arena *arena, const char *path)
{
    char **name;
    size_t n;
    const char *found;
    if (sv_hub_is_name(path)) /* not there: the name stays, and opening it says what to do */
        return sv_hub_find(path, arena, &found) == SV_OK ? found : path;
    if (!sv_file_is_dir(path) || sv_file_exists(sv_path_join(arena, path, "config.json")) ||
        sv_file_list(path, arena, &name, &n) != SV_OK)
        return path;
    for (size_t i = n; i-- > 0;)
        if (sv_str_starts(sv_str_of(name[i]), "step-"))
            return sv_path_join(arena, path, name[i]);
    return path;
}

static sv_err open_model(const sv_args *a, const char *path, const char *adapter, sv_model **out)
{
    sv_model_opts opts = { .dequant = sv_arg_on(a, SV_FLAG_DEQUANT), .adapter = adapter };
    double start = sv_clock_s();
    sv_arena *arena = sv_arena_make();
    const char *found;
    if (sv_hub_is_name(path) && sv_hub_find(path, arena, &found) != SV_OK) {
        sv_arena_drop(arena);
        return SV_E_NOTFOUND;
    }
    path = sv_newest_model(arena, path);
    sv_live("loading %s", path);
    sv_err err = sv_model_open(path, &opts, out);
    sv_live_end();
    sv_arena_drop(arena);
    SV_TRY(err);
    if (sv_arg_on(a, SV_FLAG_VERBOSE))
        sv_note("%s: %s, %.1f million parameters, opened in %.2f s", (*out)->path, (*out)->config.family->model_type,
                (double)sv_model_params(*out) * 1e-6, sv_clock_s() - start);
    return SV_OK;
}

void sv_engine_opts_of(const sv_args *a, uint32_t max_running, sv_engine_opts *out)
{
    *out = (sv_engine_opts){ .chip = sv_arg_text(a, SV_FLAG_CHIP), .max_running = max_running };
    out->machine.n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS);
    out->machine.strict_chip = sv_arg_on(a, SV_FLAG_STRICT);
    out->n_ctx = (uint32_t)sv_arg_u64(a, SV_FLAG_CTX);
    out->prefix = true;
}

sv_err sv_open_model(const sv_args *a, const char *path, sv_model **out)
{
    return open_model(a, path, sv_arg_given(a, SV_FLAG_ADAPTER) ? sv_arg_text(a, SV_FLAG_ADAPTER) : NULL, out);
}

sv_err sv_open_base(const sv_args *a, const char *path, sv_model **out)
{
    return open_model(a, path, NULL, out);
}

sv_err sv_open_engine(const sv_args *a, const sv_model *m, uint32_t max_running, sv_engine **out)
{
    sv_engine_opts opts;
    sv_engine_opts_of(a, max_running, &opts);
    if (opts.n_ctx == 0)
        opts.n_ctx = m->config.n_ctx < DEFAULT_CTX ? m->config.n_ctx : DEFAULT_CTX;
    SV_TRY(sv_engine_open(m, &opts, out));
    const sv_machine *machine = sv_runner_machine(sv_engine_runner(*out));
    if (sv_arg_on(a, SV_FLAG_VERBOSE))
        sv_note("chip %s (%s), context %u", machine->dev.spec, machine->dev.info.name, sv_engine_ctx(*out));
    if (!machine->dev.info.is_exact)
        sv_warn("chip %s is not exact: its answers may differ from those of other chips", machine->dev.spec);
    return SV_OK;
}

sv_err sv_sampling_of(const sv_args *a, const sv_model *m, sv_sampling *out)
{
    const sv_gen_defaults *d = &m->defaults;
    *out = SV_SAMPLING_GREEDY;
    out->seed = sv_arg_u64(a, SV_FLAG_SEED);
    if (d->temperature >= 0) {
        out->temperature = (float)d->temperature;
        out->top_p = d->top_p >= 0 ? (float)d->top_p : 1;
        out->top_k = d->top_k >= 0 ? (uint32_t)d->top_k : 0;
        out->min_p = d->min_p >= 0 ? (float)d->min_p : 0;
        out->repetition = d->repetition_penalty > 0 ? (float)d->repetition_penalty : 1;
    }
    if (sv_arg_given(a, SV_FLAG_TEMPERATURE))
        out->temperature = (float)sv_arg_f64(a, SV_FLAG_TEMPERATURE);
    if (sv_arg_given(a, SV_FLAG_TOP_P))
        out->top_p = (float)sv_arg_f64(a, SV_FLAG_TOP_P);
    if (sv_arg_given(a, SV_FLAG_TOP_K))
        out->top_k = (uint32_t)sv_arg_u64(a, SV_FLAG_TOP_K);
    if (sv_arg_given(a, SV_FLAG_MIN_P))
        out->min_p = (float)sv_arg_f64(a, SV_FLAG_MIN_P);
    return sv_sampling_check(out);
}

sv_err sv_text_of(const sv_args *a, bool is_word_text, sv_arena *arena, sv_str *out)
{
    bool has_p = sv_arg_given(a, SV_FLAG_PROMPT), has_f = sv_arg_given(a, SV_FLAG_FILE), has_w = a->n_word > 1;
    if (has_p + has_f + has_w > 1)
        return sv_fail(SV_E_ARG, "give one text: -p TEXT, -f FILE or - (stdin)");
    if (has_p) {
        *out = sv_str_of(sv_arg_text(a, SV_FLAG_PROMPT));
        return SV_OK;
    }
    if (has_f)
        return sv_file_read(sv_arg_text(a, SV_FLAG_FILE), MAX_TEXT, arena, out);
    if (has_w && strcmp(a->word[1], "-") != 0) {
        *out = sv_str_of(a->word[1]);
        return is_word_text
                   ? SV_OK
                   : sv_fail(SV_E_ARG, "found '%s' behind the model; give the text by -p TEXT, -f FILE or - (stdin)",
                             a->word[1]);
    }
    if (!has_w && isatty(STDIN_FILENO) == 1)
        return sv_fail(SV_E_ARG, "no text: give -p TEXT, -f FILE or - (stdin)");
    return sv_file_read("-", MAX_TEXT, arena, out);
}

/* ---- prompts ---- */

json_t *sv_message(const char *role, sv_str content)
{
    json_t *o = json_object(), *text = json_stringn(content.p ? content.p : "", content.n);
    json_object_set_new(o, "role", json_string(role));
    json_object_set_new(o, "content", text ? text : json_string(""));
    return o;
}

static sv_err no_template(const sv_model *m)
{
    if (m->template_problem != NULL)
        return sv_fail(SV_E_UNSUPPORTED, "%s: %s\n--raw does without the template", m->path, m->template_problem);
    return sv_fail(SV_E_UNSUPPORTED, "%s has no chat template; --raw sends the text as it is", m->path);
}

sv_err sv_chat_ids(const sv_model *m, const json_t *messages, bool no_think, sv_ids *out)
{
    json_t *kwargs = no_think ? json_pack("{s:b}", "enable_thinking", 0) : NULL;
    sv_template_input in = { .messages = messages,
                             .kwargs = kwargs,
                             .bos_token = m->bos_token,
                             .eos_token = m->eos_token,
                             .add_generation_prompt = true };
    sv_marked text = { 0 };
    SV_TRY(sv_model_need_tokenizer(m));
    if (m->chat_template == NULL)
        return no_template(m);
    sv_err err = sv_template_render(m->chat_template, &in, &text);
    if (err == SV_OK)
        err = sv_tokenizer_encode(m->tokenizer, &text, out);
    json_decref(kwargs);
    sv_marked_done(&text);
    if (err == SV_OK && out->n == 0)
        return sv_fail(SV_E_ARG, "the prompt has no token");
    return err;
}

sv_err sv_raw_ids(const sv_model *m, sv_str text, sv_ids *out)
{
    SV_TRY(sv_model_need_tokenizer(m));
    if (m->add_bos && m->config.bos >= 0)
        SV_PUSH(out->id, out->n, out->cap, (uint32_t)m->config.bos);
    SV_TRY(sv_tokenizer_encode_plain(m->tokenizer, text, true, out));
    return out->n > 0 ? SV_OK : sv_fail(SV_E_ARG, "the prompt has no token");
}

sv_err sv_user_ids(const sv_model *m, sv_str text, bool raw, sv_ids *out)
{
    if (raw || m->chat_template == NULL)
        return sv_raw_ids(m, text, out);
    json_t *messages = json_array();
    json_array_append_new(messages, sv_message("user", text));
    sv_err err = sv_chat_ids(m, messages, false, out);
    json_decref(messages);
    return err;
}

/* ---- one answer ---- */

static bool is_piece(const sv_model *m, uint32_t id, const char *text)
{
    return sv_str_is(sv_tokenizer_piece(m->tokenizer, id), text);
}

bool sv_opens_thought(const sv_model *m, const uint32_t *prompt, uint32_t n)
{
    for (uint32_t i = n; i-- > 0 && n - i < 8;)
        if (is_piece(m, prompt[i], "<think>"))
            return true;
        else if (is_piece(m, prompt[i], "</think>"))
            return false;
    return false;
}

static void take_token(const sv_model *m, const sv_event *ev, sv_decoder *d, sv_piece_fn fn, void *ctx, sv_answer *out)
{
    size_t before = out->text.n;
    SV_PUSH(out->ids.id, out->ids.n, out->ids.cap, ev->id);
    sv_decoder_put(d, ev->id, &out->text);
    if (is_piece(m, ev->id, "<think>"))
        out->has_thought = true;
    else if (out->has_thought && out->think_end == 0 && is_piece(m, ev->id, "</think>"))
        out->think_end = out->text.n;
    if (fn != NULL)
        fn(ctx, ev, (sv_str){ out->text.p ? out->text.p + before : "", out->text.n - before });
}

sv_err sv_answer_run(sv_engine *e, const sv_model *m, const sv_request *r, sv_piece_fn fn, void *ctx, sv_answer *out)
{
    sv_decoder d;
    sv_ticket ticket;
    sv_event ev;
    bool has = true;
    double start = sv_clock_s();
    sv_bytes_clear(&out->text);
    out->ids.n = 0;
    out->stopped = false;
    out->think_end = 0;
    out->first_s = 0;
    out->has_thought = sv_opens_thought(m, r->prompt, r->n_prompt);
    sv_decoder_init(&d, m->tokenizer, false);
    SV_TRY(sv_engine_post(e, r, &ticket));
    while (has && !out->stopped) {
        SV_TRY(sv_engine_next(e, &ev, &has));
        if (!has || ev.ticket != ticket)
            continue;
        if (ev.kind == SV_EVENT_FINISH) {
            out->finish = ev.finish;
            break;
        }
        if (out->first_s == 0)
            out->first_s = sv_clock_s() - start;
        take_token(m, &ev, &d, fn, ctx, out);
        out->stopped = sv_interrupts > 0 || sv_out_failed();
    }
    if (out->stopped)
        sv_engine_cancel(e, ticket);
    size_t before = out->text.n;
    sv_decoder_end(&d, &out->text);
    if (fn != NULL && out->text.n > before)
        fn(ctx, NULL, (sv_str){ out->text.p + before, out->text.n - before });
    out->n_prompt = r->n_prompt;
    out->all_s = sv_clock_s() - start;
    return SV_OK;
}

void sv_answer_done(sv_answer *w)
{
    sv_bytes_done(&w->text);
    sv_ids_done(&w->ids);
}
