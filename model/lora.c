/* SPDX-License-Identifier: Apache-2.0
 * Adapters in memory: which weights have one, their sizes, names and hash.
 */
#include "model/lora.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "model/load_impl.h"
#include "model/save_impl.h"
#include "op/spec.h"

#define PREFIX "base_model.model."

sv_lora *sv_lora_make(const sv_config *c, const char *path)
{
    sv_arena *a = sv_arena_make();
    sv_lora *l = SV_NEW(a, sv_lora);
    l->arena = a;
    l->path = sv_arena_text(a, path);
    l->base = "";
    l->n_id = sv_weight_ids(c);
    l->part = SV_NEW_N(a, sv_lora_part, l->n_id);
    return l;
}

void sv_lora_close(sv_lora *l)
{
    if (l != NULL)
        sv_arena_drop(l->arena);
}

bool sv_lora_may(const sv_config *c, uint32_t id)
{
    return sv_weight_exists(c, id) && (c->family->weight[id % c->family->n_weight].flags & SV_W_LORA);
}

char *sv_lora_module(const sv_config *c, uint32_t id, sv_arena *a)
{
    char *name = sv_weight_name(c, id, false, a);
    if (sv_str_ends(sv_str_of(name), ".weight"))
        name[strlen(name) - strlen(".weight")] = '\0';
    return name;
}

char *sv_lora_name(const sv_config *c, uint32_t id, bool is_b, sv_arena *a)
{
    return sv_arena_printf(a, PREFIX "%s.lora_%c.weight", sv_lora_module(c, id, a), is_b ? 'B' : 'A');
}

sv_tensor sv_lora_shape(const sv_lora *l, const sv_config *c, uint32_t id, bool is_b)
{
    sv_tensor w = sv_weight_shape(c, id);
    uint32_t dim[2] = { is_b ? w.dim[0] : l->part[id].rank, is_b ? l->part[id].rank : w.dim[1] };
    return sv_tensor_make(SV_DT_F32, 2, dim);
}

bool sv_lora_matches(const char *module, const char *name)
{
    size_t m = strlen(module), n = strlen(name);
    return n > 0 && n <= m && strcmp(module + m - n, name) == 0 && (n == m || module[m - n - 1] == '.');
}

sv_err sv_lora_fill(sv_lora *l, const sv_config *c)
{
    uint64_t n = 0;
    for (uint32_t id = 0; id < l->n_id; id++)
        for (int k = 0; k < 2 && l->part[id].rank > 0; k++) {
            sv_tensor shape = sv_lora_shape(l, c, id, k);
            n += sv_tensor_items(&shape);
        }
    void *all;
    SV_TRY(sv_model_block(l->arena, n * sizeof(float), "an adapter", &all));
    memset(all, 0, n * sizeof(float));
    float *at = all;
    for (uint32_t id = 0; id < l->n_id; id++) {
        sv_lora_part *p = &l->part[id];
        if (p->rank == 0)
            continue;
        p->scale = (float)(p->alpha / (l->is_rs ? sqrt((double)p->rank) : (double)p->rank));
        for (int k = 0; k < 2; k++) {
            sv_tensor shape = sv_lora_shape(l, c, id, k);
            *(k ? &p->b : &p->a) = at;
            at += sv_tensor_items(&shape);
        }
    }
    l->n_param = n;
    return SV_OK;
}

/* ---- new ones ---- */

/* "q_proj, k_proj, ...": the last parts of the names of linear weights. */
static const char *target_names(const sv_config *c, sv_arena *a, const char **name, size_t *n)
{
    const char *all = "";
    *n = 0;
    for (uint32_t i = 0; i < c->family->n_weight; i++) {
        if (!sv_lora_may(c, i))
            continue;
        const char *module = sv_lora_module(c, i, a), *dot = strrchr(module, '.');
        name[(*n)++] = dot ? dot + 1 : module;
        all = sv_arena_printf(a, "%s%s%s", all, *all ? ", " : "", name[*n - 1]);
    }
    return all;
}

static sv_err take_target(sv_lora *l, const sv_config *c, const sv_lora_spec *spec, const char *target)
{
    bool all = strcmp(target, "all") == 0, found = false;
    sv_arena *a = sv_arena_make();
    for (uint32_t id = 0; id < l->n_id; id++) {
        bool once = c->family->weight[id % c->family->n_weight].flags & SV_W_ONCE;
        if (!sv_lora_may(c, id) || !(all ? !once : sv_lora_matches(sv_lora_module(c, id, a), target)))
            continue;
        l->part[id].rank = spec->rank;
        l->part[id].alpha = spec->alpha;
        found = true;
    }
    sv_err err = SV_OK;
    if (!found) {
        const char **name = SV_NEW_N(a, const char *, c->family->n_weight);
        size_t n;
        const char *names = target_names(c, a, name, &n), *near = sv_str_nearest(target, name, n);
        err = sv_fail(SV_E_ARG,
                      "target '%s' names no linear weight of a %s model%s%s%s; there are %s, and `all` for those "
                      "of the layers",
                      sv_str_quote(sv_str_of(target)), c->family->model_type, near ? " (did you mean '" : "",
                      near ? near : "", near ? "'?)" : "", names);
    }
    sv_arena_drop(a);
    return err;
}

static sv_err take_targets(sv_lora *l, const sv_config *c, const sv_lora_spec *spec)
{
    const char *p = spec->targets;
    do {
        size_t n = strcspn(p, ","), lead = strspn(p, " "), last = n;
        while (last > lead && p[last - 1] == ' ')
            last--;
        SV_TRY(take_target(l, c, spec, sv_arena_textn(l->arena, p + lead, last - lead)));
        p += n;
    } while (*p++ == ',');
    return SV_OK;
}

sv_err sv_lora_new(const sv_config *c, const sv_lora_spec *spec, sv_lora **out)
{
    if (spec->rank == 0)
        return sv_fail(SV_E_ARG, "an adapter of rank 0 changes nothing; use a rank of 1 or more, such as 16");
    sv_lora *l = sv_lora_make(c, "a new adapter");
    l->rank = spec->rank;
    l->alpha = spec->alpha;
    l->is_rs = spec->is_rs;
    sv_err err = take_targets(l, c, spec);
    if (err == SV_OK)
        err = sv_lora_fill(l, c);
    if (err != SV_OK) {
        sv_lora_close(l);
        return err;
    }
    *out = l;
    return SV_OK;
}

void sv_lora_hash(const sv_lora *l, const sv_config *c, uint8_t out[32])
{
    sv_arena *a = sv_arena_make();
    sv_named_tensor *item = SV_NEW_N(a, sv_named_tensor, 2 * (size_t)l->n_id);
    size_t n = 0;
    for (uint32_t id = 0; id < l->n_id; id++)
        for (int k = 0; k < 2 && l->part[id].rank > 0; k++) {
            sv_named_tensor *t = &item[n++];
            sv_tensor shape = sv_lora_shape(l, c, id, k);
            t->name = sv_lora_name(c, id, k, a);
            t->dtype = SV_DT_F32;
            t->data = (const uint8_t *)(k ? l->part[id].b : l->part[id].a);
            t->bytes = 4 * sv_tensor_items(&shape);
            sv_weight_dims(&shape, t);
        }
    sv_weights_hash(item, n, out);
    sv_arena_drop(a);
}
