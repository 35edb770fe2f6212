/* SPDX-License-Identifier: Apache-2.0
 * Opening a run: its folder, the checkpoint to go on from, the model in F32.
 */
#include <string.h>

#include "base/json.h"
#include "base/sha.h"
#include "train/init.h"
#include "train/trainer_impl.h"

static int add_text(const char *text, size_t n, void *out)
{
    sv_bytes_add(out, text, n);
    return 0;
}

/* tokenizer_config.json with the template inside, wherever the source had it. */
static void tokenizer_config_of(const sv_model *m, sv_bytes *out)
{
    json_t *o = m->hf_tokenizer_config ? json_copy(m->hf_tokenizer_config) : json_object();
    if (m->chat_template != NULL) {
        sv_str source = sv_template_source(m->chat_template);
        json_object_set_new(o, "chat_template", json_stringn(source.p, source.n));
    }
    json_dump_callback(o, add_text, out, JSON_INDENT(1));
    json_decref(o);
}

/* What sv_model_new cannot know from the files it is given. */
static void copy_manners(const sv_model *from, sv_model *to)
{
    memcpy(to->config.eos, from->config.eos, sizeof to->config.eos);
    to->config.n_eos = from->config.n_eos;
    to->config.bos = from->config.bos;
    to->config.pad = from->config.pad;
    to->add_bos = from->add_bos;
    to->defaults = from->defaults;
    to->bos_token = from->bos_token ? sv_arena_text(to->arena, from->bos_token) : NULL;
    to->eos_token = from->eos_token ? sv_arena_text(to->arena, from->eos_token) : NULL;
    if (from->hf_generation != NULL && to->hf_generation == NULL)
        to->hf_generation = json_deep_copy(from->hf_generation);
}

static sv_err widen_weights(const sv_model *from, sv_model *to)
{
    for (uint32_t id = 0; id < sv_weight_ids(&to->config); id++) {
        const sv_tensor *shape = &from->shape[id];
        if (from->data[id] == NULL)
            continue;
        uint64_t n_col = shape->dim[shape->n_dim - 1], n_row = n_col ? sv_tensor_items(shape) / n_col : 0;
        uint64_t row_bytes = sv_dtype_row_bytes(shape->dtype, n_col);
        for (uint64_t r = 0; r < n_row; r++)
            if (!sv_dtype_dequant_row(shape->dtype, (const uint8_t *)from->data[id] + r * row_bytes, n_col,
                                      sv_model_weight(to, id) + r * n_col))
                return sv_fail(SV_E_DTYPE, "%s: a weight of type %s cannot be trained", from->path,
                               sv_dtype_name(shape->dtype));
    }
    return SV_OK;
}

static sv_err copy_model(const sv_model *from, sv_model **out)
{
    sv_bytes tokenizer_config = { 0 };
    sv_str tokenizer = from->tokenizer ? sv_tokenizer_json(from->tokenizer) : (sv_str){ 0 };
    json_t *config = json_copy(from->hf_config);
    json_object_set_new(config, json_object_get(config, "dtype") ? "dtype" : "torch_dtype", json_string("float32"));
    tokenizer_config_of(from, &tokenizer_config);
    sv_err err = sv_model_new(config, tokenizer, (sv_str){ tokenizer_config.p, tokenizer_config.n }, out);
    sv_bytes_done(&tokenizer_config);
    json_decref(config);
    SV_TRY(err);
    copy_manners(from, *out);
    return widen_weights(from, *out);
}

const char *sv_train_newest_in(sv_arena *a, const char *path)
{
    char **name;
    size_t n;
    if (!sv_file_is_dir(path) || sv_file_exists(sv_path_join(a, path, "config.json")) ||
        sv_file_list(path, a, &name, &n) != SV_OK)
        return path;
    for (size_t i = n; i-- > 0;)
        if (sv_str_starts(sv_str_of(name[i]), "step-"))
            return sv_path_join(a, path, name[i]);
    return path;
}

static sv_err read_optional(const char *dir, const char *name, size_t max, sv_arena *a, sv_str *out)
{
    const char *path = sv_path_join(a, dir, name);
    *out = (sv_str){ 0 };
    return sv_file_exists(path) ? sv_file_read(path, max, a, out) : SV_OK;
}

/* Tokenizer of a new model: the task's own, or a folder's. */
static sv_err new_tokenizer(sv_train *t, sv_str *json, sv_str *config)
{
    const char *dir = sv_recipe_text(t->recipe, SV_KEY_MODEL_TOKENIZER);
    const sv_task *task = sv_task_find(sv_recipe_text(t->recipe, SV_KEY_TASK));
    *json = *config = (sv_str){ 0 };
    if (dir[0] != '\0') {
        SV_TRY(read_optional(dir, "tokenizer_config.json", 64u << 20, t->arena, config));
        return sv_file_read(sv_path_join(t->arena, dir, "tokenizer.json"), 128u << 20, t->arena, json);
    }
    if (task != NULL) {
        *json = sv_str_of(task->tokenizer_json);
        *config = sv_str_of(task->tokenizer_config);
        return SV_OK;
    }
    if (sv_recipe_is(t->recipe, SV_KEY_DATA_KIND, "ids"))
        return SV_OK;
    return sv_fail(SV_E_ARG, "%s: a new model needs a tokenizer; give model.tokenizer: FOLDER (with tokenizer.json)",
                   sv_recipe_name(t->recipe));
}

static sv_err new_model(sv_train *t)
{
    sv_str tokenizer, config;
    json_t *hf = json_copy((json_t *)(uintptr_t)sv_recipe_model(t->recipe));
    sv_err err = new_tokenizer(t, &tokenizer, &config);
    if (json_object_get(hf, "torch_dtype") == NULL)
        json_object_set_new(hf, "torch_dtype", json_string("float32"));
    if (err == SV_OK)
        err = sv_model_new(hf, tokenizer, config, &t->model);
    json_decref(hf);
    SV_TRY(err);
    sv_init_weights(t->model, sv_recipe_u64(t->recipe, SV_KEY_SEED));
    return SV_OK;
}

static sv_err load_moments(sv_train *t, const char *dir)
{
    sv_store *s = sv_runner_store(t->runner);
    SV_TRY(sv_ckpt_load_state(dir, &t->params, t->moment[0], t->moment[1]));
    for (uint32_t i = 0; i < t->params.n; i++) {
        SV_TRY(sv_store_update(s, SV_KIND_ADAM_M, t->params.item[i].id, t->moment[0][i]));
        SV_TRY(sv_store_update(s, SV_KIND_ADAM_V, t->params.item[i].id, t->moment[1][i]));
    }
    sv_optim_set_powers(t->optim, t->mark.power1, t->mark.power2, t->mark.n_update);
    return SV_OK;
}

/* Host memory for moments, which only saving and loading touch. */
static sv_err make_moments(sv_train *t)
{
    for (int k = 0; k < 2; k++) {
        t->moment[k] = SV_NEW_N(t->arena, float *, t->params.n + 1);
        for (uint32_t i = 0; i < t->params.n; i++) {
            void *p;
            SV_TRY(
                sv_mem_large(4 * sv_tensor_items(&t->params.item[i].shape), "the optimizer's moments on the host", &p));
            t->moment[k][i] = p;
        }
    }
    return SV_OK;
}

/* A rank that was given: an adapter is trained, not the weights. */
static bool wants_lora(const sv_recipe *r)
{
    return sv_recipe_u64(r, SV_KEY_LORA_RANK) > 0 || sv_recipe_text(r, SV_KEY_LORA_FROM)[0] != '\0';
}

sv_err sv_train_lora_of(const sv_recipe *r, const sv_config *c, sv_lora **out)
{
    sv_lora_spec spec = { .rank = (uint32_t)sv_recipe_u64(r, SV_KEY_LORA_RANK),
                          .alpha = sv_recipe_f64(r, SV_KEY_LORA_ALPHA),
                          .is_rs = sv_recipe_bool(r, SV_KEY_LORA_RS),
                          .targets = sv_recipe_text(r, SV_KEY_LORA_TARGETS) };
    *out = NULL;
    if (!wants_lora(r))
        return SV_OK;
    if (spec.alpha == 0.0)
        spec.alpha = 2.0 * spec.rank;
    sv_err err = spec.rank > 0 ? sv_lora_new(c, &spec, out) : sv_lora_open(sv_recipe_text(r, SV_KEY_LORA_FROM), c, out);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s: train.lora: ", sv_recipe_name(r));
}

/* The adapter of a checkpoint, of train.lora.from, or a new one. base: the model as it is stored, for its hash. */
static sv_err open_lora(sv_train *t, const sv_model *base, const char *ckpt_dir)
{
    uint8_t sum[32];
    if (!wants_lora(t->recipe))
        return SV_OK;
    if (ckpt_dir != NULL) {
        SV_TRY(sv_lora_open(ckpt_dir, &base->config, &t->lora));
    } else {
        SV_TRY(sv_train_lora_of(t->recipe, &base->config, &t->lora));
        if (sv_recipe_text(t->recipe, SV_KEY_LORA_FROM)[0] == '\0')
            sv_init_lora(t->lora, &base->config, sv_recipe_u64(t->recipe, SV_KEY_SEED));
    }
    SV_TRY(sv_model_check_base(base, t->lora));
    sv_model_weights_hash(base, sum);
    sv_sha_hex(sum, t->lora->base_hash);
    t->lora->base = sv_arena_text(t->lora->arena, base->path);
    return SV_OK;
}

static sv_err open_model(sv_train *t, const char *path, const char *lora_dir)
{
    sv_model_opts opts = { .dequant = true, .no_tokenizer = sv_recipe_is(t->recipe, SV_KEY_DATA_KIND, "ids") };
    sv_model *from;
    SV_TRY(sv_model_open(path, &opts, &from));
    sv_err err = open_lora(t, from, lora_dir);
    if (err == SV_OK)
        err = copy_model(from, &t->model);
    sv_model_close(from);
    if (err == SV_OK)
        t->model->lora = t->lora;
    return err;
}

sv_err sv_train_load_model(sv_train *t, const char *ckpt_dir)
{
    if (sv_recipe_model(t->recipe) != NULL && ckpt_dir == NULL)
        return new_model(t);
    const char *base = sv_train_newest_in(t->arena, sv_recipe_text(t->recipe, SV_KEY_MODEL_FROM));
    bool whole = ckpt_dir != NULL && !wants_lora(t->recipe);
    return open_model(t, whole ? ckpt_dir : base, ckpt_dir);
}

static sv_err open_engines(sv_train *t)
{
    sv_runner_opts opts = { .chip = sv_recipe_text(t->recipe, SV_KEY_CHIP), .train = true };
    opts.machine.n_thread = (uint32_t)sv_recipe_u64(t->recipe, SV_KEY_THREADS);
    SV_TRY(sv_runner_open(t->model, &opts, &t->runner));
    SV_TRY(sv_loss_open(t->runner, &t->loss));
    return sv_optim_open(t->runner, t->recipe, &t->optim);
}

static sv_err lock_run(sv_train *t)
{
    SV_TRY(sv_file_mkdir(t->run_dir));
    sv_err err = sv_file_lock(sv_path_join(t->arena, t->run_dir, "run.lock"), &t->lock_fd);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "another run may be training here: ");
}

sv_err sv_train_open_run(sv_train *t)
{
    char *dir = NULL, *why;
    uint32_t n_bad;
    const char *run_dir = sv_recipe_text(t->recipe, SV_KEY_RUN_DIR);
    SV_TRY(sv_data_hash(t->recipe, t->data_hash));
    if (run_dir[0] != '\0') {
        t->run_dir = run_dir;
        SV_TRY(lock_run(t));
        SV_TRY(sv_ckpt_find(run_dir, t->recipe, t->data_hash, t->arena, &dir, &t->mark, &n_bad, &why));
        t->skipped = why;
    }
    SV_TRY(sv_train_load_model(t, dir));
    t->params = sv_params_of(t->model, t->lora, t->arena);
    SV_TRY(sv_data_open(t->recipe, t->model, t->model->config.n_ctx, &t->data));
    SV_TRY(open_engines(t));
    SV_TRY(make_moments(t));
    if (dir != NULL)
        SV_TRY(load_moments(t, dir));
    t->resumed_from = t->saved_step = t->mark.step;
    return t->run_dir ? sv_train_open_logs(t) : SV_OK;
}
