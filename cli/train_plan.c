/* SPDX-License-Identifier: Apache-2.0
 * samsvar train --dry-run: what a run takes, in bytes and operations, from the recipe and the sizes in config.json.
 */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/eval.h"
#include "rl/rollout.h"
#include "train/trainer.h"

typedef struct plan {
    uint64_t params, matrices; /* all; those that a token is multiplied with */
    uint64_t lora;             /* in the adapter, 0: none */
    uint64_t kv_bytes, n_running, ctx;
    double chip, host;              /* bytes, without activations */
    double forward, backward;       /* operations a token */
    double tokens_most, operations; /* of a whole RL run; 0: depends on the data */
} plan;

/* A folder whose weights are not there yet is enough: config.json has the sizes. */
static sv_err read_config(const sv_recipe *r, sv_config *c)
{
    const json_t *made = sv_recipe_model(r);
    sv_arena *a = sv_arena_make();
    const char *from = sv_train_newest_in(a, sv_recipe_text(r, SV_KEY_MODEL_FROM));
    const char *path = sv_path_join(a, from, "config.json");
    sv_err err;
    if (made != NULL) {
        err = sv_config_read(made, sv_recipe_name(r), c);
    } else if (sv_file_exists(path)) {
        json_t *o = NULL;
        err = sv_json_load(path, &sv_json_file_limits, &o);
        if (err == SV_OK)
            err = sv_config_read(o, path, c);
        json_decref(o);
    } else {
        sv_model *m = NULL;
        sv_model_opts opts = { .no_tokenizer = true };
        err = sv_model_open(from, &opts, &m);
        if (err == SV_OK)
            *c = m->config;
        sv_model_close(m);
    }
    sv_arena_drop(a);
    c->rope_divisor = NULL;
    return err;
}

static void count(const sv_config *c, plan *p)
{
    for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
        if (!sv_weight_exists(c, id))
            continue;
        sv_tensor shape = sv_weight_shape(c, id);
        uint64_t n = sv_tensor_items(&shape);
        bool table = c->family->weight[id % c->family->n_weight].flags & SV_W_EMBED;
        p->params += sv_weight_is_alias(c, id) ? 0 : n;
        p->matrices += shape.n_dim == 2 && !table ? n : 0;
    }
}

/* Weights on the chip; gradients and two moments of what is trained; the host has weights and moments once more. A
 * token takes 2 operations for each item of a matrix forward; 4 backward, of which 2 are the weights' own gradient. */
static sv_err make_plan(const sv_recipe *r, plan *p)
{
    sv_config c = { 0 };
    sv_lora *l = NULL;
    SV_TRY(read_config(r, &c));
    count(&c, p);
    if (sv_recipe_text(r, SV_KEY_LORA_FROM)[0] == '\0' || sv_lora_is_folder(sv_recipe_text(r, SV_KEY_LORA_FROM)))
        SV_TRY(sv_train_lora_of(r, &c, &l));
    p->lora = l ? l->n_param : 0;
    sv_lora_close(l);
    double trained = (double)(p->lora ? p->lora : p->params), n = (double)p->matrices + (double)p->lora;
    bool rl = sv_recipe_is(r, SV_KEY_METHOD, "rl") || sv_recipe_is(r, SV_KEY_METHOD, "opd");
    p->forward = 2 * n;
    p->backward = p->lora ? 2 * n + 2 * (double)p->lora : 4 * n;
    p->ctx = sv_roller_ctx(r, c.n_ctx);
    if (rl) {
        p->n_running = sv_roller_running(r, &c);
        p->kv_bytes =
            p->n_running * ((p->ctx + SV_PAGE - 1) / SV_PAGE * SV_PAGE) * c.n_layer * c.n_kv_head * c.d_head * 8;
        p->tokens_most = (double)sv_recipe_u64(r, SV_KEY_STEPS) * (double)sv_recipe_u64(r, SV_KEY_RL_PROMPTS) *
                         (double)sv_recipe_u64(r, SV_KEY_RL_GROUP) * (double)sv_recipe_u64(r, SV_KEY_ROLLOUT_TOKENS);
        p->operations = p->tokens_most * (2 * p->forward + p->backward);
    }
    p->chip = 4 * (double)p->params + 4 * (p->lora ? 4 * trained : 3 * trained) + (double)p->kv_bytes;
    p->host = 4 * (double)p->params + 4 * (p->lora ? 3 * trained : 2 * trained);
    return SV_OK;
}

static void print_json(const sv_recipe *r, const plan *p)
{
    json_t *o =
        json_pack("{s:i, s:o, s:I}", "v", 1, "recipe", sv_recipe_contract(r), "parameters", (json_int_t)p->params);
    if (p->lora)
        json_object_set_new(o, "adapter_parameters", json_integer((json_int_t)p->lora));
    json_object_set_new(
        o, "memory_bytes",
        json_pack("{s:f, s:f, s:I}", "chip", p->chip, "host", p->host, "kv_pages", (json_int_t)p->kv_bytes));
    json_object_set_new(o, "operations_per_token",
                        json_pack("{s:f, s:f}", "forward", p->forward, "backward", p->backward));
    if (p->tokens_most > 0)
        json_object_set_new(o, "at_most",
                            json_pack("{s:f, s:f}", "tokens_generated", p->tokens_most, "operations", p->operations));
    sv_out_json_pretty(o);
}

static void print_text(const sv_recipe *r, const plan *p)
{
    sv_bytes text = { 0 };
    sv_recipe_print(r, &text);
    sv_out("%s", text.p ? text.p : "");
    sv_bytes_done(&text);
    sv_out("\nparameters: %llu", (unsigned long long)p->params);
    if (p->lora)
        sv_out(", frozen; %llu in an adapter are trained", (unsigned long long)p->lora);
    sv_out(
        "\nmemory on the chip: weights, gradients and two moments of what is trained%s %s, beside the activations of "
        "%llu leaves in flight\n",
        p->kv_bytes ? ", KV pages:" : ":", sv_bytes_words(p->chip), (unsigned long long)sv_recipe_u64(r, SV_KEY_MICRO));
    if (p->kv_bytes)
        sv_out("  of these, KV pages of %llu answers of %llu tokens: %s\n", (unsigned long long)p->n_running,
               (unsigned long long)p->ctx, sv_bytes_words((double)p->kv_bytes));
    sv_out("memory on the host: %s of weights and for saving\n", sv_bytes_words(p->host));
    sv_out("operations a token: %.3g forward, %.3g backward, attention aside\n", p->forward, p->backward);
    if (p->tokens_most > 0)
        sv_out("at most %.3g tokens are generated and trained on: %.3g operations, %.1f hours at 100 GFLOP/s\n",
               p->tokens_most, p->operations, p->operations / 1e11 / 3600);
}

sv_err sv_train_plan(const sv_recipe *r, bool json)
{
    plan p = { 0 };
    SV_TRY(make_plan(r, &p));
    if (json)
        print_json(r, &p);
    else
        print_text(r, &p);
    return SV_OK;
}
