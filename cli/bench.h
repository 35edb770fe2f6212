/* SPDX-License-Identifier: Apache-2.0
 * What the parts of `samsvar bench` share: the machine's own limits, measured in the same run.
 * Threads: the main thread.
 */
#ifndef SV_CLI_BENCH_H
#define SV_CLI_BENCH_H

#include "chip/registry.h"
#include "cli/cmd.h"

typedef struct sv_peaks {
    double fma1, fma;   /* f32 operations a second, two for a fused multiply-add: 1 thread, all */
    double int8;        /* 8-bit operations a second, all threads */
    double read1, read; /* bytes a second from memory */
    uint32_t n_thread;
    sv_chip_dev dev;
} sv_peaks;

/* Word 0 of the line is a model: its prefill and decode at the contexts and batches that the flags name. */
sv_err sv_bench_model(const sv_args *a, const sv_peaks *p);
/* Training steps of the model's shape, in f32. products: weights that a token is multiplied with. Not asked for: left
 * out where memory or the model's context are too small. */
sv_err sv_bench_train(const sv_args *a, const sv_peaks *p, const sv_model *m, double products, bool asked);
/* One result; of_limit: its part of the machine's limit of that name. */
void sv_bench_print(const sv_args *a, const sv_peaks *p, const sv_model *m, const char *kind, uint32_t tokens,
                    uint32_t context, uint32_t batch, double tok_s, double of_limit, const char *limit);

#endif
