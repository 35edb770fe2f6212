/* SPDX-License-Identifier: Apache-2.0
 * A model as a Hugging Face folder. Each file is seen only when it is whole; the weights come first, so that a folder
 * with a config.json has them.
 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/thread.h"
#include "format/safetensors.h"
#include "model/save_impl.h"
#include "num/kblock.h"
#include "num/kquant.h"

#define MAX_THREAD 64u

/* ---- JSON as transformers writes it: keys in their order, two spaces; numbers the shortest that read back ---- */

static void write_indent(sv_bytes *out, int depth)
{
    sv_bytes_char(out, '\n');
    for (int i = 0; i < 2 * depth; i++)
        sv_bytes_char(out, ' ');
}

static void write_value(sv_bytes *out, const json_t *v, int depth);

static void write_object(sv_bytes *out, const json_t *v, int depth)
{
    const char *key, *comma = "";
    json_t *member;
    sv_bytes_char(out, '{');
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        sv_bytes_text(out, comma);
        write_indent(out, depth + 1);
        sv_json_quote(out, sv_str_of(key));
        sv_bytes_text(out, ": ");
        write_value(out, member, depth + 1);
        comma = ",";
    }
    if (*comma)
        write_indent(out, depth);
    sv_bytes_char(out, '}');
}

static void write_array(sv_bytes *out, const json_t *v, int depth)
{
    size_t i;
    json_t *item;
    sv_bytes_char(out, '[');
    json_array_foreach(v, i, item)
    {
        sv_bytes_text(out, i ? "," : "");
        write_indent(out, depth + 1);
        write_value(out, item, depth + 1);
    }
    if (json_array_size(v) > 0)
        write_indent(out, depth);
    sv_bytes_char(out, ']');
}

/* A real stays a real: 1.0, not 1. */
static void write_real(sv_bytes *out, double v)
{
    size_t at = out->n;
    sv_json_number(out, v);
    if (!strpbrk(out->p + at, ".en"))
        sv_bytes_text(out, ".0");
}

static void write_value(sv_bytes *out, const json_t *v, int depth)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        write_object(out, v, depth);
        return;
    case JSON_ARRAY:
        write_array(out, v, depth);
        return;
    case JSON_STRING:
        sv_json_quote(out, (sv_str){ json_string_value(v), json_string_length(v) });
        return;
    case JSON_INTEGER:
        sv_bytes_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return;
    case JSON_REAL:
        write_real(out, json_real_value(v));
        return;
    case JSON_TRUE:
        sv_bytes_text(out, "true");
        return;
    case JSON_FALSE:
        sv_bytes_text(out, "false");
        return;
    case JSON_NULL:
        break;
    }
    sv_bytes_text(out, "null");
}

void sv_json_write(sv_bytes *out, const json_t *v)
{
    write_value(out, v, 0);
    sv_bytes_char(out, '\n');
}

/* ---- weights in another type ---- */

static void drop_large(void *arg)
{
    const sv_str *b = arg;
    sv_mem_large_free((void *)(uintptr_t)b->p, b->n);
}

sv_err sv_weight_block(sv_arena *a, uint64_t bytes, void **out)
{
    sv_str *b = SV_NEW(a, sv_str);
    SV_TRY(sv_mem_large(bytes ? bytes : 1, "weights in the type to write", out));
    *b = (sv_str){ *out, bytes ? bytes : 1 };
    sv_arena_defer(a, drop_large, b);
    return SV_OK;
}

static bool is_inf(sv_dtype t, const uint8_t *item)
{
    uint16_t mask = t == SV_DT_F16 ? 0x7c00u : 0x7f80u;
    return (sv_load_u16(item) & mask) == mask;
}

/* One row; false: an item that the type cannot hold. */
static bool narrow_row(sv_dtype to, const float *x, uint64_t n, uint8_t *row)
{
    if (sv_dtype_is_k(to))
        return sv_kquant_row(to, x, n, row);
    if (!sv_dtype_quant_row(to, x, n, row))
        return false;
    for (uint64_t i = 0; (to == SV_DT_F16 || to == SV_DT_BF16) && i < n; i++)
        if (is_inf(to, row + 2 * i))
            return false;
    return true;
}

/* Rows that threads take by number; the answer does not depend on who took which. */
typedef struct narrow_job {
    const sv_stored *from;
    const float *other; /* rows in F32 instead, or NULL */
    sv_dtype to;
    uint8_t *out;
    uint64_t n_row, n_col;
    uint64_t next, bad; /* atomic: the next row; the lowest that the type cannot hold, n_row: none */
} narrow_job;

static void narrow_rows(void *arg)
{
    narrow_job *j = arg;
    const uint64_t row_bytes = sv_dtype_row_bytes(j->to, j->n_col), from_bytes = j->from->bytes / j->n_row;
    float *wide = sv_mem_new(j->n_col * sizeof *wide);
    for (;;) {
        uint64_t r = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
        if (r >= j->n_row)
            break;
        const float *x = j->other ? j->other + r * j->n_col : wide;
        if (!j->other)
            sv_widen(j->from->dtype, (const uint8_t *)j->from->data + r * from_bytes, 1, j->n_col, wide);
        if (narrow_row(j->to, x, j->n_col, j->out + r * row_bytes))
            continue;
        uint64_t bad = __atomic_load_n(&j->bad, __ATOMIC_RELAXED);
        while (r < bad && !__atomic_compare_exchange_n(&j->bad, &bad, r, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
    sv_mem_free(wide);
}

/* Block types are searched for, which is worth threads; others are as fast as memory. */
static void narrow_all(narrow_job *j)
{
    sv_thread *thread[MAX_THREAD];
    uint32_t want = sv_dtype_is_block(j->to) ? sv_thread_cores() : 1, n = 0;
    want = want > MAX_THREAD ? MAX_THREAD : want;
    while (n + 1 < want && sv_thread_start("sv-narrow", narrow_rows, j, &thread[n]) == SV_OK)
        n++;
    narrow_rows(j);
    for (uint32_t i = 0; i < n; i++)
        sv_thread_join(thread[i]);
}

sv_err sv_weight_convert(const sv_model *m, uint32_t id, const float *other, sv_dtype to, sv_arena *a,
                         sv_named_tensor *t)
{
    const sv_stored *from = &sv_model_own_of(m)->stored[id];
    const sv_tensor *shape = &m->shape[id];
    uint64_t n_col = shape->dim[shape->n_dim - 1], n_row = sv_tensor_items(shape) / n_col;
    void *out;
    t->dtype = to;
    t->bytes = n_row * sv_dtype_row_bytes(to, n_col);
    if (!other && to == from->dtype) {
        t->data = from->data;
        return SV_OK;
    }
    if (other && to == SV_DT_F32) {
        t->data = (const uint8_t *)other;
        return SV_OK;
    }
    SV_TRY(sv_weight_block(a, t->bytes, &out));
    t->data = out;
    narrow_job j = { .from = from, .other = other, .to = to, .out = out, .n_row = n_row, .n_col = n_col, .bad = n_row };
    narrow_all(&j);
    if (j.bad == n_row)
        return SV_OK;
    return sv_fail(SV_E_DTYPE, "tensor %s: row %llu has a value that %s cannot hold; write BF16 or F32 instead",
                   sv_str_quote(sv_str_of(t->name)), (unsigned long long)j.bad, sv_dtype_name(to));
}

void sv_weight_dims(const sv_tensor *shape, sv_named_tensor *t)
{
    t->n_dim = shape->n_dim;
    for (uint32_t i = 0; i < shape->n_dim; i++)
        t->dim[i] = shape->dim[i];
}

/* ---- the folder ---- */

/* The type a folder holds a weight in. */
static sv_dtype folder_dtype(const sv_model *m, uint32_t id, sv_dtype asked)
{
    sv_dtype own = sv_model_own_of(m)->stored[id].dtype;
    uint32_t flags = m->config.family->weight[id % m->config.family->n_weight].flags;
    if (asked != SV_DTYPE_COUNT && !(flags & SV_W_VECTOR))
        return asked;
    return sv_dtype_is_float(own) ? own : SV_DT_F32;
}

static sv_err save_weights(const sv_model *m, const char *dir, const float *const *weight, sv_dtype dtype, sv_arena *a)
{
    uint32_t n_id = sv_weight_ids(&m->config), n = 0;
    sv_named_tensor *item = SV_NEW_N(a, sv_named_tensor, n_id);
    for (uint32_t id = 0; id < n_id; id++) {
        if (!m->data[id])
            continue;
        sv_named_tensor *t = &item[n++];
        t->name = sv_weight_name(&m->config, id, false, a);
        sv_weight_dims(&m->shape[id], t);
        SV_TRY(sv_weight_convert(m, id, weight ? weight[id] : NULL, folder_dtype(m, id, dtype), a, t));
    }
    return sv_safetensors_write(dir, "model", item, n, 0);
}

static sv_err write_text(const char *dir, const char *name, sv_str text, sv_arena *a)
{
    return sv_file_write(sv_path_join(a, dir, name), text);
}

static sv_err write_json(const char *dir, const char *name, const json_t *j, sv_arena *a)
{
    sv_bytes b = { 0 };
    sv_json_write(&b, j);
    sv_err e = write_text(dir, name, (sv_str){ b.p, b.n }, a);
    sv_bytes_done(&b);
    return e;
}

/* The type of the first matrix, which config.json names for readers that load all in one type. */
static const char *main_dtype(const sv_model *m, sv_dtype asked)
{
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        if (m->data[id] && m->shape[id].n_dim == 2) {
            sv_dtype t = folder_dtype(m, id, asked);
            return t == SV_DT_F32 ? "float32" : t == SV_DT_F16 ? "float16" : "bfloat16";
        }
    return "float32";
}

static sv_err save_config(const sv_model *m, const char *dir, sv_dtype dtype, sv_arena *a)
{
    json_t *j = json_copy((json_t *)(uintptr_t)m->hf_config);
    const char *key = sv_json_get(j, "dtype") ? "dtype" : "torch_dtype";
    json_object_set_new(j, key, json_string(main_dtype(m, dtype)));
    sv_err e = write_json(dir, "config.json", j, a);
    json_decref(j);
    return e;
}

static sv_err save_all(const sv_model *m, const char *dir, const float *const *weight, sv_dtype dtype, sv_arena *a)
{
    const sv_model_own *o = sv_model_own_of(m);
    SV_TRY(sv_file_mkdir(dir));
    SV_TRY(save_weights(m, dir, weight, dtype, a));
    if (m->tokenizer)
        SV_TRY(write_text(dir, "tokenizer.json", sv_tokenizer_json(m->tokenizer), a));
    if (m->hf_tokenizer_config)
        SV_TRY(write_json(dir, "tokenizer_config.json", m->hf_tokenizer_config, a));
    if (o->template_text.p && !o->template_is_in_config)
        SV_TRY(write_text(dir, "chat_template.jinja", o->template_text, a));
    if (m->hf_generation)
        SV_TRY(write_json(dir, "generation_config.json", m->hf_generation, a));
    return save_config(m, dir, dtype, a);
}

sv_err sv_model_save(const sv_model *m, const char *dir, const float *const *weight, sv_dtype dtype)
{
    if (dtype != SV_DTYPE_COUNT && !sv_dtype_is_float(dtype))
        return sv_fail(SV_E_ARG, "%s: a folder holds F32, BF16 or F16, not %s; write a .gguf file for block types", dir,
                       sv_dtype_name(dtype));
    sv_arena *a = sv_arena_make();
    sv_err e = save_all(m, dir, weight, dtype, a);
    sv_arena_drop(a);
    return e;
}
