/* SPDX-License-Identifier: Apache-2.0
 * Writes the tokenizer.json of a tokenizer that came from a GGUF file's parts, for other programs and for our own
 * checkpoints. It loads with the same ids here and in the reference.
 */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "text/bytelevel.h"
#include "text/tokenizer_impl.h"

/* The name under which a token stands in the vocabulary. */
static void put_name(const sv_tokenizer *t, uint32_t id, sv_bytes *buffer)
{
    sv_str bytes = sv_bpe_piece(t->bpe, id);
    sv_bytes_clear(buffer);
    if ((sv_bpe_flags(t->bpe, id) & (SV_TOKEN_RAW | SV_TOKEN_ADDED)) != 0)
        sv_bytes_add(buffer, bytes.p, bytes.n);
    else
        sv_bytelevel_encode(bytes, buffer);
}

/* A reader numbers added tokens that are not in the vocabulary from its size on. So they are left out of the vocabulary
 * when they are its last ids, as their makers do, unless there is a gap before or a merge makes one of them. Returns
 * where the ids to write as vocabulary end. */
static uint32_t vocab_end(const sv_tokenizer *t)
{
    uint32_t n = sv_bpe_count(t->bpe), end = n;
    while (end > 0 && (sv_bpe_flags(t->bpe, end - 1) & SV_TOKEN_ADDED) != 0)
        end--;
    for (uint32_t i = 0; i < n; i++)
        if (sv_bpe_flags(t->bpe, i) == 0)
            return n;
    for (uint32_t i = 0; i < sv_bpe_n_merge(t->bpe); i++) {
        uint32_t left, right, made;
        sv_bpe_merge(t->bpe, i, &left, &right, &made);
        if (left >= end || right >= end || made >= end)
            return n;
    }
    return end;
}

static void write_added(const sv_tokenizer *t, sv_bytes *o)
{
    const char *comma = "\n";
    for (uint32_t id = 0; id < sv_bpe_count(t->bpe); id++) {
        uint32_t flags = sv_bpe_flags(t->bpe, id);
        if ((flags & SV_TOKEN_ADDED) == 0)
            continue;
        sv_bytes_printf(o, "%s    {\"id\": %" PRIu32 ", \"content\": ", comma, id);
        sv_json_quote(o, sv_bpe_piece(t->bpe, id));
        sv_bytes_printf(o,
                        ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                        "\"special\": %s}",
                        (flags & SV_TOKEN_SPECIAL) != 0 ? "true" : "false");
        comma = ",\n";
    }
    sv_bytes_text(o, "\n  ],\n");
}

static void write_byte_level(sv_bytes *o, bool use_regex)
{
    sv_bytes_printf(o,
                    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}",
                    use_regex ? "true" : "false");
}

static void write_pre_tokenizer(const sv_tokenizer *t, sv_bytes *o)
{
    bool use_regex = false;
    sv_bytes_text(o, "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n");
    for (size_t i = 0; i < 3 && t->family->scan[i] != SV_SCAN_NONE; i++) {
        sv_scan scan = t->family->scan[i];
        use_regex = scan == SV_SCAN_GPT2;
        if (use_regex)
            continue;
        if (scan == SV_SCAN_DIGIT_EACH) {
            sv_bytes_text(o, "    {\"type\": \"Digits\", \"individual_digits\": true},\n");
            continue;
        }
        sv_bytes_text(o, "    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        sv_json_quote(o, sv_str_of(sv_scan_regex(scan)));
        sv_bytes_text(o, "}, \"behavior\": \"Isolated\", \"invert\": false},\n");
    }
    sv_bytes_text(o, "    ");
    write_byte_level(o, use_regex);
    sv_bytes_text(o, "]},\n");
}

static void write_post_processor(const sv_tokenizer *t, sv_bytes *o)
{
    sv_bytes_text(o, "  \"post_processor\": ");
    if (t->bos_id < 0 || t->bos_id >= sv_bpe_count(t->bpe) || sv_bpe_flags(t->bpe, (uint32_t)t->bos_id) == 0) {
        write_byte_level(o, false);
        sv_bytes_text(o, ",\n");
        return;
    }
    sv_bytes bos = { 0 };
    sv_bytes name = { 0 };
    put_name(t, (uint32_t)t->bos_id, &name);
    sv_json_quote(&bos, (sv_str){ name.p, name.n });
    sv_bytes_printf(
        o,
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
        "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": %s, "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": %s, "
        "\"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {%s: "
        "{\"id\": %s, \"ids\": [%" PRId64 "], \"tokens\": [%s]}}},\n",
        bos.p, bos.p, bos.p, bos.p, bos.p, t->bos_id, bos.p);
    sv_bytes_done(&bos);
    sv_bytes_done(&name);
}

static void write_vocab(const sv_tokenizer *t, sv_bytes *o)
{
    sv_bytes name = { 0 };
    const char *comma = "\n";
    for (uint32_t id = 0, end = vocab_end(t); id < end; id++) {
        if (sv_bpe_flags(t->bpe, id) == 0)
            continue;
        put_name(t, id, &name);
        sv_bytes_text(o, comma);
        sv_bytes_text(o, "      ");
        sv_json_quote(o, (sv_str){ name.p, name.n });
        sv_bytes_printf(o, ": %" PRIu32, id);
        comma = ",\n";
    }
    sv_bytes_done(&name);
}

static void write_merges(const sv_tokenizer *t, sv_bytes *o)
{
    sv_bytes pair = { 0 }, name = { 0 };
    const char *comma = "\n";
    for (uint32_t i = 0; i < sv_bpe_n_merge(t->bpe); i++) {
        uint32_t left, right, made;
        sv_bpe_merge(t->bpe, i, &left, &right, &made);
        sv_bytes_clear(&pair);
        put_name(t, left, &name);
        sv_bytes_add(&pair, name.p, name.n);
        sv_bytes_char(&pair, ' ');
        put_name(t, right, &name);
        sv_bytes_add(&pair, name.p, name.n);
        sv_bytes_text(o, comma);
        sv_bytes_text(o, "      ");
        sv_json_quote(o, (sv_str){ pair.p, pair.n });
        comma = ",\n";
    }
    sv_bytes_done(&pair);
    sv_bytes_done(&name);
}

void sv_tokenizer_write(sv_tokenizer *t)
{
    sv_bytes *o = &t->json;
    sv_bytes_text(o,
                  "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    write_added(t, o);
    sv_bytes_printf(o, "  \"normalizer\": %s,\n", t->nfc ? "{\"type\": \"NFC\"}" : "null");
    write_pre_tokenizer(t, o);
    write_post_processor(t, o);
    sv_bytes_text(o, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                     "\"use_regex\": true},\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                     "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
                     "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n");
    sv_bytes_printf(o, "    \"ignore_merges\": %s,\n    \"vocab\": {", t->family->ignore_merges ? "true" : "false");
    write_vocab(t, o);
    sv_bytes_text(o, "\n    },\n    \"merges\": [");
    write_merges(t, o);
    sv_bytes_text(o, "\n    ]\n  }\n}\n");
}
