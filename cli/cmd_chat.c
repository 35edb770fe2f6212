/* SPDX-License-Identifier: Apache-2.0
 * samsvar chat: talk in the terminal. Lines are edited by libedit; without a terminal they are read plainly.
 */
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/cmd.h"

typedef struct chat {
    const sv_args *a;
    sv_model *m;
    sv_engine *engine;
    json_t *messages;
    sv_sampling sampling;
    sv_answer answer;
    bool no_think, hide, thinking, color, ended, gap;
    EditLine *edit;
    History *history;
    char *plain; /* line buffer without a terminal */
    size_t plain_cap;
    sv_bytes shown;
} chat;

static const char help_text[] =
    "/new        a new conversation\n/system T   system message (empty: none), new conversation\n"
    "/think      thinking on or off\n/temp X     temperature\n/seed N     key of the random numbers\n"
    "/regen      answer again, with the next seed\n/save F     the conversation as JSON lines\n"
    "/model M    goes on with another model\n/info       model, chip, settings\n/quit       the end (also Ctrl-D)\n"
    "\"\"\"         begins and ends a text of several lines; Ctrl-C stops an answer\n";

/* ---- lines ---- */

static char prompt_text[] = "> ";
static char more_text[] = ". ";
static bool is_more;
static char *prompt(EditLine *e)
{
    (void)e;
    return is_more ? more_text : prompt_text;
}

static void open_edit(chat *c)
{
    HistEvent ev;
    if (isatty(STDIN_FILENO) != 1 || !sv_out_tty())
        return;
    c->edit = el_init("samsvar", stdin, stdout, stderr);
    c->history = history_init();
    if (c->edit == NULL || c->history == NULL)
        return;
    history(c->history, &ev, H_SETSIZE, 1000);
    el_set(c->edit, EL_PROMPT, prompt);
    el_set(c->edit, EL_EDITOR, "emacs");
    el_set(c->edit, EL_SIGNAL, 1);
    el_set(c->edit, EL_HIST, history, c->history);
}

/* Next line with its end cut off; NULL at the end of input. Valid until the next call. */
static const char *read_line(chat *c, bool more)
{
    is_more = more;
    if (c->edit == NULL) {
        ssize_t n = getline(&c->plain, &c->plain_cap, stdin);
        if (n < 0)
            return NULL;
        if (n > 0 && c->plain[n - 1] == '\n')
            c->plain[n - 1] = '\0';
        return c->plain;
    }
    for (;;) {
        int n = 0;
        HistEvent ev;
        const char *line = el_gets(c->edit, &n);
        if (line == NULL && sv_interrupts > 0) {
            sv_interrupts = 0;
            sv_out("\n(Ctrl-D or /quit ends)\n");
            sv_out_flush();
            continue;
        }
        if (line == NULL || n <= 0)
            return NULL;
        if (n > 1)
            history(c->history, &ev, H_ENTER, line);
        free(c->plain);
        c->plain = strndup(line, (size_t)(line[n - 1] == '\n' ? n - 1 : n));
        return c->plain;
    }
}

/* One message, over several lines between """. False at the end of input. */
static bool read_message(chat *c, sv_bytes *out)
{
    const char *line = read_line(c, false);
    sv_bytes_clear(out);
    if (line == NULL)
        return false;
    if (strncmp(line, "\"\"\"", 3) != 0) {
        sv_bytes_text(out, line);
        return true;
    }
    for (line += 3; line != NULL; line = read_line(c, true)) {
        size_t n = strlen(line);
        bool last = n >= 3 && strcmp(line + n - 3, "\"\"\"") == 0;
        sv_bytes_add(out, line, last ? n - 3 : n);
        if (last)
            return true;
        if (out->n > 0)
            sv_bytes_char(out, '\n');
    }
    return true;
}

/* ---- answers ---- */

static void show(chat *c, sv_str text)
{
    sv_bytes_clear(&c->shown);
    sv_show(text, &c->shown);
    if (c->gap) /* behind hidden thought the answer starts at its first visible character */
        while (c->shown.n > 0 && (c->shown.p[0] == '\n' || c->shown.p[0] == ' ')) {
            memmove(c->shown.p, c->shown.p + 1, c->shown.n);
            c->shown.n--;
        }
    c->gap = c->gap && c->shown.n == 0;
    sv_out_str((sv_str){ c->shown.p ? c->shown.p : "", c->shown.n });
    sv_out_flush();
}

static void set_thinking(chat *c, bool on)
{
    if (c->thinking == on)
        return;
    c->thinking = on;
    if (c->hide)
        c->gap = !on;
    else if (c->color)
        sv_out("%s", on ? "\033[2m" : "\033[0m");
}

static void put(void *ctx, const sv_event *e, sv_str piece)
{
    chat *c = ctx;
    bool is_end = false;
    if (e != NULL && sv_str_is(sv_tokenizer_piece(c->m->tokenizer, e->id), "<think>"))
        set_thinking(c, true);
    if (e != NULL && sv_str_is(sv_tokenizer_piece(c->m->tokenizer, e->id), "</think>"))
        is_end = true;
    if (!(c->thinking && c->hide))
        show(c, piece);
    if (is_end)
        set_thinking(c, false);
}

/* The assistant's message keeps its answer alone, as templates want it. */
static void keep_answer(chat *c)
{
    sv_str text = { c->answer.text.p ? c->answer.text.p : "", c->answer.text.n };
    if (c->answer.think_end > 0 && c->answer.think_end <= text.n) {
        text.p += c->answer.think_end;
        text.n -= c->answer.think_end;
        while (text.n > 0 && (text.p[0] == '\n' || text.p[0] == ' ')) {
            text.p++;
            text.n--;
        }
    }
    json_array_append_new(c->messages, sv_message("assistant", text));
}

static sv_err answer(chat *c)
{
    sv_ids ids = { 0 };
    sv_err err = sv_chat_ids(c->m, c->messages, c->no_think, &ids);
    if (err == SV_OK) {
        sv_request r = { .prompt = ids.id,
                         .n_prompt = (uint32_t)ids.n,
                         .max_tokens = (uint32_t)sv_arg_u64(c->a, SV_FLAG_MAX_TOKENS),
                         .sampling = c->sampling };
        bool opens = false;
        for (size_t i = ids.n; i-- > 0 && ids.n - i < 3;)
            opens = opens || sv_str_is(sv_tokenizer_piece(c->m->tokenizer, ids.id[i]), "<think>");
        c->thinking = c->gap = false;
        set_thinking(c, opens);
        sv_interrupts = 0;
        err = sv_answer_run(c->engine, c->m, &r, put, c, &c->answer);
        set_thinking(c, false);
        c->gap = false;
    }
    sv_ids_done(&ids);
    if (err != SV_OK)
        return err;
    sv_out("%s\n", c->answer.stopped ? " [stopped]" : "");
    sv_interrupts = 0;
    keep_answer(c);
    double s = c->answer.all_s - c->answer.first_s;
    if (sv_out_tty() && c->answer.ids.n > 1)
        sv_note("(%zu tokens, %.1f tok/s, context %zu of %u)", c->answer.ids.n,
                s > 0 ? (double)(c->answer.ids.n - 1) / s : 0.0, c->answer.n_prompt + c->answer.ids.n,
                sv_engine_ctx(c->engine));
    return SV_OK;
}

/* ---- commands ---- */

static void new_chat(chat *c, const char *system)
{
    json_decref(c->messages);
    c->messages = json_array();
    if (system[0] != '\0')
        json_array_append_new(c->messages, sv_message("system", sv_str_of(system)));
}

static const char *system_of(const chat *c)
{
    json_t *first = json_array_get(c->messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    return role != NULL && strcmp(role, "system") == 0 ? json_string_value(json_object_get(first, "content")) : "";
}

static int add_text(const char *text, size_t n, void *out)
{
    sv_bytes_add(out, text, n);
    return 0;
}

/* One line of chat data, as training reads it. */
static sv_err save(const chat *c, const char *path)
{
    sv_bytes line = { 0 };
    json_t *o = json_pack("{s:O}", "messages", c->messages);
    json_dump_callback(o, add_text, &line, JSON_COMPACT);
    sv_bytes_char(&line, '\n');
    sv_err err = sv_file_write(path, (sv_str){ line.p, line.n });
    json_decref(o);
    sv_bytes_done(&line);
    if (err == SV_OK)
        sv_out("saved in %s\n", path);
    return err;
}

static void info(const chat *c)
{
    const sv_machine *machine = sv_runner_machine(sv_engine_runner(c->engine));
    sv_out("%s (%s, %.1f million parameters) on %s\ncontext %u, temperature %g, seed %llu, thinking %s, %zu messages\n",
           c->m->path, c->m->config.family->model_type, (double)sv_model_params(c->m) * 1e-6, machine->dev.spec,
           sv_engine_ctx(c->engine), (double)c->sampling.temperature, (unsigned long long)c->sampling.seed,
           c->no_think ? "off" : "on", json_array_size(c->messages));
}

static sv_err regenerate(chat *c)
{
    size_t n = json_array_size(c->messages);
    const char *role = json_string_value(json_object_get(json_array_get(c->messages, n ? n - 1 : 0), "role"));
    if (role == NULL || strcmp(role, "assistant") != 0) {
        sv_out("there is no answer yet\n");
        return SV_OK;
    }
    json_array_remove(c->messages, n - 1);
    c->sampling.seed++;
    return answer(c);
}

/* Opens what answers from here on; what answered before is closed only when that has worked. */
static sv_err use_model(chat *c, const char *path)
{
    sv_model *m = NULL;
    sv_engine *e = NULL;
    sv_sampling sampling;
    sv_err err = sv_open_model(c->a, path, &m);
    if (err == SV_OK)
        err = sv_model_need_tokenizer(m);
    if (err == SV_OK && m->chat_template == NULL)
        err = sv_fail(SV_E_UNSUPPORTED, "%s has no chat template to talk by; 'samsvar run --raw' sends a text as it is",
                      m->path);
    if (err == SV_OK)
        err = sv_sampling_of(c->a, m, &sampling);
    if (err == SV_OK)
        err = sv_open_engine(c->a, m, 1, &e);
    if (err != SV_OK) {
        sv_model_close(m);
        return err;
    }
    sv_engine_close(c->engine);
    sv_model_close(c->m);
    c->m = m;
    c->engine = e;
    c->sampling = sampling;
    sv_note("%s; /help lists the commands", m->path);
    return SV_OK;
}

static void set_number(chat *c, const char *what, const char *text)
{
    double x;
    uint64_t u;
    if (strcmp(what, "/temp") == 0 && sv_str_f64(sv_str_of(text), &x) && x >= 0 && x <= 100)
        c->sampling.temperature = (float)x;
    else if (strcmp(what, "/seed") == 0 && sv_str_u64(sv_str_of(text), &u))
        c->sampling.seed = u;
    else
        sv_out("%s takes a number\n", what);
}

/* What it is when the line begins with a slash and a known word; false: it is a message. */
static bool command(chat *c, const char *line, sv_err *err)
{
    static const char *const words[] = { "/help",  "/new",  "/system", "/think", "/temp", "/seed",
                                         "/regen", "/save", "/info",   "/model", "/quit" };
    const char *space = strchr(line, ' '), *rest = space ? space + 1 : "";
    size_t n = space ? (size_t)(space - line) : strlen(line);
    int w = 0;
    while (w < 11 && (strlen(words[w]) != n || memcmp(words[w], line, n) != 0))
        w++;
    bool takes = w == 2 || w == 4 || w == 5 || w == 7 || w == 9;
    if (line[0] != '/' || w == 11 || (rest[0] != '\0' && !takes))
        return false;
    switch (w) {
    case 0:
        sv_out("%s", help_text);
        break;
    case 1:
        new_chat(c, system_of(c));
        break;
    case 2:
        new_chat(c, rest);
        break;
    case 3:
        c->no_think = !c->no_think;
        sv_out("thinking %s\n", c->no_think ? "off" : "on");
        break;
    case 4:
    case 5:
        set_number(c, words[w], rest);
        break;
    case 6:
        *err = regenerate(c);
        break;
    case 7:
        *err = rest[0] ? save(c, rest) : sv_fail(SV_E_ARG, "/save needs a file name");
        break;
    case 8:
        info(c);
        break;
    case 9:
        *err = rest[0] ? use_model(c, rest) : sv_fail(SV_E_ARG, "/model needs a model");
        break;
    default:
        c->ended = true;
        break;
    }
    return true;
}

static void loop(chat *c)
{
    sv_bytes text = { 0 };
    while (!c->ended && read_message(c, &text)) {
        sv_err err = SV_OK;
        if (text.n == 0)
            continue;
        if (!command(c, text.p, &err)) {
            json_array_append_new(c->messages, sv_message("user", (sv_str){ text.p, text.n }));
            err = answer(c);
            if (err != SV_OK) /* the question that had no answer is forgotten */
                json_array_remove(c->messages, json_array_size(c->messages) - 1);
        }
        if (err != SV_OK)
            sv_say_error(sv_err_text());
        sv_out_flush();
    }
    sv_bytes_done(&text);
}

sv_err sv_cmd_chat(const sv_args *a)
{
    chat c = {
        .a = a, .hide = sv_arg_on(a, SV_FLAG_HIDE), .no_think = sv_arg_on(a, SV_FLAG_NO_THINK), .color = sv_out_color()
    };
    sv_err err = use_model(&c, a->word[0]);
    if (err == SV_OK) {
        new_chat(&c, sv_arg_text(a, SV_FLAG_SYSTEM));
        sv_signals_catch(NULL, 0);
        open_edit(&c);
        loop(&c);
        if (sv_out_tty())
            sv_out("\n");
    }
    if (c.edit != NULL)
        el_end(c.edit);
    if (c.history != NULL)
        history_end(c.history);
    free(c.plain);
    json_decref(c.messages);
    sv_answer_done(&c.answer);
    sv_bytes_done(&c.shown);
    sv_engine_close(c.engine);
    sv_model_close(c.m);
    return err;
}
