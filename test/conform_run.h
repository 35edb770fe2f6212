/* SPDX-License-Identifier: Apache-2.0
 * For tests of chips: runs the conformance suite on a chip and shows its failures.
 * Threads: one at a time.
 */
#ifndef SV_TEST_CONFORM_RUN_H
#define SV_TEST_CONFORM_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chip/conform.h"

#define CONFORM_UNUSED __attribute__((unused))

/* A slice of the seeds: a test's seed is fixed, so that a failure is the same for everybody; SAMSVAR_SEED overrides. */
CONFORM_UNUSED static uint64_t conform_seed(void)
{
    const char *s = getenv("SAMSVAR_SEED");
    return s != NULL ? strtoull(s, NULL, 10) : 1;
}

CONFORM_UNUSED static void conform_report(void *ctx, const char *line)
{
    uint32_t *shown = ctx;
    if (strncmp(line, "FAIL", 4) == 0 && (*shown)++ < 20)
        fprintf(stderr, "%s\n", line);
}

/* The suite on an opened chip, until max_fail failures (0: to the end); the test fails unless the suite ran. */
CONFORM_UNUSED static sv_conform_result conform_on(sv_chip_dev *d, const char *op, bool quick, bool show,
                                                   uint32_t max_fail)
{
    uint32_t shown = 0;
    sv_conform_opts o = {
        .op = op, .only_case = UINT32_MAX, .seed = conform_seed(), .quick = quick, .max_fail = max_fail
    };
    sv_conform_result r;
    o.report = show ? conform_report : NULL;
    o.ctx = &shown;
    if (sv_conform_run(d, &o, &r) != SV_OK)
        fail_msg("%s: %s", d->spec, sv_err_text());
    return r;
}

/* Opens, runs everything, and wants no failure. */
CONFORM_UNUSED static sv_conform_result conform_clean(const char *spec, uint32_t n_thread, bool quick)
{
    quick = quick || getenv("SAMSVAR_QUICK") != NULL; /* emulators are slow: every seventh case there */
    sv_chip_dev d;
    sv_chip_opts opts = { n_thread };
    if (sv_chip_open(spec, &opts, &d) != SV_OK)
        fail_msg("%s: %s", spec, sv_err_text());
    sv_conform_result r = conform_on(&d, NULL, quick, true, 0);
    printf("%s, %u threads: %llu cases, %llu native\n", d.spec, n_thread, (unsigned long long)r.n_case,
           (unsigned long long)r.n_native);
    sv_chip_close(&d);
    if (r.n_fail > 0)
        fail_msg("%s: %llu of %llu cases fail; first: %s", spec, (unsigned long long)r.n_fail,
                 (unsigned long long)r.n_case, r.first_failure);
    return r;
}

/* Makes the build folder a place for plug-ins: this program lies in BUILD/test/op/. */
CONFORM_UNUSED static void conform_use_build_plugins(void)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0 || getenv("SAMSVAR_PLUGIN_DIR") != NULL)
        return;
    exe[n] = 0;
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(exe, '/');
        if (slash == NULL)
            return;
        *slash = 0;
    }
    setenv("SAMSVAR_PLUGIN_DIR", exe, 1);
}

#endif
