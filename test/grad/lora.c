/* SPDX-License-Identifier: Apache-2.0
 * The gradients of an adapter's A and B, through a whole llama of two layers, equal central differences of the same
 * network in binary64; frozen weights get none.
 */
#include "test/law_model.h"

#include <math.h>

#include "train/loss.h"
#include "train/pack.h"
#include "train/params.h"

enum { T = 9, D = 16, H = 2, G = 1, K = 8, F = 12, V = 13, L = 2, RANK = 3 };
enum { EMBED, NORM1, WQ, WK, WV, WO, NORM2, GATE, UP, DOWN, NORM, HEAD, SLOTS };

static const double eps = (double)1e-6f;
static const int32_t token[T] = { 3, 0, 3, 1, 7, 12, 3, 10, 2 };
static sv_model *model;
static sv_lora *lora;
static double *weight[SLOTS * L]; /* the base */
static double *ab[2][SLOTS * L];  /* A and B by weight id; NULL: none */
static float table[16 * K];       /* RoPE: K/2 cosines, K/2 sines by position */

static double wide_dlp(uint32_t t)
{
    return (double)(float)(0.3 + 0.1 * t - 0.02 * t * t);
}

/* y = x W^T + ((x A^T) s) B^T */
static void linear(const double *x, uint32_t id, uint32_t in, uint32_t out, double *y)
{
    const sv_lora_part *p = &lora->part[id];
    for (uint32_t t = 0; t < T; t++) {
        double u[RANK] = { 0 };
        for (uint32_t j = 0; j < p->rank; j++)
            for (uint32_t i = 0; i < in; i++)
                u[j] += x[t * in + i] * ab[0][id][j * in + i] * (double)p->scale;
        for (uint32_t o = 0; o < out; o++) {
            double s = 0;
            for (uint32_t i = 0; i < in; i++)
                s += x[t * in + i] * weight[id][o * in + i];
            for (uint32_t j = 0; j < p->rank; j++)
                s += u[j] * ab[1][id][o * p->rank + j];
            y[t * out + o] = s;
        }
    }
}

static void norm(const double *x, const double *g, double *y)
{
    for (uint32_t t = 0; t < T; t++) {
        double ms = 0;
        for (uint32_t i = 0; i < D; i++)
            ms += x[t * D + i] * x[t * D + i] / D;
        for (uint32_t i = 0; i < D; i++)
            y[t * D + i] = x[t * D + i] / sqrt(ms + eps) * g[i];
    }
}

static void rope(double *x, uint32_t heads, double scale)
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < heads; h++)
            for (uint32_t i = 0; i < K / 2; i++) {
                double *p = x + (t * heads + h) * K + i, a = p[0], b = p[K / 2];
                double c = (double)table[t * K + i], s = (double)table[t * K + K / 2 + i];
                p[0] = (a * c - b * s) * scale;
                p[K / 2] = (b * c + a * s) * scale;
            }
}

static void attend(const double *q, const double *k, const double *v, double *o)
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < H; h++) {
            double p[T], sum = 0;
            uint32_t g = h / (H / G);
            for (uint32_t j = 0; j <= t; j++) {
                p[j] = 0;
                for (uint32_t d = 0; d < K; d++)
                    p[j] += q[(t * H + h) * K + d] * k[(j * G + g) * K + d];
                p[j] = exp(p[j]);
                sum += p[j];
            }
            for (uint32_t d = 0; d < K; d++) {
                o[(t * H + h) * K + d] = 0;
                for (uint32_t j = 0; j <= t; j++)
                    o[(t * H + h) * K + d] += p[j] / sum * v[(j * G + g) * K + d];
            }
        }
}

static void layer(uint32_t at, double *x)
{
    double h[T * D], q[T * H * K], k[T * G * K], v[T * G * K], o[T * H * K], a[T * F], b[T * F];
    norm(x, weight[at + NORM1], h);
    linear(h, at + WQ, D, H * K, q);
    linear(h, at + WK, D, G * K, k);
    linear(h, at + WV, D, G * K, v);
    rope(q, H, (double)(1.0f / sqrtf((float)K)));
    rope(k, G, 1);
    attend(q, k, v, o);
    linear(o, at + WO, H * K, D, h);
    for (uint32_t i = 0; i < T * D; i++)
        x[i] += h[i];
    norm(x, weight[at + NORM2], h);
    linear(h, at + GATE, D, F, a);
    linear(h, at + UP, D, F, b);
    for (uint32_t i = 0; i < T * F; i++)
        a[i] = a[i] / (1 + exp(-a[i])) * b[i];
    linear(a, at + DOWN, F, D, h);
    for (uint32_t i = 0; i < T * D; i++)
        x[i] += h[i];
}

/* Sum of dlp times log-prob of the next token. */
static double loss(void)
{
    double x[T * D], z[T * V], sum = 0;
    for (uint32_t i = 0; i < T * D; i++)
        x[i] = weight[EMBED][(uint32_t)token[i / D] * D + i % D];
    for (uint32_t l = 0; l < L; l++)
        layer(l * SLOTS, x);
    norm(x, weight[NORM], x);
    linear(x, HEAD, D, V, z);
    for (uint32_t t = 0; t + 1 < T; t++) {
        double total = 0;
        for (uint32_t j = 0; j < V; j++)
            total += exp(z[t * V + j]);
        sum += wide_dlp(t + 1) * (z[t * V + (uint32_t)token[t + 1]] - log(total));
    }
    return sum;
}

static double *widen(const float *x, uint64_t n)
{
    double *y = malloc(n * sizeof *y);
    for (uint64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

static int setup(void **state)
{
    (void)state;
    static const char config[] =
        "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":16,\"num_attention_heads\":2,"
        "\"num_key_value_heads\":1,\"head_dim\":8,\"intermediate_size\":12,\"vocab_size\":13,"
        "\"max_position_embeddings\":16,\"rms_norm_eps\":1e-6,\"rope_theta\":100.0,\"tie_word_embeddings\":false}";
    sv_lora_spec spec = { .rank = RANK, .alpha = 5, .targets = "all,lm_head" };
    json_t *j;
    law_ok(sv_json_parse(sv_str_of(config), &sv_json_file_limits, "config.json", &j));
    law_ok(sv_model_new(j, (sv_str){ 0 }, (sv_str){ 0 }, &model));
    json_decref(j);
    law_ok(sv_lora_new(&model->config, &spec, &lora));
    assert_int_equal(model->config.family->n_weight, SLOTS);
    for (uint32_t id = 0; id < SLOTS * L; id++) {
        if (!sv_weight_exists(&model->config, id))
            continue;
        sv_tensor shape = sv_weight_shape(&model->config, id);
        uint64_t n = sv_tensor_items(&shape);
        float *w = sv_model_weight(model, id);
        for (uint32_t i = 0; i < n; i++) {
            float u = sv_philox_uniform(sv_philox_at(5, SV_STREAM_TEST, 1, id, i).w[0]) - 0.5f;
            w[i] = shape.n_dim == 1 ? 1.0f + 0.5f * u : 0.8f * u;
        }
        weight[id] = widen(w, n);
        for (int k = 0; k < 2 && lora->part[id].rank > 0; k++) {
            float *x = k ? lora->part[id].b : lora->part[id].a;
            shape = sv_lora_shape(lora, &model->config, id, k);
            n = sv_tensor_items(&shape);
            for (uint32_t i = 0; i < n; i++)
                x[i] = 0.8f * (sv_philox_uniform(sv_philox_at(6, SV_STREAM_TEST, (uint32_t)k, id, i).w[0]) - 0.5f);
            ab[k][id] = widen(x, n);
        }
    }
    sv_rope_table(&model->config, 16, table);
    model->lora = lora;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < SLOTS * L; id++) {
        free(weight[id]);
        free(ab[0][id]);
        free(ab[1][id]);
    }
    sv_lora_close(lora);
    sv_model_close(model);
    return 0;
}

/* The tape's gradients, in the runner's store. */
static sv_runner *run(sv_loss **l)
{
    sv_runner_opts o = { .chip = "cpu", .train = true };
    sv_runner *r;
    uint8_t counted[T];
    float dlp[T], lp[T];
    sv_batch b = { 0 };
    sv_step step;
    for (uint32_t i = 0; i < T; i++) {
        counted[i] = i > 0;
        dlp[i] = (float)wide_dlp(i);
    }
    sv_row row = { token, counted, dlp, T };
    law_ok(sv_runner_open(model, &o, &r));
    law_ok(sv_loss_open(r, l));
    law_ok(sv_loss_clear(*l));
    sv_batch_pack(&b, &row, 1, 64);
    sv_batch_step(&b, 0, b.n_leaf, &step);
    law_ok(sv_loss_run(*l, &step, true, lp));
    sv_batch_done(&b);
    return r;
}

static void test_gradients_equal_central_differences_in_binary64(void **state)
{
    (void)state;
    sv_loss *l;
    sv_runner *r = run(&l);
    double worst = 0, largest = 0;
    for (uint32_t id = 0; id < SLOTS * L; id++)
        for (int k = 0; k < 2 && lora->part[id].rank > 0; k++) {
            sv_tensor shape = sv_lora_shape(lora, &model->config, id, k);
            uint64_t n = sv_tensor_items(&shape);
            float *g = malloc(n * sizeof *g);
            law_ok(sv_store_get(sv_runner_store(r), SV_KIND_GRAD, sv_lora_id(&model->config, id, 0, k), g));
            for (uint64_t i = 0; i < n; i++) {
                const double step = 1e-5;
                double keep = ab[k][id][i];
                ab[k][id][i] = keep + step;
                double up = loss();
                ab[k][id][i] = keep - step;
                double want = (up - loss()) / (2 * step);
                ab[k][id][i] = keep;
                worst = fmax(worst, fabs((double)g[i] - want));
                largest = fmax(largest, fabs(want));
            }
            free(g);
        }
    print_message("largest gradient %.3g, largest difference %.3g\n", largest, worst);
    assert_true(largest > 0.1 && worst < 2e-6 * fmax(largest, 1));
    sv_loss_close(l);
    sv_runner_close(r);
}

static void test_frozen_weights_get_no_gradient(void **state)
{
    (void)state;
    sv_loss *l;
    sv_runner *r = run(&l);
    for (uint32_t id = 0; id < 2 * SLOTS * L; id++)
        assert_null(sv_store_find(sv_runner_store(r), SV_KIND_GRAD, id));
    sv_loss_close(l);
    sv_runner_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_equal_central_differences_in_binary64),
        cmocka_unit_test(test_frozen_weights_get_no_gradient),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
