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

/* What a server allows and proposes. */
typedef struct sv_ask_rules {
    uint32_t n_ctx, n_vocab;
    sv_sampling defaults; /* when the request is silent */
} sv_ask_rules;

typedef struct sv_ask {
    json_t *root;      /* the whole request; the views below point into it */
    const char *model; /* NULL: not said */
    const json_t *messages, *tools;
    json_t *kwargs;       /* of the template: owned, or NULL */
    const json_t *prompt; /* completions: a text or a list of ids */
    sv_sampling sampling;
    bool has_seed;
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
void sv_ask_done(sv_ask *a);

/* For other endpoints: a JSON object within the limits of a request. */
sv_err sv_ask_json(sv_str body, json_t **out);

#endif
