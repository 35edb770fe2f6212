/* SPDX-License-Identifier: Apache-2.0
 * reverse: eight digits from back to front, without thinking. The smoke test of a trainer: what copies, learns it.
 * Held out by the pair of a text and its reverse.
 */
#include <string.h>

#include "train/task_impl.h"

#define N 8u

typedef struct digits {
    char c[N];
} digits;

static digits reversed(digits d)
{
    digits out;
    for (uint32_t k = 0; k < N; k++)
        out.c[k] = d.c[N - 1 - k];
    return out;
}

static digits find(uint64_t seed, sv_split split, uint32_t i)
{
    for (uint32_t attempt = 0;; attempt++) {
        sv_philox w[2] = { sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, 2 * attempt),
                           sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, 2 * attempt + 1) };
        digits d, back;
        for (uint32_t k = 0; k < N; k++)
            d.c[k] = (char)('0' + sv_task_draw(w[k / 4].w[k % 4], 10));
        back = reversed(d);
        const char *first = memcmp(d.c, back.c, N) < 0 ? d.c : back.c;
        if (sv_task_is_held_out((sv_str){ first, N }) == (split == SV_SPLIT_TEST))
            return d;
    }
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    digits d = find(seed, split, i);
    sv_bytes_add(out, d.c, N);
    sv_bytes_char(out, ':');
}

static bool read_digits(sv_str text, digits *out)
{
    uint64_t unused;
    text = sv_task_bare(text);
    if (text.n != N || !sv_task_number(text, N, &unused))
        return false;
    memcpy(out->c, text.p, N);
    return true;
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    digits d;
    if (!read_digits(text, &d))
        return false;
    d = reversed(d);
    if (completion != NULL)
        sv_bytes_printf(completion, "</think><answer>%.*s</answer>", (int)N, d.c);
    if (answer != NULL)
        sv_bytes_add(answer, d.c, N);
    return true;
}

/* There is nothing to work out: worked changes no row. */
static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    digits d = find(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_reverse.n_train));
    (void)worked;
    sv_bytes_add(message, d.c, N);
    sv_bytes_char(message, ':');
    solve((sv_str){ d.c, N }, completion, NULL);
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    digits d, got;
    sv_str found;
    sv_verdict v;
    if (!read_digits(text, &d))
        return SV_VERDICT_UNSUPPORTED;
    if (!sv_task_block(output, ended, one_answer, &found, &v))
        return v;
    if (sv_str_ends(found, ":") || !read_digits(found, &got))
        return SV_VERDICT_MALFORMED;
    d = reversed(d);
    return memcmp(d.c, got.c, N) == 0 ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

static bool answer(sv_str text, sv_str output, sv_bytes *out)
{
    sv_str found;
    digits d;
    (void)text;
    if (!sv_task_answer(output, false, &found) || !read_digits(found, &d))
        return false;
    sv_bytes_add(out, d.c, N);
    return true;
}

/* Eight digits. */
static double blind(sv_str text)
{
    (void)text;
    return 1e-8;
}

const sv_task sv_task_reverse = {
    .name = "reverse",
    .n_train = 60000,
    .n_test = 300,
    .problem = problem,
    .row = row,
    .solve = solve,
    .verify = verify,
    .answer = answer,
    .blind = blind,
    .n_force = 0,
    .max_tokens = 40,
    .tokenizer_json = sv_task_tokenizer_json,
    .tokenizer_config = sv_task_tokenizer_config,
    .config = sv_task_config,
};
