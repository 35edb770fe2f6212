/* SPDX-License-Identifier: Apache-2.0
 * A request of the OpenAI API, from JSON to numbers: every field has a type and a range, and what does not fit is said
 * with the field's name, what was found and what is allowed. Nothing is clamped. Unknown fields are ignored and listed.
 * Threads: values.
 */
#ifndef SV_SERVE_ASK_H
#define SV_SERVE_ASK_H

#include <jansson.h>

#include "base/str.h"
#include "infer/sample.h"

#define SV_ASK_MAX_CHOICE 16u
#define SV_ASK_MAX_STOP 16u
#define SV_ASK_MAX_TOP 20u
#define SV_ASK_MAX_PROMPT 256u

/* What a server allows and proposes. */
typedef struct sv_ask_rules {
    uint32_t n_ctx, n_vocab;
    sv_sampling defaults; /* when the request is silent */
} sv_ask_rules;

typedef enum sv_ask_choice { SV_CHOICE_AUTO, SV_CHOICE_NONE, SV_CHOICE_REQUIRED } sv_ask_choice;
typedef enum sv_ask_form { SV_FORM_TEXT, SV_FORM_OBJECT, SV_FORM_SCHEMA } sv_ask_form;

typedef struct sv_ask {
    json_t *root;      /* the whole request; the views below point into it */
    const char *model; /* NULL: not said */
    const json_t *messages, *tools;
    json_t *kwargs;       /* of the template: owned, or NULL */
    const json_t *prompt; /* completions: see sv_ask_prompt */
    uint32_t n_prompt;
    bool one_prompt, only_echo; /* only_echo: nothing is drawn */
    sv_sampling sampling;
    sv_logit_bias *bias; /* owned; sampling points to it */
    bool has_seed;
    sv_ask_choice choice;
    const char *choice_name; /* REQUIRED: this one; NULL: any */
    bool parallel_tools;
    sv_ask_form form;
    const json_t *schema;
    bool has_budget; /* by a field of its own */
    int64_t budget;  /* of a thought, in tokens; -1: none */
    const char *budget_message;
    uint32_t max_tokens; /* 0: what the context leaves */
    uint32_t n;
    const char *stop[SV_ASK_MAX_STOP];
    uint32_t n_stop;
    bool logprobs;
    uint32_t n_top;
    bool stream, include_usage, ignore_eos, echo, include_stop, reasoning_in_content, continue_final;
    json_t *ignored;   /* names of fields without effect, owned */
    const char *param; /* after a failure: the field at fault, or NULL */
} sv_ask;

/* chat: /v1/chat/completions, else /v1/completions. The sentence of a failure is for the client. SV_E_UNSUPPORTED: a
 * field that is right but not built. */
sv_err sv_ask_parse(sv_str body, bool chat, const sv_ask_rules *rules, sv_ask *out);
/* The same from JSON, which becomes the ask's. */
sv_err sv_ask_read(json_t *root, bool chat, const sv_ask_rules *rules, sv_ask *out);
void sv_ask_done(sv_ask *a);
/* Prompt i of a completion: a text or a list of ids. */
const json_t *sv_ask_prompt(const sv_ask *a, uint32_t i);
const char *sv_ask_tool_name(const json_t *tools, size_t i);

/* For other endpoints: a JSON object within the limits of a request. */
sv_err sv_ask_json(sv_str body, json_t **out);

#endif
