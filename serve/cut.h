/* SPDX-License-Identifier: Apache-2.0
 * From the text of an answer as it grows to what a client sees: stop strings end it, <think> ... </think> goes into a
 * part of its own, and so do blocks of tool calls. Text that may begin a mark or a stop string is held back, so the
 * parts are the same however the text was cut into tokens. Threads: values.
 */
#ifndef SV_SERVE_CUT_H
#define SV_SERVE_CUT_H

#include "base/str.h"

typedef enum sv_cut_state { SV_CUT_START, SV_CUT_THINK, SV_CUT_ANSWER, SV_CUT_TOOL } sv_cut_state;

typedef struct sv_cut {
    const char *const *stop; /* borrowed */
    uint32_t n_stop;
    bool include_stop;
    bool split;                         /* false: everything is content */
    const char *tool_open, *tool_close; /* marks around a block of tool calls; NULL: none are looked for */
    sv_bytes block;                     /* of the last block that has ended; the next one begins once it is taken */
    bool has_block, block_closed;       /* block_closed: by its mark, not by the end of the text */
    sv_cut_state state;
    bool stopped;             /* a stop string was found */
    sv_bytes held;            /* not yet past the stop strings */
    sv_bytes mark;            /* past them, not yet given out */
    bool has_text;            /* of the present part: white space at its front has been dropped */
    size_t n_think, n_answer; /* bytes given out */
} sv_cut;

/* in_thought: the prompt's end opened a thought. */
void sv_cut_init(sv_cut *c, const char *const *stop, uint32_t n_stop, bool include_stop, bool split, bool in_thought);
/* Appends what is certain to think and answer. c->has_block: a block of calls has ended; take it (clear the flag) and
 * put an empty text, until there is none. After c->stopped further text is dropped. */
void sv_cut_put(sv_cut *c, sv_str text, sv_bytes *think, sv_bytes *answer);
void sv_cut_end(sv_cut *c, sv_bytes *think, sv_bytes *answer);
void sv_cut_done(sv_cut *c);

#endif
