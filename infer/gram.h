/* SPDX-License-Identifier: Apache-2.0
 * A grammar of bytes, put together node by node: what an answer may look like. Every node stands for a set of texts; no
 * node refers to itself but the free JSON values, whose nesting is bounded. Threads: built by one, then constant.
 */
#ifndef SV_INFER_GRAM_H
#define SV_INFER_GRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define SV_GRAM_MAX_NODES 65536u
#define SV_GRAM_MAX_REPEAT 65535u
#define SV_GRAM_WS 32u       /* most white space in a row */
#define SV_GRAM_DEPTH 96u    /* frames below which no free value opens another object or list */
#define SV_GRAM_DIGITS 15u   /* of a whole number: exact in binary64 and in 64 bits */
#define SV_GRAM_FRACTION 17u /* digits behind the point */

typedef enum sv_gram_kind {
    SV_GRAM_LIT,
    SV_GRAM_SEQ,
    SV_GRAM_ALT,
    SV_GRAM_REPEAT,
    SV_GRAM_OBJECT,
    SV_GRAM_STRING, /* a JSON string, without \u */
    SV_GRAM_NUMBER,
    SV_GRAM_INTEGER,
    SV_GRAM_WS_RUN,
    SV_GRAM_THOUGHT, /* anything up to </think> and with it */
    SV_GRAM_NEST     /* its only kid, unless the stack is SV_GRAM_DEPTH deep */
} sv_gram_kind;

typedef struct sv_gram_node {
    sv_gram_kind kind;
    uint32_t at, n;    /* LIT: bytes of text; else kids. OBJECT: three a property: first member, later member, required;
                          then the end */
    uint32_t min, max; /* REPEAT; max 0: no end */
} sv_gram_node;

typedef struct sv_gram {
    sv_gram_node *node;
    size_t n_node, cap_node;
    uint32_t *kid;
    size_t n_kid, cap_kid;
    sv_bytes text;
    uint32_t *mark; /* LITs that may be one special token */
    size_t n_mark, cap_mark;
    uint32_t root;
    uint32_t any, any_object, string, ws; /* made once, 0: not yet */
} sv_gram;

void sv_gram_init(sv_gram *g);
void sv_gram_done(sv_gram *g);

uint32_t sv_gram_lit(sv_gram *g, sv_str text);
uint32_t sv_gram_mark(sv_gram *g, const char *text); /* a literal that may be a special token, such as <tool_call> */
uint32_t sv_gram_seq(sv_gram *g, const uint32_t *kid, uint32_t n);
uint32_t sv_gram_alt(sv_gram *g, const uint32_t *kid, uint32_t n);
/* The kid must not be empty. max 0: no end. */
uint32_t sv_gram_repeat(sv_gram *g, uint32_t kid, uint32_t min, uint32_t max);
uint32_t sv_gram_leaf(sv_gram *g, sv_gram_kind kind); /* STRING, NUMBER, INTEGER, WS_RUN, THOUGHT */
uint32_t sv_gram_value(sv_gram *g);                   /* any JSON value */
uint32_t sv_gram_map(sv_gram *g, uint32_t value);     /* an object with any keys */
uint32_t sv_gram_list(sv_gram *g, uint32_t item, uint32_t min, uint32_t max);

typedef struct sv_gram_prop {
    sv_str key;
    uint32_t value;
    bool required;
} sv_gram_prop;
/* An object with these properties in this order, those not required perhaps left out. */
uint32_t sv_gram_object(sv_gram *g, const sv_gram_prop *p, uint32_t n);

#endif
