/* SPDX-License-Identifier: Apache-2.0
 * Claims about shape rules: what does not fit is refused with the operand's name, what was found and what is allowed;
 * and sizes of tensors are right or refused.
 */
#include <stdio.h>

#include "test/op_run.h"
#include "num/image.h"

static sv_tensor make(sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1)
{
    return sv_tensor_make(dtype, n_dim, (uint32_t[]){ d0, d1 });
}

typedef struct refusal {
    sv_op op;
    sv_err err;
    const char *words; /* in the sentence */
    uint32_t n_in;
    sv_tensor in[4], out;
    union {
        sv_attr_matmul matmul;
        sv_attr_pack pack;
        sv_attr_rmsnorm rmsnorm;
        sv_attr_rope rope;
        sv_attr_cast cast;
        sv_attr_scatter_rows scatter;
        sv_attr_fill fill;
    } attr;
} refusal;

#define A(dtype, d0, d1) make(SV_DT_##dtype, 2, d0, d1)
#define L(dtype, d0) make(SV_DT_##dtype, 1, d0, 0)

static void test_what_does_not_fit_is_refused_in_words(void **state)
{
    (void)state;
    sv_tensor gap = A(I32, 3, 4), packed = A(F32, 3, 4), overlap = A(F32, 3, 4), wrong_image = A(F32, 32, 32),
              none = { 0 };
    gap.stride[1] = 2;
    packed.image = SV_IMAGE_P16;
    overlap.stride[0] = 3;
    wrong_image.image = SV_IMAGE_S8;
    const refusal list[] = {
        { SV_OP_matmul,
          SV_E_SHAPE,
          "b is f32 [4, 6]; dimension 1 must be 5 (k of a)",
          2,
          { A(F32, 3, 5), A(F32, 4, 6) },
          none,
          { { 0 } } },
        { SV_OP_matmul,
          SV_E_DTYPE,
          "a is f32 [3, 32]; allowed: Q8X",
          2,
          { A(F32, 3, 32), A(Q8_0, 4, 32) },
          none,
          { { 0 } } },
        { SV_OP_matmul, SV_E_DTYPE, "a is q8x", 2, { A(Q8X, 3, 32), A(F32, 4, 32) }, none, { { 0 } } },
        { SV_OP_matmul, SV_E_SHAPE, "multiple of 32", 2, { A(Q8X, 3, 40), A(Q8_0, 4, 40) }, none, { { 0 } } },
        { SV_OP_matmul, SV_E_DTYPE, "b is q8_0", 2, { A(F32, 3, 4), A(Q8_0, 4, 32) }, none, { { SV_NN, 0 } } },
        { SV_OP_matmul, SV_E_SHAPE, "packed weight", 2, { A(F32, 5, 3), packed }, none, { { SV_NN, 0 } } },
        { SV_OP_matmul, SV_E_SHAPE, "layout is not for this type", 2, { A(F32, 5, 32), wrong_image }, none, { { 0 } } },
        { SV_OP_matmul, SV_E_ARG, "layout is 7", 2, { A(F32, 3, 4), A(F32, 3, 4) }, none, { { 7, 0 } } },
        { SV_OP_matmul, SV_E_ARG, "only TN may accumulate", 2, { A(F32, 3, 4), A(F32, 3, 4) }, none, { { SV_NT, 1 } } },
        { SV_OP_matmul,
          SV_E_SHAPE,
          "2 inputs; 3 are needed",
          2,
          { A(F32, 3, 4), A(F32, 3, 4) },
          none,
          { { SV_TN, 0 } } },
        { SV_OP_matmul,
          SV_E_SHAPE,
          "must be given",
          3,
          { A(F32, 3, 4), A(F32, 3, 4), L(I32, 2) },
          none,
          { { SV_TN, 1 } } },
        { SV_OP_matmul,
          SV_E_SHAPE,
          "one item more",
          3,
          { A(F32, 3, 4), A(F32, 3, 4), L(I32, 0) },
          none,
          { { SV_TN, 0 } } },
        { SV_OP_matmul,
          SV_E_SHAPE,
          "output y is f32 [3, 9]; it must be f32 [3, 3]",
          2,
          { A(F32, 3, 4), A(F32, 3, 4) },
          A(F32, 3, 9),
          { { 0 } } },
        { SV_OP_add,
          SV_E_SHAPE,
          "b is f32 [3]; dimension 0 must be 4",
          2,
          { A(F32, 3, 4), L(F32, 3) },
          none,
          { { 0 } } },
        { SV_OP_add,
          SV_E_DTYPE,
          "a is bf16 [3, 4]; allowed: F32",
          2,
          { A(BF16, 3, 4), A(BF16, 3, 4) },
          none,
          { { 0 } } },
        { SV_OP_add, SV_E_SHAPE, "gaps or overlaps", 2, { overlap, A(F32, 3, 4) }, none, { { 0 } } },
        { SV_OP_copy, SV_E_SHAPE, "gaps or overlaps", 1, { gap }, none, { { 0 } } },
        { SV_OP_mul, SV_E_SHAPE, "must have the same shape", 2, { A(F32, 3, 4), A(F32, 4, 3) }, none, { { 0 } } },
        { SV_OP_cast, SV_E_DTYPE, "target type is I32", 1, { A(F32, 3, 4) }, none, { .cast = { SV_DT_I32 } } },
        { SV_OP_embed, SV_E_DTYPE, "tok is f32", 2, { L(F32, 3), A(F32, 3, 4) }, none, { { 0 } } },
        { SV_OP_embed_grad, SV_E_SHAPE, "dtable is read and written", 2, { L(I32, 3), A(F32, 3, 4) }, none, { { 0 } } },
        { SV_OP_pack, SV_E_ARG, "image is 9", 1, { A(F32, 3, 4) }, none, { .pack = { 9 } } },
        { SV_OP_pack,
          SV_E_SHAPE,
          "layout is not for this type",
          1,
          { A(F32, 3, 4) },
          none,
          { .pack = { SV_IMAGE_S4 } } },
        { SV_OP_quant, SV_E_SHAPE, "multiple of 32", 1, { A(F32, 3, 33) }, none, { { 0 } } },
        { SV_OP_rmsnorm, SV_E_SHAPE, "must divide", 2, { A(F32, 3, 7), L(F32, 3) }, none, { { 0 } } },
        { SV_OP_rope,
          SV_E_SHAPE,
          "d_head is 3",
          3,
          { A(F32, 3, 6), L(I32, 3), A(F32, 5, 3) },
          none,
          { .rope = { 3, 0, 1 } } },
        { SV_OP_scatter_rows,
          SV_E_SHAPE,
          "a place for each row",
          2,
          { A(F32, 3, 6), L(I32, 3) },
          none,
          { .scatter = { 2 } } },
        { SV_OP_fill, SV_E_ARG, "n_dim is 5", 0, { none }, none, { .fill = { 0, 5, { 0 } } } },
        { SV_OP_argmax, SV_E_SHAPE, "no largest one", 1, { A(F32, 3, 0) }, none, { { 0 } } },
    };
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++) {
        const refusal *r = &list[i];
        sv_tensor out[4] = { r->out };
        sv_err err = sv_opspecs[r->op]->shape(r->in, r->n_in, &r->attr, out);
        if (err != r->err || strstr(sv_err_text(), r->words) == NULL)
            fail_msg("%u %s: \"%s\" (%d) instead of \"%s\" (%d)", i, sv_opspecs[r->op]->name, sv_err_text(), err,
                     r->words, r->err);
    }
}

static void test_missing_attributes_are_refused(void **state)
{
    (void)state;
    for (uint32_t op = 0; op < SV_OP_COUNT; op++) {
        sv_case c;
        memset(&c, 0, sizeof c);
        sv_opspecs[op]->cases(0, &c);
        assert_true(c.has_attr == (sv_opspecs[op]->attr_bytes > 0));
        if (c.has_attr)
            assert_int_equal(sv_opspecs[op]->shape(c.in, c.n_in, NULL, c.out), SV_E_INTERNAL);
    }
}

static void test_too_few_inputs_are_refused_by_every_op(void **state)
{
    (void)state;
    for (uint32_t op = 0; op < SV_OP_COUNT; op++) {
        sv_case c;
        memset(&c, 0, sizeof c);
        sv_opspecs[op]->cases(0, &c);
        if (c.n_in > 0)
            assert_int_equal(sv_opspecs[op]->shape(c.in, c.n_in - 1, &c.attr, c.out), SV_E_SHAPE);
    }
}

static void check_bytes(sv_tensor t, uint64_t want)
{
    uint64_t bytes = 0;
    assert_int_equal(sv_tensor_bytes(&t, &bytes), SV_OK);
    assert_true(bytes == want);
}

static void test_sizes_of_tensors_are_exact_or_refused(void **state)
{
    (void)state;
    sv_tensor t = A(F32, 3, 5);
    check_bytes(t, 60);
    t.stride[0] = 9;
    check_bytes(t, (2 * 9 + 5) * 4);
    check_bytes(A(F32, 0, 5), 0);
    check_bytes((sv_tensor){ .dtype = SV_DT_F32 }, 4);
    check_bytes(A(Q8_0, 3, 64), 3 * 2 * 34);
    check_bytes(A(Q6_K, 3, 512), 3 * 2 * 210);
    check_bytes(A(Q8X, 2, 96), 2 * 3 * 40);
    t = A(BF16, 17, 5);
    t.image = SV_IMAGE_P16;
    check_bytes(t, 32 * 5 * 2);
    t = A(Q8_0, 33, 64);
    t.image = SV_IMAGE_S8;
    check_bytes(t, 2 * 2 * SV_S8_BYTES);
    t = A(Q4_1, 1, 32);
    t.image = SV_IMAGE_A4;
    check_bytes(t, SV_A4_BYTES);
    uint64_t bytes;
    t = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ UINT32_MAX, UINT32_MAX });
    assert_int_equal(sv_tensor_bytes(&t, &bytes), SV_E_LIMIT);
    t.image = SV_IMAGE_P16;
    assert_int_equal(sv_tensor_bytes(&t, &bytes), SV_E_LIMIT);
    t = A(F32, 3, 5);
    t.stride[0] = UINT64_MAX / 2;
    assert_int_equal(sv_tensor_bytes(&t, &bytes), SV_E_LIMIT);
}

static void test_texts_of_tensors_live_side_by_side(void **state)
{
    (void)state;
    sv_tensor a = A(F32, 3, 4), b = A(Q4_0, 64, 32), c = L(I32, 7);
    b.image = SV_IMAGE_S4;
    char all[128];
    snprintf(all, sizeof all, "%s, %s, %s", sv_tensor_text(&a), sv_tensor_text(&b), sv_tensor_text(&c));
    assert_string_equal(all, "f32 [3, 4], q4_0 [64, 32] S4, i32 [7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_does_not_fit_is_refused_in_words),
        cmocka_unit_test(test_missing_attributes_are_refused),
        cmocka_unit_test(test_too_few_inputs_are_refused_by_every_op),
        cmocka_unit_test(test_sizes_of_tensors_are_exact_or_refused),
        cmocka_unit_test(test_texts_of_tensors_live_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
