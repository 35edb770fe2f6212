/* SPDX-License-Identifier: Apache-2.0
 * For tests of the program: runs $SAMSVAR_BIN (default build/samsvar) by the shell and keeps what it printed.
 */
#ifndef SV_TEST_CLI_RUN_H
#define SV_TEST_CLI_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char cli_root[] = "/tmp/samsvar-cli-XXXXXX";
static char cli_out[1 << 20], cli_err[1 << 18]; /* of the last run */

static const char *cli_bin(void)
{
    const char *bin = getenv("SAMSVAR_BIN");
    return bin && bin[0] ? bin : "build/samsvar";
}

static int cli_missing(void)
{
    return access(cli_bin(), X_OK) != 0;
}

static void cli_read(const char *name, char *to, size_t cap)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", cli_root, name);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(to, 1, cap - 1, f) : 0;
    to[n] = '\0';
    if (f != NULL)
        fclose(f);
}

/* Runs "BIN ARGS" with the environment's SAMSVAR_* but `env` ("A=1 B=2 ") and input taken away; gives the exit code. */
static int cli_env(const char *env, const char *args)
{
    char line[4096];
    snprintf(line, sizeof line, "env -u SAMSVAR_CHIP -u SAMSVAR_THREADS %s %s %s >%s/out 2>%s/err", env, cli_bin(),
             args, cli_root, cli_root);
    int rc = system(line);
    cli_read("out", cli_out, sizeof cli_out);
    cli_read("err", cli_err, sizeof cli_err);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128 + WTERMSIG(rc);
}

static __attribute__((unused)) int cli(const char *args)
{
    return cli_env("", args);
}

/* Formats into a ring of 16 texts; %s of cli_root is the test's own folder. */
#define CLI_TEXT(...) cli_text_(__VA_ARGS__)
__attribute__((format(printf, 1, 2))) static const char *cli_text_(const char *fmt, ...)
{
    static char text[16][2048];
    static int at;
    va_list ap;
    at = (at + 1) % 16;
    va_start(ap, fmt);
    vsnprintf(text[at], sizeof text[at], fmt, ap);
    va_end(ap);
    return text[at];
}

static inline int cli_has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static int cli_set_up(void **state)
{
    (void)state;
    return mkdtemp(cli_root) ? 0 : -1;
}

static int cli_tear_down(void **state)
{
    (void)state;
    return system(CLI_TEXT("rm -rf %s", cli_root)) == 0 ? 0 : -1;
}

#endif
