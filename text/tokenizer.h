/* SPDX-License-Identifier: Apache-2.0
 * Text to token ids and back: byte-level BPE as tokenizer.json or a GGUF vocabulary describes it.
 * Threads: a tokenizer is constant once made and may be shared; an sv_decoder is used by one thread at a time.
 */
#ifndef SV_TEXT_TOKENIZER_H
#define SV_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "text/marked.h"

typedef struct sv_tokenizer sv_tokenizer;

/* What a GGUF file says of its vocabulary. Views are borrowed for the call. */
typedef struct sv_vocab_parts {
    const char *pre;     /* tokenizer.ggml.pre: "smollm", "qwen2", "llama-bpe", "deepseek-v3", "gpt-2" ... */
    const sv_str *token; /* [n_token] in byte-level form */
    const int32_t *type; /* [n_token] 1 normal, 3 control, 4 user-defined, 5 unused, 6 byte; NULL: all normal */
    uint32_t n_token;
    const sv_str *merge; /* [n_merge] "a b" */
    uint32_t n_merge;
    int64_t bos_id, eos_id, pad_id; /* -1: none */
    bool add_bos;
} sv_vocab_parts;

/* `name` stands in messages. SV_E_FORMAT: damaged; SV_E_UNSUPPORTED: a part that is not built, named. */
sv_err sv_tokenizer_from_json(sv_str json, const char *name, sv_tokenizer **out);
sv_err sv_tokenizer_from_parts(const sv_vocab_parts *parts, const char *name, sv_tokenizer **out);
void sv_tokenizer_drop(sv_tokenizer *t); /* NULL is fine */
/* A GGUF file may hold both arrays and a tokenizer.json, which then rules: SV_E_FORMAT names the first token of the
 * arrays that is not the same in t. Unused rows behind the last token are fine. */
sv_err sv_tokenizer_agrees(const sv_tokenizer *t, const sv_vocab_parts *parts);

/* A tokenizer.json for this tokenizer: the bytes it was made from, or one written from the parts. Owned by t. */
sv_str sv_tokenizer_json(const sv_tokenizer *t);

uint32_t sv_tokenizer_count(const sv_tokenizer *t);                        /* ids are 0 .. count - 1 */
bool sv_tokenizer_find(const sv_tokenizer *t, sv_str token, uint32_t *id); /* an added token by its content */
bool sv_tokenizer_is_special(const sv_tokenizer *t, uint32_t id);          /* not printed by default */
sv_str sv_tokenizer_piece(const sv_tokenizer *t, uint32_t id);             /* its bytes; empty for an unknown id */
/* SHA-256 of sv_tokenizer_json, and of PCRE2's version of Unicode behind it when a split rule runs there. */
void sv_tokenizer_hash(const sv_tokenizer *t, uint8_t out[32]);

typedef struct sv_ids {
    uint32_t *id;
    size_t n, cap;
} sv_ids;
void sv_ids_done(sv_ids *ids);

/* Appends the ids of a text. Added tokens are found only where all their bytes are trusted (sv_marked); between two of
 * them everything is one text, whatever its marks. SV_E_FORMAT: not UTF-8 (offset), or a byte without a token (named).
 */
sv_err sv_tokenizer_encode(const sv_tokenizer *t, const sv_marked *text, sv_ids *out);
sv_err sv_tokenizer_encode_plain(const sv_tokenizer *t, sv_str text, bool trusted, sv_ids *out);

/* Streams ids to UTF-8: holds back an incomplete character, and at the end turns each maximal invalid part into U+FFFD.
 */
typedef struct sv_decoder {
    const sv_tokenizer *t;
    bool show_special;
    char held[8];
    uint32_t n_held;
} sv_decoder;
void sv_decoder_init(sv_decoder *d, const sv_tokenizer *t, bool show_special);
void sv_decoder_put(sv_decoder *d, uint32_t id, sv_bytes *out);
void sv_decoder_end(sv_decoder *d, sv_bytes *out);
/* All ids at once. */
void sv_tokenizer_decode(const sv_tokenizer *t, const uint32_t *id, size_t n, bool show_special, sv_bytes *out);

#endif
