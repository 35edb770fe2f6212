/* SPDX-License-Identifier: Apache-2.0
 * What the form of an answer has to be, as a guide for the engine: JSON, JSON of a schema, a forced tool call, each
 * perhaps behind a thought. Threads: safe from any.
 */
#ifndef SV_SERVE_FORM_H
#define SV_SERVE_FORM_H

#include "serve/served.h"
#include "serve/tools.h"

/* Where the prompt's end leaves a thought. */
typedef enum sv_thought_at { SV_THOUGHT_NONE, SV_THOUGHT_MAY, SV_THOUGHT_OPEN, SV_THOUGHT_CLOSED } sv_thought_at;
/* MAY: the model knows the marks, and may open one itself. */
sv_thought_at sv_thought_of(const sv_model *m, sv_str prompt);

/* *out is NULL when any text will do. Names the field at fault in a->param. */
sv_err sv_form_guide(sv_served *h, sv_ask *a, sv_thought_at thought, sv_guide **out);
/* The budget of a thought, so that an answer is left of max_tokens (0: n_left). close: ids that end it, the caller's.
 */
sv_err sv_form_thought(const sv_served *h, const sv_ask *a, sv_thought_at at, uint32_t n_left, sv_ids *close,
                       sv_thought *out);
sv_tool_format sv_form_tools(const sv_model *m);

#endif
