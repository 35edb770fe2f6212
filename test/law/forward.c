/* SPDX-License-Identifier: Apache-2.0
 * The first law: the logits of a position depend on the weights and the tokens before it, and on nothing else. Not on
 * how the sequence is cut into steps, who shares a step, where pages lie, how many threads there are, or which chip.
 */
#include "test/law_model.h"

#include <unistd.h>

#include "base/file.h"
#include "op/tape.h"

enum { N = 300 }; /* past the first block of 256 keys */

static sv_model *model[LAW_N_FAMILY];
static float *expected[LAW_N_FAMILY]; /* [N, vocab]: scalar code, one thread, the whole prompt at once */
static uint32_t ids[N];

static int setup(void **state)
{
    (void)state;
    law_ids(1, N, ids);
    for (size_t f = 0; f < LAW_N_FAMILY; f++) {
        model[f] = law_model(law_families[f], -1);
        expected[f] = law_rows(N);
        sv_runner *r = law_runner(model[f], "cpu:scalar", 1, 0);
        law_run(r, ids, N, N, 0, 1, expected[f]);
        sv_runner_close(r);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t f = 0; f < LAW_N_FAMILY; f++) {
        sv_model_close(model[f]);
        free(expected[f]);
    }
    return 0;
}

static void test_the_logits_are_worth_comparing(void **state)
{
    (void)state;
    for (size_t f = 0; f < LAW_N_FAMILY; f++) {
        uint32_t distinct = 0;
        for (uint32_t i = 0; i < N * LAW_VOCAB; i++) {
            assert_true(expected[f][i] == expected[f][i]);
            distinct += i > 0 && expected[f][i] != expected[f][i - 1];
        }
        assert_true(distinct > N * LAW_VOCAB * 9 / 10);
    }
}

static void same_in_chunks(size_t f, const char *chip, uint32_t n_thread, uint32_t chunk)
{
    char what[160];
    float *z = law_rows(N);
    sv_runner *r = law_runner(model[f], chip, n_thread, 0);
    law_run(r, ids, N, chunk, 0, 1, z);
    snprintf(what, sizeof what, "%s on %s, %u threads, chunks of %u", law_families[f], chip ? chip : "cpu", n_thread,
             chunk);
    law_same(what, z, expected[f], N);
    sv_runner_close(r);
    free(z);
}

static void test_any_chunk_gives_the_same_logits(void **state)
{
    (void)state;
    static const uint32_t chunk[] = { 1, 2, 7, 31, 32, 33, 255, 256, 257, N };
    for (size_t f = 0; f < LAW_N_FAMILY; f++)
        for (size_t i = 0; i < sizeof chunk / sizeof chunk[0]; i++)
            same_in_chunks(f, "cpu", 0, chunk[i]);
}

static void test_any_number_of_threads_gives_the_same_logits(void **state)
{
    (void)state;
    static const uint32_t n_thread[] = { 1, 2, 3, 7 };
    for (size_t f = 0; f < LAW_N_FAMILY; f++)
        for (size_t i = 0; i < sizeof n_thread / sizeof n_thread[0]; i++) {
            same_in_chunks(f, "cpu", n_thread[i], N);
            same_in_chunks(f, "cpu", n_thread[i], 29);
        }
}

static void test_every_chip_gives_the_same_logits(void **state)
{
    (void)state;
    char spec[64];
    for (uint32_t c = 0; law_chip(c, spec); c++)
        for (size_t f = 0; f < LAW_N_FAMILY; f++) {
            same_in_chunks(f, spec, 2, N);
            same_in_chunks(f, spec, 2, 64);
        }
}

static void test_any_order_of_pages_gives_the_same_logits(void **state)
{
    (void)state;
    static const uint32_t order[][2] = {
        { 0, 1 }, { 16, 16 }, { 5, 3 }, { 11, 7 }, { 1, 2 }
    }; /* first, stride mod 17 */
    float *z = law_rows(N);
    for (size_t f = 0; f < LAW_N_FAMILY; f++) {
        sv_runner *r = law_runner(model[f], "cpu", 0, 17);
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
            law_run(r, ids, N, 50, order[i][0], order[i][1], z); /* pages still hold the run before */
            law_same(law_families[f], z, expected[f], N);
        }
        sv_runner_close(r);
    }
    free(z);
}

/* Sequences of one batch: ours in a row of the table, with strangers of other lengths around it. */
enum { S = 4, P = LAW_CTX / SV_PAGE };

typedef struct batch {
    int32_t tok[S * N], pos[S * N], seq[S * N], want[S * N], table[S * P];
    uint32_t n;
} batch;

static void shuffle(batch *b, uint32_t purpose)
{
    for (uint32_t i = b->n; i > 1; i--) {
        uint32_t j = law_draw(purpose, i, i);
        int32_t tok = b->tok[j], pos = b->pos[j], seq = b->seq[j];
        b->tok[j] = b->tok[i - 1], b->pos[j] = b->pos[i - 1], b->seq[j] = b->seq[i - 1];
        b->tok[i - 1] = tok, b->pos[i - 1] = pos, b->seq[i - 1] = seq;
    }
}

/* One step of a few rows of each sequence: ours gets `ours` rows, strangers one or more. Then in any order. */
static void add_rows(batch *b, uint32_t me, uint32_t at[S], uint32_t ours, uint32_t round)
{
    b->n = 0;
    for (uint32_t s = 0; s < S; s++) {
        uint32_t n = s == me ? ours : 1 + law_draw(20 + round, s, 5), most = s == me ? N : 40 + 60 * s;
        for (uint32_t k = 0; k < n && at[s] < most; k++, at[s]++, b->n++) {
            b->tok[b->n] = (int32_t)(s == me ? ids[at[s]] : law_draw(10 + s, at[s], LAW_VOCAB));
            b->pos[b->n] = (int32_t)at[s];
            b->seq[b->n] = (int32_t)s;
        }
    }
}

static void same_among_strangers(size_t f, const char *chip, uint32_t me, uint32_t ours, bool shuffled)
{
    static batch b;
    float *z = law_rows(S * N), *mine = law_rows(N);
    uint32_t at[S] = { 0 };
    char what[120];
    sv_runner *r = law_runner(model[f], chip, 2, S * P);
    for (uint32_t i = 0; i < S * P; i++)
        b.table[i] = (int32_t)((i * 5 + 3) % (S * P)); /* 5 is prime to 48: a permutation */
    for (uint32_t round = 0; at[me] < N; round++) {
        add_rows(&b, me, at, ours, round);
        if (shuffled)
            shuffle(&b, 100 + round);
        for (uint32_t i = 0; i < b.n; i++)
            b.want[i] = (int32_t)i;
        sv_step step = {
            .shape = { b.n, S, P, b.n, 0 }, .tok = b.tok, .pos = b.pos, .seq = b.seq, .table = b.table, .want = b.want
        };
        law_ok(sv_runner_step(r, &step, z, NULL));
        for (uint32_t i = 0; i < b.n; i++)
            if (b.seq[i] == (int32_t)me)
                memcpy(mine + (size_t)b.pos[i] * LAW_VOCAB, z + (size_t)i * LAW_VOCAB, LAW_VOCAB * sizeof *z);
    }
    snprintf(what, sizeof what, "%s on %s, sequence %u of %d, %u rows a step%s", law_families[f], chip, me, S, ours,
             shuffled ? ", rows in any order" : "");
    law_same(what, mine, expected[f], N);
    sv_runner_close(r);
    free(z);
    free(mine);
}

static void test_strangers_in_a_step_change_nothing(void **state)
{
    (void)state;
    for (size_t f = 0; f < LAW_N_FAMILY; f++) {
        same_among_strangers(f, "cpu", 0, 1, false);
        same_among_strangers(f, "cpu", 2, 1, true);
        same_among_strangers(f, "cpu", 1, 19, false);
        same_among_strangers(f, "cpu", 3, 19, true);
    }
}

static void test_strangers_change_nothing_on_any_chip(void **state)
{
    (void)state;
    char spec[64];
    for (uint32_t c = 0; law_chip(c, spec); c++)
        same_among_strangers(0, spec, 1, 37, true);
}

static void test_rows_that_nobody_wants_are_not_needed(void **state)
{
    (void)state;
    float *z = law_rows(2);
    int32_t tok[N], pos[N], seq[N] = { 0 }, table[P], want[2] = { 17, N - 1 };
    for (int32_t i = 0; i < N; i++)
        tok[i] = (int32_t)ids[i], pos[i] = i;
    for (int32_t i = 0; i < P; i++)
        table[i] = i;
    for (size_t f = 0; f < LAW_N_FAMILY; f++) {
        sv_runner *r = law_runner(model[f], "cpu", 0, 0);
        sv_step step = { .shape = { N, 1, P, 2, 0 }, .tok = tok, .pos = pos, .seq = seq, .table = table, .want = want };
        law_ok(sv_runner_step(r, &step, z, NULL));
        law_same("wanted", z, expected[f] + 17 * LAW_VOCAB, 1);
        law_same("wanted", z + LAW_VOCAB, expected[f] + (N - 1) * LAW_VOCAB, 1);
        step.shape.n_want = 0;
        law_ok(sv_runner_step(r, &step, NULL, NULL));
        sv_runner_close(r);
    }
    free(z);
}

/* The trainer's forward: weights as plain parameters, pages of the step's own, one leaf. */
static void same_as_the_trainer(size_t f, const char *chip)
{
    int32_t tok[N], pos[N], seq[N] = { 0 }, table[P], want[N], seg[2] = { 0, N };
    sv_runner_opts o = { .chip = chip, .train = true };
    sv_step_shape shape = { N, 1, P, N, 1 };
    float *z = law_rows(N);
    sv_runner *r;
    sv_build b;
    sv_plan *p;
    for (int32_t i = 0; i < N; i++)
        tok[i] = (int32_t)ids[i], pos[i] = want[i] = i;
    for (int32_t i = 0; i < P; i++)
        table[i] = i;
    law_ok(sv_runner_open(model[f], &o, &r));
    sv_tape *t = sv_tape_make();
    sv_runner_build(r, &shape, t, &b);
    sv_tape_set_out(t, model[f]->config.family->forward(&b), 0);
    law_ok(sv_tape_error(t));
    law_ok(sv_plan_make(t, sv_runner_store(r), &p));
    sv_step step = {
        .shape = shape, .tok = tok, .pos = pos, .seq = seq, .table = table, .want = want, .seg = seg, .seg_want = seg
    };
    law_ok(sv_plan_set_step(p, &step));
    law_ok(sv_plan_run(p));
    law_ok(sv_plan_get(p, 0, z, (uint64_t)N * LAW_VOCAB * sizeof *z));
    law_same(chip, z, expected[f], N);
    sv_plan_drop(p);
    sv_tape_drop(t);
    sv_runner_close(r);
    free(z);
}

static void test_the_trainer_s_forward_is_the_server_s(void **state)
{
    (void)state;
    char spec[64];
    for (size_t f = 0; f < LAW_N_FAMILY; f++)
        for (uint32_t c = 0; law_chip(c, spec); c++)
            same_as_the_trainer(f, spec);
}

static void test_stored_types_obey_too(void **state)
{
    (void)state;
    static const sv_dtype type[] = { SV_DT_BF16, SV_DT_F16, SV_DT_Q8_0, SV_DT_Q4_0 };
    char path[] = "/tmp/samsvar-law-XXXXXX.gguf", spec[64];
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    float *first = law_rows(N), *z = law_rows(N);
    for (size_t i = 0; i < sizeof type / sizeof type[0]; i++) {
        sv_model_opts o = { .no_tokenizer = true };
        sv_model *m;
        law_ok(sv_model_save_gguf(model[0], path, type[i]));
        law_ok(sv_model_open(path, &o, &m));
        for (uint32_t c = 0; law_chip(c, spec); c++) {
            sv_runner *r = law_runner(m, spec, 1 + c % 3, 0);
            law_run(r, ids, N, c == 0 ? N : 41, 0, 1, c == 0 ? first : z);
            if (c > 0)
                law_same(sv_dtype_name(type[i]), z, first, N);
            sv_runner_close(r);
        }
        sv_model_close(m);
    }
    unlink(path);
    free(first);
    free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_logits_are_worth_comparing),
        cmocka_unit_test(test_any_chunk_gives_the_same_logits),
        cmocka_unit_test(test_any_number_of_threads_gives_the_same_logits),
        cmocka_unit_test(test_every_chip_gives_the_same_logits),
        cmocka_unit_test(test_any_order_of_pages_gives_the_same_logits),
        cmocka_unit_test(test_strangers_in_a_step_change_nothing),
        cmocka_unit_test(test_strangers_change_nothing_on_any_chip),
        cmocka_unit_test(test_rows_that_nobody_wants_are_not_needed),
        cmocka_unit_test(test_the_trainer_s_forward_is_the_server_s),
        cmocka_unit_test(test_stored_types_obey_too),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
