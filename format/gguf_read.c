/* SPDX-License-Identifier: Apache-2.0
 * Reading GGUF: a cursor that never leaves the file, then keys, tensor infos and the tiling of the data.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "format/gguf_impl.h"

/* One file while it is read. at <= n always. */
typedef struct reader {
    sv_arena *arena;
    const uint8_t *p;
    size_t n, at;
    const char *file;
    uint32_t version, alignment;
    uint64_t n_tensor, n_value;
    sv_gguf_value *value;
    sv_named_tensor *item;
} reader;

static void close_map(void *m)
{
    sv_file_map_close(m);
}
static void drop_map(void *m)
{
    sv_map_drop(m);
}

static sv_err need(const reader *r, uint64_t bytes, const char *what)
{
    if (bytes > r->n - r->at)
        return sv_fail(SV_E_FORMAT,
                       "%s at byte %zu needs %llu bytes, %zu are left: the file is cut off or lies about itself", what,
                       r->at, (unsigned long long)bytes, r->n - r->at);
    return SV_OK;
}

static sv_err take_u32(reader *r, const char *what, uint32_t *out)
{
    SV_TRY(need(r, 4, what));
    *out = sv_load_u32(r->p + r->at);
    r->at += 4;
    return SV_OK;
}

static sv_err take_u64(reader *r, const char *what, uint64_t *out)
{
    SV_TRY(need(r, 8, what));
    *out = sv_load_u64(r->p + r->at);
    r->at += 8;
    return SV_OK;
}

static sv_err take_text(reader *r, const char *what, uint64_t max, sv_str *out)
{
    uint64_t len;
    SV_TRY(take_u64(r, what, &len));
    if (len > max)
        return sv_fail(SV_E_LIMIT, "%s at byte %zu: a text of %llu bytes, at most %llu are read", what, r->at,
                       (unsigned long long)len, (unsigned long long)max);
    SV_TRY(need(r, len, what));
    *out = (sv_str){ (const char *)r->p + r->at, (size_t)len };
    r->at += (size_t)len;
    return SV_OK;
}

/* ---- keys ---- */

static uint64_t load_unsigned(const uint8_t *p, uint32_t bytes)
{
    return bytes == 1 ? p[0] : bytes == 2 ? sv_load_u16(p) : bytes == 4 ? sv_load_u32(p) : sv_load_u64(p);
}

static int64_t load_signed(const uint8_t *p, uint32_t bytes)
{
    return bytes == 1   ? (int8_t)p[0]
           : bytes == 2 ? (int16_t)sv_load_u16(p)
           : bytes == 4 ? (int32_t)sv_load_u32(p)
                        : (int64_t)sv_load_u64(p);
}

static double load_float(const uint8_t *p, uint32_t bytes)
{
    double d;
    if (bytes == 4)
        return (double)sv_f32_of_bits(sv_load_u32(p));
    uint64_t u = sv_load_u64(p);
    memcpy(&d, &u, sizeof d);
    return d;
}

static sv_err read_texts(reader *r, sv_gguf_value *v)
{
    uint64_t bytes;
    if (!sv_mul_u64(v->n, 8, &bytes))
        return sv_fail(SV_E_LIMIT, "key %s: too many texts", sv_str_quote(sv_str_of(v->key)));
    SV_TRY(need(r, bytes, "an array of texts")); /* each has a length: bounds the allocation by the file */
    sv_str *s = SV_NEW_N(r->arena, sv_str, v->n ? v->n : 1);
    for (uint64_t i = 0; i < v->n; i++)
        SV_TRY(take_text(r, v->key, sv_gguf_max_text(v->key), &s[i]));
    v->at.s = s;
    return SV_OK;
}

/* n items of v->type at the cursor, widened. */
static sv_err read_items(reader *r, sv_gguf_value *v)
{
    uint32_t size = sv_gguf_type_bytes(v->type);
    uint64_t bytes;
    if (v->type == SV_GGUF_STRING)
        return read_texts(r, v);
    if (!sv_mul_u64(v->n, size, &bytes))
        return sv_fail(SV_E_LIMIT, "key %s: too many items", sv_str_quote(sv_str_of(v->key)));
    SV_TRY(need(r, bytes, v->key));
    const uint8_t *p = r->p + r->at;
    r->at += (size_t)bytes;
    uint64_t *u = SV_NEW_N(r->arena, uint64_t, v->n ? v->n : 1);
    for (uint64_t i = 0; i < v->n; i++, p += size) {
        switch (v->type) {
        case SV_GGUF_BOOL:
            if (p[0] > 1)
                return sv_fail(SV_E_FORMAT, "key %s: a bool is 0 or 1, found %u", sv_str_quote(sv_str_of(v->key)),
                               p[0]);
            u[i] = p[0];
            break;
        case SV_GGUF_I8:
        case SV_GGUF_I16:
        case SV_GGUF_I32:
        case SV_GGUF_I64:
            ((int64_t *)(void *)u)[i] = load_signed(p, size);
            break;
        case SV_GGUF_F32:
        case SV_GGUF_F64:
            ((double *)(void *)u)[i] = load_float(p, size);
            break;
        default:
            u[i] = load_unsigned(p, size);
            break;
        }
    }
    v->at.u = u;
    return SV_OK;
}

static sv_err read_value(reader *r, sv_map *seen, sv_gguf_value *v)
{
    sv_str key;
    uint32_t type;
    SV_TRY(take_text(r, "a key", SV_GGUF_MAX_KEY, &key));
    SV_TRY(sv_gguf_check_key(key));
    if (!sv_map_put(seen, key, 0))
        return sv_fail(SV_E_FORMAT, "key %s is there twice", sv_str_quote(key));
    v->key = sv_arena_textn(r->arena, key.p, key.n);
    v->n = 1;
    SV_TRY(take_u32(r, "a key's type", &type));
    if (type == SV_GGUF_ARRAY) {
        v->is_array = true;
        SV_TRY(take_u32(r, "an array's type", &type));
        SV_TRY(take_u64(r, "an array's length", &v->n));
        if (type == SV_GGUF_ARRAY)
            return sv_fail(SV_E_UNSUPPORTED, "key %s: an array of arrays is not read", sv_str_quote(key));
        if (v->n > SV_GGUF_MAX_ARRAY)
            return sv_fail(SV_E_LIMIT, "key %s: an array of %llu items, at most %llu are read", sv_str_quote(key),
                           (unsigned long long)v->n, (unsigned long long)SV_GGUF_MAX_ARRAY);
    }
    if (type >= SV_GGUF_TYPE_COUNT)
        return sv_fail(SV_E_FORMAT, "key %s: value type %u does not exist", sv_str_quote(key), type);
    v->type = (sv_gguf_type)type;
    return read_items(r, v);
}

static sv_err read_values(reader *r)
{
    uint64_t bytes;
    if (r->n_value > SV_GGUF_MAX_KEYS)
        return sv_fail(SV_E_LIMIT, "%llu keys, at most %u are read", (unsigned long long)r->n_value, SV_GGUF_MAX_KEYS);
    if (!sv_mul_u64(r->n_value, 13, &bytes)) /* the least key: length, type and one byte */
        return sv_fail(SV_E_LIMIT, "too many keys");
    SV_TRY(need(r, bytes, "the list of keys"));
    sv_map *seen = sv_map_make((size_t)r->n_value);
    sv_arena_defer(r->arena, drop_map, seen);
    r->value = SV_NEW_N(r->arena, sv_gguf_value, r->n_value ? r->n_value : 1);
    for (uint64_t i = 0; i < r->n_value; i++)
        SV_TRY(read_value(r, seen, &r->value[i]));
    return SV_OK;
}

/* ---- tensors ---- */

static sv_err read_info(reader *r, sv_named_tensor *t)
{
    sv_str name;
    uint32_t n_dim, type;
    uint64_t dim[4];
    SV_TRY(take_text(r, "a tensor's name", SV_GGUF_MAX_TEXT, &name));
    SV_TRY(sv_gguf_check_name(name));
    t->name = sv_arena_textn(r->arena, name.p, name.n);
    t->file = r->file;
    SV_TRY(take_u32(r, t->name, &n_dim));
    if (n_dim > 4)
        return sv_fail(SV_E_LIMIT, "tensor %s: %u dimensions, at most 4 are read", sv_str_quote(name), n_dim);
    for (uint32_t i = 0; i < n_dim; i++)
        SV_TRY(take_u64(r, t->name, &dim[i]));
    t->n_dim = n_dim;
    for (uint32_t i = 0; i < n_dim; i++)
        t->dim[i] = dim[n_dim - 1 - i]; /* the file has the innermost first */
    SV_TRY(take_u32(r, t->name, &type));
    SV_TRY(sv_gguf_dtype_of(type, t->name, &t->dtype));
    SV_TRY(sv_tensor_measure(t->name, t->dtype, t->n_dim, t->dim, NULL, &t->bytes));
    SV_TRY(take_u64(r, t->name, &t->file_offset)); /* relative to the data until place_tensors */
    if (t->file_offset % r->alignment != 0)
        return sv_fail(SV_E_FORMAT, "tensor %s: offset %llu is no multiple of the alignment %u", sv_str_quote(name),
                       (unsigned long long)t->file_offset, r->alignment);
    return SV_OK;
}

static int by_offset(const void *a, const void *b)
{
    const sv_named_tensor *x = *(const sv_named_tensor *const *)a, *y = *(const sv_named_tensor *const *)b;
    if (x->file_offset != y->file_offset)
        return x->file_offset < y->file_offset ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return x < y ? -1 : x > y; /* empty tensors at one place: order of the file */
}

/* Sorted by offset the tensors tile the data, with gaps only up to the next multiple of the alignment, and the file
 * ends with the last one or its padding. */
static sv_err place_tensors(reader *r)
{
    uint64_t start, end = 0, next = 0;
    size_t n = (size_t)r->n_tensor;
    const sv_named_tensor **order = SV_NEW_N(r->arena, const sv_named_tensor *, n ? n : 1);
    for (size_t i = 0; i < n; i++)
        order[i] = &r->item[i];
    qsort(order, n, sizeof *order, by_offset);
    if (!sv_gguf_align_up(r->at, r->alignment, &start))
        return sv_fail(SV_E_FORMAT, "the data's place wraps");
    uint64_t have = start < r->n ? r->n - start : 0; /* a file without tensors may end before its padding */
    for (size_t i = 0; i < n; i++) {
        const sv_named_tensor *t = order[i];
        if (t->file_offset != next)
            return sv_fail(SV_E_FORMAT, "tensor %s begins at byte %llu of the data, expected at %llu: %s",
                           sv_str_quote(sv_str_of(t->name)), (unsigned long long)t->file_offset,
                           (unsigned long long)next, t->file_offset < next ? "it overlaps the one before" : "a hole");
        if (!sv_add_u64(t->file_offset, t->bytes, &end) || end > have || !sv_gguf_align_up(end, r->alignment, &next))
            return sv_fail(SV_E_FORMAT,
                           "tensor %s: %llu bytes from byte %llu of the data, but the file holds %llu: cut off",
                           sv_str_quote(sv_str_of(t->name)), (unsigned long long)t->bytes,
                           (unsigned long long)t->file_offset, (unsigned long long)have);
    }
    if (have > next)
        return sv_fail(SV_E_FORMAT, "%llu bytes behind the last tensor belong to nothing",
                       (unsigned long long)(have - end));
    for (size_t i = 0; i < n; i++) {
        r->item[i].file_offset += start; /* checked: start + end <= n, or empty at the end */
        r->item[i].data = r->item[i].bytes ? r->p + r->item[i].file_offset : r->p;
    }
    return SV_OK;
}

static sv_err read_tensors(reader *r)
{
    uint64_t bytes;
    if (r->n_tensor > SV_TENSORS_MAX_FILE)
        return sv_fail(SV_E_LIMIT, "%llu tensors, at most %u are read", (unsigned long long)r->n_tensor,
                       SV_TENSORS_MAX_FILE);
    if (!sv_mul_u64(r->n_tensor, 25, &bytes)) /* the least info: name of one byte, no dimension */
        return sv_fail(SV_E_LIMIT, "too many tensors");
    SV_TRY(need(r, bytes, "the list of tensors"));
    r->item = SV_NEW_N(r->arena, sv_named_tensor, r->n_tensor ? r->n_tensor : 1);
    for (uint64_t i = 0; i < r->n_tensor; i++)
        SV_TRY(read_info(r, &r->item[i]));
    return place_tensors(r);
}

static sv_err find_alignment(reader *r)
{
    sv_gguf g = { .value = r->value, .n_value = (size_t)r->n_value };
    r->alignment = SV_GGUF_DEFAULT_ALIGN;
    SV_TRY(sv_gguf_u32(&g, "general.alignment", false, &r->alignment));
    if (!sv_gguf_align_ok(r->alignment))
        return sv_fail(SV_E_FORMAT, "general.alignment is %u; a power of two from %u to %u is needed", r->alignment,
                       SV_GGUF_MIN_ALIGN, SV_GGUF_MAX_ALIGN);
    return SV_OK;
}

static sv_err read_file(reader *r)
{
    if (r->n < 24 || memcmp(r->p, "GGUF", 4) != 0)
        return sv_fail(SV_E_FORMAT, "no GGUF file: it does not start with GGUF and a header of 24 bytes");
    r->at = 4;
    SV_TRY(take_u32(r, "the version", &r->version));
    if (r->version != 0 && (r->version & 0xffffu) == 0)
        return sv_fail(SV_E_UNSUPPORTED, "a big-endian GGUF file; convert it to little-endian");
    if (r->version != 2 && r->version != 3)
        return sv_fail(SV_E_UNSUPPORTED, "GGUF version %u; 2 and 3 are read", r->version);
    SV_TRY(take_u64(r, "the tensor count", &r->n_tensor));
    SV_TRY(take_u64(r, "the key count", &r->n_value));
    SV_TRY(read_values(r));
    SV_TRY(find_alignment(r));
    return read_tensors(r);
}

/* ---- sets of files ---- */

/* NAME-00001-of-0000N.gguf: the part's number and count, and the length of NAME; false: another name. */
static bool parse_split(const char *file, size_t *stem, uint32_t *no, uint32_t *count)
{
    size_t n = strlen(file);
    sv_str s = { file, n };
    uint64_t a, b;
    if (n < 20 || !sv_str_ends(s, ".gguf") || file[n - 20] != '-' || memcmp(file + n - 14, "-of-", 4) != 0)
        return false;
    if (!sv_str_u64((sv_str){ file + n - 19, 5 }, &a) || !sv_str_u64((sv_str){ file + n - 10, 5 }, &b))
        return false;
    *stem = n - 20;
    *no = (uint32_t)a;
    *count = (uint32_t)b;
    return true;
}

/* A part's keys must say what its name says. */
static sv_err check_split_keys(const reader *r, uint32_t no, uint32_t count)
{
    sv_gguf g = { .value = r->value, .n_value = (size_t)r->n_value };
    uint32_t said_no = 0, said_count = 1;
    SV_TRY(sv_gguf_u32(&g, "split.count", count > 1, &said_count));
    SV_TRY(sv_gguf_u32(&g, "split.no", count > 1, &said_no));
    if (said_count == 0 && count == 1)
        return SV_OK;
    if (said_count != count || said_no != no)
        return sv_fail(
            SV_E_FORMAT,
            "its keys say part %u of %u, its name part %u of %u; parts keep the names they were written with",
            said_no + 1, said_count, no + 1, count);
    return SV_OK;
}

static sv_gguf *make_gguf(void)
{
    sv_arena *a = sv_arena_make();
    sv_gguf *g = SV_NEW(a, sv_gguf);
    g->arena = a;
    g->tensors = SV_NEW(a, sv_tensors);
    g->tensors->arena = a;
    return g;
}

static sv_err finish(sv_err e, sv_gguf *g, sv_gguf **out)
{
    if (e == SV_OK) {
        *out = g;
        return SV_OK;
    }
    sv_gguf_close(g);
    return e;
}

static sv_err read_named(reader *r)
{
    sv_err e = read_file(r);
    return e == SV_OK ? e : sv_fail_in(e, "%s: ", r->file);
}

static void take_first(sv_gguf *g, const reader *r)
{
    g->version = r->version;
    g->alignment = r->alignment;
    g->value = r->value;
    g->n_value = (size_t)r->n_value;
}

static sv_err open_one(sv_gguf *g, const uint8_t *p, size_t n, const char *name)
{
    reader r = { .arena = g->arena, .p = p, .n = n, .file = sv_arena_text(g->arena, name) };
    SV_TRY(read_named(&r));
    sv_err e = check_split_keys(&r, 0, 1);
    if (e != SV_OK)
        return sv_fail_in(e, "%s: ", name);
    take_first(g, &r);
    g->tensors->item = r.item;
    g->tensors->n = (size_t)r.n_tensor;
    e = sv_tensors_index(g->tensors);
    return e == SV_OK ? e : sv_fail_in(e, "%s: ", name);
}

sv_err sv_gguf_open_bytes(const uint8_t *p, size_t n, const char *name, sv_gguf **out)
{
    sv_gguf *g = make_gguf();
    return finish(open_one(g, p, n, name), g, out);
}

static sv_err map_file(sv_arena *a, const char *path, sv_file_map **out)
{
    sv_file_map m;
    SV_TRY(sv_file_map_open(path, &m));
    *out = SV_NEW(a, sv_file_map);
    **out = m;
    sv_arena_defer(a, close_map, *out);
    return SV_OK;
}

static sv_err open_parts(sv_gguf *g, const char *path, size_t stem, uint32_t count)
{
    size_t total = 0, at = 0;
    reader *r = SV_NEW_N(g->arena, reader, count);
    for (uint32_t i = 0; i < count; i++) {
        sv_file_map *m;
        const char *part = sv_arena_printf(g->arena, "%.*s-%05u-of-%05u.gguf", (int)stem, path, i + 1, count);
        if (!sv_file_exists(part))
            return sv_fail(SV_E_NOTFOUND, "%s: part %u of %u is missing; all parts must lie in one folder", part, i + 1,
                           count);
        SV_TRY(map_file(g->arena, part, &m));
        r[i] = (reader){ .arena = g->arena, .p = m->p, .n = m->n, .file = sv_path_base(part) };
        SV_TRY(read_named(&r[i]));
        sv_err e = check_split_keys(&r[i], i, count);
        if (e != SV_OK)
            return sv_fail_in(e, "%s: ", part);
        total += (size_t)r[i].n_tensor; /* at most MAX_FILES times MAX_FILE */
    }
    take_first(g, &r[0]);
    uint32_t said = (uint32_t)total;
    SV_TRY(sv_gguf_u32(g, "split.tensors.count", false, &said));
    if (said != total || total > SV_TENSORS_MAX_MODEL)
        return sv_fail(said != total ? SV_E_FORMAT : SV_E_LIMIT,
                       "%s: %zu tensors in all parts, split.tensors.count says %u, at most %u are read", path, total,
                       said, SV_TENSORS_MAX_MODEL);
    g->tensors->n = total;
    g->tensors->item = SV_NEW_N(g->arena, sv_named_tensor, total ? total : 1);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(g->tensors->item + at, r[i].item, (size_t)r[i].n_tensor * sizeof *r[i].item);
        at += (size_t)r[i].n_tensor;
    }
    return sv_tensors_index(g->tensors);
}

static sv_err open_path(sv_gguf *g, const char *path)
{
    size_t stem;
    uint32_t no, count;
    sv_file_map *m;
    if (parse_split(path, &stem, &no, &count) && count > 1) {
        if (no != 1)
            return sv_fail(SV_E_ARG, "%s is part %u of %u; give the first part, %.*s-00001-of-%05u.gguf", path, no,
                           count, (int)stem, path, count);
        if (count > SV_TENSORS_MAX_FILES)
            return sv_fail(SV_E_LIMIT, "%s: %u parts, at most %u are read", path, count, SV_TENSORS_MAX_FILES);
        return open_parts(g, path, stem, count);
    }
    SV_TRY(map_file(g->arena, path, &m));
    return open_one(g, m->p, m->n, sv_path_base(path));
}

sv_err sv_gguf_open(const char *path, sv_gguf **out)
{
    sv_gguf *g = make_gguf();
    return finish(open_path(g, path), g, out);
}

void sv_gguf_close(sv_gguf *g)
{
    if (g)
        sv_arena_drop(g->arena);
}
