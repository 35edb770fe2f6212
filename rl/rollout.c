/* SPDX-License-Identifier: Apache-2.0
 * Sampling a batch: posts, events, verdicts.
 */
#include "rl/rollout.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/sha.h"
#include "num/philox.h"
#include "rl/source.h"
#include "train/trainer.h"

#define RUNNING_MOST 256u
#define KV_BYTES (UINT64_C(1) << 30) /* of all answers that are written at the same time */
#define CHUNK 1024u

struct sv_roller {
    const sv_recipe *recipe;
    const sv_model *model;
    sv_source *source;
    sv_engine *engine, *reference; /* reference NULL: none */
    sv_model *reference_model;
    uint64_t seed;
    uint32_t group, n_prompt, max_tokens;
    void (*tell)(void *ctx, uint32_t n, uint32_t of);
    void *tell_ctx;
};

uint32_t sv_roller_ctx(const sv_recipe *r, uint32_t model_ctx)
{
    uint64_t most = sv_recipe_u64(r, SV_KEY_DATA_MAX_TOKENS);
    return most > 0 && most < model_ctx ? (uint32_t)most : model_ctx;
}

/* Answers at the same time: 256, or as many as a GiB of keys and values holds. */
uint32_t sv_roller_running(const sv_recipe *r, const sv_config *c)
{
    uint64_t asked = sv_recipe_u64(r, SV_KEY_ROLLOUT_RUNNING);
    uint64_t each = (uint64_t)sv_roller_ctx(r, c->n_ctx) * c->n_layer * c->n_kv_head * c->d_head * 8,
             fit = KV_BYTES / each;
    uint64_t n = asked ? asked : fit < RUNNING_MOST ? fit : RUNNING_MOST;
    return n > 0 ? (uint32_t)n : 1;
}

static sv_err check_model(const sv_roller *r)
{
    const sv_config *c = &r->model->config;
    SV_TRY(sv_model_need_tokenizer(r->model));
    if (r->model->chat_template == NULL)
        return sv_fail(SV_E_ARG, "%s: the model has no chat template, by which problems become prompts",
                       sv_recipe_name(r->recipe));
    if (c->n_eos == 0)
        return sv_fail(SV_E_FORMAT, "%s: the model names no end token, so that no answer would end",
                       sv_recipe_name(r->recipe));
    if (r->max_tokens >= c->n_ctx)
        return sv_fail(SV_E_ARG, "%s: rollout.max_tokens is %u; prompt and answer have to fit the model's context, %u",
                       sv_recipe_name(r->recipe), r->max_tokens, c->n_ctx);
    return SV_OK;
}

/* The same ids mean the same text: by the tokenizer's file where there is one, else by its size. */
static sv_err same_tokens(const sv_model *mine, const sv_model *its, const char *path)
{
    uint8_t hash[2][32] = { { 0 } };
    char hex[2][17];
    const sv_model *m[2] = { mine, its };
    SV_TRY(sv_model_need_tokenizer(its));
    for (int k = 0; k < 2; k++) {
        sv_str json = sv_tokenizer_json(m[k]->tokenizer);
        sv_sha_of(json.p, json.n, hash[k]);
        for (int i = 0; i < 8; i++)
            snprintf(hex[k] + 2 * i, 3, "%02x", hash[k][i]);
    }
    bool has_files = sv_tokenizer_json(mine->tokenizer).n > 0 && sv_tokenizer_json(its->tokenizer).n > 0;
    bool same = sv_tokenizer_count(its->tokenizer) == sv_tokenizer_count(mine->tokenizer);
    if (same && (!has_files || memcmp(hash[0], hash[1], 32) == 0))
        return SV_OK;
    return sv_fail(SV_E_ARG, "%s: its tokens are not the model's: %u with hash %s, and %u with hash %s", path,
                   sv_tokenizer_count(its->tokenizer), hex[1], sv_tokenizer_count(mine->tokenizer), hex[0]);
}

/* The model of the KL, or the teacher. */
static const char *reference_path(const sv_recipe *r)
{
    const char *path = sv_recipe_text(r, SV_KEY_RL_REFERENCE);
    if (sv_recipe_is(r, SV_KEY_METHOD, "opd"))
        return sv_recipe_text(r, SV_KEY_OPD_TEACHER);
    if (sv_recipe_f64(r, SV_KEY_RL_KL) == 0.0)
        return NULL;
    return path[0] ? path : sv_recipe_text(r, SV_KEY_MODEL_FROM);
}

/* The KL's reference is where the run began: model.from, with the adapter it goes on from. */
static bool starts_from_adapter(const sv_recipe *r)
{
    return !sv_recipe_is(r, SV_KEY_METHOD, "opd") && sv_recipe_text(r, SV_KEY_RL_REFERENCE)[0] == '\0' &&
           sv_recipe_text(r, SV_KEY_LORA_FROM)[0] != '\0';
}

static sv_err open_reference(sv_roller *r, sv_runner *runner)
{
    const char *path = reference_path(r->recipe);
    sv_model_opts mo = { .dequant = true };
    if (path == NULL)
        return SV_OK;
    if (starts_from_adapter(r->recipe))
        mo.adapter = sv_recipe_text(r->recipe, SV_KEY_LORA_FROM);
    sv_arena *a = sv_arena_make();
    sv_err err = sv_model_open(sv_train_newest_in(a, path), &mo, &r->reference_model);
    sv_arena_drop(a);
    SV_TRY(err);
    SV_TRY(same_tokens(r->model, r->reference_model, path));
    sv_engine_opts o = { .chip = sv_recipe_text(r->recipe, SV_KEY_CHIP), .max_running = 16, .chunk = CHUNK };
    o.machine.n_thread = (uint32_t)sv_recipe_u64(r->recipe, SV_KEY_THREADS);
    o.n_ctx = sv_roller_ctx(r->recipe, sv_runner_ctx(runner));
    return sv_engine_open(r->reference_model, &o, &r->reference);
}

static sv_err open_all(sv_roller *r, sv_runner *runner)
{
    SV_TRY(check_model(r));
    SV_TRY(sv_source_open(r->recipe, r->model, &r->source));
    sv_engine_opts o = { .share = runner, .chunk = CHUNK, .prefix = true };
    o.n_ctx = sv_roller_ctx(r->recipe, sv_runner_ctx(runner));
    o.max_running = sv_roller_running(r->recipe, &r->model->config);
    SV_TRY(sv_engine_open(r->model, &o, &r->engine));
    return open_reference(r, runner);
}

sv_err sv_roller_open(const sv_recipe *recipe, sv_runner *runner, sv_roller **out)
{
    sv_roller *r = sv_mem_new(sizeof *r);
    r->recipe = recipe;
    r->model = sv_runner_model(runner);
    r->seed = sv_recipe_u64(recipe, SV_KEY_SEED);
    r->group = (uint32_t)sv_recipe_u64(recipe, SV_KEY_RL_GROUP);
    r->n_prompt = (uint32_t)sv_recipe_u64(recipe, SV_KEY_RL_PROMPTS);
    r->max_tokens = (uint32_t)sv_recipe_u64(recipe, SV_KEY_ROLLOUT_TOKENS);
    sv_err err = open_all(r, runner);
    if (err != SV_OK) {
        sv_roller_close(r);
        return err;
    }
    *out = r;
    return SV_OK;
}

void sv_roller_close(sv_roller *r)
{
    if (r == NULL)
        return;
    sv_source_close(r->source);
    sv_engine_close(r->engine);
    sv_engine_close(r->reference);
    sv_model_close(r->reference_model);
    sv_mem_free(r);
}

void sv_roller_tell(sv_roller *r, void (*fn)(void *ctx, uint32_t n, uint32_t of), void *ctx)
{
    r->tell = fn;
    r->tell_ctx = ctx;
}

void sv_rollout_done(sv_rollout_batch *b)
{
    sv_arena_drop(b->arena);
    *b = (sv_rollout_batch){ 0 };
}

/* ---- rewards ---- */

float sv_overlong(uint32_t n, uint32_t most, uint32_t slack)
{
    if (n > most)
        return -1.0f;
    return n + slack <= most ? 0.0f : ((float)most - (float)slack - (float)n) / (float)slack;
}

float sv_reward(const sv_recipe *r, sv_verdict v, uint32_t n_token, bool *masked)
{
    float reward = 0.0f;
    if (v == SV_VERDICT_CORRECT)
        reward = (float)sv_recipe_f64(r, SV_KEY_REWARD_CORRECT);
    else if (v == SV_VERDICT_WELL_FORMED)
        reward = (float)sv_recipe_f64(r, SV_KEY_REWARD_FORMAT);
    *masked = v == SV_VERDICT_TRUNCATED && sv_recipe_is(r, SV_KEY_RL_TRUNCATED, "mask");
    if (sv_recipe_is(r, SV_KEY_RL_TRUNCATED, "shape"))
        reward = reward + sv_overlong(n_token, (uint32_t)sv_recipe_u64(r, SV_KEY_ROLLOUT_TOKENS),
                                      (uint32_t)sv_recipe_u64(r, SV_KEY_RL_SHAPE));
    return reward;
}

/* ---- one round of problems ---- */

typedef struct round_ {
    sv_rollout *row;
    sv_ticket first; /* tickets ascend by one from here */
    uint32_t n;
} round_;

static sv_err post(const sv_roller *r, uint32_t step, uint32_t row, const sv_ids *prompt, sv_ticket *out)
{
    sv_request q = { .prompt = prompt->id,
                     .n_prompt = (uint32_t)prompt->n,
                     .max_tokens = r->max_tokens,
                     .want_logprob = true,
                     .sampling = SV_SAMPLING_GREEDY };
    q.sampling.temperature = 1.0f;
    q.sampling.seed = r->seed;
    q.sampling.stream = SV_STREAM_ROLLOUT;
    q.sampling.step = step;
    q.sampling.row = row;
    return sv_engine_post(r->engine, &q, out);
}

static sv_err begin_problem(const sv_roller *r, uint32_t step, uint32_t b, sv_arena *a, round_ *round)
{
    sv_ids ids = { 0 };
    sv_ticket ticket;
    uint32_t item = sv_source_item(r->source, step, b);
    sv_err err = sv_source_prompt(r->source, item, &ids);
    for (uint32_t g = 0; err == SV_OK && g < r->group; g++) {
        sv_rollout *w = &round->row[round->n];
        uint32_t most = (uint32_t)ids.n + r->max_tokens;
        *w = (sv_rollout){ .problem = b, .item = item, .sample = g, .n_prompt = (uint32_t)ids.n, .n = (uint32_t)ids.n };
        w->id = SV_NEW_N(a, int32_t, most);
        w->counted = SV_NEW_N(a, uint8_t, most);
        w->lp = SV_NEW_N(a, float, r->max_tokens);
        for (uint32_t i = 0; i < ids.n; i++)
            w->id[i] = (int32_t)ids.id[i];
        err = post(r, step, b * r->group + g, &ids, &ticket);
        if (round->n++ == 0)
            round->first = ticket;
    }
    sv_ids_done(&ids);
    return err;
}

static sv_err collect(const sv_roller *r, round_ *round)
{
    bool has = true;
    sv_event ev;
    uint32_t n_done = 0;
    while (n_done < round->n) {
        SV_TRY(sv_engine_next(r->engine, &ev, &has));
        SV_ASSERT(has && ev.ticket - round->first < round->n);
        sv_rollout *w = &round->row[ev.ticket - round->first];
        if (ev.kind == SV_EVENT_TOKEN) {
            w->lp[w->n - w->n_prompt] = ev.logprob;
            w->counted[w->n] = 1;
            w->id[w->n++] = (int32_t)ev.id;
        } else {
            w->ended = ev.finish == SV_FINISH_STOP;
            n_done++;
            if (r->tell != NULL)
                r->tell(r->tell_ctx, n_done, round->n);
        }
    }
    return SV_OK;
}

/* Problems b ... b + n_group - 1 of a step. */
static sv_err make_round(const sv_roller *r, uint32_t step, uint32_t b, uint32_t n_group, sv_arena *a, sv_rollout *row)
{
    round_ round = { .row = row };
    for (uint32_t i = 0; i < n_group; i++)
        SV_TRY(begin_problem(r, step, b + i, a, &round));
    sv_fault_point("rl.drawn");
    SV_TRY(collect(r, &round));
    sv_fault_point("rl.sampled");
    for (uint32_t i = 0; i < round.n; i++) {
        sv_rollout *w = &row[i];
        uint32_t n = w->n - w->n_prompt;
        w->verdict = sv_source_judge(r->source, w->item, (const uint32_t *)w->id, w->n_prompt, n, w->ended);
        w->reward = sv_reward(r->recipe, w->verdict, n, &w->masked);
    }
    sv_fault_point("rl.judged");
    return SV_OK;
}

/* ---- the reference ---- */

static sv_err score_reference(const sv_roller *r, sv_rollout_batch *b)
{
    sv_ticket first = 0, ticket = 0;
    bool has = true;
    sv_event ev;
    for (uint32_t i = 0; i < b->n; i++) {
        sv_rollout *w = &b->row[i];
        sv_request q = { .prompt = (const uint32_t *)w->id, .n_prompt = w->n, .score = true };
        w->ref = SV_NEW_N(b->arena, float, w->n - w->n_prompt);
        SV_TRY(sv_engine_post(r->reference, &q, &ticket));
        if (i == 0)
            first = ticket;
        b->n_reference += w->n;
    }
    while (has) {
        SV_TRY(sv_engine_next(r->reference, &ev, &has));
        if (!has || ev.kind != SV_EVENT_SCORE)
            continue;
        sv_rollout *w = &b->row[ev.ticket - first];
        if (ev.position >= w->n_prompt)
            w->ref[ev.position - w->n_prompt] = ev.logprob;
    }
    return SV_OK;
}

/* ---- a batch ---- */

static bool is_mixed(const sv_rollout *row, uint32_t group)
{
    for (uint32_t g = 1; g < group; g++)
        if (memcmp(&row[g].reward, &row[0].reward, sizeof row[0].reward) != 0)
            return true;
    return false;
}

static void take_group(sv_rollout_batch *b, const sv_rollout *row)
{
    memcpy(b->row + (size_t)b->n_group++ * b->group, row, b->group * sizeof *row);
}

/* rl.resample (DAPO's dynamic sampling): groups whose answers score differently, in order of problems; when the rounds
 * did not give enough, the first ones of the others. */
static sv_err resample(const sv_roller *r, uint32_t step, sv_rollout_batch *b)
{
    uint32_t most = (uint32_t)sv_recipe_u64(r->recipe, SV_KEY_RL_ROUNDS), size = r->n_prompt * r->group, n_mixed = 0;
    sv_rollout **round = SV_NEW_N(b->arena, sv_rollout *, most);
    for (uint32_t k = 0; k < most && n_mixed < r->n_prompt; k++) {
        round[k] = SV_NEW_N(b->arena, sv_rollout, size);
        SV_TRY(make_round(r, step, k * r->n_prompt, r->n_prompt, b->arena, round[k]));
        b->n_drawn += r->n_prompt;
        for (uint32_t i = 0; i < size; i++)
            b->n_generated += round[k][i].n - round[k][i].n_prompt;
        for (uint32_t g = 0; g < r->n_prompt; g++)
            n_mixed += is_mixed(round[k] + (size_t)g * r->group, r->group);
    }
    for (int mixed = 1; mixed >= 0; mixed--)
        for (uint32_t i = 0; i < b->n_drawn && b->n_group < r->n_prompt; i++) {
            const sv_rollout *g = round[i / r->n_prompt] + (size_t)(i % r->n_prompt) * r->group;
            if (is_mixed(g, r->group) == (mixed != 0))
                take_group(b, g);
        }
    return SV_OK;
}

static sv_err make(const sv_roller *r, uint32_t step, sv_rollout_batch *b)
{
    if (sv_recipe_bool(r->recipe, SV_KEY_RL_RESAMPLE)) {
        SV_TRY(resample(r, step, b));
    } else {
        SV_TRY(make_round(r, step, 0, r->n_prompt, b->arena, b->row));
        b->n_group = b->n_drawn = r->n_prompt;
        for (uint32_t i = 0; i < b->n; i++)
            b->n_generated += b->row[i].n - b->row[i].n_prompt;
    }
    return r->reference ? score_reference(r, b) : SV_OK;
}

sv_err sv_roller_make(sv_roller *r, uint32_t step, sv_rollout_batch *out)
{
    *out = (sv_rollout_batch){ .n = r->n_prompt * r->group, .group = r->group, .arena = sv_arena_make() };
    out->row = SV_NEW_N(out->arena, sv_rollout, out->n);
    sv_engine_forget(r->engine); /* the weights are others now */
    sv_err err = make(r, step, out);
    if (err != SV_OK)
        sv_rollout_done(out);
    return err;
}
