/* SPDX-License-Identifier: Apache-2.0
 * Reading checkpoints: nothing is believed before it is checked, and a run never starts from zero because its
 * checkpoints are broken.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha.h"
#include "format/safetensors.h"
#include "num/bits.h"
#include "train/ckpt_impl.h"

uint64_t sv_ckpt_step_of(const char *name)
{
    uint64_t step;
    sv_str s = sv_str_of(name);
    if (!sv_str_starts(s, "step-") || !sv_str_u64((sv_str){ s.p + 5, s.n - 5 }, &step))
        return UINT64_MAX;
    return step;
}

static int by_step(const void *x, const void *y)
{
    uint64_t a = sv_ckpt_step_of(*(char *const *)x), b = sv_ckpt_step_of(*(char *const *)y);
    return (a > b) - (a < b);
}

sv_err sv_ckpt_list(const char *run_dir, sv_arena *a, char ***name, size_t *n)
{
    char **all;
    size_t n_all, kept = 0;
    SV_TRY(sv_file_list(run_dir, a, &all, &n_all));
    for (size_t i = 0; i < n_all; i++)
        if (sv_ckpt_step_of(all[i]) != UINT64_MAX)
            all[kept++] = all[i];
    qsort(all, kept, sizeof *all, by_step);
    *name = all;
    *n = kept;
    return SV_OK;
}

sv_err sv_ckpt_set_aside(const char *dir, sv_arena *a)
{
    const char *base = sv_path_base(dir);
    char *to = sv_path_join(a, sv_path_dir(a, dir), sv_arena_printf(a, "bad-%s", base));
    for (int i = 2; sv_file_exists(to); i++)
        to = sv_path_join(a, sv_path_dir(a, dir), sv_arena_printf(a, "bad-%s-%d", base, i));
    return sv_file_rename(dir, to);
}

static sv_err need_u64(const json_t *o, const char *key, uint64_t *out)
{
    const char *text;
    SV_TRY(sv_json_need_text(o, key, "manifest.json", &text));
    return sv_str_u64(sv_str_of(text), out) ? SV_OK
                                            : sv_fail(SV_E_FORMAT, "manifest.json: %s is '%s', not a whole number", key,
                                                      sv_str_quote(sv_str_of(text)));
}

static sv_err need_hex(const json_t *o, const char *key, uint64_t *out)
{
    const char *text;
    SV_TRY(sv_json_need_text(o, key, "manifest.json", &text));
    *out = 0;
    for (size_t i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *at = text[i] ? strchr(digits, text[i]) : NULL;
        if (at == NULL)
            return sv_fail(SV_E_FORMAT, "manifest.json: %s is '%s', not 16 hex digits", key,
                           sv_str_quote(sv_str_of(text)));
        *out = *out << 4 | (uint64_t)(at - digits);
    }
    return SV_OK;
}

static sv_err need_double(const json_t *o, const char *key, double *out)
{
    uint64_t bits;
    SV_TRY(need_hex(o, key, &bits));
    memcpy(out, &bits, sizeof bits);
    return SV_OK;
}

static sv_err read_mark(const json_t *o, sv_ckpt_mark *mark)
{
    uint32_t version;
    SV_TRY(sv_json_need_u32(o, "v", 1, 1, "manifest.json", &version));
    SV_TRY(need_u64(o, "step", &mark->step));
    SV_TRY(need_u64(o, "cursor", &mark->cursor));
    SV_TRY(need_u64(o, "updates", &mark->n_update));
    SV_TRY(need_double(o, "beta1_power", &mark->power1));
    SV_TRY(need_double(o, "beta2_power", &mark->power2));
    SV_TRY(need_hex(o, "weight_bits", &mark->weight_bits));
    return need_hex(o, "state_bits", &mark->state_bits);
}

/* The list of files is exact: none missing, none more; a passport may stand beside them. */
static sv_err check_files(const char *dir, const json_t *files, sv_arena *a)
{
    char **name;
    size_t n, found = 0;
    if (!json_is_object(files))
        return sv_fail(SV_E_FORMAT, "manifest.json: no list of files");
    SV_TRY(sv_file_list(dir, a, &name, &n));
    for (size_t i = 0; i < n; i++) {
        const json_t *f = json_object_get(files, name[i]);
        if (strcmp(name[i], "manifest.json") == 0 || strcmp(name[i], "passport.json") == 0)
            continue;
        if (f == NULL)
            return sv_fail(SV_E_FORMAT, "%s: is not on the manifest's list", name[i]);
        uint64_t bytes, is;
        const char *sha;
        char hex[65];
        SV_TRY(need_u64(f, "bytes", &bytes));
        SV_TRY(sv_json_need_text(f, "sha256", "manifest.json", &sha));
        SV_TRY(sv_ckpt_file_hash(sv_path_join(a, dir, name[i]), &is, hex));
        if (is != bytes)
            return sv_fail(SV_E_FORMAT, "%s: %llu bytes; the manifest says %llu", name[i], (unsigned long long)is,
                           (unsigned long long)bytes);
        if (strcmp(hex, sha) != 0)
            return sv_fail(SV_E_FORMAT, "%s: its SHA-256 differs from the manifest's", name[i]);
        found++;
    }
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)files, key,
                        v) if (!sv_file_exists(sv_path_join(a, dir, key))) return sv_fail(SV_E_FORMAT,
                                                                                          "%s: is on the manifest's "
                                                                                          "list, but not in the folder",
                                                                                          key);
    return found == json_object_size(files) ? SV_OK : sv_fail(SV_E_FORMAT, "manifest.json: the list of files is off");
}

static sv_err open_state(const char *dir, sv_arena *a, sv_tensors **out)
{
    char *path = sv_path_join(a, dir, "state.safetensors");
    if (!sv_file_exists(path))
        path = sv_path_join(a, dir, "state.safetensors.index.json");
    return sv_safetensors_open(path, out);
}

static sv_err read_config(const char *dir, sv_arena *a, sv_config *out)
{
    json_t *o;
    SV_TRY(sv_json_load(sv_path_join(a, dir, "config.json"), &sv_json_file_limits, &o));
    sv_err err = sv_config_read(o, "config.json", out);
    json_decref(o);
    return err;
}

/* A tensor that a checkpoint must have. */
typedef struct wanted {
    const char *name;
    uint64_t bytes;
} wanted;

/* Hash of the tensors prefix + NAME, in checkpoint order. */
static sv_err hash_tensors(const sv_tensors *t, const wanted *w, size_t n, const char *prefix, sv_arena *a,
                           uint64_t *first, uint64_t *hash)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = sv_arena_printf(a, "%s%s", prefix, w[i].name);
        const sv_named_tensor *x = sv_tensors_find(t, name);
        if (x == NULL)
            return sv_fail(SV_E_FORMAT, "tensor %s is missing", name);
        if (x->dtype != SV_DT_F32 || x->bytes != w[i].bytes)
            return sv_fail(SV_E_FORMAT, "tensor %s has not the type and size that the model asks for", name);
        if ((uintptr_t)x->data % 4 != 0)
            return sv_fail(SV_E_FORMAT, "tensor %s does not start at a multiple of 4 bytes", name);
        *hash += sv_bits_hash(x->data, x->bytes / 4, *first);
        *first += x->bytes / 4;
    }
    return SV_OK;
}

/* By config.json: every weight that the model stores. */
static sv_err wanted_weights(const char *dir, sv_arena *a, wanted **w, size_t *n)
{
    sv_config c;
    SV_TRY(read_config(dir, a, &c));
    *w = SV_NEW_N(a, wanted, sv_weight_ids(&c));
    *n = 0;
    for (uint32_t id = 0; id < sv_weight_ids(&c); id++) {
        sv_tensor shape = sv_weight_shape(&c, id);
        if (sv_weight_exists(&c, id) && !sv_weight_is_alias(&c, id))
            (*w)[(*n)++] = (wanted){ sv_weight_name(&c, id, false, a), 4 * sv_tensor_items(&shape) };
    }
    return SV_OK;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(((const wanted *)x)->name, ((const wanted *)y)->name);
}

/* An adapter's folder does not say what its base is: its own tensors, by name. Whether they fit is asked when the run
 * goes on with them. */
static void wanted_lora(const sv_tensors *t, sv_arena *a, wanted **w, size_t *n)
{
    *n = t->n;
    *w = SV_NEW_N(a, wanted, t->n + 1);
    for (size_t i = 0; i < t->n; i++)
        (*w)[i] = (wanted){ sv_arena_text(a, t->item[i].name), t->item[i].bytes };
    qsort(*w, t->n, sizeof **w, by_name);
}

static sv_err check_weights(const char *dir, const sv_ckpt_mark *mark, sv_arena *a, wanted **w, size_t *n)
{
    bool lora = sv_lora_is_folder(dir);
    const char *file = lora ? "adapter_model.safetensors" : "model.safetensors";
    sv_tensors *t;
    uint64_t first = 0, bits = 0;
    if (!lora)
        SV_TRY(wanted_weights(dir, a, w, n));
    SV_TRY(sv_safetensors_open(lora ? sv_path_join(a, dir, file) : dir, &t));
    if (lora)
        wanted_lora(t, a, w, n);
    sv_err err = hash_tensors(t, *w, *n, "", a, &first, &bits);
    if (err == SV_OK && (*n != t->n || bits != mark->weight_bits))
        err = sv_fail(SV_E_FORMAT, "%s: the hash of its weights is %016llx; the manifest says %016llx", file,
                      (unsigned long long)bits, (unsigned long long)mark->weight_bits);
    sv_tensors_close(t);
    return err;
}

static sv_err check_tensors(const char *dir, const sv_ckpt_mark *mark, sv_arena *a)
{
    sv_tensors *t;
    wanted *w = NULL;
    uint64_t first = 0, bits = 0;
    size_t n = 0;
    SV_TRY(check_weights(dir, mark, a, &w, &n));
    SV_TRY(open_state(dir, a, &t));
    sv_err err = hash_tensors(t, w, n, "adam.m.", a, &first, &bits);
    if (err == SV_OK)
        err = hash_tensors(t, w, n, "adam.v.", a, &first, &bits);
    if (err == SV_OK && (2 * n != t->n || bits != mark->state_bits))
        err = sv_fail(SV_E_FORMAT, "state.safetensors: the hash of the state is %016llx; the manifest says %016llx",
                      (unsigned long long)bits, (unsigned long long)mark->state_bits);
    sv_tensors_close(t);
    return err;
}

static sv_err check_folder(const char *dir, const json_t *o, sv_ckpt_mark *mark, sv_arena *a)
{
    SV_TRY(read_mark(o, mark));
    SV_TRY(check_files(dir, json_object_get(o, "files"), a));
    return check_tensors(dir, mark, a);
}

sv_err sv_ckpt_check(const char *dir, sv_ckpt_mark *mark, json_t **contract)
{
    sv_ckpt_mark unused;
    sv_arena *a = sv_arena_make();
    json_t *o = NULL;
    sv_err err = sv_json_load(sv_path_join(a, dir, "manifest.json"), &sv_json_file_limits, &o);
    if (err == SV_OK)
        err = check_folder(dir, o, mark ? mark : &unused, a);
    if (err == SV_OK && contract != NULL)
        *contract = json_incref(json_object_get(o, "contract"));
    json_decref(o);
    sv_arena_drop(a);
    if (err == SV_OK)
        return SV_OK;
    return sv_fail_in(err == SV_E_IO ? SV_E_IO : SV_E_FORMAT, "%s: ", sv_path_base(dir));
}

static sv_err same_contract(const sv_recipe *r, const uint8_t data_hash[32], const json_t *contract, const char *dir)
{
    char hex[65];
    const char *was;
    uint32_t opset;
    const char *name = sv_path_base(dir);
    SV_TRY(sv_json_need_u32(contract, "opset", 0, UINT32_MAX, name, &opset));
    if (opset != SV_OPSET)
        return sv_fail(SV_E_ARG, "%s: made by opset %u; this is opset %d, whose bits differ", name, opset, SV_OPSET);
    SV_TRY(sv_recipe_same(r, json_object_get(contract, "recipe"), name));
    sv_sha_hex(data_hash, hex);
    SV_TRY(sv_json_need_text(contract, "data_sha256", name, &was));
    if (strcmp(was, hex) != 0)
        return sv_fail(SV_E_ARG, "%s: the data had SHA-256 %s when this run was saved; now %s", name, was, hex);
    return SV_OK;
}

/* Nobody else writes here: the caller holds run.lock. */
static sv_err remove_unfinished(const char *run_dir, sv_arena *a, uint32_t *n_set_aside)
{
    char **name;
    size_t n;
    SV_TRY(sv_file_list(run_dir, a, &name, &n));
    for (size_t i = 0; i < n; i++) {
        if (sv_str_starts(sv_str_of(name[i]), ".tmp-"))
            SV_TRY(sv_file_remove_tree(sv_path_join(a, run_dir, name[i])));
        *n_set_aside += sv_str_starts(sv_str_of(name[i]), "bad-step-");
    }
    return SV_OK;
}

sv_err sv_ckpt_find(const char *run_dir, const sv_recipe *r, const uint8_t data_hash[32], sv_arena *a, char **dir,
                    sv_ckpt_mark *mark, uint32_t *n_bad, char **why)
{
    char **name;
    size_t n;
    uint32_t aside = 0;
    *dir = NULL;
    *n_bad = 0;
    *why = sv_arena_text(a, "");
    SV_TRY(remove_unfinished(run_dir, a, &aside));
    SV_TRY(sv_ckpt_list(run_dir, a, &name, &n));
    for (size_t i = n; i-- > 0;) {
        json_t *contract = NULL;
        char *at = sv_path_join(a, run_dir, name[i]);
        sv_err err = sv_ckpt_check(at, mark, &contract);
        if (err == SV_OK) {
            err = same_contract(r, data_hash, contract, at);
            json_decref(contract);
            *dir = at;
            return err;
        }
        if (err != SV_E_FORMAT)
            return err; /* could not be read just now: not the same as damaged */
        *why = sv_arena_printf(a, "%s%sskipped %s", *why, **why ? "; " : "", sv_err_text());
        (*n_bad)++;
        SV_TRY(sv_ckpt_set_aside(at, a));
    }
    if (*n_bad + aside > 0)
        return sv_fail(SV_E_FORMAT,
                       "%s: all checkpoints are damaged%s%s. Remove the bad-step folders to start from zero, or use "
                       "another run.dir",
                       run_dir, **why ? ": " : "", *why);
    return SV_OK;
}

static sv_err copy_moments(const sv_tensors *t, const sv_params *p, const char *prefix, float *const *x, sv_arena *a)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const char *name = sv_arena_printf(a, "%s%s", prefix, p->item[i].name);
        const sv_named_tensor *item = sv_tensors_find(t, name);
        if (item == NULL || item->dtype != SV_DT_F32 || item->bytes != 4 * sv_tensor_items(&p->item[i].shape))
            return sv_fail(SV_E_FORMAT, "tensor %s is missing or has another size", name);
        memcpy(x[i], item->data, item->bytes);
    }
    return SV_OK;
}

sv_err sv_ckpt_load_state(const char *dir, const sv_params *p, float *const *m, float *const *v)
{
    sv_arena *a = sv_arena_make();
    sv_tensors *t;
    sv_err err = open_state(dir, a, &t);
    if (err == SV_OK) {
        err = copy_moments(t, p, "adam.m.", m, a);
        if (err == SV_OK)
            err = copy_moments(t, p, "adam.v.", v, a);
        sv_tensors_close(t);
    }
    sv_arena_drop(a);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s: ", dir);
}
