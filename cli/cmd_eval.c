/* SPDX-License-Identifier: Apache-2.0
 * samsvar eval: how often a model is right on held-out problems, how sure that is, and whether another is better.
 */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/sha.h"
#include "cli/eval.h"

#define FILE_TOKENS 1024u /* longest answer to a problem of a file, unless a flag says otherwise */

/* "x.jsonl", "dir/x", "-" are files; other words are tasks. */
static bool is_file(const char *name)
{
    return strpbrk(name, "./") != NULL || strcmp(name, "-") == 0 || sv_file_exists(name);
}

static sv_err find_task(const char *name, const sv_task **out)
{
    const char *names[32];
    size_t n = 0;
    for (; n < 32 && sv_task_at((uint32_t)n) != NULL; n++)
        names[n] = sv_task_at((uint32_t)n)->name;
    *out = sv_task_find(name);
    return *out != NULL ? SV_OK : sv_fail_word("no task", name, names, n);
}

static sv_err find_verifier(const sv_args *a, const sv_verifier **out)
{
    const char *name = sv_arg_text(a, SV_FLAG_VERIFIER), *names[32];
    size_t n = 0;
    *out = NULL;
    if (name[0] == '\0')
        return SV_OK; /* each row names its own */
    for (; n < 32 && sv_verifier_at((uint32_t)n) != NULL; n++)
        names[n] = sv_verifier_name(sv_verifier_at((uint32_t)n));
    *out = sv_verifier_find(name);
    return *out != NULL ? SV_OK : sv_fail_word("no verifier", name, names, n);
}

/* The seed in the manifest of a checkpoint: it decided which problems were held out from training. */
static bool trained_seed(const sv_model *m, uint64_t *seed)
{
    sv_arena *arena = sv_arena_make();
    const char *path = sv_path_join(arena, m->path, "manifest.json");
    json_t *o = NULL;
    bool has = sv_file_exists(path) && sv_json_load(path, &sv_json_file_limits, &o) == SV_OK;
    const json_t *recipe = has ? json_object_get(json_object_get(o, "contract"), "recipe") : NULL;
    const char *text = json_string_value(json_object_get(recipe, "seed"));
    has = text != NULL && sv_str_u64(sv_str_of(text), seed);
    json_decref(o);
    sv_arena_drop(arena);
    return has;
}

/* A file is read whole, and its gold answers checked, before a large model is. */
static sv_err open_set(const sv_args *a, sv_eval_set *out)
{
    const char *name = sv_arg_text(a, SV_FLAG_TASK);
    const sv_task *task;
    const sv_verifier *verifier;
    uint64_t n = sv_arg_u64(a, SV_FLAG_PROBLEMS);
    *out = (sv_eval_set){ 0 };
    SV_TRY(find_verifier(a, &verifier));
    if (name[0] == '\0')
        return sv_fail(SV_E_ARG, "which problems? give --task FILE.jsonl, or a built-in task: %s", sv_task_names());
    if (is_file(name))
        return sv_eval_set_file(name, verifier, n,
                                sv_arg_given(a, SV_FLAG_SYSTEM) ? sv_arg_text(a, SV_FLAG_SYSTEM) : NULL, out);
    SV_TRY(find_task(name, &task));
    if (verifier != NULL || sv_arg_given(a, SV_FLAG_SYSTEM))
        return sv_fail(SV_E_ARG, "--verifier and --system are for files; %s has its own judge and prompt", name);
    if (n > task->n_test)
        return sv_fail(SV_E_ARG, "--problems %llu: %s has %u held-out problems", (unsigned long long)n, task->name,
                       task->n_test);
    out->task = task;
    return SV_OK;
}

static void draw_problems(const sv_args *a, const sv_model *m, sv_eval_set *set)
{
    uint64_t seed = 1;
    if (set->task == NULL)
        return;
    if (sv_arg_given(a, SV_FLAG_SPLIT_SEED))
        seed = sv_arg_u64(a, SV_FLAG_SPLIT_SEED);
    else
        trained_seed(m, &seed);
    sv_eval_set_task(set->task, seed, (uint32_t)sv_arg_u64(a, SV_FLAG_PROBLEMS), set);
}

/* A built-in task is sampled at T = 1 unless a flag says otherwise, a file as the model proposes. */
static sv_err opts_of(const sv_args *a, const sv_model *m, const sv_eval_set *set, sv_eval_opts *out)
{
    sv_model none = { .defaults = { -1, -1, -1, -1, -1 } };
    *out = (sv_eval_opts){ .chip = sv_arg_text(a, SV_FLAG_CHIP),
                           .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS),
                           .n_sample = (uint32_t)sv_arg_u64(a, SV_FLAG_SAMPLES),
                           .max_tokens = (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_TOKENS) };
    if (out->max_tokens == 0)
        out->max_tokens = set->task ? set->task->max_tokens : FILE_TOKENS;
    SV_TRY(sv_sampling_of(a, set->task ? &none : m, &out->sampling));
    if (!sv_arg_given(a, SV_FLAG_TEMPERATURE) && out->sampling.temperature == 0)
        out->sampling.temperature = 1;
    if (out->sampling.temperature == 0 && out->n_sample > 0)
        return sv_fail(SV_E_ARG, "at --temperature 0 all samples are the same; --samples 0 measures greedy alone");
    return SV_OK;
}

typedef struct eval {
    const sv_args *a;
    sv_eval_set set;
    sv_eval_opts opts;
    sv_bytes lines; /* of --out */
} eval;

static sv_err run_one(eval *e, const sv_model *m, sv_eval_result *out)
{
    uint8_t digest[32];
    uint64_t seed;
    if (e->set.task != NULL && trained_seed(m, &seed) && seed != e->set.task_seed)
        sv_warn("%s was trained with seed %llu, the problems are held out by seed %llu: it may have seen some", m->path,
                (unsigned long long)seed, (unsigned long long)e->set.task_seed);
    SV_TRY(sv_eval_run(m, &e->set, &e->opts, out));
    sv_model_weights_hash(m, digest);
    sv_sha_hex(digest, out->weights);
    if (m->lora != NULL) {
        sv_lora_hash(m->lora, &m->config, digest);
        sv_sha_hex(digest, out->adapter);
    }
    sv_eval_print(out, m->path, sv_arg_on(e->a, SV_FLAG_JSON));
    sv_out_flush();
    if (sv_arg_given(e->a, SV_FLAG_OUT))
        sv_eval_write(out, m->path, &e->lines);
    return SV_OK;
}

static sv_err run_against(eval *e, const sv_eval_result *first)
{
    sv_model *m;
    sv_eval_result second;
    SV_TRY(sv_open_base(e->a, sv_arg_text(e->a, SV_FLAG_AGAINST), &m));
    sv_err err = run_one(e, m, &second);
    if (err == SV_OK) {
        sv_eval_print_pair(first, &second, sv_arg_on(e->a, SV_FLAG_JSON));
        sv_eval_done(&second);
    }
    sv_model_close(m);
    return err;
}

/* The gate is for MODEL, --against or not. */
static sv_err finish(eval *e, const sv_eval_result *r)
{
    if (sv_arg_given(e->a, SV_FLAG_OUT))
        SV_TRY(sv_file_write(sv_arg_text(e->a, SV_FLAG_OUT), (sv_str){ e->lines.p ? e->lines.p : "", e->lines.n }));
    if (sv_arg_given(e->a, SV_FLAG_GATE))
        SV_TRY(sv_eval_gate(r, sv_arg_text(e->a, SV_FLAG_GATE), sv_arg_on(e->a, SV_FLAG_JSON)));
    return SV_OK;
}

static sv_err evaluate(eval *e, const sv_model *m)
{
    sv_eval_result r;
    draw_problems(e->a, m, &e->set);
    SV_TRY(opts_of(e->a, m, &e->set, &e->opts));
    SV_TRY(run_one(e, m, &r));
    sv_err err = SV_OK;
    if (sv_arg_given(e->a, SV_FLAG_AGAINST))
        err = run_against(e, &r);
    if (err == SV_OK)
        err = finish(e, &r);
    sv_eval_done(&r);
    return err;
}

sv_err sv_cmd_eval(const sv_args *a)
{
    eval e = { .a = a };
    sv_model *m = NULL;
    SV_TRY(open_set(a, &e.set));
    if (e.set.file != NULL && e.set.file->n_unsupported > 0)
        sv_warn("%s: %llu rows are left out: the verifier does not cover their gold answers", e.set.name,
                (unsigned long long)e.set.file->n_unsupported);
    sv_err err = sv_open_model(a, a->word[0], &m);
    sv_signals_catch(NULL, 130);
    if (err == SV_OK)
        err = evaluate(&e, m);
    sv_bytes_done(&e.lines);
    sv_model_close(m);
    sv_eval_set_close(&e.set);
    return err;
}
