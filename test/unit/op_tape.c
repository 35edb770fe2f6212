/* SPDX-License-Identifier: Apache-2.0
 * Claims about the tape: the first failure is kept and named, states are found again, and the walk backward adds
 * gradients in one order, accumulates those of parameters and emits none that nobody needs. What the gradients are is
 * test/grad's.
 */
#include <stdio.h>

#include "test/op_run.h"

#define T 5
#define D 4
#define V 7

static sv_val state_of(sv_tape *t, sv_kind kind, uint32_t id, sv_dtype dtype, uint32_t n0, uint32_t n1)
{
    sv_tensor shape = sv_tensor_make(dtype, n1 ? 2 : 1, (uint32_t[]){ n0, n1 });
    return sv_tape_state(t, kind, id, &shape);
}

static sv_val weight(sv_tape *t, uint32_t id, uint32_t n0, uint32_t n1)
{
    return state_of(t, SV_KIND_WEIGHT, id, SV_DT_F32, n0, n1);
}

static sv_val param(sv_tape *t, uint32_t id, uint32_t n0, uint32_t n1)
{
    sv_val v = weight(t, id, n0, n1);
    sv_tape_set_param(t, v);
    return v;
}

static void declare_leaves(sv_tape *t)
{
    state_of(t, SV_KIND_STEP, SV_STEP_SEG, SV_DT_I32, 2, 0);
    state_of(t, SV_KIND_STEP, SV_STEP_SEG_WANT, SV_DT_I32, 2, 0);
}

/* Rows that need a gradient and are no parameter: a lookup in a trained table, weight 0. */
static sv_val rows(sv_tape *t)
{
    sv_val tok = state_of(t, SV_KIND_STEP, SV_STEP_TOK, SV_DT_I32, T, 0);
    return sv_tape_emit1(t, SV_OP_embed, NULL, (sv_val[]){ tok, param(t, 0, V, D) }, 2);
}

static sv_val times(sv_tape *t, sv_val x, float factor)
{
    return sv_tape_emit1(t, SV_OP_scale, &(sv_attr_scale){ factor }, &x, 1);
}

static sv_val plus(sv_tape *t, sv_val a, sv_val b)
{
    return sv_tape_emit1(t, SV_OP_add, NULL, (sv_val[]){ a, b }, 2);
}

static sv_val linear(sv_tape *t, sv_val x, sv_val w)
{
    return sv_tape_emit1(t, SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, (sv_val[]){ x, w }, 2);
}

static sv_val dy_of(sv_tape *t, uint32_t n0, uint32_t n1)
{
    return state_of(t, SV_KIND_STEP, SV_STEP_DLP, SV_DT_F32, n0, n1);
}

static void expect_text(const char *words)
{
    if (strstr(sv_err_text(), words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", sv_err_text(), words);
}

static void expect_op(const sv_tape *t, size_t index, sv_op op)
{
    assert_true(index < t->n_call);
    assert_string_equal(sv_opspecs[t->call[index].op]->name, sv_opspecs[op]->name);
}

static uint32_t count_op(const sv_tape *t, size_t from, sv_op op)
{
    uint32_t n = 0;
    for (size_t i = from; i < t->n_call; i++)
        n += t->call[i].op == op;
    return n;
}

static void test_the_first_failure_names_layer_op_and_label(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_val x = weight(t, 0, T, D), narrow = weight(t, 1, V, D + 1);
    t->layer = 3;
    t->label = "mlp.up_proj.weight";
    assert_int_equal(linear(t, x, narrow), SV_NONE);
    assert_int_equal(sv_tape_error(t), SV_E_SHAPE);
    expect_text("layer 3");
    expect_text("matmul of mlp.up_proj.weight");
    expect_text("b is f32 [7, 5]; dimension 1 must be 4");
    sv_tape_drop(t);
}

static void test_after_a_failure_nothing_is_emitted_and_its_sentence_comes_back(void **state)
{
    (void)state;
    char first[512];
    sv_tape *t = sv_tape_make();
    sv_val x = weight(t, 0, T, D), narrow = weight(t, 1, V, D + 1), out[2] = { SV_NONE, SV_NONE };
    linear(t, x, narrow);
    assert_int_equal(sv_tape_error(t), SV_E_SHAPE);
    snprintf(first, sizeof first, "%s", sv_err_text());
    size_t n_value = t->n_value, n_call = t->n_call;
    assert_int_equal(plus(t, x, x), SV_NONE);
    assert_int_equal(plus(t, SV_NONE, SV_NONE), SV_NONE); /* what a forward does that does not check */
    sv_tape_emit(t, SV_OP_logprob, NULL, (sv_val[]){ SV_NONE, SV_NONE }, 2, out);
    assert_int_equal(weight(t, 9, 1, 1), SV_NONE);
    assert_int_equal(sv_tape_temp(t, SV_DT_F32, 1, (uint32_t[]){ 3 }), SV_NONE);
    sv_tape_set_param(t, SV_NONE);
    sv_tape_set_out(t, SV_NONE, 0);
    assert_int_equal(t->n_value, n_value);
    assert_int_equal(t->n_call, n_call);
    sv_fail(SV_E_IO, "something else went wrong meanwhile");
    assert_int_equal(sv_tape_backward(t, SV_NONE, SV_NONE), SV_E_SHAPE);
    assert_string_equal(sv_err_text(), first);
    sv_tape_drop(t);
}

static void test_a_cleared_tape_has_no_failure_and_keeps_its_memory(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    rows(t);
    linear(t, weight(t, 5, T, D), weight(t, 6, V, D + 1));
    assert_int_equal(sv_tape_error(t), SV_E_SHAPE);
    size_t cap_value = t->cap_value, cap_call = t->cap_call;
    sv_tape_clear(t);
    assert_int_equal(sv_tape_error(t), SV_OK);
    assert_int_equal(t->n_call, 0);
    assert_int_equal(rows(t) != SV_NONE, true);
    assert_int_equal(sv_tape_error(t), SV_OK);
    assert_int_equal(t->cap_value, cap_value);
    assert_int_equal(t->cap_call, cap_call);
    sv_tape_drop(t);
}

static void test_a_tape_that_went_backward_can_be_cleared_and_go_backward_again(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    size_t n_call[3];
    for (int i = 0; i < 3; i++) {
        sv_tape_clear(t);
        sv_val h = rows(t);
        assert_int_equal(sv_tape_backward(t, plus(t, h, times(t, h, 2)), dy_of(t, T, D)), SV_OK);
        n_call[i] = t->n_call;
    }
    assert_int_equal(n_call[1], n_call[0]);
    assert_int_equal(n_call[2], n_call[0]);
    sv_tape_drop(t);
}

static void test_the_same_state_is_the_same_value(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_val w = weight(t, 3, V, D), grad = state_of(t, SV_KIND_GRAD, 3, SV_DT_F32, V, D), other = weight(t, 4, V, D);
    assert_true(w != grad && w != other && grad != other);
    for (int i = 0; i < 40; i++)
        times(t, w, 2);
    assert_int_equal(weight(t, 3, V, D), w);
    assert_int_equal(state_of(t, SV_KIND_GRAD, 3, SV_DT_F32, V, D), grad);
    assert_int_equal(sv_tape_error(t), SV_OK);
    sv_tape_drop(t);
}

static void test_a_state_asked_for_in_another_shape_or_type_is_refused(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    weight(t, 3, V, D);
    weight(t, 3, D, V);
    assert_int_equal(sv_tape_error(t), SV_E_INTERNAL);
    expect_text("f32 [7, 4]");
    expect_text("f32 [4, 7]");
    sv_tape_clear(t);
    weight(t, 3, V, D);
    state_of(t, SV_KIND_WEIGHT, 3, SV_DT_BF16, V, D);
    assert_int_equal(sv_tape_error(t), SV_E_INTERNAL);
    sv_tape_drop(t);
}

static void test_attributes_and_operands_are_copied(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_attr_scale attr = { 2.0f };
    sv_val x = weight(t, 0, T, D), in[1] = { x }, out[1] = { SV_NONE };
    sv_tape_emit(t, SV_OP_scale, &attr, in, 1, out);
    sv_val y = out[0];
    attr.factor = 9.0f;
    in[0] = out[0] = 77;
    const sv_tape_call *c = &t->call[0];
    assert_true(((const sv_attr_scale *)c->attr)->factor == 2.0f);
    assert_int_equal(c->in[0], x);
    assert_int_equal(c->out[0], y);
    assert_int_equal(c->layer, UINT32_MAX);
    sv_tape_drop(t);
}

/* h is used by three scales: walked in reverse, the factors arrive as 5, 3, 2, and g = g + din each time. */
static void test_gradients_of_many_uses_are_added_last_use_first(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_val h = rows(t), a = times(t, h, 2), b = times(t, h, 3), c = times(t, h, 5);
    sv_val y = plus(t, plus(t, a, b), c), dy = dy_of(t, T, D);
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, y, dy), SV_OK);
    static const sv_op want[] = { SV_OP_scale, SV_OP_scale, SV_OP_add, SV_OP_scale, SV_OP_add, SV_OP_embed_grad };
    static const float factor[] = { 5, 3, 0, 2 };
    assert_int_equal(t->n_call, n + 6);
    for (size_t i = 0; i < 6; i++) {
        expect_op(t, n + i, want[i]);
        if (want[i] != SV_OP_scale)
            continue;
        assert_true(((const sv_attr_scale *)t->call[n + i].attr)->factor == factor[i]);
        assert_int_equal(t->call[n + i].in[0], dy);
    }
    const sv_tape_call *first = &t->call[n + 2], *second = &t->call[n + 4];
    assert_int_equal(first->in[0], t->call[n].out[0]);
    assert_int_equal(first->in[1], t->call[n + 1].out[0]);
    assert_int_equal(second->in[0], first->out[0]);
    assert_int_equal(second->in[1], t->call[n + 3].out[0]);
    assert_int_equal(t->call[n + 5].in[1], second->out[0]);
    assert_int_equal(t->grad[h], second->out[0]);
    sv_tape_drop(t);
}

static void test_a_value_used_twice_by_one_call_gets_both_gradients(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_val h = rows(t), y = sv_tape_emit1(t, SV_OP_mul, NULL, (sv_val[]){ h, h }, 2), dy = dy_of(t, T, D);
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, y, dy), SV_OK);
    expect_op(t, n, SV_OP_mul);
    expect_op(t, n + 1, SV_OP_mul);
    expect_op(t, n + 2, SV_OP_add);
    assert_int_equal(t->call[n + 2].in[0], t->call[n].out[0]);
    assert_int_equal(t->call[n + 2].in[1], t->call[n + 1].out[0]);
    sv_tape_drop(t);
}

static void expect_into_grad(const sv_tape *t, const sv_tape_call *c, uint32_t out, uint32_t id)
{
    const sv_tape_value *v = &t->value[c->out[out]];
    assert_int_equal(v->kind, SV_KIND_GRAD);
    assert_int_equal(v->id, id);
    assert_int_equal(sv_op_inout(c->op, c->attr) >> out & 1, 1);
}

static void test_every_use_of_a_parameter_accumulates_into_one_gradient(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    declare_leaves(t);
    sv_val h = rows(t), w = param(t, 8, D, D), gain = param(t, 9, D, 0), bias = param(t, 10, D, 0);
    sv_val x = sv_tape_emit1(t, SV_OP_rmsnorm, &(sv_attr_rmsnorm){ 1e-6f }, (sv_val[]){ h, gain }, 2);
    x = plus(t, linear(t, linear(t, x, w), w), bias);
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, x, dy_of(t, T, D)), SV_OK);
    uint32_t n_weight = 0;
    for (size_t i = n; i < t->n_call; i++) {
        const sv_tape_call *c = &t->call[i];
        const sv_attr_matmul *m = c->attr;
        if (c->op == SV_OP_matmul && m->layout == SV_TN && t->value[c->out[0]].id == 8) {
            expect_into_grad(t, c, 0, 8);
            n_weight++;
        } else if (c->op == SV_OP_rmsnorm_grad) {
            expect_into_grad(t, c, 1, 9);
        } else if (c->op == SV_OP_embed_grad) {
            expect_into_grad(t, c, 0, 0);
        }
    }
    assert_int_equal(n_weight, 2);
    assert_int_equal(count_op(t, n, SV_OP_rmsnorm_grad), 1);
    assert_int_equal(count_op(t, n, SV_OP_embed_grad), 1);
    assert_int_equal(count_op(t, n, SV_OP_add), 0); /* nothing is summed outside the accumulators */
    const uint32_t trained[] = { 0, 8, 9, 10 };
    uint32_t n_grad = 0;
    for (size_t v = 1; v < t->n_value; v++)
        n_grad += t->value[v].kind == SV_KIND_GRAD;
    assert_int_equal(n_grad, sizeof trained / sizeof *trained);
    sv_tape_drop(t);
}

static void test_a_gradient_of_a_bf16_parameter_is_f32(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    declare_leaves(t);
    sv_val w = state_of(t, SV_KIND_WEIGHT, 8, SV_DT_BF16, V, D);
    sv_tape_set_param(t, w);
    assert_int_equal(sv_tape_tensor(t, sv_tape_param_grad(t, w))->dtype, SV_DT_F32);
    assert_int_equal(sv_tape_param_grad(t, w), sv_tape_param_grad(t, w));
    assert_int_equal(sv_tape_param_grad(t, weight(t, 9, V, D)), SV_NONE);
    sv_tape_drop(t);
}

/* x needs none, frozen is no parameter: of the two products only the one to the trained weight is emitted. */
static void test_inputs_that_need_no_gradient_get_none(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    declare_leaves(t);
    sv_val x = weight(t, 20, T, D), frozen = weight(t, 21, D, D), trained = param(t, 22, V, D);
    sv_val h = linear(t, x, frozen), y = linear(t, h, trained);
    assert_false(sv_tape_needs(t, h));
    assert_true(sv_tape_needs(t, y));
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, y, dy_of(t, T, V)), SV_OK);
    assert_int_equal(t->n_call, n + 1);
    expect_into_grad(t, &t->call[n], 0, 22);
    assert_int_equal(t->grad[x], SV_NONE);
    assert_int_equal(t->grad[h], SV_NONE);
    assert_int_equal(t->grad[frozen], SV_NONE);
    sv_tape_drop(t);
}

static void test_calls_that_do_not_reach_the_result_are_not_walked(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    declare_leaves(t);
    sv_val h = rows(t), y = times(t, h, 2);
    linear(t, h, param(t, 8, V, D)); /* nobody uses it */
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, y, dy_of(t, T, D)), SV_OK);
    assert_int_equal(t->n_call, n + 2);
    expect_op(t, n, SV_OP_scale);
    expect_op(t, n + 1, SV_OP_embed_grad);
    sv_tape_drop(t);
}

static void test_weight_gradients_take_the_leaves_of_their_rows(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    declare_leaves(t);
    sv_val want = state_of(t, SV_KIND_STEP, SV_STEP_WANT, SV_DT_I32, 2, 0);
    sv_val h = linear(t, rows(t), param(t, 8, D, D));
    sv_val z = linear(t, sv_tape_emit1(t, SV_OP_gather_rows, NULL, (sv_val[]){ h, want }, 2), param(t, 9, V, D));
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, z, dy_of(t, 2, V)), SV_OK);
    uint32_t seen = 0;
    for (size_t i = n; i < t->n_call; i++) {
        const sv_tape_call *c = &t->call[i];
        if (c->op != SV_OP_matmul || ((const sv_attr_matmul *)c->attr)->layout != SV_TN)
            continue;
        bool is_head = t->value[c->out[0]].id == 9;
        assert_int_equal(t->value[c->in[2]].id, is_head ? SV_STEP_SEG_WANT : SV_STEP_SEG);
        seen++;
    }
    assert_int_equal(seen, 2);
    sv_tape_drop(t);
}

static void test_backward_fails_in_words_without_leaves_or_gradient(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    sv_val y = linear(t, rows(t), param(t, 8, V, D));
    assert_int_equal(sv_tape_backward(t, y, dy_of(t, T, V)), SV_E_INTERNAL);
    expect_text("leaf offsets");
    sv_tape_clear(t);
    t->layer = 2;
    sv_val h = rows(t), best = sv_tape_emit1(t, SV_OP_argmax, NULL, &h, 1);
    assert_int_equal(sv_tape_error(t), SV_OK);
    assert_int_equal(sv_tape_backward(t, best, dy_of(t, T, 0)), SV_E_UNSUPPORTED);
    expect_text("argmax");
    expect_text("layer 2");
    expect_text("no gradient");
    sv_tape_drop(t);
}

static void test_backward_calls_carry_the_layer_and_label_of_their_forward(void **state)
{
    (void)state;
    sv_tape *t = sv_tape_make();
    declare_leaves(t);
    sv_val h = rows(t);
    t->layer = 4;
    t->label = "down_proj.weight";
    sv_val y = linear(t, h, param(t, 8, V, D));
    t->layer = UINT32_MAX;
    t->label = NULL;
    size_t n = t->n_call;
    assert_int_equal(sv_tape_backward(t, y, dy_of(t, T, V)), SV_OK);
    for (size_t i = n; i < t->n_call; i++) {
        bool is_product = t->call[i].op == SV_OP_matmul;
        assert_int_equal(t->call[i].layer, is_product ? 4 : UINT32_MAX);
        if (is_product)
            assert_string_equal(t->call[i].label, "down_proj.weight");
    }
    assert_int_equal(count_op(t, n, SV_OP_matmul), 2);
    assert_int_equal(t->layer, UINT32_MAX);
    for (size_t i = n; i < t->n_call; i++) /* gradients have no gradients, even those made from parameters */
        for (uint32_t o = 0; o < t->call[i].n_out; o++)
            assert_false(t->value[t->call[i].out[o]].needs_grad);
    sv_tape_drop(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_failure_names_layer_op_and_label),
        cmocka_unit_test(test_after_a_failure_nothing_is_emitted_and_its_sentence_comes_back),
        cmocka_unit_test(test_a_cleared_tape_has_no_failure_and_keeps_its_memory),
        cmocka_unit_test(test_a_tape_that_went_backward_can_be_cleared_and_go_backward_again),
        cmocka_unit_test(test_the_same_state_is_the_same_value),
        cmocka_unit_test(test_a_state_asked_for_in_another_shape_or_type_is_refused),
        cmocka_unit_test(test_attributes_and_operands_are_copied),
        cmocka_unit_test(test_gradients_of_many_uses_are_added_last_use_first),
        cmocka_unit_test(test_a_value_used_twice_by_one_call_gets_both_gradients),
        cmocka_unit_test(test_every_use_of_a_parameter_accumulates_into_one_gradient),
        cmocka_unit_test(test_a_gradient_of_a_bf16_parameter_is_f32),
        cmocka_unit_test(test_inputs_that_need_no_gradient_get_none),
        cmocka_unit_test(test_calls_that_do_not_reach_the_result_are_not_walked),
        cmocka_unit_test(test_weight_gradients_take_the_leaves_of_their_rows),
        cmocka_unit_test(test_backward_fails_in_words_without_leaves_or_gradient),
        cmocka_unit_test(test_backward_calls_carry_the_layer_and_label_of_their_forward),
    };
    return cmocka_run_group_tests(tests, NULL, op_run_drop_all);
}
