/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair encoding against the definition, and the limits of its vocabulary.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "text/bpe.h"

static uint64_t next_random(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

/* A vocabulary of n_char letters and up to n_merge random merges. */
static sv_bpe *random_vocab(uint64_t *x, uint32_t n_char, uint32_t n_merge, bool ignore_merges)
{
    sv_bpe *b = sv_bpe_make(4, 4, "random"); /* small, so that the tables must grow */
    sv_bytes left = { 0 }, right = { 0 }, both = { 0 };
    for (uint32_t i = 0; i < n_char; i++) {
        char c = (char)('a' + i);
        ok(sv_bpe_put(b, i, (sv_str){ &c, 1 }, SV_TOKEN_VOCAB));
    }
    for (uint32_t i = 0; i < n_merge; i++) {
        sv_str l = sv_bpe_piece(b, (uint32_t)(next_random(x) % sv_bpe_count(b)));
        sv_str r = sv_bpe_piece(b, (uint32_t)(next_random(x) % sv_bpe_count(b)));
        if (l.n + r.n > 12)
            continue;
        uint32_t id;
        sv_bytes_clear(&left);
        sv_bytes_clear(&right);
        sv_bytes_clear(&both);
        sv_bytes_add(&left, l.p, l.n);
        sv_bytes_add(&right, r.p, r.n);
        sv_bytes_add(&both, l.p, l.n);
        sv_bytes_add(&both, r.p, r.n);
        if (!sv_bpe_find(b, (sv_str){ both.p, both.n }, false, &id))
            ok(sv_bpe_put(b, sv_bpe_count(b), (sv_str){ both.p, both.n }, SV_TOKEN_VOCAB));
        ok(sv_bpe_add_merge(b, (sv_str){ left.p, left.n }, (sv_str){ right.p, right.n }));
    }
    ok(sv_bpe_seal(b, ignore_merges));
    sv_bytes_done(&left);
    sv_bytes_done(&right);
    sv_bytes_done(&both);
    return b;
}

/* The definition: look for the lowest rank, leftmost first, until no pair has one. The last of equal merges counts. */
static void encode_naive(const sv_bpe *b, sv_str piece, sv_ids *out)
{
    size_t first = out->n;
    for (size_t i = 0; i < piece.n; i++) {
        uint32_t id;
        assert_true(sv_bpe_find(b, (sv_str){ piece.p + i, 1 }, false, &id));
        SV_PUSH(out->id, out->n, out->cap, id);
    }
    for (;;) {
        uint32_t best = UINT32_MAX, best_made = 0;
        size_t at = 0;
        for (size_t i = first; i + 1 < out->n; i++)
            for (uint32_t rank = sv_bpe_n_merge(b); rank-- > 0;) {
                uint32_t left, right, made;
                sv_bpe_merge(b, rank, &left, &right, &made);
                if (left != out->id[i] || right != out->id[i + 1])
                    continue;
                if (rank < best) {
                    best = rank;
                    best_made = made;
                    at = i;
                }
                break;
            }
        if (best == UINT32_MAX)
            return;
        out->id[at] = best_made;
        memmove(out->id + at + 1, out->id + at + 2, (out->n - at - 2) * sizeof *out->id);
        out->n--;
    }
}

static void test_random_vocabularies_give_the_ids_of_the_definition(void **state)
{
    uint64_t x = 5;
    (void)state;
    for (int round = 0; round < 60; round++) {
        sv_bpe *b = random_vocab(&x, 1 + (uint32_t)(next_random(&x) % 5), 60, false);
        sv_bpe_work w = { 0 };
        uint32_t n_char = 0, id;
        while (sv_bpe_find(b, (sv_str){ (char[]){ (char)('a' + n_char) }, 1 }, false, &id))
            n_char++;
        for (int k = 0; k < 40; k++) {
            char text[200];
            size_t n = 1 + next_random(&x) % (k % 2 ? 60 : 200), bad; /* by scan and by heap */
            for (size_t i = 0; i < n; i++)
                text[i] = (char)('a' + next_random(&x) % n_char);
            sv_ids naive = { 0 }, ours = { 0 };
            encode_naive(b, (sv_str){ text, n }, &naive);
            for (int again = 0; again < 2; again++) { /* the second time from what was learnt in the first */
                ours.n = 0;
                assert_true(sv_bpe_encode(b, (sv_str){ text, n }, &w, &ours, &bad));
                assert_int_equal(ours.n, naive.n);
                assert_memory_equal(ours.id, naive.id, naive.n * sizeof *naive.id);
            }
            sv_ids_done(&naive);
            sv_ids_done(&ours);
        }
        sv_bpe_work_done(&w);
        sv_bpe_drop(b);
    }
}

static void test_with_ignore_merges_a_whole_token_wins(void **state)
{
    sv_ids ids = { 0 };
    sv_bpe_work w = { 0 };
    size_t bad;
    (void)state;
    for (int ignore = 0; ignore < 2; ignore++) {
        sv_bpe *b = sv_bpe_make(8, 8, "t");
        ok(sv_bpe_put(b, 0, SV_STR("a"), SV_TOKEN_VOCAB));
        ok(sv_bpe_put(b, 1, SV_STR("b"), SV_TOKEN_VOCAB));
        ok(sv_bpe_put(b, 2, SV_STR("ab"), SV_TOKEN_VOCAB));
        ok(sv_bpe_put(b, 3, SV_STR("aba"), SV_TOKEN_VOCAB));                 /* no merge makes it */
        ok(sv_bpe_put(b, 4, SV_STR("bb"), SV_TOKEN_VOCAB | SV_TOKEN_ADDED)); /* text never becomes it */
        ok(sv_bpe_put(b, 5, SV_STR("xy"), SV_TOKEN_VOCAB));                  /* its bytes have no tokens */
        ok(sv_bpe_add_merge(b, SV_STR("a"), SV_STR("b")));
        ok(sv_bpe_seal(b, ignore));
        ids.n = 0;
        assert_true(sv_bpe_encode(b, SV_STR("aba"), &w, &ids, &bad));
        assert_int_equal(ids.n, ignore ? 1 : 2);
        assert_int_equal(ids.id[0], ignore ? 3 : 2);
        ids.n = 0;
        assert_true(sv_bpe_encode(b, SV_STR("bb"), &w, &ids, &bad));
        assert_int_equal(ids.n, 2);
        assert_int_equal(sv_bpe_encode(b, SV_STR("xy"), &w, &ids, &bad), ignore);
        sv_bpe_drop(b);
    }
    sv_bpe_work_done(&w);
    sv_ids_done(&ids);
}

static void test_a_mebibyte_of_one_letter_takes_well_under_a_minute(void **state)
{
    enum { N = 1 << 20 };
    sv_bpe *b = sv_bpe_make(32, 32, "t");
    sv_bpe_work w = { 0 };
    sv_ids ids = { 0 };
    size_t bad;
    char *text = sv_mem_new(N);
    (void)state;
    memset(text, 'a', N);
    ok(sv_bpe_put(b, 0, SV_STR("a"), SV_TOKEN_VOCAB));
    for (uint32_t i = 0; i < 12; i++) { /* aa, aaaa, ... 4096 */
        ok(sv_bpe_put(b, i + 1, (sv_str){ text, (size_t)2 << i }, SV_TOKEN_VOCAB));
        ok(sv_bpe_add_merge(b, (sv_str){ text, (size_t)1 << i }, (sv_str){ text, (size_t)1 << i }));
    }
    ok(sv_bpe_seal(b, false));
    double start = sv_clock_s();
    assert_true(sv_bpe_encode(b, (sv_str){ text, N }, &w, &ids, &bad));
    assert_true(sv_clock_s() - start < 20); /* it takes a fraction of a second; n^2 would take days */
    assert_int_equal(ids.n, N / 4096);
    ids.n = 0;
    assert_true(sv_bpe_encode(b, (sv_str){ text, N - 1 }, &w, &ids, &bad));
    assert_int_equal(ids.n, N / 4096 - 1 + 12);
    sv_mem_free(text);
    sv_ids_done(&ids);
    sv_bpe_work_done(&w);
    sv_bpe_drop(b);
}

static void test_bytes_without_a_token_are_named_and_nothing_is_appended(void **state)
{
    sv_bpe *b = sv_bpe_make(4, 4, "t");
    sv_bpe_work w = { 0 };
    sv_ids ids = { 0 };
    char text[100];
    size_t bad = 99;
    (void)state;
    ok(sv_bpe_put(b, 7, SV_STR("a"), SV_TOKEN_VOCAB)); /* ids may have gaps */
    ok(sv_bpe_put(b, 3, SV_STR("b"), SV_TOKEN_VOCAB | SV_TOKEN_ADDED | SV_TOKEN_SPECIAL));
    ok(sv_bpe_seal(b, false));
    assert_int_equal(sv_bpe_count(b), 8);
    assert_int_equal(sv_bpe_flags(b, 5), 0);
    memset(text, 'a', sizeof text);
    text[90] = 'b'; /* a special token, even of one byte, is no text */
    assert_false(sv_bpe_encode(b, (sv_str){ text, sizeof text }, &w, &ids, &bad));
    assert_int_equal(bad, 90);
    assert_false(sv_bpe_encode(b, SV_STR("b"), &w, &ids, &bad));
    assert_int_equal(bad, 0);
    assert_int_equal(ids.n, 0);
    sv_bpe_work_done(&w);
    sv_ids_done(&ids);
    sv_bpe_drop(b);
}

/* Merges are looked up in batches: an error may come with the last. */
static sv_err merge_now(sv_bpe *b, sv_str left, sv_str right)
{
    sv_err e = sv_bpe_add_merge(b, left, right);
    return e != SV_OK ? e : sv_bpe_seal(b, false);
}

static void test_the_table_of_words_changes_nothing(void **state)
{
    enum { N_TEXT = 50000 };
    uint64_t x = 11;
    (void)state;
    for (int round = 0; round < 4; round++) {
        sv_bpe *b = random_vocab(&x, 3 + round, 60, round == 3);
        char *text = sv_mem_new(N_TEXT); /* of exactly this size: a sanitizer sees reads behind it */
        for (size_t i = 0; i < N_TEXT; i++)
            text[i] = (char)('a' + next_random(&x) % (3 + (unsigned)round));
        sv_bpe_work plain = { 0 }, fast = { 0 };
        sv_ids want = { 0 }, got = { 0 };
        size_t bad;
        sv_bpe_work_text(&fast, (sv_str){ text, N_TEXT });
        for (size_t at = 0, n; at < N_TEXT; at += n) {
            n = 1 + next_random(&x) % (next_random(&x) % 4 == 0 ? 20 : 5);
            n = n < N_TEXT - at ? n : N_TEXT - at;
            assert_true(sv_bpe_encode(b, (sv_str){ text + at, n }, &plain, &want, &bad));
            assert_true(sv_bpe_encode(b, (sv_str){ text + at, n }, &fast, &got, &bad));
            assert_int_equal(want.n, got.n);
        }
        assert_memory_equal(want.id, got.id, want.n * sizeof *want.id);
        sv_bpe_work_done(&plain);
        sv_bpe_work_done(&fast);
        sv_ids_done(&want);
        sv_ids_done(&got);
        sv_mem_free(text);
        sv_bpe_drop(b);
    }
}

static void test_damaged_vocabularies_are_refused(void **state)
{
    sv_bpe *b = sv_bpe_make(4, 4, "t");
    (void)state;
    ok(sv_bpe_put(b, 0, SV_STR("a"), SV_TOKEN_VOCAB));
    ok(sv_bpe_put(b, 1, SV_STR("b"), SV_TOKEN_VOCAB));
    ok(sv_bpe_put(b, 2, SV_STR("ab"), SV_TOKEN_VOCAB | SV_TOKEN_SPECIAL));
    ok(sv_bpe_put(b, SV_BPE_MAX_TOKENS - 1, SV_STR("z"), SV_TOKEN_VOCAB));
    assert_int_equal(sv_bpe_put(b, SV_BPE_MAX_TOKENS, SV_STR("y"), SV_TOKEN_VOCAB), SV_E_LIMIT);
    assert_int_equal(sv_bpe_put(b, UINT32_MAX, SV_STR("y"), SV_TOKEN_VOCAB), SV_E_LIMIT);
    assert_int_equal(sv_bpe_put(b, 1, SV_STR("c"), SV_TOKEN_VOCAB), SV_E_FORMAT);
    assert_int_equal(sv_bpe_put(b, 4, SV_STR("b"), SV_TOKEN_VOCAB), SV_E_FORMAT);
    assert_int_equal(sv_bpe_put(b, 4, SV_STR(""), SV_TOKEN_VOCAB), SV_E_FORMAT);
    assert_int_equal(sv_bpe_add_merge(b, SV_STR(""), SV_STR("a")), SV_E_FORMAT); /* the only way to a cycle */
    assert_int_equal(sv_bpe_add_merge(b, SV_STR("a"), SV_STR("")), SV_E_FORMAT);
    assert_int_equal(merge_now(b, SV_STR("c"), SV_STR("a")), SV_E_FORMAT);
    assert_int_equal(merge_now(b, SV_STR("a"), SV_STR("c")), SV_E_FORMAT);
    assert_int_equal(merge_now(b, SV_STR("a"), SV_STR("a")), SV_E_FORMAT);
    assert_int_equal(merge_now(b, SV_STR("a"), SV_STR("b")), SV_E_UNSUPPORTED);
    assert_int_equal(sv_bpe_n_merge(b), 0);
    sv_bpe_drop(b);
    sv_bpe_drop(NULL);
}

static void test_merges_end_at_their_limit(void **state)
{
    sv_bpe *b = sv_bpe_make(4, 4, "t");
    (void)state;
    ok(sv_bpe_put(b, 0, SV_STR("a"), SV_TOKEN_VOCAB));
    ok(sv_bpe_put(b, 1, SV_STR("aa"), SV_TOKEN_VOCAB));
    for (uint32_t i = 0; i < SV_BPE_MAX_MERGES; i++)
        ok(sv_bpe_add_merge(b, SV_STR("a"), SV_STR("a")));
    assert_int_equal(sv_bpe_add_merge(b, SV_STR("a"), SV_STR("a")), SV_E_LIMIT);
    sv_bpe_drop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_vocabularies_give_the_ids_of_the_definition),
        cmocka_unit_test(test_with_ignore_merges_a_whole_token_wins),
        cmocka_unit_test(test_a_mebibyte_of_one_letter_takes_well_under_a_minute),
        cmocka_unit_test(test_bytes_without_a_token_are_named_and_nothing_is_appended),
        cmocka_unit_test(test_the_table_of_words_changes_nothing),
        cmocka_unit_test(test_damaged_vocabularies_are_refused),
        cmocka_unit_test(test_merges_end_at_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
