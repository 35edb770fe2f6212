/* SPDX-License-Identifier: Apache-2.0
 * Writing GGUF version 3, seen under its name only when it is whole on disk.
 */
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "format/gguf_impl.h"

static const char *quote(const char *text)
{
    return sv_str_quote(sv_str_of(text));
}

static void add_u32(sv_bytes *b, uint32_t v)
{
    uint8_t raw[4];
    sv_store_u32(raw, v);
    sv_bytes_add(b, raw, sizeof raw);
}

static void add_u64(sv_bytes *b, uint64_t v)
{
    uint8_t raw[8];
    sv_store_u64(raw, v);
    sv_bytes_add(b, raw, sizeof raw);
}

static void add_text(sv_bytes *b, sv_str s)
{
    add_u64(b, s.n);
    sv_bytes_add(b, s.p, s.n);
}

static bool is_split_key(const char *key)
{
    return strncmp(key, "split.", 6) == 0;
}

static bool fits_unsigned(uint64_t v, uint32_t bytes)
{
    return bytes == 8 || v >> (8 * bytes) == 0;
}

static bool fits_signed(int64_t v, uint32_t bytes)
{
    int64_t half = bytes == 8 ? 0 : INT64_C(1) << (8 * bytes - 1);
    return bytes == 8 || (v >= -half && v < half);
}

static sv_err add_item(sv_bytes *b, const sv_gguf_value *v, uint64_t i)
{
    uint32_t size = sv_gguf_type_bytes(v->type);
    uint64_t raw;
    bool fits = true;
    switch (v->type) {
    case SV_GGUF_STRING:
        if (v->at.s[i].n > sv_gguf_max_text(v->key))
            return sv_fail(SV_E_LIMIT, "key %s: a text of %zu bytes, at most %llu are read back", quote(v->key),
                           v->at.s[i].n, (unsigned long long)sv_gguf_max_text(v->key));
        add_text(b, v->at.s[i]);
        return SV_OK;
    case SV_GGUF_I8:
    case SV_GGUF_I16:
    case SV_GGUF_I32:
    case SV_GGUF_I64:
        fits = fits_signed(v->at.i[i], size);
        raw = (uint64_t)v->at.i[i];
        break;
    case SV_GGUF_F32:
        raw = sv_f32_bits((float)v->at.f[i]);
        break;
    case SV_GGUF_F64:
        memcpy(&raw, &v->at.f[i], sizeof raw);
        break;
    case SV_GGUF_BOOL:
        raw = v->at.u[i];
        fits = raw <= 1;
        break;
    default:
        raw = v->at.u[i];
        fits = fits_unsigned(raw, size);
        break;
    }
    if (!fits)
        return sv_fail(SV_E_ARG, "key %s: item %llu does not fit into %s", quote(v->key), (unsigned long long)i,
                       sv_gguf_type_name(v->type));
    uint8_t bytes[8];
    sv_store_u64(bytes, raw);
    sv_bytes_add(b, bytes, size);
    return SV_OK;
}

static sv_err add_value(sv_bytes *b, const sv_gguf_value *v)
{
    SV_TRY(sv_gguf_check_key(sv_str_of(v->key)));
    if ((unsigned)v->type >= SV_GGUF_TYPE_COUNT || v->type == SV_GGUF_ARRAY)
        return sv_fail(SV_E_ARG, "key %s: type %u is no type of an item", quote(v->key), (unsigned)v->type);
    if (v->is_array ? v->n > SV_GGUF_MAX_ARRAY : v->n != 1)
        return sv_fail(SV_E_LIMIT, "key %s: %llu items; a plain value has 1, an array at most %llu", quote(v->key),
                       (unsigned long long)v->n, (unsigned long long)SV_GGUF_MAX_ARRAY);
    add_text(b, sv_str_of(v->key));
    if (v->is_array)
        add_u32(b, SV_GGUF_ARRAY);
    add_u32(b, (uint32_t)v->type);
    if (v->is_array)
        add_u64(b, v->n);
    for (uint64_t i = 0; i < v->n; i++)
        SV_TRY(add_item(b, v, i));
    return SV_OK;
}

static sv_err add_values(sv_bytes *b, const sv_gguf_value *value, size_t n_value, sv_map *seen)
{
    for (size_t i = 0; i < n_value; i++) {
        if (is_split_key(value[i].key))
            continue;
        if (!sv_map_put(seen, sv_str_of(value[i].key), 0))
            return sv_fail(SV_E_ARG, "key %s is given twice", quote(value[i].key));
        SV_TRY(add_value(b, &value[i]));
    }
    return SV_OK;
}

/* One tensor info; *at is the running offset in the data. */
static sv_err add_info(sv_bytes *b, const sv_named_tensor *t, uint32_t alignment, uint64_t *at)
{
    uint32_t number;
    uint64_t bytes, end;
    SV_TRY(sv_gguf_check_name(sv_str_of(t->name)));
    if (!sv_gguf_number_of(t->dtype, &number))
        return sv_fail(SV_E_DTYPE, "tensor %s: GGUF files hold no %s", quote(t->name), sv_dtype_name(t->dtype));
    if (t->n_dim > 4)
        return sv_fail(SV_E_SHAPE, "tensor %s: %u dimensions, GGUF holds 4", quote(t->name), t->n_dim);
    SV_TRY(sv_tensor_measure(t->name, t->dtype, t->n_dim, t->dim, NULL, &bytes));
    if (bytes != t->bytes)
        return sv_fail(SV_E_SHAPE, "tensor %s: %llu bytes given, its shape and type need %llu", quote(t->name),
                       (unsigned long long)t->bytes, (unsigned long long)bytes);
    add_text(b, sv_str_of(t->name));
    add_u32(b, t->n_dim);
    for (uint32_t i = 0; i < t->n_dim; i++)
        add_u64(b, t->dim[t->n_dim - 1 - i]);
    add_u32(b, number);
    add_u64(b, *at);
    if (!sv_add_u64(*at, bytes, &end) || !sv_gguf_align_up(end, alignment, at))
        return sv_fail(SV_E_LIMIT, "tensor %s: the file would exceed 2^64 bytes", quote(t->name));
    return SV_OK;
}

static sv_err add_infos(sv_bytes *b, const sv_named_tensor *item, size_t n, uint32_t alignment, sv_map *seen)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!sv_map_put(seen, sv_str_of(item[i].name), 0))
            return sv_fail(SV_E_ARG, "tensor %s is given twice", quote(item[i].name));
        SV_TRY(add_info(b, &item[i], alignment, &at));
    }
    return SV_OK;
}

static sv_err choose_alignment(const sv_gguf_value *value, size_t n_value, uint32_t *alignment)
{
    sv_gguf g = { .value = (sv_gguf_value *)value, .n_value = n_value };
    uint32_t said = SV_GGUF_DEFAULT_ALIGN;
    SV_TRY(sv_gguf_u32(&g, "general.alignment", false, &said));
    if (*alignment == 0)
        *alignment = said;
    if (*alignment != said || !sv_gguf_align_ok(said))
        return sv_fail(SV_E_ARG,
                       "alignment %u asked for, general.alignment says %u (32 when missing); both must be one power of "
                       "two from %u to %u",
                       *alignment, said, SV_GGUF_MIN_ALIGN, SV_GGUF_MAX_ALIGN);
    return SV_OK;
}

/* Magic, counts, values and infos, padded to the start of the data. */
static sv_err make_header(sv_bytes *b, const sv_gguf_value *value, size_t n_value, const sv_named_tensor *item,
                          size_t n, uint32_t alignment)
{
    size_t kept = 0;
    for (size_t i = 0; i < n_value; i++)
        kept += is_split_key(value[i].key) ? 0 : 1;
    if (kept > SV_GGUF_MAX_KEYS || n > SV_TENSORS_MAX_FILE)
        return sv_fail(SV_E_LIMIT, "%zu keys and %zu tensors; at most %u and %u are read back", kept, n,
                       SV_GGUF_MAX_KEYS, SV_TENSORS_MAX_FILE);
    sv_bytes_text(b, "GGUF");
    add_u32(b, 3);
    add_u64(b, n);
    add_u64(b, kept);
    sv_map *seen = sv_map_make(kept);
    sv_err e = add_values(b, value, n_value, seen);
    sv_map_drop(seen);
    SV_TRY(e);
    seen = sv_map_make(n);
    e = add_infos(b, item, n, alignment, seen);
    sv_map_drop(seen);
    SV_TRY(e);
    while (b->n % alignment != 0)
        sv_bytes_char(b, '\0');
    return SV_OK;
}

static sv_err write_body(sv_file_out *f, const sv_bytes *header, const sv_named_tensor *item, size_t n,
                         uint32_t alignment)
{
    static const uint8_t zero[SV_GGUF_MAX_ALIGN];
    SV_TRY(sv_file_out_write(f, header->p, header->n));
    for (size_t i = 0; i < n; i++) {
        SV_TRY(sv_file_out_write(f, item[i].data, item[i].bytes));
        SV_TRY(sv_file_out_write(f, zero, (size_t)((alignment - item[i].bytes % alignment) % alignment)));
    }
    return SV_OK;
}

static sv_err write_file(const char *path, const sv_bytes *header, const sv_named_tensor *item, size_t n,
                         uint32_t alignment)
{
    sv_file_out *f;
    SV_TRY(sv_file_out_open(path, &f));
    sv_err e = write_body(f, header, item, n, alignment);
    if (e == SV_OK)
        return sv_file_out_commit(f);
    sv_file_out_abort(f);
    return e;
}

sv_err sv_gguf_write(const char *path, const sv_gguf_value *value, size_t n_value, const sv_named_tensor *item,
                     size_t n, uint32_t alignment)
{
    sv_bytes header = { 0 };
    sv_err e = choose_alignment(value, n_value, &alignment);
    if (e == SV_OK)
        e = make_header(&header, value, n_value, item, n, alignment);
    if (e == SV_OK)
        e = write_file(path, &header, item, n, alignment);
    sv_bytes_done(&header);
    return e == SV_OK ? e : sv_fail_in(e, "writing %s: ", path);
}
