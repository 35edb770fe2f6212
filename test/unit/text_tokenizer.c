/* SPDX-License-Identifier: Apache-2.0
 * Reading tokenizer.json and GGUF vocabularies: what is taken, what is refused, and streaming.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/sha.h"
#include "text/bytelevel.h"
#include "text/tokenizer.h"

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

static void assert_ids(const sv_tokenizer *t, const char *text, bool trusted, const char *expected)
{
    sv_ids ids = { 0 };
    sv_bytes out = { 0 };
    ok(sv_tokenizer_encode_plain(t, sv_str_of(text), trusted, &ids));
    for (size_t i = 0; i < ids.n; i++)
        sv_bytes_printf(&out, "%s%u", i > 0 ? " " : "", ids.id[i]);
    assert_string_equal(out.n > 0 ? out.p : "", expected);
    sv_ids_done(&ids);
    sv_bytes_done(&out);
}

/* A small valid file whose parts a test may replace. NULL: the part that is usual. */
typedef struct parts {
    const char *added, *normalizer, *pre, *post, *decoder, *model, *vocab, *merges, *end;
} parts;

#define OR(given, usual) ((given) ? (given) : (usual))
#define BYTE_LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}"

static sv_err make(const parts *p, sv_tokenizer **t)
{
    sv_bytes json = { 0 };
    sv_bytes_printf(&json,
                    "{\"version\": \"1.0\", \"added_tokens\": [%s], \"normalizer\": %s, \"pre_tokenizer\": %s, "
                    "\"post_processor\": %s, \"decoder\": %s, \"model\": {%s \"vocab\": %s, \"merges\": %s}}%s",
                    OR(p->added, "{\"id\": 4, \"content\": \"<e>\", \"special\": true}"), OR(p->normalizer, "null"),
                    OR(p->pre, BYTE_LEVEL), OR(p->post, "null"), OR(p->decoder, "null"),
                    OR(p->model, "\"type\": \"BPE\","), OR(p->vocab, "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u0120\": 3}"),
                    OR(p->merges, "[\"a b\"]"), OR(p->end, ""));
    sv_err e = sv_tokenizer_from_json((sv_str){ json.p, json.n }, "test.json", t);
    sv_bytes_done(&json);
    return e;
}

static void test_a_small_file_is_read(void **state)
{
    sv_tokenizer *t;
    uint8_t sum[32], again[32];
    (void)state;
    ok(make(&(parts){ 0 }, &t));
    assert_int_equal(sv_tokenizer_count(t), 5);
    assert_ids(t, "ab a", false, "2 3 0");
    assert_ids(t, "ab<e>ab", true, "2 4 2");
    assert_ids(t, "", true, "");
    assert_true(sv_str_starts(sv_tokenizer_json(t), "{\"version\": \"1.0\""));
    sv_tokenizer_hash(t, sum);
    sv_sha_of(sv_tokenizer_json(t).p, sv_tokenizer_json(t).n, again);
    assert_memory_equal(sum, again, 32);
    sv_tokenizer_drop(t);
    sv_tokenizer_drop(NULL);
}

static void test_forms_that_mean_the_same_are_taken(void **state)
{
    static const parts rows[] = {
        { .merges = "[[\"a\", \"b\"]]" },
        { .merges = "[ [\"\\u0061\" , \"b\"] ]" },
        { .normalizer = "{\"type\": \"NFC\"}" },
        { .normalizer = "{\"type\": \"Sequence\", \"normalizers\": []}" },
        { .pre = "{\"type\": \"Sequence\", \"pretokenizers\": [" BYTE_LEVEL "]}" },
        { .pre = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "
                 "true}, " BYTE_LEVEL "]}" },
        { .pre =
              "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \" ?[^ ]+| "
              "\"}, "
              "\"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
              "\"trim_offsets\": true, \"use_regex\": false}]}" },
        { .post = "{\"type\": \"TemplateProcessing\"}", .decoder = BYTE_LEVEL },
        { .decoder = "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}]}" },
        { .model = "\"dropout\": null, \"unk_token\": null, \"end_of_word_suffix\": \"\", \"byte_fallback\": false," },
        { .vocab = "{ }",
          .added = "{\"id\": 2, \"content\": \"ab\"}, {\"id\": 3, \"content\": \" \"}, "
                   "{\"id\": 0, \"content\": \"a\"}",
          .merges = "[]" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sv_tokenizer *t;
        ok(make(&rows[i], &t));
        assert_ids(t, "ab a", true, "2 3 0");
        sv_tokenizer_drop(t);
    }
}

static void test_what_is_not_built_is_refused_by_its_name(void **state)
{
    static const struct {
        parts p;
        const char *named;
    } rows[] = {
        { { .normalizer = "{\"type\": \"NFKC\"}" }, "NFKC" },
        { { .normalizer = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}]}" }, "Lowercase" },
        { { .pre = "{\"type\": \"Metaspace\"}" }, "Metaspace" },
        { { .pre = "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": true}" }, "add_prefix_space" },
        { { .pre = "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Removed\"}" }, "Removed" },
        { { .pre = "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Isolated\", \"invert\": "
                   "true}" },
          "invert" },
        { { .pre = "{\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"Isolated\"}" }, "Regex" },
        { { .pre = "{\"type\": \"Sequence\", \"pretokenizers\": [" BYTE_LEVEL ", {\"type\": \"Digits\"}]}" },
          "Digits" },
        { { .pre = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Sequence\", \"pretokenizers\": []}]}" },
          "Sequence" },
        { { .post = "{\"type\": \"BertProcessing\"}" }, "BertProcessing" },
        { { .decoder = "{\"type\": \"WordPiece\"}" }, "WordPiece" },
        { { .model = "\"type\": \"Unigram\"," }, "Unigram" },
        { { .model = "\"continuing_subword_prefix\": \"##\"," }, "continuing_subword_prefix" },
        { { .model = "\"end_of_word_suffix\": \"</w>\"," }, "end_of_word_suffix" },
        { { .model = "\"byte_fallback\": true," }, "byte_fallback" },
        { { .model = "\"unk_token\": \"a\", \"fuse_unk\": true," }, "fuse_unk" },
        { { .model = "\"dropout\": 0.1," }, "dropout" },
        { { .added = "{\"id\": 4, \"content\": \"<e>\", \"lstrip\": true}" }, "lstrip" },
        { { .added = "{\"id\": 4, \"content\": \"<e>\", \"rstrip\": true}" }, "rstrip" },
        { { .added = "{\"id\": 4, \"content\": \"<e>\", \"single_word\": true}" }, "single_word" },
        { { .added = "{\"id\": 2, \"content\": \"ab\", \"special\": true}" }, "special token ab" },
        { { .pre = "null", .vocab = "{\"\\u00e9\": 0}", .merges = "[]" }, "ASCII" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sv_tokenizer *t;
        assert_int_equal(make(&rows[i].p, &t), SV_E_UNSUPPORTED);
        assert_null(t);
        if (!strstr(sv_err_text(), rows[i].named))
            fail_msg("\"%s\" does not name %s", sv_err_text(), rows[i].named);
    }
}

static void test_damaged_files_are_refused(void **state)
{
    static const parts rows[] = {
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"c\": 2}" },       /* an id twice */
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"a\": 3}" },       /* a token twice */
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u0061\": 3}" }, /* the same in another spelling */
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\": 3}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": -2}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2.0}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 02}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2e0}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": \"2\"}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 4294967296}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 99999999999999999999999999}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2,}" },
        { .vocab = "{\"a\": 0, \"b\": 1 \"ab\": 2}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\" 2}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\ud800\": 3}" }, /* half a surrogate pair */
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\ud800\\u0041\": 3}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\udc00\": 3}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u0000\": 3}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u00g0\": 3}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\\x\": 3}" },
        { .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\n\": 3}" },
        { .vocab = "[\"a\", \"b\", \"ab\"]" },
        { .vocab = "7" },
        { .vocab = "null" },
        { .merges = "[\"a b\", \"b c\"]" }, /* no such token */
        { .merges = "[\"a a\"]" },          /* no such result */
        { .merges = "[\"a\"]" },
        { .merges = "[\"a b \"]" },
        { .merges = "[\"a  b\"]" },
        { .merges = "[\" ab\"]" },
        { .merges = "[[\"a\", \"b\", \"a\"]]" },
        { .merges = "[[\"\", \"ab\"]]" }, /* a cycle */
        { .merges = "[[\"a\"]]" },
        { .merges = "[7]" },
        { .merges = "{}" },
        { .merges = "[\"a b\"" },
        { .merges = "[\"a b\" \"a b\"]" },
        { .merges = "[\"\xe4\xb8\x80 b\"]" }, /* not in the byte-level alphabet */
        { .merges = "[\"a b\"], \"merges\": []" },
        { .added = "{\"id\": 3, \"content\": \"<e>\"}" }, /* the id is taken */
        { .added = "{\"id\": 4, \"content\": \"a\"}" },   /* the vocabulary says 0 */
        { .added = "{\"id\": 4, \"content\": \"<e>\"}, {\"id\": 5, \"content\": \"<e>\"}" },
        { .added = "{\"id\": 4, \"content\": \"<e>\"}, {\"id\": 4, \"content\": \"<f>\"}" },
        { .added = "{\"id\": 4, \"content\": \"\"}" },
        { .added = "{\"id\": 4}" },
        { .added = "{\"content\": \"<e>\"}" },
        { .added = "{\"id\": 1048576, \"content\": \"<e>\"}" },
        { .added = "7" },
        { .normalizer = "7" },
        { .normalizer = "{}" },
        { .pre = "{\"type\": 7}" },
        { .pre = "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}" },
        { .end = "x" },
        { .end = "\xff" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sv_tokenizer *t;
        sv_err e = make(&rows[i], &t);
        if (e != SV_E_FORMAT)
            fail_msg("row %zu: %s, %s", i, sv_err_name(e), sv_err_text());
        assert_null(t);
    }
    static const char *const whole[] = { "",
                                         "{",
                                         "{}",
                                         "[]",
                                         "null",
                                         "{\"model\": 7}",
                                         "{\"model\": {",
                                         "{\"model\"",
                                         "\"",
                                         "{\"model\": {\"vocab\": {}}, \"model\": {}}",
                                         "{\"a\": ]}",
                                         "{\"a\": \"\\" };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        sv_tokenizer *t;
        assert_int_equal(sv_tokenizer_from_json(sv_str_of(whole[i]), "test.json", &t), SV_E_FORMAT);
    }
}

static void test_limits_are_kept(void **state)
{
    sv_tokenizer *t;
    sv_bytes text = { 0 };
    (void)state;
    assert_int_equal(make(&(parts){ .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 1048576}" }, &t), SV_E_LIMIT);
    ok(make(&(parts){ .vocab = "{\"a\": 0, \"b\": 1, \"ab\": 1048575}" }, &t));
    sv_tokenizer_drop(t);
    for (int n = 1024; n <= 1025; n++) { /* bytes of an added token */
        sv_bytes_clear(&text);
        sv_bytes_text(&text, "{\"id\": 4, \"content\": \"");
        for (int i = 0; i < n; i++)
            sv_bytes_char(&text, 'x');
        sv_bytes_text(&text, "\"}");
        assert_int_equal(make(&(parts){ .added = text.p }, &t), n == 1024 ? SV_OK : SV_E_LIMIT);
        sv_tokenizer_drop(t);
    }
    for (int n = 28; n <= 34; n++) { /* depth: the file and the part add 2 */
        sv_bytes_clear(&text);
        for (int i = 0; i < n; i++)
            sv_bytes_text(&text, "[");
        for (int i = 0; i < n; i++)
            sv_bytes_text(&text, "]");
        sv_bytes whole = { 0 };
        sv_bytes_printf(&whole, "{\"deep\": %s, \"model\": {\"vocab\": {}}}", text.p);
        assert_int_equal(sv_tokenizer_from_json((sv_str){ whole.p, whole.n }, "t", &t), n <= 31 ? SV_OK : SV_E_LIMIT);
        sv_tokenizer_drop(t);
        sv_bytes_done(&whole);
    }
    sv_bytes_done(&text);
}

/* The vocabulary of the demo: special tokens, single characters, no merges; with and without ByteLevel. */
static void test_the_demo_vocabulary_loads(void **state)
{
    static const char *const pre[] = { NULL, "null",
                                       "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}" };
    static const char *const special[] = { "<pad>", "<end>", "<think>", "</think>", "<answer>", "</answer>" };
    sv_bytes added = { 0 }, vocab = { 0 };
    (void)state;
    for (int i = 0; i < 6; i++) {
        sv_bytes_printf(&added, "%s{\"id\": %d, \"content\": \"%s\", \"special\": true}", i > 0 ? ", " : "", i,
                        special[i]);
        sv_bytes_printf(&vocab, "%s\"%s\": %d", i > 0 ? ", " : "{", special[i], i);
    }
    for (int i = 0; i < 19; i++)
        sv_bytes_printf(&vocab, ", \"%c\": %d", "0123456789+-*=,;:!?"[i], 6 + i);
    sv_bytes_char(&vocab, '}');
    for (int i = 0; i < 3; i++) {
        sv_tokenizer *t;
        ok(make(&(parts){ .added = added.p, .pre = pre[i], .vocab = vocab.p, .merges = "[]" }, &t));
        assert_int_equal(sv_tokenizer_count(t), 25);
        assert_ids(t, "2*3+1:<think>2*3=6;</think><answer>7</answer><end>", true,
                   "8 18 9 16 7 22 2 8 18 9 19 12 21 3 4 13 5 1");
        sv_ids ids = { 0 };
        assert_int_equal(sv_tokenizer_encode_plain(t, SV_STR("2 3"), true, &ids), SV_E_FORMAT);
        assert_non_null(strstr(sv_err_text(), "0x20"));
        assert_int_equal(sv_tokenizer_encode_plain(t, SV_STR("<end>"), false, &ids), SV_E_FORMAT);
        sv_ids_done(&ids);
        sv_tokenizer_drop(t);
    }
    sv_bytes_done(&added);
    sv_bytes_done(&vocab);
}

static void test_added_tokens_match_leftmost_then_longest(void **state)
{
    sv_tokenizer *t;
    (void)state;
    ok(make(&(parts){ .added = "{\"id\": 4, \"content\": \"ba\", \"normalized\": false}, "
                               "{\"id\": 5, \"content\": \"baa\", \"normalized\": false}, "
                               "{\"id\": 6, \"content\": \"aab\", \"normalized\": false}, "
                               "{\"id\": 7, \"content\": \"b\\u00e9\", \"normalized\": true}" },
            &t));
    assert_ids(t, "baab", true, "5 1");
    assert_ids(t, "aaba", true, "6 0");
    assert_ids(t, "bab", true, "4 1");
    assert_ids(t, "baab", false, "1 0 2");
    assert_ids(t, "ab\xc3\xa9", true, "0 7");
    sv_tokenizer_drop(t);
    /* A normalised one is found in the normalised text. */
    ok(make(&(parts){ .normalizer = "{\"type\": \"NFC\"}", .added = "{\"id\": 7, \"content\": \"be\\u0301\"}" }, &t));
    assert_ids(t, "abe\xcc\x81", true, "0 7");
    assert_ids(t, "ab\xc3\xa9", true, "0 7");
    uint32_t id;
    assert_true(sv_tokenizer_find(t, SV_STR("be\xcc\x81"), &id));
    sv_tokenizer_drop(t);
}

static void test_gguf_parts_are_checked(void **state)
{
    const sv_str token[] = { SV_STR("a"), SV_STR("b"), SV_STR("ab"), SV_STR("<c>"), SV_STR("<u>"), SV_STR("[PAD5]") };
    const sv_str other[] = { SV_STR("a"), SV_STR("c"), SV_STR("ab"), SV_STR("<c>"), SV_STR("<u>"), SV_STR("[PAD5]") };
    const sv_str merge[] = { SV_STR("a b") }, bad_merge[] = { SV_STR("ab") };
    int32_t type[] = { 1, 1, 1, 3, 4, 5 };
    const sv_vocab_parts good = { "gpt-2", token, type, 6, merge, 1, 3, -1, -1, true };
    sv_vocab_parts p = good;
    sv_tokenizer *t, *again;
    (void)state;
    ok(sv_tokenizer_from_parts(&p, "gguf", &t));
    assert_int_equal(sv_tokenizer_count(t), 5); /* rows behind the tokens do not exist */
    assert_ids(t, "ab<c><u>", true, "2 3 4");
    assert_true(sv_tokenizer_is_special(t, 3));
    assert_false(sv_tokenizer_is_special(t, 4));
    assert_non_null(strstr(sv_tokenizer_json(t).p, "TemplateProcessing"));
    ok(sv_tokenizer_from_json(sv_tokenizer_json(t), "again", &again));
    ok(sv_tokenizer_agrees(again, &p));
    p.n_token = 4;
    assert_int_equal(sv_tokenizer_agrees(again, &p), SV_E_FORMAT);
    p = good;
    p.token = other;
    assert_int_equal(sv_tokenizer_agrees(again, &p), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "token 1 is c"));
    p = good;
    assert_ids(again, "ab<c><u>", true, "2 3 4");
    sv_tokenizer_drop(again);
    sv_tokenizer_drop(t);
    p.type = NULL; /* all are normal; their bytes are text */
    ok(sv_tokenizer_from_parts(&p, "gguf", &t));
    assert_int_equal(sv_tokenizer_count(t), 6);
    sv_tokenizer_drop(t);

    p = good;
    p.pre = "unheard-of";
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_UNSUPPORTED);
    assert_non_null(strstr(sv_err_text(), "unheard-of"));
    p.pre = NULL;
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_UNSUPPORTED);
    p = good;
    p.merge = bad_merge;
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_FORMAT);
    p = good;
    p.n_token = (1u << 20) + 1;
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_LIMIT);
    p = good;
    p.n_merge = (1u << 21) + 1;
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_LIMIT);
    p = good;
    type[2] = 3; /* a merge makes a control token */
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_UNSUPPORTED);
    type[2] = 6;
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_UNSUPPORTED);
    type[2] = 0;
    assert_int_equal(sv_tokenizer_from_parts(&p, "gguf", &t), SV_E_UNSUPPORTED);
    assert_null(t);
}

static void test_every_byte_has_one_character_and_comes_back(void **state)
{
    sv_bytes name = { 0 }, back = { 0 };
    char all[256];
    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    sv_bytelevel_encode((sv_str){ all, 256 }, &name);
    assert_true(sv_utf8_valid(name.p, name.n, NULL));
    assert_true(sv_bytelevel_decode((sv_str){ name.p, name.n }, &back));
    assert_int_equal(back.n, 256);
    assert_memory_equal(back.p, all, 256);
    assert_memory_equal(name.p, "\xc4\x80\xc4\x81", 4); /* byte 0 is U+0100 */
    for (uint32_t cp = 0, n = 0; cp <= 0x10ffff; cp++) {
        char utf8[4];
        sv_bytes_clear(&back);
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        n += sv_bytelevel_decode((sv_str){ utf8, sv_utf8_put(cp, utf8) }, &back);
        if (cp == 0x10ffff)
            assert_int_equal(n, 256);
    }
    sv_bytes_clear(&back);
    sv_bytes_text(&back, "x");
    assert_false(sv_bytelevel_decode(SV_STR("ab c"), &back));
    assert_string_equal(back.p, "x");
    sv_bytes_done(&name);
    sv_bytes_done(&back);
}

/* A vocabulary of all bytes: id = byte. */
static sv_tokenizer *byte_vocab(void)
{
    sv_bytes vocab = { 0 };
    sv_tokenizer *t;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        sv_bytes_text(&vocab, i > 0 ? ", \"" : "{\"");
        if (c == '"' || c == '\\')
            sv_bytes_char(&vocab, '\\');
        sv_bytelevel_encode((sv_str){ &c, 1 }, &vocab);
        sv_bytes_printf(&vocab, "\": %d", i);
    }
    sv_bytes_char(&vocab, '}');
    ok(make(&(parts){ .added = "", .vocab = vocab.p, .merges = "[]" }, &t));
    sv_bytes_done(&vocab);
    return t;
}

static void assert_streamed(const sv_tokenizer *t, const char *bytes, size_t n, const char *expected)
{
    sv_decoder d;
    sv_bytes out = { 0 };
    sv_decoder_init(&d, t, false);
    for (size_t i = 0; i < n; i++) {
        sv_decoder_put(&d, (unsigned char)bytes[i], &out);
        assert_true(sv_utf8_valid(out.p, out.n, NULL));
    }
    sv_decoder_end(&d, &out);
    assert_string_equal(out.n > 0 ? out.p : "", expected);
    sv_bytes_done(&out);
}

static void test_a_stream_holds_back_incomplete_characters_and_repairs_the_rest(void **state)
{
    sv_tokenizer *t = byte_vocab();
    sv_decoder d;
    sv_bytes out = { 0 };
    (void)state;
    sv_decoder_init(&d, t, false);
    for (int i = 0; i < 3; i++) {
        sv_decoder_put(&d, (unsigned char)"\xf0\x9f\x9a"[i], &out);
        assert_int_equal(out.n, 0);
    }
    sv_decoder_put(&d, 0x80, &out);
    assert_string_equal(out.p, "\xf0\x9f\x9a\x80");
    sv_bytes_done(&out);
    assert_streamed(t, "a\xc3\xa9z", 4, "a\xc3\xa9z");
    assert_streamed(t, "\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd");
    assert_streamed(t, "\xf0\x9f\x9a", 3, "\xef\xbf\xbd"); /* one for a maximal part */
    assert_streamed(t,
                    "\xf0\x9f\x9a"
                    "b",
                    4,
                    "\xef\xbf\xbd"
                    "b");
    assert_streamed(t, "\xe0\x80\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* overlong */
    assert_streamed(t, "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* a surrogate */
    assert_streamed(t, "\xe4\xb8\xe4\xb8\x80", 5, "\xef\xbf\xbd\xe4\xb8\x80");
    sv_tokenizer_drop(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_file_is_read),
        cmocka_unit_test(test_forms_that_mean_the_same_are_taken),
        cmocka_unit_test(test_what_is_not_built_is_refused_by_its_name),
        cmocka_unit_test(test_damaged_files_are_refused),
        cmocka_unit_test(test_limits_are_kept),
        cmocka_unit_test(test_the_demo_vocabulary_loads),
        cmocka_unit_test(test_added_tokens_match_leftmost_then_longest),
        cmocka_unit_test(test_gguf_parts_are_checked),
        cmocka_unit_test(test_every_byte_has_one_character_and_comes_back),
        cmocka_unit_test(test_a_stream_holds_back_incomplete_characters_and_repairs_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
