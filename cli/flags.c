/* SPDX-License-Identifier: Apache-2.0
 * Reads the command line by the table in flags.def.
 */
#include "cli/flags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { KIND_ON, KIND_TEXT, KIND_LIST, KIND_U64, KIND_F64 } kind;

typedef struct verb_row {
    const char *name, *words, *summary;
    uint32_t fewest, most;
} verb_row;

typedef struct flag_row {
    const char *name, *dflt, *value, *help;
    double min, max;
    uint32_t verbs;
    kind kind;
    char letter;
    bool env;
} flag_row;

static const verb_row verb[] = {
#define SV_VERB(id, words, fewest, most, summary) { #id, words, summary, fewest, most },
#include "cli/flags.def"
};

#define ON(id) (1u << SV_VERB_##id)
#define EVERY 0xffffffffu
static const flag_row flag[] = {
#define SV_FLAG(id, name, letter, type, dflt, min, max, env, value, verbs, help) \
    { name, dflt, value, help, min, max, verbs, KIND_##type, letter, env },
#include "cli/flags.def"
};
#undef ON
#undef EVERY

const char *sv_verb_name(sv_verb v)
{
    return v < SV_VERB_COUNT ? verb[v].name : "";
}

sv_err sv_fail_word(const char *what, const char *word, const char *const *words, size_t n)
{
    const char *near = sv_str_nearest(word, words, n);
    if (near != NULL)
        return sv_fail(SV_E_ARG, "%s '%s'; did you mean '%s'?", what, word, near);
    sv_bytes all = { 0 };
    for (size_t i = 0; i < n; i++)
        sv_bytes_printf(&all, "%s%s", i ? ", " : "", words[i]);
    sv_err err = sv_fail(SV_E_ARG, "%s '%s'; there are: %s", what, word, all.p ? all.p : "none");
    sv_bytes_done(&all);
    return err;
}

/* ---- values ---- */

static const char *last_value(const sv_args *a, sv_flag f)
{
    return a->flag[f].n > 0 ? a->flag[f].value[a->flag[f].n - 1] : flag[f].dflt;
}

bool sv_arg_given(const sv_args *a, sv_flag f)
{
    return a->flag[f].n > 0;
}
bool sv_arg_on(const sv_args *a, sv_flag f)
{
    return a->flag[f].n > 0;
}
const char *sv_arg_text(const sv_args *a, sv_flag f)
{
    return last_value(a, f);
}

uint64_t sv_arg_u64(const sv_args *a, sv_flag f)
{
    uint64_t v = 0;
    return sv_str_u64(sv_str_of(last_value(a, f)), &v) ? v : 0;
}

double sv_arg_f64(const sv_args *a, sv_flag f)
{
    double v = 0;
    return sv_str_f64(sv_str_of(last_value(a, f)), &v) ? v : 0;
}

static sv_err check_value(sv_flag f, const char *said, const char *value)
{
    const flag_row *r = &flag[f];
    uint64_t u = 0;
    double x = 0;
    if (r->kind == KIND_U64) {
        if (!sv_str_u64(sv_str_of(value), &u) || (double)u < r->min || (double)u > r->max)
            return sv_fail(SV_E_ARG, "%s takes a whole number from %.0f to %.0f, found '%s'", said, r->min, r->max,
                           value);
    } else if (r->kind == KIND_F64) {
        if (!sv_str_f64(sv_str_of(value), &x) || !(x >= r->min && x <= r->max))
            return sv_fail(SV_E_ARG, "%s takes a number from %g to %g, found '%s'", said, r->min, r->max, value);
    }
    if (f == SV_FLAG_LOG_FORMAT && strcmp(value, "text") != 0 && strcmp(value, "json") != 0)
        return sv_fail(SV_E_ARG, "%s takes text or json, found '%s'", said, value);
    return SV_OK;
}

static sv_err put_value(sv_args *a, sv_flag f, const char *said, const char *value)
{
    SV_TRY(check_value(f, said, value));
    if (a->flag[f].n == SV_ARGS_MAX_VALUE) {
        if (flag[f].kind == KIND_LIST)
            return sv_fail(SV_E_ARG, "%s is given more than %d times", said, SV_ARGS_MAX_VALUE);
        a->flag[f].n--;
    }
    a->flag[f].value[a->flag[f].n++] = value;
    return SV_OK;
}

/* ---- words ---- */

static sv_flag find_flag(const char *name, size_t n)
{
    for (int f = 0; f < SV_FLAG_COUNT; f++)
        if (strlen(flag[f].name) == n && memcmp(flag[f].name, name, n) == 0)
            return (sv_flag)f;
    return SV_FLAG_COUNT;
}

static sv_err fail_flag(const char *said, size_t n)
{
    const char *names[SV_FLAG_COUNT];
    char word[64];
    for (int f = 0; f < SV_FLAG_COUNT; f++)
        names[f] = flag[f].name;
    n = n < sizeof word - 1 ? n : sizeof word - 1;
    memcpy(word, said, n);
    word[n] = '\0';
    const char *near = sv_str_nearest(word, names, SV_FLAG_COUNT);
    if (near != NULL)
        return sv_fail(SV_E_ARG, "no flag '--%s'; did you mean '--%s'?", word, near);
    return sv_fail(SV_E_ARG, "no flag '--%s'; 'samsvar VERB --help' lists them", word);
}

static sv_err read_long(sv_args *a, char **argv, int argc, int *i)
{
    const char *name = argv[*i] + 2, *equal = strchr(name, '=');
    size_t n = equal ? (size_t)(equal - name) : strlen(name);
    sv_flag f = find_flag(name, n);
    if (f == SV_FLAG_COUNT)
        return fail_flag(name, n);
    if (flag[f].kind == KIND_ON) {
        if (equal != NULL)
            return sv_fail(SV_E_ARG, "--%s takes no value", flag[f].name);
        return put_value(a, f, argv[*i], "");
    }
    char said[80] = "--";
    memcpy(said + 2, flag[f].name, strlen(flag[f].name) + 1);
    if (equal != NULL)
        return put_value(a, f, said, equal + 1);
    if (*i + 1 >= argc)
        return sv_fail(SV_E_ARG, "%s needs a value: %s %s", said, said, flag[f].value);
    return put_value(a, f, said, argv[++*i]);
}

static sv_err read_short(sv_args *a, char **argv, int argc, int *i)
{
    const char *word = argv[*i];
    for (int f = 0; f < SV_FLAG_COUNT; f++) {
        if (flag[f].letter == 0 || flag[f].letter != word[1])
            continue;
        if (flag[f].kind == KIND_ON) {
            if (word[2] != '\0')
                return sv_fail(SV_E_ARG, "short flags are not joined: '%s'", word);
            return put_value(a, (sv_flag)f, word, "");
        }
        char said[3] = { '-', word[1], '\0' };
        if (word[2] != '\0')
            return put_value(a, (sv_flag)f, said, word + 2);
        if (*i + 1 >= argc)
            return sv_fail(SV_E_ARG, "%s needs a value: %s %s", said, said, flag[f].value);
        return put_value(a, (sv_flag)f, said, argv[++*i]);
    }
    return sv_fail(SV_E_ARG, "no flag '%s'; short ones are -p -f -q -v -h", word);
}

static sv_err read_word(sv_args *a, const char *word)
{
    const char *names[SV_VERB_COUNT];
    if (a->verb < SV_VERB_COUNT) {
        if (a->n_word == SV_ARGS_MAX_WORD)
            return sv_fail(SV_E_ARG, "too many words; found '%s' after the %dth", word, SV_ARGS_MAX_WORD);
        a->word[a->n_word++] = word;
        return SV_OK;
    }
    for (int v = 0; v < SV_VERB_COUNT; v++) {
        names[v] = verb[v].name;
        if (strcmp(word, names[v]) == 0)
            a->verb = (sv_verb)v;
    }
    return a->verb < SV_VERB_COUNT ? SV_OK : sv_fail_word("no verb", word, names, SV_VERB_COUNT);
}

/* SAMSVAR_MAX_TOKENS for max-tokens. */
static sv_err read_env(sv_args *a)
{
    for (int f = 0; f < SV_FLAG_COUNT; f++) {
        char name[80] = "SAMSVAR_";
        size_t n = strlen(name);
        if (!flag[f].env || a->flag[f].n > 0 || !(flag[f].verbs >> a->verb & 1))
            continue;
        for (const char *c = flag[f].name; *c; c++)
            name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        name[n] = '\0';
        const char *value = getenv(name);
        if (value == NULL || value[0] == '\0')
            continue;
        SV_TRY(put_value(a, (sv_flag)f, name, value));
        a->flag[f].from_env = true;
    }
    return SV_OK;
}

static sv_err check_verb(const sv_args *a)
{
    const verb_row *v = &verb[a->verb];
    for (int f = 0; f < SV_FLAG_COUNT; f++)
        if (a->flag[f].n > 0 && !(flag[f].verbs >> a->verb & 1))
            return sv_fail(SV_E_ARG, "'%s' has no flag --%s; see 'samsvar %s --help'", v->name, flag[f].name, v->name);
    if (a->n_word < v->fewest)
        return sv_fail(SV_E_ARG, "too few words: samsvar %s %s", v->name, v->words);
    if (a->n_word > v->most)
        return sv_fail(SV_E_ARG, "one word too many, '%s': samsvar %s %s", a->word[v->most], v->name, v->words);
    return SV_OK;
}

sv_err sv_args_parse(int argc, char **argv, sv_args *out)
{
    bool only_words = false;
    *out = (sv_args){ .verb = SV_VERB_COUNT };
    for (int i = 1; i < argc; i++) {
        const char *w = argv[i];
        if (only_words || w[0] != '-' || w[1] == '\0')
            SV_TRY(read_word(out, w));
        else if (strcmp(w, "--") == 0)
            only_words = true;
        else if (w[1] == '-')
            SV_TRY(read_long(out, argv, argc, &i));
        else
            SV_TRY(read_short(out, argv, argc, &i));
    }
    if (sv_arg_on(out, SV_FLAG_HELP) || sv_arg_on(out, SV_FLAG_VERSION))
        return SV_OK;
    if (out->verb == SV_VERB_COUNT)
        return sv_fail(SV_E_ARG, "what shall it do? 'samsvar --help' lists the verbs");
    SV_TRY(read_env(out));
    return check_verb(out);
}

/* ---- help and completion ---- */

static void help_flags(sv_verb v, sv_bytes *out)
{
    for (int f = 0; f < SV_FLAG_COUNT; f++) {
        char left[64] = "    ";
        if (v < SV_VERB_COUNT ? !(flag[f].verbs >> v & 1) : flag[f].verbs != 0xffffffffu)
            continue;
        if (flag[f].letter) {
            left[0] = '-';
            left[1] = flag[f].letter;
            left[2] = ',';
        }
        sv_bytes b = { 0 };
        sv_bytes_printf(&b, "%s--%s%s%s", left, flag[f].name, flag[f].value[0] ? " " : "", flag[f].value);
        sv_bytes_printf(out, "  %-28s %s%s", b.p, flag[f].help, flag[f].dflt[0] ? " [" : "");
        sv_bytes_printf(out, "%s%s\n", flag[f].dflt, flag[f].dflt[0] ? "]" : "");
        sv_bytes_done(&b);
    }
}

void sv_help(sv_verb v, sv_bytes *out)
{
    if (v < SV_VERB_COUNT) {
        sv_bytes_printf(out, "samsvar %s %s\n\n%s.\n\n", verb[v].name, verb[v].words, verb[v].summary);
        help_flags(v, out);
        sv_bytes_text(
            out,
            "\nExit: 0 done, 1 failed, 2 used wrongly, 3 file, 4 chip, 5 bits differ, 6 stopped with a checkpoint, "
            "130 interrupted.\n");
        return;
    }
    sv_bytes_text(out,
                  "samsvar VERB ...: trains a reasoning model and serves it with the same bits on every chip.\n\n");
    for (int i = 0; i < SV_VERB_COUNT; i++)
        sv_bytes_printf(out, "  %-10s %-48s %s\n", verb[i].name, verb[i].words, verb[i].summary);
    sv_bytes_text(out, "\nEverywhere:\n");
    help_flags(SV_VERB_COUNT, out);
    sv_bytes_text(out, "\n'samsvar VERB --help' lists the flags of a verb. Flags may stand before or after it.\n");
}

static void complete_bash(sv_bytes *out)
{
    sv_bytes_text(out,
                  "_samsvar() {\n    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}\n    case $verb in\n");
    for (int v = 0; v < SV_VERB_COUNT; v++) {
        sv_bytes_printf(out, "    %s) COMPREPLY=($(compgen -W \"", verb[v].name);
        for (int f = 0; f < SV_FLAG_COUNT; f++)
            if (flag[f].verbs >> v & 1)
                sv_bytes_printf(out, "--%s ", flag[f].name);
        sv_bytes_text(out, v == SV_VERB_chip ? "list info test bench" : v == SV_VERB_completion ? "bash zsh fish" : "");
        sv_bytes_text(out, "\" -- \"$cur\"));;\n");
    }
    sv_bytes_text(out, "    *) COMPREPLY=($(compgen -W \"");
    for (int v = 0; v < SV_VERB_COUNT; v++)
        sv_bytes_printf(out, "%s ", verb[v].name);
    sv_bytes_text(out, "--help --version\" -- \"$cur\"));;\n    esac\n}\ncomplete -o default -F _samsvar samsvar\n");
}

static void complete_zsh(sv_bytes *out)
{
    sv_bytes_text(out, "#compdef samsvar\n_samsvar() {\n    local -a verbs\n    verbs=(\n");
    for (int v = 0; v < SV_VERB_COUNT; v++)
        sv_bytes_printf(out, "        '%s:%s'\n", verb[v].name, verb[v].summary);
    sv_bytes_text(out,
                  "    )\n    if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n    case $words[2] in\n");
    for (int v = 0; v < SV_VERB_COUNT; v++) {
        sv_bytes_printf(out, "    %s) compadd --", verb[v].name);
        for (int f = 0; f < SV_FLAG_COUNT; f++)
            if (flag[f].verbs >> v & 1)
                sv_bytes_printf(out, " --%s", flag[f].name);
        sv_bytes_text(out, "; _files;;\n");
    }
    sv_bytes_text(out, "    esac\n}\n_samsvar \"$@\"\n");
}

static void complete_fish(sv_bytes *out)
{
    for (int v = 0; v < SV_VERB_COUNT; v++) {
        sv_bytes_printf(out, "complete -c samsvar -n __fish_use_subcommand -a %s -d \"%s\"\n", verb[v].name,
                        verb[v].summary);
        for (int f = 0; f < SV_FLAG_COUNT; f++)
            if (flag[f].verbs >> v & 1)
                sv_bytes_printf(out, "complete -c samsvar -n '__fish_seen_subcommand_from %s' -l %s%s\n", verb[v].name,
                                flag[f].name, flag[f].kind == KIND_ON ? "" : " -r");
    }
}

bool sv_completion(const char *shell, sv_bytes *out)
{
    if (strcmp(shell, "bash") == 0)
        complete_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        complete_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        complete_fish(out);
    else
        return false;
    return true;
}
