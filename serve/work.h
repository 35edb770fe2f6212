/* SPDX-License-Identifier: Apache-2.0
 * The one thread that owns the engine, and the turns (a request with its n answers) that other threads give it and read
 * from. Threads: all functions are safe from any thread; a turn is read by one thread.
 */
#ifndef SV_SERVE_WORK_H
#define SV_SERVE_WORK_H

#include "infer/engine.h"
#include "serve/ask.h"
#include "serve/metric.h"

typedef struct sv_work sv_work;
typedef struct sv_turn sv_turn;

/* max_queue: answers that may wait beside those that run. The engine is the work's until sv_work_stop. */
sv_err sv_work_start(sv_engine *e, uint32_t max_running, uint32_t max_queue, sv_work **out);
/* Fails what still runs, ends the thread. The engine is the caller's again. NULL is fine. */
void sv_work_stop(sv_work *w);
/* Every turn ends now, with `why` as its error; later ones too. */
void sv_work_fail_all(sv_work *w, const char *why);

/* n answers; answer i draws with row i. SV_E_BUSY: the queue is full. The prompt is copied. */
sv_err sv_turn_post(sv_work *w, const sv_request *r, uint32_t n, sv_turn **out);
typedef enum sv_turn_state { SV_TURN_EVENT, SV_TURN_QUIET, SV_TURN_END, SV_TURN_FAILED } sv_turn_state;
/* Waits up to wait_ms for an event of answer *choice. QUIET: none came; END: all answers are finished; FAILED: the
 * sentence is in sv_err_text. */
sv_turn_state sv_turn_next(sv_turn *t, uint32_t wait_ms, uint32_t *choice, sv_event *out);
/* fn(ctx) is called, from any thread and inside the work's lock, whenever there may be something to read; at once when
 * there is. Until the turn is dropped. */
void sv_turn_notify(sv_turn *t, void (*fn)(void *ctx), void *ctx);
void sv_turn_cancel(sv_turn *t, uint32_t choice); /* no further event of it but that it counts as finished */
void sv_turn_drop(sv_turn *t);                    /* cancels what still runs */

/* Counters, locked. */
void sv_work_metrics(sv_work *w, sv_metrics *out);

#endif
