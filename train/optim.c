/* SPDX-License-Identifier: Apache-2.0
 * AdamW over a store.
 */
#include "train/optim.h"

#include "op/spec.h"

struct sv_optim {
    sv_runner *runner;
    const sv_config *c;
    sv_attr_adamw attr;
    sv_plan *norm, *update;
    uint32_t *alias_of; /* [ids] the tied weight whose gradient is added to this one's, or UINT32_MAX */
    uint32_t n_id;
    double power1, power2;
    uint64_t n_update;
};

/* Weights that have memory of their own. */
static bool is_updated(const sv_optim *o, uint32_t id)
{
    return sv_weight_exists(o->c, id) && !sv_weight_is_alias(o->c, id);
}

/* Where the sum of two tied gradients goes: an id behind all weights. */
static uint32_t sum_id(const sv_optim *o, uint32_t id)
{
    return o->n_id + id;
}

static sv_err make_states(sv_optim *o)
{
    sv_store *s = sv_runner_store(o->runner);
    for (uint32_t id = 0; id < o->n_id; id++)
        o->alias_of[id] = UINT32_MAX;
    for (uint32_t id = 0; id < o->n_id; id++) {
        sv_tensor shape = sv_weight_shape(o->c, id);
        if (is_updated(o, id)) {
            SV_TRY(sv_store_zero(s, SV_KIND_ADAM_M, id, &shape));
            SV_TRY(sv_store_zero(s, SV_KIND_ADAM_V, id, &shape));
        } else if (sv_weight_exists(o->c, id)) {
            uint32_t other = o->c->family->weight[id % o->c->family->n_weight].tied;
            o->alias_of[other] = id;
            SV_TRY(sv_store_raw(s, SV_KIND_GRAD, sum_id(o, other), &shape));
        }
    }
    return SV_OK;
}

static sv_val gradient(const sv_optim *o, sv_tape *t, uint32_t id, const sv_tensor *shape)
{
    return sv_tape_state(t, SV_KIND_GRAD, o->alias_of[id] == UINT32_MAX ? id : sum_id(o, id), shape);
}

static void add_tied(const sv_optim *o, sv_tape *t, uint32_t id, const sv_tensor *shape)
{
    if (o->alias_of[id] == UINT32_MAX)
        return;
    sv_val in[2] = { sv_tape_state(t, SV_KIND_GRAD, id, shape),
                     sv_tape_state(t, SV_KIND_GRAD, o->alias_of[id], shape) };
    sv_val sum = gradient(o, t, id, shape);
    sv_tape_emit(t, SV_OP_add, NULL, in, 2, &sum);
}

static sv_err make_norm(sv_optim *o, sv_tape *t)
{
    sv_tape_clear(t);
    for (uint32_t id = 0; id < o->n_id; id++) {
        if (!is_updated(o, id))
            continue;
        sv_tensor shape = sv_weight_shape(o->c, id);
        add_tied(o, t, id, &shape);
        sv_val g = gradient(o, t, id, &shape), y = sv_tape_emit1(t, SV_OP_sumsq, NULL, &g, 1);
        SV_TRY(sv_tape_error(t));
        sv_tape_set_out(t, y, id);
    }
    return sv_plan_make(t, sv_runner_store(o->runner), &o->norm);
}

static sv_err make_update(sv_optim *o, sv_tape *t)
{
    uint32_t four = 4;
    sv_tensor opt_shape = sv_tensor_make(SV_DT_F32, 1, &four);
    sv_tape_clear(t);
    sv_val opt = sv_tape_state(t, SV_KIND_STEP, SV_STEP_OPT, &opt_shape);
    for (uint32_t id = 0; id < o->n_id; id++) {
        if (!is_updated(o, id))
            continue;
        sv_tensor shape = sv_weight_shape(o->c, id);
        sv_attr_adamw attr = o->attr;
        if (o->c->family->weight[id % o->c->family->n_weight].flags & (SV_W_NODECAY | SV_W_VECTOR))
            attr.decay = 0.0f;
        sv_val in[2] = { gradient(o, t, id, &shape), opt };
        sv_val out[3] = { sv_tape_state(t, SV_KIND_WEIGHT, id, &shape), sv_tape_state(t, SV_KIND_ADAM_M, id, &shape),
                          sv_tape_state(t, SV_KIND_ADAM_V, id, &shape) };
        sv_tape_emit(t, SV_OP_adamw, &attr, in, 2, out);
    }
    SV_TRY(sv_tape_error(t));
    return sv_plan_make(t, sv_runner_store(o->runner), &o->update);
}

static sv_err fill(sv_optim *o)
{
    sv_tape *t = sv_tape_make();
    sv_err err = make_states(o);
    if (err == SV_OK)
        err = make_norm(o, t);
    if (err == SV_OK)
        err = make_update(o, t);
    sv_tape_drop(t);
    return err;
}

sv_err sv_optim_open(sv_runner *r, const sv_recipe *recipe, sv_optim **out)
{
    sv_optim *o = sv_mem_new(sizeof *o);
    o->runner = r;
    o->c = &sv_runner_model(r)->config;
    o->n_id = sv_weight_ids(o->c);
    o->alias_of = sv_mem_new(o->n_id * sizeof *o->alias_of);
    o->attr = (sv_attr_adamw){ .beta1 = (float)sv_recipe_f64(recipe, SV_KEY_BETA1),
                               .beta2 = (float)sv_recipe_f64(recipe, SV_KEY_BETA2),
                               .eps = (float)sv_recipe_f64(recipe, SV_KEY_EPS),
                               .decay = (float)sv_recipe_f64(recipe, SV_KEY_DECAY) };
    o->power1 = o->power2 = 1.0;
    sv_err err = fill(o);
    if (err != SV_OK) {
        sv_optim_close(o);
        return err;
    }
    *out = o;
    return SV_OK;
}

void sv_optim_close(sv_optim *o)
{
    if (o == NULL)
        return;
    sv_plan_drop(o->norm);
    sv_plan_drop(o->update);
    sv_mem_free(o->alias_of);
    sv_mem_free(o);
}

sv_err sv_optim_norm(sv_optim *o, float *norm)
{
    float total = 0.0f;
    SV_TRY(sv_plan_run(o->norm));
    for (uint32_t id = 0; id < o->n_id; id++) {
        float y;
        if (!is_updated(o, id))
            continue;
        SV_TRY(sv_plan_get(o->norm, id, &y, sizeof y));
        total = total + y;
    }
    *norm = __builtin_sqrtf(total);
    return SV_OK;
}

float sv_optim_clip(float norm, float limit)
{
    return limit > 0.0f && norm > limit ? limit / norm : 1.0f;
}

sv_err sv_optim_update(sv_optim *o, float lr, float clip)
{
    double p1 = o->power1 * (double)o->attr.beta1, p2 = o->power2 * (double)o->attr.beta2;
    float opt[4] = { lr, (float)(1.0 / (1.0 - p1)), (float)(1.0 / (1.0 - p2)), clip };
    SV_TRY(sv_plan_set(o->update, SV_STEP_OPT, opt, sizeof opt));
    SV_TRY(sv_plan_run(o->update));
    o->power1 = p1;
    o->power2 = p2;
    o->n_update++;
    return SV_OK;
}

void sv_optim_powers(const sv_optim *o, double *power1, double *power2, uint64_t *n_update)
{
    *power1 = o->power1;
    *power2 = o->power2;
    *n_update = o->n_update;
}

void sv_optim_set_powers(sv_optim *o, double power1, double power2, uint64_t n_update)
{
    o->power1 = power1;
    o->power2 = power2;
    o->n_update = n_update;
}
