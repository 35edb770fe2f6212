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

typedef struct sv_tokjson {
    const char *name;
    sv_str text;
    json_t *rest;         /* everything else; null stands for the two members */
    sv_str vocab, merges; /* views of text; empty when missing or null */
} sv_tokjson;

/* Borrows text and name. Limits: 128 MiB, depth 32; UTF-8, no duplicate keys. SV_E_FORMAT, SV_E_LIMIT. */
sv_err sv_tokjson_open(sv_str text, const char *name, sv_tokjson *out);
void sv_tokjson_close(sv_tokjson *j);

/* Upper bounds for the numbers of members, for table sizes. */
uint32_t sv_tokjson_vocab_size(const sv_tokjson *j);
uint32_t sv_tokjson_merges_size(const sv_tokjson *j);

/* Calls fn for each member {"name": id}. SV_E_FORMAT: not an object from text to whole numbers below 2^32. */
typedef sv_err (*sv_tokjson_vocab_fn)(void *arg, sv_str name, uint32_t id);
sv_err sv_tokjson_vocab(const sv_tokjson *j, sv_tokjson_vocab_fn fn, void *arg);
/* Calls fn for each item "left right" or ["left", "right"]. */
typedef sv_err (*sv_tokjson_merge_fn)(void *arg, sv_str left, sv_str right);
sv_err sv_tokjson_merges(const sv_tokjson *j, sv_tokjson_merge_fn fn, void *arg);

#endif
