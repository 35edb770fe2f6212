/* SPDX-License-Identifier: Apache-2.0
 * The laws with an adapter: what is served is what is trained, bit for bit, whatever type the base is stored in, and on
 * any chip; several adapters on one base's weights are each what they are alone.
 */
#include "test/law_model.h"

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "infer/engine.h"
#include "train/loss.h"
#include "train/pack.h"

enum { N = 70, N_BASE = 4 };

static const char *const base_name[N_BASE] = { "f32", "bf16", "f16", "q8_0.gguf" };
static const sv_dtype base_type[N_BASE] = { SV_DT_F32, SV_DT_BF16, SV_DT_F16, SV_DT_Q8_0 };

static char folder[] = "/tmp/samsvar-lora-XXXXXX";
static uint32_t ids[N];
static float *plain[N_BASE], *with[N_BASE]; /* [N, vocab] logits by the references, without and with the adapter */

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

/* Every linear weight that `targets` names, A and B of +-0.2. */
static void make_adapter(const sv_config *c, const char *dir, const char *targets, uint32_t rank, double alpha)
{
    sv_lora_spec spec = { .rank = rank, .alpha = alpha, .targets = targets };
    sv_lora *l;
    law_ok(sv_lora_new(c, &spec, &l));
    for (uint32_t id = 0; id < l->n_id; id++)
        for (int k = 0; k < 2 && l->part[id].rank > 0; k++) {
            sv_tensor shape = sv_lora_shape(l, c, id, k);
            float *x = k ? l->part[id].b : l->part[id].a;
            for (uint32_t i = 0; i < sv_tensor_items(&shape); i++)
                x[i] = 0.4f *
                       (sv_philox_uniform(sv_philox_at(rank, SV_STREAM_TEST, 3, id * 2 + (uint32_t)k, i).w[0]) - 0.5f);
        }
    law_ok(sv_lora_save(l, c, in_folder(dir)));
    sv_lora_close(l);
}

static sv_model *open_base(int i, const char *adapter)
{
    sv_model_opts o = { .no_tokenizer = true, .dequant = true, .adapter = adapter ? in_folder(adapter) : NULL };
    sv_model *m;
    law_ok(sv_model_open(in_folder(base_name[i]), &o, &m));
    return m;
}

static float *logits(const sv_model *m, const char *chip, uint32_t n_thread, uint32_t chunk)
{
    float *z = law_rows(N);
    sv_runner *r = law_runner(m, chip, n_thread, 0);
    law_run(r, ids, N, chunk, 0, 1, z);
    sv_runner_close(r);
    return z;
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    law_ids(1, N, ids);
    sv_model *m = law_model("llama", -1);
    for (int i = 0; i < N_BASE; i++)
        law_ok(sv_dtype_is_block(base_type[i]) ? sv_model_save_gguf(m, in_folder(base_name[i]), base_type[i])
                                               : sv_model_save(m, in_folder(base_name[i]), NULL, base_type[i]));
    make_adapter(&m->config, "a", "all,lm_head", 5, 12);
    make_adapter(&m->config, "b", "q_proj,down_proj", 8, 8);
    sv_model_close(m);
    for (int i = 0; i < N_BASE; i++) {
        m = open_base(i, NULL);
        plain[i] = logits(m, "ref", 1, N);
        sv_model_close(m);
        m = open_base(i, "a");
        with[i] = logits(m, "ref", 1, N);
        sv_model_close(m);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N_BASE; i++) {
        free(plain[i]);
        free(with[i]);
    }
    law_ok(sv_file_remove_tree(folder));
    return 0;
}

static void same(const sv_model *m, const char *what, const char *chip, uint32_t n_thread, uint32_t chunk,
                 const float *expected)
{
    float *z = logits(m, chip, n_thread, chunk);
    law_same(what, z, expected, N);
    free(z);
}

static void test_any_chunk_chip_and_number_of_threads_gives_the_same_logits(void **state)
{
    (void)state;
    char spec[64];
    static const uint32_t chunk[] = { 1, 2, 3, 7, 16, 33, N };
    for (int i = 0; i < N_BASE; i++) {
        sv_model *m = open_base(i, "a");
        assert_memory_not_equal(plain[i], with[i], sizeof(float) * N * LAW_VOCAB);
        for (uint32_t k = 0; k < sizeof chunk / sizeof *chunk; k++)
            same(m, base_name[i], "cpu", 1 + k % 3, chunk[k], with[i]);
        for (uint32_t c = 0; law_chip(c, spec); c++)
            same(m, spec, spec, 2, 11, with[i]);
        sv_model_close(m);
    }
}

/* Log-probs of ids[1 ...] by the training tape, in rows of two lengths. */
static void trained(const sv_model *m, uint32_t n_thread, size_t micro, float *lp)
{
    sv_runner_opts o = { .chip = "cpu", .machine = { .n_thread = n_thread }, .train = true };
    sv_runner *r;
    sv_loss *l;
    int32_t id[N];
    uint8_t counted[N];
    sv_batch b = { 0 };
    for (uint32_t i = 0; i < N; i++) {
        id[i] = (int32_t)ids[i];
        counted[i] = i > 0;
    }
    sv_row row[3] = { { id, counted, NULL, 20 }, { id, counted, NULL, N }, { id, counted, NULL, 9 } };
    law_ok(sv_runner_open(m, &o, &r));
    law_ok(sv_loss_open(r, &l));
    law_ok(sv_loss_clear(l));
    sv_batch_pack(&b, row, 3, 32);
    float all[3 * N];
    for (size_t lo = 0; lo < b.n_leaf; lo += micro) {
        sv_step step;
        size_t hi = b.n_leaf - lo < micro ? b.n_leaf : lo + micro;
        sv_batch_step(&b, lo, hi, &step);
        law_ok(sv_loss_run(l, &step, true, all + b.leaf_want[lo]));
    }
    memcpy(lp, all + 19, (N - 1) * sizeof *lp);
    assert_memory_equal(all, lp, 19 * sizeof *lp); /* the short rows are its beginning */
    assert_memory_equal(all + 19 + N - 1, lp, 8 * sizeof *lp);
    sv_batch_done(&b);
    sv_loss_close(l);
    sv_runner_close(r);
}

/* The same, as the engine serves them, beside another request. */
static void served(const sv_model *m, sv_runner *share, const sv_lora *lora, uint32_t chunk, float *lp)
{
    sv_engine_opts o = { .chip = "cpu", .max_running = 2, .chunk = chunk, .share = share, .lora = lora };
    sv_request score = { .prompt = ids, .n_prompt = N, .score = true };
    sv_request other = { .prompt = ids + 3, .n_prompt = 20, .max_tokens = 5, .sampling = SV_SAMPLING_GREEDY };
    sv_engine *e;
    sv_event ev;
    sv_ticket t, t2;
    bool has;
    law_ok(sv_engine_open(m, &o, &e));
    law_ok(sv_engine_post(e, &other, &t2));
    law_ok(sv_engine_post(e, &score, &t));
    for (law_ok(sv_engine_next(e, &ev, &has)); has; law_ok(sv_engine_next(e, &ev, &has)))
        if (ev.ticket == t && ev.kind == SV_EVENT_SCORE && ev.position > 0)
            lp[ev.position - 1] = ev.logprob;
    sv_engine_close(e);
}

static void assert_same_lp(const char *what, const float *a, const float *b)
{
    for (uint32_t i = 0; i < N - 1; i++)
        if (!sv_bits_same(a[i], b[i]))
            fail_msg("%s: token %u: %a and %a", what, i + 1, (double)a[i], (double)b[i]);
}

static void test_what_is_served_is_what_is_trained(void **state)
{
    (void)state;
    for (int i = 0; i < N_BASE; i++) {
        float by_trainer[N - 1], by_engine[N - 1], again[N - 1];
        sv_model_opts o = { .no_tokenizer = true, .all_f32 = true, .adapter = in_folder("a") };
        sv_model *wide, *m = open_base(i, "a");
        law_ok(sv_model_open(in_folder(base_name[i]), &o, &wide));
        trained(wide, 2, 64, by_trainer);
        trained(wide, 1, 1, again);
        assert_same_lp("one leaf at a time", again, by_trainer);
        served(m, NULL, NULL, 16, by_engine);
        assert_same_lp(base_name[i], by_engine, by_trainer);
        served(m, NULL, NULL, 256, by_engine);
        assert_same_lp(base_name[i], by_engine, by_trainer);
        sv_model_close(wide);
        sv_model_close(m);
    }
}

static void test_adapters_on_one_base_are_what_they_are_alone(void **state)
{
    (void)state;
    for (int i = 0; i < N_BASE; i++) {
        float alone[3][N - 1], lp[N - 1];
        static const char *const name[] = { NULL, "a", "b" };
        for (int k = 0; k < 3; k++) {
            sv_model *m = open_base(i, name[k]);
            served(m, NULL, NULL, 64, alone[k]);
            sv_model_close(m);
        }
        sv_model *m = open_base(i, NULL);
        sv_runner_opts o = { .chip = "cpu" };
        sv_runner *base;
        sv_lora *lora[2];
        law_ok(sv_runner_open(m, &o, &base));
        for (int k = 0; k < 2; k++)
            law_ok(sv_lora_open(in_folder(name[k + 1]), &m->config, &lora[k]));
        for (int k = 0; k < 2; k++) {
            served(m, base, lora[k], 32, lp);
            assert_same_lp(name[k + 1], lp, alone[k + 1]);
        }
        uint64_t before = sv_store_bytes(sv_runner_store(base));
        assert_true(before < 2 * sv_model_params(m) * sizeof(float) + (64u << 20)); /* weights are there once */
        assert_memory_not_equal(alone[0], alone[1], sizeof alone[0]);
        assert_memory_not_equal(alone[1], alone[2], sizeof alone[1]);
        sv_runner_close(base);
        for (int k = 0; k < 2; k++)
            sv_lora_close(lora[k]);
        sv_model_close(m);
    }
}

/* One rounding of W + s B A apart, and so not the same bits. */
static void test_a_merged_model_is_close_and_another_one(void **state)
{
    (void)state;
    sv_model_opts o = { .no_tokenizer = true };
    for (int i = 0; i < N_BASE; i++) {
        sv_model *m;
        uint8_t sum[2][32];
        double far = 0;
        law_ok(sv_model_open(in_folder(base_name[i]), &o, &m));
        sv_model_weights_hash(m, sum[0]);
        law_ok(sv_model_attach(m, in_folder("a")));
        law_ok(sv_model_merge(m));
        assert_null(m->lora);
        sv_model_weights_hash(m, sum[1]);
        assert_memory_not_equal(sum[0], sum[1], 32);
        float *z = logits(m, "cpu", 2, N);
        for (size_t k = 0; k < (size_t)N * LAW_VOCAB; k++)
            far = fmax(far, fabs((double)z[k] - (double)with[i][k]));
        assert_true(far > 0 && far < (base_type[i] == SV_DT_BF16 ? 0.5 : base_type[i] == SV_DT_F16 ? 0.1 : 1e-3));
        free(z);
        sv_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_chunk_chip_and_number_of_threads_gives_the_same_logits),
        cmocka_unit_test(test_what_is_served_is_what_is_trained),
        cmocka_unit_test(test_adapters_on_one_base_are_what_they_are_alone),
        cmocka_unit_test(test_a_merged_model_is_close_and_another_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
