/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair encoding: a vocabulary of byte strings, ranked merges, and the ids of one piece of text.
 * Limits: 2^20 tokens, 2^21 merges. Threads: constant once filled, then shared.
 */
#ifndef SV_TEXT_BPE_H
#define SV_TEXT_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "text/tokenizer.h"

enum { SV_BPE_MAX_TOKENS = 1 << 20, SV_BPE_MAX_MERGES = 1 << 21 };

typedef struct sv_bpe sv_bpe;

/* What a token is, besides bytes. */
enum {
    SV_TOKEN_EXISTS = 1,
    SV_TOKEN_VOCAB = 2,    /* a member of the model's vocabulary: merges may name it */
    SV_TOKEN_RAW = 4,      /* in the vocabulary, but its name is not in byte-level form: text never becomes it */
    SV_TOKEN_ADDED = 8,    /* an added token: found by its content in trusted text */
    SV_TOKEN_SPECIAL = 16, /* not printed by default; no untrusted text becomes it */
    SV_TOKEN_TEXT = 32     /* whole UTF-8; set by sv_bpe_seal */
};

/* expected: tokens and merges that will come, for the size of the tables. `name` stands in messages, copied. */
sv_bpe *sv_bpe_make(uint32_t n_token, uint32_t n_merge, const char *name);
void sv_bpe_drop(sv_bpe *b); /* NULL is fine */

/* SV_E_FORMAT: the id or the token is there already; SV_E_LIMIT: an id of 2^20 or more. */
sv_err sv_bpe_put(sv_bpe *b, uint32_t id, sv_str bytes, uint32_t flags);
void sv_bpe_mark(sv_bpe *b, uint32_t id, uint32_t flags); /* adds flags to a token that exists */
/* Looks in the vocabulary; raw: among the names that are not in byte-level form. */
bool sv_bpe_find(const sv_bpe *b, sv_str bytes, bool raw, uint32_t *id);

/* Merges in order of rank, after all tokens and marks; sv_bpe_seal ends them. Names are bytes. A pair that comes twice
 * keeps its last rank, as the reference does. A merge joins two shorter tokens to a longer one, so merges cannot form a
 * cycle. SV_E_FORMAT: an empty side, a side or result that is no token; SV_E_UNSUPPORTED: text would become a special
 * token.
 */
sv_err sv_bpe_add_merge(sv_bpe *b, sv_str left, sv_str right);
uint32_t sv_bpe_n_merge(const sv_bpe *b);
void sv_bpe_merge(const sv_bpe *b, uint32_t rank, uint32_t *left, uint32_t *right, uint32_t *made);
/* After the last merge. ignore_merges: a piece that is a token as a whole is that token. Merges are looked up in
 * batches, so an error of sv_bpe_add_merge may come here. */
sv_err sv_bpe_seal(sv_bpe *b, bool ignore_merges);

uint32_t sv_bpe_count(const sv_bpe *b);              /* largest id + 1 */
uint32_t sv_bpe_flags(const sv_bpe *b, uint32_t id); /* 0 for an unknown id */
/* Appends the bytes of ids as long as each exists, is whole UTF-8 and has none of the flags; how many were taken. */
size_t sv_bpe_text(const sv_bpe *b, const uint32_t *id, size_t n, uint32_t flags, sv_bytes *out);
sv_str sv_bpe_piece(const sv_bpe *b, uint32_t id); /* empty for an unknown id */

/* A short piece and what it became. */
typedef struct sv_bpe_word {
    uint64_t key[2]; /* its bytes, at most 15, and their number in the last; 0: empty */
    uint32_t id[4];  /* those that are used; of the first the two highest bits are their number less one */
} sv_bpe_word;

/* Buffers of one call of encode at a time; {0} is empty. */
typedef struct sv_bpe_work {
    sv_bpe_word *word; /* a table with one place for a hash; NULL: none */
    const char *end;   /* see sv_bpe_work_text */
    uint32_t *id, *next, *prev, *rank;
    size_t cap;
    uint64_t *heap;
    size_t n_heap, cap_heap;
} sv_bpe_work;
void sv_bpe_work_done(sv_bpe_work *w);
/* The pieces that come next lie in this text, as far as whose end memory may be read. From then on a table of words is
 * kept, for this one vocabulary. */
void sv_bpe_work_text(sv_bpe_work *w, sv_str text);

/* Appends the ids of one piece: the pair of lowest rank is merged first, of equal ones the leftmost. O(n log n).
 * False: the byte at *bad has no token; nothing was appended. The piece is shorter than 2^32 bytes. */
bool sv_bpe_encode(const sv_bpe *b, sv_str piece, sv_bpe_work *w, sv_ids *out, size_t *bad);

#endif
