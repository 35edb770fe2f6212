/* SPDX-License-Identifier: Apache-2.0
 * The learning rate of a step. Threads: values.
 */
#ifndef SV_TRAIN_SCHEDULE_H
#define SV_TRAIN_SCHEDULE_H

#include "train/recipe.h"

typedef enum sv_schedule_kind { SV_SCHEDULE_FLAT_LINEAR, SV_SCHEDULE_COSINE, SV_SCHEDULE_CONSTANT } sv_schedule_kind;

typedef struct sv_schedule {
    sv_schedule_kind kind;
    uint64_t warmup, steps;
    double lr, final; /* final: share of lr at the last step */
} sv_schedule;

sv_schedule sv_schedule_of(const sv_recipe *r);
/* The rate of step s, counted from 0: lr (s + 1) / warmup while s < warmup; then by kind. flat-linear: lr to half of
 * the run, then in a line to final lr at the last step; cosine: final + (1 - final) (1 + cos(pi x)) / 2 of lr, x from 0
 * to 1 behind the warm-up. Binary64 with + - x / (the cosine is the law's f32 one), rounded once. */
float sv_schedule_rate(const sv_schedule *s, uint64_t step);

#endif
