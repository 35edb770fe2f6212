/* SPDX-License-Identifier: Apache-2.0
 * Tool calls in the text of an answer: found wherever the text is cut into tokens, read byte for byte, or content after
 * all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "serve/cut.h"
#include "serve/tools.h"

#define DS_BEGIN "<｜tool▁calls▁begin｜>"
#define DS_END "<｜tool▁calls▁end｜>"
#define DS_CALL "<｜tool▁call▁begin｜>"
#define DS_CALL_END "<｜tool▁call▁end｜>"
#define DS_SEP "<｜tool▁sep｜>"

typedef struct row {
    sv_tool_format format;
    const char *block, *calls; /* name(arguments) ...; NULL: it is no call */
} row;

static const row rows[] = {
    { SV_TOOLS_JSON_TAG, "\n{\"name\": \"f\", \"arguments\": {\"a\":  1, \"b\": [\"}\", \"\\\"{\"]}}\n",
      "f({\"a\":  1, \"b\": [\"}\", \"\\\"{\"]})" },
    { SV_TOOLS_JSON_TAG, "{\"arguments\":{ },\"name\":\"g\"}", "g({ })" },
    { SV_TOOLS_JSON_TAG, "{\"name\":\"g\",\"id\":[1,{\"arguments\":2}],\"arguments\":{\"x\":null}}",
      "g({\"x\":null})" },
    { SV_TOOLS_JSON_TAG, "{\"name\":\"g\"}", "g({})" },
    { SV_TOOLS_JSON_TAG, "{\"name\":\"g\",\"parameters\":{\"q\":true}}", "g({\"q\":true})" },
    { SV_TOOLS_JSON_TAG, "{\"name\":\"g\",\"arguments\":\"{\\\"a\\\":1}\"}", "g({\"a\":1})" },
    { SV_TOOLS_JSON_TAG, "{\"name\":\"g\",\"arguments\":[1]}", NULL },
    { SV_TOOLS_JSON_TAG, "{\"name\":7,\"arguments\":{}}", NULL },
    { SV_TOOLS_JSON_TAG, "{\"name\":\"g\"", NULL },
    { SV_TOOLS_JSON_TAG, "", NULL },
    { SV_TOOLS_JSON_TAG, "[]", NULL },
    { SV_TOOLS_DEEPSEEK_3,
      DS_CALL "function" DS_SEP "f\n```json\n{\"a\": 1}\n```" DS_CALL_END "\n" DS_CALL "function" DS_SEP
              "g\n```json\n{}\n```" DS_CALL_END,
      "f({\"a\": 1})g({})" },
    { SV_TOOLS_DEEPSEEK_3, DS_CALL "function" DS_SEP "f\n{}" DS_CALL_END, NULL },
    { SV_TOOLS_DEEPSEEK_3, DS_CALL "function" DS_SEP "f\n```json\n{\n```" DS_CALL_END, NULL },
    { SV_TOOLS_DEEPSEEK_31, DS_CALL "f" DS_SEP "{\"a\":[2]}" DS_CALL_END, "f({\"a\":[2]})" },
    { SV_TOOLS_DEEPSEEK_31, DS_CALL "f" DS_SEP "{}", NULL },
    { SV_TOOLS_DEEPSEEK_31, "", NULL },
};

static void print(const sv_tool_calls *c, sv_bytes *out)
{
    sv_bytes_clear(out);
    sv_bytes_text(out, "");
    for (size_t i = 0; i < c->n; i++)
        sv_bytes_printf(out, "%s(%s)", c->call[i].name, c->call[i].argument);
}

static void test_a_block_is_read_byte_for_byte_or_not_at_all(void **state)
{
    (void)state;
    sv_bytes got = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sv_tool_calls calls = { 0 };
        sv_err err = sv_tool_parse(rows[i].format, sv_str_of(rows[i].block), &calls);
        print(&calls, &got);
        if ((err == SV_OK) != (rows[i].calls != NULL) ||
            strcmp(got.p ? got.p : "", rows[i].calls ? rows[i].calls : "") != 0)
            fail_msg("%s: %s", rows[i].block, err == SV_OK ? got.p : sv_err_text());
        sv_tool_calls_done(&calls);
    }
    sv_bytes_done(&got);
}

typedef struct text_row {
    const char *text, *think, *answer, *blocks; /* blocks: each in [] or, not closed, in [ */
} text_row;

static const text_row texts[] = {
    { "<tool_call>\n{}\n</tool_call>", "", "", "[\n{}\n]" },
    { "<think>\nhm\n</think>\n\n<tool_call>a</tool_call>\n<tool_call>b</tool_call>", "hm", "", "[a][b]" },
    { "I look.\n<tool_call>a</tool_call>\n", "", "I look.", "[a]" },
    { "x<tool_call>a", "", "x", "[a" },
    { "x <tool_cal", "", "x <tool_cal", "" },
    { "no call\n\nhere <b>", "", "no call\n\nhere <b>", "" },
    { "<tool_call>a</tool_call>\nand <i>", "", "and <i>", "[a]" },
    { "<tool_call></tool_call>", "", "", "[]" },
};

static void collect(sv_cut *c, sv_bytes *blocks)
{
    c->has_block = false;
    sv_bytes_printf(blocks, "[%.*s%s", (int)c->block.n, c->block.n ? c->block.p : "", c->block_closed ? "]" : "");
}

static void check(const text_row *r, size_t cut, size_t step)
{
    sv_cut c;
    sv_bytes think = { 0 }, answer = { 0 }, blocks = { 0 };
    size_t n = strlen(r->text);
    sv_cut_init(&c, NULL, 0, false, true, false);
    c.tool_open = sv_tool_open(SV_TOOLS_JSON_TAG);
    c.tool_close = sv_tool_close(SV_TOOLS_JSON_TAG);
    for (size_t at = 0; at < n;) {
        size_t k = at == 0 && cut > 0 ? cut : step;
        k = k < n - at ? k : n - at;
        sv_cut_put(&c, (sv_str){ r->text + at, k }, &think, &answer);
        for (; c.has_block; sv_cut_put(&c, SV_STR(""), &think, &answer))
            collect(&c, &blocks);
        at += k;
    }
    do {
        sv_cut_end(&c, &think, &answer);
        if (c.has_block)
            collect(&c, &blocks);
        else
            break;
    } while (true);
    assert_string_equal(think.p ? think.p : "", r->think);
    assert_string_equal(answer.p ? answer.p : "", r->answer);
    assert_string_equal(blocks.p ? blocks.p : "", r->blocks);
    sv_cut_done(&c);
    sv_bytes_done(&think);
    sv_bytes_done(&answer);
    sv_bytes_done(&blocks);
}

static void test_blocks_do_not_depend_on_where_the_text_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t step = 1; step < 8; step++)
            for (size_t cut = 0; cut < strlen(texts[i].text); cut++)
                check(&texts[i], cut, step);
}

static void test_a_format_is_known_by_its_template(void **state)
{
    (void)state;
    assert_int_equal(sv_tool_format_of(SV_STR("a <tool_call> b")), SV_TOOLS_JSON_TAG);
    assert_int_equal(sv_tool_format_of(SV_STR(DS_SEP "```json")), SV_TOOLS_DEEPSEEK_3);
    assert_int_equal(sv_tool_format_of(SV_STR(DS_CALL DS_SEP)), SV_TOOLS_DEEPSEEK_31);
    assert_int_equal(sv_tool_format_of(SV_STR("{{ messages }}")), SV_TOOLS_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_is_read_byte_for_byte_or_not_at_all),
        cmocka_unit_test(test_blocks_do_not_depend_on_where_the_text_is_cut),
        cmocka_unit_test(test_a_format_is_known_by_its_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
