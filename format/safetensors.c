/* SPDX-License-Identifier: Apache-2.0
 * Reading safetensors: one file or the shards that an index names. Validate first, then give out views.
 */
#include "format/safetensors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

/* Types that have a place in a tensor; the rest of the format's names are refused by name. */
static const sv_dtype readable[] = { SV_DT_F32, SV_DT_F16, SV_DT_BF16, SV_DT_I64, SV_DT_I32, SV_DT_U8, SV_DT_BOOL };

typedef struct entry {
    sv_named_tensor t;
    uint64_t begin, end;
} entry;

static void close_map(void *m)
{
    sv_file_map_close(m);
}
static void decref_json(void *j)
{
    json_decref(j);
}
static void drop_map(void *m)
{
    sv_map_drop(m);
}

static const char *quote(const char *text)
{
    return sv_str_quote(sv_str_of(text));
}

static sv_err find_dtype(const char *text, const char *tensor, sv_dtype *out)
{
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        if (strcmp(text, sv_dtype_name(readable[i])) == 0) {
            *out = readable[i];
            return SV_OK;
        }
    return sv_fail(SV_E_UNSUPPORTED, "tensor %s: item type %s is not read; F32, F16, BF16, I64, I32, U8 and BOOL are",
                   quote(tensor), quote(text));
}

/* A size: a whole number from 0 on. */
static sv_err get_size(const json_t *v, const char *tensor, const char *what, uint64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return sv_fail(SV_E_FORMAT, "tensor %s: %s holds something that is no whole number from 0 on", quote(tensor),
                       what);
    *out = (uint64_t)json_integer_value(v);
    return SV_OK;
}

static sv_err read_entry(const char *name, json_t *v, uint64_t data_bytes, entry *e)
{
    size_t len = strlen(name);
    if (len == 0 || len > SV_SAFETENSORS_MAX_NAME)
        return sv_fail(SV_E_LIMIT, "tensor %s: a name of %zu bytes; 1 to %u are allowed", quote(name), len,
                       SV_SAFETENSORS_MAX_NAME);
    json_t *dtype = json_object_get(v, "dtype"), *shape = json_object_get(v, "shape");
    json_t *offsets = json_object_get(v, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets) || json_object_size(v) != 3)
        return sv_fail(SV_E_FORMAT,
                       "tensor %s: an entry has exactly dtype (text), shape (list) and data_offsets (list)",
                       quote(name));
    e->t.name = name;
    SV_TRY(find_dtype(json_string_value(dtype), name, &e->t.dtype));
    if (json_array_size(shape) > SV_TENSOR_MAX_DIM)
        return sv_fail(SV_E_LIMIT, "tensor %s: %zu dimensions, at most %u are read", quote(name),
                       json_array_size(shape), (unsigned)SV_TENSOR_MAX_DIM);
    e->t.n_dim = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < e->t.n_dim; i++)
        SV_TRY(get_size(json_array_get(shape, i), name, "shape", &e->t.dim[i]));
    SV_TRY(sv_tensor_measure(name, e->t.dtype, e->t.n_dim, e->t.dim, NULL, &e->t.bytes));
    if (json_array_size(offsets) != 2)
        return sv_fail(SV_E_FORMAT, "tensor %s: data_offsets has %zu numbers, not 2", quote(name),
                       json_array_size(offsets));
    SV_TRY(get_size(json_array_get(offsets, 0), name, "data_offsets", &e->begin));
    SV_TRY(get_size(json_array_get(offsets, 1), name, "data_offsets", &e->end));
    if (e->begin > e->end || e->end > data_bytes)
        return sv_fail(SV_E_FORMAT, "tensor %s: bytes %llu to %llu, but the file holds %llu bytes of data", quote(name),
                       (unsigned long long)e->begin, (unsigned long long)e->end, (unsigned long long)data_bytes);
    if (e->end - e->begin != e->t.bytes)
        return sv_fail(SV_E_FORMAT, "tensor %s: %llu bytes by its offsets, %llu by its shape and type", quote(name),
                       (unsigned long long)(e->end - e->begin), (unsigned long long)e->t.bytes);
    return SV_OK;
}

static sv_err check_metadata(json_t *m)
{
    const char *key;
    json_t *v;
    size_t sum = 0;
    if (!json_is_object(m))
        return sv_fail(SV_E_FORMAT, "__metadata__ is no object of texts");
    json_object_foreach(m, key, v)
    {
        if (!json_is_string(v))
            return sv_fail(SV_E_FORMAT, "__metadata__ %s: the value is no text", quote(key));
        if (!sv_add_size(sum, strlen(key), &sum) || !sv_add_size(sum, json_string_length(v), &sum) ||
            sum > SV_SAFETENSORS_MAX_METADATA)
            return sv_fail(SV_E_LIMIT, "__metadata__ holds more than %u bytes of text", SV_SAFETENSORS_MAX_METADATA);
    }
    return SV_OK;
}

static int by_begin(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->t.name, y->t.name); /* empty tensors at one place: a fixed order */
}

/* Sorted by begin they tile the data. */
static sv_err check_tiling(const entry *e, size_t n, uint64_t data_bytes)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (e[i].begin != at)
            return sv_fail(SV_E_FORMAT,
                           "tensor %s begins at byte %llu of the data, but the one before it ends at %llu: %s",
                           quote(e[i].t.name), (unsigned long long)e[i].begin, (unsigned long long)at,
                           e[i].begin < at ? "they overlap" : "a hole");
        at = e[i].end;
    }
    if (at != data_bytes)
        return sv_fail(SV_E_FORMAT, "the tensors end at byte %llu of the data, the file at %llu",
                       (unsigned long long)at, (unsigned long long)data_bytes);
    return SV_OK;
}

/* No number of a header is negative, so a minus sign outside texts is a fault; -0 would pass for a size otherwise. */
static sv_err check_no_minus(sv_str text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"')
            quoted = !quoted;
        else if (quoted && text.p[i] == '\\')
            i++;
        else if (!quoted && text.p[i] == '-')
            return sv_fail(SV_E_FORMAT,
                           "byte %zu of the header: a number below 0 (or -0); sizes and offsets start at 0", i);
    }
    return SV_OK;
}

/* The header's JSON, owned by the arena; *data is where the tensors' bytes start. */
static sv_err read_header(sv_arena *a, const uint8_t *p, size_t n, json_t **out, size_t *data)
{
    static const sv_json_limits limits = { SV_SAFETENSORS_MAX_HEADER, 3 };
    if (n < 8)
        return sv_fail(SV_E_FORMAT, "%zu bytes long; a safetensors file has at least 8 and its header", n);
    uint64_t len = sv_load_u64(p);
    if (len > SV_SAFETENSORS_MAX_HEADER)
        return sv_fail(SV_E_LIMIT, "a header of %llu bytes; at most %u are read (is it a safetensors file?)",
                       (unsigned long long)len, SV_SAFETENSORS_MAX_HEADER);
    if (len > n - 8)
        return sv_fail(SV_E_FORMAT, "a header of %llu bytes in a file of %zu: cut off, or no safetensors file",
                       (unsigned long long)len, n);
    sv_str text = { (const char *)p + 8, (size_t)len };
    if (text.n == 0 || text.p[0] != '{')
        return sv_fail(SV_E_FORMAT, "the header does not start with {: no safetensors file, or a damaged one");
    SV_TRY(check_no_minus(text));
    SV_TRY(sv_json_parse(text, &limits, "header", out));
    sv_arena_defer(a, decref_json, *out);
    *data = text.n + 8;
    return SV_OK;
}

/* The tensors of one file in memory. Names live in the header's JSON, which the arena keeps. */
static sv_err read_file(sv_arena *a, const uint8_t *p, size_t n, const char *file, sv_named_tensor **out, size_t *n_out)
{
    json_t *root, *v;
    const char *key;
    size_t data = 0, count = 0;
    SV_TRY(read_header(a, p, n, &root, &data));
    if (!json_is_object(root))
        return sv_fail(SV_E_FORMAT, "the header is no object");
    json_t *meta = json_object_get(root, "__metadata__");
    if (meta)
        SV_TRY(check_metadata(meta));
    size_t want = json_object_size(root) - (meta ? 1 : 0);
    if (want > SV_TENSORS_MAX_FILE)
        return sv_fail(SV_E_LIMIT, "%zu tensors in one file, at most %u are read", want, SV_TENSORS_MAX_FILE);
    entry *e = SV_NEW_N(a, entry, want ? want : 1);
    json_object_foreach(root, key, v) if (v != meta) SV_TRY(read_entry(key, v, n - data, &e[count++]));
    qsort(e, count, sizeof *e, by_begin);
    SV_TRY(check_tiling(e, count, n - data));
    sv_named_tensor *t = SV_NEW_N(a, sv_named_tensor, count ? count : 1);
    for (size_t i = 0; i < count; i++) {
        t[i] = e[i].t;
        t[i].file = file;
        t[i].file_offset = data + e[i].begin; /* both within n */
        t[i].data = p + t[i].file_offset;
    }
    *out = t;
    *n_out = count;
    return SV_OK;
}

static sv_tensors *make_set(void)
{
    sv_arena *a = sv_arena_make();
    sv_tensors *t = SV_NEW(a, sv_tensors);
    t->arena = a;
    return t;
}

/* Ends an open: gives the set out, or drops it with the file's name in front of the sentence. */
static sv_err finish(sv_err e, const char *name, sv_tensors *t, sv_tensors **out)
{
    if (e == SV_OK && !t->by_name)
        e = sv_tensors_index(t);
    if (e != SV_OK) {
        if (!sv_str_starts(sv_str_of(sv_err_text()), name))
            e = sv_fail_in(e, "%s: ", name);
        sv_tensors_close(t);
        return e;
    }
    *out = t;
    return SV_OK;
}

sv_err sv_safetensors_open_bytes(const uint8_t *p, size_t n, const char *name, sv_tensors **out)
{
    sv_tensors *t = make_set();
    sv_err e = read_file(t->arena, p, n, sv_arena_text(t->arena, name), &t->item, &t->n);
    return finish(e, name, t, out);
}

static sv_err map_file(sv_arena *a, const char *path, sv_file_map **out)
{
    sv_file_map m, *kept;
    SV_TRY(sv_file_map_open(path, &m));
    kept = SV_NEW(a, sv_file_map);
    *kept = m;
    sv_arena_defer(a, close_map, kept);
    *out = kept;
    return SV_OK;
}

static sv_err open_single(const char *path, sv_tensors *t)
{
    sv_file_map *m;
    SV_TRY(map_file(t->arena, path, &m));
    return read_file(t->arena, m->p, m->n, sv_arena_text(t->arena, sv_path_base(path)), &t->item, &t->n);
}

/* ---- sharded sets ---- */

typedef struct shard {
    const char *file;
    sv_named_tensor *item;
    size_t n;
} shard;

static int by_file(const void *a, const void *b)
{
    const shard *x = a, *y = b;
    return strcmp(x->file, y->file);
}

/* A plain file name; what it stands for must lie below the folder of the index, or, in a hub cache, below the model's
 * own folder (snapshots/REV/x links to ../../blobs/y). */
static sv_err check_shard_name(const char *dir, const char *file, const char *path)
{
    char real_dir[PATH_MAX], real_file[PATH_MAX];
    size_t len = strlen(file);
    if (len == 0 || len > 255 || strchr(file, '/') || strstr(file, "..") ||
        !sv_str_ends(sv_str_of(file), ".safetensors"))
        return sv_fail(SV_E_FORMAT, "shard %s: not the name of a .safetensors file in the same folder", quote(file));
    if (!realpath(dir, real_dir) || !realpath(path, real_file))
        return sv_fail(SV_E_NOTFOUND, "shard %s is missing in %s; fetch the model again", quote(file), dir);
    char *cut = strstr(real_dir, "/snapshots/");
    if (cut && !strchr(cut + 11, '/'))
        *cut = '\0';
    size_t n = strlen(real_dir);
    if (strncmp(real_dir, real_file, n) != 0 || (n > 1 && real_file[n] != '/'))
        return sv_fail(SV_E_FORMAT, "shard %s is a link to %s, outside the model's folder; copy it there", quote(file),
                       real_file);
    return SV_OK;
}

/* The files that a weight_map names, each once, sorted. */
static sv_err list_shards(sv_arena *a, const json_t *weight_map, shard **out, size_t *n_out)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    shard *s = SV_NEW_N(a, shard, SV_TENSORS_MAX_FILES);
    sv_map *seen = sv_map_make(16);
    sv_arena_defer(a, drop_map, seen);
    json_object_foreach((json_t *)weight_map, key, v)
    {
        if (!json_is_string(v))
            return sv_fail(SV_E_FORMAT, "weight_map: the file of tensor %s is no text", quote(key));
        const char *file = json_string_value(v);
        if (!sv_map_put(seen, sv_str_of(file), 0))
            continue;
        if (n == SV_TENSORS_MAX_FILES)
            return sv_fail(SV_E_LIMIT, "weight_map names more than %u files", SV_TENSORS_MAX_FILES);
        s[n++].file = file;
    }
    qsort(s, n, sizeof *s, by_file);
    *out = s;
    *n_out = n;
    return SV_OK;
}

/* Every tensor where the map says, and none beside it. */
static sv_err check_weight_map(const json_t *weight_map, const sv_tensors *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const char *file = json_string_value(json_object_get(weight_map, t->item[i].name));
        if (!file || strcmp(file, t->item[i].file) != 0)
            return sv_fail(SV_E_FORMAT, "tensor %s lies in %s, but weight_map says %s", quote(t->item[i].name),
                           t->item[i].file, file ? quote(file) : "nothing of it");
    }
    if (t->n != json_object_size(weight_map)) {
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)weight_map, key, v) if (!sv_tensors_find(t, key)) return sv_fail(
            SV_E_FORMAT, "weight_map says that tensor %s lies in %s, but it does not", quote(key),
            quote(json_string_value(v)));
    }
    return SV_OK;
}

static void warn_total_size(const json_t *root, const sv_tensors *t, const char *path)
{
    const json_t *said = json_object_get(json_object_get(root, "metadata"), "total_size");
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n; i++)
        (void)sv_add_u64(sum, t->item[i].bytes, &sum);
    if (json_is_integer(said) && (uint64_t)json_integer_value(said) != sum)
        sv_log(SV_LOG_WARN, "format", "%s: total_size says %lld bytes, the tensors have %llu", path,
               (long long)json_integer_value(said), (unsigned long long)sum);
}

static sv_err open_index(const char *path, sv_tensors *t)
{
    json_t *root;
    shard *s = NULL;
    size_t n = 0, at = 0;
    const char *dir = sv_path_dir(t->arena, path);
    SV_TRY(sv_json_load(path, &sv_json_file_limits, &root));
    sv_arena_defer(t->arena, decref_json, root);
    const json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        return sv_fail(SV_E_FORMAT, "no object weight_map (tensor name to file name)");
    if (json_object_size(map) > SV_TENSORS_MAX_MODEL)
        return sv_fail(SV_E_LIMIT, "%zu tensors in weight_map, at most %u are read", json_object_size(map),
                       SV_TENSORS_MAX_MODEL);
    SV_TRY(list_shards(t->arena, map, &s, &n));
    for (size_t i = 0; i < n; i++) {
        sv_file_map *m;
        const char *file = sv_path_join(t->arena, dir, s[i].file);
        SV_TRY(check_shard_name(dir, s[i].file, file));
        SV_TRY(map_file(t->arena, file, &m));
        sv_err e = read_file(t->arena, m->p, m->n, s[i].file, &s[i].item, &s[i].n);
        if (e != SV_OK)
            return sv_fail_in(e, "%s: ", s[i].file);
        t->n += s[i].n; /* at most MAX_FILES times MAX_FILE */
    }
    if (t->n > SV_TENSORS_MAX_MODEL)
        return sv_fail(SV_E_LIMIT, "%zu tensors in all, at most %u are read", t->n, SV_TENSORS_MAX_MODEL);
    t->item = SV_NEW_N(t->arena, sv_named_tensor, t->n ? t->n : 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(t->item + at, s[i].item, s[i].n * sizeof *t->item);
        at += s[i].n;
    }
    SV_TRY(sv_tensors_index(t));
    SV_TRY(check_weight_map(map, t));
    warn_total_size(root, t, path);
    return SV_OK;
}

sv_err sv_safetensors_open(const char *path, sv_tensors **out)
{
    sv_tensors *t = make_set();
    const char *file = path;
    if (sv_file_is_dir(path)) {
        file = sv_path_join(t->arena, path, "model.safetensors");
        if (!sv_file_exists(file))
            file = sv_path_join(t->arena, path, "model.safetensors.index.json");
        if (!sv_file_exists(file)) {
            sv_tensors_close(t);
            return sv_fail(SV_E_NOTFOUND,
                           "%s: neither model.safetensors nor model.safetensors.index.json is there; "
                           "other weight files must be converted to safetensors first",
                           path);
        }
    }
    bool is_index = sv_str_ends(sv_str_of(file), ".index.json");
    char *shown = sv_mem_text(file); /* the set, and with it `file`, may be gone when the sentence is made */
    sv_err e = is_index ? open_index(file, t) : open_single(file, t);
    e = finish(e, shown, t, out);
    sv_mem_free(shown);
    return e;
}
