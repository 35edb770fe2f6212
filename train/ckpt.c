/* SPDX-License-Identifier: Apache-2.0
 * Writing checkpoints: tensors, manifest, rename, and only then "saved"; old ones go last.
 */
#include "train/ckpt.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/sha.h"
#include "format/safetensors.h"
#include "num/bits.h"
#include "train/ckpt_impl.h"

#define SHARD_BYTES (UINT64_C(1) << 30)

uint64_t sv_ckpt_bits(const sv_params *p, const float *const *x, uint64_t *first)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        uint64_t n = sv_tensor_items(&p->item[i].shape);
        h += sv_bits_hash(x ? x[i] : p->item[i].host, n, *first);
        *first += n;
    }
    return h;
}

sv_err sv_ckpt_file_hash(const char *path, uint64_t *bytes, char hex[65])
{
    sv_file_map map;
    uint8_t sum[32];
    SV_TRY(sv_file_map_open(path, &map));
    sv_sha_of(map.p, map.n, sum);
    *bytes = map.n;
    sv_file_map_close(&map);
    sv_sha_hex(sum, hex);
    return SV_OK;
}

static void add_moments(const sv_params *p, const char *prefix, const float *const *x, sv_named_tensor *item,
                        sv_arena *a)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const sv_tensor *shape = &p->item[i].shape;
        item[i] = (sv_named_tensor){ .name = sv_arena_printf(a, "%s%s", prefix, p->item[i].name),
                                     .dtype = SV_DT_F32,
                                     .n_dim = shape->n_dim,
                                     .data = (const uint8_t *)x[i],
                                     .bytes = 4 * sv_tensor_items(shape) };
        for (uint32_t k = 0; k < shape->n_dim; k++)
            item[i].dim[k] = shape->dim[k];
    }
}

static sv_err write_state(const sv_ckpt *c, const char *tmp)
{
    sv_arena *a = sv_arena_make();
    uint32_t n = c->params->n;
    sv_named_tensor *item = SV_NEW_N(a, sv_named_tensor, 2 * (size_t)n);
    add_moments(c->params, "adam.m.", c->m, item, a);
    add_moments(c->params, "adam.v.", c->v, item + n, a);
    sv_err err = sv_safetensors_write(tmp, "state", item, 2 * (size_t)n, SHARD_BYTES);
    sv_arena_drop(a);
    return err;
}

static sv_err list_files(const char *tmp, json_t *files)
{
    sv_arena *a = sv_arena_make();
    char **name;
    size_t n;
    sv_err err = sv_file_list(tmp, a, &name, &n);
    for (size_t i = 0; i < n && err == SV_OK; i++) {
        uint64_t bytes;
        char hex[65];
        err = sv_ckpt_file_hash(sv_path_join(a, tmp, name[i]), &bytes, hex);
        if (err == SV_OK)
            json_object_set_new(
                files, name[i],
                json_pack("{s:s, s:s}", "bytes", sv_arena_printf(a, "%llu", (unsigned long long)bytes), "sha256", hex));
    }
    sv_arena_drop(a);
    return err;
}

static void set_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

static void set_u64(json_t *o, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    set_text(o, key, text);
}

static void set_hex(json_t *o, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)v);
    set_text(o, key, text);
}

static void set_double(json_t *o, const char *key, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    set_hex(o, key, bits);
}

/* What a resumed run has to agree with. */
static json_t *contract_of(const sv_ckpt *c)
{
    json_t *o = json_object();
    char hex[65];
    uint8_t sum[32];
    json_object_set_new(o, "opset", json_integer(SV_OPSET));
    set_text(o, "arithmetic", "f32-v1");
    sv_recipe_hash(c->recipe, sum);
    sv_sha_hex(sum, hex);
    set_text(o, "recipe_sha256", hex);
    sv_sha_hex(c->data_hash, hex);
    set_text(o, "data_sha256", hex);
    json_object_set_new(o, "recipe", sv_recipe_contract(c->recipe));
    return o;
}

static int add_text(const char *text, size_t n, void *out)
{
    sv_bytes_add(out, text, n);
    return 0;
}

static sv_err write_manifest(const sv_ckpt *c, const char *tmp, sv_arena *a)
{
    json_t *o = json_object(), *files = json_object();
    sv_err err = list_files(tmp, files);
    json_object_set_new(o, "v", json_integer(1));
    set_u64(o, "step", c->mark.step);
    set_u64(o, "cursor", c->mark.cursor);
    set_u64(o, "updates", c->mark.n_update);
    set_double(o, "beta1_power", c->mark.power1);
    set_double(o, "beta2_power", c->mark.power2);
    set_hex(o, "weight_bits", c->mark.weight_bits);
    set_hex(o, "state_bits", c->mark.state_bits);
    json_object_set_new(o, "contract", contract_of(c));
    json_object_set_new(o, "files", files);
    json_object_set_new(o, "made_by",
                        json_pack("{s:s, s:i}", "chip", c->chip ? c->chip : "", "threads", (int)c->n_thread));
    sv_bytes text = { 0 };
    json_dump_callback(o, add_text, &text, JSON_INDENT(1) | JSON_SORT_KEYS);
    sv_bytes_char(&text, '\n');
    if (err == SV_OK)
        err = sv_file_write(sv_path_join(a, tmp, "manifest.json"), (sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    json_decref(o);
    return err;
}

static sv_err write_folder(const sv_ckpt *c, const char *tmp, sv_arena *a)
{
    SV_TRY(sv_file_mkdir(tmp));
    sv_fault_point("ckpt.begin");
    SV_TRY(c->lora ? sv_lora_save(c->lora, &c->model->config, tmp) : sv_model_save(c->model, tmp, NULL, SV_DT_F32));
    sv_fault_point("ckpt.model");
    SV_TRY(write_state(c, tmp));
    sv_fault_point("ckpt.state");
    SV_TRY(write_manifest(c, tmp, a));
    sv_fault_point("ckpt.manifest");
    sv_ckpt_mark read;
    sv_err err = sv_ckpt_check(tmp, &read, NULL);
    if (err != SV_OK)
        return err == SV_E_FORMAT ? sv_fail_in(SV_E_BITS, "what was written is not what is read back: ") : err;
    return sv_file_sync_dir(tmp);
}

/* The run came back over a step that is saved already. *done: the folder there is the same checkpoint. */
static sv_err meet_old(const sv_ckpt *c, const char *dir, sv_arena *a, bool *done)
{
    sv_ckpt_mark old;
    *done = false;
    if (!sv_file_exists(dir))
        return SV_OK;
    if (sv_ckpt_check(dir, &old, NULL) != SV_OK)
        return sv_ckpt_set_aside(dir, a);
    if (old.weight_bits != c->mark.weight_bits || old.state_bits != c->mark.state_bits)
        return sv_fail(SV_E_BITS, "%s is there with weights %016llx; this run came to %016llx", dir,
                       (unsigned long long)old.weight_bits, (unsigned long long)c->mark.weight_bits);
    *done = true;
    return SV_OK;
}

/* A folder that is going away first loses its name, so that half of one never looks like a checkpoint. */
static sv_err remove_old(const char *run_dir, const char *name, sv_arena *a)
{
    char *dir = sv_path_join(a, run_dir, name);
    char *gone = sv_path_join(a, run_dir, sv_arena_printf(a, ".tmp-%s-%ld", name + strlen("step-"), (long)getpid()));
    SV_TRY(sv_file_rename(dir, gone));
    return sv_file_remove_tree(gone);
}

static sv_err prune(const sv_ckpt *c, const char *run_dir, sv_arena *a)
{
    char **name;
    size_t n;
    uint64_t newer = 0;
    SV_TRY(sv_ckpt_list(run_dir, a, &name, &n));
    for (size_t i = n; i-- > 0;) {
        uint64_t step = sv_ckpt_step_of(name[i]);
        bool tenth = c->every > 0 && step % (10 * c->every) == 0;
        if (step > c->mark.step || newer++ < c->keep || tenth)
            continue;
        SV_TRY(remove_old(run_dir, name[i], a));
    }
    return SV_OK;
}

sv_err sv_ckpt_save(const sv_ckpt *c, const char *run_dir, sv_arena *a, char **dir)
{
    bool done = false;
    char *tmp = sv_path_join(a, run_dir,
                             sv_arena_printf(a, ".tmp-%06llu-%ld", (unsigned long long)c->mark.step, (long)getpid()));
    *dir = sv_path_join(a, run_dir, sv_arena_printf(a, "step-%06llu", (unsigned long long)c->mark.step));
    SV_TRY(sv_file_remove_tree(tmp));
    sv_err err = write_folder(c, tmp, a);
    sv_fault_point("ckpt.synced");
    if (err == SV_OK)
        err = meet_old(c, *dir, a, &done);
    if (err == SV_OK && !done)
        err = sv_file_rename(tmp, *dir);
    if (err != SV_OK || done) {
        /* The sentence of the first failure is the one to keep. */
        char *text = sv_arena_text(a, sv_err_text());
        sv_file_remove_tree(tmp);
        return err == SV_OK ? SV_OK
                            : sv_fail(err, "checkpoint of step %llu: %s", (unsigned long long)c->mark.step, text);
    }
    sv_fault_point("ckpt.renamed");
    sv_fault_point("ckpt.saved");
    err = prune(c, run_dir, a);
    sv_fault_point("ckpt.pruned");
    return err;
}
