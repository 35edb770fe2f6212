/* SPDX-License-Identifier: Apache-2.0
 * Initial weights, on the host: they are made once.
 */
#include "train/init.h"

#include <string.h>

#include "num/philox.h"

static bool ends_with(const char *name, const char *end)
{
    return sv_str_ends(sv_str_of(name), end);
}

/* Standard deviation; binary64 with + - x / and the root, rounded once. */
static float deviation(const sv_config *c, const sv_weight *w, const sv_tensor *shape)
{
    double inputs = shape->dim[1];
    if (w->flags & SV_W_EMBED)
        return 0.02f;
    if (ends_with(w->hf, "o_proj.weight") || ends_with(w->hf, "down_proj.weight"))
        inputs = inputs * (2.0 * c->n_layer);
    return (float)__builtin_sqrt(1.0 / inputs);
}

static void fill_normal(float *x, uint64_t n, uint64_t seed, uint32_t id, float std)
{
    float four[4];
    for (uint64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            sv_philox_normal4(seed, SV_STREAM_INIT, id, i / 4, four);
        x[i] = std * four[i % 4];
    }
}

void sv_init_weights(sv_model *m, uint64_t seed)
{
    const sv_config *c = &m->config;
    for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
        if (!sv_weight_exists(c, id) || sv_weight_is_alias(c, id))
            continue;
        const sv_weight *w = &c->family->weight[id % c->family->n_weight];
        sv_tensor shape = sv_weight_shape(c, id);
        uint64_t n = sv_tensor_items(&shape);
        float *x = sv_model_weight(m, id);
        if (shape.n_dim == 2)
            fill_normal(x, n, seed, id, deviation(c, w, &shape));
        else
            for (uint64_t i = 0; i < n; i++)
                x[i] = ends_with(w->hf, ".bias") ? 0.0f : 1.0f;
    }
}

void sv_init_lora(sv_lora *l, const sv_config *c, uint64_t seed)
{
    for (uint32_t id = 0; id < l->n_id; id++) {
        const sv_lora_part *p = sv_lora_of(l, id);
        if (p == NULL)
            continue;
        sv_tensor shape = sv_lora_shape(l, c, id, false);
        float std = (float)__builtin_sqrt(1.0 / (3.0 * shape.dim[1]));
        fill_normal(p->a, sv_tensor_items(&shape), seed, sv_lora_id(c, id, 0, false), std);
    }
}
