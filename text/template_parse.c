/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: expressions become nodes. Chains (a + b - c, a and b and c) are one node with many kids, so that only
 * brackets and postfixes make a tree deep. Grammar: jinja2 3.1, parser.py.
 */
#include "text/template_impl.h"

#include <string.h>

const sv_tpl_token *sv_tpl_peek(const sv_tpl_parser *p, size_t ahead)
{
    size_t i = p->at + ahead;
    return &p->token[i < p->n_token ? i : p->n_token - 1];
}

bool sv_tpl_is_op(const sv_tpl_token *t, const char *op)
{
    return t->kind == SV_TPL_T_OP && sv_str_is(t->text, op);
}

bool sv_tpl_is_name(const sv_tpl_token *t, const char *name)
{
    return t->kind == SV_TPL_T_NAME && sv_str_is(t->text, name);
}

bool sv_tpl_skip_op(sv_tpl_parser *p, const char *op)
{
    bool is = sv_tpl_is_op(sv_tpl_peek(p, 0), op);
    p->at += is;
    return is;
}

bool sv_tpl_skip_name(sv_tpl_parser *p, const char *name)
{
    bool is = sv_tpl_is_name(sv_tpl_peek(p, 0), name);
    p->at += is;
    return is;
}

sv_err sv_tpl_syntax(const sv_tpl_parser *p, const sv_tpl_token *at, const char *expected)
{
    static const char *const kind[] = { "the end of the template", "text", "'{{'", "'}}'", "'{%'", "'%}'" };
    const char *name = p->t->name;
    if (at->kind < sizeof kind / sizeof kind[0])
        return sv_tpl_fail_at(SV_E_FORMAT, name, at->line, at->col, "expected %s, found %s", expected, kind[at->kind]);
    return sv_tpl_fail_at(SV_E_FORMAT, name, at->line, at->col, "expected %s, found '%s'", expected,
                          sv_str_quote(at->text));
}

sv_err sv_tpl_unsupported(const sv_tpl_parser *p, const sv_tpl_token *at, const char *what, sv_str name)
{
    return sv_tpl_fail_at(SV_E_UNSUPPORTED, p->t->name, at->line, at->col,
                          "%s '%s' is not built; give a template without it with --chat-template", what,
                          sv_str_quote(name));
}

sv_err sv_tpl_need(sv_tpl_parser *p, sv_tpl_token_kind kind, const char *expected)
{
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    if (t->kind != kind)
        return sv_tpl_syntax(p, t, expected);
    p->at++;
    return SV_OK;
}

sv_err sv_tpl_need_op(sv_tpl_parser *p, const char *op)
{
    char expected[16];
    if (sv_tpl_skip_op(p, op))
        return SV_OK;
    expected[0] = '\'';
    memcpy(expected + 1, op, strlen(op));
    memcpy(expected + 1 + strlen(op), "'", 2);
    return sv_tpl_syntax(p, sv_tpl_peek(p, 0), expected);
}

sv_err sv_tpl_need_name(sv_tpl_parser *p, const sv_tpl_token **out)
{
    *out = sv_tpl_peek(p, 0);
    return sv_tpl_need(p, SV_TPL_T_NAME, "a name");
}

sv_err sv_tpl_enter(sv_tpl_parser *p, const sv_tpl_token *at)
{
    if (++p->nest > SV_TPL_MAX_NEST)
        return sv_tpl_fail_at(SV_E_LIMIT, p->t->name, at->line, at->col, "nested more than %u deep", SV_TPL_MAX_NEST);
    return SV_OK;
}

uint32_t sv_tpl_intern(sv_template *t, sv_str name)
{
    uint32_t id;
    if (sv_map_get(t->name_of, name, &id))
        return id;
    id = t->n_name;
    if (t->n_name == t->cap_name) {
        t->cap_name = t->cap_name ? 2 * t->cap_name : 64;
        sv_str *grown = SV_NEW_N(t->arena, sv_str, t->cap_name);
        if (t->n_name)
            memcpy(grown, t->names, t->n_name * sizeof *grown);
        t->names = grown;
    }
    t->names[t->n_name++] = (sv_str){ sv_arena_textn(t->arena, name.p, name.n), name.n };
    sv_map_put(t->name_of, name, id);
    return id;
}

void sv_tpl_kids_add(sv_tpl_parser *p, sv_tpl_kids *k, sv_tpl_node *n)
{
    if (k->n == k->cap) {
        k->cap = k->cap ? 2 * k->cap : 4;
        sv_tpl_node **grown = SV_NEW_N(p->t->arena, sv_tpl_node *, k->cap);
        if (k->n)
            memcpy(grown, k->p, k->n * sizeof(sv_tpl_node *));
        k->p = grown;
    }
    k->p[k->n++] = n;
}

sv_err sv_tpl_node_make(sv_tpl_parser *p, sv_tpl_node_kind kind, const sv_tpl_token *at, sv_tpl_node *const *kid,
                        uint32_t n_kid, sv_tpl_node **out)
{
    if (++p->n_node > SV_TPL_MAX_NODE)
        return sv_tpl_fail_at(SV_E_LIMIT, p->t->name, at->line, at->col, "more than %u nodes", SV_TPL_MAX_NODE);
    sv_tpl_node *n = SV_NEW(p->t->arena, sv_tpl_node);
    n->kind = (uint8_t)kind;
    n->line = at->line;
    n->col = at->col;
    n->n_kid = n_kid;
    n->height = 1;
    if (n_kid) {
        n->kid = SV_NEW_N(p->t->arena, sv_tpl_node *, n_kid);
        memcpy(n->kid, kid, n_kid * sizeof(sv_tpl_node *));
    }
    for (uint32_t i = 0; i < n_kid; i++)
        if (kid[i] && kid[i]->height >= n->height)
            n->height = (uint16_t)(kid[i]->height + 1);
    if (n->height > SV_TPL_MAX_HEIGHT)
        return sv_tpl_fail_at(SV_E_LIMIT, p->t->name, at->line, at->col, "an expression of more than %u levels",
                              SV_TPL_MAX_HEIGHT);
    *out = n;
    return SV_OK;
}

/* A chain of kids with the operators before kids 1 .. n - 1; one kid alone stands for itself. */
static sv_err chain(sv_tpl_parser *p, sv_tpl_node_kind kind, const sv_tpl_token *at, const sv_tpl_kids *kids,
                    const sv_bytes *op, sv_tpl_node **out)
{
    if (kids->n == 1) {
        *out = kids->p[0];
        return SV_OK;
    }
    SV_TRY(sv_tpl_node_make(p, kind, at, kids->p, kids->n, out));
    if (op)
        (*out)->op = (uint8_t *)sv_arena_textn(p->t->arena, op->p, op->n);
    return SV_OK;
}

static sv_err constant(sv_tpl_parser *p, const sv_tpl_token *at, sv_tpl_value v, sv_tpl_node **out)
{
    SV_TRY(sv_tpl_node_make(p, SV_TPL_N_CONST, at, NULL, 0, out));
    (*out)->value = v;
    return SV_OK;
}

static sv_err string_literal(sv_tpl_parser *p, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    size_t n = 0, k = 0;
    for (; sv_tpl_peek(p, k)->kind == SV_TPL_T_STRING; k++)
        n += sv_tpl_peek(p, k)->text.n;
    sv_tpl_buf *b = SV_NEW(p->t->arena, sv_tpl_buf);
    b->p = sv_arena_new(p->t->arena, n + 1);
    b->trusted = true;
    for (; k; k--, p->at++) {
        memcpy(b->p + b->n, sv_tpl_peek(p, 0)->text.p, sv_tpl_peek(p, 0)->text.n);
        b->n += (uint32_t)sv_tpl_peek(p, 0)->text.n;
    }
    return constant(p, at, sv_tpl_buf_string(b), out);
}

static sv_err list_literal(sv_tpl_parser *p, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    bool is_dict = sv_tpl_is_op(at, "{");
    const char *close = is_dict ? "}" : "]";
    sv_tpl_kids kids = { 0 };
    sv_tpl_node *n;
    p->at++;
    while (!sv_tpl_is_op(sv_tpl_peek(p, 0), close)) {
        if (kids.n) {
            SV_TRY(sv_tpl_need_op(p, ","));
            if (sv_tpl_is_op(sv_tpl_peek(p, 0), close))
                break;
        }
        SV_TRY(sv_tpl_expression(p, true, &n));
        sv_tpl_kids_add(p, &kids, n);
        if (is_dict) {
            SV_TRY(sv_tpl_need_op(p, ":"));
            SV_TRY(sv_tpl_expression(p, true, &n));
            sv_tpl_kids_add(p, &kids, n);
        }
    }
    p->at++;
    return sv_tpl_node_make(p, is_dict ? SV_TPL_N_DICT : SV_TPL_N_LIST, at, kids.p, kids.n, out);
}

static sv_err primary(sv_tpl_parser *p, sv_tpl_node **out)
{
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    switch (t->kind) {
    case SV_TPL_T_NAME:
        p->at++;
        if (sv_str_is(t->text, "true") || sv_str_is(t->text, "True"))
            return constant(p, t, sv_tpl_bool(true, true), out);
        if (sv_str_is(t->text, "false") || sv_str_is(t->text, "False"))
            return constant(p, t, sv_tpl_bool(false, true), out);
        if (sv_str_is(t->text, "none") || sv_str_is(t->text, "None"))
            return constant(p, t, sv_tpl_none(), out);
        if (p->open_macro &&
            (sv_str_is(t->text, "varargs") || sv_str_is(t->text, "kwargs") || sv_str_is(t->text, "caller")))
            return sv_tpl_unsupported(p, t, "name in a macro:", t->text);
        SV_TRY(sv_tpl_node_make(p, SV_TPL_N_NAME, t, NULL, 0, out));
        (*out)->name = sv_tpl_intern(p->t, t->text);
        return SV_OK;
    case SV_TPL_T_STRING:
        return string_literal(p, out);
    case SV_TPL_T_INT:
        p->at++;
        return constant(p, t, sv_tpl_int(t->u.i, true), out);
    case SV_TPL_T_FLOAT:
        p->at++;
        return constant(p, t, sv_tpl_float(t->u.f, true), out);
    default:
        break;
    }
    if (sv_tpl_is_op(t, "[") || sv_tpl_is_op(t, "{"))
        return list_literal(p, out);
    if (!sv_tpl_skip_op(p, "("))
        return sv_tpl_syntax(p, t, "an expression");
    SV_TRY(sv_tpl_tuple(p, true, true, out));
    return sv_tpl_need_op(p, ")");
}

/* --- what stands behind an expression --- */

/* (a, b, key=c): kids of `args` after kid 0, and their keys. */
static sv_err arguments(sv_tpl_parser *p, sv_tpl_kids *args, uint32_t **key, uint32_t *n_key)
{
    uint32_t names[SV_TPL_MAX_NEST];
    SV_TRY(sv_tpl_need_op(p, "("));
    for (bool first = true; !sv_tpl_is_op(sv_tpl_peek(p, 0), ")"); first = false) {
        if (!first) {
            SV_TRY(sv_tpl_need_op(p, ","));
            if (sv_tpl_is_op(sv_tpl_peek(p, 0), ")"))
                break;
        }
        const sv_tpl_token *t = sv_tpl_peek(p, 0);
        if (sv_tpl_is_op(t, "*") || sv_tpl_is_op(t, "**"))
            return sv_tpl_unsupported(p, t, "argument form", t->text);
        if (t->kind == SV_TPL_T_NAME && sv_tpl_is_op(sv_tpl_peek(p, 1), "=")) {
            if (*n_key == SV_TPL_MAX_NEST)
                return sv_tpl_fail_at(SV_E_LIMIT, p->t->name, t->line, t->col, "more than 64 keyword arguments");
            uint32_t name = sv_tpl_intern(p->t, t->text);
            for (uint32_t i = 0; i < *n_key; i++)
                if (names[i] == name)
                    return sv_tpl_fail_at(SV_E_FORMAT, p->t->name, t->line, t->col, "a keyword argument is repeated");
            names[(*n_key)++] = name;
            p->at += 2;
        } else if (*n_key) {
            return sv_tpl_syntax(p, t, "a keyword argument");
        }
        sv_tpl_node *n;
        SV_TRY(sv_tpl_expression(p, true, &n));
        sv_tpl_kids_add(p, args, n);
    }
    p->at++;
    *key = SV_NEW_N(p->t->arena, uint32_t, *n_key + 1);
    memcpy(*key, names, *n_key * sizeof **key);
    return SV_OK;
}

/* A call, filter or test of kids->p[0], with arguments when a bracket follows. */
static sv_err applied(sv_tpl_parser *p, sv_tpl_node_kind kind, const sv_tpl_token *at, sv_tpl_kids *kids,
                      sv_tpl_node **out)
{
    uint32_t *key = NULL, n_key = 0;
    if (sv_tpl_is_op(sv_tpl_peek(p, 0), "("))
        SV_TRY(arguments(p, kids, &key, &n_key));
    SV_TRY(sv_tpl_node_make(p, kind, at, kids->p, kids->n, out));
    (*out)->key = key;
    (*out)->n_key = n_key;
    (*out)->n_arg = kids->n - 1 - n_key;
    return SV_OK;
}

/* What may be called is known by its name when the template is read: methods, functions and macros. */
static sv_err check_callee(sv_tpl_parser *p, const sv_tpl_token *at, const sv_tpl_node *callee)
{
    static const char *const absent[] = { "dict", "lipsum", "cycler", "joiner", "loop", "caller", "super", "self" };
    sv_str name = callee->kind == SV_TPL_N_NAME || callee->kind == SV_TPL_N_ATTR ? p->t->names[callee->name]
                                                                                 : SV_STR("expression(...)");
    if (callee->kind == SV_TPL_N_ATTR)
        return sv_tpl_is_method(name) ? SV_OK : sv_tpl_unsupported(p, at, "method", name);
    if (callee->kind != SV_TPL_N_NAME)
        return sv_tpl_unsupported(p, at, "call of an", name);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (sv_str_is(name, absent[i]))
            return sv_tpl_unsupported(p, at, "function", name);
    if (p->open_macro) {
        struct sv_tpl_macro_call c = { at, callee->name, p->open_macro };
        SV_PUSH(p->call, p->n_call, p->cap_call, c);
    }
    return SV_OK;
}

static sv_err call(sv_tpl_parser *p, sv_tpl_node **node)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    if ((*node)->kind == SV_TPL_N_NAME || (*node)->kind == SV_TPL_N_ATTR)
        at = sv_tpl_peek(p, 0) - 1; /* the name is a better place to point at */
    SV_TRY(check_callee(p, at, *node));
    sv_tpl_kids kids = { 0 };
    sv_tpl_kids_add(p, &kids, *node);
    return applied(p, SV_TPL_N_CALL, at, &kids, node);
}

/* `.name` or `.0` */
static sv_err attribute(sv_tpl_parser *p, sv_tpl_node **node)
{
    static const char *const known[] = { "index", "index0", "first", "last", "length", "previtem", "nextitem" };
    p->at++;
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    sv_tpl_node *kid[2] = { *node };
    if (t->kind == SV_TPL_T_INT) {
        p->at++;
        SV_TRY(constant(p, t, sv_tpl_int(t->u.i, true), &kid[1]));
        return sv_tpl_node_make(p, SV_TPL_N_ITEM, t, kid, 2, node);
    }
    if (t->kind != SV_TPL_T_NAME)
        return sv_tpl_syntax(p, t, "a name or a number");
    p->at++;
    if (kid[0]->kind == SV_TPL_N_NAME && kid[0]->name == SV_TPL_NAME_loop) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is_known |= sv_str_is(t->text, known[i]);
        if (!is_known)
            return sv_tpl_unsupported(p, t, "loop attribute", t->text);
    }
    SV_TRY(sv_tpl_node_make(p, SV_TPL_N_ATTR, t, kid, 1, node));
    (*node)->name = sv_tpl_intern(p->t, t->text);
    return SV_OK;
}

/* [i] or [a:b:c] */
static sv_err subscript(sv_tpl_parser *p, sv_tpl_node **node)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_node *kid[4] = { *node };
    bool is_slice = false;
    p->at++;
    for (int part = 1; part <= 3; part++) {
        const sv_tpl_token *t = sv_tpl_peek(p, 0);
        if (!sv_tpl_is_op(t, ":") && !sv_tpl_is_op(t, "]"))
            SV_TRY(sv_tpl_expression(p, true, &kid[part]));
        if (part == 3 || !sv_tpl_skip_op(p, ":"))
            break;
        is_slice = true;
    }
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    if (sv_tpl_is_op(t, ","))
        return sv_tpl_unsupported(p, t, "subscript with", t->text);
    if (!is_slice && !kid[1])
        return sv_tpl_syntax(p, t, "an expression");
    SV_TRY(sv_tpl_need_op(p, "]"));
    return sv_tpl_node_make(p, is_slice ? SV_TPL_N_SLICE : SV_TPL_N_ITEM, at, kid, is_slice ? 4 : 2, node);
}

static sv_err postfix(sv_tpl_parser *p, sv_tpl_node **node)
{
    for (;;) {
        const sv_tpl_token *t = sv_tpl_peek(p, 0);
        if (sv_tpl_is_op(t, "."))
            SV_TRY(attribute(p, node));
        else if (sv_tpl_is_op(t, "["))
            SV_TRY(subscript(p, node));
        else if (sv_tpl_is_op(t, "("))
            SV_TRY(call(p, node));
        else
            return SV_OK;
    }
}

sv_err sv_tpl_filters(sv_tpl_parser *p, sv_tpl_node **node)
{
    while (sv_tpl_skip_op(p, "|")) {
        const sv_tpl_token *t;
        uint16_t id;
        SV_TRY(sv_tpl_need_name(p, &t));
        if (!sv_tpl_filter_find(t->text, &id) || sv_tpl_is_op(sv_tpl_peek(p, 0), "."))
            return sv_tpl_unsupported(p, t, "filter", t->text);
        sv_tpl_kids kids = { 0 };
        sv_tpl_kids_add(p, &kids, *node);
        SV_TRY(applied(p, SV_TPL_N_FILTER, t, &kids, node));
        (*node)->id = id;
        (*node)->name = sv_tpl_intern(p->t, t->text);
        const char *what = sv_tpl_filter_check(p->t, *node);
        if (what)
            return sv_tpl_fail_at(SV_E_UNSUPPORTED, p->t->name, t->line, t->col, "filter '%s' %s is not built",
                                  sv_str_quote(t->text), what);
    }
    return SV_OK;
}

/* True when a test's argument may stand here without brackets. */
static bool begins_argument(const sv_tpl_token *t)
{
    if (t->kind == SV_TPL_T_NAME)
        return !sv_tpl_is_name(t, "else") && !sv_tpl_is_name(t, "or") && !sv_tpl_is_name(t, "and");
    return t->kind == SV_TPL_T_STRING || t->kind == SV_TPL_T_INT || t->kind == SV_TPL_T_FLOAT || sv_tpl_is_op(t, "[") ||
           sv_tpl_is_op(t, "{");
}

/* `is [not] name [argument]` */
static sv_err test(sv_tpl_parser *p, sv_tpl_node **node)
{
    const sv_tpl_token *t, *at = sv_tpl_peek(p, 0);
    uint16_t id;
    p->at++;
    bool negated = sv_tpl_skip_name(p, "not");
    SV_TRY(sv_tpl_need_name(p, &t));
    if (!sv_tpl_test_find(t->text, &id) || sv_tpl_is_op(sv_tpl_peek(p, 0), "."))
        return sv_tpl_unsupported(p, t, "test", t->text);
    sv_tpl_kids kids = { 0 };
    sv_tpl_kids_add(p, &kids, *node);
    const sv_tpl_token *next = sv_tpl_peek(p, 0);
    if (!sv_tpl_is_op(next, "(") && begins_argument(next)) {
        sv_tpl_node *arg;
        if (sv_tpl_is_name(next, "is"))
            return sv_tpl_fail_at(SV_E_FORMAT, p->t->name, next->line, next->col, "tests cannot be chained with 'is'");
        SV_TRY(primary(p, &arg));
        SV_TRY(postfix(p, &arg));
        sv_tpl_kids_add(p, &kids, arg);
        SV_TRY(sv_tpl_node_make(p, SV_TPL_N_TEST, t, kids.p, kids.n, node));
        (*node)->n_arg = 1;
    } else {
        SV_TRY(applied(p, SV_TPL_N_TEST, t, &kids, node));
        if ((*node)->n_key)
            return sv_tpl_unsupported(p, t, "keyword argument of test", t->text);
    }
    (*node)->id = id;
    (*node)->name = sv_tpl_intern(p->t, t->text);
    return negated ? sv_tpl_node_make(p, SV_TPL_N_NOT, at, node, 1, node) : SV_OK;
}

/* --- operators, loosest last --- */

static sv_err unary(sv_tpl_parser *p, bool with_filters, sv_tpl_node **out)
{
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    if (sv_tpl_is_op(t, "-") || sv_tpl_is_op(t, "+")) {
        SV_TRY(sv_tpl_enter(p, t));
        p->at++;
        SV_TRY(unary(p, false, out));
        SV_TRY(sv_tpl_node_make(p, sv_tpl_is_op(t, "-") ? SV_TPL_N_NEG : SV_TPL_N_POS, t, out, 1, out));
        p->nest--;
    } else {
        SV_TRY(primary(p, out));
    }
    SV_TRY(postfix(p, out));
    while (with_filters) {
        t = sv_tpl_peek(p, 0);
        if (sv_tpl_is_op(t, "|"))
            SV_TRY(sv_tpl_filters(p, out));
        else if (sv_tpl_is_name(t, "is"))
            SV_TRY(test(p, out));
        else if (sv_tpl_is_op(t, "("))
            SV_TRY(call(p, out));
        else
            break;
    }
    t = sv_tpl_peek(p, 0);
    return sv_tpl_is_op(t, "**") ? sv_tpl_unsupported(p, t, "operator", t->text) : SV_OK;
}

typedef struct binary {
    const char *text;
    uint8_t op;
} binary;

/* kid (op kid)*, where `read_kid` reads one. */
static sv_err left_chain(sv_tpl_parser *p, sv_tpl_node_kind kind, const binary *ops, size_t n_op,
                         sv_err (*read_kid)(sv_tpl_parser *, sv_tpl_node **), sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_kids kids = { 0 };
    sv_bytes op = { 0 };
    sv_err err;
    for (;;) {
        sv_tpl_node *n;
        if ((err = read_kid(p, &n)) != SV_OK)
            break;
        sv_tpl_kids_add(p, &kids, n);
        size_t i = 0;
        while (i < n_op && !sv_tpl_is_op(sv_tpl_peek(p, 0), ops[i].text))
            i++;
        if (i == n_op)
            break;
        sv_bytes_char(&op, (char)ops[i].op);
        p->at++;
    }
    if (err == SV_OK)
        err = chain(p, kind, at, &kids, &op, out);
    sv_bytes_done(&op);
    return err;
}

static sv_err unary_filtered(sv_tpl_parser *p, sv_tpl_node **out)
{
    return unary(p, true, out);
}

static sv_err product(sv_tpl_parser *p, sv_tpl_node **out)
{
    static const binary ops[] = { { "*", SV_TPL_OP_MUL }, { "//", SV_TPL_OP_FLOORDIV }, { "%", SV_TPL_OP_MOD } };
    SV_TRY(left_chain(p, SV_TPL_N_MATH, ops, 3, unary_filtered, out));
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    return sv_tpl_is_op(t, "/") ? sv_tpl_unsupported(p, t, "operator", t->text) : SV_OK;
}

static sv_err joined(sv_tpl_parser *p, sv_tpl_node **out)
{
    static const binary ops[] = { { "~", 0 } };
    return left_chain(p, SV_TPL_N_CONCAT, ops, 1, product, out);
}

static sv_err sum(sv_tpl_parser *p, sv_tpl_node **out)
{
    static const binary ops[] = { { "+", SV_TPL_OP_ADD }, { "-", SV_TPL_OP_SUB } };
    return left_chain(p, SV_TPL_N_MATH, ops, 2, joined, out);
}

/* The comparison that stands here, consumed; false: none. */
static bool comparison(sv_tpl_parser *p, uint8_t *op)
{
    static const binary ops[] = { { "==", SV_TPL_OP_EQ }, { "!=", SV_TPL_OP_NE }, { "<", SV_TPL_OP_LT },
                                  { "<=", SV_TPL_OP_LE }, { ">", SV_TPL_OP_GT },  { ">=", SV_TPL_OP_GE } };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (sv_tpl_skip_op(p, ops[i].text)) {
            *op = ops[i].op;
            return true;
        }
    }
    if (sv_tpl_skip_name(p, "in")) {
        *op = SV_TPL_OP_IN;
        return true;
    }
    if (sv_tpl_is_name(sv_tpl_peek(p, 0), "not") && sv_tpl_is_name(sv_tpl_peek(p, 1), "in")) {
        p->at += 2;
        *op = SV_TPL_OP_NOTIN;
        return true;
    }
    return false;
}

static sv_err compared(sv_tpl_parser *p, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_kids kids = { 0 };
    sv_tpl_node *n;
    sv_bytes op = { 0 };
    uint8_t o;
    sv_err err = sum(p, &n);
    while (err == SV_OK) {
        sv_tpl_kids_add(p, &kids, n);
        if (!comparison(p, &o))
            break;
        sv_bytes_char(&op, (char)o);
        err = sum(p, &n);
    }
    if (err == SV_OK)
        err = chain(p, SV_TPL_N_COMPARE, at, &kids, &op, out);
    sv_bytes_done(&op);
    return err;
}

static sv_err negated(sv_tpl_parser *p, sv_tpl_node **out)
{
    const sv_tpl_token *t = sv_tpl_peek(p, 0);
    if (!sv_tpl_skip_name(p, "not"))
        return compared(p, out);
    SV_TRY(sv_tpl_enter(p, t));
    SV_TRY(negated(p, out));
    p->nest--;
    return sv_tpl_node_make(p, SV_TPL_N_NOT, t, out, 1, out);
}

/* kid (word kid)* */
static sv_err word_chain(sv_tpl_parser *p, sv_tpl_node_kind kind, const char *word,
                         sv_err (*read_kid)(sv_tpl_parser *, sv_tpl_node **), sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_kids kids = { 0 };
    do {
        sv_tpl_node *n;
        SV_TRY(read_kid(p, &n));
        sv_tpl_kids_add(p, &kids, n);
    } while (sv_tpl_skip_name(p, word));
    return chain(p, kind, at, &kids, NULL, out);
}

static sv_err both(sv_tpl_parser *p, sv_tpl_node **out)
{
    return word_chain(p, SV_TPL_N_AND, "and", negated, out);
}

static sv_err either(sv_tpl_parser *p, sv_tpl_node **out)
{
    return word_chain(p, SV_TPL_N_OR, "or", both, out);
}

/* a if b else c, from the right; a if b if c groups from the left, as in Jinja. */
static sv_err conditional(sv_tpl_parser *p, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    SV_TRY(either(p, out));
    while (sv_tpl_skip_name(p, "if")) {
        sv_tpl_node *kid[3] = { NULL, *out, NULL };
        SV_TRY(either(p, &kid[0]));
        if (sv_tpl_skip_name(p, "else"))
            SV_TRY(sv_tpl_expression(p, true, &kid[2]));
        SV_TRY(sv_tpl_node_make(p, SV_TPL_N_COND, at, kid, 3, out));
    }
    return SV_OK;
}

sv_err sv_tpl_expression(sv_tpl_parser *p, bool with_cond, sv_tpl_node **out)
{
    SV_TRY(sv_tpl_enter(p, sv_tpl_peek(p, 0)));
    SV_TRY(with_cond ? conditional(p, out) : either(p, out));
    p->nest--;
    return SV_OK;
}

sv_err sv_tpl_tuple(sv_tpl_parser *p, bool with_cond, bool in_brackets, sv_tpl_node **out)
{
    const sv_tpl_token *at = sv_tpl_peek(p, 0);
    sv_tpl_kids kids = { 0 };
    bool is_tuple = false;
    for (;;) {
        const sv_tpl_token *t = sv_tpl_peek(p, 0);
        if (t->kind == SV_TPL_T_PRINT_END || t->kind == SV_TPL_T_TAG_END || sv_tpl_is_op(t, ")"))
            break;
        sv_tpl_node *n;
        SV_TRY(sv_tpl_expression(p, with_cond, &n));
        sv_tpl_kids_add(p, &kids, n);
        if (!sv_tpl_skip_op(p, ","))
            break;
        is_tuple = true;
    }
    if (!is_tuple && kids.n) {
        *out = kids.p[0];
        return SV_OK;
    }
    if (!is_tuple && !in_brackets)
        return sv_tpl_syntax(p, sv_tpl_peek(p, 0), "an expression");
    return sv_tpl_node_make(p, SV_TPL_N_TUPLE, at, kids.p, kids.n, out);
}
