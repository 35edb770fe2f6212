/* SPDX-License-Identifier: Apache-2.0
 * Tool calls as models write them, to and from OpenAI's form. Threads: values.
 */
#ifndef SV_SERVE_TOOLS_H
#define SV_SERVE_TOOLS_H

#include <jansson.h>

#include "infer/gram.h"

typedef enum sv_tool_format {
    SV_TOOLS_NONE,
    SV_TOOLS_JSON_TAG,   /* <tool_call>{"name": ..., "arguments": ...}</tool_call>: Qwen, Hermes */
    SV_TOOLS_DEEPSEEK_3, /* marks, the name on a line, arguments in a fence */
    SV_TOOLS_DEEPSEEK_31 /* marks, NAME<sep>ARGUMENTS */
} sv_tool_format;

/* By the marks that a chat template writes. */
sv_tool_format sv_tool_format_of(sv_str template_source);
/* Marks around a block of calls; NULL for NONE. */
const char *sv_tool_open(sv_tool_format f);
const char *sv_tool_close(sv_tool_format f);

typedef struct sv_tool_call {
    char id[32];           /* call_ and 24 letters that nobody can guess */
    char *name, *argument; /* the bytes that the model wrote; owned */
} sv_tool_call;

typedef struct sv_tool_calls {
    sv_tool_call *call;
    size_t n, cap;
} sv_tool_calls;
void sv_tool_calls_done(sv_tool_calls *c);

/* Appends the calls of a block, which stood between the marks. SV_E_FORMAT says why it is none; nothing is appended. */
sv_err sv_tool_parse(sv_tool_format f, sv_str block, sv_tool_calls *out);

/* One call, or one and more when `parallel`, of the tool `name` or of any when it is NULL, arguments as the tool's
 * parameters say. SV_E_UNSUPPORTED: a keyword in them that is not built. */
sv_err sv_tool_gram(sv_gram *g, sv_tool_format f, const json_t *tools, const char *name, bool parallel, uint32_t *node);

#endif
