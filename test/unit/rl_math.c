/* SPDX-License-Identifier: Apache-2.0
 * Advantages, policy losses, KL forms, parts and the guard against vectors worked by hand and against double precision.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "num/philox.h"
#include "rl/advantage.h"
#include "rl/guard.h"
#include "rl/rl.h"

static void near(float got, double want)
{
    if (!(fabs((double)got - want) <= 2e-6 * fmax(1.0, fabs(want))))
        fail_msg("%.9g; expected %.9g", (double)got, want);
}

static void expect(sv_adv kind, const float *r, uint32_t n, const double *want)
{
    float a[16];
    sv_advantage(kind, r, 1, n, a);
    for (uint32_t i = 0; i < n; i++)
        near(a[i], want[i]);
}

static const float four[] = { 1.0f, 0.0f, 0.1f, 1.0f };

static void test_advantages_are_those_of_the_papers(void **state)
{
    (void)state;
    float scratch[4];
    near(sv_mean_of(four, 4), 0.525);
    near(sv_std_of(four, 4, sv_mean_of(four, 4), scratch), 0.476314);
    expect(SV_ADV_MEAN, four, 4, (double[]){ 0.475, -0.525, -0.425, 0.475 });
    expect(SV_ADV_MEAN_STD, four, 4, (double[]){ 0.997032, -1.101983, -0.892081, 0.997032 });
    expect(SV_ADV_LOO, four, 4, (double[]){ 0.633333, -0.7, -0.566667, 0.633333 });
}

static void test_batch_advantages_use_the_whole_batch(void **state)
{
    (void)state;
    const float r[] = { 1.0f, 0.0f, 0.5f, 0.5f };
    float a[4];
    double std = sqrt(0.125) + 1e-4; /* of { .5, -.5, 0, 0 } */
    sv_advantage(SV_ADV_BATCH_STD, r, 2, 2, a);
    near(a[0], 0.5 / std);
    near(a[1], -0.5 / std);
    assert_true(a[2] == 0.0f && a[3] == 0.0f);
    sv_advantage(SV_ADV_BATCH, r, 4, 1, a); /* groups of one */
    near(a[0], 0.5 / std);
    near(a[2], 0.0);
}

static void test_equal_rewards_have_no_advantage(void **state)
{
    (void)state;
    float r[16], a[16];
    for (int i = 0; i < 16; i++)
        r[i] = 0.1f;
    for (int k = SV_ADV_MEAN; k <= SV_ADV_BATCH; k++) {
        sv_advantage((sv_adv)k, r, 1, 16, a);
        for (int i = 0; i < 16; i++)
            assert_true(a[i] == 0.0f);
    }
}

/* ---- losses ---- */

static const float d4[] = { 0.02f, -0.01f, 0.30f, 0.0f };

static void test_ratios_are_those_of_the_vectors(void **state)
{
    (void)state;
    const double want[] = { 1.020201, 0.990050, 1.349859, 1 };
    for (int i = 0; i < 4; i++)
        near(sv_ratio(d4[i]), want[i]);
    assert_true(sv_ratio(0.0f) == 1.0f);
    near(sv_k3(0.0f), 0);
    near(sv_k3(0.1f), 0.005170918);
    near(sv_k3(-0.1f), 0.004837418);
    near(sv_k3(1.0f), 0.718281828);
    near(sv_k3(-1.0f), 0.367879441);
    assert_true(isfinite(sv_ratio(1000.0f)) && sv_ratio(-1000.0f) > 0.0f); /* log ratios end at 20 */
}

static const sv_policy dapo = { .loss = SV_PG_DAPO, .low = 0.2f, .high = 0.28f };

static void run(const sv_policy *p, float a, const float *now, const float *old, const float *ref, float *dlp,
                sv_policy_stat *stat)
{
    float scratch[4];
    *stat = (sv_policy_stat){ 0 };
    sv_policy_row(p, a, sv_policy_norm(p, 3, 11), 4, now, old, ref, NULL, dlp, scratch, stat);
}

static void test_the_sign_of_the_advantage_decides_which_side_clips(void **state)
{
    (void)state;
    const float old[4] = { 0 };
    float dlp[4];
    sv_policy_stat stat;
    const double up[] = { 0.484596, 0.470274, 0, 0.475 }, down[] = { 0.484596, 0.470274, 0.641183, 0.475 };
    run(&dapo, 0.475f, d4, old, NULL, dlp, &stat);
    for (int i = 0; i < 4; i++)
        near(-11 * dlp[i], up[i]);
    assert_true(stat.n_high == 1 && stat.n_low == 0 && stat.n_token == 4);
    run(&dapo, -0.475f, d4, old, NULL, dlp, &stat);
    for (int i = 0; i < 4; i++)
        near(11 * dlp[i], down[i]);
    assert_true(stat.n_high == 0 && stat.n_low == 0);
    sv_policy held = dapo;
    held.ratio_max = 1.3f;
    run(&held, -0.475f, d4, old, NULL, dlp, &stat);
    assert_true(dlp[2] == 0.0f && dlp[0] != 0.0f);
}

/* The objectives as they stand in the papers, in double. frozen: what a stop-gradient holds. */
typedef struct objective {
    const sv_policy *p;
    double a;
    double old[4], ref[4], frozen[4];
    bool has_ref;
} objective;

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static double surrogate(const objective *o, double ratio)
{
    double low = 1 - (double)o->p->low, high = 1 + (double)o->p->high;
    double most = o->p->ratio_max > 0 && o->a < 0 ? (double)o->p->ratio_max : 1e30;
    double plain = fmin(ratio, most) * o->a, cut = clip(ratio, low, high) * o->a;
    return fmin(plain, cut);
}

static double kl_of(const objective *o, double now, double old, double ref)
{
    double e = ref - now, k3 = exp(e) - e - 1;
    switch (o->p->kl) {
    case SV_KL_K3_RATIO:
        return exp(now - old) * k3;
    case SV_KL_K3:
        return k3;
    case SV_KL_K2:
        return e * e / 2;
    default:
        return 0;
    }
}

/* The loss of one answer of 4 tokens, of a batch of 3 answers and 11 tokens. */
static double loss_of(const objective *o, const double *now)
{
    double sum = 0, kl = 0, log_ratio = 0, len = 4;
    for (int t = 0; t < 4; t++) {
        double ratio = exp(now[t] - o->old[t]);
        log_ratio += (now[t] - o->old[t]) / len;
        kl += o->has_ref ? kl_of(o, now[t], o->old[t], o->ref[t]) : 0;
        if (o->p->loss == SV_PG_CISPO)
            sum += clip(exp(o->frozen[t] - o->old[t]), 1 - (double)o->p->low, 1 + (double)o->p->high) * o->a * now[t];
        else if (o->p->loss == SV_PG_REINFORCE)
            sum += o->a * now[t];
        else
            sum += surrogate(o, ratio);
    }
    double beta = (double)o->p->beta;
    if (o->p->loss == SV_PG_GSPO)
        return -surrogate(o, exp(log_ratio)) / 3 + beta * kl / len / 3;
    double z = o->p->loss == SV_PG_GRPO ? 3 * len : o->p->loss == SV_PG_DR_GRPO ? 3 * (double)o->p->norm_tokens : 11;
    return (beta * kl - sum) / z;
}

static void check_gradient(const sv_policy *p, float a, const float *now, const float *old, const float *ref)
{
    objective o = { .p = p, .a = (double)a, .has_ref = ref != NULL };
    double x[4];
    float dlp[4];
    sv_policy_stat stat;
    for (int t = 0; t < 4; t++) {
        x[t] = o.frozen[t] = (double)now[t];
        o.old[t] = (double)old[t];
        o.ref[t] = ref ? (double)ref[t] : 0;
    }
    run(p, a, now, old, ref, dlp, &stat);
    for (int t = 0; t < 4; t++) {
        double h = 1e-6, keep = x[t];
        x[t] = keep + h;
        double high = loss_of(&o, x);
        x[t] = keep - h;
        double low = loss_of(&o, x), want = (high - low) / (2 * h);
        x[t] = keep;
        if (fabs(want - (double)dlp[t]) > 1e-6)
            fail_msg("loss %d, kl %d, A %g, token %d: %.9g; expected %.9g", p->loss, p->kl, (double)a, t,
                     (double)dlp[t], want);
    }
}

static void test_gradients_are_those_of_the_objectives(void **state)
{
    (void)state;
    const float old[4] = { -0.5f, -1.2f, -0.1f, -2.0f }, ref[4] = { -0.7f, -1.0f, -0.15f, -1.1f };
    const float shift[][4] = { { 0.02f, -0.01f, 0.30f, 0 }, { -0.4f, 0.5f, 0.01f, -0.02f }, { 0, 0, 0, 0 } };
    for (int loss = SV_PG_DR_GRPO; loss <= SV_PG_REINFORCE; loss++)
        for (int kl = SV_KL_NONE; kl <= SV_KL_K1; kl++)
            for (int k = 0; k < 6; k++) {
                float now[4];
                sv_policy p = { .loss = (sv_pg_loss)loss, .low = 0.2f, .high = 0.28f, .norm_tokens = 50 };
                p.kl = (sv_kl_form)kl;
                p.beta = kl ? 0.3f : 0.0f;
                p.ratio_max = k == 4 ? 1.4f : 0.0f;
                if (loss == SV_PG_CISPO && k == 5)
                    p.low = 1.0f, p.high = 4.0f;
                for (int t = 0; t < 4; t++)
                    now[t] = old[t] + shift[k % 3][t];
                check_gradient(&p, 0.475f, now, old, kl ? ref : NULL);
                check_gradient(&p, -0.525f, now, old, kl ? ref : NULL);
            }
}

/* Through the log-softmax of two tokens, with one token an answer: dz_v = kappa A w / Z (p_v - [v is drawn]). */
static void test_gradients_reach_the_logits(void **state)
{
    (void)state;
    const double z[2] = { 0.3, -0.4 };
    for (int loss = SV_PG_DR_GRPO; loss <= SV_PG_REINFORCE; loss++) {
        sv_policy p = { .loss = (sv_pg_loss)loss, .low = 0.2f, .high = 0.28f, .norm_tokens = 50 };
        double total = log(exp(z[0]) + exp(z[1])), p0 = exp(z[0] - total), h = 1e-6, side[2];
        float now = (float)(z[0] - total), old = now - 0.1f, dlp, scratch, norm = sv_policy_norm(&p, 1, 1);
        sv_policy_stat stat = { 0 };
        sv_policy_row(&p, 0.5f, norm, 1, &now, &old, NULL, NULL, &dlp, &scratch, &stat);
        for (int k = 0; k < 2; k++) {
            double x = z[0] + (k ? -h : h), lp = x - log(exp(x) + exp(z[1])), ratio = exp(lp - (double)old);
            double weight = loss == SV_PG_CISPO       ? exp((double)now - (double)old) * lp
                            : loss == SV_PG_REINFORCE ? lp
                                                      : ratio;
            side[k] = -0.5 * weight / (double)norm;
        }
        near(dlp * (float)(1 - p0), (side[0] - side[1]) / (2 * h));
    }
}

static void test_gspo_is_grpo_for_a_fresh_sample(void **state)
{
    (void)state;
    const float lp[4] = { -0.5f, -1.2f, -0.1f, -2.0f };
    float x[4], y[4];
    sv_policy_stat stat;
    sv_policy grpo = { .loss = SV_PG_GRPO, .low = 0.2f, .high = 0.2f };
    sv_policy gspo = { .loss = SV_PG_GSPO, .low = 3e-4f, .high = 4e-4f };
    run(&grpo, 0.475f, lp, lp, NULL, x, &stat);
    run(&gspo, 0.475f, lp, lp, NULL, y, &stat);
    assert_memory_equal(x, y, sizeof x);
}

static void test_gspo_drops_a_whole_answer(void **state)
{
    (void)state;
    const float old[4] = { 0 };
    float dlp[4];
    sv_policy_stat stat;
    sv_policy gspo = { .loss = SV_PG_GSPO, .low = 0.03f, .high = 0.09f };
    run(&gspo, 1.0f, d4, old, NULL, dlp, &stat); /* exp(0.0775) = 1.0805822 */
    for (int i = 0; i < 4; i++)
        near(-dlp[i] * 12, 1.0805822);
    gspo.high = 0.08f;
    run(&gspo, 1.0f, d4, old, NULL, dlp, &stat);
    assert_true(dlp[0] == 0.0f && dlp[3] == 0.0f && stat.n_high == 4);
}

/* ---- mismatch ---- */

static double weight_of(const sv_mismatch *x, double a, const double *d, int n, int t)
{
    double sum = 0, k3 = 0, m = exp(d[t]);
    for (int i = 0; i < n; i++) {
        sum += d[i];
        k3 += (exp(d[i]) - d[i] - 1) / n;
    }
    double low = (double)x->low, high = (double)x->high, product = exp(sum), geo = exp(sum / n);
    switch (x->mode) {
    case SV_MIS_TOKEN_TIS:
        return fmin(m, high);
    case SV_MIS_SEQ_TIS:
        return fmin(product, high);
    case SV_MIS_SEQ_MASK:
        return product >= low && product <= high ? product : 0;
    case SV_MIS_TOKEN_MASK:
        return m >= low && m <= high ? m : 0;
    case SV_MIS_GEO_RS:
        return geo >= 1 - high && geo <= 1 + high ? 1 : 0;
    case SV_MIS_K3_RS:
        return k3 < high ? 1 : 0;
    case SV_MIS_OPSM:
        return a < 0 && -sum / n > high ? 0 : 1;
    default:
        return 1;
    }
}

/* Gaussian differences, sd 0.05 and 0.5: weights and what is kept, against double precision. */
static void test_mismatch_weights_are_those_of_double_precision(void **state)
{
    (void)state;
    enum { N = 20 };
    const float low[] = { 0, 0, 0, 0, 0.5f, 0.9f, 0, 0, 0 },
                high[] = { 0, 0, 1.05f, 2, 1.5f, 1.1f, 0.01f, 0.0013f, 0.02f };
    for (int mode = SV_MIS_REPORT; mode <= SV_MIS_OPSM; mode++) {
        sv_mismatch x = { (sv_mis)mode, low[mode], high[mode] };
        uint32_t n_zero = 0, n_all = 0;
        for (uint32_t row = 0; row < 200; row++) {
            float old[N], served[N], weight[N], scratch[N], a = row % 2 ? 1.0f : -1.0f;
            double d[N], k3 = 0;
            for (uint32_t t = 0; t < N; t++) {
                float z[4];
                sv_philox_normal4(3, SV_STREAM_TEST, row, t, z);
                served[t] = -1.0f;
                old[t] = -1.0f + (row % 4 ? 0.05f : 0.5f) * z[0];
                d[t] = (double)old[t] - (double)served[t];
            }
            sv_mismatch_row(&x, a, N, old, served, weight, scratch, &k3);
            for (int t = 0; t < N; t++) {
                near(weight[t], weight_of(&x, (double)a, d, N, t));
                n_zero += weight[t] == 0.0f;
                n_all++;
            }
        }
        bool masks = mode >= SV_MIS_SEQ_MASK;
        assert_true(masks ? n_zero > 0 && n_zero < n_all : n_zero == 0);
    }
}

/* ---- rewards, parts, guard ---- */

static void test_long_answers_lose_in_a_line(void **state)
{
    (void)state;
    near(sv_overlong(16384, 20480, 4096), 0);
    near(sv_overlong(18432, 20480, 4096), -0.5);
    near(sv_overlong(20480, 20480, 4096), -1);
    near(sv_overlong(20481, 20480, 4096), -1);
}

static void test_parts_hold_every_row_once(void **state)
{
    (void)state;
    uint32_t row[50], seen[50] = { 0 }, total = 0;
    for (uint32_t k = 0; k < 7; k++) {
        uint32_t n = sv_rl_part(5, 3, 50, k, 7, row);
        total += n;
        for (uint32_t i = 0; i < n; i++) {
            assert_true(row[i] < 50 && seen[row[i]]++ == 0);
            assert_true(i == 0 || row[i] > row[i - 1]);
        }
    }
    assert_int_equal(total, 50);
    assert_int_equal(sv_rl_part(5, 3, 50, 0, 1, row), 50);
    assert_int_equal(row[49], 49);
}

static void test_the_guard_counts_steps_in_a_row(void **state)
{
    (void)state;
    sv_rl_guard g = { 0 };
    bool first;
    sv_rl_signs fine = { .mean_length = 40, .most_length = 110, .zero_std = 0.2f, .entropy = 0.1f, .reward = 0.5f };
    sv_rl_signs longer = fine, silent = fine;
    longer.mean_length = 100;
    longer.truncated = 0.6f;
    silent.zero_std = 1.0f;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sv_rl_guard_look(&g, &longer, &first), SV_RL_FINE);
        assert_int_equal(first, i == 0);
    }
    assert_int_equal(sv_rl_guard_look(&g, &fine, &first), SV_RL_FINE);
    for (int i = 0; i < 4; i++)
        sv_rl_guard_look(&g, &longer, &first);
    assert_int_equal(sv_rl_guard_look(&g, &longer, &first), SV_RL_LONG);
    for (int i = 0; i < 9; i++)
        assert_int_equal(sv_rl_guard_look(&g, &silent, &first), i < 4 ? SV_RL_FINE : SV_RL_FLAT);
    assert_int_equal(sv_rl_guard_look(&g, &silent, &first), SV_RL_SILENT);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sv_rl_guard_norm(&g, 1.0f), SV_RL_FINE);
    assert_int_equal(sv_rl_guard_norm(&g, 10.5f), SV_RL_STEEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_advantages_are_those_of_the_papers),
        cmocka_unit_test(test_batch_advantages_use_the_whole_batch),
        cmocka_unit_test(test_equal_rewards_have_no_advantage),
        cmocka_unit_test(test_ratios_are_those_of_the_vectors),
        cmocka_unit_test(test_the_sign_of_the_advantage_decides_which_side_clips),
        cmocka_unit_test(test_gradients_are_those_of_the_objectives),
        cmocka_unit_test(test_gradients_reach_the_logits),
        cmocka_unit_test(test_gspo_is_grpo_for_a_fresh_sample),
        cmocka_unit_test(test_gspo_drops_a_whole_answer),
        cmocka_unit_test(test_mismatch_weights_are_those_of_double_precision),
        cmocka_unit_test(test_long_answers_lose_in_a_line),
        cmocka_unit_test(test_parts_hold_every_row_once),
        cmocka_unit_test(test_the_guard_counts_steps_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
