/* SPDX-License-Identifier: Apache-2.0
 * add - sums of two tensors, or of each row and a bias.
 *
 *     y[t,d] = a[t,d] + b[t,d], or a[t,d] + b[d]
 *
 * shape    a of 1 to 4 dimensions; b the same, or [D] with D the last dimension of a -> y as a
 * dtype    f32
 * arith    A-31: one rounded addition
 * grad     da = dy; db = dy, or for a bias TN(ones [T,1], dy): DOT over the rows of each leaf, leaves left to right
 *          (A-28)
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    const sv_tensor *a = &in[0], *b = &in[1];
    (void)attr;
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(a, "a", SV_TAKES_F32, 0));
    SV_TRY(sv_check(b, "b", SV_TAKES_F32, 0));
    if (b->n_dim == 1 && a->n_dim > 1)
        SV_TRY(sv_check_dim(b, "b", 0, a->dim[a->n_dim - 1], "last dimension of a"));
    else
        SV_TRY(sv_check_same(a, "a", b, "b"));
    return sv_check_out(&out[0], "y", SV_DT_F32, a->n_dim, a->dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const float *a = sv_tensor_host(&call->in[0]), *b = sv_tensor_host(&call->in[1]);
    float *y = sv_tensor_host(&call->out[0]);
    sv_rows ra = sv_rows_of(&call->in[0]), rb = sv_rows_of(&call->in[1]);
    bool bias = call->in[1].n_dim < call->in[0].n_dim;
    for (uint64_t t = 0; t < ra.n; t++)
        for (uint32_t d = 0; d < ra.len; d++)
            y[t * ra.len + d] = a[t * ra.step + d] + b[(bias ? 0 : t * rb.step) + d];
}

/* Sum of dy over rows: added to the parameter's gradient, or a new [D]. */
static sv_val bias_grad(sv_tape *t, const sv_tape_call *fwd, sv_val dy)
{
    const sv_tensor *shape_of = sv_tape_tensor(t, dy);
    uint32_t T = shape_of->dim[0], D = shape_of->dim[1];
    sv_val into = sv_tape_param_grad(t, fwd->in[1]), seg = sv_tape_seg(t, fwd->in[0]);
    sv_attr_fill one = { 1.0f, 2, { T, 1 } };
    sv_attr_matmul attr = { SV_TN, into != SV_NONE };
    if (seg == SV_NONE)
        return SV_NONE;
    bool is_param = into != SV_NONE;
    if (!is_param)
        into = sv_tape_temp(t, SV_DT_F32, 1, &D);
    sv_val ones = sv_tape_emit1(t, SV_OP_fill, &one, NULL, 0);
    sv_tape_emit(t, SV_OP_matmul, &attr, (sv_val[]){ ones, dy, seg }, 3, &into);
    return is_param ? SV_NONE : into;
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    bool bias = sv_tape_tensor(t, fwd->in[1])->n_dim < sv_tape_tensor(t, fwd->in[0])->n_dim;
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = dout[0];
    if (sv_tape_needs(t, fwd->in[1]))
        din[1] = bias ? bias_grad(t, fwd, dout[0]) : dout[0];
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t T, D, gap;
    if (i < 4) { /* other numbers of dimensions */
        static const uint32_t dim[4] = { 2, 3, 2, 33 };
        uint32_t n = i < 2 ? 1 : i + 1;
        sv_case_in(c, SV_DT_F32, n, n == 1 ? 33 + i : dim[0], dim[1], n == 3 ? 33 : dim[2], dim[3]);
        c->in[c->n_in++] = c->in[0];
        sv_case_name(c, "%u dimensions", n);
        return 1;
    }
    i -= 4;
    if (!sv_case_rows(i / 2, &T, &D, &gap))
        return 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), gap);
    if (i % 2)
        SV_CASE_IN1(c, SV_DT_F32, D);
    else
        sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, D), i % 8 == 0 ? 1 : 0);
    sv_case_name(c, "[%u, %u]%s, gap %u", T, D, i % 2 ? " and a bias" : "", gap);
    return 1;
}

const sv_opspec sv_opspec_add = {
    .name = "add",
    .formula = "y[t,d] = a[t,d] + b[t,d], or + b[d]",
    .n_in = 2,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
