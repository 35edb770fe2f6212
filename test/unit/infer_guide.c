/* SPDX-License-Identifier: Apache-2.0
 * Grammars and schemas: what a guide lets through is what the schema describes, byte by byte and token by token, and
 * every walk that it lets end is JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "infer/guide.h"
#include "infer/schema.h"
#include "num/philox.h"

static sv_tokenizer *tokenizer;
static sv_vocab *vocab;

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

static int setup(void **state)
{
    (void)state;
    sv_arena *a = sv_arena_make();
    json_t *o;
    ok(sv_json_load("test/golden/models/qwen3/tokenizer.json", &sv_json_tokenizer_limits, &o));
    char *text = json_dumps(o, 0);
    ok(sv_tokenizer_from_json(sv_str_of(text), "tokenizer.json", &tokenizer));
    vocab = sv_vocab_make(tokenizer, sv_tokenizer_count(tokenizer));
    free(text);
    json_decref(o);
    sv_arena_drop(a);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sv_vocab_drop(vocab);
    sv_tokenizer_drop(tokenizer);
    return 0;
}

static sv_guide *guide_of(const char *schema)
{
    json_error_t e;
    json_t *s = json_loads(schema, JSON_DECODE_ANY, &e);
    sv_gram g;
    assert_non_null(s);
    sv_gram_init(&g);
    ok(sv_schema_compile(&g, s, "schema", &g.root));
    json_decref(s);
    return sv_guide_make(&g, vocab);
}

static bool takes(const char *schema, const char *text)
{
    sv_guide *d = guide_of(schema);
    sv_guide_at at = sv_guide_start(d);
    bool yes = sv_guide_put(d, &at, sv_str_of(text)) && sv_guide_may_end(d, at);
    sv_guide_drop(d);
    return yes;
}

#define PERSON \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\"}," \
    "\"nick\":{\"type\":[\"string\",\"null\"]},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"ab\",7]}}}," \
    "\"required\":[\"name\",\"nick\"],\"additionalProperties\":false}"

static void test_a_schema_takes_what_it_describes_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *text;
        bool yes;
    } c[] = {
        { PERSON, "{\"name\":\"x\",\"nick\":null}", true },
        { PERSON, "{ \"name\": \"x\", \"age\": -12, \"nick\": \"\\n\" ,\"tags\":[]}",
          false }, /* no space before a comma */
        { PERSON, "{\n  \"name\": \"x\",\n  \"age\": -12,\n  \"nick\": \"\\n\",\n  \"tags\": [\"a\", \"ab\",7 ]\n}",
          true },
        { PERSON, "{\"name\":\"x\"}", false },
        { PERSON, "{\"nick\":null,\"name\":\"x\"}", false },
        { PERSON, "{\"name\":\"x\",\"age\":1.5,\"nick\":null}", false },
        { PERSON, "{\"name\":\"x\",\"nick\":null,\"other\":1}", false },
        { PERSON, "{\"name\":\"x\",\"nick\":null,}", false },
        { PERSON, "{\"name\":\"x\",\"nick\":null,\"tags\":[\"b\"]}", false },
        { "{\"type\":\"number\"}", "-0.5e-10", true },
        { "{\"type\":\"number\"}", "01", false },
        { "{\"type\":\"number\"}", "1.", false },
        { "{\"type\":\"number\"}", "123456789012345", true },
        { "{\"type\":\"number\"}", "1234567890123456", false },
        { "{\"type\":\"integer\"}", "0", true },
        { "{\"type\":\"integer\"}", "-", false },
        { "{\"type\":\"integer\"}", "1e3", false },
        { "{\"type\":\"boolean\"}", "true", true },
        { "{\"type\":\"string\"}", "\"\xc3\xa9 \xf0\x9f\x98\x80 \\\" \"", true },
        { "{\"type\":\"string\"}", "\"\xc3\"", false },
        { "{\"type\":\"string\"}", "\"\xed\xa0\x80\"", false },
        { "{\"type\":\"string\"}", "\"\xc0\x80\"", false },
        { "{\"type\":\"string\"}", "\"\n\"", false },
        { "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":3}", "[null]", false },
        { "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":3}", "[null,null]", true },
        { "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":3}", "[null,null,null]",
          true },
        { "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":3}", "[null,null,null,null]",
          false },
        { "{\"type\":\"array\",\"maxItems\":0}", "[]", true },
        { "{\"type\":\"array\",\"maxItems\":1}", "[{\"a\":[1]}]", true },
        { "{\"type\":\"array\",\"maxItems\":1}", "[1,2]", false },
        { "{\"type\":\"array\",\"minItems\":1}", "[]", false },
        { "{}", "{\"a\":[1,{\"b\":null}],\"c\":\"\"}", true },
        { "true", "[[[]]]", true },
        { "{\"type\":\"object\"}", "{}", true },
        { "{\"type\":\"object\"}", "[]", false },
        { "{\"type\":\"object\",\"additionalProperties\":false}", "{}", true },
        { "{\"type\":\"object\",\"additionalProperties\":false}", "{\"a\":1}", false },
        { "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"a\":1}", true },
        { "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"a\":null}", false },
        { "{\"const\":{\"a\":[1,2]}}", "{\"a\":[1,2]}", true },
        { "{\"const\":\"a\\\"\\u00e9\"}", "\"a\\\"\xc3\xa9\"", true },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"$ref\":\"#/$defs/n\"}],\"$defs\":{\"n\":{\"type\":\"integer\"}}}", "12",
          true },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"$ref\":\"#/$defs/n\"}],\"$defs\":{\"n\":{\"type\":\"integer\"}}}",
          "\"12\"", true },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"$ref\":\"#/$defs/n\"}],\"$defs\":{\"n\":{\"type\":\"integer\"}}}",
          "null", false },
        { "{\"properties\":{\"a\\\"b\":{\"type\":\"null\"}}}", "{\"a\\\"b\":null}", true },
        { "{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}}}", "{\"b\":null}", true },
        { "{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}}}", "{}", true },
        { "{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}}}", "{\"a\":null,\"b\":null}", true },
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        if (takes(c[i].schema, c[i].text) != c[i].yes)
            fail_msg("%s should %stake %s", c[i].schema, c[i].yes ? "" : "not ", c[i].text);
}

static void test_what_is_not_built_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *words;
        sv_err err;
    } c[] = {
        { "{\"type\":\"string\",\"pattern\":\"a*\"}", "pattern", SV_E_UNSUPPORTED },
        { "{\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":1}}}", "schema.a: the keyword minimum",
          SV_E_UNSUPPORTED },
        { "{\"oneOf\":[]}", "oneOf", SV_E_UNSUPPORTED },
        { "{\"type\":\"text\"}", "type must be", SV_E_ARG },
        { "{\"type\":[]}", "type must be", SV_E_ARG },
        { "{\"type\":7}", "type must be", SV_E_ARG },
        { "7", "must be an object", SV_E_ARG },
        { "{\"enum\":[]}", "enum must be", SV_E_ARG },
        { "{\"anyOf\":7}", "anyOf must be", SV_E_ARG },
        { "{\"properties\":[]}", "properties must be", SV_E_ARG },
        { "{\"type\":\"object\",\"required\":[\"a\"]}", "required names a", SV_E_ARG },
        { "{\"type\":\"object\",\"required\":7}", "required must be", SV_E_ARG },
        { "{\"type\":\"array\",\"minItems\":-1}", "minItems must be", SV_E_ARG },
        { "{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}", "minItems must be", SV_E_ARG },
        { "{\"$ref\":\"#/properties/a\"}", "$ref must be", SV_E_ARG },
        { "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/a\"}}}}",
          "circle", SV_E_UNSUPPORTED },
        { "{\"enum\":[1],\"properties\":{\"a\":{}}}", "only one", SV_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        json_error_t e;
        json_t *s = json_loads(c[i].schema, JSON_DECODE_ANY, &e);
        sv_gram g;
        sv_gram_init(&g);
        assert_int_equal(sv_schema_compile(&g, s, "schema", &g.root), c[i].err);
        if (strstr(sv_err_text(), c[i].words) == NULL)
            fail_msg("%s: %s", c[i].schema, sv_err_text());
        sv_gram_done(&g);
        json_decref(s);
    }
}

/* Each token of the mask can come, each other cannot: against one walk a token. */
static void test_a_mask_is_what_walking_each_token_finds(void **state)
{
    (void)state;
    static const char *const begin[] = { "",
                                         "{",
                                         "{\"name\":\"",
                                         "{\"name\":\"\\",
                                         "{\"name\":\"\xc3",
                                         "{\"name\":\"x\",\n",
                                         "{\"name\":\"x\",\"age\":1",
                                         "{\"name\":\"x\",\"nick\":null,\"tags\":[\"a",
                                         "{\"name\":\"x\",\"nick\":null}" };
    sv_guide *d = guide_of(PERSON);
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++) {
        sv_guide_at at = sv_guide_start(d);
        const uint64_t *mask;
        uint32_t n = 0;
        assert_true(sv_guide_put(d, &at, sv_str_of(begin[i])));
        uint32_t said = sv_guide_mask(d, at, &mask);
        for (uint32_t id = 0; id < vocab->n; id++) {
            sv_guide_at to = at;
            sv_str piece = sv_tokenizer_piece(tokenizer, id);
            bool fits = piece.n > 0 && !sv_tokenizer_is_special(tokenizer, id) && sv_guide_put(d, &to, piece);
            if (fits != (mask[id / 64] >> id % 64 & 1))
                fail_msg("behind %s: token %u %s", begin[i], id, fits ? "is forbidden" : "is allowed");
            n += fits;
        }
        assert_int_equal(n, said);
        assert_int_equal(sv_guide_may_end(d, at), i == 8);
    }
    sv_guide_drop(d);
}

/* A random walk by the masks, which prefers to get on, ends in JSON of the schema's form. */
static void walk(const char *schema, uint32_t seed)
{
    sv_guide *d = guide_of(schema), *fresh = guide_of(schema);
    sv_guide_at at = { 0 };
    uint32_t id[4000], n = 0;
    sv_bytes text = { 0 };
    while (n < 4000) {
        const uint64_t *mask;
        assert_true(sv_guide_follow(d, &at, id, n ? n - 1 : 0, n));
        if (sv_guide_must_end(d, at) || (sv_guide_may_end(d, at) && n % 3 == 0))
            break;
        uint32_t allowed = sv_guide_mask(d, at, &mask), left;
        if (allowed == 0) {
            for (uint32_t i = 0; i < n; i++)
                sv_bytes_add(&text, sv_tokenizer_piece(tokenizer, id[i]).p, sv_tokenizer_piece(tokenizer, id[i]).n);
            fail_msg("%s: nothing may follow %s", schema, text.p);
        }
        left = sv_philox_at(seed, SV_STREAM_TEST, 1, 0, n).w[0] % allowed;
        for (id[n] = 0; !(mask[id[n] / 64] >> id[n] % 64 & 1) || left-- > 0;)
            id[n]++;
        for (const char *c = "1:]}\""; n > 200 && *c; c++) { /* closes what is open, where that is possible */
            for (uint32_t k = 0; k < vocab->n; k++)
                if ((mask[k / 64] >> k % 64 & 1) && sv_str_eq(sv_tokenizer_piece(tokenizer, k), (sv_str){ c, 1 }))
                    id[n] = k;
        }
        n++;
    }
    assert_true(n < 4000);
    for (uint32_t i = 0; i < n; i++)
        sv_bytes_add(&text, sv_tokenizer_piece(tokenizer, id[i]).p, sv_tokenizer_piece(tokenizer, id[i]).n);
    json_error_t e;
    json_t *o = json_loadb(text.p, text.n, JSON_DECODE_ANY, &e);
    if (o == NULL)
        fail_msg("no JSON: %.*s (%s)", (int)text.n, text.p, e.text);
    json_decref(o);
    sv_guide_at again = { 0 };
    assert_true(sv_guide_follow(fresh, &again, id, 0, n) && sv_guide_may_end(fresh, again));
    sv_bytes_done(&text);
    sv_guide_drop(d);
    sv_guide_drop(fresh);
}

static void test_every_walk_that_ends_is_json(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        walk(PERSON, i);
        walk("{}", i);
        walk("{\"type\":\"object\"}", i);
        walk("{\"type\":\"array\",\"items\":{\"type\":\"number\"},\"minItems\":3,\"maxItems\":9}", i);
        walk("{\"anyOf\":[{\"type\":\"number\"},{\"enum\":[\"\",\"\\u0001\",{\"a\":[1.5]}]}]}", i);
    }
}

/* 2^32 ways: some are dropped, and what is left is fast and right. */
static void test_a_schema_of_countless_ways_is_bounded(void **state)
{
    (void)state;
    sv_bytes s = { 0 };
    sv_bytes_text(&s, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 14; i++) /* each level costs two of the 32 */
        sv_bytes_printf(
            &s,
            "\"d%d\":{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/d%d\"}},{\"type\":\"array\","
            "\"items\":{\"$ref\":\"#/$defs/d%d\"}},{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/d%d\"}}]},",
            i, i + 1, i + 1, i + 1);
    sv_bytes_text(&s, "\"d14\":{\"type\":\"null\"}}}");
    json_error_t e;
    json_t *o = json_loads(s.p, 0, &e);
    sv_gram g;
    sv_gram_init(&g);
    sv_err err = sv_schema_compile(&g, o, "schema", &g.root);
    json_decref(o);
    sv_bytes_done(&s);
    if (err != SV_OK) {
        assert_int_equal(err, SV_E_LIMIT);
        sv_gram_done(&g);
        return;
    }
    sv_guide *d = sv_guide_make(&g, vocab);
    sv_guide_at at = sv_guide_start(d);
    const uint64_t *mask;
    for (int i = 0; i < 14; i++)
        assert_true(sv_guide_put(d, &at, SV_STR("[")));
    assert_true(sv_guide_put(d, &at, SV_STR("null")));
    assert_true(sv_guide_mask(d, at, &mask) > 0);
    sv_guide_drop(d);
}

static void test_a_thought_may_come_first(void **state)
{
    (void)state;
    sv_gram g;
    sv_gram_init(&g);
    uint32_t thought = sv_gram_leaf(&g, SV_GRAM_THOUGHT), ws = sv_gram_leaf(&g, SV_GRAM_WS_RUN);
    uint32_t think = sv_gram_seq(&g, (uint32_t[]){ sv_gram_mark(&g, "<think>"), thought, ws }, 3);
    uint32_t either = sv_gram_alt(&g, (uint32_t[]){ think, 0 }, 2);
    g.root = sv_gram_seq(&g, (uint32_t[]){ either, sv_gram_lit(&g, SV_STR("7")) }, 2);
    sv_guide *d = sv_guide_make(&g, vocab);
    static const struct {
        const char *text;
        bool yes;
    } c[] = { { "7", true },
              { "<think>\nwell {\" </thin </</think>\n\n7", true },
              { "<think>well</think>8", false },
              { "<think>well", false },
              { "8", false } };
    for (size_t i = 0; i < 5; i++) {
        sv_guide_at at = sv_guide_start(d);
        assert_int_equal(sv_guide_put(d, &at, sv_str_of(c[i].text)) && sv_guide_may_end(d, at), c[i].yes);
    }
    sv_guide_drop(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_schema_takes_what_it_describes_and_nothing_else),
        cmocka_unit_test(test_what_is_not_built_is_named),
        cmocka_unit_test(test_a_mask_is_what_walking_each_token_finds),
        cmocka_unit_test(test_every_walk_that_ends_is_json),
        cmocka_unit_test(test_a_schema_of_countless_ways_is_bounded),
        cmocka_unit_test(test_a_thought_may_come_first),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
