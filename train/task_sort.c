/* SPDX-License-Identifier: Apache-2.0
 * sort: seven digits put in ascending order by swaps, each state written out. Held out by what is sorted, not by its
 * order: no arrangement of a held-out set of digits is trained on.
 */
#include <string.h>

#include "train/task_impl.h"

#define N 7u

typedef struct digits {
    char c[N];
} digits;

static digits sorted(digits d)
{
    for (uint32_t i = 1; i < N; i++)
        for (uint32_t k = i; k > 0 && d.c[k - 1] > d.c[k]; k--) {
            char t = d.c[k];
            d.c[k] = d.c[k - 1];
            d.c[k - 1] = t;
        }
    return d;
}

static digits find(uint64_t seed, sv_split split, uint32_t i)
{
    for (uint32_t attempt = 0;; attempt++) {
        sv_philox w[2] = { sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, 2 * attempt),
                           sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, 2 * attempt + 1) };
        digits d, s;
        for (uint32_t k = 0; k < N; k++)
            d.c[k] = (char)('0' + sv_task_draw(w[k / 4].w[k % 4], 10));
        s = sorted(d);
        if (sv_task_is_held_out((sv_str){ s.c, N }) == (split == SV_SPLIT_TEST))
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

/* Selection sort: the smallest digit that is right of its place comes to it, the last of equal ones. */
static void work(digits d, sv_bytes *out)
{
    sv_bytes_add(out, d.c, N);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t least = i;
        for (uint32_t k = i + 1; k < N; k++)
            if (d.c[k] <= d.c[least] && d.c[k] < d.c[i])
                least = k;
        if (least == i)
            continue;
        char t = d.c[i];
        d.c[i] = d.c[least];
        d.c[least] = t;
        sv_bytes_char(out, ',');
        sv_bytes_add(out, d.c, N);
    }
    sv_bytes_char(out, ';');
}

static void write_answer(digits d, sv_bytes *out)
{
    digits s = sorted(d);
    sv_bytes_printf(out, "</think><answer>%.*s</answer>", (int)N, s.c);
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    digits d;
    if (!read_digits(text, &d))
        return false;
    if (completion != NULL) {
        work(d, completion);
        write_answer(d, completion);
    }
    d = sorted(d);
    if (answer != NULL)
        sv_bytes_add(answer, d.c, N);
    return true;
}

static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    digits d = find(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_sort.n_train));
    sv_bytes_add(message, d.c, N);
    sv_bytes_char(message, ':');
    if ((double)sv_philox_uniform(w.w[1]) < worked)
        work(d, completion);
    write_answer(d, completion);
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
    d = sorted(d);
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

/* The digits in a random order. */
static double blind(sv_str text)
{
    digits d;
    double p = 1;
    if (!read_digits(text, &d))
        return 0;
    d = sorted(d);
    for (uint32_t k = 0, run = 0; k < N; k++) {
        run = k > 0 && d.c[k] == d.c[k - 1] ? run + 1 : 1;
        p *= (double)run / (k + 1);
    }
    return p;
}

const sv_task sv_task_sort = {
    .name = "sort",
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
