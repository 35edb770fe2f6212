/* SPDX-License-Identifier: Apache-2.0
 * The engine's inside: jobs, and the step that is being put together.
 * Threads: as engine.h.
 */
#ifndef SV_INFER_ENGINE_IMPL_H
#define SV_INFER_ENGINE_IMPL_H

#include "infer/engine.h"
#include "infer/prefix.h"

#define SV_TOP_MAX 20   /* of sv_event.top */
#define SV_RATE_ROWS 32 /* steps with fewer rows tell nothing of the rate of prompts */

/* A request from post to its end. */
typedef struct sv_job {
    struct sv_job *next; /* in the queue */
    sv_ticket ticket;
    sv_request r;           /* prompt and stop point into memory of the job's own */
    uint32_t *id;           /* [n_max] prompt, then what was drawn */
    uint32_t *stop, *close; /* [r.n_stop], [r.thought.n_close] */
    sv_logit_bias *bias;    /* [r.sampling.n_bias] */
    uint32_t n_thought, n_forced;
    bool in_thought;
    uint32_t n_id, n_max;
    uint32_t n_done;   /* positions whose keys and values are in pages */
    uint32_t n_scored; /* score: prompt tokens reported */
    uint32_t n_page;   /* pages held: the first entries of its row of the table */
    uint32_t n_tree;   /* of them in the tree of prefixes: the first ones */
    sv_guide_at at;    /* behind the first n_guided ids of the answer */
    uint32_t n_guided;
    uint32_t n_cached; /* prompt tokens found there */
    uint32_t slot;     /* its row of the table */
} sv_job;

/* A row of logits that a job asked for. */
typedef struct sv_wanted_by {
    sv_job *job;
    uint32_t position; /* of the row; what comes out is about position + 1 */
} sv_wanted_by;

struct sv_engine {
    sv_runner *runner;
    const sv_model *model;
    uint32_t n_ctx, n_vocab, n_real; /* ids from n_real on have no token */
    uint32_t max_running, chunk, n_column, n_page;
    uint32_t max_score, max_want; /* rows of logits in one step: of scores, and of all */
    sv_pages *pages;
    sv_prefix *prefix;
    bool shares; /* looks for common beginnings */
    sv_sampler *sampler;
    sv_ticket last_ticket;

    sv_job *first, *last; /* queue */
    sv_job **running;     /* [max_running] oldest first */
    uint32_t n_running;
    bool *slot_used; /* [max_running] */
    uint64_t n_preempted, n_hit, n_miss, n_step, n_row;

    int32_t *tok, *pos, *seq; /* [max_running + chunk] */
    int32_t *table;           /* [max_running, n_column] */
    int32_t *want, *target;   /* [max_want] */
    sv_wanted_by *wanted_by;  /* [max_want] */
    uint32_t n_tok, n_want, n_score;
    bool wants_logits, wants_lp; /* on the host */
    float *logits, *lp;          /* [max_want, n_vocab], [max_want] */
    uint64_t logits_bytes;
    double ns_row; /* measured, of steps with many rows; 0: not yet */

    sv_event *event; /* [n_event] of the last step; those before next_event are gone */
    size_t n_event, cap_event, next_event;
};

/* schedule.c: moves jobs from the queue to running while pages last, and lays out the rows of a step. */
void sv_engine_admit(sv_engine *e);
void sv_engine_layout(sv_engine *e);
/* Pages that the step has filled go into the tree. */
void sv_engine_share(sv_engine *e);
/* Gives pages and slot back. The job is then neither running nor queued. */
void sv_engine_retire(sv_engine *e, sv_job *j);
void sv_job_drop(sv_job *j);

/* answer.c: what comes out of the step's rows of logits: draws, scores, events, ends. */
void sv_engine_answer(sv_engine *e);
void sv_engine_begin_score(sv_engine *e, sv_job *j);

#endif
