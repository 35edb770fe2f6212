/* SPDX-License-Identifier: Apache-2.0
 * Shape rules' shared part: one sentence per way to be wrong.
 */
#include "op/check.h"

#include <stdio.h>

sv_err sv_check_count(uint32_t n_in, uint32_t least, uint32_t most)
{
    if (n_in >= least && n_in <= most)
        return SV_OK;
    if (least == most)
        return sv_fail(SV_E_SHAPE, "%u inputs; %u are needed", n_in, least);
    return sv_fail(SV_E_SHAPE, "%u inputs; %u to %u are needed", n_in, least, most);
}

sv_err sv_check_attr(const void *attr)
{
    return attr != NULL ? SV_OK : sv_fail(SV_E_INTERNAL, "attributes are missing; this op needs its sv_attr struct");
}

/* "f32, bf16 or f16" for a mask. */
static const char *takes_text(uint32_t takes, char *text, size_t cap)
{
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < SV_DTYPE_COUNT; i++)
        if (takes >> i & 1u && n + 12 < cap)
            n += (size_t)snprintf(text + n, cap - n, "%s%s", n ? ", " : "", sv_dtype_name((sv_dtype)i));
    return text;
}

static sv_err check_dtype(const sv_tensor *t, const char *what, uint32_t takes)
{
    char allowed[160];
    if ((uint32_t)t->dtype < SV_DTYPE_COUNT && takes >> t->dtype & 1u)
        return SV_OK;
    return sv_fail(SV_E_DTYPE, "%s is %s; allowed: %s", what, sv_tensor_text(t),
                   takes_text(takes, allowed, sizeof allowed));
}

static sv_err check_n_dim(const sv_tensor *t, const char *what, uint32_t n_dim)
{
    if (n_dim == 0 ? t->n_dim >= 1 && t->n_dim <= SV_MAX_DIM : t->n_dim == n_dim)
        return SV_OK;
    if (n_dim == 0)
        return sv_fail(SV_E_SHAPE, "%s is %s; 1 to %d dimensions are needed", what, sv_tensor_text(t), SV_MAX_DIM);
    return sv_fail(SV_E_SHAPE, "%s is %s; %u dimensions are needed", what, sv_tensor_text(t), n_dim);
}

/* Dense, but the rows of a 2-D tensor may lie further apart when `rows` is set. */
static sv_err check_strides(const sv_tensor *t, const char *what, bool rows)
{
    sv_tensor d = *t;
    sv_tensor_dense(&d);
    bool good = true;
    for (uint32_t i = 0; i < t->n_dim; i++)
        good = good && (t->stride[i] == d.stride[i] || t->dim[i] <= 1 ||
                        (rows && t->n_dim == 2 && i == 0 && t->stride[0] >= d.stride[0]));
    if (good)
        return SV_OK;
    return sv_fail(SV_E_SHAPE, "%s is %s with gaps or overlaps between items; %s; copy it first", what,
                   sv_tensor_text(t), rows ? "only rows of a 2-D tensor may lie apart" : "it must be dense");
}

sv_err sv_check(const sv_tensor *t, const char *what, uint32_t takes, uint32_t n_dim)
{
    SV_TRY(check_dtype(t, what, takes));
    SV_TRY(check_n_dim(t, what, n_dim));
    if (t->image != SV_IMAGE_PLAIN)
        return sv_fail(SV_E_SHAPE, "%s is %s, a packed weight; a plain tensor is needed; unpack it with pack", what,
                       sv_tensor_text(t));
    return check_strides(t, what, sv_dtype_block_items(t->dtype) == 1);
}

sv_err sv_check_weight(const sv_tensor *t, const char *what, uint32_t takes)
{
    SV_TRY(check_dtype(t, what, takes));
    SV_TRY(check_n_dim(t, what, 2));
    if (t->dim[1] % sv_dtype_block_items(t->dtype) != 0)
        return sv_fail(SV_E_SHAPE, "%s is %s; its rows must be a multiple of %u items", what, sv_tensor_text(t),
                       sv_dtype_block_items(t->dtype));
    bool is_float = SV_TAKES_FLOAT >> t->dtype & 1u;
    bool fits =
        t->image == SV_IMAGE_PLAIN || (t->image == SV_IMAGE_P16 && is_float) ||
        (t->image == SV_IMAGE_S8 && t->dtype == SV_DT_Q8_0) || (t->image == SV_IMAGE_S4 && t->dtype == SV_DT_Q4_0) ||
        (t->image == SV_IMAGE_A4 && t->dtype == SV_DT_Q4_1) || (t->image == SV_IMAGE_K4 && t->dtype == SV_DT_Q4_K) ||
        (t->image == SV_IMAGE_K5 && t->dtype == SV_DT_Q5_K) || (t->image == SV_IMAGE_K6 && t->dtype == SV_DT_Q6_K);
    if (!fits)
        return sv_fail(SV_E_SHAPE,
                       "%s is %s; that layout is not for this type (P16: floats, S8: Q8_0, S4: Q4_0, A4: Q4_1, K4, "
                       "K5, K6: Q4_K, Q5_K, Q6_K)",
                       what, sv_tensor_text(t));
    return check_strides(t, what, is_float && t->image == SV_IMAGE_PLAIN);
}

sv_err sv_check_dim(const sv_tensor *t, const char *what, uint32_t axis, uint32_t want, const char *of)
{
    if (t->dim[axis] == want)
        return SV_OK;
    return sv_fail(SV_E_SHAPE, "%s is %s; dimension %u must be %u (%s)", what, sv_tensor_text(t), axis, want, of);
}

sv_err sv_check_same(const sv_tensor *a, const char *what_a, const sv_tensor *b, const char *what_b)
{
    if (sv_tensor_same_shape(a, b))
        return SV_OK;
    return sv_fail(SV_E_SHAPE, "%s is %s and %s is %s; they must have the same shape", what_a, sv_tensor_text(a),
                   what_b, sv_tensor_text(b));
}

sv_err sv_check_out(sv_tensor *out, const char *what, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim)
{
    sv_tensor want = sv_tensor_make(dtype, n_dim, dim);
    if (out->n_dim == 0) {
        *out = want;
        return SV_OK;
    }
    if (out->dtype != dtype || !sv_tensor_same_shape(out, &want) || out->image != SV_IMAGE_PLAIN)
        return sv_fail(out->dtype != dtype ? SV_E_DTYPE : SV_E_SHAPE, "output %s is %s; it must be %s", what,
                       sv_tensor_text(out), sv_tensor_text(&want));
    return check_strides(out, what, false);
}

sv_err sv_check_inout(sv_tensor *out, const char *what, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim)
{
    if (out->n_dim == 0)
        return sv_fail(SV_E_SHAPE, "%s is read and written, so it must be given", what);
    return sv_check_out(out, what, dtype, n_dim, dim);
}
