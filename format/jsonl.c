/* SPDX-License-Identifier: Apache-2.0
 * Reading data sets of JSON lines from a mapped file or standard input.
 */
#include "format/jsonl.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

/* Standard input is kept in memory. */
#define MAX_STDIN ((size_t)1 << 36)

struct sv_jsonl {
    sv_arena *arena;
    const char *name;
    sv_str all;
    size_t at;
    uint64_t n_line, n_empty;
};

static void close_map(void *m)
{
    sv_file_map_close(m);
}

static sv_jsonl *make(const char *name)
{
    sv_arena *a = sv_arena_make();
    sv_jsonl *r = SV_NEW(a, sv_jsonl);
    r->arena = a;
    r->name = sv_arena_text(a, name);
    return r;
}

static sv_err read_all(sv_jsonl *r, const char *path)
{
    if (strcmp(path, "-") == 0)
        return sv_file_read(path, MAX_STDIN, r->arena, &r->all);
    sv_file_map m, *kept;
    SV_TRY(sv_file_map_open(path, &m));
    kept = SV_NEW(r->arena, sv_file_map);
    *kept = m;
    sv_arena_defer(r->arena, close_map, kept);
    r->all = (sv_str){ (const char *)m.p, m.n };
    return SV_OK;
}

sv_err sv_jsonl_open(const char *path, sv_jsonl **out)
{
    sv_str s = sv_str_of(path);
    *out = NULL;
    if (sv_str_ends(s, ".gz") || sv_str_ends(s, ".zst"))
        return sv_fail(SV_E_UNSUPPORTED,
                       "%s: compressed lines are not read; feed them in: %s %s | samsvar ... with - as the file", path,
                       sv_str_ends(s, ".gz") ? "zcat" : "zstdcat", path);
    sv_jsonl *r = make(strcmp(path, "-") == 0 ? "(standard input)" : path);
    sv_err e = read_all(r, path);
    if (e != SV_OK) {
        sv_jsonl_close(r);
        return e;
    }
    *out = r;
    return SV_OK;
}

sv_err sv_jsonl_open_bytes(sv_str bytes, const char *name, sv_jsonl **out)
{
    sv_jsonl *r = make(name);
    r->all = bytes;
    *out = r;
    return SV_OK;
}

void sv_jsonl_close(sv_jsonl *r)
{
    if (r)
        sv_arena_drop(r->arena);
}

/* Cuts the next line off, without LF or CR LF. False at the end. */
static bool cut_line(sv_jsonl *r, sv_jsonl_line *line)
{
    size_t left = r->all.n - r->at;
    if (left == 0)
        return false;
    const char *p = r->all.p + r->at, *end = memchr(p, '\n', left);
    size_t n = end ? (size_t)(end - p) : left;
    line->offset = r->at;
    line->number = ++r->n_line;
    r->at += end ? n + 1 : n;
    if (n > 0 && p[n - 1] == '\r')
        n--;
    line->text = (sv_str){ p, n };
    return true;
}

static bool is_blank(sv_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t')
            return false;
    return true;
}

sv_err sv_jsonl_skim(sv_jsonl *r, sv_jsonl_line *line)
{
    *line = (sv_jsonl_line){ 0 };
    while (cut_line(r, line)) {
        if (line->number > SV_JSONL_MAX_LINES)
            return sv_fail(SV_E_LIMIT, "%s:%llu:1: more than 2^31 lines; split the file", r->name,
                           (unsigned long long)line->number);
        if (line->text.n > SV_JSONL_MAX_LINE)
            return sv_fail(SV_E_LIMIT, "%s:%llu:%llu: a line of %zu bytes, at most %llu are read", r->name,
                           (unsigned long long)line->number, (unsigned long long)(SV_JSONL_MAX_LINE + 1), line->text.n,
                           (unsigned long long)SV_JSONL_MAX_LINE);
        if (!is_blank(line->text))
            return SV_OK;
        r->n_empty++;
    }
    *line = (sv_jsonl_line){ 0 };
    return SV_OK;
}

/* base/json knows the place inside the line, always its line 1: file and line take the place of its name and line. */
static sv_err place_in_file(sv_err e, const sv_jsonl *r, const sv_jsonl_line *line)
{
    char *said = sv_mem_text(sv_err_text());
    if (strncmp(said, ":1:", 3) == 0)
        e = sv_fail(e, "%s:%llu:%s", r->name, (unsigned long long)line->number, said + 3);
    else
        e = sv_fail(e, "%s:%llu:1%s", r->name, (unsigned long long)line->number, said);
    sv_mem_free(said);
    return e;
}

sv_err sv_jsonl_parse(const sv_jsonl *r, const sv_jsonl_line *line, json_t **value)
{
    static const sv_json_limits limits = { SV_JSONL_MAX_LINE, SV_JSONL_MAX_DEPTH };
    sv_str text = line->text;
    size_t col = 0;
    *value = NULL;
    while (col < text.n && (text.p[col] == ' ' || text.p[col] == '\t'))
        col++;
    /* Told before the parser's own words: the commonest fault is a file of another kind. */
    if (col < text.n && text.p[col] != '{' && (unsigned char)text.p[col] < 0x80 && text.p[col] != 0)
        return sv_fail(SV_E_FORMAT, "%s:%llu:%zu: found %s, each line is one JSON object: {\"key\": ...}", r->name,
                       (unsigned long long)line->number, col + 1,
                       sv_str_quote((sv_str){ text.p + col, text.n - col < 24 ? text.n - col : 24 }));
    sv_err e = sv_json_parse(text, &limits, "", value);
    return e == SV_OK ? e : place_in_file(e, r, line);
}

sv_err sv_jsonl_next(sv_jsonl *r, sv_jsonl_line *line, json_t **value)
{
    *value = NULL;
    SV_TRY(sv_jsonl_skim(r, line));
    return line->text.p ? sv_jsonl_parse(r, line, value) : SV_OK;
}

const char *sv_jsonl_name(const sv_jsonl *r)
{
    return r->name;
}
sv_str sv_jsonl_bytes(const sv_jsonl *r)
{
    return r->all;
}
uint64_t sv_jsonl_lines(const sv_jsonl *r)
{
    return r->n_line;
}
uint64_t sv_jsonl_empty(const sv_jsonl *r)
{
    return r->n_empty;
}
