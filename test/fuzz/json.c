/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as JSON and as JSON lines. Texts of what parses must survive being quoted and parsed again.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "format/jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_quote(const json_t *text)
{
    sv_bytes b = { 0 };
    json_t *back;
    sv_bytes_char(&b, '[');
    sv_json_quote(&b, (sv_str){ json_string_value(text), json_string_length(text) });
    sv_bytes_char(&b, ']');
    SV_ASSERT(sv_json_parse((sv_str){ b.p, b.n }, &sv_json_file_limits, "quoted", &back) == SV_OK);
    SV_ASSERT(json_equal(json_array_get(back, 0), text));
    json_decref(back);
    sv_bytes_done(&b);
}

/* The depth was limited to 32 by the parser. */
static void walk(json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    uint32_t u;
    double f;
    if (json_is_string(v))
        check_quote(v);
    json_array_foreach(v, i, item) walk(item);
    json_object_foreach(v, key, item)
    {
        (void)sv_json_need_u32(v, key, 1, 1000, "fuzz", &u);
        (void)sv_json_need_f64(v, key, 0, 1, "fuzz", &f);
        walk(item);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const sv_json_limits limits = { 1 << 16, 32 };
    sv_str text = { (const char *)data, size };
    json_t *v;
    if (sv_json_parse(text, &limits, "fuzz", &v) == SV_OK) {
        walk(v);
        json_decref(v);
    }
    sv_jsonl *r;
    sv_jsonl_line line;
    uint64_t last = 0;
    SV_ASSERT(sv_jsonl_open_bytes(text, "fuzz", &r) == SV_OK);
    do {
        sv_err e = sv_jsonl_next(r, &line, &v);
        SV_ASSERT(e == SV_OK || strncmp(sv_err_text(), "fuzz:", 5) == 0);
        SV_ASSERT(line.text.p == NULL || line.number > last);
        SV_ASSERT(e != SV_OK || line.text.p == NULL || json_is_object(v));
        last = line.number;
        json_decref(v);
    } while (line.text.p);
    sv_jsonl_close(r);
    return 0;
}
