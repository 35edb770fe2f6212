/* SPDX-License-Identifier: Apache-2.0
 * Chat templates against jinja2 3.1.6: 250 conversations through three publishers' templates, and one snippet for each
 * behaviour. Recorded by tools/oracle_template.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/sha.h"
#include "text/template.h"

#define FOLDER "test/golden/template/"

static const struct {
    const char *name, *bos, *eos;
} families[] = {
    { "qwen3", NULL, "<|im_end|>" },
    { "deepseek_v3", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>" },
    { "smollm2", "<|im_start|>", "<|im_end|>" },
};

/* The next line of a file as JSON, or NULL at its end. */
static json_t *next_row(sv_str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    json_error_t e;
    if (!end)
        return NULL;
    json_t *row = json_loadb(rest->p, (size_t)(end - rest->p), JSON_ALLOW_NUL, &e);
    assert_non_null(row);
    rest->n -= (size_t)(end + 1 - rest->p);
    rest->p = end + 1;
    return row;
}

static sv_str load(sv_arena *a, const char *name)
{
    sv_str text;
    char *path = sv_arena_printf(a, FOLDER "%s", name);
    if (sv_file_read(path, 4u << 20, a, &text) != SV_OK)
        fail_msg("%s", sv_err_text());
    return text;
}

static sv_template *load_template(sv_arena *a, const char *name)
{
    sv_template *t;
    char *file = sv_arena_printf(a, "%s.jinja", name);
    if (sv_template_make(load(a, file), file, &t) != SV_OK)
        fail_msg("%s", sv_err_text());
    return t;
}

/* True when what was rendered, or the error, is what jinja2 gave. */
static bool agrees(const json_t *want, sv_err err, const sv_marked *m)
{
    if (json_is_object(want)) {
        const char *words = json_string_value(json_object_get(want, "error"));
        return err != SV_OK && (!json_is_true(json_object_get(want, "raised")) || strcmp(words, sv_err_text()) == 0);
    }
    uint8_t sum[32];
    char hex[65];
    sv_sha_of(m->text.n ? m->text.p : "", m->text.n, sum);
    sv_sha_hex(sum, hex);
    return err == SV_OK && (json_int_t)m->text.n == json_integer_value(json_array_get(want, 0)) &&
           strcmp(hex, json_string_value(json_array_get(want, 1))) == 0;
}

static void test_conversations_render_as_jinja2_does(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    for (size_t f = 0; f < 3; f++) {
        sv_str rest = load(a, "conversations.jsonl");
        sv_template *t = load_template(a, families[f].name);
        json_t *row;
        size_t n = 0;
        for (; (row = next_row(&rest)) != NULL; n++) {
            sv_template_input in = { json_object_get(row, "messages"),
                                     json_object_get(row, "tools"),
                                     json_object_get(row, "kwargs"),
                                     families[f].bos,
                                     families[f].eos,
                                     json_is_true(json_object_get(row, "prompt")) };
            sv_marked m = { 0 };
            sv_err err = sv_template_render(t, &in, &m);
            if (!agrees(json_object_get(row, families[f].name), err, &m))
                fail_msg("%s, row %zu: %s\n%s", families[f].name, n + 1, err ? sv_err_text() : "rendered",
                         m.text.n ? m.text.p : "");
            sv_marked_done(&m);
            json_decref(row);
        }
        assert_true(n >= 200);
        sv_template_drop(t);
    }
    sv_arena_drop(a);
}

/* A copy in which every character of every string stands in a private-use area, but for roles. */
static json_t *in_private_use(const json_t *j, const char *key)
{
    if (json_is_object(j)) {
        json_t *copy = json_object(), *value;
        const char *k;
        json_object_foreach((json_t *)(uintptr_t)j, k, value) json_object_set_new(copy, k, in_private_use(value, k));
        return copy;
    }
    if (json_is_array(j)) {
        json_t *copy = json_array();
        for (size_t i = 0; i < json_array_size(j); i++)
            json_array_append_new(copy, in_private_use(json_array_get(j, i), ""));
        return copy;
    }
    if (!json_is_string(j) || strcmp(key, "role") == 0)
        return json_deep_copy(j);
    sv_bytes b = { 0 };
    for (size_t i = 0; i < json_string_length(j); i++) {
        char utf8[4];
        sv_bytes_add(&b, utf8, sv_utf8_put(0xe000u + (unsigned char)json_string_value(j)[i], utf8));
    }
    json_t *copy = json_stringn(b.n ? b.p : "", b.n);
    sv_bytes_done(&b);
    return copy;
}

static void test_no_byte_of_a_request_is_trusted(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    size_t n_private = 0;
    for (size_t f = 0; f < 3; f++) {
        sv_str rest = load(a, "conversations.jsonl");
        sv_template *t = load_template(a, families[f].name);
        json_t *row;
        while ((row = next_row(&rest)) != NULL) {
            json_t *messages = in_private_use(json_object_get(row, "messages"), "");
            json_t *tools = in_private_use(json_object_get(row, "tools"), "");
            sv_template_input in = { messages, tools, NULL, families[f].bos, families[f].eos, true };
            sv_marked m = { 0 };
            if (sv_template_render(t, &in, &m) == SV_OK) {
                size_t run = 0;
                for (size_t at = 0, used; at < m.text.n; at += used) {
                    uint32_t cp = sv_utf8_next(m.text.p + at, m.text.n - at, &used);
                    while (m.run[run].end <= at)
                        run++;
                    if (cp < 0xe000 || cp >= 0xe100)
                        continue;
                    assert_false(m.run[run].trusted);
                    assert_true(m.run[run].end >= at + used); /* a run never ends inside of a character */
                    n_private++;
                }
            }
            sv_marked_done(&m);
            json_decref(messages);
            json_decref(tools);
            json_decref(row);
        }
        sv_template_drop(t);
    }
    assert_true(n_private > 10000);
    sv_arena_drop(a);
}

static void test_each_snippet_prints_what_jinja2_prints(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    sv_str rest = load(a, "snippets.jsonl");
    json_t *first = next_row(&rest), *row, *context = json_object_get(first, "context");
    json_t *messages = json_incref(json_object_get(context, "messages"));
    json_object_del(context, "messages");
    sv_template_input in = { messages, NULL, context, "<s>", "</s>", true };
    for (; (row = next_row(&rest)) != NULL; json_decref(row)) {
        const json_t *src = json_object_get(row, "src"), *want = json_object_get(row, "out");
        sv_template *t = NULL;
        sv_marked m = { 0 };
        sv_err err = sv_template_make((sv_str){ json_string_value(src), json_string_length(src) }, "snippet", &t);
        if (err == SV_OK)
            err = sv_template_render(t, &in, &m);
        bool good = want ? err == SV_OK && m.text.n == json_string_length(want) &&
                               memcmp(m.text.n ? m.text.p : "", json_string_value(want), m.text.n) == 0
                         : agrees(row, err, &m);
        if (!good)
            fail_msg("%s\ngave %s\nwanted %s", json_string_value(src), err ? sv_err_text() : m.text.p,
                     json_string_value(want ? want : json_object_get(row, "error")));
        sv_marked_done(&m);
        sv_template_drop(t);
    }
    json_decref(messages);
    json_decref(first);
    sv_arena_drop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversations_render_as_jinja2_does),
        cmocka_unit_test(test_no_byte_of_a_request_is_trusted),
        cmocka_unit_test(test_each_snippet_prints_what_jinja2_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
