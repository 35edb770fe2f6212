/* SPDX-License-Identifier: Apache-2.0
 * The engine's manners: what it refuses, how answers end, in which order events come. Its bits: test/law/engine.c.
 */
#include <math.h>

#include "infer/engine_impl.h"
#include "test/law_model.h"

enum { EOS = 7 };

static sv_model *model;
static uint32_t prompt[LAW_CTX + 1];

static int setup(void **state)
{
    (void)state;
    model = law_model("llama", EOS);
    law_ids(1, LAW_CTX + 1, prompt);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sv_model_close(model);
    return 0;
}

static sv_engine *open_engine(uint32_t max_running, uint32_t n_page, uint32_t chunk)
{
    sv_engine_opts o = { .chip = "cpu", .max_running = max_running, .n_page = n_page, .chunk = chunk };
    sv_engine *e;
    law_ok(sv_engine_open(model, &o, &e));
    return e;
}

static sv_request greedy(uint32_t n_prompt, uint32_t max_tokens)
{
    return (
        sv_request){ .prompt = prompt, .n_prompt = n_prompt, .max_tokens = max_tokens, .sampling = SV_SAMPLING_GREEDY };
}

static sv_ticket post(sv_engine *e, const sv_request *r)
{
    sv_ticket t = 0;
    law_ok(sv_engine_post(e, r, &t));
    assert_true(t != 0);
    return t;
}

static bool next(sv_engine *e, sv_event *ev)
{
    bool has;
    law_ok(sv_engine_next(e, ev, &has));
    return has;
}

static uint32_t run(sv_engine *e, const sv_request *r, sv_event *out, uint32_t most)
{
    uint32_t n = 0;
    sv_event ev;
    post(e, r);
    while (next(e, &ev)) {
        assert_true(n < most);
        out[n++] = ev;
    }
    return n;
}

static void refused(sv_engine *e, const sv_request *r, const char *words)
{
    sv_ticket t = 0;
    assert_int_equal(sv_engine_post(e, r, &t), SV_E_ARG);
    assert_int_equal(t, 0);
    if (!strstr(sv_err_text(), words))
        fail_msg("\"%s\" does not say \"%s\"", sv_err_text(), words);
}

static void test_what_can_never_run_is_refused_with_the_numbers(void **state)
{
    (void)state;
    sv_event ev;
    sv_engine *e = open_engine(2, 0, 0), *small = open_engine(2, 3, 0);
    sv_request r = greedy(0, 1);
    refused(e, &r, "empty");
    r = greedy(LAW_CTX, 1);
    refused(e, &r, "384");
    r = greedy(LAW_CTX, 0);
    refused(e, &r, "384 tokens");
    r = greedy(10, LAW_CTX - 9);
    refused(e, &r, "an answer of 375");
    r = greedy(10, UINT32_MAX);
    refused(e, &r, "4294967295");
    r = greedy(60, 37);
    refused(small, &r, "at most 96");
    r = greedy(5, 5);
    r.n_logprob = 21;
    refused(e, &r, "21");
    r = greedy(5, 5);
    r.sampling.top_p = 0;
    refused(e, &r, "top_p");
    uint32_t far[2] = { 1, LAW_VOCAB };
    r = greedy(2, 1);
    r.prompt = far;
    refused(e, &r, "263");
    assert_false(next(e, &ev));
    sv_engine_close(e);
    sv_engine_close(small);
}

static void test_options_out_of_range_are_refused(void **state)
{
    (void)state;
    sv_engine *e = NULL;
    sv_engine_opts many = { .chip = "cpu", .max_running = 100000 }, wide = { .chip = "cpu", .chunk = 1u << 20 },
                   large = { .chip = "cpu", .n_page = UINT32_MAX }, nowhere = { .chip = "no-such-chip" };
    assert_int_equal(sv_engine_open(model, &many, &e), SV_E_ARG);
    assert_int_equal(sv_engine_open(model, &wide, &e), SV_E_ARG);
    assert_int_equal(sv_engine_open(model, &large, &e), SV_E_ARG);
    assert_int_equal(sv_engine_open(model, &nowhere, &e), SV_E_CHIP);
    assert_null(e);
}

static void test_the_context_is_what_was_asked_for_but_no_more_than_the_model_s(void **state)
{
    (void)state;
    static const uint32_t asked[] = { 0, 100, LAW_CTX, 100000 }, got[] = { LAW_CTX, 100, LAW_CTX, LAW_CTX };
    for (uint32_t i = 0; i < 4; i++) {
        sv_engine_opts o = { .chip = "cpu", .n_ctx = asked[i] };
        sv_engine *e;
        law_ok(sv_engine_open(model, &o, &e));
        assert_int_equal(sv_engine_ctx(e), got[i]);
        assert_int_equal(sv_runner_ctx(sv_engine_runner(e)), got[i]);
        assert_int_equal(sv_engine_free_pages(e), (got[i] + 31) / 32);
        sv_engine_close(e);
    }
}

static void test_an_answer_ends_at_its_length(void **state)
{
    (void)state;
    static sv_event ev[LAW_CTX + 1];
    sv_engine *e = open_engine(1, 0, 0);
    sv_request r = greedy(20, 15);
    r.ignore_eos = true;
    uint32_t n = run(e, &r, ev, LAW_CTX);
    assert_int_equal(n, 16);
    for (uint32_t i = 0; i < 15; i++) {
        assert_int_equal(ev[i].kind, SV_EVENT_TOKEN);
        assert_int_equal(ev[i].position, 20 + i);
        assert_true(isnan(ev[i].logprob));
    }
    assert_int_equal(ev[15].kind, SV_EVENT_FINISH);
    assert_int_equal(ev[15].finish, SV_FINISH_LENGTH);
    assert_int_equal(ev[15].n_prompt, 20);
    assert_int_equal(ev[15].n_out, 15);
    r.max_tokens = 0;
    assert_int_equal(run(e, &r, ev, LAW_CTX + 1), LAW_CTX - 20 + 1);
    r.n_prompt = LAW_CTX - 1;
    assert_int_equal(run(e, &r, ev, LAW_CTX), 2);
    sv_engine_close(e);
}

/* The answer of a sampled request, until a token that stands there for the first time. */
static uint32_t fresh_token(const sv_event *ev, uint32_t n, uint32_t from)
{
    for (uint32_t i = from; i < n; i++) {
        uint32_t k = 0;
        while (k < i && ev[k].id != ev[i].id)
            k++;
        if (k == i)
            return i;
    }
    fail_msg("the answer repeats itself");
    return 0;
}

static void test_an_answer_ends_with_an_end_token_or_a_stop_id(void **state)
{
    (void)state;
    static sv_event ev[LAW_CTX + 1], again[LAW_CTX + 1];
    sv_engine *e = open_engine(1, 0, 0);
    sv_request r = greedy(9, 60);
    r.sampling.temperature = 1;
    r.sampling.seed = 4;
    model->config.n_eos = 0;
    uint32_t n = run(e, &r, ev, LAW_CTX), at = fresh_token(ev, n - 1, 10), stop[] = { LAW_VOCAB + 5, ev[at].id };
    assert_int_equal(n, 61);
    r.stop = stop;
    r.n_stop = 2;
    assert_int_equal(run(e, &r, again, LAW_CTX), at + 2);
    assert_int_equal(again[at].id, stop[1]);
    assert_int_equal(again[at + 1].finish, SV_FINISH_STOP);
    assert_int_equal(again[at + 1].n_out, at + 1);
    model->config.n_eos = 1;
    model->config.eos[0] = stop[1];
    r.n_stop = 0;
    assert_int_equal(run(e, &r, again, LAW_CTX), at + 2);
    assert_int_equal(again[at + 1].finish, SV_FINISH_STOP);
    r.ignore_eos = true;
    r.sampling.temperature = 0;
    n = run(e, &r, again, LAW_CTX);
    assert_int_equal(n, 61);
    for (uint32_t i = 0; i < 60; i++)
        assert_int_not_equal(again[i].id, stop[1]);
    model->config.eos[0] = EOS;
    sv_engine_close(e);
}

static void test_the_first_token_leaves_when_its_own_prompt_is_done(void **state)
{
    (void)state;
    sv_event ev;
    sv_engine *e = open_engine(3, 0, 32);
    sv_request large = greedy(300, 5), small = greedy(10, 20);
    large.ignore_eos = small.ignore_eos = true;
    sv_ticket a = post(e, &small), b = post(e, &large), c = post(e, &small);
    uint32_t first[4] = { 0 }, n = 0, n_a = 0;
    while (next(e, &ev)) {
        n++;
        if (!first[ev.ticket])
            first[ev.ticket] = n;
        n_a += ev.ticket == a && first[b] == 0;
    }
    assert_int_equal(first[a], 1);
    assert_true(n_a >= 9); /* goes on while the long prompt is read */
    assert_true(first[b] > first[a] && first[c] > first[a]);
    sv_engine_close(e);
}

static void test_requests_start_in_order_of_arrival(void **state)
{
    (void)state;
    sv_event ev;
    sv_engine *e = open_engine(2, 12, 0);
    sv_ticket last = 0;
    for (uint32_t i = 0; i < 10; i++) {
        sv_request r = greedy(i % 3 ? 8 : 200, 4);
        r.ignore_eos = true;
        post(e, &r);
    }
    while (next(e, &ev))
        if (ev.kind == SV_EVENT_TOKEN && ev.position == (ev.ticket % 3 == 1 ? 200u : 8u)) {
            assert_true(ev.ticket == last + 1);
            last = ev.ticket;
        }
    assert_true(last == 10);
    sv_engine_close(e);
}

static void test_a_cancelled_request_is_silent_at_once(void **state)
{
    (void)state;
    sv_event ev;
    sv_engine *e = open_engine(2, 0, 0);
    uint32_t all = sv_engine_free_pages(e), n = 0;
    sv_request r = greedy(40, 30);
    r.ignore_eos = true;
    sv_ticket a = post(e, &r), b = post(e, &r), c = post(e, &r);
    assert_true(next(e, &ev)); /* both run now, and b's first token waits behind a's */
    assert_true(ev.ticket == a);
    sv_engine_cancel(e, b);
    assert_int_equal(sv_engine_free_pages(e), all - 2);
    sv_engine_cancel(e, a);
    assert_int_equal(sv_engine_free_pages(e), all);
    for (; next(e, &ev); n++)
        assert_true(ev.ticket == c);
    assert_int_equal(n, 31);
    a = post(e, &r), b = post(e, &r), c = post(e, &r);
    sv_engine_cancel(e, b);
    sv_engine_cancel(e, c);
    sv_engine_cancel(e, a);
    assert_false(next(e, &ev));
    sv_engine_close(e);
    e = open_engine(3, 0, 0);
    a = post(e, &r), b = post(e, &r), c = post(e, &r);
    assert_true(next(e, &ev));
    sv_engine_cancel(e, b);
    assert_true(next(e, &ev)); /* what waited behind the cancelled one is still there */
    assert_true(ev.ticket == c && ev.kind == SV_EVENT_TOKEN && ev.position == 40);
    sv_engine_cancel(e, a);
    sv_engine_cancel(e, c);
    a = post(e, &r); /* the queue is whole again */
    assert_true(next(e, &ev));
    assert_true(ev.ticket == a);
    sv_engine_close(e);
}

static void test_one_token_is_scored_without_a_step(void **state)
{
    (void)state;
    sv_event ev[4];
    sv_engine *e = open_engine(1, 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        sv_request r = { .prompt = prompt, .n_prompt = 1, .score = true, .n_logprob = 2 };
        assert_int_equal(run(e, &r, ev, 4), 2);
        assert_int_equal(ev[0].kind, SV_EVENT_SCORE);
        assert_int_equal(ev[0].id, prompt[0]);
        assert_true(isnan(ev[0].logprob));
        assert_int_equal(ev[1].finish, SV_FINISH_SCORED);
        assert_int_equal(ev[1].n_out, 0);
    }
    sv_request whole = { .prompt = prompt, .n_prompt = LAW_CTX, .score = true };
    static sv_event all[LAW_CTX + 1];
    assert_int_equal(run(e, &whole, all, LAW_CTX + 1), LAW_CTX + 1);
    sv_engine_close(e);
}

static void test_a_score_that_was_pushed_out_reports_each_token_once(void **state)
{
    (void)state;
    static sv_event alone[LAW_CTX + 1];
    sv_event ev;
    sv_engine *e = open_engine(2, 4, 1); /* pages for 128 positions, a prompt token a step */
    sv_request score = { .prompt = prompt, .n_prompt = 60, .score = true }, draw = greedy(1, 90);
    draw.ignore_eos = true;
    assert_int_equal(run(e, &score, alone, LAW_CTX), 61);
    sv_ticket a = post(e, &draw), b = 0;
    uint32_t n = 0;
    while (next(e, &ev)) {
        if (ev.ticket == a && ev.position == 30)
            b = post(e, &score);
        if (ev.ticket != b)
            continue;
        assert_int_equal(ev.kind, alone[n].kind);
        assert_int_equal(ev.position, alone[n].position);
        assert_true(sv_bits_same(ev.logprob, alone[n].logprob));
        n++;
    }
    assert_int_equal(n, 61);
    assert_int_equal(e->n_preempted, 1);
    sv_engine_close(e);
}

static void test_a_step_has_no_more_scored_rows_than_there_is_room_for(void **state)
{
    (void)state;
    static sv_event alone[LAW_CTX + 1];
    sv_event ev;
    sv_engine *e = open_engine(3, 0, 64);
    sv_request score = { .prompt = prompt, .n_prompt = 100, .score = true };
    run(e, &score, alone, LAW_CTX);
    e->max_score = 5; /* as with a large vocabulary */
    uint32_t n[3] = { 0 };
    sv_ticket first = post(e, &score);
    post(e, &score);
    post(e, &score);
    while (next(e, &ev)) {
        assert_true(e->n_score <= 5);
        const sv_event *expected = &alone[n[ev.ticket - first]++];
        assert_int_equal(ev.position, expected->position);
        assert_true(sv_bits_same(ev.logprob, expected->logprob));
    }
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(n[i], 101);
    sv_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_can_never_run_is_refused_with_the_numbers),
        cmocka_unit_test(test_options_out_of_range_are_refused),
        cmocka_unit_test(test_the_context_is_what_was_asked_for_but_no_more_than_the_model_s),
        cmocka_unit_test(test_an_answer_ends_at_its_length),
        cmocka_unit_test(test_an_answer_ends_with_an_end_token_or_a_stop_id),
        cmocka_unit_test(test_the_first_token_leaves_when_its_own_prompt_is_done),
        cmocka_unit_test(test_requests_start_in_order_of_arrival),
        cmocka_unit_test(test_a_cancelled_request_is_silent_at_once),
        cmocka_unit_test(test_a_score_that_was_pushed_out_reports_each_token_once),
        cmocka_unit_test(test_a_step_has_no_more_scored_rows_than_there_is_room_for),
        cmocka_unit_test(test_one_token_is_scored_without_a_step),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
