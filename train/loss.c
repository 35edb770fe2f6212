/* SPDX-License-Identifier: Apache-2.0
 * The training tape and its plans.
 */
#include "train/loss.h"

#include <string.h>

#include "op/spec.h"
#include "train/params.h"

#define N_PLAN 2
#define OUT_LP 0

typedef struct cached {
    sv_step_shape shape;
    bool backward;
    uint64_t used; /* 0: empty */
    sv_plan *plan;
} cached;

struct sv_loss {
    sv_runner *runner;
    const sv_config *c;
    sv_arena *arena;
    sv_params params;
    sv_tape *tape;
    cached plan[N_PLAN];
    uint64_t clock, n_made;
};

static sv_err make_gradients(sv_loss *l)
{
    sv_store *s = sv_runner_store(l->runner);
    for (uint32_t i = 0; i < l->params.n; i++) {
        const sv_param *p = &l->params.item[i];
        SV_TRY(sv_store_zero(s, SV_KIND_GRAD, p->id, &p->shape));
        if (p->tied != UINT32_MAX)
            SV_TRY(sv_store_zero(s, SV_KIND_GRAD, p->tied, &p->shape));
    }
    return SV_OK;
}

sv_err sv_loss_open(sv_runner *r, sv_loss **out)
{
    sv_loss *l = sv_mem_new(sizeof *l);
    l->runner = r;
    l->c = &sv_runner_model(r)->config;
    l->tape = sv_tape_make();
    l->arena = sv_arena_make();
    l->params = sv_params_of(sv_runner_model(r), sv_runner_lora(r), l->arena);
    sv_err err = make_gradients(l);
    if (err != SV_OK) {
        sv_loss_close(l);
        return err;
    }
    *out = l;
    return SV_OK;
}

void sv_loss_close(sv_loss *l)
{
    if (l == NULL)
        return;
    for (int i = 0; i < N_PLAN; i++)
        sv_plan_drop(l->plan[i].plan);
    sv_tape_drop(l->tape);
    sv_arena_drop(l->arena);
    sv_mem_free(l);
}

uint64_t sv_loss_plans_made(const sv_loss *l)
{
    return l->n_made;
}

sv_err sv_loss_clear(sv_loss *l)
{
    sv_store *s = sv_runner_store(l->runner);
    for (uint32_t i = 0; i < l->params.n; i++) {
        SV_TRY(sv_store_clear(s, SV_KIND_GRAD, l->params.item[i].id));
        if (l->params.item[i].tied != UINT32_MAX)
            SV_TRY(sv_store_clear(s, SV_KIND_GRAD, l->params.item[i].tied));
    }
    return SV_OK;
}

static sv_err make_plan(sv_loss *l, const sv_step_shape *shape, bool backward, sv_plan **out)
{
    sv_build b;
    sv_tape *t = l->tape;
    sv_tape_clear(t);
    sv_runner_build(l->runner, shape, t, &b);
    b.train = backward;
    sv_val z = l->c->family->forward(&b);
    SV_TRY(sv_tape_error(t));
    sv_tensor ids = sv_tensor_make(SV_DT_I32, 1, &shape->n_want), floats = sv_tensor_make(SV_DT_F32, 1, &shape->n_want);
    sv_val target = sv_tape_state(t, SV_KIND_STEP, SV_STEP_TARGET, &ids);
    sv_val lp = sv_tape_emit1(t, SV_OP_logprob, NULL, (sv_val[]){ z, target }, 2);
    SV_TRY(sv_tape_error(t));
    sv_tape_set_out(t, lp, OUT_LP);
    if (backward) {
        sv_val dlp = sv_tape_state(t, SV_KIND_STEP, SV_STEP_DLP, &floats);
        SV_TRY(sv_tape_backward(t, lp, dlp));
    }
    l->n_made++;
    return sv_plan_make(t, sv_runner_store(l->runner), out);
}

static sv_err find_plan(sv_loss *l, const sv_step_shape *shape, bool backward, sv_plan **out)
{
    cached *oldest = &l->plan[0];
    for (int i = 0; i < N_PLAN; i++) {
        cached *c = &l->plan[i];
        if (c->used && c->backward == backward && memcmp(&c->shape, shape, sizeof *shape) == 0) {
            c->used = ++l->clock;
            *out = c->plan;
            return SV_OK;
        }
        if (c->used < oldest->used)
            oldest = c;
    }
    sv_plan_drop(oldest->plan);
    *oldest = (cached){ 0 };
    SV_TRY(make_plan(l, shape, backward, &oldest->plan));
    oldest->shape = *shape;
    oldest->backward = backward;
    oldest->used = ++l->clock;
    *out = oldest->plan;
    return SV_OK;
}

sv_err sv_loss_run(sv_loss *l, const sv_step *step, bool backward, float *lp)
{
    sv_plan *p;
    SV_TRY(find_plan(l, &step->shape, backward, &p));
    SV_TRY(sv_plan_set_step(p, step));
    SV_TRY(sv_plan_run(p));
    return sv_plan_get(p, OUT_LP, lp, step->shape.n_want * sizeof *lp);
}
