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
    for (uint32_t k = 0; k < j->n_page; k++) {
        sv_pages_give(e->pages, page[k]);
        page[k] = 0;
    }
    j->n_page = 0;
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
    if (!sv_pages_take(e->pages, &pages_of(e, j)[j->n_page]))
        return false;
    j->n_page++;
    return true;
}

static void start(sv_engine *e, sv_job *j)
{
    j->slot = 0;
    while (e->slot_used[j->slot])
        j->slot++;
    e->slot_used[j->slot] = true;
    e->running[e->n_running++] = j;
    for (uint32_t n = sv_pages_for(j->n_id); n > 0; n--)
        SV_ASSERT(take_page(e, j));
    if (j->r.score && j->n_scored == 0)
        sv_engine_begin_score(e, j);
}

/* In order of arrival: who does not fit yet is not overtaken. Every running sequence keeps room to grow by a page. */
void sv_engine_admit(sv_engine *e)
{
    while (e->first != NULL && e->n_running < e->max_running) {
        sv_job *j = e->first;
        if (sv_pages_for(j->n_id) + e->n_running > sv_pages_n_free(e->pages))
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
        if (is_decode(j))
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
    add_decode_rows(e);
    add_prompt_rows(e);
}
