/* SPDX-License-Identifier: Apache-2.0
 * Rows of a file made into problems; faults of all rows are counted before one is reported.
 */
#include "train/problems.h"

#include <inttypes.h>
#include <string.h>

#include "base/sha.h"
#include "format/jsonl.h"

static json_t *message(sv_str text)
{
    json_t *list = json_array(), *o = json_object();
    json_object_set_new(o, "role", json_string("user"));
    json_object_set_new(o, "content", json_stringn(text.p, text.n));
    json_array_append_new(list, o);
    return list;
}

static bool is_chat(const json_t *v)
{
    size_t n = json_array_size(v);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(v, i), *role = json_object_get(m, "role");
        if (!json_is_string(role) || !json_is_string(json_object_get(m, "content")))
            return false;
        if (i + 1 == n && strcmp(json_string_value(role), "user") != 0)
            return false;
    }
    return n > 0;
}

/* The words that countdown sets are usually asked with. */
static json_t *countdown_prompt(const sv_gold *gold)
{
    sv_bytes b = { 0 };
    sv_bytes_text(&b, "Using the numbers [");
    for (uint32_t i = 0; i < gold->n_number; i++)
        sv_bytes_printf(&b, i > 0 ? ", %" PRId64 : "%" PRId64, gold->number[i]);
    sv_bytes_printf(&b,
                    "], create an expression that equals %" PRId64
                    ". You can use + - * / and parentheses, and each number exactly once. Give the expression alone "
                    "inside <answer> </answer>, for example <answer>(1 + 2) / 3</answer>.",
                    gold->value.item[0].num);
    json_t *list = message((sv_str){ b.p, b.n });
    sv_bytes_done(&b);
    return list;
}

static sv_err read_prompt(const json_t *row, const char *where, sv_problem *p)
{
    static const char *const key[] = { "prompt", "messages", "question", "problem" };
    const json_t *v = NULL;
    for (size_t i = 0; v == NULL && i < sizeof key / sizeof *key; i++)
        v = json_object_get(row, key[i]);
    if (v == NULL && p->gold.n_number > 0) {
        p->messages = countdown_prompt(&p->gold);
        return SV_OK;
    }
    if (json_is_string(v) && json_string_length(v) > 0)
        p->messages = message((sv_str){ json_string_value(v), json_string_length(v) });
    else if (is_chat(v))
        p->messages = json_deep_copy(v);
    else
        return sv_fail(SV_E_FORMAT,
                       "%s: no prompt; write \"prompt\" as a text, or as a list of messages that ends with the user's",
                       where);
    return SV_OK;
}

static sv_err find_verifier(const json_t *row, const sv_verifier *given, const char *where, sv_problem *p)
{
    const json_t *name = json_object_get(row, "verifier");
    p->verifier = given;
    if (given != NULL)
        return SV_OK;
    if (!json_is_string(name))
        return sv_fail(SV_E_ARG, "%s: no verifier; name one of %s, for all rows or by \"verifier\" in each", where,
                       sv_verifier_names());
    p->verifier = sv_verifier_find(json_string_value(name));
    return p->verifier != NULL ? SV_OK
                               : sv_fail(SV_E_FORMAT, "%s: no verifier '%s'; there are %s", where,
                                         sv_str_quote(sv_str_of(json_string_value(name))), sv_verifier_names());
}

static sv_err read_row(sv_problems *ps, const json_t *row, const char *where, const sv_verifier *given,
                       bool skip_unsupported, sv_problem *p, bool *keep)
{
    bool is_supported;
    SV_TRY(find_verifier(row, given, where, p));
    SV_TRY(sv_gold_read(p->verifier, row, where, ps->arena, &p->gold, &is_supported));
    *keep = is_supported;
    if (is_supported)
        return read_prompt(row, where, p);
    ps->n_unsupported++;
    return skip_unsupported ? SV_OK
                            : sv_fail(SV_E_UNSUPPORTED, "%s: verifier %s does not cover this gold answer", where,
                                      sv_verifier_name(p->verifier));
}

/* The first fault's sentence is kept while the others are counted. */
typedef struct faults {
    sv_err first;
    char *text;
    uint64_t n;
} faults;

static void note(faults *f, sv_err err)
{
    if (f->n++ > 0)
        return;
    f->first = err;
    f->text = sv_mem_text(sv_err_text());
}

static sv_err read_rows(sv_problems *ps, sv_jsonl *r, const sv_verifier *given, uint64_t max, bool skip_unsupported)
{
    faults f = { 0 };
    sv_bytes where = { 0 };
    sv_jsonl_line line;
    json_t *row;
    uint64_t n_row = 0;
    for (; max == 0 || n_row < max; n_row++) {
        sv_problem p = { 0 };
        bool keep = false;
        sv_err err = sv_jsonl_next(r, &line, &row);
        if (err == SV_OK && row == NULL)
            break;
        if (err == SV_OK) {
            sv_bytes_clear(&where);
            sv_bytes_printf(&where, "%s:%" PRIu64, ps->name, line.number);
            err = read_row(ps, row, where.p, given, skip_unsupported, &p, &keep);
            json_decref(row);
        }
        p.line = line.number;
        if (err != SV_OK)
            note(&f, err);
        else if (keep)
            SV_PUSH(ps->item, ps->n, ps->cap, p);
        if (err == SV_E_ARG)
            break;
    }
    sv_bytes_done(&where);
    sv_err err = SV_OK;
    if (f.n > 1)
        err = sv_fail(f.first, "%s\n%" PRIu64 " of %" PRIu64 " rows have such a fault", f.text, f.n, n_row);
    else if (f.n == 1)
        err = sv_fail(f.first, "%s", f.text);
    else if (ps->n == 0)
        err = sv_fail(SV_E_FORMAT, "%s: no problem in it%s", ps->name,
                      ps->n_unsupported > 0 ? " whose gold answer the verifier covers" : "");
    sv_mem_free(f.text);
    return err;
}

sv_err sv_problems_open(const char *path, const sv_verifier *verifier, uint64_t max, bool skip_unsupported,
                        sv_problems **out)
{
    sv_jsonl *r;
    SV_TRY(sv_jsonl_open(path, &r));
    sv_problems *ps = sv_mem_new(sizeof *ps);
    ps->arena = sv_arena_make();
    ps->name = sv_arena_text(ps->arena, sv_jsonl_name(r));
    sv_err err = read_rows(ps, r, verifier, max, skip_unsupported);
    sv_str bytes = sv_jsonl_bytes(r);
    sv_sha_of(bytes.p, bytes.n, ps->hash);
    sv_jsonl_close(r);
    if (err != SV_OK) {
        sv_problems_close(ps);
        return err;
    }
    *out = ps;
    return SV_OK;
}

void sv_problems_close(sv_problems *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++)
        json_decref(p->item[i].messages);
    sv_mem_free(p->item);
    sv_arena_drop(p->arena);
    sv_mem_free(p);
}

sv_str sv_problem_text(const sv_problem *p)
{
    const json_t *last = json_array_get(p->messages, json_array_size(p->messages) - 1),
                 *text = json_object_get(last, "content");
    return (sv_str){ json_string_value(text), json_string_length(text) };
}
