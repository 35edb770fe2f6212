/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as a JSON Schema. What compiles is walked at random by the masks of a small vocabulary: there
 * is always a next token or an end, and what ends is JSON.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "infer/guide.h"
#include "infer/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 200 };

/* Every byte, and some pairs. */
static const sv_vocab *vocab(void)
{
    static sv_vocab *v;
    static const char *const more[] = { "true", "false", "null", "{\"", "\":", "\",\"", "}}", "[[", "]]", "12" };
    if (v != NULL)
        return v;
    sv_str token[256 + 10];
    sv_bytes text = { 0 }, at[256] = { { 0 } };
    for (uint32_t b = 0; b < 256; b++) { /* the byte-level alphabet of GPT-2 */
        bool shown = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        static uint32_t n_other;
        char utf8[4];
        size_t n = sv_utf8_put(shown ? b : 256 + n_other++, utf8);
        sv_bytes_add(&at[b], utf8, n);
        token[b] = (sv_str){ at[b].p, at[b].n };
    }
    for (uint32_t i = 0; i < 10; i++)
        token[256 + i] = sv_str_of(more[i]);
    sv_vocab_parts parts = { .pre = "gpt-2", .token = token, .n_token = 266, .bos_id = -1, .eos_id = -1, .pad_id = -1 };
    sv_tokenizer *t = NULL;
    SV_ASSERT(sv_tokenizer_from_parts(&parts, "fuzz", &t) == SV_OK);
    v = sv_vocab_make(t, 266);
    for (uint32_t b = 0; b < 256; b++)
        sv_bytes_done(&at[b]);
    sv_bytes_done(&text);
    return v;
}

static void check_json(const sv_vocab *v, const uint32_t *id, uint32_t n)
{
    sv_bytes text = { 0 };
    json_error_t e;
    for (uint32_t i = 0; i < n; i++)
        sv_bytes_add(&text, sv_tokenizer_piece(v->tokenizer, id[i]).p, sv_tokenizer_piece(v->tokenizer, id[i]).n);
    json_t *o = json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    SV_ASSERT(o != NULL);
    json_decref(o);
    sv_bytes_done(&text);
}

static void walk(sv_guide *d, uint32_t seed)
{
    const sv_vocab *v = vocab();
    sv_guide_at at = { 0 };
    uint32_t id[MOST], n = 0;
    while (n < MOST) {
        const uint64_t *mask;
        SV_ASSERT(sv_guide_follow(d, &at, id, n ? n - 1 : 0, n));
        if (sv_guide_may_end(d, at)) {
            check_json(v, id, n);
            if (sv_guide_must_end(d, at))
                return;
        }
        uint32_t allowed = sv_guide_mask(d, at, &mask);
        SV_ASSERT(allowed > 0 || sv_guide_may_end(d, at));
        if (allowed == 0)
            return;
        seed = seed * 1664525u + 1013904223u;
        uint32_t left = (seed >> 8) % allowed;
        for (id[n] = 0; !(mask[id[n] / 64] >> id[n] % 64 & 1) || left-- > 0;)
            id[n]++;
        n++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const sv_json_limits limits = { 1 << 16, 64 };
    json_t *o;
    sv_gram g;
    if (sv_json_parse((sv_str){ (const char *)data, size }, &limits, "schema", &o) != SV_OK)
        return 0;
    sv_gram_init(&g);
    sv_err err = sv_schema_compile(&g, o, "schema", &g.root);
    json_decref(o);
    if (err != SV_OK) {
        sv_gram_done(&g);
        return 0;
    }
    sv_guide *d = sv_guide_make(&g, vocab());
    walk(d, (uint32_t)size);
    walk(d, (uint32_t)size + 1);
    sv_guide_drop(d);
    return 0;
}
