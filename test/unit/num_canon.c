/* SPDX-License-Identifier: Apache-2.0
 * Claims about the elementary functions: error bounds against binary64, special values, and the same bits for every
 * compiler (hashes in test/golden/canon.txt), one lane at a time or four.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "num/canon.h"

#define STEP 4099u

/* The same text over vectors of 4. */
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

#define LANES(c) \
    { \
        (c), (c), (c), (c) \
    }
#define SV_FN(name) lanes_##name
#define SV_QUAL static inline
#define SV_F vf
#define SV_I vi
#define SV_FK(c) ((vf)LANES(c))
#define SV_IK(c) ((vi)LANES(c))
#define SV_SELECT(m, a, b) ((vf)((((vi)(a)) & (m)) | (((vi)(b)) & ~(m))))
#define SV_AS_I(f) ((vi)(f))
#define SV_AS_F(i) ((vf)(i))
#define SV_TO_F(i) __builtin_convertvector((i), vf)
#define SV_TO_I(f) __builtin_convertvector((f), vi)
#define SV_SQRT(x) lanes_sqrt(x)
static inline vf lanes_sqrt(vf x)
{
    for (int i = 0; i < 4; i++)
        x[i] = __builtin_sqrtf(x[i]);
    return x;
}
#include "num/canon.inc"

typedef struct function {
    const char *name;
    float (*f)(float);
    void (*lanes)(const float *x, float *y);
    double (*exact)(double);
    float lo, hi; /* where the error is bounded */
    double max_ulp;
} function;

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double exact_silu(double x)
{
    return x / (1 + exp(-x));
}
static double exact_rsqrt(double x)
{
    return 1 / sqrt(x);
}

#define LANES_OF(name) \
    static void all_##name(const float *x, float *y) \
    { \
        vf v; \
        memcpy(&v, x, sizeof v); \
        v = lanes_##name(v); \
        memcpy(y, &v, sizeof v); \
    }
LANES_OF(exp)
LANES_OF(log)
LANES_OF(sigmoid)
LANES_OF(silu)
LANES_OF(rsqrt)
LANES_OF(tanh)
LANES_OF(sin)
LANES_OF(cos)

/* Below -87.3 sigmoid and silu jump to zero with exp: absolute error below 2e-38. */
static const function functions[] = {
    { "exp", sv_canon_exp, all_exp, exp, -87.3365402f, INFINITY, 1.5 },
    { "log", sv_canon_log, all_log, log, 0, INFINITY, 1.5 },
    { "sigmoid", sv_canon_sigmoid, all_sigmoid, exact_sigmoid, -87.3f, INFINITY, 3 },
    { "silu", sv_canon_silu, all_silu, exact_silu, -87.3f, INFINITY, 3 },
    { "rsqrt", sv_canon_rsqrt, all_rsqrt, exact_rsqrt, 0x1p-149f, INFINITY, 3 },
    { "tanh", sv_canon_tanh, all_tanh, tanh, -INFINITY, INFINITY, 3 },
    { "sin", sv_canon_sin, all_sin, sin, -32768, 32768, 3 },
    { "cos", sv_canon_cos, all_cos, cos, -32768, 32768, 3 },
};
#define N_FUNCTION (sizeof functions / sizeof *functions)

/* Error in units of the last place of the exact result's float. */
static double ulps(float got, double exact)
{
    float nearest = (float)exact;
    if (isnan(exact) || isinf(nearest) || isinf(got))
        return sv_bits_same(got, nearest) ? 0 : INFINITY;
    int e;
    frexpf(nearest, &e);
    return fabs(got - exact) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void test_errors_stay_within_their_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FUNCTION; i++) {
        const function *f = &functions[i];
        double worst = 0;
        float at = 0;
        for (uint64_t u = 0; u < 1ull << 32; u += STEP) {
            float x = sv_bits_f32((uint32_t)u);
            if (!(x >= f->lo && x <= f->hi))
                continue;
            double e = ulps(f->f(x), f->exact(x));
            if (e > worst) {
                worst = e;
                at = x;
            }
        }
        print_message("%-8s %.3f ulp at %a\n", f->name, worst, (double)at);
        assert_true(worst <= f->max_ulp);
    }
}

static void test_hashes_equal_the_golden_ones(void **state)
{
    (void)state;
    FILE *in = fopen("test/golden/canon.txt", "r");
    assert_non_null(in);
    char line[128], name[32];
    unsigned long long want;
    size_t n = 0;
    while (fgets(line, sizeof line, in) != NULL) {
        if (line[0] == '#' || sscanf(line, "%31s %llx", name, &want) != 2)
            continue;
        assert_true(n < N_FUNCTION);
        assert_string_equal(name, functions[n].name);
        uint64_t h = SV_FNV_START;
        for (uint64_t u = 0; u < 1ull << 32; u += STEP)
            h = sv_fnv_word(h, sv_bits_canonical(sv_bits_u32(functions[n].f(sv_bits_f32((uint32_t)u)))));
        if (h != want)
            print_message("%s %016llx, golden %016llx\n", name, (unsigned long long)h, want);
        assert_true(h == want);
        n++;
    }
    fclose(in);
    assert_int_equal(n, N_FUNCTION);
}

static void test_lanes_give_the_bits_of_scalars(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FUNCTION; i++)
        for (uint64_t u = 0; u + 4 * STEP < 1ull << 32; u += 4ull * STEP) {
            float x[4], y[4];
            for (uint32_t k = 0; k < 4; k++)
                x[k] = sv_bits_f32((uint32_t)u + k * STEP);
            functions[i].lanes(x, y);
            for (uint32_t k = 0; k < 4; k++)
                if (!sv_bits_same(y[k], functions[i].f(x[k])))
                    fail_msg("%s of %a", functions[i].name, (double)x[k]);
        }
}

static void check(float got, float want)
{
    if (!sv_bits_same(got, want))
        fail_msg("%a (%08x) instead of %a (%08x)", (double)got, sv_bits_u32(got), (double)want, sv_bits_u32(want));
}

static void test_special_values_are_exact(void **state)
{
    (void)state;
    float inf = INFINITY, nan = NAN, tiny = 0x1p-149f;
    check(sv_canon_exp(0.0f), 1.0f);
    check(sv_canon_exp(-0.0f), 1.0f);
    check(sv_canon_exp(-87.3365479f), 0.0f);
    assert_true(sv_canon_exp(-87.3365402f) >= 0x1p-126f);
    assert_true(sv_canon_exp(88.7228317f) < inf);
    check(sv_canon_exp(88.7228394f), inf);
    check(sv_canon_exp(inf), inf);
    check(sv_canon_exp(-inf), 0.0f);
    check(sv_canon_exp(nan), nan);
    check(sv_canon_log(1.0f), 0.0f);
    check(sv_canon_log(0.0f), -inf);
    check(sv_canon_log(-0.0f), -inf);
    check(sv_canon_log(-tiny), nan);
    check(sv_canon_log(inf), inf);
    check(sv_canon_log(nan), nan);
    check(sv_canon_log(tiny), -103.278931f);
    check(sv_canon_sigmoid(0.0f), 0.5f);
    check(sv_canon_sigmoid(-200.0f), 0.0f);
    check(sv_canon_sigmoid(200.0f), 1.0f);
    check(sv_canon_silu(0.0f), 0.0f);
    check(sv_canon_silu(-0.0f), -0.0f);
    check(sv_canon_silu(-200.0f), -0.0f);
    check(sv_canon_silu(-inf), nan);
    check(sv_canon_rsqrt(4.0f), 0.5f);
    check(sv_canon_rsqrt(0.0f), inf);
    check(sv_canon_rsqrt(-1.0f), nan);
    check(sv_canon_tanh(-0.0f), -0.0f);
    check(sv_canon_tanh(tiny), tiny);
    check(sv_canon_tanh(-inf), -1.0f);
    check(sv_canon_sin(-0.0f), -0.0f);
    check(sv_canon_sin(tiny), tiny);
    check(sv_canon_cos(-0.0f), 1.0f);
    assert_true(sv_canon_cos(-32768.0f) == sv_canon_cos(32768.0f));
    check(sv_canon_sin(32768.0039f), nan);
    check(sv_canon_cos(inf), nan);
    check(sv_canon_sin(nan), nan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_values_are_exact),
        cmocka_unit_test(test_errors_stay_within_their_bounds),
        cmocka_unit_test(test_lanes_give_the_bits_of_scalars),
        cmocka_unit_test(test_hashes_equal_the_golden_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
