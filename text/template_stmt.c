/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: tags become nodes.
 */
#include "text/template_impl.h"

#include <string.h>

static sv_err statement(sv_tpl_parser *p, sv_tpl_node **out);

/* A block's body up to a tag of `end`, which is left standing at its name. The opening tag's end comes first. */
static sv_err block(sv_tpl_parser *p, const char *const *end, sv_tpl_node **out)
{
    sv_tpl_skip_op(p, ":"); /* Jinja allows `{% if x: %}` */
    SV_TRY(sv_tpl_need(p, SV_TPL_T_TAG_END, "'%}'"));
    return sv_tpl_body(p, end, out);
}

static bool is_end(const sv_tpl_token *t, const char *const *end)
{
    for (; end && *end; end++)
        if (sv_tpl_is_name(t, *end))
            return true;
    return false;
}

sv_err sv_tpl_body(sv_tpl_parser *p, const char *const *end, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_kids kids = { 0 };
    for (;;) {
        const sv_tpl_token *t = sv_tpl_peek(p, 0);
        sv_tpl_node *n;
        if (t->kind == SV_TPL_T_END)
            break;
        p->at++;
        if (t->kind == SV_TPL_T_TEXT) {
            SV_TRY(sv_tpl_node_make(p, SV_TPL_N_TEXT, t, NULL, 0, &n));
            sv_tpl_buf *b = SV_NEW(p->t->arena, sv_tpl_buf);
            *b = (sv_tpl_buf){ .p = (char *)(uintptr_t)t->text.p, .n = (uint32_t)t->text.n, .trusted = true };
            n->value = sv_tpl_buf_string(b);
        } else if (t->kind == SV_TPL_T_PRINT_BEGIN) {
            SV_TRY(sv_tpl_tuple(p, true, false, &n));
            SV_TRY(sv_tpl_need(p, SV_TPL_T_PRINT_END, "'}}'"));
            SV_TRY(sv_tpl_node_make(p, SV_TPL_N_PRINT, t, &n, 1, &n));
        } else {
            if (is_end(sv_tpl_peek(p, 0), end))
                return sv_tpl_node_make(p, SV_TPL_N_BODY, at, kids.p, kids.n, out);
            SV_TRY(statement(p, &n));
            SV_TRY(sv_tpl_need(p, SV_TPL_T_TAG_END, "'%}'"));
        }
        sv_tpl_kids_add(p, &kids, n);
    }
    if (end) {
        sv_bytes want = { 0 };
        for (; *end; end++)
            sv_bytes_printf(&want, "%s'%s'", want.n ? " or " : "", *end);
        sv_err err = sv_tpl_syntax(p, sv_tpl_peek(p, 0), want.p);
        sv_bytes_done(&want);
        return err;
    }
    return sv_tpl_node_make(p, SV_TPL_N_BODY, at, kids.p, kids.n, out);
}

/* --- targets of set and for --- */

static sv_err target(sv_tpl_parser *p, bool with_namespace, sv_tpl_node **out);

static sv_err target_item(sv_tpl_parser *p, bool with_namespace, sv_tpl_node **out)
{
    static const char *const constant[] = { "true", "True", "false", "False", "none", "None", NULL };
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    if (sv_tpl_is_op(t, "(")) {
        SV_TRY(sv_tpl_enter(p, t));
        p->at++;
        SV_TRY(target(p, with_namespace, out));
        p->nest--;
        return sv_tpl_need_op(p, ")");
    }
    if (t->kind != SV_TPL_T_NAME || is_end(t, constant))
        return sv_tpl_syntax(p, t, "a name to assign to");
    p->at++;
    SV_TRY(sv_tpl_node_make(p, SV_TPL_N_NAME, t, NULL, 0, out));
    (*out)->name = sv_tpl_intern(p->t, t->text);
    if (with_namespace && sv_tpl_skip_op(p, ".")) {
        SV_TRY(sv_tpl_need_name(p, &t));
        SV_TRY(sv_tpl_node_make(p, SV_TPL_N_ATTR, t, out, 1, out));
        (*out)->name = sv_tpl_intern(p->t, t->text);
    } else if ((*out)->name == SV_TPL_NAME_loop) {
        return sv_tpl_unsupported(p, t, "assignment to", t->text);
    }
    return SV_OK;
}

static sv_err target(sv_tpl_parser *p, bool with_namespace, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_kids kids = { 0 };
    bool is_tuple = false;
    for (;;) {
        if (is_tuple && sv_tpl_is_op(sv_tpl_peek(p, 0), ")")) /* a last comma is allowed in brackets only */
            break;
        sv_tpl_node *n;
        SV_TRY(target_item(p, with_namespace, &n));
        sv_tpl_kids_add(p, &kids, n);
        if (!sv_tpl_skip_op(p, ","))
            break;
        is_tuple = true;
    }
    if (!is_tuple) {
        *out = kids.p[0];
        return SV_OK;
    }
    return sv_tpl_node_make(p, SV_TPL_N_TUPLE, at, kids.p, kids.n, out);
}

/* --- tags --- */

static sv_err tag_set(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_node **out)
{
    static const char *const end[] = { "endset", NULL };
    sv_tpl_node *kid[3] = { NULL };
    SV_TRY(target(p, true, &kid[0]));
    if (sv_tpl_skip_op(p, "=")) {
        SV_TRY(sv_tpl_tuple(p, true, false, &kid[1]));
        return sv_tpl_node_make(p, SV_TPL_N_SET, at, kid, 2, out);
    }
    SV_TRY(sv_tpl_filters(p, &kid[2]));
    p->in_block++;
    SV_TRY(block(p, end, &kid[1]));
    p->in_block--;
    p->at++;
    return sv_tpl_node_make(p, SV_TPL_N_SETBODY, at, kid, 3, out);
}

static sv_err tag_for(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_node **out)
{
    static const char *const end[] = { "endfor", "else", NULL }, *const end_else[] = { "endfor", NULL };
    sv_tpl_node *kid[5] = { NULL };
    SV_TRY(target(p, false, &kid[0]));
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    if (!sv_tpl_skip_name(p, "in"))
        return sv_tpl_syntax(p, t, "'in'");
    SV_TRY(sv_tpl_tuple(p, false, false, &kid[1]));
    if (sv_tpl_skip_name(p, "if"))
        SV_TRY(sv_tpl_expression(p, true, &kid[2]));
    t = sv_tpl_peek(p, 0);
    if (sv_tpl_is_name(t, "recursive"))
        return sv_tpl_unsupported(p, t, "loop form", t->text);
    p->in_loop++;
    p->in_block++;
    SV_TRY(block(p, end, &kid[3]));
    p->in_loop--;
    if (sv_tpl_skip_name(p, "else"))
        SV_TRY(block(p, end_else, &kid[4]));
    p->in_block--;
    p->at++;
    return sv_tpl_node_make(p, SV_TPL_N_FOR, at, kid, 5, out);
}

static sv_err tag_if(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_node **out)
{
    static const char *const end[] = { "elif", "else", "endif", NULL }, *const end_else[] = { "endif", NULL };
    sv_tpl_kids kids = { 0 };
    sv_tpl_node *n;
    do {
        SV_TRY(sv_tpl_tuple(p, false, false, &n));
        sv_tpl_kids_add(p, &kids, n);
        SV_TRY(block(p, end, &n));
        sv_tpl_kids_add(p, &kids, n);
    } while (sv_tpl_skip_name(p, "elif"));
    if (sv_tpl_skip_name(p, "else")) {
        SV_TRY(block(p, end_else, &n));
        sv_tpl_kids_add(p, &kids, n);
    }
    p->at++;
    return sv_tpl_node_make(p, SV_TPL_N_IF, at, kids.p, kids.n, out);
}

/* name(a, b=default): parameters into `key`, defaults behind the body's place in `kids` */
static sv_err signature(sv_tpl_parser *p, sv_tpl_kids *kids, uint32_t *key, uint32_t *n_key)
{
    SV_TRY(sv_tpl_need_op(p, "("));
    while (!sv_tpl_is_op(sv_tpl_peek(p, 0), ")")) {
        const sv_tpl_token *t;
        if (*n_key)
            SV_TRY(sv_tpl_need_op(p, ","));
        SV_TRY(sv_tpl_need_name(p, &t));
        if (*n_key == SV_TPL_MAX_NEST)
            return sv_tpl_fail_at(SV_E_LIMIT, p->t->name, t->line, t->col, "more than 64 parameters");
        uint32_t name = sv_tpl_intern(p->t, t->text);
        for (uint32_t i = 0; i < *n_key; i++)
            if (key[i] == name)
                return sv_tpl_fail_at(SV_E_FORMAT, p->t->name, t->line, t->col, "a parameter is repeated");
        key[(*n_key)++] = name;
        if (sv_tpl_skip_op(p, "=")) {
            sv_tpl_node *n;
            SV_TRY(sv_tpl_expression(p, true, &n));
            sv_tpl_kids_add(p, kids, n);
        } else if (kids->n > 1) {
            return sv_tpl_syntax(p, sv_tpl_peek(p, 0), "a default, as the parameter before has one");
        }
    }
    p->at++;
    return SV_OK;
}

static sv_err tag_macro(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_node **out)
{
    static const char *const end[] = { "endmacro", NULL };
    const sv_tpl_token *t;
    sv_tpl_kids kids = { 0 };
    uint32_t key[SV_TPL_MAX_NEST], n_key = 0;
    if (p->in_block)
        return sv_tpl_unsupported(p, at, "macro inside of another block:", at->text);
    SV_TRY(sv_tpl_need_name(p, &t));
    uint32_t name = sv_tpl_intern(p->t, t->text);
    sv_tpl_kids_add(p, &kids, NULL);
    SV_TRY(signature(p, &kids, key, &n_key));
    SV_PUSH(p->macro, p->n_macro, p->cap_macro, name);
    p->open_macro = (uint32_t)p->n_macro;
    p->in_block++;
    SV_TRY(block(p, end, &kids.p[0]));
    p->in_block--;
    p->open_macro = 0;
    p->at++;
    SV_TRY(sv_tpl_node_make(p, SV_TPL_N_MACRO, at, kids.p, kids.n, out));
    (*out)->name = name;
    (*out)->id = (uint16_t)(p->n_macro - 1);
    (*out)->n_arg = n_key;
    (*out)->key = SV_NEW_N(p->t->arena, uint32_t, n_key + 1);
    memcpy((*out)->key, key, n_key * sizeof *key);
    return SV_OK;
}

/* Marks what the assistant wrote for training; here it is only a block with names of its own. */
static sv_err tag_generation(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_node **out)
{
    static const char *const end[] = { "endgeneration", NULL };
    p->in_block++;
    SV_TRY(block(p, end, out));
    p->in_block--;
    p->at++;
    return sv_tpl_node_make(p, SV_TPL_N_SCOPE, at, out, 1, out);
}

static sv_err tag_break(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_node **out)
{
    if (!p->in_loop)
        return sv_tpl_fail_at(SV_E_FORMAT, p->t->name, at->line, at->col, "'%s' outside of a loop",
                              sv_str_quote(at->text));
    return sv_tpl_node_make(p, sv_tpl_is_name(at, "break") ? SV_TPL_N_BREAK : SV_TPL_N_CONTINUE, at, NULL, 0, out);
}

static sv_err statement(sv_tpl_parser *p, sv_tpl_node **out)
{
    static const struct {
        const char *name;
        sv_err (*read)(sv_tpl_parser *, const sv_tpl_token *, sv_tpl_node **);
    } tags[] = { { "for", tag_for },
                 { "if", tag_if },
                 { "set", tag_set },
                 { "macro", tag_macro },
                 { "break", tag_break },
                 { "continue", tag_break },
                 { "generation", tag_generation } };
    static const char *const stray[] = {
        "else", "elif", "endif", "endfor", "endset", "endmacro", "endgeneration", NULL
    };
    const sv_tpl_token *t;
    SV_TRY(sv_tpl_need_name(p, &t));
    if (is_end(t, stray))
        return sv_tpl_syntax(p, t, "a tag that fits the open block");
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (!sv_tpl_is_name(t, tags[i].name))
            continue;
        SV_TRY(sv_tpl_enter(p, t));
        SV_TRY(tags[i].read(p, t, out));
        p->nest--;
        return SV_OK;
    }
    return sv_tpl_unsupported(p, t, "tag", t->text);
}

/* A macro calls only macros that stand before it, so that no recursion exists. */
static sv_err check_macro_calls(const sv_tpl_parser *p)
{
    for (size_t i = 0; i < p->n_call; i++) {
        bool is_macro = false, before = false;
        for (size_t m = 0; m < p->n_macro; m++) {
            if (p->macro[m] == p->call[i].name) {
                is_macro = true;
                before |= m + 1 < p->call[i].from;
            }
        }
        if (is_macro && !before)
            return sv_tpl_fail_at(
                SV_E_UNSUPPORTED, p->t->name, p->call[i].at->line, p->call[i].at->col,
                "macro '%s' is called before its end; a macro may call only those that stand before it",
                sv_str_quote(p->t->names[p->call[i].name]));
    }
    return SV_OK;
}

sv_err sv_tpl_parse(sv_template *t)
{
    static const char *const known[] = {
#define NAME_TEXT(name) #name,
        SV_TPL_NAMES(NAME_TEXT)
#undef NAME_TEXT
    };
    sv_tpl_parser p = { .t = t };
    for (size_t i = 0; i < SV_TPL_N_NAMES; i++)
        sv_tpl_intern(t, sv_str_of(known[i]));
    sv_err err = sv_tpl_lex(t->arena, t->source, t->name, &p.token, &p.n_token);
    if (err == SV_OK)
        err = sv_tpl_body(&p, NULL, &t->root);
    if (err == SV_OK)
        err = check_macro_calls(&p);
    sv_mem_free(p.token);
    sv_mem_free(p.macro);
    sv_mem_free(p.call);
    return err;
}
