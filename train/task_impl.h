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
/* Fisher and Yates, one draw of (seed, task, split, i, position ...) per item. */
void sv_task_shuffle(uint8_t *item, uint32_t n, uint64_t seed, uint32_t split, uint32_t i, uint32_t position);

/* What stands between the tags of the last answer block of a well-formed output: it ends "</answer>", with or without
 * "<end>", and "</think>" stands directly before the last "<answer>". one_answer: there is just one block. */
bool sv_task_answer(sv_str output, bool one_answer, sv_str *answer);
/* ASCII digits alone, at most max_digits <= 18 of them. */
bool sv_task_number(sv_str text, uint32_t max_digits, uint64_t *out);

/* 25 tokens: <pad> <end> <think> </think> <answer> </answer> 0-9 + - * = , ; : ! ? */
extern const char sv_task_tokenizer_json[], sv_task_tokenizer_config[], sv_task_config[];

#endif
