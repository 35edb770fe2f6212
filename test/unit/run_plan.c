/* SPDX-License-Identifier: Apache-2.0
 * Claims about plans: no two live temporaries share bytes, the bits do not depend on which rows a chip has, and a trace
 * names every result. The tape is a small transformer layer, forward and backward.
 */
#include <stdlib.h>

#include "base/str.h"
#include "run/plan_impl.h"
#include "test/op_run.h"

enum { T = 6, S = 2, P = 1, W = 4, L = 2, V = 40, D = 32, H = 2, K = 16, N_WEIGHT = 7 };
enum { TABLE, GAIN, WQ, WK, WV, WO, HEAD };
enum { OUT_LP, OUT_Z };

static const uint32_t weight_dim[N_WEIGHT][2] = {
    { V, D }, { D, 0 }, { D, D }, { D, D }, { D, D }, { D, D }, { V, D }
};
static const int32_t tok[T] = { 3, 17, 39, 0, 8, 3 }, pos[T] = { 0, 1, 2, 0, 1, 2 }, seq[T] = { 0, 0, 0, 1, 1, 1 };
static const int32_t table[S * P] = { 1, 0 }, want[W] = { 0, 1, 3, 4 }, seg[L + 1] = { 0, 3, 6 },
                               seg_want[L + 1] = { 0, 2, 4 };
static const int32_t target[W] = { 17, 39, 8, 3 };
static const float dlp[W] = { -0.25f, -0.25f, -0.25f, -0.25f };

static sv_tensor weight_shape(uint32_t id)
{
    return sv_tensor_make(SV_DT_F32, weight_dim[id][1] ? 2 : 1, weight_dim[id]);
}

static sv_val input(sv_tape *t, sv_step_id id, sv_dtype dtype, uint32_t n0, uint32_t n1)
{
    sv_tensor shape = sv_tensor_make(dtype, n1 ? 2 : 1, (uint32_t[]){ n0, n1 });
    return sv_tape_state(t, SV_KIND_STEP, id, &shape);
}

static sv_val param(sv_tape *t, uint32_t id)
{
    sv_tensor shape = weight_shape(id);
    sv_val v = sv_tape_state(t, SV_KIND_WEIGHT, id, &shape);
    sv_tape_set_param(t, v);
    return v;
}

static sv_val emit2(sv_tape *t, sv_op op, const void *attr, sv_val a, sv_val b)
{
    return sv_tape_emit1(t, op, attr, (sv_val[]){ a, b }, 2);
}

static sv_val linear(sv_tape *t, sv_val x, uint32_t id)
{
    return emit2(t, SV_OP_matmul, &(sv_attr_matmul){ SV_NT, 0 }, x, param(t, id));
}

static sv_val attend(sv_tape *t, sv_val x, sv_val at_pos, sv_val at_seq, sv_val pages_of)
{
    sv_attr_attend attr = { H, H, K };
    sv_val q = linear(t, x, WQ), k = linear(t, x, WK), v = linear(t, x, WV), out[2] = { SV_NONE, SV_NONE }, pages[2];
    pages[0] = sv_tape_temp(t, SV_DT_F32, 4, (uint32_t[]){ S * P, H, K, SV_PAGE });
    pages[1] = sv_tape_temp(t, SV_DT_F32, 4, (uint32_t[]){ S * P, H, SV_PAGE, K });
    sv_tape_emit(t, SV_OP_kv_put, NULL, (sv_val[]){ k, v, at_pos, at_seq, pages_of }, 5, pages);
    sv_tape_emit(t, SV_OP_attend, &attr, (sv_val[]){ q, k, v, pages[0], pages[1], at_pos, at_seq, pages_of }, 8, out);
    return out[0];
}

/* One layer, log-probs and, when asked, the way back. */
static sv_tape *write_tape(bool backward)
{
    sv_tape *t = sv_tape_make();
    sv_val ids = input(t, SV_STEP_TOK, SV_DT_I32, T, 0), at_pos = input(t, SV_STEP_POS, SV_DT_I32, T, 0);
    sv_val at_seq = input(t, SV_STEP_SEQ, SV_DT_I32, T, 0), pages_of = input(t, SV_STEP_TABLE, SV_DT_I32, S, P);
    sv_val wanted = input(t, SV_STEP_WANT, SV_DT_I32, W, 0), asked = input(t, SV_STEP_TARGET, SV_DT_I32, W, 0);
    input(t, SV_STEP_SEG, SV_DT_I32, L + 1, 0);
    input(t, SV_STEP_SEG_WANT, SV_DT_I32, L + 1, 0);
    sv_val x = emit2(t, SV_OP_embed, NULL, ids, param(t, TABLE));
    t->layer = 0;
    t->label = "o_proj.weight";
    sv_val h = emit2(t, SV_OP_rmsnorm, &(sv_attr_rmsnorm){ 1e-6f }, x, param(t, GAIN));
    x = emit2(t, SV_OP_add, NULL, x, linear(t, attend(t, h, at_pos, at_seq, pages_of), WO));
    t->layer = UINT32_MAX;
    t->label = NULL;
    sv_val z = linear(t, emit2(t, SV_OP_gather_rows, NULL, x, wanted), HEAD);
    sv_val lp = emit2(t, SV_OP_logprob, NULL, z, asked);
    assert_int_equal(sv_tape_error(t), SV_OK);
    sv_tape_set_out(t, lp, OUT_LP);
    sv_tape_set_out(t, z, OUT_Z);
    if (backward && sv_tape_backward(t, lp, input(t, SV_STEP_DLP, SV_DT_F32, W, 0)) != SV_OK)
        fail_msg("%s", sv_err_text());
    return t;
}

static float weight_value(uint32_t id, uint64_t i)
{
    float four[4];
    sv_philox_normal4(3, SV_STREAM_TEST, id, i, four);
    return id == GAIN ? 1.0f + 0.1f * four[0] : 0.3f * four[0];
}

static void put_weights(sv_store *s, bool packed)
{
    float value[V * D];
    for (uint32_t id = 0; id < N_WEIGHT; id++) {
        sv_tensor shape = weight_shape(id);
        for (uint64_t i = 0; i < sv_tensor_items(&shape); i++)
            value[i] = weight_value(id, i);
        bool pack = packed && shape.n_dim == 2;
        assert_int_equal((pack ? sv_store_put_packed : sv_store_put)(s, SV_KIND_WEIGHT, id, &shape, value), SV_OK);
        assert_int_equal(sv_store_zero(s, SV_KIND_GRAD, id, &shape), SV_OK);
    }
}

static sv_machine *open_chip(const char *spec, sv_machine_opts opts)
{
    sv_machine *m;
    if (opts.n_thread == 0)
        opts.n_thread = 2;
    if (sv_machine_open(spec, &opts, &m) != SV_OK)
        fail_msg("%s: %s", spec, sv_err_text());
    return m;
}

typedef struct results {
    float lp[W], z[W * V], grad[N_WEIGHT][V * D];
    uint64_t n_call, n_fallback;
    uint32_t n_trace;
    uint64_t trace_hash;
} results;

static void trace(void *ctx, const sv_trace_row *row)
{
    results *r = ctx;
    r->n_trace++;
    if (row->op != SV_OP_kv_put) /* it writes its pages in part; the rest is what the buffer held */
        r->trace_hash = sv_bits_mix(r->trace_hash + row->hash);
}

static sv_step the_step(void)
{
    sv_step s = { .shape = { T, S, P, W, L }, .tok = tok, .pos = pos, .seq = seq, .table = table, .want = want };
    s.seg = seg;
    s.seg_want = seg_want;
    s.target = target;
    s.dlp = dlp;
    return s;
}

/* Runs forward and backward `turns` times without clearing gradients. */
static void run_on(const char *spec, sv_machine_opts opts, uint32_t turns, bool traced, results *r)
{
    sv_machine *m = open_chip(spec, opts);
    sv_store *s = sv_store_make(m);
    sv_plan *p;
    sv_step step = the_step();
    memset(r, 0, sizeof *r);
    put_weights(s, false);
    sv_tape *t = write_tape(true);
    if (sv_plan_make(t, s, &p) != SV_OK)
        fail_msg("%s: %s", spec, sv_err_text());
    sv_tape_drop(t); /* a plan keeps what it needs */
    if (traced)
        sv_plan_set_trace(p, trace, r);
    for (uint32_t i = 0; i < turns; i++) {
        assert_int_equal(sv_plan_set_step(p, &step), SV_OK);
        if (sv_plan_run(p) != SV_OK)
            fail_msg("%s: %s", spec, sv_err_text());
    }
    assert_int_equal(sv_plan_get(p, OUT_LP, r->lp, sizeof r->lp), SV_OK);
    assert_int_equal(sv_plan_get(p, OUT_Z, r->z, sizeof r->z), SV_OK);
    for (uint32_t id = 0; id < N_WEIGHT; id++)
        assert_int_equal(sv_store_get(s, SV_KIND_GRAD, id, r->grad[id]), SV_OK);
    r->n_call = m->n_call;
    r->n_fallback = m->n_fallback;
    assert_int_equal(r->n_call, turns * sv_plan_calls(p));
    sv_plan_drop(p);
    sv_store_drop(s);
    sv_machine_close(m);
}

static void expect_same_bits(const results *a, const results *b)
{
    assert_memory_equal(a->lp, b->lp, sizeof a->lp);
    assert_memory_equal(a->z, b->z, sizeof a->z);
    for (uint32_t id = 0; id < N_WEIGHT; id++)
        assert_memory_equal(a->grad[id], b->grad[id], sizeof a->grad[id]);
}

static void expect_finite(const results *r)
{
    for (uint32_t i = 0; i < W; i++)
        assert_true(r->lp[i] < 0 && r->lp[i] > -50);
    bool moved = false;
    for (uint32_t id = 0; id < N_WEIGHT; id++)
        for (uint32_t i = 0; i < V * D; i++) {
            assert_true(r->grad[id][i] - r->grad[id][i] == 0);
            moved = moved || r->grad[id][i] != 0;
        }
    assert_true(moved);
}

/* ---- where values lie ---- */

typedef struct extent {
    uint64_t lo, hi;
    size_t first, last;
    sv_val v;
} extent;

/* When each value of the plan's own memory is alive, counted anew from the tape: temporaries from the first to the last
 * call that names them, step inputs and results always. */
static size_t find_extents(const sv_tape *t, const sv_plan *p, extent *out)
{
    size_t n = 0;
    for (sv_val v = 1; v < t->n_value; v++) {
        const sv_tape_value *value = &t->value[v];
        bool is_own = value->kind == SV_KIND_STEP || value->kind == SV_KIND_OUT;
        if (!is_own && value->kind != SV_KIND_TEMP)
            continue;
        extent e = { .first = SIZE_MAX, .v = v };
        for (size_t c = 0; c < t->n_call; c++)
            for (uint32_t i = 0; i < t->call[c].n_in + t->call[c].n_out; i++)
                if ((i < t->call[c].n_in ? t->call[c].in[i] : t->call[c].out[i - t->call[c].n_in]) == v) {
                    e.first = e.first == SIZE_MAX ? c : e.first;
                    e.last = c;
                }
        if (is_own)
            e.first = 0, e.last = t->n_call;
        else if (e.first == SIZE_MAX)
            continue;
        uint64_t bytes;
        assert_int_equal(sv_tensor_bytes(&value->t, &bytes), SV_OK);
        assert_ptr_equal(p->value[v].at.buf, p->buf);
        e.lo = p->value[v].at.off;
        e.hi = e.lo + bytes;
        out[n++] = e;
    }
    return n;
}

static void check_layout(const char *spec)
{
    sv_machine *m = open_chip(spec, (sv_machine_opts){ 0 });
    sv_store *s = sv_store_make(m);
    sv_tape *t = write_tape(true);
    sv_plan *p;
    put_weights(s, false);
    assert_int_equal(sv_plan_make(t, s, &p), SV_OK);
    extent *e = sv_mem_new(t->n_value * sizeof *e);
    size_t n = find_extents(t, p, e);
    uint64_t align = m->dev.info.align, sum = 0;
    assert_true(n > 30);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(e[i].lo % align, 0);
        assert_true(e[i].hi <= sv_plan_arena_bytes(p));
        sum += (e[i].hi - e[i].lo + align - 1) / align * align;
        for (size_t j = 0; j < i; j++) {
            bool together = e[i].first <= e[j].last && e[j].first <= e[i].last;
            bool overlap = e[i].lo < e[j].hi && e[j].lo < e[i].hi;
            if (together && overlap)
                fail_msg("%s: values %u and %u are alive together and share bytes", spec, e[i].v, e[j].v);
        }
    }
    assert_true(sv_plan_arena_bytes(p) < sum); /* bytes are used again */
    sv_mem_free(e);
    sv_plan_drop(p);
    sv_tape_drop(t);
    sv_store_drop(s);
    sv_machine_close(m);
}

static void test_no_two_live_values_share_bytes(void **state)
{
    (void)state;
    check_layout("ref");
    check_layout("cpu");
    check_layout("odd"); /* operands on 4 KiB */
}

/* A tape of random calls: each takes two earlier results, some never used again. */
static void test_random_tapes_have_no_live_values_that_share_bytes(void **state)
{
    (void)state;
    sv_machine *m = open_chip("null", (sv_machine_opts){ 0 });
    for (uint32_t seed = 0; seed < 40; seed++) {
        sv_tape *t = sv_tape_make();
        sv_store *s = sv_store_make(m);
        sv_plan *p;
        sv_val x[64];
        extent e[80];
        for (uint32_t i = 0; i < 60; i++) {
            sv_philox r = sv_philox_at(seed, SV_STREAM_TEST, 0, 0, i);
            uint32_t n = 1 + r.w[0] % 3000, near = i < 6 ? i : 6;
            sv_attr_fill fill = { 0.0f, 1, { n } };
            sv_attr_scale half = { 0.5f };
            sv_val a = i ? x[i - 1 - r.w[1] % near] : SV_NONE;
            if (i == 0 || r.w[2] % 4 == 0)
                x[i] = sv_tape_emit1(t, SV_OP_fill, &fill, NULL, 0);
            else if (r.w[2] % 4 == 1)
                x[i] = sv_tape_emit1(t, SV_OP_mul, NULL, (sv_val[]){ a, a }, 2);
            else
                x[i] = sv_tape_emit1(t, SV_OP_scale, &half, &a, 1);
        }
        sv_tape_set_out(t, x[20], 0);
        assert_int_equal(sv_tape_error(t), SV_OK);
        assert_int_equal(sv_plan_make(t, s, &p), SV_OK);
        size_t n = find_extents(t, p, e);
        assert_int_equal(n, 60);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < i; j++)
                assert_false(e[i].first <= e[j].last && e[j].first <= e[i].last && e[i].lo < e[j].hi &&
                             e[j].lo < e[i].hi);
        sv_plan_drop(p);
        sv_store_drop(s);
        sv_tape_drop(t);
    }
    sv_machine_close(m);
}

static void test_the_same_tape_gives_the_same_plan(void **state)
{
    (void)state;
    sv_machine *m = open_chip("ref", (sv_machine_opts){ 0 });
    sv_store *s = sv_store_make(m);
    sv_tape *t = write_tape(true);
    sv_plan *p[2];
    put_weights(s, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sv_plan_make(t, s, &p[i]), SV_OK);
    for (sv_val v = 1; v < t->n_value; v++)
        assert_int_equal(p[0]->value[v].at.off, p[1]->value[v].at.off);
    sv_plan_drop(p[0]);
    sv_plan_drop(p[1]);
    sv_tape_drop(t);
    sv_store_drop(s);
    sv_machine_close(m);
}

/* ---- the same bits on every route ---- */

static results ref_once, got; /* too large for a stack under the sanitizer */

static void test_every_chip_and_every_fallback_gives_the_bits_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        sv_machine_opts opts;
    } way[] = {
        { "cpu", { .n_thread = 1 } },
        { "cpu", { .n_thread = 2 } },
        { "cpu:scalar", { 0 } },
        { "odd", { 0 } },                    /* one row of its own, the rest by the cpu chip's rows, operands copied */
        { "odd", { .fallback_ref = true } }, /* the rest by the reference, operands copied */
    };
    run_on("ref", (sv_machine_opts){ 0 }, 1, false, &ref_once);
    expect_finite(&ref_once);
    assert_int_equal(ref_once.n_fallback, ref_once.n_call); /* ref has no rows: the reference on its own memory */
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        run_on(way[i].spec, way[i].opts, 1, false, &got);
        expect_same_bits(&ref_once, &got);
        bool is_cpu = strncmp(way[i].spec, "cpu", 3) == 0;
        assert_int_equal(got.n_call, ref_once.n_call);
        assert_true(is_cpu ? got.n_fallback < got.n_call : got.n_fallback > 0 && got.n_fallback < got.n_call);
    }
}

static void test_a_second_run_adds_to_gradients_and_repeats_everything_else(void **state)
{
    (void)state;
    static results ref_twice;
    run_on("ref", (sv_machine_opts){ 0 }, 1, false, &ref_once);
    run_on("ref", (sv_machine_opts){ 0 }, 2, false, &ref_twice);
    assert_memory_equal(ref_once.lp, ref_twice.lp, sizeof ref_once.lp);
    assert_memory_equal(ref_once.z, ref_twice.z, sizeof ref_once.z);
    assert_memory_not_equal(ref_once.grad[WQ], ref_twice.grad[WQ], sizeof ref_once.grad[WQ]);
    run_on("cpu", (sv_machine_opts){ 0 }, 2, false, &got);
    expect_same_bits(&ref_twice, &got);
    run_on("odd", (sv_machine_opts){ 0 }, 2, false, &got); /* inout operands travel there and back */
    expect_same_bits(&ref_twice, &got);
}

static void test_the_chip_that_computes_nothing_runs_a_plan(void **state)
{
    (void)state;
    run_on("null", (sv_machine_opts){ 0 }, 3, true, &got);
    assert_true(got.n_call > 0);
    assert_int_equal(got.n_fallback, 0);
}

static void test_a_strict_machine_refuses_a_missing_row_by_name(void **state)
{
    (void)state;
    sv_machine *m = open_chip("odd", (sv_machine_opts){ .strict_chip = true });
    sv_store *s = sv_store_make(m);
    sv_tape *t = write_tape(false);
    sv_plan *p;
    put_weights(s, false);
    assert_int_equal(sv_plan_make(t, s, &p), SV_E_CHIP);
    assert_non_null(strstr(sv_err_text(), "odd"));
    assert_non_null(strstr(sv_err_text(), "embed"));
    sv_tape_drop(t);
    sv_store_drop(s);
    sv_machine_close(m);
}

static void test_packed_weights_give_the_same_bits_and_come_back_unchanged(void **state)
{
    (void)state;
    static const char *const spec[] = { "ref", "cpu", "odd" };
    static float z[3][W * V], back[V * D];
    for (int i = 0; i < 3; i++) {
        sv_machine *m = open_chip(spec[i], (sv_machine_opts){ 0 });
        sv_store *s = sv_store_make(m);
        sv_tape *t = write_tape(false);
        sv_plan *p;
        sv_step step = the_step();
        put_weights(s, i > 0);
        /* A forward pass reads weights where and how the store has them. */
        for (sv_val v = 1; v < t->n_value; v++)
            if (t->value[v].kind == SV_KIND_WEIGHT)
                t->value[v].t.image = sv_store_find(s, SV_KIND_WEIGHT, t->value[v].id)->image;
        assert_int_equal(sv_plan_make(t, s, &p), SV_OK);
        assert_int_equal(sv_plan_set_step(p, &step), SV_OK);
        assert_int_equal(sv_plan_run(p), SV_OK);
        assert_int_equal(sv_plan_get(p, OUT_Z, z[i], sizeof z[i]), SV_OK);
        assert_memory_equal(z[i], z[0], sizeof z[0]);
        assert_true(i < 2 || sv_store_find(s, SV_KIND_WEIGHT, HEAD)->image == SV_IMAGE_P16);
        assert_int_equal(sv_store_get(s, SV_KIND_WEIGHT, HEAD, back), SV_OK);
        for (uint32_t k = 0; k < V * D; k++)
            assert_true(sv_bits_same(back[k], weight_value(HEAD, k)));
        sv_plan_drop(p);
        sv_tape_drop(t);
        sv_store_drop(s);
        sv_machine_close(m);
    }
}

/* ---- traces ---- */

typedef struct rows {
    const sv_plan *p;
    sv_val expect_call, expect_output;
    uint32_t n_label;
} rows;

static void check_row(void *ctx, const sv_trace_row *row)
{
    rows *r = ctx;
    const sv_plan_call *c = &r->p->call[r->expect_call];
    assert_int_equal(row->call, r->expect_call);
    assert_int_equal(row->output, r->expect_output);
    assert_int_equal(row->op, c->call.op);
    assert_int_equal(row->layer, c->layer);
    assert_true((row->label == NULL) == (c->label == NULL));
    if (row->label != NULL) {
        assert_string_equal(row->label, "o_proj.weight");
        assert_int_equal(row->layer, 0);
        r->n_label++;
    }
    uint64_t bytes;
    assert_int_equal(sv_tensor_bytes(row->shape, &bytes), SV_OK);
    assert_int_equal(row->bytes, bytes);
    assert_int_equal(row->hash, sv_bits_hash(row->data, bytes / 4, 0));
    if (++r->expect_output == c->call.n_out) {
        r->expect_output = 0;
        r->expect_call++;
    }
}

static void test_a_trace_has_one_row_for_each_output_in_order(void **state)
{
    (void)state;
    sv_machine *m = open_chip("ref", (sv_machine_opts){ 0 });
    sv_store *s = sv_store_make(m);
    sv_tape *t = write_tape(true);
    sv_step step = the_step();
    sv_plan *p;
    put_weights(s, false);
    assert_int_equal(sv_plan_make(t, s, &p), SV_OK);
    sv_tape_drop(t);
    rows r = { .p = p };
    sv_plan_set_trace(p, check_row, &r);
    assert_int_equal(sv_plan_set_step(p, &step), SV_OK);
    assert_int_equal(sv_plan_run(p), SV_OK);
    assert_int_equal(r.expect_call, sv_plan_calls(p));
    assert_true(r.n_label > 8);
    sv_plan_set_trace(p, NULL, NULL);
    assert_int_equal(sv_plan_run(p), SV_OK);
    assert_int_equal(r.expect_call, sv_plan_calls(p)); /* stopped */
    sv_plan_drop(p);
    sv_store_drop(s);
    sv_machine_close(m);
}

static void test_traces_of_two_chips_have_the_same_hashes_and_change_no_bit(void **state)
{
    (void)state;
    static results ref_traced;
    run_on("ref", (sv_machine_opts){ 0 }, 1, false, &ref_once);
    run_on("ref", (sv_machine_opts){ 0 }, 1, true, &ref_traced);
    expect_same_bits(&ref_once, &ref_traced);
    static const char *const spec[] = { "cpu", "odd" };
    for (int i = 0; i < 2; i++) {
        run_on(spec[i], (sv_machine_opts){ 0 }, 1, true, &got);
        expect_same_bits(&ref_traced, &got);
        assert_int_equal(got.n_trace, ref_traced.n_trace);
        assert_int_equal(got.trace_hash, ref_traced.trace_hash);
    }
}

/* ---- what a plan asks for ---- */

static void test_a_state_that_the_store_lacks_or_has_in_another_shape_is_named(void **state)
{
    (void)state;
    sv_machine *m = open_chip("ref", (sv_machine_opts){ 0 });
    sv_store *s = sv_store_make(m);
    sv_tape *t = write_tape(false);
    sv_plan *p = NULL;
    assert_int_equal(sv_plan_make(t, s, &p), SV_E_INTERNAL);
    assert_non_null(strstr(sv_err_text(), "not in the store"));
    sv_tensor wrong = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ D, V });
    assert_int_equal(sv_store_zero(s, SV_KIND_WEIGHT, TABLE, &wrong), SV_OK);
    assert_int_equal(sv_plan_make(t, s, &p), SV_E_INTERNAL);
    assert_non_null(strstr(sv_err_text(), "f32 [40, 32]"));
    assert_non_null(strstr(sv_err_text(), "f32 [32, 40]"));
    assert_null(p);
    sv_tape_drop(t);
    sv_store_drop(s);
    sv_machine_close(m);
}

static void test_a_tape_that_failed_makes_no_plan_and_its_sentence_is_kept(void **state)
{
    (void)state;
    sv_machine *m = open_chip("ref", (sv_machine_opts){ 0 });
    sv_store *s = sv_store_make(m);
    sv_tape *t = sv_tape_make();
    sv_plan *p = NULL;
    linear(t, input(t, SV_STEP_DLP, SV_DT_F32, T, D + 1), WQ);
    sv_fail(SV_E_IO, "meanwhile");
    assert_int_equal(sv_plan_make(t, s, &p), SV_E_SHAPE);
    assert_non_null(strstr(sv_err_text(), "matmul"));
    assert_null(p);
    sv_tape_drop(t);
    sv_store_drop(s);
    sv_machine_close(m);
}

static void test_results_are_found_by_their_number(void **state)
{
    (void)state;
    sv_machine *m = open_chip("ref", (sv_machine_opts){ 0 });
    sv_store *s = sv_store_make(m);
    sv_tape *t = write_tape(false);
    sv_plan *p;
    put_weights(s, false);
    assert_int_equal(sv_plan_make(t, s, &p), SV_OK);
    assert_string_equal(sv_tensor_text(sv_plan_out(p, OUT_Z)), "f32 [4, 40]");
    assert_string_equal(sv_tensor_text(sv_plan_out(p, OUT_LP)), "f32 [4]");
    assert_null(sv_plan_out(p, 7));
    assert_int_equal(sv_plan_set(p, SV_STEP_OPT, dlp, 4), SV_OK); /* an input that the tape did not declare */
    sv_plan_drop(p);
    sv_plan_drop(NULL);
    sv_tape_drop(t);
    sv_store_drop(s);
    sv_machine_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_two_live_values_share_bytes),
        cmocka_unit_test(test_random_tapes_have_no_live_values_that_share_bytes),
        cmocka_unit_test(test_the_same_tape_gives_the_same_plan),
        cmocka_unit_test(test_every_chip_and_every_fallback_gives_the_bits_of_the_reference),
        cmocka_unit_test(test_a_second_run_adds_to_gradients_and_repeats_everything_else),
        cmocka_unit_test(test_the_chip_that_computes_nothing_runs_a_plan),
        cmocka_unit_test(test_a_strict_machine_refuses_a_missing_row_by_name),
        cmocka_unit_test(test_packed_weights_give_the_same_bits_and_come_back_unchanged),
        cmocka_unit_test(test_a_trace_has_one_row_for_each_output_in_order),
        cmocka_unit_test(test_traces_of_two_chips_have_the_same_hashes_and_change_no_bit),
        cmocka_unit_test(test_a_state_that_the_store_lacks_or_has_in_another_shape_is_named),
        cmocka_unit_test(test_a_tape_that_failed_makes_no_plan_and_its_sentence_is_kept),
        cmocka_unit_test(test_results_are_found_by_their_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
