/* SPDX-License-Identifier: Apache-2.0
 * Counts steps in a row.
 */
#include "rl/guard.h"

#include <string.h>

#define STEPS_LONG 5u
#define STEPS_SILENT 10u
#define STEPS_WARN 5u

static void count(uint32_t *n, bool holds)
{
    *n = holds ? *n + 1 : 0;
}

sv_rl_view sv_rl_guard_look(sv_rl_guard *g, const sv_rl_signs *s, bool *first)
{
    bool falls = g->has_reward && s->reward < g->last_reward;
    count(&g->n_long, s->mean_length >= 0.9f * s->most_length && s->truncated >= 0.5f);
    count(&g->n_silent, s->zero_std >= 1.0f);
    count(&g->n_flat, s->zero_std > 0.8f);
    count(&g->n_narrow, s->entropy < 0.005f && falls);
    g->last_reward = s->reward;
    g->has_reward = true;
    *first = g->n_long == 1 || g->n_silent == 1;
    if (g->n_long >= STEPS_LONG)
        return SV_RL_LONG;
    if (g->n_silent >= STEPS_SILENT)
        return SV_RL_SILENT;
    if (g->n_narrow >= STEPS_WARN)
        return SV_RL_NARROW;
    return g->n_flat >= STEPS_WARN ? SV_RL_FLAT : SV_RL_FINE;
}

static float median(const float *norm, uint32_t n)
{
    float x[SV_RL_GUARD_WINDOW];
    memcpy(x, norm, n * sizeof *x);
    for (uint32_t i = 1; i < n; i++) {
        float v = x[i];
        uint32_t j = i;
        for (; j > 0 && x[j - 1] > v; j--)
            x[j] = x[j - 1];
        x[j] = v;
    }
    return x[n / 2];
}

sv_rl_view sv_rl_guard_norm(sv_rl_guard *g, float norm)
{
    uint32_t n = g->n_norm < SV_RL_GUARD_WINDOW ? g->n_norm : SV_RL_GUARD_WINDOW;
    bool steep = n >= 8 && norm > 10.0f * median(g->norm, n);
    g->norm[g->n_norm++ % SV_RL_GUARD_WINDOW] = norm;
    return steep ? SV_RL_STEEP : SV_RL_FINE;
}
