/* SPDX-License-Identifier: Apache-2.0
 * Chat templates, inside: nodes, values and the calls between text/template*.c. Nothing else includes this file.
 *
 * `tpl` stands for template. Strings are views of append-only buffers whose bytes carry marks (trusted or not); a
 * concatenation extends the buffer of its left side in place when nothing was appended there since, so that
 * `a + b + c` copies each byte once.
 * Threads: nodes and names are constant once a template is made; an sv_tpl_env belongs to one render.
 */
#ifndef SV_TEXT_TEMPLATE_IMPL_H
#define SV_TEXT_TEMPLATE_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/marked.h"
#include "text/template.h"

/* Bounds (reliability 7.4). */
#define SV_TPL_MAX_SOURCE (256u << 10) /* bytes */
#define SV_TPL_MAX_NODE 65536u
#define SV_TPL_MAX_NEST 64u          /* brackets and blocks in a source, containers in a value */
#define SV_TPL_MAX_HEIGHT 512u       /* nodes on a path of the tree, bounds the recursion of the evaluator */
#define SV_TPL_MAX_STEP 10000000u    /* nodes evaluated by one render; 64 scanned bytes are a step too */
#define SV_TPL_MAX_OUT (16u << 20)   /* bytes */
#define SV_TPL_MAX_ARENA (64u << 20) /* bytes */
#define SV_TPL_MAX_ITEM 1000000u     /* items of a list or dict */
#define SV_TPL_MAX_RANGE 10000
#define SV_TPL_MAX_DEPTH 1024u /* evaluator calls on the stack */

/* --- values --- */

typedef enum sv_tpl_tag {
    SV_TPL_UNDEFINED, /* text: the name it was looked up by; of: sv_tpl_tag of the object + 1, 0: a plain name */
    SV_TPL_NONE,
    SV_TPL_BOOL,
    SV_TPL_INT,
    SV_TPL_FLOAT,
    SV_TPL_STRING,
    SV_TPL_LIST,
    SV_TPL_DICT,
    SV_TPL_NAMESPACE,
    SV_TPL_MACRO,
    SV_TPL_FUNCTION,
    SV_TPL_METHOD, /* a method that was read but not called */
    SV_TPL_LOOP,
} sv_tpl_tag;

/* What a list is in Python; all hold their items. A generator is true, has no length and is read once. */
typedef enum sv_tpl_kind {
    SV_TPL_KIND_LIST,
    SV_TPL_KIND_TUPLE,
    SV_TPL_KIND_GENERATOR,
    SV_TPL_KIND_VIEW, /* of dict.items(), .keys(), .values() */
    SV_TPL_KIND_RANGE,
} sv_tpl_kind;

/* Append-only bytes. run == NULL: all bytes are marked `trusted`. cap == 0: borrowed, never extended. */
typedef struct sv_tpl_buf {
    char *p;
    uint32_t n, cap;
    sv_run *run;
    uint32_t n_run, cap_run;
    bool trusted;
} sv_tpl_buf;

typedef struct sv_tpl_list sv_tpl_list;
typedef struct sv_tpl_dict sv_tpl_dict;
typedef struct sv_tpl_loop sv_tpl_loop;
typedef struct sv_tpl_node sv_tpl_node;

typedef struct sv_tpl_value {
    uint8_t tag;    /* sv_tpl_tag */
    bool trusted;   /* of bool, int, float: not from the request */
    uint8_t of;     /* of undefined */
    bool markup;    /* of string: was marked by `safe` (Markup); plain text that is added to it is escaped */
    uint32_t at, n; /* of string: bytes [at, at + n) of buf; of undefined: n bytes of text */
    union {
        bool b;
        int64_t i;
        double f;
        sv_tpl_buf *buf;
        sv_tpl_list *list;
        sv_tpl_dict *dict;
        sv_tpl_loop *loop;
        const sv_tpl_node *macro;
        const char *text;
    } u;
} sv_tpl_value;

struct sv_tpl_list {
    sv_tpl_value *item;
    uint32_t n, cap;
    uint8_t kind; /* sv_tpl_kind */
    bool consumed;
};

typedef struct sv_tpl_pair {
    sv_tpl_value key, value;
} sv_tpl_pair;

struct sv_tpl_dict { /* in insertion order */
    sv_tpl_pair *item;
    uint32_t n, cap;
};

/* --- nodes --- */

typedef enum sv_tpl_node_kind {
    /* expressions */
    SV_TPL_N_CONST,  /* value */
    SV_TPL_N_NAME,   /* name */
    SV_TPL_N_LIST,   /* kids */
    SV_TPL_N_TUPLE,  /* kids; also a target */
    SV_TPL_N_DICT,   /* kids: key, value, key, value ... */
    SV_TPL_N_ATTR,   /* kid 0 . name; as a target: kid 0 is a name */
    SV_TPL_N_ITEM,   /* kid 0 [kid 1] */
    SV_TPL_N_SLICE,  /* kid 0 [kid 1 : kid 2 : kid 3], 1..3 may be NULL */
    SV_TPL_N_CALL,   /* kid 0 (kids 1 .. n_arg, then one kid per key) */
    SV_TPL_N_FILTER, /* kid 0 | id (...), NULL: what a set block captured */
    SV_TPL_N_TEST,   /* kid 0 is id (...) */
    SV_TPL_N_NOT,
    SV_TPL_N_NEG,
    SV_TPL_N_POS,
    SV_TPL_N_AND, /* kids, left to right */
    SV_TPL_N_OR,
    SV_TPL_N_CONCAT,
    SV_TPL_N_MATH,    /* kids; op[i] stands before kid i + 1 */
    SV_TPL_N_COMPARE, /* the same, as a chain */
    SV_TPL_N_COND,    /* kid 1 if kid 0 else kid 2 (may be NULL) */
    /* statements */
    SV_TPL_N_BODY,    /* kids */
    SV_TPL_N_TEXT,    /* value */
    SV_TPL_N_PRINT,   /* kid 0 */
    SV_TPL_N_IF,      /* test, body, test, body ..., [else body] */
    SV_TPL_N_FOR,     /* target, items, test or NULL, body, else body or NULL */
    SV_TPL_N_SET,     /* target, expression */
    SV_TPL_N_SETBODY, /* target, body, filters or NULL */
    SV_TPL_N_MACRO,   /* name; body, then the defaults of the last n_kid - 1 of n_arg parameters (key); id: its rank */
    SV_TPL_N_BREAK,
    SV_TPL_N_CONTINUE,
    SV_TPL_N_SCOPE, /* generation: body with names of its own */
} sv_tpl_node_kind;

typedef enum sv_tpl_op {
    SV_TPL_OP_ADD,
    SV_TPL_OP_SUB,
    SV_TPL_OP_MUL,
    SV_TPL_OP_FLOORDIV,
    SV_TPL_OP_MOD,
    SV_TPL_OP_EQ,
    SV_TPL_OP_NE,
    SV_TPL_OP_LT,
    SV_TPL_OP_LE,
    SV_TPL_OP_GT,
    SV_TPL_OP_GE,
    SV_TPL_OP_IN,
    SV_TPL_OP_NOTIN,
} sv_tpl_op;

struct sv_tpl_node {
    uint8_t kind; /* sv_tpl_node_kind */
    uint16_t id, height;
    uint32_t line, col; /* 1-based; columns count characters */
    uint32_t name, n_kid, n_arg, n_key;
    sv_tpl_node **kid;
    uint32_t *key; /* names of keyword arguments or parameters */
    uint8_t *op;   /* sv_tpl_op */
    sv_tpl_value value;
};

struct sv_template {
    sv_arena *arena;
    const char *name; /* for messages */
    sv_str source;    /* as given */
    sv_tpl_node *root;
    sv_str *names; /* [n_name] every name that the template writes */
    uint32_t n_name, cap_name;
    sv_map *name_of;
};

/* Names that are interned first, in this order. */
#define SV_TPL_NAMES(X) \
    X(loop) \
    X(messages) \
    X(tools) X(documents) X(add_generation_prompt) X(bos_token) X(eos_token) X(range) X(namespace) X(raise_exception)
typedef enum sv_tpl_name {
#define SV_TPL_NAME_ENUM(name) SV_TPL_NAME_##name,
    SV_TPL_NAMES(SV_TPL_NAME_ENUM)
#undef SV_TPL_NAME_ENUM
        SV_TPL_N_NAMES
} sv_tpl_name;

/* --- tokens (template_lex.c) --- */

typedef enum sv_tpl_token_kind {
    SV_TPL_T_END,
    SV_TPL_T_TEXT,        /* text */
    SV_TPL_T_PRINT_BEGIN, /* {{ */
    SV_TPL_T_PRINT_END,
    SV_TPL_T_TAG_BEGIN, /* {% */
    SV_TPL_T_TAG_END,
    SV_TPL_T_NAME,   /* text */
    SV_TPL_T_STRING, /* text, unescaped */
    SV_TPL_T_INT,    /* i */
    SV_TPL_T_FLOAT,  /* f */
    SV_TPL_T_OP,     /* text: one of the operators of Jinja */
} sv_tpl_token_kind;

typedef struct sv_tpl_token {
    uint8_t kind;
    uint32_t line, col;
    sv_str text;
    union {
        int64_t i;
        double f;
    } u;
} sv_tpl_token;

/* Cuts a source into tokens, with trim_blocks and lstrip_blocks; the last is SV_TPL_T_END. Texts belong to the arena;
 * the caller frees *token (sv_mem_free), after a failure too. */
sv_err sv_tpl_lex(sv_arena *a, sv_str source, const char *name, sv_tpl_token **token, size_t *n_token);
/* "name:line:col: " + sentence */
sv_err sv_tpl_fail_at(sv_err code, const char *name, uint32_t line, uint32_t col, const char *fmt, ...) SV_PRINTF(5, 6);

/* --- parsing (template_parse.c, template_stmt.c) --- */

typedef struct sv_tpl_parser {
    sv_template *t;
    sv_tpl_token *token; /* ends with SV_TPL_T_END */
    size_t at, n_token;
    uint32_t n_node, nest;
    uint32_t in_loop, in_block; /* open loops; open blocks with names of their own */
    uint32_t *macro;            /* [n_macro] names in order of definition */
    size_t n_macro, cap_macro;
    uint32_t open_macro;            /* rank + 1 of the macro whose body is being read */
    struct sv_tpl_macro_call *call; /* [n_call] calls of names in bodies of macros, checked at the end */
    size_t n_call, cap_call;
} sv_tpl_parser;

struct sv_tpl_macro_call {
    const sv_tpl_token *at;
    uint32_t name, from;
};

sv_err sv_tpl_parse(sv_template *t);
uint32_t sv_tpl_intern(sv_template *t, sv_str name);
sv_err sv_tpl_expression(sv_tpl_parser *p, bool with_cond, sv_tpl_node **out);
/* An expression, or a tuple of them; an empty one only in brackets. */
sv_err sv_tpl_tuple(sv_tpl_parser *p, bool with_cond, bool in_brackets, sv_tpl_node **out);
/* "| name(...)" as often as it stands there; *node is what it is applied to (NULL: captured text). */
sv_err sv_tpl_filters(sv_tpl_parser *p, sv_tpl_node **node);
sv_err sv_tpl_body(sv_tpl_parser *p, const char *const *end, sv_tpl_node **out);
sv_err sv_tpl_node_make(sv_tpl_parser *p, sv_tpl_node_kind kind, const sv_tpl_token *at, sv_tpl_node *const *kid,
                        uint32_t n_kid, sv_tpl_node **out);
const sv_tpl_token *sv_tpl_peek(const sv_tpl_parser *p, size_t ahead);
bool sv_tpl_is_op(const sv_tpl_token *t, const char *op);
bool sv_tpl_is_name(const sv_tpl_token *t, const char *name);
bool sv_tpl_skip_op(sv_tpl_parser *p, const char *op);
bool sv_tpl_skip_name(sv_tpl_parser *p, const char *name);
sv_err sv_tpl_need_op(sv_tpl_parser *p, const char *op);
sv_err sv_tpl_need_name(sv_tpl_parser *p, const sv_tpl_token **out);
sv_err sv_tpl_enter(sv_tpl_parser *p, const sv_tpl_token *at); /* one level of nesting; left by p->nest-- */
sv_err sv_tpl_syntax(const sv_tpl_parser *p, const sv_tpl_token *at, const char *expected);
sv_err sv_tpl_need(sv_tpl_parser *p, sv_tpl_token_kind kind, const char *expected);
sv_err sv_tpl_unsupported(const sv_tpl_parser *p, const sv_tpl_token *at, const char *what, sv_str name);
typedef struct sv_tpl_kids { /* grows in the template's arena */
    sv_tpl_node **p;
    uint32_t n, cap;
} sv_tpl_kids;
void sv_tpl_kids_add(sv_tpl_parser *p, sv_tpl_kids *k, sv_tpl_node *n);

/* --- rendering --- */

typedef struct sv_tpl_var {
    uint32_t name;
    sv_tpl_value value;
} sv_tpl_var;

typedef enum sv_tpl_flow { SV_TPL_GO, SV_TPL_BREAK, SV_TPL_CONTINUE } sv_tpl_flow;

typedef struct sv_tpl_env {
    const sv_template *t;
    sv_arena *arena;
    size_t arena_bytes, out_bytes, scanned;
    uint64_t step;
    uint32_t depth;
    sv_tpl_var *var; /* all frames, innermost last */
    size_t n_var, cap_var;
    size_t frame;        /* the innermost frame is var[frame .. n_var) */
    size_t barrier;      /* names are looked up in [barrier, n_var), then in the outermost frame */
    size_t n_global;     /* end of the outermost frame once an inner one is open */
    uint32_t macro_rank; /* rank of the macro that runs + 1; 0: none */
    const sv_tpl_node *at;
    sv_tpl_flow flow;
    sv_marked *out; /* the prompt, when no capture is open */
    sv_tpl_buf *capture;
    sv_tpl_value captured;
} sv_tpl_env;

struct sv_tpl_loop {
    sv_tpl_value items;      /* a list */
    const sv_tpl_node *node; /* its filter is asked as items are needed, as in Jinja; NULL: no filter is left */
    uint32_t next, index0;   /* next: of the items that were not yet looked at */
    bool has_after;
    bool is_over;         /* the loop has ended; a kept `loop` looks no further */
    size_t base, barrier; /* the frame of the loop, for the filter */
    sv_tpl_value before, current, after;
};

/* template_value.c */
sv_err sv_tpl_fault(const sv_tpl_env *e, const char *fmt, ...) SV_PRINTF(2, 3);   /* SV_E_ARG, with the place */
sv_err sv_tpl_over(const sv_tpl_env *e, const char *fmt, ...) SV_PRINTF(2, 3);    /* SV_E_LIMIT, with the place */
sv_err sv_tpl_unbuilt(const sv_tpl_env *e, const char *fmt, ...) SV_PRINTF(2, 3); /* SV_E_UNSUPPORTED */
sv_err sv_tpl_alloc(sv_tpl_env *e, size_t bytes, void *out); /* zeroed; `out` is a pointer's place */
sv_err sv_tpl_work(sv_tpl_env *e, size_t bytes);             /* counts scanned bytes as steps */
sv_tpl_value sv_tpl_undefined(sv_str name, uint32_t of);     /* borrows the name */
sv_tpl_value sv_tpl_none(void);
sv_tpl_value sv_tpl_bool(bool b, bool trusted);
sv_tpl_value sv_tpl_int(int64_t i, bool trusted);
sv_tpl_value sv_tpl_float(double f, bool trusted);
sv_tpl_value sv_tpl_view(const sv_tpl_value *s, size_t at, size_t n); /* bytes [at, at + n) of a string */
sv_err sv_tpl_list_make(sv_tpl_env *e, sv_tpl_kind kind, size_t n, sv_tpl_value *out); /* room for n, none in it */
sv_err sv_tpl_list_add(sv_tpl_env *e, sv_tpl_list *l, sv_tpl_value v);
sv_err sv_tpl_dict_make(sv_tpl_env *e, sv_tpl_value *out);
sv_err sv_tpl_dict_set(sv_tpl_env *e, sv_tpl_dict *d, const sv_tpl_value *key, sv_tpl_value v);
sv_err sv_tpl_dict_find(sv_tpl_env *e, const sv_tpl_dict *d, const sv_tpl_value *key, sv_tpl_value **out); /* or NULL */
sv_err sv_tpl_dict_at(sv_tpl_env *e, const sv_tpl_dict *d, sv_str key, sv_tpl_value **out);                /* or NULL */
/* As Python says: no list, dict or view, and no tuple that holds one. */
sv_err sv_tpl_hashable(sv_tpl_env *e, const sv_tpl_value *v, bool *out);
bool sv_tpl_is_true(const sv_tpl_value *v);
bool sv_tpl_is_number(const sv_tpl_value *v);   /* bool, int, float */
const char *sv_tpl_type(const sv_tpl_value *v); /* as Python names it */
sv_err sv_tpl_equal(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, bool *out);
sv_err sv_tpl_less(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, const char *op, int *order);
sv_err sv_tpl_contains(sv_tpl_env *e, const sv_tpl_value *in, const sv_tpl_value *what, bool *out);
/* What a for loop goes through: a list, tuple, generator, view or range as it is; a dict's keys; a text's characters.
 */
sv_err sv_tpl_items(sv_tpl_env *e, const sv_tpl_value *v, sv_tpl_value *out);
sv_err sv_tpl_undefined_fault(const sv_tpl_env *e, const sv_tpl_value *v);
/* Values of JSON; strings are borrowed. role: strings under the key "role" that are known roles are trusted. */
sv_err sv_tpl_from_json(sv_tpl_env *e, const json_t *j, uint32_t depth, sv_tpl_value *out);
sv_err sv_tpl_from_messages(sv_tpl_env *e, const json_t *j, sv_tpl_value *out);

/* template_string.c: strings with marks */
sv_str sv_tpl_str(const sv_tpl_value *s);
sv_err sv_tpl_borrow(sv_tpl_env *e, sv_str text, bool trusted, sv_tpl_value *out); /* not copied */
sv_err sv_tpl_buf_make(sv_tpl_env *e, size_t cap, sv_tpl_buf **out);
sv_err sv_tpl_buf_add(sv_tpl_env *e, sv_tpl_buf **b, sv_str text, bool trusted); /* may move to a larger buffer */
sv_err sv_tpl_buf_add_string(sv_tpl_env *e, sv_tpl_buf **b, const sv_tpl_value *s);
sv_tpl_value sv_tpl_buf_string(sv_tpl_buf *b); /* all of it */
sv_err sv_tpl_concat(sv_tpl_env *e, const sv_tpl_value *a, const sv_tpl_value *b, sv_tpl_value *out);
/* Walks the runs of a string: {0} before the first; false at the end. */
typedef struct sv_tpl_walk {
    uint32_t run, done;
    bool started;
} sv_tpl_walk;
bool sv_tpl_walk_next(sv_tpl_walk *w, const sv_tpl_value *s, sv_str *bytes, bool *trusted);
bool sv_tpl_trusted_at(const sv_tpl_value *s, size_t at);
bool sv_tpl_all_trusted(const sv_tpl_value *s);
size_t sv_tpl_count(const sv_tpl_value *s);                    /* characters */
size_t sv_tpl_offset(const sv_tpl_value *s, size_t character); /* byte offset of a character; n at the end */
bool sv_tpl_is_space(uint32_t cp);                             /* Python's str.isspace */
sv_err sv_tpl_strip(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *chars, int sides, sv_tpl_value *out);
sv_err sv_tpl_split(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *sep, int64_t max, sv_tpl_value *out);
sv_err sv_tpl_replace(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *old, const sv_tpl_value *fresh,
                      int64_t max, sv_tpl_value *out);
sv_err sv_tpl_indent(sv_tpl_env *e, const sv_tpl_value *s, const sv_tpl_value *by, bool first, bool blank,
                     sv_tpl_value *out);
/* & < > ' " as HTML names them; text that is Markup already stays. */
sv_err sv_tpl_escape(sv_tpl_env *e, const sv_tpl_value *s, sv_tpl_value *out);
#define SV_TPL_LEFT 1
#define SV_TPL_RIGHT 2

/* template_case.c */
typedef enum sv_tpl_case { SV_TPL_UPPER, SV_TPL_LOWER, SV_TPL_TITLE, SV_TPL_CAPITAL } sv_tpl_case;
sv_err sv_tpl_recase(sv_tpl_env *e, const sv_tpl_value *s, sv_tpl_case to, sv_tpl_value *out);

/* template_print.c */
sv_err sv_tpl_to_string(sv_tpl_env *e, const sv_tpl_value *v, sv_tpl_value *out); /* Python's str() */
sv_err sv_tpl_to_json(sv_tpl_env *e, const sv_tpl_value *v, bool has_indent, int64_t indent, sv_tpl_value *out);
void sv_tpl_float_text(double f, bool json, char out[40]); /* Python's repr */

/* template_eval.c */
sv_err sv_tpl_eval(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out);
sv_err sv_tpl_attr(sv_tpl_env *e, const sv_tpl_value *obj, sv_str name, sv_tpl_value *out);
sv_err sv_tpl_item(sv_tpl_env *e, const sv_tpl_value *obj, const sv_tpl_value *key, sv_tpl_value *out);
sv_tpl_value sv_tpl_lookup(const sv_tpl_env *e, uint32_t name);
sv_err sv_tpl_loop_attr(sv_tpl_env *e, sv_tpl_loop *l, sv_str name, sv_tpl_value *out);

/* template_exec.c */
sv_err sv_tpl_exec(sv_tpl_env *e, const sv_tpl_node *n);
sv_err sv_tpl_emit(sv_tpl_env *e, const sv_tpl_value *v);
sv_err sv_tpl_set(sv_tpl_env *e, uint32_t name, sv_tpl_value v);
sv_err sv_tpl_call_macro(sv_tpl_env *e, const sv_tpl_node *macro, const sv_tpl_node *call, const sv_tpl_value *arg,
                         sv_tpl_value *out);
sv_err sv_tpl_loop_peek(sv_tpl_env *e, sv_tpl_loop *l); /* sets has_after and after */
sv_err sv_tpl_loop_length(sv_tpl_env *e, sv_tpl_loop *l, uint32_t *n);

/* template_call.c: methods and functions. Arguments of a call are arg[0 .. n_arg), then one per keyword of the node. */
sv_err sv_tpl_call(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value *out);
bool sv_tpl_is_method(sv_str name);                           /* that is built, of any type */
bool sv_tpl_has_method(const sv_tpl_value *obj, sv_str name); /* that Python's type has, built or not */
/* Arguments by position or keyword; spec names them in order, NULL for a place that has no name. got[i] is NULL when it
 * is missing; the first n_need must be there. SV_E_ARG for too many, unknown or doubled ones. */
sv_err sv_tpl_args(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *arg, const char *const *spec, size_t n_spec,
                   size_t n_need, const sv_tpl_value **got);
sv_err sv_tpl_eval_args(sv_tpl_env *e, const sv_tpl_node *n, sv_tpl_value **arg);
/* The integer of an argument, or `dflt` when it is NULL. */
sv_err sv_tpl_int_arg(sv_tpl_env *e, const sv_tpl_value *v, int64_t dflt, int64_t *out);

/* template_filter.c, template_test.c */
bool sv_tpl_filter_find(sv_str name, uint16_t *id);
bool sv_tpl_test_find(sv_str name, uint16_t *id);
/* Checks what can be checked at load: keywords, and names of tests that are constants. NULL: fine; else what is not
 * built, as words behind "filter 'x' ". */
const char *sv_tpl_filter_check(const sv_template *t, const sv_tpl_node *n);
sv_err sv_tpl_filter(sv_tpl_env *e, const sv_tpl_node *n, const sv_tpl_value *v, const sv_tpl_value *arg,
                     sv_tpl_value *out);
sv_err sv_tpl_test(sv_tpl_env *e, uint16_t id, const sv_tpl_value *v, const sv_tpl_value *arg, size_t n_arg, bool *out);

#endif
