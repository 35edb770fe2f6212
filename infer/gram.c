/* SPDX-License-Identifier: Apache-2.0
 * Putting grammars together.
 */
#include "infer/gram.h"

#include "base/json.h"
#include "base/mem.h"

static uint32_t add(sv_gram *g, sv_gram_node n)
{
    SV_PUSH(g->node, g->n_node, g->cap_node, n);
    return (uint32_t)g->n_node - 1;
}

void sv_gram_init(sv_gram *g)
{
    *g = (sv_gram){ 0 };
    SV_PUSH(g->kid, g->n_kid, g->cap_kid, 0);
    sv_bytes_add(&g->text, "", 1);
    add(g, (sv_gram_node){ .kind = SV_GRAM_LIT }); /* node 0 is the empty text, so that 0 can mean "not yet" */
}

void sv_gram_done(sv_gram *g)
{
    sv_mem_free(g->node);
    sv_mem_free(g->kid);
    sv_mem_free(g->mark);
    sv_bytes_done(&g->text);
    *g = (sv_gram){ 0 };
}

uint32_t sv_gram_lit(sv_gram *g, sv_str text)
{
    sv_gram_node n = { .kind = SV_GRAM_LIT, .at = (uint32_t)g->text.n, .n = (uint32_t)text.n };
    sv_bytes_add(&g->text, text.p, text.n);
    return add(g, n);
}

uint32_t sv_gram_mark(sv_gram *g, const char *text)
{
    uint32_t id = sv_gram_lit(g, sv_str_of(text));
    SV_PUSH(g->mark, g->n_mark, g->cap_mark, id);
    return id;
}

static uint32_t with_kids(sv_gram *g, sv_gram_node n, const uint32_t *kid, uint32_t n_kid)
{
    n.at = (uint32_t)g->n_kid;
    for (uint32_t i = 0; i < n_kid; i++)
        SV_PUSH(g->kid, g->n_kid, g->cap_kid, kid[i]);
    return add(g, n);
}

uint32_t sv_gram_seq(sv_gram *g, const uint32_t *kid, uint32_t n)
{
    return with_kids(g, (sv_gram_node){ .kind = SV_GRAM_SEQ, .n = n }, kid, n);
}

uint32_t sv_gram_alt(sv_gram *g, const uint32_t *kid, uint32_t n)
{
    return n == 1 ? kid[0] : with_kids(g, (sv_gram_node){ .kind = SV_GRAM_ALT, .n = n }, kid, n);
}

uint32_t sv_gram_repeat(sv_gram *g, uint32_t kid, uint32_t min, uint32_t max)
{
    return with_kids(g, (sv_gram_node){ .kind = SV_GRAM_REPEAT, .n = 1, .min = min, .max = max }, &kid, 1);
}

uint32_t sv_gram_leaf(sv_gram *g, sv_gram_kind kind)
{
    uint32_t *once = kind == SV_GRAM_STRING ? &g->string : kind == SV_GRAM_WS_RUN ? &g->ws : NULL;
    if (once != NULL && *once != 0)
        return *once;
    uint32_t id = add(g, (sv_gram_node){ .kind = kind });
    if (once != NULL)
        *once = id;
    return id;
}

static uint32_t lit(sv_gram *g, const char *text)
{
    return sv_gram_lit(g, sv_str_of(text));
}

static uint32_t seq2(sv_gram *g, uint32_t a, uint32_t b)
{
    return sv_gram_seq(g, (uint32_t[]){ a, b }, 2);
}

/* OPEN ws [ item { , ws item } ws ] CLOSE with min to max items. */
static uint32_t listed(sv_gram *g, const char *open, uint32_t item, uint32_t min, uint32_t max, const char *close)
{
    uint32_t ws = sv_gram_leaf(g, SV_GRAM_WS_RUN);
    uint32_t more = sv_gram_seq(g, (uint32_t[]){ lit(g, ","), ws, item }, 3);
    uint32_t tail = max == 1 ? 0 : sv_gram_repeat(g, more, min > 1 ? min - 1 : 0, max > 0 ? max - 1 : 0);
    uint32_t some = sv_gram_seq(g, (uint32_t[]){ item, tail, ws }, 3);
    if (min == 0)
        some = sv_gram_alt(g, (uint32_t[]){ some, 0 }, 2);
    return sv_gram_seq(g, (uint32_t[]){ lit(g, open), ws, some, lit(g, close) }, 4);
}

uint32_t sv_gram_list(sv_gram *g, uint32_t item, uint32_t min, uint32_t max)
{
    return listed(g, "[", item, min, max, "]");
}

static uint32_t colon(sv_gram *g)
{
    return seq2(g, lit(g, ":"), sv_gram_leaf(g, SV_GRAM_WS_RUN));
}

uint32_t sv_gram_map(sv_gram *g, uint32_t value)
{
    uint32_t member = sv_gram_seq(g, (uint32_t[]){ sv_gram_leaf(g, SV_GRAM_STRING), colon(g), value }, 3);
    return listed(g, "{", member, 0, 0, "}");
}

uint32_t sv_gram_value(sv_gram *g)
{
    if (g->any != 0)
        return g->any;
    uint32_t kids[7] = { sv_gram_leaf(g, SV_GRAM_STRING), sv_gram_leaf(g, SV_GRAM_NUMBER), lit(g, "true"),
                         lit(g, "false"), lit(g, "null") };
    g->any = sv_gram_alt(g, kids, 7); /* the last two refer to it */
    uint32_t list = sv_gram_list(g, g->any, 0, 0), map = sv_gram_map(g, g->any);
    uint32_t nest_list = with_kids(g, (sv_gram_node){ .kind = SV_GRAM_NEST, .n = 1 }, &list, 1);
    uint32_t nest_map = with_kids(g, (sv_gram_node){ .kind = SV_GRAM_NEST, .n = 1 }, &map, 1);
    uint32_t *kid = g->kid + g->node[g->any].at + 5;
    kid[0] = nest_list;
    kid[1] = nest_map;
    return g->any;
}

uint32_t sv_gram_object(sv_gram *g, const sv_gram_prop *p, uint32_t n)
{
    uint32_t ws = sv_gram_leaf(g, SV_GRAM_WS_RUN), *kid = sv_mem_new(((size_t)n * 3 + 1) * sizeof *kid);
    sv_bytes key = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        sv_bytes_clear(&key);
        sv_json_quote(&key, p[i].key);
        uint32_t member =
            sv_gram_seq(g, (uint32_t[]){ sv_gram_lit(g, (sv_str){ key.p, key.n }), colon(g), p[i].value }, 3);
        kid[3 * i] = member;
        kid[3 * i + 1] = sv_gram_seq(g, (uint32_t[]){ lit(g, ","), ws, member }, 3);
        kid[3 * i + 2] = p[i].required;
    }
    kid[3 * (size_t)n] = seq2(g, ws, lit(g, "}"));
    uint32_t body = with_kids(g, (sv_gram_node){ .kind = SV_GRAM_OBJECT, .n = n }, kid, 3 * n + 1);
    sv_bytes_done(&key);
    sv_mem_free(kid);
    return sv_gram_seq(g, (uint32_t[]){ lit(g, "{"), ws, body }, 3);
}
