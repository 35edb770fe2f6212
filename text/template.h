/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: a bounded subset of Jinja, rendered with marks that say which bytes came from the template.
 * Bounds: source 256 KiB, 65,536 nodes, nesting 64, 10^7 node steps, output 16 MiB, lists of 10^6 items.
 * Threads: a template is constant once made and may be shared.
 */
#ifndef SV_TEXT_TEMPLATE_H
#define SV_TEXT_TEMPLATE_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"
#include "text/marked.h"

typedef struct sv_template sv_template;

/* SV_E_UNSUPPORTED: a construct outside the subset, with line and column; SV_E_FORMAT: a syntax error. */
sv_err sv_template_make(sv_str source, const char *name, sv_template **out);
void sv_template_drop(sv_template *t);
sv_str sv_template_source(const sv_template *t);

typedef struct sv_template_input {
    const json_t *messages; /* array of {role, content, ...}; every string in it is untrusted but checked role names */
    const json_t *tools;    /* array or NULL; untrusted */
    const json_t *kwargs;   /* object or NULL: enable_thinking, ...; untrusted */
    const char *bos_token, *eos_token; /* NULL: undefined; trusted */
    bool add_generation_prompt;
} sv_template_input;

/* Appends the rendered prompt; nothing after a failure. SV_E_ARG with the text of raise_exception or a runtime fault
 * with its place; SV_E_LIMIT over a bound; SV_E_UNSUPPORTED for the little that only rendering can find. */
sv_err sv_template_render(const sv_template *t, const sv_template_input *in, sv_marked *out);

#endif
