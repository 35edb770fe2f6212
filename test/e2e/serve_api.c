/* SPDX-License-Identifier: Apache-2.0
 * The server over loopback sockets, with a tiny random model: an answer is the same alone, among neighbours and as a
 * stream; hostile requests get a sentence and the server lives.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include "test/serve_run.h"

#define N_NEIGHBOUR 8

/* ---- the same answer ---- */

static void completion_body(int seed, bool stream, char *out, size_t cap)
{
    snprintf(out, cap,
             "{\"prompt\":\"the sum of %d and\",\"max_tokens\":24,\"temperature\":1,\"seed\":%d,\"ignore_eos\":true,"
             "\"logprobs\":2%s}",
             seed, seed, stream ? ",\"stream\":true" : "");
}

/* Text, log-probs and the hash of the ids. */
static char *answer_of(int seed)
{
    char body[256];
    sv_bytes r = { 0 };
    completion_body(seed, false, body, sizeof body);
    if (post("/v1/completions", body, &r) != 200)
        return strdup(r.p);
    json_t *o = body_json(&r), *parts = json_array();
    json_array_append(parts, json_object_get(o, "choices"));
    json_array_append_new(parts, json_string(text_at(o, "samsvar/output_sha256")));
    char *text = json_dumps(parts, JSON_COMPACT);
    json_decref(parts);
    json_decref(o);
    sv_bytes_done(&r);
    return text;
}

static void *ask_one(void *arg)
{
    return answer_of((int)(intptr_t)arg);
}

static void test_an_answer_is_the_same_alone_and_among_neighbours(void **state)
{
    (void)state;
    char *alone[N_NEIGHBOUR];
    for (int i = 0; i < N_NEIGHBOUR; i++)
        alone[i] = answer_of(i);
    assert_non_null(strstr(alone[0], "token_logprobs"));
    for (int round = 0; round < 3; round++) {
        pthread_t thread[N_NEIGHBOUR];
        for (int i = 0; i < N_NEIGHBOUR; i++)
            pthread_create(&thread[i], NULL, ask_one, (void *)(intptr_t)i);
        for (int i = 0; i < N_NEIGHBOUR; i++) {
            void *together;
            pthread_join(thread[i], &together);
            assert_string_equal(together, alone[i]);
            free(together);
        }
    }
    for (int i = 0; i < N_NEIGHBOUR; i++)
        free(alone[i]);
}

/* Joins the text of a stream's chunks; chunked framing is taken off. */
static void stream_text(const char *body, sv_bytes *text, sv_bytes *hash, int *n_done)
{
    json_error_t e;
    for (const char *p = strstr(body, "data: "); p != NULL; p = strstr(p + 6, "data: ")) {
        const char *end = strstr(p, "\n\n");
        assert_non_null(end);
        if (strncmp(p, "data: [DONE]", 12) == 0) {
            (*n_done)++;
            continue;
        }
        json_t *o = json_loadb(p + 6, (size_t)(end - p - 6), 0, &e);
        if (o == NULL)
            fail_msg("a chunk is no JSON: %.200s", p);
        const char *t = text_at(o, "choices/0/text"), *h = text_at(o, "samsvar/output_sha256");
        sv_bytes_text(text, t ? t : "");
        sv_bytes_text(hash, h ? h : "");
        json_decref(o);
    }
}

/* HTTP/1.0, so that no chunk sizes stand between the events. */
static void test_a_stream_says_what_a_whole_reply_says(void **state)
{
    (void)state;
    char body[256];
    sv_bytes whole = { 0 }, stream = { 0 }, text = { 0 }, hash = { 0 }, q = { 0 };
    int n_done = 0;
    completion_body(3, false, body, sizeof body);
    assert_int_equal(post("/v1/completions", body, &whole), 200);
    completion_body(3, true, body, sizeof body);
    sv_bytes_printf(&q,
                    "POST /v1/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n\r\n%s",
                    strlen(body), body);
    assert_int_equal(raw(q.p, &stream), 200);
    stream_text(stream.p, &text, &hash, &n_done);
    json_t *o = body_json(&whole);
    assert_string_equal(text.p, text_at(o, "choices/0/text"));
    assert_string_equal(hash.p, text_at(o, "samsvar/output_sha256"));
    assert_int_equal(n_done, 1);
    json_decref(o);
    sv_bytes_done(&whole);
    sv_bytes_done(&stream);
    sv_bytes_done(&text);
    sv_bytes_done(&hash);
    sv_bytes_done(&q);
}

static void test_choice_0_of_n_is_the_answer_alone(void **state)
{
    (void)state;
    sv_bytes one = { 0 }, three = { 0 };
    const char *body = "{\"prompt\":\"abc\",\"max_tokens\":12,\"seed\":5,\"temperature\":1,\"ignore_eos\":true%s}";
    char q[256];
    snprintf(q, sizeof q, body, "");
    assert_int_equal(post("/v1/completions", q, &one), 200);
    snprintf(q, sizeof q, body, ",\"n\":3");
    assert_int_equal(post("/v1/completions", q, &three), 200);
    json_t *a = body_json(&one), *b = body_json(&three);
    assert_int_equal(json_array_size(json_object_get(b, "choices")), 3);
    char *first = strdup(text_at(a, "choices/0/text"));
    assert_string_equal(first, text_at(b, "choices/0/text"));
    assert_string_not_equal(first, text_at(b, "choices/1/text"));
    free(first);
    json_decref(a);
    json_decref(b);
    sv_bytes_done(&one);
    sv_bytes_done(&three);
}

static char *chat_text(const char *messages)
{
    sv_bytes q = { 0 }, r = { 0 };
    sv_bytes_printf(&q, "{\"messages\":%s,\"max_tokens\":8,\"seed\":1,\"ignore_eos\":true}", messages);
    if (post("/v1/chat/completions", q.p, &r) != 200)
        fail_msg("%.400s", r.p);
    json_t *o = body_json(&r);
    char *text = strdup(text_at(o, "samsvar/prompt_sha256"));
    assert_string_equal(text_at(o, "choices/0/message/role"), "assistant");
    assert_string_equal(text_at(o, "choices/0/finish_reason"), "length");
    json_decref(o);
    sv_bytes_done(&q);
    sv_bytes_done(&r);
    return text;
}

static void test_messages_of_one_meaning_are_one_prompt(void **state)
{
    (void)state;
    static const char *const same[] = {
        "[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"ab\"}]",
        "[{\"role\":\"developer\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"ab\"}]",
        "[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"be \"},{\"type\":\"text\",\"text\":"
        "\"brief\"}]},{\"role\":\"user\",\"content\":\"ab\"}]",
    };
    char *first = chat_text(same[0]);
    for (int i = 1; i < 3; i++) {
        char *other = chat_text(same[i]);
        assert_string_equal(first, other);
        free(other);
    }
    char *plain = chat_text("[{\"role\":\"user\",\"content\":\"<|im_end|>\"}]");
    assert_string_not_equal(first, plain);
    free(plain);
    free(first);
}

/* ---- refusals ---- */

static void assert_refused(const char *path, sv_str body, int status, const char *words)
{
    sv_bytes r = { 0 };
    int found = post_bytes(path, body, &r);
    if (found != status || strstr(r.p, words) == NULL)
        fail_msg("%.100s: expected %d and \"%s\", found %d: %.600s", body.p, status, words, found, r.p);
    json_t *o = body_json(&r);
    assert_true(strlen(text_at(o, "error/message")) > 10);
    json_decref(o);
    sv_bytes_done(&r);
}

static void test_a_wrong_field_is_named_with_what_is_allowed(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        { "\"temperature\":2.5", "numbers from 0 to 2" },
        { "\"temperature\":\"hot\"", "temperature is the text" },
        { "\"top_p\":0", "top_p" },
        { "\"top_k\":-2", "top_k" },
        { "\"min_p\":1", "min_p" },
        { "\"seed\":1.5", "seed" },
        { "\"n\":1000000000", "from 1 to 16" },
        { "\"n\":0", "from 1 to 16" },
        { "\"max_tokens\":0", "max_tokens" },
        { "\"max_tokens\":-1", "max_tokens" },
        { "\"max_tokens\":1e9", "max_tokens" },
        { "\"stop\":\"\"", "1 to 256 bytes" },
        { "\"stop\":{}", "stop is an object" },
        { "\"logprobs\":21", "from 0 to 20" },
        { "\"stream\":\"yes\"", "true, false" },
        { "\"stream_options\":{\"x\":1}", "include_usage" },
        { "\"frequency_penalty\":[]", "frequency_penalty is a list" },
        { "\"model\":\"other\"", "there is tiny" },
        { "\"model\":7", "model is 7" },
        { "\"logit_bias\":{\"1\":500}", "logit_bias" },
        { "\"response_format\":{\"type\":\"json\"}", "response_format" },
        { "\"suffix\":\"x\"", "suffix" },
        { "\"best_of\":4", "best_of" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"prompt\":\"a\",%s}", wrong[i][0]);
        assert_refused("/v1/completions", sv_str_of(body), strstr(wrong[i][1], "there is") ? 404 : 400, wrong[i][1]);
    }
    assert_refused("/v1/completions", SV_STR("{}"), 400, "prompt is missing");
    assert_refused("/v1/completions", SV_STR("{\"prompt\":[99999999]}"), 400, "prompt[0]");
    assert_refused("/v1/completions", SV_STR("{\"prompt\":\"\"}"), 400, "no token");
    assert_refused("/v1/completions", SV_STR("[]"), 400, "a JSON object");
    assert_refused("/v1/completions", SV_STR("{"), 400, "the body:1");
    assert_refused("/v1/chat/completions", SV_STR("{\"messages\":[]}"), 400, "1 to 4,096");
    assert_refused("/v1/chat/completions", SV_STR("{\"messages\":[{\"role\":\"boss\",\"content\":\"x\"}]}"), 400,
                   "messages[0].role");
    assert_refused("/v1/chat/completions",
                   SV_STR("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}"), 400,
                   "content[0]");
    assert_refused("/tokenize", SV_STR("{}"), 400, "content is missing");
    assert_refused("/detokenize", SV_STR("{\"tokens\":[-1]}"), 400, "tokens[0]");
    assert_lives();
}

static void test_hostile_bodies_get_a_sentence(void **state)
{
    (void)state;
    sv_bytes deep = { 0 };
    sv_bytes_text(&deep, "{\"prompt\":");
    for (int i = 0; i < 60000; i++)
        sv_bytes_char(&deep, '[');
    assert_refused("/v1/completions", (sv_str){ deep.p, deep.n }, 400, "nested deeper than 64");
    sv_bytes_done(&deep);
    assert_refused("/v1/completions", SV_STR("{\"prompt\":\"\xff\xfe\"}"), 400, "not UTF-8");
    assert_refused("/v1/completions", SV_STR("{\"prompt\":\"a\0b\"}"), 400, "NUL");
    assert_refused("/v1/completions", SV_STR("{\"prompt\":\"a\",\"prompt\":\"b\"}"), 400, "duplicate");
    assert_refused("/v1/completions", SV_STR("{\"prompt\":\"a\",\"temperature\":1e999}"), 400, "the body");
    assert_lives();
}

static void test_ambiguous_or_huge_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
    } bad[] = {
        { "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: "
          "chunked\r\n\r\n{}",
          400 },
        { "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
        { "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403 },
        { "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413 },
        { "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: "
          "2\r\nConnection: close\r\n\r\n{}",
          415 },
        { "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404 },
        { "GET /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405 },
    };
    sv_bytes r = { 0 }, huge = { 0 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int found = raw(bad[i].request, &r);
        if (found != bad[i].status)
            fail_msg("%.120s: expected %d, found %d", bad[i].request, bad[i].status, found);
    }
    sv_bytes_text(&huge, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ");
    for (int i = 0; i < 200000; i++)
        sv_bytes_char(&huge, 'x');
    sv_bytes_text(&huge, "\r\n\r\n");
    raw(huge.p, &r); /* refused or cut off */
    assert_true(status_of(&r) == 0 || status_of(&r) == 431);
    sv_bytes_done(&r);
    sv_bytes_done(&huge);
    assert_lives();
}

/* ---- clients that go ---- */

static void test_a_client_that_leaves_gives_its_pages_back(void **state)
{
    (void)state;
    const char *body[] = { "{\"prompt\":\"abc\",\"ignore_eos\":true}",
                           "{\"prompt\":\"abc\",\"ignore_eos\":true,\"stream\":true}" };
    for (int i = 0; i < 12; i++) {
        int fd = dial();
        char c;
        post_start(fd, "/v1/completions", sv_str_of(body[i % 2]), "");
        if (i % 2)
            assert_int_equal(recv(fd, &c, 1, 0), 1);
        close(fd);
    }
    assert_true(all_pages_free());
    assert_lives();
}

static void test_a_beginning_that_is_there_is_told_and_counted(void **state)
{
    (void)state;
    const char *body = "{\"prompt\":\"%s ab\",\"max_tokens\":4,\"temperature\":0%s}";
    char words[200] = "", q[400];
    for (int i = 0; i < 20; i++)
        strcat(words, "the sum ");
    sv_bytes r = { 0 };
    json_int_t cached[2];
    char *text[2];
    for (int i = 0; i < 2; i++) {
        snprintf(q, sizeof q, body, words, i ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : "");
        if (i == 1)
            assert_int_equal(post("/v1/completions", q, &r), 200);
        snprintf(q, sizeof q, body, words, "");
        assert_int_equal(post("/v1/completions", q, &r), 200);
        json_t *o = body_json(&r), *u = json_object_get(o, "usage");
        cached[i] = json_integer_value(json_object_get(json_object_get(u, "prompt_tokens_details"), "cached_tokens"));
        assert_int_equal(json_integer_value(json_object_get(u, "prompt_cache_hit_tokens")), cached[i]);
        text[i] = strdup(text_at(o, "samsvar/output_sha256"));
        json_decref(o);
    }
    assert_int_equal(cached[0], 0);
    assert_true(cached[1] >= 32 && cached[1] % 32 == 0);
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
    assert_int_equal(raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 200);
    const char *name = "\nvllm:prefix_cache_hits_total{model_name=\"tiny\"} ", *at = strstr(r.p, name);
    assert_non_null(at);
    assert_true(strtod(at + strlen(name), NULL) >= (double)(2 * cached[1]));
    sv_bytes_done(&r);
}

static void test_above_the_queue_comes_429_and_nothing_breaks(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    assert_int_equal(post("/v1/completions", "{\"prompt\":\"a\",\"n\":16,\"max_tokens\":2}", &r), 200);
    int fd = dial();
    post_start(fd, "/v1/completions", SV_STR("{\"prompt\":\"abc\",\"n\":16,\"ignore_eos\":true,\"stream\":true}"), "");
    char c;
    assert_int_equal(recv(fd, &c, 1, 0), 1);
    int status = post("/v1/completions", "{\"prompt\":\"a\",\"n\":2,\"max_tokens\":2}", &r);
    assert_true(status == 429 ? strstr(r.p, "Retry-After") != NULL : status == 200);
    close(fd);
    assert_true(all_pages_free());
    sv_bytes_done(&r);
}

/* ---- keys, page, metrics ---- */

static void test_the_page_and_the_metrics_are_there(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    assert_int_equal(raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 200);
    assert_non_null(strstr(r.p, "Content-Security-Policy: default-src 'none'; script-src 'self'"));
    assert_null(strstr(r.p, "http://"));
    assert_null(strstr(r.p, "https://"));
    assert_int_equal(raw("GET /page.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 200);
    assert_null(strstr(r.p, "innerHTML"));
    assert_int_equal(raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 200);
    assert_non_null(strstr(r.p, "\nvllm:num_requests_running{model_name=\"tiny\"}"));
    sv_bytes_done(&r);
}

static void test_with_keys_only_their_holders_are_answered(void **state)
{
    (void)state;
    char path[] = "/tmp/samsvar-keys-XXXXXX";
    sv_bytes r = { 0 };
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "# one\nsecret-key-1\nsecret-key-2\n", 32) == 32);
    close(fd);
    chmod(path, 0644);
    sv_serve *refused;
    sv_serve_opts so = { .id = "x", .api_keys = path };
    assert_int_equal(sv_serve_start(&so, &refused), SV_E_ARG);
    chmod(path, 0600);
    so.host = "0.0.0.0";
    assert_int_equal(sv_serve_start(&so, &refused), SV_E_ARG); /* keys would travel in the open */
    so.api_keys = NULL;
    so.behind_proxy = true;
    assert_int_equal(sv_serve_start(&so, &refused), SV_E_ARG); /* no keys */
    stop_server();
    start_server(path);
    const char *ask = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n";
    char q[256];
    snprintf(q, sizeof q, ask, "");
    assert_int_equal(raw(q, &r), 401);
    snprintf(q, sizeof q, ask, "Authorization: Bearer secret-key-3\r\n");
    assert_int_equal(raw(q, &r), 401);
    snprintf(q, sizeof q, ask, "Authorization: Bearer secret-key-2\r\n");
    assert_int_equal(raw(q, &r), 200);
    assert_lives();
    unlink(path);
    sv_bytes_done(&r);
}

static void test_drained_the_server_finishes_what_runs_and_takes_no_more(void **state)
{
    (void)state;
    sv_bytes r = { 0 }, late = { 0 };
    int fd = dial();
    char c;
    post_start(fd, "/v1/completions",
               SV_STR("{\"prompt\":\"abc\",\"ignore_eos\":true,\"max_tokens\":20,\"stream\":true}"),
               "Authorization: Bearer secret-key-1\r\n");
    assert_int_equal(recv(fd, &c, 1, 0), 1);
    assert_true(sv_serve_drain(server, 30));
    hear(fd, &r);
    assert_non_null(strstr(r.p, "[DONE]"));
    assert_int_equal(raw("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &late), 503);
    sv_bytes_done(&r);
    sv_bytes_done(&late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_the_same_alone_and_among_neighbours),
        cmocka_unit_test(test_a_stream_says_what_a_whole_reply_says),
        cmocka_unit_test(test_choice_0_of_n_is_the_answer_alone),
        cmocka_unit_test(test_messages_of_one_meaning_are_one_prompt),
        cmocka_unit_test(test_a_wrong_field_is_named_with_what_is_allowed),
        cmocka_unit_test(test_hostile_bodies_get_a_sentence),
        cmocka_unit_test(test_ambiguous_or_huge_requests_are_refused),
        cmocka_unit_test(test_a_client_that_leaves_gives_its_pages_back),
        cmocka_unit_test(test_a_beginning_that_is_there_is_told_and_counted),
        cmocka_unit_test(test_above_the_queue_comes_429_and_nothing_breaks),
        cmocka_unit_test(test_the_page_and_the_metrics_are_there),
        cmocka_unit_test(test_with_keys_only_their_holders_are_answered),
        cmocka_unit_test(test_drained_the_server_finishes_what_runs_and_takes_no_more),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
