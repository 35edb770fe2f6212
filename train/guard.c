/* SPDX-License-Identifier: Apache-2.0
 * Watches the loss curve.
 */
#include "train/guard.h"

#include <string.h>

static bool is_finite(float x)
{
    return x - x == 0.0f;
}

/* Item 32 of the sorted 64. Sorts x. */
static float median(float *x)
{
    for (int i = 1; i < SV_GUARD_WINDOW; i++) {
        float v = x[i];
        int j = i;
        for (; j > 0 && x[j - 1] > v; j--)
            x[j] = x[j - 1];
        x[j] = v;
    }
    return x[SV_GUARD_WINDOW / 2];
}

static float magnitude(float x)
{
    return x < 0.0f ? 0.0f - x : x;
}

static float limit(const sv_guard *g)
{
    float x[SV_GUARD_WINDOW];
    memcpy(x, g->loss, sizeof x);
    float mid = median(x);
    for (int i = 0; i < SV_GUARD_WINDOW; i++)
        x[i] = magnitude(x[i] - mid);
    float spread = (8.0f * 1.4826f) * median(x), least = 0.1f * magnitude(mid);
    return mid + (spread > least ? spread : least);
}

sv_guard_view sv_guard_step(sv_guard *g, float loss, float grad_norm)
{
    if (!is_finite(loss) || !is_finite(grad_norm))
        return SV_GUARD_NONFINITE;
    bool high = g->n == SV_GUARD_WINDOW && loss > limit(g);
    g->n_high = high ? g->n_high + 1 : 0;
    g->loss[g->at] = loss;
    g->at = (g->at + 1) % SV_GUARD_WINDOW;
    if (g->n < SV_GUARD_WINDOW)
        g->n++;
    return g->n_high >= 2 ? SV_GUARD_SPIKE : SV_GUARD_FINE;
}
