/* SPDX-License-Identifier: Apache-2.0
 * Watches the loss curve: numbers that are none, and spikes. It watches only; what to do is the trainer's.
 * Threads: used by one thread.
 */
#ifndef SV_TRAIN_GUARD_H
#define SV_TRAIN_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define SV_GUARD_WINDOW 64

typedef enum sv_guard_view { SV_GUARD_FINE, SV_GUARD_NONFINITE, SV_GUARD_SPIKE } sv_guard_view;

typedef struct sv_guard {
    float loss[SV_GUARD_WINDOW]; /* finite ones, a ring */
    uint32_t n, at, n_high;      /* n_high: steps above the limit, running */
} sv_guard;

/* Judges a step before its update. Spike: two steps running above median + max(8 * 1.4826 MAD, 0.1 |median|) of the 64
 * finite losses before (1.4826 MAD estimates a standard deviation: Rousseeuw & Croux 1993). */
sv_guard_view sv_guard_step(sv_guard *g, float loss, float grad_norm);

#endif
