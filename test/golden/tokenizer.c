/* SPDX-License-Identifier: Apache-2.0
 * Token ids of three real vocabularies against those recorded from the reference implementation (PyPI tokenizers).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha.h"
#include "text/tokenizer.h"

enum { QWEN3, DEEPSEEK, SMOLLM2, N_VOCAB };
static const char *const vocab_name[N_VOCAB] = { "qwen3", "deepseek_v3", "smollm2" };
static sv_tokenizer *vocab[N_VOCAB];
static sv_bytes vocab_json[N_VOCAB];

/* What `xz -dc` makes of a fixture. */
static sv_bytes unpacked(const char *name)
{
    char command[256], block[65536];
    sv_bytes out = { 0 };
    snprintf(command, sizeof command, "xz -dc test/golden/tokenizer/%s.json.xz", name);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        sv_bytes_add(&out, block, n);
    assert_int_equal(pclose(f), 0);
    return out;
}

static sv_str view(const sv_bytes *b)
{
    return (sv_str){ b->p, b->n };
}

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
}

static int load_all(void **state)
{
    (void)state;
    for (int i = 0; i < N_VOCAB; i++) {
        vocab_json[i] = unpacked(vocab_name[i]);
        ok(sv_tokenizer_from_json(view(&vocab_json[i]), vocab_name[i], &vocab[i]));
    }
    return 0;
}

static int drop_all(void **state)
{
    (void)state;
    for (int i = 0; i < N_VOCAB; i++) {
        sv_tokenizer_drop(vocab[i]);
        sv_bytes_done(&vocab_json[i]);
    }
    return 0;
}

/* When PCRE2 splits, its version of Unicode enters the hash; the three families have scanners. */
static void test_known_families_are_split_by_scanners(void **state)
{
    (void)state;
    for (int i = 0; i < N_VOCAB; i++) {
        uint8_t hash[32], plain[32];
        sv_tokenizer_hash(vocab[i], hash);
        sv_sha_of(vocab_json[i].p, vocab_json[i].n, plain);
        assert_memory_equal(hash, plain, 32);
    }
}

static void assert_ids(const sv_tokenizer *t, const sv_marked *m, const char *expected)
{
    sv_ids ids = { 0 };
    sv_bytes text = { 0 };
    ok(sv_tokenizer_encode(t, m, &ids));
    for (size_t i = 0; i < ids.n; i++)
        sv_bytes_printf(&text, "%s%u", i > 0 ? " " : "", ids.id[i]);
    assert_string_equal(text.n > 0 ? text.p : "", expected);
    sv_bytes_done(&text);
    sv_ids_done(&ids);
}

static void assert_text_ids(const sv_tokenizer *t, const char *text, bool trusted, const char *expected)
{
    sv_marked m = { 0 };
    sv_marked_add(&m, sv_str_of(text), trusted);
    assert_ids(t, &m, expected);
    sv_marked_done(&m);
}

static void test_ids_of_the_table_equal_the_reference(void **state)
{
    static const char *const rows[][3] = {
        { "Hello, world!", "9707 11 1879 0", "19923 14 2058 3" },
        { "  two  spaces ", "220 1378 220 12621 220", "223 1234 223 13564 223" },
        { "1234567", "16 17 18 19 20 21 22", "6895 18009 25" },
        { "数学 123456 = 7", "104552 220 16 17 18 19 20 21 284 220 22", "8570 223 6895 18009 438 223 25" },
        { "cafe\xcc\x81 caf\xc3\xa9", "924 58858 51950", "69 15702 17793 57664" },
        { "x'\xc5\xbf"
          "a",
          "87 6 144815 64", "90 9 75929 67" },
        { "a \xe1\xa0\x8e b", "64 86089 254 236 293", "67 223 115522 239 291" },
        { "\r\n\n  x\t\ty\n \n", "80823 220 856 197 14522 26809", "204 271 223 1527 200 102039 77968" },
        { "12²3", "16 17 29456 18", "736 1628 21" },
        { "<|im_end|>", "27 91 318 6213 91 29", "30 94 328 42616 94 32" },
        { "</think>", "522 26865 29", "1718 37947 32" },
        { "<｜User｜>hi", "27 130957 1474 130957 29 6023", "30 28217 6756 28217 32 6366" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_text_ids(vocab[QWEN3], rows[i][0], false, rows[i][1]);
        assert_text_ids(vocab[DEEPSEEK], rows[i][0], false, rows[i][2]);
    }
    assert_text_ids(vocab[SMOLLM2], "Hello, world!", false, "19556 28 905 17");
    assert_text_ids(vocab[SMOLLM2], "1234567", false, "33 34 35 36 37 38 39");
    assert_text_ids(vocab[SMOLLM2], "café 12²3", false, "83 1939 2756 216 33 34 19133 35");
}

static void hex_of(const void *data, size_t n, char out[65])
{
    uint8_t sum[32];
    sv_sha_of(data, n, sum);
    sv_sha_hex(sum, out);
}

static uint64_t next_random(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

static void add_char(sv_bytes *b, uint32_t cp)
{
    char utf8[4];
    sv_bytes_add(b, utf8, sv_utf8_put(cp, utf8));
}

static void test_bulk_text_ids_have_the_recorded_hash(void **state)
{
    static const uint32_t rare[] = { 0xa,     0xd,    0x9,    0xa0,   0xe9,   0x301,  0x308,  0x17f,  0x3042, 0x30ab,
                                     0x4e00,  0x5b66, 0xac00, 0x1100, 0x1161, 0x627,  0x64b,  0x5d0,  0x915,  0x93f,
                                     0x1f680, 0x200d, 0xfe0f, 0xb2,   0xbd,   0x2167, 0xff11, 0x2028, 0x85,   0x3000 };
    static const struct {
        size_t n;
        const char *sha;
    } expected[N_VOCAB] = { { 59129, "e2e85fba44faa9fb" },
                            { 60311, "cec944e051bb6c6d" },
                            { 67543, "2e3dbae02360a273" } };
    sv_bytes text = { 0 };
    char hex[65];
    uint64_t x = 7;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t r = next_random(&x), k = r % 10, v = r >> 8;
        if (k < 6)
            add_char(&text, (uint32_t)('a' + v % 26));
        else if (k < 8)
            add_char(&text, ' ');
        else
            add_char(&text, v % 125 < 95 ? (uint32_t)(' ' + v % 125) : rare[v % 125 - 95]);
    }
    assert_int_equal(text.n, 107013);
    hex_of(text.p, text.n, hex);
    assert_memory_equal(hex, "1fa9c2310ce3fb30", 16);
    for (int i = 0; i < N_VOCAB; i++) {
        sv_ids ids = { 0 };
        ok(sv_tokenizer_encode_plain(vocab[i], view(&text), false, &ids));
        assert_int_equal(ids.n, expected[i].n);
        hex_of(ids.id, ids.n * sizeof *ids.id, hex);
        assert_memory_equal(hex, expected[i].sha, 16);
        sv_ids_done(&ids);
    }
    sv_bytes_done(&text);
}

/* Ranges of characters of mixed.json. */
static uint32_t in_range(const json_t *range, uint64_t *x)
{
    uint32_t a = (uint32_t)json_integer_value(json_array_get(range, 0));
    uint32_t b = (uint32_t)json_integer_value(json_array_get(range, 1));
    return a + (uint32_t)(next_random(x) % (b - a + 1));
}

/* The same text as tools/oracle_tokenizer.py makes. */
static sv_bytes mixed_text(const json_t *data, uint64_t seed, size_t size)
{
    const json_t *items = json_object_get(data, "items"), *ranges = json_object_get(data, "ranges");
    static const char *const newline[4] = { "\n", "\r\n", "\n\n", "\n  " };
    sv_bytes out = { 0 };
    uint64_t x = seed;
    while (out.n < size) {
        uint64_t r = next_random(&x), kind = r % 20, v = r / 20;
        bool is_long = v / 1024 % 16 == 0;
        const json_t *range = json_array_get(ranges, v % json_array_size(ranges));
        if (kind < 12) {
            sv_bytes_text(&out, json_string_value(json_array_get(items, v % json_array_size(items))));
            if (kind >= 8)
                sv_bytes_char(&out, ' ');
        } else if (kind == 12) {
            for (uint64_t n = (1 + v % 8) * (is_long ? 60 : 1); n > 0; n--)
                sv_bytes_char(&out, ' ');
        } else if (kind == 13) {
            for (uint64_t n = (1 + v % 9) * (is_long ? 30 : 1); n > 0; n--)
                sv_bytes_char(&out, (char)('0' + next_random(&x) % 10));
        } else if (kind == 14) {
            sv_bytes_text(&out, newline[v % 4]);
        } else if (kind < 17) {
            for (int n = kind == 15 ? 1 : 3; n > 0; n--)
                add_char(&out, in_range(range, &x));
        } else if (kind == 17) {
            for (uint64_t n = 1 + v % 14; n > 0; n--)
                sv_bytes_char(&out, (char)('a' + next_random(&x) % 26));
        } else if (kind == 18) {
            sv_bytes_char(&out, (char)('a' + v % 26));
            for (uint64_t n = 1 + v / 256 % 3; n > 0; n--)
                add_char(&out, (uint32_t)(0x300 + next_random(&x) % 0x70));
        } else {
            for (uint64_t n = 1 + v % 6; n > 0; n--)
                add_char(&out, (uint32_t)(0x4e00 + next_random(&x) % 0x5000));
        }
    }
    return out;
}

/* Streaming in any cuts, and all at once, give the same text; for canonical text the ids come back from it. */
static void assert_round_trip(const sv_tokenizer *t, const sv_ids *ids, sv_str text, bool same_text)
{
    sv_bytes whole = { 0 }, streamed = { 0 };
    sv_decoder d;
    sv_tokenizer_decode(t, ids->id, ids->n, true, &whole);
    sv_decoder_init(&d, t, true);
    for (size_t i = 0; i < ids->n; i++) {
        sv_decoder_put(&d, ids->id[i], &streamed);
        if (i % 997 == 0)
            assert_true(sv_utf8_valid(streamed.p, streamed.n, NULL));
    }
    sv_decoder_end(&d, &streamed);
    assert_true(sv_str_eq(view(&whole), view(&streamed)));
    if (same_text)
        assert_true(sv_str_eq(view(&whole), text));
    sv_ids again = { 0 };
    ok(sv_tokenizer_encode_plain(t, view(&whole), true, &again));
    assert_int_equal(again.n, ids->n);
    assert_memory_equal(again.id, ids->id, ids->n * sizeof *ids->id);
    sv_ids_done(&again);
    sv_bytes_done(&whole);
    sv_bytes_done(&streamed);
}

static void test_mixed_text_ids_equal_the_reference(void **state)
{
    json_t *data;
    sv_arena *a = sv_arena_make();
    sv_str list;
    int n_line = 0;
    (void)state;
    ok(sv_json_load("test/golden/tokenizer/mixed.json", &sv_json_file_limits, &data));
    ok(sv_file_read("test/golden/tokenizer/mixed.txt", 1 << 20, a, &list));
    for (char *line = strtok(sv_arena_textn(a, list.p, list.n), "\n"); line; line = strtok(NULL, "\n"), n_line++) {
        char name[32], mode[16], text_sha[65], ids_sha[65], hex[65];
        unsigned seed;
        size_t n_byte, n_id;
        int which = 0;
        assert_int_equal(
            sscanf(line, "%31s %15s %u %zu %64s %zu %64s", name, mode, &seed, &n_byte, text_sha, &n_id, ids_sha), 7);
        while (strcmp(vocab_name[which], name) != 0)
            which++;
        sv_bytes text = mixed_text(data, seed, 600000);
        hex_of(text.p, text.n, hex);
        assert_int_equal(text.n, n_byte);
        assert_string_equal(hex, text_sha);
        sv_ids ids = { 0 };
        bool marked = strcmp(mode, "marked") == 0;
        ok(sv_tokenizer_encode_plain(vocab[which], view(&text), marked, &ids));
        assert_int_equal(ids.n, n_id);
        hex_of(ids.id, ids.n * sizeof *ids.id, hex);
        assert_string_equal(hex, ids_sha);
        if (marked)
            assert_round_trip(vocab[which], &ids, view(&text), which != QWEN3);
        sv_ids_done(&ids);
        sv_bytes_done(&text);
    }
    assert_int_equal(n_line, 30);
    json_decref(data);
    sv_arena_drop(a);
}

static void test_added_tokens_are_those_of_the_family(void **state)
{
    static const struct {
        int vocab;
        const char *content;
        uint32_t id;
        bool special;
    } rows[] = {
        { QWEN3, "<|endoftext|>", 151643, true },       { QWEN3, "<|im_start|>", 151644, true },
        { QWEN3, "<|im_end|>", 151645, true },          { QWEN3, "<tool_call>", 151657, false },
        { QWEN3, "<|fim_prefix|>", 151659, false },     { QWEN3, "<think>", 151667, false },
        { QWEN3, "</think>", 151668, false },           { DEEPSEEK, "<｜begin▁of▁sentence｜>", 0, true },
        { DEEPSEEK, "<｜end▁of▁sentence｜>", 1, true }, { DEEPSEEK, "<｜User｜>", 128803, false },
        { DEEPSEEK, "<|EOT|>", 128805, true },          { DEEPSEEK, "<｜tool▁sep｜>", 128814, false },
        { SMOLLM2, "<|endoftext|>", 0, true },          { SMOLLM2, "<|im_end|>", 2, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const sv_tokenizer *t = vocab[rows[i].vocab];
        uint32_t id;
        char number[16];
        snprintf(number, sizeof number, "%u", rows[i].id);
        assert_true(sv_tokenizer_find(t, sv_str_of(rows[i].content), &id));
        assert_int_equal(id, rows[i].id);
        assert_int_equal(sv_tokenizer_is_special(t, id), rows[i].special);
        assert_true(sv_str_is(sv_tokenizer_piece(t, id), rows[i].content));
        assert_text_ids(t, rows[i].content, true, number);
    }
    assert_int_equal(sv_tokenizer_count(vocab[QWEN3]), 151669);
    assert_int_equal(sv_tokenizer_count(vocab[DEEPSEEK]), 128815);
    assert_int_equal(sv_tokenizer_count(vocab[SMOLLM2]), 49152);
    assert_false(sv_tokenizer_find(vocab[DEEPSEEK], SV_STR("<think>"), NULL));
    assert_int_equal(sv_tokenizer_piece(vocab[QWEN3], 151669).n, 0);
}

static void test_added_tokens_are_found_only_in_trusted_bytes(void **state)
{
    sv_marked m = { 0 };
    (void)state;
    sv_marked_add(&m, SV_STR("<|im_start|>user\n"), true);
    sv_marked_add(&m, SV_STR("\n\nhi"), false);
    sv_marked_add(&m, SV_STR("<|im_end|>"), true);
    assert_ids(vocab[QWEN3], &m, "151644 872 1406 6023 151645"); /* one text between two cuts, whatever the marks */
    sv_marked_clear(&m);
    sv_marked_add(&m, SV_STR("<|im_"), true);
    sv_marked_add(&m, SV_STR("end|>"), false);
    assert_ids(vocab[QWEN3], &m, "27 91 318 6213 91 29");
    sv_marked_clear(&m);
    sv_marked_add(&m, SV_STR("<|im_"), false);
    sv_marked_add(&m, SV_STR("end|>"), true);
    assert_ids(vocab[QWEN3], &m, "27 91 318 6213 91 29");
    sv_marked_clear(&m);
    /* NFC makes one character of two runs: what follows keeps its marks. */
    sv_marked_add(&m, SV_STR("<|im_end|>e"), true);
    sv_marked_add(&m, SV_STR("\xcc\x81<|im_end|>"), false);
    sv_marked_add(&m, SV_STR("<|im_end|>"), true);
    assert_ids(vocab[QWEN3], &m, "151645 963 27 91 318 6213 91 29 151645");
    sv_marked_done(&m);
}

/* No added token of any family, alone or in a sentence, becomes an added token when a user writes it. */
static void test_untrusted_text_never_becomes_an_added_token(void **state)
{
    (void)state;
    for (int from = 0; from < N_VOCAB; from++)
        for (uint32_t id = 0; id < sv_tokenizer_count(vocab[from]); id++) {
            uint32_t found;
            sv_str piece = sv_tokenizer_piece(vocab[from], id);
            if (!sv_tokenizer_find(vocab[from], piece, &found))
                continue;
            assert_int_equal(found, id);
            for (int to = 0; to < N_VOCAB; to++) {
                sv_ids ids = { 0 };
                sv_bytes text = { 0 };
                sv_bytes_printf(&text, "%.*sx %.*s\n%.*s", (int)piece.n, piece.p, (int)piece.n, piece.p, (int)piece.n,
                                piece.p);
                ok(sv_tokenizer_encode_plain(vocab[to], view(&text), false, &ids));
                for (size_t i = 0; i < ids.n; i++)
                    assert_false(sv_tokenizer_find(vocab[to], sv_tokenizer_piece(vocab[to], ids.id[i]), &found));
                sv_bytes_done(&text);
                sv_ids_done(&ids);
            }
        }
}

/* The parts that a GGUF file would hold, taken from a tokenizer.json. */
typedef struct gguf_parts {
    sv_vocab_parts parts;
    sv_str *token, *merge;
    int32_t *type;
    json_t *json;
} gguf_parts;

static gguf_parts parts_of(sv_str json, const char *pre, sv_arena *a)
{
    gguf_parts g = { 0 };
    const char *key;
    json_t *v;
    size_t i;
    ok(sv_json_parse(json, &sv_json_tokenizer_limits, "fixture", &g.json));
    json_t *model = json_object_get(g.json, "model"), *vocab_obj = json_object_get(model, "vocab");
    json_t *merges = json_object_get(model, "merges"), *added = json_object_get(g.json, "added_tokens");
    size_t n = json_object_size(vocab_obj) + json_array_size(added);
    g.token = SV_NEW_N(a, sv_str, n);
    g.type = SV_NEW_N(a, int32_t, n);
    g.merge = SV_NEW_N(a, sv_str, json_array_size(merges));
    uint32_t end = 0;
    json_object_foreach(vocab_obj, key, v)
    {
        uint32_t id = (uint32_t)json_integer_value(v);
        g.token[id] = sv_str_of(key);
        g.type[id] = 1;
        end = id >= end ? id + 1 : end;
    }
    json_array_foreach(added, i, v)
    {
        uint32_t id = (uint32_t)json_integer_value(json_object_get(v, "id"));
        g.token[id] = sv_str_of(json_string_value(json_object_get(v, "content")));
        g.type[id] = json_is_true(json_object_get(v, "special")) ? 3 : 4;
        end = id >= end ? id + 1 : end;
    }
    json_array_foreach(merges, i, v) g.merge[i] =
        sv_str_of(json_is_string(v) ? json_string_value(v)
                                    : sv_arena_printf(a, "%s %s", json_string_value(json_array_get(v, 0)),
                                                      json_string_value(json_array_get(v, 1))));
    g.parts =
        (sv_vocab_parts){ pre, g.token, g.type, end, g.merge, (uint32_t)json_array_size(merges), -1, -1, -1, false };
    return g;
}

static void assert_same_ids(const sv_tokenizer *a, const sv_tokenizer *b, sv_str text)
{
    for (int trusted = 0; trusted < 2; trusted++) {
        sv_ids x = { 0 }, y = { 0 };
        ok(sv_tokenizer_encode_plain(a, text, trusted, &x));
        ok(sv_tokenizer_encode_plain(b, text, trusted, &y));
        assert_int_equal(x.n, y.n);
        assert_memory_equal(x.id, y.id, x.n * sizeof *x.id);
        sv_ids_done(&x);
        sv_ids_done(&y);
    }
}

static void test_a_tokenizer_from_gguf_parts_and_the_json_it_writes_give_the_same_ids(void **state)
{
    static const char *const pre[N_VOCAB] = { "qwen2", "deepseek-v3", "smollm" };
    json_t *data;
    (void)state;
    ok(sv_json_load("test/golden/tokenizer/mixed.json", &sv_json_file_limits, &data));
    sv_bytes text = mixed_text(data, 11, 100000);
    json_decref(data);
    for (int i = 0; i < N_VOCAB; i++) {
        sv_arena *a = sv_arena_make();
        gguf_parts g = parts_of(view(&vocab_json[i]), pre[i], a);
        sv_tokenizer *t, *again;
        if (i == DEEPSEEK) {
            g.parts.bos_id = 0;
            g.parts.add_bos = true;
        }
        ok(sv_tokenizer_from_parts(&g.parts, vocab_name[i], &t));
        assert_int_equal(sv_tokenizer_count(t), sv_tokenizer_count(vocab[i]));
        assert_same_ids(vocab[i], t, view(&text));
        sv_str json = sv_tokenizer_json(t);
        if (i == SMOLLM2) /* the fixture was written so */
            assert_true(sv_str_eq(json, view(&vocab_json[i])));
        ok(sv_tokenizer_from_json(json, "written", &again));
        assert_same_ids(vocab[i], again, view(&text));
        for (uint32_t id = 0; id < sv_tokenizer_count(t); id++) {
            assert_true(sv_str_eq(sv_tokenizer_piece(t, id), sv_tokenizer_piece(again, id)));
            assert_int_equal(sv_tokenizer_is_special(t, id), sv_tokenizer_is_special(again, id));
        }
        sv_tokenizer_drop(t);
        sv_tokenizer_drop(again);
        json_decref(g.json);
        sv_arena_drop(a);
    }
    sv_bytes_done(&text);
}

static void test_a_byte_without_a_token_is_an_error_that_names_it(void **state)
{
    static const unsigned char missing[] = { 0x04, 0x06, 0x13, 0x14, 0x16, 0x1d };
    sv_ids ids = { 0 };
    (void)state;
    for (unsigned c = 1; c < 0x80; c++) {
        char text[] = { 'a', 'b', (char)c, 'd' };
        bool is_missing = memchr(missing, (int)c, sizeof missing) != NULL;
        sv_err e = sv_tokenizer_encode_plain(vocab[SMOLLM2], (sv_str){ text, sizeof text }, false, &ids);
        assert_int_equal(e, is_missing ? SV_E_FORMAT : SV_OK);
        if (is_missing) {
            char name[8];
            snprintf(name, sizeof name, "0x%02x", c);
            assert_non_null(strstr(sv_err_text(), name));
            assert_non_null(strstr(sv_err_text(), "offset 2"));
        }
        for (int i = 0; i < 2; i++)
            ok(sv_tokenizer_encode_plain(vocab[i], (sv_str){ text, sizeof text }, false, &ids));
    }
    ids.n = 3;
    /* U+40000 begins with the byte f1. */
    assert_int_equal(sv_tokenizer_encode_plain(vocab[SMOLLM2], SV_STR("a \xf1\x80\x80\x80"), false, &ids), SV_E_FORMAT);
    assert_int_equal(ids.n, 3); /* nothing is left of a failed call */
    assert_int_equal(sv_tokenizer_encode_plain(vocab[QWEN3], SV_STR("ab\xff"), false, &ids), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "offset 2"));
    sv_ids_done(&ids);
}

static void test_special_tokens_are_printed_only_on_demand(void **state)
{
    const uint32_t ids[] = { 151644, 872, 151667, 151645, 999999 };
    sv_bytes out = { 0 };
    (void)state;
    sv_tokenizer_decode(vocab[QWEN3], ids, 5, false, &out);
    assert_string_equal(out.p, "user<think>");
    sv_bytes_clear(&out);
    sv_tokenizer_decode(vocab[QWEN3], ids, 5, true, &out);
    assert_string_equal(out.p, "<|im_start|>user<think><|im_end|>");
    sv_bytes_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_families_are_split_by_scanners),
        cmocka_unit_test(test_ids_of_the_table_equal_the_reference),
        cmocka_unit_test(test_bulk_text_ids_have_the_recorded_hash),
        cmocka_unit_test(test_mixed_text_ids_equal_the_reference),
        cmocka_unit_test(test_added_tokens_are_those_of_the_family),
        cmocka_unit_test(test_added_tokens_are_found_only_in_trusted_bytes),
        cmocka_unit_test(test_untrusted_text_never_becomes_an_added_token),
        cmocka_unit_test(test_a_tokenizer_from_gguf_parts_and_the_json_it_writes_give_the_same_ids),
        cmocka_unit_test(test_a_byte_without_a_token_is_an_error_that_names_it),
        cmocka_unit_test(test_special_tokens_are_printed_only_on_demand),
    };
    return cmocka_run_group_tests(tests, load_all, drop_all);
}
