/* SPDX-License-Identifier: Apache-2.0
 * The serving engine: many requests on one runner. Prefill in chunks, decode of all running sequences in one step, KV
 * in pages. What a request gets never depends on its neighbours, the chunk size, the pages or the threads.
 * Threads: used by one thread at a time.
 */
#ifndef SV_INFER_ENGINE_H
#define SV_INFER_ENGINE_H

#include "infer/guide.h"
#include "infer/sample.h"
#include "model/runner.h"

typedef struct sv_engine sv_engine;
typedef uint64_t sv_ticket; /* 0: none */

typedef struct sv_engine_opts {
    const char *chip;
    sv_machine_opts machine;
    uint32_t n_ctx;       /* longest sequence, at most the model's; 0: the model's, at most 8,192 */
    uint32_t max_running; /* sequences in one step; 0: 1 */
    uint32_t n_page;      /* KV pages; 0: max_running sequences of n_ctx */
    uint32_t chunk;       /* prompt tokens in one step; 0: 256 */
    bool prefix;          /* requests of one space share the pages of a common beginning (prefix.h) */
    const sv_lora *lora;  /* an adapter beside the weights (runner.h); NULL: the model's own, if it has one */
    sv_runner *share;     /* serve from this runner's weights (runner.h); chip and machine are its own; NULL: none */
} sv_engine_opts;

sv_err sv_engine_open(const sv_model *m, const sv_engine_opts *opts, sv_engine **out);
void sv_engine_close(sv_engine *e); /* NULL is fine */

/* A thought has at most `budget` tokens behind its open mark; then `close` is forced: those ids enter the sequence, are
 * events, and carry the model's log-prob. */
typedef struct sv_thought {
    bool open;                  /* the prompt's end has opened it */
    uint32_t open_id, close_id; /* the marks; open_id UINT32_MAX: none */
    uint32_t budget;
    const uint32_t *close; /* copied */
    uint32_t n_close;      /* at most 1,024; 0: no budget */
} sv_thought;
#define SV_CLOSE_MAX 1024u

typedef struct sv_request {
    const uint32_t *prompt; /* ids; copied */
    uint32_t n_prompt;      /* >= 1; prompt + max_tokens must fit n_ctx */
    uint32_t max_tokens;    /* 0: up to n_ctx */
    sv_sampling sampling;   /* its bias is copied */
    sv_thought thought;
    const uint32_t *stop; /* ids that end the answer, besides the model's own; copied */
    uint32_t n_stop;
    bool ignore_eos;    /* the model's end ids do not exist for the draw */
    uint32_t n_logprob; /* top K per token to report, at most 20 */
    bool want_logprob;  /* report the log-prob of each drawn token */
    sv_guide *guide;    /* only texts of its grammar; held while the request lives; NULL: none */
    uint64_t space;     /* pages are shared within one space alone: a key's, say */
    bool score;         /* no drawing: report the log-prob of each prompt token given those before it */
} sv_request;

/* Queues a request. SV_E_ARG with the numbers when it can never fit. */
sv_err sv_engine_post(sv_engine *e, const sv_request *r, sv_ticket *out);
/* Cancelled within one step; its pages are free again; no further event. */
void sv_engine_cancel(sv_engine *e, sv_ticket t);

typedef enum sv_event_kind { SV_EVENT_TOKEN, SV_EVENT_SCORE, SV_EVENT_FINISH } sv_event_kind;
typedef enum sv_finish { SV_FINISH_STOP, SV_FINISH_LENGTH, SV_FINISH_SCORED } sv_finish;

typedef struct sv_top {
    uint32_t id;
    float logprob;
} sv_top;

typedef struct sv_event {
    sv_event_kind kind;
    sv_ticket ticket;
    uint32_t id;       /* TOKEN: drawn; SCORE: the prompt token */
    uint32_t position; /* absolute position of that token */
    float logprob;     /* NaN when not asked, or for the first prompt token */
    sv_top top[20];    /* descending log-prob, ties to the lowest id */
    uint32_t n_top;
    sv_finish finish;         /* FINISH */
    uint32_t n_prompt, n_out; /* FINISH */
    uint32_t n_cached;        /* TOKEN, FINISH: prompt tokens whose keys and values were there already */
} sv_event;

/* The next event, running steps as needed. False in *has: nothing is queued or running. The end token itself is an
 * event with kind TOKEN, then FINISH. */
sv_err sv_engine_next(sv_engine *e, sv_event *out, bool *has);

uint32_t sv_engine_ctx(const sv_engine *e);
sv_runner *sv_engine_runner(sv_engine *e);
/* Pages that no sequence holds. */
uint32_t sv_engine_free_pages(const sv_engine *e);
/* The weights have changed: pages of common beginnings are computed anew. Nothing may be queued or running. */
void sv_engine_forget(sv_engine *e);

typedef struct sv_engine_counts {
    uint32_t n_page, n_page_held;        /* held by sequences */
    uint64_t n_hit, n_miss;              /* prompt tokens that were there already, and those that were computed */
    uint64_t n_preempted, n_step, n_row; /* since the engine was opened */
} sv_engine_counts;
void sv_engine_count(const sv_engine *e, sv_engine_counts *out);

#endif
