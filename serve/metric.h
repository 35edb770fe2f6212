/* SPDX-License-Identifier: Apache-2.0
 * Counters and histograms of a server, as Prometheus text. Names of vLLM stand beside ours, so that boards made for it
 * work. Threads: the caller's lock.
 */
#ifndef SV_SERVE_METRIC_H
#define SV_SERVE_METRIC_H

#include "base/str.h"
#include "infer/engine.h"

#define SV_HISTOGRAM_BUCKETS 16u

typedef struct sv_histogram {
    uint64_t n[SV_HISTOGRAM_BUCKETS + 1]; /* the last: above all bounds */
    uint64_t count;
    double sum;
} sv_histogram;
void sv_histogram_add(sv_histogram *h, double seconds);

typedef struct sv_metrics {
    uint32_t running, waiting;
    uint64_t prompt_tokens, output_tokens, finished_stop, finished_length, finished_abort;
    sv_histogram first_token, inter_token, whole;
    sv_engine_counts engine;
} sv_metrics;

/* n models; status: replies by hundreds, of the whole server. */
void sv_metrics_print(const sv_metrics *m, const char *const *model, uint32_t n, const uint64_t status[6],
                      const char *version, sv_bytes *out);

#endif
