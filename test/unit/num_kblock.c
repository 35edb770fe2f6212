/* SPDX-License-Identifier: Apache-2.0
 * Claims about blocks of 256 items: opening and closing them loses nothing, in the file's layout and in the packed
 * ones, and the quantiser follows its rule.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "num/kblock.h"
#include "num/kquant.h"
#include "num/philox.h"

static const sv_dtype types[] = { SV_DT_Q4_K, SV_DT_Q5_K, SV_DT_Q6_K };

static void draw_block(sv_dtype t, uint32_t key, uint8_t *b)
{
    for (uint32_t i = 0; i < sv_dtype_block_bytes(t); i++)
        b[i] = (uint8_t)sv_philox_at(key, SV_STREAM_TEST, 0, (uint32_t)t, i).w[0];
    uint32_t d = t == SV_DT_Q6_K ? 208 : 0;
    sv_store_u16(b + d, sv_f16_narrow(0.01f));
    if (t != SV_DT_Q6_K)
        sv_store_u16(b + 2, sv_f16_narrow(0.03f));
}

static void draw_row(uint32_t key, uint32_t n, float *x)
{
    for (uint32_t i = 0; i < n; i += 4)
        sv_philox_normal4(key, SV_STREAM_TEST, 0, i / 4, x + i);
}

static void test_an_open_block_says_what_its_values_are(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        sv_dtype t = types[i];
        uint8_t b[256];
        float w[256];
        sv_kblock k;
        draw_block(t, 7, b);
        sv_kblock_open(t, b, &k);
        assert_true(sv_dtype_dequant_block(t, b, w));
        for (uint32_t j = 0; j < 256; j++) {
            float want = sv_f16_widen(k.d) * (float)(t == SV_DT_Q6_K ? (int8_t)k.scale[j / 16] : (int)k.scale[j / 32]) *
                         (float)((int)k.code[j] - (t == SV_DT_Q6_K ? 32 : 0));
            if (t != SV_DT_Q6_K)
                want = want - sv_f16_widen(k.dmin) * (float)k.min[j / 32];
            assert_true(want == w[j]);
            assert_true(k.code[j] < (t == SV_DT_Q4_K ? 16 : t == SV_DT_Q5_K ? 32 : 64));
        }
    }
}

static void test_closing_an_open_block_gives_its_bytes(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t key = 0; key < 20; key++) {
            uint8_t b[256], again[256];
            sv_kblock k;
            memset(again, 0xff, sizeof again);
            draw_block(types[i], key, b);
            sv_kblock_open(types[i], b, &k);
            sv_kblock_close(types[i], &k, again);
            assert_memory_equal(b, again, sv_dtype_block_bytes(types[i]));
        }
}

static void test_a_panel_block_holds_32_columns_and_each_comes_back(void **state)
{
    (void)state;
    static uint8_t panel[SV_K6_BYTES + 1], empty[SV_K6_BYTES + 1];
    for (uint32_t i = 0; i < 3; i++) {
        sv_dtype t = types[i];
        uint32_t bytes = sv_image_block_bytes(t);
        sv_kblock in[32], out;
        memset(in, 0, sizeof in);
        memset(panel, 0xa5, sizeof panel);
        memset(empty, 0x5a, sizeof empty);
        for (uint32_t n = 0; n < 32; n++) {
            uint8_t b[256];
            draw_block(t, n, b);
            sv_kblock_open(t, b, &in[n]);
            sv_kblock_put(t, &in[n], panel, n + 64);
            sv_kblock_put(t, &in[n], empty, n);
        }
        assert_memory_equal(panel, empty, bytes); /* no byte of the panel block is left over, none is behind it */
        assert_int_equal(panel[bytes], 0xa5);
        for (uint32_t n = 0; n < 32; n++) {
            memset(&out, 0, sizeof out);
            sv_kblock_get(t, panel, n, &out);
            assert_memory_equal(&out, &in[n], sizeof out);
        }
    }
}

static void test_images_are_hardly_larger_than_files(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t file = 32 * sv_dtype_block_bytes(types[i]);
        assert_true(sv_image_block_bytes(types[i]) >= file);
        assert_true(sv_image_block_bytes(types[i]) * 100 <= file * 103);
    }
    assert_int_equal(sv_image_k_block(0, 255, 512), 0);
    assert_int_equal(sv_image_k_block(31, 256, 512), 1);
    assert_int_equal(sv_image_k_block(32, 0, 512), 2);
}

/* ---- the quantiser ---- */

static double error_of(sv_dtype t, const float *x, uint32_t n, float *w)
{
    uint8_t row[16 * 210];
    double e = 0, all = 0;
    assert_true(sv_kquant_row(t, x, n, row));
    assert_true(sv_dtype_dequant_row(t, row, n, w));
    for (uint32_t i = 0; i < n; i++) {
        double d = (double)w[i] - (double)x[i];
        e += d * d;
        all += (double)x[i] * (double)x[i];
    }
    return sqrt(e / all);
}

static void test_more_bits_are_closer_and_each_type_is_as_close_as_its_bits_allow(void **state)
{
    (void)state;
    static const double most[] = { 0.080, 0.040, 0.021 }; /* relative to the values' size, normal numbers */
    float x[4096], w[4096];
    draw_row(3, 4096, x);
    double last = 1;
    for (uint32_t i = 0; i < 3; i++) {
        double e = error_of(types[i], x, 4096, w);
        print_message("%s %.4f\n", sv_dtype_name(types[i]), e);
        assert_true(e < most[i] && e < last);
        last = e;
    }
}

static void test_values_on_a_grid_come_back_exactly(void **state)
{
    (void)state;
    float x[256], w[256];
    for (uint32_t i = 0; i < 256; i++) /* d = dmin = 1/64: scale 63 in the first group, 1 in another */
        x[i] = (float)(i < 32 ? 63 * (int)(i % 16) - 63 : (int)(i % 16) - 2) / 64.0f;
    assert_true(error_of(SV_DT_Q4_K, x, 256, w) == 0);
    assert_true(error_of(SV_DT_Q5_K, x, 256, w) < 1e-3);
    for (uint32_t i = 0; i < 256; i++) /* d = 1/64 */
        x[i] = (float)((i < 16 ? -128 : 5) * ((int)(i % 16) * 4 - 32)) / 64.0f;
    assert_true(error_of(SV_DT_Q6_K, x, 256, w) == 0);
}

static void test_constant_rows_are_kept(void **state)
{
    (void)state;
    /* the last but one makes subnormal f16 factors, the last none at all */
    static const float value[] = { 0.0f, -0.0f, 1.0f, -1.0f, 0.25f, -30000.0f, 1e-3f, 1e-30f };
    static const float most[] = { 0, 0, 2e-3f, 2e-3f, 2e-3f, 2e-3f, 0.05f, 1 };
    float x[256], w[256];
    for (uint32_t v = 0; v < sizeof value / sizeof *value; v++)
        for (uint32_t i = 0; i < 3; i++) {
            uint8_t b[256];
            for (uint32_t j = 0; j < 256; j++)
                x[j] = value[v];
            assert_true(sv_kquant_row(types[i], x, 256, b));
            assert_true(sv_dtype_dequant_row(types[i], b, 256, w));
            for (uint32_t j = 0; j < 256; j++)
                assert_true(fabsf(w[j] - value[v]) <= fabsf(value[v]) * most[v]);
        }
}

static void test_what_a_block_cannot_hold_is_refused(void **state)
{
    (void)state;
    static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY, 3e38f };
    uint8_t b[256];
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t j = 0; j < 5; j++)
            for (uint32_t at = 0; at < 256; at += 255) {
                float x[256] = { 1.0f };
                x[at] = bad[j];
                assert_false(sv_kquant_row(types[i], x, 256, b));
            }
        float x[256] = { 1.0f };
        assert_false(sv_kquant_row(types[i], x, 255, b));
    }
    float x[256] = { 1.0f };
    assert_false(sv_kquant_row(SV_DT_Q8_0, x, 256, b));
}

static void test_the_quantiser_gives_the_recorded_bytes(void **state)
{
    (void)state;
    static const uint64_t want[] = { 0xf3e0338f70964a38u, 0xff36b6574969869du, 0x9c63926c91a01129u };
    float x[1024];
    draw_row(11, 1024, x);
    for (uint32_t i = 0; i < 1024; i++)
        x[i] = x[i] * (i < 512 ? 0.02f : 1.0f) + (i % 256 < 64 ? 0.05f : 0.0f);
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t row[4 * 210];
        uint64_t h = 0xcbf29ce484222325u;
        assert_true(sv_kquant_row(types[i], x, 1024, row));
        for (uint32_t j = 0; j < 4 * sv_dtype_block_bytes(types[i]); j++)
            h = (h ^ row[j]) * 0x100000001b3u;
        if (h != want[i])
            fail_msg("%s: %016llx", sv_dtype_name(types[i]), (unsigned long long)h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_open_block_says_what_its_values_are),
        cmocka_unit_test(test_closing_an_open_block_gives_its_bytes),
        cmocka_unit_test(test_a_panel_block_holds_32_columns_and_each_comes_back),
        cmocka_unit_test(test_images_are_hardly_larger_than_files),
        cmocka_unit_test(test_more_bits_are_closer_and_each_type_is_as_close_as_its_bits_allow),
        cmocka_unit_test(test_values_on_a_grid_come_back_exactly),
        cmocka_unit_test(test_constant_rows_are_kept),
        cmocka_unit_test(test_what_a_block_cannot_hold_is_refused),
        cmocka_unit_test(test_the_quantiser_gives_the_recorded_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
