/* SPDX-License-Identifier: Apache-2.0
 * From a request to the guide of its answer.
 */
#include "serve/form.h"

#include <string.h>

#include "infer/schema.h"

#define ANSWER_RESERVE 256u /* tokens kept for the answer behind a thought */

static sv_str source_of(const sv_model *m)
{
    return m->chat_template ? sv_template_source(m->chat_template) : SV_STR("");
}

sv_tool_format sv_form_tools(const sv_model *m)
{
    return sv_tool_format_of(source_of(m));
}

static bool knows_thoughts(const sv_model *m)
{
    uint32_t id;
    sv_str s = source_of(m);
    return sv_tokenizer_find(m->tokenizer, SV_STR("<think>"), &id) || memmem(s.p, s.n, "think>", 6) != NULL;
}

sv_thought_at sv_thought_of(const sv_model *m, sv_str end)
{
    while (end.n > 0 && strchr(" \n\t", end.p[end.n - 1]) != NULL)
        end.n--;
    if (sv_str_ends(end, "<think>"))
        return SV_THOUGHT_OPEN;
    if (sv_str_ends(end, "</think>"))
        return SV_THOUGHT_CLOSED;
    return knows_thoughts(m) ? SV_THOUGHT_MAY : SV_THOUGHT_NONE;
}

/* Made by whoever needs it first. */
static const sv_vocab *vocab_of(sv_served *h)
{
    sv_vocab *v = __atomic_load_n(&h->vocab, __ATOMIC_ACQUIRE), *none = NULL;
    if (v != NULL)
        return v;
    v = sv_vocab_make(h->model->tokenizer, h->rules.n_vocab);
    if (__atomic_compare_exchange_n(&h->vocab, &none, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return v;
    sv_vocab_drop(v);
    return none;
}

static sv_err answer(sv_served *h, sv_ask *a, sv_gram *g, uint32_t *out)
{
    uint32_t kid[2], n = 0;
    sv_tool_format f = sv_form_tools(h->model);
    if (a->tools != NULL && a->choice == SV_CHOICE_REQUIRED && f == SV_TOOLS_NONE) {
        a->param = "tool_choice";
        return sv_fail(SV_E_UNSUPPORTED, "tool_choice: this model's chat template has no form of tool calls");
    }
    if (a->tools != NULL && f != SV_TOOLS_NONE) {
        a->param = "tools";
        SV_TRY(sv_tool_gram(g, f, a->tools, a->choice_name, a->parallel_tools, &kid[n++]));
    }
    if (a->form != SV_FORM_TEXT && a->choice != SV_CHOICE_REQUIRED) {
        a->param = "response_format";
        if (a->form == SV_FORM_OBJECT)
            kid[n++] = sv_gram_map(g, sv_gram_value(g));
        else
            SV_TRY(sv_schema_compile(g, a->schema, "response_format.json_schema.schema", &kid[n++]));
    }
    a->param = NULL;
    *out = sv_gram_alt(g, kid, n);
    return SV_OK;
}

static sv_err build(sv_served *h, sv_ask *a, sv_thought_at thought, sv_gram *g)
{
    uint32_t body = 0;
    SV_TRY(answer(h, a, g, &body));
    uint32_t rest = sv_gram_leaf(g, SV_GRAM_THOUGHT), ws = sv_gram_leaf(g, SV_GRAM_WS_RUN);
    g->root = body;
    if (thought == SV_THOUGHT_OPEN) {
        g->root = sv_gram_seq(g, (uint32_t[]){ rest, ws, body }, 3);
    } else if (thought == SV_THOUGHT_MAY) {
        uint32_t think = sv_gram_seq(g, (uint32_t[]){ sv_gram_mark(g, "<think>"), rest, ws }, 3);
        g->root = sv_gram_seq(g, (uint32_t[]){ sv_gram_alt(g, (uint32_t[]){ think, 0 }, 2), body }, 2);
    }
    sv_gram_mark(g, "</think>"); /* a special token in some vocabularies */
    return SV_OK;
}

sv_err sv_form_guide(sv_served *h, sv_ask *a, sv_thought_at thought, sv_guide **out)
{
    sv_gram g;
    *out = NULL;
    if (a->form == SV_FORM_TEXT && a->choice != SV_CHOICE_REQUIRED)
        return SV_OK;
    sv_gram_init(&g);
    sv_err err = build(h, a, thought, &g);
    if (err == SV_OK)
        *out = sv_guide_make(&g, vocab_of(h));
    else
        sv_gram_done(&g);
    return err;
}

sv_err sv_form_thought(const sv_served *h, const sv_ask *a, sv_thought_at at, uint32_t n_left, sv_ids *close,
                       sv_thought *out)
{
    const sv_tokenizer *t = h->model->tokenizer;
    uint32_t most = a->max_tokens ? a->max_tokens : n_left, reserve = most / 2;
    sv_thought th = { .open = at == SV_THOUGHT_OPEN, .open_id = UINT32_MAX };
    *out = (sv_thought){ 0 };
    if (a->budget < 0 || (at != SV_THOUGHT_OPEN && at != SV_THOUGHT_MAY) ||
        !sv_tokenizer_find(t, SV_STR("</think>"), &th.close_id))
        return SV_OK;
    sv_tokenizer_find(t, SV_STR("<think>"), &th.open_id);
    if (a->budget_message != NULL)
        SV_TRY(sv_tokenizer_encode_plain(t, sv_str_of(a->budget_message), false, close));
    SV_TRY(sv_tokenizer_encode_plain(t, SV_STR("\n</think>\n\n"), true, close));
    reserve = most - (reserve < ANSWER_RESERVE ? reserve : ANSWER_RESERVE);
    th.budget = (uint64_t)a->budget < reserve ? (uint32_t)a->budget : reserve;
    th.close = close->id;
    th.n_close = (uint32_t)close->n;
    *out = th;
    return SV_OK;
}
