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

/* Where the answer stands in its grammar; false: it has left it, which only forced tokens can do. */
static bool follow(sv_job *j)
{
    uint32_t n = j->n_id - j->r.n_prompt;
    bool in = sv_guide_follow(j->r.guide, &j->at, j->id + j->r.n_prompt, j->n_guided, n);
    j->n_guided = n;
    return in;
}

static bool must_end(sv_job *j)
{
    return j->r.guide != NULL && follow(j) && sv_guide_must_end(j->r.guide, j->at);
}

/* Forbids what may not come. False: there is nothing left to draw, and the job is finished. */
static bool forbid(sv_engine *e, sv_job *j, float *z)
{
    const sv_request *r = &j->r;
    const sv_config *c = &e->model->config;
    bool may_end = false;
    for (uint32_t i = 0; r->ignore_eos && i < c->n_eos; i++)
        z[c->eos[i]] = -INFINITY;
    for (uint32_t i = 0; i < r->sampling.n_bias; i++)
        if (r->sampling.bias[i].by <= SV_BIAS_FORBIDS)
            z[r->sampling.bias[i].id] = -INFINITY;
    if (r->guide != NULL) {
        bool in = follow(j);
        may_end = in && sv_guide_may_end(r->guide, j->at);
        if (in)
            sv_guide_forbid(r->guide, j->at, c->eos, c->n_eos, z, e->n_real);
        if (in && sv_row_max(z, e->n_real) > -INFINITY)
            return true;
    } else if (r->sampling.n_bias == 0 || sv_row_max(z, e->n_real) > -INFINITY) {
        return true;
    }
    finish(e, j, may_end ? SV_FINISH_STOP : SV_FINISH_LENGTH);
    return false;
}

/* The next id is not drawn: a thought has used its budget up, and is closed. */
static bool force(sv_job *j, uint32_t *id)
{
    const sv_thought *t = j->r.thought.n_close > 0 ? &j->r.thought : NULL;
    if (t == NULL || (j->n_forced == 0 && !(j->in_thought && j->n_thought >= t->budget)) || j->n_forced == t->n_close)
        return false;
    *id = j->close[j->n_forced++];
    return true;
}

static void follow_thought(sv_job *j, uint32_t id)
{
    const sv_thought *t = &j->r.thought;
    if (t->n_close == 0)
        return;
    if (j->in_thought) {
        j->n_thought++;
        j->in_thought = id != t->close_id;
    } else if (id == t->open_id && j->n_thought == 0 && j->n_forced == 0) {
        j->in_thought = true;
    }
}

/* What is reported is the model's own distribution: before penalties, temperature and forbidden tokens. */
static void answer_draw(sv_engine *e, sv_job *j, float *z)
{
    const sv_request *r = &j->r;
    const sv_config *c = &e->model->config;
    sv_row_stat stat = { 0 };
    sv_event ev = { .kind = SV_EVENT_TOKEN, .ticket = j->ticket, .position = j->n_id, .logprob = NAN };
    bool report = r->want_logprob || r->n_logprob > 0;
    if (j->n_id == r->n_prompt) {
        e->n_hit += j->n_cached;
        e->n_miss += r->n_prompt - j->n_cached;
    }
    if (report) {
        stat = sv_row_stat_of(z, e->n_vocab);
        fill_top(e, &ev, z, r->n_logprob, stat);
    }
    if (!force(j, &ev.id)) {
        if (!forbid(e, j, z))
            return;
        ev.id = sv_sample(e->sampler, z, e->n_real, &r->sampling, j->id, j->n_id, j->n_id - r->n_prompt, j->n_id);
    }
    ev.n_cached = j->n_cached;
    if (report)
        ev.logprob = sv_row_logprob(stat, z[ev.id]);
    j->id[j->n_id++] = ev.id;
    follow_thought(j, ev.id);
    SV_PUSH(e->event, e->n_event, e->cap_event, ev);
    if (contains(j->stop, r->n_stop, ev.id) || (!r->ignore_eos && contains(c->eos, c->n_eos, ev.id)) || must_end(j))
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
