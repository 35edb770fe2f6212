/* SPDX-License-Identifier: Apache-2.0
 * One recipe has one answer: threads, micro-batches, instruction sets and chips change no bit of 50 SFT steps. And the
 * gradients are those of the loss.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/train_run.h"

static uint64_t golden;

static void expect(const char *sets)
{
    uint64_t h = tiny_hash(sets, UINT64_MAX);
    if (h != golden)
        fail_msg("%s: %016llx; expected sft50 %016llx", sets, (unsigned long long)h, (unsigned long long)golden);
}

static void test_the_bits_are_the_golden_ones(void **state)
{
    (void)state;
    golden = golden_bits("sft50");
    expect("");
}

static void test_threads_change_no_bit(void **state)
{
    (void)state;
    expect("threads=1");
    expect("threads=7");
}

static void test_micro_batches_change_no_bit(void **state)
{
    (void)state;
    expect("train.micro=1");
    expect("train.micro=3");
    expect("train.micro=16");
}

static void test_instruction_sets_change_no_bit(void **state)
{
    (void)state;
    expect("chip=cpu:scalar");
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        expect("chip=cpu:avx2");
    if (__builtin_cpu_supports("avx512vnni"))
        expect("chip=cpu:avx512");
#endif
}

static void test_other_chips_change_no_bit(void **state)
{
    (void)state;
    uint64_t want = tiny_hash("", 2);
    assert_true(want != 0);
    assert_true(tiny_hash("chip=ref", 2) == want);
    assert_true(tiny_hash("chip=odd", 2) == want);
    sv_recipe *r;
    sv_train *t;
    if (tiny_open("chip=opencl", &r, &t) != SV_OK) {
        print_message("no opencl here: %s\n", sv_err_text());
        return;
    }
    tiny_close(r, t);
    assert_true(tiny_hash("chip=opencl", 2) == want);
}

static void test_other_seeds_give_other_bits(void **state)
{
    (void)state;
    assert_true(tiny_hash("seed=8", 2) != tiny_hash("seed=7", 2));
    assert_true(tiny_hash("train.pack_tokens=128", 2) != tiny_hash("", 2)); /* part of the recipe, on purpose */
}

/* ---- the gradient is that of the loss ---- */

static double loss_of(sv_train *t, const sv_row *row, size_t n, float *lp)
{
    double sum = 0;
    size_t count = sv_train_count(row, n);
    assert_int_equal(sv_train_score(t, row, n, lp), SV_OK);
    for (size_t i = 0; i < count; i++)
        sum -= (double)lp[i];
    return sum / (double)count;
}

/* Central differences on the items with the largest gradients of a weight. w: the whole weight, g: its gradient. */
static void check_weight(sv_train *t, uint32_t id, float *w, const float *g, uint64_t n, const sv_row *row,
                         size_t n_row, float *lp)
{
    sv_store *s = sv_runner_store(sv_train_runner(t));
    uint64_t at = 0;
    for (uint64_t i = 0; i < n; i++)
        if (__builtin_fabsf(g[i]) > __builtin_fabsf(g[at]))
            at = i;
    float keep = w[at];
    double side[2];
    for (int k = 0; k < 2; k++) {
        w[at] = keep + (k ? -1e-2f : 1e-2f);
        assert_int_equal(sv_store_update(s, SV_KIND_WEIGHT, id, w), SV_OK);
        side[k] = loss_of(t, row, n_row, lp);
    }
    w[at] = keep;
    assert_int_equal(sv_store_update(s, SV_KIND_WEIGHT, id, w), SV_OK);
    double slope = (side[0] - side[1]) / 2e-2, want = (double)g[at];
    if (__builtin_fabs(slope - want) > 0.03 * __builtin_fabs(want) + 2e-4)
        fail_msg("weight %u, item %llu: gradient %g, slope %g", id, (unsigned long long)at, want, slope);
}

static void test_gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    enum { N = 6 };
    sv_recipe *r;
    sv_train *t;
    sv_data *d;
    sv_row row[N];
    sv_train_report report;
    const sv_model *m;
    float lp[1000];
    /* No update: lr 0 and no decay. The init's small o_proj and down_proj make some gradients small; rows are real
     * ones. */
    assert_int_equal(tiny_open("optim.lr=0 optim.decay=0 train.micro=2", &r, &t), SV_OK);
    assert_int_equal(sv_train_model(t, &m), SV_OK);
    assert_int_equal(sv_data_open(r, m, 128, &d), SV_OK);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(sv_data_row(d, 3, 0, i, &row[i]), SV_OK);
    assert_true(sv_train_count(row, N) < 1000);
    assert_int_equal(sv_train_update(t, row, N, lp, &report), SV_OK);
    double loss = loss_of(t, row, N, lp);
    assert_true(__builtin_fabs(loss - (double)report.loss) < 1e-5);
    const sv_config *c = &m->config;
    sv_store *s = sv_runner_store(sv_train_runner(t));
    double squares = 0;
    for (uint32_t id = 0; id < sv_weight_ids(c); id++) {
        if (!sv_weight_exists(c, id) || sv_weight_is_alias(c, id))
            continue;
        sv_tensor shape = sv_weight_shape(c, id);
        uint64_t n = sv_tensor_items(&shape);
        bool is_sum = c->family->weight[id % c->family->n_weight].flags & SV_W_EMBED; /* tied: the sum stands behind */
        float *w = malloc(n * 4), *g = malloc(n * 4);
        assert_int_equal(sv_store_get(s, SV_KIND_WEIGHT, id, w), SV_OK);
        assert_int_equal(sv_store_get(s, SV_KIND_GRAD, is_sum ? sv_weight_ids(c) + id : id, g), SV_OK);
        for (uint64_t i = 0; i < n; i++)
            squares += (double)g[i] * (double)g[i];
        check_weight(t, id, w, g, n, row, N, lp);
        free(w);
        free(g);
    }
    assert_true(__builtin_fabs(__builtin_sqrt(squares) - (double)report.grad_norm) < 1e-4 * (double)report.grad_norm);
    sv_data_close(d);
    tiny_close(r, t);
}

static void test_the_loss_falls(void **state)
{
    (void)state;
    sv_recipe *r;
    sv_train *t;
    sv_train_report report;
    double before, after;
    uint32_t n;
    assert_int_equal(tiny_open("", &r, &t), SV_OK);
    assert_int_equal(sv_train_eval(t, 50, &before, &n), SV_OK);
    assert_int_equal(n, 50);
    while (!sv_train_done(t))
        assert_int_equal(sv_train_step(t, &report), SV_OK);
    assert_true(report.done && report.has_hash && report.weight_bits == golden);
    assert_int_equal(sv_train_eval(t, 50, &after, &n), SV_OK);
    if (!(before > 3.0 && after < before - 0.3))
        fail_msg("%g before, %g after", before, after);
    assert_int_equal(sv_train_step(t, &report), SV_E_ARG);
    tiny_close(r, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bits_are_the_golden_ones),    cmocka_unit_test(test_threads_change_no_bit),
        cmocka_unit_test(test_micro_batches_change_no_bit),     cmocka_unit_test(test_instruction_sets_change_no_bit),
        cmocka_unit_test(test_other_chips_change_no_bit),       cmocka_unit_test(test_other_seeds_give_other_bits),
        cmocka_unit_test(test_gradients_are_those_of_the_loss), cmocka_unit_test(test_the_loss_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
