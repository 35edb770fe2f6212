/* SPDX-License-Identifier: Apache-2.0
 * Writing GGUF, reading splits, and the real small model where it is at hand.
 */
#include "format/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "test/unit/gguf_bytes.h"

static char dir[] = "/tmp/samsvar-gguf-XXXXXX";
static sv_arena *arena;

/* ---- writing ---- */

static const char *in(const char *name)
{
    return sv_path_join(arena, dir, name);
}

static void check_equal(const sv_gguf *a, const sv_gguf *b)
{
    assert_int_equal(a->n_value, b->n_value);
    assert_int_equal(a->tensors->n, b->tensors->n);
    assert_int_equal(a->alignment, b->alignment);
    for (size_t i = 0; i < a->n_value; i++) {
        const sv_gguf_value *x = &a->value[i], *y = &b->value[i];
        assert_string_equal(x->key, y->key);
        assert_true(x->type == y->type && x->is_array == y->is_array && x->n == y->n);
        for (uint64_t j = 0; j < x->n; j++) {
            if (x->type == SV_GGUF_STRING)
                assert_true(sv_str_eq(x->at.s[j], y->at.s[j]));
            else
                assert_true(x->at.u[j] == y->at.u[j]);
        }
    }
    for (size_t i = 0; i < a->tensors->n; i++) {
        const sv_named_tensor *x = &a->tensors->item[i], *y = &b->tensors->item[i];
        assert_string_equal(x->name, y->name);
        assert_true(x->dtype == y->dtype && x->n_dim == y->n_dim && x->bytes == y->bytes &&
                    memcmp(x->dim, y->dim, sizeof x->dim) == 0);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
}

static void test_what_is_read_is_written_and_read_equal(void **state)
{
    (void)state;
    sv_gguf *a, *b;
    file f = sample(3);
    assert_int_equal(open_raw(f.b.p, f.b.n, &a), SV_OK);
    assert_int_equal(sv_gguf_write(in("copy.gguf"), a->value, a->n_value, a->tensors->item, a->tensors->n, 0), SV_OK);
    assert_int_equal(sv_gguf_open(in("copy.gguf"), &b), SV_OK);
    check_equal(a, b);
    sv_gguf_close(b);
    sv_gguf_close(a);
    sv_bytes_done(&f.b);
}

static void test_every_value_type_survives_at_its_ends(void **state)
{
    (void)state;
    static const uint64_t zero_max[][2] = { { 0, 255 }, { 0, 65535 }, { 0, UINT32_MAX }, { 0, UINT64_MAX }, { 0, 1 } };
    static const int64_t ends[][2] = {
        { -128, 127 }, { -32768, 32767 }, { INT32_MIN, INT32_MAX }, { INT64_MIN, INT64_MAX }
    };
    static const double reals[2] = { -0.1f, 3.4028234663852886e38 }, doubles[2] = { 0.1, -1e300 };
    sv_gguf_value v[] = {
        { .key = "a", .type = SV_GGUF_U8, .is_array = true, .n = 2, .at.u = zero_max[0] },
        { .key = "b", .type = SV_GGUF_U16, .is_array = true, .n = 2, .at.u = zero_max[1] },
        { .key = "c", .type = SV_GGUF_U32, .is_array = true, .n = 2, .at.u = zero_max[2] },
        { .key = "d", .type = SV_GGUF_U64, .is_array = true, .n = 2, .at.u = zero_max[3] },
        { .key = "e", .type = SV_GGUF_BOOL, .is_array = true, .n = 2, .at.u = zero_max[4] },
        { .key = "f", .type = SV_GGUF_I8, .is_array = true, .n = 2, .at.i = ends[0] },
        { .key = "g", .type = SV_GGUF_I16, .is_array = true, .n = 2, .at.i = ends[1] },
        { .key = "h", .type = SV_GGUF_I32, .is_array = true, .n = 2, .at.i = ends[2] },
        { .key = "i", .type = SV_GGUF_I64, .is_array = true, .n = 2, .at.i = ends[3] },
        { .key = "j", .type = SV_GGUF_F32, .is_array = true, .n = 2, .at.f = reals },
        { .key = "k", .type = SV_GGUF_F64, .is_array = true, .n = 2, .at.f = doubles },
        { .key = "l", .type = SV_GGUF_STRING, .is_array = true, .n = 0, .at.s = NULL },
        { .key = "general.alignment", .type = SV_GGUF_U32, .n = 1, .at.u = (const uint64_t[]){ 128 } },
    };
    sv_gguf a = { .alignment = 128, .value = v, .n_value = sizeof v / sizeof *v, .tensors = &(sv_tensors){ 0 } }, *b;
    assert_int_equal(sv_gguf_write(in("types.gguf"), v, a.n_value, NULL, 0, 128), SV_OK);
    assert_int_equal(sv_gguf_open(in("types.gguf"), &b), SV_OK);
    check_equal(&a, b);
    sv_gguf_close(b);
}

static void test_what_cannot_be_read_back_is_not_written(void **state)
{
    (void)state;
    static const uint64_t big[] = { 256 };
    static const int64_t low[] = { -129 };
    static const double one[] = { 1.0 };
    const struct {
        sv_gguf_value v;
        sv_err want;
    } bad[] = {
        { { .key = "k", .type = SV_GGUF_U8, .n = 1, .at.u = big }, SV_E_ARG },
        { { .key = "k", .type = SV_GGUF_BOOL, .n = 1, .at.u = big }, SV_E_ARG },
        { { .key = "k", .type = SV_GGUF_I8, .n = 1, .at.i = low }, SV_E_ARG },
        { { .key = "k", .type = SV_GGUF_ARRAY, .n = 1, .at.u = big }, SV_E_ARG },
        { { .key = "k", .type = SV_GGUF_U16, .n = 2, .at.u = big }, SV_E_LIMIT },
        { { .key = "", .type = SV_GGUF_U16, .n = 1, .at.u = big }, SV_E_LIMIT },
        { { .key = "\xc3\xa9", .type = SV_GGUF_U16, .n = 1, .at.u = big }, SV_E_FORMAT },
        { { .key = "general.alignment", .type = SV_GGUF_U16, .n = 1, .at.u = (const uint64_t[]){ 24 } }, SV_E_ARG },
        { { .key = "general.alignment", .type = SV_GGUF_F32, .n = 1, .at.f = one }, SV_E_FORMAT },
    };
    const char *path = in("bad.gguf");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sv_gguf_write(path, &bad[i].v, 1, NULL, 0, 0), bad[i].want);
    sv_gguf_value twice[2] = { { .key = "k", .type = SV_GGUF_U16, .n = 1, .at.u = big },
                               { .key = "k", .type = SV_GGUF_U16, .n = 1, .at.u = big } };
    assert_int_equal(sv_gguf_write(path, twice, 2, NULL, 0, 0), SV_E_ARG);
    assert_int_equal(sv_gguf_write(path, twice, 1, NULL, 0, 64), SV_E_ARG); /* no key says 64 */
    static const uint8_t data[64];
    sv_named_tensor t[2] = { { .name = "t", .dtype = SV_DT_F32, .n_dim = 1, .dim = { 2 }, .data = data, .bytes = 8 } };
    t[1] = t[0];
    assert_int_equal(sv_gguf_write(path, NULL, 0, t, 2, 0), SV_E_ARG);
    t[0].bytes = 7;
    assert_int_equal(sv_gguf_write(path, NULL, 0, t, 1, 0), SV_E_SHAPE);
    t[0].bytes = 8;
    t[0].dtype = SV_DT_I32;
    assert_int_equal(sv_gguf_write(path, NULL, 0, t, 1, 0), SV_E_DTYPE);
    t[0].dtype = SV_DT_F32;
    t[0].n_dim = 5;
    assert_int_equal(sv_gguf_write(path, NULL, 0, t, 1, 0), SV_E_SHAPE);
    assert_false(sv_file_exists(path));
}

/* ---- splits ---- */

static void put_part(const char *name, uint64_t no, uint64_t count, const char *tensor, const char *own_key)
{
    static const uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    file f = head(3, 1, 4);
    key_u32(&f, "split.no", (uint32_t)no);
    key_u32(&f, "split.count", (uint32_t)count);
    key(&f, "split.tensors.count", SV_GGUF_I32);
    u32(&f, 2);
    key_u32(&f, own_key, 1);
    info(&f, tensor, 1, DIMS(2), 0, 0);
    pad(&f, 32);
    sv_bytes_add(&f.b, data, 8);
    assert_int_equal(sv_file_write(in(name), (sv_str){ f.b.p, f.b.n }), SV_OK);
    sv_bytes_done(&f.b);
}

static sv_err try_path(const char *name)
{
    sv_gguf *g;
    sv_err e = sv_gguf_open(in(name), &g);
    if (e == SV_OK)
        sv_gguf_close(g);
    return e;
}

static void test_splits_are_one_set_with_the_first_parts_keys(void **state)
{
    (void)state;
    sv_gguf *g;
    put_part("m-00001-of-00002.gguf", 0, 2, "a", "first");
    put_part("m-00002-of-00002.gguf", 1, 2, "b", "second");
    assert_int_equal(sv_gguf_open(in("m-00001-of-00002.gguf"), &g), SV_OK);
    assert_int_equal(g->tensors->n, 2);
    assert_non_null(sv_gguf_find(g, "first"));
    assert_null(sv_gguf_find(g, "second"));
    assert_string_equal(sv_tensors_find(g->tensors, "b")->file, "m-00002-of-00002.gguf");
    /* Written as one file, without the keys of a split. */
    assert_int_equal(sv_gguf_write(in("whole.gguf"), g->value, g->n_value, g->tensors->item, g->tensors->n, 0), SV_OK);
    sv_gguf_close(g);
    assert_int_equal(sv_gguf_open(in("whole.gguf"), &g), SV_OK);
    assert_int_equal(g->n_value, 1);
    assert_int_equal(g->tensors->n, 2);
    sv_gguf_close(g);
}

static void test_parts_that_do_not_fit_together_are_named(void **state)
{
    (void)state;
    assert_int_equal(try_path("m-00002-of-00002.gguf"), SV_E_ARG);
    put_part("n-00001-of-00002.gguf", 0, 2, "a", "k");
    assert_int_equal(try_path("n-00001-of-00002.gguf"), SV_E_NOTFOUND);
    assert_non_null(strstr(sv_err_text(), "n-00002-of-00002.gguf"));
    put_part("n-00002-of-00002.gguf", 0, 2, "b", "k"); /* says it is the first */
    assert_int_equal(try_path("n-00001-of-00002.gguf"), SV_E_FORMAT);
    put_part("n-00002-of-00002.gguf", 1, 3, "b", "k"); /* of another set */
    assert_int_equal(try_path("n-00001-of-00002.gguf"), SV_E_FORMAT);
    put_part("n-00002-of-00002.gguf", 1, 2, "a", "k"); /* the same tensor */
    assert_int_equal(try_path("n-00001-of-00002.gguf"), SV_E_FORMAT);
    put_part("n-00001-of-00002.gguf", 0, 2, "b", "k");
    assert_int_equal(try_path("n-00001-of-00002.gguf"), SV_OK);
    put_part("renamed.gguf", 0, 2, "a", "k");
    assert_int_equal(try_path("renamed.gguf"), SV_E_FORMAT);
    assert_int_equal(try_path("gone.gguf"), SV_E_NOTFOUND);
    assert_int_equal(try_path("n-00001-of-09999.gguf"), SV_E_LIMIT);
}

/* ---- the real small model; SAMSVAR_SMOLLM2 names the file ---- */

static void test_the_real_model_has_its_published_facts_and_survives_a_rewrite(void **state)
{
    (void)state;
    const char *path = getenv("SAMSVAR_SMOLLM2");
    if (!path)
        skip();
    sv_gguf *g, *h;
    uint32_t n = 0, by_type[SV_DTYPE_COUNT] = { 0 };
    double eps = 0;
    sv_str pre;
    assert_int_equal(sv_gguf_open(path, &g), SV_OK);
    assert_true(g->version == 3 && g->n_value == 33 && g->tensors->n == 272);
    for (size_t i = 0; i < g->tensors->n; i++) {
        by_type[g->tensors->item[i].dtype]++;
        assert_int_equal(sv_named_tensor_check_finite(&g->tensors->item[i]), SV_OK);
    }
    assert_true(by_type[SV_DT_Q4_1] == 210 && by_type[SV_DT_F32] == 61 && by_type[SV_DT_Q8_0] == 1);
    assert_int_equal(sv_gguf_u32(g, "llama.block_count", true, &n), SV_OK);
    assert_int_equal(n, 30);
    assert_int_equal(sv_gguf_f64(g, "llama.attention.layer_norm_rms_epsilon", true, &eps), SV_OK);
    assert_true((float)eps == 1e-5f);
    assert_int_equal(sv_gguf_text(g, "tokenizer.ggml.pre", true, &pre), SV_OK);
    assert_true(sv_str_is(pre, "smollm"));
    assert_true(sv_gguf_find(g, "tokenizer.ggml.tokens")->n == 49152 &&
                sv_gguf_find(g, "tokenizer.ggml.merges")->n == 48900);
    const sv_named_tensor *e = sv_tensors_find(g->tensors, "token_embd.weight"),
                          *k = sv_tensors_find(g->tensors, "blk.0.attn_k.weight");
    float w[32];
    assert_true(e->n_dim == 2 && e->dim[0] == 49152 && e->dim[1] == 576);
    uint64_t start = UINT64_MAX;
    for (size_t i = 0; i < g->tensors->n; i++)
        start = g->tensors->item[i].file_offset < start ? g->tensors->item[i].file_offset : start;
    assert_true(start == 1785664);
    assert_true(sv_dtype_dequant_block(e->dtype, e->data, w) && w[0] == -0.10654449462890625f &&
                w[1] == 0.032978057861328125f);
    assert_true(sv_dtype_dequant_block(k->dtype, k->data, w) && w[0] == -0.15527344f && w[1] == 0.34020996f &&
                w[2] == -0.4855957f);
    assert_int_equal(sv_gguf_write(in("real.gguf"), g->value, g->n_value, g->tensors->item, g->tensors->n, 0), SV_OK);
    assert_int_equal(sv_gguf_open(in("real.gguf"), &h), SV_OK);
    check_equal(g, h);
    sv_gguf_close(h);
    sv_gguf_close(g);
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
        cmocka_unit_test(test_what_is_read_is_written_and_read_equal),
        cmocka_unit_test(test_every_value_type_survives_at_its_ends),
        cmocka_unit_test(test_what_cannot_be_read_back_is_not_written),
        cmocka_unit_test(test_splits_are_one_set_with_the_first_parts_keys),
        cmocka_unit_test(test_parts_that_do_not_fit_together_are_named),
        cmocka_unit_test(test_the_real_model_has_its_published_facts_and_survives_a_rewrite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
