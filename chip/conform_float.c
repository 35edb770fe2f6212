/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite's float environment: each probe is one call whose answer tells one thing about the arithmetic,
 * so that a wrong build flag is named before hundreds of cases fail. Law: docs/arithmetic.md, basics and build rules.
 */
#include <string.h>

#include "chip/conform_suite.h"
#include "num/bits.h"
#include "num/philox.h"

static float *items(const sv_tensor *t)
{
    return sv_tensor_host(t);
}

static sv_tensor matrix(uint32_t n, uint32_t m)
{
    return sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ n, m });
}

/* A float with a random mantissa in [1, 2). */
static float mantissa(uint32_t i)
{
    sv_philox w = sv_philox_at(17, SV_STREAM_TEST, 0, 0, i);
    return sv_bits_f32(0x3f800000u | w.w[0] >> 9);
}

/* a = [x y rounded, x], b = [-1, y]: one rounding per fma leaves the rounding error of x y; a product that is rounded
 * first leaves 0. */
static void data_fma(const sv_trial *t, sv_tensor *in, sv_tensor *out)
{
    (void)t;
    (void)out;
    float *a = items(&in[0]), *b = items(&in[1]), y = mantissa(9999);
    for (uint32_t m = 0; m < in[0].dim[0]; m++) {
        float x = mantissa(m), p = x * y;
        a[2 * m] = p;
        a[2 * m + 1] = x;
    }
    for (uint32_t n = 0; n < in[1].dim[0]; n++) {
        b[2 * n] = -1.0f;
        b[2 * n + 1] = y;
    }
}

/* x, cos and sin all v: v v - v v is 0 when each product is rounded, and v v's rounding error when one is not. */
static void data_contract(const sv_trial *t, sv_tensor *in, sv_tensor *out)
{
    (void)t;
    (void)out;
    float v = mantissa(1);
    for (uint64_t i = 0; i < sv_tensor_items(&in[0]); i++)
        items(&in[0])[i] = v;
    memset(items(&in[1]), 0, sv_tensor_items(&in[1]) * 4);
    for (uint64_t i = 0; i < sv_tensor_items(&in[2]); i++)
        items(&in[2])[i] = v;
}

/* Operands below the least normal, and operands whose sum, difference, product or half is. */
static void data_subnormal(const sv_trial *t, sv_tensor *in, sv_tensor *out)
{
    (void)out;
    for (uint32_t k = 0; k < t->c->n_in; k++)
        for (uint64_t i = 0; i < sv_tensor_items(&in[k]); i++) {
            sv_philox w = sv_philox_at(23, SV_STREAM_TEST, k, 0, (uint32_t)i);
            uint32_t sign = w.w[1] & 0x80000000u, m = w.w[0] & 0x7fffffu;
            if (t->op == SV_OP_mul || t->op == SV_OP_matmul) /* around 2^-60 to 2^-75: products are subnormal */
                items(&in[k])[i] = sv_bits_f32(sign | (52u + w.w[2] % 16u) << 23 | m);
            else
                items(&in[k])[i] = sv_bits_f32(sign | (w.w[2] % 3u) << 23 | m);
        }
}

/* Rows of one item: y = x (1 / sqrt(x x + eps)). */
static void data_root(const sv_trial *t, sv_tensor *in, sv_tensor *out)
{
    (void)t;
    (void)out;
    for (uint32_t i = 0; i < in[0].dim[0]; i++) {
        float x = mantissa(i + 4096) * (i % 2 ? 1.0f : 1.41421356f);
        items(&in[0])[i] = x;
    }
    items(&in[1])[0] = 1.0f;
}

/* Every n-th float as the gate, 1 as the other factor: exp, one addition, one division. */
static void data_sweep(const sv_trial *t, sv_tensor *in, sv_tensor *out)
{
    (void)out;
    uint64_t n = sv_tensor_items(&in[0]);
    for (uint64_t i = 0; i < n; i++) {
        items(&in[0])[i] = sv_bits_f32((uint32_t)i * t->c->fill_arg[0]);
        items(&in[1])[i] = 1.0f;
    }
}

static sv_err probe(sv_suite *s, sv_op op, const char *what, const sv_case *c,
                    void (*data)(const sv_trial *t, sv_tensor *in, sv_tensor *out))
{
    sv_trial t = { .op = op, .c = c, .index = UINT32_MAX, .what = what, .kind = SV_DATA_NORMAL, .data = data };
    return sv_suite_compare(s, &t);
}

static sv_err probe_subnormals(sv_suite *s)
{
    sv_case add = { .n_in = 2, .n_out = 1, .in = { matrix(4, 1024), matrix(4, 1024) }, .what = "subnormals" };
    SV_TRY(probe(s, SV_OP_add, "subnormal numbers are kept", &add, data_subnormal));
    SV_TRY(probe(s, SV_OP_mul, "subnormal numbers are kept", &add, data_subnormal));
    sv_case half = { .n_in = 1, .n_out = 1, .in = { matrix(4, 1024) }, .what = "subnormals", .has_attr = true };
    half.attr.scale.factor = 0.5f;
    SV_TRY(probe(s, SV_OP_scale, "subnormal numbers are kept", &half, data_subnormal));
    sv_case dot = {
        .n_in = 2, .n_out = 1, .in = { matrix(7, 33), matrix(31, 33) }, .what = "subnormals", .has_attr = true
    };
    dot.attr.matmul.layout = SV_NT;
    return probe(s, SV_OP_matmul, "subnormal numbers are kept", &dot, data_subnormal);
}

sv_err sv_suite_float(sv_suite *s)
{
    sv_case fma = { .n_in = 2, .n_out = 1, .in = { matrix(64, 2), matrix(17, 2) }, .what = "K 2", .has_attr = true };
    fma.attr.matmul.layout = SV_NT;
    SV_TRY(probe(s, SV_OP_matmul, "fma rounds once", &fma, data_fma));
    sv_case rope = { .n_in = 3, .n_out = 1, .what = "all equal", .has_attr = true };
    rope.in[0] = matrix(3, 16);
    rope.in[1] = sv_tensor_make(SV_DT_I32, 1, (uint32_t[]){ 3 });
    rope.in[2] = matrix(1, 16);
    rope.attr.rope = (sv_attr_rope){ .d_head = 16, .scale = 1.0f };
    SV_TRY(probe(s, SV_OP_rope, "a b + c is not contracted", &rope, data_contract));
    SV_TRY(probe_subnormals(s));
    sv_case root = { .n_in = 2, .n_out = 1, .in = { matrix(4096, 1) }, .what = "rows of 1", .has_attr = true };
    root.in[1] = sv_tensor_make(SV_DT_F32, 1, (uint32_t[]){ 1 });
    SV_TRY(probe(s, SV_OP_rmsnorm, "division and root are rounded correctly", &root, data_root));
    uint32_t rows = s->opts->quick ? 64 : 1024;
    sv_case sweep = {
        .n_in = 2, .n_out = 1, .in = { matrix(rows, 1024), matrix(rows, 1024) }, .what = "sweep of all floats"
    };
    sweep.fill_arg[0] = s->opts->quick ? 65537 : 4099;
    return probe(s, SV_OP_swiglu, "the elementary functions", &sweep, data_sweep);
}
