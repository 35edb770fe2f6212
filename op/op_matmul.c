/* SPDX-License-Identifier: Apache-2.0
 * matmul - the three products of a linear layer, and products with block-quantised weights.
 *
 *     NT  y[m,n] = sum_k a[m,k] b[n,k]          NN  y[m,k] = sum_n a[m,n] b[n,k]
 *     TN  c[n,k] = (c or +0) + sum over leaves l, in order, of sum_{t in l} a[t,n] b[t,k]
 *
 * shape    NT a [M,K], b [N,K] -> y [M,N]; NN a [M,N], b [N,K] -> y [M,K];
 *          TN a [T,N], b [T,K], seg I32 [L+1] -> c [N,K]; when N is 1, c may also be [K] (the gradient of a bias: a is
 *          a column of ones). Leaf l is the rows seg[l] ... seg[l+1] - 1; an empty one adds nothing. Any size may be 0
 * dtype    a, b: f32, bf16, f16, widened exactly; NT: b may be packed (P16), or q8_0, q4_0, q4_1, q4_k, q5_k, q6_k
 *          (plain, or S8, S4, A4, K4, K5, K6) when a is q8x; y, c: f32
 * arith    floats A-11: DOT over k (NN: n; TN: t by index in the leaf) with chunks of 256, HALVE over chunks.
 *          TN A-28: leaf totals are added left to right, from +0, or from c with attr.accumulate (c is inout then).
 *          blocks A-30: per block, ascending, acc = fma((float)sum(q_w q_x), s_w s_x, acc) from +0; q4_1 then also
 *          acc = fma((float)sum(q_x), m_w s_x, acc); chunks of 8 blocks, HALVE over chunks
 *          blocks of 256 A-33: a chunk is d s, then with minima fma(-dmin, m, d s); s = chain of fma((float)i, s_x, s),
 *          i the exact integer sum of scales times sums of codes; m = chain of fma((float)min, (float)sum(q_x) s_x, m)
 * grad     matmul: NT da = NN(dy, b), db = TN(dy, a); NN da = NT(dy, b), db = TN(a, dy); TN da = NT(b, dc), db = NN(a,
 *          dc)
 * errors   SV_E_DTYPE for a gradient through a block-quantised weight
 */
#include "num/sum.h"
#include "op/case.h"
#include "op/check.h"
#include "op/read.h"

#define BLOCK_TYPES (SV_TAKES(Q8_0) | SV_TAKES(Q4_0) | SV_TAKES(Q4_1) | SV_TAKES_K)

static sv_err shape_nt(const sv_tensor *in, uint32_t n_in, sv_tensor *out)
{
    const sv_tensor *a = &in[0], *b = &in[1];
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check_weight(b, "b", SV_TAKES_FLOAT | BLOCK_TYPES));
    SV_TRY(sv_check(a, "a", BLOCK_TYPES >> b->dtype & 1u ? SV_TAKES(Q8X) : SV_TAKES_FLOAT, 2));
    SV_TRY(sv_check_dim(b, "b", 1, a->dim[1], "k of a"));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, (uint32_t[]){ a->dim[0], b->dim[0] });
}

static sv_err shape_tn(const sv_tensor *in, uint32_t n_in, bool accumulate, sv_tensor *out)
{
    const sv_tensor *a = &in[0], *b = &in[1];
    SV_TRY(sv_check_count(n_in, 3, 3));
    SV_TRY(sv_check(a, "a", SV_TAKES_FLOAT, 2));
    SV_TRY(sv_check(b, "b", SV_TAKES_FLOAT, 2));
    SV_TRY(sv_check(&in[2], "seg", SV_TAKES_I32, 1));
    SV_TRY(sv_check_dim(b, "b", 0, a->dim[0], "rows of a"));
    if (in[2].dim[0] == 0)
        return sv_fail(SV_E_SHAPE, "seg is %s; it has one item more than there are leaves", sv_tensor_text(&in[2]));
    uint32_t dim[] = { a->dim[1], b->dim[1] };
    bool flat = out[0].n_dim == 1 && dim[0] == 1;
    return (accumulate ? sv_check_inout : sv_check_out)(&out[0], "c", SV_DT_F32, flat ? 1 : 2, flat ? dim + 1 : dim);
}

static sv_err shape(const sv_tensor *in, uint32_t n_in, const void *attr, sv_tensor *out)
{
    SV_TRY(sv_check_attr(attr));
    const sv_attr_matmul *m = attr;
    if (m->accumulate > 1 || (m->accumulate && m->layout != SV_TN))
        return sv_fail(SV_E_ARG, "accumulate is %u; only TN may accumulate (1)", m->accumulate);
    if (m->layout == SV_TN)
        return shape_tn(in, n_in, m->accumulate, out);
    if (m->layout == SV_NT)
        return shape_nt(in, n_in, out);
    if (m->layout != SV_NN)
        return sv_fail(SV_E_ARG, "layout is %u; allowed: NT (0), NN (1), TN (2)", m->layout);
    SV_TRY(sv_check_count(n_in, 2, 2));
    SV_TRY(sv_check(&in[0], "a", SV_TAKES_FLOAT, 2));
    SV_TRY(sv_check(&in[1], "b", SV_TAKES_FLOAT, 2));
    SV_TRY(sv_check_dim(&in[1], "b", 0, in[0].dim[1], "n of a"));
    return sv_check_out(&out[0], "y", SV_DT_F32, 2, (uint32_t[]){ in[0].dim[0], in[1].dim[1] });
}

static size_t ref_scratch_bytes(const sv_call *call)
{
    const sv_attr_matmul *m = call->attr;
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    size_t a_items = sv_tensor_items(a), b_items = sv_tensor_items(b), row = b->dim[1];
    if (a->dtype == SV_DT_Q8X)
        return sv_dtype_is_k(b->dtype) ? row / SV_K_ITEMS * sizeof(sv_kblock) : row + 2 * (row / 32) * sizeof(float);
    return (m->layout == SV_NT   ? a_items + row
            : m->layout == SV_NN ? b_items + a->dim[1]
                                 : a_items + b_items) *
           sizeof(float);
}

static void ref_nt(const sv_call *call, float *a)
{
    uint32_t M = call->in[0].dim[0], K = call->in[0].dim[1], N = call->in[1].dim[0];
    float *b = a + (size_t)M * K;
    sv_read_all(&call->in[0], a);
    for (uint32_t n = 0; n < N; n++) {
        sv_read_row(&call->in[1], n, b);
        for (uint32_t m = 0; m < M; m++)
            sv_row(&call->out[0], m)[n] = sv_dot(a + (size_t)m * K, 1, b, 1, K);
    }
}

static void ref_nn(const sv_call *call, float *b)
{
    uint32_t M = call->in[0].dim[0], N = call->in[0].dim[1], K = call->in[1].dim[1];
    float *a = b + (size_t)N * K;
    sv_read_all(&call->in[1], b);
    for (uint32_t m = 0; m < M; m++) {
        sv_read_row(&call->in[0], m, a);
        for (uint32_t k = 0; k < K; k++)
            sv_row(&call->out[0], m)[k] = sv_dot(a, 1, b + k, K, N);
    }
}

static void ref_tn(const sv_call *call, float *a)
{
    const sv_attr_matmul *m = call->attr;
    uint32_t T = call->in[0].dim[0], N = call->in[0].dim[1], K = call->in[1].dim[1], L = call->in[2].dim[0] - 1;
    const int32_t *seg = sv_ints(&call->in[2]);
    float *b = a + (size_t)T * N, *c = sv_tensor_host(&call->out[0]);
    sv_read_all(&call->in[0], a);
    sv_read_all(&call->in[1], b);
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t k = 0; k < K; k++, c++) {
            float total = m->accumulate ? *c : 0.0f;
            for (uint32_t l = 0; l < L; l++) {
                size_t lo = (size_t)seg[l], rows = (size_t)seg[l + 1] - lo;
                if (rows > 0)
                    total = total + sv_dot(a + lo * N + n, N, b + lo * K + k, K, (uint32_t)rows);
            }
            *c = total;
        }
}

/* One output of a block product: q8x blocks at x, n_block of them, and one row of codes. */
static float dot_blocks(const uint8_t *x, const int8_t *code, const float *scale, const float *min, uint32_t n_block)
{
    sv_halve h;
    sv_halve_begin(&h, (n_block + 7) / 8);
    float acc = 0.0f;
    for (uint32_t i = 0; i < n_block; i++, x += 40, code += 32) {
        float s_x = sv_f32_of_bits(sv_load_u32(x));
        int32_t sum = 0;
        for (uint32_t j = 0; j < 32; j++)
            sum += code[j] * (int8_t)x[8 + j];
        acc = __builtin_fmaf((float)sum, scale[i] * s_x, acc);
        if (min != NULL)
            acc = __builtin_fmaf((float)(int32_t)sv_load_u32(x + 4), min[i] * s_x, acc);
        if (i % 8 == 7 || i + 1 == n_block) {
            sv_halve_push(&h, acc);
            acc = 0.0f;
        }
    }
    return sv_halve_total(&h);
}

/* A chunk of a product with a K block: 8 q8x blocks at x. */
static float dot_kblock(const uint8_t *x, const sv_kblock *k, bool six)
{
    float s = 0.0f, m = 0.0f;
    for (uint32_t p = 0; p < SV_K_PARTS; p++, x += 40) {
        float s_x = sv_f32_of_bits(sv_load_u32(x));
        int32_t sum[2] = { 0, 0 }; /* of each half; below 2^24 with their scales, so exact as a float */
        for (uint32_t j = 0; j < 32; j++)
            sum[j / 16] += ((int32_t)k->code[32 * p + j] - (six ? 32 : 0)) * (int8_t)x[8 + j];
        int32_t i = six ? sum[0] * (int8_t)k->scale[2 * p] + sum[1] * (int8_t)k->scale[2 * p + 1]
                        : (sum[0] + sum[1]) * k->scale[p];
        s = __builtin_fmaf((float)i, s_x, s);
        if (!six)
            m = __builtin_fmaf((float)k->min[p], (float)(int32_t)sv_load_u32(x + 4) * s_x, m);
    }
    s = sv_f16_widen(k->d) * s;
    return six ? s : __builtin_fmaf(-sv_f16_widen(k->dmin), m, s);
}

static void ref_kblocks(const sv_call *call, sv_kblock *k)
{
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    uint32_t n_block = a->dim[1] / SV_K_ITEMS;
    const size_t chunk = SV_K_PARTS * 40, row = n_block * chunk;
    for (uint32_t n = 0; n < b->dim[0]; n++) {
        sv_read_kblocks(b, n, k);
        for (uint32_t m = 0; m < a->dim[0]; m++) {
            const uint8_t *x = (const uint8_t *)sv_tensor_host(a) + m * row;
            sv_halve h;
            sv_halve_begin(&h, n_block);
            for (uint32_t c = 0; c < n_block; c++)
                sv_halve_push(&h, dot_kblock(x + c * chunk, &k[c], b->dtype == SV_DT_Q6_K));
            sv_row(&call->out[0], m)[n] = sv_halve_total(&h);
        }
    }
}

static void ref_blocks(const sv_call *call, void *scratch)
{
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    uint32_t n_block = a->dim[1] / 32;
    const uint8_t *x = sv_tensor_host(a);
    float *scale = scratch, *min = scale + n_block;
    int8_t *code = (int8_t *)(min + n_block);
    for (uint32_t n = 0; n < b->dim[0]; n++) {
        sv_read_codes(b, n, code, scale, min);
        for (uint32_t m = 0; m < a->dim[0]; m++)
            sv_row(&call->out[0], m)[n] =
                dot_blocks(x + (size_t)m * n_block * 40, code, scale, b->dtype == SV_DT_Q4_1 ? min : NULL, n_block);
    }
}

static void ref(const sv_call *call, void *scratch)
{
    const sv_attr_matmul *m = call->attr;
    if (call->in[0].dtype == SV_DT_Q8X && sv_dtype_is_k(call->in[1].dtype))
        ref_kblocks(call, scratch);
    else if (call->in[0].dtype == SV_DT_Q8X)
        ref_blocks(call, scratch);
    else if (m->layout == SV_NT)
        ref_nt(call, scratch);
    else if (m->layout == SV_NN)
        ref_nn(call, scratch);
    else
        ref_tn(call, scratch);
}

/* TN(a, b) over the leaves of `rows`: added to the gradient of parameter w, or a new value. */
static sv_val weight_grad(sv_tape *t, sv_val a, sv_val b, sv_val rows, sv_val w)
{
    sv_val into = sv_tape_param_grad(t, w), seg = sv_tape_seg(t, rows);
    sv_attr_matmul attr = { SV_TN, into != SV_NONE };
    bool is_param = into != SV_NONE;
    if (seg == SV_NONE)
        return SV_NONE;
    sv_tape_emit(t, SV_OP_matmul, &attr, (sv_val[]){ a, b, seg }, 3, &into);
    return is_param ? SV_NONE : into;
}

static void grad(sv_tape *t, const sv_tape_call *fwd, const sv_val *dout, sv_val *din)
{
    const sv_attr_matmul *m = fwd->attr, nt = { SV_NT, 0 }, nn = { SV_NN, 0 };
    sv_val a = fwd->in[0], b = fwd->in[1], dy = dout[0];
    bool needs_a = sv_tape_needs(t, a), needs_b = sv_tape_needs(t, b);
    switch (m->layout) {
    case SV_NT:
        if (needs_a)
            din[0] = sv_tape_emit1(t, SV_OP_matmul, &nn, (sv_val[]){ dy, b }, 2);
        if (needs_b)
            din[1] = weight_grad(t, dy, a, a, b);
        break;
    case SV_NN:
        if (needs_a)
            din[0] = sv_tape_emit1(t, SV_OP_matmul, &nt, (sv_val[]){ dy, b }, 2);
        if (needs_b)
            din[1] = weight_grad(t, a, dy, a, b);
        break;
    default:
        if (needs_a)
            din[0] = sv_tape_emit1(t, SV_OP_matmul, &nt, (sv_val[]){ b, dy }, 2);
        if (needs_b)
            din[1] = sv_tape_emit1(t, SV_OP_matmul, &nn, (sv_val[]){ a, dy }, 2);
    }
}

/* Cases: all pairs of (n, k) with m running through, so that every pair of values occurs. */
static const uint32_t case_m[] = { 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 29, 64, 65, 0 };
static const uint32_t case_n[] = { 1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 1000 };
static const uint32_t case_k[] = { 0,   1,   2,   3,   4,   5,   31,   32,   33,   63,  255,
                                   256, 257, 511, 512, 513, 768, 1024, 1280, 1792, 3072 };
#define N_OF(list) ((uint32_t)(sizeof(list) / sizeof *(list)))
#define MOST_PRODUCTS 1500000u

/* The largest m of the list, from m downward, that keeps the case quick. */
static uint32_t quick_m(uint32_t at, uint64_t nk)
{
    /* cppcheck-suppress arrayIndexOutOfBoundsCond */
    while (at > 0 && case_m[at] * nk > MOST_PRODUCTS)
        at = at > 3 ? at - 3 : at - 1;
    return case_m[at];
}

static void case_nt(uint32_t i, sv_case *c)
{
    static const sv_dtype b_type[] = { SV_DT_F32, SV_DT_BF16, SV_DT_F32, SV_DT_F16, SV_DT_F32 };
    static const sv_dtype a_type[] = { SV_DT_F32, SV_DT_F32, SV_DT_F32, SV_DT_BF16, SV_DT_F32, SV_DT_F32, SV_DT_F16 };
    uint32_t n = i % N_OF(case_n), k = i / N_OF(case_n), N = case_n[n], K = case_k[k];
    uint32_t M = quick_m((n + k) % N_OF(case_m), (uint64_t)N * K);
    sv_tensor *a = SV_CASE_IN2(c, a_type[i % 7], M, K);
    sv_tensor *b = SV_CASE_IN2(c, b_type[i % 5], N, K);
    if (i % 2)
        b->image = SV_IMAGE_P16;
    else if (i % 3 == 0)
        sv_case_gap(b, 1 + i % 16);
    if (i % 4 == 2)
        sv_case_gap(a, i % 8 == 2 ? 1 : 17);
    sv_case_name(c, "NT %u %s, %s, gaps %u %u", M, sv_dtype_name(a->dtype), sv_tensor_text(b),
                 (unsigned)(a->stride[0] - K), (unsigned)(b->stride[0] - K));
}

static void case_nn(uint32_t i, sv_case *c)
{
    static const sv_dtype type[] = { SV_DT_F32, SV_DT_F32, SV_DT_BF16, SV_DT_F32, SV_DT_F16 };
    uint32_t n = i % N_OF(case_n), k = (i * 5 + i / N_OF(case_n)) % N_OF(case_k), K = case_n[n], N = case_k[k];
    uint32_t M = quick_m((n + k) % N_OF(case_m), (uint64_t)N * K);
    sv_tensor *a = SV_CASE_IN2(c, i % 9 == 4 ? SV_DT_BF16 : SV_DT_F32, M, N);
    sv_tensor *b = SV_CASE_IN2(c, type[i % 5], N, K);
    if (i % 3 == 1)
        sv_case_gap(a, 17);
    if (i % 4 == 1)
        sv_case_gap(b, 1);
    sv_case_name(c, "NN %u %s, %s, gaps %u %u", M, sv_dtype_name(a->dtype), sv_tensor_text(b),
                 (unsigned)(a->stride[0] - N), (unsigned)(b->stride[0] - K));
}

static void case_tn(uint32_t i, sv_case *c)
{
    static const uint32_t leaves[] = { 1, 2, 3, 6, 1, 9 };
    uint32_t n = i % N_OF(case_n), t = (i * 5 + i / N_OF(case_n)) % N_OF(case_k), K = case_n[n], T = case_k[t];
    uint32_t N = quick_m((n + t + i / 16) % N_OF(case_m), (uint64_t)T * K), L = leaves[i % 6];
    sv_tensor *a = SV_CASE_IN2(c, i % 9 == 4 ? SV_DT_BF16 : SV_DT_F32, T, N);
    sv_tensor *b = SV_CASE_IN2(c, i % 11 == 4 ? SV_DT_F16 : SV_DT_F32, T, K);
    SV_CASE_IN1(c, SV_DT_I32, L + 1);
    if (i % 3 == 1)
        sv_case_gap(a, 17);
    if (i % 4 == 1)
        sv_case_gap(b, 1);
    c->attr.matmul.layout = SV_TN;
    c->attr.matmul.accumulate = i % 2;
    if (N == 1)
        SV_CASE_OUT1(c, SV_DT_F32, K);
    else if (i % 2)
        SV_CASE_OUT2(c, SV_DT_F32, N, K);
    c->fill = sv_case_fill_seg;
    c->fill_arg[2] = 2;
    c->fill_arg[3] = T;
    sv_case_name(c, "TN %u x %u over %u in %u leaves%s, gaps %u %u", N, K, T, L, i % 2 ? ", accumulate" : "",
                 (unsigned)(a->stride[0] - N), (unsigned)(b->stride[0] - K));
}

static void case_blocks(uint32_t i, sv_case *c)
{
    static const uint32_t blocks[] = { 1, 2, 7, 8, 9, 16, 17, 24, 32, 40, 56, 0 };
    static const sv_dtype type[] = { SV_DT_Q8_0, SV_DT_Q4_0, SV_DT_Q4_1 };
    uint32_t n = i / 3 % N_OF(case_n), K = 32 * blocks[(i / 3 + i / 51) % N_OF(blocks)], N = case_n[n];
    uint32_t M = quick_m((i / 3 + i % 3 + i / 17) % N_OF(case_m), (uint64_t)N * K);
    SV_CASE_IN2(c, SV_DT_Q8X, M, K);
    sv_tensor *b = SV_CASE_IN2(c, type[i % 3], N, K);
    b->image = (uint8_t)(i / 3 % 4 == 3 ? SV_IMAGE_PLAIN : SV_IMAGE_S8 + i % 3);
    sv_case_name(c, "NT %u, %s", M, sv_tensor_text(b));
}

/* Chunks of 1, 2, 3 ... and rows of every tile's height. */
static void case_kblocks(uint32_t i, sv_case *c)
{
    static const uint32_t blocks[] = { 1, 2, 3, 5, 4, 7, 6, 12, 0, 9 };
    uint32_t r = i / 3, N = case_n[r % N_OF(case_n)], K = 256 * blocks[(r + r / 17) % N_OF(blocks)];
    uint32_t M = r % 3 == 0 ? r / 3 + 1 : quick_m((r + i % 3) % N_OF(case_m), (uint64_t)N * K); /* 1 ... 17 all occur */
    SV_CASE_IN2(c, SV_DT_Q8X, M, K);
    sv_tensor *b = SV_CASE_IN2(c, (sv_dtype)(SV_DT_Q4_K + i % 3), N, K);
    b->image = (uint8_t)(r % 5 == 4 ? SV_IMAGE_PLAIN : SV_IMAGE_K4 + i % 3);
    sv_case_name(c, "NT %u, %s", M, sv_tensor_text(b));
}

static uint32_t cases(uint32_t i, sv_case *c)
{
    const uint32_t n_nt = N_OF(case_n) * N_OF(case_k), n_nn = 119, n_tn = 136, n_block = 153, n_k = 153;
    c->has_attr = true;
    c->attr.matmul = (sv_attr_matmul){ SV_NT, 0 };
    if (i < n_nt) {
        case_nt(i, c);
    } else if ((i -= n_nt) < n_nn) {
        c->attr.matmul.layout = SV_NN;
        case_nn(i, c);
    } else if ((i -= n_nn) < n_tn) {
        case_tn(i, c);
    } else if ((i -= n_tn) < n_block) {
        case_blocks(i, c);
    } else if ((i -= n_block) < n_k) {
        case_kblocks(i, c);
    } else {
        return 0;
    }
    return 1;
}

const sv_opspec sv_opspec_matmul = {
    .name = "matmul",
    .formula = "NT y[m,n] = sum_k a[m,k] b[n,k]; NN y[m,k] = sum_n a[m,n] b[n,k]; TN c[n,k] (+)= sum_t a[t,n] b[t,k] "
               "per leaf of seg",
    .n_in = 3,
    .n_out = 1,
    .class = SV_CLASS_DOT,
    .attr_bytes = sizeof(sv_attr_matmul),
    .shape = shape,
    .ref_scratch_bytes = ref_scratch_bytes,
    .ref = ref,
    .grad = grad,
    .cases = cases,
};
