/* SPDX-License-Identifier: Apache-2.0
 * A string whose bytes are trusted (written by a template) or not (written by a user): text from a user never becomes a
 * special token, wherever it is pasted. Threads: values.
 */
#ifndef SV_TEXT_MARKED_H
#define SV_TEXT_MARKED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

typedef struct sv_run {
    size_t end; /* the run covers [end of the one before, end) */
    bool trusted;
} sv_run;

typedef struct sv_marked {
    sv_bytes text;
    sv_run *run; /* neighbours differ in `trusted`; the last ends at text.n */
    size_t n_run, cap_run;
} sv_marked;

void sv_marked_add(sv_marked *m, sv_str text, bool trusted);
void sv_marked_clear(sv_marked *m);
void sv_marked_done(sv_marked *m);

#endif
