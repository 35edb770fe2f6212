/* SPDX-License-Identifier: Apache-2.0
 * Claims about ops that move bytes: packing comes back bit for bit, tables give their rows, scattered rows land.
 */
#include "test/op_run.h"
#include "num/dtype.h"
#include "num/image.h"

static sv_tensor pack(sv_tensor w, uint32_t image)
{
    return op_run1(SV_OP_pack, &(sv_attr_pack){ image }, &w, 1);
}

static void test_packing_and_unpacking_keep_every_byte(void **state)
{
    (void)state;
    static const struct {
        sv_dtype dtype;
        sv_image image;
    } kind[] = { { SV_DT_F32, SV_IMAGE_P16 }, { SV_DT_BF16, SV_IMAGE_P16 }, { SV_DT_F16, SV_IMAGE_P16 },
                 { SV_DT_Q8_0, SV_IMAGE_S8 }, { SV_DT_Q4_0, SV_IMAGE_S4 },  { SV_DT_Q4_1, SV_IMAGE_A4 } };
    static const uint32_t rows[] = { 1, 15, 16, 17, 31, 32, 33, 65 };
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t r = 0; r < 8; r++) {
            sv_tensor w = op_run_tensor(kind[i].dtype, 2, rows[r], 96, 0, 0);
            uint8_t *p = sv_tensor_host(&w);
            uint64_t bytes = w.at.buf->bytes;
            for (uint64_t k = 0; k < bytes; k++)
                p[k] = (uint8_t)sv_philox_at(1, SV_STREAM_TEST, i, r, (uint32_t)k).w[0];
            sv_tensor packed = pack(w, kind[i].image), back = pack(packed, SV_IMAGE_PLAIN);
            assert_memory_equal(p, sv_tensor_host(&back), bytes);
            sv_tensor again = pack(packed, kind[i].image); /* an image to itself */
            assert_memory_equal(sv_tensor_host(&packed), sv_tensor_host(&again), packed.at.buf->bytes);
        }
}

static void test_spare_columns_are_zero_bytes(void **state)
{
    (void)state;
    sv_tensor w = op_run_normal2(17, 3, 1), packed = pack(w, SV_IMAGE_P16);
    for (uint32_t n = 17; n < 32; n++)
        for (uint32_t k = 0; k < 3; k++)
            assert_int_equal(sv_bits_u32(op_run_f(&packed)[sv_image_p16(n, k, 3)]), 0);
}

static void test_embed_reads_any_type_and_layout_alike(void **state)
{
    (void)state;
    sv_tensor w = op_run_normal2(40, 64, 1), tok = op_run_ints(5, (int32_t[]){ 39, 0, 32, 31, 39 });
    for (uint32_t t = 0; t < 3; t++) {
        sv_tensor q = op_run_tensor((sv_dtype)(SV_DT_Q8_0 + t), 2, 40, 64, 0, 0);
        for (uint32_t n = 0; n < 40; n++)
            sv_dtype_quant_row(q.dtype, op_run_f(&w) + n * 64, 64,
                               (uint8_t *)sv_tensor_host(&q) + n * sv_dtype_row_bytes(q.dtype, 64));
        sv_tensor a = op_run1(SV_OP_embed, NULL, (sv_tensor[]){ tok, q }, 2);
        sv_tensor b = op_run1(SV_OP_embed, NULL, (sv_tensor[]){ tok, pack(q, SV_IMAGE_S8 + t) }, 2);
        op_run_same(&a, &b);
        float row[64];
        sv_dtype_dequant_row(q.dtype, (uint8_t *)sv_tensor_host(&q) + 32 * sv_dtype_row_bytes(q.dtype, 64), 64, row);
        assert_memory_equal(row, op_run_f(&a) + 2 * 64, sizeof row);
    }
    sv_tensor a = op_run1(SV_OP_embed, NULL, (sv_tensor[]){ tok, w }, 2);
    assert_memory_equal(op_run_f(&a) + 3 * 64, op_run_f(&w) + 31 * 64, 256);
}

static void test_embed_grad_adds_rows_in_token_order(void **state)
{
    (void)state;
    sv_tensor tok = op_run_ints(4, (int32_t[]){ 1, 0, 1, 1 }), dy = T2(F32, 4, 1), table = T2(F32, 3, 1);
    const float d[] = { 1e8f, 5.0f, 1.0f, -1e8f }, t0[] = { 1.0f, 0.25f, -0.0f };
    memcpy(op_run_f(&dy), d, sizeof d);
    memcpy(op_run_f(&table), t0, sizeof t0);
    op_run_call(SV_OP_embed_grad, NULL, (sv_tensor[]){ tok, dy }, 2, &table);
    assert_true(op_run_f(&table)[0] == 6.0f);
    assert_true(op_run_f(&table)[1] == ((0.25f + 1e8f) + 1.0f) + -1e8f);
    assert_true(sv_bits_same(op_run_f(&table)[2], -0.0f)); /* rows of no token stay as they are */
}

static void test_gather_undoes_scatter(void **state)
{
    (void)state;
    sv_tensor x = op_run_normal2(3, 7, 1), idx = op_run_ints(3, (int32_t[]){ 0, 2, 5 });
    sv_tensor y = op_run1(SV_OP_scatter_rows, &(sv_attr_scatter_rows){ 6 }, (sv_tensor[]){ x, idx }, 2);
    sv_tensor back = op_run1(SV_OP_gather_rows, NULL, (sv_tensor[]){ y, idx }, 2);
    op_run_same(&x, &back);
    for (uint32_t d = 0; d < 7; d++)
        assert_int_equal(sv_bits_u32(op_run_f(&y)[7 + d]), 0);
}

static void test_kv_put_touches_its_slots_alone(void **state)
{
    (void)state;
    sv_tensor k = op_run_normal2(1, 6, 1), v = op_run_normal2(1, 6, 2),
              pages[2] = { T4(F32, 4, 2, 3, 32), T4(F32, 4, 2, 32, 3) };
    sv_tensor table = T2(I32, 2, 2);
    memcpy(op_run_i(&table), (int32_t[]){ 0, 1, 2, 3 }, 16);
    sv_tensor in[] = { k, v, op_run_ints(1, (int32_t[]){ 37 }), op_run_ints(1, (int32_t[]){ 1 }), table };
    op_run_call(SV_OP_kv_put, NULL, in, 5, pages);
    for (uint32_t page = 0; page < 4; page++)
        for (uint32_t g = 0; g < 2; g++)
            for (uint32_t d = 0; d < 3; d++)
                for (uint32_t s = 0; s < 32; s++) {
                    float kp = op_run_f(&pages[0])[((page * 2 + g) * 3 + d) * 32 + s];
                    float vp = op_run_f(&pages[1])[((page * 2 + g) * 32 + s) * 3 + d];
                    bool hit = page == 3 && s == 5;
                    assert_int_equal(sv_bits_u32(kp), hit ? sv_bits_u32(op_run_f(&k)[g * 3 + d]) : 0xffffffffu);
                    assert_int_equal(sv_bits_u32(vp), hit ? sv_bits_u32(op_run_f(&v)[g * 3 + d]) : 0xffffffffu);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing_and_unpacking_keep_every_byte),
        cmocka_unit_test(test_spare_columns_are_zero_bytes),
        cmocka_unit_test(test_embed_reads_any_type_and_layout_alike),
        cmocka_unit_test(test_embed_grad_adds_rows_in_token_order),
        cmocka_unit_test(test_gather_undoes_scatter),
        cmocka_unit_test(test_kv_put_touches_its_slots_alone),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
