/* SPDX-License-Identifier: Apache-2.0
 * fill - a constant.
 *
 *     y = value
 *
 * shape    -> y of attr.n_dim (1 to 4) dimensions attr.dim; the place may be given
 * dtype    y: f32
 * arith    A-32
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)in;
    const sv_attr_fill *f = attr;
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 0, 0));
    if (f->n_dim < 1 || f->n_dim > SV_MAX_DIM)
        return sv_fail(SV_E_ARG, "n_dim is %u; allowed: 1 to %d", f->n_dim, SV_MAX_DIM);
    return sv_check_out(&out[0], "y", SV_DT_F32, f->n_dim, f->dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    float *y = sv_tensor_host(&call->out[0]), value = ((const sv_attr_fill *)call->attr)->value;
    uint64_t n = sv_tensor_items(&call->out[0]);
    for (uint64_t i = 0; i < n; i++)
        y[i] = value;
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const float value[] = { 0.0f, -0.0f, 1.0f, -3.5f, 1e-45f };
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    c->has_attr = true;
    c->attr.fill = (sv_attr_fill){ value[i % 5], 1 + i % 4, { 0 } };
    const uint32_t dim[4] = { 2, T, 1, D };
    for (uint32_t d = 0; d < c->attr.fill.n_dim; d++)
        c->attr.fill.dim[d] = c->attr.fill.n_dim == 1 ? D : dim[4 - c->attr.fill.n_dim + d];
    sv_case_name(c, "%u dimensions, %u x %u, value %g", c->attr.fill.n_dim, T, D, (double)value[i % 5]);
    return 1;
}

const sv_opspec sv_opspec_fill = {
    .name = "fill",
    .formula = "y = value",
    .n_in = 0,
    .n_out = 1,
    .class = SV_CLASS_MOVE,
    .attr_bytes = sizeof(sv_attr_fill),
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
