/* SPDX-License-Identifier: Apache-2.0
 * Writing safetensors: one file, or shards and their index, each seen only when it is whole on disk.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "format/safetensors.h"

#define DEFAULT_SHARD_BYTES UINT64_C(5000000000)
#define DATA_ALIGN 64u

/* A run of the sorted items that becomes one file. */
typedef struct part {
    size_t first, n;
} part;

typedef struct plan {
    sv_arena *arena;
    const char *dir, *stem;
    const sv_named_tensor **item; /* sorted */
    size_t n;
    part *part;
    size_t n_part;
    uint64_t total;
} plan;

static const char *quote(const char *text)
{
    return sv_str_quote(sv_str_of(text));
}

static int by_size_then_name(const void *a, const void *b)
{
    const sv_named_tensor *x = *(const sv_named_tensor *const *)a, *y = *(const sv_named_tensor *const *)b;
    uint32_t sx = sv_dtype_block_bytes(x->dtype), sy = sv_dtype_block_bytes(y->dtype);
    return sx != sy ? (sx > sy ? -1 : 1) : strcmp(x->name, y->name);
}

static sv_err check_item(const sv_named_tensor *t)
{
    uint64_t bytes;
    size_t len = strlen(t->name);
    if (len == 0 || len > SV_SAFETENSORS_MAX_NAME || !sv_utf8_valid(t->name, len, NULL) ||
        strcmp(t->name, "__metadata__") == 0)
        return sv_fail(SV_E_ARG, "tensor %s: a name has 1 to %u bytes of UTF-8 and is not __metadata__", quote(t->name),
                       SV_SAFETENSORS_MAX_NAME);
    if ((unsigned)t->dtype >= SV_DTYPE_COUNT || sv_dtype_is_block(t->dtype))
        return sv_fail(SV_E_DTYPE, "tensor %s: safetensors holds no %s; write GGUF instead", quote(t->name),
                       sv_dtype_name(t->dtype));
    SV_TRY(sv_tensor_measure(t->name, t->dtype, t->n_dim, t->dim, NULL, &bytes));
    if (bytes != t->bytes)
        return sv_fail(SV_E_SHAPE, "tensor %s: %llu bytes given, its shape and type need %llu", quote(t->name),
                       (unsigned long long)t->bytes, (unsigned long long)bytes);
    return SV_OK;
}

/* Sorts, checks and cuts the items into files: a file is closed when the next tensor would exceed shard_bytes. */
static sv_err make_plan(plan *p, const sv_named_tensor *item, size_t n, uint64_t shard_bytes)
{
    uint64_t in_part = 0, sum;
    size_t cap = 0;
    part *list = NULL;
    if (n > SV_TENSORS_MAX_MODEL)
        return sv_fail(SV_E_LIMIT, "%zu tensors, at most %u are written", n, SV_TENSORS_MAX_MODEL);
    p->n = n;
    p->item = SV_NEW_N(p->arena, const sv_named_tensor *, n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        SV_TRY(check_item(&item[i]));
        if (!sv_add_u64(p->total, item[i].bytes, &p->total))
            return sv_fail(SV_E_LIMIT, "the tensors' bytes exceed 2^64");
        p->item[i] = &item[i];
    }
    qsort(p->item, n, sizeof *p->item, by_size_then_name);
    SV_PUSH(list, p->n_part, cap, ((part){ 0, 0 }));
    for (size_t i = 0; i < n; i++) {
        part *last = &list[p->n_part - 1];
        bool fits = sv_add_u64(in_part, p->item[i]->bytes, &sum) && sum <= shard_bytes && last->n < SV_TENSORS_MAX_FILE;
        if (last->n > 0 && !fits) {
            SV_PUSH(list, p->n_part, cap, ((part){ i, 0 }));
            last = &list[p->n_part - 1];
            sum = p->item[i]->bytes;
        }
        in_part = sum;
        last->n++;
    }
    p->part = SV_NEW_N(p->arena, part, p->n_part);
    memcpy(p->part, list, p->n_part * sizeof *list);
    sv_mem_free(list);
    if (p->n_part > SV_TENSORS_MAX_FILES)
        return sv_fail(SV_E_LIMIT, "%zu shards, at most %u are read back; take larger shards", p->n_part,
                       SV_TENSORS_MAX_FILES);
    return SV_OK;
}

static sv_err check_unique(const plan *p)
{
    sv_map *seen = sv_map_make(p->n);
    for (size_t i = 0; i < p->n; i++)
        if (!sv_map_put(seen, sv_str_of(p->item[i]->name), 0)) {
            sv_map_drop(seen);
            return sv_fail(SV_E_ARG, "tensor %s is given twice", quote(p->item[i]->name));
        }
    sv_map_drop(seen);
    return SV_OK;
}

static void add_header_entry(sv_bytes *h, const sv_named_tensor *t, uint64_t begin)
{
    sv_bytes_char(h, ',');
    sv_json_quote(h, sv_str_of(t->name));
    sv_bytes_printf(h, ":{\"dtype\":\"%s\",\"shape\":[", sv_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->n_dim; i++)
        sv_bytes_printf(h, i ? ",%llu" : "%llu", (unsigned long long)t->dim[i]);
    sv_bytes_printf(h, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                    (unsigned long long)(begin + t->bytes));
}

/* 8 bytes of length and the JSON, padded with spaces so that data starts at a multiple of 64. */
static sv_err make_header(const plan *p, const part *q, sv_bytes *h)
{
    uint64_t at = 0;
    sv_bytes_add(h, "\0\0\0\0\0\0\0\0", 8);
    sv_bytes_text(h, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < q->n; i++) {
        add_header_entry(h, p->item[q->first + i], at);
        at += p->item[q->first + i]->bytes; /* the total was checked */
    }
    sv_bytes_char(h, '}');
    while (h->n % DATA_ALIGN != 0)
        sv_bytes_char(h, ' ');
    if (h->n - 8 > SV_SAFETENSORS_MAX_HEADER)
        return sv_fail(SV_E_LIMIT, "a header of %zu bytes, at most %u are read; take smaller shards", h->n - 8,
                       SV_SAFETENSORS_MAX_HEADER);
    sv_store_u64((uint8_t *)h->p, h->n - 8);
    return SV_OK;
}

static sv_err write_body(sv_file_out *f, const plan *p, const part *q, sv_bytes *h)
{
    SV_TRY(make_header(p, q, h));
    SV_TRY(sv_file_out_write(f, h->p, h->n));
    for (size_t i = 0; i < q->n; i++)
        SV_TRY(sv_file_out_write(f, p->item[q->first + i]->data, p->item[q->first + i]->bytes));
    return SV_OK;
}

static sv_err write_part(const plan *p, const part *q, const char *file)
{
    sv_file_out *f;
    sv_bytes h = { 0 };
    SV_TRY(sv_file_out_open(sv_path_join(p->arena, p->dir, file), &f));
    sv_err e = write_body(f, p, q, &h);
    sv_bytes_done(&h);
    if (e != SV_OK) {
        sv_file_out_abort(f);
        return e;
    }
    return sv_file_out_commit(f);
}

static const char *part_name(const plan *p, size_t i)
{
    if (p->n_part == 1)
        return sv_arena_printf(p->arena, "%s.safetensors", p->stem);
    return sv_arena_printf(p->arena, "%s-%05zu-of-%05zu.safetensors", p->stem, i + 1, p->n_part);
}

static sv_err write_index(const plan *p, const char *path)
{
    sv_bytes b = { 0 };
    sv_bytes_printf(&b, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {",
                    (unsigned long long)p->total);
    for (size_t i = 0; i < p->n_part; i++)
        for (size_t j = 0; j < p->part[i].n; j++) {
            sv_bytes_text(&b, i + j ? ",\n    " : "\n    ");
            sv_json_quote(&b, sv_str_of(p->item[p->part[i].first + j]->name));
            sv_bytes_text(&b, ": ");
            sv_json_quote(&b, sv_str_of(part_name(p, i)));
        }
    sv_bytes_text(&b, "\n  }\n}\n");
    sv_err e = sv_file_write(path, (sv_str){ b.p, b.n });
    sv_bytes_done(&b);
    return e;
}

static sv_err write_all(plan *p, const sv_named_tensor *item, size_t n, uint64_t shard_bytes)
{
    SV_TRY(make_plan(p, item, n, shard_bytes ? shard_bytes : DEFAULT_SHARD_BYTES));
    SV_TRY(check_unique(p));
    for (size_t i = 0; i < p->n_part; i++)
        SV_TRY(write_part(p, &p->part[i], part_name(p, i)));
    const char *single = sv_path_join(p->arena, p->dir, sv_arena_printf(p->arena, "%s.safetensors", p->stem));
    const char *index = sv_path_join(p->arena, p->dir, sv_arena_printf(p->arena, "%s.safetensors.index.json", p->stem));
    if (p->n_part == 1)
        return sv_file_remove_tree(index);
    SV_TRY(write_index(p, index));
    return sv_file_remove_tree(single);
}

sv_err sv_safetensors_write(const char *dir, const char *stem, const sv_named_tensor *item, size_t n,
                            uint64_t shard_bytes)
{
    plan p = { .arena = sv_arena_make(), .dir = dir, .stem = stem };
    sv_err e = write_all(&p, item, n, shard_bytes);
    if (e != SV_OK)
        e = sv_fail_in(e, "writing %s/%s.safetensors: ", dir, stem);
    sv_arena_drop(p.arena);
    return e;
}
