/* SPDX-License-Identifier: Apache-2.0
 * The list of what is trained.
 */
#include "train/params.h"

#include <stdlib.h>
#include <string.h>

static sv_params of_weights(const sv_model *m, sv_arena *a)
{
    const sv_config *c = &m->config;
    sv_params p = { SV_NEW_N(a, sv_param, sv_weight_ids(c)), 0 };
    for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
        const sv_weight *w = &c->family->weight[id % c->family->n_weight];
        if (!sv_weight_exists(c, id) || sv_weight_is_alias(c, id))
            continue;
        p.item[p.n++] = (sv_param){ .id = id,
                                    .shape = sv_weight_shape(c, id),
                                    .name = sv_weight_name(c, id, false, a),
                                    .host = sv_model_weight((sv_model *)(uintptr_t)m, id),
                                    .decays = !(w->flags & (SV_W_NODECAY | SV_W_VECTOR)),
                                    .tied = UINT32_MAX };
    }
    for (uint32_t id = 0; id < sv_weight_ids(c); id++)
        for (uint32_t i = 0; i < p.n && sv_weight_exists(c, id) && sv_weight_is_alias(c, id); i++)
            if (p.item[i].id == c->family->weight[id % c->family->n_weight].tied)
                p.item[i].tied = id;
    return p;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(((const sv_param *)x)->name, ((const sv_param *)y)->name);
}

static sv_params of_lora(const sv_config *c, const sv_lora *l, sv_arena *a)
{
    sv_params p = { SV_NEW_N(a, sv_param, 2 * (size_t)l->n_id), 0 };
    for (uint32_t id = 0; id < l->n_id; id++)
        for (int k = 0; k < 2 && l->part[id].rank > 0; k++)
            p.item[p.n++] = (sv_param){ .id = sv_lora_id(c, id, 0, k),
                                        .shape = sv_lora_shape(l, c, id, k),
                                        .name = sv_lora_name(c, id, k, a),
                                        .host = k ? l->part[id].b : l->part[id].a,
                                        .decays = true,
                                        .tied = UINT32_MAX };
    qsort(p.item, p.n, sizeof *p.item, by_name);
    return p;
}

sv_params sv_params_of(const sv_model *m, const sv_lora *lora, sv_arena *a)
{
    return lora != NULL ? of_lora(&m->config, lora, a) : of_weights(m, a);
}

uint64_t sv_params_items(const sv_params *p)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += sv_tensor_items(&p->item[i].shape);
    return n;
}
