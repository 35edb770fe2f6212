/* SPDX-License-Identifier: Apache-2.0
 * Log-probabilities of five texts by SmolLM2-135M-Instruct against transformers on the de-quantised weights
 * (test/golden/score/logprob.tsv, made by tools/oracle_score.py). Skipped where tools/fetch-model.sh has not put the
 * model into the cache folder.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "test/cli_run.h"

#define MOST 512

static const char *const texts[] = { "prose", "code", "facts", "mixed", "chat" };

typedef struct score_list {
    int id[MOST];
    double logprob[MOST]; /* [0]: none */
    int n;
} score_list;

static const char *model_file(void)
{
    static char path[512];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    snprintf(path, sizeof path, "%s%s/samsvar/models/SmolLM2-135M-Instruct.Q4_1.gguf",
             cache && cache[0] ? cache : (home ? home : ""), cache && cache[0] ? "" : "/.cache");
    return path;
}

static bool model_missing(void)
{
    return cli_missing() || access(model_file(), R_OK) != 0;
}

static void read_golden(const char *text, score_list *out)
{
    FILE *f = fopen("test/golden/score/logprob.tsv", "r");
    assert_non_null(f);
    char line[128], name[32], number[32];
    int id;
    out->n = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        assert_int_equal(sscanf(line, "%31s %d %31s", name, &id, number), 3);
        if (strcmp(name, text) != 0)
            continue;
        assert_true(out->n < MOST);
        out->id[out->n] = id;
        out->logprob[out->n++] = strtod(number, NULL);
    }
    fclose(f);
}

/* The lines of `samsvar score --json`. */
static void read_scores(score_list *out)
{
    out->n = 0;
    for (char *line = strtok(cli_out, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const char *id = strstr(line, "\"id\":"), *logprob = strstr(line, "\"logprob\":");
        if (id == NULL)
            continue;
        assert_non_null(logprob);
        assert_true(out->n < MOST);
        out->id[out->n] = atoi(id + 5);
        out->logprob[out->n++] = strtod(logprob + 10, NULL);
    }
}

/* Adds up the differences of all five texts; gives the largest. */
static double compare(const char *model, double *mean, double *mean_size)
{
    double largest = 0, sum = 0, size = 0;
    int n = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        static score_list want, got;
        read_golden(texts[i], &want);
        assert_int_equal(cli(CLI_TEXT("score %s -f test/golden/score/%s.txt --json", model, texts[i])), 0);
        read_scores(&got);
        assert_true(want.n > 50);
        assert_int_equal(got.n, want.n);
        for (int k = 0; k < want.n; k++)
            assert_int_equal(got.id[k], want.id[k]);
        for (int k = 1; k < want.n; k++, n++) {
            double d = got.logprob[k] - want.logprob[k];
            assert_false(isnan(d));
            largest = fabs(d) > largest ? fabs(d) : largest;
            sum += d;
            size += fabs(d);
        }
    }
    *mean = sum / n;
    *mean_size = size / n;
    print_message("%s: %d tokens, largest difference %.2g, mean %.2g, mean size %.2g\n", model, n, largest, *mean,
                  *mean_size);
    return largest;
}

static void test_smollm2_in_f32_scores_as_transformers(void **state)
{
    (void)state;
    if (model_missing())
        skip();
    double mean, size;
    assert_int_equal(cli(CLI_TEXT("convert %s %s/f32 --dtype f32", model_file(), cli_root)), 0);
    assert_true(compare(CLI_TEXT("%s/f32", cli_root), &mean, &size) <= 1e-3);
}

static void test_smollm2_by_exact_integers_stays_near(void **state)
{
    (void)state;
    if (model_missing())
        skip();
    double mean, size;
    compare(model_file(), &mean, &size);
    assert_true(fabs(mean) <= 0.05);
    assert_true(size <= 0.1); /* as far as 8-bit activations move a token; measured 0.058 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smollm2_in_f32_scores_as_transformers),
        cmocka_unit_test(test_smollm2_by_exact_integers_stays_near),
    };
    return cmocka_run_group_tests(tests, cli_set_up, cli_tear_down);
}
