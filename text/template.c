/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: making and rendering. Reading is in template_lex.c, _parse.c and _stmt.c; running in _eval.c,
 * _exec.c, _call.c, _filter.c and _test.c; values in _value.c, _string.c, _case.c and _print.c.
 */
#include "text/template_impl.h"

#include <string.h>

sv_err sv_template_make(sv_str source, const char *name, sv_template **out)
{
    sv_arena *a = sv_arena_make();
    sv_template *t = SV_NEW(a, sv_template);
    *out = NULL;
    t->arena = a;
    t->name = sv_arena_text(a, name ? name : "chat template");
    t->name_of = sv_map_make(64);
    t->source = (sv_str){ sv_arena_textn(a, source.p ? source.p : "", source.n), source.n };
    sv_err err = sv_tpl_parse(t);
    sv_map_drop(t->name_of); /* names are numbers from here on */
    t->name_of = NULL;
    if (err != SV_OK) {
        sv_template_drop(t);
        return err;
    }
    *out = t;
    return SV_OK;
}

void sv_template_drop(sv_template *t)
{
    if (t)
        sv_arena_drop(t->arena);
}

sv_str sv_template_source(const sv_template *t)
{
    return t->source;
}

/* The number of a name that the template writes; false: it never does. */
static bool find_name(const sv_template *t, const char *name, uint32_t *id)
{
    for (*id = 0; *id < t->n_name; ++*id)
        if (sv_str_is(t->names[*id], name))
            return true;
    return false;
}

/* What the caller names itself; a request may not replace it. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = { "messages",  "tools",     "documents",       "add_generation_prompt",
                                            "bos_token", "eos_token", "raise_exception", "namespace",
                                            "range",     "loop",      "strftime_now" };
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static sv_err set_kwargs(sv_tpl_env *e, const json_t *kwargs)
{
    json_t *obj = (json_t *)(uintptr_t)kwargs; /* iteration changes nothing */
    if (kwargs && !json_is_object(kwargs))
        return sv_fail(SV_E_ARG, "chat_template_kwargs: must be an object");
    for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it)) {
        const char *key = json_object_iter_key(it);
        uint32_t id;
        sv_tpl_value v;
        if (is_reserved(key))
            return sv_fail(SV_E_ARG, "chat_template_kwargs: '%s' cannot be set here", key);
        if (!find_name(e->t, key, &id))
            continue;
        SV_TRY(sv_tpl_from_json(e, json_object_iter_value(it), 1, &v));
        SV_TRY(sv_tpl_set(e, id, v));
    }
    return SV_OK;
}

/* The names that a template is given, as Hugging Face's apply_chat_template gives them. */
static sv_err set_input(sv_tpl_env *e, const sv_template_input *in)
{
    sv_tpl_value v;
    if (!json_is_array(in->messages))
        return sv_fail(SV_E_ARG, "messages: must be an array");
    SV_TRY(sv_tpl_from_messages(e, in->messages, &v));
    SV_TRY(sv_tpl_set(e, SV_TPL_NAME_messages, v));
    SV_TRY(sv_tpl_from_json(e, in->tools, 0, &v));
    SV_TRY(sv_tpl_set(e, SV_TPL_NAME_tools, v));
    SV_TRY(sv_tpl_set(e, SV_TPL_NAME_documents, sv_tpl_none()));
    SV_TRY(sv_tpl_set(e, SV_TPL_NAME_add_generation_prompt, sv_tpl_bool(in->add_generation_prompt, true)));
    if (in->bos_token) {
        SV_TRY(sv_tpl_borrow(e, sv_str_of(in->bos_token), true, &v));
        SV_TRY(sv_tpl_set(e, SV_TPL_NAME_bos_token, v));
    }
    if (in->eos_token) {
        SV_TRY(sv_tpl_borrow(e, sv_str_of(in->eos_token), true, &v));
        SV_TRY(sv_tpl_set(e, SV_TPL_NAME_eos_token, v));
    }
    return set_kwargs(e, in->kwargs);
}

/* Takes back what a failed render appended. */
static void cut(sv_marked *m, size_t n, size_t n_run, sv_run last)
{
    sv_marked kept = *m;
    if (n == m->text.n)
        return;
    kept.text.n = n;
    kept.text.p[n] = '\0';
    kept.n_run = n_run;
    if (n_run)
        kept.run[n_run - 1] = last;
    *m = kept;
}

sv_err sv_template_render(const sv_template *t, const sv_template_input *in, sv_marked *out)
{
    sv_tpl_env e = { .t = t, .arena = sv_arena_make(), .out = out };
    size_t n = out->text.n, n_run = out->n_run;
    sv_run last = n_run ? out->run[n_run - 1] : (sv_run){ 0, false };
    sv_err err = set_input(&e, in);
    if (err == SV_OK)
        err = sv_tpl_exec(&e, t->root);
    if (err != SV_OK)
        cut(out, n, n_run, last);
    sv_mem_free(e.var);
    sv_arena_drop(e.arena);
    return err;
}
