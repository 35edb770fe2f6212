/* SPDX-License-Identifier: Apache-2.0
 * JSON Schema into a grammar. Built: type, properties, required, items, enum, const, additionalProperties, minItems,
 * maxItems, anyOf, $ref into $defs or definitions without cycles; title, description, default, examples, $schema, $id,
 * $comment, deprecated, readOnly, writeOnly and strict mean nothing here. Properties come in the schema's order, and
 * only those that it names. At most 32 levels and 4,096 schemas. Threads: values.
 */
#ifndef SV_INFER_SCHEMA_H
#define SV_INFER_SCHEMA_H

#include <jansson.h>

#include "infer/gram.h"

/* `where` names the schema in messages. SV_E_UNSUPPORTED: another keyword, named with its place; SV_E_ARG: a keyword
 * with a wrong value. */
sv_err sv_schema_compile(sv_gram *g, const json_t *schema, const char *where, uint32_t *node);

#endif
