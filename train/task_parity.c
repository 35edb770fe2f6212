/* SPDX-License-Identifier: Apache-2.0
 * parity: is the number of ones among twenty bits odd (1) or even (0)? A running count makes it easy, and without one
 * it is a coin toss, which a blind guess wins half of the time. Held out by the bits.
 */
#include <string.h>

#include "train/task_impl.h"

#define N 20u

static void find(uint64_t seed, sv_split split, uint32_t i, char bits[N])
{
    for (uint32_t attempt = 0;; attempt++) {
        uint32_t word = sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, attempt).w[0];
        for (uint32_t k = 0; k < N; k++)
            bits[k] = (char)('0' + (word >> k & 1));
        if (sv_task_is_held_out((sv_str){ bits, N }) == (split == SV_SPLIT_TEST))
            return;
    }
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    char bits[N];
    find(seed, split, i, bits);
    sv_bytes_add(out, bits, N);
    sv_bytes_char(out, ':');
}

static bool is_problem(sv_str *text)
{
    *text = sv_task_bare(*text);
    if (text->n != N)
        return false;
    for (size_t k = 0; k < N; k++)
        if (text->p[k] != '0' && text->p[k] != '1')
            return false;
    return true;
}

/* "1=1,0=1,1=2;": each bit and the ones so far. Returns their number; steps may be NULL. */
static uint32_t work(const char *bits, sv_bytes *steps)
{
    uint32_t ones = 0;
    for (uint32_t k = 0; k < N; k++) {
        ones += bits[k] == '1';
        if (steps != NULL)
            sv_bytes_printf(steps, "%c=%u%c", bits[k], ones, k + 1 < N ? ',' : ';');
    }
    return ones;
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    if (!is_problem(&text))
        return false;
    uint32_t odd = work(text.p, completion) % 2;
    if (completion != NULL)
        sv_bytes_printf(completion, "</think><answer>%u</answer>", odd);
    if (answer != NULL)
        sv_bytes_printf(answer, "%u", odd);
    return true;
}

static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    char bits[N];
    find(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_parity.n_train), bits);
    sv_bytes_add(message, bits, N);
    sv_bytes_char(message, ':');
    uint32_t ones = work(bits, (double)sv_philox_uniform(w.w[1]) < worked ? completion : NULL);
    sv_bytes_printf(completion, "</think><answer>%u</answer>", ones % 2);
}

static bool read_reply(sv_str text, uint32_t *odd)
{
    *odd = text.n == 1 && text.p[0] == '1';
    return text.n == 1 && (text.p[0] == '0' || text.p[0] == '1');
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    sv_str found;
    sv_verdict v;
    uint32_t odd;
    if (!is_problem(&text))
        return SV_VERDICT_UNSUPPORTED;
    if (!sv_task_block(output, ended, one_answer, &found, &v))
        return v;
    if (!read_reply(found, &odd))
        return SV_VERDICT_MALFORMED;
    return odd == work(text.p, NULL) % 2 ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

static bool answer(sv_str text, sv_str output, sv_bytes *out)
{
    sv_str found;
    uint32_t odd;
    (void)text;
    if (!sv_task_answer(output, false, &found) || !read_reply(found, &odd))
        return false;
    sv_bytes_printf(out, "%u", odd);
    return true;
}

static double blind(sv_str text)
{
    (void)text;
    return 0.5;
}

const sv_task sv_task_parity = {
    .name = "parity",
    .n_train = 60000,
    .n_test = 300,
    .problem = problem,
    .row = row,
    .solve = solve,
    .verify = verify,
    .answer = answer,
    .blind = blind,
    .n_force = 1,
    .max_tokens = 120,
    .tokenizer_json = sv_task_tokenizer_json,
    .tokenizer_config = sv_task_tokenizer_config,
    .config = sv_task_config,
};
