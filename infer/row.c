/* SPDX-License-Identifier: Apache-2.0
 * Row passes over lanes: independent work side by side, so that a compiler needs no licence to reorder anything.
 */
#include "infer/row.h"

#include <string.h>

#include "num/canon.h"
#include "num/sum.h"

#define LANES SV_SUM_LANES

/* The same text of exp over four lanes: 16 bytes are a register everywhere. */
typedef float vf __attribute__((vector_size(16), may_alias));
typedef int32_t vi __attribute__((vector_size(16), may_alias));
#define WIDTH 4u
#define SV_FN(name) row_##name
#define SV_QUAL static inline __attribute__((unused))
#define SV_F vf
#define SV_I vi
#define SV_FK(c) ((vf){ (c), (c), (c), (c) })
#define SV_IK(c) ((vi){ (c), (c), (c), (c) })
#define SV_SELECT(m, a, b) ((vf)(((vi)(m) & (vi)(a)) | (~(vi)(m) & (vi)(b))))
#define SV_AS_I(f) ((vi)(f))
#define SV_AS_F(i) ((vf)(i))
#define SV_TO_F(i) __builtin_convertvector((i), vf)
#define SV_TO_I(f) __builtin_convertvector((f), vi)
#define SV_SQRT(x) \
    ((vf){ __builtin_sqrtf((x)[0]), __builtin_sqrtf((x)[1]), __builtin_sqrtf((x)[2]), __builtin_sqrtf((x)[3]) })
#include "num/canon.inc"

float sv_row_max(const float *x, uint32_t n)
{
    float lane[LANES];
    uint32_t i = 0;
    for (uint32_t j = 0; j < LANES; j++)
        lane[j] = -__builtin_inff();
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++)
        lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    return sv_max(lane, LANES);
}

uint32_t sv_row_argmax(const float *x, uint32_t n)
{
    float m = sv_row_max(x, n);
    if (!(m > -__builtin_inff()))
        return 0;
    for (uint32_t i = 0; i < n; i++)
        if (x[i] == m)
            return i;
    return 0;
}

void sv_row_exp(const float *x, uint32_t n, float m, float *y)
{
    uint32_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        vf v;
        memcpy(&v, x + i, sizeof v);
        v = row_exp(v - SV_FK(m));
        memcpy(y + i, &v, sizeof v);
    }
    for (; i < n; i++)
        y[i] = sv_canon_exp(x[i] - m);
}

void sv_row_div(const float *x, uint32_t n, float by, float *y)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = x[i] / by;
}

void sv_row_mul(const float *x, uint32_t n, float by, float *y)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = x[i] * by;
}

/* The lanes of one piece, folded. */
static float sum_piece(const float *x, uint32_t n)
{
    float lane[LANES] = { 0 };
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lane[j] = lane[j] + x[i + j];
    for (uint32_t j = 0; i + j < n; j++)
        lane[j] = lane[j] + x[i + j];
    return sv_sum_fold(lane);
}

static uint32_t pieces(uint32_t n)
{
    return n / SV_SUM_PIECE + (n % SV_SUM_PIECE != 0);
}

static uint32_t piece_items(uint32_t n, uint32_t at)
{
    return n - at < SV_SUM_PIECE ? n - at : SV_SUM_PIECE;
}

float sv_row_sum(const float *x, uint32_t n)
{
    sv_halve h;
    sv_halve_begin(&h, pieces(n));
    for (uint32_t p = 0; p < pieces(n); p++)
        sv_halve_push(&h, sum_piece(x + p * SV_SUM_PIECE, piece_items(n, p * SV_SUM_PIECE)));
    return sv_halve_total(&h);
}

sv_row_stat sv_row_stat_of(const float *z, uint32_t n)
{
    float e[SV_SUM_PIECE];
    sv_halve h;
    sv_row_stat s = { .m = sv_row_max(z, n) };
    sv_halve_begin(&h, pieces(n));
    for (uint32_t p = 0; p < pieces(n); p++) {
        uint32_t items = piece_items(n, p * SV_SUM_PIECE);
        sv_row_exp(z + p * SV_SUM_PIECE, items, s.m, e);
        sv_halve_push(&h, sum_piece(e, items));
    }
    s.l = sv_halve_total(&h);
    return s;
}

float sv_row_logprob(sv_row_stat s, float z)
{
    return -((sv_canon_log(s.l) + s.m) - z);
}
