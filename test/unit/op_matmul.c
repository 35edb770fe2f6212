/* SPDX-License-Identifier: Apache-2.0
 * Claims about matmul: the three products, the order of their sums, leaves, packed weights and block-quantised weights.
 */
#include <math.h>

#include "test/op_run.h"
#include "num/dtype.h"
#include "num/sum.h"
#include "op/read.h"

static sv_tensor nt(sv_tensor a, sv_tensor b)
{
    return op_run1(SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, (sv_tensor[]){ a, b }, 2);
}

static sv_tensor nn(sv_tensor a, sv_tensor b)
{
    return op_run1(SV_OP_matmul, &(sv_attr_matmul){ SV_NN, 0 }, (sv_tensor[]){ a, b }, 2);
}

static sv_tensor tn(sv_tensor a, sv_tensor b, sv_tensor seg)
{
    return op_run1(SV_OP_matmul, &(sv_attr_matmul){ SV_TN, 0 }, (sv_tensor[]){ a, b, seg }, 3);
}

static sv_tensor transposed(const sv_tensor *a)
{
    sv_tensor t = T2(F32, a->dim[1], a->dim[0]);
    for (uint32_t i = 0; i < a->dim[0]; i++)
        for (uint32_t j = 0; j < a->dim[1]; j++)
            op_run_f(&t)[j * a->dim[0] + i] = op_run_f(a)[i * a->dim[1] + j];
    return t;
}

static sv_tensor cast(sv_tensor x, sv_dtype dtype)
{
    return op_run1(SV_OP_cast, &(sv_attr_cast){ dtype }, &x, 1);
}
static sv_tensor pack(sv_tensor w, sv_image image)
{
    return op_run1(SV_OP_pack, &(sv_attr_pack){ image }, &w, 1);
}

static sv_tensor quantised(const sv_tensor *x, sv_dtype dtype)
{
    sv_tensor q = op_run_tensor(dtype, 2, x->dim[0], x->dim[1], 0, 0);
    for (uint32_t n = 0; n < x->dim[0]; n++)
        assert_true(sv_dtype_quant_row(dtype, op_run_f(x) + (size_t)n * x->dim[1], x->dim[1],
                                       (uint8_t *)sv_tensor_host(&q) + n * sv_dtype_row_bytes(dtype, x->dim[1])));
    return q;
}

static void test_nt_is_the_sum_of_products(void **state)
{
    (void)state;
    sv_tensor a = op_run_normal2(3, 700, 1), b = op_run_normal2(4, 700, 2), y = nt(a, b);
    for (uint32_t m = 0; m < 3; m++)
        for (uint32_t n = 0; n < 4; n++) {
            double s = 0;
            for (uint32_t k = 0; k < 700; k++)
                s += (double)op_run_f(&a)[m * 700 + k] * (double)op_run_f(&b)[n * 700 + k];
            op_run_near((double)op_run_f(&y)[m * 4 + n], s, 1e-5, "NT", m * 4 + n);
        }
}

static void test_the_three_layouts_share_one_order(void **state)
{
    (void)state;
    static const uint32_t K[] = { 0, 1, 255, 256, 257, 513, 1280 };
    for (uint32_t i = 0; i < sizeof K / sizeof *K; i++) {
        sv_tensor a = op_run_normal2(5, K[i], 1), b = op_run_normal2(7, K[i], 2), y = nt(a, b);
        sv_tensor bt = transposed(&b), at = transposed(&a), z = nn(a, bt);
        op_run_same(&y, &z);
        z = tn(at, bt, op_run_ints(2, (int32_t[]){ 0, (int32_t)K[i] }));
        for (uint64_t k = 0; k < 35 && K[i] > 0; k++) /* a leaf total is added to +0: it can only turn -0 into +0 */
            assert_true(op_run_f(&y)[k] + 0.0f == op_run_f(&z)[k]);
    }
}

static void test_chunks_of_256_are_combined_by_halve_not_left_to_right(void **state)
{
    (void)state;
    sv_tensor a = op_run_normal2(1, 1280, 3), b = op_run_normal2(1, 1280, 4), y = nt(a, b);
    float piece[5], *x = op_run_f(&a), *w = op_run_f(&b);
    for (uint32_t c = 0; c < 5; c++) {
        piece[c] = 0;
        for (uint32_t k = c * 256; k < (c + 1) * 256; k++)
            piece[c] = fmaf(x[k], w[k], piece[c]);
    }
    float halve = ((piece[0] + piece[1]) + piece[2]) + (piece[3] + piece[4]);
    float forward = (((piece[0] + piece[1]) + piece[2]) + piece[3]) + piece[4];
    assert_true(sv_bits_same(op_run_f(&y)[0], halve));
    assert_false(sv_bits_same(halve, forward)); /* these numbers tell the orders apart */
}

static void test_rows_do_not_depend_on_their_neighbours(void **state)
{
    (void)state;
    sv_tensor a = op_run_normal2(6, 300, 1), b = op_run_normal2(9, 300, 2), all = nt(a, b);
    for (uint32_t m = 0; m < 6; m++) {
        sv_tensor row = a, y;
        row.dim[0] = 1;
        row.at.off = (uint64_t)m * 300 * sizeof(float);
        y = nt(row, b);
        for (uint32_t n = 0; n < 9; n++)
            assert_true(sv_bits_same(op_run_f(&y)[n], op_run_f(&all)[m * 9 + n]));
    }
}

static void test_leaves_in_one_call_equal_leaves_one_by_one(void **state)
{
    (void)state;
    static const int32_t seg[] = { 0, 5, 5, 300, 307 };
    sv_tensor a = op_run_normal2(307, 3, 1), b = op_run_normal2(307, 4, 2);
    sv_tensor at_once = tn(a, b, op_run_ints(5, seg)), one_by_one = T2(F32, 3, 4);
    memset(op_run_f(&one_by_one), 0, 12 * sizeof(float));
    for (uint32_t l = 0; l < 4; l++) {
        uint32_t rows = (uint32_t)(seg[l + 1] - seg[l]);
        sv_tensor la = a, lb = b, out = one_by_one;
        la.dim[0] = lb.dim[0] = rows;
        la.at.off = (uint64_t)seg[l] * 3 * sizeof(float);
        lb.at.off = (uint64_t)seg[l] * 4 * sizeof(float);
        op_run_call(SV_OP_matmul, &(sv_attr_matmul){ SV_TN, 1 },
                    (sv_tensor[]){ la, lb, op_run_ints(2, (int32_t[]){ 0, (int32_t)rows }) }, 3, &out);
    }
    op_run_same(&at_once, &one_by_one);
}

static void test_an_empty_leaf_keeps_negative_zero(void **state)
{
    (void)state;
    sv_tensor c = T2(F32, 2, 2), a = T2(F32, 0, 2), b = T2(F32, 0, 2);
    for (uint32_t i = 0; i < 4; i++)
        op_run_f(&c)[i] = -0.0f;
    sv_tensor in[] = { a, b, op_run_ints(3, (int32_t[]){ 0, 0, 0 }) };
    op_run_call(SV_OP_matmul, &(sv_attr_matmul){ SV_TN, 1 }, in, 3, &c);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(sv_bits_same(op_run_f(&c)[i], -0.0f));
}

static void test_half_types_are_widened_exactly(void **state)
{
    (void)state;
    static const sv_dtype type[] = { SV_DT_BF16, SV_DT_F16 };
    sv_tensor a = op_run_normal2(3, 100, 1), b = op_run_normal2(5, 100, 2);
    for (uint32_t i = 0; i < 2; i++) {
        sv_tensor ha = cast(a, type[i]), hb = cast(b, type[i]), wide_a = cast(ha, SV_DT_F32),
                  wide_b = cast(hb, SV_DT_F32);
        sv_tensor y = nt(ha, hb), z = nt(wide_a, wide_b);
        op_run_same(&y, &z);
    }
}

static void test_packed_weights_give_the_bits_of_plain_ones(void **state)
{
    (void)state;
    static const uint32_t rows[] = { 1, 15, 16, 17, 33, 70 };
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sv_tensor x = op_run_normal2(3, 96, 1), w = op_run_normal2(rows[i], 96, 2), y = nt(x, w),
                  z = nt(x, pack(w, SV_IMAGE_P16));
        op_run_same(&y, &z);
        sv_tensor q = op_run1(SV_OP_quant, NULL, &x, 1);
        for (uint32_t t = 0; t < 3; t++) {
            sv_tensor b = quantised(&w, (sv_dtype)(SV_DT_Q8_0 + t));
            y = nt(q, b);
            z = nt(q, pack(b, (sv_image)(SV_IMAGE_S8 + t)));
            op_run_same(&y, &z);
        }
    }
}

static void test_block_products_are_close_to_the_products_of_their_values(void **state)
{
    (void)state;
    static const uint32_t N = 5, K = 2304; /* nine chunks */
    sv_tensor x = op_run_normal2(2, K, 1), w = op_run_normal2(N, K, 2), q = op_run1(SV_OP_quant, NULL, &x, 1);
    double *xd = sv_mem_new(2 * K * sizeof(double));
    for (uint32_t i = 0; i < 2 * K / 32; i++) {
        float v[32];
        sv_dtype_dequant_block(SV_DT_Q8X, (const uint8_t *)sv_tensor_host(&q) + i * 40, v);
        for (uint32_t k = 0; k < 32; k++) {
            xd[i * 32 + k] = (double)v[k];
            op_run_near(xd[i * 32 + k], (double)op_run_f(&x)[i * 32 + k], 0.02, "quant", i * 32 + k);
        }
    }
    for (uint32_t t = 0; t < 3; t++) {
        sv_tensor b = quantised(&w, (sv_dtype)(SV_DT_Q8_0 + t)), y = nt(q, b);
        float row[2304];
        for (uint32_t n = 0; n < N; n++) {
            sv_read_row(&b, n, row);
            for (uint32_t m = 0; m < 2; m++) {
                double s = 0;
                for (uint32_t k = 0; k < K; k++)
                    s += xd[m * K + k] * (double)row[k];
                op_run_near((double)op_run_f(&y)[m * N + n], s, 2e-5, sv_dtype_name(b.dtype), m * N + n);
            }
        }
    }
    sv_mem_free(xd);
}

static void test_a_code_of_minus_128_counts_in_full(void **state)
{
    (void)state;
    sv_tensor x = T2(F32, 1, 32), w = T2(Q8_0, 1, 32);
    uint8_t *b = sv_tensor_host(&w);
    sv_store_u16(b, sv_f16_narrow(1.0f));
    memset(b + 2, 0x80, 32);
    for (uint32_t k = 0; k < 32; k++)
        op_run_f(&x)[k] = k % 2 ? -127.0f : 127.0f;
    op_run_f(&x)[0] = -127.0f;
    sv_tensor y = nt(op_run1(SV_OP_quant, NULL, &x, 1), w);
    assert_true(op_run_f(&y)[0] == 128.0f * 127.0f * 2.0f);
}

static void test_a_row_of_ones_sums_a_bias_gradient(void **state)
{
    (void)state;
    sv_tensor ones = op_run1(SV_OP_fill, &(sv_attr_fill){ 1.0f, 2, { 300, 1 } }, NULL, 0),
              dy = op_run_normal2(300, 5, 1);
    sv_tensor c = T1(F32, 5);
    sv_tensor in[] = { ones, dy, op_run_ints(2, (int32_t[]){ 0, 300 }) };
    op_run_call(SV_OP_matmul, &(sv_attr_matmul){ SV_TN, 0 }, in, 3, &c);
    for (uint32_t k = 0; k < 5; k++) {
        float piece[2] = { 0, 0 };
        for (uint32_t t = 0; t < 300; t++)
            piece[t / 256] += op_run_f(&dy)[t * 5 + k];
        assert_true(sv_bits_same(op_run_f(&c)[k], piece[0] + piece[1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nt_is_the_sum_of_products),
        cmocka_unit_test(test_the_three_layouts_share_one_order),
        cmocka_unit_test(test_chunks_of_256_are_combined_by_halve_not_left_to_right),
        cmocka_unit_test(test_rows_do_not_depend_on_their_neighbours),
        cmocka_unit_test(test_leaves_in_one_call_equal_leaves_one_by_one),
        cmocka_unit_test(test_an_empty_leaf_keeps_negative_zero),
        cmocka_unit_test(test_half_types_are_widened_exactly),
        cmocka_unit_test(test_packed_weights_give_the_bits_of_plain_ones),
        cmocka_unit_test(test_block_products_are_close_to_the_products_of_their_values),
        cmocka_unit_test(test_a_code_of_minus_128_counts_in_full),
        cmocka_unit_test(test_a_row_of_ones_sums_a_bias_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
