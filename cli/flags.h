/* SPDX-License-Identifier: Apache-2.0
 * The command line as read: verb, words, flags by the table in flags.def. Flag beats SAMSVAR_* beats default.
 * Threads: constant once parsed.
 */
#ifndef SV_CLI_FLAGS_H
#define SV_CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef enum sv_verb {
#define SV_VERB(id, words, fewest, most, summary) SV_VERB_##id,
#include "cli/flags.def"
    SV_VERB_COUNT
} sv_verb;

typedef enum sv_flag {
#define SV_FLAG(id, name, letter, type, dflt, min, max, env, value, verbs, help) SV_FLAG_##id,
#include "cli/flags.def"
    SV_FLAG_COUNT
} sv_flag;

#define SV_ARGS_MAX_WORD 64
#define SV_ARGS_MAX_VALUE 32

typedef struct sv_args {
    sv_verb verb; /* SV_VERB_COUNT: none */
    const char *word[SV_ARGS_MAX_WORD];
    uint32_t n_word;
    struct {
        const char *value[SV_ARGS_MAX_VALUE]; /* in the order given */
        uint32_t n;
        bool from_env;
    } flag[SV_FLAG_COUNT];
} sv_args;

/* SV_E_ARG names the word, what was found and one suggestion. Borrows argv and the environment. */
sv_err sv_args_parse(int argc, char **argv, sv_args *out);

bool sv_arg_given(const sv_args *a, sv_flag f);       /* by flag or environment */
bool sv_arg_on(const sv_args *a, sv_flag f);          /* ON flags */
const char *sv_arg_text(const sv_args *a, sv_flag f); /* the last value; the default, "" for none */
uint64_t sv_arg_u64(const sv_args *a, sv_flag f);     /* range was checked by the parser; 0 when "" */
double sv_arg_f64(const sv_args *a, sv_flag f);
const char *sv_verb_name(sv_verb v);
/* "no task 'x'; did you mean 'y'?" as SV_E_ARG; words: n allowed ones. */
sv_err sv_fail_word(const char *what, const char *word, const char *const *words, size_t n);

/* Help of the program (SV_VERB_COUNT) or of a verb. */
void sv_help(sv_verb v, sv_bytes *out);
/* A completion script; false: no such shell. */
bool sv_completion(const char *shell, sv_bytes *out);

#endif
