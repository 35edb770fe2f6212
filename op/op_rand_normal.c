/* SPDX-License-Identifier: Apache-2.0
 * rand_normal - normal numbers, keyed by integers.
 *
 *     y[i] = std N(0,1), keyed by (seed, stream, step, i)
 *
 * shape    -> y of attr.n_dim (1 to 4) dimensions attr.dim; i is the row-major index
 * dtype    y: f32
 * arith    A-29: block i/4 of Philox4x32-10, counter (i/4 low, i/4 high, step, stream), key (seed low, seed high);
 *          words (w0, w1) give items 4b, 4b + 1, words (w2, w3) the other two: u = ((w >> 8) + 1) 2^-24, a = (w' >> 8)
 *          2^-24, r = sqrt(0 - 2 log(u)), t = a 6.2831855; r cos(t), r sin(t); then times std; each operator rounded
 * source   Salmon et al. 2011; Box & Muller 1958
 */
#include "num/philox.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    (void)in;
    const sv_attr_rand_normal *a = attr;
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 0, 0));
    if (a->n_dim < 1 || a->n_dim > SV_MAX_DIM)
        return sv_fail(SV_E_ARG, "n_dim is %u; allowed: 1 to %d", a->n_dim, SV_MAX_DIM);
    return sv_check_out(&out[0], "y", SV_DT_F32, a->n_dim, a->dim);
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const sv_attr_rand_normal *a = call->attr;
    float *y = sv_tensor_host(&call->out[0]), four[4];
    uint64_t n = sv_tensor_items(&call->out[0]);
    for (uint64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            sv_philox_normal4(a->seed, a->stream, a->step, i / 4, four);
        y[i] = a->std * four[i % 4];
    }
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    uint32_t T, D, gap;
    if (!sv_case_rows(i, &T, &D, &gap))
        return 0;
    c->has_attr = true;
    c->attr.rand_normal = (sv_attr_rand_normal){ .seed = 0x123456789abcdefull * i,
                                                 .stream = SV_STREAM_INIT,
                                                 .step = i,
                                                 .std = i % 3 ? 0.02f : 1.0f,
                                                 .n_dim = 2,
                                                 .dim = { T, D } };
    sv_case_name(c, "[%u, %u], std %g", T, D, (double)c->attr.rand_normal.std);
    return 1;
}

const sv_opspec sv_opspec_rand_normal = {
    .name = "rand_normal",
    .formula = "y[i] = std N(0,1), keyed by (seed, stream, step, i)",
    .n_in = 0,
    .n_out = 1,
    .class = SV_CLASS_RAND,
    .attr_bytes = sizeof(sv_attr_rand_normal),
    .shape = shape,
    .ref = ref,
    .cases = cases,
};
