/* SPDX-License-Identifier: Apache-2.0
 * samsvar tokenize: ids and pieces of a text.
 */
#include "base/file.h"
#include "base/json.h"
#include "cli/cmd.h"

static json_t *list_json(const sv_tokenizer *t, const sv_ids *ids)
{
    json_t *out = json_array();
    for (size_t i = 0; i < ids->n; i++) {
        sv_str piece = sv_tokenizer_piece(t, ids->id[i]);
        sv_bytes shown = { 0 };
        if (!sv_utf8_valid(piece.p, piece.n, NULL))
            sv_show(piece, &shown);
        else
            sv_bytes_add(&shown, piece.p, piece.n);
        json_t *o = json_pack("{s:I, s:o, s:s}", "id", (json_int_t)ids->id[i], "piece",
                              json_stringn(shown.p ? shown.p : "", shown.n), "bytes",
                              sv_hex(piece.p, piece.n < 32 ? piece.n : 32));
        if (sv_tokenizer_is_special(t, ids->id[i]))
            json_object_set_new(o, "special", json_true());
        json_array_append_new(out, o);
        sv_bytes_done(&shown);
    }
    return out;
}

static void list_text(const sv_tokenizer *t, const sv_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        sv_out("%8u  %s%s\n", ids->id[i], sv_str_quote(sv_tokenizer_piece(t, ids->id[i])),
               sv_tokenizer_is_special(t, ids->id[i]) ? "  (special)" : "");
}

sv_err sv_cmd_tokenize(const sv_args *a)
{
    sv_arena *arena = sv_arena_make();
    sv_model *m = NULL;
    sv_ids ids = { 0 };
    sv_str text;
    sv_err err = sv_text_of(a, true, arena, &text);
    if (err == SV_OK)
        err = sv_open_model(a, a->word[0], &m);
    if (err == SV_OK)
        err = sv_model_need_tokenizer(m);
    if (err == SV_OK)
        err = sv_tokenizer_encode_plain(m->tokenizer, text, true, &ids);
    if (err == SV_OK && sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json(
            json_pack("{s:i, s:I, s:o}", "v", 1, "n", (json_int_t)ids.n, "tokens", list_json(m->tokenizer, &ids)));
    else if (err == SV_OK)
        list_text(m->tokenizer, &ids);
    if (err == SV_OK && !sv_arg_on(a, SV_FLAG_JSON))
        sv_note("%zu tokens, %zu bytes", ids.n, text.n);
    sv_ids_done(&ids);
    sv_model_close(m);
    sv_arena_drop(arena);
    return err;
}
