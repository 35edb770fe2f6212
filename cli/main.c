/* SPDX-License-Identifier: Apache-2.0
 * The program: reads the command line, runs the verb, says what went wrong, gives the exit code.
 */
#include <stdlib.h>

#include "base/log.h"
#include "cli/cmd.h"
#include "samsvar/chip.h"

static sv_err run_verb(const sv_args *a)
{
    static sv_err (*const verb[])(const sv_args *) = {
#define SV_VERB(id, words, fewest, most, summary) sv_cmd_##id,
#include "cli/flags.def"
    };
    return verb[a->verb](a);
}

sv_err sv_cmd_completion(const sv_args *a)
{
    static const char *const shells[] = { "bash", "zsh", "fish" };
    sv_bytes text = { 0 };
    if (!sv_completion(a->word[0], &text))
        return sv_fail_word("no completion for the shell", a->word[0], shells, 3);
    sv_out_str((sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    return SV_OK;
}

static void print_help(sv_verb v)
{
    sv_bytes text = { 0 };
    sv_help(v, &text);
    sv_out_str((sv_str){ text.p, text.n });
    sv_bytes_done(&text);
}

static void print_version(bool json)
{
    if (json)
        sv_out_json(json_pack("{s:s, s:i, s:i}", "version", SV_VERSION, "opset", SV_OPSET, "chip_abi", SV_CHIP_ABI));
    else
        sv_out("samsvar %s (opset %d, chip ABI %d)\n", SV_VERSION, SV_OPSET, SV_CHIP_ABI);
}

static void say(const sv_args *a, sv_err err)
{
    if (sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json(json_pack("{s:{s:s, s:s}}", "error", "code", sv_err_name(err), "message", sv_err_text()));
    sv_say_error(sv_err_text()[0] ? sv_err_text() : sv_err_meaning(err));
}

int main(int argc, char **argv)
{
    sv_args a;
    sv_err err = sv_args_parse(argc, argv, &a);
    sv_out_init(sv_arg_on(&a, SV_FLAG_QUIET), sv_arg_on(&a, SV_FLAG_NO_COLOR));
    sv_log_set(sv_arg_on(&a, SV_FLAG_VERBOSE) ? SV_LOG_DEBUG
               : sv_arg_on(&a, SV_FLAG_QUIET) ? SV_LOG_ERROR
                                              : SV_LOG_WARN,
               sv_str_is(sv_str_of(sv_arg_text(&a, SV_FLAG_LOG_FORMAT)), "json"));
    if (err == SV_OK && sv_arg_on(&a, SV_FLAG_VERSION))
        print_version(sv_arg_on(&a, SV_FLAG_JSON));
    else if (err == SV_OK && sv_arg_on(&a, SV_FLAG_HELP))
        print_help(a.verb);
    else if (err == SV_OK)
        err = run_verb(&a);
    sv_live_end();
    if (err != SV_OK)
        say(&a, err);
    sv_err late = sv_out_end();
    if (err == SV_OK && late != SV_OK) {
        sv_say_error(sv_err_text());
        err = late;
    }
    return sv_err_exit_code(err);
}
