/* SPDX-License-Identifier: Apache-2.0
 * The engine's thread. It takes orders between two steps and hands events out to turns.
 */
#include "serve/work.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

typedef struct choice {
    sv_ticket ticket; /* 0: not with the engine */
    bool done;        /* finished, cancelled or failed */
    bool cancel;      /* an order to the engine's thread */
    uint64_t last_ns; /* of its last token; 0: none yet */
} choice;

typedef struct turn_event {
    uint32_t choice;
    sv_event event;
} turn_event;

struct sv_turn {
    sv_turn *next; /* in the work's list */
    sv_work *w;
    sv_request request; /* prompt and stop are the turn's own */
    uint32_t *prompt, *stop, *close;
    sv_logit_bias *bias;
    choice choice[SV_ASK_MAX_CHOICE];
    uint32_t n, n_done;
    bool posted, dropped, failed;
    char why[512];
    uint64_t start_ns;
    turn_event *event;
    size_t n_event, cap_event, n_read;
    pthread_cond_t more;
    void (*notify)(void *ctx);
    void *notify_ctx;
};

struct sv_work {
    sv_engine *engine;
    uint32_t max_live;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    sv_turn *first, **last;
    uint32_t n_live; /* answers */
    bool orders;     /* a turn is new, cancelled or dropped */
    bool stop;
    char dead[512]; /* why nothing runs any more; "": it runs */
    sv_metrics m;
    sv_thread *thread;
};

static void cond_make(pthread_cond_t *c)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

/* ---- inside the lock ---- */

static void end_choice(sv_turn *t, choice *c)
{
    if (c->done)
        return;
    c->done = true;
    t->n_done++;
    t->w->n_live--;
    if (c->last_ns == 0)
        t->w->m.waiting--;
    else
        t->w->m.running--;
    sv_histogram_add(&t->w->m.whole, (double)(sv_clock_ns() - t->start_ns) * 1e-9);
}

static void tell(sv_turn *t)
{
    pthread_cond_signal(&t->more);
    if (t->notify != NULL)
        t->notify(t->notify_ctx);
}

static void fail_turn(sv_turn *t, const char *why)
{
    if (!t->failed)
        snprintf(t->why, sizeof t->why, "%s", why);
    t->failed = true;
    for (uint32_t i = 0; i < t->n; i++)
        end_choice(t, &t->choice[i]);
    tell(t);
}

static void free_turn(sv_turn *t)
{
    pthread_cond_destroy(&t->more);
    sv_mem_free(t->event);
    sv_mem_free(t->prompt);
    sv_mem_free(t->stop);
    sv_mem_free(t->close);
    sv_mem_free(t->bias);
    sv_guide_drop(t->request.guide);
    sv_mem_free(t);
}

static void fail_everything(sv_work *w, const char *why)
{
    if (w->dead[0] == '\0')
        snprintf(w->dead, sizeof w->dead, "%s", why);
    for (sv_turn *t = w->first; t != NULL; t = t->next) {
        for (uint32_t i = 0; i < t->n; i++)
            t->choice[i].cancel |= !t->choice[i].done;
        fail_turn(t, why);
    }
    w->orders = true;
    pthread_cond_signal(&w->wake);
}

static void post_turn(sv_work *w, sv_turn *t)
{
    t->posted = true;
    for (uint32_t i = 0; i < t->n && !t->failed; i++) {
        sv_request r = t->request;
        r.sampling.row = i;
        if (t->choice[i].done)
            continue;
        if (sv_engine_post(w->engine, &r, &t->choice[i].ticket) != SV_OK) {
            for (uint32_t k = 0; k < i; k++)
                t->choice[k].cancel = true;
            fail_turn(t, sv_err_text());
        }
    }
}

static void cancel_marked(sv_work *w, sv_turn *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        choice *c = &t->choice[i];
        if ((c->cancel || t->dropped) && c->ticket != 0) {
            sv_engine_cancel(w->engine, c->ticket);
            c->ticket = 0;
        }
        if ((c->cancel || t->dropped) && !c->done) {
            w->m.finished_abort += t->dropped;
            end_choice(t, c);
        }
        c->cancel = false;
    }
}

/* Orders are few and turns are hundreds at most, so every turn is looked at. */
static void obey(sv_work *w)
{
    w->orders = false;
    for (sv_turn **at = &w->first; *at != NULL;) {
        sv_turn *t = *at;
        if (!t->posted && !t->dropped && !t->failed)
            post_turn(w, t);
        cancel_marked(w, t);
        if (!t->dropped) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        if (w->last == &t->next)
            w->last = at;
        free_turn(t);
    }
}

static sv_turn *find(sv_work *w, sv_ticket ticket, uint32_t *i)
{
    for (sv_turn *t = w->first; t != NULL; t = t->next)
        for (*i = 0; *i < t->n; (*i)++)
            if (t->choice[*i].ticket == ticket)
                return t;
    return NULL;
}

static void count_token(sv_work *w, sv_turn *t, choice *c, bool is_token)
{
    uint64_t now = sv_clock_ns();
    if (c->last_ns == 0) {
        sv_histogram_add(&w->m.first_token, (double)(now - t->start_ns) * 1e-9);
        w->m.waiting--;
        w->m.running++;
    } else {
        sv_histogram_add(&w->m.inter_token, (double)(now - c->last_ns) * 1e-9);
    }
    c->last_ns = now;
    w->m.output_tokens += is_token;
}

static void hand_out(sv_work *w, const sv_event *ev)
{
    uint32_t i;
    sv_turn *t = find(w, ev->ticket, &i);
    if (t == NULL)
        return;
    choice *c = &t->choice[i];
    if (ev->kind == SV_EVENT_FINISH) {
        c->ticket = 0;
        if (!c->done) {
            w->m.finished_stop += ev->finish == SV_FINISH_STOP;
            w->m.finished_length += ev->finish == SV_FINISH_LENGTH;
            end_choice(t, c);
        } else {
            return;
        }
    } else if (c->done || c->cancel) {
        return;
    } else {
        count_token(w, t, c, ev->kind == SV_EVENT_TOKEN);
    }
    turn_event item = { i, *ev };
    SV_PUSH(t->event, t->n_event, t->cap_event, item);
    tell(t);
}

/* ---- the thread ---- */

static void work(void *arg)
{
    sv_work *w = arg;
    bool busy = false;
    for (;;) {
        sv_event ev;
        pthread_mutex_lock(&w->lock);
        while (!w->orders && !busy && !w->stop)
            pthread_cond_wait(&w->wake, &w->lock);
        if (w->orders) {
            obey(w);
            busy = true;
        }
        bool stop = w->stop;
        bool dead = w->dead[0] != '\0';
        sv_engine_count(w->engine, &w->m.engine);
        pthread_mutex_unlock(&w->lock);
        if (stop)
            return;
        if (dead)
            busy = false;
        if (!busy)
            continue;
        sv_err err = sv_engine_next(w->engine, &ev, &busy);
        if (err == SV_OK && !busy)
            continue;
        pthread_mutex_lock(&w->lock);
        if (err != SV_OK) {
            sv_log(SV_LOG_ERROR, "serve", "the engine stopped: %s", sv_err_text());
            fail_everything(w, sv_err_text());
        } else {
            hand_out(w, &ev);
        }
        pthread_mutex_unlock(&w->lock);
    }
}

sv_err sv_work_start(sv_engine *e, uint32_t max_running, uint32_t max_queue, sv_work **out)
{
    sv_work *w = sv_mem_new(sizeof *w);
    w->engine = e;
    w->max_live = max_running + max_queue;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    cond_make(&w->wake);
    sv_err err = sv_thread_start("sv-engine", work, w, &w->thread);
    if (err != SV_OK) {
        sv_work_stop(w);
        return err;
    }
    *out = w;
    return SV_OK;
}

void sv_work_stop(sv_work *w)
{
    if (w == NULL)
        return;
    if (w->thread != NULL) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
        sv_thread_join(w->thread);
    }
    for (sv_turn *t = w->first, *next; t != NULL; t = next) {
        next = t->next;
        free_turn(t);
    }
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    sv_mem_free(w);
}

void sv_work_fail_all(sv_work *w, const char *why)
{
    pthread_mutex_lock(&w->lock);
    fail_everything(w, why);
    pthread_mutex_unlock(&w->lock);
}

/* ---- turns ---- */

static uint32_t *copy_ids(const uint32_t *id, uint32_t n)
{
    uint32_t *p = sv_mem_new(sv_mem_mul_or_die((size_t)n + 1, sizeof *p));
    if (n > 0)
        memcpy(p, id, n * sizeof *p);
    return p;
}

sv_err sv_turn_post(sv_work *w, const sv_request *r, uint32_t n, sv_turn **out)
{
    SV_ASSERT(n >= 1 && n <= SV_ASK_MAX_CHOICE);
    sv_turn *t = sv_mem_new(sizeof *t);
    sv_err err = SV_OK;
    t->w = w;
    t->request = *r;
    t->request.prompt = t->prompt = copy_ids(r->prompt, r->n_prompt);
    t->request.stop = t->stop = copy_ids(r->stop, r->n_stop);
    t->request.thought.close = t->close = copy_ids(r->thought.close, r->thought.n_close);
    t->bias = sv_mem_new(((size_t)r->sampling.n_bias + 1) * sizeof *t->bias);
    if (r->sampling.n_bias > 0)
        memcpy(t->bias, r->sampling.bias, r->sampling.n_bias * sizeof *t->bias);
    t->request.sampling.bias = t->bias;
    if (r->guide != NULL)
        sv_guide_hold(r->guide);
    t->n = n;
    t->start_ns = sv_clock_ns();
    cond_make(&t->more);
    pthread_mutex_lock(&w->lock);
    if (w->dead[0] != '\0') {
        err = sv_fail(SV_E_CHIP, "%s", w->dead);
    } else if (w->n_live + n > w->max_live) {
        err =
            sv_fail(SV_E_BUSY, "%u answers are being made or wait, the most there may be; try again later", w->n_live);
    } else {
        w->n_live += n;
        w->m.waiting += n;
        w->m.prompt_tokens += r->n_prompt;
        *w->last = t;
        w->last = &t->next;
        w->orders = true;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    if (err != SV_OK)
        free_turn(t);
    else
        *out = t;
    return err;
}

static void deadline(uint32_t wait_ms, struct timespec *out)
{
    uint64_t ns = sv_clock_ns() + wait_ms * 1000000ull;
    out->tv_sec = (time_t)(ns / 1000000000u);
    out->tv_nsec = (long)(ns % 1000000000u);
}

sv_turn_state sv_turn_next(sv_turn *t, uint32_t wait_ms, uint32_t *which, sv_event *out)
{
    sv_turn_state state = SV_TURN_QUIET;
    struct timespec until;
    deadline(wait_ms, &until);
    pthread_mutex_lock(&t->w->lock);
    while (wait_ms > 0 && t->n_read == t->n_event && t->n_done < t->n && !t->failed)
        if (pthread_cond_timedwait(&t->more, &t->w->lock, &until) != 0)
            break;
    if (t->n_read < t->n_event) {
        *which = t->event[t->n_read].choice;
        *out = t->event[t->n_read++].event;
        if (t->n_read == t->n_event)
            t->n_read = t->n_event = 0;
        state = SV_TURN_EVENT;
    } else if (t->failed) {
        state = SV_TURN_FAILED;
        sv_fail(SV_E_CHIP, "%s", t->why);
    } else if (t->n_done == t->n) {
        state = SV_TURN_END;
    }
    pthread_mutex_unlock(&t->w->lock);
    return state;
}

void sv_turn_notify(sv_turn *t, void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&t->w->lock);
    t->notify = fn;
    t->notify_ctx = ctx;
    if (t->n_read < t->n_event || t->n_done == t->n || t->failed)
        fn(ctx);
    pthread_mutex_unlock(&t->w->lock);
}

static void order(sv_work *w)
{
    w->orders = true;
    pthread_cond_signal(&w->wake);
}

void sv_turn_cancel(sv_turn *t, uint32_t which)
{
    pthread_mutex_lock(&t->w->lock);
    choice *c = &t->choice[which];
    if (!c->done) {
        c->cancel = true;
        t->w->m.finished_stop++;
        end_choice(t, c);
        size_t n = t->n_read;
        for (size_t i = t->n_read; i < t->n_event; i++)
            if (t->event[i].choice != which)
                t->event[n++] = t->event[i];
        t->n_event = n;
        order(t->w);
    }
    pthread_mutex_unlock(&t->w->lock);
}

void sv_turn_drop(sv_turn *t)
{
    if (t == NULL)
        return;
    sv_work *w = t->w;
    pthread_mutex_lock(&w->lock);
    t->dropped = true;
    t->notify = NULL;
    order(w);
    pthread_mutex_unlock(&w->lock);
}

/* ---- counters ---- */

void sv_work_metrics(sv_work *w, sv_metrics *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->m;
    pthread_mutex_unlock(&w->lock);
}
