/* SPDX-License-Identifier: Apache-2.0
 * Claims about the conformance suite itself: rows that are wrong in ways that have happened elsewhere, or that a
 * careless build would make, are each caught, and the report names op, place and both bit patterns. (Mutants of the
 * kernels' page.)
 */
#include "test/conform_run.h"

#include <math.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "num/canon.h"
#include "num/dtype.h"
#include "num/sum.h"
#include "op/read.h"

typedef enum mutation {
    NONE,
    K_DESCENDING,
    CHUNK_128,
    CHUNK_CONTINUES, /* a chunk's sum starts from the one before */
    LEFT_TO_RIGHT,   /* chunks added in order instead of HALVE */
    HALVE_FLOOR,     /* the smaller half first */
    K_PADDED,        /* to a multiple of 4, with zeros */
    FMA_SPLIT,       /* product rounded, then added */
    FLUSH,           /* subnormals to zero in the thread that runs the row */
    LAST_ROW_TWICE,  /* one item behind the end is written */
    WRITES_INPUT,
    READS_PAST_K,
    N_MUTATION
} mutation;

static const char *const names[N_MUTATION] = {
    "none",
    "k descending",
    "chunks of 128",
    "a chunk starts from the one before",
    "chunks left to right",
    "HALVE by floor",
    "k padded with zeros",
    "fma split",
    "flush to zero",
    "one item too many",
    "an input is written",
    "k + 1 items are read",
};

static mutation active;

/* The chip under test: ref's device, memory and queue, with rows of ours. */
static sv_kernel rows[SV_OP_COUNT];

static bool takes_nt(const sv_call *c)
{
    const sv_attr_matmul *m = c->attr;
    return m->layout == SV_NT && c->in[0].dtype == SV_DT_F32 && c->in[1].dtype == SV_DT_F32 &&
           c->in[1].image == SV_IMAGE_PLAIN;
}

static float halve_floor(const float *piece, uint32_t n)
{
    return n == 1 ? piece[0] : halve_floor(piece, n / 2) + halve_floor(piece + n / 2, n - n / 2);
}

static float halve_law(const float *piece, uint32_t n)
{
    uint32_t first = n - n / 2;
    return n == 1 ? piece[0] : halve_law(piece, first) + halve_law(piece + first, n - first);
}

static float step(float a, float b, float s)
{
    return active == FMA_SPLIT ? a * b + s : fmaf(a, b, s);
}

static float mutant_dot(const float *a, const float *b, uint32_t K)
{
    float piece[64], s = 0.0f;
    uint32_t chunk = active == CHUNK_128 ? 128 : 256, n = (K + chunk - 1) / chunk;
    if (K == 0)
        return 0.0f;
    for (uint32_t c = 0; c < n; c++) {
        uint32_t lo = c * chunk, hi = lo + chunk < K ? lo + chunk : K;
        if (active != CHUNK_CONTINUES)
            s = 0.0f;
        for (uint32_t k = lo; k < hi; k++)
            s = active == K_DESCENDING ? step(a[hi - 1 - (k - lo)], b[hi - 1 - (k - lo)], s) : step(a[k], b[k], s);
        for (uint32_t k = hi; active == K_PADDED && k % 4 != 0; k++)
            s = step(0.0f, 0.0f, s);
        piece[c] = s;
    }
    if (active == CHUNK_CONTINUES)
        return s;
    if (active == HALVE_FLOOR)
        return halve_floor(piece, n);
    if (active != LEFT_TO_RIGHT)
        return halve_law(piece, n);
    for (uint32_t c = 1; c < n; c++)
        piece[0] = piece[0] + piece[c];
    return piece[0];
}

static sv_err mutant_matmul(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    uint32_t M = call->in[0].dim[0], K = call->in[0].dim[1], N = call->in[1].dim[0];
    float *y = sv_tensor_host(&call->out[0]);
#if defined(__x86_64__)
    unsigned csr = _mm_getcsr();
    if (active == FLUSH)
        _mm_setcsr(csr | 0x8040);
#endif
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++)
            y[(size_t)m * N + n] =
                mutant_dot(sv_row(&call->in[0], m), sv_row(&call->in[1], n), K + (active == READS_PAST_K));
#if defined(__x86_64__)
    _mm_setcsr(csr);
#endif
    if (active == LAST_ROW_TWICE)
        y[(size_t)M * N] = 0.0f;
    if (active == WRITES_INPUT && M * K > 0)
        *(float *)sv_tensor_host(&call->in[0]) += 1.0f;
    return SV_OK;
}

static sv_conform_result run_with(sv_op op, sv_kernel row, const char *only, bool quick)
{
    sv_chip_dev d;
    assert_int_equal(sv_chip_open("ref", NULL, &d), SV_OK);
    const sv_chip *ref = d.chip;
    sv_chip chip = *ref;
    memset(rows, 0, sizeof rows);
    rows[op] = row;
    chip.op = rows;
    chip.n_op = SV_OP_COUNT;
    d.chip = &chip;
    sv_conform_result r = conform_on(&d, only, quick, false, 1);
    d.chip = ref;
    sv_chip_close(&d);
    return r;
}

static void test_an_honest_row_passes(void **state)
{
    (void)state;
    active = NONE;
    sv_conform_result r =
        run_with(SV_OP_matmul, (sv_kernel){ .run = mutant_matmul, .takes = takes_nt }, "matmul", true);
    assert_true(r.n_native > 50);
    assert_int_equal(r.n_fail, 0);
}

static void test_every_mutant_of_matmul_is_caught(void **state)
{
    (void)state;
    for (active = NONE + 1; active < N_MUTATION; active++) {
#if !defined(__x86_64__)
        if (active == FLUSH)
            continue;
#endif
        sv_conform_result r =
            run_with(SV_OP_matmul, (sv_kernel){ .run = mutant_matmul, .takes = takes_nt }, "matmul", true);
        if (r.n_fail == 0)
            fail_msg("the mutant \"%s\" passes %llu native cases", names[active], (unsigned long long)r.n_native);
    }
}

static void test_float_probes_name_what_is_wrong(void **state)
{
    (void)state;
    sv_kernel row = { .run = mutant_matmul, .takes = takes_nt };
    active = FMA_SPLIT;
    sv_conform_result r = run_with(SV_OP_matmul, row, "float", true);
    assert_true(r.n_fail > 0);
    assert_non_null(strstr(r.first_failure, "fma rounds once"));
#if defined(__x86_64__)
    active = FLUSH;
    r = run_with(SV_OP_matmul, row, "float", true);
    assert_true(r.n_fail > 0);
    assert_non_null(strstr(r.first_failure, "subnormal numbers are kept"));
#endif
}

/* rope by a compiler that contracts: a c - (b s) with one rounding less. */
static sv_err contracts(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    const sv_attr_rope *r = call->attr;
    sv_err err = sv_ref_run(call);
    uint32_t half = r->d_head / 2;
    for (uint32_t t = 0; t < call->in[0].dim[0] && !r->inverse && r->scale == 1.0f; t++)
        for (uint32_t first = 0; first < call->in[0].dim[1]; first += r->d_head)
            for (uint32_t i = 0; i < half; i++) {
                const float *x = sv_row(&call->in[0], t) + first,
                            *cs = sv_row(&call->in[2], (uint32_t)sv_ints(&call->in[1])[t]);
                sv_row(&call->out[0], t)[first + i] = fmaf(x[i], cs[i], -(x[i + half] * cs[half + i]));
            }
    return err;
}

static void test_contraction_is_named(void **state)
{
    (void)state;
    sv_conform_result r = run_with(SV_OP_rope, (sv_kernel){ .run = contracts }, "float", true);
    assert_true(r.n_fail > 0);
    assert_non_null(strstr(r.first_failure, "is not contracted"));
}

/* One wrong bit in one item of one shape. */
static sv_err off_by_one_ulp(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    float *y = sv_tensor_host(&call->out[0]);
    uint64_t n = sv_tensor_items(&call->out[0]);
    sv_err err = sv_ref_run(call);
    if (n > 37)
        y[37] = sv_bits_f32(sv_bits_u32(y[37]) ^ 1u);
    return err;
}

static void test_a_broken_row_is_named_with_item_and_bits(void **state)
{
    (void)state;
    sv_conform_result r = run_with(SV_OP_swiglu, (sv_kernel){ .run = off_by_one_ulp }, NULL, true);
    assert_true(r.n_fail > 0);
    const char *part[] = {
        "FAIL swiglu", "out[0] item 37", "chip ", ", law ", "samsvar chip test ref --op swiglu --case ", "--seed 1"
    };
    if (getenv("SAMSVAR_SEED") == NULL)
        for (size_t i = 1; i < sizeof part / sizeof *part; i++)
            if (strstr(r.first_failure, part[i]) == NULL && strstr(r.first_failure, "--op float") == NULL)
                fail_msg("\"%s\" is not in: %s", part[i], r.first_failure);
    r = run_with(SV_OP_swiglu, (sv_kernel){ .run = off_by_one_ulp }, "swiglu", true);
    for (size_t i = 0; i < 5; i++)
        if (strstr(r.first_failure, part[i]) == NULL)
            fail_msg("\"%s\" is not in: %s", part[i], r.first_failure);
}

/* A row that answers from memory it has not written: right once, wrong the second time. */
static sv_err remembers(sv_queue *q, const sv_call *call, sv_span scratch)
{
    static uint32_t turn;
    (void)q;
    (void)scratch;
    sv_err err = sv_ref_run(call);
    float *y = sv_tensor_host(&call->out[0]);
    if (turn++ % 2 == 1 && sv_tensor_items(&call->out[0]) > 0)
        y[0] = y[0] + 1.0f;
    return err;
}

static void test_an_answer_that_changes_is_caught(void **state)
{
    (void)state;
    sv_conform_result r = run_with(SV_OP_add, (sv_kernel){ .run = remembers }, "add", true);
    assert_true(r.n_fail > 0);
    assert_non_null(strstr(r.first_failure, "the second time"));
}

static size_t four_bytes(const sv_call *call)
{
    (void)call;
    return 4;
}

static sv_err writes_past_scratch(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    memset((char *)scratch.buf->host + scratch.off, 0, 5);
    return sv_ref_run(call);
}

static void test_writing_past_scratch_is_caught(void **state)
{
    (void)state;
    sv_conform_result r =
        run_with(SV_OP_add, (sv_kernel){ .run = writes_past_scratch, .scratch_bytes = four_bytes }, "add", true);
    assert_true(r.n_fail > 0);
    assert_non_null(strstr(r.first_failure, "scratch"));
}

/* SUM with lanes folded left to right. */
static sv_err folds_in_order(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    const float *x = sv_tensor_host(&call->in[0]);
    float lane[32] = { 0 };
    for (uint64_t i = 0; i < sv_tensor_items(&call->in[0]); i++)
        lane[i % 32] = lane[i % 32] + x[i];
    for (int j = 1; j < 32; j++)
        lane[0] = lane[0] + lane[j];
    *(float *)sv_tensor_host(&call->out[0]) = lane[0];
    return SV_OK;
}

static bool takes_small_dense(const sv_call *c)
{
    const sv_tensor *x = &c->in[0];
    return sv_tensor_items(x) <= 4096 && (x->n_dim != 2 || x->stride[0] == x->dim[1]);
}

static void test_another_fold_of_a_sum_is_caught(void **state)
{
    (void)state;
    sv_conform_result r =
        run_with(SV_OP_sum, (sv_kernel){ .run = folds_in_order, .takes = takes_small_dense }, "sum", false);
    assert_true(r.n_native > 0);
    assert_true(r.n_fail > 0);
}

/* A maximum that keeps the sign of zero, as vector instructions do. */
static sv_err keeps_minus_zero(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    sv_err err = sv_ref_run(call);
    for (uint32_t w = 0; w < call->in[0].dim[0]; w++) {
        const float *z = sv_row(&call->in[0], w);
        float m = -INFINITY;
        for (uint32_t j = 0; j < call->in[0].dim[1]; j++)
            m = z[j] > m ? z[j] : m;
        sv_row(&call->out[1], w)[0] = m;
    }
    return err;
}

static void test_a_negative_zero_as_maximum_is_caught(void **state)
{
    (void)state;
    sv_conform_result r = run_with(SV_OP_logprob, (sv_kernel){ .run = keeps_minus_zero }, "logprob", false);
    assert_true(r.n_fail > 0);
    assert_non_null(strstr(r.first_failure, "out[1]"));
    assert_non_null(strstr(r.first_failure, "chip 80000000, law 00000000"));
}

/* Attention by the reference of the first key block only: contexts beyond 256 keys must notice. */
static sv_err one_block_of_keys(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    sv_tensor in[8], *pos = &in[5];
    memcpy(in, call->in, sizeof in);
    int32_t *p = sv_tensor_host(pos), keep[1024];
    uint32_t T = pos->dim[0] < 1024 ? pos->dim[0] : 1024;
    for (uint32_t t = 0; t < T; t++) {
        keep[t] = p[t];
        p[t] = p[t] > 255 ? 255 : p[t];
    }
    sv_call cut = *call;
    cut.in = in;
    sv_err err = sv_ref_run(&cut);
    for (uint32_t t = 0; t < T; t++)
        p[t] = keep[t];
    return err;
}

static void test_lost_key_blocks_are_caught(void **state)
{
    (void)state;
    sv_conform_result r = run_with(SV_OP_attend, (sv_kernel){ .run = one_block_of_keys }, "attend", false);
    assert_true(r.n_fail > 0);
}

/* vpmaddubsw on w + 128: pairs saturate at 16 bits. */
static sv_err saturates(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    uint32_t n_block = a->dim[1] / 32, M = a->dim[0], N = b->dim[0];
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++) {
            const uint8_t *x = (const uint8_t *)sv_tensor_host(a) + (size_t)m * n_block * 40;
            const uint8_t *w = (const uint8_t *)sv_tensor_host(b) + (size_t)n * n_block * 34;
            sv_halve h;
            sv_halve_begin(&h, (n_block + 7) / 8);
            float acc = 0.0f;
            for (uint32_t i = 0; i < n_block; i++, x += 40, w += 34) {
                int32_t sum = -128 * (int32_t)sv_load_u32(x + 4);
                for (uint32_t j = 0; j < 32; j += 2) {
                    int32_t pair =
                        ((int8_t)w[2 + j] + 128) * (int8_t)x[8 + j] + ((int8_t)w[3 + j] + 128) * (int8_t)x[9 + j];
                    sum += pair > 32767 ? 32767 : pair < -32768 ? -32768 : pair;
                }
                acc = fmaf((float)sum, sv_dtype_scale_f16(w) * sv_f32_of_bits(sv_load_u32(x)), acc);
                if (i % 8 == 7 || i + 1 == n_block) {
                    sv_halve_push(&h, acc);
                    acc = 0.0f;
                }
            }
            sv_row(&call->out[0], m)[n] = sv_halve_total(&h);
        }
    return SV_OK;
}

static bool takes_q8(const sv_call *c)
{
    return c->in[0].dtype == SV_DT_Q8X && c->in[1].dtype == SV_DT_Q8_0 && c->in[1].image == SV_IMAGE_PLAIN;
}

static void test_saturating_products_are_caught(void **state)
{
    (void)state;
    sv_conform_result r = run_with(SV_OP_matmul, (sv_kernel){ .run = saturates, .takes = takes_q8 }, "matmul", false);
    assert_true(r.n_native > 0);
    assert_true(r.n_fail > 0);
}

/* ---- blocks of 256 ---- */

typedef enum k_mutation {
    K_NONE,
    K_FACTOR_FIRST, /* d s_x instead of d once for a block */
    K_ONE_CHAIN,    /* minima and codes in one chain */
    K_MIN_SPLIT,    /* -dmin m rounded, then added */
    K_WRAPS,        /* eight steps of five-bit codes in 16 bits */
    K_ONE_HALF,     /* one scale for both halves of a part */
    N_K_MUTATION
} k_mutation;

static k_mutation k_active;

static int32_t k_part(const sv_kblock *k, uint32_t p, const uint8_t *x, bool six)
{
    int32_t i = 0;
    for (uint32_t half = 0; half < 2; half++) {
        int32_t sum = 0;
        for (uint32_t j = 16 * half; j < 16 * half + 16; j++)
            sum += ((int32_t)k->code[32 * p + j] - (six ? 32 : 0)) * (int8_t)x[8 + j];
        i += sum * (six ? (int8_t)k->scale[2 * p + (k_active == K_ONE_HALF ? 0 : half)] : k->scale[p]);
    }
    if (k_active == K_WRAPS && !six) {
        int16_t lane[2] = { 0 }; /* pairs of a step, as vpmaddubsw has them */
        for (uint32_t j = 0; j < 32; j++)
            lane[j / 2 % 2] = (int16_t)(lane[j / 2 % 2] + k->code[32 * p + j] * (int8_t)x[8 + j]);
        i = (lane[0] + lane[1]) * k->scale[p];
    }
    return i;
}

static float k_chunk(const sv_kblock *k, const uint8_t *x, bool six)
{
    float s = 0.0f, m = 0.0f, d = sv_f16_widen(k->d), dmin = six ? 0.0f : sv_f16_widen(k->dmin);
    for (uint32_t p = 0; p < 8; p++, x += 40) {
        float s_x = sv_f32_of_bits(sv_load_u32(x)), sum = (float)(int32_t)sv_load_u32(x + 4) * s_x;
        s = fmaf((float)k_part(k, p, x, six), k_active == K_FACTOR_FIRST ? d * s_x : s_x, s);
        if (!six && k_active == K_ONE_CHAIN)
            s = fmaf(-(dmin / d) * (float)k->min[p], sum, s);
        else if (!six)
            m = fmaf((float)k->min[p], sum, m);
    }
    s = k_active == K_FACTOR_FIRST ? s : d * s;
    if (six || k_active == K_ONE_CHAIN)
        return s;
    return k_active == K_MIN_SPLIT ? s - dmin * m : fmaf(-dmin, m, s);
}

static sv_err k_mutant(sv_queue *q, const sv_call *call, sv_span scratch)
{
    (void)q;
    (void)scratch;
    const sv_tensor *a = &call->in[0], *b = &call->in[1];
    static sv_kblock k[16];
    uint32_t n_block = a->dim[1] / 256;
    for (uint32_t n = 0; n < b->dim[0]; n++) {
        sv_read_kblocks(b, n, k);
        for (uint32_t m = 0; m < a->dim[0]; m++) {
            const uint8_t *x = (const uint8_t *)sv_tensor_host(a) + (size_t)m * n_block * 320;
            sv_halve h;
            sv_halve_begin(&h, n_block);
            for (uint32_t c = 0; c < n_block; c++)
                sv_halve_push(&h, k_chunk(&k[c], x + 320 * c, b->dtype == SV_DT_Q6_K));
            sv_row(&call->out[0], m)[n] = sv_halve_total(&h);
        }
    }
    return SV_OK;
}

static bool takes_k(const sv_call *c)
{
    return c->in[0].dtype == SV_DT_Q8X && sv_dtype_is_k(c->in[1].dtype) && c->in[0].dim[1] <= 16 * 256;
}

static void test_every_mutant_of_blocks_of_256_is_caught(void **state)
{
    (void)state;
    for (k_active = K_NONE; k_active < N_K_MUTATION; k_active++) {
        sv_conform_result r = run_with(SV_OP_matmul, (sv_kernel){ .run = k_mutant, .takes = takes_k }, "matmul", true);
        assert_true(r.n_native > 0);
        if ((r.n_fail > 0) != (k_active != K_NONE))
            fail_msg("mutant %d: %llu native cases, %llu fail: %s", (int)k_active, (unsigned long long)r.n_native,
                     (unsigned long long)r.n_fail, r.first_failure);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_honest_row_passes),
        cmocka_unit_test(test_every_mutant_of_matmul_is_caught),
        cmocka_unit_test(test_float_probes_name_what_is_wrong),
        cmocka_unit_test(test_contraction_is_named),
        cmocka_unit_test(test_a_broken_row_is_named_with_item_and_bits),
        cmocka_unit_test(test_an_answer_that_changes_is_caught),
        cmocka_unit_test(test_writing_past_scratch_is_caught),
        cmocka_unit_test(test_another_fold_of_a_sum_is_caught),
        cmocka_unit_test(test_a_negative_zero_as_maximum_is_caught),
        cmocka_unit_test(test_lost_key_blocks_are_caught),
        cmocka_unit_test(test_saturating_products_are_caught),
        cmocka_unit_test(test_every_mutant_of_blocks_of_256_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
