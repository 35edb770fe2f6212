/* SPDX-License-Identifier: Apache-2.0
 * Requests that mean harm or are merely wrong: every field with every type, bodies without end, clients that vanish.
 * Each gets an answer or a sentence, and the server is as it was.
 */
#include "test/serve_run.h"

static const char *const values[] = {
    "7",      "-1", "1e99", "\"x\"", "\"\"",   "[]",           "[7]",
    "[[[]]]", "{}", "true", "null",  "[null]", "{\"type\":7}", "{\"type\":\"json_schema\"}",
    "[{}]"
};

static void try_fields(const char *path, const char *rest, const char *const *field, size_t n)
{
    char body[400];
    sv_bytes r = { 0 };
    for (size_t f = 0; f < n; f++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            bool own = strstr(rest, field[f]) != NULL; /* it would stand there twice */
            snprintf(body, sizeof body, "{\"%s\":%s%s%s}", field[f], values[v], own ? "" : ",", own ? "" : rest);
            int status = post(path, body, &r);
            if (status != 200 && status != 400 && status != 404)
                fail_msg("%s %s: %d %.300s", path, body, status, r.p);
            json_decref(body_json(&r));
        }
    sv_bytes_done(&r);
    assert_lives();
}

static void test_every_field_with_every_type_gets_an_answer_or_a_sentence(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "model",
        "messages",
        "prompt",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "parallel_tool_calls",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "logprobs",
        "top_logprobs",
        "n",
        "best_of",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
        "chat_template_kwargs",
        "enable_thinking",
        "thinking",
        "thinking_budget",
        "budget_message",
        "reasoning_effort",
        "reasoning_format",
        "response_format",
        "ignore_eos",
        "echo",
        "include_stop_str_in_output",
        "stream_options",
        "continue_final_message",
        "input",
        "instructions",
        "text",
        "reasoning",
        "max_output_tokens",
        "previous_response_id",
        "metadata",
        "user",
        "unknown",
    };
    size_t n = sizeof fields / sizeof *fields;
    try_fields("/v1/completions", "\"prompt\":\"a\",\"max_tokens\":2", fields, n);
    try_fields("/v1/chat/completions", "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":2", fields,
               n);
    try_fields("/v1/responses", "\"input\":\"a\",\"max_output_tokens\":2", fields, n);
    assert_true(all_pages_free());
}

static void test_a_chunked_body_above_the_limit_is_413(void **state)
{
    (void)state;
    sv_bytes r = { 0 }, chunk = { 0 };
    int fd = dial();
    const char *head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
                       "application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    say(fd, head, strlen(head));
    sv_bytes_text(&chunk, "10000\r\n");
    for (int i = 0; i < 0x10000; i++)
        sv_bytes_char(&chunk, ' ');
    sv_bytes_text(&chunk, "\r\n");
    for (int i = 0; i < 40; i++) /* 2.5 MiB; 1 MiB is allowed */
        say(fd, chunk.p, chunk.n);
    say(fd, "0\r\n\r\n", 5);
    hear(fd, &r);
    int status = status_of(&r);
    assert_true(status == 413 || status == 0); /* 0: it was cut off before it had sent all */
    sv_bytes_done(&r);
    sv_bytes_done(&chunk);
    assert_lives();
}

static void test_clients_that_vanish_leave_nothing(void **state)
{
    (void)state;
    static const char *const body[] = {
        "{\"prompt\":[\"a\",\"b\",\"c\"],\"ignore_eos\":true,\"n\":2}",
        "{\"prompt\":\"a\",\"ignore_eos\":true,\"stream\":true,\"logprobs\":5,\"echo\":true}",
        "{\"prompt\":\"a\",\"max_tokens\":200,\"stream\":true,\"response_format\":{\"type\":\"json_object\"}}",
    };
    for (int i = 0; i < 30; i++) {
        int fd = dial();
        char c;
        post_start(fd, "/v1/completions", sv_str_of(body[i % 3]), "");
        if (i % 3)
            assert_true(recv(fd, &c, 1, 0) >= 0);
        close(fd);
        if (i % 6 == 5)
            assert_true(all_pages_free());
    }
    assert_true(all_pages_free());
    assert_lives();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_with_every_type_gets_an_answer_or_a_sentence),
        cmocka_unit_test(test_a_chunked_body_above_the_limit_is_413),
        cmocka_unit_test(test_clients_that_vanish_leave_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
