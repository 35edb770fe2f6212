/* SPDX-License-Identifier: Apache-2.0
 * Forms of answers over the wire: JSON, schemas and forced tool calls from a model that would write noise, streamed or
 * not; biases, budgets of thoughts, several prompts, echoes with log-probs; /v1/responses.
 */
#include "infer/sample.h"
#include "test/serve_run.h"

static char folder[] = "/tmp/samsvar-forms-XXXXXX";

/* The tiny model with a longer context and a template that knows tools and thoughts. */
static void write_model(void)
{
    static const char *const same[] = { "generation_config.json", "model.safetensors", "tokenizer.json" };
    static const char template[] =
        "{%- if tools %}{{ '<|im_start|>tools\\n' }}{%- for t in tools %}{{ t.function.name }}{%- endfor %}{{ "
        "'<|im_end|>\\n' }}{%- endif %}{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{%- if "
        "m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}{{ m.content "
        "}}{%- for c in m.tool_calls %}{{ '<tool_call>\\n{\"name\": \"' + c.function.name + '\", \"arguments\": ' "
        "}}{%- "
        "if c.function.arguments is string %}{{ c.function.arguments }}{%- else %}{{ c.function.arguments | tojson "
        "}}{%- endif %}{{ '}\\n</tool_call>' }}{%- endfor %}{{ '<|im_end|>\\n' }}{%- endfor %}{%- if "
        "add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking "
        "%}{{ '<think>\\n' }}{%- else %}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}";
    char to[300], from[300], here[200];
    json_error_t e;
    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(here, sizeof here));
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/%s/%s", here, MODEL, same[i]);
        snprintf(to, sizeof to, "%s/%s", folder, same[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    json_t *o = json_load_file(MODEL "/config.json", 0, &e);
    json_object_set_new(o, "max_position_embeddings", json_integer(2048));
    snprintf(to, sizeof to, "%s/config.json", folder);
    assert_int_equal(json_dump_file(o, to, 0), 0);
    json_decref(o);
    o = json_load_file(MODEL "/tokenizer_config.json", 0, &e);
    json_object_set_new(o, "chat_template", json_string(template));
    snprintf(to, sizeof to, "%s/tokenizer_config.json", folder);
    assert_int_equal(json_dump_file(o, to, 0), 0);
    json_decref(o);
}

static int forms_setup(void **state)
{
    write_model();
    model_path = folder;
    return setup(state);
}

static int forms_teardown(void **state)
{
    char command[300];
    teardown(state);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static json_t *ask(const char *path, const char *body)
{
    sv_bytes r = { 0 };
    if (post(path, body, &r) != 200)
        fail_msg("%.200s: %.600s", body, r.p);
    json_t *o = body_json(&r);
    sv_bytes_done(&r);
    return o;
}

/* A stream's deltas put together: content, reasoning, calls (name and arguments), the last finish reason. */
typedef struct heard {
    sv_bytes content, reasoning, call[4];
    char finish[32];
    uint32_t n_call;
} heard;

static void add_text(sv_bytes *b, const json_t *v)
{
    if (json_is_string(v))
        sv_bytes_add(b, json_string_value(v), json_string_length(v));
}

static void hear_stream(const char *body, heard *h)
{
    sv_bytes r = { 0 };
    *h = (heard){ 0 };
    if (post("/v1/chat/completions", body, &r) != 200)
        fail_msg("%.200s: %.600s", body, r.p);
    for (char *at = strstr(r.p, "data: {"); at != NULL; at = strstr(at + 1, "data: {")) {
        json_error_t e;
        json_t *o = json_loads(at + 6, JSON_DISABLE_EOF_CHECK, &e);
        json_t *choice = json_array_get(json_object_get(o, "choices"), 0), *d = json_object_get(choice, "delta");
        assert_non_null(o);
        add_text(&h->content, json_object_get(d, "content"));
        add_text(&h->reasoning, json_object_get(d, "reasoning_content"));
        json_t *call = json_array_get(json_object_get(d, "tool_calls"), 0);
        if (call != NULL) {
            size_t i = (size_t)json_integer_value(json_object_get(call, "index"));
            assert_true(i < 4);
            h->n_call = (uint32_t)i + 1;
            add_text(&h->call[i], json_object_get(json_object_get(call, "function"), "name"));
            add_text(&h->call[i], json_object_get(json_object_get(call, "function"), "arguments"));
        }
        if (json_is_string(json_object_get(choice, "finish_reason")))
            snprintf(h->finish, sizeof h->finish, "%s", json_string_value(json_object_get(choice, "finish_reason")));
        json_decref(o);
    }
    assert_non_null(strstr(r.p, "data: [DONE]"));
    sv_bytes_done(&r);
}

static void heard_done(heard *h)
{
    sv_bytes_done(&h->content);
    sv_bytes_done(&h->reasoning);
    for (int i = 0; i < 4; i++)
        sv_bytes_done(&h->call[i]);
}

#define SCHEMA \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"enum\":[\"Oslo\",\"Rome\"]},\"ok\":{\"type\":\"boolean\"}," \
    "\"n\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}},\"required\":[" \
    "\"city\"," \
    "\"ok\",\"n\"],\"additionalProperties\":false}"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"the sum\"}]"

static json_t *parsed(const char *text)
{
    json_error_t e;
    json_t *o = text ? json_loads(text, 0, &e) : NULL;
    if (o == NULL)
        fail_msg("no JSON: %s", text ? text : "(null)");
    return o;
}

static void test_a_schema_holds_at_any_temperature_and_choice(void **state)
{
    (void)state;
    char body[900];
    for (int seed = 0; seed < 6; seed++) {
        snprintf(body, sizeof body,
                 "{" USER
                 ",\"max_tokens\":400,\"temperature\":%s,\"seed\":%d,\"n\":2,\"logprobs\":true,\"response_format\":"
                 "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":" SCHEMA "}}}",
                 seed % 2 ? "1.5" : "0", seed);
        json_t *o = ask("/v1/chat/completions", body);
        for (int i = 0; i < 2; i++) {
            char path[60];
            snprintf(path, sizeof path, "choices/%d/finish_reason", i);
            assert_string_equal(text_at(o, path), "stop");
            snprintf(path, sizeof path, "choices/%d/message/content", i);
            json_t *v = parsed(text_at(o, path));
            assert_true(strcmp(text_at(v, "city"), "Oslo") == 0 || strcmp(text_at(v, "city"), "Rome") == 0);
            assert_true(json_is_boolean(json_object_get(v, "ok")));
            size_t n = json_array_size(json_object_get(v, "n"));
            assert_true(n >= 2 && n <= 3 && json_object_size(v) == 3);
            json_decref(v);
        }
        char *whole = strdup(text_at(o, "choices/0/message/content"));
        json_decref(o);
        snprintf(body + strlen(body) - 1, 40, ",\"stream\":true,\"n\":1}");
        char *two = strstr(body, "\"n\":2,"); /* the first choice is the answer alone */
        memmove(two, two + 6, strlen(two + 6) + 1);
        heard h;
        hear_stream(body, &h);
        assert_string_equal(h.content.p, whole);
        heard_done(&h);
        free(whole);
    }
    assert_true(all_pages_free());
}

static void test_a_json_object_parses_unless_its_length_cuts_it(void **state)
{
    (void)state;
    char body[500];
    uint32_t n_whole = 0;
    for (int seed = 0; seed < 12; seed++) {
        snprintf(body, sizeof body,
                 "{" USER ",\"max_tokens\":300,\"temperature\":1.2,\"seed\":%d,\"response_format\":{\"type\":"
                 "\"json_object\"}}",
                 seed);
        json_t *o = ask("/v1/chat/completions", body);
        const char *text = text_at(o, "choices/0/message/content");
        assert_int_equal(text[0], '{');
        if (strcmp(text_at(o, "choices/0/finish_reason"), "stop") == 0) {
            json_decref(parsed(text));
            n_whole++;
        }
        json_decref(o);
    }
    assert_true(n_whole > 0);
}

#define TOOLS \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":" SCHEMA "}},{\"type\":" \
    "\"function\",\"function\":{\"name\":\"clock\"}}]"

static void test_a_forced_call_is_a_call(void **state)
{
    (void)state;
    static const char *const choice[] = { "\"required\"",
                                          "{\"type\":\"function\",\"function\":{\"name\":\"weather\"}}" };
    char body[1600];
    for (int i = 0; i < 6; i++) {
        snprintf(body, sizeof body,
                 "{" USER "," TOOLS ",\"tool_choice\":%s,\"parallel_tool_calls\":false,\"max_tokens\":500,\"seed\":%d,"
                 "\"temperature\":1}",
                 choice[i % 2], i);
        json_t *o = ask("/v1/chat/completions", body);
        bool cut = strcmp(text_at(o, "choices/0/finish_reason"), "length") == 0;
        if (i % 2)
            assert_false(cut);
        if (!cut) {
            assert_string_equal(text_at(o, "choices/0/finish_reason"), "tool_calls");
            assert_null(text_at(o, "choices/0/message/content"));
            const char *name = text_at(o, "choices/0/message/tool_calls/0/function/name");
            const char *argument = text_at(o, "choices/0/message/tool_calls/0/function/arguments");
            json_decref(parsed(argument));
            assert_true(strncmp(text_at(o, "choices/0/message/tool_calls/0/id"), "call_", 5) == 0);
            if (i % 2)
                assert_string_equal(name, "weather");
            snprintf(body + strlen(body) - 1, 30, ",\"stream\":true}");
            heard h;
            hear_stream(body, &h);
            assert_int_equal(h.n_call, 1);
            assert_string_equal(h.finish, "tool_calls");
            assert_true(strncmp(h.call[0].p, name, strlen(name)) == 0);
            assert_string_equal(h.call[0].p + strlen(name), argument);
            heard_done(&h);
        }
        json_decref(o);
    }
}

static uint32_t id_of(const char *piece)
{
    uint32_t id = 0;
    while (!sv_str_is(sv_tokenizer_piece(model->tokenizer, id), piece))
        assert_true(++id < sv_tokenizer_count(model->tokenizer));
    return id;
}

static char *biased(uint32_t id, int by, const char *how)
{
    char body[200];
    snprintf(body, sizeof body, "{\"prompt\":\"ab\",\"max_tokens\":6,%s,\"logit_bias\":{\"%u\":%d}}", how, id, by);
    json_t *o = ask("/v1/completions", body);
    char *text = strdup(text_at(o, "choices/0/text"));
    json_decref(o);
    return text;
}

static void test_a_bias_forbids_and_forces(void **state)
{
    (void)state;
    char *forced = biased(id_of("a"), 100, "\"temperature\":0"), *drawn = biased(id_of("a"), 100, "\"seed\":3");
    assert_string_equal(forced, "aaaaaa");
    assert_string_equal(drawn, "aaaaaa");
    char *forbidden = biased(id_of("a"), -100, "\"temperature\":2,\"seed\":1"),
         *none = biased(id_of("a"), 0, "\"temperature\":0");
    assert_null(strchr(forbidden, 'a'));
    json_t *o = ask("/v1/completions", "{\"prompt\":\"ab\",\"max_tokens\":6,\"temperature\":0}");
    assert_string_equal(text_at(o, "choices/0/text"), none);
    json_decref(o);
    free(forced);
    free(drawn);
    free(forbidden);
    free(none);
}

/* The tiny vocabulary spells its marks in bytes, so a guide is what sees them; a budget needs a token. */
static void test_a_thought_comes_before_the_form(void **state)
{
    (void)state;
    json_t *o =
        ask("/v1/chat/completions",
            "{" USER ",\"enable_thinking\":true,\"max_tokens\":60,\"temperature\":1,\"seed\":1,\"response_format\":{"
            "\"type\":\"json_object\"}}");
    assert_string_equal(text_at(o, "choices/0/finish_reason"), "length");
    assert_null(text_at(o, "choices/0/message/content"));
    assert_non_null(text_at(o, "choices/0/message/reasoning_content"));
    json_decref(o);
}

static void test_several_prompts_are_answered_as_each_alone(void **state)
{
    (void)state;
    const char *each[] = { "\"ab\"", "\"the sum of\"", "[97,98,99]" };
    char body[300];
    json_t *all =
        ask("/v1/completions", "{\"prompt\":[\"ab\",\"the sum of\",[97,98,99]],\"max_tokens\":8,\"seed\":4,\"n\":2,"
                               "\"temperature\":1,\"logprobs\":1}");
    json_t *choices = json_object_get(all, "choices");
    assert_int_equal(json_array_size(choices), 6);
    for (int i = 0; i < 3; i++) {
        snprintf(body, sizeof body,
                 "{\"prompt\":%s,\"max_tokens\":8,\"seed\":4,\"n\":2,\"temperature\":1,\"logprobs\":1}", each[i]);
        json_t *one = ask("/v1/completions", body);
        for (int k = 0; k < 2; k++) {
            json_t *a = json_array_get(json_object_get(one, "choices"), (size_t)k),
                   *b = json_array_get(choices, (size_t)(2 * i + k));
            assert_int_equal(json_integer_value(json_object_get(b, "index")), 2 * i + k);
            json_object_del(a, "index");
            json_object_del(b, "index");
            assert_true(json_equal(a, b));
        }
        json_decref(one);
    }
    json_decref(all);
}

static void test_an_echo_tells_the_log_probs_of_the_prompt(void **state)
{
    (void)state;
    json_t *o = ask("/v1/completions",
                    "{\"prompt\":\"the sum of\",\"max_tokens\":5,\"temperature\":0,\"logprobs\":2,\"echo\":true}");
    json_t *lp = json_object_get(json_array_get(json_object_get(o, "choices"), 0), "logprobs");
    json_t *tokens = json_object_get(lp, "tokens"), *values = json_object_get(lp, "token_logprobs");
    json_int_t n = json_integer_value(json_object_get(json_object_get(o, "usage"), "prompt_tokens"));
    assert_int_equal(json_array_size(tokens), (size_t)n + 5);
    assert_true(json_is_null(json_array_get(values, 0)) &&
                json_is_null(json_array_get(json_object_get(lp, "top_logprobs"), 0)));
    for (size_t i = 1; i < json_array_size(values); i++)
        assert_true(json_is_real(json_array_get(values, i)));
    const char *text = text_at(o, "choices/0/text");
    assert_true(strncmp(text, "the sum of", 10) == 0);
    json_t *only = ask("/v1/completions", "{\"prompt\":\"the sum of\",\"max_tokens\":0,\"logprobs\":2,\"echo\":true}");
    json_t *short_lp = json_object_get(json_array_get(json_object_get(only, "choices"), 0), "logprobs");
    assert_string_equal(text_at(only, "choices/0/text"), "the sum of");
    json_t *fewer = json_object_get(short_lp, "token_logprobs");
    assert_int_equal(json_array_size(fewer), n);
    for (size_t i = 0; i < (size_t)n; i++)
        assert_true(json_equal(json_array_get(fewer, i), json_array_get(values, i)));
    json_decref(o);
    json_decref(only);
    o = ask("/v1/completions", "{\"prompt\":\"ab\",\"max_tokens\":0,\"echo\":true}");
    assert_string_equal(text_at(o, "choices/0/text"), "ab");
    json_decref(o);
}

static void test_calls_come_back_on_input(void **state)
{
    (void)state;
    static const char *const form[] = { "\"{\\\"city\\\": 1}\"", "{\"city\":1}" };
    char body[900], *first = NULL;
    for (int i = 0; i < 2; i++) {
        snprintf(body, sizeof body,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":null,\"tool_"
                 "calls\":"
                 "[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":%s}}]},{"
                 "\"role\":"
                 "\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"2\"}]}",
                 form[i]);
        json_t *o = ask("/apply-template", body);
        const char *text = text_at(o, "prompt");
        assert_non_null(
            strstr(text, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": 1}}\n</tool_call>"));
        if (first != NULL)
            assert_string_equal(first, text);
        free(first);
        first = strdup(text);
        json_decref(o);
    }
    free(first);
}

/* A client sends the call back in JSON of its own: the prompt has the bytes that the model wrote. */
static void test_calls_are_replayed_as_they_were_written(void **state)
{
    (void)state;
    static const char *const tail[] = { "exact", "rendered", "miss" };
    json_t *o =
        ask("/v1/chat/completions", "{" USER "," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
                                    "\"weather\"}},\"parallel_tool_calls\":false,\"max_tokens\":500,\"seed\":1}");
    const char *argument = text_at(o, "choices/0/message/tool_calls/0/function/arguments");
    json_t *v = parsed(argument);
    char *sha = NULL;
    for (int i = 0; i < 3; i++) {
        char id[64];
        snprintf(id, sizeof id, "%s", i == 2 ? "call_unknown" : text_at(o, "choices/0/message/tool_calls/0/id"));
        if (i == 1)
            json_object_set_new(v, "ok", json_string("changed"));
        char *other = json_dumps(v, JSON_INDENT(3));
        json_t *q = json_pack("{s:[{s:s, s:s}, {s:s, s:n, s:[{s:s, s:s, s:{s:s, s:s}}]}, {s:s, s:s, s:s}], s:i, s:i}",
                              "messages", "role", "user", "content", "the sum", "role", "assistant", "content",
                              "tool_calls", "id", id, "type", "function", "function", "name", "weather", "arguments",
                              other, "role", "tool", "tool_call_id", id, "content", "2", "max_tokens", 2, "seed", 1);
        char *text = json_dumps(q, 0);
        json_t *back = ask("/v1/chat/completions", text);
        assert_string_equal(text_at(back, "samsvar/replay"), tail[i]);
        if (i == 0)
            sha = strdup(text_at(back, "samsvar/prompt_sha256"));
        else
            assert_string_not_equal(sha, text_at(back, "samsvar/prompt_sha256"));
        json_decref(back);
        free(text);
        free(other);
        json_decref(q);
    }
    free(sha);
    json_decref(v);
    json_decref(o);
}

static void test_a_response_is_the_chat_in_items(void **state)
{
    (void)state;
    json_t *chat =
        ask("/v1/chat/completions", "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
                                    "\"content\":\"ab\"}],\"max_tokens\":12,\"temperature\":1,\"seed\":5}");
    json_t *o =
        ask("/v1/responses", "{\"instructions\":\"s\",\"input\":\"ab\",\"max_output_tokens\":12,\"temperature\":1,"
                             "\"seed\":5}");
    assert_string_equal(text_at(o, "object"), "response");
    assert_string_equal(text_at(o, "output/0/content/0/text"), text_at(chat, "choices/0/message/content"));
    assert_string_equal(text_at(o, "samsvar/output_sha256"), text_at(chat, "samsvar/output_sha256"));
    assert_string_equal(text_at(o, "status"),
                        strcmp(text_at(chat, "choices/0/finish_reason"), "length") == 0 ? "incomplete" : "completed");
    sv_bytes r = { 0 };
    assert_int_equal(post("/v1/responses",
                          "{\"instructions\":\"s\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
                          "\"input_text\",\"text\":\"ab\"}]}],\"max_output_tokens\":12,\"temperature\":1,"
                          "\"seed\":5,\"stream\":true}",
                          &r),
                     200);
    static const char *const order[] = { "response.created",           "response.in_progress",
                                         "response.output_item.added", "response.content_part.added",
                                         "response.output_text.delta", "response.output_text.done",
                                         "response.content_part.done", "response.output_item.done" };
    char *at = r.p;
    for (int i = 0; i < 8; i++) {
        char line[80];
        snprintf(line, sizeof line, "event: %s\n", order[i]);
        at = strstr(at, line);
        assert_non_null(at);
    }
    json_decref(chat);
    json_decref(o);
    o = ask("/v1/responses",
            "{\"input\":\"ab\",\"max_output_tokens\":300,\"seed\":2,\"tool_choice\":{\"type\":\"function\","
            "\"name\":\"weather\"},\"parallel_tool_calls\":false,\"tools\":[{\"type\":\"function\",\"name\":"
            "\"weather\",\"strict\":true,\"parameters\":" SCHEMA "}]}");
    assert_string_equal(text_at(o, "output/0/type"), "function_call");
    assert_string_equal(text_at(o, "output/0/name"), "weather");
    json_decref(parsed(text_at(o, "output/0/arguments")));
    json_decref(o);
    o = ask(
        "/v1/responses",
        "{\"input\":[{\"role\":\"user\",\"content\":\"ab\"},{\"type\":\"reasoning\",\"summary\":[],\"content\":[{"
        "\"type\":"
        "\"reasoning_text\",\"text\":\"hm\"}]},{\"type\":\"function_call\",\"call_id\":\"call_1\",\"name\":\"weather\","
        "\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"call_1\",\"output\":\"3\"}],"
        "\"max_output_tokens\":4}");
    assert_string_equal(text_at(o, "object"), "response");
    json_decref(o);
    sv_bytes_done(&r);
}

static void test_what_a_form_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char *const bad[][3] = {
        { "/v1/chat/completions", "\"response_format\":{\"type\":\"xml\"}", "response_format" },
        { "/v1/chat/completions", "\"response_format\":7", "response_format" },
        { "/v1/chat/completions", "\"response_format\":{\"type\":\"json_schema\"}", "json_schema" },
        { "/v1/chat/completions",
          "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"pattern\":\"a\"}}}",
          "pattern" },
        { "/v1/chat/completions", "\"tool_choice\":\"required\"", "tool_choice" },
        { "/v1/chat/completions", "\"tool_choice\":\"maybe\"", "tool_choice" },
        { "/v1/chat/completions", "\"tools\":[7]", "tools[0]" },
        { "/v1/chat/completions", "\"tools\":[{\"function\":{\"name\":\"a b\"}}]", "tools[0]" },
        { "/v1/chat/completions", "\"tools\":[{\"function\":{\"name\":\"a\"}},{\"function\":{\"name\":\"a\"}}]",
          "tools[1]" },
        { "/v1/chat/completions", "\"logit_bias\":{\"x\":1}", "logit_bias" },
        { "/v1/chat/completions", "\"logit_bias\":{\"1\":101}", "logit_bias" },
        { "/v1/chat/completions", "\"logit_bias\":{\"99999\":1}", "logit_bias" },
        { "/v1/chat/completions", "\"thinking_budget\":-2", "thinking_budget" },
        { "/v1/chat/completions", "\"thinking_budget\":1,\"thinking_token_budget\":2", "thinking_token_budget" },
        { "/v1/chat/completions", "\"thinking\":{\"type\":\"enabled\",\"x\":1}", "thinking" },
        { "/v1/responses", "\"previous_response_id\":\"resp_1\"", "not stored" },
        { "/v1/responses", "\"input\":7", "input" },
        { "/v1/responses", "\"tools\":[{\"type\":\"web_search\"}]", "tools[0]" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char body[500];
        sv_bytes r = { 0 };
        bool has_input = strstr(bad[i][1], "\"input\"") != NULL;
        snprintf(body, sizeof body, "{%s%s}",
                 strstr(bad[i][0], "chat") ? USER ","
                 : has_input               ? ""
                                           : "\"input\":\"a\",",
                 bad[i][1]);
        if (post(bad[i][0], body, &r) != 400 || strstr(r.p, bad[i][2]) == NULL)
            fail_msg("%s: %.500s", body, r.p);
        sv_bytes_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_schema_holds_at_any_temperature_and_choice),
        cmocka_unit_test(test_a_json_object_parses_unless_its_length_cuts_it),
        cmocka_unit_test(test_a_forced_call_is_a_call),
        cmocka_unit_test(test_a_bias_forbids_and_forces),
        cmocka_unit_test(test_a_thought_comes_before_the_form),
        cmocka_unit_test(test_several_prompts_are_answered_as_each_alone),
        cmocka_unit_test(test_an_echo_tells_the_log_probs_of_the_prompt),
        cmocka_unit_test(test_calls_come_back_on_input),
        cmocka_unit_test(test_calls_are_replayed_as_they_were_written),
        cmocka_unit_test(test_a_response_is_the_chat_in_items),
        cmocka_unit_test(test_what_a_form_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, forms_setup, forms_teardown);
}
