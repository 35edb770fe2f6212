/* SPDX-License-Identifier: Apache-2.0
 * The events of a run as one SQLite file, for queries: log.jsonl says the same, and the file is made again from it when
 * it is missing, damaged or behind. Built without SQLite, all of this is nothing.
 * Threads: used by one thread at a time; readers may look on (WAL).
 *
 *     run(key, value)                    recipe (JSON), method, name, opset
 *     metric(step, name, value)          of each step: loss, reward, entropy ... (docs/reinforcement.md)
 *     eval(step, name, value, low, high) figures of evaluations, with their interval if they have one
 *     sample(step, row, problem, output, verdict, reward, advantage, tokens)
 *     event(id, time, step, event, json) everything else: open, checkpoint, warnings
 */
#ifndef SV_TRAIN_RUNLOG_H
#define SV_TRAIN_RUNLOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct sv_runlog sv_runlog;

/* Opens or creates the file. SV_E_IO with SQLite's words; SV_E_UNSUPPORTED: built without SQLite. */
sv_err sv_runlog_open(const char *path, sv_runlog **out);
/* One transaction; the same (step, name) again replaces. SV_E_IO: nothing of the event is in the file. */
sv_err sv_runlog_put(sv_runlog *l, const json_t *event);
/* Forgets what belongs to steps above `step`. *n_step: how many steps are left. */
sv_err sv_runlog_cut(sv_runlog *l, uint64_t step, uint64_t *n_step);
/* Many events in one transaction: begin, put..., end. */
sv_err sv_runlog_begin(sv_runlog *l);
sv_err sv_runlog_end(sv_runlog *l);
void sv_runlog_close(sv_runlog *l); /* NULL is fine */

/* An event that belongs to its "step", and goes when a run goes back behind it. */
bool sv_runlog_is_of_step(const json_t *event);

#endif
