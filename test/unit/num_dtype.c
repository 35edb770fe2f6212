/* SPDX-License-Identifier: Apache-2.0
 * Item types: exact widening, one rounding, block formulas against the format's own tool.
 */
#include "num/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sha.h"

static const char *sha16(const void *p, size_t n)
{
    static char hex[65];
    uint8_t sum[32];
    sv_sha_of(p, n, sum);
    sv_sha_hex(sum, hex);
    hex[16] = '\0';
    return hex;
}

/* ---- widening and narrowing ---- */

static double f16_by_definition(uint32_t h)
{
    int e = (int)(h >> 10 & 31u), m = (int)(h & 1023u);
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000u ? -v : v;
}

static void test_f16_widens_to_its_definition_and_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = sv_f16_widen((uint16_t)h);
        if ((h & 0x7c00u) != 0x7c00u) {
            double want = f16_by_definition(h);
            assert_memory_equal(&(double){ (double)x }, &want, sizeof want);
            assert_int_equal(sv_f16_narrow(x), h);
        } else if (h & 0x3ffu) {
            assert_true(isnan(x));
            assert_int_equal(sv_f16_narrow(x), h | 0x200u);
        } else {
            assert_int_equal(sv_f32_bits(x), (h & 0x8000u) << 16 | 0x7f800000u);
            assert_int_equal(sv_f16_narrow(x), h);
        }
    }
}

/* Between neighbours a < b: below the middle a, above it b, the middle to the even one. */
static void check_middle(float mid, uint16_t lo, uint16_t hi, uint16_t (*narrow)(float))
{
    uint16_t even = lo & 1u ? hi : lo;
    assert_int_equal(narrow(mid), even);
    assert_int_equal(narrow(nextafterf(mid, 0.0f)), lo);
    assert_int_equal(narrow(nextafterf(mid, INFINITY)), hi);
    assert_int_equal(narrow(-mid), even | 0x8000u);
    assert_int_equal(narrow(-nextafterf(mid, 0.0f)), lo | 0x8000u);
    assert_int_equal(narrow(-nextafterf(mid, INFINITY)), hi | 0x8000u);
}

static void test_f16_narrows_to_nearest_even_at_every_middle(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7bffu; h++)
        check_middle((float)((f16_by_definition(h) + f16_by_definition(h + 1u)) / 2.0), h, (uint16_t)(h + 1u),
                     sv_f16_narrow);
    check_middle(65520.0f, 0x7bff, 0x7c00, sv_f16_narrow);
    assert_int_equal(sv_f16_narrow(1e30f), 0x7c00);
    assert_int_equal(sv_f16_narrow(-INFINITY), 0xfc00);
    assert_int_equal(sv_f16_narrow(1e-40f), 0);
    assert_int_equal(sv_f16_narrow(-0.0f), 0x8000);
}

static void test_bf16_widens_and_narrows_to_nearest_even_at_every_middle(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = sv_bf16_widen((uint16_t)h);
        assert_int_equal(sv_f32_bits(x), h << 16);
        assert_int_equal(sv_bf16_narrow(x), isnan(x) ? h | 0x40u : h);
    }
    for (uint32_t h = 0; h < 0x7f80u; h++)
        check_middle(sv_f32_of_bits(h << 16 | 0x8000u), (uint16_t)h, (uint16_t)(h + 1u), sv_bf16_narrow);
    assert_int_equal(sv_bf16_narrow(sv_f32_of_bits(0x7f800001u)), 0x7fc0); /* not to inf */
    assert_int_equal(sv_bf16_narrow(sv_f32_of_bits(0xffffffffu)), 0xffff); /* no wrap */
}

/* ---- blocks ---- */

typedef struct vector_row {
    sv_dtype t;
    const char *sha;
    float w0, w1, w16, last;
} vector_row;

/* Serving formats 2.4: byte k = (37 k + 11) mod 256, then d = 0.0625 and the second f16 = 0.03125. */
static const vector_row vectors[] = {
    { SV_DT_Q8_0, "b81bd787709d805a", 5.3125f, 7.625f, -5.6875f, -3.0f },
    { SV_DT_Q4_0, "3d11b025a12ae353", -0.1875f, 0.125f, -0.1875f, 0.0f },
    { SV_DT_Q4_1, "8b7ce97b52a7979e", 0.96875f, 0.28125f, 0.59375f, 0.78125f },
    { SV_DT_Q5_0, "60e356cfcbcb3152", 0.5625f, -0.125f, 0.875f, 0.0625f },
    { SV_DT_Q5_1, "37da882411660037", 1.21875f, 1.53125f, 1.21875f, 0.34375f },
    { SV_DT_Q4_K, "4f3987f514b163ce", 19.71875f, -1.59375f, 19.71875f, 3.03125f },
    { SV_DT_Q5_K, "ae3c5b2b2c7bd4a1", 50.71875f, -1.59375f, 50.71875f, 6.78125f },
    { SV_DT_Q6_K, "32858e62a6851bc8", -89.4375f, 106.0f, -27.0f, -3.75f },
};

static bool has_second(sv_dtype t)
{
    return t == SV_DT_Q4_1 || t == SV_DT_Q5_1 || t == SV_DT_Q4_K || t == SV_DT_Q5_K;
}

static void make_block(sv_dtype t, uint8_t *b)
{
    for (uint32_t k = 0; k < sv_dtype_block_bytes(t); k++)
        b[k] = (uint8_t)(37u * k + 11u);
    uint8_t *d = t == SV_DT_Q6_K ? b + 208 : b;
    sv_store_u16(d, 0x2c00);
    if (has_second(t))
        sv_store_u16(d + 2, 0x2800);
}

static void test_every_block_type_gives_the_bits_of_the_formats_own_tool(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t b[256];
        float w[SV_DTYPE_MAX_BLOCK_ITEMS];
        uint32_t n = sv_dtype_block_items(vectors[i].t);
        make_block(vectors[i].t, b);
        assert_true(sv_dtype_dequant_block(vectors[i].t, b, w));
        assert_string_equal(sha16(w, n * sizeof *w), vectors[i].sha);
        assert_true(w[0] == vectors[i].w0 && w[1] == vectors[i].w1 && w[16] == vectors[i].w16 &&
                    w[n - 1] == vectors[i].last);
    }
}

static void test_first_blocks_of_the_real_model_are_as_published(void **state)
{
    (void)state;
    static const uint8_t q4_1[20] = { 0x49, 0x31, 0xe8, 0xbd, 0xb8, 0xdb, 0x96, 0x87, 0xa9, 0x8a,
                                      0xba, 0x9c, 0x9d, 0xfa, 0x9a, 0xa0, 0x99, 0x7a, 0xa8, 0xaa };
    float w[32];
    assert_true(sv_dtype_dequant_block(SV_DT_Q4_1, q4_1, w));
    assert_true(w[0] == -0.15527344f && w[1] == 0.34020996f && w[2] == -0.4855957f);
}

static void test_floats_and_activations_dequantise_and_integers_do_not(void **state)
{
    (void)state;
    uint8_t b[40] = { 0 };
    float w[32] = { 0 };
    sv_store_u32(b, 0x3fc00000);
    assert_true(sv_dtype_dequant_block(SV_DT_F32, b, w) && w[0] == 1.5f);
    sv_store_u16(b, 0x3fc0);
    assert_true(sv_dtype_dequant_block(SV_DT_BF16, b, w) && w[0] == 1.5f);
    sv_store_u16(b, 0x3e00);
    assert_true(sv_dtype_dequant_block(SV_DT_F16, b, w) && w[0] == 1.5f);
    sv_store_u32(b, 0x3f000000);
    b[8] = 0x81;
    b[39] = 127;
    assert_true(sv_dtype_dequant_block(SV_DT_Q8X, b, w) && w[0] == -63.5f && w[31] == 63.5f);
    assert_false(sv_dtype_dequant_block(SV_DT_I32, b, w));
    assert_false(sv_dtype_dequant_block(SV_DT_BOOL, b, w));
    assert_false(sv_dtype_dequant_row(SV_DT_Q8_0, b, 31, w));
}

static void test_quantised_files_are_byte_equal_with_the_formats_own_tool(void **state)
{
    (void)state;
    enum { N = 4096 * 32 };
    static const struct {
        sv_dtype t;
        const char *sha;
    } row[] = { { SV_DT_Q8_0, "75e25b55a5f7bb7c" },
                { SV_DT_Q4_0, "95ba033242cae8fd" },
                { SV_DT_Q4_1, "316bba5d1c378bec" } };
    float *x = malloc(N * sizeof *x);
    uint8_t *b = malloc(N / 32 * 34);
    uint32_t s = 12345;
    for (int i = 0; i < N; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = i < 32 ? 0.0f : i < 64 ? 3.0f : ldexpf((float)((int)(s >> 8) - (1 << 23)), i / 32 % 24 - 36);
    }
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_true(sv_dtype_quant_row(row[i].t, x, N, b));
        assert_string_equal(sha16(b, sv_dtype_row_bytes(row[i].t, N)), row[i].sha);
    }
    free(b);
    free(x);
}

static void test_what_f16_scales_cannot_hold_is_refused(void **state)
{
    (void)state;
    static const sv_dtype t[] = { SV_DT_Q8_0, SV_DT_Q4_0, SV_DT_Q4_1 };
    static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY, 3e38f, -3e38f };
    uint8_t b[210]; /* the largest block, so that the compiler sees no type that would not fit */
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 6; j++)
            for (int at = 0; at < 32; at += 31) {
                float x[32] = { 1.0f };
                x[at] = bad[j];
                assert_false(sv_dtype_quant_block(t[i], x, b));
            }
    float tiny[32] = { 1e-45f, -1e-45f }; /* 1/d is inf: code 0, scale 0 */
    for (size_t i = 0; i < 3; i++) {
        float w[32];
        assert_true(sv_dtype_quant_block(t[i], tiny, b));
        assert_true(sv_dtype_dequant_block(t[i], b, w) && w[0] == 0.0f && w[31] == 0.0f);
    }
    assert_false(sv_dtype_quant_block(SV_DT_Q4_K, tiny, b));
    assert_false(sv_dtype_quant_row(SV_DT_Q8_0, tiny, 33, b));
}

static void test_float_blocks_are_narrowed_once(void **state)
{
    (void)state;
    float x = 1.00390625f; /* 1 + 2^-8: the middle of two bf16 */
    uint8_t b[4];
    assert_true(sv_dtype_quant_block(SV_DT_BF16, &x, b) && sv_load_u16(b) == 0x3f80);
    assert_true(sv_dtype_quant_block(SV_DT_F16, &x, b) && sv_load_u16(b) == 0x3c04);
    assert_true(sv_dtype_quant_block(SV_DT_F32, &x, b) && sv_load_u32(b) == sv_f32_bits(x));
}

static void test_scales_that_are_no_numbers_are_seen_in_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t b[256];
        sv_dtype t = vectors[i].t;
        make_block(t, b);
        assert_true(sv_dtype_scale_is_finite(t, b));
        sv_store_u16(t == SV_DT_Q6_K ? b + 208 : b, 0x7c00);
        assert_false(sv_dtype_scale_is_finite(t, b));
        make_block(t, b);
        if (has_second(t)) {
            sv_store_u16(b + 2, 0xfe01);
            assert_false(sv_dtype_scale_is_finite(t, b));
        }
    }
    assert_false(sv_dtype_scale_is_finite(SV_DT_Q8X, (const uint8_t[40]){ 0, 0, 0x80, 0x7f }));
    assert_true(sv_dtype_scale_is_finite(SV_DT_F16, (const uint8_t[2]){ 0, 0x7c })); /* no scale */
}

/* ---- sizes ---- */

static void test_row_bytes_are_whole_blocks_and_never_wrap(void **state)
{
    (void)state;
    assert_int_equal(sv_dtype_row_bytes(SV_DT_Q8_0, 0), 0);
    assert_int_equal(sv_dtype_row_bytes(SV_DT_Q8_0, 576), 576 / 32 * 34);
    assert_int_equal(sv_dtype_row_bytes(SV_DT_Q4_K, 512), 288);
    assert_true(sv_dtype_row_bytes(SV_DT_Q4_K, 511) == SV_DTYPE_BAD_BYTES);
    assert_true(sv_dtype_row_bytes(SV_DT_Q4_K, 513) == SV_DTYPE_BAD_BYTES);
    assert_true(sv_dtype_row_bytes(SV_DT_I64, UINT64_MAX / 8) == UINT64_MAX / 8 * 8);
    assert_true(sv_dtype_row_bytes(SV_DT_I64, UINT64_MAX / 8 + 1) == SV_DTYPE_BAD_BYTES);
    assert_true(sv_dtype_row_bytes(SV_DT_U8, UINT64_MAX - 1) == UINT64_MAX - 1);
    assert_true(sv_dtype_row_bytes(SV_DT_U8, UINT64_MAX) == SV_DTYPE_BAD_BYTES);
    assert_true(sv_dtype_row_bytes(SV_DTYPE_COUNT, 1) == SV_DTYPE_BAD_BYTES);
}

static void test_little_endian_numbers_are_read_back(void **state)
{
    (void)state;
    uint8_t b[8];
    sv_store_u64(b, UINT64_C(0x0102030405060708));
    assert_int_equal(b[0], 8);
    assert_int_equal(sv_load_u16(b), 0x0708);
    assert_int_equal(sv_load_u32(b), 0x05060708);
    assert_true(sv_load_u64(b) == UINT64_C(0x0102030405060708));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_widens_to_its_definition_and_back),
        cmocka_unit_test(test_f16_narrows_to_nearest_even_at_every_middle),
        cmocka_unit_test(test_bf16_widens_and_narrows_to_nearest_even_at_every_middle),
        cmocka_unit_test(test_every_block_type_gives_the_bits_of_the_formats_own_tool),
        cmocka_unit_test(test_first_blocks_of_the_real_model_are_as_published),
        cmocka_unit_test(test_floats_and_activations_dequantise_and_integers_do_not),
        cmocka_unit_test(test_quantised_files_are_byte_equal_with_the_formats_own_tool),
        cmocka_unit_test(test_what_f16_scales_cannot_hold_is_refused),
        cmocka_unit_test(test_float_blocks_are_narrowed_once),
        cmocka_unit_test(test_scales_that_are_no_numbers_are_seen_in_every_type),
        cmocka_unit_test(test_row_bytes_are_whole_blocks_and_never_wrap),
        cmocka_unit_test(test_little_endian_numbers_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
