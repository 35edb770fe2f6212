/* SPDX-License-Identifier: Apache-2.0
 * Claims about the OpenCL plug-in: the whole suite passes, nearly all of it on rows of its own, with programs that were
 * just built and with cached ones. Skipped, with a line that says so, where there is no plug-in or no device.
 */
#include "test/conform_run.h"

#include "base/file.h"
#include "base/mem.h"

static bool have_opencl(void)
{
    const sv_chip_entry *e;
    size_t n;
    if (sv_chips_list(&e, &n) != SV_OK)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(e[i].name, "opencl") == 0) {
            if (e[i].why != NULL)
                printf("skipped: %s\n", e[i].why);
            return e[i].why == NULL;
        }
    printf("skipped: no samsvar-chip-opencl.so in the build folder\n");
    return false;
}

static void test_opencl_has_the_reference_s_bits(void **state)
{
    (void)state;
    if (!have_opencl())
        skip();
    sv_conform_result r = conform_clean("opencl", 0, false);
    assert_true(r.n_native > r.n_case / 2);
}

static uint64_t sum_of_folder(sv_arena *a, const char *dir, size_t *n_file)
{
    char **name;
    uint64_t sum = 0;
    *n_file = 0;
    if (!sv_file_is_dir(dir) || sv_file_list(dir, a, &name, n_file) != SV_OK)
        return 0;
    for (size_t i = 0; i < *n_file; i++) {
        uint64_t bytes = 0;
        assert_int_equal(sv_file_bytes(sv_path_join(a, dir, name[i]), &bytes), SV_OK);
        sum += bytes;
    }
    return sum;
}

static void run_add(void)
{
    sv_chip_dev d;
    assert_int_equal(sv_chip_open("opencl", NULL, &d), SV_OK);
    sv_conform_result r = conform_on(&d, "add", true, true, 0);
    assert_true(r.n_native > 0);
    assert_int_equal(r.n_fail, 0);
    sv_chip_close(&d);
}

static void test_a_damaged_cache_is_built_anew(void **state)
{
    (void)state;
    if (!have_opencl())
        skip();
    char template[] = "/tmp/samsvar-cache-XXXXXX";
    assert_non_null(mkdtemp(template));
    setenv("XDG_CACHE_HOME", template, 1);
    sv_arena *a = sv_arena_make();
    const char *dir = sv_path_join(a, template, "samsvar/opencl");
    size_t n_file;
    char **name;
    run_add();
    uint64_t first = sum_of_folder(a, dir, &n_file);
    assert_true(n_file > 0 && first > 0);
    assert_int_equal(sv_file_list(dir, a, &name, &n_file), SV_OK);
    for (size_t i = 0; i < n_file; i++) {
        FILE *f = fopen(sv_path_join(a, dir, name[i]), "r+b");
        assert_non_null(f);
        fseek(f, 60, SEEK_SET);
        fputs("damaged", f);
        fclose(f);
    }
    run_add();
    run_add(); /* from the cache that was just written again */
    sv_file_remove_tree(template);
    sv_arena_drop(a);
}

/* Built-in functions that round as they please, and what contracts. */
static const char *const banned[] = {
    "mad",        "exp",        "exp2",         "exp10",       "expm1",       "log",        "log2",
    "log1p",      "pow",        "powr",         "rsqrt",       "tanh",        "sin",        "cos",
    "sincos",     "fmax",       "fmin",         "half_divide", "half_exp",    "half_log",   "half_recip",
    "half_rsqrt", "half_sqrt",  "half_sin",     "half_cos",    "mix",         "dot",        "length",
    "normalize",  "smoothstep", "vload_half16", "vload_half",  "vstore_half", "atomic_add", "barrier",
};

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Looks at each word of a source that is followed by a bracket, comments left out. */
static void check_calls(const char *file, const char *p, bool may_fma)
{
    while (*p != 0) {
        if (p[0] == '/' && p[1] == '*') {
            p = strstr(p, "*/");
            assert_non_null(p);
            p += 2;
            continue;
        }
        if (!is_word(*p)) {
            p++;
            continue;
        }
        const char *end = p;
        while (is_word(*end))
            end++;
        sv_str word = { p, (size_t)(end - p) };
        p = end;
        if (*end != '(')
            continue;
        if (sv_str_starts(word, "native_"))
            fail_msg("%s calls %.*s", file, (int)word.n, word.p);
        for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
            if (sv_str_is(word, banned[i]))
                fail_msg("%s calls %s", file, banned[i]);
        if (!may_fma && sv_str_is(word, "fma"))
            fail_msg("%s is elementwise and calls fma", file);
    }
}

static void test_sources_call_nothing_that_rounds_as_it_pleases(void **state)
{
    (void)state;
    static const char dir[] = "chips/opencl/kernels";
    sv_arena *a = sv_arena_make();
    char **name;
    size_t n, n_seen = 0;
    assert_int_equal(sv_file_list(dir, a, &name, &n), SV_OK);
    for (size_t i = 0; i < n; i++) {
        sv_str text;
        assert_int_equal(sv_file_read(sv_path_join(a, dir, name[i]), 1 << 20, a, &text), SV_OK);
        bool elementwise =
            strcmp(name[i], "elem.cl") == 0 || strcmp(name[i], "move.cl") == 0 || strcmp(name[i], "common.cl") == 0;
        check_calls(name[i], text.p, !elementwise);
        assert_null(strstr(text.p, "fast"));
        if (strcmp(name[i], "common.cl") == 0)
            assert_non_null(strstr(text.p, "#pragma OPENCL FP_CONTRACT OFF"));
        n_seen++;
    }
    assert_true(n_seen >= 8);
    sv_arena_drop(a);
}

int main(void)
{
    conform_use_build_plugins();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_call_nothing_that_rounds_as_it_pleases),
        cmocka_unit_test(test_opencl_has_the_reference_s_bits),
        cmocka_unit_test(test_a_damaged_cache_is_built_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
