/* SPDX-License-Identifier: Apache-2.0
 * Named tensors become weights: found by name, checked for shape, type and finite values, used where they lie in the
 * mapped file. Copies are made for vectors (F32 in memory), for types without kernels, for llama's GGUF row order, and
 * where an address is not aligned.
 */
#include <string.h>

#include "base/file.h"
#include "base/thread.h"
#include "model/load_impl.h"
#include "num/kblock.h"

#define MAX_CHECKER 8u

static const char *quote(const char *text)
{
    return sv_str_quote(sv_str_of(text));
}

/* ---- finite values ---- */

/* The exponent mask over runs of items, so that the compiler may use vectors; the run with a fault is read again by the
 * check that names the item. */
static bool runs_are_finite(const sv_named_tensor *t)
{
    enum { RUN = 4096 };
    uint64_t size = sv_dtype_block_bytes(t->dtype), n = t->bytes / size;
    for (uint64_t i = 0; i < n; i += RUN) {
        uint64_t m = n - i < RUN ? n - i : RUN;
        const uint8_t *p = t->data + i * size;
        uint32_t bad = 0;
        if (t->dtype == SV_DT_F32) {
            for (uint64_t j = 0; j < m; j++)
                bad |= (sv_load_u32(p + 4 * j) & 0x7f800000u) == 0x7f800000u;
        } else {
            uint32_t mask = t->dtype == SV_DT_BF16 ? 0x7f80u : 0x7c00u;
            for (uint64_t j = 0; j < m; j++)
                bad |= (sv_load_u16(p + 2 * j) & mask) == mask;
        }
        if (bad)
            return false;
    }
    return true;
}

static bool is_finite(const sv_named_tensor *t)
{
    return sv_dtype_is_float(t->dtype) ? runs_are_finite(t) : sv_named_tensor_check_finite(t) == SV_OK;
}

typedef struct checker {
    const sv_tensors *t;
    size_t next; /* atomic: the next tensor to take */
    size_t bad;  /* atomic: the lowest that is not finite; t->n: none */
} checker;

static void check_some(void *arg)
{
    checker *c = arg;
    for (;;) {
        size_t i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);
        if (i >= c->t->n)
            return;
        sv_file_map_soon(c->t->item[i].data, c->t->item[i].bytes);
        if (is_finite(&c->t->item[i]))
            continue;
        size_t bad = __atomic_load_n(&c->bad, __ATOMIC_RELAXED);
        while (i < bad && !__atomic_compare_exchange_n(&c->bad, &bad, i, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
}

static sv_err check_finite(const sv_tensors *t)
{
    checker c = { .t = t, .bad = t->n };
    sv_thread *thread[MAX_CHECKER];
    uint32_t want = sv_thread_cores(), n = 0;
    want = want > MAX_CHECKER ? MAX_CHECKER : want;
    while (n + 1 < want && sv_thread_start("sv-check", check_some, &c, &thread[n]) == SV_OK)
        n++;
    check_some(&c);
    for (uint32_t i = 0; i < n; i++)
        sv_thread_join(thread[i]);
    return c.bad < t->n ? sv_named_tensor_check_finite(&t->item[c.bad]) : SV_OK;
}

/* ---- shapes ---- */

static const char *dim_keys(sv_dim dim, bool gguf)
{
    switch (dim) {
    case SV_DIM_MODEL:
        return gguf ? "embedding_length" : "hidden_size";
    case SV_DIM_FF:
        return gguf ? "feed_forward_length" : "intermediate_size";
    case SV_DIM_VOCAB:
        return "vocab_size";
    case SV_DIM_Q:
        return gguf ? "attention.head_count x key_length" : "num_attention_heads x head_dim";
    case SV_DIM_KV:
        return gguf ? "attention.head_count_kv x key_length" : "num_key_value_heads x head_dim";
    case SV_DIM_HEAD:
        return gguf ? "attention.key_length" : "head_dim";
    case SV_DIM_NONE:
        break;
    }
    return "?";
}

static sv_err check_shape(const sv_model_own *o, const sv_named_tensor *t, uint32_t id, sv_tensor *shape)
{
    const sv_weight *w = &o->m.config.family->weight[id % o->m.config.family->n_weight];
    bool same;
    *shape = sv_weight_shape(&o->m.config, id);
    same = t->n_dim == shape->n_dim;
    for (uint32_t i = 0; same && i < t->n_dim; i++)
        same = t->dim[i] == shape->dim[i];
    if (same)
        return SV_OK;
    sv_bytes found = { 0 }, expected = { 0 };
    for (uint32_t i = 0; i < t->n_dim; i++)
        sv_bytes_printf(&found, i ? ", %llu" : "%llu", (unsigned long long)t->dim[i]);
    for (uint32_t i = 0; i < shape->n_dim; i++)
        sv_bytes_printf(&expected, "%s%u (%s)", i ? ", " : "", shape->dim[i], dim_keys(w->dim[i], o->gguf != NULL));
    sv_err e = sv_fail(SV_E_SHAPE,
                       "tensor %s in %s has shape [%s], expected [%s]; the config and the weights are not of one model",
                       quote(t->name), t->file, found.n ? found.p : "", expected.p);
    sv_bytes_done(&found);
    sv_bytes_done(&expected);
    return e;
}

/* ---- one weight ---- */

void sv_rope_rows(void *dst, const void *src, uint32_t n_row, uint64_t row_bytes, uint32_t d_head, bool to_gguf)
{
    uint32_t half = d_head / 2;
    for (uint32_t r = 0; r < n_row; r++) {
        uint32_t head = r / d_head * d_head, in = r % d_head;
        uint32_t other = head + 2 * (in % half) + in / half; /* where GGUF has HF's row r */
        if (to_gguf)
            memcpy((uint8_t *)dst + other * row_bytes, (const uint8_t *)src + r * row_bytes, row_bytes);
        else
            memcpy((uint8_t *)dst + r * row_bytes, (const uint8_t *)src + other * row_bytes, row_bytes);
    }
}

void sv_widen(sv_dtype t, const void *src, uint64_t n_row, uint64_t n_col, float *out)
{
    uint64_t row_bytes = sv_dtype_row_bytes(t, n_col);
    const uint8_t *p = src;
    for (uint64_t r = 0; r < n_row; r++)
        SV_ASSERT(sv_dtype_dequant_row(t, p + r * row_bytes, n_col, out + r * n_col));
}

static bool has_kernel(sv_dtype t)
{
    return sv_dtype_is_float(t) || sv_dtype_is_k(t) || t == SV_DT_Q8_0 || t == SV_DT_Q4_0 || t == SV_DT_Q4_1;
}

static uint64_t columns(const sv_tensor *shape)
{
    return shape->dim[shape->n_dim - 1];
}

/* The type in memory. */
static sv_dtype served_as(const sv_model_own *o, uint32_t flags, sv_dtype stored)
{
    if ((flags & SV_W_VECTOR) || o->opts.all_f32 || !has_kernel(stored) ||
        (o->opts.dequant && sv_dtype_is_block(stored)))
        return SV_DT_F32;
    return stored;
}

static sv_err copy_block(sv_model_own *o, sv_stored *s)
{
    void *copy;
    SV_TRY(sv_model_block(o->m.arena, s->bytes, "a weight that is not aligned in its file", &copy));
    memcpy(copy, s->data, s->bytes);
    s->data = copy;
    return SV_OK;
}

static sv_err take_rows_back(sv_model_own *o, const sv_tensor *shape, sv_stored *s)
{
    void *copy;
    SV_TRY(sv_model_block(o->m.arena, s->bytes, "reordered rows of attention weights", &copy));
    sv_rope_rows(copy, s->data, shape->dim[0], s->bytes / shape->dim[0], o->m.config.d_head, false);
    s->data = copy;
    return SV_OK;
}

static sv_err widen_block(sv_model_own *o, const sv_tensor *shape, const sv_stored *s, const void **out)
{
    void *wide;
    SV_TRY(sv_model_block(o->m.arena, sv_tensor_items(shape) * sizeof(float), "weights widened to F32", &wide));
    sv_widen(s->dtype, s->data, sv_tensor_items(shape) / columns(shape), columns(shape), wide);
    *out = wide;
    return SV_OK;
}

static sv_err bind_one(sv_model_own *o, const sv_named_tensor *t, uint32_t id)
{
    const sv_family *f = o->m.config.family;
    uint32_t flags = f->weight[id % f->n_weight].flags;
    sv_tensor shape;
    SV_TRY(check_shape(o, t, id, &shape));
    if (!sv_dtype_is_float(t->dtype) && (!sv_dtype_is_block(t->dtype) || t->dtype == SV_DT_Q8X))
        return sv_fail(SV_E_DTYPE, "tensor %s in %s is %s; a weight is F32, F16, BF16 or block-quantised",
                       quote(t->name), t->file, sv_dtype_name(t->dtype));
    sv_stored *s = &o->stored[id];
    *s = (sv_stored){ t->dtype, t->data, t->bytes };
    if (o->gguf && f->permutes_gguf && (flags & (SV_W_ROPE_ROWS | SV_W_ROPE_KV)))
        SV_TRY(take_rows_back(o, &shape, s));
    else if (sv_dtype_is_float(t->dtype) && (uintptr_t)s->data % sv_dtype_block_bytes(t->dtype) != 0)
        SV_TRY(copy_block(o, s));
    shape.dtype = served_as(o, flags, t->dtype);
    o->m.n_dequantised += !has_kernel(t->dtype);
    o->m.data[id] = s->data;
    if (shape.dtype != s->dtype)
        SV_TRY(widen_block(o, &shape, s, &o->m.data[id]));
    o->m.shape[id] = shape;
    return SV_OK;
}

static bool same_tensor(const sv_named_tensor *a, const sv_named_tensor *b)
{
    bool same = a->dtype == b->dtype && a->n_dim == b->n_dim && a->bytes == b->bytes;
    for (uint32_t i = 0; same && i < a->n_dim; i++)
        same = a->dim[i] == b->dim[i];
    return same && memcmp(a->data, b->data, a->bytes) == 0;
}

/* A tied weight: its tensor may be missing, or equal to the one it is tied to. */
static sv_err bind_alias(sv_model_own *o, const sv_tensors *t, const sv_named_tensor *item, uint32_t id)
{
    const sv_config *c = &o->m.config;
    uint32_t target = sv_weight_id(c->family, c->family->weight[id % c->family->n_weight].tied, 0);
    o->m.shape[id] = o->m.shape[target];
    if (!item)
        return SV_OK;
    const sv_named_tensor *other = sv_tensors_find(t, sv_weight_name(c, target, o->gguf != NULL, o->m.arena));
    if (!same_tensor(item, other))
        return sv_fail(
            SV_E_FORMAT,
            "tensors %s and %s in %s differ, but tie_word_embeddings is true; make it false if both are meant",
            quote(item->name), quote(other->name), item->file);
    return SV_OK;
}

/* ---- all of them ---- */

/* Buffers that older files carry and nobody needs. */
static bool is_ignored(const sv_model_own *o, const char *name)
{
    return sv_str_ends(sv_str_of(name), "rotary_emb.inv_freq") || (o->gguf && strcmp(name, "rope_freqs.weight") == 0);
}

static sv_err refuse_extra(const sv_model_own *o, const sv_tensors *t, const bool *used)
{
    size_t first = t->n, n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (!used[i] && !is_ignored(o, t->item[i].name)) {
            first = n++ ? first : i;
        }
    if (n == 0)
        return SV_OK;
    return sv_fail(SV_E_FORMAT,
                   "tensor %s in %s belongs to no weight of a %s model of %u layers (%zu such tensors); run `samsvar "
                   "inspect %s` to see them all",
                   quote(t->item[first].name), t->item[first].file, o->m.config.family->model_type, o->m.config.n_layer,
                   n, o->m.path);
}

/* The vector in a narrower type again, where that is exact. */
static void restore_vector(sv_model_own *o, sv_dtype was, sv_stored *s)
{
    const float *wide = s->data;
    uint64_t n = s->bytes / sizeof(float);
    uint8_t *narrow = sv_arena_new(o->m.arena, n * 2);
    for (uint64_t i = 0; i < n; i++) {
        float back;
        sv_dtype_quant_block(was, &wide[i], narrow + 2 * i);
        sv_dtype_dequant_block(was, narrow + 2 * i, &back);
        if (sv_f32_bits(back) != sv_f32_bits(wide[i]))
            return;
    }
    *s = (sv_stored){ was, narrow, n * 2 };
}

/* samsvar.source.dtypes says what a vector was before GGUF made it F32: stored so again, hash and saved folder are the
 * source's. */
static void restore_vectors(sv_model_own *o, const sv_gguf_value *dtypes)
{
    const sv_config *c = &o->m.config;
    sv_map *set = sv_map_make(dtypes->n);
    for (uint64_t i = 0; i < dtypes->n; i++)
        sv_map_put(set, dtypes->at.s[i], 0);
    for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
        bool vector = (c->family->weight[id % c->family->n_weight].flags & SV_W_VECTOR) != 0;
        if (!vector || !o->stored[id].data || o->stored[id].dtype != SV_DT_F32)
            continue;
        const char *name = sv_weight_name(c, id, false, o->m.arena);
        if (sv_map_get(set, sv_str_of(sv_arena_printf(o->m.arena, "%s=BF16", name)), NULL))
            restore_vector(o, SV_DT_BF16, &o->stored[id]);
        else if (sv_map_get(set, sv_str_of(sv_arena_printf(o->m.arena, "%s=F16", name)), NULL))
            restore_vector(o, SV_DT_F16, &o->stored[id]);
    }
    sv_map_drop(set);
}

static sv_err missing(const sv_model_own *o, const char *name)
{
    return sv_fail(
        SV_E_FORMAT,
        "%s: tensor %s is missing, a %s model of %u layers needs it; the copy is incomplete or the config is "
        "another model's; run `samsvar inspect %s` to see what is there",
        o->m.path, quote(name), o->m.config.family->model_type, o->m.config.n_layer, o->m.path);
}

static sv_err bind_all(sv_model_own *o, const sv_tensors *t, bool *used, sv_arena *names)
{
    const sv_config *c = &o->m.config;
    for (int aliases = 0; aliases < 2; aliases++) /* first what others are tied to */
        for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
            if (!sv_weight_exists(c, id) || sv_weight_is_alias(c, id) != (aliases == 1))
                continue;
            const char *name = sv_weight_name(c, id, o->gguf != NULL, names);
            const sv_named_tensor *item = sv_tensors_find(t, name);
            if (item)
                used[item - t->item] = true;
            if (aliases)
                SV_TRY(bind_alias(o, t, item, id));
            else
                SV_TRY(item ? bind_one(o, item, id) : missing(o, name));
        }
    return refuse_extra(o, t, used);
}

sv_err sv_model_bind(sv_model_own *o, const sv_tensors *t, const sv_gguf_value *dtypes)
{
    uint32_t n = sv_weight_ids(&o->m.config);
    o->m.shape = SV_NEW_N(o->m.arena, sv_tensor, n);
    o->m.data = SV_NEW_N(o->m.arena, const void *, n);
    o->stored = SV_NEW_N(o->m.arena, sv_stored, n);
    sv_arena *names = sv_arena_make();
    sv_err e = bind_all(o, t, SV_NEW_N(names, bool, t->n ? t->n : 1), names);
    sv_arena_drop(names);
    SV_TRY(e);
    SV_TRY(check_finite(t));
    if (dtypes && dtypes->is_array && dtypes->type == SV_GGUF_STRING)
        restore_vectors(o, dtypes);
    return SV_OK;
}
