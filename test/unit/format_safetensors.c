/* SPDX-License-Identifier: Apache-2.0
 * safetensors: what is read, what is refused (limits one below, at, above), and what writing leaves behind.
 */
#include "format/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char dir[] = "/tmp/samsvar-safetensors-XXXXXX";
static sv_arena *arena;

/* A file: length, header, n_data bytes 0, 1, 2 ... */
static sv_bytes make_file(const char *header, size_t header_n, size_t n_data)
{
    sv_bytes b = { 0 };
    uint8_t len[8];
    sv_store_u64(len, header_n);
    sv_bytes_add(&b, len, 8);
    sv_bytes_add(&b, header, header_n);
    for (size_t i = 0; i < n_data; i++)
        sv_bytes_char(&b, (char)(uint8_t)i);
    return b;
}

static sv_err open_raw(const void *p, size_t n, sv_tensors **t)
{
    uint8_t *exact = malloc(n ? n : 1); /* its own block: a read behind the end is seen by the sanitizer */
    if (n)
        memcpy(exact, p, n);
    sv_err e = sv_safetensors_open_bytes(exact, n, "x.safetensors", t);
    if (e == SV_OK)
        sv_arena_defer((*t)->arena, free, exact);
    else
        free(exact);
    return e;
}

static sv_err try_file(const char *header, size_t n_data)
{
    sv_tensors *t = NULL;
    sv_bytes b = make_file(header, strlen(header), n_data);
    sv_err e = open_raw(b.p, b.n, &t);
    sv_bytes_done(&b);
    if (e == SV_OK)
        sv_tensors_close(t);
    return e;
}

/* ---- reading ---- */

static void test_tensors_come_in_file_order_with_shapes_and_bytes(void **state)
{
    (void)state;
    const char *h =
        "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
        "\"s\":{\"shape\":[],\"data_offsets\":[0,4],\"dtype\":\"F32\"},\"z\":{\"dtype\":\"I64\",\"shape\":[5,0],\"data_"
        "offsets\":[4,4]}}  ";
    sv_tensors *t = NULL;
    sv_bytes b = make_file(h, strlen(h), 16);
    assert_int_equal(open_raw(b.p, b.n, &t), SV_OK);
    assert_int_equal(t->n, 3);
    assert_string_equal(t->item[0].name, "s");
    assert_string_equal(t->item[1].name, "z");
    assert_string_equal(t->item[2].name, "b");
    const sv_named_tensor *x = sv_tensors_find(t, "b");
    assert_ptr_equal(x, &t->item[2]);
    assert_int_equal(x->dtype, SV_DT_BF16);
    assert_int_equal(x->n_dim, 2);
    assert_true(x->dim[0] == 2 && x->dim[1] == 3 && x->bytes == 12);
    assert_int_equal(x->data[0], 4);
    assert_true(x->file_offset == 8 + strlen(h) + 4);
    assert_int_equal(t->item[0].n_dim, 0);
    assert_true(t->item[1].bytes == 0);
    assert_null(sv_tensors_find(t, "c"));
    sv_tensors_close(t);
    sv_bytes_done(&b);
}

#define ONE(name, dtype, shape, offsets) \
    "{\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(a, b) \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" a \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" b "}}"

typedef struct evil_row {
    const char *header;
    size_t n_data;
    sv_err want;
} evil_row;

static const evil_row evil[] = {
    { "{}", 0, SV_OK },
    { "{}", 1, SV_E_FORMAT }, /* bytes that belong to nothing */
    { "{", 0, SV_E_FORMAT },
    { "[]", 0, SV_E_FORMAT },
    { " {}", 0, SV_E_FORMAT }, /* first byte is { */
    { "", 0, SV_E_FORMAT },
    { "{}x", 0, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[0,4]"), 4, SV_OK },
    { ONE("a", "U8", "[4]", "[0,4]"), 3, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[0,4]"), 5, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[4,0]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[0,3]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[1,5]"), 5, SV_E_FORMAT }, /* hole at the start */
    { ONE("a", "U8", "[4]", "[0,4,4]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[0]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[-1,3]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4]", "[-0,4]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4.0]", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[4e0]", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[true]", "[0,1]"), 1, SV_E_FORMAT },
    { ONE("a", "U8", "\"4\"", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[[4]]", "[0,4]"), 4, SV_E_LIMIT }, /* depth 4 */
    { ONE("a", "U8", "[9223372036854775808]", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("a", "U8", "[1]", "[18446744073709551615,0]"), 1, SV_E_FORMAT },
    { ONE("a", "U8", "[1]", "[9223372036854775806,9223372036854775807]"), 1, SV_E_FORMAT },
    { ONE("a", "U8", "[281474976710655,0]", "[0,0]"), 0, SV_OK },      /* 2^48 - 1 */
    { ONE("a", "U8", "[281474976710656,0]", "[0,0]"), 0, SV_E_LIMIT }, /* 2^48 */
    { ONE("a", "U8", "[16777216,16777215,0]", "[0,0]"), 0, SV_OK },
    { ONE("a", "U8", "[16777216,16777216,0]", "[0,0]"), 0, SV_E_LIMIT },
    { ONE("a", "F32", "[4294967296,4294967296,4]", "[0,0]"), 0, SV_E_LIMIT }, /* wraps to 0 */
    { ONE("a", "I64", "[140737488355328,2]", "[0,0]"), 0, SV_E_LIMIT },
    { ONE("a", "U8", "[1,1,1,1,1,1,1]", "[0,1]"), 1, SV_OK },
    { ONE("a", "U8", "[1,1,1,1,1,1,1,1]", "[0,1]"), 1, SV_OK },
    { ONE("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, SV_E_LIMIT },
    { ONE("a", "F8_E4M3", "[4]", "[0,4]"), 4, SV_E_UNSUPPORTED },
    { ONE("a", "F8_E5M2", "[4]", "[0,4]"), 4, SV_E_UNSUPPORTED },
    { ONE("a", "Q8_0", "[32]", "[0,34]"), 34, SV_E_UNSUPPORTED },
    { ONE("a", "u8", "[4]", "[0,4]"), 4, SV_E_UNSUPPORTED },
    { ONE("a", "", "[4]", "[0,4]"), 4, SV_E_UNSUPPORTED },
    { ONE("", "U8", "[4]", "[0,4]"), 4, SV_E_LIMIT },
    { ONE("\\u0000", "U8", "[4]", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("\xff", "U8", "[4]", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("\\ud800", "U8", "[4]", "[0,4]"), 4, SV_E_FORMAT },
    { ONE("a-b\\\"-", "U8", "[4]", "[0,4]"), 4, SV_OK }, /* minus signs inside texts are fine */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"more\":1}}", 4, SV_E_FORMAT },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, SV_E_FORMAT },
    { "{\"a\":{\"dtype\":8,\"shape\":[4],\"data_offsets\":[0,4]}}", 4, SV_E_FORMAT },
    { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, SV_E_FORMAT },
    { "{\"a\":[]}", 0, SV_E_FORMAT },
    { "{\"a\":null}", 0, SV_E_FORMAT },
    { TWO("[0,4]", "[4,8]"), 8, SV_OK },
    { TWO("[4,8]", "[0,4]"), 8, SV_OK },       /* entries in any order */
    { TWO("[0,4]", "[3,7]"), 7, SV_E_FORMAT }, /* overlap */
    { TWO("[0,4]", "[0,4]"), 4, SV_E_FORMAT }, /* the same place twice */
    { TWO("[0,4]", "[5,9]"), 9, SV_E_FORMAT }, /* hole */
    { TWO("[0,4]", "[4,8]"), 9, SV_E_FORMAT }, /* trailing byte */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
      "offsets\":[1,2]}}",
      2, SV_E_FORMAT }, /* a name twice */
    { "{\"__metadata__\":{\"a\":1}}", 0, SV_E_FORMAT },
    { "{\"__metadata__\":[]}", 0, SV_E_FORMAT },
    { "{\"__metadata__\":{\"a\":{}}}", 0, SV_E_FORMAT },
    { "{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, SV_E_FORMAT },
};

static void test_r17_evil_headers_are_refused_with_the_files_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        sv_err e = try_file(evil[i].header, evil[i].n_data);
        if (e != evil[i].want)
            fail_msg("row %zu: %s: got %s (%s)", i, evil[i].header, sv_err_name(e), sv_err_text());
        if (e != SV_OK && strncmp(sv_err_text(), "x.safetensors: ", 15) != 0)
            fail_msg("row %zu: %s", i, sv_err_text());
    }
}

static void test_r02_header_lengths_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const uint64_t len[] = {
        3, 25000000, 25000001, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7
    };
    for (size_t i = 0; i < sizeof len / sizeof *len; i++) {
        uint8_t p[10] = { 0 };
        sv_tensors *t;
        sv_store_u64(p, len[i]);
        p[8] = '{';
        p[9] = '}';
        assert_int_equal(open_raw(p, 10, &t), len[i] > 25000000 ? SV_E_LIMIT : SV_E_FORMAT);
    }
}

static void check_padded_header(size_t n, sv_err want)
{
    sv_tensors *t;
    char *h = malloc(n);
    memset(h, ' ', n);
    memcpy(h, "{}", 2);
    sv_bytes b = make_file(h, n, 0);
    assert_int_equal(open_raw(b.p, b.n, &t), want);
    if (want == SV_OK)
        sv_tensors_close(t);
    sv_bytes_done(&b);
    free(h);
}

static void test_r17_header_of_25000000_bytes_is_the_longest(void **state)
{
    (void)state;
    check_padded_header(24999999, SV_OK);
    check_padded_header(25000000, SV_OK);
    check_padded_header(25000001, SV_E_LIMIT);
}

static sv_err try_many(size_t n)
{
    sv_bytes h = { 0 };
    sv_bytes_char(&h, '{');
    for (size_t i = 0; i < n; i++)
        sv_bytes_printf(&h, "%s\"t%zu\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}", i ? "," : "", i,
                        n - 1 - i, n - i);
    sv_bytes_char(&h, '}');
    sv_err e = try_file(h.p, n);
    sv_bytes_done(&h);
    return e;
}

static void test_r17_a_file_holds_at_most_65536_tensors(void **state)
{
    (void)state;
    assert_int_equal(try_many(65535), SV_OK);
    assert_int_equal(try_many(65536), SV_OK);
    assert_int_equal(try_many(65537), SV_E_LIMIT);
}

static sv_err try_name(size_t n)
{
    sv_bytes h = { 0 };
    sv_bytes_text(&h, "{\"");
    for (size_t i = 0; i < n; i++)
        sv_bytes_char(&h, 'n');
    sv_bytes_text(&h, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
    sv_err e = try_file(h.p, 1);
    sv_bytes_done(&h);
    return e;
}

static void test_r17_names_have_at_most_256_bytes(void **state)
{
    (void)state;
    assert_int_equal(try_name(255), SV_OK);
    assert_int_equal(try_name(256), SV_OK);
    assert_int_equal(try_name(257), SV_E_LIMIT);
}

static sv_err try_metadata(size_t n)
{
    sv_bytes h = { 0 };
    sv_bytes_text(&h, "{\"__metadata__\":{\"k\":\"");
    for (size_t i = 1; i < n; i++)
        sv_bytes_char(&h, 'v');
    sv_bytes_text(&h, "\"}}");
    sv_err e = try_file(h.p, 0);
    sv_bytes_done(&h);
    return e;
}

static void test_metadata_holds_at_most_1_mib(void **state)
{
    (void)state;
    assert_int_equal(try_metadata((1 << 20) - 1), SV_OK);
    assert_int_equal(try_metadata(1 << 20), SV_OK);
    assert_int_equal(try_metadata((1 << 20) + 1), SV_E_LIMIT);
}

static void test_r07_deep_headers_are_refused_before_the_parser(void **state)
{
    (void)state;
    sv_bytes h = { 0 };
    sv_bytes_text(&h, "{\"a\":");
    for (int i = 0; i < 60000; i++)
        sv_bytes_char(&h, '[');
    assert_int_equal(try_file(h.p, 0), SV_E_LIMIT);
    sv_bytes_done(&h);
}

static void test_a_file_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    const char *h = TWO("[0,4]", "[4,8]");
    sv_bytes head = { 0 };
    sv_bytes_text(&head, h);
    while (head.n < 2048 - 8 - 8)
        sv_bytes_char(&head, ' ');
    sv_bytes b = make_file(head.p, head.n, 8);
    sv_tensors *t;
    assert_int_equal(b.n, 2048);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(open_raw(b.p, n, &t), SV_E_FORMAT);
    assert_int_equal(open_raw(b.p, b.n, &t), SV_OK);
    sv_tensors_close(t);
    sv_bytes_done(&b);
    sv_bytes_done(&head);
}

/* ---- writing ---- */

static const uint8_t data[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static sv_named_tensor tensor(const char *name, sv_dtype t, uint64_t a, uint64_t b)
{
    return (sv_named_tensor){
        .name = name, .dtype = t, .n_dim = 2, .dim = { a, b }, .data = data, .bytes = a * b * sv_dtype_block_bytes(t)
    };
}

static const char *fresh(void)
{
    static int n;
    char *p = sv_arena_printf(arena, "%s/%d", dir, n++);
    assert_int_equal(sv_file_mkdir(p), SV_OK);
    return p;
}

static const char *in(const char *folder, const char *name)
{
    return sv_path_join(arena, folder, name);
}

static sv_str read_back(const char *folder, const char *name)
{
    sv_str s;
    assert_int_equal(sv_file_read(in(folder, name), 1 << 20, arena, &s), SV_OK);
    return s;
}

static void test_what_is_written_reads_back_equal_and_in_order(void **state)
{
    (void)state;
    const char *d = fresh();
    sv_named_tensor x[4] = { tensor("z", SV_DT_BF16, 2, 3), tensor("a \"q\"\n", SV_DT_U8, 1, 5),
                             tensor("b", SV_DT_BF16, 0, 7), tensor("m", SV_DT_F32, 3, 1) };
    sv_tensors *t;
    assert_int_equal(sv_safetensors_write(d, "model", x, 4, 0), SV_OK);
    assert_int_equal(sv_safetensors_open(d, &t), SV_OK);
    static const char *const order[] = { "m", "b", "z", "a \"q\"\n" };
    for (int i = 0; i < 4; i++)
        assert_string_equal(t->item[i].name, order[i]);
    for (int i = 0; i < 4; i++) {
        const sv_named_tensor *y = sv_tensors_find(t, x[i].name);
        assert_true(y->dtype == x[i].dtype && y->n_dim == 2 && y->dim[0] == x[i].dim[0] && y->dim[1] == x[i].dim[1]);
        assert_memory_equal(y->data, x[i].data, x[i].bytes + 0);
    }
    assert_true(t->item[0].file_offset % 64 == 0);
    sv_tensors_close(t);
    sv_str s = read_back(d, "model.safetensors");
    static const char head[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"m\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[0,12]},";
    assert_memory_equal(s.p + 8, head, sizeof head - 1);
    assert_false(sv_file_exists(in(d, "model.safetensors.index.json")));
    char **names;
    size_t n;
    assert_int_equal(sv_file_list(d, arena, &names, &n), SV_OK);
    assert_int_equal(n, 1);
}

static void test_shards_are_cut_before_the_limit_and_read_as_one_set(void **state)
{
    (void)state;
    const char *d = fresh();
    sv_named_tensor x[4] = { tensor("a", SV_DT_U8, 1, 10), tensor("b", SV_DT_U8, 2, 10), tensor("c", SV_DT_U8, 1, 40),
                             tensor("d", SV_DT_U8, 1, 1) };
    sv_tensors *t;
    assert_int_equal(sv_safetensors_write(d, "model", x, 4, 30), SV_OK); /* a + b = 30 fit; c is larger alone */
    static const char want[] =
        "{\n  \"metadata\": {\n    \"total_size\": 71\n  },\n  \"weight_map\": {\n"
        "    \"a\": \"model-00001-of-00003.safetensors\",\n    \"b\": \"model-00001-of-00003.safetensors\",\n"
        "    \"c\": \"model-00002-of-00003.safetensors\",\n    \"d\": \"model-00003-of-00003.safetensors\"\n  }\n}\n";
    sv_str s = read_back(d, "model.safetensors.index.json");
    assert_int_equal(s.n, sizeof want - 1);
    assert_memory_equal(s.p, want, s.n);
    assert_int_equal(sv_safetensors_open(d, &t), SV_OK);
    assert_int_equal(t->n, 4);
    assert_memory_equal(sv_tensors_find(t, "c")->data, data, 40);
    assert_string_equal(sv_tensors_find(t, "c")->file, "model-00002-of-00003.safetensors");
    sv_tensors_close(t);
    /* One file over shards, and the other way round: readers find the newest. */
    assert_int_equal(sv_safetensors_write(d, "model", x, 1, 0), SV_OK);
    assert_false(sv_file_exists(in(d, "model.safetensors.index.json")));
    assert_int_equal(sv_safetensors_open(d, &t), SV_OK);
    assert_int_equal(t->n, 1);
    sv_tensors_close(t);
    assert_int_equal(sv_safetensors_write(d, "model", x, 4, 30), SV_OK);
    assert_false(sv_file_exists(in(d, "model.safetensors")));
    assert_int_equal(sv_safetensors_open(in(d, "model.safetensors.index.json"), &t), SV_OK);
    assert_int_equal(t->n, 4);
    sv_tensors_close(t);
}

static void test_what_cannot_be_read_back_is_not_written(void **state)
{
    (void)state;
    const char *d = fresh();
    char long_name[258];
    memset(long_name, 'n', 257);
    long_name[257] = '\0';
    sv_named_tensor bad[] = { tensor("", SV_DT_U8, 1, 1),     tensor(long_name, SV_DT_U8, 1, 1),
                              tensor("\xff", SV_DT_U8, 1, 1), tensor("__metadata__", SV_DT_U8, 1, 1),
                              tensor("q", SV_DT_Q8_0, 1, 1),  tensor("n", SV_DT_U8, 1, 2) };
    static const sv_err want[] = { SV_E_ARG, SV_E_ARG, SV_E_ARG, SV_E_ARG, SV_E_DTYPE, SV_E_SHAPE };
    bad[5].bytes = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sv_safetensors_write(d, "model", &bad[i], 1, 0), want[i]);
    sv_named_tensor twice[2] = { tensor("a", SV_DT_U8, 1, 1), tensor("a", SV_DT_U8, 1, 1) };
    assert_int_equal(sv_safetensors_write(d, "model", twice, 2, 0), SV_E_ARG);
    char **names;
    size_t n;
    assert_int_equal(sv_file_list(d, arena, &names, &n), SV_OK);
    assert_int_equal(n, 0);
    assert_true(sv_safetensors_write(in(d, "missing"), "model", twice, 1, 0) != SV_OK);
}

/* ---- indexes ---- */

static void put_index(const char *d, const char *weight_map)
{
    char *text = sv_arena_printf(arena, "{\"metadata\":{\"total_size\":1},\"weight_map\":%s}", weight_map);
    assert_int_equal(sv_file_write(in(d, "model.safetensors.index.json"), sv_str_of(text)), SV_OK);
}

static sv_err try_index(const char *d, const char *weight_map)
{
    sv_tensors *t;
    put_index(d, weight_map);
    sv_err e = sv_safetensors_open(d, &t);
    if (e == SV_OK)
        sv_tensors_close(t);
    return e;
}

static void test_r18_an_index_and_its_shards_must_agree(void **state)
{
    (void)state;
    const char *d = fresh();
    sv_named_tensor a = tensor("a", SV_DT_U8, 1, 1), b = tensor("b", SV_DT_U8, 1, 1);
    assert_int_equal(sv_safetensors_write(d, "one", &a, 1, 0), SV_OK);
    assert_int_equal(sv_safetensors_write(d, "two", &b, 1, 0), SV_OK);
    assert_int_equal(sv_safetensors_write(d, "again", &a, 1, 0), SV_OK);
    assert_int_equal(sv_file_write(in(d, "bad.safetensors"), SV_STR("x")), SV_OK);
    assert_int_equal(try_index(d, "{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}"),
                     SV_OK); /* total_size only warns */
    assert_int_equal(try_index(d, "{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"one.safetensors\",\"c\":\"again.safetensors\"}"),
                     SV_E_FORMAT); /* a in both */
    assert_int_equal(try_index(d, "{\"a\":\"bad.safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"gone.safetensors\"}"), SV_E_NOTFOUND);
    assert_int_equal(try_index(d, "{\"a\":7}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "[]"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"pytorch_model.bin\"}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"\"}"), SV_E_FORMAT);
}

static void test_r18_shards_lie_in_the_folder_itself(void **state)
{
    (void)state;
    const char *d = fresh(), *far = fresh();
    sv_named_tensor a = tensor("a", SV_DT_U8, 1, 1);
    assert_int_equal(sv_safetensors_write(far, "one", &a, 1, 0), SV_OK);
    assert_int_equal(sv_file_mkdir(in(d, "sub")), SV_OK);
    assert_int_equal(sv_safetensors_write(in(d, "sub"), "one", &a, 1, 0), SV_OK);
    assert_int_equal(try_index(d, sv_arena_printf(arena, "{\"a\":\"%s/one.safetensors\"}", far)), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"sub/one.safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(try_index(d, "{\"a\":\"..safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(symlink(in(far, "one.safetensors"), in(d, "link.safetensors")), 0);
    assert_int_equal(try_index(d, "{\"a\":\"link.safetensors\"}"), SV_E_FORMAT);
    assert_int_equal(symlink("sub/one.safetensors", in(d, "near.safetensors")), 0);
    assert_int_equal(try_index(d, "{\"a\":\"near.safetensors\"}"), SV_OK);
}

static void test_a_hub_snapshot_may_link_to_its_own_blobs_only(void **state)
{
    (void)state;
    const char *root = fresh(), *model = in(root, "models--o--n"), *snap = in(model, "snapshots/0123");
    sv_named_tensor a = tensor("a", SV_DT_U8, 1, 1);
    assert_int_equal(sv_file_mkdir(snap), SV_OK);
    assert_int_equal(sv_file_mkdir(in(model, "blobs")), SV_OK);
    assert_int_equal(sv_safetensors_write(in(model, "blobs"), "e", &a, 1, 0), SV_OK);
    assert_int_equal(sv_safetensors_write(root, "e", &a, 1, 0), SV_OK);
    assert_int_equal(symlink("../../blobs/e.safetensors", in(snap, "x.safetensors")), 0);
    assert_int_equal(symlink("../../../e.safetensors", in(snap, "y.safetensors")), 0);
    assert_int_equal(try_index(snap, "{\"a\":\"x.safetensors\"}"), SV_OK);
    assert_int_equal(try_index(snap, "{\"a\":\"y.safetensors\"}"), SV_E_FORMAT);
}

static void test_missing_files_and_folders_are_named(void **state)
{
    (void)state;
    const char *d = fresh();
    sv_tensors *t;
    assert_int_equal(sv_safetensors_open(d, &t), SV_E_NOTFOUND);
    assert_non_null(strstr(sv_err_text(), "model.safetensors.index.json"));
    assert_int_equal(sv_safetensors_open(in(d, "gone.safetensors"), &t), SV_E_NOTFOUND);
    assert_non_null(strstr(sv_err_text(), "gone.safetensors"));
}

/* ---- values ---- */

static void test_values_that_are_no_numbers_are_found_with_their_index(void **state)
{
    (void)state;
    uint8_t b[3 * 34] = { 0 };
    sv_named_tensor t = { .name = "w", .dtype = SV_DT_BF16, .data = b, .bytes = 8 };
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_OK);
    sv_store_u16(b + 4, 0x7f80);
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "item 2 "));
    t.dtype = SV_DT_F16;
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_E_FORMAT);
    t.dtype = SV_DT_F32;
    sv_store_u32(b + 4, 0x7fc00000);
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "item 1 "));
    t.dtype = SV_DT_Q8_0;
    t.bytes = sizeof b;
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_OK);
    sv_store_u16(b + 68, 0xfc00);
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "block 2 "));
    t.dtype = SV_DT_I64;
    assert_int_equal(sv_named_tensor_check_finite(&t), SV_OK);
}

static int setup(void **state)
{
    (void)state;
    arena = sv_arena_make();
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sv_arena_drop(arena);
    return sv_file_remove_tree(dir) == SV_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_come_in_file_order_with_shapes_and_bytes),
        cmocka_unit_test(test_r17_evil_headers_are_refused_with_the_files_name),
        cmocka_unit_test(test_r02_header_lengths_beyond_the_file_are_refused),
        cmocka_unit_test(test_r17_header_of_25000000_bytes_is_the_longest),
        cmocka_unit_test(test_r17_a_file_holds_at_most_65536_tensors),
        cmocka_unit_test(test_r17_names_have_at_most_256_bytes),
        cmocka_unit_test(test_metadata_holds_at_most_1_mib),
        cmocka_unit_test(test_r07_deep_headers_are_refused_before_the_parser),
        cmocka_unit_test(test_a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(test_what_is_written_reads_back_equal_and_in_order),
        cmocka_unit_test(test_shards_are_cut_before_the_limit_and_read_as_one_set),
        cmocka_unit_test(test_what_cannot_be_read_back_is_not_written),
        cmocka_unit_test(test_r18_an_index_and_its_shards_must_agree),
        cmocka_unit_test(test_r18_shards_lie_in_the_folder_itself),
        cmocka_unit_test(test_a_hub_snapshot_may_link_to_its_own_blobs_only),
        cmocka_unit_test(test_missing_files_and_folders_are_named),
        cmocka_unit_test(test_values_that_are_no_numbers_are_found_with_their_index),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
