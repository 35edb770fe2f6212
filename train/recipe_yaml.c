/* SPDX-License-Identifier: Apache-2.0
 * YAML maps as a walk over (dotted key, scalar). Types are the caller's table's business; lists, anchors, aliases, tags
 * and several documents are refused.
 */
#include <string.h>
#include <yaml.h>

#include "train/recipe.h"

#define MAX_DEPTH 16
#define MAX_BYTES (UINT64_C(1) << 20)

typedef struct walk {
    yaml_parser_t parser;
    const char *name;
    sv_yaml_fn fn;
    void *arg;
    sv_bytes key;           /* dotted, of the place we are at */
    size_t mark[MAX_DEPTH]; /* length of key before each level's own word */
    uint32_t depth;         /* open maps */
    bool want_value;        /* a key was read, its value follows */
    bool started;
    uint32_t n_document;
} walk;

static sv_err refuse(const walk *w, const yaml_event_t *e, const char *what)
{
    return sv_fail(SV_E_ARG, "%s:%zu: %s", w->name, e->start_mark.line + 1, what);
}

static sv_err parser_failed(const walk *w)
{
    const yaml_parser_t *p = &w->parser;
    const char *problem = p->problem ? p->problem : "cannot be read";
    size_t line = p->problem_mark.line + 1, column = p->problem_mark.column + 1;
    return sv_fail(SV_E_ARG, "%s:%zu:%zu: not YAML: %s", w->name, line, column, problem);
}

static sv_err take_key(walk *w, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    if (n == 0 || n > 128 || memchr(text, '\0', n) != NULL)
        return refuse(w, e, "a key is empty or longer than 128 bytes");
    w->mark[w->depth - 1] = w->key.n;
    if (w->key.n > 0)
        sv_bytes_char(&w->key, '.');
    sv_bytes_add(&w->key, text, n);
    w->want_value = true;
    return SV_OK;
}

static void leave_value(walk *w)
{
    w->want_value = false;
    if (w->depth > 0) {
        w->key.n = w->mark[w->depth - 1];
        w->key.p[w->key.n] = '\0';
    }
}

static sv_err take_scalar(walk *w, const yaml_event_t *e)
{
    if (e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL)
        return refuse(w, e, "anchors and tags are not allowed in a recipe; write the value out");
    if (w->depth == 0)
        return refuse(w, e, "a recipe is a map of keys, such as `seed: 1`");
    if (!w->want_value)
        return take_key(w, e);
    sv_str value = { (const char *)e->data.scalar.value, e->data.scalar.length };
    SV_TRY(w->fn(w->arg, w->key.p, value, (uint32_t)(e->start_mark.line + 1)));
    leave_value(w);
    return SV_OK;
}

static sv_err open_map(walk *w, const yaml_event_t *e)
{
    if (e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL)
        return refuse(w, e, "anchors and tags are not allowed in a recipe; write the value out");
    if (w->depth > 0 && !w->want_value)
        return refuse(w, e, "a key must be a word, not a map");
    if (w->depth == MAX_DEPTH)
        return refuse(w, e, "maps inside maps are deeper than 16");
    w->depth++;
    w->started = true;
    w->want_value = false;
    return SV_OK;
}

static sv_err take_event(walk *w, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(w, e);
    case YAML_MAPPING_START_EVENT:
        return open_map(w, e);
    case YAML_MAPPING_END_EVENT:
        w->depth--;
        leave_value(w);
        return SV_OK;
    case YAML_SEQUENCE_START_EVENT:
        return refuse(w, e, "a list is not allowed here; every key has one value");
    case YAML_ALIAS_EVENT:
        return refuse(w, e, "an alias (*name) is not allowed in a recipe; write the value out");
    case YAML_DOCUMENT_START_EVENT:
        return ++w->n_document > 1 ? refuse(w, e, "a recipe is one document; remove the second ---") : SV_OK;
    default:
        return SV_OK;
    }
}

static sv_err run(walk *w)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&w->parser, &e))
            return parser_failed(w);
        bool end = e.type == YAML_STREAM_END_EVENT;
        sv_err err = take_event(w, &e);
        yaml_event_delete(&e);
        if (err != SV_OK || end)
            return err;
    }
}

sv_err sv_yaml_walk(sv_str text, const char *name, sv_yaml_fn fn, void *arg)
{
    size_t at;
    if (text.n > MAX_BYTES)
        return sv_fail(SV_E_LIMIT, "%s: %zu bytes; a recipe has at most 1 MiB", name, text.n);
    if (!sv_utf8_valid(text.p, text.n, &at) || memchr(text.p, '\0', text.n) != NULL)
        return sv_fail(SV_E_ARG, "%s: not UTF-8 text", name);
    walk w = { .name = name, .fn = fn, .arg = arg };
    if (!yaml_parser_initialize(&w.parser))
        return sv_fail(SV_E_NOMEM, "%s: no memory for the YAML parser", name);
    yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&w.parser, (const unsigned char *)text.p, text.n);
    sv_err err = run(&w);
    yaml_parser_delete(&w.parser);
    sv_bytes_done(&w.key);
    return err;
}
