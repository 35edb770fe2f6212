/* SPDX-License-Identifier: Apache-2.0
 * rope - rotate the halves of each head by the angles of its position.
 *
 *     a = x[i], b = x[i + K/2], c = table[pos,i], s = table[pos,K/2 + i]: y[i] = a c - b s, y[i + K/2] = b c + a s
 *
 * shape    x [T,nK], pos I32 [T], table [P,K] -> y as x; K = attr.d_head, even; 0 <= pos < P is the caller's promise
 * dtype    f32
 * arith    A-22: each operator rounded. Then y = y scale, unless scale is exactly 1. attr.inverse: x is multiplied by
 *          scale first (unless 1), then y[i] = a c + b s, y[i + K/2] = b c - a s
 * grad     rope with inverse flipped
 * source   Su et al. 2021, eq. 34, in the layout of halves that GPT-NeoX and Llama checkpoints have
 */
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    SV_TRY(sv_check_count(n_in, 3, 3));
    uint32_t K = ((const sv_attr_rope *)attr)->d_head;
    SV_TRY(sv_check(&in[0], "x", SV_TAKES_F32, 2));
    SV_TRY(sv_check(&in[1], "pos", SV_TAKES_I32, 1));
    SV_TRY(sv_check(&in[2], "table", SV_TAKES_F32, 2));
    if (K == 0 || K % 2 != 0 || in[0].dim[1] % K != 0)
        return sv_fail(SV_E_SHAPE, "x is %s and d_head is %u; d_head must be even and divide the rows",
                       sv_tensor_text(&in[0]), K);
    SV_TRY(sv_check_dim(&in[1], "pos", 0, in[0].dim[0], "rows of x"));
    SV_TRY(sv_check_dim(&in[2], "table", 1, K, "d_head"));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, in[0].dim);
}

static void rotate(const sv_attr_rope *r, const float *x, const float *table, float *y)
{
    uint32_t half = r->d_head / 2;
    bool scaled = r->scale != 1.0f;
    for (uint32_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half], c = table[i], s = table[half + i], u, v;
        if (r->inverse) {
            a = scaled ? a * r->scale : a;
            b = scaled ? b * r->scale : b;
            u = a * c + b * s;
            v = b * c - a * s;
        } else {
            u = a * c - b * s;
            v = b * c + a * s;
            u = scaled ? u * r->scale : u;
            v = scaled ? v * r->scale : v;
        }
        y[i] = u;
        y[i + half] = v;
    }
}

static void ref(const sv_call *call, void *scratch)
{
    (void)scratch;
    const sv_attr_rope *r = call->attr;
    const int32_t *pos = sv_ints(&call->in[1]);
    for (uint32_t t = 0; t < call->in[0].dim[0]; t++)
        for (uint32_t first = 0; first < call->in[0].dim[1]; first += r->d_head)
            rotate(r, sv_row(&call->in[0], t) + first, sv_row(&call->in[2], (uint32_t)pos[t]),
                   sv_row(&call->out[0], t) + first);
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    sv_attr_rope back = *(const sv_attr_rope *)fwd->attr;
    back.inverse = !back.inverse;
    if (sv_tape_needs(t, fwd->in[0]))
        din[0] = sv_tape_emit1(t, SV_OP_rope, &back, (sv_val[]){ dout[0], fwd->in[1], fwd->in[2] }, 3);
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    static const uint32_t head[] = { 2, 6, 16, 30, 32, 64, 66, 80, 128, 256 }, n_head[] = { 1, 2, 3, 8 };
    static const uint32_t rows[] = { 1, 0, 3, 7, 33 };
    if (i >= 60)
        return 0;
    uint32_t K = head[i % 10], T = rows[(i + i / 10) % 5], n = n_head[i / 10 % 4], gap = i % 3 == 1 ? 17 : 0;
    sv_case_gap(SV_CASE_IN2(c, SV_DT_F32, T, n * K), gap);
    SV_CASE_IN1(c, SV_DT_I32, T);
    SV_CASE_IN2(c, SV_DT_F32, 40, K);
    c->has_attr = true;
    c->attr.rope = (sv_attr_rope){ K, i / 2 % 2, i % 4 == 0 ? 1.0f : 0.08838835f };
    c->fill = sv_case_fill_index;
    c->fill_arg[0] = 1;
    c->fill_arg[1] = 40;
    sv_case_name(c, "[%u, %u x %u]%s, scale %g, gap %u", T, n, K, c->attr.rope.inverse ? " inverse" : "",
                 (double)c->attr.rope.scale, gap);
    return 1;
}

const sv_opspec sv_opspec_rope = {
    .name = "rope",
    .formula = "rotate halves of each head by the table row of pos; in: x, pos, table [P,K]",
    .n_in = 3,
    .n_out = 1,
    .class = SV_CLASS_ELEM,
    .attr_bytes = sizeof(sv_attr_rope),
    .shape = shape,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
