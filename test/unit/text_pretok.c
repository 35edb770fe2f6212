/* SPDX-License-Identifier: Apache-2.0
 * Split rules: the scanners against PCRE2 on their own regular expressions, and what PCRE2 alone does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "text/marked.h"
#include "text/nfc.h"
#include "text/pretok.h"
#include "text/unicode.h"

static void ok(sv_err e)
{
    if (e != SV_OK)
        fail_msg("%s: %s", sv_err_name(e), sv_err_text());
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

/* The ends of the pieces of one text. */
typedef struct cuts {
    size_t *end;
    size_t n, cap;
} cuts;

static sv_err note(void *arg, sv_str piece, size_t at)
{
    cuts *c = arg;
    size_t end = at + piece.n;
    assert_true(piece.n > 0);
    assert_int_equal(at, c->n > 0 ? c->end[c->n - 1] : 0);
    SV_PUSH(c->end, c->n, c->cap, end);
    return SV_OK;
}

static void assert_same_pieces(const sv_pretok *a, const sv_pretok *b, const sv_bytes *text)
{
    static cuts x, y;
    x.n = y.n = 0;
    ok(sv_pretok_run(a, (sv_str){ text->p, text->n }, note, &x));
    ok(sv_pretok_run(b, (sv_str){ text->p, text->n }, note, &y));
    assert_int_equal(x.end[x.n - 1], text->n);
    if (x.n != y.n || memcmp(x.end, y.end, x.n * sizeof *x.end) != 0)
        fail_msg("scanner and PCRE2 differ on %s", sv_str_quote((sv_str){ text->p, text->n }));
}

static void both_engines(int kind, sv_pretok **scan, sv_pretok **pcre)
{
    *scan = sv_pretok_make();
    *pcre = sv_pretok_make();
    ok(sv_pretok_add_scan(*scan, (sv_scan)kind));
    ok(sv_pretok_add_pcre(*pcre, sv_str_of(sv_scan_regex((sv_scan)kind)), "rule"));
    assert_null(sv_pretok_pcre_unicode(*scan));
    assert_string_equal(sv_pretok_pcre_unicode(*pcre), "14.0.0"); /* else the next tests compare two versions */
}

static void test_scanner_equals_pcre2_for_every_code_point_in_five_contexts(void **state)
{
    (void)state;
    for (int kind = SV_SCAN_NONE + 1; kind < SV_SCAN_COUNT; kind++) {
        sv_pretok *scan, *pcre;
        sv_bytes text = { 0 };
        both_engines(kind, &scan, &pcre);
        for (uint32_t cp = 1; cp <= 0x10ffff; cp++) {
            if (cp >= 0xd800 && cp < 0xe000)
                continue;
            /* After a letter, between digits, after spaces, before newlines, doubled behind an apostrophe. */
            static const char *const before[] = { "a", "1", "  ", "!\n", "'" }, *const after[] = { "b", "2", " ", "\n",
                                                                                                   "" };
            for (int i = 0; i < 5; i++) {
                sv_bytes_text(&text, before[i]);
                add_char(&text, cp);
                if (i == 4)
                    add_char(&text, cp);
                sv_bytes_text(&text, after[i]);
            }
            if (cp % 64 == 63 || cp == 0x10ffff) {
                assert_same_pieces(scan, pcre, &text);
                sv_bytes_clear(&text);
            }
        }
        sv_bytes_done(&text);
        sv_pretok_drop(scan);
        sv_pretok_drop(pcre);
    }
}

static void test_scanner_equals_pcre2_on_random_texts(void **state)
{
    static const char *const item[] = { " ",
                                        "  ",
                                        "\n",
                                        "\r\n",
                                        "\t",
                                        "a",
                                        "S",
                                        "t",
                                        "re",
                                        "LL",
                                        "'",
                                        "'s",
                                        "'T",
                                        "1",
                                        "23",
                                        "\xc2\xb2",
                                        "!",
                                        "?!",
                                        "_",
                                        "$",
                                        "\xcc\x81",
                                        "\xc5\xbf",
                                        "\xe4\xb8\x80",
                                        "\xe3\x81\x82",
                                        "\xd9\x85",
                                        "\xd9\x8e",
                                        "\xf0\x9f\x9a\x80",
                                        "\xe2\x80\x8d",
                                        "\xc2\xa0",
                                        "\xe3\x80\x80",
                                        "\xe1\xa0\x8e",
                                        "\x01",
                                        "\xe2\x80\xa8",
                                        "\xc2\xad",
                                        "\xea\xb0\x80",
                                        "\xe0\xa4\xbf" };
    uint64_t x = 3;
    (void)state;
    for (int kind = SV_SCAN_NONE + 1; kind < SV_SCAN_COUNT; kind++) {
        sv_pretok *scan, *pcre;
        sv_bytes text = { 0 };
        both_engines(kind, &scan, &pcre);
        for (int i = 0; i < 30000; i++) {
            sv_bytes_clear(&text);
            for (uint64_t n = 1 + next_random(&x) % 14; n > 0; n--)
                sv_bytes_text(&text, item[next_random(&x) % (sizeof item / sizeof *item)]);
            assert_same_pieces(scan, pcre, &text);
        }
        sv_bytes_done(&text);
        sv_pretok_drop(scan);
        sv_pretok_drop(pcre);
    }
}

/* Pieces joined by bars. */
static void assert_pieces(const sv_pretok *p, const char *text, const char *expected)
{
    cuts c = { 0 };
    sv_bytes out = { 0 };
    ok(sv_pretok_run(p, sv_str_of(text), note, &c));
    for (size_t i = 0, at = 0; i < c.n; at = c.end[i++]) {
        if (i > 0)
            sv_bytes_char(&out, '|');
        sv_bytes_add(&out, text + at, c.end[i] - at);
    }
    assert_string_equal(out.n > 0 ? out.p : "", expected);
    sv_bytes_done(&out);
    sv_mem_free(c.end);
}

static void test_a_known_rule_runs_in_the_scanner_and_an_unknown_one_in_pcre2(void **state)
{
    (void)state;
    for (int kind = SV_SCAN_NONE + 1; kind < SV_SCAN_COUNT; kind++)
        assert_int_equal(sv_scan_of_regex(sv_str_of(sv_scan_regex((sv_scan)kind))), kind);
    assert_null(sv_scan_regex(SV_SCAN_NONE));
    sv_pretok *p = sv_pretok_make();
    assert_pieces(p, "no rule", "no rule");
    assert_pieces(p, "", "");
    ok(sv_pretok_add_regex(p, SV_STR("\\p{N}{1,3}"), "rule"));
    assert_null(sv_pretok_pcre_unicode(p));
    ok(sv_pretok_add_regex(p, SV_STR("\\p{Lu}\\p{Ll}*"), "rule"));
    assert_non_null(sv_pretok_pcre_unicode(p));
    assert_pieces(p, "aBcd1234EFg  \xc3\x84\xc3\xa4.", "a|Bcd|123|4|E|Fg|  |\xc3\x84\xc3\xa4|.");
    sv_pretok_drop(p);
    /* An empty match cuts, and the search goes on behind the next character. */
    p = sv_pretok_make();
    ok(sv_pretok_add_regex(p, SV_STR("x*"), "rule"));
    assert_pieces(p, "a\xc3\xa4xxb", "a|\xc3\xa4|xx|b");
    sv_pretok_drop(p);
    /* Look-behind sees the piece from its beginning. */
    p = sv_pretok_make();
    ok(sv_pretok_add_regex(p, SV_STR("(?<=a)b"), "rule"));
    assert_pieces(p, "abbab", "a|b|ba|b");
    sv_pretok_drop(p);
}

static void test_mongolian_vowel_separator_is_no_white_space_in_either_engine(void **state)
{
    (void)state;
    sv_pretok *p = sv_pretok_make();
    ok(sv_pretok_add_regex(p, SV_STR("\\s+"), "rule"));
    assert_pieces(p, "a \xe1\xa0\x8e b\xe1\xa0\x8e", "a| |\xe1\xa0\x8e| |b\xe1\xa0\x8e");
    sv_pretok_drop(p);
}

static void test_rules_are_limited(void **state)
{
    char pattern[4097];
    (void)state;
    memset(pattern, 'a', sizeof pattern);
    sv_pretok *p = sv_pretok_make();
    assert_int_equal(sv_pretok_add_regex(p, SV_STR("(a"), "rule"), SV_E_FORMAT);
    assert_int_equal(sv_pretok_add_regex(p, SV_STR(""), "rule"), SV_E_LIMIT);
    assert_int_equal(sv_pretok_add_regex(p, (sv_str){ pattern, 4097 }, "rule"), SV_E_LIMIT);
    ok(sv_pretok_add_regex(p, (sv_str){ pattern, 4096 }, "rule"));
    for (int i = 1; i < 16; i++)
        ok(sv_pretok_add_scan(p, SV_SCAN_CJK));
    assert_int_equal(sv_pretok_add_scan(p, SV_SCAN_CJK), SV_E_LIMIT);
    assert_int_equal(sv_pretok_add_regex(p, SV_STR("a"), "rule"), SV_E_LIMIT);
    sv_pretok_drop(p);
    sv_pretok_drop(NULL);
}

static void test_a_pattern_without_end_is_stopped(void **state)
{
    (void)state;
    cuts c = { 0 };
    sv_pretok *p = sv_pretok_make();
    ok(sv_pretok_add_regex(p, SV_STR("(a|a)*(a|a)*(a|a)*(a|a)*$"), "rule"));
    assert_int_equal(sv_pretok_run(p, SV_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), note, &c), SV_E_LIMIT);
    sv_mem_free(c.end);
    sv_pretok_drop(p);
}

static sv_err refuse(void *arg, sv_str piece, size_t at)
{
    (void)piece;
    (void)at;
    return ++*(int *)arg == 2 ? sv_fail(SV_E_ARG, "enough") : SV_OK;
}

static void test_an_error_of_the_receiver_ends_the_run(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        int calls = 0;
        sv_pretok *p = sv_pretok_make();
        ok(kind ? sv_pretok_add_scan(p, SV_SCAN_GPT2) : sv_pretok_add_regex(p, SV_STR("[a-z]"), "rule"));
        assert_int_equal(sv_pretok_run(p, SV_STR("a b c d"), refuse, &calls), SV_E_ARG);
        assert_int_equal(calls, 2);
        sv_pretok_drop(p);
    }
}

static void assert_nfc(const char *trusted, const char *untrusted, const char *expected, size_t n_run)
{
    sv_marked in = { 0 }, out = { 0 };
    size_t run = 0;
    sv_marked_add(&in, sv_str_of(trusted), true);
    sv_marked_add(&in, sv_str_of(untrusted), false);
    ok(sv_nfc(&in, 0, in.text.n, &run, &out));
    assert_string_equal(out.text.p, expected);
    assert_int_equal(out.n_run, n_run);
    assert_int_equal(out.run[out.n_run - 1].end, out.text.n);
    bool changes = !sv_str_eq((sv_str){ in.text.p, in.text.n }, (sv_str){ out.text.p, out.text.n });
    if (changes)
        assert_true(sv_nfc_needed((sv_str){ in.text.p, in.text.n }));
    sv_marked_done(&in);
    sv_marked_done(&out);
}

static void test_nfc_composes_reorders_and_keeps_marks(void **state)
{
    (void)state;
    assert_false(sv_nfc_needed(SV_STR("plain \xc3\xa9 \xe4\xb8\x80 \xea\xb0\x80")));
    assert_nfc("abc", "def", "abcdef", 2);
    assert_nfc("xe\xcc\x81y", "z", "x\xc3\xa9yz", 2);
    assert_nfc("xe", "\xcc\x81z", "x\xc3\xa9z", 2);                            /* the composed one is not trusted */
    assert_nfc("\xc3\x80\xcc\xa5", "", "\xe1\xb8\x80\xcc\x80", 1);             /* A, ring below, grave */
    assert_nfc("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "", "\xea\xb0\x81", 1); /* Hangul */
    assert_nfc("\xea\xb0\x80\xe1\x86\xa8", "", "\xea\xb0\x81", 1);
    assert_nfc("\xe2\x84\xab", "", "\xc3\x85", 1);                 /* Angstrom sign */
    assert_nfc("\xe0\xa5\x98", "", "\xe0\xa4\x95\xe0\xa4\xbc", 1); /* excluded from composition */
    assert_nfc("\xcc\x81\xcc\xa5", "", "\xcc\xa5\xcc\x81", 1);
    /* U+0D3C came after Unicode 9.0, so it stays where it is, as in the reference. */
    assert_nfc("\xcc\x81\xe0\xb4\xbc\xcc\xa5", "", "\xcc\x81\xe0\xb4\xbc\xcc\xa5", 1);
}

static void test_nfc_of_a_long_pile_of_marks_is_the_same_as_of_a_short_one(void **state)
{
    sv_bytes text = { 0 }, expected = { 0 };
    (void)state;
    sv_bytes_text(&text, "e");
    sv_bytes_text(&expected, "\xc3\xa9");
    for (int i = 0; i < 500; i++) {
        sv_bytes_text(&text, "\xcc\x81");
        if (i > 0)
            sv_bytes_text(&expected, "\xcc\x81");
    }
    assert_nfc(text.p, "", expected.p, 1);
    sv_bytes_done(&text);
    sv_bytes_done(&expected);
}

static void test_classes_are_those_of_unicode_14(void **state)
{
    (void)state;
    assert_int_equal(sv_unicode_flags('a') & 0x3f, SV_UNI_L);
    assert_int_equal(sv_unicode_flags(0x00b2) & 0x3f, SV_UNI_N);
    assert_int_equal(sv_unicode_flags(0x0301) & 0x7f, SV_UNI_M);
    assert_int_equal(sv_unicode_flags(0x00a0) & 0x3f, SV_UNI_SPACE);
    assert_int_equal(sv_unicode_flags(0x180e) & 0x3f, 0);
    assert_int_equal(sv_unicode_flags(0x061d) & 0x3f, SV_UNI_P); /* came with 14.0 */
    assert_int_equal(sv_unicode_flags(0x1d2c0) & 0x3f, 0);       /* came with 15.0 */
    assert_int_equal(sv_unicode_flags(0x10ffff) & 0x3f, 0);
    assert_int_equal(sv_unicode_flags(0x110000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scanner_equals_pcre2_for_every_code_point_in_five_contexts),
        cmocka_unit_test(test_scanner_equals_pcre2_on_random_texts),
        cmocka_unit_test(test_a_known_rule_runs_in_the_scanner_and_an_unknown_one_in_pcre2),
        cmocka_unit_test(test_mongolian_vowel_separator_is_no_white_space_in_either_engine),
        cmocka_unit_test(test_rules_are_limited),
        cmocka_unit_test(test_a_pattern_without_end_is_stopped),
        cmocka_unit_test(test_an_error_of_the_receiver_ends_the_run),
        cmocka_unit_test(test_nfc_composes_reorders_and_keeps_marks),
        cmocka_unit_test(test_nfc_of_a_long_pile_of_marks_is_the_same_as_of_a_short_one),
        cmocka_unit_test(test_classes_are_those_of_unicode_14),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
