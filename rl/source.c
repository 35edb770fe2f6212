/* SPDX-License-Identifier: Apache-2.0
 * Problems into prompts, answers into verdicts.
 */
#include "rl/source.h"

#include "num/philox.h"
#include "train/data.h"
#include "train/problems.h"

struct sv_source {
    const sv_recipe *recipe;
    const sv_model *model;
    const sv_task *task; /* NULL: a file */
    sv_problems *file;
    uint64_t seed, per_step; /* problems that a step may draw */
};

static sv_err open_file(sv_source *s)
{
    const char *name = sv_recipe_text(s->recipe, SV_KEY_DATA_VERIFIER), *path;
    const sv_verifier *v = name[0] ? sv_verifier_find(name) : NULL;
    if (name[0] && v == NULL)
        return sv_fail(SV_E_ARG, "data.verifier: there is no '%s'; there are %s", sv_str_quote(sv_str_of(name)),
                       sv_verifier_names());
    path = sv_recipe_text(s->recipe, SV_KEY_DATA_PATH);
    SV_TRY(sv_problems_open(path, v, 0, sv_recipe_bool(s->recipe, SV_KEY_DATA_SKIP), &s->file));
    if (s->file->n == 0 || s->file->n > UINT32_MAX)
        return sv_fail(SV_E_FORMAT, "%s: %zu problems to train on", path, s->file->n);
    return SV_OK;
}

sv_err sv_source_open(const sv_recipe *r, const sv_model *m, sv_source **out)
{
    sv_source *s = sv_mem_new(sizeof *s);
    s->recipe = r;
    s->model = m;
    s->task = sv_task_find(sv_recipe_text(r, SV_KEY_TASK));
    s->seed = sv_recipe_u64(r, SV_KEY_SEED);
    s->per_step = sv_recipe_u64(r, SV_KEY_RL_PROMPTS);
    if (sv_recipe_bool(r, SV_KEY_RL_RESAMPLE))
        s->per_step *= sv_recipe_u64(r, SV_KEY_RL_ROUNDS);
    sv_err err = s->task == NULL ? open_file(s) : SV_OK;
    if (err != SV_OK) {
        sv_source_close(s);
        return err;
    }
    *out = s;
    return SV_OK;
}

void sv_source_close(sv_source *s)
{
    if (s == NULL)
        return;
    sv_problems_close(s->file);
    sv_mem_free(s);
}

uint32_t sv_source_item(const sv_source *s, uint32_t step, uint32_t b)
{
    if (s->task != NULL) {
        sv_philox w = sv_philox_at(s->seed, SV_STREAM_PROMPT, step, b, 1);
        return (uint32_t)(((uint64_t)w.w[0] * s->task->n_train) >> 32);
    }
    uint64_t n = s->file->n, p = step * s->per_step + b;
    return (uint32_t)sv_data_order(s->seed, p / n, p % n, n);
}

static json_t *messages_of(const sv_source *s, uint32_t item)
{
    sv_bytes text = { 0 };
    if (s->task == NULL)
        return json_incref(s->file->item[item].messages);
    s->task->problem(s->seed, SV_SPLIT_TRAIN, item, &text);
    json_t *o = json_pack("[{s:s, s:o}]", "role", "user", "content", json_stringn(text.p, text.n));
    sv_bytes_done(&text);
    return o;
}

sv_err sv_source_prompt(const sv_source *s, uint32_t item, sv_ids *out)
{
    json_t *messages = messages_of(s, item);
    sv_marked marked = { 0 };
    sv_template_input in = { .messages = messages,
                             .bos_token = s->model->bos_token,
                             .eos_token = s->model->eos_token,
                             .add_generation_prompt = true };
    sv_err err = sv_template_render(s->model->chat_template, &in, &marked);
    if (err == SV_OK)
        err = sv_tokenizer_encode(s->model->tokenizer, &marked, out);
    json_decref(messages);
    sv_marked_done(&marked);
    if (err != SV_OK && s->file != NULL)
        return sv_fail_in(err, "%s:%llu: ", s->file->name, (unsigned long long)s->file->item[item].line);
    return err;
}

/* The prompt's end opens a block of thought that it does not close. */
static bool opens_thought(const sv_tokenizer *t, const uint32_t *prompt, uint32_t n)
{
    for (uint32_t i = n; i-- > 0 && n - i < 8;)
        if (sv_str_is(sv_tokenizer_piece(t, prompt[i]), "<think>"))
            return true;
        else if (sv_str_is(sv_tokenizer_piece(t, prompt[i]), "</think>"))
            return false;
    return false;
}

/* The end token is no part of the answer, whatever a model calls it. */
static bool is_end(const sv_config *c, uint32_t id)
{
    for (uint32_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

sv_verdict sv_source_judge(const sv_source *s, uint32_t item, const uint32_t *id, uint32_t n_prompt, uint32_t n,
                           bool ended)
{
    sv_bytes text = { 0 }, problem = { 0 };
    sv_verdict v;
    /* tasks mind their special tokens; a file's verifiers read what a user would see */
    uint32_t last = ended && n > 0 && is_end(&s->model->config, id[n_prompt + n - 1]);
    sv_tokenizer_decode(s->model->tokenizer, id + n_prompt, n - last, s->task != NULL, &text);
    sv_str output = { text.p ? text.p : "", text.n };
    if (s->task != NULL) {
        s->task->problem(s->seed, SV_SPLIT_TRAIN, item, &problem);
        v = s->task->verify((sv_str){ problem.p, problem.n }, output, ended, true);
    } else {
        const sv_problem *p = &s->file->item[item];
        bool in_thought = opens_thought(s->model->tokenizer, id, n_prompt);
        v = sv_verify(p->verifier, &p->gold, output, ended, in_thought, SV_EXTRACT_TRAIN, NULL);
    }
    sv_bytes_done(&text);
    sv_bytes_done(&problem);
    return v;
}
