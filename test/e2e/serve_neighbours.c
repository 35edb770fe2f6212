/* SPDX-License-Identifier: Apache-2.0
 * An answer never depends on who else asks: hundreds of requests of many kinds at loads of 1 to 64, against servers
 * that differ in threads, pages, chunks, ISA and sharing, with clients that leave in between; for each kind there is
 * one answer, the one that it had alone. SAMSVAR_NEIGHBOURS: how many requests (500).
 */
#include "num/philox.h"
#include "test/serve_run.h"

enum { N_KIND = 40, MOST_CLIENTS = 64 };

typedef struct kind {
    char path[32], body[900];
    bool stream;
    char *alone;
} kind;

static kind kinds[N_KIND];
static uint32_t n_total, next_request, n_wrong, n_left; /* atomic but the first */

static uint32_t draw(uint32_t purpose, uint32_t i, uint32_t below)
{
    return sv_philox_at(17, SV_STREAM_TEST, purpose, 0, i).w[0] % below;
}

/* Beginnings that several kinds share, of any length. */
static void make_kinds(void)
{
    static const char *const schema =
        ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":"
        "\"object\",\"properties\":{\"a\":{\"enum\":[1,22,\"x\"]},\"b\":{\"type\":\"boolean\"}}}}}";
    static const char *const how[] = { ",\"temperature\":0", ",\"temperature\":1,\"top_p\":0.9",
                                       ",\"temperature\":1.3,\"top_k\":20",
                                       ",\"temperature\":0.8,\"repetition_penalty\":1.2",
                                       ",\"temperature\":1,\"logit_bias\":{\"40\":2}" };
    for (uint32_t i = 0; i < N_KIND; i++) {
        kind *k = &kinds[i];
        char words[200] = "";
        for (uint32_t w = draw(1, i, 12); w > 0; w--)
            strcat(words, i % 3 ? "the sum of " : "one and two ");
        k->stream = i % 4 == 1;
        snprintf(k->path, sizeof k->path, "%s", i % 2 ? "/v1/chat/completions" : "/v1/completions");
        char prompt[300];
        if (i % 2)
            snprintf(prompt, sizeof prompt, "\"messages\":[{\"role\":\"user\",\"content\":\"%s%u\"}]", words, i);
        else
            snprintf(prompt, sizeof prompt, "\"prompt\":\"%s%u\"", words, i);
        snprintf(k->body, sizeof k->body, "{%s,\"seed\":%u,\"max_tokens\":%u%s%s%s%s%s%s}", prompt, i,
                 1 + draw(2, i, i % 5 == 1 ? 90 : 30), how[i % 5], i % 5 == 2 ? ",\"n\":3" : "",
                 i % 3 == 0 ? ",\"logprobs\":" : "", i % 3 == 0 ? (i % 2 ? "true" : "3") : "",
                 i % 7 == 3 ? schema : ",\"ignore_eos\":true",
                 k->stream    ? ",\"stream\":true"
                 : i % 6 == 0 ? ",\"stop\":[\"a\",\"e\"]"
                              : "");
    }
}

/* What must be the same: choices with log-probs, and the hash of the ids; of a stream the hash. */
static char *part_of(const kind *k, const sv_bytes *r)
{
    if (k->stream) {
        const char *at = strstr(r->p, "\"output_sha256\":");
        return at ? strndup(at, 90) : strdup(r->p);
    }
    json_t *o = body_json(r), *parts = json_array(), *choices = json_object_get(o, "choices");
    for (size_t i = 0; i < json_array_size(choices); i++) /* ids of calls are new each time */
        json_array_append(parts, json_array_get(choices, i));
    json_array_append(parts, json_object_get(json_object_get(o, "samsvar"), "output_sha256"));
    char *text = json_dumps(parts, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(parts);
    json_decref(o);
    return text;
}

static void ask_and_leave(const kind *k, uint32_t wait_ms)
{
    int fd = dial();
    post_start(fd, k->path, sv_str_of(k->body), "");
    poll(NULL, 0, (int)wait_ms);
    close(fd);
    __atomic_add_fetch(&n_left, 1, __ATOMIC_RELAXED);
}

static void *client(void *arg)
{
    uint32_t end = (uint32_t)(uintptr_t)arg;
    for (;;) {
        uint32_t i = __atomic_fetch_add(&next_request, 1, __ATOMIC_RELAXED);
        if (i >= end)
            return NULL;
        const kind *k = &kinds[draw(3, i, N_KIND)];
        if (draw(4, i, 9) == 0) {
            ask_and_leave(k, draw(5, i, 20));
            continue;
        }
        sv_bytes r = { 0 };
        int status = post(k->path, k->body, &r);
        char *got = status == 200 ? part_of(k, &r) : strdup(r.p);
        if (strcmp(got, k->alone) != 0) {
            __atomic_add_fetch(&n_wrong, 1, __ATOMIC_RELAXED);
            fprintf(stderr, "%s\n  got   %.700s\n  alone %.700s\n", k->body, got, k->alone);
        }
        free(got);
        sv_bytes_done(&r);
    }
}

static void run_load(uint32_t n_client, uint32_t until)
{
    pthread_t thread[MOST_CLIENTS];
    for (uint32_t i = 0; i < n_client; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, client, (void *)(uintptr_t)until), 0);
    for (uint32_t i = 0; i < n_client; i++)
        pthread_join(thread[i], NULL);
    __atomic_store_n(&next_request, until, __ATOMIC_RELAXED);
}

static int solo_setup(void **state)
{
    (void)state;
    const char *n = getenv("SAMSVAR_NEIGHBOURS");
    n_total = n ? (uint32_t)atoi(n) : 500;
    max_queue = 512;
    engine_opts = (sv_engine_opts){ .chip = "cpu:scalar", .machine = { .n_thread = 1 }, .max_running = 1 };
    make_kinds();
    start_server(NULL);
    for (uint32_t i = 0; i < N_KIND; i++) {
        sv_bytes r = { 0 };
        if (post(kinds[i].path, kinds[i].body, &r) != 200)
            fail_msg("%s: %.400s", kinds[i].body, r.p);
        kinds[i].alone = part_of(&kinds[i], &r);
        sv_bytes_done(&r);
    }
    stop_server();
    return 0;
}

static int solo_teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_KIND; i++)
        free(kinds[i].alone);
    return 0;
}

static void test_no_answer_depends_on_the_neighbours(void **state)
{
    (void)state;
    static const sv_engine_opts config[] = {
        { .chip = "cpu", .machine = { .n_thread = 1 }, .max_running = 16, .chunk = 16, .prefix = true },
        { .chip = "cpu", .machine = { .n_thread = 2 }, .max_running = 64, .chunk = 256 },
        { .chip = "cpu", .machine = { .n_thread = 7 }, .max_running = 8, .n_page = 7, .chunk = 7, .prefix = true },
        { .chip = "cpu:scalar",
          .machine = { .n_thread = 2 },
          .max_running = 5,
          .n_page = 16,
          .chunk = 33,
          .prefix = true },
        { .chip = "cpu", .machine = { .n_thread = 3 }, .max_running = 64, .n_page = 60, .chunk = 1, .prefix = true },
    };
    static const uint32_t load[] = { 1, 3, 8, 24, 64 };
    uint64_t preempted = 0, hit = 0;
    uint32_t step = n_total / 25 ? n_total / 25 : 1, until = 0;
    for (uint32_t i = 0; until < n_total; i++) {
        engine_opts = config[i % 5];
        start_server(NULL);
        for (uint32_t l = 0; l < 5 && until < n_total; l++) {
            until += step;
            run_load(load[(l + i) % 5], until);
        }
        assert_true(all_pages_free());
        sv_serve_stop(server);
        sv_engine_counts n;
        sv_engine_count(engine, &n);
        preempted += n.n_preempted;
        hit += n.n_hit;
        assert_int_equal(sv_engine_free_pages(engine), n_free);
        sv_engine_close(engine);
        sv_model_close(model);
    }
    printf("%u requests, %u of them left, %llu preempted, %llu prompt tokens shared, %u answers changed\n", until,
           n_left, (unsigned long long)preempted, (unsigned long long)hit, n_wrong);
    assert_int_equal(n_wrong, 0);
    assert_true(hit > 0); /* how often a sequence is pushed out depends on the clock; test/law/engine.c forces it */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_answer_depends_on_the_neighbours) };
    return cmocka_run_group_tests(tests, solo_setup, solo_teardown);
}
