/* SPDX-License-Identifier: Apache-2.0
 * POST /samsvar/prove: an answer is made again, once here and once on another chip, and the two are compared token by
 * token. One proof runs at a time, in a thread of its own.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sha.h"
#include "base/thread.h"
#include "chip/registry.h"
#include "serve/form.h"
#include "serve/grow.h"

#define WAIT_MS 200u
#define MAX_CHIP 64u

typedef struct proof {
    sv_serve *s;
    sv_served *h;
    sv_http_request *r;
    sv_ask ask;
    bool chat;
    sv_thought_at at;
    sv_ids prompt, here, there, close;
    char chip[MAX_CHIP], own_chip[MAX_CHIP], claimed[65];
    bool counted; /* it holds s->proving */
    bool gone;    /* atomic: nobody waits for it */
    bool done;    /* atomic: err, text, here and there are whole */
    sv_err err;
    char text[512];
    double seconds;
    sv_thread *thread;
} proof;

static void sha_of(const sv_ids *ids, char hex[65])
{
    uint8_t sum[32];
    sv_sha *s = sv_sha_make();
    for (size_t i = 0; i < ids->n; i++) {
        uint32_t id = ids->id[i];
        uint8_t b[4] = { (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24) };
        sv_sha_add(s, b, 4);
    }
    sv_sha_end(s, sum);
    sv_sha_hex(sum, hex);
}

/* The caller drops out->guide: each engine has one of its own. */
static sv_err request_of(proof *p, sv_request *out)
{
    *out = (sv_request){ .prompt = p->prompt.id,
                         .n_prompt = (uint32_t)p->prompt.n,
                         .max_tokens = p->ask.max_tokens,
                         .sampling = p->ask.sampling,
                         .ignore_eos = p->ask.ignore_eos };
    p->close.n = 0;
    if (p->chat)
        SV_TRY(sv_form_thought(p->h, &p->ask, p->at, p->h->rules.n_ctx - out->n_prompt, &p->close, &out->thought));
    return sv_form_guide(p->h, &p->ask, p->at, &out->guide);
}

static bool is_over(const proof *p)
{
    return __atomic_load_n(&p->gone, __ATOMIC_RELAXED) || __atomic_load_n(&p->s->stopping, __ATOMIC_RELAXED);
}

/* ---- here: among the server's other requests ---- */

static sv_err run_here(proof *p)
{
    sv_request q;
    sv_turn *turn;
    sv_grow g;
    sv_err err = SV_OK;
    SV_TRY(request_of(p, &q));
    err = sv_turn_post(p->h->work, &q, 1, &turn);
    sv_guide_drop(q.guide);
    SV_TRY(err);
    sv_grow_init(&g, p->h->model, &p->ask, p->chat, p->at == SV_THOUGHT_OPEN, SV_TOOLS_NONE);
    for (bool on = true; on && err == SV_OK;) {
        sv_event ev;
        uint32_t i;
        switch (sv_turn_next(turn, WAIT_MS, &i, &ev)) {
        case SV_TURN_EVENT:
            on = !sv_grow_take(&g, &ev);
            break;
        case SV_TURN_QUIET:
            if (is_over(p))
                err = sv_fail(SV_E_BUSY, "the proof was given up");
            break;
        case SV_TURN_END:
            on = false;
            break;
        case SV_TURN_FAILED:
            err = sv_fail(SV_E_CHIP, "%s", sv_err_text());
            break;
        }
    }
    for (size_t i = 0; i < g.ids.n; i++)
        SV_PUSH(p->here.id, p->here.n, p->here.cap, g.ids.id[i]);
    sv_grow_done(&g);
    sv_turn_drop(turn);
    return err;
}

/* ---- there: alone, on a chip of its own, until the first difference ---- */

static sv_err draw_there(proof *p, sv_engine *e)
{
    sv_request q;
    sv_ticket ticket;
    bool has = true;
    SV_TRY(request_of(p, &q));
    q.max_tokens = (uint32_t)p->here.n;
    sv_err err = sv_engine_post(e, &q, &ticket);
    sv_guide_drop(q.guide);
    SV_TRY(err);
    while (has) {
        sv_event ev;
        SV_TRY(sv_engine_next(e, &ev, &has));
        if (is_over(p))
            return sv_fail(SV_E_BUSY, "the proof was given up");
        if (!has || ev.kind != SV_EVENT_TOKEN)
            continue;
        SV_PUSH(p->there.id, p->there.n, p->there.cap, ev.id);
        if (ev.id != p->here.id[p->there.n - 1])
            return SV_OK;
    }
    return SV_OK;
}

static sv_err run_there(proof *p)
{
    sv_engine *e;
    sv_engine_opts o = { .chip = p->chip, .max_running = 1 };
    o.n_ctx = (uint32_t)(p->prompt.n + p->here.n + 1);
    o.machine.n_thread = p->s->o.engine.machine.n_thread;
    if (p->here.n == 0)
        return sv_fail(SV_E_ARG, "the answer has no token, so there is nothing to compare");
    SV_TRY(sv_served_engine(p->h->model, &o, &e));
    sv_err err = draw_there(p, e);
    sv_engine_close(e);
    return err;
}

static void run(void *arg)
{
    proof *p = arg;
    double start = sv_clock_s();
    p->err = run_here(p);
    if (p->err == SV_OK)
        p->err = run_there(p);
    if (p->err != SV_OK)
        snprintf(p->text, sizeof p->text, "%s", sv_err_text());
    p->seconds = sv_clock_s() - start;
    __atomic_store_n(&p->done, true, __ATOMIC_RELEASE);
    sv_http_wake(p->r);
}

/* ---- the reply ---- */

static json_t *piece(const proof *p, const sv_ids *ids, size_t i)
{
    sv_bytes text = { 0 };
    if (i >= ids->n)
        return json_null();
    sv_tokenizer_decode(p->h->model->tokenizer, &ids->id[i], 1, true, &text);
    json_t *o = json_pack("{s:i, s:o}", "id", (int)ids->id[i], "text",
                          sv_json_text_of((sv_str){ text.p ? text.p : "", text.n }));
    sv_bytes_done(&text);
    return o;
}

static void reply(proof *p)
{
    char here[65], there[65];
    size_t n = p->here.n < p->there.n ? p->here.n : p->there.n, at = 0;
    while (at < n && p->here.id[at] == p->there.id[at])
        at++;
    bool same = p->here.n == p->there.n && at == n;
    sha_of(&p->here, here);
    sha_of(&p->there, there);
    bool claimed = p->claimed[0] == '\0' || strcmp(p->claimed, here) == 0;
    const char *verdict = same && claimed ? "IDENTICAL" : "DIFFERENT";
    json_t *o = json_pack("{s:b, s:s, s:i, s:{s:s, s:s}, s:{s:s, s:s}, s:f}", "same", same && claimed, "verdict",
                          verdict, "tokens", (int)p->here.n, "here", "chip", p->own_chip, "output_sha256", here,
                          "there", "chip", p->chip, "output_sha256", there, "seconds", p->seconds);
    if (p->claimed[0] != '\0')
        json_object_set_new(o, "claimed_sha256", json_string(p->claimed));
    if (!same)
        json_object_set_new(o, "first_difference",
                            json_pack("{s:i, s:o, s:o}", "token", (int)at, "here", piece(p, &p->here, at), "there",
                                      piece(p, &p->there, at)));
    else if (!claimed)
        json_object_set_new(o, "note",
                            json_string("the answer made again here is not the one that was sent in: another "
                                        "model, seed or request"));
    json_object_set_new(o, "system_fingerprint",
                        sv_served_fingerprint(p->h) ? json_string(sv_served_fingerprint(p->h)) : json_null());
    sv_reply_json(p->s, p->r, 200, o);
}

static void step(void *ctx)
{
    proof *p = ctx;
    if (!__atomic_load_n(&p->done, __ATOMIC_ACQUIRE)) {
        if (sv_http_gone(p->r))
            __atomic_store_n(&p->gone, true, __ATOMIC_RELAXED);
        return;
    }
    if (p->err == SV_OK)
        reply(p);
    else
        sv_reply_fault(p->s, p->r,
                       p->err == SV_E_NOMEM || p->err == SV_E_BUSY ? 503
                       : p->err == SV_E_INTERNAL                   ? 500
                                                                   : 400,
                       "chip", NULL, p->text);
}

static void finish(void *ctx)
{
    proof *p = ctx;
    __atomic_store_n(&p->gone, true, __ATOMIC_RELAXED);
    sv_thread_join(p->thread);
    if (p->counted)
        __atomic_store_n(&p->s->proving, false, __ATOMIC_RELEASE);
    sv_ids_done(&p->prompt);
    sv_ids_done(&p->here);
    sv_ids_done(&p->there);
    sv_ids_done(&p->close);
    sv_ask_done(&p->ask);
    sv_served_put(p->h);
    sv_mem_free(p);
}

/* ---- the request ---- */

static sv_err read_prompt(proof *p)
{
    const json_t *v = sv_ask_prompt(&p->ask, 0);
    const sv_model *m = p->h->model;
    if (p->chat) {
        sv_marked text = { 0 };
        bool in_thought;
        sv_err err = sv_render(p->h, &p->ask, &text, &p->prompt, &in_thought);
        p->at = err == SV_OK ? sv_thought_of(m, (sv_str){ text.text.p, text.text.n }) : p->at;
        sv_marked_done(&text);
        return err;
    }
    if (json_is_string(v)) {
        if (m->add_bos && m->config.bos >= 0)
            SV_PUSH(p->prompt.id, p->prompt.n, p->prompt.cap, (uint32_t)m->config.bos);
        return sv_tokenizer_encode_plain(m->tokenizer, (sv_str){ json_string_value(v), json_string_length(v) }, true,
                                         &p->prompt);
    }
    for (size_t i = 0; i < json_array_size(v); i++)
        SV_PUSH(p->prompt.id, p->prompt.n, p->prompt.cap, (uint32_t)json_integer_value(json_array_get(v, i)));
    return SV_OK;
}

static sv_err read_request(proof *p, const json_t *o)
{
    const json_t *q = sv_json_get(o, "request"), *sha = sv_json_get(o, "output_sha256"), *chip = sv_json_get(o, "chip");
    bool nothink, known;
    if (!json_is_object(q))
        return sv_fail(SV_E_ARG, "request is missing or no object; it is the body of the request to prove");
    if (json_is_string(sha))
        snprintf(p->claimed, sizeof p->claimed, "%s", json_string_value(sha));
    const char *name = json_is_string(chip) ? json_string_value(chip) : sv_prove_default(p->s);
    if (strlen(name) >= MAX_CHIP)
        return sv_fail(SV_E_ARG, "chip has %zu bytes; GET /samsvar/page lists the chips", strlen(name));
    snprintf(p->chip, sizeof p->chip, "%s", name);
    p->chat = sv_json_get(q, "messages") != NULL;
    p->h = sv_served_of(p->s, json_string_value(sv_json_get(q, "model")), &nothink, &known);
    if (!known)
        return sv_no_such_model(p->s, json_string_value(sv_json_get(q, "model")));
    snprintf(p->own_chip, sizeof p->own_chip, "%s", sv_runner_machine(sv_engine_runner(p->h->engine))->dev.spec);
    sv_bytes text = { 0 };
    sv_json_print(q, 0, &text);
    sv_err err = sv_ask_parse((sv_str){ text.p, text.n }, p->chat, &p->h->rules, &p->ask);
    sv_bytes_done(&text);
    SV_TRY(err);
    if (p->ask.n != 1 || p->ask.n_prompt != 1)
        return sv_fail(SV_E_ARG, "n is %u for %u prompts; one answer at a time is proved", p->ask.n, p->ask.n_prompt);
    if (!p->ask.has_seed && p->ask.sampling.temperature > 0)
        return sv_fail(SV_E_ARG, "seed is missing; the reply to prove tells it in samsvar.seed");
    p->ask.sampling.stream = 1;
    if (nothink) {
        if (p->ask.kwargs == NULL)
            p->ask.kwargs = json_object();
        json_object_set_new(p->ask.kwargs, "enable_thinking", json_false());
        json_object_set_new(p->ask.kwargs, "thinking", json_false());
    }
    return read_prompt(p);
}

const char *sv_prove_default(const sv_serve *s)
{
    const char *own = s->o.engine.chip;
    return own != NULL && strncmp(own, "ref", 3) == 0 ? "cpu" : "ref";
}

void sv_api_prove(sv_serve *s, sv_http_request *r)
{
    json_t *o = NULL;
    proof *p = sv_mem_new(sizeof *p);
    p->s = s;
    p->r = r;
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    if (err == SV_OK)
        err = read_request(p, o);
    json_decref(o);
    if (err == SV_OK) {
        p->counted = !__atomic_exchange_n(&s->proving, true, __ATOMIC_ACQ_REL);
        if (!p->counted)
            err = sv_fail(SV_E_BUSY, "another proof is being made; try again when it is done");
    }
    if (err == SV_OK)
        err = sv_thread_start("sv-prove", run, p, &p->thread);
    if (err != SV_OK) {
        sv_reply_error(s, r, sv_served_fail(p->h, err), p->ask.param);
        finish(p);
        return;
    }
    sv_http_wait(r, step, finish, p);
}

/* ---- what the page may offer ---- */

void sv_api_page(sv_serve *s, sv_http_request *r)
{
    const sv_chip_entry *chip;
    size_t n;
    sv_key key;
    json_t *list = json_array();
    if (sv_chips_list(&chip, &n) == SV_OK)
        for (size_t i = 0; i < n; i++)
            if (chip[i].chip != NULL && chip[i].why == NULL && strcmp(chip[i].name, "null") != 0 &&
                strcmp(chip[i].name, "odd") != 0)
                json_array_append_new(list, json_string(chip[i].name));
    json_array_append_new(list, json_string("cpu:scalar"));
    bool chats = sv_chats_allowed(s, r, &key);
    sv_reply_json(s, r, 200,
                  json_pack("{s:b, s:o, s:s, s:s}", "chats", chats, "chips", list, "prove", sv_prove_default(s),
                            "version", s->o.version ? s->o.version : ""));
}
