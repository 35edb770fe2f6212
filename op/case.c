/* SPDX-License-Identifier: Apache-2.0
 * Builders of conformance cases.
 */
#include "op/case.h"

#include <stdarg.h>
#include <stdio.h>

#include "num/philox.h"

static sv_tensor make(sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3)
{
    const uint32_t dim[] = { d0, d1, d2, d3 };
    return sv_tensor_make(dtype, n_dim, dim);
}

sv_tensor *sv_case_in(sv_case *c, sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3)
{
    c->in[c->n_in] = make(dtype, n_dim, d0, d1, d2, d3);
    return &c->in[c->n_in++];
}

sv_tensor *sv_case_out(sv_case *c, sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3)
{
    c->out[c->n_out] = make(dtype, n_dim, d0, d1, d2, d3);
    return &c->out[c->n_out++];
}

void sv_case_gap(sv_tensor *t, uint32_t gap)
{
    t->stride[0] += gap;
}

bool sv_case_rows(uint32_t i, uint32_t *T, uint32_t *D, uint32_t *gap)
{
    static const uint32_t rows[] = { 1, 0, 2, 3, 7, 13, 64 };
    static const uint32_t cols[] = {
        1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255, 257, 1000, 4099
    };
    static const uint32_t gaps[] = { 0, 1, 0, 17, 0, 0 };
    const uint32_t n_rows = sizeof rows / sizeof *rows, n_cols = sizeof cols / sizeof *cols;
    if (i >= 2 * n_cols)
        return false;
    *D = cols[i % n_cols];
    *T = rows[(i + i / n_cols * 3) % n_rows];
    *gap = gaps[i % 6];
    if ((uint64_t)*T * *D > 40000)
        *T = 3;
    return true;
}

void sv_case_name(sv_case *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->what, sizeof c->what, fmt, ap);
    va_end(ap);
}

uint32_t sv_case_draw(uint32_t variant, uint32_t i, uint32_t n)
{
    return n ? sv_philox_at(7, SV_STREAM_TEST, 0, variant, i).w[0] % n : 0;
}

void sv_case_fill_index(const sv_case *c, sv_tensor *in, uint32_t variant)
{
    sv_tensor *t = &in[c->fill_arg[0]];
    int32_t *p = sv_tensor_host(t);
    for (uint32_t i = 0; i < t->dim[0]; i++)
        p[i] = (int32_t)sv_case_draw(variant, i, c->fill_arg[1]);
}

void sv_case_fill_ascending(const sv_case *c, sv_tensor *in, uint32_t variant)
{
    sv_tensor *t = &in[c->fill_arg[0]];
    int32_t *p = sv_tensor_host(t);
    uint32_t left = t->dim[0], room = c->fill_arg[1], n = 0;
    /* Selection sampling: each place is taken with probability (still wanted) / (still there). */
    for (uint32_t row = 0; row < room && left > 0; row++)
        if (sv_case_draw(variant, row, room - row) < left) {
            p[n++] = (int32_t)row;
            left--;
        }
}

void sv_case_fill_seg(const sv_case *c, sv_tensor *in, uint32_t variant)
{
    sv_tensor *t = &in[c->fill_arg[2]];
    int32_t *p = sv_tensor_host(t);
    uint32_t n_leaf = t->dim[0] - 1, rows = c->fill_arg[3];
    for (uint32_t l = 0; l <= n_leaf; l++)
        p[l] = (int32_t)((uint64_t)rows * l / (n_leaf ? n_leaf : 1));
    for (uint32_t l = 1; l < n_leaf; l++) { /* borders wander; every fourth leaf is empty */
        uint32_t lo = (uint32_t)p[l - 1], hi = (uint32_t)p[l + 1];
        p[l] = l % 4 == 3 ? p[l - 1] : (int32_t)(lo + sv_case_draw(variant + 100, l, hi - lo + 1));
    }
    if (c->fill_arg[1] != 0)
        sv_case_fill_index(c, in, variant);
}
