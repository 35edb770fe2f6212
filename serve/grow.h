/* SPDX-License-Identifier: Apache-2.0
 * One answer as it grows, token by token: its text in parts, its log-probs, its ids, why it ended.
 * Threads: values.
 */
#ifndef SV_SERVE_GROW_H
#define SV_SERVE_GROW_H

#include <jansson.h>

#include "model/model.h"
#include "serve/cut.h"
#include "serve/serve_impl.h"
#include "serve/tools.h"

typedef struct sv_grow {
    const sv_model *m;
    const sv_ask *ask;
    bool chat;
    sv_decoder decoder;
    sv_cut cut;
    sv_bytes think, answer; /* grown since sv_grow_take was last asked to forget */
    json_t *tokens;         /* chat: entries; completions: an object of lists; NULL when not asked for */
    sv_ids ids;             /* drawn, the end token included */
    size_t n_text;          /* bytes decoded so far: text_offset */
    uint32_t n_reasoning, n_cached;
    sv_tool_format tools;
    sv_tool_calls calls;
    sv_bytes thought;     /* all of it */
    size_t n_said;        /* calls that a stream has told */
    char tool_error[200]; /* why a block of calls was none; "": all were */
    const char *finish;   /* NULL: it runs */
} sv_grow;

/* tools: the form of calls to look for. */
void sv_grow_init(sv_grow *g, const sv_model *m, const sv_ask *ask, bool chat, bool in_thought, sv_tool_format tools);
/* A prompt token that is echoed, with its log-prob. */
void sv_grow_score(sv_grow *g, const sv_event *ev);
void sv_grow_done(sv_grow *g);
/* True: a stop string has ended it, and the engine should be told. */
bool sv_grow_take(sv_grow *g, const sv_event *ev);
/* The log-probs gathered since the last call, or NULL. */
json_t *sv_grow_logprobs(sv_grow *g);

#endif
