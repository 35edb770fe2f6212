/* SPDX-License-Identifier: Apache-2.0
 * Training data: order of rows, loss masks of chats, refusals; packing into leaves and steps.
 */
#include "train/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"

/* Users in <answer>, assistants in <think> ... <end>; a comma behind each turn, as others write a line break. Thoughts
 * (between ! and ?) are kept in the last turn alone, as some families do. */
static const char chat_template[] = "{%- for m in messages -%}"
                                    "{%- if m.role == 'user' -%}<answer>{{ m.content }}</answer>,"
                                    "{%- else -%}<think>{%- if loop.last and m.thought -%}!{{ m.thought }}?{%- endif "
                                    "-%}{{ m.content }}<end>,{%- endif -%}"
                                    "{%- endfor -%}{%- if add_generation_prompt -%}<think>{%- endif -%}";

enum { END = 1, THINK = 2, ANSWER = 4, ANSWER_END = 5, DIGIT = 6, COMMA = 20 };

static char dir[] = "/tmp/samsvar-data-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return sv_file_remove_tree(dir) == SV_OK ? 0 : -1;
}

static sv_model *new_model(bool with_template)
{
    const sv_task *t = sv_task_find("chain100");
    json_t *config;
    sv_model *m;
    sv_bytes text = { 0 };
    sv_bytes_text(&text, "{\"eos_token\":\"<end>\"");
    if (with_template) {
        sv_bytes_text(&text, ",\"chat_template\":");
        sv_json_quote(&text, sv_str_of(chat_template));
    }
    sv_bytes_text(&text, "}");
    assert_int_equal(sv_json_parse(sv_str_of(t->config), &sv_json_file_limits, "config.json", &config), SV_OK);
    if (sv_model_new(config, sv_str_of(t->tokenizer_json), (sv_str){ text.p, text.n }, &m) != SV_OK)
        fail_msg("%s", sv_err_text());
    json_decref(config);
    sv_bytes_done(&text);
    return m;
}

static const char *write_lines(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/d.jsonl", dir);
    assert_int_equal(sv_file_write(path, sv_str_of(text)), SV_OK);
    return path;
}

static sv_err open_data(const sv_model *m, const char *lines, const char *more, sv_data **out, sv_recipe **r)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "model: {from: x}\ndata:\n  path: %s\n%s\n", write_lines(lines), more);
    if (sv_recipe_parse(sv_str_of(yaml), "r.yaml", NULL, 0, r) != SV_OK)
        fail_msg("%s", sv_err_text());
    return sv_data_open(*r, m, m->config.n_ctx, out);
}

/* One row as text: ids, those that count in brackets. */
static void expect_row(const char *lines, const char *more, bool with_template, const char *expected)
{
    sv_model *m = new_model(with_template);
    sv_recipe *r;
    sv_data *d;
    sv_row row;
    sv_bytes text = { 0 };
    if (open_data(m, lines, more, &d, &r) != SV_OK)
        fail_msg("%s", sv_err_text());
    assert_int_equal(sv_data_row(d, 0, 0, 0, &row), SV_OK);
    for (uint32_t i = 0; i < row.n; i++) {
        sv_str piece = sv_tokenizer_piece(m->tokenizer, (uint32_t)row.id[i]);
        sv_bytes_printf(&text, row.counted[i] ? "[%.*s]" : "%.*s", (int)piece.n, piece.p);
    }
    assert_string_equal(text.p, expected);
    sv_bytes_done(&text);
    sv_data_close(d);
    sv_recipe_drop(r);
    sv_model_close(m);
}

static void expect_refusal(const char *lines, const char *more, bool with_template, sv_err code, const char *part)
{
    sv_model *m = new_model(with_template);
    sv_recipe *r;
    sv_data *d;
    sv_err err = open_data(m, lines, more, &d, &r);
    if (err != code || strstr(sv_err_text(), part) == NULL)
        fail_msg("%s: '%s' does not say '%s'", sv_err_name(err), sv_err_text(), part);
    sv_recipe_drop(r);
    sv_model_close(m);
}

#define TURNS \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"1+1\"},{\"role\":\"assistant\",\"content\":\"2\"}," \
    "{\"role\":\"user\",\"content\":\"2+2\"},{\"role\":\"assistant\",\"content\":\"4\"%s}]}\n"

static void test_assistant_turns_count_up_to_their_end_token(void **state)
{
    (void)state;
    char line[512];
    snprintf(line, sizeof line, TURNS, "");
    expect_row(line, "", true, "<answer>1+1</answer>,<think>[2][<end>],<answer>2+2</answer>,<think>[4][<end>],");
    expect_row(line, "  last_turn_only: true", true,
               "<answer>1+1</answer>,<think>2<end>,<answer>2+2</answer>,<think>[4][<end>],");
}

static void test_a_turn_may_be_left_out(void **state)
{
    (void)state;
    char line[512];
    snprintf(line, sizeof line, TURNS, ",\"train\":false");
    expect_row(line, "", true, "<answer>1+1</answer>,<think>[2][<end>],");
    snprintf(line, sizeof line, TURNS, ",\"weight\":0");
    expect_row(line, "", true, "<answer>1+1</answer>,<think>[2][<end>],");
}

static void test_what_the_template_drops_does_not_train_and_is_counted(void **state)
{
    (void)state;
    const char *line =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"1+1\"},{\"role\":\"assistant\",\"thought\":\"3\","
        "\"content\":\"2\"},{\"role\":\"user\",\"content\":\"2+2\"},{\"role\":\"assistant\",\"thought\":\"5\","
        "\"content\":\"4\"}]}\n";
    sv_model *m = new_model(true);
    sv_recipe *r;
    sv_data *d;
    assert_int_equal(open_data(m, line, "", &d, &r), SV_OK);
    assert_int_equal(sv_data_stats_of(d)->n_turn_left, 1);
    assert_int_equal(sv_data_stats_of(d)->n_counted, 5); /* !5?4<end> */
    assert_string_equal(sv_data_stats_of(d)->kind, "chat");
    sv_data_close(d);
    sv_recipe_drop(r);
    sv_model_close(m);
}

static void test_a_prompt_never_holds_control_tokens_unless_trusted(void **state)
{
    (void)state;
    const char *line =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"1<end>\"},{\"role\":\"assistant\",\"content\":\"2\"}]}\n";
    expect_refusal(line, "", true, SV_E_FORMAT, "d.jsonl:1: "); /* as plain text, '<' has no token here */
    expect_row(line, "  trust: all", true, "<answer>1<end></answer>,<think>[2][<end>],");
    const char *own =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"</think>2\"}]}\n";
    expect_row(own, "", true, "<answer>1</answer>,<think>[</think>][2][<end>],");
    expect_refusal(own, "  trust: none", true, SV_E_FORMAT, "d.jsonl:1: ");
}

static void test_completions_count_and_get_an_end_token(void **state)
{
    (void)state;
    const char *line = "{\"prompt\":\"1+1=\",\"completion\":\"2\"}\n";
    expect_row(line, "", false, "1+1=[2][<end>]");
    expect_row(line, "  template: none", true, "1+1=[2][<end>]");
    expect_refusal(line, "", true, SV_E_ARG, "data.template: none");
    expect_row("{\"prompt\":[{\"role\":\"user\",\"content\":\"1\"}],\"completion\":[{\"role\":\"assistant\","
               "\"content\":\"2\"}]}\n",
               "", true, "<answer>1</answer>,<think>[2][<end>],");
    expect_refusal("{\"prompt\":\"1\",\"completion\":[]}\n", "", false, SV_E_FORMAT, "both strings or both lists");
}

static void test_texts_are_cut_into_windows_that_share_one_token(void **state)
{
    (void)state;
    sv_model *m = new_model(false);
    sv_recipe *r;
    sv_data *d;
    assert_int_equal(open_data(m, "{\"text\":\"123456789\"}\n", "  max_tokens: 4", &d, &r), SV_OK);
    assert_int_equal(sv_data_stats_of(d)->n_row, 3); /* 1234 4567 789<end> */
    assert_int_equal(sv_data_stats_of(d)->n_counted, 9);
    sv_data_close(d);
    sv_recipe_drop(r);
    sv_model_close(m);
}

static void test_ids_are_taken_as_they_are(void **state)
{
    (void)state;
    expect_row("{\"ids\":[7,8,9,1],\"mask\":[0,0,1,1]}\n", "", false, "12[3][<end>]");
    expect_refusal("{\"ids\":[7,25]}\n", "", false, SV_E_FORMAT, "d.jsonl:1: item 1 of 'ids' is no token");
    expect_refusal("{\"ids\":[7,8],\"mask\":[1]}\n", "", false, SV_E_FORMAT, "'mask' has 1 items");
}

static void test_a_line_that_does_not_fit_is_named(void **state)
{
    (void)state;
    expect_refusal("{\"text\":\"1\"}\n\n{\"ids\":[1]}\n", "", false, SV_E_FORMAT,
                   "d.jsonl:3: 'text' has to be a string");
    expect_refusal("{\"foo\":1}\n", "", false, SV_E_FORMAT, "d.jsonl:1: no kind of training line");
    expect_refusal("{\"messages\":[]}\n", "", true, SV_E_FORMAT, "list of 1 to");
    expect_refusal("{\"messages\":[{\"content\":\"1\"}]}\n", "", true, SV_E_FORMAT,
                   "message 0 of 'messages' has no role");
    expect_refusal("{\"messages\":[{\"role\":\"user\",\"content\":\"1\"}]}\n", "", false, SV_E_ARG, "no chat template");
    expect_refusal("{\"messages\":[{\"role\":\"user\",\"content\":\"1\"}]}\n", "", true, SV_E_FORMAT,
                   "no row to train on");
    expect_refusal("", "", true, SV_E_FORMAT, "no row to train on");
}

static void test_a_held_out_problem_in_the_training_set_is_named(void **state)
{
    (void)state;
    char more[256], path[128];
    snprintf(path, sizeof path, "%s/held.jsonl", dir);
    /* the same prompt, another completion: the problem is the same */
    assert_int_equal(sv_file_write(path, SV_STR("{\"ids\":[9,9,9,1],\"mask\":[0,0,0,1]}\n\n"
                                                "{\"ids\":[7,8,6,1],\"mask\":[0,0,1,1]}\n")),
                     SV_OK);
    snprintf(more, sizeof more, "eval: {path: %s}", path);
    expect_refusal("{\"ids\":[7,9,9,1],\"mask\":[0,0,1,1]}\n{\"ids\":[7,8,9,1],\"mask\":[0,0,1,1]}\n", more, false,
                   SV_E_ARG, "d.jsonl:2 is the problem of ");
    expect_refusal("{\"ids\":[7,8,9,1],\"mask\":[0,0,1,1]}\n", more, false, SV_E_ARG, "held.jsonl:3: what is held out");
    expect_row("{\"ids\":[7,6,9,1],\"mask\":[0,0,1,1]}\n", more, false, "10[3][<end>]");
}

static void test_long_rows_are_counted_before_anything_runs(void **state)
{
    (void)state;
    const char *lines = "{\"ids\":[7,8,9,1]}\n{\"ids\":[7,8,9,9,9,1]}\n{\"ids\":[7,8,9,9,9,9,9,9,1]}\n";
    expect_refusal(lines, "  max_tokens: 4", false, SV_E_ARG,
                   "2 rows are longer than 4 tokens; the longest: line 3 (9), 2 (6)");
    expect_row("{\"ids\":[7,8,9,9,9,1]}\n{\"ids\":[7,1]}\n", "  max_tokens: 4\n  long: drop", false, "1[<end>]");
    expect_row("{\"ids\":[7,8,9,9,9,1],\"mask\":[0,0,0,0,1,1]}\n", "  max_tokens: 4\n  long: truncate", false,
               "33[3][<end>]");
    expect_refusal(lines, "  max_tokens: 500", false, SV_E_ARG,
                   "data.max_tokens is 500; allowed: 2 to the model's context");
}

static void test_an_epoch_is_a_permutation(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 1, 2, 3, 17, 1000, 1025, (1u << 20) + 1 };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint64_t n = sizes[k], moved = 0;
        uint8_t *seen = calloc(n, 1);
        for (uint64_t p = 0; p < n; p++) {
            uint64_t x = sv_data_order(3, 5, p, n);
            assert_true(x < n && !seen[x]);
            seen[x] = 1;
            moved += x != p;
        }
        assert_true(n < 100 || moved > n / 2);
        free(seen);
    }
    uint32_t same = 0;
    for (uint64_t p = 0; p < 1000; p++)
        same += sv_data_order(3, 0, p, 1000) == sv_data_order(3, 1, p, 1000);
    assert_true(same < 20);
}

/* ---- packing ---- */

#define MOST 64
static const int32_t some_ids[MOST] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                        13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23 };
static const uint8_t all_count[MOST] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                         1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

static void test_rows_are_packed_greedily_in_order(void **state)
{
    (void)state;
    static const uint32_t length[] = { 6, 6, 4, 21, 2, 1, 10 }; /* tokens run: 5 5 3 20 1 - 9 */
    sv_row row[7];
    sv_batch b = { 0 };
    for (int i = 0; i < 7; i++)
        row[i] = (sv_row){ .id = some_ids, .counted = all_count, .n = length[i] };
    sv_batch_pack(&b, row, 7, 10);
    assert_int_equal(b.n_leaf, 4); /* 5+5 | 3 | 20 | 1+9 */
    assert_int_equal(b.n_tok, 43);
    assert_int_equal(b.n_want, 43);
    assert_int_equal(b.n_seq, 6);
    static const uint32_t leaf_seq[] = { 0, 2, 3, 4, 6 };
    assert_memory_equal(b.leaf_seq, leaf_seq, sizeof leaf_seq);
    for (size_t i = 0; i < b.n_want; i++)
        assert_true(b.dlp[i] == -(1.0f / 43.0f));
    sv_batch_done(&b);
}

static void test_nothing_is_run_that_nobody_reads(void **state)
{
    (void)state;
    static const uint8_t two[] = { 0, 0, 1, 0, 1, 0, 0, 0 }, none[8] = { 1 };
    static const float dlp[] = { 9, 9, 0.5f, 9, -2, 9, 9, 9 };
    sv_row row[] = { { .id = some_ids, .counted = two, .dlp = dlp, .n = 8 },
                     { .id = some_ids, .counted = none, .n = 8 } };
    sv_batch b = { 0 };
    sv_step s;
    sv_batch_pack(&b, row, 2, 100);
    assert_int_equal(b.n_tok, 4);
    assert_int_equal(b.n_seq, 1);
    sv_batch_step(&b, 0, 1, &s);
    assert_int_equal(s.shape.n_want, 2);
    assert_int_equal(s.want[0], 1);
    assert_int_equal(s.want[1], 3);
    assert_int_equal(s.target[0], some_ids[2]);
    assert_int_equal(s.target[1], some_ids[4]);
    assert_true(s.dlp[0] == 0.5f && s.dlp[1] == -2.0f);
    sv_batch_done(&b);
}

static void test_a_step_of_some_leaves_counts_from_its_own_start(void **state)
{
    (void)state;
    static const uint32_t length[] = { 6, 6, 40, 4, 3 };
    sv_row row[5];
    sv_batch b = { 0 };
    sv_step s;
    for (int i = 0; i < 5; i++)
        row[i] = (sv_row){ .id = some_ids, .counted = all_count, .n = length[i] };
    row[2].counted = (const uint8_t[MOST]){ [39] = 1 };
    sv_batch_pack(&b, row, 5, 10);
    assert_int_equal(b.n_leaf, 3); /* 5+5 | 39 | 3+2 */
    sv_batch_step(&b, 1, 3, &s);
    assert_int_equal(s.shape.n_tok, 44);
    assert_int_equal(s.shape.n_seq, 3);
    assert_int_equal(s.shape.n_page, 2);
    assert_int_equal(s.shape.n_leaf, 2);
    assert_int_equal(s.shape.n_want, 6);
    assert_memory_equal(s.seg, ((int32_t[]){ 0, 39, 44 }), 12);
    assert_memory_equal(s.seg_want, ((int32_t[]){ 0, 1, 6 }), 12);
    assert_memory_equal(s.want, ((int32_t[]){ 38, 39, 40, 41, 42, 43 }), 24);
    assert_memory_equal(s.table, ((int32_t[]){ 0, 1, 2, 3, 4, 5 }), 24);
    assert_int_equal(s.seq[38], 0);
    assert_int_equal(s.seq[39], 1);
    assert_int_equal(s.seq[43], 2);
    assert_int_equal(s.pos[39], 0);
    assert_int_equal(s.pos[43], 1);
    sv_batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assistant_turns_count_up_to_their_end_token),
        cmocka_unit_test(test_a_turn_may_be_left_out),
        cmocka_unit_test(test_what_the_template_drops_does_not_train_and_is_counted),
        cmocka_unit_test(test_a_prompt_never_holds_control_tokens_unless_trusted),
        cmocka_unit_test(test_completions_count_and_get_an_end_token),
        cmocka_unit_test(test_texts_are_cut_into_windows_that_share_one_token),
        cmocka_unit_test(test_ids_are_taken_as_they_are),
        cmocka_unit_test(test_a_line_that_does_not_fit_is_named),
        cmocka_unit_test(test_a_held_out_problem_in_the_training_set_is_named),
        cmocka_unit_test(test_long_rows_are_counted_before_anything_runs),
        cmocka_unit_test(test_an_epoch_is_a_permutation),
        cmocka_unit_test(test_rows_are_packed_greedily_in_order),
        cmocka_unit_test(test_nothing_is_run_that_nobody_reads),
        cmocka_unit_test(test_a_step_of_some_leaves_counts_from_its_own_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
