/* SPDX-License-Identifier: Apache-2.0
 * Claims about plug-ins: the example builds against the installed headers alone, needs no symbol of ours, and passes
 * the suite; plug-ins that do not fit are refused by name with a sentence; an explicit choice never falls back. Skipped
 * where there is no C compiler.
 */
#include "test/conform_run.h"

#include "base/file.h"

static char folder[64] = "/tmp/samsvar-plugin-XXXXXX";
static bool have_cc;

/* A plug-in that says `members` of itself. */
static void make_odd_one(const char *name, const char *symbol, const char *members)
{
    char path[256], text[1024], command[1024];
    snprintf(path, sizeof path, "%s/%s.c", folder, name);
    int n = snprintf(text, sizeof text, "#include \"samsvar/chip.h\"\nconst sv_chip %s = { %s };\n", symbol, members);
    assert_true(n > 0 && (size_t)n < sizeof text);
    assert_int_equal(sv_file_write(path, sv_str_of(text)), SV_OK);
    snprintf(command, sizeof command, "cc -fPIC -shared -I%s/include -o %s/samsvar-chip-%s.so %s", folder, folder, name,
             path);
    assert_int_equal(system(command), 0);
}

#define FITS ".size = sizeof(sv_chip), .abi = SV_CHIP_ABI, .opset = SV_OPSET, .version = \"1\""

static int set_up(void **state)
{
    char command[1024];
    (void)state;
    if (system("cc --version >/dev/null 2>&1") != 0 || system("make --version >/dev/null 2>&1") != 0)
        return 0;
    have_cc = true;
    assert_non_null(mkdtemp(folder));
    /* As an installation: include/samsvar, and the example somewhere else. */
    snprintf(command, sizeof command,
             "mkdir %s/include && cp -r include/samsvar %s/include/ && cp -r examples/chip-example %s/src && "
             "make -s -C %s/src clean samsvar-chip-example.so SAMSVAR_INCLUDE=%s/include CFLAGS='-O2 -Wall -Wextra "
             "-Werror' && "
             "cp %s/src/samsvar-chip-example.so %s/",
             folder, folder, folder, folder, folder, folder, folder);
    assert_int_equal(system(command), 0);
    make_odd_one("oldabi", "sv_chip_plugin_v1", ".size = sizeof(sv_chip), .abi = 77, .name = \"oldabi\"");
    make_odd_one("opset", "sv_chip_plugin_v1",
                 ".size = sizeof(sv_chip), .abi = SV_CHIP_ABI, .opset = 99, .name = \"opset\"");
    make_odd_one("small", "sv_chip_plugin_v1", ".size = 40, .abi = SV_CHIP_ABI, .opset = SV_OPSET, .name = \"small\"");
    make_odd_one("empty", "sv_chip_plugin_v1", FITS ", .name = \"empty\"");
    make_odd_one("other", "sv_chip_plugin_v2", FITS ", .name = \"other\"");
    snprintf(command, sizeof command, "%s/samsvar-chip-rubbish.so", folder);
    assert_int_equal(sv_file_write(command, sv_str_of("no shared object")), SV_OK);
    snprintf(command, sizeof command, "%s/samsvar-chip-cpu.so", folder); /* a name that is taken: never loaded */
    assert_int_equal(sv_file_write(command, sv_str_of("no shared object")), SV_OK);
    setenv("SAMSVAR_PLUGIN_DIR", folder, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (have_cc)
        sv_file_remove_tree(folder);
    return 0;
}

static void test_the_example_passes_the_suite(void **state)
{
    (void)state;
    if (!have_cc)
        skip();
    sv_conform_result r = conform_clean("example", 1, true);
    assert_true(r.n_native > 100 && r.n_native < r.n_case);
}

static void test_the_example_needs_no_symbol_of_ours(void **state)
{
    (void)state;
    if (!have_cc || system("nm --version >/dev/null 2>&1") != 0)
        skip();
    char command[256];
    snprintf(command, sizeof command, "nm -D --undefined-only %s/samsvar-chip-example.so | grep -q ' sv_'", folder);
    assert_int_not_equal(system(command), 0);
}

static void refuses(const char *name, const char *because)
{
    sv_chip_dev d;
    assert_int_equal(sv_chip_open(name, NULL, &d), SV_E_CHIP);
    if (strstr(sv_err_text(), because) == NULL)
        fail_msg("%s is refused with \"%s\", without \"%s\"", name, sv_err_text(), because);
}

static void test_plugins_that_do_not_fit_are_refused_with_the_reason(void **state)
{
    (void)state;
    if (!have_cc)
        skip();
    refuses("oldabi", "ABI 77");
    refuses("opset", "opset 99");
    refuses("small", "40 bytes");
    refuses("empty", "lacks count");
    refuses("other", "no symbol sv_chip_plugin_v1");
    refuses("rubbish", "rubbish");
}

static void test_an_explicit_choice_never_falls_back(void **state)
{
    (void)state;
    refuses("nosuchchip", "there are: cpu, ref, null, odd");
    refuses("ref:3", "numbered from 0");
    refuses("ref:avx9", "no variant avx9");
}

static void test_the_list_has_every_chip_and_why_not(void **state)
{
    (void)state;
    const sv_chip_entry *e;
    size_t n, usable = 0, refused = 0;
    assert_int_equal(sv_chips_list(&e, &n), SV_OK);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(e[i].name);
        assert_true((e[i].why == NULL) == (e[i].n_device > 0));
        usable += e[i].why == NULL;
        refused += e[i].why != NULL;
        if (strcmp(e[i].name, "cpu") == 0)
            assert_string_equal(e[i].path, "");
    }
    assert_true(usable >= 4);
    assert_true(!have_cc || refused >= 6);
}

static void test_nothing_named_opens_an_exact_chip(void **state)
{
    (void)state;
    sv_chip_dev d;
    assert_int_equal(sv_chip_open(NULL, NULL, &d), SV_OK);
    assert_true(d.info.is_exact);
    sv_chip_close(&d);
    assert_int_equal(sv_chip_open("cpu:scalar", NULL, &d), SV_OK);
    assert_string_equal(d.spec, "cpu:scalar");
    sv_chip_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_passes_the_suite),
        cmocka_unit_test(test_the_example_needs_no_symbol_of_ours),
        cmocka_unit_test(test_plugins_that_do_not_fit_are_refused_with_the_reason),
        cmocka_unit_test(test_an_explicit_choice_never_falls_back),
        cmocka_unit_test(test_the_list_has_every_chip_and_why_not),
        cmocka_unit_test(test_nothing_named_opens_an_exact_chip),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
