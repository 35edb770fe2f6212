/* SPDX-License-Identifier: Apache-2.0
 * Claims about gradients: what each op's gradient function emits, run by the references, equals central differences of
 * the op's formula in binary64.
 */
#include <math.h>

#include "test/op_run.h"

#define MAX_IN 3
#define T 7u /* rows */
#define CONST_ROPE 0u
#define CONST_DY 9u
#define H_STEP 1e-5

typedef struct operand {
    uint32_t n_dim, dim[2];
    bool is_param; /* a weight; else a computed value */
    float scale;
} operand;

typedef struct problem {
    const char *name;
    uint32_t n_in;
    operand in[MAX_IN];
    sv_val (*build)(sv_tape *t, const sv_val *in);
    /* y of the output from binary64 inputs. */
    void (*exact)(double *const *x, double *y);
} problem;

static const int32_t token[T] = { 3, 0, 3, 1, 4, 0, 3 };
static const int32_t position[T] = { 0, 1, 2, 3, 0, 1, 2 };
static const int32_t sequence[T] = { 0, 0, 0, 0, 1, 1, 1 };
static const int32_t leaf[4] = { 0, 4, 4, 7 };
static const int32_t wanted[3] = { 1, 2, 6 };
static const int32_t target[T] = { 2, 0, 4, 1, 1, 3, 0 };

static sv_val step(sv_tape *t, sv_step_id id, uint32_t n)
{
    sv_tensor shape = sv_tensor_make(SV_DT_I32, 1, &n);
    return sv_tape_state(t, SV_KIND_STEP, id, &shape);
}

/* The problems. */

static sv_val build_matmul_nt(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, in, 2);
}

static void exact_matmul_nt(double *const *x, double *y) /* a [T,5], b [4,5] */
{
    for (uint32_t m = 0; m < T; m++)
        for (uint32_t n = 0; n < 4; n++) {
            y[m * 4 + n] = 0;
            for (uint32_t k = 0; k < 5; k++)
                y[m * 4 + n] += x[0][m * 5 + k] * x[1][n * 5 + k];
        }
}

static sv_val build_matmul_nn(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_matmul, &(sv_attr_matmul){ SV_NN, 0 }, in, 2);
}

static void exact_matmul_nn(double *const *x, double *y) /* a [T,4], b [4,5] */
{
    for (uint32_t m = 0; m < T; m++)
        for (uint32_t k = 0; k < 5; k++) {
            y[m * 5 + k] = 0;
            for (uint32_t n = 0; n < 4; n++)
                y[m * 5 + k] += x[0][m * 4 + n] * x[1][n * 5 + k];
        }
}

static sv_val build_matmul_tn(sv_tape *t, const sv_val *in)
{
    sv_val seg = step(t, SV_STEP_SEG, 4);
    return sv_tape_emit1(t, SV_OP_matmul, &(sv_attr_matmul){ SV_TN, 0 }, (sv_val[]){ in[0], in[1], seg }, 3);
}

static void exact_matmul_tn(double *const *x, double *y) /* a [T,4], b [T,5] */
{
    for (uint32_t n = 0; n < 4; n++)
        for (uint32_t k = 0; k < 5; k++) {
            y[n * 5 + k] = 0;
            for (uint32_t t = 0; t < T; t++)
                y[n * 5 + k] += x[0][t * 4 + n] * x[1][t * 5 + k];
        }
}

static sv_val build_embed(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_embed, NULL, (sv_val[]){ step(t, SV_STEP_TOK, T), in[0] }, 2);
}

static void exact_embed(double *const *x, double *y) /* table [5,3] */
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t d = 0; d < 3; d++)
            y[t * 3 + d] = x[0][(uint32_t)token[t] * 3 + d];
}

static sv_val build_rmsnorm(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_rmsnorm, &(sv_attr_rmsnorm){ 1e-2f }, in, 2);
}

static void exact_rmsnorm(double *const *x, double *y) /* x [T,2 x 3], g [3] */
{
    for (uint32_t i = 0; i < T * 2; i++) {
        double ms = 0;
        for (uint32_t d = 0; d < 3; d++)
            ms += x[0][i * 3 + d] * x[0][i * 3 + d] / 3;
        for (uint32_t d = 0; d < 3; d++)
            y[i * 3 + d] = x[0][i * 3 + d] / sqrt(ms + (double)1e-2f) * x[1][d];
    }
}

static double angle(uint32_t pos, uint32_t i)
{
    return pos * (i ? 0.3 : 1.1);
}

static sv_val rope_table(sv_tape *t)
{
    sv_tensor shape = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ 8, 4 });
    return sv_tape_state(t, SV_KIND_CONST, CONST_ROPE, &shape);
}

static sv_val build_rope(sv_tape *t, const sv_val *in)
{
    sv_attr_rope attr = { 4, 0, 0.5f };
    return sv_tape_emit1(t, SV_OP_rope, &attr, (sv_val[]){ in[0], step(t, SV_STEP_POS, T), rope_table(t) }, 3);
}

static sv_val build_rope_inverse(sv_tape *t, const sv_val *in)
{
    sv_attr_rope attr = { 4, 1, 1.0f };
    return sv_tape_emit1(t, SV_OP_rope, &attr, (sv_val[]){ in[0], step(t, SV_STEP_POS, T), rope_table(t) }, 3);
}

static void rotate(const double *x, double *y, double sign, double scale) /* [T,2 x 4] */
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 2; h++)
            for (uint32_t i = 0; i < 2; i++) {
                const double *p = x + t * 8 + h * 4 + i;
                double a = angle((uint32_t)position[t], i) * sign;
                y[t * 8 + h * 4 + i] = (p[0] * cos(a) - p[2] * sin(a)) * scale;
                y[t * 8 + h * 4 + i + 2] = (p[2] * cos(a) + p[0] * sin(a)) * scale;
            }
}

static void exact_rope(double *const *x, double *y)
{
    rotate(x[0], y, 1, 0.5);
}
static void exact_rope_inverse(double *const *x, double *y)
{
    rotate(x[0], y, -1, 1);
}

static sv_val build_swiglu(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_swiglu, NULL, in, 2);
}

static void exact_swiglu(double *const *x, double *y)
{
    for (uint32_t i = 0; i < T * 5; i++)
        y[i] = x[0][i] / (1 + exp(-x[0][i])) * x[1][i];
}

static sv_val build_attend(sv_tape *t, const sv_val *in)
{
    sv_tensor kshape = sv_tensor_make(SV_DT_F32, 4, (uint32_t[]){ 2, 2, 3, SV_PAGE });
    sv_tensor vshape = sv_tensor_make(SV_DT_F32, 4, (uint32_t[]){ 2, 2, SV_PAGE, 3 });
    sv_tensor table_shape = sv_tensor_make(SV_DT_I32, 2, (uint32_t[]){ 2, 1 });
    sv_val pages[2] = { sv_tape_state(t, SV_KIND_KV, 0, &kshape), sv_tape_state(t, SV_KIND_KV, 1, &vshape) };
    sv_val pos = step(t, SV_STEP_POS, T), seq = step(t, SV_STEP_SEQ, T);
    sv_val table = sv_tape_state(t, SV_KIND_STEP, SV_STEP_TABLE, &table_shape), out[2] = { SV_NONE, SV_NONE };
    sv_tape_emit(t, SV_OP_kv_put, NULL, (sv_val[]){ in[1], in[2], pos, seq, table }, 5, pages);
    sv_attr_attend attr = { 4, 2, 3 };
    sv_tape_emit(t, SV_OP_attend, &attr, (sv_val[]){ in[0], in[1], in[2], pages[0], pages[1], pos, seq, table }, 8,
                 out);
    return out[0];
}

static void exact_attend(double *const *x, double *y) /* q [T,4 x 3], k, v [T,2 x 3] */
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 4; h++) {
            double p[T], l = 0;
            uint32_t n = (uint32_t)position[t] + 1, start = t + 1 - n;
            for (uint32_t j = 0; j < n; j++) {
                p[j] = 0;
                for (uint32_t d = 0; d < 3; d++)
                    p[j] += x[0][t * 12 + h * 3 + d] * x[1][(start + j) * 6 + h / 2 * 3 + d];
                p[j] = exp(p[j]);
                l += p[j];
            }
            for (uint32_t d = 0; d < 3; d++) {
                y[t * 12 + h * 3 + d] = 0;
                for (uint32_t j = 0; j < n; j++)
                    y[t * 12 + h * 3 + d] += p[j] / l * x[2][(start + j) * 6 + h / 2 * 3 + d];
            }
        }
}

static sv_val build_add(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_add, NULL, in, 2);
}

static void exact_add(double *const *x, double *y)
{
    for (uint32_t i = 0; i < T * 5; i++)
        y[i] = x[0][i] + x[1][i];
}

static void exact_bias(double *const *x, double *y)
{
    for (uint32_t i = 0; i < T * 5; i++)
        y[i] = x[0][i] + x[1][i % 5];
}

static sv_val build_mul(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_mul, NULL, in, 2);
}

static void exact_mul(double *const *x, double *y)
{
    for (uint32_t i = 0; i < T * 5; i++)
        y[i] = x[0][i] * x[1][i];
}

/* One value used three times: gradients add up. */
static sv_val build_square(sv_tape *t, const sv_val *in)
{
    sv_val square = sv_tape_emit1(t, SV_OP_mul, NULL, (sv_val[]){ in[0], in[0] }, 2);
    sv_val scaled = sv_tape_emit1(t, SV_OP_scale, &(sv_attr_scale){ -0.75f }, &square, 1);
    sv_val copied = sv_tape_emit1(t, SV_OP_copy, NULL, &scaled, 1);
    sv_val sum = sv_tape_emit1(t, SV_OP_add, NULL, (sv_val[]){ copied, in[0] }, 2);
    return sv_tape_emit1(t, SV_OP_cast, &(sv_attr_cast){ SV_DT_F32 }, &sum, 1);
}

static void exact_square(double *const *x, double *y)
{
    for (uint32_t i = 0; i < T * 5; i++)
        y[i] = x[0][i] * x[0][i] * -0.75 + x[0][i];
}

static sv_val build_gather(sv_tape *t, const sv_val *in)
{
    return sv_tape_emit1(t, SV_OP_gather_rows, NULL, (sv_val[]){ in[0], step(t, SV_STEP_WANT, 3) }, 2);
}

static void exact_gather(double *const *x, double *y)
{
    for (uint32_t i = 0; i < 15; i++)
        y[i] = x[0][(uint32_t)wanted[i / 5] * 5 + i % 5];
}

static sv_val build_scatter(sv_tape *t, const sv_val *in)
{
    sv_attr_scatter_rows attr = { 8 };
    return sv_tape_emit1(t, SV_OP_scatter_rows, &attr, (sv_val[]){ in[0], step(t, SV_STEP_WANT, 3) }, 2);
}

static void exact_scatter(double *const *x, double *y)
{
    for (uint32_t i = 0; i < 40; i++)
        y[i] = 0;
    for (uint32_t i = 0; i < 15; i++)
        y[(uint32_t)wanted[i / 5] * 5 + i % 5] = x[0][i];
}

static sv_val build_logprob(sv_tape *t, const sv_val *in)
{
    sv_val out[2] = { SV_NONE, SV_NONE };
    sv_tape_emit(t, SV_OP_logprob, NULL, (sv_val[]){ in[0], step(t, SV_STEP_TARGET, T) }, 2, out);
    return out[0];
}

static void exact_logprob(double *const *x, double *y) /* z [T,5] */
{
    for (uint32_t t = 0; t < T; t++) {
        double l = 0;
        for (uint32_t j = 0; j < 5; j++)
            l += exp(x[0][t * 5 + j]);
        y[t] = x[0][t * 5 + (uint32_t)target[t]] - log(l);
    }
}

static const problem problems[] = {
    { "matmul NT, trained weight",
      2,
      { { 2, { T, 5 }, false, 1 }, { 2, { 4, 5 }, true, 1 } },
      build_matmul_nt,
      exact_matmul_nt },
    { "matmul NT, computed weight",
      2,
      { { 2, { T, 5 }, false, 1 }, { 2, { 4, 5 }, false, 1 } },
      build_matmul_nt,
      exact_matmul_nt },
    { "matmul NN, trained weight",
      2,
      { { 2, { T, 4 }, false, 1 }, { 2, { 4, 5 }, true, 1 } },
      build_matmul_nn,
      exact_matmul_nn },
    { "matmul TN", 2, { { 2, { T, 4 }, false, 1 }, { 2, { T, 5 }, false, 1 } }, build_matmul_tn, exact_matmul_tn },
    { "embed, trained", 1, { { 2, { 5, 3 }, true, 1 } }, build_embed, exact_embed },
    { "embed, computed", 1, { { 2, { 5, 3 }, false, 1 } }, build_embed, exact_embed },
    { "rmsnorm, trained gain", 2, { { 2, { T, 6 }, false, 1 }, { 1, { 3 }, true, 1 } }, build_rmsnorm, exact_rmsnorm },
    { "rmsnorm, computed gain",
      2,
      { { 2, { T, 6 }, false, 0.1f }, { 1, { 3 }, false, 1 } },
      build_rmsnorm,
      exact_rmsnorm },
    { "rope", 1, { { 2, { T, 8 }, false, 1 } }, build_rope, exact_rope },
    { "rope, inverse", 1, { { 2, { T, 8 }, false, 1 } }, build_rope_inverse, exact_rope_inverse },
    { "swiglu", 2, { { 2, { T, 5 }, false, 2 }, { 2, { T, 5 }, false, 1 } }, build_swiglu, exact_swiglu },
    { "attend",
      3,
      { { 2, { T, 12 }, false, 1 }, { 2, { T, 6 }, false, 1 }, { 2, { T, 6 }, false, 1 } },
      build_attend,
      exact_attend },
    { "add", 2, { { 2, { T, 5 }, false, 1 }, { 2, { T, 5 }, false, 1 } }, build_add, exact_add },
    { "add, trained bias", 2, { { 2, { T, 5 }, false, 1 }, { 1, { 5 }, true, 1 } }, build_add, exact_bias },
    { "add, computed bias", 2, { { 2, { T, 5 }, false, 1 }, { 1, { 5 }, false, 1 } }, build_add, exact_bias },
    { "mul", 2, { { 2, { T, 5 }, false, 1 }, { 2, { T, 5 }, false, 1 } }, build_mul, exact_mul },
    { "scale, copy, cast, reuse", 1, { { 2, { T, 5 }, false, 1 } }, build_square, exact_square },
    { "gather_rows", 1, { { 2, { T, 5 }, false, 1 } }, build_gather, exact_gather },
    { "scatter_rows", 1, { { 2, { 3, 5 }, false, 1 } }, build_scatter, exact_scatter },
    { "logprob", 1, { { 2, { T, 5 }, false, 2 } }, build_logprob, exact_logprob },
};

/* Numbers for the states a problem may use. */
static void fill_states(const op_run_tape *r, const sv_tape *t)
{
    static const int32_t table[] = { 1, 0 };
    static const struct {
        const int32_t *v;
        size_t n;
    } ints[SV_STEP_COUNT] = {
        [SV_STEP_TOK] = { token, T },     [SV_STEP_POS] = { position, T }, [SV_STEP_SEQ] = { sequence, T },
        [SV_STEP_TABLE] = { table, 2 },   [SV_STEP_WANT] = { wanted, 3 },  [SV_STEP_SEG] = { leaf, 4 },
        [SV_STEP_TARGET] = { target, T },
    };
    for (size_t i = 1; i < t->n_value; i++) {
        const sv_tape_value *v = &t->value[i];
        if (v->kind == SV_KIND_STEP && ints[v->id].v != NULL)
            memcpy(op_run_i(&r->value[i]), ints[v->id].v, ints[v->id].n * sizeof(int32_t));
        if (v->kind == SV_KIND_CONST && v->id == CONST_ROPE)
            for (uint32_t p = 0; p < 8; p++)
                for (uint32_t k = 0; k < 2; k++) {
                    op_run_f(&r->value[i])[p * 4 + k] = (float)cos(angle(p, k));
                    op_run_f(&r->value[i])[p * 4 + 2 + k] = (float)sin(angle(p, k));
                }
    }
}

static double loss(const problem *p, double *const *x, double *y, const float *w, uint64_t n_y)
{
    double sum = 0;
    p->exact(x, y);
    for (uint64_t i = 0; i < n_y; i++)
        sum += y[i] * (double)w[i];
    return sum;
}

static void check_problem(const problem *p)
{
    sv_tape *t = sv_tape_make();
    op_run_tape r = { 0 };
    sv_val state_of[MAX_IN], in[MAX_IN];
    step(t, SV_STEP_SEG, 4);
    for (uint32_t i = 0; i < p->n_in; i++) {
        sv_tensor shape = sv_tensor_make(SV_DT_F32, p->in[i].n_dim, p->in[i].dim);
        in[i] = state_of[i] = sv_tape_state(t, SV_KIND_WEIGHT, 100 + i, &shape);
        if (p->in[i].is_param)
            sv_tape_set_param(t, state_of[i]);
        else /* as a value that was computed from a parameter */
            t->value[in[i]].needs_grad = true;
    }
    sv_val y = p->build(t, in);
    assert_int_equal(sv_tape_error(t), SV_OK);
    sv_tensor y_shape = *sv_tape_tensor(t, y);
    sv_val dy = sv_tape_state(t, SV_KIND_CONST, CONST_DY, &y_shape);
    if (sv_tape_backward(t, y, dy) != SV_OK)
        fail_msg("%s: %s", p->name, sv_err_text());
    op_run_bind(&r, t);
    fill_states(&r, t);
    double *x[MAX_IN], *y_exact = sv_mem_new(sv_tensor_items(&y_shape) * sizeof(double));
    for (uint32_t i = 0; i < p->n_in; i++) {
        uint64_t n = sv_tensor_items(&r.value[state_of[i]]);
        op_run_normal(&r.value[state_of[i]], 10 + i, p->in[i].scale);
        x[i] = sv_mem_new(n * sizeof(double));
        for (uint64_t k = 0; k < n; k++)
            x[i][k] = (double)op_run_f(&r.value[state_of[i]])[k];
    }
    op_run_normal(&r.value[dy], 99, 1.0f);
    op_run_calls(&r, t);
    const float *w = op_run_f(&r.value[dy]);
    uint64_t n_y = sv_tensor_items(&y_shape);
    loss(p, x, y_exact, w, n_y);
    for (uint64_t k = 0; k < n_y; k++)
        op_run_near((double)op_run_f(&r.value[y])[k], y_exact[k], 2e-6, p->name, k);
    for (uint32_t i = 0; i < p->n_in; i++) {
        sv_val g = p->in[i].is_param ? sv_tape_param_grad(t, state_of[i]) : t->grad[in[i]];
        assert_true(g != SV_NONE && g < r.n_value);
        for (uint64_t k = 0; k < sv_tensor_items(&r.value[g]); k++) {
            double was = x[i][k];
            x[i][k] = was + H_STEP;
            double up = loss(p, x, y_exact, w, n_y);
            x[i][k] = was - H_STEP;
            double down = loss(p, x, y_exact, w, n_y);
            x[i][k] = was;
            op_run_near((double)op_run_f(&r.value[g])[k], (up - down) / (2 * H_STEP), 1e-5, p->name, k);
        }
    }
    for (uint32_t i = 0; i < p->n_in; i++)
        sv_mem_free(x[i]);
    sv_mem_free(y_exact);
    op_run_tape_drop(&r);
    sv_tape_drop(t);
}

static void test_gradients_equal_central_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        check_problem(&problems[i]);
}

static void test_a_quantised_weight_has_no_gradient_and_says_so(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_tensor x_shape = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ 3, 32 });
    sv_tensor w_shape = sv_tensor_make(SV_DT_Q8_0, 2, (uint32_t[]){ 4, 32 });
    step(t, SV_STEP_SEG, 4);
    sv_val x = sv_tape_state(t, SV_KIND_WEIGHT, 1, &x_shape), w = sv_tape_state(t, SV_KIND_WEIGHT, 2, &w_shape);
    t->value[x].needs_grad = true;
    sv_val q = sv_tape_emit1(t, SV_OP_quant, NULL, &x, 1);
    sv_val y = sv_tape_emit1(t, SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, (sv_val[]){ q, w }, 2);
    sv_val dy = sv_tape_emit1(t, SV_OP_copy, NULL, &y, 1);
    assert_int_equal(sv_tape_error(t), SV_OK);
    assert_int_not_equal(sv_tape_backward(t, y, dy), SV_OK);
    assert_non_null(strstr(sv_err_text(), "matmul"));
    sv_tape_drop(t);
}

static void test_a_weight_whose_gradient_nobody_adds_up_is_an_error(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_tensor shape = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ 3, 5 });
    sv_val w = sv_tape_state(t, SV_KIND_WEIGHT, 1, &shape), dy = sv_tape_state(t, SV_KIND_CONST, CONST_DY, &shape);
    sv_tape_set_param(t, w);
    sv_val y = sv_tape_emit1(t, SV_OP_scale, &(sv_attr_scale){ 2 }, &w, 1);
    assert_int_equal(sv_tape_backward(t, y, dy), SV_E_UNSUPPORTED);
    assert_non_null(strstr(sv_err_text(), "scale: operand 0 is a weight"));
    sv_tape_drop(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_equal_central_differences),
        cmocka_unit_test(test_a_quantised_weight_has_no_gradient_and_says_so),
        cmocka_unit_test(test_a_weight_whose_gradient_nobody_adds_up_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
