/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: a tokenizer.json, and a text in it. The input is the JSON, then (behind the first NUL byte, if any) a
 * text; without one the JSON is also the text. What is encoded must decode to the same text where no normaliser changes
 * it.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const sv_tokenizer *t, sv_str text, bool trusted, bool normalizes)
{
    sv_ids ids = { 0 };
    sv_bytes out = { 0 };
    if (sv_tokenizer_encode_plain(t, text, trusted, &ids) == SV_OK) {
        sv_tokenizer_decode(t, ids.id, ids.n, true, &out);
        SV_ASSERT(sv_utf8_valid(out.p, out.n, NULL));
        SV_ASSERT(normalizes || sv_str_eq((sv_str){ out.p, out.n }, text));
        for (size_t i = 0; i < ids.n; i++)
            SV_ASSERT(ids.id[i] < sv_tokenizer_count(t) && (trusted || !sv_tokenizer_is_special(t, ids.id[i])));
    }
    sv_bytes_done(&out);
    sv_ids_done(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    const char *gap = size > 0 ? memchr(p, 0, size) : NULL;
    sv_str json = { p, gap ? (size_t)(gap - p) : size }, text = json;
    sv_tokenizer *t;
    if (gap)
        text = (sv_str){ gap + 1, size - json.n - 1 };
    if (sv_tokenizer_from_json(json, "fuzz", &t) != SV_OK)
        return 0;
    bool normalizes = memmem(json.p, json.n, "NF", 2) != NULL || memmem(json.p, json.n, "\\u", 2) != NULL;
    for (int trusted = 0; trusted < 2; trusted++)
        check_text(t, text, trusted, normalizes);
    sv_tokenizer_drop(t);
    return 0;
}
