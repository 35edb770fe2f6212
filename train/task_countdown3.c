/* SPDX-License-Identifier: Apache-2.0
 * countdown-3: three numbers 1-9 and a target 10-99; find an expression of all three that gives the target, worked left
 * to right without precedence. 165 multisets, 3,054 expressions, 1,319 problems; whole multisets are held out.
 * A lucky guess is right once in twelve, so what helps is to try, look, and try again.
 */
#include <string.h>

#include "train/task_impl.h"

#define N_MULTISET 165u
#define MAX_EXPR 54u   /* of one multiset: 6 orders, 9 pairs of operators */
#define N_HELD_OUT 33u /* multisets, or as many more as it takes for N_TEST problems */
#define N_TEST 240u
#define MAX_PROBLEM 1319u
#define MAX_TRIES 4u
#define LEAST_TARGET 10
#define SPLIT_ORDER 2u /* step of the draws that shuffle the multisets; below are those of the splits */
#define TEST_ORDER 3u

typedef struct expr {
    uint8_t d[3];
    char op[2];
    int mid, value;
} expr;

typedef struct puzzle {
    uint8_t d[3]; /* in the order of the prompt */
    int target;
} puzzle;

/* ---- expressions ---- */

static int64_t apply(int64_t x, char op, int64_t d)
{
    return op == '+' ? x + d : op == '-' ? x - d : x * d;
}

/* Both results in 0 ... 99; of a mirrored pair the one with the larger number first. */
static bool is_kept(expr *e)
{
    e->mid = (int)apply(e->d[0], e->op[0], e->d[1]);
    e->value = (int)apply(e->mid, e->op[1], e->d[2]);
    return e->mid >= 0 && e->mid <= 99 && e->value >= 0 && e->value <= 99 && (e->op[0] == '-' || e->d[0] >= e->d[1]);
}

/* Expressions of a multiset in a fixed order. Returns how many. */
static uint32_t list(const uint8_t m[3], expr out[MAX_EXPR])
{
    static const uint8_t order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
    uint32_t n = 0, seen[6] = { 0 }, n_seen = 0;
    for (int p = 0; p < 6; p++) {
        uint8_t d[3] = { m[order[p][0]], m[order[p][1]], m[order[p][2]] };
        uint32_t code = d[0] * 100u + d[1] * 10u + d[2];
        bool again = false;
        for (uint32_t k = 0; k < n_seen; k++)
            again |= seen[k] == code;
        seen[n_seen++] = code;
        for (int ops = 0; !again && ops < 9; ops++) {
            expr e = { .d = { d[0], d[1], d[2] }, .op = { "+-*"[ops / 3], "+-*"[ops % 3] } };
            if (is_kept(&e))
                out[n++] = e;
        }
    }
    return n;
}

static void write_tries(const expr *e, const uint16_t *order, uint32_t n, int target, sv_bytes *out)
{
    for (uint32_t k = 0; k < n; k++) {
        const expr *t = &e[order[k]];
        char end = t->value == target ? '!' : k + 1 == n ? '?' : ';';
        sv_bytes_printf(out, "%u%c%u=%d,%d%c%u=%d%c", t->d[0], t->op[0], t->d[1], t->mid, t->mid, t->op[1], t->d[2],
                        t->value, end);
    }
}

static void write_answer(const expr *e, sv_bytes *completion)
{
    sv_bytes_printf(completion, "</think><answer>%u%c%u%c%u</answer>", e->d[0], e->op[0], e->d[1], e->op[1], e->d[2]);
}

/* ---- problems ---- */

/* Multiset k in ascending order. */
static void multiset(uint32_t k, uint8_t d[3])
{
    for (d[0] = 1; d[0] <= 9; d[0]++)
        for (d[1] = d[0]; d[1] <= 9; d[1]++)
            for (d[2] = d[1]; d[2] <= 9; d[2]++)
                if (k-- == 0)
                    return;
}

/* Targets that a multiset reaches, ascending. */
static uint32_t targets(const uint8_t d[3], uint8_t out[100])
{
    expr e[MAX_EXPR];
    bool has[100] = { false };
    uint32_t n_expr = list(d, e), n = 0;
    for (uint32_t k = 0; k < n_expr; k++)
        has[e[k].value] = true;
    for (int t = LEAST_TARGET; t < 100; t++)
        if (has[t])
            out[n++] = (uint8_t)t;
    return n;
}

/* All problems of a split: multiset and target of each. Returns how many. */
static uint32_t list_split(uint64_t seed, sv_split split, puzzle *out)
{
    uint16_t order[N_MULTISET];
    uint32_t n_test = 0, n = 0;
    for (uint16_t k = 0; k < N_MULTISET; k++)
        order[k] = k;
    sv_task_shuffle(order, N_MULTISET, seed, SV_STREAM_TASK, SPLIT_ORDER, 0, 0);
    for (uint32_t k = 0; k < N_MULTISET; k++) {
        uint8_t d[3], t[100];
        multiset(order[k], d);
        bool held_out = k < N_HELD_OUT || n_test < N_TEST;
        uint32_t n_target = targets(d, t);
        n_test += held_out ? n_target : 0;
        for (uint32_t i = 0; held_out == (split == SV_SPLIT_TEST) && i < n_target; i++)
            out[n++] = (puzzle){ .d = { d[0], d[1], d[2] }, .target = t[i] };
    }
    return n;
}

/* The numbers in one of six orders. */
static void reorder(puzzle *p, uint32_t word)
{
    for (uint32_t k = 3, code = sv_task_draw(word, 6); k > 1; k--) {
        uint32_t at = code % k;
        uint8_t t = p->d[k - 1];
        code /= k;
        p->d[k - 1] = p->d[at];
        p->d[at] = t;
    }
}

static puzzle find(uint64_t seed, sv_split split, uint32_t i)
{
    puzzle all[MAX_PROBLEM];
    uint32_t n = list_split(seed, split, all);
    sv_philox w = sv_philox_at(seed, SV_STREAM_TASK, (uint32_t)split, i, 0);
    puzzle p = all[sv_task_draw(w.w[0], n)];
    if (split == SV_SPLIT_TEST) { /* each problem once */
        uint16_t order[MAX_PROBLEM];
        for (uint32_t k = 0; k < n; k++)
            order[k] = (uint16_t)k;
        sv_task_shuffle(order, n, seed, SV_STREAM_TASK, TEST_ORDER, 0, 0);
        p = all[order[i % n]];
    }
    reorder(&p, w.w[1]);
    return p;
}

static void write_puzzle(const puzzle *p, sv_bytes *out)
{
    sv_bytes_printf(out, "%u,%u,%u:%d", p->d[0], p->d[1], p->d[2], p->target);
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    puzzle p = find(seed, split, i);
    write_puzzle(&p, out);
}

/* "5,2,4:11" */
static bool read_puzzle(sv_str text, puzzle *p)
{
    if (text.n != 8 || text.p[1] != ',' || text.p[3] != ',' || text.p[5] != ':')
        return false;
    for (int k = 0; k < 3; k++) {
        char c = text.p[2 * k];
        if (c < '1' || c > '9')
            return false;
        p->d[k] = (uint8_t)(c - '0');
    }
    if (text.p[6] < '1' || text.p[6] > '9' || text.p[7] < '0' || text.p[7] > '9')
        return false;
    p->target = 10 * (text.p[6] - '0') + (text.p[7] - '0');
    return true;
}

/* ---- rows ---- */

/* A blind searcher: up to K tries without repetition, stops on a hit. Returns whether it hit. */
static bool search(uint64_t seed, uint32_t step, uint32_t r, uint32_t attempt, const puzzle *p, sv_bytes *completion)
{
    expr e[MAX_EXPR];
    uint16_t order[MAX_EXPR];
    uint32_t n_expr = list(p->d, e), n = 0, from = 1 + attempt * (MAX_EXPR + 1);
    uint32_t most = 1 + sv_task_draw(sv_philox_at(seed, SV_STREAM_PROMPT, step, r, from).w[0], MAX_TRIES);
    for (uint16_t k = 0; k < n_expr; k++)
        order[k] = k;
    sv_task_shuffle(order, n_expr, seed, SV_STREAM_PROMPT, step, r, from + 1);
    while (n < most && n < n_expr && (n == 0 || e[order[n - 1]].value != p->target))
        n++;
    write_tries(e, order, n, p->target, completion);
    write_answer(&e[order[n - 1]], completion);
    return e[order[n - 1]].value == p->target;
}

/* worked: share of rows whose trace is drawn again until it hits. */
static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    puzzle p = find(seed, SV_SPLIT_TRAIN, sv_task_draw(w.w[0], sv_task_countdown3.n_train));
    size_t start = completion->n;
    bool again = (double)sv_philox_uniform(w.w[1]) < worked;
    write_puzzle(&p, message);
    for (uint32_t attempt = 0; !search(seed, step, r, attempt, &p, completion) && again; attempt++)
        completion->n = start;
}

/* One try: the first expression that hits. */
static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    puzzle p;
    expr e[MAX_EXPR];
    if (!read_puzzle(text, &p))
        return false;
    uint32_t n = list(p.d, e);
    for (uint16_t k = 0; k < n; k++) {
        if (e[k].value != p.target)
            continue;
        if (completion != NULL) {
            write_tries(e, &k, 1, p.target, completion);
            write_answer(&e[k], completion);
        }
        if (answer != NULL)
            sv_bytes_printf(answer, "%u%c%u%c%u", e[k].d[0], e[k].op[0], e[k].d[1], e[k].op[1], e[k].d[2]);
        return true;
    }
    return false;
}

/* ---- judging ---- */

typedef struct reply {
    uint64_t d[3];
    char op[2];
} reply;

/* Exactly num op num op num: ASCII digits and + - *, numbers of at most four digits. */
static bool read_reply(sv_str text, reply *out)
{
    for (int k = 0; k < 3; k++) {
        size_t n = 0;
        while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9')
            n++;
        if (!sv_task_number((sv_str){ text.p, n }, 4, &out->d[k]))
            return false;
        text = (sv_str){ text.p + n, text.n - n };
        if (k == 2)
            return text.n == 0;
        if (text.n == 0 || (text.p[0] != '+' && text.p[0] != '-' && text.p[0] != '*'))
            return false;
        out->op[k] = text.p[0];
        text = (sv_str){ text.p + 1, text.n - 1 };
    }
    return false;
}

static bool same_numbers(const puzzle *p, const reply *r)
{
    bool used[3] = { false };
    for (int k = 0; k < 3; k++) {
        int at = 0;
        while (at < 3 && (used[at] || p->d[at] != r->d[k]))
            at++;
        if (at == 3)
            return false;
        used[at] = true;
    }
    return true;
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    puzzle p;
    reply r;
    sv_str found;
    sv_verdict v;
    if (!read_puzzle(text, &p))
        return SV_VERDICT_UNSUPPORTED;
    if (!sv_task_block(output, ended, one_answer, &found, &v))
        return v;
    if (!read_reply(found, &r) || !same_numbers(&p, &r))
        return SV_VERDICT_MALFORMED;
    int64_t value = apply(apply((int64_t)r.d[0], r.op[0], (int64_t)r.d[1]), r.op[1], (int64_t)r.d[2]);
    return value == p.target ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

static bool answer(sv_str text, sv_str output, sv_bytes *out)
{
    sv_str found;
    reply r;
    (void)text;
    if (!sv_task_answer(output, false, &found) || !read_reply(found, &r))
        return false;
    sv_bytes_printf(out, "%u%c%u%c%u", (unsigned)r.d[0], r.op[0], (unsigned)r.d[1], r.op[1], (unsigned)r.d[2]);
    return true;
}

/* One of the multiset's expressions, drawn at random. */
static double blind(sv_str text)
{
    puzzle p;
    expr e[MAX_EXPR];
    uint32_t hit = 0;
    if (!read_puzzle(text, &p))
        return 0;
    uint32_t n = list(p.d, e);
    for (uint32_t k = 0; k < n; k++)
        hit += e[k].value == p.target;
    return n > 0 ? (double)hit / n : 0;
}

const sv_task sv_task_countdown3 = {
    .name = "countdown-3",
    .n_train = 6000,
    .n_test = N_TEST,
    .problem = problem,
    .row = row,
    .solve = solve,
    .verify = verify,
    .answer = answer,
    .blind = blind,
    .n_force = 0,
    .max_tokens = 110,
    .tokenizer_json = sv_task_tokenizer_json,
    .tokenizer_config = sv_task_tokenizer_config,
    .config = sv_task_config,
};
