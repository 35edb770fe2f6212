/* SPDX-License-Identifier: Apache-2.0
 * The learning rate of a step.
 */
#include "train/schedule.h"

#include "num/canon.h"

sv_schedule sv_schedule_of(const sv_recipe *r)
{
    sv_schedule s = { .kind = SV_SCHEDULE_CONSTANT,
                      .warmup = sv_recipe_u64(r, SV_KEY_WARMUP),
                      .steps = sv_recipe_u64(r, SV_KEY_STEPS),
                      .lr = sv_recipe_f64(r, SV_KEY_LR),
                      .final = sv_recipe_f64(r, SV_KEY_FINAL) };
    if (sv_recipe_is(r, SV_KEY_SCHEDULE, "flat-linear"))
        s.kind = SV_SCHEDULE_FLAT_LINEAR;
    else if (sv_recipe_is(r, SV_KEY_SCHEDULE, "cosine"))
        s.kind = SV_SCHEDULE_COSINE;
    return s;
}

/* Share of the way from step lo to the last step, in (0, 1]. */
static double way(uint64_t step, uint64_t lo, uint64_t steps)
{
    return step + 1 >= steps ? 1.0 : (double)(step + 1 - lo) / (double)(steps - lo);
}

float sv_schedule_rate(const sv_schedule *s, uint64_t step)
{
    uint64_t half = s->steps / 2;
    double share = 1.0;
    if (half < s->warmup)
        half = s->warmup;
    if (step < s->warmup)
        share = (double)(step + 1) / (double)s->warmup;
    else if (s->kind == SV_SCHEDULE_FLAT_LINEAR && step >= half)
        share = 1.0 - (1.0 - s->final) * way(step, half, s->steps);
    else if (s->kind == SV_SCHEDULE_COSINE)
        share =
            s->final +
            (1.0 - s->final) *
                (0.5 + 0.5 * (double)sv_canon_cos((float)(3.14159265358979323846 * way(step, s->warmup, s->steps))));
    return (float)(s->lr * share);
}
