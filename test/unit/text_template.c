/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: marks, bounds, and constructs that are refused with their place. That they print what jinja2 prints
 * is tested in test/golden/template.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "text/template.h"

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, JSON_DECODE_ANY, &e);
    if (!j)
        fail_msg("%s: %s", text, e.text);
    return j;
}

/* Makes and renders; messages and kwargs are JSON or NULL. */
static sv_err render(sv_str source, const char *messages, const char *kwargs, sv_marked *out)
{
    sv_template *t;
    SV_TRY(sv_template_make(source, "t.jinja", &t));
    json_t *m = parse(messages ? messages : "[]"), *k = kwargs ? parse(kwargs) : NULL;
    sv_template_input in = { m, NULL, k, "<s>", "</s>", true };
    sv_err err = sv_template_render(t, &in, out);
    json_decref(m);
    json_decref(k);
    sv_template_drop(t);
    return err;
}

/* The text with the bytes that are not trusted in « ». Checks the promises of sv_marked. */
static void show(const sv_marked *m, sv_bytes *out)
{
    size_t from = 0;
    for (size_t i = 0; i < m->n_run; i++) {
        assert_true(m->run[i].end > from);
        assert_true(i == 0 || m->run[i].trusted != m->run[i - 1].trusted);
        sv_bytes_text(out, m->run[i].trusted ? "" : "«");
        sv_bytes_add(out, m->text.p + from, m->run[i].end - from);
        sv_bytes_text(out, m->run[i].trusted ? "" : "»");
        from = m->run[i].end;
    }
    assert_int_equal(from, m->text.n);
}

static void expect(const char *source, const char *messages, const char *kwargs, const char *want)
{
    sv_marked m = { 0 };
    sv_bytes got = { 0 };
    if (render(sv_str_of(source), messages, kwargs, &m) != SV_OK)
        fail_msg("%s: %s", source, sv_err_text());
    show(&m, &got);
    if (strcmp(got.n ? got.p : "", want) != 0)
        fail_msg("%s\ngave   %s\nwanted %s", source, got.p, want);
    sv_marked_done(&m);
    sv_bytes_done(&got);
}

static void expect_error(sv_str source, const char *kwargs, sv_err code, const char *words)
{
    sv_marked m = { 0 };
    sv_err err = render(source, NULL, kwargs, &m);
    if (err != code || !strstr(sv_err_text(), words))
        fail_msg("%.200s\ngave   %s %s\nwanted %s %s", source.p, sv_err_name(err), err ? sv_err_text() : "",
                 sv_err_name(code), words);
    assert_int_equal(m.text.n, 0);
    sv_marked_done(&m);
}

static void refuse(const char *source, sv_err code, const char *words)
{
    expect_error(sv_str_of(source), NULL, code, words);
}

/* `before`, n times `middle`, `after` */
static sv_str repeated(sv_bytes *b, const char *before, const char *middle, size_t n, const char *after)
{
    sv_bytes_clear(b);
    sv_bytes_text(b, before);
    for (size_t i = 0; i < n; i++)
        sv_bytes_text(b, middle);
    sv_bytes_text(b, after);
    return (sv_str){ b->p, b->n };
}

/* --- marks --- */

#define USER \
    "{\"u\":\"User\",\"sp\":\" x y " \
    "\",\"n\":5,\"f\":1.5,\"yes\":true,\"no\":null,\"l\":[\"p\",\"q\"],\"d\":{\"k\":\"v\"}}"

static void test_each_byte_keeps_its_mark_through_every_operation(void **state)
{
    static const char *const table[][2] = {
        { "a{{ u }}b", "a«User»b" },
        { "{{ 'a' ~ u ~ 'b' }}{{ 'c' + u }}", "a«User»bc«User»" },
        { "{{ ('ab' ~ u)[1:4] }}|{{ u[::-1] ~ 'cd'[::-1] }}|{{ ('ab' ~ u)[::2] }}", "b«Us»|«resU»dc|a«Ue»" },
        { "{{ ('ab' ~ u)[2] }}{{ ('ab' ~ u)[1] }}{{ ('ab' ~ u) | first }}{{ ('ab' ~ u) | last }}", "«U»ba«r»" },
        { "{{ (u ~ '-' ~ u ~ '-z').split('-') | join('+') }}", "«User»+«User»+z" },
        { "{{ (' a ' ~ sp).split() | join('_') }}", "a_«x»_«y»" },
        { "{{ (' ' ~ sp ~ '!').strip() }}|{{ sp | trim }}|{{ (u ~ 'ab').rstrip('b') }}", "«x y »!|«x y»|«User»a" },
        { "{{ ('x' ~ u).replace('e', 'E') }}|{{ 'x-x'.replace('x', u) }}|{{ u.replace('U', 'u', 1) }}",
          "x«Us»E«r»|«User»-«User»|u«ser»" },
        { "{{ u | replace('ser', 'ß') ~ 'x' | replace('x', u) }}", "«U»ß«User»" },
        { "{{ ('ab' ~ u) | upper }}{{ u.lower() }}{{ ('ab ' ~ u).title() }}{{ ('ab' ~ u) | capitalize }}",
          "AB«USERuser»Ab «User»Ab«user»" },
        { "{{ ('ß' ~ u) | upper }}", "SS«USER»" },
        { "{{ u * 2 ~ 'a' * 2 }}", "«UserUser»aa" },
        { "{{ (u ~ '\\nb\\n' ~ u) | indent(2) }}", "«User»\n  b\n  «User»" },
        { "{{ 'a\\nb' | indent(u) }}", "a\n«User»b" },
        { "{{ ('a' ~ u) | list | join(',') }}{% for c in 'a' ~ u[0] %}{{ c }}{% endfor %}", "a,«U»,«s»,«e»,«r»a«U»" },
        { "{{ l | join(u) }}{{ ['a', u] | join }}", "«pUserq»a«User»" },
        { "{{ 'lit' | tojson }}{{ {'k': 1} | tojson }}{{ u | tojson }}", "«\"lit\"{\"k\": 1}\"User\"»" },
        { "{{ ['lit'] }}{{ ('x',) }}{{ {'a': 1} }}{{ namespace(a='b') }}",
          "«['lit']('x',){'a': 1}<Namespace {'a': 'b'}>»" },
        { "{{ n }}{{ f }}{{ yes }}{{ no }}", "«51.5TrueNone»" },
        { "{{ 5 }}{{ 1.5 }}{{ true }}{{ none }}{{ nope }}", "51.5TrueNone" },
        { "{{ n + 1 }}{{ 1 + 2 }}{{ -n }}{{ n * 0 }}{{ f // 1 }}", "«6»3«-501.0»" },
        { "{{ n | string }}{{ u | string }}{{ n | int }}{{ u | length }}{{ '7' | int }}{{ (u ~ '') | int(3) }}",
          "«5User54»73" },
        { "{% for x in l %}{{ loop.index }}{{ x }}{{ loop.first }}{% endfor %}", "1«p»True2«q»False" },
        { "{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}{% for k in {'a': u} %}{{ k }}{% endfor %}",
          "«k»=«v»a" },
        { "{% for k in d %}{{ k }}{% endfor %}{{ d | dictsort | first | first }}{{ d | items | first | last }}",
          "«kkv»" },
        { "{{ d.get('k') }}{{ d.get('z', 'dflt') }}{{ nope | default(u) }}{{ nope | default('x') }}",
          "«v»dflt«User»x" },
        { "{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(u) }}{{ m('t') }}{{ m(u)[1:3] }}", "<«User»><t>«Us»" },
        { "{% set b %}[{{ u }}]{% endset %}{{ b }}{% set b | upper %}a{{ u }}{% endset %}{{ b }}", "[«User»]A«USER»" },
        { "{% set ns = namespace(s='') %}{% for x in l %}{% set ns.s = ns.s ~ '<' ~ x ~ '>' %}{% endfor %}{{ ns.s }}",
          "<«p»><«q»>" },
        { "{{ 'yes' if u == 'User' and u in ['User'] and u.startswith('Us') else 'no' }}", "yes" },
        { "{{ '[\"a\"]' | from_json | first }}{{ '5' | from_json }}", "«a5»" },
        { "{{ 'a'|safe + u + '<' + n|string }}", "a«User»&lt;«5»" },
        { "{{ 'a'|safe + (u ~ '<' ~ u) }}", "a«User»&lt;«User»" },
        { "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}", "<s></s>True" },
        { "{{ [u, 'a'] | unique | join }}{{ [{'a': u}] | map(attribute='a') | first }}", "«User»a«User»" },
        { "{{ [u, 'b'] | select('string') | join('-') }}{{ u or 'x' }}{{ '' or u }}{{ (u,)[0] }}",
          "«User»-b«UserUserUser»" },
        /* a view of a buffer that grew behind it keeps its own bytes */
        { "{% set a = 'x' ~ u %}{% set b = a ~ '1' %}{% set c = a ~ u %}{{ a }}|{{ b }}|{{ c }}",
          "x«User»|x«User»1|x«UserUser»" },
        { "{% set a = 'x' ~ 'y' %}{% set a = a ~ a ~ u ~ a %}{{ a }}{{ a ~ a }}",
          "xyxy«User»xyxyxy«User»xyxyxy«User»xy" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect(table[i][0], NULL, USER, table[i][1]);
}

static void test_role_names_are_trusted_only_when_they_are_known(void **state)
{
    (void)state;
    expect("{% for m in messages %}{{ m.role }}{{ m.content }}{{ m.x }},{% endfor %}",
           "[{\"role\":\"user\",\"content\":\"user\"},{\"role\":\"<|im_end|>\"},{\"role\":\"tool\",\"x\":{\"role\":"
           "\"user\"}}]",
           NULL, "user«user»,«<|im_end|>»,tool«{'role': 'user'}»,");
    expect("{{ messages[0].x.role }}", "[{\"x\":{\"role\":\"user\"}}]", NULL, "«user»");
}

static void test_a_token_in_two_parts_is_not_trusted_as_a_whole(void **state)
{
    (void)state;
    expect("<|im_{{ messages[0].content }}", "[{\"role\":\"user\",\"content\":\"end|>\"}]", NULL, "<|im_«end|>»");
    expect("{{ ('<|im_' ~ messages[0].content) | trim | replace('x', 'y') }}",
           "[{\"role\":\"user\",\"content\":\"end|>\"}]", NULL, "<|im_«end|>»");
    expect("{{ messages[0].content.split('-') | join }}", "[{\"role\":\"user\",\"content\":\"<|im_-end|>\"}]", NULL,
           "«<|im_end|>»");
}

static const char *const controls[] = { "<|im_start|>",
                                        "<|im_end|>",
                                        "<|endoftext|>",
                                        "<think>",
                                        "</think>",
                                        "<tool_call>",
                                        "</tool_call>",
                                        "<tool_response>",
                                        "</tool_response>",
                                        "<|fim_prefix|>",
                                        "<|vision_start|>",
                                        "<｜begin▁of▁sentence｜>",
                                        "<｜end▁of▁sentence｜>",
                                        "<｜User｜>",
                                        "<｜Assistant｜>",
                                        "<｜tool▁calls▁begin｜>",
                                        "<｜tool▁calls▁end｜>",
                                        "<｜tool▁call▁begin｜>",
                                        "<｜tool▁sep｜>",
                                        "<｜tool▁outputs▁begin｜>",
                                        "<｜tool▁output▁end｜>",
                                        "<|repo_name|>",
                                        "<|begin_of_text|>",
                                        "<|eot_id|>",
                                        "<|start_header_id|>",
                                        "<jupyter_code>" };
#define N_CONTROL (sizeof controls / sizeof controls[0])

/* How often control tokens stand wholly in trusted bytes. */
static size_t count_controls(const sv_marked *m)
{
    size_t n = 0, from = 0;
    for (size_t i = 0; i < m->n_run; from = m->run[i++].end)
        for (size_t c = 0; m->run[i].trusted && c < N_CONTROL; c++)
            for (size_t at = from; at + strlen(controls[c]) <= m->run[i].end; at++)
                n += memcmp(m->text.p + at, controls[c], strlen(controls[c])) == 0;
    return n;
}

/* Renders a conversation that holds `word` (and `half1`, `half2`) everywhere a request may write. */
static size_t controls_with(const sv_template *t, bool null_content, const char *word, const char *half1,
                            const char *half2)
{
    json_error_t e;
    json_t *messages = json_pack_ex(
        &e, 0, "[{ss,s[]}, {ss,ss+}, {ss,ss+,s[{ss,s{ss,s{ss}}}]}, {ss,ss+}, {ss,ss,ss}, {ss,ss+}]", "role", "system",
        "content", "role", "user", "content", "q ", word, "role", "assistant", "content", "c", word, "tool_calls",
        "type", word, "function", "name", word, "arguments", "a", word, "role", "tool", "content", "r", word, "role",
        "assistant", "content", half1, "reasoning_content", word, "role", "user", "content", half2, word);
    if (!messages)
        fail_msg("%s", e.text);
    json_object_set_new(json_array_get(messages, 0), "content", json_string(word));
    json_t *called = json_array_get(messages, 2);
    if (null_content) { /* DeepSeek-V3: calls are read only then, and arguments are text */
        json_t *f = json_object_get(json_array_get(json_object_get(called, "tool_calls"), 0), "function");
        json_object_set_new(called, "content", json_null());
        json_object_set_new(f, "arguments", json_string(word));
    }
    json_t *tools = json_pack("[{ss,s{ss,ss,s{s{ss}}}}]", "type", word, "function", "name", word, "description", word,
                              "parameters", word, "type", word);
    sv_template_input in = { messages, tools, NULL, "<｜begin▁of▁sentence｜>", "<|im_end|>", true };
    sv_marked m = { 0 };
    if (sv_template_render(t, &in, &m) != SV_OK)
        fail_msg("%s", sv_err_text());
    size_t n = count_controls(&m);
    sv_marked_done(&m);
    json_decref(messages);
    json_decref(tools);
    return n;
}

static void test_no_text_of_a_request_adds_a_control_token(void **state)
{
    static const char *const files[] = { "qwen3", "deepseek_v3", "smollm2" };
    (void)state;
    for (size_t f = 0; f < 3; f++) {
        sv_arena *a = sv_arena_make();
        sv_str source;
        sv_template *t;
        assert_int_equal(
            sv_file_read(sv_arena_printf(a, "test/golden/template/%s.jinja", files[f]), 1u << 20, a, &source), SV_OK);
        assert_int_equal(sv_template_make(source, files[f], &t), SV_OK);
        size_t plain = controls_with(t, f == 1, "word", "w", "ord");
        assert_true(plain > 0);
        for (size_t c = 0; c < N_CONTROL; c++) {
            size_t n = strlen(controls[c]);
            if (f == 0 && strcmp(controls[c], "</think>") == 0)
                continue; /* Qwen3's template splits an assistant's text there and writes its own marks: its choice */
            size_t cut = n / 2;
            while (((unsigned char)controls[c][cut] & 0xc0) == 0x80)
                cut++;
            char *half = sv_arena_textn(a, controls[c], cut);
            assert_int_equal(controls_with(t, f == 1, controls[c], half, controls[c] + cut), plain);
        }
        sv_template_drop(t);
        sv_arena_drop(a);
    }
}

/* --- bounds --- */

static void test_a_source_is_read_up_to_256_KiB(void **state)
{
    (void)state;
    sv_bytes b = { 0 };
    sv_template *t;
    assert_int_equal(sv_template_make(repeated(&b, "", "x", 256 << 10, ""), "t", &t), SV_OK);
    assert_int_equal(sv_template_source(t).n, 256 << 10);
    sv_template_drop(t);
    expect_error(repeated(&b, "", "x", (256 << 10) + 1, ""), NULL, SV_E_LIMIT, "262145 bytes");
    sv_bytes_done(&b);
}

static void test_a_template_has_up_to_65536_nodes(void **state)
{
    (void)state;
    sv_bytes b = { 0 };
    sv_marked m = { 0 };
    assert_int_equal(render(repeated(&b, "", "{{1}}", 32767, ""), NULL, NULL, &m), SV_OK);
    assert_int_equal(m.text.n, 32767);
    sv_marked_done(&m);
    assert_int_equal(render(repeated(&b, "x", "{{1}}", 32767, ""), NULL, NULL, &m), SV_OK); /* 65,536 */
    sv_marked_done(&m);
    expect_error(repeated(&b, "x", "{{1}}", 32767, "y"), NULL, SV_E_LIMIT, "65536 nodes");
    sv_bytes_done(&b);
}

static void test_nesting_is_bounded_when_a_template_is_read(void **state)
{
    static const char *const table[][4] = { { "{{ ", "(", ") }}", "1" },
                                            { "{{ ", "[", "] }}", "1" },
                                            { "{{ ", "-", " }}", "1" },
                                            { "{{ ", "not ", " }}", "1" },
                                            { "", "{% if 1 %}", "{% endif %}", "" },
                                            { "", "{% for x in y %}", "{% endfor %}", "" },
                                            { "{{ 1", "|default(1", ")}}", "" },
                                            { "{{ x", "[0", "]}}", "" },
                                            { "{{ x ", "if y else z ", "}}", "" } };
    (void)state;
    sv_bytes b = { 0 };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_error(repeated(&b, table[i][0], table[i][1], 9000, table[i][3]), NULL, SV_E_LIMIT, "");
    for (size_t n = 62; n < 66; n++) { /* 64 levels, the expression itself is one */
        sv_bytes_clear(&b);
        sv_bytes_text(&b, "{{ ");
        for (size_t i = 0; i < n; i++)
            sv_bytes_char(&b, '(');
        sv_bytes_char(&b, '1');
        for (size_t i = 0; i < n; i++)
            sv_bytes_char(&b, ')');
        sv_bytes_text(&b, " }}");
        sv_marked m = { 0 };
        assert_int_equal(render((sv_str){ b.p, b.n }, NULL, NULL, &m), n <= 63 ? SV_OK : SV_E_LIMIT);
        sv_marked_done(&m);
    }
    expect_error(repeated(&b, "{{ x", ".y", 9000, "}}"), NULL, SV_E_LIMIT, "512 levels");
    sv_marked m = { 0 };
    assert_int_equal(render(repeated(&b, "{{ 1", "+1", 9000, "}}"), NULL, NULL, &m), SV_OK); /* a chain is flat */
    assert_string_equal(m.text.p, "9001");
    sv_marked_done(&m);
    sv_bytes_done(&b);
}

static void test_rendering_stops_at_its_bounds(void **state)
{
    (void)state;
    refuse("{% set r = range(10000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}", SV_E_LIMIT,
           "10000000 steps");
    refuse("{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", SV_E_LIMIT, "64 MiB");
    refuse("{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
           SV_E_LIMIT, "64 MiB");
    refuse("{% set s = 'x' * 1048576 %}{% for a in range(17) %}{{ s }}{% endfor %}", SV_E_LIMIT, "16 MiB");
    sv_marked m = { 0 };
    assert_int_equal(
        render(SV_STR("{% set s = 'x' * 1048576 %}{% for a in range(16) %}{{ s }}{% endfor %}"), NULL, NULL, &m),
        SV_OK);
    assert_int_equal(m.text.n, 16 << 20);
    sv_marked_done(&m);
    expect("{{ range(10000) | length }}{{ ([0] * 1000000) | length }}", NULL, NULL, "«100001000000»");
    refuse("{{ range(10001) }}", SV_E_LIMIT, "10000 items");
    refuse("{{ range(-9223372036854775807, 9223372036854775807) }}", SV_E_LIMIT, "10000 items");
    refuse("{{ [0] * 1000001 }}", SV_E_LIMIT, "1000000 items");
    refuse("{% set l = [0] * 1000000 %}{{ l.append(1) }}", SV_E_LIMIT, "1000000 items");
    refuse("{{ 'ab' * 9223372036854775807 }}", SV_E_LIMIT, "repeated");
    refuse("{{ 'a' | indent(9223372036854775807) }}", SV_E_LIMIT, "indentation");
    refuse("{{ [1] | tojson(indent=9223372036854775807) }}", SV_E_LIMIT, "");
    refuse("{{ 9223372036854775807 + 1 }}", SV_E_LIMIT, "64 bits");
    refuse("{{ -9223372036854775807 - 2 }}", SV_E_LIMIT, "64 bits");
    refuse("{{ 4611686018427387904 * 2 }}", SV_E_LIMIT, "64 bits");
    refuse("{{ (-9223372036854775807 - 1) // -1 }}", SV_E_LIMIT, "64 bits");
}

static void test_values_nested_too_deep_are_refused_and_never_recurse(void **state)
{
    static const char nest[] =
        "{% set ns = namespace(x=[]) %}{% for i in range(100) %}{% set ns.x = [ns.x] %}{% endfor %}";
    static const char *const use[] = { "{{ ns.x }}", "{{ ns.x | tojson }}",
                                       "{{ ns.x == [ns.x][0] ~ '' }}{{ ns.x < [[]] }}{{ ns.x }}",
                                       "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}" };
    (void)state;
    sv_bytes b = { 0 };
    for (size_t i = 0; i < sizeof use / sizeof use[0]; i++)
        expect_error(repeated(&b, nest, use[i], 1, ""), NULL, SV_E_LIMIT, "nested more than 64 deep");
    refuse("{% set a = namespace(x=[]) %}{% set b = namespace(x=[]) %}{% for i in range(99) %}{% set a.x = [a.x] %}{% "
           "set b.x = "
           "[b.x] %}{% endfor %}{{ a.x == b.x }}",
           SV_E_LIMIT, "nested more than 64 deep");
    refuse("{% set ns = namespace(x=()) %}{% for i in range(99) %}{% set ns.x = (ns.x,) %}{% endfor %}{{ {ns.x: 1} }}",
           SV_E_LIMIT, "nested more than 64 deep");
    /* shared branches: 2^60 items to print */
    refuse("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
           SV_E_LIMIT, "");
    sv_str deep = repeated(&b, "{\"x\":", "[", 100, "");
    (void)deep;
    for (int i = 0; i < 100; i++)
        sv_bytes_char(&b, ']');
    sv_bytes_char(&b, '}');
    expect_error(SV_STR("{{ x }}"), b.p, SV_E_LIMIT, "nested more than 64 deep");
    refuse("{{ ('[' * 100) | from_json }}", SV_E_LIMIT, "nested more than 64 deep");
    sv_bytes_done(&b);
}

static void test_no_macro_reaches_itself(void **state)
{
    (void)state;
    refuse("{% macro m() %}\n {{ m() }}{% endmacro %}", SV_E_UNSUPPORTED, "t.jinja:2:5: macro 'm'");
    refuse("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}", SV_E_UNSUPPORTED,
           "macro 'b'");
    refuse("{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}", SV_E_UNSUPPORTED, "t.jinja:1:20");
    refuse("{% macro m() %}{{ g() }}{% endmacro %}{% set g = m %}{{ m() }}", SV_E_UNSUPPORTED, "stand before it");
    refuse("{% for x in [1] %}{% macro m() %}{% endmacro %}{% endfor %}", SV_E_UNSUPPORTED,
           "t.jinja:1:22: macro inside");
    sv_bytes b = { 0 };
    sv_bytes_text(&b, "{% macro m0() %}.{% endmacro %}");
    for (int i = 1; i < 2000; i++)
        sv_bytes_printf(&b, "{%% macro m%d() %%}{{ m%d() }}{%% endmacro %%}", i, i - 1);
    sv_bytes_text(&b, "{{ m1999() }}");
    expect_error((sv_str){ b.p, b.n }, NULL, SV_E_LIMIT, "nested more than 1024 deep");
    sv_bytes_done(&b);
}

/* --- refusals --- */

static void test_what_is_not_built_is_named_with_line_and_column(void **state)
{
    static const char *const table[][2] = {
        { "{% include 'x' %}", "t.jinja:1:4: tag 'include'" },
        { "a\nb {% raw %}{{{% endraw %}", "t.jinja:2:6: tag 'raw'" },
        { "{% call x() %}{% endcall %}", "tag 'call'" },
        { "{% filter upper %}{% endfilter %}", "tag 'filter'" },
        { "{% block b %}{% endblock %}", "tag 'block'" },
        { "{% extends 'b' %}", "tag 'extends'" },
        { "{% import 'b' as b %}", "tag 'import'" },
        { "{% with x = 1 %}{% endwith %}", "tag 'with'" },
        { "{% do x %}", "tag 'do'" },
        { "{% unheard_of %}", "tag 'unheard_of'" },
        { "äöü\n  ü{{ x | pprint }}", "t.jinja:2:11: filter 'pprint'" },
        { "{{ x | map('upper') }}", "filter 'map' with an argument that has no name" },
        { "{{ x | tojson(2) }}", "filter 'tojson' with an argument that has no name" },
        { "{{ x | tojson(sort_keys=true) }}", "filter 'tojson' with this keyword argument" },
        { "{{ x | tojson(ensure_ascii=true) }}", "filter 'tojson' with ensure_ascii" },
        { "{{ x | select('odd') }}", "filter 'select' with this test" },
        { "{{ x | selectattr('a', 'divisibleby', 3) }}", "filter 'selectattr' with this test" },
        { "{{ x | upper(1) }}", "filter 'upper' with so many arguments" },
        { "{{ x is odd }}", "t.jinja:1:9: test 'odd'" },
        { "{{ x is not sameas y }}", "test 'sameas'" },
        { "{{ x.splitlines() }}", "t.jinja:1:6: method 'splitlines'" },
        { "{{ x.__class__() }}", "method '__class__'" },
        { "{{ ''.format(1) }}", "method 'format'" },
        { "{{ dict(a=1) }}", "t.jinja:1:4: function 'dict'" },
        { "{{ cycler(1) }}", "function 'cycler'" },
        { "{{ x[0](1) }}", "call of an" },
        { "{{ f(*x) }}", "argument form '*'" },
        { "{{ f(**x) }}", "argument form '**'" },
        { "{{ 1 / 2 }}", "t.jinja:1:6: operator '/'" },
        { "{{ 1 ** 2 }}", "operator '**'" },
        { "{{ x[1, 2] }}", "subscript with ','" },
        { "{% for x in y recursive %}{% endfor %}", "loop form 'recursive'" },
        { "{% for x in y %}{{ loop.revindex }}{% endfor %}", "t.jinja:1:25: loop attribute 'revindex'" },
        { "{% for x in y %}{{ loop.cycle('a') }}{% endfor %}", "loop attribute 'cycle'" },
        { "{% for loop in y %}{% endfor %}", "assignment to 'loop'" },
        { "{% macro m() %}{{ varargs }}{% endmacro %}", "name in a macro: 'varargs'" },
        { "{{ caf\xc3\xa9 }}", "names with characters other than ASCII" },
        { "{{ 0x10 }}", "other than decimal" },
        { "{{ 9223372036854775808 }}", "64 bits" },
        { "{{ 1e999 }}", "range of a double" },
        { "{{ '\\N{DASH}' }}", "\\N" },
        { "{{ '\\ud800' }}", "no Unicode scalar value" },
        { "{{ '%d' % 1 }}", "formatting with %" },
        { "{{ [1] | select }}", "printing a 'generator'" },
        { "{{ 'x' | int(0, 16) }}", "another base" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        refuse(table[i][0], SV_E_UNSUPPORTED, table[i][1]);
}

static void test_a_syntax_error_has_line_and_column(void **state)
{
    static const char *const table[][2] = {
        { "x\ny {{ 1 + }}", "t.jinja:2:10: expected an expression, found '}}'" },
        { "{% if x %}\n", "expected 'elif' or 'else' or 'endif', found the end of the template" },
        { "{% endif %}", "t.jinja:1:4: expected a tag that fits the open block, found 'endif'" },
        { "{{ 'abc }}", "t.jinja:1:4: a string is not closed" },
        { "{# abc", "a comment is not closed" },
        { "{{ (1] }}", "t.jinja:1:6: a closing bracket does not fit" },
        { "{{ 1", "expected '}}', found the end of the template" },
        { "{{ a b }}", "t.jinja:1:6: expected '}}', found 'b'" },
        { "{% break %}", "'break' outside of a loop" },
        { "{% set true = 1 %}", "t.jinja:1:8: expected a name to assign to" },
        { "{% macro m(a=1, b) %}{% endmacro %}", "a default" },
        { "{% macro m(a, a) %}{% endmacro %}", "repeated" },
        { "{{ f(a=1, a=2) }}", "repeated" },
        { "{{ f(a=1, 2) }}", "a keyword argument" },
        { "{{ 007 }}", "begins with 0" },
        { "{{ '\\x4' }}", "cut" },
        { "{{ $ }}", "unexpected character '$'" },
        { "{{ x is defined is defined }}", "chained" },
        { "\xff", "byte 0 is not" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        refuse(table[i][0], SV_E_FORMAT, table[i][1]);
}

static void test_a_fault_of_rendering_has_line_and_column_and_leaves_no_text(void **state)
{
    (void)state;
    refuse("text\n {{ nope.x }}", SV_E_ARG, "t.jinja:2:10: 'nope' is undefined");
    refuse("{{ messages[0].x }}{{ messages[0].x.y }}", SV_E_ARG, "'list object' has no attribute '[...]'");
    refuse("a{{ none.split('x') }}", SV_E_ARG, "'None' has no attribute 'split'");
    refuse("{{ 'a' + 1 }}", SV_E_ARG, "unsupported operand type(s) for +: 'str' and 'int'");
    refuse("before {{ raise_exception('Stop here: ' ~ 1) }}", SV_E_ARG, "Stop here: 1");
    assert_string_equal(sv_err_text(), "Stop here: 1");
    sv_marked m = { 0 };
    sv_marked_add(&m, SV_STR("kept"), true);
    assert_int_equal(render(SV_STR("more{{ raise_exception('x') }}"), NULL, NULL, &m), SV_E_ARG);
    assert_int_equal(m.text.n, 4);
    assert_int_equal(m.n_run, 1);
    assert_int_equal(m.run[0].end, 4);
    assert_int_equal(render(SV_STR("+{{ u }}"), NULL, "{\"u\":\"v\"}", &m), SV_OK);
    sv_bytes got = { 0 };
    show(&m, &got);
    assert_string_equal(got.p, "kept+«v»");
    sv_bytes_done(&got);
    sv_marked_done(&m);
}

static void test_a_request_cannot_replace_what_the_caller_gives(void **state)
{
    static const char *const keys[] = { "messages",        "tools",        "add_generation_prompt",
                                        "bos_token",       "eos_token",    "range",
                                        "raise_exception", "strftime_now", "loop" };
    (void)state;
    sv_bytes b = { 0 };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        sv_bytes_clear(&b);
        sv_bytes_printf(&b, "{\"%s\":1}", keys[i]);
        expect_error(SV_STR("x"), b.p, SV_E_ARG, keys[i]);
    }
    expect_error(SV_STR("x"), "[]", SV_E_ARG, "must be an object");
    sv_marked m = { 0 };
    assert_int_equal(render(SV_STR("x"), "{}", NULL, &m), SV_E_ARG);
    sv_marked_done(&m);
    sv_bytes_done(&b);
    expect("{{ enable_thinking is defined }}{{ enable_thinking is false }}", NULL, "{\"enable_thinking\":false}",
           "TrueTrue");
}

static void test_the_clock_never_enters_a_prompt(void **state)
{
    (void)state;
    expect("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}", NULL, NULL,
           "26 Jul 2024");
    refuse("{{ strftime_now('%Y') }}", SV_E_ARG, "'strftime_now' is undefined");
}

static void test_a_generation_block_is_transparent(void **state)
{
    (void)state;
    expect("{% for m in messages %}{% generation %}{{ m.role }}!{% endgeneration %}{% endfor %}",
           "[{\"role\":\"user\"}]", NULL, "user!");
}

static void test_a_template_renders_the_same_any_number_of_times(void **state)
{
    (void)state;
    sv_template *t;
    assert_int_equal(sv_template_make(SV_STR("{% set l = ['a'] %}{{ l.append('b') }}{{ l ~ 'x' ~ 'y' }}"), NULL, &t),
                     SV_OK);
    json_t *messages = json_array();
    sv_template_input in = { .messages = messages };
    for (int i = 0; i < 3; i++) {
        sv_marked m = { 0 };
        assert_int_equal(sv_template_render(t, &in, &m), SV_OK);
        assert_string_equal(m.text.p, "None['a', 'b']xy");
        sv_marked_done(&m);
    }
    json_decref(messages);
    sv_template_drop(t);
    sv_template_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_byte_keeps_its_mark_through_every_operation),
        cmocka_unit_test(test_role_names_are_trusted_only_when_they_are_known),
        cmocka_unit_test(test_a_token_in_two_parts_is_not_trusted_as_a_whole),
        cmocka_unit_test(test_no_text_of_a_request_adds_a_control_token),
        cmocka_unit_test(test_a_source_is_read_up_to_256_KiB),
        cmocka_unit_test(test_a_template_has_up_to_65536_nodes),
        cmocka_unit_test(test_nesting_is_bounded_when_a_template_is_read),
        cmocka_unit_test(test_rendering_stops_at_its_bounds),
        cmocka_unit_test(test_values_nested_too_deep_are_refused_and_never_recurse),
        cmocka_unit_test(test_no_macro_reaches_itself),
        cmocka_unit_test(test_what_is_not_built_is_named_with_line_and_column),
        cmocka_unit_test(test_a_syntax_error_has_line_and_column),
        cmocka_unit_test(test_a_fault_of_rendering_has_line_and_column_and_leaves_no_text),
        cmocka_unit_test(test_a_request_cannot_replace_what_the_caller_gives),
        cmocka_unit_test(test_the_clock_never_enters_a_prompt),
        cmocka_unit_test(test_a_generation_block_is_transparent),
        cmocka_unit_test(test_a_template_renders_the_same_any_number_of_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
