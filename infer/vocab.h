/* SPDX-License-Identifier: Apache-2.0
 * A vocabulary in the order of its bytes, so that an automaton walks over all tokens at once and shares what beginnings
 * have in common. Threads: constant once made.
 */
#ifndef SV_INFER_VOCAB_H
#define SV_INFER_VOCAB_H

#include "text/tokenizer.h"

typedef struct sv_vocab_list {
    uint32_t *id;     /* [n] ordered by bytes */
    uint16_t *common; /* [n] first bytes that a token shares with the one before it */
    uint32_t n;
} sv_vocab_list;

typedef struct sv_vocab {
    const sv_tokenizer *tokenizer; /* borrowed */
    uint32_t n, n_word;            /* tokens; 64-bit words of a mask */
    sv_vocab_list all;             /* tokens that have bytes and are not special */
    sv_vocab_list odd;             /* of those the ones that are not plain */
    uint64_t *plain;               /* whole characters that may stand in a JSON string as they are */
    uint32_t longest;              /* bytes of the longest token */
} sv_vocab;

sv_vocab *sv_vocab_make(const sv_tokenizer *t, uint32_t n_real);
void sv_vocab_drop(sv_vocab *v); /* NULL is fine */

#endif
