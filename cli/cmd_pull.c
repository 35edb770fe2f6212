/* SPDX-License-Identifier: Apache-2.0
 * samsvar pull: a model from a hub into the cache that other programs share.
 */
#include "cli/cmd.h"
#include "cli/hub.h"

sv_err sv_cmd_pull(const sv_args *a)
{
    sv_hub_name name;
    sv_hub_result r;
    sv_hub_opts o = { .include = a->flag[SV_FLAG_INCLUDE].value,
                      .n_include = a->flag[SV_FLAG_INCLUDE].n,
                      .stall_s = (uint32_t)sv_arg_u64(a, SV_FLAG_STALL),
                      .tries = 5 };
    sv_arena *arena = sv_arena_make();
    sv_signals_catch(NULL, 130);
    sv_err err = sv_hub_parse(a->word[0], arena, &name);
    if (err == SV_OK)
        err = sv_hub_pull(&name, &o, arena, &r);
    if (err == SV_OK && sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json_pretty(json_pack("{s:i, s:s, s:i, s:i, s:I}", "v", 1, "path", r.path, "files", (int)r.n_file,
                                     "fetched", (int)r.n_fetched, "bytes", (json_int_t)r.bytes));
    else if (err == SV_OK) {
        sv_note("%u files, %u of them fetched (%s); samsvar run %s", r.n_file, r.n_fetched,
                sv_bytes_words((double)r.bytes), a->word[0]);
        sv_out("%s\n", r.path);
    }
    sv_arena_drop(arena);
    return err;
}
