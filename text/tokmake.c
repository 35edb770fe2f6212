/* SPDX-License-Identifier: Apache-2.0
 * Makes a tokenizer from a tokenizer.json or from the parts a GGUF file holds. What it does not know, it refuses by
 * name.
 */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "text/bytelevel.h"
#include "text/nfc.h"
#include "text/tokenizer_impl.h"
#include "text/tokjson.h"

static const sv_pre_family families[] = {
    { "gpt-2", { SV_SCAN_GPT2 }, false, false },
    { "smollm", { SV_SCAN_DIGIT_EACH, SV_SCAN_GPT2 }, false, false },
    { "qwen2", { SV_SCAN_QWEN2 }, true, false },
    { "deepseek-r1-qwen", { SV_SCAN_QWEN2 }, true, false },
    { "llama-bpe", { SV_SCAN_LLAMA3 }, false, true },
    { "llama3", { SV_SCAN_LLAMA3 }, false, true },
    { "llama-v3", { SV_SCAN_LLAMA3 }, false, true },
    { "deepseek-v3", { SV_SCAN_DIGITS_3, SV_SCAN_CJK, SV_SCAN_DEEPSEEK }, false, false },
};

const sv_pre_family *sv_pre_family_find(const char *pre)
{
    for (size_t i = 0; pre && i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].pre, pre) == 0)
            return &families[i];
    return NULL;
}

/* Appends the bytes a token's name stands for. False: the name is not byte-level, and stands for itself. */
static bool bytes_of_name(sv_str name, sv_bytes *out)
{
    sv_bytes_clear(out);
    if (sv_bytelevel_decode(name, out))
        return true;
    sv_bytes_add(out, name.p, name.n);
    return false;
}

/* The form in which the vocabulary keeps an added token: by its content, whatever its characters mean byte-level. */
static bool added_is_raw(sv_str content, sv_bytes *buffer)
{
    return !bytes_of_name(content, buffer) || !sv_str_eq((sv_str){ buffer->p, buffer->n }, content);
}

sv_err sv_tokenizer_add(sv_tokenizer *t, sv_str content, uint32_t id, bool special, bool normalized)
{
    sv_bytes buffer = { 0 };
    uint32_t known;
    bool in_vocab = sv_bpe_find(t->bpe, content, added_is_raw(content, &buffer), &known);
    sv_bytes_done(&buffer);
    if (in_vocab && known != id)
        return sv_fail(SV_E_FORMAT, "%s: added token %s has id %u, but %u in the vocabulary", t->name,
                       sv_str_quote(content), id, known);
    if (!in_vocab)
        SV_TRY(sv_bpe_put(t->bpe, id, content, 0));
    sv_bpe_mark(t->bpe, id, SV_TOKEN_ADDED | (special ? SV_TOKEN_SPECIAL : 0));
    if (!sv_map_put(t->by_content, content, id))
        return sv_fail(SV_E_FORMAT, "%s: added token %s stands twice", t->name, sv_str_quote(content));
    if (!normalized || !t->nfc)
        return sv_added_put(t->added[normalized], content, id, t->name);
    sv_marked given = { 0 }, normal = { 0 };
    sv_marked_add(&given, content, true);
    size_t run = 0;
    sv_err e = sv_nfc(&given, 0, content.n, &run, &normal);
    if (e == SV_OK)
        e = sv_added_put(t->added[1], (sv_str){ normal.text.p, normal.text.n }, id, t->name);
    sv_marked_done(&given);
    sv_marked_done(&normal);
    return e;
}

/* Reading one tokenizer.json. */
typedef struct reader {
    sv_tokenizer *t;
    sv_tokjson json;
    bool byte_level; /* names are in byte-level form; else plain ASCII */
    bool ignore_merges;
    sv_map *added;         /* contents of added tokens */
    bool added_first[256]; /* and their first bytes */
    sv_bytes left, right;
} reader;

static sv_err unknown(const reader *r, const char *part, const char *found, const char *known)
{
    return sv_fail(SV_E_UNSUPPORTED, "%s: %s %s is not supported; known: %s", r->t->name, part, found, known);
}

/* The member `key` as an object with a type; NULL when it is missing or null. */
static sv_err typed(const reader *r, const json_t *v, const char *part, const char **type)
{
    *type = "";
    if (!json_is_object(v))
        return sv_fail(SV_E_FORMAT, "%s: %s is not an object with a type", r->t->name, part);
    return sv_json_need_text(v, "type", r->t->name, type);
}

static sv_err read_normalizer(reader *r, const json_t *v, int depth)
{
    const char *type;
    if (!v)
        return SV_OK;
    SV_TRY(typed(r, v, "normalizer", &type));
    if (strcmp(type, "NFC") == 0) {
        r->t->nfc = true;
        return SV_OK;
    }
    const json_t *list = json_object_get(v, "normalizers");
    if (strcmp(type, "Sequence") != 0 || !json_is_array(list) || depth > 0)
        return unknown(r, "normalizer", type, "NFC, and a Sequence of it");
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) SV_TRY(read_normalizer(r, item, depth + 1));
    return SV_OK;
}

static sv_err read_split(reader *r, const json_t *v)
{
    const char *behavior;
    bool invert;
    SV_TRY(sv_json_need_text(v, "behavior", r->t->name, &behavior));
    SV_TRY(sv_json_bool(v, "invert", false, r->t->name, &invert));
    if (strcmp(behavior, "Isolated") != 0 || invert)
        return unknown(r, "Split with behavior", invert ? "inverted" : behavior, "Isolated");
    const char *regex = json_string_value(json_object_get(json_object_get(v, "pattern"), "Regex"));
    if (!regex)
        return unknown(r, "Split with", "a pattern that is no Regex", "Regex");
    return sv_pretok_add_regex(r->t->split, sv_str_of(regex), r->t->name);
}

static sv_err read_byte_level(reader *r, const json_t *v)
{
    bool prefix, regex;
    SV_TRY(sv_json_bool(v, "add_prefix_space", true, r->t->name, &prefix));
    SV_TRY(sv_json_bool(v, "use_regex", true, r->t->name, &regex));
    if (prefix)
        return unknown(r, "ByteLevel with", "add_prefix_space", "false");
    r->byte_level = true;
    return regex ? sv_pretok_add_scan(r->t->split, SV_SCAN_GPT2) : SV_OK;
}

static sv_err read_pre_tokenizer(reader *r, const json_t *v, int depth)
{
    const char *type;
    if (!v)
        return SV_OK;
    SV_TRY(typed(r, v, "pre_tokenizer", &type));
    if (r->byte_level)
        return unknown(r, "pre_tokenizer behind ByteLevel:", type, "none");
    if (strcmp(type, "Split") == 0)
        return read_split(r, v);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(r, v);
    if (strcmp(type, "Digits") == 0) {
        bool each;
        SV_TRY(sv_json_bool(v, "individual_digits", false, r->t->name, &each));
        return sv_pretok_add_scan(r->t->split, each ? SV_SCAN_DIGIT_EACH : SV_SCAN_DIGITS_ALL);
    }
    const json_t *list = json_object_get(v, "pretokenizers");
    if (strcmp(type, "Sequence") != 0 || !json_is_array(list) || depth > 0)
        return unknown(r, "pre_tokenizer", type, "Split, ByteLevel, Digits, and a Sequence of them");
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) SV_TRY(read_pre_tokenizer(r, item, depth + 1));
    return SV_OK;
}

/* post_processor and decoder: those that change no id and no byte of ours are let through. Special tokens around a text
 * are the template's and the caller's part. */
static sv_err check_part(const reader *r, const char *part, const json_t *v, const char *const *known, int depth)
{
    const char *type;
    if (!v)
        return SV_OK;
    SV_TRY(typed(r, v, part, &type));
    const json_t *list = json_object_get(v, strcmp(part, "decoder") == 0 ? "decoders" : "processors");
    if (strcmp(type, "Sequence") == 0 && json_is_array(list) && depth == 0) {
        size_t i;
        json_t *item;
        json_array_foreach(list, i, item) SV_TRY(check_part(r, part, item, known, 1));
        return SV_OK;
    }
    for (; *known; known++)
        if (strcmp(type, *known) == 0)
            return SV_OK;
    return unknown(r, part, type, strcmp(part, "decoder") == 0 ? "ByteLevel, Fuse" : "ByteLevel, TemplateProcessing");
}

static sv_err read_model(reader *r, const json_t *model)
{
    const char *name = r->t->name, *type, *text;
    bool flag;
    if (!json_is_object(model))
        return sv_fail(SV_E_FORMAT, "%s: no model; the file is no tokenizer.json", name);
    SV_TRY(sv_json_text(model, "type", "BPE", name, &type));
    if (strcmp(type, "BPE") != 0)
        return unknown(r, "model", type, "BPE");
    static const char *const prefixes[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    for (size_t i = 0; i < 2; i++) {
        SV_TRY(sv_json_text(model, prefixes[i], "", name, &text));
        if (text[0] != 0)
            return unknown(r, "BPE with", prefixes[i], "none");
    }
    static const char *const flags[] = { "byte_fallback", "fuse_unk" };
    for (size_t i = 0; i < 2; i++) {
        SV_TRY(sv_json_bool(model, flags[i], false, name, &flag));
        if (flag)
            return unknown(r, "BPE with", flags[i], "false");
    }
    if (sv_json_get(model, "dropout"))
        return unknown(r, "BPE with", "dropout", "none");
    return sv_json_bool(model, "ignore_merges", false, name, &r->ignore_merges);
}

static bool is_ascii(sv_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

static sv_err put_vocab(void *arg, sv_str name, uint32_t id)
{
    reader *r = arg;
    uint32_t flags = SV_TOKEN_VOCAB;
    if (name.n > 0 && r->added_first[(unsigned char)name.p[0]] && sv_map_get(r->added, name, NULL)) {
        if (added_is_raw(name, &r->left))
            flags |= SV_TOKEN_RAW;
        return sv_bpe_put(r->t->bpe, id, name, flags);
    }
    if (!r->byte_level) {
        /* Without ByteLevel a symbol is a character; for ASCII that is the same as a byte. */
        if (!is_ascii(name))
            return unknown(r, "without a ByteLevel pre_tokenizer, the token", sv_str_quote(name), "ASCII");
        return sv_bpe_put(r->t->bpe, id, name, flags);
    }
    if (!bytes_of_name(name, &r->left))
        flags |= SV_TOKEN_RAW;
    return sv_bpe_put(r->t->bpe, id, (sv_str){ r->left.p, r->left.n }, flags);
}

static sv_err put_merge(void *arg, sv_str left, sv_str right)
{
    reader *r = arg;
    if (!r->byte_level)
        return sv_bpe_add_merge(r->t->bpe, left, right);
    if (!bytes_of_name(left, &r->left) || !bytes_of_name(right, &r->right))
        return sv_fail(SV_E_FORMAT, "%s: merge %u, %s with %s, is not in byte-level form", r->t->name,
                       sv_bpe_n_merge(r->t->bpe), sv_str_quote(left), sv_str_quote(right));
    return sv_bpe_add_merge(r->t->bpe, (sv_str){ r->left.p, r->left.n }, (sv_str){ r->right.p, r->right.n });
}

/* Reads one entry of added_tokens: first its content only, then, with the vocabulary there, the whole. */
static sv_err read_added(reader *r, const json_t *v, bool whole)
{
    static const char *const refused[] = { "single_word", "lstrip", "rstrip" };
    const char *name = r->t->name, *content;
    bool flag, special, normalized;
    uint32_t id;
    SV_TRY(sv_json_need_text(v, "content", name, &content));
    if (!whole) {
        sv_map_put(r->added, sv_str_of(content), 0);
        r->added_first[(unsigned char)content[0]] = true;
        return SV_OK;
    }
    SV_TRY(sv_json_need_u32(v, "id", 0, SV_BPE_MAX_TOKENS - 1, name, &id));
    SV_TRY(sv_json_bool(v, "special", false, name, &special));
    SV_TRY(sv_json_bool(v, "normalized", !special, name, &normalized));
    for (size_t i = 0; i < 3; i++) {
        SV_TRY(sv_json_bool(v, refused[i], false, name, &flag));
        if (flag)
            return unknown(r, "an added token with", refused[i], "false");
    }
    return sv_tokenizer_add(r->t, sv_str_of(content), id, special, normalized);
}

static sv_err read_all_added(reader *r, bool whole)
{
    const json_t *list = sv_json_get(r->json.rest, "added_tokens");
    if (list && !json_is_array(list))
        return sv_fail(SV_E_FORMAT, "%s: added_tokens is not a list", r->t->name);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) SV_TRY(read_added(r, item, whole));
    return SV_OK;
}

static sv_err read_file(reader *r, sv_str json)
{
    static const char *const processors[] = { "ByteLevel", "TemplateProcessing", NULL };
    static const char *const decoders[] = { "ByteLevel", "Fuse", NULL };
    sv_tokenizer *t = r->t;
    SV_TRY(sv_tokjson_open(json, t->name, &r->json));
    const json_t *rest = r->json.rest;
    SV_TRY(read_model(r, sv_json_get(rest, "model")));
    SV_TRY(read_normalizer(r, sv_json_get(rest, "normalizer"), 0));
    SV_TRY(read_pre_tokenizer(r, sv_json_get(rest, "pre_tokenizer"), 0));
    SV_TRY(check_part(r, "post_processor", sv_json_get(rest, "post_processor"), processors, 0));
    SV_TRY(check_part(r, "decoder", sv_json_get(rest, "decoder"), decoders, 0));
    uint32_t n_token = sv_tokjson_vocab_size(&r->json), n_merge = sv_tokjson_merges_size(&r->json);
    t->bpe = sv_bpe_make(n_token < SV_BPE_MAX_TOKENS ? n_token : SV_BPE_MAX_TOKENS,
                         n_merge < SV_BPE_MAX_MERGES ? n_merge : SV_BPE_MAX_MERGES, t->name);
    SV_TRY(read_all_added(r, false));
    SV_TRY(sv_tokjson_vocab(&r->json, put_vocab, r));
    SV_TRY(read_all_added(r, true));
    SV_TRY(sv_tokjson_merges(&r->json, put_merge, r));
    SV_TRY(sv_bpe_seal(t->bpe, r->ignore_merges));
    sv_bytes_add(&t->json, json.p, json.n);
    t->have_json = true;
    return SV_OK;
}

sv_err sv_tokenizer_from_json(sv_str json, const char *name, sv_tokenizer **out)
{
    reader r = { .t = sv_tokenizer_new(name), .added = sv_map_make(64) };
    sv_err e = read_file(&r, json);
    sv_tokjson_close(&r.json);
    sv_map_drop(r.added);
    sv_bytes_done(&r.left);
    sv_bytes_done(&r.right);
    if (e != SV_OK) {
        sv_tokenizer_drop(r.t);
        r.t = NULL;
    }
    *out = r.t;
    return e;
}

/* GGUF's token types. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };

static sv_err put_part(sv_tokenizer *t, const sv_vocab_parts *parts, uint32_t id, sv_bytes *buffer)
{
    int32_t type = parts->type ? parts->type[id] : TYPE_NORMAL;
    sv_str name = parts->token[id];
    size_t at;
    if (type == TYPE_UNUSED)
        return SV_OK;
    if (type < TYPE_NORMAL || type > TYPE_UNUSED)
        return sv_fail(SV_E_UNSUPPORTED, "%s: token %u has type %d; known: 1 to 5", t->name, id, (int)type);
    if (!sv_utf8_valid(name.p, name.n, &at))
        return sv_fail(SV_E_FORMAT, "%s: token %u is not UTF-8 at its byte %zu", t->name, id, at);
    if (type == TYPE_NORMAL) {
        bool raw = !bytes_of_name(name, buffer);
        return sv_bpe_put(t->bpe, id, (sv_str){ buffer->p, buffer->n }, SV_TOKEN_VOCAB | (raw ? SV_TOKEN_RAW : 0));
    }
    SV_TRY(sv_bpe_put(t->bpe, id, name, SV_TOKEN_VOCAB | (added_is_raw(name, buffer) ? SV_TOKEN_RAW : 0)));
    return sv_tokenizer_add(t, name, id, type != TYPE_USER, false);
}

static sv_err put_part_merge(sv_tokenizer *t, sv_str merge, uint32_t at, sv_bytes buffer[2])
{
    const char *gap = merge.n > 0 ? memchr(merge.p, ' ', merge.n) : NULL;
    if (!gap || !sv_utf8_valid(merge.p, merge.n, NULL))
        return sv_fail(SV_E_FORMAT, "%s: merge %u, %s, is not two tokens and a space", t->name, at,
                       sv_str_quote(merge));
    sv_str left = { merge.p, (size_t)(gap - merge.p) }, right = { gap + 1, merge.n - left.n - 1 };
    if (!bytes_of_name(left, &buffer[0]) || !bytes_of_name(right, &buffer[1]))
        return sv_fail(SV_E_FORMAT, "%s: merge %u, %s, is not in byte-level form", t->name, at, sv_str_quote(merge));
    return sv_bpe_add_merge(t->bpe, (sv_str){ buffer[0].p, buffer[0].n }, (sv_str){ buffer[1].p, buffer[1].n });
}

static sv_err take_parts(sv_tokenizer *t, const sv_vocab_parts *parts, sv_bytes buffer[2])
{
    t->family = sv_pre_family_find(parts->pre);
    if (!t->family)
        return sv_fail(
            SV_E_UNSUPPORTED,
            "%s: no rule for tokenizer.ggml.pre \"%s\", and the file has no tokenizer.huggingface.json; known: "
            "gpt-2, smollm, qwen2, deepseek-r1-qwen, llama-bpe, deepseek-v3",
            t->name, parts->pre ? sv_str_quote(sv_str_of(parts->pre)) : "");
    if (parts->n_token > SV_BPE_MAX_TOKENS || parts->n_merge > SV_BPE_MAX_MERGES)
        return sv_fail(SV_E_LIMIT, "%s: %u tokens and %u merges; at most %d and %d are allowed", t->name,
                       parts->n_token, parts->n_merge, SV_BPE_MAX_TOKENS, SV_BPE_MAX_MERGES);
    t->nfc = t->family->nfc;
    t->bos_id = parts->add_bos ? parts->bos_id : -1;
    for (size_t i = 0; i < 3 && t->family->scan[i] != SV_SCAN_NONE; i++)
        SV_TRY(sv_pretok_add_scan(t->split, t->family->scan[i]));
    t->bpe = sv_bpe_make(parts->n_token, parts->n_merge, t->name);
    for (uint32_t i = 0; i < parts->n_token; i++)
        SV_TRY(put_part(t, parts, i, &buffer[0]));
    for (uint32_t i = 0; i < parts->n_merge; i++)
        SV_TRY(put_part_merge(t, parts->merge[i], i, buffer));
    return sv_bpe_seal(t->bpe, t->family->ignore_merges);
}

sv_err sv_tokenizer_from_parts(const sv_vocab_parts *parts, const char *name, sv_tokenizer **out)
{
    sv_tokenizer *t = sv_tokenizer_new(name);
    sv_bytes buffer[2] = { { 0 }, { 0 } };
    sv_err e = take_parts(t, parts, buffer);
    sv_bytes_done(&buffer[0]);
    sv_bytes_done(&buffer[1]);
    if (e != SV_OK) {
        sv_tokenizer_drop(t);
        t = NULL;
    }
    *out = t;
    return e;
}

sv_err sv_tokenizer_agrees(const sv_tokenizer *t, const sv_vocab_parts *parts)
{
    sv_bytes buffer = { 0 };
    sv_err e = SV_OK;
    if (parts->n_token < sv_tokenizer_count(t))
        return sv_fail(SV_E_FORMAT, "%s: %u tokens in the arrays, %u in tokenizer.json", t->name, parts->n_token,
                       sv_tokenizer_count(t));
    for (uint32_t id = 0; id < parts->n_token && e == SV_OK; id++) {
        sv_str name = parts->token[id], piece = sv_tokenizer_piece(t, id);
        if (parts->type && parts->type[id] == TYPE_UNUSED && piece.n == 0)
            continue;
        if ((sv_bpe_flags(t->bpe, id) & SV_TOKEN_ADDED) == 0) {
            bytes_of_name(name, &buffer);
            name = (sv_str){ buffer.p, buffer.n };
        }
        if (!sv_str_eq(name, piece))
            e = sv_fail(SV_E_FORMAT, "%s: token %u is %s in the arrays, %s in tokenizer.json", t->name, id,
                        sv_str_quote(name), sv_str_quote(piece));
    }
    sv_bytes_done(&buffer);
    return e;
}
