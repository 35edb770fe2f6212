/* SPDX-License-Identifier: Apache-2.0
 * Reading GGUF: what is read, what is refused; limits one below, at, above.
 */
#include "format/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/gguf_bytes.h"

/* One F32 tensor [2] at offset 0 behind n_key keys that are already there. */
static sv_err try_keys(file f)
{
    info(&f, "t", 1, DIMS(2), 0, 0);
    pad(&f, 32);
    fill(&f, 8);
    return try_file(f);
}

static void test_keys_and_tensors_are_read_and_dimensions_turned_round(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        sv_gguf *g;
        file f = sample(version);
        assert_int_equal(open_raw(f.b.p, f.b.n, &g), SV_OK);
        sv_str s;
        double d;
        bool b = false;
        assert_true(g->version == version && g->alignment == 32 && g->n_value == 6 && g->tensors->n == 2);
        assert_int_equal(sv_gguf_text(g, "s", true, &s), SV_OK);
        assert_true(s.n == 3 && memcmp(s.p, "h\0i", 3) == 0);
        assert_true(sv_gguf_find(g, "neg")->at.i[0] == -2);
        assert_int_equal(sv_gguf_f64(g, "real", true, &d), SV_OK);
        assert_true(d == 1.5);
        assert_int_equal(sv_gguf_bool(g, "yes", true, &b), SV_OK);
        assert_true(b);
        const sv_gguf_value *v = sv_gguf_find(g, "list");
        assert_true(v->is_array && v->n == 2 && v->type == SV_GGUF_STRING && sv_str_is(v->at.s[0], "a") &&
                    v->at.s[1].n == 0);
        v = sv_gguf_find(g, "halves");
        assert_true(v->is_array && v->n == 2 && v->at.u[0] == 1 && v->at.u[1] == 0xffff);
        const sv_named_tensor *w = sv_tensors_find(g->tensors, "w");
        assert_true(w == &g->tensors->item[0] && w->dtype == SV_DT_Q8_0 && w->n_dim == 2 && w->dim[0] == 2 &&
                    w->dim[1] == 32);
        assert_true(w->bytes == 68 && w->data[0] == 1 && w->data[67] == 68 && w->file_offset == f.b.n - 68);
        assert_null(sv_gguf_find(g, "nope"));
        sv_gguf_close(g);
        sv_bytes_done(&f.b);
    }
}

static void test_typed_access_takes_whole_numbers_of_any_type_and_names_the_rest(void **state)
{
    (void)state;
    sv_gguf_value v[] = { { .key = "u", .type = SV_GGUF_U64, .n = 1, .at.u = (const uint64_t[]){ 4294967295u } },
                          { .key = "u2", .type = SV_GGUF_U64, .n = 1, .at.u = (const uint64_t[]){ 4294967296u } },
                          { .key = "i", .type = SV_GGUF_I32, .n = 1, .at.i = (const int64_t[]){ 7 } },
                          { .key = "n", .type = SV_GGUF_I32, .n = 1, .at.i = (const int64_t[]){ -1 } },
                          { .key = "f", .type = SV_GGUF_F32, .n = 1, .at.f = (const double[]){ 0.0 / 0.0 } },
                          { .key = "a", .type = SV_GGUF_U32, .n = 1, .is_array = true, .at.u = DIMS(1) } };
    sv_gguf g = { .value = v, .n_value = 6 };
    uint32_t u = 5;
    double d;
    bool b;
    sv_str s;
    assert_int_equal(sv_gguf_u32(&g, "gone", false, &u), SV_OK);
    assert_int_equal(u, 5);
    assert_int_equal(sv_gguf_u32(&g, "gone", true, &u), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "gone"));
    assert_int_equal(sv_gguf_u32(&g, "u", true, &u), SV_OK);
    assert_true(u == UINT32_MAX);
    assert_int_equal(sv_gguf_u32(&g, "i", true, &u), SV_OK);
    assert_int_equal(u, 7);
    static const char *const bad[] = { "u2", "n", "f", "a" };
    for (int i = 0; i < 4; i++)
        assert_int_equal(sv_gguf_u32(&g, bad[i], true, &u), SV_E_FORMAT);
    assert_int_equal(sv_gguf_f64(&g, "f", true, &d), SV_E_FORMAT);
    assert_int_equal(sv_gguf_f64(&g, "u", true, &d), SV_E_FORMAT);
    assert_int_equal(sv_gguf_bool(&g, "u", true, &b), SV_E_FORMAT);
    assert_int_equal(sv_gguf_text(&g, "u", true, &s), SV_E_FORMAT);
}

/* ---- refusals ---- */

static void test_versions_2_and_3_are_read_alone(void **state)
{
    (void)state;
    static const uint32_t bad[] = { 0, 1, 4, 0x03000000u, 0x02000000u, UINT32_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(try_keys(head(bad[i], 1, 0)), SV_E_UNSUPPORTED);
    assert_int_equal(try_keys(head(2, 1, 0)), SV_OK);
    assert_int_equal(try_keys(head(3, 1, 0)), SV_OK);
    file f = head(3, 0, 0);
    f.b.p[0] = 'g';
    assert_int_equal(try_file(f), SV_E_FORMAT);
}

static void test_r01_counts_and_lengths_that_wrap_are_refused(void **state)
{
    (void)state;
    static const uint64_t n[] = {
        100, 65536, 65537, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 61, UINT64_C(1) << 63, UINT64_MAX
    };
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        sv_err want = n[i] > 65536 ? SV_E_LIMIT : SV_E_FORMAT;
        assert_int_equal(try_keys(head(3, n[i], 0)), want);
        assert_int_equal(try_keys(head(3, 1, n[i])), want);
        file f = head(3, 1, 1);
        text(&f, "k", 1);
        u32(&f, SV_GGUF_STRING);
        u64(&f, n[i]);
        assert_int_equal(try_keys(f), n[i] > 1 << 24 ? SV_E_LIMIT : SV_E_FORMAT);
        f = head(3, 1, 1);
        u64(&f, n[i]); /* the key's own length */
        assert_int_equal(try_keys(f), n[i] > 65535 ? SV_E_LIMIT : SV_E_FORMAT);
        for (uint32_t type = 0; type < 13; type++) {
            if (type == SV_GGUF_ARRAY)
                continue;
            f = head(3, 1, 1);
            key(&f, "k", SV_GGUF_ARRAY);
            u32(&f, type);
            u64(&f, n[i]);
            assert_int_equal(try_keys(f), n[i] > 1 << 24 ? SV_E_LIMIT : SV_E_FORMAT);
        }
    }
}

static sv_err try_shape(uint32_t n_dim, const uint64_t *dim, uint32_t type, uint64_t offset, size_t n_data)
{
    file f = head(3, 1, 0);
    info(&f, "t", n_dim, dim, type, offset);
    pad(&f, 32);
    fill(&f, n_data);
    return try_file(f);
}

static void test_r17_dimensions_and_products_stay_below_2_48(void **state)
{
    (void)state;
    const uint64_t top = UINT64_C(1) << 48, half = UINT64_C(1) << 24;
    assert_int_equal(try_shape(0, NULL, 0, 0, 4), SV_OK);
    assert_int_equal(try_shape(3, DIMS(1, 1, 1), 0, 0, 4), SV_OK);
    assert_int_equal(try_shape(4, DIMS(1, 1, 1, 1), 0, 0, 4), SV_OK);
    assert_int_equal(try_shape(5, DIMS(1, 1, 1, 1, 1), 0, 0, 4), SV_E_LIMIT);
    assert_int_equal(try_shape(2, DIMS(0, top - 1), 0, 0, 0), SV_OK);
    assert_int_equal(try_shape(2, DIMS(0, top), 0, 0, 0), SV_E_LIMIT);
    assert_int_equal(try_shape(3, DIMS(0, half, half - 1), 0, 0, 0), SV_OK);
    assert_int_equal(try_shape(3, DIMS(0, half, half), 0, 0, 0), SV_E_LIMIT);
    assert_int_equal(try_shape(2, DIMS(UINT64_C(1) << 32, UINT64_C(1) << 32), 0, 0, 0), SV_E_LIMIT); /* wraps to 0 */
    assert_int_equal(try_shape(2, DIMS(UINT64_MAX, UINT64_MAX), 0, 0, 0), SV_E_LIMIT);               /* wraps to 1 */
    assert_int_equal(try_shape(1, DIMS(UINT64_C(1) << 62), 0, 0, 0), SV_E_LIMIT); /* times 4 wraps to 0 */
    assert_int_equal(try_shape(1, DIMS(top - 1), 0, 0, 8), SV_E_FORMAT);
}

static void test_r02_tensors_lie_inside_the_file(void **state)
{
    (void)state;
    assert_int_equal(try_shape(1, DIMS(2), 0, 0, 7), SV_E_FORMAT);
    assert_int_equal(try_shape(1, DIMS(2), 0, 0, 8), SV_OK);
    assert_int_equal(try_shape(1, DIMS(2), 0, 0, 32), SV_OK); /* its padding */
    assert_int_equal(try_shape(1, DIMS(2), 0, 0, 33), SV_E_FORMAT);
    assert_int_equal(try_shape(1, DIMS(2), 0, 32, 40), SV_E_FORMAT);             /* a hole */
    assert_int_equal(try_shape(1, DIMS(2), 0, 4, 12), SV_E_FORMAT);              /* not aligned */
    assert_int_equal(try_shape(1, DIMS(2), 0, UINT64_MAX - 31, 8), SV_E_FORMAT); /* offset + size wraps */
    assert_int_equal(try_shape(1, DIMS(2), 0, UINT64_C(1) << 63, 8), SV_E_FORMAT);
}

static sv_err try_two(uint64_t at_a, uint64_t at_b, size_t n_data)
{
    file f = head(3, 2, 0);
    info(&f, "a", 1, DIMS(9), 0, at_a);
    info(&f, "b", 1, DIMS(8), 0, at_b);
    pad(&f, 32);
    fill(&f, n_data);
    return try_file(f);
}

static void test_r17_tensors_tile_the_data_with_gaps_only_as_padding(void **state)
{
    (void)state;
    assert_int_equal(try_two(0, 64, 96), SV_OK);
    assert_int_equal(try_two(32, 0, 68), SV_OK);       /* infos in any order */
    assert_int_equal(try_two(0, 32, 96), SV_E_FORMAT); /* overlap */
    assert_int_equal(try_two(0, 0, 64), SV_E_FORMAT);
    assert_int_equal(try_two(0, 96, 128), SV_E_FORMAT); /* hole */
    assert_int_equal(try_two(32, 96, 128), SV_E_FORMAT);
    assert_int_equal(try_two(0, 64, 97), SV_E_FORMAT); /* trailing byte */
    assert_int_equal(try_two(0, 64, 95), SV_E_FORMAT);
}

static void test_rows_are_whole_blocks(void **state)
{
    (void)state;
    assert_int_equal(try_shape(2, DIMS(32, 1), 2, 0, 18), SV_OK);
    assert_int_equal(try_shape(2, DIMS(31, 1), 2, 0, 18), SV_E_FORMAT);
    assert_int_equal(try_shape(2, DIMS(33, 1), 2, 0, 18), SV_E_FORMAT);
    assert_int_equal(try_shape(2, DIMS(16, 2), 2, 0, 18), SV_E_FORMAT); /* the product alone is not enough */
    assert_int_equal(try_shape(1, DIMS(256), 14, 0, 210), SV_OK);
    assert_int_equal(try_shape(1, DIMS(128), 14, 0, 210), SV_E_FORMAT);
    assert_int_equal(try_shape(0, NULL, 8, 0, 34), SV_E_FORMAT);
}

static void test_r03_item_types_that_are_not_read_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
    } bad[] = {
        { 9, "Q8_1" },      { 10, "Q2_K" },     { 11, "Q3_K" },      { 15, "Q8_K" },
        { 16, "IQ2_XXS" },  { 17, "IQ2_XS" },   { 18, "IQ3_XXS" },   { 19, "IQ1_S" },
        { 20, "IQ4_NL" },   { 21, "IQ3_S" },    { 22, "IQ2_S" },     { 23, "IQ4_XS" },
        { 24, "I8" },       { 25, "I16" },      { 26, "I32" },       { 27, "I64" },
        { 28, "F64" },      { 29, "IQ1_M" },    { 34, "TQ1_0" },     { 35, "TQ2_0" },
        { 39, "MXFP4" },    { 40, "NVFP4" },    { 41, "Q1_0" },      { 4, "no known" },
        { 5, "no known" },  { 31, "no known" }, { 33, "no known" },  { 36, "no known" },
        { 38, "no known" }, { 42, "no known" }, { 256, "no known" }, { UINT32_MAX, "no known" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(try_shape(1, DIMS(256), bad[i].type, 0, 256), SV_E_UNSUPPORTED);
        assert_non_null(strstr(sv_err_text(), bad[i].name));
    }
}

static void test_r03_value_types_are_0_to_12_and_arrays_do_not_nest(void **state)
{
    (void)state;
    static const uint32_t bad[] = { 13, 255, 0x80000000u, UINT32_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file f = head(3, 1, 1);
        key(&f, "k", bad[i]);
        u64(&f, 0);
        assert_int_equal(try_keys(f), SV_E_FORMAT);
        f = head(3, 1, 1);
        key(&f, "k", SV_GGUF_ARRAY);
        u32(&f, bad[i]);
        u64(&f, 0);
        assert_int_equal(try_keys(f), SV_E_FORMAT);
    }
    file f = head(3, 1, 1);
    key(&f, "k", SV_GGUF_ARRAY);
    for (int i = 0; i < 1000; i++) {
        u32(&f, SV_GGUF_ARRAY);
        u64(&f, 1);
    }
    assert_int_equal(try_keys(f), SV_E_UNSUPPORTED);
    for (int v = 0; v < 3; v++) {
        f = head(3, 1, 1);
        key(&f, "k", SV_GGUF_BOOL);
        sv_bytes_char(&f.b, (char)v);
        assert_int_equal(try_keys(f), v < 2 ? SV_OK : SV_E_FORMAT);
    }
}

static void test_r03_alignment_is_a_power_of_two_from_8_to_65536(void **state)
{
    (void)state;
    static const struct {
        uint32_t a;
        sv_err want;
    } row[] = {
        { 0, SV_E_FORMAT },
        { 1, SV_E_FORMAT },
        { 3, SV_E_FORMAT },
        { 4, SV_E_FORMAT },
        { 8, SV_OK },
        { 9, SV_E_FORMAT },
        { 12, SV_E_FORMAT },
        { 64, SV_OK },
        { 32768, SV_OK },
        { 65536, SV_OK },
        { 65537, SV_E_FORMAT },
        { 131072, SV_E_FORMAT },
        { 0x80000000u, SV_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        file f = head(3, 1, 1);
        key_u32(&f, "general.alignment", row[i].a);
        info(&f, "t", 1, DIMS(2), 0, 0);
        pad(&f, row[i].want == SV_OK ? row[i].a : 32);
        fill(&f, 8);
        assert_int_equal(try_file(f), row[i].want);
    }
    file f = head(3, 1, 1);
    key(&f, "general.alignment", SV_GGUF_U64);
    u64(&f, UINT64_C(1) << 40);
    assert_int_equal(try_keys(f), SV_E_FORMAT);
    f = head(3, 1, 1);
    key(&f, "general.alignment", SV_GGUF_F32);
    u32(&f, 0x42000000);
    assert_int_equal(try_keys(f), SV_E_FORMAT);
}

static void test_r03_keys_and_names_are_unique(void **state)
{
    (void)state;
    file f = head(3, 1, 2);
    key_u32(&f, "k", 1);
    key_u32(&f, "k", 1);
    assert_int_equal(try_keys(f), SV_E_FORMAT);
    f = head(3, 2, 0);
    info(&f, "t", 1, DIMS(8), 0, 0);
    info(&f, "t", 1, DIMS(8), 0, 32);
    pad(&f, 32);
    fill(&f, 64);
    assert_int_equal(try_file(f), SV_E_FORMAT);
}

static sv_err try_key_text(const char *s, size_t n)
{
    file f = head(3, 1, 1);
    text(&f, s, n);
    u32(&f, SV_GGUF_U32);
    u32(&f, 1);
    return try_keys(f);
}

static sv_err try_name_text(const char *s, size_t n)
{
    file f = head(3, 1, 0);
    text(&f, s, n);
    u32(&f, 1);
    u64(&f, 2);
    u32(&f, 0);
    u64(&f, 0);
    pad(&f, 32);
    fill(&f, 8);
    return try_file(f);
}

static void test_keys_are_ascii_and_names_utf8_within_their_limits(void **state)
{
    (void)state;
    char *s = malloc(65537);
    memset(s, 'k', 65537);
    assert_int_equal(try_key_text(s, 0), SV_E_LIMIT);
    assert_int_equal(try_key_text(s, 1), SV_OK);
    assert_int_equal(try_key_text(s, 65534), SV_OK);
    assert_int_equal(try_key_text(s, 65535), SV_OK);
    assert_int_equal(try_key_text(s, 65536), SV_E_LIMIT);
    assert_int_equal(try_key_text("a\0b", 3), SV_E_FORMAT);
    assert_int_equal(try_key_text("a\nb", 3), SV_E_FORMAT);
    assert_int_equal(try_key_text("\xc3\xa9", 2), SV_E_FORMAT);
    assert_int_equal(try_name_text(s, 0), SV_E_LIMIT);
    assert_int_equal(try_name_text(s, 63), SV_OK);
    assert_int_equal(try_name_text(s, 64), SV_OK);
    assert_int_equal(try_name_text(s, 65), SV_E_LIMIT);
    assert_int_equal(try_name_text("a\0b", 3), SV_E_FORMAT);
    assert_int_equal(try_name_text("\xff", 1), SV_E_FORMAT);
    assert_int_equal(try_name_text("\xc3\xa9", 2), SV_OK);
    free(s);
}

static sv_err try_n_keys(uint32_t n)
{
    file f = head(3, 1, n);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%u", i);
        key(&f, name, SV_GGUF_U8);
        sv_bytes_char(&f.b, 1);
    }
    return try_keys(f);
}

static sv_err try_n_tensors(uint32_t n)
{
    file f = head(3, n, 0);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        info(&f, name, 1, DIMS(1), 0, (uint64_t)(n - 1 - i) * 32);
    }
    pad(&f, 32);
    fill(&f, (size_t)n * 32);
    return try_file(f);
}

static void test_r17_a_file_holds_at_most_65536_keys_and_tensors(void **state)
{
    (void)state;
    for (uint32_t n = 65535; n <= 65537; n++) {
        assert_int_equal(try_n_keys(n), n <= 65536 ? SV_OK : SV_E_LIMIT);
        assert_int_equal(try_n_tensors(n), n <= 65536 ? SV_OK : SV_E_LIMIT);
    }
}

static sv_err try_long_text(const char *name, size_t n)
{
    file f = head(3, 1, 1);
    char *s = calloc(n, 1);
    key(&f, name, SV_GGUF_STRING);
    text(&f, s, n);
    free(s);
    return try_keys(f);
}

static sv_err try_array(size_t n)
{
    file f = head(3, 1, 1);
    char *s = calloc(n, 1);
    key(&f, "k", SV_GGUF_ARRAY);
    u32(&f, SV_GGUF_U8);
    u64(&f, n);
    sv_bytes_add(&f.b, s, n);
    free(s);
    return try_keys(f);
}

static void test_texts_end_at_16_mib_and_arrays_at_2_24_items(void **state)
{
    (void)state;
    const size_t top = (size_t)1 << 24;
    assert_int_equal(try_long_text("k", top - 1), SV_OK);
    assert_int_equal(try_long_text("k", top), SV_OK);
    assert_int_equal(try_long_text("k", top + 1), SV_E_LIMIT);
    assert_int_equal(try_long_text("tokenizer.huggingface.json", 8 * top), SV_OK);
    assert_int_equal(try_long_text("tokenizer.huggingface.json", 8 * top + 1), SV_E_LIMIT);
    assert_int_equal(try_array(top - 1), SV_OK);
    assert_int_equal(try_array(top), SV_OK);
    assert_int_equal(try_array(top + 1), SV_E_LIMIT);
}

static void test_a_file_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    file f = head(3, 2, 5);
    key_u32(&f, "general.alignment", 64);
    key(&f, "tokens", SV_GGUF_ARRAY);
    u32(&f, SV_GGUF_STRING);
    u64(&f, 117);
    for (int i = 0; i < 117; i++)
        text(&f, "tok", 3);
    key(&f, "s", SV_GGUF_STRING);
    text(&f, "text", 4);
    key(&f, "d", SV_GGUF_F64);
    u64(&f, 0);
    key(&f, "i", SV_GGUF_ARRAY);
    u32(&f, SV_GGUF_I16);
    u64(&f, 30);
    fill(&f, 60);
    info(&f, "a", 2, DIMS(32, 2), 3, 0);
    info(&f, "b", 1, DIMS(96), 0, 64);
    pad(&f, 64);
    fill(&f, 40);
    pad(&f, 64);
    fill(&f, 384);
    sv_gguf *g;
    assert_int_equal(f.b.n, 2048); /* 2 KiB; the last tensor ends the file */
    for (size_t n = 0; n < f.b.n; n++)
        assert_int_equal(open_raw(f.b.p, n, &g), SV_E_FORMAT);
    assert_int_equal(open_raw(f.b.p, f.b.n, &g), SV_OK);
    sv_gguf_close(g);
    sv_bytes_done(&f.b);
}

static void test_faults_carry_the_files_name(void **state)
{
    (void)state;
    assert_int_equal(try_file(head(7, 0, 0)), SV_E_UNSUPPORTED);
    assert_int_equal(strncmp(sv_err_text(), "x.gguf: ", 8), 0);
    assert_int_equal(try_file(head(3, 0, 0)), SV_OK); /* no key, no tensor: a valid file */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_and_tensors_are_read_and_dimensions_turned_round),
        cmocka_unit_test(test_typed_access_takes_whole_numbers_of_any_type_and_names_the_rest),
        cmocka_unit_test(test_versions_2_and_3_are_read_alone),
        cmocka_unit_test(test_r01_counts_and_lengths_that_wrap_are_refused),
        cmocka_unit_test(test_r17_dimensions_and_products_stay_below_2_48),
        cmocka_unit_test(test_r02_tensors_lie_inside_the_file),
        cmocka_unit_test(test_r17_tensors_tile_the_data_with_gaps_only_as_padding),
        cmocka_unit_test(test_rows_are_whole_blocks),
        cmocka_unit_test(test_r03_item_types_that_are_not_read_are_refused_by_name),
        cmocka_unit_test(test_r03_value_types_are_0_to_12_and_arrays_do_not_nest),
        cmocka_unit_test(test_r03_alignment_is_a_power_of_two_from_8_to_65536),
        cmocka_unit_test(test_r03_keys_and_names_are_unique),
        cmocka_unit_test(test_keys_are_ascii_and_names_utf8_within_their_limits),
        cmocka_unit_test(test_r17_a_file_holds_at_most_65536_keys_and_tensors),
        cmocka_unit_test(test_texts_end_at_16_mib_and_arrays_at_2_24_items),
        cmocka_unit_test(test_a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(test_faults_carry_the_files_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
