/* SPDX-License-Identifier: Apache-2.0
 * Named tensors: look-up, sizes and the check that values are numbers.
 */
#include "format/tensors.h"

#include "base/check.h"

static void drop_map(void *m)
{
    sv_map_drop(m);
}

const sv_named_tensor *sv_tensors_find(const sv_tensors *t, const char *name)
{
    sv_str key = sv_str_of(name);
    if (t->by_name) {
        uint32_t i;
        return sv_map_get(t->by_name, key, &i) ? &t->item[i] : NULL;
    }
    for (size_t i = 0; i < t->n; i++)
        if (sv_str_is(key, t->item[i].name))
            return &t->item[i];
    return NULL;
}

void sv_tensors_close(sv_tensors *t)
{
    if (t)
        sv_arena_drop(t->arena);
}

sv_err sv_tensor_measure(const char *name, sv_dtype dtype, uint32_t n_dim, const uint64_t *dim, uint64_t *items,
                         uint64_t *bytes)
{
    if ((unsigned)dtype >= SV_DTYPE_COUNT)
        return sv_fail(SV_E_DTYPE, "tensor %s: item type number %u does not exist", sv_str_quote(sv_str_of(name)),
                       (unsigned)dtype);
    if (n_dim > SV_TENSOR_MAX_DIM)
        return sv_fail(SV_E_LIMIT, "tensor %s: %u dimensions, at most %u are read", sv_str_quote(sv_str_of(name)),
                       n_dim, (unsigned)SV_TENSOR_MAX_DIM);
    uint64_t n = 1, last = n_dim ? dim[n_dim - 1] : 1, block = sv_dtype_block_items(dtype);
    for (uint32_t i = 0; i < n_dim; i++)
        if (dim[i] > SV_TENSOR_MAX_ITEMS || !sv_mul_u64(n, dim[i], &n) || n > SV_TENSOR_MAX_ITEMS)
            return sv_fail(SV_E_LIMIT, "tensor %s: dimension %u is %llu; dimensions and their product stay below 2^48",
                           sv_str_quote(sv_str_of(name)), i, (unsigned long long)dim[i]);
    if (last % block != 0)
        return sv_fail(
            SV_E_FORMAT, "tensor %s: rows of %llu items, but %s blocks hold %llu: the row must be a multiple",
            sv_str_quote(sv_str_of(name)), (unsigned long long)last, sv_dtype_name(dtype), (unsigned long long)block);
    if (items)
        *items = n;
    if (bytes)
        *bytes = sv_dtype_row_bytes(dtype, n); /* fits: n < 2^48 */
    return SV_OK;
}

sv_err sv_tensors_index(sv_tensors *t)
{
    sv_map *m = sv_map_make(t->n);
    sv_arena_defer(t->arena, drop_map, m);
    for (size_t i = 0; i < t->n; i++) {
        sv_str key = sv_str_of(t->item[i].name);
        uint32_t first = 0;
        if (sv_map_put(m, key, (uint32_t)i))
            continue;
        (void)sv_map_get(m, key, &first);
        return sv_fail(SV_E_FORMAT, "tensor %s is there twice: in %s and in %s; names must be unique",
                       sv_str_quote(key), t->item[first].file, t->item[i].file);
    }
    t->by_name = m;
    return SV_OK;
}

sv_err sv_named_tensor_check_finite(const sv_named_tensor *t)
{
    uint64_t size = sv_dtype_block_bytes(t->dtype), n = t->bytes / size;
    bool is_float = sv_dtype_is_float(t->dtype);
    if (!is_float && !sv_dtype_is_block(t->dtype))
        return SV_OK;
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *p = t->data + i * size;
        bool ok;
        if (t->dtype == SV_DT_F32)
            ok = (sv_load_u32(p) & 0x7f800000u) != 0x7f800000u;
        else if (t->dtype == SV_DT_BF16)
            ok = (sv_load_u16(p) & 0x7f80u) != 0x7f80u;
        else if (t->dtype == SV_DT_F16)
            ok = (sv_load_u16(p) & 0x7c00u) != 0x7c00u;
        else
            ok = sv_dtype_scale_is_finite(t->dtype, p);
        if (!ok)
            return sv_fail(SV_E_FORMAT,
                           "tensor %s (%s, in %s): %s %llu is inf or NaN; the file is damaged or was trained apart",
                           sv_str_quote(sv_str_of(t->name)), sv_dtype_name(t->dtype), t->file ? t->file : "memory",
                           is_float ? "item" : "the scale of block", (unsigned long long)i);
    }
    return SV_OK;
}
