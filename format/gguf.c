/* SPDX-License-Identifier: Apache-2.0
 * GGUF's numbers of types, rules for names, and typed access to metadata.
 */
#include "format/gguf.h"

#include <string.h>

#include "base/check.h"
#include "format/gguf_impl.h"

static const char *const type_names[SV_GGUF_TYPE_COUNT] = { "u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                                            "bool", "text", "array", "u64", "i64", "f64" };

uint32_t sv_gguf_type_bytes(sv_gguf_type t)
{
    static const uint8_t bytes[SV_GGUF_TYPE_COUNT] = { 1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8 };
    return bytes[t];
}

const char *sv_gguf_type_name(uint32_t t)
{
    return t < SV_GGUF_TYPE_COUNT ? type_names[t] : "unknown";
}

/* ---- item types; the numbers are ggml's ---- */

typedef struct type_row {
    uint8_t number;
    uint8_t dtype; /* sv_dtype; SV_DTYPE_COUNT: known by name only */
    const char *name;
} type_row;

#define NOT_READ SV_DTYPE_COUNT
static const type_row type_table[] = {
    { 0, SV_DT_F32, "F32" },     { 1, SV_DT_F16, "F16" },    { 2, SV_DT_Q4_0, "Q4_0" },   { 3, SV_DT_Q4_1, "Q4_1" },
    { 6, SV_DT_Q5_0, "Q5_0" },   { 7, SV_DT_Q5_1, "Q5_1" },  { 8, SV_DT_Q8_0, "Q8_0" },   { 9, NOT_READ, "Q8_1" },
    { 10, NOT_READ, "Q2_K" },    { 11, NOT_READ, "Q3_K" },   { 12, SV_DT_Q4_K, "Q4_K" },  { 13, SV_DT_Q5_K, "Q5_K" },
    { 14, SV_DT_Q6_K, "Q6_K" },  { 15, NOT_READ, "Q8_K" },   { 16, NOT_READ, "IQ2_XXS" }, { 17, NOT_READ, "IQ2_XS" },
    { 18, NOT_READ, "IQ3_XXS" }, { 19, NOT_READ, "IQ1_S" },  { 20, NOT_READ, "IQ4_NL" },  { 21, NOT_READ, "IQ3_S" },
    { 22, NOT_READ, "IQ2_S" },   { 23, NOT_READ, "IQ4_XS" }, { 24, NOT_READ, "I8" },      { 25, NOT_READ, "I16" },
    { 26, NOT_READ, "I32" },     { 27, NOT_READ, "I64" },    { 28, NOT_READ, "F64" },     { 29, NOT_READ, "IQ1_M" },
    { 30, SV_DT_BF16, "BF16" },  { 34, NOT_READ, "TQ1_0" },  { 35, NOT_READ, "TQ2_0" },   { 39, NOT_READ, "MXFP4" },
    { 40, NOT_READ, "NVFP4" },   { 41, NOT_READ, "Q1_0" },
};

bool sv_gguf_number_of(sv_dtype t, uint32_t *out)
{
    for (size_t i = 0; i < sizeof type_table / sizeof *type_table; i++)
        if (type_table[i].dtype == t && t < NOT_READ) {
            *out = type_table[i].number;
            return true;
        }
    return false;
}

sv_err sv_gguf_dtype_of(uint32_t number, const char *tensor, sv_dtype *out)
{
    const char *name = "of no known name";
    for (size_t i = 0; i < sizeof type_table / sizeof *type_table; i++)
        if (type_table[i].number == number) {
            name = type_table[i].name;
            if (type_table[i].dtype == NOT_READ)
                break;
            *out = (sv_dtype)type_table[i].dtype;
            return SV_OK;
        }
    return sv_fail(SV_E_UNSUPPORTED,
                   "tensor %s: item type %s (%u) is not read; take a file in F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, "
                   "Q5_1, Q4_K, Q5_K or Q6_K",
                   sv_str_quote(sv_str_of(tensor)), name, number);
}

/* ---- rules ---- */

sv_err sv_gguf_check_key(sv_str key)
{
    if (key.n == 0 || key.n > SV_GGUF_MAX_KEY)
        return sv_fail(SV_E_LIMIT, "a key of %zu bytes; 1 to %u are allowed", key.n, SV_GGUF_MAX_KEY);
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] < 0x20 || key.p[i] > 0x7e)
            return sv_fail(SV_E_FORMAT, "key %s: byte %zu is not printable ASCII", sv_str_quote(key), i);
    return SV_OK;
}

sv_err sv_gguf_check_name(sv_str name)
{
    if (name.n == 0 || name.n > SV_GGUF_MAX_NAME)
        return sv_fail(SV_E_LIMIT, "tensor %s: a name of %zu bytes; 1 to %u are allowed", sv_str_quote(name), name.n,
                       SV_GGUF_MAX_NAME);
    if (memchr(name.p, 0, name.n) || !sv_utf8_valid(name.p, name.n, NULL))
        return sv_fail(SV_E_FORMAT, "tensor %s: the name is not UTF-8 without NUL", sv_str_quote(name));
    return SV_OK;
}

bool sv_gguf_align_ok(uint64_t a)
{
    return a >= SV_GGUF_MIN_ALIGN && a <= SV_GGUF_MAX_ALIGN && (a & (a - 1)) == 0;
}

bool sv_gguf_align_up(uint64_t at, uint64_t alignment, uint64_t *out)
{
    uint64_t v;
    if (!sv_add_u64(at, alignment - 1, &v))
        return false;
    *out = v & ~(alignment - 1);
    return true;
}

uint64_t sv_gguf_max_text(const char *key)
{
    return strcmp(key, "tokenizer.huggingface.json") == 0 ? SV_GGUF_MAX_TOKENIZER : SV_GGUF_MAX_TEXT;
}

/* ---- typed access ---- */

const sv_gguf_value *sv_gguf_find(const sv_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_value; i++)
        if (strcmp(g->value[i].key, key) == 0)
            return &g->value[i];
    return NULL;
}

/* The plain value under a key, or NULL when it is missing and may be. */
static sv_err find_plain(const sv_gguf *g, const char *key, bool need, const char *want, const sv_gguf_value **out)
{
    *out = sv_gguf_find(g, key);
    if (!*out && need)
        return sv_fail(SV_E_FORMAT, "the key %s is missing; without it the file cannot be used", key);
    if (*out && (*out)->is_array)
        return sv_fail(SV_E_FORMAT, "key %s: an array of %llu %s, but %s is needed", key, (unsigned long long)(*out)->n,
                       sv_gguf_type_name((*out)->type), want);
    return SV_OK;
}

static sv_err wrong_type(const sv_gguf_value *v, const char *want)
{
    return sv_fail(SV_E_FORMAT, "key %s: a value of type %s, but %s is needed", v->key, sv_gguf_type_name(v->type),
                   want);
}

sv_err sv_gguf_u32(const sv_gguf *g, const char *key, bool need, uint32_t *out)
{
    static const char want[] = "a whole number from 0 to 4294967295";
    const sv_gguf_value *v;
    SV_TRY(find_plain(g, key, need, want, &v));
    if (!v)
        return SV_OK;
    switch (v->type) {
    case SV_GGUF_U8:
    case SV_GGUF_U16:
    case SV_GGUF_U32:
    case SV_GGUF_U64:
        if (v->at.u[0] > UINT32_MAX)
            return sv_fail(SV_E_FORMAT, "key %s: %llu, but %s is needed", key, (unsigned long long)v->at.u[0], want);
        *out = (uint32_t)v->at.u[0];
        return SV_OK;
    case SV_GGUF_I8:
    case SV_GGUF_I16:
    case SV_GGUF_I32:
    case SV_GGUF_I64:
        if (v->at.i[0] < 0 || v->at.i[0] > (int64_t)UINT32_MAX)
            return sv_fail(SV_E_FORMAT, "key %s: %lld, but %s is needed", key, (long long)v->at.i[0], want);
        *out = (uint32_t)v->at.i[0];
        return SV_OK;
    default:
        return wrong_type(v, want);
    }
}

sv_err sv_gguf_f64(const sv_gguf *g, const char *key, bool need, double *out)
{
    const sv_gguf_value *v;
    SV_TRY(find_plain(g, key, need, "a number (f32)", &v));
    if (!v)
        return SV_OK;
    if (v->type != SV_GGUF_F32 && v->type != SV_GGUF_F64)
        return wrong_type(v, "a number (f32)");
    if (!(v->at.f[0] - v->at.f[0] == 0.0))
        return sv_fail(SV_E_FORMAT, "key %s: inf or NaN, but a number is needed", key);
    *out = v->at.f[0];
    return SV_OK;
}

sv_err sv_gguf_bool(const sv_gguf *g, const char *key, bool need, bool *out)
{
    const sv_gguf_value *v;
    SV_TRY(find_plain(g, key, need, "a bool", &v));
    if (!v)
        return SV_OK;
    if (v->type != SV_GGUF_BOOL)
        return wrong_type(v, "a bool");
    *out = v->at.u[0] != 0;
    return SV_OK;
}

sv_err sv_gguf_text(const sv_gguf *g, const char *key, bool need, sv_str *out)
{
    const sv_gguf_value *v;
    SV_TRY(find_plain(g, key, need, "a text", &v));
    if (!v)
        return SV_OK;
    if (v->type != SV_GGUF_STRING)
        return wrong_type(v, "a text");
    *out = v->at.s[0];
    return SV_OK;
}
