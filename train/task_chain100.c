/* SPDX-License-Identifier: Apache-2.0
 * chain100: six digits 1-9 joined by five operators from + - *, worked left to right, each result modulo 100.
 * 129,140,163 problems; a problem is held out when FNV-1a-32 of its text is a multiple of 10.
 * A small model cannot answer directly, so it has a reason to think.
 */
#include <string.h>

#include "train/task_impl.h"

#define N_DIGIT 6
#define N_TEXT (2 * N_DIGIT - 1)

/* One of all problems, uniform. Positions 3 attempt ... 3 attempt + 2 of (seed, task, split, i). */
static void any_problem(uint64_t seed, uint32_t split, uint32_t i, uint32_t attempt, char text[N_TEXT])
{
    sv_philox w[3];
    for (uint32_t k = 0; k < 3; k++)
        w[k] = sv_philox_at(seed, SV_STREAM_TASK, split, i, 3 * attempt + k);
    for (uint32_t k = 0; k < N_TEXT; k++) {
        uint32_t word = w[k / 4].w[k % 4];
        text[k] = k % 2 == 0 ? (char)('1' + sv_task_draw(word, 9)) : "+-*"[sv_task_draw(word, 3)];
    }
}

static void find_problem(uint64_t seed, sv_split split, uint32_t i, char text[N_TEXT])
{
    for (uint32_t attempt = 0;; attempt++) {
        any_problem(seed, (uint32_t)split, i, attempt, text);
        if (sv_task_is_held_out((sv_str){ text, N_TEXT }) == (split == SV_SPLIT_TEST))
            return;
    }
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    char text[N_TEXT];
    find_problem(seed, split, i, text);
    sv_bytes_add(out, text, N_TEXT);
    sv_bytes_char(out, ':');
}

static int apply(int x, char op, int d)
{
    int y = op == '+' ? x + d : op == '-' ? x - d : x * d;
    return (y % 100 + 100) % 100;
}

/* Works a problem of valid form; steps may be NULL. */
static int work(const char *text, sv_bytes *steps)
{
    int x = text[0] - '0';
    for (size_t k = 1; k < N_TEXT; k += 2) {
        int y = apply(x, text[k], text[k + 1] - '0');
        if (steps != NULL)
            sv_bytes_printf(steps, "%d%c%c=%d%c", x, text[k], text[k + 1], y, k + 2 < N_TEXT ? ',' : ';');
        x = y;
    }
    return x;
}

static bool is_problem(sv_str p)
{
    if (p.n == N_TEXT + 1 && p.p[N_TEXT] == ':')
        p.n--;
    if (p.n != N_TEXT)
        return false;
    for (size_t k = 0; k < N_TEXT; k++)
        if (k % 2 == 0 ? p.p[k] < '1' || p.p[k] > '9' : p.p[k] == '\0' || strchr("+-*", p.p[k]) == NULL)
            return false;
    return true;
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    if (!is_problem(text))
        return false;
    int x = work(text.p, completion);
    if (completion != NULL)
        sv_bytes_printf(completion, "</think><answer>%d</answer>", x);
    if (answer != NULL)
        sv_bytes_printf(answer, "%d", x);
    return true;
}

static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    char text[N_TEXT];
    find_problem(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_chain100.n_train), text);
    sv_bytes_add(message, text, N_TEXT);
    sv_bytes_char(message, ':');
    if ((double)sv_philox_uniform(w.w[1]) < worked)
        solve((sv_str){ text, N_TEXT }, completion, NULL);
    else
        sv_bytes_printf(completion, "</think><answer>%d</answer>", work(text, NULL));
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    sv_str found;
    sv_verdict v;
    uint64_t x;
    if (!is_problem(text))
        return SV_VERDICT_UNSUPPORTED;
    if (!sv_task_block(output, ended, one_answer, &found, &v))
        return v;
    if (!sv_task_number(found, 4, &x))
        return SV_VERDICT_MALFORMED;
    return x == (uint64_t)work(text.p, NULL) ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

static bool answer(sv_str text, sv_str output, sv_bytes *out)
{
    sv_str found;
    uint64_t x;
    (void)text;
    if (!sv_task_answer(output, false, &found) || !sv_task_number(found, 4, &x))
        return false;
    sv_bytes_printf(out, "%llu", (unsigned long long)x);
    return true;
}

/* A number of at most two digits. */
static double blind(sv_str text)
{
    (void)text;
    return 0.01;
}

const sv_task sv_task_chain100 = {
    .name = "chain100",
    .n_train = 60000,
    .n_test = 300,
    .problem = problem,
    .row = row,
    .solve = solve,
    .verify = verify,
    .answer = answer,
    .blind = blind,
    .n_force = 1,
    .max_tokens = 110,
    .tokenizer_json = sv_task_tokenizer_json,
    .tokenizer_config = sv_task_tokenizer_config,
    .config = sv_task_config,
};
