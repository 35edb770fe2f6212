/* SPDX-License-Identifier: Apache-2.0
 * Who runs, and which rows a step has. It may follow the clock and the load: no bit depends on it.
 */
#include "infer/engine_impl.h"

#include <string.h>

#define STEP_NS 100e6 /* a step that others decode in is kept under this */

void sv_job_drop(sv_job *j)
{
    if (j == NULL)
        return;
    sv_mem_free(j->id);
    sv_mem_free(j->stop);
    sv_mem_free(j->close);
    sv_mem_free(j->bias);
    sv_guide_drop(j->r.guide);
    sv_mem_free(j);
}

static int32_t *pages_of(sv_engine *e, const sv_job *j)
{
    return e->table + (size_t)j->slot * e->n_column;
}

void sv_engine_retire(sv_engine *e, sv_job *j)
{
    int32_t *page = pages_of(e, j);
    uint32_t i = 0;
    while (e->running[i] != j)
        i++;
    memmove(&e->running[i], &e->running[i + 1], (--e->n_running - i) * sizeof *e->running);
    for (uint32_t k = j->n_page; k-- > 0;) { /* the last one first: prefix.h */
        sv_prefix_give(e->prefix, page[k]);
        page[k] = 0;
    }
    j->n_page = j->n_tree = 0;
    e->slot_used[j->slot] = false;
}

/* The youngest goes back to the head of the queue and is computed again later: the same bits. */
static void preempt(sv_engine *e)
{
    sv_job *j = e->running[e->n_running - 1];
    sv_engine_retire(e, j);
    e->n_preempted++;
    j->n_done = 0;
    j->next = e->first;
    e->first = j;
    if (e->last == NULL)
        e->last = j;
}

static bool take_page(sv_engine *e, sv_job *j)
{
    if (!sv_prefix_take(e->prefix, &pages_of(e, j)[j->n_page]))
        return false;
    j->n_page++;
    return true;
}

/* The page in the tree that holds the next SV_PAGE ids of j, or SV_NO_PAGE. The last id is always computed: its logits
 * are wanted. A score wants them of every id. */
static int32_t next_shared(const sv_engine *e, const sv_job *j, uint32_t n_before, int32_t parent)
{
    if (!e->shares || j->r.score || (n_before + 1) * SV_PAGE >= j->n_id)
        return SV_NO_PAGE;
    return sv_prefix_find(e->prefix, j->r.space, parent, j->id + n_before * SV_PAGE);
}

static void count_cached(sv_job *j)
{
    if (j->n_id == j->r.n_prompt)
        j->n_cached += SV_PAGE;
}

/* What is in the tree already needs no pages of its own, and no room when others hold it. */
static bool has_room(const sv_engine *e, const sv_job *j)
{
    uint32_t need = sv_pages_for(j->n_id) + e->n_running, n = 0;
    int32_t page = SV_NO_PAGE;
    while ((page = next_shared(e, j, n, page)) != SV_NO_PAGE) {
        n++;
        need -= !sv_prefix_is_idle(e->prefix, page);
    }
    return need <= sv_prefix_n_free(e->prefix);
}

static void hold_shared(sv_engine *e, sv_job *j)
{
    int32_t page = SV_NO_PAGE;
    j->n_tree = 0;
    while ((page = next_shared(e, j, j->n_tree, page)) != SV_NO_PAGE) {
        sv_prefix_hold(e->prefix, page);
        pages_of(e, j)[j->n_page++] = page;
        j->n_tree++;
        count_cached(j);
    }
    j->n_done = j->n_tree * SV_PAGE;
}

static int32_t last_in_tree(sv_engine *e, const sv_job *j)
{
    return j->n_tree > 0 ? pages_of(e, j)[j->n_tree - 1] : SV_NO_PAGE;
}

/* Others may have filled pages that this one was going to compute. */
static void adopt(sv_engine *e, sv_job *j)
{
    int32_t page;
    while (j->n_done == j->n_tree * SV_PAGE &&
           (page = next_shared(e, j, j->n_tree, last_in_tree(e, j))) != SV_NO_PAGE) {
        int32_t *own = &pages_of(e, j)[j->n_tree];
        SV_ASSERT(j->n_tree < j->n_page);
        sv_prefix_hold(e->prefix, page);
        sv_prefix_give(e->prefix, *own);
        *own = page;
        j->n_tree++;
        j->n_done += SV_PAGE;
        count_cached(j);
    }
}

/* An older sequence is about to fill the page that j needs next: j waits for it instead of computing it too. When the
 * older one ends or is cancelled, j goes on by itself. */
static bool is_lent_soon(sv_engine *e, const sv_job *j)
{
    uint32_t n = j->n_tree, end = (n + 1) * SV_PAGE;
    if (!e->shares || j->r.score || j->n_done != n * SV_PAGE || end >= j->n_id)
        return false;
    for (uint32_t i = 0; e->running[i] != j; i++) {
        const sv_job *o = e->running[i];
        bool there = !o->r.score && o->r.space == j->r.space && o->n_tree == n && o->n_id >= end &&
                     last_in_tree(e, o) == last_in_tree(e, j);
        if (there && memcmp(o->id + n * SV_PAGE, j->id + n * SV_PAGE, SV_PAGE * sizeof *j->id) == 0)
            return true;
    }
    return false;
}

void sv_engine_share(sv_engine *e)
{
    for (uint32_t i = 0; e->shares && i < e->n_running; i++) {
        sv_job *j = e->running[i];
        while (!j->r.score && (j->n_tree + 1) * SV_PAGE <= j->n_done) {
            sv_prefix_add(e->prefix, j->r.space, last_in_tree(e, j), j->id + j->n_tree * SV_PAGE,
                          &pages_of(e, j)[j->n_tree]);
            j->n_tree++;
        }
    }
}

static void start(sv_engine *e, sv_job *j)
{
    j->slot = 0;
    while (e->slot_used[j->slot])
        j->slot++;
    e->slot_used[j->slot] = true;
    e->running[e->n_running++] = j;
    hold_shared(e, j);
    while (j->n_page < sv_pages_for(j->n_id))
        SV_ASSERT(take_page(e, j));
    if (j->r.score && j->n_scored == 0)
        sv_engine_begin_score(e, j);
}

/* In order of arrival: who does not fit yet is not overtaken. Every running sequence keeps room to grow by a page. */
void sv_engine_admit(sv_engine *e)
{
    while (e->first != NULL && e->n_running < e->max_running) {
        sv_job *j = e->first;
        if (!has_room(e, j))
            return;
        e->first = j->next;
        if (e->first == NULL)
            e->last = NULL;
        j->next = NULL;
        start(e, j);
    }
}

static void add_want(sv_engine *e, sv_job *j, uint32_t position)
{
    e->want[e->n_want] = (int32_t)e->n_tok;
    e->target[e->n_want] = j->r.score ? (int32_t)j->id[position + 1] : 0;
    e->wanted_by[e->n_want] = (sv_wanted_by){ j, position };
    e->wants_lp |= j->r.score;
    e->wants_logits |= !j->r.score || j->r.n_logprob > 0;
    e->n_score += j->r.score;
    e->n_want++;
}

static void add_row(sv_engine *e, sv_job *j, uint32_t position, bool wanted)
{
    if (wanted)
        add_want(e, j, position);
    e->tok[e->n_tok] = (int32_t)j->id[position];
    e->pos[e->n_tok] = (int32_t)position;
    e->seq[e->n_tok] = (int32_t)j->slot;
    e->n_tok++;
}

/* Rows that a job still has to run before its next answer. A scored prompt's last token predicts nothing asked for. */
static uint32_t rows_due(const sv_job *j)
{
    return j->n_id - j->n_done - (j->r.score ? 1 : 0);
}

static bool is_decode(const sv_job *j)
{
    return !j->r.score && rows_due(j) == 1;
}

/* One row for each running sequence that has one token to extend. Older ones come first and may push out the youngest.
 */
static void add_decode_rows(sv_engine *e)
{
    for (uint32_t i = 0; i < e->n_running; i++) {
        sv_job *j = e->running[i];
        if (!is_decode(j))
            continue;
        while (i < e->n_running && j->n_page < sv_pages_for(j->n_done + 1) && !take_page(e, j))
            preempt(e);
        if (i < e->n_running)
            add_row(e, j, j->n_done, true);
    }
}

/* Prompt tokens of this step: with others decoding, as many as keep it short by the measured rate, by powers of two so
 * that shapes repeat. Never fewer than the rate is measured with: a prompt gets on, and one slow step is forgotten. */
static uint32_t prompt_budget(const sv_engine *e)
{
    if (e->n_tok == 0 || e->ns_row <= 0)
        return e->chunk;
    uint32_t n = SV_RATE_ROWS;
    while (2 * n <= e->chunk && (double)(e->n_tok + 2 * n) * e->ns_row <= STEP_NS)
        n *= 2;
    return n < e->chunk ? n : e->chunk;
}

/* How many of its rows a job may add: a score asks for logits in each but those reported before a preemption. */
static uint32_t rows_allowed(const sv_engine *e, const sv_job *j, uint32_t budget)
{
    uint32_t n = rows_due(j) < budget ? rows_due(j) : budget;
    if (!j->r.score)
        return n;
    uint32_t reported = j->n_scored > j->n_done + 1 ? j->n_scored - 1 - j->n_done : 0;
    uint32_t most = reported + (e->max_score - e->n_score);
    return n < most ? n : most;
}

static void add_prompt_rows(sv_engine *e)
{
    uint32_t budget = prompt_budget(e);
    for (uint32_t i = 0; i < e->n_running && budget > 0; i++) {
        sv_job *j = e->running[i];
        if (is_decode(j) || is_lent_soon(e, j))
            continue;
        uint32_t n = rows_allowed(e, j, budget);
        bool ends = n == rows_due(j);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t position = j->n_done + k;
            add_row(e, j, position, j->r.score ? position + 1 >= j->n_scored : ends && k + 1 == n);
        }
        budget -= n;
    }
}

void sv_engine_layout(sv_engine *e)
{
    e->n_tok = e->n_want = e->n_score = 0;
    e->wants_logits = e->wants_lp = false;
    for (uint32_t i = 0; i < e->n_running; i++)
        adopt(e, e->running[i]);
    add_decode_rows(e);
    add_prompt_rows(e);
}
