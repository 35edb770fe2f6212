/* SPDX-License-Identifier: Apache-2.0
 * Adapters on disk, in PEFT's layout: adapter_config.json and adapter_model.safetensors. The tensors say which weights
 * have an adapter; the config says the scale, and is refused where it asks for something that this forward is not.
 * source   huggingface/peft, LoraConfig and the names that save_pretrained writes
 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "format/safetensors.h"
#include "model/lora.h"
#include "model/save_impl.h"

#define CONFIG "adapter_config.json"
#define TENSORS "adapter_model.safetensors"
#define OURS "samsvar_adapter.json"
#define RANK_MOST 65536u

bool sv_lora_is_folder(const char *dir)
{
    sv_arena *a = sv_arena_make();
    bool is = sv_file_is_dir(dir) && sv_file_exists(sv_path_join(a, dir, CONFIG));
    sv_arena_drop(a);
    return is;
}

/* ---- the config ---- */

static sv_err unsupported(const char *where, const char *key, const char *found, const char *allowed)
{
    return sv_fail(SV_E_UNSUPPORTED,
                   "%s: %s is %s; %s is what is built. `merge_and_unload` of PEFT makes a plain model of it", where,
                   key, found, allowed);
}

static bool is_set(const json_t *o, const char *key)
{
    const json_t *v = sv_json_get(o, key);
    return v != NULL && !json_is_false(v) &&
           !((json_is_array(v) || json_is_object(v)) && json_array_size(v) == 0 && json_object_size(v) == 0);
}

/* Kinds of adapters whose forward is another one, or whose base was changed with them. */
static sv_err refuse_kinds(const json_t *o, const char *where)
{
    static const char *const flags[] = {
        "use_dora",
        "fan_in_fan_out",
        "lora_bias",
        "modules_to_save",
        "target_parameters",
        "use_qalora",
        "use_bdlora",
        "kasa_config",
        "arrow_config",
        "monteclora_config",
        "layer_replication",
        "trainable_token_indices",
        "alora_invocation_tokens",
    };
    const char *type, *bias;
    SV_TRY(sv_json_need_text(o, "peft_type", where, &type));
    if (strcmp(type, "LORA") != 0)
        return unsupported(where, "peft_type", sv_str_quote(sv_str_of(type)), "LORA");
    SV_TRY(sv_json_text(o, "bias", "none", where, &bias));
    if (strcmp(bias, "none") != 0)
        return unsupported(where, "bias", sv_str_quote(sv_str_of(bias)), "none");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (is_set(o, flags[i]))
            return unsupported(where, flags[i], "set", "a plain LoRA without it");
    static const char *const inits[] = { "pissa", "olora", "corda", "loftq" };
    const char *init = json_string_value(sv_json_get(o, "init_lora_weights"));
    for (size_t i = 0; init != NULL && i < sizeof inits / sizeof *inits; i++)
        if (sv_str_starts(sv_str_of(init), inits[i]))
            return unsupported(where, "init_lora_weights", sv_str_quote(sv_str_of(init)),
                               "an adapter that leaves its base's weights as they are");
    return SV_OK;
}

/* Keys of rank_pattern and alpha_pattern are regular expressions; plain names are read, as suffixes of the module. */
static sv_err pattern_value(const json_t *o, const char *key, const char *module, const char *where, double *out)
{
    json_t *v, *patterns = sv_json_get(o, key);
    const char *name;
    if (patterns != NULL && !json_is_object(patterns))
        return sv_fail(SV_E_FORMAT, "%s: %s is not an object of names and numbers", where, key);
    json_object_foreach(patterns, name, v)
    {
        const char *plain = name + (name[0] == '^');
        if (strpbrk(plain, "\\*+?[](){}|$") != NULL)
            return sv_fail(SV_E_UNSUPPORTED,
                           "%s: %s has the pattern '%s'; plain names of modules are read, not expressions", where, key,
                           sv_str_quote(sv_str_of(name)));
        if (!json_is_number(v))
            return sv_fail(SV_E_FORMAT, "%s: %s of '%s' is no number", where, key, sv_str_quote(sv_str_of(name)));
        if (!sv_lora_matches(module, plain))
            continue;
        *out = json_number_value(v);
        return SV_OK;
    }
    return SV_OK;
}

static sv_err read_config(sv_lora *l, const json_t *o, const char *where)
{
    const char *base;
    SV_TRY(refuse_kinds(o, where));
    SV_TRY(sv_json_need_u32(o, "r", 1, RANK_MOST, where, &l->rank));
    SV_TRY(sv_json_f64(o, "lora_alpha", -1e9, 1e9, 8, where, &l->alpha));
    SV_TRY(sv_json_bool(o, "use_rslora", false, where, &l->is_rs));
    SV_TRY(sv_json_text(o, "base_model_name_or_path", "", where, &base));
    l->base = sv_arena_text(l->arena, base);
    return SV_OK;
}

/* ---- tensors ---- */

static const sv_named_tensor *find(const sv_tensors *t, const sv_config *c, uint32_t id, bool is_b, sv_arena *a)
{
    const sv_named_tensor *x = sv_tensors_find(t, sv_lora_name(c, id, is_b, a));
    if (x != NULL)
        return x;
    return sv_tensors_find(t, sv_arena_printf(a, "base_model.model.%s.lora_%c.default.weight", sv_lora_module(c, id, a),
                                              is_b ? 'B' : 'A'));
}

static sv_err check_tensor(const sv_named_tensor *x, const sv_tensor *want, const char *base)
{
    if (!sv_dtype_is_float(x->dtype))
        return sv_fail(SV_E_DTYPE, "tensor %s in %s is %s; an adapter is F32, F16 or BF16", x->name, x->file,
                       sv_dtype_name(x->dtype));
    if (x->n_dim == 2 && x->dim[0] == want->dim[0] && x->dim[1] == want->dim[1])
        return sv_named_tensor_check_finite(x);
    return sv_fail(SV_E_SHAPE,
                   "tensor %s in %s has shape [%llu, %llu], expected [%u, %u]; the adapter was made for another "
                   "model than %s",
                   x->name, x->file, (unsigned long long)x->dim[0], (unsigned long long)(x->n_dim > 1 ? x->dim[1] : 1),
                   want->dim[0], want->dim[1], base);
}

/* Rank and alpha of one weight, when the file has tensors for it. */
static sv_err size_part(sv_lora *l, const sv_config *c, const json_t *o, const sv_named_tensor *const x[2], uint32_t id,
                        const char *where, sv_arena *a)
{
    sv_lora_part *p = &l->part[id];
    const char *module = sv_lora_module(c, id, a);
    double rank = l->rank;
    if (x[0] == NULL || x[1] == NULL)
        return sv_fail(SV_E_FORMAT, "%s/" TENSORS ": %s has lora_%c, but no lora_%c; the copy is incomplete", l->path,
                       module, x[0] ? 'A' : 'B', x[0] ? 'B' : 'A');
    p->alpha = l->alpha;
    SV_TRY(pattern_value(o, "rank_pattern", module, where, &rank));
    SV_TRY(pattern_value(o, "alpha_pattern", module, where, &p->alpha));
    if (!(rank >= 1 && rank <= RANK_MOST) || x[0]->n_dim != 2 || x[0]->dim[0] != (uint64_t)rank)
        return sv_fail(SV_E_SHAPE, "tensor %s in %s has %llu rows; %s says rank %g", x[0]->name, x[0]->file,
                       (unsigned long long)x[0]->dim[0], where, rank);
    p->rank = (uint32_t)rank;
    for (int k = 0; k < 2; k++) {
        sv_tensor want = sv_lora_shape(l, c, id, k);
        SV_TRY(check_tensor(x[k], &want, l->base[0] ? l->base : "this one"));
    }
    return SV_OK;
}

static sv_err refuse_extra(const sv_lora *l, const sv_config *c, const sv_tensors *t, const bool *used)
{
    for (size_t i = 0; i < t->n; i++) {
        const char *name = sv_str_quote(sv_str_of(t->item[i].name));
        if (used[i])
            continue;
        if (strstr(name, ".lora_") == NULL)
            return sv_fail(SV_E_UNSUPPORTED,
                           "tensor %s in %s is a whole weight beside A and B; save the adapter with "
                           "save_embedding_layers=False and without modules_to_save",
                           name, t->item[i].file);
        return sv_fail(
            SV_E_FORMAT,
            "tensor %s in %s extends no linear weight of a %s model of %u layers; the adapter (of %s) belongs to "
            "another base",
            name, t->item[i].file, c->family->model_type, c->n_layer, l->base[0] ? l->base : "an unnamed base");
    }
    return SV_OK;
}

static sv_err read_parts(sv_lora *l, const sv_config *c, const json_t *o, const sv_tensors *t, const char *where,
                         sv_arena *a)
{
    const sv_named_tensor *(*x)[2] = sv_arena_new(a, l->n_id * sizeof *x);
    bool *used = SV_NEW_N(a, bool, t->n + 1);
    for (uint32_t id = 0; id < l->n_id; id++) {
        if (!sv_lora_may(c, id))
            continue;
        for (int k = 0; k < 2; k++) {
            x[id][k] = find(t, c, id, k, a);
            if (x[id][k] != NULL)
                used[x[id][k] - t->item] = true;
        }
        if (x[id][0] != NULL || x[id][1] != NULL)
            SV_TRY(size_part(l, c, o, x[id], id, where, a));
    }
    SV_TRY(refuse_extra(l, c, t, used));
    if (t->n == 0)
        return sv_fail(SV_E_FORMAT, "%s/" TENSORS " holds no tensors", l->path);
    SV_TRY(sv_lora_fill(l, c));
    for (uint32_t id = 0; id < l->n_id; id++)
        for (int k = 0; k < 2 && l->part[id].rank > 0; k++)
            sv_widen(x[id][k]->dtype, x[id][k]->data, x[id][k]->dim[0], x[id][k]->dim[1],
                     k ? l->part[id].b : l->part[id].a);
    return SV_OK;
}

/* ---- opening ---- */

/* The base's hash, where the adapter is ours. */
static sv_err read_ours(sv_lora *l, sv_arena *a)
{
    json_t *o;
    const char *hash, *path = sv_path_join(a, l->path, OURS);
    if (!sv_file_exists(path))
        return SV_OK;
    SV_TRY(sv_json_load(path, &sv_json_file_limits, &o));
    sv_err err = sv_json_text(o, "base_weights_sha256", "", path, &hash);
    if (err == SV_OK && hash[0] != '\0' && strlen(hash) != 64)
        err = sv_fail(SV_E_FORMAT, "%s: base_weights_sha256 is not 64 hex digits", path);
    if (err == SV_OK)
        memcpy(l->base_hash, hash, strlen(hash) + 1);
    json_decref(o);
    return err;
}

static sv_err read_all(sv_lora *l, const sv_config *c, sv_arena *a)
{
    const char *where = sv_path_join(a, l->path, CONFIG);
    json_t *o;
    sv_tensors *t;
    SV_TRY(sv_json_load(where, &sv_json_file_limits, &o));
    sv_err err = read_config(l, o, where);
    if (err == SV_OK)
        err = sv_safetensors_open(sv_path_join(a, l->path, TENSORS), &t);
    if (err == SV_OK) {
        err = read_parts(l, c, o, t, where, a);
        sv_tensors_close(t);
    }
    json_decref(o);
    return err == SV_OK ? read_ours(l, a) : err;
}

/* A run's folder stands for its newest checkpoint; names ascend with the steps. */
static const char *folder_of(const char *dir, sv_arena *a)
{
    char **name;
    size_t n;
    if (sv_lora_is_folder(dir) || sv_file_list(dir, a, &name, &n) != SV_OK)
        return dir;
    for (size_t i = n; i-- > 0;)
        if (sv_str_starts(sv_str_of(name[i]), "step-"))
            return sv_path_join(a, dir, name[i]);
    return dir;
}

sv_err sv_lora_open(const char *dir, const sv_config *c, sv_lora **out)
{
    sv_arena *a = sv_arena_make();
    const char *path = sv_file_is_dir(dir) ? folder_of(dir, a) : dir;
    sv_lora *l = NULL;
    sv_err err;
    if (!sv_lora_is_folder(path)) {
        err = sv_fail(SV_E_NOTFOUND, "%s: no " CONFIG "; an adapter is a folder with " CONFIG " and " TENSORS, path);
    } else {
        l = sv_lora_make(c, path);
        err = read_all(l, c, a);
    }
    sv_arena_drop(a);
    if (err != SV_OK) {
        sv_lora_close(l);
        return err;
    }
    *out = l;
    return SV_OK;
}

/* ---- writing ---- */

static json_t *number(double v)
{
    return v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(v);
}

/* A weight whose every layer has an adapter by the last part of its name; else each module whole. */
static json_t *targets(const sv_lora *l, const sv_config *c, sv_arena *a)
{
    json_t *list = json_array();
    uint32_t n = c->family->n_weight;
    for (uint32_t i = 0; i < n; i++) {
        bool all = true;
        for (uint32_t id = i; id < l->n_id; id += n)
            all = all && (!sv_lora_may(c, id) || l->part[id].rank > 0);
        for (uint32_t id = i; id < l->n_id; id += n) {
            if (l->part[id].rank == 0)
                continue;
            const char *module = sv_lora_module(c, id, a), *dot = strrchr(module, '.');
            json_array_append_new(list, json_string(all && dot ? dot + 1 : module));
            if (all)
                break;
        }
    }
    return list;
}

static json_t *config_of(const sv_lora *l, const sv_config *c, sv_arena *a)
{
    json_t *ranks = json_object(), *alphas = json_object();
    for (uint32_t id = 0; id < l->n_id; id++) {
        const sv_lora_part *p = sv_lora_of(l, id);
        if (p != NULL && p->rank != l->rank)
            json_object_set_new(ranks, sv_lora_module(c, id, a), json_integer(p->rank));
        if (p != NULL && p->alpha != l->alpha)
            json_object_set_new(alphas, sv_lora_module(c, id, a), number(p->alpha));
    }
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:o, s:f, s:o}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                          "base_model_name_or_path", l->base, "r", (int)l->rank, "lora_alpha", number(l->alpha),
                          "lora_dropout", 0.0, "target_modules", targets(l, c, a));
    json_object_set_new(o, "bias", json_string("none"));
    json_object_set_new(o, "use_rslora", json_boolean(l->is_rs));
    json_object_set_new(o, "use_dora", json_false());
    json_object_set_new(o, "fan_in_fan_out", json_false());
    json_object_set_new(o, "modules_to_save", json_null());
    json_object_set_new(o, "rank_pattern", ranks);
    json_object_set_new(o, "alpha_pattern", alphas);
    json_object_set_new(o, "init_lora_weights", json_true());
    json_object_set_new(o, "inference_mode", json_true());
    return o;
}

static sv_err write_json(const char *path, const json_t *o)
{
    sv_bytes b = { 0 };
    sv_json_write(&b, o);
    sv_err err = sv_file_write(path, (sv_str){ b.p, b.n });
    sv_bytes_done(&b);
    return err;
}

static sv_err write_tensors(const sv_lora *l, const sv_config *c, const char *dir, sv_arena *a)
{
    sv_named_tensor *item = SV_NEW_N(a, sv_named_tensor, 2 * (size_t)l->n_id);
    size_t n = 0;
    for (uint32_t id = 0; id < l->n_id; id++)
        for (int k = 0; k < 2 && l->part[id].rank > 0; k++) {
            sv_tensor shape = sv_lora_shape(l, c, id, k);
            sv_named_tensor *t = &item[n++];
            t->name = sv_lora_name(c, id, k, a);
            t->dtype = SV_DT_F32;
            t->data = (const uint8_t *)(k ? l->part[id].b : l->part[id].a);
            t->bytes = 4 * sv_tensor_items(&shape);
            sv_weight_dims(&shape, t);
        }
    return sv_safetensors_write(dir, "adapter_model", item, n, UINT64_MAX);
}

sv_err sv_lora_save(const sv_lora *l, const sv_config *c, const char *dir)
{
    sv_arena *a = sv_arena_make();
    json_t *config = config_of(l, c, a), *ours = json_pack("{s:s}", "base_weights_sha256", l->base_hash);
    sv_err err = sv_file_mkdir(dir);
    if (err == SV_OK)
        err = write_tensors(l, c, dir, a);
    if (err == SV_OK && l->base_hash[0] != '\0')
        err = write_json(sv_path_join(a, dir, OURS), ours);
    if (err == SV_OK)
        err = write_json(sv_path_join(a, dir, CONFIG), config);
    json_decref(config);
    json_decref(ours);
    sv_arena_drop(a);
    return err;
}
