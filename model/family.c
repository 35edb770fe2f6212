/* SPDX-License-Identifier: Apache-2.0
 * The list of families and what follows from their weight tables.
 */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

#define SV_FAMILY(name) extern const sv_family sv_family_##name;
#include "model/families.def"
#undef SV_FAMILY

const sv_family *const sv_families[] = {
#define SV_FAMILY(name) &sv_family_##name,
#include "model/families.def"
#undef SV_FAMILY
    NULL
};

const sv_family *sv_family_find(const char *model_type)
{
    for (size_t i = 0; sv_families[i] != NULL; i++)
        if (strcmp(sv_families[i]->model_type, model_type) == 0)
            return sv_families[i];
    return NULL;
}

const sv_family *sv_family_find_gguf(const char *arch)
{
    for (size_t i = 0; sv_families[i] != NULL; i++)
        if (strcmp(sv_families[i]->gguf_arch, arch) == 0)
            return sv_families[i];
    return NULL;
}

const char *sv_family_names(void)
{
    return ""
#define SV_FAMILY(name) #name " "
#include "model/families.def"
#undef SV_FAMILY
        ;
}

bool sv_weight_exists(const sv_config *c, uint32_t id)
{
    const sv_weight *w = &c->family->weight[id % c->family->n_weight];
    return id < sv_weight_ids(c) && (!(w->flags & SV_W_ONCE) || id < c->family->n_weight);
}

bool sv_weight_is_alias(const sv_config *c, uint32_t id)
{
    return c->is_tied && (c->family->weight[id % c->family->n_weight].flags & SV_W_TIED);
}

static uint32_t size_of(const sv_config *c, sv_dim dim)
{
    switch (dim) {
    case SV_DIM_MODEL:
        return c->d_model;
    case SV_DIM_FF:
        return c->d_ff;
    case SV_DIM_VOCAB:
        return c->n_vocab;
    case SV_DIM_Q:
        return c->n_head * c->d_head;
    case SV_DIM_KV:
        return c->n_kv_head * c->d_head;
    case SV_DIM_HEAD:
        return c->d_head;
    case SV_DIM_NONE:
        break;
    }
    return 0;
}

sv_tensor sv_weight_shape(const sv_config *c, uint32_t id)
{
    const sv_weight *w = &c->family->weight[id % c->family->n_weight];
    sv_tensor t = { .dtype = SV_DT_F32, .n_dim = w->dim[1] == SV_DIM_NONE ? 1 : 2 };
    for (uint32_t i = 0; i < t.n_dim; i++)
        t.dim[i] = size_of(c, w->dim[i]);
    t.stride[t.n_dim - 1] = 1;
    if (t.n_dim == 2)
        t.stride[0] = t.dim[1];
    return t;
}

char *sv_weight_name(const sv_config *c, uint32_t id, bool gguf, sv_arena *a)
{
    const sv_weight *w = &c->family->weight[id % c->family->n_weight];
    const char *pattern = gguf ? w->gguf : w->hf, *mark = strstr(pattern, "%u");
    if (mark == NULL)
        return sv_arena_text(a, pattern);
    return sv_arena_printf(a, "%.*s%u%s", (int)(mark - pattern), pattern, id / c->family->n_weight, mark + 2);
}
