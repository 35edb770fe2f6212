/* SPDX-License-Identifier: Apache-2.0
 * Lines of a data set: one JSON object a line, read in order, each fault named by file, line and column.
 * Threads: a reader is used by one thread; sv_jsonl_parse is safe from any.
 */
#ifndef SV_FORMAT_JSONL_H
#define SV_FORMAT_JSONL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define SV_JSONL_MAX_LINE (UINT64_C(16) << 20) /* bytes, without the line's end */
#define SV_JSONL_MAX_LINES (UINT64_C(1) << 31)
#define SV_JSONL_MAX_DEPTH 32u

typedef struct sv_jsonl sv_jsonl;

typedef struct sv_jsonl_line {
    sv_str text; /* without the line's end; valid until the reader is closed, so a row may be read again by its view */
    uint64_t number; /* of the line in the file, from 1; empty lines count */
    uint64_t offset; /* bytes from the start of the file */
} sv_jsonl_line;

/* path is a file, or "-" for standard input, which is read to its end. SV_E_UNSUPPORTED: .gz and .zst, with the command
 * that feeds them in. */
sv_err sv_jsonl_open(const char *path, sv_jsonl **out);
/* The same for bytes in memory, which must outlive the reader. `name` stands in messages. */
sv_err sv_jsonl_open_bytes(sv_str bytes, const char *name, sv_jsonl **out);
void sv_jsonl_close(sv_jsonl *r); /* NULL is fine */

/* The next line that is not empty (or only spaces and tabs): its view in *line, its object in *value (owned by the
 * caller, json_decref). At the end *value is NULL and SV_OK is given. On SV_E_FORMAT and SV_E_LIMIT *line is the bad
 * line, as far as it may be read, and the next call goes on behind it. */
sv_err sv_jsonl_next(sv_jsonl *r, sv_jsonl_line *line, json_t **value);
/* The same without parsing: what counts lines or wants views alone. line->text.p is NULL at the end. SV_E_LIMIT: too
 * long. */
sv_err sv_jsonl_skim(sv_jsonl *r, sv_jsonl_line *line);
/* Parses one line again. Refused as in sv_jsonl_next: not an object, deeper than 32, invalid UTF-8, NUL, BOM, duplicate
 * keys. The sentence starts with file:line:column. */
sv_err sv_jsonl_parse(const sv_jsonl *r, const sv_jsonl_line *line, json_t **value);

const char *sv_jsonl_name(const sv_jsonl *r);
sv_str sv_jsonl_bytes(const sv_jsonl *r);   /* the whole file, for its hash */
uint64_t sv_jsonl_lines(const sv_jsonl *r); /* lines passed so far, empty ones included */
uint64_t sv_jsonl_empty(const sv_jsonl *r); /* empty lines passed so far */

#endif
