/* SPDX-License-Identifier: Apache-2.0
 * JSON: jansson behind a scan for depth, duplicates and limits, and typed access that says what is wrong and where.
 * Threads: values are used by one thread at a time.
 */
#ifndef SV_BASE_JSON_H
#define SV_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct sv_json_limits {
    size_t max_bytes; /* of the text */
    uint32_t max_depth;
} sv_json_limits;
/* A file's JSON: 64 MiB, depth 32. tokenizer.json: 128 MiB. */
extern const sv_json_limits sv_json_file_limits, sv_json_tokenizer_limits;

/* Parses a whole text. Refuses: too long, too deep (checked before the parser), BOM, invalid UTF-8, NUL, duplicate
 * keys, trailing bytes. `name` stands in messages ("config.json"). *out is owned by the caller (json_decref).
 * SV_E_FORMAT with name:line:column, or SV_E_LIMIT. */
sv_err sv_json_parse(sv_str text, const sv_json_limits *limits, const char *name, json_t **out);
sv_err sv_json_load(const char *path, const sv_json_limits *limits, json_t **out);

/* Typed access to a member of an object. `where` names the file for messages. A missing key or null gives the default;
 * the `need` forms fail with SV_E_FORMAT naming key and file. Wrong type or out of [min, max]: SV_E_FORMAT with the
 * value found and the range. Text views are valid as long as the object. */
sv_err sv_json_u32(const json_t *obj, const char *key, uint32_t min, uint32_t max, uint32_t dflt, const char *where,
                   uint32_t *out);
sv_err sv_json_need_u32(const json_t *obj, const char *key, uint32_t min, uint32_t max, const char *where,
                        uint32_t *out);
sv_err sv_json_f64(const json_t *obj, const char *key, double min, double max, double dflt, const char *where,
                   double *out);
sv_err sv_json_need_f64(const json_t *obj, const char *key, double min, double max, const char *where, double *out);
sv_err sv_json_bool(const json_t *obj, const char *key, bool dflt, const char *where, bool *out);
sv_err sv_json_text(const json_t *obj, const char *key, const char *dflt, const char *where, const char **out);
sv_err sv_json_need_text(const json_t *obj, const char *key, const char *where, const char **out);
/* NULL when the key is missing or null. */
json_t *sv_json_get(const json_t *obj, const char *key);

/* Appends a string as a JSON literal with quotes; invalid UTF-8 becomes U+FFFD. */
void sv_json_quote(sv_bytes *out, sv_str text);
/* Appends a number that reads back to the same double; inf and NaN as null. */
void sv_json_number(sv_bytes *out, double v);

#endif
