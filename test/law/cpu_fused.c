/* SPDX-License-Identifier: Apache-2.0
 * Claim about the cpu chip's machine code: a fused multiply-add stands in functions that compute DOT and nowhere else
 * (docs/arithmetic.md: elementwise functions have none). Disassembles this program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chip/registry.h"

/* Functions of sums over k, keys or tokens; and those that compilers fold them into. */
static bool may_fuse(const char *function)
{
    static const char *const allowed[] = { "mm_", "dot_", "att_", "norm_gain", "k_attend", "peak_" };
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (strncmp(function, allowed[i], strlen(allowed[i])) == 0)
            return true;
    return false;
}

static bool is_fused(const char *line)
{
    return strstr(line, "vfmadd") || strstr(line, "vfmsub") || strstr(line, "vfnmadd") || strstr(line, "vfnmsub");
}

static void test_only_dot_has_fused_multiply_adds(void **state)
{
    (void)state;
    const sv_chip_entry *entry;
    size_t n;
    assert_int_equal(sv_chips_list(&entry, &n), SV_OK); /* links the chips in */
#if !defined(__x86_64__)
    skip();
#endif
    if (access("/usr/bin/objdump", X_OK) != 0)
        skip();
    char command[4200], exe[4096], line[1024], function[256] = "";
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    assert_true(len > 0);
    exe[len] = 0;
    snprintf(command, sizeof command, "/usr/bin/objdump -d --no-show-raw-insn '%s'", exe);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    uint32_t n_fused = 0, n_elementwise = 0, n_wrong = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        char *open = strchr(line, '<'), *close = open ? strstr(open, ">:") : NULL;
        if (line[0] != ' ' && close != NULL) {
            snprintf(function, sizeof function, "%.*s", (int)(close - open - 1), open + 1);
            n_elementwise += strncmp(function, "span_", 5) == 0;
        } else if (is_fused(line)) {
            n_fused++;
            if (!may_fuse(function) && n_wrong++ < 10)
                fprintf(stderr, "%s: %s", function, line);
        }
    }
    pclose(f);
    assert_true(n_fused > 100);      /* the tiles are there */
    assert_true(n_elementwise >= 4); /* and so are elementwise kernels */
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_only_dot_has_fused_multiply_adds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
