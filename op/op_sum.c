/* SPDX-License-Identifier: Apache-2.0
 * sum - the sum of all items.
 *
 *     y[0] = sum of all items
 *
 * shape    x of 1 to 4 dimensions -> y [1]; no items: +0
 * dtype    f32
 * arith    A-12: SUM over the items in row-major order: pieces of 4,096 of the flattened index, combined by HALVE
 */
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"
#include "op/total.h"

sv_err sv_total_shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)attr;
    SV_TRY(sv_check_count(n_in, 1, 1));
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 0));
    return sv_check_out(&out[0], "y", SV_DT_F32, 1, (uint32_t[]){ 1 });
}

uint32_t sv_total_cases(uint32_t i, sv_case *c)
{
    static const uint32_t n[] = { 1,    0,    2,    31,   32,   33,    63,    64,    65,    127,   1000,   4064, 4095,
                                  4096, 4097, 4128, 8191, 8192, 12288, 12289, 20480, 24577, 40000, 151936, 28673 };
    static const uint32_t shape_of[][3] = { { 1, 5, 1 },    { 3, 33, 1 },   { 0, 4, 1 },
                                            { 65, 64, 17 }, { 130, 63, 1 }, { 7, 4097, 3 } };
    const uint32_t n_flat = sizeof n / sizeof *n, n_rows = sizeof shape_of / sizeof *shape_of;
    if (i < n_flat) {
        SV_CASE_IN1(c, SV_DT_F32, n[i]);
        sv_case_name(c, "%u items", n[i]);
    } else if ((i -= n_flat) < n_rows) {
        sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, shape_of[i][0], shape_of[i][1]), shape_of[i][2]);
        sv_case_name(c, "[%u, %u], gap %u", shape_of[i][0], shape_of[i][1], shape_of[i][2]);
    } else if ((i -= n_rows) < 2) {
        sv_case_in(c, SV_DT_F32, 3 + i, 3, 50, i ? 3 : 33, 11);
        sv_case_name(c, "%u dimensions", 3 + i);
    } else {
        return 0;
    }
    return 1;
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const float *x = sv_tensor_host(&call->in[0]);
    sv_rows r = sv_rows_of(&call->in[0]);
    sv_sum_state sum;
    sv_sum_begin(&sum, r.n * r.len);
    for (uint64_t t = 0; t < r.n; t++)
        for (uint32_t d = 0; d < r.len; d++)
            sv_sum_add(&sum, x[t * r.step + d]);
    *(float *)sv_tensor_host(&call->out[0]) = sv_sum_end(&sum);
}

const sv_opspec sv_opspec_sum = {
    .name = "sum",
    .formula = "y[0] = sum of all items",
    .n_in = 1,
    .n_out = 1,
    .class = SV_CLASS_SUM,
    .shape = sv_total_shape,
    .ref = ref,
    .cases = sv_total_cases,
};
