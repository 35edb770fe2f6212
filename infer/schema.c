/* SPDX-License-Identifier: Apache-2.0
 * JSON Schema into a grammar.
 */
#include "infer/schema.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define MAX_DEPTH 32u
#define MAX_SCHEMAS 4096u
#define MAX_LITERAL (64u << 10) /* bytes of one enum or const value */

typedef struct def {
    const json_t *schema;
    uint32_t node;
    bool made; /* else it is being made: a reference to it is a cycle */
} def;

typedef struct compiler {
    sv_gram *g;
    const json_t *root;
    sv_bytes path;
    uint32_t depth, n_schema;
    def *def;
    size_t n_def, cap_def;
} compiler;

static sv_err value(compiler *c, const json_t *s, uint32_t *out);

static const char *const quiet[] = { "title",    "description", "default",     "examples", "$schema",
                                     "$id",      "$defs",       "definitions", "$comment", "deprecated",
                                     "readOnly", "writeOnly",   "strict",      "example",  "$vocabulary" };
static const char *const built[] = { "type",  "properties",           "required", "items",    "enum",
                                     "const", "additionalProperties", "minItems", "maxItems", "anyOf",
                                     "$ref" };

static bool is_in(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

static sv_err wrong(compiler *c, const char *keyword, const char *allowed)
{
    return sv_fail(SV_E_ARG, "%s: %s must be %s", c->path.p, keyword, allowed);
}

/* Runs below a longer path. */
static sv_err below(compiler *c, const char *step, const json_t *s, uint32_t *out)
{
    size_t n = c->path.n;
    sv_bytes_printf(&c->path, ".%s", sv_str_quote(sv_str_of(step)));
    sv_err err = value(c, s, out);
    c->path.n = n;
    c->path.p[n] = '\0';
    return err;
}

static int add_bytes(const char *p, size_t n, void *ctx)
{
    sv_bytes_add(ctx, p, n);
    return 0;
}

static sv_err literal(compiler *c, const json_t *v, uint32_t *out)
{
    sv_bytes text = { 0 };
    json_dump_callback(v, add_bytes, &text, JSON_COMPACT | JSON_ENCODE_ANY);
    sv_err err =
        text.n <= MAX_LITERAL
            ? SV_OK
            : sv_fail(SV_E_LIMIT, "%s: a value of enum or const has %zu bytes; allowed are 64 KiB", c->path.p, text.n);
    if (err == SV_OK)
        *out = sv_gram_lit(c->g, (sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    return err;
}

static sv_err alternatives(compiler *c, const json_t *list, const char *keyword, bool schemas, uint32_t *out)
{
    size_t n = json_array_size(list);
    if (n < 1 || n > MAX_SCHEMAS)
        return wrong(c, keyword, "a list with 1 to 4,096 entries");
    uint32_t *kid = sv_mem_new(n * sizeof *kid);
    sv_err err = SV_OK;
    for (size_t i = 0; i < n && err == SV_OK; i++)
        err = schemas ? below(c, keyword, json_array_get(list, i), &kid[i])
                      : literal(c, json_array_get(list, i), &kid[i]);
    if (err == SV_OK)
        *out = sv_gram_alt(c->g, kid, (uint32_t)n);
    sv_mem_free(kid);
    return err;
}

static bool is_required(const json_t *list, const char *key)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)) && strcmp(json_string_value(json_array_get(list, i)), key) == 0)
            return true;
    return false;
}

/* Every name in `required` must be a property: a text that lacks one would not be valid. */
static sv_err check_required(compiler *c, const json_t *list, const json_t *props)
{
    if (list != NULL && !json_is_array(list))
        return wrong(c, "required", "a list of names");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL)
            return wrong(c, "required", "a list of names");
        if (json_object_get(props, name) == NULL)
            return sv_fail(SV_E_ARG, "%s: required names %s, which is no property", c->path.p,
                           sv_str_quote(sv_str_of(name)));
    }
    return SV_OK;
}

static sv_err map(compiler *c, const json_t *more, uint32_t *out)
{
    uint32_t v = 0;
    if (json_is_false(more)) {
        *out = sv_gram_object(c->g, NULL, 0);
        return SV_OK;
    }
    if (json_is_object(more))
        SV_TRY(below(c, "additionalProperties", more, &v));
    else
        v = sv_gram_value(c->g);
    *out = sv_gram_map(c->g, v);
    return SV_OK;
}

static sv_err object(compiler *c, const json_t *s, uint32_t *out)
{
    const json_t *props = json_object_get(s, "properties"), *required = json_object_get(s, "required");
    const json_t *more = json_object_get(s, "additionalProperties");
    if (props != NULL && !json_is_object(props))
        return wrong(c, "properties", "an object");
    if (more != NULL && !json_is_boolean(more) && !json_is_object(more))
        return wrong(c, "additionalProperties", "true, false or a schema");
    SV_TRY(check_required(c, required, props));
    if (json_object_size(props) == 0)
        return map(c, more, out);
    sv_gram_prop *p = sv_mem_new(json_object_size(props) * sizeof *p);
    uint32_t n = 0;
    const char *key;
    json_t *v;
    sv_err err = SV_OK;
    json_object_foreach((json_t *)(uintptr_t)props, key, v)
    {
        p[n].key = sv_str_of(key);
        p[n].required = is_required(required, key);
        if (err == SV_OK)
            err = below(c, key, v, &p[n].value);
        n++;
    }
    if (err == SV_OK)
        *out = sv_gram_object(c->g, p, n);
    sv_mem_free(p);
    return err;
}

static sv_err count(compiler *c, const json_t *s, const char *keyword, uint32_t *out)
{
    const json_t *v = json_object_get(s, keyword);
    if (v == NULL)
        return SV_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > SV_GRAM_MAX_REPEAT)
        return wrong(c, keyword, "a whole number from 0 to 65,535");
    *out = (uint32_t)json_integer_value(v);
    return SV_OK;
}

static sv_err list(compiler *c, const json_t *s, uint32_t *out)
{
    const json_t *items = json_object_get(s, "items");
    uint32_t item, min = 0, max = UINT32_MAX;
    SV_TRY(count(c, s, "minItems", &min));
    SV_TRY(count(c, s, "maxItems", &max));
    if (min > max)
        return wrong(c, "minItems", "no larger than maxItems");
    if (items == NULL || json_is_true(items))
        item = sv_gram_value(c->g);
    else
        SV_TRY(below(c, "items", items, &item));
    if (max == 0)
        *out = sv_gram_lit(c->g, SV_STR("[]"));
    else
        *out = sv_gram_list(c->g, item, min, max == UINT32_MAX ? 0 : max);
    return SV_OK;
}

static sv_err typed(compiler *c, const json_t *s, const char *type, uint32_t *out)
{
    sv_gram *g = c->g;
    if (strcmp(type, "object") == 0)
        return object(c, s, out);
    if (strcmp(type, "array") == 0)
        return list(c, s, out);
    if (strcmp(type, "string") == 0)
        *out = sv_gram_leaf(g, SV_GRAM_STRING);
    else if (strcmp(type, "number") == 0)
        *out = sv_gram_leaf(g, SV_GRAM_NUMBER);
    else if (strcmp(type, "integer") == 0)
        *out = sv_gram_leaf(g, SV_GRAM_INTEGER);
    else if (strcmp(type, "boolean") == 0)
        *out = sv_gram_alt(g, (uint32_t[]){ sv_gram_lit(g, SV_STR("true")), sv_gram_lit(g, SV_STR("false")) }, 2);
    else if (strcmp(type, "null") == 0)
        *out = sv_gram_lit(g, SV_STR("null"));
    else
        return wrong(c, "type", "object, array, string, number, integer, boolean, null, or a list of them");
    return SV_OK;
}

static sv_err types(compiler *c, const json_t *s, const json_t *type, uint32_t *out)
{
    uint32_t kid[8];
    size_t n = json_array_size(type);
    if (json_is_string(type))
        return typed(c, s, json_string_value(type), out);
    if (n < 1 || n > 8)
        return wrong(c, "type", "object, array, string, number, integer, boolean, null, or a list of them");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(type, i));
        SV_TRY(typed(c, s, name ? name : "", &kid[i]));
    }
    *out = sv_gram_alt(c->g, kid, (uint32_t)n);
    return SV_OK;
}

static sv_err reference(compiler *c, const json_t *s, uint32_t *out)
{
    static const char *const place[] = { "$defs", "definitions" };
    const char *ref = json_string_value(json_object_get(s, "$ref"));
    const json_t *to = NULL;
    for (uint32_t i = 0; ref != NULL && i < 2 && to == NULL; i++) {
        size_t n = strlen(place[i]);
        if (strncmp(ref, "#/", 2) == 0 && strncmp(ref + 2, place[i], n) == 0 && ref[2 + n] == '/')
            to = json_object_get(json_object_get(c->root, place[i]), ref + 3 + n);
    }
    if (to == NULL)
        return wrong(c, "$ref", "#/$defs/NAME, with that name in $defs");
    for (size_t i = 0; i < c->n_def; i++)
        if (c->def[i].schema == to) {
            *out = c->def[i].node;
            return c->def[i].made ? SV_OK
                                  : sv_fail(SV_E_UNSUPPORTED, "%s: $ref %s goes in a circle, which is not built",
                                            c->path.p, sv_str_quote(sv_str_of(ref)));
        }
    SV_PUSH(c->def, c->n_def, c->cap_def, ((def){ .schema = to }));
    size_t at = c->n_def - 1;
    SV_TRY(below(c, ref + 2, to, out));
    c->def[at].node = *out;
    c->def[at].made = true;
    return SV_OK;
}

static sv_err check_keywords(compiler *c, const json_t *s)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)s, key, v)
    {
        if (!is_in(quiet, sizeof quiet / sizeof *quiet, key) && !is_in(built, sizeof built / sizeof *built, key))
            return sv_fail(SV_E_UNSUPPORTED,
                           "%s: the keyword %s is not built; there are type, properties, required, items, enum, const, "
                           "additionalProperties, minItems, maxItems, anyOf, $ref and $defs",
                           c->path.p, sv_str_quote(sv_str_of(key)));
    }
    if (json_object_size(json_object_get(s, "properties")) > 0 &&
        json_is_object(json_object_get(s, "additionalProperties")))
        return sv_fail(SV_E_UNSUPPORTED, "%s: a schema in additionalProperties beside properties is not built",
                       c->path.p);
    return SV_OK;
}

/* Of several keywords that each say all, the first in this order rules; others that would narrow it are refused. */
static sv_err choose(compiler *c, const json_t *s, uint32_t *out)
{
    static const char *const whole[] = { "$ref", "enum", "const", "anyOf" };
    const json_t *v, *type = json_object_get(s, "type");
    uint32_t n = 0;
    for (uint32_t i = 0; i < 4; i++)
        n += json_object_get(s, whole[i]) != NULL;
    bool shaped = json_object_get(s, "properties") != NULL || json_object_get(s, "items") != NULL;
    if (n > 1 || (n == 1 && shaped))
        return sv_fail(SV_E_UNSUPPORTED,
                       "%s: of $ref, enum, const, anyOf and properties or items only one may stand in a "
                       "schema",
                       c->path.p);
    if (json_object_get(s, "$ref") != NULL)
        return reference(c, s, out);
    if ((v = json_object_get(s, "enum")) != NULL)
        return alternatives(c, v, "enum", false, out);
    if ((v = json_object_get(s, "const")) != NULL)
        return literal(c, v, out);
    if ((v = json_object_get(s, "anyOf")) != NULL)
        return alternatives(c, v, "anyOf", true, out);
    if (type != NULL)
        return types(c, s, type, out);
    if (json_object_get(s, "properties") != NULL)
        return object(c, s, out);
    if (json_object_get(s, "items") != NULL)
        return list(c, s, out);
    *out = sv_gram_value(c->g);
    return SV_OK;
}

static sv_err value(compiler *c, const json_t *s, uint32_t *out)
{
    if (json_is_true(s)) {
        *out = sv_gram_value(c->g);
        return SV_OK;
    }
    if (!json_is_object(s))
        return wrong(c, "a schema", "an object");
    if (c->depth >= MAX_DEPTH || c->n_schema >= MAX_SCHEMAS || c->g->n_node > SV_GRAM_MAX_NODES)
        return sv_fail(SV_E_LIMIT, "%s: the schema is deeper than %u levels or has more than %u parts", c->path.p,
                       MAX_DEPTH, MAX_SCHEMAS);
    c->depth++;
    c->n_schema++;
    sv_err err = check_keywords(c, s);
    if (err == SV_OK)
        err = choose(c, s, out);
    c->depth--;
    return err;
}

sv_err sv_schema_compile(sv_gram *g, const json_t *schema, const char *where, uint32_t *node)
{
    compiler c = { .g = g, .root = schema };
    sv_bytes_text(&c.path, where);
    sv_err err = value(&c, schema, node);
    sv_bytes_done(&c.path);
    sv_mem_free(c.def);
    return err;
}
