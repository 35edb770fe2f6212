/* SPDX-License-Identifier: Apache-2.0
 * Claims about a whole small transformer: the tape's gradients of every weight equal central differences of the same
 * network in binary64, and the number of leaves that one call holds does not change a bit of them.
 */
#include <math.h>
#include <stdio.h>

#include "test/op_run.h"

/* Two layers of nothing but what Qwen-like models have, as small as can be. */
enum { V = 11, D = 8, H = 4, G = 2, K = 4, F = 12, T = 9, W = 7, LAYERS = 2, POSITIONS = 8, LEAVES = 3 };
enum { EMBED, NORM1, WQ, WK, WV, BIAS, QNORM, KNORM, WO, NORM2, GATE, UP, DOWN, NORM3, HEAD, SLOTS };

static const uint32_t slot_dim[SLOTS][2] = {
    [EMBED] = { V, D },    [NORM1] = { D, 0 }, [WQ] = { H * K, D }, [WK] = { G * K, D }, [WV] = { G * K, D },
    [BIAS] = { H * K, 0 }, [QNORM] = { K, 0 }, [KNORM] = { K, 0 },  [WO] = { D, H *K },  [NORM2] = { D, 0 },
    [GATE] = { F, D },     [UP] = { F, D },    [DOWN] = { D, F },   [NORM3] = { D, 0 },  [HEAD] = { V, D },
};

static const int32_t token[T] = { 3, 0, 3, 1, 7, 0, 3, 10, 2 };
static const int32_t position[T] = { 0, 1, 2, 3, 0, 1, 2, 0, 1 };
static const int32_t sequence[T] = { 0, 0, 0, 0, 1, 1, 1, 2, 2 };
static const int32_t wanted[W] = { 0, 1, 2, 4, 5, 7, 8 };
static const int32_t target[W] = { 2, 0, 4, 1, 9, 3, 0 };
static const int32_t leaf[LEAVES + 1] = { 0, 4, 7, 9 };        /* in rows */
static const int32_t leaf_wanted[LEAVES + 1] = { 0, 3, 5, 7 }; /* in wanted rows */
static const int32_t page_table[3] = { 2, 0, 1 };
static const double eps = (double)1e-3f;

static uint32_t weight_id(uint32_t layer, uint32_t slot)
{
    return layer * SLOTS + slot;
}
static bool shared(uint32_t slot)
{
    return slot == EMBED || slot == NORM3 || slot == HEAD;
}
static uint64_t slot_items(uint32_t s)
{
    return (uint64_t)slot_dim[s][0] * (slot_dim[s][1] ? slot_dim[s][1] : 1);
}
static double angle(int32_t pos, uint32_t i)
{
    return pos * (i ? 0.25 : 1.0);
}

/* The network on a tape: rows [t0, t1), wanted [w0, w1), leaves [l0, l1). */
typedef struct range {
    uint32_t t0, t1, w0, w1, l0, l1;
} range;

static sv_val state(sv_tape *t, sv_kind kind, uint32_t id, sv_dtype dtype, uint32_t n_dim, const uint32_t *dim)
{
    sv_tensor shape = sv_tensor_make(dtype, n_dim, dim);
    return sv_tape_state(t, kind, id, &shape);
}

static sv_val step(sv_tape *t, sv_step_id id, uint32_t n)
{
    return state(t, SV_KIND_STEP, id, SV_DT_I32, 1, &n);
}

static sv_val weight(sv_tape *t, uint32_t layer, uint32_t slot)
{
    const uint32_t *dim = slot_dim[slot];
    sv_val v = state(t, SV_KIND_WEIGHT, weight_id(shared(slot) ? 0 : layer, slot), SV_DT_F32, dim[1] ? 2 : 1, dim);
    sv_tape_set_param(t, v);
    return v;
}

static sv_val op2(sv_tape *t, sv_op op, const void *attr, sv_val a, sv_val b)
{
    return sv_tape_emit1(t, op, attr, (sv_val[]){ a, b }, 2);
}

static sv_val linear(sv_tape *t, sv_val x, sv_val w)
{
    return op2(t, SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, x, w);
}
static sv_val norm(sv_tape *t, sv_val x, sv_val g)
{
    return op2(t, SV_OP_rmsnorm, &(sv_attr_rmsnorm){ 1e-3f }, x, g);
}

static sv_val attention(sv_tape *t, uint32_t layer, sv_val x)
{
    uint32_t n = sv_tape_tensor(t, x)->dim[0];
    sv_val pos = step(t, SV_STEP_POS, n), seq = step(t, SV_STEP_SEQ, n);
    sv_val table = state(t, SV_KIND_STEP, SV_STEP_TABLE, SV_DT_I32, 2, (uint32_t[]){ 3, 1 });
    sv_val angles = state(t, SV_KIND_CONST, 0, SV_DT_F32, 2, (uint32_t[]){ POSITIONS, K });
    sv_val pages[2] = { state(t, SV_KIND_KV, 2 * layer, SV_DT_F32, 4, (uint32_t[]){ 3, G, K, SV_PAGE }),
                        state(t, SV_KIND_KV, 2 * layer + 1, SV_DT_F32, 4, (uint32_t[]){ 3, G, SV_PAGE, K }) };
    sv_val q = op2(t, SV_OP_add, NULL, linear(t, x, weight(t, layer, WQ)), weight(t, layer, BIAS));
    sv_val k = linear(t, x, weight(t, layer, WK)), v = linear(t, x, weight(t, layer, WV));
    sv_attr_rope q_rope = { K, 0, 0.5f }, k_rope = { K, 0, 1.0f };
    q = sv_tape_emit1(t, SV_OP_rope, &q_rope, (sv_val[]){ norm(t, q, weight(t, layer, QNORM)), pos, angles }, 3);
    k = sv_tape_emit1(t, SV_OP_rope, &k_rope, (sv_val[]){ norm(t, k, weight(t, layer, KNORM)), pos, angles }, 3);
    sv_tape_emit(t, SV_OP_kv_put, NULL, (sv_val[]){ k, v, pos, seq, table }, 5, pages);
    sv_val out[2] = { SV_NONE, SV_NONE };
    sv_attr_attend attr = { H, G, K };
    sv_tape_emit(t, SV_OP_attend, &attr, (sv_val[]){ q, k, v, pages[0], pages[1], pos, seq, table }, 8, out);
    return linear(t, out[0], weight(t, layer, WO));
}

static sv_val network(sv_tape *t, const range *r)
{
    step(t, SV_STEP_SEG, r->l1 - r->l0 + 1);
    step(t, SV_STEP_SEG_WANT, r->l1 - r->l0 + 1);
    sv_val x = op2(t, SV_OP_embed, NULL, step(t, SV_STEP_TOK, r->t1 - r->t0), weight(t, 0, EMBED));
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        x = op2(t, SV_OP_add, NULL, x, attention(t, layer, norm(t, x, weight(t, layer, NORM1))));
        sv_val y = norm(t, x, weight(t, layer, NORM2));
        y = op2(t, SV_OP_swiglu, NULL, linear(t, y, weight(t, layer, GATE)), linear(t, y, weight(t, layer, UP)));
        x = op2(t, SV_OP_add, NULL, x, linear(t, y, weight(t, layer, DOWN)));
    }
    x = op2(t, SV_OP_gather_rows, NULL, x, step(t, SV_STEP_WANT, r->w1 - r->w0));
    sv_val z = linear(t, norm(t, x, weight(t, 0, NORM3)), weight(t, 0, HEAD)), out[2] = { SV_NONE, SV_NONE };
    sv_tape_emit(t, SV_OP_logprob, NULL, (sv_val[]){ z, step(t, SV_STEP_TARGET, r->w1 - r->w0) }, 2, out);
    return out[0];
}

/* The same network in binary64: sum of dlp times lp. Weights are [LAYERS][SLOTS]. */

static double dlp(uint32_t w)
{
    return (double)(float)(0.3 + 0.2 * w - 0.05 * w * w);
}

static void exact_linear(const double *x, const double *w, uint32_t rows, uint32_t in, uint32_t out, double *y)
{
    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t n = 0; n < out; n++) {
            y[t * out + n] = 0;
            for (uint32_t k = 0; k < in; k++)
                y[t * out + n] += x[t * in + k] * w[n * in + k];
        }
}

static void exact_norm(const double *x, const double *g, uint32_t groups, uint32_t d, double *y)
{
    for (uint32_t i = 0; i < groups; i++) {
        double ms = 0;
        for (uint32_t k = 0; k < d; k++)
            ms += x[i * d + k] * x[i * d + k] / d;
        for (uint32_t k = 0; k < d; k++)
            y[i * d + k] = x[i * d + k] / sqrt(ms + eps) * g[k];
    }
}

static void exact_rope(double *x, uint32_t heads, double scale)
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < heads; h++)
            for (uint32_t i = 0; i < K / 2; i++) {
                double *p = x + (t * heads + h) * K + i, a = p[0], b = p[K / 2];
                double c = (double)(float)cos(angle(position[t], i)), s = (double)(float)sin(angle(position[t], i));
                p[0] = (a * c - b * s) * scale;
                p[K / 2] = (b * c + a * s) * scale;
            }
}

static void exact_attend(const double *q, const double *k, const double *v, double *o)
{
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < H; h++) {
            uint32_t g = h / (H / G), n = (uint32_t)position[t] + 1, start = t + 1 - n;
            double p[T], l = 0;
            for (uint32_t j = 0; j < n; j++) {
                p[j] = 0;
                for (uint32_t d = 0; d < K; d++)
                    p[j] += q[(t * H + h) * K + d] * k[((start + j) * G + g) * K + d];
                p[j] = exp(p[j]);
                l += p[j];
            }
            for (uint32_t d = 0; d < K; d++) {
                o[(t * H + h) * K + d] = 0;
                for (uint32_t j = 0; j < n; j++)
                    o[(t * H + h) * K + d] += p[j] / l * v[((start + j) * G + g) * K + d];
            }
        }
}

static void exact_layer(double *const *w, double *x)
{
    double a[T * F], b[T * F], c[T * F], q[T * H * K], k[T * G * K], v[T * G * K], o[T * H * K];
    exact_norm(x, w[NORM1], T, D, a);
    exact_linear(a, w[WQ], T, D, H * K, q);
    for (uint32_t i = 0; i < T * H * K; i++)
        q[i] += w[BIAS][i % (H * K)];
    exact_linear(a, w[WK], T, D, G * K, k);
    exact_linear(a, w[WV], T, D, G * K, v);
    exact_norm(q, w[QNORM], T * H, K, q);
    exact_norm(k, w[KNORM], T * G, K, k);
    exact_rope(q, H, 0.5);
    exact_rope(k, G, 1);
    exact_attend(q, k, v, o);
    exact_linear(o, w[WO], T, H * K, D, a);
    for (uint32_t i = 0; i < T * D; i++)
        x[i] += a[i];
    exact_norm(x, w[NORM2], T, D, a);
    exact_linear(a, w[GATE], T, D, F, b);
    exact_linear(a, w[UP], T, D, F, c);
    for (uint32_t i = 0; i < T * F; i++)
        b[i] = b[i] / (1 + exp(-b[i])) * c[i];
    exact_linear(b, w[DOWN], T, F, D, a);
    for (uint32_t i = 0; i < T * D; i++)
        x[i] += a[i];
}

static double exact_loss(double *(*w)[SLOTS])
{
    double x[T * D], rows[W * D], z[W * V], sum = 0;
    for (uint32_t i = 0; i < T * D; i++)
        x[i] = w[0][EMBED][(uint32_t)token[i / D] * D + i % D];
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        exact_layer(w[layer], x);
    for (uint32_t i = 0; i < W * D; i++)
        rows[i] = x[(uint32_t)wanted[i / D] * D + i % D];
    exact_norm(rows, w[0][NORM3], W, D, rows);
    exact_linear(rows, w[0][HEAD], W, D, V, z);
    for (uint32_t r = 0; r < W; r++) {
        double l = 0;
        for (uint32_t j = 0; j < V; j++)
            l += exp(z[r * V + j]);
        sum += dlp(r) * (z[r * V + (uint32_t)target[r]] - log(l));
    }
    return sum;
}

/* Numbers of one run of the tape. */

static void put(const op_run_tape *r, sv_val v, const int32_t *from, uint32_t n, int32_t minus)
{
    for (uint32_t i = 0; i < n; i++)
        op_run_i(&r->value[v])[i] = from[i] - minus;
}

static void fill(const op_run_tape *r, const sv_tape *t, const range *g, double *(*w)[SLOTS])
{
    uint32_t n_leaf = g->l1 - g->l0 + 1, n_want = g->w1 - g->w0;
    for (sv_val i = 1; i < t->n_value; i++) {
        const sv_tape_value *v = &t->value[i];
        float *x = op_run_f(&r->value[i]);
        if (v->kind == SV_KIND_WEIGHT)
            for (uint64_t k = 0; k < sv_tensor_items(&v->t); k++)
                x[k] = (float)w[v->id / SLOTS][v->id % SLOTS][k];
        if (v->kind == SV_KIND_CONST)
            for (uint32_t k = 0; k < POSITIONS * K; k++)
                x[k] =
                    (float)(k % K < K / 2 ? cos(angle((int32_t)(k / K), k % 2)) : sin(angle((int32_t)(k / K), k % 2)));
        if (v->kind != SV_KIND_STEP)
            continue;
        switch (v->id) {
        case SV_STEP_TOK:
            put(r, i, token + g->t0, g->t1 - g->t0, 0);
            break;
        case SV_STEP_POS:
            put(r, i, position + g->t0, g->t1 - g->t0, 0);
            break;
        case SV_STEP_SEQ:
            put(r, i, sequence + g->t0, g->t1 - g->t0, 0);
            break;
        case SV_STEP_TABLE:
            put(r, i, page_table, 3, 0);
            break;
        case SV_STEP_WANT:
            put(r, i, wanted + g->w0, n_want, (int32_t)g->t0);
            break;
        case SV_STEP_TARGET:
            put(r, i, target + g->w0, n_want, 0);
            break;
        case SV_STEP_SEG:
            put(r, i, leaf + g->l0, n_leaf, leaf[g->l0]);
            break;
        case SV_STEP_SEG_WANT:
            put(r, i, leaf_wanted + g->l0, n_leaf, leaf_wanted[g->l0]);
            break;
        case SV_STEP_DLP:
            for (uint32_t k = 0; k < n_want; k++)
                x[k] = (float)dlp(g->w0 + k);
            break;
        default:
            break;
        }
    }
}

/* Adds the gradients of the leaves [l0, l1) to grads[id], and their log-probs go to lp. */
static void run_range(uint32_t l0, uint32_t l1, double *(*w)[SLOTS], float **grads, float *lp)
{
    range g = { (uint32_t)leaf[l0], (uint32_t)leaf[l1], (uint32_t)leaf_wanted[l0], (uint32_t)leaf_wanted[l1], l0, l1 };
    uint32_t n_want = g.w1 - g.w0;
    sv_tape *t = sv_tape_make();
    op_run_tape r = { 0 };
    sv_val y = network(t, &g);
    sv_val dy = state(t, SV_KIND_STEP, SV_STEP_DLP, SV_DT_F32, 1, &n_want);
    if (sv_tape_backward(t, y, dy) != SV_OK)
        fail_msg("%s", sv_err_text());
    op_run_bind(&r, t);
    fill(&r, t, &g, w);
    for (uint32_t turn = 0; turn < 2; turn++) { /* gradients in, run, gradients out */
        for (sv_val i = 1; i < t->n_value; i++)
            if (t->value[i].kind == SV_KIND_GRAD) {
                size_t bytes = sv_tensor_items(&t->value[i].t) * sizeof(float);
                float *mine = op_run_f(&r.value[i]), *all = grads[t->value[i].id];
                memcpy(turn ? all : mine, turn ? mine : all, bytes);
            }
        if (turn == 0)
            op_run_calls(&r, t);
    }
    memcpy(lp + g.w0, op_run_f(&r.value[y]), n_want * sizeof(float));
    op_run_tape_drop(&r);
    sv_tape_drop(t);
}

static double *weights[LAYERS][SLOTS];
static float *gradients[2][LAYERS * SLOTS];

static int setup(void **unused)
{
    (void)unused;
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t s = 0; s < SLOTS; s++) {
            uint64_t n = slot_items(s);
            bool gain = slot_dim[s][1] == 0 && s != BIAS;
            weights[l][s] = sv_mem_new(n * sizeof(double));
            for (uint32_t k = 0; k < 2; k++)
                gradients[k][weight_id(l, s)] = sv_mem_new(n * sizeof(float));
            for (uint64_t i = 0; i < n; i++) {
                float four[4];
                sv_philox_normal4(5, SV_STREAM_TEST, weight_id(l, s), i, four);
                weights[l][s][i] = (double)(gain ? 1.0f + 0.2f * four[0] : 0.4f * four[0]);
            }
        }
    return 0;
}

static int teardown(void **unused)
{
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t s = 0; s < SLOTS; s++) {
            sv_mem_free(weights[l][s]);
            sv_mem_free(gradients[0][weight_id(l, s)]);
            sv_mem_free(gradients[1][weight_id(l, s)]);
        }
    return op_run_drop_all(unused);
}

static void test_gradients_of_a_transformer_equal_central_differences(void **unused)
{
    (void)unused;
    float lp[W];
    double sum = 0, h = 1e-5;
    run_range(0, LEAVES, weights, gradients[0], lp);
    for (uint32_t r = 0; r < W; r++)
        sum += (double)lp[r] * dlp(r);
    op_run_near(sum, exact_loss(weights), 1e-6, "loss", 0);
    uint32_t n = 0;
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t s = 0; s < SLOTS; s++)
            for (uint64_t i = 0; i < slot_items(s) && (l == 0 || !shared(s)); i++, n++) {
                double *x = &weights[l][s][i], was = *x;
                *x = was + h;
                double up = exact_loss(weights);
                *x = was - h;
                double down = exact_loss(weights);
                *x = was;
                char what[32];
                snprintf(what, sizeof what, "layer %u weight %u", l, s);
                op_run_near((double)gradients[0][weight_id(l, s)][i], (up - down) / (2 * h), 3e-5, what, i);
            }
    print_message("%u weights\n", n);
}

static void test_leaves_per_call_do_not_change_a_bit(void **unused)
{
    (void)unused;
    float lp[2][W];
    for (uint32_t id = 0; id < LAYERS * SLOTS; id++)
        for (uint32_t k = 0; k < 2; k++)
            memset(gradients[k][id], 0, slot_items(id % SLOTS) * sizeof(float));
    run_range(0, LEAVES, weights, gradients[0], lp[0]);
    for (uint32_t l = 0; l < LEAVES; l++)
        run_range(l, l + 1, weights, gradients[1], lp[1]);
    for (uint32_t r = 0; r < W; r++)
        assert_true(sv_bits_same(lp[0][r], lp[1][r]));
    for (uint32_t id = 0; id < LAYERS * SLOTS; id++)
        for (uint64_t i = 0; i < slot_items(id % SLOTS); i++)
            if (!sv_bits_same(gradients[0][id][i], gradients[1][id][i]))
                fail_msg("weight %u of layer %u, item %u", id % SLOTS, id / SLOTS, (unsigned)i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_a_transformer_equal_central_differences),
        cmocka_unit_test(test_leaves_per_call_do_not_change_a_bit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
