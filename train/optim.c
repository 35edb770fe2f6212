/* SPDX-License-Identifier: Apache-2.0
 * AdamW over a store.
 */
#include "train/optim.h"

#include "op/spec.h"
#include "train/params.h"

struct sv_optim {
    sv_runner *runner;
    const sv_config *c;
    sv_attr_adamw attr;
    sv_plan *norm, *update;
    sv_arena *arena;
    sv_params params;
    double power1, power2;
    uint64_t n_update;
};

static sv_err make_states(sv_optim *o)
{
    sv_store *s = sv_runner_store(o->runner);
    for (uint32_t i = 0; i < o->params.n; i++) {
        const sv_param *p = &o->params.item[i];
        SV_TRY(sv_store_zero(s, SV_KIND_ADAM_M, p->id, &p->shape));
        SV_TRY(sv_store_zero(s, SV_KIND_ADAM_V, p->id, &p->shape));
        if (p->tied != UINT32_MAX)
            SV_TRY(sv_store_raw(s, SV_KIND_GRAD, sv_param_sum_id(o->c, p->id), &p->shape));
    }
    return SV_OK;
}

static sv_val gradient(const sv_optim *o, sv_tape *t, const sv_param *p)
{
    uint32_t id = p->tied == UINT32_MAX ? p->id : sv_param_sum_id(o->c, p->id);
    return sv_tape_state(t, SV_KIND_GRAD, id, &p->shape);
}

static void add_tied(const sv_optim *o, sv_tape *t, const sv_param *p)
{
    if (p->tied == UINT32_MAX)
        return;
    sv_val in[2] = { sv_tape_state(t, SV_KIND_GRAD, p->id, &p->shape),
                     sv_tape_state(t, SV_KIND_GRAD, p->tied, &p->shape) };
    sv_val sum = gradient(o, t, p);
    sv_tape_emit(t, SV_OP_add, NULL, in, 2, &sum);
}

static sv_err make_norm(sv_optim *o, sv_tape *t)
{
    sv_tape_clear(t);
    for (uint32_t i = 0; i < o->params.n; i++) {
        const sv_param *p = &o->params.item[i];
        add_tied(o, t, p);
        sv_val g = gradient(o, t, p), y = sv_tape_emit1(t, SV_OP_sumsq, NULL, &g, 1);
        SV_TRY(sv_tape_error(t));
        sv_tape_set_out(t, y, p->id);
    }
    return sv_plan_make(t, sv_runner_store(o->runner), &o->norm);
}

static sv_err make_update(sv_optim *o, sv_tape *t)
{
    uint32_t four = 4;
    sv_tensor opt_shape = sv_tensor_make(SV_DT_F32, 1, &four);
    sv_tape_clear(t);
    sv_val opt = sv_tape_state(t, SV_KIND_STEP, SV_STEP_OPT, &opt_shape);
    for (uint32_t i = 0; i < o->params.n; i++) {
        const sv_param *p = &o->params.item[i];
        sv_attr_adamw attr = o->attr;
        if (!p->decays)
            attr.decay = 0.0f;
        sv_val in[2] = { gradient(o, t, p), opt };
        sv_val out[3] = { sv_tape_state(t, SV_KIND_WEIGHT, p->id, &p->shape),
                          sv_tape_state(t, SV_KIND_ADAM_M, p->id, &p->shape),
                          sv_tape_state(t, SV_KIND_ADAM_V, p->id, &p->shape) };
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
    o->arena = sv_arena_make();
    o->params = sv_params_of(sv_runner_model(r), sv_runner_lora(r), o->arena);
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
    sv_arena_drop(o->arena);
    sv_mem_free(o);
}

sv_err sv_optim_norm(sv_optim *o, float *norm)
{
    float total = 0.0f;
    SV_TRY(sv_plan_run(o->norm));
    for (uint32_t i = 0; i < o->params.n; i++) {
        float y;
        SV_TRY(sv_plan_get(o->norm, o->params.item[i].id, &y, sizeof y));
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
