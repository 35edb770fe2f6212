/* SPDX-License-Identifier: Apache-2.0
 * A model on a chip. Plans are kept by step shape, least recently used out: a step whose shape was seen allocates
 * nothing.
 */
#include "model/runner.h"

#include <string.h>

#include "base/file.h"
#include "op/spec.h"

#define N_PLAN 24
#define OUT_LOGITS 0
#define OUT_LP 1
#define SPARSE_KV ((size_t)2 << 20) /* bytes of each KV block without huge pages */

typedef struct cached {
    sv_step_shape shape;
    bool has_target;
    uint64_t used; /* 0: empty */
    sv_plan *plan;
} cached;

struct sv_runner {
    const sv_model *model;
    sv_config config; /* the model's, with n_ctx as opened */
    sv_machine *machine;
    sv_store *store;
    sv_tensor *weight; /* [sv_weight_ids] as stored on the chip */
    const sv_lora *lora;
    sv_tensor *lora_weight; /* [2 sv_weight_ids] A, then B; NULL without an adapter */
    uint32_t lane;          /* whose adapter and pages, in a store that several share */
    sv_tape *tape;
    cached plan[N_PLAN];
    uint64_t clock;
    uint32_t n_page;
    bool train, is_shared;
    sv_trace_fn trace;
    void *trace_ctx;
};

static sv_err put_weight(sv_runner *r, uint32_t id)
{
    const sv_model *m = r->model;
    const sv_weight *w = &r->config.family->weight[id % r->config.family->n_weight];
    if (sv_weight_is_alias(&r->config, id))
        return sv_store_alias(r->store, SV_KIND_WEIGHT, id, w->tied);
    if (r->train && m->shape[id].dtype != SV_DT_F32)
        return sv_fail(SV_E_DTYPE, "training takes F32 weights; %s has type %s (load it with dequant)", w->hf,
                       sv_dtype_name(m->shape[id].dtype));
    bool packed = !r->train && m->shape[id].n_dim == 2;
    SV_TRY((packed ? sv_store_put_packed : sv_store_put)(r->store, SV_KIND_WEIGHT, id, &m->shape[id], m->data[id]));
    /* The chip has it now: the file's pages need not be resident beside it. */
    uint64_t bytes;
    SV_TRY(sv_tensor_bytes(&m->shape[id], &bytes));
    sv_file_map_later(m->data[id], bytes);
    return SV_OK;
}

static sv_err put_weights(sv_runner *r)
{
    uint32_t n = sv_weight_ids(&r->config);
    r->weight = sv_mem_new(n * sizeof *r->weight);
    for (uint32_t id = 0; id < n; id++) {
        if (!sv_weight_exists(&r->config, id))
            continue;
        SV_TRY(put_weight(r, id));
        r->weight[id] = *sv_store_find(r->store, SV_KIND_WEIGHT, id);
        r->weight[id].at = (sv_span){ 0 };
    }
    return SV_OK;
}

/* A and B, packed as weights are. */
static sv_err put_lora(sv_runner *r)
{
    uint32_t n = sv_weight_ids(&r->config);
    if (r->lora == NULL)
        return SV_OK;
    r->lora_weight = sv_mem_new(2 * (size_t)n * sizeof *r->lora_weight);
    for (uint32_t id = 0; id < n; id++) {
        const sv_lora_part *p = sv_lora_of(r->lora, id);
        for (int k = 0; k < 2 && p != NULL; k++) {
            sv_tensor shape = sv_lora_shape(r->lora, &r->config, id, k), *as = &r->lora_weight[id + (k ? n : 0)];
            uint32_t at = sv_lora_id(&r->config, id, r->lane, k);
            SV_TRY(
                (r->train ? sv_store_put : sv_store_put_packed)(r->store, SV_KIND_WEIGHT, at, &shape, k ? p->b : p->a));
            *as = *sv_store_find(r->store, SV_KIND_WEIGHT, at);
            as->at = (sv_span){ 0 };
        }
    }
    return SV_OK;
}

static sv_err put_rope(sv_runner *r)
{
    uint32_t dim[2] = { r->config.n_ctx, r->config.d_head };
    sv_tensor shape = sv_tensor_make(SV_DT_F32, 2, dim);
    uint64_t bytes;
    void *table;
    SV_TRY(sv_tensor_bytes(&shape, &bytes));
    SV_TRY(sv_mem_large(bytes, "the RoPE table", &table));
    sv_rope_table(&r->config, r->config.n_ctx, table);
    sv_err err = sv_store_put(r->store, SV_KIND_CONST, 0, &shape, table);
    sv_mem_large_free(table, bytes);
    return err;
}

static sv_err make_pages(sv_runner *r)
{
    const sv_config *c = &r->config;
    uint32_t dim[2][4] = { { r->n_page, c->n_kv_head, c->d_head, SV_PAGE },
                           { r->n_page, c->n_kv_head, SV_PAGE, c->d_head } };
    for (uint32_t i = 0; i < 2 * c->n_layer; i++) {
        sv_tensor shape = sv_tensor_make(SV_DT_F32, 4, dim[i & 1]);
        uint32_t at = 2 * r->lane * c->n_layer + i;
        if (sv_store_find(r->store, SV_KIND_KV, at) != NULL)
            return sv_fail(SV_E_ARG, "this store has KV pages already: one engine serves from it at a time");
        SV_TRY(sv_store_raw(r->store, SV_KIND_KV, at, &shape));
        /* Pages are taken from the first on: short contexts get no more memory than they use. */
        const sv_span *place = &sv_store_find(r->store, SV_KIND_KV, at)->at;
        if (place->buf->host != NULL)
            sv_mem_sparse(place->buf->host, place->buf->bytes < SPARSE_KV ? place->buf->bytes : SPARSE_KV);
    }
    return SV_OK;
}

/* The first place behind those that have pages. */
static uint32_t free_lane(const sv_runner *r)
{
    uint32_t lane = 1;
    while (sv_store_find(r->store, SV_KIND_KV, 2 * lane * r->config.n_layer) != NULL)
        lane++;
    return lane;
}

/* Weights and the RoPE table are those of another runner; only pages are added to its store, and an adapter if this one
 * has its own. */
static sv_err share(sv_runner *r, sv_runner *of, const sv_lora *own)
{
    uint32_t n = sv_weight_ids(&of->config);
    r->is_shared = true;
    r->train = false;
    r->config = of->config;
    r->machine = of->machine;
    r->store = of->store;
    r->weight = sv_mem_new(n * sizeof *r->weight);
    memcpy(r->weight, of->weight, n * sizeof *r->weight);
    if (own != NULL) {
        r->lora = own;
        r->lane = free_lane(r);
        SV_TRY(put_lora(r));
    } else if (of->lora != NULL) {
        r->lora = of->lora;
        r->lora_weight = sv_mem_new(2 * (size_t)n * sizeof *r->lora_weight);
        memcpy(r->lora_weight, of->lora_weight, 2 * (size_t)n * sizeof *r->lora_weight);
    }
    return make_pages(r);
}

static sv_err fill(sv_runner *r, const sv_runner_opts *o)
{
    if (o->share != NULL)
        return share(r, o->share, o->lora);
    r->lora = o->lora ? o->lora : r->model->lora;
    SV_TRY(sv_machine_open(o->chip, &o->machine, &r->machine));
    r->store = sv_store_make(r->machine);
    SV_TRY(put_weights(r));
    SV_TRY(put_lora(r));
    SV_TRY(put_rope(r));
    return r->train ? SV_OK : make_pages(r);
}

sv_err sv_runner_open(const sv_model *m, const sv_runner_opts *opts, sv_runner **out)
{
    static const sv_runner_opts none = { 0 };
    const sv_runner_opts *o = opts ? opts : &none;
    sv_runner *r = sv_mem_new(sizeof *r);
    r->model = m;
    r->config = m->config;
    r->train = o->train;
    if (o->n_ctx > 0 && o->n_ctx < r->config.n_ctx)
        r->config.n_ctx = o->n_ctx;
    r->n_page = o->n_page ? o->n_page : (r->config.n_ctx + SV_PAGE - 1) / SV_PAGE;
    r->tape = sv_tape_make();
    sv_err err = fill(r, o);
    if (err != SV_OK) {
        sv_runner_close(r);
        return err;
    }
    *out = r;
    return SV_OK;
}

void sv_runner_close(sv_runner *r)
{
    if (r == NULL)
        return;
    for (int i = 0; i < N_PLAN; i++)
        sv_plan_drop(r->plan[i].plan);
    sv_tape_drop(r->tape);
    if (!r->is_shared) {
        sv_store_drop(r->store);
        sv_machine_close(r->machine);
    }
    sv_mem_free(r->weight);
    sv_mem_free(r->lora_weight);
    sv_mem_free(r);
}

void sv_runner_build(sv_runner *r, const sv_step_shape *shape, sv_tape *t, sv_build *out)
{
    *out = (sv_build){ .t = t, .c = &r->config, .step = *shape, .weight = r->weight, .train = r->train };
    out->kv_pages = r->train ? 0 : r->n_page;
    out->lora = r->lora;
    out->lora_weight = r->lora_weight;
    out->lane = r->lane;
    sv_build_begin(out);
}

static sv_err make_plan(sv_runner *r, const sv_step *step, sv_plan **out)
{
    sv_build b;
    sv_tape_clear(r->tape);
    sv_runner_build(r, &step->shape, r->tape, &b);
    sv_val z = r->config.family->forward(&b);
    SV_TRY(sv_tape_error(r->tape));
    sv_tape_set_out(r->tape, z, OUT_LOGITS);
    if (step->target != NULL) {
        sv_tensor shape = sv_tensor_make(SV_DT_I32, 1, &step->shape.n_want);
        sv_val target = sv_tape_state(r->tape, SV_KIND_STEP, SV_STEP_TARGET, &shape);
        sv_val lp = sv_tape_emit1(r->tape, SV_OP_logprob, NULL, (sv_val[]){ z, target }, 2);
        SV_TRY(sv_tape_error(r->tape));
        sv_tape_set_out(r->tape, lp, OUT_LP);
    }
    return sv_plan_make(r->tape, r->store, out);
}

static sv_err find_plan(sv_runner *r, const sv_step *step, sv_plan **out)
{
    cached *oldest = &r->plan[0];
    bool has_target = step->target != NULL;
    for (int i = 0; i < N_PLAN; i++) {
        cached *c = &r->plan[i];
        if (c->used && c->has_target == has_target && memcmp(&c->shape, &step->shape, sizeof c->shape) == 0) {
            c->used = ++r->clock;
            *out = c->plan;
            return SV_OK;
        }
        if (c->used < oldest->used)
            oldest = c;
    }
    sv_plan_drop(oldest->plan);
    *oldest = (cached){ 0 };
    SV_TRY(make_plan(r, step, &oldest->plan));
    oldest->shape = step->shape;
    oldest->has_target = has_target;
    oldest->used = ++r->clock;
    *out = oldest->plan;
    return SV_OK;
}

sv_err sv_runner_step(sv_runner *r, const sv_step *step, float *logits, float *lp)
{
    sv_plan *p;
    SV_TRY(find_plan(r, step, &p));
    sv_plan_set_trace(p, r->trace, r->trace_ctx);
    SV_TRY(sv_plan_set_step(p, step));
    SV_TRY(sv_plan_run(p));
    uint64_t n = step->shape.n_want;
    if (logits != NULL && n > 0)
        SV_TRY(sv_plan_get(p, OUT_LOGITS, logits, n * r->config.n_vocab * sizeof *logits));
    if (lp != NULL && n > 0 && step->target != NULL)
        SV_TRY(sv_plan_get(p, OUT_LP, lp, n * sizeof *lp));
    return SV_OK;
}

sv_machine *sv_runner_machine(sv_runner *r)
{
    return r->machine;
}
sv_store *sv_runner_store(sv_runner *r)
{
    return r->store;
}
const sv_model *sv_runner_model(const sv_runner *r)
{
    return r->model;
}
uint32_t sv_runner_ctx(const sv_runner *r)
{
    return r->config.n_ctx;
}
const sv_lora *sv_runner_lora(const sv_runner *r)
{
    return r->lora;
}
uint32_t sv_runner_pages(const sv_runner *r)
{
    return r->n_page;
}

void sv_runner_set_trace(sv_runner *r, sv_trace_fn fn, void *ctx)
{
    r->trace = fn;
    r->trace_ctx = ctx;
}
