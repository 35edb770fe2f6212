/* SPDX-License-Identifier: Apache-2.0
 * From rows of logits to events.
 */
#include <math.h>

#include "infer/engine_impl.h"
#include "infer/row.h"

static sv_event *push(sv_engine *e, sv_event_kind kind, const sv_job *j)
{
    sv_event ev = { .kind = kind, .ticket = j->ticket, .logprob = NAN };
    SV_PUSH(e->event, e->n_event, e->cap_event, ev);
    return &e->event[e->n_event - 1];
}

static void finish(sv_engine *e, sv_job *j, sv_finish why)
{
    sv_event *ev = push(e, SV_EVENT_FINISH, j);
    ev->finish = why;
    ev->n_prompt = j->r.n_prompt;
    ev->n_out = j->n_id - j->r.n_prompt;
    ev->n_cached = j->n_cached;
    sv_engine_retire(e, j);
    sv_job_drop(j);
}

static void fill_top(sv_engine *e, sv_event *ev, const float *z, uint32_t k, sv_row_stat stat)
{
    uint32_t id[SV_TOP_MAX];
    ev->n_top = sv_sampler_top(e->sampler, z, e->n_real, k, id);
    for (uint32_t i = 0; i < ev->n_top; i++)
        ev->top[i] = (sv_top){ id[i], sv_row_logprob(stat, z[id[i]]) };
}

static bool contains(const uint32_t *list, uint32_t n, uint32_t id)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == id)
            return true;
    return false;
}

/* What is reported is the model's own distribution: before penalties, temperature and forbidden tokens. */
static void answer_draw(sv_engine *e, sv_job *j, float *z)
{
    const sv_request *r = &j->r;
    const sv_config *c = &e->model->config;
    sv_row_stat stat = { 0 };
    sv_event *ev = push(e, SV_EVENT_TOKEN, j);
    bool report = r->want_logprob || r->n_logprob > 0;
    if (report) {
        stat = sv_row_stat_of(z, e->n_vocab);
        fill_top(e, ev, z, r->n_logprob, stat);
    }
    for (uint32_t i = 0; r->ignore_eos && i < c->n_eos; i++)
        z[c->eos[i]] = -INFINITY;
    uint32_t id = sv_sample(e->sampler, z, e->n_real, &r->sampling, j->id, j->n_id, j->n_id - r->n_prompt, j->n_id);
    ev->id = id;
    ev->position = j->n_id;
    ev->n_cached = j->n_cached;
    if (j->n_id == r->n_prompt) {
        e->n_hit += j->n_cached;
        e->n_miss += r->n_prompt - j->n_cached;
    }
    if (report)
        ev->logprob = sv_row_logprob(stat, z[id]);
    j->id[j->n_id++] = id;
    if (contains(j->stop, r->n_stop, id) || (!r->ignore_eos && contains(c->eos, c->n_eos, id)))
        finish(e, j, SV_FINISH_STOP);
    else if (j->n_id == j->n_max)
        finish(e, j, SV_FINISH_LENGTH);
}

static sv_event *push_score(sv_engine *e, sv_job *j, uint32_t position)
{
    sv_event *ev = push(e, SV_EVENT_SCORE, j);
    ev->id = j->id[position];
    ev->position = position;
    j->n_scored = position + 1;
    return ev;
}

/* Nothing stands before the first prompt token, so it has no log-prob. */
void sv_engine_begin_score(sv_engine *e, sv_job *j)
{
    push_score(e, j, 0);
    if (j->r.n_prompt == 1)
        finish(e, j, SV_FINISH_SCORED);
}

static void answer_score(sv_engine *e, sv_job *j, uint32_t position, const float *z, float lp)
{
    sv_event *ev = push_score(e, j, position);
    ev->logprob = lp;
    if (j->r.n_logprob > 0)
        fill_top(e, ev, z, j->r.n_logprob, sv_row_stat_of(z, e->n_vocab));
    if (j->n_scored == j->r.n_prompt)
        finish(e, j, SV_FINISH_SCORED);
}

void sv_engine_answer(sv_engine *e)
{
    for (uint32_t w = 0; w < e->n_want; w++) {
        sv_job *j = e->wanted_by[w].job;
        float *z = e->logits + (size_t)w * e->n_vocab;
        if (j->r.score)
            answer_score(e, j, e->wanted_by[w].position + 1, z, e->lp[w]);
        else
            answer_draw(e, j, z);
    }
}
