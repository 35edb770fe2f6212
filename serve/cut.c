/* SPDX-License-Identifier: Apache-2.0
 * Stop strings, then thoughts.
 */
#include "serve/cut.h"

#include <string.h>

static const char open_mark[] = "<think>", close_mark[] = "</think>";

void sv_cut_init(sv_cut *c, const char *const *stop, uint32_t n_stop, bool include_stop, bool split, bool in_thought)
{
    *c = (sv_cut){ .stop = stop, .n_stop = n_stop, .include_stop = include_stop, .split = split };
    c->state = !split ? SV_CUT_ANSWER : in_thought ? SV_CUT_THINK : SV_CUT_START;
    c->has_text = !split;
}

void sv_cut_done(sv_cut *c)
{
    sv_bytes_done(&c->held);
    sv_bytes_done(&c->mark);
    sv_bytes_done(&c->block);
}

static void drop_front(sv_bytes *b, size_t n)
{
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = '\0';
}

/* Bytes at the end of s that may begin `word`. */
static size_t may_begin(sv_str s, const char *word, size_t n_word)
{
    size_t n = s.n < n_word - 1 ? s.n : n_word - 1;
    while (n > 0 && memcmp(s.p + s.n - n, word, n) != 0)
        n--;
    return n;
}

/* The first place of any stop string; s.n when there is none. */
static size_t find_stop(const sv_cut *c, size_t *n_found)
{
    size_t at = c->held.n;
    for (uint32_t i = 0; i < c->n_stop; i++) {
        size_t n = strlen(c->stop[i]);
        const char *p = c->held.n >= n ? memmem(c->held.p, c->held.n, c->stop[i], n) : NULL;
        if (p != NULL && (size_t)(p - c->held.p) < at) {
            at = (size_t)(p - c->held.p);
            *n_found = n;
        }
    }
    return at;
}

static void give(sv_cut *c, const char *p, size_t n, sv_bytes *think, sv_bytes *answer)
{
    bool thinks = c->state == SV_CUT_THINK;
    while (!c->has_text && n > 0 && *p == '\n') {
        p++;
        n--;
    }
    if (n == 0)
        return;
    c->has_text = true;
    sv_bytes_add(thinks ? think : answer, p, n);
    *(thinks ? &c->n_think : &c->n_answer) += n;
}

/* How much of the marked text is certain; line ends before a close mark belong to the mark. */
static size_t certain(const sv_cut *c, const char *mark)
{
    sv_str s = { c->mark.p, c->mark.n };
    s.n -= may_begin(s, mark, strlen(mark));
    while (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    return s.n;
}

/* Before any text: is it a thought? False: more text is needed to know. */
static bool decide_start(sv_cut *c, bool at_end)
{
    size_t skip = 0, n = sizeof open_mark - 1;
    while (skip < c->mark.n && strchr(" \t\r\n", c->mark.p[skip]) != NULL)
        skip++;
    size_t left = c->mark.n - skip;
    if (left >= n && memcmp(c->mark.p + skip, open_mark, n) == 0) {
        drop_front(&c->mark, skip + n);
        c->state = SV_CUT_THINK;
        c->has_text = false;
        return true;
    }
    if (!at_end && left < n && memcmp(c->mark.p + skip, open_mark, left) == 0)
        return false;
    c->state = SV_CUT_ANSWER;
    c->has_text = true;
    return true;
}

/* Ends the block at its close mark, or with the text. */
static void take_block(sv_cut *c, bool at_end)
{
    size_t n_mark = strlen(c->tool_close);
    const char *p = memmem(c->mark.p, c->mark.n, c->tool_close, n_mark);
    if (p == NULL && !at_end)
        return;
    size_t n = p != NULL ? (size_t)(p - c->mark.p) : c->mark.n;
    sv_bytes_clear(&c->block);
    sv_bytes_add(&c->block, n > 0 ? c->mark.p : "", n);
    c->has_block = true;
    c->block_closed = p != NULL;
    drop_front(&c->mark, p != NULL ? n + n_mark : n);
    c->state = SV_CUT_ANSWER;
    c->has_text = false;
}

/* An answer with blocks of calls in it; line ends before and behind them belong to them. */
static void split_tools(sv_cut *c, bool at_end, sv_bytes *think, sv_bytes *answer)
{
    size_t n_mark = strlen(c->tool_open);
    while (c->mark.n > 0 && !c->has_block) {
        if (c->state == SV_CUT_TOOL) {
            take_block(c, at_end);
            if (!c->has_block)
                return;
            continue;
        }
        const char *p = memmem(c->mark.p, c->mark.n, c->tool_open, n_mark);
        size_t n = p != NULL ? (size_t)(p - c->mark.p) : at_end ? c->mark.n : certain(c, c->tool_open), keep = n;
        while (p != NULL && keep > 0 && c->mark.p[keep - 1] == '\n')
            keep--;
        give(c, c->mark.p, keep, think, answer);
        drop_front(&c->mark, p != NULL ? n + n_mark : n);
        if (p == NULL)
            return;
        c->state = SV_CUT_TOOL;
    }
    if (at_end && c->state == SV_CUT_TOOL && !c->has_block)
        take_block(c, true);
}

static void split(sv_cut *c, bool at_end, sv_bytes *think, sv_bytes *answer)
{
    bool tool = c->state == SV_CUT_TOOL;
    if ((c->mark.n == 0 && !tool) || c->has_block || (c->state == SV_CUT_START && !decide_start(c, at_end)))
        return;
    if (c->state == SV_CUT_THINK) {
        const char *p = memmem(c->mark.p, c->mark.n, close_mark, sizeof close_mark - 1);
        size_t n = p != NULL ? (size_t)(p - c->mark.p) : at_end ? c->mark.n : certain(c, close_mark);
        size_t keep = n;
        while ((p != NULL || at_end) && keep > 0 && c->mark.p[keep - 1] == '\n')
            keep--;
        give(c, c->mark.p, keep, think, answer);
        drop_front(&c->mark, p != NULL ? n + sizeof close_mark - 1 : n);
        if (p == NULL)
            return;
        c->state = SV_CUT_ANSWER;
        c->has_text = false;
    }
    if (c->tool_open != NULL) {
        split_tools(c, at_end, think, answer);
    } else if (c->mark.n > 0) {
        give(c, c->mark.p, c->mark.n, think, answer);
        sv_bytes_clear(&c->mark);
    }
}

void sv_cut_put(sv_cut *c, sv_str text, sv_bytes *think, sv_bytes *answer)
{
    size_t n_found = 0, hold = 0;
    if (text.n == 0 && c->tool_open != NULL)
        split(c, false, think, answer);
    if (c->stopped || text.n == 0)
        return;
    sv_bytes_add(&c->held, text.p, text.n);
    size_t at = find_stop(c, &n_found);
    c->stopped = n_found > 0;
    for (uint32_t i = 0; i < c->n_stop && !c->stopped; i++) {
        size_t n = may_begin((sv_str){ c->held.p, c->held.n }, c->stop[i], strlen(c->stop[i]));
        hold = n > hold ? n : hold;
    }
    size_t pass = c->stopped ? at + (c->include_stop ? n_found : 0) : c->held.n - hold;
    if (pass > 0)
        sv_bytes_add(&c->mark, c->held.p, pass);
    drop_front(&c->held, pass);
    split(c, false, think, answer);
}

void sv_cut_end(sv_cut *c, sv_bytes *think, sv_bytes *answer)
{
    if (!c->stopped && c->held.n > 0)
        sv_bytes_add(&c->mark, c->held.p, c->held.n);
    sv_bytes_clear(&c->held);
    split(c, true, think, answer);
}
