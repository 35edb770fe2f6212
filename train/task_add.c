/* SPDX-License-Identifier: Apache-2.0
 * add: two numbers of 3 to 5 digits, added column by column on a scratchpad, from the last digits on with the carry.
 * A trainer that works brings it to 100 %. Held out by the unordered pair.
 */
#include <string.h>

#include "train/task_impl.h"

#define LEAST 3u /* digits */
#define MOST 5u
#define MAX_TEXT (2 * MOST + 1)

typedef struct sum {
    uint32_t a, b;
} sum;

/* One number without a leading zero. Uses words 0 and 1. */
static uint32_t number(uint32_t length_word, uint32_t word)
{
    uint32_t low = 1, n = LEAST + sv_task_draw(length_word, MOST - LEAST + 1);
    for (uint32_t k = 1; k < n; k++)
        low *= 10;
    return low + sv_task_draw(word, 9 * low);
}

static bool is_held_out(sum s)
{
    sv_bytes text = { 0 };
    sv_bytes_printf(&text, "%u+%u", s.a < s.b ? s.a : s.b, s.a < s.b ? s.b : s.a);
    bool held_out = sv_task_is_held_out((sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    return held_out;
}

static sum find(uint64_t seed, sv_split split, uint32_t i)
{
    for (uint32_t attempt = 0;; attempt++) {
        sv_philox w = sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, attempt);
        sum s = { number(w.w[0], w.w[1]), number(w.w[2], w.w[3]) };
        if (is_held_out(s) == (split == SV_SPLIT_TEST))
            return s;
    }
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    sum s = find(seed, split, i);
    sv_bytes_printf(out, "%u+%u:", s.a, s.b);
}

static bool read_number(sv_str text, uint32_t *out)
{
    uint64_t v;
    if (text.n < LEAST || text.p[0] == '0' || !sv_task_number(text, MOST, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool read_sum(sv_str text, sum *out)
{
    text = sv_task_bare(text);
    const char *plus = text.n > 0 ? memchr(text.p, '+', text.n) : NULL;
    if (plus == NULL || text.n > MAX_TEXT)
        return false;
    size_t n = (size_t)(plus - text.p);
    return read_number((sv_str){ text.p, n }, &out->a) && read_number((sv_str){ plus + 1, text.n - n - 1 }, &out->b);
}

/* "347+85;7+5+0=12,4+8+1=13,3+0+1=04;" */
static void work(sum s, sv_bytes *out)
{
    uint32_t carry = 0;
    sv_bytes_printf(out, "%u+%u;", s.a, s.b);
    do {
        uint32_t x = s.a % 10, y = s.b % 10, z = x + y + carry;
        s.a /= 10;
        s.b /= 10;
        sv_bytes_printf(out, "%u+%u+%u=%02u%c", x, y, carry, z, s.a || s.b ? ',' : ';');
        carry = z / 10;
    } while (s.a || s.b);
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    sum s;
    if (!read_sum(text, &s))
        return false;
    if (completion != NULL) {
        work(s, completion);
        sv_bytes_printf(completion, "</think><answer>%u</answer>", s.a + s.b);
    }
    if (answer != NULL)
        sv_bytes_printf(answer, "%u", s.a + s.b);
    return true;
}

static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    sum s = find(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_add.n_train));
    sv_bytes_printf(message, "%u+%u:", s.a, s.b);
    if ((double)sv_philox_uniform(w.w[1]) < worked)
        work(s, completion);
    sv_bytes_printf(completion, "</think><answer>%u</answer>", s.a + s.b);
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    sum s;
    sv_str found;
    sv_verdict v;
    uint64_t x;
    if (!read_sum(text, &s))
        return SV_VERDICT_UNSUPPORTED;
    if (!sv_task_block(output, ended, one_answer, &found, &v))
        return v;
    if (!sv_task_number(found, MOST + 2, &x))
        return SV_VERDICT_MALFORMED;
    return x == s.a + s.b ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

static bool answer(sv_str text, sv_str output, sv_bytes *out)
{
    sv_str found;
    uint64_t x;
    (void)text;
    if (!sv_task_answer(output, false, &found) || !sv_task_number(found, MOST + 2, &x))
        return false;
    sv_bytes_printf(out, "%llu", (unsigned long long)x);
    return true;
}

/* A number with as many digits as the larger one. */
static double blind(sv_str text)
{
    sum s;
    if (!read_sum(text, &s))
        return 0;
    double p = 1.0 / 9;
    for (uint32_t x = s.a > s.b ? s.a : s.b; x >= 10; x /= 10)
        p /= 10;
    return p;
}

const sv_task sv_task_add = {
    .name = "add",
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
