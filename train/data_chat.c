/* SPDX-License-Identifier: Apache-2.0
 * Chats as training rows. What counts is found by rendering, never by searching text: an assistant turn is what stands
 * between the rendering up to its generation prompt and the rendering with the turn. Each part is encoded by itself, as
 * in serving, where the prompt's ids are made before the answer exists.
 */
#include <string.h>

#include "base/json.h"
#include "train/data.h"

static sv_err render(const sv_encoder *e, const json_t *messages, size_t n, const json_t *line, bool prompt,
                     sv_marked *out)
{
    json_t *part = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append(part, json_array_get(messages, i));
    sv_template_input in = { .messages = part,
                             .tools = json_object_get(line, "tools"),
                             .kwargs = json_object_get(line, "chat_template_kwargs"),
                             .bos_token = e->m->bos_token,
                             .eos_token = e->m->eos_token,
                             .add_generation_prompt = prompt };
    if (json_is_null(in.tools))
        in.tools = NULL;
    if (json_is_null(in.kwargs))
        in.kwargs = NULL;
    sv_marked_clear(out);
    sv_err err = sv_template_render(e->chat, &in, out);
    json_decref(part);
    return err;
}

static bool is_prefix(const sv_marked *part, const sv_marked *whole)
{
    return part->text.n <= whole->text.n &&
           (part->text.n == 0 || memcmp(part->text.p, whole->text.p, part->text.n) == 0);
}

/* Encodes bytes lo ... hi - 1 of a rendering with their marks; with `trust` all of them as the template's own. */
static sv_err encode_part(sv_encoder *e, const sv_marked *m, size_t lo, size_t hi, bool trust, bool counted)
{
    sv_marked part = { 0 };
    size_t from = 0;
    for (size_t i = 0; i < m->n_run && from < hi; i++) {
        size_t a = from > lo ? from : lo, b = m->run[i].end < hi ? m->run[i].end : hi;
        if (a < b)
            sv_marked_add(&part, (sv_str){ m->text.p + a, b - a }, trust || m->run[i].trusted);
        from = m->run[i].end;
    }
    sv_err err = sv_encoder_marked(e, &part, counted);
    sv_marked_done(&part);
    return err;
}

/* What stands behind the end token of a turn (a line break, mostly) is the template's and does not count. */
static void uncount_tail(sv_encoder *e, size_t from)
{
    size_t n = e->ids.n;
    while (n > from && !sv_encoder_is_end(e, e->ids.id[n - 1]))
        n--;
    if (n > from)
        memset(e->counted + n, 0, e->ids.n - n);
}

static bool trains(const json_t *message)
{
    const json_t *weight = json_object_get(message, "weight");
    if (json_is_false(json_object_get(message, "train")))
        return false;
    return !json_is_number(weight) || json_number_value(weight) > 0.0;
}

static bool is_assistant(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role != NULL && strcmp(role, "assistant") == 0;
}

typedef struct chat {
    sv_marked whole, before, with;
    size_t done; /* bytes of whole that are encoded */
} chat;

static sv_err add_turn(sv_encoder *e, const json_t *messages, size_t i, const json_t *line, chat *c)
{
    SV_TRY(render(e, messages, i, line, true, &c->before));
    SV_TRY(render(e, messages, i + 1, line, false, &c->with));
    if (!is_prefix(&c->before, &c->with) || !is_prefix(&c->with, &c->whole) || c->before.text.n < c->done) {
        e->n_turn_left++;
        return SV_OK;
    }
    SV_TRY(encode_part(e, &c->whole, c->done, c->before.text.n, e->trust_prompt, false));
    size_t from = e->ids.n;
    SV_TRY(encode_part(e, &c->whole, c->before.text.n, c->with.text.n, e->trust_completion, true));
    uncount_tail(e, from);
    c->done = c->with.text.n;
    return SV_OK;
}

static sv_err check_messages(const json_t *messages, const char *key, const char *where)
{
    size_t n = json_array_size(messages);
    if (!json_is_array(messages) || n == 0 || n > 65536)
        return sv_fail(SV_E_FORMAT,
                       "%s: '%s' has to be a list of 1 to 65,536 messages, such as "
                       "[{\"role\": \"user\", \"content\": \"Hi\"}]",
                       where, key);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(messages, i);
        if (!json_is_string(json_object_get(m, "role")))
            return sv_fail(SV_E_FORMAT, "%s: message %zu of '%s' has no role", where, i, key);
    }
    return SV_OK;
}

static sv_err add_chat(sv_encoder *e, const json_t *messages, size_t first, const json_t *line)
{
    chat c = { 0 };
    size_t n = json_array_size(messages), last = n;
    for (size_t i = n; i-- > 0 && last == n;)
        if (is_assistant(json_array_get(messages, i)))
            last = i;
    sv_err err = render(e, messages, n, line, false, &c.whole);
    for (size_t i = first; i < n && err == SV_OK; i++) {
        const json_t *m = json_array_get(messages, i);
        if (is_assistant(m) && trains(m) && (!e->last_turn_only || i == last))
            err = add_turn(e, messages, i, line, &c);
    }
    sv_marked_done(&c.whole);
    sv_marked_done(&c.before);
    sv_marked_done(&c.with);
    return err;
}

static sv_err need_template(const sv_encoder *e, const char *where)
{
    if (e->chat != NULL)
        return SV_OK;
    return sv_fail(SV_E_ARG, "%s: the line is a chat, but the model has no chat template%s%s; give data.template: FILE",
                   where, e->m->template_problem ? ": " : "", e->m->template_problem ? e->m->template_problem : "");
}

sv_err sv_data_chat(sv_encoder *e, const json_t *line, const char *where)
{
    const json_t *messages = json_object_get(line, "messages");
    SV_TRY(need_template(e, where));
    SV_TRY(check_messages(messages, "messages", where));
    sv_err err = add_chat(e, messages, 0, line);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s: ", where);
}

static sv_err add_texts(sv_encoder *e, sv_str prompt, sv_str completion, const char *where)
{
    if (e->chat != NULL && !e->allow_string_prompt)
        return sv_fail(SV_E_ARG,
                       "%s: the prompt is a string although the model has a chat template, so the model would never "
                       "see its end token in place; write data.template: none, or use lists of messages",
                       where);
    if (e->m->add_bos && e->m->config.bos >= 0)
        sv_encoder_id(e, (uint32_t)e->m->config.bos, false);
    sv_err err = sv_encoder_text(e, prompt, e->trust_prompt, false);
    if (err == SV_OK)
        err = sv_encoder_text(e, completion, e->trust_completion, true);
    if (err != SV_OK)
        return sv_fail_in(err, "%s: ", where);
    if (e->m->config.n_eos > 0)
        sv_encoder_id(e, e->m->config.eos[0], true);
    return SV_OK;
}

sv_err sv_data_completion(sv_encoder *e, const json_t *line, const char *where)
{
    const json_t *prompt = json_object_get(line, "prompt"), *completion = json_object_get(line, "completion");
    if (json_is_string(prompt) && json_is_string(completion))
        return add_texts(e, (sv_str){ json_string_value(prompt), json_string_length(prompt) },
                         (sv_str){ json_string_value(completion), json_string_length(completion) }, where);
    if (!json_is_array(prompt) || !json_is_array(completion))
        return sv_fail(SV_E_FORMAT, "%s: 'prompt' and 'completion' have to be both strings or both lists of messages",
                       where);
    SV_TRY(need_template(e, where));
    SV_TRY(check_messages(prompt, "prompt", where));
    SV_TRY(check_messages(completion, "completion", where));
    json_t *all = json_copy((json_t *)(uintptr_t)prompt);
    json_array_extend(all, (json_t *)(uintptr_t)completion);
    sv_err err = add_chat(e, all, json_array_size(prompt), line);
    json_decref(all);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s: ", where);
}
