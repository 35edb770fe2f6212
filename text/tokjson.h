/* SPDX-License-Identifier: Apache-2.0
 * The text of a tokenizer.json, taken apart: its two long members, vocab and merges, are walked here (a general parser
 * needs a second and half a gigabyte for them); the rest is an ordinary JSON value.
 * Threads: one at a time.
 */
#ifndef SV_TEXT_TOKJSON_H
#define SV_TEXT_TOKJSON_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* A string of the text, without its quotes. */
typedef struct sv_tokjson_text {
    uint32_t at, n; /* bytes; the highest bit of n: it has escapes */
} sv_tokjson_text;

typedef struct sv_tokjson {
    const char *name;
    sv_str text;
    json_t *rest;                  /* everything else; null stands for the two members */
    sv_str vocab, merges;          /* views of text; empty when missing or null */
    sv_tokjson_text *token, *side; /* [n_token]; [2 * n_merge] left and right, or both as one string and nothing */
    uint32_t *id;                  /* [n_token] */
    size_t n_token, cap_token, n_id, cap_id, n_side, cap_side;
} sv_tokjson;

/* Borrows text and name. Limits: 128 MiB, depth 32; UTF-8, no duplicate keys. SV_E_LIMIT; SV_E_FORMAT: also a vocab
 * that is no object from text to whole numbers below 2^32, and merges that are no list of texts or pairs of them. */
sv_err sv_tokjson_open(sv_str text, const char *name, sv_tokjson *out);
void sv_tokjson_close(sv_tokjson *j);

uint32_t sv_tokjson_vocab_size(const sv_tokjson *j);
uint32_t sv_tokjson_merges_size(const sv_tokjson *j);

/* Calls fn for each member {"name": id}. */
typedef sv_err (*sv_tokjson_vocab_fn)(void *arg, sv_str name, uint32_t id);
sv_err sv_tokjson_vocab(const sv_tokjson *j, sv_tokjson_vocab_fn fn, void *arg);
/* Calls fn for each item "left right" or ["left", "right"]. SV_E_FORMAT: another number of spaces. */
typedef sv_err (*sv_tokjson_merge_fn)(void *arg, sv_str left, sv_str right);
sv_err sv_tokjson_merges(const sv_tokjson *j, sv_tokjson_merge_fn fn, void *arg);

#endif
