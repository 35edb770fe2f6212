/* SPDX-License-Identifier: Apache-2.0
 * embed - rows of a table by token.
 *
 *     y[t,d] = table[tok[t],d]
 *
 * shape    tok I32 [T], table [V,D] -> y [T,D]; T may be 0; 0 <= tok < V is the caller's promise
 * dtype    table: any float or block type, plain or packed; y: f32, widened exactly (blocks: their f32 values)
 * arith    A-32
 * grad     embed_grad
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

#define TABLE_TYPES \
    (SV_TAKES_FLOAT | SV_TAKES(Q8_0) | SV_TAKES(Q4_0) | SV_TAKES(Q4_1) | SV_TAKES(Q5_0) | SV_TAKES(Q5_1) | SV_TAKES_K)

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "tok", SV_TAKES_I32, 1));
    SV_TRY(sv_check_weight(&in[1], "table", TABLE_TYPES));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, (uint32_t[]){ in[0].dim[0], in[1].dim[1] });
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const int32_t *tok = sv_ints(&call->in[0]);
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++)
        sv_read_row(&call->in[1], (uint32_t)tok[t], sv_row(&call->out[0], t));
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    sv_val table = fwd->in[1], into = sv_tape_param_grad(t, table);
    if (!sv_tape_needs(t, table))
        return;
    if (into == SV_NONE) {
        const sv_tensor *shape_of = sv_tape_tensor(t, table);
        sv_attr_fill zero = { 0.0f, 2, { shape_of->dim[0], shape_of->dim[1] } };
        into = din[1] = sv_tape_emit1(t, SV_OP_fill, &zero, NULL, 0);
    }
    sv_tape_emit(t, SV_OP_embed_grad, NULL, (sv_val[]){ fwd->in[0], dout[0] }, 2, &into);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const struct {
        uint32_t T, V, D;
        sv_dtype dtype;
        sv_image image;
    } row[] = {
        { 1, 1, 1, SV_DT_F32, 0 },
        { 0, 3, 4, SV_DT_F32, 0 },
        { 7, 5, 3, SV_DT_F32, 0 },
        { 3, 17, 33, SV_DT_F32, 0 },
        { 5, 100, 256, SV_DT_F32, 0 },
        { 2, 9, 1000, SV_DT_F32, 0 },
        { 3, 17, 33, SV_DT_BF16, 0 },
        { 4, 31, 64, SV_DT_F16, 0 },
        { 3, 17, 33, SV_DT_F32, SV_IMAGE_P16 },
        { 5, 33, 31, SV_DT_BF16, SV_IMAGE_P16 },
        { 6, 16, 8, SV_DT_F16, SV_IMAGE_P16 },
        { 3, 5, 64, SV_DT_Q8_0, 0 },
        { 9, 40, 96, SV_DT_Q4_0, 0 },
        { 4, 33, 32, SV_DT_Q4_1, 0 },
        { 5, 35, 64, SV_DT_Q8_0, SV_IMAGE_S8 },
        { 5, 35, 64, SV_DT_Q4_0, SV_IMAGE_S4 },
        { 5, 35, 64, SV_DT_Q4_1, SV_IMAGE_A4 },
        { 3, 4, 64, SV_DT_Q5_0, 0 },
        { 3, 4, 64, SV_DT_Q5_1, 0 },
        { 2, 3, 512, SV_DT_Q4_K, 0 },
        { 2, 3, 256, SV_DT_Q5_K, 0 },
        { 2, 3, 256, SV_DT_Q6_K, 0 },
        { 5, 35, 512, SV_DT_Q4_K, SV_IMAGE_K4 },
        { 5, 35, 256, SV_DT_Q5_K, SV_IMAGE_K5 },
        { 5, 35, 768, SV_DT_Q6_K, SV_IMAGE_K6 },
        { 130, 64, 16, SV_DT_F32, 0 },
    };
    if (i >= 2 * sizeof row / sizeof *row)
        return 0;
    uint32_t r = i / 2;
    bool gap = i % 2 == 1 && (SV_TAKES_FLOAT >> row[r].dtype & 1u) && row[r].image == SV_IMAGE_PLAIN;
    SV_CASE_IN1(c, SV_DT_I32, row[r].T);
    sv_tensor *table = SV_CASE_IN2(c, row[r].dtype, row[r].V, row[r].D);
    table->image = (uint8_t)row[r].image;
    if (gap)
        sv_case_gap(table, 17);
    c->fill = sv_case_fill_index;
    c->fill_arg[1] = row[r].V;
    sv_case_name(c, "%s, %u tokens%s", sv_tensor_text(table), row[r].T, gap ? ", rows apart" : "");
    return 1;
}

const sv_opspec sv_opspec_embed = {
    .name = "embed",
    .formula = "y[t,d] = table[tok[t],d]",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_MOVE,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
