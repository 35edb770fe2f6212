/* SPDX-License-Identifier: Apache-2.0
 * Claims about ops over rows and items: their formulas in binary64, their edge values, and vectors of PyTorch.
 */
#include <math.h>

#include "test/op_run.h"
#include "num/dtype.h"
#include "op/logprob.h"

static sv_tensor floats(uint32_t n, const float *x)
{
    sv_tensor t = T2(F32, 1, n);
    memcpy(op_run_f(&t), x, n * sizeof *x);
    return t;
}

static void test_softmax_rows_are_probabilities(void **state)
{
    (void)state;
    sv_tensor x = op_run_normal2(3, 5000, 1), y = op_run1(SV_OP_softmax, NULL, &x, 1);
    for (uint32_t t = 0; t < 3; t++) {
        double l = 0, sum = 0;
        for (uint32_t d = 0; d < 5000; d++)
            l += exp((double)op_run_f(&x)[t * 5000 + d]);
        for (uint32_t d = 0; d < 5000; d++) {
            double p = (double)op_run_f(&y)[t * 5000 + d];
            assert_true(fabs(p - exp((double)op_run_f(&x)[t * 5000 + d]) / l) < 1e-6 * p + 1e-12);
            sum += p;
        }
        op_run_near(sum, 1, 1e-6, "sum", t);
    }
}

static void test_logprob_equals_pytorch_and_the_sampler(void **state)
{
    (void)state;
    static const float z[] = { 0.5f, 2.0f, -1.0f, 3.25f, 0.0f };
    /* torch 2 log_softmax */
    static const double want[] = { -3.0889484882354736, -1.5889484882354736, -4.588948726654053, -0.3389485478401184,
                                   -3.5889484882354736 };
    for (int32_t y = 0; y < 5; y++) {
        sv_tensor out[2];
        memset(out, 0, sizeof out);
        op_run_call(SV_OP_logprob, NULL, (sv_tensor[]){ floats(5, z), op_run_ints(1, &y) }, 2, out);
        op_run_near((double)op_run_f(&out[0])[0], want[y], 1e-7, "lp", (uint32_t)y);
        assert_true(sv_bits_same(op_run_f(&out[0])[0], sv_logprob_row(z, 5, (uint32_t)y)));
        assert_true(op_run_f(&out[1])[0] == 3.25f);
    }
}

static void test_logprob_survives_large_logits(void **state)
{
    (void)state;
    static const float z[] = { 1e30f, -1e30f, 1e30f };
    assert_true(fabs((double)sv_logprob_row(z, 3, 0)) <= 1e30 * 1e-6);
    assert_true(sv_logprob_row(z, 3, 1) < -1e30f);
}

static void test_rmsnorm_normalises_each_group(void **state)
{
    (void)state;
    sv_tensor x = op_run_normal2(4, 3 * 40, 1), g = T1(F32, 40);
    op_run_normal(&g, 2, 1.0f);
    sv_tensor y = op_run1(SV_OP_rmsnorm, &(sv_attr_rmsnorm){ 1e-6f }, (sv_tensor[]){ x, g }, 2);
    for (uint32_t i = 0; i < 12; i++) {
        double ms = 0;
        for (uint32_t d = 0; d < 40; d++)
            ms += pow((double)op_run_f(&x)[i * 40 + d], 2) / 40;
        for (uint32_t d = 0; d < 40; d++)
            op_run_near((double)op_run_f(&y)[i * 40 + d],
                        (double)op_run_f(&x)[i * 40 + d] / sqrt(ms + 1e-6) * (double)op_run_f(&g)[d], 1e-6, "y",
                        i * 40 + d);
    }
}

static void test_rmsnorm_gain_gradient_does_not_depend_on_leaves_per_call(void **state)
{
    (void)state;
    static const int32_t seg[] = { 0, 290, 290, 303, 310 };
    sv_tensor x = op_run_normal2(310, 2 * 6, 1), dy = op_run_normal2(310, 2 * 6, 2), g = T1(F32, 6), dx, dg[2];
    op_run_normal(&g, 3, 1.0f);
    for (uint32_t k = 0; k < 2; k++) {
        dg[k] = T1(F32, 6);
        memset(op_run_f(&dg[k]), 0, 24);
        for (uint32_t l = 0; l < (k ? 4u : 1u); l++) {
            sv_tensor lx = x, ldy = dy,
                      s = k ? op_run_ints(2, (int32_t[]){ 0, seg[l + 1] - seg[l] }) : op_run_ints(5, seg);
            if (k) {
                lx.at.off = ldy.at.off = (uint64_t)seg[l] * 12 * 4;
                lx.dim[0] = ldy.dim[0] = (uint32_t)(seg[l + 1] - seg[l]);
            }
            sv_tensor out[2] = { { 0 }, dg[k] };
            op_run_call(SV_OP_rmsnorm_grad, &(sv_attr_rmsnorm){ 1e-5f }, (sv_tensor[]){ lx, g, ldy, s }, 4, out);
            dx = out[0];
        }
    }
    (void)dx;
    op_run_same(&dg[0], &dg[1]);
}

static void test_rope_and_its_inverse_undo_each_other(void **state)
{
    (void)state;
    sv_tensor x = op_run_normal2(5, 2 * 8, 1), table = T2(F32, 6, 8),
              pos = op_run_ints(5, (int32_t[]){ 0, 1, 5, 3, 5 });
    for (uint32_t p = 0; p < 6; p++)
        for (uint32_t i = 0; i < 4; i++) {
            op_run_f(&table)[p * 8 + i] = (float)cos(p / (1.0 + i));
            op_run_f(&table)[p * 8 + 4 + i] = (float)sin(p / (1.0 + i));
        }
    sv_tensor y = op_run1(SV_OP_rope, &(sv_attr_rope){ 8, 0, 0.5f }, (sv_tensor[]){ x, pos, table }, 3);
    sv_tensor back = op_run1(SV_OP_rope, &(sv_attr_rope){ 8, 1, 2.0f }, (sv_tensor[]){ y, pos, table }, 3);
    double a = (double)op_run_f(&x)[2 * 16 + 8 + 1], b = (double)op_run_f(&x)[2 * 16 + 8 + 5];
    op_run_near((double)op_run_f(&y)[2 * 16 + 8 + 1], (a * cos(2.5) - b * sin(2.5)) / 2, 1e-6, "u", 0);
    op_run_near((double)op_run_f(&y)[2 * 16 + 8 + 5], (b * cos(2.5) + a * sin(2.5)) / 2, 1e-6, "v", 0);
    for (uint32_t i = 0; i < 80; i++)
        op_run_near((double)op_run_f(&back)[i], (double)op_run_f(&x)[i], 1e-6, "back", i);
}

static void test_adamw_follows_pytorch(void **state)
{
    (void)state;
    static const float start[] = { 1.0f, -2.0f, 0.5f, 3.0f };
    static const float grad[3][4] = { { 0.1f, -0.2f, 0.3f, -4.0f },
                                      { 0.05f, 0.2f, -0.1f, 1.0f },
                                      { 1e-4f, 0.0f, 2.0f, -0.5f } };
    /* torch 2 AdamW(lr 0.01, betas (0.9, 0.95), eps 1e-8, weight_decay 0.1) */
    static const double want[3][4] = {
        { 0.9890000224113464, -1.9880000352859497, 0.4895000159740448, 3.006999969482422 },
        { 0.9786181449890137, -1.9865384101867676, 0.484967440366745, 3.0087406635284424 },
        { 0.9702790975570679, -1.9849640130996704, 0.4778482913970947, 3.0102076530456543 },
    };
    sv_tensor pmv[3] = { floats(4, start), floats(4, (float[4]){ 0 }), floats(4, (float[4]){ 0 }) };
    for (uint32_t s = 0; s < 3; s++) {
        sv_tensor g = floats(4, grad[s]), opt = T1(F32, 4);
        const float o[] = { 0.01f, (float)(1 / (1 - pow(0.9, s + 1))), (float)(1 / (1 - pow(0.95, s + 1))), 0.5f };
        memcpy(op_run_f(&opt), o, sizeof o);
        for (uint32_t i = 0; i < 4; i++) /* clip halves what was doubled: exact */
            op_run_f(&g)[i] *= 2;
        op_run_call(SV_OP_adamw, &(sv_attr_adamw){ 0.9f, 0.95f, 1e-8f, 0.1f }, (sv_tensor[]){ g, opt }, 2, pmv);
        for (uint32_t i = 0; i < 4; i++)
            op_run_near((double)op_run_f(&pmv[0])[i], want[s][i], 2e-7, "p", i);
    }
}

static void check_block(const sv_tensor *q, uint32_t b, uint32_t scale, const int8_t *code)
{
    const uint8_t *p = (const uint8_t *)sv_tensor_host(q) + b * 40;
    int32_t sum = 0;
    assert_int_equal(sv_load_u32(p), scale);
    for (uint32_t i = 0; i < 32; i++) {
        assert_int_equal((int8_t)p[8 + i], code[i]);
        sum += code[i];
    }
    assert_int_equal((int32_t)sv_load_u32(p + 4), sum);
}

static void test_quant_rounds_to_even_and_refuses_extremes(void **state)
{
    (void)state;
    float x[6 * 32] = { 0 };
    int8_t code[32] = { 127, -127, 0, 2, 2, -2, 4 };
    const float block0[] = { 127.0f, -127.0f, 0.5f, 1.5f, 2.5f, -2.5f, 3.5f }; /* s = 1: halves go to even */
    memcpy(x, block0, sizeof block0);
    x[64] = NAN; /* block 2 */
    x[64 + 1] = 5.0f;
    x[96] = -INFINITY;  /* block 3 */
    x[128] = 0x1p-120f; /* block 4: the scale would be subnormal */
    x[160] = 0x1p-119f; /* block 5: 127 2^-126 = 0.992 2^-119, so the scale is normal */
    sv_tensor t = floats(6 * 32, x), q = op_run1(SV_OP_quant, NULL, &t, 1);
    static const int8_t none[32] = { 0 }, one[32] = { 127 };
    check_block(&q, 0, sv_bits_u32(1.0f), code);
    check_block(&q, 1, 0, none);
    check_block(&q, 2, SV_NAN_BITS, none);
    check_block(&q, 3, SV_NAN_BITS, none);
    check_block(&q, 4, 0, none);
    check_block(&q, 5, sv_bits_u32(0x1p-119f / 127.0f), one);
}

static void test_cast_rounds_once_to_nearest_even(void **state)
{
    (void)state;
    static const float x[] = { 1.0f + 0x1p-8f, 1.0f + 0x3p-8f, 65520.0f, 65519.0f,
                               0x1p-25f,       0x1.8p-25f,     -0.0f,    0x1p-149f };
    static const uint16_t bf16[] = { 0x3f80, 0x3f82, 0x4780, 0x4780, 0x3300, 0x3340, 0x8000, 0x0000 };
    static const uint16_t f16[] = { 0x3c04, 0x3c0c, 0x7c00, 0x7bff, 0x0000, 0x0001, 0x8000, 0x0000 };
    sv_tensor b = op_run1(SV_OP_cast, &(sv_attr_cast){ SV_DT_BF16 }, (sv_tensor[]){ floats(8, x) }, 1);
    sv_tensor h = op_run1(SV_OP_cast, &(sv_attr_cast){ SV_DT_F16 }, (sv_tensor[]){ floats(8, x) }, 1);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(((uint16_t *)sv_tensor_host(&b))[i], bf16[i]);
        assert_int_equal(((uint16_t *)sv_tensor_host(&h))[i], f16[i]);
    }
}

static void test_argmax_and_sums_have_their_edge_values(void **state)
{
    (void)state;
    sv_tensor y = op_run1(SV_OP_argmax, NULL, (sv_tensor[]){ floats(5, (float[]){ 1, NAN, 7, 7, -1 }) }, 1);
    assert_int_equal(op_run_i(&y)[0], 2);
    sv_tensor none = T1(F32, 0), s = op_run1(SV_OP_sum, NULL, &none, 1);
    assert_true(sv_bits_same(op_run_f(&s)[0], 0.0f));
    s = op_run1(SV_OP_sumsq, NULL, (sv_tensor[]){ floats(3, (float[]){ 1, -2, 3 }) }, 1);
    assert_true(op_run_f(&s)[0] == 14.0f);
}

static void test_normals_do_not_depend_on_the_shape(void **state)
{
    (void)state;
    sv_attr_rand_normal a = { .seed = 9, .stream = SV_STREAM_INIT, .step = 3, .std = 0.5f, .n_dim = 1, .dim = { 30 } };
    sv_tensor flat = op_run1(SV_OP_rand_normal, &a, NULL, 0);
    a.n_dim = 2;
    a.dim[0] = 10;
    a.dim[1] = 3;
    sv_tensor square = op_run1(SV_OP_rand_normal, &a, NULL, 0);
    op_run_same(&flat, &square);
    a.step = 4;
    sv_tensor other = op_run1(SV_OP_rand_normal, &a, NULL, 0);
    assert_false(sv_bits_same(op_run_f(&other)[0], op_run_f(&flat)[0]));
}

static void test_gaps_between_rows_do_not_change_a_bit(void **state)
{
    (void)state;
    static const sv_op one_input[] = { SV_OP_softmax, SV_OP_copy, SV_OP_sum, SV_OP_sumsq, SV_OP_argmax };
    sv_tensor x = op_run_normal2(9, 50, 1), wide = op_run_normal2(9, 61, 2);
    for (uint32_t t = 0; t < 9; t++)
        memcpy(op_run_f(&wide) + t * 61, op_run_f(&x) + t * 50, 50 * sizeof(float));
    wide.dim[1] = 50;
    for (uint32_t i = 0; i < sizeof one_input / sizeof *one_input; i++) {
        sv_tensor a = op_run1(one_input[i], NULL, &x, 1), b = op_run1(one_input[i], NULL, &wide, 1);
        op_run_same(&a, &b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax_rows_are_probabilities),
        cmocka_unit_test(test_logprob_equals_pytorch_and_the_sampler),
        cmocka_unit_test(test_logprob_survives_large_logits),
        cmocka_unit_test(test_rmsnorm_normalises_each_group),
        cmocka_unit_test(test_rmsnorm_gain_gradient_does_not_depend_on_leaves_per_call),
        cmocka_unit_test(test_rope_and_its_inverse_undo_each_other),
        cmocka_unit_test(test_adamw_follows_pytorch),
        cmocka_unit_test(test_quant_rounds_to_even_and_refuses_extremes),
        cmocka_unit_test(test_cast_rounds_once_to_nearest_even),
        cmocka_unit_test(test_argmax_and_sums_have_their_edge_values),
        cmocka_unit_test(test_normals_do_not_depend_on_the_shape),
        cmocka_unit_test(test_gaps_between_rows_do_not_change_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
