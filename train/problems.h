/* SPDX-License-Identifier: Apache-2.0
 * Problems of a JSON-lines file: a prompt, a gold answer, a verifier each. Read and checked whole before anything runs.
 * Threads: constant once opened.
 */
#ifndef SV_TRAIN_PROBLEMS_H
#define SV_TRAIN_PROBLEMS_H

#include "train/verify.h"

typedef struct sv_problem {
    json_t *messages; /* list of {"role", "content"}; the last one is the user's */
    const sv_verifier *verifier;
    sv_gold gold;
    uint64_t line; /* in the file, from 1 */
} sv_problem;

typedef struct sv_problems {
    const char *name; /* the file */
    sv_problem *item;
    size_t n, cap;
    uint64_t n_unsupported; /* rows that were left out: good gold that the verifier does not cover */
    uint8_t hash[32];       /* SHA-256 of the file */
    sv_arena *arena;
} sv_problems;

/* A row has "prompt" (a text, or a list of messages), else "messages", "question" or "problem"; a gold answer
 * (sv_gold_read); and may name its "verifier", which verifier (may be NULL) stands above. A countdown row may do
 * without a prompt. max 0: all rows; else the first so many. skip_unsupported: leave them out and count them, else they
 * are errors. SV_E_FORMAT: file:line of the first fault, what is wrong, and how many rows have one. */
sv_err sv_problems_open(const char *path, const sv_verifier *verifier, uint64_t max, bool skip_unsupported,
                        sv_problems **out);
void sv_problems_close(sv_problems *p); /* NULL is fine */
/* The text of the last message. */
sv_str sv_problem_text(const sv_problem *p);

#endif
