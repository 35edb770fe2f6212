/* SPDX-License-Identifier: Apache-2.0
 * The second law: what a request gets is what it would get alone. Many requests of every kind run together, with few
 * pages or many, in any chunks, on any chip, with others cancelled around them; each answer is compared with its solo
 * run.
 */
#include <malloc.h>
#include <math.h>

#include "infer/engine_impl.h"
#include "op/logprob.h"
#include "test/law_model.h"

enum { N_REQUEST = 36, LONGEST = 300, EOS = 7, MOST_EVENTS = 400 };

typedef struct answer {
    sv_event event[MOST_EVENTS];
    uint32_t n;
} answer;

static sv_model *model;
static bool quick; /* emulators are slow: fewer repetitions there */
static uint32_t prompt[N_REQUEST][LONGEST];
static sv_request request[N_REQUEST];
static answer solo[N_REQUEST];

static sv_engine *open_engine(const sv_engine_opts *o)
{
    sv_engine *e;
    law_ok(sv_engine_open(model, o, &e));
    return e;
}

static sv_ticket post(sv_engine *e, const sv_request *r)
{
    sv_ticket t;
    law_ok(sv_engine_post(e, r, &t));
    return t;
}

static bool next(sv_engine *e, sv_event *ev)
{
    bool has;
    law_ok(sv_engine_next(e, ev, &has));
    return has;
}

static void keep(answer *a, const sv_event *ev)
{
    assert_true(a->n < MOST_EVENTS);
    a->event[a->n++] = *ev;
}

static void run_alone(sv_engine *e, const sv_request *r, answer *a)
{
    sv_event ev;
    sv_ticket t = post(e, r);
    a->n = 0;
    while (next(e, &ev)) {
        assert_true(ev.ticket == t);
        keep(a, &ev);
    }
}

static void assert_same_event(const char *what, uint32_t i, uint32_t at, const sv_event *a, const sv_event *b)
{
    bool same = a->kind == b->kind && a->id == b->id && a->position == b->position && a->n_top == b->n_top &&
                sv_bits_same(a->logprob, b->logprob) && a->finish == b->finish && a->n_prompt == b->n_prompt &&
                a->n_out == b->n_out;
    for (uint32_t k = 0; same && k < a->n_top; k++)
        same = a->top[k].id == b->top[k].id && sv_bits_same(a->top[k].logprob, b->top[k].logprob);
    if (!same)
        fail_msg("%s: request %u, event %u: kind %d id %u position %u %a, alone kind %d id %u position %u %a", what, i,
                 at, (int)a->kind, a->id, a->position, (double)a->logprob, (int)b->kind, b->id, b->position,
                 (double)b->logprob);
}

static void assert_same(const char *what, uint32_t i, const answer *a, const answer *b)
{
    for (uint32_t k = 0; k < a->n && k < b->n; k++)
        assert_same_event(what, i, k, &a->event[k], &b->event[k]);
    assert_int_equal(a->n, b->n);
}

static sv_sampling sampling_of(uint32_t i)
{
    sv_sampling s = SV_SAMPLING_GREEDY;
    s.seed = i;
    if (i % 3 > 0)
        s.temperature = i % 3 == 1 ? 0.7f : 1.5f;
    if (i % 5 == 1)
        s.top_k = 20;
    if (i % 5 == 2)
        s.top_p = 0.9f;
    if (i % 5 == 3)
        s.min_p = 0.05f;
    if (i % 4 == 1)
        s.repetition = 1.2f;
    if (i % 4 == 2)
        s.frequency = 0.3f, s.presence = 0.2f;
    return s;
}

static void make_requests(void)
{
    static const uint32_t stop[] = { 11, 12 };
    for (uint32_t i = 0; i < N_REQUEST; i++) {
        uint32_t n = i % 9 == 4 ? 250 + i : 1 + law_draw(300, i, 70);
        law_ids(310 + i, n, prompt[i]);
        if (i % 4 != 1) /* three beginnings, of any length */
            law_ids(350 + i % 3, i % 9 == 4 ? n - 7 : law_draw(302, i, n + 1), prompt[i]);
        request[i] = (sv_request){ .prompt = prompt[i], .n_prompt = n, .max_tokens = 1 + law_draw(301, i, 45) };
        request[i].sampling = sampling_of(i);
        request[i].space = i % 5 == 0;
        request[i].ignore_eos = i % 2;
        request[i].score = i % 7 == 3;
        request[i].want_logprob = i % 3 == 0;
        request[i].n_logprob = i % 4 == 0 ? 5 : 0;
        if (i % 6 == 0)
            request[i].stop = stop, request[i].n_stop = 2;
    }
    request[3].n_prompt = 1; /* to be scored: nothing to run */
}

static int setup(void **state)
{
    (void)state;
    quick = getenv("SAMSVAR_QUICK") != NULL;
    model = law_model("qwen3", EOS);
    make_requests();
    sv_engine_opts o = { .chip = "cpu:scalar", .machine = { .n_thread = 1 } };
    sv_engine *e = open_engine(&o);
    for (uint32_t i = 0; i < N_REQUEST; i++)
        run_alone(e, &request[i], &solo[i]);
    sv_engine_close(e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sv_model_close(model);
    return 0;
}

/* The engine alone, against nothing but steps and the sampler. */
static void same_as_plain_steps(const sv_request *r, const answer *a)
{
    uint32_t id[LAW_CTX], n = r->n_prompt;
    float *z = law_rows(LAW_CTX);
    sv_sampler *s = sv_sampler_make(LAW_VOCAB);
    sv_runner *runner = law_runner(model, "cpu:scalar", 1, 0);
    memcpy(id, r->prompt, n * sizeof *id);
    for (uint32_t k = 0; k + 1 < a->n; k++, n++) {
        const sv_event *ev = &a->event[k];
        law_run(runner, id, n, n, 0, 1, z);
        float *row = z + (size_t)(n - 1) * LAW_VOCAB, lp_row[LAW_VOCAB];
        memcpy(lp_row, row, sizeof lp_row);
        if (r->ignore_eos)
            row[EOS] = -INFINITY;
        id[n] = sv_sample(s, row, LAW_VOCAB, &r->sampling, id, n, n - r->n_prompt, n);
        assert_int_equal(ev->kind, SV_EVENT_TOKEN);
        assert_int_equal(ev->id, id[n]);
        assert_int_equal(ev->position, n);
        if (r->want_logprob || r->n_logprob)
            assert_true(sv_bits_same(ev->logprob, sv_logprob_row(lp_row, LAW_VOCAB, id[n])));
        else
            assert_true(isnan(ev->logprob));
        assert_int_equal(ev->n_top, r->n_logprob);
        for (uint32_t t = 0; t < ev->n_top; t++) {
            assert_true(sv_bits_same(ev->top[t].logprob, sv_logprob_row(lp_row, LAW_VOCAB, ev->top[t].id)));
            assert_true(t == 0 || ev->top[t].logprob <= ev->top[t - 1].logprob);
        }
    }
    assert_int_equal(a->event[a->n - 1].kind, SV_EVENT_FINISH);
    assert_int_equal(a->event[a->n - 1].n_out, n - r->n_prompt);
    sv_runner_close(runner);
    sv_sampler_drop(s);
    free(z);
}

static void test_an_answer_is_steps_and_draws(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < (quick ? 1 : 10); i++)
        if (!request[i].score)
            same_as_plain_steps(&request[i], &solo[i]);
}

/* Posts everything, some of it late; collects by ticket. */
static void run_together(const char *what, const sv_engine_opts *o, uint32_t purpose)
{
    static answer got[N_REQUEST];
    uint32_t order[N_REQUEST], posted = 0;
    sv_ticket ticket[N_REQUEST] = { 0 };
    sv_event ev;
    sv_engine *e = open_engine(o);
    uint32_t all = sv_engine_free_pages(e);
    for (uint32_t i = 0; i < N_REQUEST; i++)
        order[i] = i, got[i].n = 0;
    for (uint32_t i = N_REQUEST; i > 1; i--) {
        uint32_t j = law_draw(purpose, i, i), t = order[j];
        order[j] = order[i - 1], order[i - 1] = t;
    }
    for (;;) {
        uint32_t burst = law_draw(purpose + 1, posted, 5);
        for (; burst > 0 && posted < N_REQUEST; burst--, posted++)
            ticket[order[posted]] = post(e, &request[order[posted]]);
        if (!next(e, &ev)) {
            if (posted == N_REQUEST)
                break;
            ticket[order[posted]] = post(e, &request[order[posted]]);
            posted++;
            continue;
        }
        uint32_t i = 0;
        while (i < N_REQUEST && ticket[i] != ev.ticket)
            i++;
        assert_true(i < N_REQUEST);
        keep(&got[i], &ev);
    }
    for (uint32_t i = 0; i < N_REQUEST; i++)
        assert_same(what, i, &got[i], &solo[i]);
    assert_int_equal(sv_engine_free_pages(e), all);
    sv_engine_close(e);
}

static void test_together_is_as_alone(void **state)
{
    (void)state;
    static const uint32_t running[] = { 1, 2, 7, 16, 64 };
    for (uint32_t i = 0; i < 5; i++) {
        sv_engine_opts o = { .chip = "cpu", .max_running = running[i], .prefix = true };
        run_together("together", &o, 400 + 2 * i);
    }
}

static void test_any_chunk_is_as_alone(void **state)
{
    (void)state;
    static const uint32_t chunk[] = { 1, 7, 32, 256, 512 };
    for (uint32_t i = 0; i < 5; i++) {
        sv_engine_opts o = { .chip = "cpu", .max_running = 8, .chunk = chunk[i] };
        run_together("chunk", &o, 420 + 2 * i);
        o.prefix = true;
        run_together("chunk, shared", &o, 421 + 2 * i);
    }
}

static void test_any_number_of_threads_is_as_alone(void **state)
{
    (void)state;
    static const uint32_t n_thread[] = { 1, 2, 3, 7 };
    for (uint32_t i = 0; i < 4; i++) {
        sv_engine_opts o = { .chip = "cpu", .machine = { .n_thread = n_thread[i] }, .max_running = 12, .prefix = true };
        run_together("threads", &o, 440 + 2 * i);
    }
}

static void test_every_chip_is_as_alone(void **state)
{
    (void)state;
    char spec[64];
    for (uint32_t c = 0; law_chip(c, spec); c++) {
        if (quick && strncmp(spec, "cpu", 3) != 0)
            continue;
        sv_engine_opts o = { .chip = spec, .machine = { .n_thread = 2 }, .max_running = 10, .prefix = c % 2 };
        run_together(spec, &o, 460 + 2 * c);
    }
}

static void test_a_pool_that_runs_dry_is_as_alone(void **state)
{
    (void)state;
    /* 12 pages: the longest request just fits, so others are pushed out and come back. */
    sv_engine_opts o = { .chip = "cpu", .max_running = 6, .n_page = 12, .chunk = 64 };
    run_together("12 pages", &o, 480);
    o.prefix = true;
    run_together("12 pages, shared", &o, 482);
    o.prefix = false;
    sv_engine *e = open_engine(&o);
    sv_request r[6];
    answer *got = calloc(6, sizeof *got);
    sv_ticket first = 0;
    sv_event ev;
    for (uint32_t i = 0; i < 6; i++) {
        r[i] = (sv_request){ .prompt = prompt[i], .n_prompt = 1, .max_tokens = 90, .ignore_eos = true };
        r[i].sampling = SV_SAMPLING_GREEDY;
        r[i].sampling.temperature = 1;
        sv_ticket t = post(e, &r[i]);
        first = i ? first : t;
    }
    while (next(e, &ev))
        keep(&got[ev.ticket - first], &ev);
    assert_true(e->n_preempted > 0);
    assert_int_equal(sv_engine_free_pages(e), 12);
    for (uint32_t i = 0; i < 6; i++) {
        answer *alone = calloc(1, sizeof *alone);
        run_alone(e, &r[i], alone);
        assert_same("preempted", i, &got[i], alone);
        free(alone);
    }
    free(got);
    sv_engine_close(e);
}

static void storm(uint32_t purpose, const sv_engine_opts *o)
{
    static answer got[N_REQUEST];
    sv_ticket ticket[N_REQUEST];
    bool cancelled[N_REQUEST] = { false };
    sv_event ev;
    sv_engine *e = open_engine(o);
    uint32_t all = sv_engine_free_pages(e), step = 0;
    for (uint32_t i = 0; i < N_REQUEST; i++) {
        ticket[i] = post(e, &request[i]);
        got[i].n = 0;
    }
    sv_engine_cancel(e, 0);
    sv_engine_cancel(e, 1u << 30);
    do {
        uint32_t i = law_draw(purpose, step, N_REQUEST);
        if (law_draw(purpose + 1, step++, 6) == 0) {
            sv_engine_cancel(e, ticket[i]); /* perhaps for the second time, perhaps after its end */
            cancelled[i] = true;
        }
        if (!next(e, &ev))
            break;
        for (i = 0; ticket[i] != ev.ticket; i++)
            assert_true(i + 1 < N_REQUEST);
        assert_false(cancelled[i]);
        keep(&got[i], &ev);
    } while (true);
    assert_int_equal(sv_engine_free_pages(e), all);
    for (uint32_t i = 0; i < N_REQUEST; i++) {
        if (!cancelled[i])
            assert_same("storm", i, &got[i], &solo[i]);
        for (uint32_t k = 0; k < got[i].n; k++)
            assert_same_event("storm, before the end", i, k, &got[i].event[k], &solo[i].event[k]);
    }
    sv_engine_close(e);
}

static void test_cancel_storms_free_all_pages_and_touch_nobody_else(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        sv_engine_opts o = { .chip = "cpu", .max_running = 1 + 3 * i, .n_page = i % 2 ? 13 : 0, .chunk = 16 + 40 * i };
        storm(500 + 2 * i, &o);
        o.prefix = true;
        storm(520 + 2 * i, &o);
    }
}

/* Whatever came before: pages that are there, pages that were evicted, pages being filled, a restart. */
static void test_a_hit_changes_no_bit(void **state)
{
    (void)state;
    for (uint32_t p = 0; p < 3; p++) {
        sv_engine_opts o = { .chip = "cpu",
                             .max_running = 5,
                             .n_page = p == 0   ? 500
                                       : p == 1 ? 60
                                                : 14,
                             .chunk = 48,
                             .prefix = true };
        sv_engine *e = open_engine(&o);
        answer *got = calloc(1, sizeof *got);
        uint32_t n_cached = 0;
        for (uint32_t round = 0; round < 3; round++)
            for (uint32_t i = 0; i < N_REQUEST; i++) {
                uint32_t k = (i * 7 + round * 5) % N_REQUEST;
                run_alone(e, &request[k], got);
                assert_same("in turn", k, got, &solo[k]);
                uint32_t n = got->event[got->n - 1].n_cached;
                assert_true(n % SV_PAGE == 0 && n < request[k].n_prompt);
                if (p == 0 && round > 0 && !request[k].score)
                    assert_int_equal(n, (request[k].n_prompt - 1) / SV_PAGE * SV_PAGE);
                n_cached += n;
                assert_int_equal(sv_engine_free_pages(e), o.n_page);
            }
        assert_true(n_cached > (p < 2 ? 500 : 0));
        sv_engine_forget(e);
        run_alone(e, &request[4], got);
        assert_same("forgotten", 4, got, &solo[4]);
        assert_int_equal(got->event[got->n - 1].n_cached, 0);
        free(got);
        sv_engine_close(e);
    }
}

/* Sixteen at once with one beginning: it is computed once, and again by the next when its filler leaves. */
static void test_running_requests_lend_what_they_compute(void **state)
{
    (void)state;
    uint32_t id[16][200];
    sv_engine_counts n;
    sv_event ev;
    for (uint32_t leave = 0; leave < 2; leave++) {
        sv_engine_opts o = { .chip = "cpu", .max_running = 16, .chunk = 64, .prefix = true };
        sv_engine *e = open_engine(&o);
        answer *got = calloc(17, sizeof *got);
        sv_request r[16], early = { .prompt = prompt[0], .n_prompt = 4, .max_tokens = 1 };
        early.sampling = sampling_of(0);
        post(e, &early);
        sv_ticket first = 0;
        for (uint32_t i = 0; i < 16; i++) {
            law_ids(700, 200, id[i]);
            law_ids(710 + i, 20, id[i] + 180);
            r[i] = (sv_request){ .prompt = id[i], .n_prompt = 200, .max_tokens = 20, .ignore_eos = true };
            r[i].sampling = sampling_of(i);
            sv_ticket t = post(e, &r[i]);
            first = i ? first : t;
        }
        while (next(e, &ev)) {
            if (ev.ticket >= first)
                keep(&got[ev.ticket - first], &ev);
            else if (leave)
                sv_engine_cancel(e, first); /* one page is filled by now, the next is not */
        }
        sv_engine_count(e, &n);
        assert_int_equal(n.n_miss, 4 + (leave ? 168 + 14 * 40 : 200 + 15 * 40));
        assert_int_equal(n.n_hit, leave ? 32 + 14 * 160 : 15 * 160);
        sv_engine_forget(e);
        for (uint32_t i = leave; i < 16; i++) {
            run_alone(e, &r[i], &got[16]);
            assert_same("lent", i, &got[i], &got[16]);
        }
        free(got);
        sv_engine_close(e);
    }
}

/* Nothing that one key's requests have computed makes another's faster: the rows are counted, not timed. */
static void test_another_space_finds_nothing(void **state)
{
    (void)state;
    sv_engine_opts o = { .chip = "cpu", .max_running = 4, .chunk = 64, .prefix = true };
    sv_engine *e = open_engine(&o), *fresh = open_engine(&o);
    answer *got = calloc(1, sizeof *got);
    sv_engine_counts a, b, c;
    sv_request r = { .prompt = prompt[4], .n_prompt = 200, .max_tokens = 8, .sampling = SV_SAMPLING_GREEDY };
    run_alone(fresh, &r, got);
    sv_engine_count(fresh, &c);
    for (r.space = 0; r.space < 3; r.space++) {
        sv_engine_count(e, &a);
        run_alone(e, &r, got);
        sv_engine_count(e, &b);
        assert_int_equal(b.n_row - a.n_row, c.n_row);
        assert_int_equal(b.n_step - a.n_step, c.n_step);
        assert_int_equal(got->event[0].n_cached, 0);
    }
    r.space = 1;
    sv_engine_count(e, &a);
    run_alone(e, &r, got);
    sv_engine_count(e, &b);
    assert_int_equal(got->event[0].n_cached, 192);
    assert_int_equal(b.n_row - a.n_row, c.n_row - 192);
    sv_ticket one, two; /* running ones neither */
    r.prompt = prompt[13];
    one = post(e, &r);
    r.space = 2;
    two = post(e, &r);
    sv_event ev;
    while (next(e, &ev))
        assert_true(ev.n_cached == 0 && (ev.ticket == one || ev.ticket == two));
    free(got);
    sv_engine_close(e);
    sv_engine_close(fresh);
}

/* When the budget is used up the close is forced, drawn among neighbours or alone, pushed out or not. */
static void test_a_thought_is_closed_at_its_budget(void **state)
{
    (void)state;
    static const uint32_t close[] = { 30, 31, 32 };
    enum { N = 6, BUDGET = 9, OPEN = 40, CLOSE = 31 };
    sv_request r[N];
    answer *alone = calloc(N, sizeof *alone), *got = calloc(N, sizeof *got);
    sv_engine_opts one = { .chip = "cpu", .max_running = 1 };
    sv_engine_opts many = { .chip = "cpu", .max_running = N, .n_page = 12, .prefix = true };
    sv_engine *e = open_engine(&one);
    for (uint32_t i = 0; i < N; i++) {
        r[i] = (sv_request){
            .prompt = prompt[i], .n_prompt = 20, .max_tokens = 70, .ignore_eos = true, .want_logprob = true
        };
        r[i].sampling = sampling_of(i);
        r[i].thought = (sv_thought){ i % 2, OPEN, CLOSE, BUDGET, close, 3 };
        run_alone(e, &r[i], &alone[i]);
        uint32_t begin = 0, n = alone[i].n - 1;
        if (i % 2 == 0)
            while (begin < n && alone[i].event[begin].id != OPEN)
                begin++;
        uint32_t from = i % 2 ? 0 : begin + 1, early = from;
        while (early < n && early < from + BUDGET && alone[i].event[early].id != CLOSE)
            early++;
        if (early == from + BUDGET && early + 3 <= n)
            for (uint32_t k = 0; k < 3; k++)
                assert_int_equal(alone[i].event[early + k].id, close[k]);
        if (i % 2)
            assert_true(early < n);
    }
    sv_engine_close(e);
    e = open_engine(&many);
    sv_ticket first = 0;
    sv_event ev;
    for (uint32_t i = 0; i < N; i++) {
        sv_ticket t = post(e, &r[i]);
        first = i ? first : t;
    }
    while (next(e, &ev))
        keep(&got[ev.ticket - first], &ev);
    for (uint32_t i = 0; i < N; i++)
        assert_same("thought", i, &got[i], &alone[i]);
    sv_engine_close(e);
    free(alone);
    free(got);
}

static void test_an_engine_may_be_closed_in_mid_stream(void **state)
{
    (void)state;
    sv_event ev;
    sv_engine_opts o = { .chip = "cpu", .max_running = 4 };
    sv_engine *e = open_engine(&o);
    for (uint32_t i = 0; i < N_REQUEST; i++)
        post(e, &request[i]);
    for (uint32_t i = 0; i < 30; i++)
        assert_true(next(e, &ev));
    sv_engine_close(e);
    sv_engine_close(NULL);
}

static void test_a_continued_answer_is_the_uninterrupted_one(void **state)
{
    (void)state;
    sv_engine_opts o = { .chip = "cpu", .max_running = 2 };
    sv_engine *e = open_engine(&o);
    answer *whole = calloc(1, sizeof *whole), *rest = calloc(1, sizeof *rest);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t id[LAW_CTX];
        sv_request r = {
            .prompt = prompt[i], .n_prompt = 20 + i, .max_tokens = 40, .ignore_eos = true, .want_logprob = true
        };
        r.sampling = sampling_of(3 * i + 1);
        r.sampling.frequency = r.sampling.presence = 0; /* these two count the answer alone */
        r.sampling.repetition = 1.1f;
        run_alone(e, &r, whole);
        for (uint32_t cut = 1; cut < 40; cut += 6) {
            memcpy(id, prompt[i], r.n_prompt * sizeof *id);
            for (uint32_t k = 0; k < cut; k++)
                id[r.n_prompt + k] = whole->event[k].id;
            sv_request more = r;
            more.prompt = id;
            more.n_prompt = r.n_prompt + cut;
            more.max_tokens = 40 - cut;
            run_alone(e, &more, rest);
            assert_int_equal(rest->n, whole->n - cut);
            for (uint32_t k = 0; k + 1 < rest->n; k++)
                assert_same_event("continued", i, k, &rest->event[k], &whole->event[cut + k]);
        }
    }
    free(whole);
    free(rest);
    sv_engine_close(e);
}

static void test_scoring_an_answer_gives_the_log_probs_of_its_draws(void **state)
{
    (void)state;
    sv_engine_opts o = { .chip = "cpu", .chunk = 37 };
    sv_engine *e = open_engine(&o);
    answer *drawn = calloc(1, sizeof *drawn), *scored = calloc(1, sizeof *scored);
    uint32_t id[LAW_CTX];
    sv_request r = { .prompt = prompt[5], .n_prompt = 33, .max_tokens = 60, .want_logprob = true, .n_logprob = 20 };
    r.sampling = sampling_of(1);
    r.ignore_eos = true;
    run_alone(e, &r, drawn);
    memcpy(id, prompt[5], 33 * sizeof *id);
    for (uint32_t k = 0; k < 60; k++)
        id[33 + k] = drawn->event[k].id;
    sv_request s = { .prompt = id, .n_prompt = 93, .score = true, .n_logprob = 20 };
    run_alone(e, &s, scored);
    assert_int_equal(scored->n, 94);
    assert_true(isnan(scored->event[0].logprob));
    assert_int_equal(scored->event[0].n_top, 0);
    assert_int_equal(scored->event[93].kind, SV_EVENT_FINISH);
    assert_int_equal(scored->event[93].finish, SV_FINISH_SCORED);
    for (uint32_t k = 0; k < 93; k++) {
        assert_int_equal(scored->event[k].kind, SV_EVENT_SCORE);
        assert_int_equal(scored->event[k].id, id[k]);
        assert_int_equal(scored->event[k].position, k);
    }
    for (uint32_t k = 0; k < 60; k++) {
        scored->event[33 + k].kind = SV_EVENT_TOKEN;
        assert_same_event("scored", 0, k, &scored->event[33 + k], &drawn->event[k]);
    }
    free(drawn);
    free(scored);
    sv_engine_close(e);
}

static void test_a_decoding_engine_allocates_nothing(void **state)
{
    (void)state;
    sv_event ev;
    sv_engine_opts o = { .chip = "cpu", .max_running = 4 };
    sv_engine *e = open_engine(&o);
    for (uint32_t i = 0; i < 4; i++) {
        sv_request r = { .prompt = prompt[i], .n_prompt = 4, .max_tokens = 200, .ignore_eos = true, .n_logprob = 3 };
        r.sampling = sampling_of(i);
        post(e, &r);
    }
    for (uint32_t i = 0; i < 4 * 20; i++)
        next(e, &ev);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (uint32_t i = 0; i < 4 * 100; i++)
        next(e, &ev);
    assert_true(mallinfo2().uordblks + mallinfo2().hblkhd == before);
    sv_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_steps_and_draws),
        cmocka_unit_test(test_together_is_as_alone),
        cmocka_unit_test(test_any_chunk_is_as_alone),
        cmocka_unit_test(test_any_number_of_threads_is_as_alone),
        cmocka_unit_test(test_every_chip_is_as_alone),
        cmocka_unit_test(test_a_pool_that_runs_dry_is_as_alone),
        cmocka_unit_test(test_cancel_storms_free_all_pages_and_touch_nobody_else),
        cmocka_unit_test(test_a_hit_changes_no_bit),
        cmocka_unit_test(test_running_requests_lend_what_they_compute),
        cmocka_unit_test(test_another_space_finds_nothing),
        cmocka_unit_test(test_a_thought_is_closed_at_its_budget),
        cmocka_unit_test(test_an_engine_may_be_closed_in_mid_stream),
        cmocka_unit_test(test_a_continued_answer_is_the_uninterrupted_one),
        cmocka_unit_test(test_scoring_an_answer_gives_the_log_probs_of_its_draws),
        cmocka_unit_test(test_a_decoding_engine_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
