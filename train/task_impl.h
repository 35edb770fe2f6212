/* SPDX-License-Identifier: Apache-2.0
 * For task*.c: draws, the form of an answer, the model that the built-in tasks share.
 * Threads: safe from any thread.
 */
#ifndef SV_TRAIN_TASK_IMPL_H
#define SV_TRAIN_TASK_IMPL_H

#include "num/philox.h"
#include "train/task.h"

#define SV_TASK_MAX_OUTPUT 65536u /* bytes; longer is malformed */

/* Uniform in 0 ... n - 1. */
static inline uint32_t sv_task_draw(uint32_t word, uint32_t n)
{
    return (uint32_t)(((uint64_t)word * n) >> 32);
}
/* Fisher and Yates (Durstenfeld 1964), one draw of (seed, stream, step, row, position ...) per item. */
void sv_task_shuffle(uint16_t *item, uint32_t n, uint64_t seed, uint32_t stream, uint32_t step, uint32_t row,
                     uint32_t position);
/* True for a tenth of all texts: FNV-1a-32 (Fowler, Noll, Vo) is a multiple of 10. A task hashes what makes a problem,
 * so that mirrored forms of one problem stand in one split. */
bool sv_task_is_held_out(sv_str text);

/* What stands between the tags of the last answer block of a well-formed output: it ends "</answer>", with or without
 * "<end>", and "</think>" stands directly before the last "<answer>". one_answer: there is just one block. */
bool sv_task_answer(sv_str output, bool one_answer, sv_str *answer);
/* The verdict that needs no look at the answer: true and *text when there is an answer to look at, else *v. */
bool sv_task_block(sv_str output, bool ended, bool one_answer, sv_str *text, sv_verdict *v);
/* A problem's text without the ":" at its end, if it has one. */
sv_str sv_task_bare(sv_str problem);
/* ASCII digits alone, at most max_digits <= 18 of them. */
bool sv_task_number(sv_str text, uint32_t max_digits, uint64_t *out);

/* 25 tokens: <pad> <end> <think> </think> <answer> </answer> 0-9 + - * = , ; : ! ? */
extern const char sv_task_tokenizer_json[], sv_task_tokenizer_config[], sv_task_config[];

#endif
