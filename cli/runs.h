/* SPDX-License-Identifier: Apache-2.0
 * Runs as their logs tell them: curves, figures of evaluations, answers. Read from log.jsonl, which every run has.
 * Threads: the main thread.
 */
#ifndef SV_CLI_RUNS_H
#define SV_CLI_RUNS_H

#include "base/mem.h"
#include "cli/cmd.h"

/* One figure over the steps. Figures of evaluations are named "eval/mean@8" and may have intervals. */
typedef struct sv_curve {
    const char *name;
    double *step, *value, *low, *high; /* [n]; low NaN: no interval there */
    size_t n, cap;
} sv_curve;

typedef struct sv_transcript {
    uint64_t step, tokens;
    const char *problem, *output, *verdict;
    double reward, advantage;
} sv_transcript;

typedef struct sv_run_view {
    const char *dir, *name;               /* name: the folder's */
    const char *method, *state, *problem; /* state: done, running, stopped, failed; problem: why it failed, or NULL */
    json_t *recipe;                       /* {"key": "value"}; may be NULL */
    uint64_t step, steps;                 /* last one logged; of the whole run, 0: not known */
    uint64_t tokens;                      /* run or generated */
    double seconds;                       /* of all steps */
    sv_curve *curve;
    size_t n_curve, cap_curve;
    sv_transcript *sample;
    size_t n_sample, cap_sample;
    struct sv_run_hash {
        uint64_t step;
        const char *hash;
    } * hash;
    size_t n_hash, cap_hash;
    uint64_t n_resumed;
} sv_run_view;

/* Is there a log in the folder? */
bool sv_run_is(const char *dir);
/* SV_E_FORMAT: a line of the log is no JSON object (a cut last line is passed over). */
sv_err sv_run_read(const char *dir, sv_arena *arena, sv_run_view *out);
void sv_run_done(sv_run_view *r);
const sv_curve *sv_run_curve(const sv_run_view *r, const char *name); /* NULL: there is none */
/* The sampling accuracy: the first eval/mean@..., else eval/greedy, else NULL. */
const sv_curve *sv_run_accuracy(const sv_run_view *r);
/* Mean of the last twentieth of the values, at least one. */
double sv_curve_end(const sv_curve *c);

/* One plot of a figure of several runs, `cols` characters wide; color: all in one frame, else a frame each. */
void sv_runs_plot(const sv_run_view *run, size_t n, const char *figure, uint32_t cols, bool color, sv_bytes *out);
/* A page of its own: no script, no request, light and dark. */
void sv_runs_html(const sv_run_view *run, size_t n, sv_bytes *out);

#endif
